/* batch_in_fuzz.c - any bytes as a file of users in CSV: cut into records that cover it, each a request of JSON fields,
 * or refused in words. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "serve/batch_in.h"
#include "serve/json_read.h"

/* The text is an object. */
static void check_object(rs_span text) {
  static rs_buffer room;
  rs_json_reader r;
  rs_span raw;
  if (rs_read_begin(&r, text.text, text.length, &room, "") == RS_OK && rs_read_next(&r) == RS_READ_OBJECT &&
      rs_read_any(&r, &raw) && rs_read_end(&r) == RS_OK)
    return;
  __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rs_users_reader reader;
  rs_users_header h = {.n = 5};
  static const char *const names[] = {"age", "user", "tags", "kind", "k"};
  static const rs_cell cells[] = {RS_CELL_NUMBER, RS_CELL_USER, RS_CELL_LIST, RS_CELL_TEXT, RS_CELL_OPTION};
  for (int i = 0; i < 5; i++) h.names[i] = rs_span_of(names[i]), h.cells[i] = cells[i];
  char *bytes = malloc(size ? size : 1);
  memcpy(bytes, data, size);
  const char *end = bytes + size, *next;
  for (const char *at = bytes; at < end; at = next) {
    rs_request request = {0};
    next = rs_record_end(at, end, RS_USERS_CSV);
    if (next <= at || next > end) __builtin_trap();
    if (memchr(at, 0, (size_t)(next - at)) || !rs_is_utf8(at, (size_t)(next - at))) continue; /* refused before */
    if (rs_users_record(&reader, &h, rs_record_text(at, next), &request) == RS_OK) {
      check_object(request.fields);
      if (reader.options.size > 0) check_object((rs_span){reader.options.data, reader.options.size});
    } else if (!*rs_message()) {
      __builtin_trap();
    }
  }
  free(bytes);
  return 0;
}
