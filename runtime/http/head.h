/* head.h - what is wrong with a request's head, told from its pieces: no library, no memory, no state.
 *
 * Whatever could be read in two ways by two programs, a proxy and this service, is refused, so that no two can disagree
 * about where a request ends or what it asks for. docs/serving.md lists each case. */
#ifndef RS_HTTP_HEAD_H
#define RS_HTTP_HEAD_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A header field as it came; not trimmed at its end. */
typedef struct rs_field {
  const char *name, *value;
  size_t name_size, value_size;
} rs_field;

typedef struct rs_head {
  const char *method, *version; /* terminated */
  const char *target;           /* where it lay: its bytes may be others by now */
  size_t target_size;
  const rs_field *fields;
  int n;
  const char *end; /* of the bytes it came in, which begin with the method; NULL: the pieces lie elsewhere */
} rs_head;

typedef struct rs_head_limits {
  size_t line, all; /* bytes of the target or of a field, and of all */
  int fields;
  int64_t body;
  const char *names; /* words with a blank between: what Host may name beside this machine's loopback; NULL: anything */
} rs_head_limits;

/* Why a request is refused. All-zero: it is not. */
typedef struct rs_fault {
  int status;
  const char *code, *message;
} rs_fault;

/* What of a head decides how the rest is read. */
typedef struct rs_head_facts {
  bool chunked;
  int64_t length; /* of the body; 0 when it is chunked */
} rs_head_facts;

/* A target as it came, terminated. */
rs_fault rs_target_check(const char *target, size_t most);

/* The rest of a head, by which 'facts' are told. */
rs_fault rs_head_check(const rs_head *head, const rs_head_limits *limits, rs_head_facts *facts);

/* The method as a literal; NULL for one that is not known here. */
const char *rs_known_method(const char *method);

/* 1 to 'most' letters, digits and -_.:/+= : what is written to logs and sent back as it came. */
bool rs_is_plain(const char *text, size_t n, size_t most);

#endif
