/* fields.c - see fields.h. */
#include "serve/fields.h"

#include "serve/json_read.h"
#include "serve/loaded.h"

enum {
  MOST_COLUMNS = 1024, /* of which it is seen when a field is there twice */
  MOST_IGNORED = 20
};

/* The column prefix + name; -1: there is none. */
static int column_of(const rs_row *row, const char *prefix, rs_span name) {
  size_t n = strlen(prefix);
  for (int i = 0; i < rs_row_columns(row); i++) {
    const char *column = rs_row_column(row, i);
    if (strncmp(column, prefix, n) == 0 && rs_span_is(name, column + n)) return i;
  }
  return -1;
}

/* How many values the list has that is read next. */
static int64_t count_list(const rs_json_reader *reader) {
  rs_json_reader ahead = *reader;
  rs_span raw;
  int64_t n = 0;
  if (!rs_read_array(&ahead)) return 0;
  while (rs_read_item(&ahead) && rs_read_any(&ahead, &raw)) n++;
  return n;
}

static rs_status fill_list(rs_row *row, int i, rs_json_reader *reader) {
  size_t kept = reader->room->size;
  int64_t n = count_list(reader);
  reader->room->size = kept; /* what was looked at ahead */
  rs_status status = rs_row_list(row, i, n);
  if (status != RS_OK || !rs_read_array(reader)) return status;
  while (status == RS_OK && rs_read_item(reader)) {
    rs_span text;
    if (rs_read_next(reader) != RS_READ_STRING) return rs_row_refuse(row, i, "a list");
    if (rs_read_text(reader, &text)) status = rs_row_add(row, i, text.text, text.length);
  }
  return status;
}

static rs_status fill_value(rs_row *row, int i, rs_json_reader *reader) {
  rs_span text;
  double number;
  bool truth;
  switch (rs_read_next(reader)) {
    case RS_READ_NUMBER: return rs_read_number(reader, &number) ? rs_row_number(row, i, number) : RS_OK;
    case RS_READ_STRING: return rs_read_text(reader, &text) ? rs_row_text(row, i, text.text, text.length) : RS_OK;
    case RS_READ_ARRAY: return fill_list(row, i, reader);
    case RS_READ_OBJECT: return rs_row_refuse(row, i, "an object");
    case RS_READ_BOOLEAN:
      return rs_read_boolean(reader, &truth) ? rs_row_refuse(row, i, truth ? "true" : "false") : RS_OK;
    default: return RS_OK; /* rs_read_any says what it is */
  }
}

/* What the row refuses is told with its place. */
static rs_status fill(rs_row *row, int i, rs_json_reader *reader) {
  rs_status status = fill_value(row, i, reader);
  if (status == RS_EARG && reader->status == RS_OK) rs_read_refuse(reader, RS_EARG, "%s", rs_message());
  return status;
}

rs_status rs_fill_row(rs_row *row, const char *prefix, rs_span fields, rs_span user, rs_buffer *room, int *filled) {
  uint64_t had[MOST_COLUMNS / 64] = {0};
  rs_json_reader reader;
  rs_span key, raw;
  *filled = 0;
  rs_row_clear(row);
  rs_status status = RS_OK;
  if (fields.text) {
    status = rs_read_begin(&reader, fields.text, fields.length, room, "fields");
    if (status == RS_OK && !rs_read_object(&reader)) status = reader.status;
    while (status == RS_OK && rs_read_key(&reader, &key)) {
      int i = rs_span_is(key, "user") ? -1 : column_of(row, prefix, key);
      if (i < 0 || rs_read_next(&reader) == RS_READ_NULL || rs_read_next(&reader) == RS_READ_NOTHING) {
        rs_read_any(&reader, &raw);
        continue;
      }
      if (i < MOST_COLUMNS && had[i / 64] >> (i % 64) & 1) rs_read_twice(&reader);
      if (i < MOST_COLUMNS) had[i / 64] |= UINT64_C(1) << (i % 64);
      if (reader.status == RS_OK) status = fill(row, i, &reader);
      *filled += 1;
    }
    if (status == RS_OK) status = rs_read_end(&reader);
  }
  int id = user.text ? column_of(row, prefix, rs_span_of("user")) : -1;
  if (status == RS_OK && id >= 0) status = rs_row_text(row, id, user.text, user.length);
  return status;
}

/* ---- fields that nothing reads ---- */

bool rs_reads_field(const rs_server_model *m, rs_span name) {
  const char *column, *type;
  if (rs_span_is(name, "user")) return false; /* his id stands beside the fields */
  for (int side = RS_USER; side <= RS_EVENT; side++)
    for (int i = 0; (column = rs_encoder_column(m->encoder, (rs_side)side, i, &type)); i++) {
      const char *bare = side == RS_USER ? column : strncmp(column, "user.", 5) == 0 ? column + 5 : "";
      if (*bare && rs_span_is(name, bare)) return true;
    }
  for (int c = 0; c < m->popular.n_columns; c++)
    if (rs_span_equal(rs_texts_at(&m->popular.columns, c), name)) return true;
  return false;
}

rs_status rs_ignored_fields(rs_buffer *names, const rs_server_model *m, rs_span fields, rs_buffer *room) {
  rs_json_reader reader;
  rs_span key, raw;
  int n = 0;
  if (rs_read_begin(&reader, fields.text, fields.length, room, "fields") != RS_OK || !rs_read_object(&reader)) return RS_OK;
  while (n < MOST_IGNORED && rs_read_key(&reader, &key) && rs_read_any(&reader, &raw)) {
    if (rs_reads_field(m, key)) continue;
    rs_status status = rs_buffer_append(names, key.text, key.length);
    if (status == RS_OK) status = rs_buffer_append(names, "", 1);
    if (status != RS_OK) return status;
    n++;
  }
  return RS_OK;
}
