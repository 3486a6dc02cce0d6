/* features.c - gathering is the training input path: every output and chunk of rows is a task of one parallel loop;
 * a small batch, as a request makes, opens no parallel region. */
#include "frame/features.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { GRAIN = 1024 };

const rs_output *rs_features_output(const rs_features *f, const char *name) {
  for (int i = 0; i < f->n_outputs; i++)
    if (strcmp(f->outputs[i].name, name) == 0) return &f->outputs[i];
  return NULL;
}

bool rs_is_list(const rs_output *o) { return o->kind == RS_CODE_LIST || o->kind == RS_WEIGHT_LIST; }

void rs_output_free(rs_output *o) {
  if (!o) return;
  rs_free(o->name);
  rs_tensor_free(&o->values);
  rs_tensor_free(&o->starts);
  rs_tensor_free(&o->lengths);
  *o = (rs_output){0};
}

void rs_features_free(rs_features *f) {
  if (!f) return;
  for (int i = 0; i < f->n_outputs; i++) rs_output_free(&f->outputs[i]);
  rs_free(f->outputs);
  *f = (rs_features){0};
}

static bool is(const rs_tensor *t, rs_dtype dtype, int ndim) {
  return t->storage && t->dtype == dtype && t->ndim == ndim && rs_tensor_is_contiguous(t);
}

static rs_status check_slices(const rs_output *o) {
  int64_t n = o->starts.size[0], total = o->values.size[0];
  const int64_t *starts = rs_i64(&o->starts);
  const int32_t *lengths = rs_i32(&o->lengths);
  for (int64_t i = 0; i < n; i++)
    if (starts[i] < 0 || lengths[i] < 0 || starts[i] > total - lengths[i])
      return rs_fail(RS_ERANGE, "features: row %lld of '%s' is %d values from %lld, of %lld", (long long)i, o->name,
                     (int)lengths[i], (long long)starts[i], (long long)total);
  return RS_OK;
}

static rs_status check_output(const rs_output *o) {
  const char *dot = strchr(o->name, '.');
  if (!dot || strchr(dot + 1, '.'))
    return rs_fail(RS_EARG, "features: the output name '%.200s' is not of the form side.feature", o->name);
  bool real = o->kind == RS_NUMBERS || o->kind == RS_WEIGHT_LIST;
  bool good = is(&o->values, real ? RS_F32 : RS_I32, o->kind == RS_NUMBERS ? 2 : 1);
  if (!good)
    return rs_fail(RS_EDTYPE, "features: '%s' holds %s %s", o->name, rs_dtype_name(o->values.dtype),
                   rs_shape(&o->values).text);
  if (!rs_is_list(o)) return RS_OK;
  if (!is(&o->starts, RS_I64, 1) || !is(&o->lengths, RS_I32, 1) || o->starts.size[0] != o->lengths.size[0])
    return rs_fail(RS_EDTYPE, "features: '%s' needs starts i64 [n] and lengths i32 [n]", o->name);
  return check_slices(o);
}

static int64_t rows_of(const rs_output *o) { return rs_is_list(o) ? o->starts.size[0] : o->values.size[0]; }

rs_status rs_features_add(rs_features *f, rs_output *output) {
  rs_status status = check_output(output);
  if (status != RS_OK) return status;
  if (rs_features_output(f, output->name)) return rs_fail(RS_EARG, "features: the name '%s' is taken", output->name);
  if (f->n_outputs > 0 && rows_of(output) != f->rows)
    return rs_fail(RS_ESHAPE, "features: '%s' has %lld rows, the others %lld", output->name, (long long)rows_of(output),
                   (long long)f->rows);
  size_t bytes = (size_t)(f->n_outputs + 1) * sizeof *f->outputs;
  rs_output *outputs = rs_realloc(f->outputs, bytes);
  if (!outputs) return rs_nomem("features", bytes);
  f->outputs = outputs;
  f->rows = rows_of(output);
  f->outputs[f->n_outputs++] = *output;
  *output = (rs_output){0};
  return RS_OK;
}

rs_status rs_features_share(rs_features *out, const rs_features *f) {
  size_t bytes = (size_t)f->n_outputs * sizeof *f->outputs;
  *out = (rs_features){.outputs = rs_alloc_zero(bytes), .rows = f->rows};
  rs_status status = out->outputs ? RS_OK : rs_nomem("features", bytes);
  for (int i = 0; status == RS_OK && i < f->n_outputs; i++) {
    rs_output *o = &out->outputs[out->n_outputs++];
    *o = (rs_output){.kind = f->outputs[i].kind, .name = rs_strdup(f->outputs[i].name)};
    rs_tensor_share(&o->values, &f->outputs[i].values);
    rs_tensor_share(&o->starts, &f->outputs[i].starts);
    rs_tensor_share(&o->lengths, &f->outputs[i].lengths);
    if (!o->name) status = rs_nomem("features", strlen(f->outputs[i].name));
  }
  if (status != RS_OK) rs_features_free(out);
  return status;
}

/* ---- gathering ---- */

/* What one output's rows are copied from and to. */
typedef struct gather_part {
  const rs_output *output;
  char *to;
  const int64_t *offsets; /* list only: where each row's values go */
} gather_part;

typedef struct gather_work {
  const int64_t *rows;
  int64_t n, chunks; /* rows, and chunks of them */
  const gather_part *parts;
} gather_work;

static void gather_codes(const gather_part *p, const int64_t *rows, int64_t begin, int64_t end) {
  const int32_t *from = rs_i32(&p->output->values);
  int32_t *to = (int32_t *)p->to;
  for (int64_t i = begin; i < end; i++) to[i] = from[rows[i]];
}

static void gather_numbers(const gather_part *p, const int64_t *rows, int64_t begin, int64_t end) {
  const float *from = rs_f32(&p->output->values);
  int64_t width = p->output->values.size[1];
  for (int64_t i = begin; i < end; i++)
    memcpy((float *)p->to + i * width, from + rows[i] * width, (size_t)width * sizeof(float));
}

static void gather_slices(const gather_part *p, const int64_t *rows, int64_t begin, int64_t end) {
  enum { SIZE = 4 }; /* of an i32 and of an f32 */
  const char *from = rs_tensor_data(&p->output->values);
  const int64_t *starts = rs_i64(&p->output->starts);
  for (int64_t i = begin; i < end; i++)
    memcpy(p->to + p->offsets[i] * SIZE, from + starts[rows[i]] * SIZE,
           (size_t)(p->offsets[i + 1] - p->offsets[i]) * SIZE);
}

/* Tasks are (output, chunk of rows) pairs, so that one parallel region serves all outputs. */
static void gather_tasks(void *context, int64_t first, int64_t last) {
  const gather_work *w = context;
  for (int64_t task = first; task < last; task++) {
    const gather_part *p = &w->parts[task / w->chunks];
    int64_t begin = task % w->chunks * GRAIN, end = begin + GRAIN < w->n ? begin + GRAIN : w->n;
    if (p->output->kind == RS_CODES) gather_codes(p, w->rows, begin, end);
    if (p->output->kind == RS_NUMBERS) gather_numbers(p, w->rows, begin, end);
    if (rs_is_list(p->output)) gather_slices(p, w->rows, begin, end);
  }
}

/* The batch's tensor for a dense output, still to be filled. */
static rs_status prepare_dense(gather_part *p, int64_t n, rs_tensors *batch) {
  const rs_output *o = p->output;
  rs_tensor t = {0};
  int64_t size[] = {n, o->kind == RS_NUMBERS ? o->values.size[1] : 1};
  rs_status status = rs_tensor_new(&t, o->values.dtype, o->kind == RS_NUMBERS ? 2 : 1, size);
  if (status == RS_OK) status = rs_tensors_add(batch, o->name, &t);
  if (status == RS_OK) p->to = rs_tensor_data(&t);
  rs_tensor_free(&t);
  return status;
}

/* The batch's offsets for a list, and its values still to be filled. */
static rs_status prepare_list(gather_part *p, const int64_t *rows, int64_t n, rs_tensors *batch) {
  const rs_output *o = p->output;
  rs_tensor offsets = {0}, values = {0};
  int64_t size = n + 1;
  rs_status status = rs_tensor_new(&offsets, RS_I64, 1, &size);
  if (status != RS_OK) return status;
  const int32_t *lengths = rs_i32(&o->lengths);
  int64_t *at = rs_i64(&offsets);
  at[0] = 0;
  for (int64_t i = 0; i < n; i++) at[i + 1] = at[i] + lengths[rows[i]];
  status = rs_tensor_new(&values, o->values.dtype, 1, &at[n]);
  if (status == RS_OK) status = rs_tensors_add(batch, o->name, &values);
  if (status == RS_OK) status = rs_tensors_add_part(batch, o->name, "offsets", &offsets);
  p->offsets = at; /* the batch holds both tensors from here on */
  p->to = status == RS_OK ? rs_tensor_data(&values) : NULL;
  rs_tensor_free(&values);
  rs_tensor_free(&offsets);
  return status;
}

static rs_status prepare(const rs_features *f, const int64_t *rows, int64_t n, gather_part *parts, rs_tensors *batch) {
  for (int64_t i = 0; i < n; i++)
    if (rows[i] < 0 || rows[i] >= f->rows)
      return rs_fail(RS_ERANGE, "features: row %lld of %lld", (long long)rows[i], (long long)f->rows);
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < f->n_outputs; i++) {
    parts[i].output = &f->outputs[i];
    bool list = rs_is_list(&f->outputs[i]);
    status = list ? prepare_list(&parts[i], rows, n, batch) : prepare_dense(&parts[i], n, batch);
  }
  return status;
}

rs_status rs_features_gather(const rs_features *f, const int64_t *rows, int64_t n, rs_tensors *batch) {
  size_t bytes = (size_t)f->n_outputs * sizeof(gather_part);
  gather_part *parts = rs_alloc_zero(bytes);
  if (!parts) return rs_nomem("features", bytes);
  rs_status status = prepare(f, rows, n, parts, batch);
  gather_work w = {rows, n, (n + GRAIN - 1) / GRAIN, parts};
  int64_t tasks = w.chunks * f->n_outputs;
  if (status == RS_OK && n > GRAIN)
    rs_parallel_for(tasks, 1, gather_tasks, &w);
  else if (status == RS_OK && n > 0)
    gather_tasks(&w, 0, tasks);
  rs_free(parts);
  return status;
}

/* ---- comparing ---- */

bool rs_output_same(const rs_output *x, const rs_output *y, int64_t i) {
  if (x->kind == RS_CODES) return rs_i32(&x->values)[i] == rs_i32(&y->values)[i];
  if (x->kind == RS_NUMBERS) {
    int64_t width = x->values.size[1];
    return memcmp(rs_f32(&x->values) + i * width, rs_f32(&y->values) + i * width, (size_t)width * sizeof(float)) == 0;
  }
  int32_t n = rs_i32(&x->lengths)[i];
  const char *a = rs_tensor_data(&x->values), *b = rs_tensor_data(&y->values);
  int64_t size = (int64_t)sizeof(int32_t); /* of a code, and of a weight, which is f32 */
  return n == rs_i32(&y->lengths)[i] &&
         (n == 0 || memcmp(a + rs_i64(&x->starts)[i] * size, b + rs_i64(&y->starts)[i] * size, (size_t)(n * size)) == 0);
}

rs_status rs_features_difference(const rs_features *a, const rs_features *b, int64_t *row, const char **name) {
  *row = -1;
  if (a->rows != b->rows || a->n_outputs != b->n_outputs)
    return rs_fail(RS_ESHAPE, "features: %lld rows of %d outputs against %lld of %d", (long long)a->rows, a->n_outputs,
                   (long long)b->rows, b->n_outputs);
  for (int k = 0; k < a->n_outputs; k++) {
    const rs_output *x = &a->outputs[k], *y = rs_features_output(b, x->name);
    if (!y || y->kind != x->kind || (x->kind == RS_NUMBERS && x->values.size[1] != y->values.size[1]))
      return rs_fail(RS_ESHAPE, "features: '%s' is not of the same shape in both", x->name);
    int64_t end = *row < 0 ? a->rows : *row, i = 0;
    while (i < end && rs_output_same(x, y, i)) i++;
    if (i == end) continue;
    *row = i;
    *name = x->name;
  }
  return RS_OK;
}

/* ---- storing ---- */

rs_status rs_features_tensors(const rs_features *f, rs_tensors *out) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < f->n_outputs; i++) {
    const rs_output *o = &f->outputs[i];
    if (!rs_is_list(o)) {
      status = rs_tensors_add(out, o->name, &o->values);
      continue;
    }
    status = rs_tensors_add_part(out, o->name, "values", &o->values);
    if (status == RS_OK) status = rs_tensors_add_part(out, o->name, "starts", &o->starts);
    if (status == RS_OK) status = rs_tensors_add_part(out, o->name, "lengths", &o->lengths);
  }
  return status;
}

/* The tensor called 'name' with its last part replaced by 'suffix'. */
static const rs_tensor *sibling(const rs_tensors *tensors, const char *name, const char *suffix) {
  char full[512];
  int stem = (int)(strrchr(name, '.') - name);
  if (snprintf(full, sizeof full, "%.*s.%s", stem, name, suffix) >= (int)sizeof full) return NULL;
  return rs_tensors_find(tensors, full);
}

/* Add the output that starts with this tensor; "x.starts" and "x.lengths" come with their "x.values". */
static rs_status take_tensor(rs_features *out, const rs_tensors *tensors, const rs_named_tensor *item) {
  const char *first = strchr(item->name, '.'), *last = strrchr(item->name, '.');
  if (!first) return rs_fail(RS_EFORMAT, "features: the tensor '%.200s' names no output", item->name);
  rs_output o = {.kind = item->tensor.dtype == RS_F32 ? RS_NUMBERS : RS_CODES};
  size_t length = strlen(item->name);
  if (first != last) {
    const rs_tensor *starts = sibling(tensors, item->name, "starts");
    const rs_tensor *lengths = sibling(tensors, item->name, "lengths");
    const rs_tensor *values = sibling(tensors, item->name, "values");
    if (!starts || !lengths || !values)
      return rs_fail(RS_EFORMAT, "features: '%.200s' lacks its values, starts or lengths", item->name);
    if (strcmp(last, ".values") != 0)
      return strcmp(last, ".starts") == 0 || strcmp(last, ".lengths") == 0
                 ? RS_OK
                 : rs_fail(RS_EFORMAT, "features: the tensor '%.200s' names no output", item->name);
    o.kind = values->dtype == RS_F32 ? RS_WEIGHT_LIST : RS_CODE_LIST;
    rs_tensor_share(&o.starts, starts);
    rs_tensor_share(&o.lengths, lengths);
    length = (size_t)(last - item->name);
  }
  rs_tensor_share(&o.values, &item->tensor);
  o.name = rs_alloc_zero(length + 1);
  rs_status status = o.name ? RS_OK : rs_nomem("features", length + 1);
  if (status == RS_OK) {
    memcpy(o.name, item->name, length);
    status = rs_features_add(out, &o);
  }
  rs_output_free(&o);
  return status == RS_OK || status == RS_ENOMEM ? status : rs_fail(RS_EFORMAT, "%s", rs_message());
}

rs_status rs_features_from(rs_features *out, const rs_tensors *tensors) {
  rs_status status = RS_OK;
  for (int64_t i = 0; status == RS_OK && i < tensors->n; i++) status = take_tensor(out, tensors, &tensors->items[i]);
  if (status != RS_OK) rs_features_free(out);
  return status;
}
