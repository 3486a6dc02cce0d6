/* json_in.h - requests from untrusted JSON, strictly: docs/serving.md, "What can be asked".
 *
 * Nothing is guessed: a field that there is not, one twice, of the wrong type or out of range is refused, with its place
 * ("users[3].k: ..."). What a request holds points into the bytes or into the reader's memory, and is good until the
 * next reading: in the steady state nothing is allocated. */
#ifndef RS_JSON_IN_H
#define RS_JSON_IN_H
#include "serve/model.h"

typedef struct rs_json_limits {
  int64_t k;       /* the most items that can be asked for; likewise: */
  int64_t users;   /* requests in one call */
  int64_t history; /* events */
  int64_t items;   /* exclusions, and ids of items to /similar, /score and /embed */
} rs_json_limits;

/* 1000, 1000, 1000 and 10000. */
rs_json_limits rs_json_limits_standard(void);

/* A request of several users holds one of each, for which what stands beside them is the standard. */
typedef struct rs_asked {
  const rs_request *requests;
  int64_t n;
  bool several;            /* it was a list of users: so is the answer */
  const char *const *wrong; /* [n] why a request of several cannot be answered; NULL where it can */
} rs_asked;

typedef struct rs_json_in rs_json_in;
rs_status rs_json_in_new(rs_json_in **out);
void rs_json_in_free(rs_json_in *in); /* NULL is fine */

/* The body of POST /recommend. RS_EFORMAT for what is no JSON, RS_EARG for a request that makes no sense, RS_ENOMEM. */
rs_status rs_json_in_recommend(rs_json_in *in, const char *bytes, size_t size, const rs_json_limits *limits,
                               rs_asked *out);

#endif
