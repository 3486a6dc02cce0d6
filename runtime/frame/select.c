/* select.c - rows and columns of a frame, and frames one after another. See frame.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/frame.h"

const rs_column *rs_frame_need(const rs_frame *f, const char *name) {
  const rs_column *c = rs_frame_column(f, name);
  if (c) return c;
  char list[512] = "";
  size_t used = 0;
  for (int i = 0; i < f->n_columns && used + 64 < sizeof list; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%.40s", i ? ", " : "", f->columns[i].name);
  rs_fail(RS_EARG, "frame: there is no column '%s'; there are: %s", name, list);
  return NULL;
}

bool rs_column_is_missing(const rs_column *c, int64_t row) {
  switch (c->type) {
    case RS_NUMBER: return isnan(rs_f64(&c->values)[row]);
    case RS_TIME: return rs_i64(&c->values)[row] == RS_TIME_MISSING;
    case RS_LIST: return rs_i32(&c->lengths)[row] == 0;
    default: return rs_i32(&c->values)[row] == 0;
  }
}

/* Add what 'made' holds; it is empty afterwards in any case. */
static rs_status add_made(rs_frame *out, rs_column *made, rs_status status) {
  if (status == RS_OK) status = rs_frame_add(out, made);
  rs_column_free(made);
  return status;
}

/* Whether these are the rows 0 .. n-1: then a frame may share its columns instead of copying them. */
static bool ascends(const int64_t *rows, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (rows[i] != i) return false;
  return true;
}

rs_status rs_frame_take(rs_frame *out, const rs_frame *f, const int64_t *rows, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (rows[i] < -1 || rows[i] >= f->rows)
      return rs_fail(RS_ERANGE, "frame: row %lld is outside 0 .. %lld", (long long)rows[i], (long long)f->rows - 1);
  bool all = n == f->rows && ascends(rows, n);
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < f->n_columns; i++) {
    rs_column made = {0};
    status = all ? rs_column_share(&made, &f->columns[i], NULL) : rs_column_take(&made, &f->columns[i], rows, n);
    status = add_made(out, &made, status);
  }
  if (status != RS_OK) rs_frame_free(out);
  return status;
}

rs_status rs_frame_select(rs_frame *out, const rs_frame *f, const char *const *names, int n) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < n; i++) {
    rs_column made = {0};
    const rs_column *c = rs_frame_need(f, names[i]);
    status = c ? rs_column_share(&made, c, NULL) : RS_EARG;
    status = add_made(out, &made, status);
  }
  if (status != RS_OK) rs_frame_free(out);
  return status;
}

/* One column of the result of concat: its parts, and the dictionary that they get in common. */
typedef struct joint {
  const rs_frame *const *frames;
  int n;
  const char *name;
  int64_t rows, values; /* values: list members */
  rs_column *out;
} joint;

static const rs_column *part(const joint *j, int i) { return rs_frame_column(j->frames[i], j->name); }

/* map[code] = the code of the same text in the common dictionary, for codes 0 .. n. */
static rs_status merge_dictionary(rs_dictionary *to, const rs_dictionary *from, int32_t **map) {
  *map = rs_alloc((size_t)(from->n + 1) * sizeof **map);
  if (!*map) return rs_nomem("frame concat", (size_t)(from->n + 1) * sizeof **map);
  (*map)[0] = 0;
  rs_status status = RS_OK;
  for (int32_t code = 1; status == RS_OK && code <= from->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(from, code, &length);
    status = rs_dictionary_add(to, text, length, &(*map)[code]);
  }
  return status;
}

/* Append the codes of one part behind 'at'. */
static rs_status append_codes(const joint *j, const rs_column *c, int64_t at) {
  const int32_t *from = rs_i32(&c->values);
  int32_t *to = rs_i32(&j->out->values) + at, *map = NULL;
  int64_t n = c->values.size[0];
  rs_status status = merge_dictionary(j->out->dictionary, c->dictionary, &map);
  for (int64_t i = 0; status == RS_OK && i < n; i++) to[i] = map[from[i]];
  rs_free(map);
  return status;
}

static void append_slices(const joint *j, const rs_column *c, int64_t row, int64_t shift) {
  for (int64_t i = 0; i < c->starts.size[0]; i++) {
    rs_i64(&j->out->starts)[row + i] = rs_i64(&c->starts)[i] + shift;
    rs_i32(&j->out->lengths)[row + i] = rs_i32(&c->lengths)[i];
  }
}

static rs_status fill_joint(joint *j) {
  int64_t row = 0, value = 0;
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < j->n; i++) {
    const rs_column *c = part(j, i);
    int64_t n = rs_column_rows(c);
    if (c->dictionary) {
      status = append_codes(j, c, c->type == RS_LIST ? value : row);
      if (c->type == RS_LIST) append_slices(j, c, row, value);
    } else if (n)
      memcpy((char *)rs_tensor_data(&j->out->values) + row * 8, rs_tensor_data(&c->values), (size_t)n * 8);
    row += n;
    value += c->values.size[0];
  }
  return status;
}

static rs_status make_joint(joint *j) {
  static const rs_dtype dtypes[] = {RS_F64, RS_I64, RS_I32, RS_I32};
  const rs_column *first = part(j, 0);
  rs_column *out = j->out;
  out->type = first->type;
  if (!(out->name = rs_strdup(j->name))) return rs_nomem("frame concat", strlen(j->name));
  rs_status status = first->dictionary ? rs_dictionary_new(&out->dictionary) : RS_OK;
  if (status == RS_OK)
    status = rs_tensor_new(&out->values, dtypes[out->type], 1, out->type == RS_LIST ? &j->values : &j->rows);
  if (status == RS_OK && out->type == RS_LIST) status = rs_tensor_new(&out->starts, RS_I64, 1, &j->rows);
  if (status == RS_OK && out->type == RS_LIST) status = rs_tensor_new(&out->lengths, RS_I32, 1, &j->rows);
  return status == RS_OK ? fill_joint(j) : status;
}

/* RS_EARG unless every frame has the column, of one type; counts rows and values. */
static rs_status check_joint(joint *j) {
  const rs_column *first = part(j, 0);
  for (int i = 0; i < j->n; i++) {
    const rs_column *c = rs_frame_need(j->frames[i], j->name);
    if (!c) return RS_EARG;
    if (c->type != first->type || j->frames[i]->n_columns != j->frames[0]->n_columns)
      return rs_fail(RS_EARG, "frame: the frames differ: '%s' is a %s and a %s, among %d and %d columns", j->name,
                     rs_column_type_name(first->type), rs_column_type_name(c->type), j->frames[0]->n_columns,
                     j->frames[i]->n_columns);
    j->rows += rs_column_rows(c);
    j->values += c->values.size[0];
  }
  return RS_OK;
}

rs_status rs_frame_concat(rs_frame *out, const rs_frame *const *frames, int n) {
  rs_status status = n > 0 ? RS_OK : rs_fail(RS_EARG, "frame: at least one frame is needed");
  for (int i = 0; status == RS_OK && i < frames[0]->n_columns; i++) {
    rs_column made = {0};
    joint j = {.frames = frames, .n = n, .name = frames[0]->columns[i].name, .out = &made};
    status = check_joint(&j);
    if (status == RS_OK) status = make_joint(&j);
    status = add_made(out, &made, status);
  }
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
