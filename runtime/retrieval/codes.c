/* codes.c - see codes.h. A block's bytes lie as the kernels read them: for each four dimensions those of its 64 items, so
 * that a lane of a register is an item, sums need no adding up across lanes, and a query's four bytes are spread to all. */
#include "retrieval/codes.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "base/wide.h"

enum { BLOCK = RS_CODES_BLOCK, GRAIN = 16, SAMPLE = 100 };

static const float SMALL = 1e-30F;   /* a row of no larger numbers is all rest: its scale would lose digits */
static const double UP = 1 + 1e-6;   /* makes up for what rounding to f32 takes */
static const double SLACK = 0x1p-18;

/* ---- Making codes ---- */

/* Of a row or a query's vector: the scale s, and the squares of |x| and of |r|. */
typedef struct lengths {
  float scale;
  double length, rest;
} lengths;

/* The bits of the largest magnitude: those of a NaN or an infinity where there is one. */
RS_INLINE float largest(const float *x, int64_t n) {
  int32_t most = 0;
  for (int64_t i = 0; i < n; i++) {
    int32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bits &= INT32_MAX;
    most = bits > most ? bits : most;
  }
  float value;
  memcpy(&value, &most, sizeof value);
  return value;
}

/* q [width] of x, whole numbers, and the lengths; sums in eight lanes. */
RS_INLINE lengths code_row(const float *x, int64_t width, float *q) {
  const float whole = 0x1.8p23F; /* added and taken away, it leaves the nearest whole number */
  float most = largest(x, width), inverse = most > SMALL ? 127 / most : 0;
  lengths l = {.scale = most > SMALL ? most / 127 : 0};
  double length[8] = {0}, rest[8] = {0};
  for (int64_t i = 0; i < width; i++) q[i] = (x[i] * inverse + whole) - whole;
  for (int64_t first = 0; first < width; first += 8)
    for (int64_t i = first; i < first + 8 && i < width; i++) {
      double r = (double)x[i] - (double)l.scale * (double)q[i];
      length[i - first] += (double)x[i] * (double)x[i];
      rest[i - first] += r * r;
    }
  for (int i = 0; i < 8; i++) l.length += length[i], l.rest += rest[i];
  return l;
}

static lengths code_plain(const float *x, int64_t width, float *q) { return code_row(x, width, q); }
RS_WIDE static lengths code_wide(const float *x, int64_t width, float *q) { return code_row(x, width, q); }

static lengths code(const float *x, int64_t width, float *q) { return (rs_wide() ? code_wide : code_plain)(x, width, q); }

static float up(double length) { return (float)(length * UP) + FLT_MIN; }

/* Whether the row can be coded: products of its scale with others do not overflow where those of its length do not. */
static bool are_finite(const lengths *l) { return isfinite(l->scale) && isfinite(up(sqrt(l->length))); }

typedef struct making {
  const float *items;
  int64_t n, width, steps;
  uint8_t *values;
  float *scales, *bounds;
} making;

/* Writes an item's codes; gives its |x|. */
static float code_item(const making *m, int64_t row, const float *x) {
  int64_t block = row / BLOCK, at = row % BLOCK;
  float q[RS_CODES_WIDEST];
  uint8_t *values = m->values + (block * m->steps * BLOCK + at) * 4;
  lengths l = code(x, m->width, q);
  bool finite = are_finite(&l);
  for (int64_t i = 0; i < m->width; i++)
    values[i / 4 * BLOCK * 4 + i % 4] = finite ? (uint8_t)(128 + (int)q[i]) : 128;
  m->scales[row] = finite ? l.scale : 0;
  m->bounds[block * 2 * BLOCK + at] = finite ? up(sqrt(l.rest)) : INFINITY;
  return m->bounds[(block * 2 + 1) * BLOCK + at] = finite ? up(sqrt(l.length)) : INFINITY;
}

static void clear_block(const making *m, int64_t block) {
  memset(m->values + block * m->steps * BLOCK * 4, 128, (size_t)(m->steps * BLOCK * 4));
  memset(m->scales + block * BLOCK, 0, BLOCK * sizeof *m->scales);
  memset(m->bounds + block * 2 * BLOCK, 0, 2 * BLOCK * sizeof *m->bounds);
}

static void code_blocks(void *context, int64_t begin, int64_t end) {
  const making *m = context;
  for (int64_t block = begin; block < end; block++) {
    clear_block(m, block);
    for (int64_t row = block * BLOCK; row < (block + 1) * BLOCK && row < m->n; row++)
      code_item(m, row, m->items + row * m->width);
  }
}

static double longest(const rs_codes *c) {
  double most = 0;
  for (int64_t row = 0; row < c->n; row++) {
    float length = rs_f32(&c->bounds)[(row / BLOCK * 2 + 1) * BLOCK + row % BLOCK];
    if (isfinite(length) && length > most) most = length;
  }
  return most;
}

rs_status rs_codes_new(rs_codes *out, const float *items, int64_t n, int64_t width) {
  int64_t blocks = (n + BLOCK - 1) / BLOCK, steps = (width + 3) / 4;
  *out = (rs_codes){.n = n, .width = width};
  rs_status status = rs_tensor_new(&out->values, RS_U8, 4, (int64_t[]){blocks, steps, BLOCK, 4});
  if (status == RS_OK) status = rs_tensor_new(&out->scales, RS_F32, 2, (int64_t[]){blocks, BLOCK});
  if (status == RS_OK) status = rs_tensor_new(&out->bounds, RS_F32, 3, (int64_t[]){blocks, 2, BLOCK});
  if (status == RS_OK) {
    making m = {items, n, width, steps, rs_u8(&out->values), rs_f32(&out->scales), rs_f32(&out->bounds)};
    rs_parallel_for(blocks, GRAIN, code_blocks, &m);
    out->longest = longest(out);
  } else {
    rs_codes_free(out);
  }
  return status;
}

static bool is_of(const rs_tensor *t, rs_dtype dtype, int ndim, const int64_t *size) {
  if (t->dtype != dtype || t->ndim != ndim || !rs_tensor_is_contiguous(t)) return false;
  for (int i = 0; i < ndim; i++)
    if (t->size[i] != size[i]) return false;
  return true;
}

rs_status rs_codes_over(rs_codes *out, int64_t n, int64_t width, const rs_tensor *values, const rs_tensor *scales,
                        const rs_tensor *bounds) {
  int64_t blocks = (n + BLOCK - 1) / BLOCK, steps = (width + 3) / 4;
  *out = (rs_codes){.n = n, .width = width};
  if (width > RS_CODES_WIDEST || !is_of(values, RS_U8, 4, (int64_t[]){blocks, steps, BLOCK, 4}) ||
      !is_of(scales, RS_F32, 2, (int64_t[]){blocks, BLOCK}) || !is_of(bounds, RS_F32, 3, (int64_t[]){blocks, 2, BLOCK}))
    return rs_fail(RS_ESHAPE, "codes are %s %s, %s and %s, which do not fit %lld items of %lld dimensions",
                   rs_dtype_name(values->dtype), rs_shape(values).text, rs_shape(scales).text, rs_shape(bounds).text,
                   (long long)n, (long long)width);
  rs_tensor_share(&out->values, values);
  rs_tensor_share(&out->scales, scales);
  rs_tensor_share(&out->bounds, bounds);
  out->longest = longest(out);
  return RS_OK;
}

/* Whether a row's codes are those of x. */
static bool fits(const rs_codes *c, int64_t row, const float *x) {
  int64_t steps = (c->width + 3) / 4, block = row / BLOCK, at = row % BLOCK;
  const uint8_t *values = rs_u8(&c->values) + (block * steps * BLOCK + at) * 4;
  const float *bounds = rs_f32(&c->bounds) + block * 2 * BLOCK + at;
  float q[RS_CODES_WIDEST];
  lengths l = code(x, c->width, q);
  if (!are_finite(&l)) return isinf(bounds[0]);
  bool same = rs_f32(&c->scales)[row] == l.scale && bounds[0] == up(sqrt(l.rest)) && bounds[BLOCK] == up(sqrt(l.length));
  for (int64_t i = 0; same && i < c->width; i++) same = values[i / 4 * BLOCK * 4 + i % 4] == 128 + (int)q[i];
  return same;
}

bool rs_codes_fit(const rs_codes *codes, const float *items) {
  int64_t step = codes->n / SAMPLE + 1;
  for (int64_t row = 0; row < codes->n; row += step)
    if (!fits(codes, row, items + row * codes->width)) return false;
  return true;
}

/* Whether the first size of a tensor may become 'blocks' in place. */
static bool has_room(const rs_tensor *t, int64_t blocks) {
  const rs_storage *s = t->storage;
  size_t row = (size_t)t->stride[0] * rs_dtype_size(t->dtype);
  return s->writable && atomic_load(&s->references) == 1 && t->offset == 0 && (size_t)blocks * row <= s->bytes;
}

/* A copy with room for a block more than 'blocks', and an eighth. */
static rs_status longer(rs_tensor *out, const rs_tensor *t, int64_t blocks) {
  int64_t size[RS_MAX_DIMS];
  memcpy(size, t->size, sizeof size);
  size[0] = blocks + blocks / 8 + 1;
  rs_status status = rs_tensor_zeros(out, t->dtype, t->ndim, size);
  if (status != RS_OK) return status;
  memcpy(rs_tensor_data(out), rs_tensor_data(t), rs_tensor_bytes(t));
  out->size[0] = t->size[0];
  return RS_OK;
}

bool rs_codes_has_room(const rs_codes *codes, int64_t n) {
  int64_t blocks = (n + BLOCK - 1) / BLOCK;
  return has_room(&codes->values, blocks) && has_room(&codes->scales, blocks) && has_room(&codes->bounds, blocks);
}

rs_status rs_codes_longer(rs_codes *out, const rs_codes *codes, int64_t n) {
  int64_t blocks = (n + BLOCK - 1) / BLOCK;
  *out = (rs_codes){.n = codes->n, .width = codes->width, .longest = codes->longest};
  rs_status status = longer(&out->values, &codes->values, blocks);
  if (status == RS_OK) status = longer(&out->scales, &codes->scales, blocks);
  if (status == RS_OK) status = longer(&out->bounds, &codes->bounds, blocks);
  if (status != RS_OK) rs_codes_free(out);
  return status;
}

void rs_codes_put(rs_codes *codes, int64_t row, const float *vector) {
  making m = {NULL, row + 1, codes->width, (codes->width + 3) / 4, rs_u8(&codes->values), rs_f32(&codes->scales),
              rs_f32(&codes->bounds)};
  if (row == codes->n && row % BLOCK == 0) {
    clear_block(&m, row / BLOCK);
    codes->values.size[0] = codes->scales.size[0] = codes->bounds.size[0] = row / BLOCK + 1;
  }
  float length = code_item(&m, row, vector);
  if (isfinite(length) && length > codes->longest) codes->longest = length;
  if (row >= codes->n) codes->n = row + 1;
}

void rs_codes_free(rs_codes *codes) {
  rs_tensor_free(&codes->values);
  rs_tensor_free(&codes->scales);
  rs_tensor_free(&codes->bounds);
  *codes = (rs_codes){0};
}

/* ---- Asking them ---- */

bool rs_codes_query(const rs_codes *codes, const float *vector, int8_t *p, rs_coded *out) {
  float whole[RS_CODES_WIDEST];
  lengths l = code(vector, codes->width, whole);
  double length = sqrt(l.length), rest = sqrt(l.rest), width = (double)codes->width;
  if (!are_finite(&l) || length * codes->longest > 1e37) return false;
  double coded = length + rest; /* no less than |t p| */
  double rounding = 1.1 * (width + width / 256 + 2) * 0x1p-24 * length;
  memset(p, 0, rs_coded_bytes(codes));
  *out = (rs_coded){.p = p, .scale = l.scale};
  for (int64_t i = 0; i < codes->width; i++) {
    p[i] = (int8_t)whole[i];
    out->offset += 128 * (int32_t)whole[i];
  }
  out->by_rest = up(coded * (1 + SLACK));
  out->by_length = up(rest * (1 + SLACK) + coded * SLACK + rounding);
  out->least = (float)(width * 0x1p-130);
  return true;
}

/* A block as the kernels read it. */
typedef struct block_of {
  int64_t steps;
  const uint8_t *values;
  const float *scales, *rests, *lengths;
} block_of;

static block_of at_block(const rs_codes *codes, int64_t block) {
  int64_t steps = (codes->width + 3) / 4;
  const float *bounds = rs_f32(&codes->bounds) + block * 2 * BLOCK;
  return (block_of){steps, rs_u8(&codes->values) + block * steps * BLOCK * 4, rs_f32(&codes->scales) + block * BLOCK,
                    bounds, bounds + BLOCK};
}

/* The product of codes of each item, and how far off the true one it is at the most; that may be infinite. */
static void plain_products(const rs_codes *codes, int64_t block, const rs_coded *query, float *products, float *off) {
  block_of b = at_block(codes, block);
  int32_t sums[BLOCK] = {0};
  for (int64_t step = 0; step < b.steps; step++, b.values += BLOCK * 4)
    for (int at = 0; at < BLOCK; at++)
      for (int i = 0; i < 4; i++) sums[at] += b.values[at * 4 + i] * query->p[step * 4 + i];
  for (int at = 0; at < BLOCK; at++) {
    products[at] = (float)(sums[at] - query->offset) * (query->scale * b.scales[at]);
    off[at] = query->by_rest * b.rests[at] + query->by_length * b.lengths[at] + query->least;
  }
}

static float plain_reach(const rs_codes *codes, int64_t block, const rs_coded *query, uint64_t rows, float *low) {
  float products[BLOCK], off[BLOCK], high = -INFINITY;
  plain_products(codes, block, query, products, off);
  for (int at = 0; at < BLOCK; at++) {
    float *mine = &low[at % RS_CODES_LANES];
    if (!(rows >> at & 1)) continue;
    if (products[at] + off[at] > high) high = products[at] + off[at];
    if (products[at] - off[at] > *mine) *mine = products[at] - off[at];
  }
  return high;
}

static uint64_t plain_above(const rs_codes *codes, int64_t block, const rs_coded *query, float least) {
  float products[BLOCK], off[BLOCK];
  uint64_t above = 0;
  plain_products(codes, block, query, products, off);
  for (int at = 0; at < BLOCK; at++) above |= (uint64_t)(products[at] + off[at] > least) << at;
  return above;
}

static const rs_codes_kernel plain = {plain_reach, plain_above};

#if defined(__x86_64__)
#include <immintrin.h>

#define FOR_AVX2 __attribute__((target("avx2,fma")))
#define FOR_VNNI __attribute__((target("avx512f,avx512bw,avx512vnni")))

/* Bytes of 128 + q times signed ones would overflow the 16 bits that AVX2 adds them in: |q| times p with q's sign do not,
 * being 2 x 127 x 127 at the most. Eight items a register. */
FOR_AVX2 static inline void avx2_products(const rs_codes *codes, int64_t block, const rs_coded *query, __m256 *products,
                                          __m256 *off) {
  block_of b = at_block(codes, block);
  const __m256i middle = _mm256_set1_epi8((char)0x80), ones = _mm256_set1_epi16(1);
  __m256i sums[8];
  for (int v = 0; v < 8; v++) sums[v] = _mm256_setzero_si256();
  for (int64_t step = 0; step < b.steps; step++, b.values += BLOCK * 4) {
    int32_t four;
    memcpy(&four, query->p + step * 4, sizeof four);
    __m256i p = _mm256_set1_epi32(four);
#pragma GCC unroll 8
    for (int v = 0; v < 8; v++) {
      __m256i q = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(b.values + v * 32)), middle);
      __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(p, q));
      sums[v] = _mm256_add_epi32(sums[v], _mm256_madd_epi16(pairs, ones));
    }
  }
  const __m256 scale = _mm256_set1_ps(query->scale), by_rest = _mm256_set1_ps(query->by_rest);
  const __m256 by_length = _mm256_set1_ps(query->by_length), always = _mm256_set1_ps(query->least);
  for (int v = 0; v < 8; v++) {
    off[v] = _mm256_fmadd_ps(by_length, _mm256_loadu_ps(b.lengths + v * 8), always);
    off[v] = _mm256_fmadd_ps(by_rest, _mm256_loadu_ps(b.rests + v * 8), off[v]);
    products[v] = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[v]), _mm256_mul_ps(scale, _mm256_loadu_ps(b.scales + v * 8)));
  }
}

FOR_AVX2 static float avx2_reach(const rs_codes *codes, int64_t block, const rs_coded *query, uint64_t rows, float *low) {
  __m256 products[8], off[8], none = _mm256_set1_ps(-INFINITY), high = none;
  __m256 lows[2] = {_mm256_loadu_ps(low), _mm256_loadu_ps(low + 8)};
  const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  float highs[8], most = -INFINITY;
  avx2_products(codes, block, query, products, off);
  for (int v = 0; v < 8; v++) {
    __m256i mine = _mm256_and_si256(_mm256_set1_epi32((int)(rows >> (8 * v) & 255)), bits);
    __m256 counts = _mm256_castsi256_ps(_mm256_cmpeq_epi32(mine, bits));
    high = _mm256_max_ps(high, _mm256_blendv_ps(none, _mm256_add_ps(products[v], off[v]), counts));
    lows[v % 2] = _mm256_max_ps(lows[v % 2], _mm256_blendv_ps(none, _mm256_sub_ps(products[v], off[v]), counts));
  }
  _mm256_storeu_ps(low, lows[0]);
  _mm256_storeu_ps(low + 8, lows[1]);
  _mm256_storeu_ps(highs, high);
  for (int i = 0; i < 8; i++) most = highs[i] > most ? highs[i] : most;
  return most;
}

FOR_AVX2 static uint64_t avx2_above(const rs_codes *codes, int64_t block, const rs_coded *query, float least) {
  __m256 products[8], off[8];
  uint64_t above = 0;
  avx2_products(codes, block, query, products, off);
  for (int v = 0; v < 8; v++) {
    __m256 is_above = _mm256_cmp_ps(_mm256_add_ps(products[v], off[v]), _mm256_set1_ps(least), _CMP_GT_OQ);
    above |= (uint64_t)(uint32_t)_mm256_movemask_ps(is_above) << (v * 8);
  }
  return above;
}

/* Sixteen items a register. */
FOR_VNNI static inline void vnni_products(const rs_codes *codes, int64_t block, const rs_coded *query, __m512 *products,
                                          __m512 *off) {
  block_of b = at_block(codes, block);
  const __m512i offset = _mm512_set1_epi32(-query->offset);
  __m512i sums[4] = {offset, offset, offset, offset};
  for (int64_t step = 0; step < b.steps; step++, b.values += BLOCK * 4) {
    int32_t four;
    memcpy(&four, query->p + step * 4, sizeof four);
    __m512i p = _mm512_set1_epi32(four);
#pragma GCC unroll 4
    for (int v = 0; v < 4; v++) sums[v] = _mm512_dpbusd_epi32(sums[v], _mm512_loadu_si512(b.values + v * 64), p);
  }
  const __m512 scale = _mm512_set1_ps(query->scale), by_rest = _mm512_set1_ps(query->by_rest);
  const __m512 by_length = _mm512_set1_ps(query->by_length), always = _mm512_set1_ps(query->least);
#pragma GCC unroll 4
  for (int v = 0; v < 4; v++) {
    off[v] = _mm512_fmadd_ps(by_length, _mm512_loadu_ps(b.lengths + v * 16), always);
    off[v] = _mm512_fmadd_ps(by_rest, _mm512_loadu_ps(b.rests + v * 16), off[v]);
    products[v] = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[v]), _mm512_mul_ps(scale, _mm512_loadu_ps(b.scales + v * 16)));
  }
}

FOR_VNNI static float vnni_reach(const rs_codes *codes, int64_t block, const rs_coded *query, uint64_t rows, float *low) {
  __m512 products[4], off[4], lows = _mm512_loadu_ps(low), high = _mm512_set1_ps(-INFINITY);
  vnni_products(codes, block, query, products, off);
#pragma GCC unroll 4
  for (int v = 0; v < 4; v++) {
    __mmask16 mine = (__mmask16)(rows >> (16 * v));
    high = _mm512_mask_max_ps(high, mine, high, _mm512_add_ps(products[v], off[v]));
    lows = _mm512_mask_max_ps(lows, mine, lows, _mm512_sub_ps(products[v], off[v]));
  }
  _mm512_storeu_ps(low, lows);
  return _mm512_reduce_max_ps(high);
}

FOR_VNNI static uint64_t vnni_above(const rs_codes *codes, int64_t block, const rs_coded *query, float least) {
  __m512 products[4], off[4];
  uint64_t above = 0;
  vnni_products(codes, block, query, products, off);
#pragma GCC unroll 4
  for (int v = 0; v < 4; v++) {
    __m512 bound = _mm512_add_ps(products[v], off[v]);
    above |= (uint64_t)_mm512_cmp_ps_mask(bound, _mm512_set1_ps(least), _CMP_GT_OQ) << (v * 16);
  }
  return above;
}

static const rs_codes_kernel avx2 = {avx2_reach, avx2_above}, vnni = {vnni_reach, vnni_above};

static bool has_avx2(void) { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
static bool has_vnni(void) { return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw"); }

const rs_codes_kernel *rs_codes_kernel_named(const char *name) {
  if (strcmp(name, "avx2") == 0 && has_avx2()) return &avx2;
  if (strcmp(name, "vnni") == 0 && has_vnni()) return &vnni;
  return strcmp(name, "plain") == 0 ? &plain : NULL;
}

static const rs_codes_kernel *best(void) { return has_vnni() ? &vnni : has_avx2() ? &avx2 : &plain; }
#else
const rs_codes_kernel *rs_codes_kernel_named(const char *name) { return strcmp(name, "plain") == 0 ? &plain : NULL; }

static const rs_codes_kernel *best(void) { return &plain; }
#endif

static const rs_codes_kernel *chosen; /* by rs_codes_use; NULL: the best */

void rs_codes_use(const rs_codes_kernel *kernel) { chosen = kernel; }

float rs_codes_reach(const rs_codes *codes, int64_t block, const rs_coded *query, int64_t vectors, uint64_t rows,
                     float *low) {
  const rs_codes_kernel *kernel = chosen ? chosen : best();
  float high = -INFINITY;
  for (int64_t v = 0; v < vectors; v++) {
    float mine = kernel->reach(codes, block, &query[v], rows, low);
    high = mine > high ? mine : high;
  }
  return high;
}

uint64_t rs_codes_above(const rs_codes *codes, int64_t block, const rs_coded *query, int64_t vectors, float least) {
  const rs_codes_kernel *kernel = chosen ? chosen : best();
  uint64_t above = 0;
  for (int64_t v = 0; v < vectors; v++) above |= kernel->above(codes, block, &query[v], least);
  return above;
}
