/* csv_request_fuzz.c - lines of text/csv, with and without names: what is taken is JSON. */
#include <string.h>

#include "base/fuzzing.h"
#include "base/json.h"
#include "serve/csv_request.h"
#include "serve/json_read.h"

/* What was taken of UTF-8 without zero bytes can be read. */
static void must_be_json(const rs_buffer *text) {
  json_t *value = NULL;
  if (!rs_is_utf8(text->data, text->size) || memmem(text->data, text->size, "\\u0000", 6)) return;
  bool wrong = rs_json_object(&value, text->data, text->size, "the request") == RS_EFORMAT;
  if (wrong && !strstr(rs_message(), "overflow") && !strstr(rs_message(), "too big")) __builtin_trap(); /* numbers */
  json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *at = (const char *)data, *end = at + size;
  rs_csv_names names;
  rs_buffer json = {0};
  bool header = size > 0 && *at++ == 'h', first = true;
  names.n = 0;
  while (at < end) {
    const char *feed = memchr(at, '\n', (size_t)(end - at)), *to = feed ? feed : end;
    json.size = 0;
    if (header && first) {
      if (rs_csv_names_read(&names, NULL, at, (size_t)(to - at)) != RS_OK) break;
    } else if (rs_csv_request(&json, &names, at, (size_t)(to - at)) == RS_OK) {
      must_be_json(&json);
    }
    first = false;
    at = feed ? feed + 1 : end;
  }
  rs_buffer_free(&json);
  return 0;
}
