/* pieces.c - row-sparse gradients: sort the codes, sum segments.
 *
 * A stable radix sort brings equal codes together in the order in which they were used. The sorted positions are
 * cut into chunks of fixed size; a chunk sums its own part of each segment, and a segment that crosses chunks is
 * added up in their order. So the sums depend neither on threads nor on how many rows share a code. */
#ifndef REAL
#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"
#include "base/prefetch.h"

enum { CHUNK = 1024, DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };

/* One use of a code. */
typedef struct use {
  int32_t code;
  int32_t piece;
  int32_t position; /* within the piece */
} use;

/* A piece as plain memory. */
typedef struct source {
  const void *rows, *weight;
  const int32_t *row;
} source;

typedef struct merge_context {
  const source *sources;
  const use *uses;        /* [m], sorted by code */
  const int32_t *segment; /* [m], which distinct code */
  void *rows;             /* [k, d] */
  void *carry;            /* [chunks, d]: what a chunk adds to a segment begun before it */
  int64_t d, m;
} merge_context;

#define KERNELS "autograd/pieces.c"
#include "autograd/each_real.h"

/* Sort by one digit of the code. */
static void sort_digit(use *to, const use *from, int64_t m, int shift) {
  int64_t start[DIGITS] = {0}, sum = 0;
  for (int64_t i = 0; i < m; i++) start[(from[i].code >> shift) & (DIGITS - 1)]++;
  for (int v = 0; v < DIGITS; v++) {
    int64_t count = start[v];
    start[v] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < m; i++) to[start[(from[i].code >> shift) & (DIGITS - 1)]++] = from[i];
}

/* Stable sort of 'uses' with as much scratch behind them; returns where the result is. */
static use *sort_uses(use *uses, int64_t m, int32_t largest) {
  use *from = uses, *to = uses + m;
  for (int shift = 0; shift < 31 && largest >> shift; shift += DIGIT_BITS) {
    sort_digit(to, from, m, shift);
    use *swap = from;
    from = to;
    to = swap;
  }
  return from;
}

/* List all uses and sources in order; the largest code. */
static int32_t list_uses(use *uses, source *sources, const rs_piece *pieces, int n_pieces) {
  int32_t largest = 0;
  for (int p = 0; p < n_pieces; p++) {
    sources[p] = (source){.rows = rs_tensor_data(&pieces[p].rows)};
    if (pieces[p].row.storage) sources[p].row = rs_i32(&pieces[p].row);
    if (pieces[p].weight.storage) sources[p].weight = rs_tensor_data(&pieces[p].weight);
    const int32_t *codes = rs_i32(&pieces[p].codes);
    int64_t m = rs_tensor_count(&pieces[p].codes);
    for (int64_t i = 0; i < m; i++) {
      *uses++ = (use){codes[i], p, (int32_t)i};
      if (codes[i] > largest) largest = codes[i];
    }
  }
  return largest;
}

/* Number the distinct codes; their count. */
static int64_t number_segments(int32_t *segment, const use *uses, int64_t m) {
  int64_t k = 0;
  for (int64_t i = 0; i < m; i++) {
    if (i == 0 || uses[i].code != uses[i - 1].code) k++;
    segment[i] = (int32_t)(k - 1);
  }
  return k;
}

static rs_status sum_segments(rs_tensor *codes, rs_tensor *rows, merge_context *c, int64_t m, int64_t k,
                              rs_dtype dtype) {
  int64_t chunks = (m + CHUNK - 1) / CHUNK;
  rs_tensor carry = {0};
  rs_status status = rs_tensor_new(codes, RS_I32, 1, &k);
  if (status == RS_OK) status = rs_tensor_new(rows, dtype, 2, (int64_t[]){k, c->d});
  if (status == RS_OK) status = rs_tensor_new(&carry, dtype, 2, (int64_t[]){chunks, c->d});
  if (status == RS_OK) {
    c->rows = rs_tensor_data(rows);
    c->carry = rs_tensor_data(&carry);
    for (int64_t i = 0; i < m; i++) rs_i32(codes)[c->segment[i]] = c->uses[i].code;
    rs_each(m, CHUNK, RS_BODY(dtype, sum_uses), c);
    RS_CALL(dtype, add_carry, (c, m));
  }
  rs_tensor_free(&carry);
  return status;
}

rs_status rs_pieces_merge(rs_tensor *codes, rs_tensor *rows, const rs_piece *pieces, int n_pieces, rs_dtype dtype,
                          int64_t width) {
  int64_t m = 0;
  for (int p = 0; p < n_pieces; p++) m += rs_tensor_count(&pieces[p].codes);
  if (m > INT32_MAX) return rs_fail(RS_ERANGE, "gradient: %lld codes in one step", (long long)m);
  use *uses = rs_alloc((size_t)m * 2 * sizeof *uses);
  int32_t *segment = rs_alloc((size_t)m * sizeof *segment);
  source *sources = rs_alloc((size_t)n_pieces * sizeof *sources);
  rs_status status = RS_OK;
  if (uses && segment && sources) {
    use *sorted = sort_uses(uses, m, list_uses(uses, sources, pieces, n_pieces));
    merge_context context = {.sources = sources, .uses = sorted, .segment = segment, .d = width, .m = m};
    status = sum_segments(codes, rows, &context, m, number_segments(segment, sorted, m), dtype);
  } else {
    status = rs_nomem("gradient", (size_t)m * 2 * sizeof *uses);
  }
  rs_free(sources);
  rs_free(segment);
  rs_free(uses);
  if (status != RS_OK) {
    rs_tensor_free(codes);
    rs_tensor_free(rows);
  }
  return status;
}

rs_status rs_piece_dense(rs_tensor *out, const rs_piece *piece, const rs_tensor *table) {
  rs_tensor codes = {0}, rows = {0};
  rs_status status = rs_pieces_merge(&codes, &rows, piece, 1, rs_grad_dtype(table), table->size[1]);
  if (status == RS_OK) status = rs_tensor_zeros(out, rs_grad_dtype(table), 2, table->size);
  if (status == RS_OK) {
    size_t bytes = (size_t)table->size[1] * rs_dtype_size(rs_grad_dtype(table));
    for (int64_t i = 0; i < codes.size[0]; i++)
      memcpy((char *)rs_tensor_data(out) + (size_t)rs_i32(&codes)[i] * bytes,
             (char *)rs_tensor_data(&rows) + (size_t)i * bytes, bytes);
  }
  rs_tensor_free(&codes);
  rs_tensor_free(&rows);
  return status;
}

#else
static inline void OF(add_row)(REAL *restrict out, const REAL *restrict x, REAL weight, int64_t d) {
  for (int64_t j = 0; j < d; j++) out[j] += weight * x[j];
}

/* The row of a source that a use looks at. */
static inline const REAL *OF(row_of)(const merge_context *c, use u) {
  const source *s = &c->sources[u.piece];
  return (const REAL *)s->rows + (s->row ? s->row[u.position] : u.position) * c->d;
}

/* Add the uses begin .. end-1, all of one code, into 'out'. */
static inline void OF(sum_segment)(const merge_context *c, REAL *restrict out, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) {
    const use u = c->uses[i];
    const source *s = &c->sources[u.piece];
    const REAL weight = s->weight ? ((const REAL *)s->weight)[u.position] : 1, *restrict x = OF(row_of)(c, u);
    if (i + RS_AHEAD < c->m) rs_prefetch_row(OF(row_of)(c, c->uses[i + RS_AHEAD]), (size_t)c->d * sizeof *x);
    if (i > begin)
      OF(add_row)(out, x, weight, c->d);
    else
      for (int64_t j = 0; j < c->d; j++) out[j] = weight * x[j];
  }
}

/* The sums of one chunk of sorted uses. */
RS_SIMD static void OF(sum_uses)(void *context, int64_t begin, int64_t end) {
  const merge_context *c = context;
  for (int64_t i = begin, next; i < end; i = next) {
    int32_t at = c->segment[i];
    for (next = i + 1; next < end && c->segment[next] == at;) next++;
    bool began_before = i == begin && i > 0 && c->segment[i - 1] == at;
    REAL *out = began_before ? (REAL *)c->carry + begin / CHUNK * c->d : (REAL *)c->rows + at * c->d;
    OF(sum_segment)(c, out, i, next);
  }
}

static void OF(add_carry)(const merge_context *c, int64_t m) {
  for (int64_t begin = CHUNK; begin < m; begin += CHUNK)
    if (c->segment[begin] == c->segment[begin - 1])
      OF(add_row)((REAL *)c->rows + c->segment[begin] * c->d, (REAL *)c->carry + begin / CHUNK * c->d, 1, c->d);
}
#endif
