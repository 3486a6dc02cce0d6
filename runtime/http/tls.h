/* tls.h - a certificate and its key, looked at before a service begins, so that what is wrong is told by file. */
#ifndef RS_HTTP_TLS_H
#define RS_HTTP_TLS_H
#include "base/status.h"

/* The texts of two PEM files. All-zero: none. */
typedef struct rs_tls {
  char *certificate, *key;
} rs_tls;

/* RS_EIO when a file cannot be read, or others may read the key or write to it; RS_EFORMAT, with its name, when it holds no certificate, no key without a passphrase,
 * or not the certificate's key. */
rs_status rs_tls_read(rs_tls *out, const char *certificate, const char *key);
void rs_tls_free(rs_tls *t);

#endif
