/* items.c - see items.h. What has a row of each item is a list of columns: the vectors, the creation times, and of the
 * item side's outputs and of the attributes the values, or the starts and lengths of lists. A column has room when its storage is ours, nobody
 * else's, and longer than its rows say. */
#include "serve/items.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/bitmap.h"
#include "retrieval/columns.h"
#include "serve/item_attributes.h"

enum { LEAST_ROOM = 256 }; /* rows */

struct rs_new_item {
  char *id;
  size_t id_length;
  rs_title *title; /* NULL: none */
  int64_t created, row; /* row -1: a new one */
  rs_features features; /* of one row */
  rs_tensor vector;     /* f32 [1, width], or the column i32 [1] */
  rs_tensor *columns;   /* by the number of the column: a longer copy; empty where there is room */
  int n_columns;
  rs_title **titles; /* a longer copy; NULL where there is room */
  int64_t titles_capacity;
  json_t *fields;     /* id, title and created among them */
  int32_t *codes;     /* room for those of the attributes */
};

int64_t rs_server_model_find_item(const rs_server_model *m, const char *id, size_t length) {
  int32_t code = rs_vocabulary_find(m->item_ids, id, length);
  if (code == 0 && m->new_items && (code = rs_dictionary_find(m->new_items, id, length)) > 0)
    code += (int32_t)m->item_ids->n;
  return (int64_t)code - 1;
}

/* ---- columns ---- */

/* Columns 0 and 1 are vectors and times; output j has the columns from 2 + 3 j on: values, starts, lengths; likewise the
 * attributes behind the outputs. */
static int count_columns(const rs_server_model *m) { return 2 + 3 * (m->items.n_outputs + m->attributes.n_columns); }

/* The number of the attribute that column i is of; negative: it is of an output. */
static int attribute_of(const rs_server_model *m, int i) { return (i - 2) / 3 - m->items.n_outputs; }

/* A column that the model lacks is empty. */
static const rs_tensor *column(const rs_server_model *m, int i) {
  if (i < 2) return i == 0 ? &m->vectors : &m->created;
  int part = (i - 2) % 3;
  if (attribute_of(m, i) >= 0) {
    const rs_column *c = &m->attributes.columns[attribute_of(m, i)];
    return part == 0 ? &c->values : part == 1 ? &c->starts : &c->lengths;
  }
  const rs_output *o = &m->items.outputs[(i - 2) / 3];
  return part == 0 ? &o->values : part == 1 ? &o->starts : &o->lengths;
}

/* Whether column i is the values of a list, which grow by what a row's list holds. */
static bool is_pool(const rs_server_model *m, int i) {
  if (i < 2 || (i - 2) % 3 != 0) return false;
  int attribute = attribute_of(m, i);
  if (attribute >= 0) return m->attributes.columns[attribute].type == RS_LIST;
  return rs_is_list(&m->items.outputs[(i - 2) / 3]);
}

static size_t row_bytes(const rs_tensor *t) {
  return (t->ndim == 2 ? (size_t)t->size[1] : 1) * rs_dtype_size(t->dtype);
}

/* The index holds the vectors, too. */
static bool has_room(const rs_server_model *m, const rs_tensor *t, int64_t more) {
  const rs_storage *s = t->storage;
  int holders = t == &m->vectors ? 2 : 1;
  return s->writable && atomic_load(&s->references) == holders && t->offset == 0 &&
         (size_t)(t->size[0] + more) * row_bytes(t) <= s->bytes;
}

bool rs_server_model_is_large(const rs_server_model *m) { return rs_tensor_bytes(&m->vectors) > RS_LARGE; }
bool rs_server_model_is_full(const rs_server_model *m) { return !has_room(m, &m->vectors, 1); }

/* A copy with room for 'more' rows and some. */
static rs_status longer(rs_tensor *out, const rs_tensor *t, int64_t more) {
  int64_t size[2] = {t->size[0] + more + t->size[0] / 8 + LEAST_ROOM, t->size[1]};
  rs_status status = rs_tensor_new(out, t->dtype, t->ndim, size);
  if (status != RS_OK) return status;
  memcpy(rs_tensor_data(out), rs_tensor_data(t), (size_t)t->size[0] * row_bytes(t));
  out->size[0] = t->size[0];
  return RS_OK;
}

/* How many values the item's list has, whose values are column i. */
static int64_t pooled(const rs_new_item *item, const rs_server_model *m, int i) {
  int attribute = attribute_of(m, i);
  if (attribute >= 0) return rs_item_attribute_values(m, attribute, item->fields);
  return rs_features_output(&item->features, m->items.outputs[(i - 2) / 3].name)->values.size[0];
}

static rs_status make_room(rs_new_item *item, const rs_server_model *m) {
  item->n_columns = count_columns(m);
  size_t bytes = (size_t)item->n_columns * sizeof *item->columns;
  item->columns = rs_alloc_zero(bytes);
  if (!item->columns) return rs_nomem("item", bytes);
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < item->n_columns; i++) {
    const rs_tensor *t = column(m, i);
    int64_t more = is_pool(m, i) ? pooled(item, m, i) : item->row < 0;
    if (t->storage && !has_room(m, t, more)) status = longer(&item->columns[i], t, more);
  }
  int64_t rows = m->vectors.size[0] + 1;
  /* The index's first room is a copy of it: made here, while others are answered. */
  if (status == RS_OK) status = rs_index_reserve(m->index, rows);
  if (status != RS_OK || rows <= m->titles_capacity) return status;
  item->titles_capacity = rows + rows / 8 + LEAST_ROOM;
  bytes = (size_t)item->titles_capacity * sizeof *item->titles;
  item->titles = rs_alloc_zero(bytes);
  return item->titles ? RS_OK : rs_nomem("item", bytes);
}

/* ---- making ---- */

/* The item's columns as its side reads them. */
static json_t *all_fields(const rs_item *item) {
  json_t *fields = item->fields ? json_copy((json_t *)item->fields) : json_object();
  bool failed = json_object_set_new(fields, "item", json_stringn(item->id, item->id_length)) != 0;
  if (item->title)
    failed |= json_object_set_new(fields, "title", json_stringn(item->title, item->title_length)) != 0;
  if (item->created != RS_TIME_MISSING)
    failed |= json_object_set_new(fields, "created", json_integer(item->created)) != 0;
  if (!failed) return fields;
  json_decref(fields);
  return NULL;
}

static rs_status copy_output(rs_features *to, const rs_output *o) {
  rs_output copy = {.kind = o->kind, .name = rs_strdup(o->name)};
  rs_status status = copy.name ? rs_tensor_copy_of(&copy.values, &o->values) : rs_nomem("item", strlen(o->name));
  if (status == RS_OK && rs_is_list(o)) status = rs_tensor_copy_of(&copy.starts, &o->starts);
  if (status == RS_OK && rs_is_list(o)) status = rs_tensor_copy_of(&copy.lengths, &o->lengths);
  if (status == RS_OK) status = rs_features_add(to, &copy);
  rs_output_free(&copy);
  return status;
}

/* What counts events says of an item that was there what it said before. */
static void keep_counts(rs_new_item *item, const rs_server_model *m) {
  for (int i = 0; item->row >= 0 && i < item->features.n_outputs; i++) {
    rs_output *o = &item->features.outputs[i];
    const rs_output *before = rs_features_output(&m->items, o->name);
    size_t bytes = row_bytes(&o->values);
    if (!rs_encoder_output(m->encoder, RS_ITEM, i).moving || rs_is_list(o)) continue;
    memcpy(rs_tensor_data(&o->values), (char *)rs_tensor_data(&before->values) + (size_t)item->row * bytes, bytes);
  }
}

static rs_status take_fields(rs_new_item *item, const rs_server_model *m, const rs_item *given) {
  item->fields = all_fields(given);
  if (!item->fields) return rs_fail(RS_EARG, "id and title of an item are UTF-8, its fields an object");
  rs_status status = rs_item_attributes_check(m, item->fields);
  size_t bytes = (size_t)rs_item_attribute_codes(m, item->fields) * sizeof *item->codes;
  if (status == RS_OK && !(item->codes = rs_alloc(bytes))) status = rs_nomem("item", bytes);
  return status;
}

static rs_status encode(rs_new_item *item, const rs_server_model *m) {
  rs_row *row = NULL;
  const rs_features *features = NULL;
  rs_status status = rs_row_new(&row, m->encoder, RS_ITEM);
  if (status == RS_OK) status = rs_row_fields(row, item->fields);
  if (status == RS_OK) status = rs_row_run(row, NULL, &features);
  for (int i = 0; status == RS_OK && i < features->n_outputs; i++)
    status = copy_output(&item->features, &features->outputs[i]);
  rs_row_free(row);
  if (status == RS_OK) keep_counts(item, m);
  return status;
}

static bool is_vector(const rs_tensor *t, int64_t width) {
  bool fits = t && t->dtype == RS_F32 && t->ndim == 2 && t->size[0] == 1 && t->size[1] == width;
  for (int64_t i = 0; fits && i < width; i++) fits = isfinite(rs_f32(t)[i]);
  return fits;
}

/* The column of its code, which is that of what is unknown where training did not meet it. */
static rs_status find_column(rs_new_item *item, const rs_server_model *m) {
  const rs_output *codes = rs_features_output(&item->features, m->columns_of);
  rs_status status = rs_tensor_copy_of(&item->vector, &codes->values);
  return status == RS_OK ? rs_columns_check(rs_i32(&item->vector), 1, m->width) : status;
}

static rs_status embed(rs_new_item *item, const rs_server_model *m) {
  static const int64_t first = 0;
  rs_tensors batch = {0}, outputs = {0};
  if (m->columns_of) return find_column(item, m);
  if (!m->item_plan)
    return rs_fail(RS_EFORMAT, "the bundle has no member plan.item.json, which items that come later need: publish the "
                               "model anew");
  rs_status status = rs_features_gather(&item->features, &first, 1, &batch);
  if (status == RS_OK) status = rs_plan_run(m->item_plan, &m->weights, &batch, &outputs);
  const rs_tensor *made = status == RS_OK ? rs_tensors_find(&outputs, "item") : NULL;
  if (made) status = rs_tensor_contiguous(&item->vector, made);
  if (status == RS_OK && !is_vector(&item->vector, m->vectors.size[1]))
    status = rs_fail(RS_EFORMAT, "the item plan gives no finite vector of %lld numbers for the item",
                     (long long)m->vectors.size[1]);
  rs_tensors_free(&batch);
  rs_tensors_free(&outputs);
  return status;
}

static rs_status copy_texts(rs_new_item *item, const rs_item *given) {
  item->id = rs_alloc(given->id_length + 1);
  if (!item->id) return rs_nomem("item", given->id_length);
  memcpy(item->id, given->id, item->id_length = given->id_length);
  if (!given->title) return RS_OK;
  item->title = rs_alloc(sizeof *item->title + given->title_length);
  if (!item->title) return rs_nomem("item", given->title_length);
  item->title->length = given->title_length;
  memcpy(item->title->bytes, given->title, given->title_length);
  return RS_OK;
}

/* All but room. */
static rs_status make(rs_new_item *item, const rs_server_model *m, const rs_item *given) {
  if (given->id_length == 0) return rs_fail(RS_EARG, "an item has an id that is not empty");
  item->created = given->created;
  item->row = rs_server_model_find_item(m, given->id, given->id_length);
  rs_status status = copy_texts(item, given);
  if (status == RS_OK) status = take_fields(item, m, given);
  if (status == RS_OK) status = encode(item, m);
  return status == RS_OK ? embed(item, m) : status;
}

rs_status rs_server_model_check_item(const rs_server_model *m, const rs_item *given) {
  rs_new_item *item = rs_alloc_zero(sizeof *item);
  if (!item) return rs_nomem("item", sizeof *item);
  rs_status status = make(item, m, given);
  rs_new_item_free(item);
  return status;
}

rs_status rs_server_model_make_item(rs_new_item **out, const rs_server_model *m, const rs_item *given) {
  rs_new_item *item = rs_alloc_zero(sizeof *item);
  *out = NULL;
  if (!item) return rs_nomem("item", sizeof *item);
  rs_status status = make(item, m, given);
  if (status == RS_OK) status = make_room(item, m);
  if (status == RS_OK)
    *out = item;
  else
    rs_new_item_free(item);
  return status;
}

void rs_new_item_free(rs_new_item *item) {
  if (!item) return;
  rs_free(item->id);
  rs_free(item->title);
  rs_features_free(&item->features);
  rs_tensor_free(&item->vector);
  for (int i = 0; item->columns && i < item->n_columns; i++) rs_tensor_free(&item->columns[i]);
  rs_free(item->columns);
  rs_free(item->titles);
  json_decref(item->fields);
  rs_free(item->codes);
  rs_free(item);
}

/* ---- putting: nothing fails once the id has its place ---- */

static void take_columns(rs_server_model *m, rs_new_item *item) {
  for (int i = 0; i < item->n_columns; i++) {
    rs_tensor *t = (rs_tensor *)column(m, i), before = *t;
    if (!item->columns[i].storage) continue;
    *t = item->columns[i];
    item->columns[i] = before;
  }
  if (!item->titles) return;
  rs_title **before = m->new_titles;
  if (before) memcpy(item->titles, before, (size_t)m->titles_capacity * sizeof *before);
  m->new_titles = item->titles;
  m->titles_capacity = item->titles_capacity;
  item->titles = before;
}

static void write_row(rs_tensor *t, int64_t row, const void *from) {
  size_t bytes = row_bytes(t);
  memcpy((char *)rs_tensor_data(t) + (size_t)row * bytes, from, bytes);
  if (row >= t->size[0]) t->size[0] = row + 1;
}

/* The values of a row's list behind all others. */
static void write_list(rs_output *o, int64_t row, const rs_output *made) {
  int64_t start = o->values.size[0], n = rs_i32(&made->lengths)[0];
  size_t bytes = row_bytes(&o->values);
  memcpy((char *)rs_tensor_data(&o->values) + (size_t)start * bytes,
         (const char *)rs_tensor_data(&made->values) + (size_t)rs_i64(&made->starts)[0] * bytes, (size_t)n * bytes);
  o->values.size[0] = start + n;
  write_row(&o->starts, row, &start);
  write_row(&o->lengths, row, rs_i32(&made->lengths));
}

static void write_features(rs_server_model *m, int64_t row, const rs_features *made) {
  for (int i = 0; i < m->items.n_outputs; i++) {
    rs_output *o = &m->items.outputs[i];
    const rs_output *from = rs_features_output(made, o->name);
    if (rs_is_list(o))
      write_list(o, row, from);
    else
      write_row(&o->values, row, rs_tensor_data(&from->values));
  }
  if (row >= m->items.rows) m->items.rows = row + 1;
}

rs_status rs_server_model_put_item(rs_server_model *m, rs_new_item *item) {
  int32_t code = 0;
  int64_t row = item->row;
  rs_status status = rs_index_reserve(m->index, m->vectors.size[0] + (row < 0));
  if (status == RS_OK) status = rs_item_attributes_code(m, item->fields, item->codes);
  if (status == RS_OK && row < 0 && !m->new_items) status = rs_dictionary_new(&m->new_items);
  if (status == RS_OK && row < 0) status = rs_dictionary_add(m->new_items, item->id, item->id_length, &code);
  if (status != RS_OK) return status;
  if (row < 0) row = m->vectors.size[0];
  m->identity = rs_server_model_identity();
  take_columns(m, item);
  write_row(&m->vectors, row, rs_tensor_data(&item->vector));
  rs_index_put(m->index, &m->vectors, row);
  if (m->created.storage) write_row(&m->created, row, &item->created);
  write_features(m, row, &item->features);
  rs_item_attributes_write(m, row, item->fields, item->codes);
  rs_title *before = m->new_titles[row];
  m->new_titles[row] = item->title;
  item->title = before;
  if (row < 64 * m->withdrawn_words && rs_bitmap_has(m->withdrawn, row)) {
    rs_bitmap_clear(m->withdrawn, row);
    m->n_withdrawn--;
  }
  if (item->created >= m->as_of && item->created < INT64_MAX) m->as_of = item->created + 1;
  return RS_OK;
}
