/* walk.c - see walk.h. A chunk is a range of the result's elements in row-major order, so that the cut into chunks
 * depends on the result's size alone. */
#include "tensor/walk.h"

#include <string.h>

#include "base/parallel.h"

rs_status rs_broadcast(const char *what, int n, const rs_tensor *const *tensors, int *ndim, int64_t *size) {
  *ndim = 0;
  for (int i = 0; i < n; i++)
    if (tensors[i]->ndim > *ndim) *ndim = tensors[i]->ndim;
  for (int d = 0; d < *ndim; d++) {
    size[d] = 1;
    for (int i = 0; i < n; i++) {
      int own = d - (*ndim - tensors[i]->ndim);
      if (own < 0 || tensors[i]->size[own] == 1) continue;
      if (size[d] != 1 && size[d] != tensors[i]->size[own])
        return rs_fail(RS_ESHAPE, "%s: %s and %s do not broadcast", what, rs_shape(tensors[0]).text,
                       rs_shape(tensors[i]).text);
      size[d] = tensors[i]->size[own];
    }
  }
  return RS_OK;
}

/* Whether dimension d continues d + 1 in every tensor. */
static bool continues(const rs_walk *w, int d) {
  for (int i = 0; i < w->n_tensors; i++)
    if (w->stride[i][d] != w->stride[i][d + 1] * w->size[d + 1]) return false;
  return true;
}

static void merge_dimensions(rs_walk *w) {
  int kept = 0;
  for (int d = 0; d < w->ndim; d++) { /* sizes of 1 vanish */
    if (w->size[d] == 1) continue;
    w->size[kept] = w->size[d];
    for (int i = 0; i < w->n_tensors; i++) w->stride[i][kept] = w->stride[i][d];
    kept++;
  }
  w->ndim = kept;
  for (int d = w->ndim - 2; d >= 0; d--) {
    if (!continues(w, d)) continue;
    w->size[d] *= w->size[d + 1];
    for (int i = 0; i < w->n_tensors; i++) w->stride[i][d] = w->stride[i][d + 1];
    for (int e = d + 1; e < w->ndim - 1; e++) {
      w->size[e] = w->size[e + 1];
      for (int i = 0; i < w->n_tensors; i++) w->stride[i][e] = w->stride[i][e + 1];
    }
    w->ndim--;
  }
}

rs_status rs_walk_over(rs_walk *w, const char *what, int n, const rs_tensor *const *tensors) {
  const rs_tensor *full = tensors[0];
  *w = (rs_walk){.n_tensors = n, .ndim = full->ndim, .count = rs_tensor_count(full)};
  memcpy(w->size, full->size, sizeof w->size);
  for (int i = 0; i < n; i++) {
    const rs_tensor *t = tensors[i];
    w->data[i] = rs_tensor_data(t);
    int lead = full->ndim - t->ndim;
    bool fits = lead >= 0;
    for (int d = 0; fits && d < t->ndim; d++) {
      fits = t->size[d] == full->size[lead + d] || t->size[d] == 1;
      w->stride[i][lead + d] = t->size[d] == 1 ? 0 : t->stride[d] * (int64_t)rs_dtype_size(t->dtype);
    }
    if (!fits) return rs_fail(RS_ESHAPE, "%s: %s does not stretch to %s", what, rs_shape(t).text, rs_shape(full).text);
  }
  merge_dimensions(w);
  return RS_OK;
}

typedef struct job {
  const rs_walk *walk;
  rs_run *run;
  void *context;
} job;

static void run_chunk(void *context, int64_t begin, int64_t end) {
  const job *j = context;
  const rs_walk *w = j->walk;
  int last = w->ndim - 1;
  int64_t inner = last >= 0 ? w->size[last] : 1, step[RS_WALK_MAX];
  for (int i = 0; i < w->n_tensors; i++) step[i] = last >= 0 ? w->stride[i][last] : 0;
  while (begin < end) {
    int64_t row = begin / inner, in_row = begin % inner,
            n = inner - in_row < end - begin ? inner - in_row : end - begin;
    char *at[RS_WALK_MAX];
    for (int i = 0; i < w->n_tensors; i++) at[i] = w->data[i] + in_row * step[i];
    for (int d = last - 1; d >= 0; d--) {
      int64_t p = row % w->size[d];
      row /= w->size[d];
      for (int i = 0; i < w->n_tensors; i++) at[i] += p * w->stride[i][d];
    }
    j->run(j->context, at, step, n);
    begin += n;
  }
}

void rs_walk_run(const rs_walk *walk, rs_run *run, void *context) {
  job j = {walk, run, context};
  if (walk->count <= RS_WALK_GRAIN) {
    if (walk->count > 0) run_chunk(&j, 0, walk->count);
  } else {
    rs_parallel_for(walk->count, RS_WALK_GRAIN, run_chunk, &j);
  }
}
