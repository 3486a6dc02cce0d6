/* csv_table.c - see csv_table.h. */
#include "frame/csv_table.h"

#include <string.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { FIRST_ROWS = 1024, HUGE_PAGE = 2 << 20 };

rs_status rs_csv_table_make(rs_csv_table *t, const rs_csv_plan *plans, int n) {
  t->columns = rs_alloc_zero((size_t)n * sizeof *t->columns);
  if (!t->columns) return rs_nomem("csv", (size_t)n * sizeof *t->columns);
  t->n_columns = n;
  for (int i = 0; i < n; i++) t->columns[i].plan = plans[i];
  return RS_OK;
}

static void target_reset(rs_csv_target *c) {
  rs_csv_words_free(&c->words);
  rs_free(c->cells);
  rs_free(c->lengths);
  rs_free(c->members);
  *c = (rs_csv_target){.plan = c->plan};
}

void rs_csv_table_free(rs_csv_table *t) {
  for (int i = 0; i < t->n_columns; i++) target_reset(&t->columns[i]);
  rs_free(t->columns);
  *t = (rs_csv_table){0};
}

void rs_csv_table_restart(rs_csv_table *t) {
  for (int i = 0; i < t->n_columns; i++) {
    if (t->columns[i].demoted) t->columns[i].plan.type = RS_CSV_STRING;
    target_reset(&t->columns[i]);
  }
  t->rows = t->capacity = 0;
}

bool rs_csv_table_is_spoilt(const rs_csv_table *t) {
  for (int i = 0; i < t->n_columns; i++)
    if (t->columns[i].demoted) return true;
  return false;
}

/* Large arrays in large pages: faults on small ones cost a tenth of the reading. */
static void prefer_large_pages(void *block, size_t bytes) {
  uintptr_t begin = ((uintptr_t)block + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
  uintptr_t end = ((uintptr_t)block + bytes) & ~(uintptr_t)(HUGE_PAGE - 1);
  if (end > begin) madvise((void *)begin, end - begin, MADV_HUGEPAGE);
}

static rs_status resize(void **block, size_t bytes) {
  void *moved = rs_realloc(*block, bytes);
  if (!moved) return rs_nomem("csv", bytes);
  *block = moved;
  prefer_large_pages(moved, bytes);
  return RS_OK;
}

/* Make the arrays of a column as long as the table's capacity. */
static rs_status resize_column(const rs_csv_table *t, rs_csv_target *c) {
  void *lengths = c->lengths;
  rs_status status = resize(&c->cells, (size_t)t->capacity * rs_csv_cell_size(c->plan.type));
  if (status == RS_OK && c->plan.type == RS_CSV_LIST) {
    status = resize(&lengths, (size_t)t->capacity * sizeof *c->lengths);
    c->lengths = lengths;
  }
  return status;
}

rs_status rs_csv_table_expect(rs_csv_table *t, int64_t rows) {
  rs_status status = RS_OK;
  if (rows <= t->capacity) return RS_OK;
  t->capacity = rows;
  for (int i = 0; i < t->n_columns && status == RS_OK; i++)
    if (t->columns[i].cells) status = resize_column(t, &t->columns[i]);
  return status;
}

rs_status rs_csv_placement_make(rs_csv_placement *p, int n_columns) {
  size_t n = (size_t)n_columns;
  p->codes = rs_alloc_zero(n * sizeof *p->codes);
  p->values = rs_alloc_zero(n * sizeof *p->values);
  p->typeless = rs_alloc_zero(n * sizeof *p->typeless);
  return p->codes && p->values && p->typeless ? RS_OK : rs_nomem("csv", n * sizeof *p->codes);
}

void rs_csv_placement_free(rs_csv_placement *p, int n_columns) {
  for (int i = 0; p->codes && i < n_columns; i++) rs_free(p->codes[i]);
  rs_free(p->codes);
  rs_free(p->values);
  rs_free(p->typeless);
  *p = (rs_csv_placement){0};
}

/* Agree on one type for all blocks; a column that had none until now gets its arrays. */
static rs_status settle_type(rs_csv_table *t, rs_csv_target *c, const rs_csv_builder *b) {
  if (b->demoted || (b->plan.type != RS_CSV_INFER && c->plan.type != RS_CSV_INFER && b->plan.type != c->plan.type))
    c->demoted = true;
  if (c->plan.type == RS_CSV_INFER) c->plan.type = b->plan.type;
  if (c->plan.type == RS_CSV_INFER || c->cells) return RS_OK;
  rs_status status = resize_column(t, c);
  if (status == RS_OK) rs_csv_put_missing(c->plan.type, c->cells, c->lengths, 0, t->rows, 0);
  return status;
}

/* Give the texts that are new in the block their codes. */
static rs_status number_texts(rs_csv_target *c, const rs_csv_builder *b, int32_t **codes) {
  int64_t n = rs_csv_words_count(&b->fresh);
  rs_free(*codes);
  *codes = NULL;
  if (n == 0) return RS_OK;
  *codes = rs_alloc((size_t)n * sizeof **codes);
  if (!*codes) return rs_nomem("csv", (size_t)n * sizeof **codes);
  const rs_dictionary *texts = b->fresh.texts;
  for (int64_t i = 0; i < n; i++) {
    const char *text = texts->bytes + texts->offsets[i];
    size_t length = (size_t)(texts->offsets[i + 1] - texts->offsets[i]);
    rs_status status = rs_csv_words_add(&c->words, text, length, rs_csv_words_hash(text, length), &(*codes)[i]);
    if (status != RS_OK) return status;
  }
  return RS_OK;
}

/* Room for the block's list members. */
static rs_status reserve_members(rs_csv_target *c, const rs_csv_builder *b) {
  int64_t needed = c->values + b->values;
  if (needed <= c->values_capacity) return RS_OK;
  int64_t capacity = c->values_capacity + c->values_capacity / 2;
  if (capacity < needed) capacity = needed;
  void *members = c->members;
  rs_status status = resize(&members, (size_t)capacity * sizeof *c->members);
  c->members = members;
  if (status == RS_OK) c->values_capacity = capacity;
  return status;
}

static rs_status commit_column(rs_csv_table *t, int i, const rs_csv_builder *b, rs_csv_placement *p) {
  rs_csv_target *c = &t->columns[i];
  p->typeless[i] = b->plan.type == RS_CSV_INFER;
  rs_status status = settle_type(t, c, b);
  if (status != RS_OK || c->demoted) return status;
  status = number_texts(c, b, &p->codes[i]);
  if (status == RS_OK && c->plan.type == RS_CSV_LIST) status = reserve_members(c, b);
  p->values[i] = c->values;
  if (c->plan.type == RS_CSV_LIST) c->values += b->values;
  return status;
}

rs_status rs_csv_table_commit(rs_csv_table *t, const rs_csv_builder *columns, int64_t rows, rs_csv_placement *p) {
  rs_status status = RS_OK;
  if (t->rows + rows > t->capacity) {
    int64_t capacity = t->capacity + t->capacity / 4 + FIRST_ROWS;
    status = rs_csv_table_expect(t, capacity < t->rows + rows ? t->rows + rows : capacity);
  }
  for (int i = 0; i < t->n_columns && status == RS_OK; i++) status = commit_column(t, i, &columns[i], p);
  p->row = t->rows;
  p->rows = rows;
  if (status == RS_OK) t->rows += rows;
  return status;
}

static void copy_codes(int32_t *to, const int32_t *from, int64_t n, const int32_t *fresh) {
  if (!fresh)
    memcpy(to, from, (size_t)n * sizeof *to);
  else
    for (int64_t i = 0; i < n; i++) to[i] = from[i] < 0 ? fresh[-1 - from[i]] : from[i];
}

static void place_list(rs_csv_target *c, const rs_csv_builder *b, int64_t row, int64_t rows, int64_t values,
                       const int32_t *fresh) {
  int64_t *starts = (int64_t *)c->cells + row;
  for (int64_t i = 0; i < rows; i++) starts[i] = ((const int64_t *)b->cells)[i] + values;
  memcpy(c->lengths + row, b->lengths, (size_t)rows * sizeof *c->lengths);
  if (b->values) copy_codes(c->members + values, b->members, b->values, fresh);
}

void rs_csv_table_place(rs_csv_table *t, const rs_csv_builder *columns, const rs_csv_placement *p) {
  for (int i = 0; i < t->n_columns && p->rows > 0; i++) {
    rs_csv_target *c = &t->columns[i];
    const rs_csv_builder *b = &columns[i];
    if (c->demoted || c->plan.type == RS_CSV_INFER) continue;
    if (p->typeless[i])
      rs_csv_put_missing(c->plan.type, c->cells, c->lengths, p->row, p->row + p->rows, p->values[i]);
    else if (c->plan.type == RS_CSV_STRING)
      copy_codes((int32_t *)c->cells + p->row, b->cells, p->rows, p->codes[i]);
    else if (c->plan.type == RS_CSV_LIST)
      place_list(c, b, p->row, p->rows, p->values[i], p->codes[i]);
    else
      memcpy((int64_t *)c->cells + p->row, b->cells, (size_t)p->rows * sizeof(int64_t));
  }
}

static void free_block(rs_storage *storage) { rs_free(storage->data); }

/* A tensor [n] over a block made by rs_alloc, which it takes over; the block is freed when that fails. */
static rs_status adopt(rs_tensor *out, void **block, rs_dtype dtype, int64_t n) {
  void *data = *block;
  *block = NULL;
  if (!data) return rs_tensor_new(out, dtype, 1, &n);
  size_t bytes = (size_t)n * rs_dtype_size(dtype);
  rs_storage *storage = rs_storage_wrap(data, bytes, true, free_block, NULL);
  if (!storage) {
    rs_free(data);
    return rs_nomem("csv", bytes);
  }
  return rs_tensor_over(out, storage, dtype, 1, &n, 0);
}

static rs_status finish_list(rs_csv_target *c, int64_t rows, rs_column *out) {
  void *lengths = c->lengths, *members = c->members;
  c->lengths = c->members = NULL;
  rs_status status = adopt(&out->starts, &c->cells, RS_I64, rows);
  if (status == RS_OK) status = adopt(&out->lengths, &lengths, RS_I32, rows);
  if (status == RS_OK) status = adopt(&out->values, &members, RS_I32, c->values);
  rs_free(lengths);
  rs_free(members);
  return status;
}

static rs_column_type column_type(rs_csv_type type) {
  switch (type) {
    case RS_CSV_NUMBER: return RS_NUMBER;
    case RS_CSV_STRING: return RS_STRING;
    case RS_CSV_LIST: return RS_LIST;
    default: return RS_TIME;
  }
}

/* Make one column; its texts have their hash table already. */
static rs_status finish_column(rs_csv_table *t, rs_csv_target *c, rs_column *out) {
  static const rs_dtype dtypes[] = {RS_F64, RS_I64, RS_I32, RS_I32};
  rs_status status = RS_OK;
  *out = (rs_column){.type = column_type(c->plan.type)};
  if (!(out->name = rs_strdup(c->plan.name))) return rs_nomem("csv", strlen(c->plan.name));
  out->dictionary = c->words.texts;
  c->words.texts = NULL;
  if ((out->type == RS_STRING || out->type == RS_LIST) && !out->dictionary)
    status = rs_dictionary_new(&out->dictionary);
  if (status == RS_OK)
    status = out->type == RS_LIST ? finish_list(c, t->rows, out)
                                  : adopt(&out->values, &c->cells, dtypes[out->type], t->rows);
  return status;
}

/* A column that never had a value is one of missing strings. */
static rs_status settle_column(rs_csv_table *t, rs_csv_target *c) {
  if (c->plan.type == RS_CSV_INFER) c->plan.type = RS_CSV_STRING;
  if (c->cells) return RS_OK;
  rs_status status = resize_column(t, c);
  if (status == RS_OK) rs_csv_put_missing(c->plan.type, c->cells, c->lengths, 0, t->rows, 0);
  return status;
}

/* Cut arrays that are much longer than the rows that came. */
static rs_status shrink(rs_csv_table *t) {
  rs_status status = RS_OK;
  if (t->capacity <= t->rows + t->rows / 4 + FIRST_ROWS) return RS_OK;
  t->capacity = t->rows;
  for (int i = 0; i < t->n_columns && status == RS_OK; i++)
    if (t->columns[i].cells) status = resize_column(t, &t->columns[i]);
  return status;
}

typedef struct index_work {
  rs_csv_table *table;
  rs_status *statuses;
} index_work;

static void index_columns(void *context, int64_t begin, int64_t end) {
  index_work *w = context;
  for (int64_t i = begin; i < end; i++) {
    rs_dictionary *texts = w->table->columns[i].words.texts;
    rs_free(w->table->columns[i].words.slots);
    w->table->columns[i].words.slots = NULL;
    w->statuses[i] = texts ? rs_dictionary_index(texts) : RS_OK;
  }
}

/* Make the lasting hash tables, all columns at once when that is worth it. */
static rs_status index_texts(rs_csv_table *t) {
  int64_t texts = 0;
  rs_status *statuses = rs_alloc_zero((size_t)t->n_columns * sizeof *statuses), status = RS_OK;
  if (!statuses) return rs_nomem("csv", (size_t)t->n_columns * sizeof *statuses);
  index_work w = {t, statuses};
  for (int i = 0; i < t->n_columns; i++) texts += rs_csv_words_count(&t->columns[i].words);
  if (texts > FIRST_ROWS)
    rs_parallel_for(t->n_columns, 1, index_columns, &w);
  else
    index_columns(&w, 0, t->n_columns);
  for (int i = 0; i < t->n_columns && status == RS_OK; i++)
    if (statuses[i] != RS_OK) status = rs_nomem("dictionary", sizeof(int32_t));
  rs_free(statuses);
  return status;
}

rs_status rs_csv_table_finish(rs_csv_table *t, rs_frame *out) {
  rs_status status = index_texts(t);
  if (status == RS_OK) status = shrink(t);
  for (int i = 0; i < t->n_columns && status == RS_OK; i++) {
    rs_column column = {0};
    status = settle_column(t, &t->columns[i]);
    if (status == RS_OK) status = finish_column(t, &t->columns[i], &column);
    if (status == RS_OK) status = rs_frame_add(out, &column);
    rs_column_free(&column);
  }
  rs_csv_table_free(t);
  return status;
}
