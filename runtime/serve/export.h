/* export.h - recommendations for every user as files for others: CSV and JSON Lines. */
#ifndef RS_SERVE_EXPORT_H
#define RS_SERVE_EXPORT_H
#include "serve/model.h"

typedef struct rs_export {
  const char *csv;   /* path: user,rank,item,score with a header (RFC 4180); NULL: not wanted */
  const char *jsonl; /* path: {"user":"u","rank":1,"item":"i","score":0.5} a line; NULL: not wanted */
  int64_t now, k;    /* as in a request */
  bool exclude_seen;
} rs_export;

/* The best k of every user, in the bundle's order of users, ranks from 1. A score has the digits that bring the same
 * f32 back. Each file is replaced atomically, both once all is written. 'lines' becomes the recommendations written. */
rs_status rs_export_recommendations(const rs_server_model *m, const rs_export *options, int64_t *lines);

#endif
