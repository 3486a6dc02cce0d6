/* hnsw_build.c - a new index: codes, levels, and rounds of rows. */
#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "retrieval/hnsw_round.h"

/* Rows of a round: a 32nd of what there is, so that few miss each other, which the products among a round's rows, half
 * of the round for each, make up for. */
enum { LEAST = 64, MOST = 512, SHARE = 32 };

static const rs_dtype dtypes[RS_HNSW_PARTS] = {RS_I32, RS_I32, RS_I32, RS_I32, RS_U8, RS_F32, RS_I64, RS_F32};

void rs_hnsw_look(rs_hnsw *h) {
  void *data[RS_HNSW_PARTS];
  for (int i = 0; i < RS_HNSW_PARTS; i++) data[i] = h->parts[i].storage ? rs_tensor_data(&h->parts[i]) : NULL;
  h->links = data[RS_HNSW_LINKS];
  h->upper_rows = data[RS_HNSW_UPPER_ROWS];
  h->upper_starts = data[RS_HNSW_UPPER_STARTS];
  h->upper_links = data[RS_HNSW_UPPER_LINKS];
  h->scales = data[RS_HNSW_SCALES];
  h->dead = data[RS_HNSW_DEAD];
  h->extra = data[RS_HNSW_EXTRA];
  h->rows = h->options.codes ? data[RS_HNSW_CODES] : rs_tensor_data(&h->vectors);
}

/* ---- Rows ---- */

static double norm2(const float *x, int64_t width) {
  double sum = 0;
  for (int64_t i = 0; i < width; i++) sum += (double)x[i] * x[i];
  return sum;
}

void rs_hnsw_extra_of(const rs_hnsw *h, const float *vectors, int64_t n, float *extra) {
  int64_t width = h->index.width;
  double most = (double)h->bound * h->bound;
  for (int64_t i = 0; i < n; i++) extra[i] = (float)sqrt(fmax(0, most - norm2(vectors + i * width, width)));
}

void rs_hnsw_codes_of(const float *vectors, int64_t n, int64_t width, int8_t *codes, float *scales) {
  for (int64_t i = 0; i < n; i++, vectors += width, codes += width) {
    float most = 0;
    for (int64_t j = 0; j < width; j++) most = fmaxf(most, fabsf(vectors[j]));
    float times = most > 0 ? 127 / most : 0;
    if (!isfinite(times)) times = 0;
    for (int64_t j = 0; j < width; j++) codes[j] = (int8_t)lrintf(vectors[j] * times);
    scales[i] = times > 0 ? most / 127 : 0;
  }
}

typedef struct rows_job {
  rs_hnsw *h;
  const float *vectors;
  double *lengths; /* [chunks] sums of squared lengths */
} rows_job;

enum { CHUNK = 4096 };

static void measure(void *context, int64_t begin, int64_t end) {
  rows_job *job = context;
  double sum = 0;
  int64_t width = job->h->index.width;
  for (int64_t i = begin; i < end; i++) sum += norm2(job->vectors + i * width, width);
  job->lengths[begin / CHUNK] = sum;
}

static void prepare_rows(void *context, int64_t begin, int64_t end) {
  rows_job *job = context;
  rs_hnsw *h = job->h;
  int64_t width = h->index.width, n = end - begin;
  const float *vectors = job->vectors + begin * width;
  if (h->extra) rs_hnsw_extra_of(h, vectors, n, rs_f32(&h->parts[RS_HNSW_EXTRA]) + begin);
  if (h->options.codes)
    rs_hnsw_codes_of(vectors, n, width, (int8_t *)rs_u8(&h->parts[RS_HNSW_CODES]) + begin * width,
                     rs_f32(&h->parts[RS_HNSW_SCALES]) + begin);
}

/* The root of the mean squared length; refuses what is not finite. */
static rs_status find_bound(rs_hnsw *h, int64_t n) {
  int64_t chunks = n / CHUNK + 1;
  rows_job job = {h, rs_f32(&h->vectors), rs_alloc_zero((size_t)chunks * sizeof(double))};
  if (!job.lengths) return rs_nomem("index", (size_t)chunks * sizeof(double));
  rs_parallel_for(n, CHUNK, measure, &job);
  double sum = 0;
  for (int64_t i = 0; i < chunks; i++) sum += job.lengths[i];
  rs_free(job.lengths);
  h->bound = n > 0 ? (float)sqrt(sum / (double)n) : 0;
  if (!isfinite(h->bound)) return rs_fail(RS_ENUMERIC, "index: a vector has a NaN, an infinity or no finite length");
  return RS_OK;
}

/* ---- Parts ---- */

rs_status rs_hnsw_check(const rs_tensor *vectors, rs_hnsw_options *options) {
  if (options->m == 0) options->m = RS_HNSW_M;
  if (options->ef_construction == 0) options->ef_construction = RS_HNSW_EF_CONSTRUCTION;
  if (options->m < 2 || options->m > RS_HNSW_M_LIMIT)
    return rs_fail(RS_EARG, "index: M is %lld; 2 to %d are served", (long long)options->m, RS_HNSW_M_LIMIT);
  if (options->ef_construction < 1 || options->ef_construction > RS_HNSW_EF_LIMIT)
    return rs_fail(RS_EARG, "index: ef_construction is %lld; 1 to %d are served", (long long)options->ef_construction,
                   RS_HNSW_EF_LIMIT);
  if (vectors->dtype != RS_F32)
    return rs_fail(RS_EDTYPE, "index: items are %s; f32 expected", rs_dtype_name(vectors->dtype));
  if (vectors->ndim != 2 || vectors->size[1] < 1 || vectors->size[0] > INT32_MAX || !rs_tensor_is_contiguous(vectors))
    return rs_fail(RS_ESHAPE, "index: items are %s; contiguous [items, width] of at most 2147483647 items expected",
                   rs_shape(vectors).text);
  if (options->codes && vectors->size[1] > RS_HNSW_WIDTH_LIMIT)
    return rs_fail(RS_ESHAPE, "index: vectors of %lld numbers; codes are served up to %d", (long long)vectors->size[1],
                   RS_HNSW_WIDTH_LIMIT);
  return RS_OK;
}

rs_status rs_hnsw_new(rs_hnsw **out, const rs_tensor *vectors, const rs_hnsw_options *options) {
  rs_hnsw_options asked = *options;
  *out = NULL;
  rs_status status = rs_hnsw_check(vectors, &asked);
  if (status != RS_OK) return status;
  rs_hnsw *h = rs_alloc_zero(sizeof *h);
  if (!h) return rs_nomem("index", sizeof *h);
  h->options = asked;
  h->kernels = rs_hnsw_kernels_best();
  h->index = (rs_index){&rs_hnsw_engine, 0, vectors->size[1]};
  h->entry = -1;
  rs_tensor_share(&h->vectors, vectors);
  *out = h;
  return RS_OK;
}

void rs_hnsw_free(rs_hnsw *h) {
  if (!h) return;
  rs_tensor_free(&h->vectors);
  for (int i = 0; i < RS_HNSW_PARTS; i++) rs_tensor_free(&h->parts[i]), rs_tensor_free(&h->next[i]);
  if (h->round) rs_hnsw_round_free(h->round);
  rs_free(h->round);
  rs_free(h);
}

rs_status rs_hnsw_make_parts(const rs_hnsw *h, rs_tensor parts[RS_HNSW_PARTS], int64_t rows, int64_t upper,
                             int64_t lists) {
  int64_t m = h->options.m;
  const int64_t sizes[RS_HNSW_PARTS][2] = {[RS_HNSW_LINKS] = {rows, 2 * m},
                                           [RS_HNSW_UPPER_ROWS] = {upper},
                                           [RS_HNSW_UPPER_STARTS] = {upper + 1},
                                           [RS_HNSW_UPPER_LINKS] = {lists, m},
                                           [RS_HNSW_CODES] = {rows, h->index.width},
                                           [RS_HNSW_SCALES] = {rows},
                                           [RS_HNSW_DEAD] = {rs_bitmap_words(rows)},
                                           [RS_HNSW_EXTRA] = {rows}};
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < RS_HNSW_PARTS; i++) {
    bool coded = i == RS_HNSW_CODES || i == RS_HNSW_SCALES;
    if ((coded && !h->options.codes) || (i == RS_HNSW_EXTRA && h->options.direct)) continue;
    status = rs_tensor_new(&parts[i], dtypes[i], sizes[i][1] > 0 ? 2 : 1, sizes[i]);
  }
  return status;
}

/* ---- Rounds ---- */

static int64_t round_size(int64_t n) { return n / SHARE < LEAST ? LEAST : n / SHARE > MOST ? MOST : n / SHARE; }

/* What all rows need together, and the most lists of a round. */
typedef struct sizes {
  int64_t upper, lists, most;
} sizes;

static sizes count_lists(const rs_hnsw *h, int64_t rows) {
  sizes all = {0};
  for (int64_t first = 0; first < rows;) {
    int64_t n = round_size(first), mine = 0;
    if (n > rows - first) n = rows - first;
    for (int64_t i = first; i < first + n; i++) {
      int32_t level = rs_hnsw_level_of(&h->options, i);
      all.upper += level > 0;
      all.lists += level;
      mine += 1 + level;
    }
    if (mine > all.most) all.most = mine;
    first += n;
  }
  return all;
}

static rs_status run_rounds(rs_hnsw *h, int64_t rows, int64_t lists) {
  rs_hnsw_round r;
  rs_status status = rs_hnsw_round_new(&r, h, MOST, lists, rows);
  while (status == RS_OK && h->index.n < rows) {
    int64_t first = h->index.n, n = round_size(first);
    rs_hnsw_round_levels(&r, first, n < rows - first ? n : rows - first);
    rs_hnsw_round_run(&r);
    rs_hnsw_round_apply(&r);
  }
  rs_hnsw_round_free(&r);
  return status;
}

rs_status rs_hnsw_build(rs_hnsw **out, const rs_tensor *vectors, const rs_hnsw_options *options) {
  rs_status status = rs_hnsw_new(out, vectors, options);
  if (status != RS_OK) return status;
  rs_hnsw *h = *out;
  int64_t rows = vectors->size[0];
  status = find_bound(h, rows);
  sizes all = count_lists(h, rows);
  if (status == RS_OK) status = rs_hnsw_make_parts(h, h->parts, rows, all.upper, all.lists);
  if (status == RS_OK) {
    rows_job job = {.h = h, .vectors = rs_f32(vectors)};
    rs_tensor_free(&h->parts[RS_HNSW_DEAD]);
    rs_hnsw_look(h);
    h->upper_starts[0] = 0;
    rs_parallel_for(rows, CHUNK, prepare_rows, &job);
    status = run_rounds(h, rows, all.most);
  }
  rs_tensor_free(&h->parts[RS_HNSW_EXTRA]);
  h->extra = NULL;
  if (status == RS_OK) return RS_OK;
  rs_hnsw_free(h);
  *out = NULL;
  return status;
}

/* ---- Other vectors ---- */

/* What is made of the vectors: codes and scales; coordinates that rows are linked by are made as room is (hnsw_change.c). */
static rs_status make_codes(rs_hnsw *h) {
  rows_job job = {.h = h, .vectors = rs_f32(&h->vectors)};
  if (!h->options.codes) return RS_OK;
  rs_status status = rs_tensor_new(&h->parts[RS_HNSW_CODES], RS_U8, 2, (int64_t[]){h->index.n, h->index.width});
  if (status == RS_OK) status = rs_tensor_new(&h->parts[RS_HNSW_SCALES], RS_F32, 1, &h->index.n);
  if (status == RS_OK) rs_parallel_for(h->index.n, CHUNK, prepare_rows, &job);
  return status;
}

rs_status rs_hnsw_over(rs_hnsw **out, const rs_hnsw *h, const rs_tensor *vectors) {
  static const rs_hnsw_part shared[] = {RS_HNSW_LINKS, RS_HNSW_UPPER_ROWS, RS_HNSW_UPPER_STARTS, RS_HNSW_UPPER_LINKS,
                                        RS_HNSW_DEAD};
  *out = NULL;
  if (vectors->ndim != 2 || vectors->size[0] != h->index.n || vectors->size[1] != h->index.width)
    return rs_fail(RS_ESHAPE, "index: vectors are %s; those of %lld rows of %lld numbers expected",
                   rs_shape(vectors).text, (long long)h->index.n, (long long)h->index.width);
  rs_status status = rs_hnsw_new(out, vectors, &h->options);
  if (status != RS_OK) return status;
  rs_hnsw *next = *out;
  for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
    if (h->parts[shared[i]].storage) rs_tensor_share(&next->parts[shared[i]], &h->parts[shared[i]]);
  next->n_upper = h->n_upper, next->entry = h->entry, next->levels = h->levels, next->n_dead = h->n_dead;
  status = find_bound(next, h->index.n);
  next->index.n = h->index.n;
  if (status == RS_OK) status = make_codes(next);
  rs_hnsw_look(next);
  if (status == RS_OK) return RS_OK;
  rs_hnsw_free(next);
  *out = NULL;
  return status;
}
