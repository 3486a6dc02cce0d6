/* hnsw_file.c - the index as tensors, and back, believing nothing (hnsw.h). */
#include <math.h>

#include "retrieval/hnsw_parts.h"

enum { FORMAT = 1, PARAMETERS = 10 };
enum { P_FORMAT, P_M, P_EF_CONSTRUCTION, P_SEED, P_CODES, P_DIRECT, P_ROWS, P_WIDTH, P_ENTRY, P_LEVELS };

/* By rs_hnsw_part; the further coordinates are not kept. */
static const char *const names[RS_HNSW_EXTRA] = {"links", "upper.rows", "upper.starts", "upper.links",
                                                 "codes", "scales",     "dead"};
static const rs_dtype dtypes[RS_HNSW_EXTRA] = {RS_I32, RS_I32, RS_I32, RS_I32, RS_U8, RS_F32, RS_I64};

/* What a part of an index of n rows looks like. */
static int shape_of(const rs_hnsw *h, int part, int64_t lists, int64_t size[2]) {
  size[0] = h->index.n;
  size[1] = part == RS_HNSW_LINKS ? 2 * h->options.m : part == RS_HNSW_UPPER_LINKS ? h->options.m : h->index.width;
  if (part == RS_HNSW_UPPER_ROWS) size[0] = h->n_upper;
  if (part == RS_HNSW_UPPER_STARTS) size[0] = h->n_upper + 1;
  if (part == RS_HNSW_UPPER_LINKS) size[0] = lists;
  if (part == RS_HNSW_DEAD) size[0] = rs_bitmap_words(h->index.n);
  return part == RS_HNSW_LINKS || part == RS_HNSW_UPPER_LINKS || part == RS_HNSW_CODES ? 2 : 1;
}

/* ---- Saving ---- */

static rs_status add_numbers(const rs_hnsw *h, rs_tensors *out) {
  const rs_hnsw_options *o = &h->options;
  const int64_t numbers[PARAMETERS] = {FORMAT,    o->m,       o->ef_construction, o->seed,  o->codes,
                                       o->direct, h->index.n, h->index.width,     h->entry, h->levels};
  rs_tensor parameters = {0}, bound = {0};
  rs_status status = rs_tensor_new(&parameters, RS_I64, 1, (int64_t[]){PARAMETERS});
  if (status == RS_OK) status = rs_tensor_new(&bound, RS_F32, 1, (int64_t[]){1});
  if (status == RS_OK) {
    memcpy(rs_i64(&parameters), numbers, sizeof numbers);
    rs_f32(&bound)[0] = h->bound;
    status = rs_tensors_add(out, "parameters", &parameters);
  }
  if (status == RS_OK) status = rs_tensors_add(out, "bound", &bound);
  rs_tensor_free(&parameters);
  rs_tensor_free(&bound);
  return status;
}

rs_status rs_hnsw_save(const rs_hnsw *h, rs_tensors *out) {
  rs_status status = add_numbers(h, out);
  for (int i = 0; status == RS_OK && i < RS_HNSW_EXTRA; i++) {
    if (!h->parts[i].storage || (i == RS_HNSW_DEAD && h->n_dead == 0)) continue;
    int64_t size[2];
    rs_tensor part = {0};
    shape_of(h, i, h->upper_starts[h->n_upper], size);
    status = rs_tensor_narrow(&part, &h->parts[i], 0, 0, size[0]);
    if (status == RS_OK) status = rs_tensors_add(out, names[i], &part);
    rs_tensor_free(&part);
  }
  return status;
}

/* ---- Opening ---- */

static rs_status bad(const char *trouble) { return rs_fail(RS_EFORMAT, "the index %s", trouble); }

static const rs_tensor *find(const rs_tensors *tensors, const char *name, rs_dtype dtype, int ndim) {
  const rs_tensor *t = rs_tensors_find(tensors, name);
  return t && t->dtype == dtype && t->ndim == ndim && rs_tensor_is_contiguous(t) ? t : NULL;
}

static rs_status take_numbers(const rs_tensors *tensors, rs_hnsw_options *options, const int64_t **numbers) {
  const rs_tensor *t = find(tensors, "parameters", RS_I64, 1);
  if (!t || t->size[0] < 1) return bad("has no parameters");
  *numbers = rs_i64(t);
  if ((*numbers)[P_FORMAT] != FORMAT)
    return rs_fail(RS_EFORMAT, "the index has format %lld; this recsys-run reads format %d: build it anew",
                   (long long)(*numbers)[P_FORMAT], FORMAT);
  if (t->size[0] != PARAMETERS) return bad("has another number of parameters");
  *options = (rs_hnsw_options){(*numbers)[P_M], (*numbers)[P_EF_CONSTRUCTION], (*numbers)[P_SEED],
                               (*numbers)[P_CODES] != 0, (*numbers)[P_DIRECT] != 0};
  if (options->m < 2 || options->m > RS_HNSW_M_LIMIT || options->ef_construction < 1 ||
      options->ef_construction > RS_HNSW_EF_LIMIT)
    return bad("has parameters that no index has");
  return RS_OK;
}

static rs_status take_part(rs_hnsw *h, const rs_tensors *tensors, int part, int64_t lists) {
  int64_t size[2];
  int ndim = shape_of(h, part, lists, size);
  const rs_tensor *t = find(tensors, names[part], dtypes[part], ndim);
  if (!t && part == RS_HNSW_DEAD && !rs_tensors_find(tensors, names[part])) return RS_OK;
  if (!t || t->size[0] != size[0] || (ndim == 2 && t->size[1] != size[1]))
    return rs_fail(RS_EFORMAT, "the index has no '%s' of the right shape", names[part]);
  rs_tensor_share(&h->parts[part], t);
  return RS_OK;
}

/* The upper nodes, which are few, are checked now: their rows exist, and their lists lie inside. */
static rs_status take_upper(rs_hnsw *h, const rs_tensors *tensors) {
  const rs_tensor *rows = find(tensors, "upper.rows", RS_I32, 1), *starts = find(tensors, "upper.starts", RS_I32, 1);
  if (!rows || !starts || starts->size[0] != rows->size[0] + 1) return bad("has no upper nodes");
  h->n_upper = rows->size[0];
  const int32_t *at = rs_i32(starts);
  if (h->n_upper > h->index.n || at[0] != 0) return bad("has upper nodes that overlap");
  for (int64_t i = 0; i < h->n_upper; i++) {
    if (at[i + 1] < at[i]) return bad("has upper nodes that overlap");
    if (rs_i32(rows)[i] < 0 || rs_i32(rows)[i] >= h->index.n) return bad("has an upper node of no row");
  }
  for (int part = RS_HNSW_LINKS; part <= RS_HNSW_UPPER_LINKS; part++) {
    rs_status status = take_part(h, tensors, part, at[h->n_upper]);
    if (status != RS_OK) return status;
  }
  return RS_OK;
}

static rs_status take_codes(rs_hnsw *h, const rs_tensors *tensors) {
  if (!h->options.codes) return RS_OK;
  rs_status status = take_part(h, tensors, RS_HNSW_CODES, 0);
  if (status == RS_OK) status = take_part(h, tensors, RS_HNSW_SCALES, 0);
  const float *scales = status == RS_OK ? rs_f32(&h->parts[RS_HNSW_SCALES]) : NULL;
  for (int64_t i = 0; scales && i < h->index.n; i++)
    if (!(scales[i] >= 0 && isfinite(scales[i]))) return bad("has a scale that is none");
  return status;
}

static rs_status take_dead(rs_hnsw *h, const rs_tensors *tensors) {
  rs_status status = take_part(h, tensors, RS_HNSW_DEAD, 0);
  if (status != RS_OK || !h->parts[RS_HNSW_DEAD].storage) return status;
  const uint64_t *dead = (const uint64_t *)rs_i64(&h->parts[RS_HNSW_DEAD]);
  int64_t words = rs_bitmap_words(h->index.n);
  if (words > 0 && dead[words - 1] & ~rs_bitmap_word_of(h->index.n, words - 1)) return bad("has deleted rows it lacks");
  h->n_dead = rs_bitmap_count(dead, h->index.n);
  return RS_OK;
}

static rs_status fill(rs_hnsw *h, const rs_tensors *tensors, const int64_t *numbers) {
  const rs_tensor *bound = find(tensors, "bound", RS_F32, 1);
  if (numbers[P_ROWS] != h->vectors.size[0] || numbers[P_WIDTH] != h->index.width)
    return rs_fail(RS_EFORMAT, "the index is of %lld vectors of %lld numbers, not of [%lld, %lld]: build it anew",
                   (long long)numbers[P_ROWS], (long long)numbers[P_WIDTH], (long long)h->vectors.size[0],
                   (long long)h->index.width);
  if (!bound || bound->size[0] != 1 || !(rs_f32(bound)[0] >= 0 && isfinite(rs_f32(bound)[0])))
    return bad("has no bound");
  h->index.n = numbers[P_ROWS];
  h->bound = rs_f32(bound)[0];
  rs_status status = take_upper(h, tensors);
  if (status == RS_OK) status = take_codes(h, tensors);
  if (status == RS_OK) status = take_dead(h, tensors);
  if (status != RS_OK) return status;
  bool empty = h->index.n == 0, inside = numbers[P_ENTRY] >= 0 && numbers[P_ENTRY] < h->n_upper;
  if (empty ? h->n_upper > 0 : !inside || numbers[P_LEVELS] < 1 || numbers[P_LEVELS] > RS_HNSW_LEVELS)
    return bad("has no node to begin from");
  h->entry = empty ? -1 : (int32_t)numbers[P_ENTRY];
  h->levels = empty ? 0 : (int32_t)numbers[P_LEVELS];
  rs_hnsw_look(h);
  return RS_OK;
}

rs_status rs_hnsw_open(rs_hnsw **out, const rs_tensors *tensors, const rs_tensor *vectors) {
  rs_hnsw_options options;
  const int64_t *numbers = NULL;
  *out = NULL;
  rs_status status = take_numbers(tensors, &options, &numbers);
  if (status == RS_OK) status = rs_hnsw_new(out, vectors, &options);
  if (status != RS_OK) return status;
  status = fill(*out, tensors, numbers);
  if (status == RS_OK) return RS_OK;
  rs_hnsw_free(*out);
  *out = NULL;
  return status;
}
