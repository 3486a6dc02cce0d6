/* digest.c - see digest.h. OpenSSL uses the CPU's SHA instructions where there are any. */
#include "bundle/digest.h"

#include <openssl/evp.h>
#include <string.h>

#include "base/parallel.h"

static void to_hex(char *hex, const unsigned char *bytes, size_t n) {
  for (size_t i = 0; i < n; i++) {
    hex[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
    hex[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
  }
  hex[2 * n] = 0;
}

/* Feed the range of the job to 'context'. */
static int feed(EVP_MD_CTX *context, const rs_digest_job *job) {
  size_t skip = job->offset, left = job->size;
  for (const rs_piece *piece = job->pieces; left > 0; piece++) {
    if (skip >= piece->size) {
      skip -= piece->size;
      continue;
    }
    size_t take = piece->size - skip < left ? piece->size - skip : left;
    if (!EVP_DigestUpdate(context, piece->data + skip, take)) return 0;
    left -= take;
    skip = 0;
  }
  return 1;
}

static void run(void *jobs, int64_t begin, int64_t end) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  for (int64_t i = begin; i < end; i++) {
    rs_digest_job *job = (rs_digest_job *)jobs + i;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    job->hex[0] = 0;
    if (context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) && feed(context, job) &&
        EVP_DigestFinal_ex(context, digest, &length))
      to_hex(job->hex, digest, length);
  }
  EVP_MD_CTX_free(context);
}

rs_status rs_digest_all(rs_digest_job *jobs, int64_t n) {
  rs_parallel_for(n, 1, run, jobs);
  for (int64_t i = 0; i < n; i++)
    if (!jobs[i].hex[0]) return rs_fail(RS_ENOMEM, "SHA-256: OpenSSL refused to hash %zu bytes", jobs[i].size);
  return RS_OK;
}
