/* media.h - kinds of bodies: what Content-Type says of one, and which of ours Accept wants. */
#ifndef RS_SERVE_MEDIA_H
#define RS_SERVE_MEDIA_H
#include <stdbool.h>

typedef enum rs_media {
  RS_MEDIA_JSON,  /* application/json */
  RS_MEDIA_LINES, /* application/jsonlines, application/x-jsonlines, application/x-ndjson: a value a line */
  RS_MEDIA_CSV,   /* text/csv */
  RS_MEDIA_KINDS,
  RS_MEDIA_OTHER = RS_MEDIA_KINDS
} rs_media;

/* The kind that a Content-Type names, "" and NULL being JSON. 'header' becomes whether text/csv is said to begin with a
 * line of names (header=present). RS_MEDIA_OTHER for all else, and for a charset that is not UTF-8. */
rs_media rs_media_of(const char *content_type, bool *header);

/* The kind that an Accept wants most; of equal wishes 'natural', else the first. NULL, "" and wildcards want 'natural'.
 * RS_MEDIA_OTHER when it wants none of ours. */
rs_media rs_media_wanted(const char *accept, rs_media natural);

/* "application/jsonlines", ...: a literal. */
const char *rs_media_name(rs_media media);

#endif
