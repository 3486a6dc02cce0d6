/* tls.c - see tls.h. */
#include "http/tls.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"

enum { FILE_LIMIT = 1 << 20 };

static rs_status read_text(char **out, const char *path) {
  rs_buffer text = {0};
  rs_status status = rs_file_read(&text, path, FILE_LIMIT);
  if (status == RS_OK) status = rs_buffer_append(&text, "", 1);
  if (status == RS_OK)
    *out = text.data;
  else
    rs_buffer_free(&text);
  return status;
}

/* As a server of others does: the group may read it (ssl-cert), and nobody else do anything. */
static rs_status check_mode(const char *path) {
  struct stat about;
  if (stat(path, &about) != 0) return rs_fail(RS_EIO, "%s: %s", path, strerror(errno));
  if (about.st_mode & (S_IWGRP | S_IRWXO))
    return rs_fail(RS_EIO, "%s: others than its owner may read or write this private key; chmod o-rwx,g-w it", path);
  return RS_OK;
}

static int no_passphrase(char *buffer, int size, int writing, void *context) {
  (void)buffer, (void)size, (void)writing, (void)context;
  return -1;
}

static BIO *reading(const char *text) { return BIO_new_mem_buf(text, (int)strlen(text)); }

static rs_status check(const rs_tls *t, const char *certificate_path, const char *key_path) {
  BIO *certificate_text = reading(t->certificate), *key_text = reading(t->key);
  X509 *certificate = certificate_text ? PEM_read_bio_X509(certificate_text, NULL, no_passphrase, NULL) : NULL;
  EVP_PKEY *key = key_text ? PEM_read_bio_PrivateKey(key_text, NULL, no_passphrase, NULL) : NULL;
  rs_status status = RS_OK;
  if (!certificate)
    status = rs_fail(RS_EFORMAT, "%s: no certificate in PEM format", certificate_path);
  else if (!key)
    status = rs_fail(RS_EFORMAT, "%s: no private key in PEM format without a passphrase", key_path);
  else if (X509_check_private_key(certificate, key) != 1)
    status = rs_fail(RS_EFORMAT, "%s: not the key of the certificate %s", key_path, certificate_path);
  X509_free(certificate);
  EVP_PKEY_free(key);
  BIO_free(certificate_text);
  BIO_free(key_text);
  ERR_clear_error();
  return status;
}

rs_status rs_tls_read(rs_tls *out, const char *certificate, const char *key) {
  rs_tls t = {0};
  rs_status status = read_text(&t.certificate, certificate);
  if (status == RS_OK) status = check_mode(key);
  if (status == RS_OK) status = read_text(&t.key, key);
  if (status == RS_OK) status = check(&t, certificate, key);
  if (status == RS_OK)
    *out = t;
  else
    rs_tls_free(&t);
  return status;
}

void rs_tls_free(rs_tls *t) {
  if (t->key) OPENSSL_cleanse(t->key, strlen(t->key));
  rs_free(t->certificate);
  rs_free(t->key);
  *t = (rs_tls){0};
}
