/* target.h - what a request line asks for, from untrusted bytes: "/a%20b?x=1&y=" -> a path and a query, decoded. */
#ifndef RS_HTTP_TARGET_H
#define RS_HTTP_TARGET_H
#include <stddef.h>

#include "base/status.h"

/* A name and its value, terminated. */
typedef struct rs_http_pair {
  const char *name, *value;
} rs_http_pair;

/* All-zero is a valid empty target. */
typedef struct rs_http_target {
  char *raw;           /* as it was sent */
  char *text;          /* what the rest points into */
  const char *path;    /* decoded; begins with '/' */
  rs_http_pair *query; /* in order; "+" is a blank; a name without "=" has the value "" */
  int n;
} rs_http_target;

/* Parse. RS_EFORMAT unless it begins with '/', every % is followed by two hexadecimal digits, and what is decoded is
 * UTF-8 without zero bytes; RS_ENOMEM. What is behind a '#' is not looked at. */
rs_status rs_http_target_parse(rs_http_target *out, const char *raw);
void rs_http_target_free(rs_http_target *t);

/* The same in memory of the caller, aligned for pointers, of rs_http_target_room bytes: nothing is allocated, nor to be
 * freed. RS_OK or RS_EFORMAT. */
size_t rs_http_target_room(const char *raw);
rs_status rs_http_target_parse_in(rs_http_target *out, const char *raw, void *memory);

#endif
