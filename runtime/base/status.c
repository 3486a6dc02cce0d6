/* status.c - one message buffer a thread. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[1024];

rs_status rs_fail(rs_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  return status;
}

const char *rs_message(void) { return message; }

const char *rs_status_word(rs_status status) {
  static const char *const words[] = {"ok",     "memory",  "shape", "dtype",     "range", "argument", "io",
                                      "format", "numeric", "busy",  "constraint"};
  return words[status];
}
