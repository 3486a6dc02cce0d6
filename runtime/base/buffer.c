/* buffer.c - doubling growth. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

rs_status rs_buffer_reserve(rs_buffer *b, size_t more) {
  if (more <= b->capacity - b->size) return RS_OK;
  size_t capacity = b->capacity ? b->capacity : 64;
  while (capacity - b->size < more) capacity *= 2;
  char *data = rs_realloc(b->data, capacity);
  if (!data) return rs_nomem("buffer", capacity);
  b->data = data;
  b->capacity = capacity;
  return RS_OK;
}

rs_status rs_buffer_append(rs_buffer *b, const void *bytes, size_t n) {
  if (n == 0) return RS_OK;
  rs_status status = rs_buffer_reserve(b, n);
  if (status != RS_OK) return status;
  memcpy(b->data + b->size, bytes, n);
  b->size += n;
  return RS_OK;
}

rs_status rs_buffer_append_text(rs_buffer *b, const char *text) { return rs_buffer_append(b, text, strlen(text)); }

rs_status rs_buffer_printf(rs_buffer *b, const char *format, ...) {
  va_list args, again;
  va_start(args, format);
  va_copy(again, args);
  int length = vsnprintf(NULL, 0, format, args);
  va_end(args);
  rs_status status = rs_buffer_reserve(b, (size_t)length + 1);
  if (status == RS_OK) {
    vsnprintf(b->data + b->size, (size_t)length + 1, format, again);
    b->size += (size_t)length;
  }
  va_end(again);
  return status;
}

void rs_buffer_free(rs_buffer *b) {
  if (!b) return;
  rs_free(b->data);
  *b = (rs_buffer){0};
}
