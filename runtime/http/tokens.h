/* tokens.h - bearer tokens: who may ask a service for what.
 *
 * They come from a file or an environment variable, never from a command line, which everybody on a machine may read.
 * Kept are their SHA-256 digests alone; one that is shown is compared with all of them in a time that tells nothing. */
#ifndef RS_HTTP_TOKENS_H
#define RS_HTTP_TOKENS_H
#include <stddef.h>

#include "base/status.h"

enum { RS_TOKEN_LEAST = 16 }; /* letters of a token */

typedef struct rs_tokens rs_tokens;

/* A line is "NAME SCOPES TOKEN", parted by blanks: SCOPES are use, write, metrics, admin, parted by commas; admin,
 * which may be written all, is all of them. TOKEN is the token, of 16 letters at the least, or sha256: and its digest in
 * hexadecimal. Empty lines, and those that begin with
 * '#', are passed over; a ';' ends a line too, for a variable. RS_EFORMAT with 'what' and the line, which is not shown;
 * RS_ENOMEM. */
rs_status rs_tokens_parse(rs_tokens **out, const char *text, size_t size, const char *what);

/* The same from a file, which nobody but its owner may write to; RS_EIO. */
rs_status rs_tokens_read(rs_tokens **out, const char *path);

void rs_tokens_free(rs_tokens *t); /* NULL is fine */

/* Whose the value of an Authorization header is: a position, or -1. */
int rs_tokens_find(const rs_tokens *t, const char *authorization);

const char *rs_tokens_name(const rs_tokens *t, int at);
unsigned rs_tokens_scopes(const rs_tokens *t, int at); /* RS_SCOPE_... */

/* The word for one scope, RS_SCOPE_USE or another of the four. */
const char *rs_scope_word(unsigned scope);

#endif
