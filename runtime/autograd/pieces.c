/* pieces.c - row-sparse gradients: sort the codes, sum segments.
 *
 * A stable radix sort brings equal codes together in the order in which they were used; codes of a small table take one
 * pass. Its parts, a fixed number of them, count and place on their own. The sorted positions are
 * cut into chunks of fixed size; a chunk sums its own part of each segment, and a segment that crosses chunks is
 * added up in their order. So the sums depend neither on threads nor on how many rows share a code. */
#ifndef REAL
#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"
#include "base/prefetch.h"

enum {
  CHUNK = 1024,
  PARTS = 8,       /* of a pass, at the most */
  PART = 1 << 14,  /* uses in one, at the least */
  DIGIT_BITS = 11, /* of a pass where codes need several */
  MOST_BITS = 13   /* of a code that one pass sorts by */
};

/* One use of a code. */
typedef struct use {
  int32_t code;
  int32_t piece;
  int32_t position; /* within the piece */
} use;

/* A piece as plain memory. */
typedef struct source {
  const void *rows, *weight;
  const int32_t *row, *codes;
  int64_t first, n; /* its uses among those of all pieces */
} source;

/* A pass of the sort: from the sources, or from what the pass before has made. */
typedef struct pass {
  const source *sources;
  const use *from; /* NULL: the sources */
  use *to;
  int32_t *counts; /* [parts, digits]: of each part; then where its next use goes */
  int n_sources, shift, digits;
  int64_t m, part;
} pass;

typedef struct merge_context {
  const source *sources;
  const use *uses; /* [m], sorted by code */
  int64_t *before; /* [chunks]: how many segments begin before a chunk */
  int32_t *codes;  /* [k] */
  void *rows;      /* [k, d] */
  void *carry;     /* [chunks, d]: what a chunk adds to a segment begun before it */
  int64_t d, m;
} merge_context;

static bool begins_segment(const merge_context *c, int64_t i) {
  return i == 0 || c->uses[i].code != c->uses[i - 1].code;
}

#define KERNELS "autograd/pieces.c"
#include "autograd/each_real.h"

static int digit_of(const pass *p, int32_t code) { return code >> p->shift & (p->digits - 1); }

/* What source 's' has of the uses begin .. end-1: from *from to *to, counted within it. */
static void slice_of(const source *s, int64_t begin, int64_t end, int64_t *from, int64_t *to) {
  *from = begin > s->first ? begin - s->first : 0;
  *to = end - s->first < s->n ? end - s->first : s->n;
}

static void count_part(void *context, int64_t begin, int64_t end) {
  const pass *p = context;
  int32_t *counts = p->counts + begin / p->part * p->digits;
  memset(counts, 0, (size_t)p->digits * sizeof *counts);
  for (int64_t i = begin; p->from && i < end; i++) counts[digit_of(p, p->from[i].code)]++;
  for (int k = 0; !p->from && k < p->n_sources; k++) {
    int64_t from, to;
    slice_of(&p->sources[k], begin, end, &from, &to);
    for (int64_t i = from; i < to; i++) counts[digit_of(p, p->sources[k].codes[i])]++;
  }
}

static void place_part(void *context, int64_t begin, int64_t end) {
  const pass *p = context;
  int32_t *next = p->counts + begin / p->part * p->digits;
  for (int64_t i = begin; p->from && i < end; i++) p->to[next[digit_of(p, p->from[i].code)]++] = p->from[i];
  for (int k = 0; !p->from && k < p->n_sources; k++) {
    const int32_t *codes = p->sources[k].codes;
    int64_t from, to;
    slice_of(&p->sources[k], begin, end, &from, &to);
    for (int64_t i = from; i < to; i++) p->to[next[digit_of(p, codes[i])]++] = (use){codes[i], k, (int32_t)i};
  }
}

/* Sort by one digit of the code. */
static void run_pass(pass *p) {
  int64_t parts = (p->m + p->part - 1) / p->part;
  int32_t sum = 0;
  rs_each(p->m, p->part, count_part, p);
  for (int v = 0; v < p->digits; v++)
    for (int64_t k = 0; k < parts; k++) {
      int32_t *at = &p->counts[k * p->digits + v], count = *at;
      *at = sum;
      sum += count;
    }
  rs_each(p->m, p->part, place_part, p);
}

static int bits_of(int32_t code) { return code ? 32 - __builtin_clz((unsigned)code) : 1; }

/* Sort the uses of all sources by code. 'uses' has room for them twice; *sorted is the half that they are in. */
static rs_status sort_uses(const use **sorted, use *uses, const source *sources, int n_sources, int64_t m,
                           int32_t largest) {
  int bits = bits_of(largest), each = bits <= MOST_BITS ? bits : DIGIT_BITS;
  int64_t part = (m + PARTS - 1) / PARTS;
  size_t bytes = (size_t)(PARTS << each) * sizeof(int32_t);
  pass p = {.sources = sources, .n_sources = n_sources, .to = uses, .m = m, .digits = 1 << each,
            .part = part > PART ? part : PART, .counts = rs_alloc(bytes)};
  if (!p.counts) return rs_nomem("gradient", bytes);
  for (; p.shift < bits; p.shift += each) {
    run_pass(&p);
    p.from = p.to;
    p.to = p.from == uses ? uses + m : uses;
  }
  *sorted = p.from;
  rs_free(p.counts);
  return RS_OK;
}

/* List the sources in order; the largest code. */
static int32_t list_sources(source *sources, const rs_piece *pieces, int n_pieces) {
  int32_t largest = 0;
  int64_t first = 0;
  for (int p = 0; p < n_pieces; p++) {
    source *s = &sources[p];
    *s = (source){.rows = rs_tensor_data(&pieces[p].rows), .codes = rs_i32(&pieces[p].codes), .first = first,
                  .n = rs_tensor_count(&pieces[p].codes)};
    if (pieces[p].row.storage) s->row = rs_i32(&pieces[p].row);
    if (pieces[p].weight.storage) s->weight = rs_tensor_data(&pieces[p].weight);
    for (int64_t i = 0; i < s->n; i++) largest = s->codes[i] > largest ? s->codes[i] : largest;
    first += s->n;
  }
  return largest;
}

static void count_segments(void *context, int64_t begin, int64_t end) {
  const merge_context *c = context;
  int64_t n = 0;
  for (int64_t i = begin; i < end; i++) n += begins_segment(c, i);
  c->before[begin / CHUNK] = n;
}

/* Number the distinct codes; their count. */
static int64_t number_segments(merge_context *c, int64_t chunks) {
  int64_t k = 0;
  rs_each(c->m, CHUNK, count_segments, c);
  for (int64_t i = 0; i < chunks; i++) {
    int64_t n = c->before[i];
    c->before[i] = k;
    k += n;
  }
  return k;
}

static rs_status sum_segments(rs_tensor *codes, rs_tensor *rows, merge_context *c, rs_dtype dtype) {
  int64_t chunks = (c->m + CHUNK - 1) / CHUNK, k = 0;
  rs_tensor carry = {0}, before = {0};
  rs_status status = rs_tensor_new(&before, RS_I64, 1, &chunks);
  if (status == RS_OK) {
    c->before = rs_i64(&before);
    k = number_segments(c, chunks);
    status = rs_tensor_new(codes, RS_I32, 1, &k);
  }
  if (status == RS_OK) status = rs_tensor_new(rows, dtype, 2, (int64_t[]){k, c->d});
  if (status == RS_OK) status = rs_tensor_new(&carry, dtype, 2, (int64_t[]){chunks, c->d});
  if (status == RS_OK) {
    c->codes = rs_i32(codes);
    c->rows = rs_tensor_data(rows);
    c->carry = rs_tensor_data(&carry);
    rs_each(c->m, CHUNK, RS_BODY(dtype, sum_uses), c);
    RS_CALL(dtype, add_carry, (c));
  }
  rs_tensor_free(&carry);
  rs_tensor_free(&before);
  return status;
}

rs_status rs_pieces_merge(rs_tensor *codes, rs_tensor *rows, const rs_piece *pieces, int n_pieces, rs_dtype dtype,
                          int64_t width) {
  int64_t m = 0;
  for (int p = 0; p < n_pieces; p++) m += rs_tensor_count(&pieces[p].codes);
  if (m > INT32_MAX) return rs_fail(RS_ERANGE, "gradient: %lld codes in one step", (long long)m);
  use *uses = rs_alloc((size_t)m * 2 * sizeof *uses);
  source *sources = rs_alloc((size_t)n_pieces * sizeof *sources);
  rs_status status = uses && sources ? RS_OK : rs_nomem("gradient", (size_t)m * 2 * sizeof *uses);
  merge_context context = {.sources = sources, .d = width, .m = m};
  if (status == RS_OK)
    status = sort_uses(&context.uses, uses, sources, n_pieces, m, list_sources(sources, pieces, n_pieces));
  if (status == RS_OK) status = sum_segments(codes, rows, &context, dtype);
  rs_free(sources);
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
  int64_t at = c->before[begin / CHUNK] - 1; /* the segment that is begun */
  for (int64_t i = begin, next; i < end; i = next) {
    for (next = i + 1; next < end && c->uses[next].code == c->uses[i].code;) next++;
    REAL *out = (REAL *)c->carry + begin / CHUNK * c->d;
    if (begins_segment(c, i)) {
      c->codes[++at] = c->uses[i].code;
      out = (REAL *)c->rows + at * c->d;
    }
    OF(sum_segment)(c, out, i, next);
  }
}

static void OF(add_carry)(const merge_context *c) {
  for (int64_t begin = CHUNK; begin < c->m; begin += CHUNK)
    if (!begins_segment(c, begin))
      OF(add_row)((REAL *)c->rows + (c->before[begin / CHUNK] - 1) * c->d, (REAL *)c->carry + begin / CHUNK * c->d, 1,
                  c->d);
}
#endif
