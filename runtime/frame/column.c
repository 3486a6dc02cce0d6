/* column.c - see column.h. */
#include "frame/column.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { GRAIN = 1 << 16 };

static const char *const type_names[] = {"number", "time", "string", "list"};

const char *rs_column_type_name(rs_column_type type) { return type_names[type]; }

rs_status rs_column_type_named(rs_column_type *out, const char *name) {
  for (int i = 0; i < 4; i++)
    if (strcmp(type_names[i], name) == 0) {
      *out = (rs_column_type)i;
      return RS_OK;
    }
  return rs_fail(RS_EARG, "no column type is called '%s': number, time, string or list", name);
}

void rs_column_free(rs_column *c) {
  if (!c) return;
  rs_free(c->name);
  rs_tensor_free(&c->values);
  rs_tensor_free(&c->starts);
  rs_tensor_free(&c->lengths);
  rs_dictionary_release(c->dictionary);
  *c = (rs_column){0};
}

int64_t rs_column_rows(const rs_column *c) { return c->type == RS_LIST ? c->starts.size[0] : c->values.size[0]; }

/* A column without values yet, that shares the dictionary of 'c'. */
static rs_status begin_like(rs_column *out, const rs_column *c, const char *name) {
  *out = (rs_column){.type = c->type};
  out->name = rs_strdup(name ? name : c->name);
  if (!out->name) return rs_nomem("column", strlen(name ? name : c->name));
  if (c->dictionary) {
    rs_dictionary_retain(c->dictionary);
    out->dictionary = c->dictionary;
  }
  return RS_OK;
}

rs_status rs_column_share(rs_column *out, const rs_column *c, const char *name) {
  rs_status status = begin_like(out, c, name);
  if (status != RS_OK) return status;
  rs_tensor_share(&out->values, &c->values);
  if (c->type == RS_LIST) {
    rs_tensor_share(&out->starts, &c->starts);
    rs_tensor_share(&out->lengths, &c->lengths);
  }
  return RS_OK;
}

typedef struct take_work {
  const int64_t *rows;
  const void *from;
  void *to;
  int64_t limit;   /* rows in 'from' */
  int64_t missing; /* the bits for row -1 */
} take_work;

static void take_wide(void *context, int64_t begin, int64_t end) {
  take_work *w = context;
  const int64_t *from = w->from;
  int64_t *to = w->to;
  for (int64_t i = begin; i < end; i++) {
    assert(w->rows[i] >= -1 && w->rows[i] < w->limit);
    to[i] = w->rows[i] < 0 ? w->missing : from[w->rows[i]];
  }
}

static void take_narrow(void *context, int64_t begin, int64_t end) {
  take_work *w = context;
  const int32_t *from = w->from;
  int32_t *to = w->to;
  for (int64_t i = begin; i < end; i++) {
    assert(w->rows[i] >= -1 && w->rows[i] < w->limit);
    to[i] = w->rows[i] < 0 ? 0 : from[w->rows[i]];
  }
}

static rs_status take_tensor(rs_tensor *out, const rs_tensor *t, const int64_t *rows, int64_t n, int64_t missing) {
  rs_status status = rs_tensor_new(out, t->dtype, 1, &n);
  if (status != RS_OK) return status;
  take_work w = {rows, rs_tensor_data(t), rs_tensor_data(out), t->size[0], missing};
  rs_body *body = rs_dtype_size(t->dtype) == 8 ? take_wide : take_narrow;
  if (n <= GRAIN)
    body(&w, 0, n); /* waking the threads would cost more */
  else
    rs_parallel_for(n, GRAIN, body, &w);
  return RS_OK;
}

static int64_t missing_bits(rs_column_type type) {
  double nan = NAN;
  int64_t bits = 0;
  if (type == RS_NUMBER) memcpy(&bits, &nan, sizeof bits);
  return type == RS_TIME ? RS_TIME_MISSING : bits;
}

rs_status rs_column_take(rs_column *out, const rs_column *c, const int64_t *rows, int64_t n) {
  rs_status status = begin_like(out, c, NULL);
  if (status == RS_OK && c->type != RS_LIST)
    status = take_tensor(&out->values, &c->values, rows, n, missing_bits(c->type));
  if (status == RS_OK && c->type == RS_LIST) {
    rs_tensor_share(&out->values, &c->values);
    status = take_tensor(&out->starts, &c->starts, rows, n, 0);
    if (status == RS_OK) status = take_tensor(&out->lengths, &c->lengths, rows, n, 0);
  }
  if (status != RS_OK) rs_column_free(out);
  return status;
}

const rs_column *rs_frame_column(const rs_frame *f, const char *name) {
  for (int i = 0; i < f->n_columns; i++)
    if (strcmp(f->columns[i].name, name) == 0) return &f->columns[i];
  return NULL;
}

rs_status rs_frame_add(rs_frame *f, rs_column *column) {
  if (rs_frame_column(f, column->name)) return rs_fail(RS_EARG, "frame: there is already a column '%s'", column->name);
  int64_t rows = rs_column_rows(column);
  if (f->n_columns > 0 && rows != f->rows)
    return rs_fail(RS_ESHAPE, "frame: column '%s' has %lld rows, the others have %lld", column->name, (long long)rows,
                   (long long)f->rows);
  size_t bytes = (size_t)(f->n_columns + 1) * sizeof *f->columns;
  rs_column *columns = rs_realloc(f->columns, bytes);
  if (!columns) return rs_nomem("frame", bytes);
  f->columns = columns;
  f->columns[f->n_columns++] = *column;
  f->rows = rows;
  *column = (rs_column){0};
  return RS_OK;
}

void rs_frame_free(rs_frame *f) {
  if (!f) return;
  for (int i = 0; i < f->n_columns; i++) rs_column_free(&f->columns[i]);
  rs_free(f->columns);
  *f = (rs_frame){0};
}
