/* svd.c - see svd.h. 160 directions and 5 iterations keep more variance of TF-IDF matrices than the 138 and 5 that
 * other libraries default to: a pass is cheap, and the tail of a flat spectrum needs company.
 *
 * Cholesky QR (z = q R with R' R = z' z) is two matrix products where Householder's costs ten times that on one thread.
 * It fails when z is nearly dependent; then z' z is shifted by its rounding error (Fukaya et al. 2020,
 * doi:10.1137/18M1218212) and the next round repairs what that leaves. The diagonal of R tells how far the columns were
 * from orthonormal, and so how many iterations may go without: until rounding would drown the weakest direction. */
#include "tensor/svd.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/lapack.h"

enum { SKETCH_GRAIN = 1 << 14, MAX_ROUNDS = 6, MAX_DIRECTIONS = 4096, FIRST_RUN = 4 };

/* ---- the matrix ---- */

/* The largest size of an entry into *largest; RS_ENUMERIC for one that is no number. */
static rs_status survey(const rs_csr *m, double *largest) {
  const float *single = m->values.dtype == RS_F32 ? rs_f32(&m->values) : NULL;
  const double *other = single ? NULL : rs_f64(&m->values);
  *largest = 0;
  for (int64_t i = 0; i < rs_csr_entries(m); i++) {
    double entry = single ? (double)single[i] : other[i], size = fabs(entry);
    if (!isfinite(size)) return rs_fail(RS_ENUMERIC, "svd: entry %lld is %g", (long long)i, entry);
    *largest = size > *largest ? size : *largest;
  }
  return RS_OK;
}

/* m itself where its entries are of ordinary size, else m divided by *scale, a power of two: products of several
 * matrices then neither overflow nor vanish. */
static rs_status at_ordinary_size(rs_csr *out, const rs_csr *m, double *scale) {
  double largest;
  *scale = 1;
  rs_status status = survey(m, &largest);
  if (status == RS_OK) status = rs_csr_cast(out, m, m->values.dtype);
  if (status != RS_OK || largest == 0 || (largest > 1e-4 && largest < 1e4)) return status;
  int exponent = ilogb(largest);
  *scale = ldexp(1, exponent);
  rs_tensor_free(&out->values);
  status = rs_tensor_copy_of(&out->values, &m->values);
  for (int64_t i = 0; status == RS_OK && i < rs_csr_entries(m); i++)
    rs_tensor_set(&out->values, &i, ldexp(rs_tensor_get(&m->values, &i), -exponent));
  return status;
}

/* ---- the sketch ---- */

typedef struct sketch {
  rs_stream stream;
  rs_tensor *entries;
} sketch;

/* Element i is uniform in [-1, 1): word i % 4 of the stream's block i / 4; chunks are multiples of 4. */
static void fill_entries(void *context, int64_t begin, int64_t end) {
  const sketch *s = context;
  bool single = s->entries->dtype == RS_F32;
  void *to = rs_tensor_data(s->entries);
  uint32_t words[4] = {0};
  for (int64_t i = begin; i < end; i++) {
    uint64_t block = (uint64_t)i / 4;
    if (i % 4 == 0)
      rs_philox(s->stream.key,
                (uint32_t[]){(uint32_t)block, (uint32_t)(block >> 32), s->stream.tail[0], s->stream.tail[1]}, words);
    double entry = (double)(words[i % 4] >> 8) * 0x1p-23 - 1;
    if (single)
      ((float *)to)[i] = (float)entry;
    else
      ((double *)to)[i] = entry;
  }
}

/* z [width, k] = m' entries [rows, k]; 'turned' is m'. */
static rs_status sketch_rows(rs_tensor *z, const rs_csr *turned, int64_t k, uint64_t seed) {
  rs_tensor entries = {0};
  rs_status status = rs_tensor_new(&entries, turned->values.dtype, 2, (int64_t[]){turned->width, k});
  if (status != RS_OK) return status;
  sketch s = {rs_stream_at(seed, RS_RNG_SKETCH, 0, 0), &entries};
  rs_parallel_for(rs_tensor_count(&entries), SKETCH_GRAIN, fill_entries, &s);
  status = rs_csr_matmul(z, turned, &entries);
  rs_tensor_free(&entries);
  return status;
}

/* ---- orthonormal columns ---- */

/* gram f64 [k, k] = z' z, z f64 [n, k]: a block of columns at a time, down to the diagonal, and the mirror of that. */
static rs_status gram_of(rs_tensor *gram, const rs_tensor *z) {
  int64_t k = z->size[1];
  rs_status status = rs_tensor_new(gram, RS_F64, 2, (int64_t[]){k, k});
  for (int64_t at = 0; status == RS_OK && at < k; at += RS_GEMM_ROWS) {
    int64_t n = k - at < RS_GEMM_ROWS ? k - at : RS_GEMM_ROWS;
    rs_tensor above = {0}, block = {0}, rows = {0}, target = {0};
    status = rs_tensor_narrow(&above, z, 1, 0, at + n);
    if (status == RS_OK) status = rs_tensor_narrow(&block, z, 1, at, n);
    if (status == RS_OK) status = rs_tensor_narrow(&rows, gram, 0, 0, at + n);
    if (status == RS_OK) status = rs_tensor_narrow(&target, &rows, 1, at, n);
    if (status == RS_OK) status = rs_gemm(&target, 1, &above, true, &block, false, 0);
    rs_tensor_free(&above);
    rs_tensor_free(&block);
    rs_tensor_free(&rows);
    rs_tensor_free(&target);
  }
  if (status != RS_OK) return status;
  double *g = rs_f64(gram);
  for (int64_t i = 0; i < k; i++)
    for (int64_t j = 0; j < i; j++) g[i * k + j] = g[j * k + i];
  return RS_OK;
}

/* gram = R^-1 with R' R = kept + shift, the shift as large as the rounding of z' z. */
static rs_status shifted_root(rs_tensor *gram, const rs_tensor *kept, int64_t rows) {
  bool definite;
  int64_t k = gram->size[0];
  double trace = 0, rounding = 0x1p-53 * 11 * ((double)rows * (double)k + (double)k * (double)(k + 1));
  for (int64_t i = 0; i < k; i++) trace += rs_f64(kept)[i * (k + 1)];
  double shift = rounding * trace > 1e-290 ? rounding * trace : 1e-290;
  memcpy(rs_f64(gram), rs_f64(kept), rs_tensor_bytes(gram));
  for (int64_t i = 0; i < k; i++) rs_f64(gram)[i * (k + 1)] += shift;
  rs_lapack_inverse_root(gram, &definite);
  return definite ? RS_OK : rs_fail(RS_ENUMERIC, "svd: the matrix holds a NaN or an infinity");
}

/* gram = R^-1 with R' R = gram, shifted if it must be; *skew becomes the ratio of R's largest and least diagonal
 * element, infinity when it was shifted. */
static rs_status inverse_root(rs_tensor *gram, int64_t rows, double *skew) {
  rs_tensor kept = {0};
  bool definite;
  int64_t k = gram->size[0];
  rs_status status = rs_tensor_copy_of(&kept, gram);
  if (status != RS_OK) return status;
  rs_lapack_inverse_root(gram, &definite);
  if (!definite) status = shifted_root(gram, &kept, rows);
  rs_tensor_free(&kept);
  double low = INFINITY, high = 0;
  for (int64_t i = 0; definite && i < k; i++) {
    double x = fabs(rs_f64(gram)[i * (k + 1)]);
    low = x < low ? x : low;
    high = x > high ? x : high;
  }
  *skew = definite ? high / low : INFINITY;
  return status;
}

/* z f64 [n, k] = z R^-1, again while its columns were skewed by more than 'enough', at most 'rounds' times; *skew is
 * that of the first round. */
static rs_status orthonormalise(rs_tensor *z, int rounds, double enough, double *skew) {
  rs_status status = RS_OK;
  double last = INFINITY;
  for (int round = 0; status == RS_OK && round < rounds && (round == 0 || last > enough); round++) {
    rs_tensor gram = {0}, next = {0};
    status = gram_of(&gram, z);
    if (status == RS_OK) status = inverse_root(&gram, z->size[0], &last);
    if (status == RS_OK) status = rs_matmul(&next, z, false, &gram, false);
    rs_tensor_free(&gram);
    if (status != RS_OK) return status;
    rs_tensor_free(z);
    *z = next;
    if (round == 0) *skew = last;
  }
  return status;
}

static rs_status replace_cast(rs_tensor *t, rs_dtype dtype) {
  rs_tensor other = {0};
  if (t->dtype == dtype) return RS_OK;
  rs_status status = rs_cast(&other, t, dtype);
  if (status != RS_OK) return status;
  rs_tensor_free(t);
  *t = other;
  return RS_OK;
}

/* ---- iteration and Rayleigh-Ritz ---- */

/* z = m' m z, z of any dtype. */
static rs_status iterate(rs_tensor *z, const rs_csr *m, const rs_csr *turned) {
  rs_tensor y = {0};
  rs_status status = replace_cast(z, m->values.dtype);
  if (status == RS_OK) status = rs_csr_matmul(&y, m, z);
  rs_tensor_free(z);
  if (status == RS_OK) status = rs_csr_matmul(z, turned, &y);
  rs_tensor_free(&y);
  return status;
}

/* The sketch z after all iterations, f64, its columns orthonormal. An iteration from orthonormal columns skews them by
 * 'growth', the sketch by about its root. What is measured of random columns is too little, as R's diagonal sorts itself
 * by size only while the space settles: a run of iterations without orthonormal columns is at most FIRST_RUN long at
 * first, then at most twice as long as the one that 'growth' was measured of. */
static rs_status refine(rs_tensor *z, const rs_csr *m, const rs_csr *turned, int64_t iterations) {
  bool single = m->values.dtype == RS_F32;
  double limit = single ? 1e5 : 1e7, growth = INFINITY, found = 1;
  int64_t run = 0, longest = 1;
  rs_status status = RS_OK;
  for (int64_t i = 0; status == RS_OK && i < iterations; i++) {
    status = iterate(z, m, turned);
    run++;
    if (status != RS_OK || i == iterations - 1 || (run < longest && pow(growth, (double)run + 1) <= limit)) continue;
    status = replace_cast(z, RS_F64);
    if (status == RS_OK) status = orthonormalise(z, 1, INFINITY, &found);
    growth = pow(found, 1 / (i == 0 ? 1.5 : (double)run));
    longest = i == 0 ? FIRST_RUN : 2 * run;
    run = 0;
  }
  if (status == RS_OK) status = replace_cast(z, RS_F64);
  return status == RS_OK ? orthonormalise(z, MAX_ROUNDS, single ? 1e3 : 10, &found) : status;
}

/* gram f64 [k, k] = (m z)' (m z) */
static rs_status project(rs_tensor *gram, const rs_csr *m, const rs_tensor *z) {
  rs_tensor rows = {0}, y = {0};
  rs_status status = rs_cast(&rows, z, m->values.dtype);
  if (status == RS_OK) status = rs_csr_matmul(&y, m, &rows);
  if (status == RS_OK) status = replace_cast(&y, RS_F64);
  if (status == RS_OK) status = gram_of(gram, &y);
  rs_tensor_free(&rows);
  rs_tensor_free(&y);
  return status;
}

/* Turn the columns whose entry of largest size is negative. */
static void settle_signs(rs_tensor *vectors) {
  int64_t n = vectors->size[0], d = vectors->size[1];
  double *v = rs_f64(vectors), extremes[MAX_DIRECTIONS] = {0};
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < d; j++)
      if (fabs(v[i * d + j]) > fabs(extremes[j])) extremes[j] = v[i * d + j];
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < d; j++)
      if (extremes[j] < 0) v[i * d + j] = -v[i * d + j];
}

/* The d best vectors of the space that z's orthonormal columns span: z f64 [width, k] -> values [d], vectors. */
static rs_status pick(rs_tensor *values, rs_tensor *vectors, const rs_csr *m, const rs_tensor *z, int64_t d) {
  int64_t k = z->size[1];
  rs_tensor gram = {0}, squares = {0}, best = {0};
  rs_status status = project(&gram, m, z);
  if (status == RS_OK) status = rs_tensor_new(&squares, RS_F64, 1, &k);
  if (status == RS_OK) status = rs_tensor_new(&best, RS_F64, 2, (int64_t[]){d, k});
  if (status == RS_OK) status = rs_tensor_new(values, RS_F64, 1, &d);
  if (status == RS_OK) status = rs_lapack_eigen(&gram, &squares);
  for (int64_t i = 0; status == RS_OK && i < d; i++) { /* LAPACK's eigenvalues rise */
    double square = rs_f64(&squares)[k - 1 - i];
    rs_f64(values)[i] = square > 0 ? sqrt(square) : 0;
    memcpy(rs_f64(&best) + i * k, rs_f64(&gram) + (k - 1 - i) * k, (size_t)k * sizeof(double));
  }
  if (status == RS_OK) status = rs_matmul(vectors, z, false, &best, true);
  if (status == RS_OK) {
    settle_signs(vectors);
    status = replace_cast(vectors, m->values.dtype);
  }
  rs_tensor_free(&gram);
  rs_tensor_free(&squares);
  rs_tensor_free(&best);
  return status;
}

rs_status rs_truncated_svd(rs_tensor *values, rs_tensor *vectors, const rs_csr *m, rs_svd_options o) {
  int64_t most = m->rows < m->width ? m->rows : m->width;
  int64_t beside = o.oversampling >= 0 ? o.oversampling : o.d / 4 > 16 ? o.d / 4 : 16;
  int64_t iterations = o.iterations >= 0 ? o.iterations : 5, k = o.d + beside < most ? o.d + beside : most;
  *values = *vectors = (rs_tensor){0};
  if (o.d < 1 || o.d > most || k > MAX_DIRECTIONS)
    return rs_fail(RS_EARG, "svd: %lld of the singular values of a [%lld, %lld] matrix; at most %d directions",
                   (long long)o.d, (long long)m->rows, (long long)m->width, MAX_DIRECTIONS);
  rs_csr turned = {0}, ordinary = {0};
  rs_tensor z = {0};
  double scale;
  rs_status status = at_ordinary_size(&ordinary, m, &scale);
  if (status == RS_OK) status = rs_csr_transpose(&turned, &ordinary);
  if (status == RS_OK) status = sketch_rows(&z, &turned, k, o.seed);
  if (status == RS_OK) status = refine(&z, &ordinary, &turned, iterations);
  if (status == RS_OK) status = pick(values, vectors, &ordinary, &z, o.d);
  for (int64_t i = 0; status == RS_OK && i < o.d; i++) rs_f64(values)[i] *= scale;
  rs_tensor_free(&z);
  rs_csr_free(&turned);
  rs_csr_free(&ordinary);
  if (status != RS_OK) {
    rs_tensor_free(values);
    rs_tensor_free(vectors);
  }
  return status;
}
