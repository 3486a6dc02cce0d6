/* target.c - see target.h. */
#include "http/target.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

static int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/* The length of the UTF-8 sequence at 's' (terminated); 0 when it is none: overlong, a surrogate, beyond U+10FFFF. */
static int sequence(const unsigned char *s) {
  if (s[0] < 0x80) return 1;
  int n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
  for (int i = 1; i < n; i++)
    if ((s[i] & 0xc0) != 0x80) return 0;
  if (s[0] == 0xe0 && s[1] < 0xa0) return 0;
  if (s[0] == 0xed && s[1] >= 0xa0) return 0;
  if (s[0] == 0xf0 && s[1] < 0x90) return 0;
  if (s[0] == 0xf4 && s[1] >= 0x90) return 0;
  return n;
}

static bool is_utf8(const char *text) {
  for (const unsigned char *s = (const unsigned char *)text; *s;) {
    int n = sequence(s);
    if (n == 0) return false;
    s += n;
  }
  return true;
}

/* Decode the text in place; false when it is not what it should be. */
static bool decode(char *text, bool plus) {
  char *to = text;
  for (const char *from = text; *from; from++) {
    if (*from == '%') {
      int high = digit(from[1]), low = high < 0 ? -1 : digit(from[2]);
      if (low < 0 || (high == 0 && low == 0)) return false;
      *to++ = (char)(high * 16 + low);
      from += 2;
    } else {
      *to++ = plus && *from == '+' ? ' ' : *from;
    }
  }
  *to = 0;
  return is_utf8(text);
}

static int count(const char *text, char c) {
  int n = 0;
  for (; *text; text++) n += *text == c;
  return n;
}

/* Cut 'query' into decoded pairs; empty ones are left out. */
static bool cut(rs_http_target *t, char *query) {
  for (char *next; query; query = next) {
    next = strchr(query, '&');
    if (next) *next++ = 0;
    if (!*query) continue;
    char *value = strchr(query, '=');
    if (value) *value++ = 0;
    t->query[t->n++] = (rs_http_pair){query, value ? value : query + strlen(query)};
    if (!decode(query, true) || (value && !decode(value, true))) return false;
    if (!value) t->query[t->n - 1].value = query + strlen(query);
  }
  return true;
}

size_t rs_http_target_room(const char *raw) {
  const char *query = strchr(raw, '?');
  return (query ? sizeof(rs_http_pair) * (size_t)(count(query, '&') + 1) : 0) + 2 * (strlen(raw) + 1);
}

/* The pairs come first, for their alignment. */
rs_status rs_http_target_parse_in(rs_http_target *out, const char *raw, void *memory) {
  if (*raw != '/') return rs_fail(RS_EFORMAT, "the address does not begin with /");
  size_t size = strlen(raw) + 1;
  rs_http_target t = {.query = memory, .raw = (char *)memory + rs_http_target_room(raw) - 2 * size};
  t.text = t.raw + size;
  memcpy(t.raw, raw, size);
  memcpy(t.text, raw, size);
  t.text[strcspn(t.text, "#")] = 0;
  char *query = strchr(t.text, '?');
  if (query) *query++ = 0;
  t.path = t.text;
  if (!decode(t.text, false) || (query && !cut(&t, query)))
    return rs_fail(RS_EFORMAT, "the address is no percent-encoded UTF-8");
  *out = t;
  return RS_OK;
}

rs_status rs_http_target_parse(rs_http_target *out, const char *raw) {
  void *memory = rs_alloc(rs_http_target_room(raw));
  if (!memory) return rs_fail(RS_ENOMEM, "no memory for an address");
  rs_status status = rs_http_target_parse_in(out, raw, memory);
  if (status != RS_OK) rs_free(memory);
  return status;
}

void rs_http_target_free(rs_http_target *t) {
  rs_free(t->query); /* where its memory begins */
  memset(t, 0, sizeof *t);
}
