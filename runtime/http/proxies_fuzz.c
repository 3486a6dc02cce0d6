/* proxies_fuzz.c - any bytes as an option's networks, a zero byte, and lists of X-Forwarded-For, a line each. */
#include <string.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "http/proxies.h"

enum { LISTS = 8 };

/* What follows a zero byte: lists apart by LF, which become terminated. */
static int lists_of(char *text, rs_http_pair *pairs) {
  int n = 0;
  for (char *end; text && n < LISTS; text = end) {
    end = strchr(text, '\n');
    if (end) *end++ = 0;
    pairs[n++] = (rs_http_pair){"x-forwarded-for", text};
  }
  return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *text = rs_alloc(size + 2);
  if (!text) return 0;
  memcpy(text, data, size);
  text[size] = text[size + 1] = 0;
  rs_proxies *p = NULL;
  rs_http_pair pairs[LISTS];
  struct sockaddr_storage client;
  if (rs_proxies_parse(&p, text) == RS_OK) {
    size_t words = strlen(text);
    int n = lists_of(text + words + 1, pairs);
    bool found = rs_proxies_client(p, pairs, n, &client);
    if (found && client.ss_family != AF_INET && client.ss_family != AF_INET6) __builtin_trap();
  }
  rs_proxies_free(p);
  rs_free(text);
  return 0;
}
