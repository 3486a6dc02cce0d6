/* lapack.c - see lapack.h. LAPACK counts by columns: what it calls upper is lower by rows. */
#include "tensor/lapack.h"

#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "tensor/blas.h"

/* Fortran passes the lengths of strings behind all else. */
void dpotrf_(const char *uplo, const int *n, double *a, const int *lda, int *info, size_t uplo_length);
void dtrtri_(const char *uplo, const char *diag, const int *n, double *a, const int *lda, int *info, size_t uplo_length,
             size_t diag_length);
void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda, double *w, double *work,
             const int *lwork, int *iwork, const int *liwork, int *info, size_t jobz_length, size_t uplo_length);

typedef struct call {
  int n, info;
  double *a, *values, *work;
  int *integers, n_work, n_integers;
} call;

static void inverse_root(void *context, int64_t begin, int64_t end) {
  call *c = context;
  (void)begin, (void)end;
  dpotrf_("L", &c->n, c->a, &c->n, &c->info, 1);
  if (c->info == 0) dtrtri_("L", "N", &c->n, c->a, &c->n, &c->info, 1, 1);
}

void rs_lapack_inverse_root(rs_tensor *a, bool *definite) {
  call c = {.n = (int)a->size[0], .a = rs_f64(a)};
  rs_blas_prepare();
  rs_parallel_for(1, 1, inverse_root, &c);
  *definite = c.info == 0;
  for (int64_t i = 0; i < c.n; i++)
    for (int64_t j = 0; j < i; j++) c.a[i * c.n + j] = 0;
}

static void eigen(void *context, int64_t begin, int64_t end) {
  call *c = context;
  (void)begin, (void)end;
  dsyevd_("V", "L", &c->n, c->a, &c->n, c->values, c->work, &c->n_work, c->integers, &c->n_integers, &c->info, 1, 1);
}

rs_status rs_lapack_eigen(rs_tensor *a, rs_tensor *values) {
  int n = (int)a->size[0];
  call c = {.n = n, .a = rs_f64(a), .values = rs_f64(values)};
  for (int64_t i = 0; i < (int64_t)n * n; i++)
    if (!isfinite(c.a[i])) return rs_fail(RS_ENUMERIC, "eigenvalues of a matrix with a NaN or an infinity");
  if (n == 0) return RS_OK;
  c.n_work = 1 + 6 * n + 2 * n * n;
  c.n_integers = 3 + 5 * n;
  size_t bytes = (size_t)c.n_work * sizeof *c.work + (size_t)c.n_integers * sizeof *c.integers;
  c.work = rs_alloc(bytes);
  if (!c.work) return rs_nomem("eigenvalues", bytes);
  c.integers = (int *)(c.work + c.n_work);
  rs_blas_prepare();
  rs_parallel_for(1, 1, eigen, &c);
  rs_free(c.work);
  return c.info == 0 ? RS_OK : rs_fail(RS_ENUMERIC, "eigenvalues: no convergence (%d)", c.info);
}
