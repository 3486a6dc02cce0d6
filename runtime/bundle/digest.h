/* digest.h - SHA-256 over bytes that lie in pieces, many ranges at once on all threads. Within the bundle folder. */
#ifndef RS_DIGEST_H
#define RS_DIGEST_H
#include "bundle/bundle.h"

typedef struct rs_piece {
  const char *data;
  size_t size;
} rs_piece;

/* One range to be hashed: 'size' bytes from 'offset' of the bytes that 'pieces' hold one after another. */
typedef struct rs_digest_job {
  const rs_piece *pieces;
  size_t offset, size;
  char hex[RS_SHA256_TEXT + 1]; /* the result, lower case; empty when OpenSSL refused */
} rs_digest_job;

/* Run all jobs. RS_ENOMEM when one was refused. */
rs_status rs_digest_all(rs_digest_job *jobs, int64_t n);

/* How many MiB chunks 'bytes' bytes have, the last one perhaps shorter. */
static inline int64_t rs_chunks(size_t bytes) {
  return (int64_t)(bytes / RS_BUNDLE_CHUNK + (bytes % RS_BUNDLE_CHUNK != 0));
}

#endif
