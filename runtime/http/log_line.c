/* log_line.c - a line of a service's access log, by hand: it is on the way of every request.
 *
 * Nothing in it needs to be escaped: methods are known words, paths are what rs_target_check lets through (no quote, no
 * backslash, no control character), request ids are plain (rs_is_plain), addresses are numbers. There is no query, no
 * header and no body in it, nor, unless asked for, the client's address: who the user is stands in those. */
#include <string.h>
#include <time.h>

#include "http/service_parts.h"

enum { PATH = 256, LINE = 1024 };

static char *put(char *to, const char *text) {
  size_t n = strlen(text);
  memcpy(to, text, n);
  return to + n;
}

static char *put_number(char *to, int64_t n) {
  char digits[24], *at = digits + sizeof digits;
  if (n < 0) n = 0;
  do *--at = (char)('0' + n % 10);
  while (n /= 10);
  size_t size = (size_t)(digits + sizeof digits - at);
  memcpy(to, at, size);
  return to + size;
}

static char *put_three(char *to, int64_t n) {
  for (int i = 2; i >= 0; i--, n /= 10) to[i] = (char)('0' + n % 10);
  return to + 3;
}

/* The wall clock, in milliseconds; its seconds are written once each. */
static char *put_time(char *to, rs_worker *w) {
  struct timespec now;
  struct tm parts;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != w->second_number || !w->second[0]) {
    gmtime_r(&now.tv_sec, &parts);
    strftime(w->second, sizeof w->second, "%Y-%m-%dT%H:%M:%S", &parts);
    w->second_number = now.tv_sec;
  }
  to = put(put(to, w->second), ".");
  return put(put_three(to, now.tv_nsec / 1000000), "Z");
}

/* As it came, unless the handler has named it; one that was refused is not repeated, and of one that no handler saw only
 * the first part, as the others may name a user. */
static char *put_path(char *to, const rs_link *l) {
  const char *path = l->log_path ? l->log_path : l->target.raw;
  if (!path) return to;
  size_t n = strcspn(path, "?");
  size_t first = n > 1 ? 1 + strcspn(path + 1, "/?") : n;
  if (!l->handed) n = first;
  if (n > PATH) n = PATH;
  memcpy(to, path, n);
  return to + n;
}

void rs_link_log(rs_link *l) {
  char line[LINE];
  int64_t us = (rs_service_now() - l->arrived) / 1000;
  char *to = put_time(put(line, "{\"time\":\""), l->of);
  to = put(put(to, "\",\"method\":\""), l->method);
  to = put_path(put(to, "\",\"path\":\""), l);
  to = put_number(put(to, "\",\"status\":"), l->status);
  to = put_number(put(to, ",\"bytes\":"), (int64_t)(l->status ? l->reply_size : 0));
  to = put_number(put(to, ",\"ms\":"), us / 1000);
  to = put_three(put(to, "."), us % 1000);
  to = put(put(to, ",\"request_id\":\""), l->id);
  to = put_number(put(to, "\",\"worker\":"), l->of->index);
  if (l->of->service->options.log_addresses) to = put(put(put(to, ",\"client\":\""), l->client), "\"");
  to = put(to, "}\n");
  rs_access_log_add(l->of->service->log, l->of->index, line, (size_t)(to - line));
}
