/* buffer.h - bytes that grow. */
#ifndef RS_BUFFER_H
#define RS_BUFFER_H
#include <stddef.h>

#include "base/status.h"

/* All-zero is a valid empty buffer. */
typedef struct rs_buffer {
  char *data;      /* not terminated */
  size_t size;     /* bytes in use */
  size_t capacity; /* bytes allocated */
} rs_buffer;

rs_status rs_buffer_reserve(rs_buffer *b, size_t more); /* room for 'more' bytes behind 'size' */
rs_status rs_buffer_append(rs_buffer *b, const void *bytes, size_t n);
rs_status rs_buffer_append_text(rs_buffer *b, const char *text);
rs_status rs_buffer_printf(rs_buffer *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void rs_buffer_free(rs_buffer *b);

#endif
