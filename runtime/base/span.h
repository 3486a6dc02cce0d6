/* span.h - bytes that somebody else holds. */
#ifndef RS_SPAN_H
#define RS_SPAN_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Not terminated; text NULL: there is none, which an empty text is not. */
typedef struct rs_span {
  const char *text;
  size_t length;
} rs_span;

static inline rs_span rs_span_of(const char *text) { return (rs_span){text, text ? strlen(text) : 0}; }

static inline bool rs_span_is(rs_span a, const char *text) {
  return a.text && strlen(text) == a.length && memcmp(a.text, text, a.length) == 0;
}

static inline bool rs_span_equal(rs_span a, rs_span b) {
  return a.length == b.length && (a.length == 0 || memcmp(a.text, b.text, a.length) == 0);
}

#endif
