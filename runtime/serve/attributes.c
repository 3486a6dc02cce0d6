/* attributes.c - from two members of a bundle, which older ones lack, to the columns that filters read and to what is
 * popular. They come from strangers: whatever indexes is checked. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "frame/frame.h"
#include "serve/loaded.h"

static const char attributes_member[] = "items.attributes.safetensors", popular_member[] = "popular.safetensors";
enum { MOST_COLUMNS = 256, MOST_SEGMENTS = 4096 };

static rs_status bad(const char *member, const char *trouble) {
  return rs_fail(RS_EFORMAT, "member %s %s", member, trouble);
}

static rs_status blame(const char *member, rs_status status) {
  char reason[512];
  if (status == RS_OK || status == RS_ENOMEM) return status;
  snprintf(reason, sizeof reason, "%s", rs_message());
  return rs_fail(RS_EFORMAT, "member %s: %s", member, reason);
}

/* ---- attributes ---- */

/* The type of a column by its tensors: f64 numbers, i64 times, i32 codes of strings or, with starts, of lists. */
static bool type_of(const rs_tensors *t, const char *name, const rs_tensor *values, rs_column_type *type) {
  char starts[300];
  snprintf(starts, sizeof starts, "%s.starts", name);
  if (values->dtype == RS_F64 || values->dtype == RS_I64) *type = values->dtype == RS_F64 ? RS_NUMBER : RS_TIME;
  if (values->dtype == RS_I32) *type = rs_tensors_find(t, starts) ? RS_LIST : RS_STRING;
  return values->dtype == RS_F64 || values->dtype == RS_I64 || values->dtype == RS_I32;
}

/* Names and types of the columns: a tensor "x.values" each. */
static rs_status list_columns(const rs_tensors *t, char (*names)[256], rs_column_type *types, int *n) {
  static const char end[] = ".values";
  for (int64_t i = 0; i < t->n; i++) {
    const char *name = t->items[i].name;
    size_t length = strlen(name), tail = sizeof end - 1;
    if (length <= tail || strcmp(name + length - tail, end) != 0) continue;
    if (*n == MOST_COLUMNS || length - tail >= 256) return bad(attributes_member, "has too many columns, or too long names");
    memcpy(names[*n], name, length - tail);
    names[*n][length - tail] = 0;
    if (!type_of(t, names[*n], &t->items[i].tensor, &types[*n])) return bad(attributes_member, "has a column of no type");
    *n += 1;
  }
  return RS_OK;
}

static rs_status take_columns(rs_server_model *m, const rs_tensors *t, char (*names)[256]) {
  rs_column_type types[MOST_COLUMNS];
  const char *pointers[MOST_COLUMNS];
  int n = 0;
  rs_status status = list_columns(t, names, types, &n);
  for (int i = 0; i < n; i++) pointers[i] = names[i];
  if (status == RS_OK) status = blame(attributes_member, rs_frame_from_tensors(&m->attributes, t, pointers, types, n));
  if (status == RS_OK && n > 0 && m->attributes.rows != m->item_ids->n)
    status = bad(attributes_member, "has another number of rows than there are items");
  return status;
}

rs_status rs_attributes_load(rs_server_model *m, const rs_bundle *bundle) {
  rs_tensors t = {0};
  if (!rs_bundle_find(bundle, attributes_member)) return RS_OK;
  char (*names)[256] = rs_alloc(MOST_COLUMNS * sizeof *names);
  if (!names) return rs_nomem("model", MOST_COLUMNS * sizeof *names);
  rs_status status = rs_bundle_tensors(bundle, attributes_member, &t);
  if (status == RS_OK) status = take_columns(m, &t, names);
  m->has_attributes = status == RS_OK;
  rs_tensors_free(&t);
  rs_free(names);
  return status;
}

/* ---- popularity ---- */

static rs_status take(const rs_tensors *t, const char *name, rs_dtype dtype, rs_tensor *out) {
  char trouble[128];
  const rs_tensor *found = rs_tensors_find(t, name);
  if (found && found->ndim == 1 && found->dtype == dtype) return rs_tensor_contiguous(out, found);
  snprintf(trouble, sizeof trouble, "has no '%s', %s [n]", name, rs_dtype_name(dtype));
  return bad(popular_member, trouble);
}

static rs_status take_texts(const rs_tensors *t, const char *name, rs_texts *out, int *n) {
  char part[64];
  snprintf(part, sizeof part, "%s.bytes", name);
  rs_status status = take(t, part, RS_U8, &out->bytes);
  snprintf(part, sizeof part, "%s.offsets", name);
  if (status == RS_OK) status = take(t, part, RS_I64, &out->offsets);
  if (status != RS_OK) return status;
  int64_t size = out->offsets.size[0];
  const int64_t *at = rs_i64(&out->offsets);
  bool fine = size > 0 && size <= MOST_SEGMENTS && at[0] == 0 && at[size - 1] == out->bytes.size[0];
  for (int64_t i = 1; fine && i < size; i++) fine = at[i] >= at[i - 1];
  *n = (int)size - 1;
  return fine ? RS_OK : bad(popular_member, "has broken texts");
}

static bool within(const rs_tensor *t, int64_t least, int64_t limit) {
  const int32_t *values = rs_i32(t);
  bool fine = true;
  for (int64_t i = 0; i < t->size[0]; i++) fine &= values[i] >= least && values[i] < limit;
  return fine;
}

static bool is_finite(const rs_tensor *t) {
  const float *values = rs_f32(t);
  bool fine = true;
  for (int64_t i = 0; i < t->size[0]; i++) fine &= isfinite(values[i]) != 0;
  return fine;
}

static bool rises(const rs_popular *p) {
  const int64_t *starts = rs_i64(&p->starts);
  if (p->starts.size[0] != p->n_segments + 1 || starts[0] != 0) return false;
  for (int i = 0; i < p->n_segments; i++)
    if (starts[i + 1] < starts[i]) return false;
  return starts[p->n_segments] == p->segment_rows.size[0];
}

/* Each item once: else an answer could hold it twice. */
static rs_status check_permutation(const rs_tensor *rows, int64_t n) {
  uint8_t *had = rs_alloc_zero((size_t)n + 1);
  if (!had) return rs_nomem("model", (size_t)n);
  bool fine = rows->size[0] == n && within(rows, 0, n);
  const int32_t *values = rs_i32(rows);
  for (int64_t i = 0; fine && i < n; i++) fine = had[values[i]]++ == 0;
  rs_free(had);
  return fine ? RS_OK : bad(popular_member, "does not order the items, each once");
}

static rs_status check_popular(const rs_popular *p, const rs_server_model *m) {
  int64_t items = m->item_ids->n, segments = p->n_segments;
  bool fine = p->scores.size[0] == items && p->column.size[0] == segments && within(&p->column, 0, p->n_columns) &&
              rises(p) && within(&p->segment_rows, 0, items) && p->segment_scores.size[0] == p->segment_rows.size[0] &&
              p->users.size[0] == m->user_ids->n && within(&p->users, -1, segments) && is_finite(&p->scores) &&
              is_finite(&p->segment_scores);
  return fine ? check_permutation(&p->rows, items) : bad(popular_member, "does not fit the items and users");
}

rs_status rs_popular_load(rs_server_model *m, const rs_bundle *bundle) {
  rs_popular *p = &m->popular;
  rs_tensors t = {0};
  if (!rs_bundle_find(bundle, popular_member)) return RS_OK;
  rs_status status = rs_bundle_tensors(bundle, popular_member, &t);
  if (status == RS_OK) status = take(&t, "rows", RS_I32, &p->rows);
  if (status == RS_OK) status = take(&t, "scores", RS_F32, &p->scores);
  if (status == RS_OK) status = take_texts(&t, "segments.columns", &p->columns, &p->n_columns);
  if (status == RS_OK) status = take_texts(&t, "segments.values", &p->values, &p->n_segments);
  if (status == RS_OK) status = take(&t, "segments.column", RS_I32, &p->column);
  if (status == RS_OK) status = take(&t, "segments.starts", RS_I64, &p->starts);
  if (status == RS_OK) status = take(&t, "segments.rows", RS_I32, &p->segment_rows);
  if (status == RS_OK) status = take(&t, "segments.scores", RS_F32, &p->segment_scores);
  if (status == RS_OK) status = take(&t, "users.segment", RS_I32, &p->users);
  if (status == RS_OK) status = check_popular(p, m);
  rs_tensors_free(&t);
  return status;
}

void rs_popular_free(rs_popular *p) {
  rs_tensor *all[] = {&p->rows,           &p->scores, &p->columns.bytes, &p->columns.offsets, &p->values.bytes,
                      &p->values.offsets, &p->column, &p->starts,        &p->segment_rows,    &p->segment_scores,
                      &p->users};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) rs_tensor_free(all[i]);
}
