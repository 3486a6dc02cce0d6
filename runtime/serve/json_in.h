/* json_in.h - requests from untrusted JSON, strictly: docs/serving.md, "What can be asked".
 *
 * Nothing is guessed: a field that there is not, one twice, of the wrong type or out of range is refused, with its place
 * ("users[3].k: ..."). What a request holds points into the bytes or into the reader's memory, and is good until the
 * next reading: in the steady state nothing is allocated. One thread at a time may use a reader. */
#ifndef RS_JSON_IN_H
#define RS_JSON_IN_H
#include "serve/model.h"

/* The most that one call may hold. */
typedef struct rs_json_limits {
  int64_t k;       /* items that are asked for, of each user */
  int64_t users;   /* requests */
  int64_t history; /* events of a request */
  int64_t items;   /* exclusions, and items to be scored or embedded */
} rs_json_limits;

/* 1000, 1000, 1000 and 10000. */
rs_json_limits rs_json_limits_standard(void);

/* What is asked, as the calls are named: POST /recommend, /similar, /score, /embed. Each takes other fields. */
typedef enum rs_question { RS_RECOMMEND, RS_SIMILAR, RS_SCORE, RS_EMBED } rs_question;

/* A call of several users holds a request of each, for which what stands beside them is the standard. */
typedef struct rs_asked {
  const rs_request *requests;
  const char *const *wrong; /* [n] why a request of several cannot be answered; NULL where it can */
  int64_t n;
  bool several; /* there was a list of users, or of items to /similar, of any length: so is the answer */
  const rs_request *standard; /* what stands beside a list of users; NULL: there is none */
} rs_asked;

typedef struct rs_json_in rs_json_in;
rs_status rs_json_in_new(rs_json_in **out, const rs_json_limits *limits);
void rs_json_in_free(rs_json_in *in); /* NULL is fine */

/* The body of POST /recommend, or a line of a batch. RS_EFORMAT for what is no JSON, RS_EARG for a request that makes no
 * sense, RS_ENOMEM. Of several users a wrong one is told in its place. */
rs_status rs_json_in_recommend(rs_json_in *in, const char *bytes, size_t size, rs_asked *out);
/* The user of the request that was refused by RS_EARG last, where it tells one: so that the refusal tells him, too. */
rs_span rs_json_in_refused(const rs_json_in *in);
/* The body of any of the calls. */
rs_status rs_json_in_ask(rs_json_in *in, rs_question question, const char *bytes, size_t size, rs_asked *out);

/* The same as fields of every request to come: what stands in 'bytes' is the standard. For options of a command. */
rs_status rs_json_in_standard(rs_json_in *in, const char *bytes, size_t size);

/* That standard; its texts are the reader's. */
const rs_request *rs_json_in_base(const rs_json_in *in);

/* Answering request i has failed with 'status': where the message tells a place in what that user has for himself, tell
 * it as one in the list ("fields.age: ..." as "users[3].fields.age: ..."). Gives 'status'. */
rs_status rs_json_whose(const rs_asked *asked, int64_t i, rs_status status);

/* A duration in ms: "90m", "3d", "500ms". */
bool rs_parse_duration(rs_span text, int64_t *ms);

#endif
