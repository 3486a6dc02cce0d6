/* partition.c - see partition.h.
 *
 * A scatter counts its buckets chunk by chunk, adds the counts up bucket by bucket, and lets every chunk write to
 * places that are its own: stable, and the same whatever the chunks are. */
#include "frame/partition.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { MOST_CHUNKS = 64 };

typedef struct scatter {
  const uint64_t *keys;
  const int64_t *rows;
  uint64_t *to_keys;
  int64_t *to_rows;
  int64_t *places; /* [chunks, buckets]: counts, then where the next row goes */
  int64_t n, grain, buckets;
  int shift;
} scatter;

static inline int64_t bucket_of(const scatter *s, uint64_t key) {
  return (int64_t)(key >> s->shift & (uint64_t)(s->buckets - 1));
}

static void count_buckets(void *context, int64_t begin, int64_t end) {
  const scatter *s = context;
  int64_t *counts = s->places + begin / s->grain * s->buckets;
  for (int64_t i = begin; i < end; i++) counts[bucket_of(s, s->keys[i])]++;
}

static void write_buckets(void *context, int64_t begin, int64_t end) {
  const scatter *s = context;
  int64_t *places = s->places + begin / s->grain * s->buckets;
  for (int64_t i = begin; i < end; i++) {
    int64_t to = places[bucket_of(s, s->keys[i])]++;
    s->to_keys[to] = s->keys[i];
    s->to_rows[to] = s->rows ? s->rows[i] : i;
  }
}

/* Counts to places. */
static void add_up(const scatter *s, int64_t chunks, int64_t *starts) {
  int64_t sum = 0;
  for (int64_t b = 0; b < s->buckets; b++) {
    if (starts) starts[b] = sum;
    for (int64_t c = 0; c < chunks; c++) {
      int64_t count = s->places[c * s->buckets + b];
      s->places[c * s->buckets + b] = sum;
      sum += count;
    }
  }
  if (starts) starts[s->buckets] = sum;
}

rs_status rs_scatter(uint64_t *to_keys, int64_t *to_rows, int64_t *starts, const uint64_t *keys, const int64_t *rows,
                     int64_t n, int shift, int bits) {
  scatter s = {keys, rows, to_keys, to_rows, NULL, n, RS_ROW_GRAIN, INT64_C(1) << bits, shift};
  if (n > MOST_CHUNKS * s.grain) s.grain = (n + MOST_CHUNKS - 1) / MOST_CHUNKS;
  int64_t chunks = (n + s.grain - 1) / s.grain;
  size_t bytes = (size_t)(chunks * s.buckets) * sizeof *s.places;
  s.places = rs_alloc_zero(bytes);
  if (!s.places) return rs_nomem("frame partition", bytes);
  rs_parallel_for(n, s.grain, count_buckets, &s);
  add_up(&s, chunks, starts);
  rs_parallel_for(n, s.grain, write_buckets, &s);
  rs_free(s.places);
  return RS_OK;
}

/* Groups. */

void rs_groups_free(rs_groups *g) {
  rs_free(g->starts);
  rs_free(g->rows);
  *g = (rs_groups){0};
}

int64_t rs_groups_grain(int64_t n) {
  int64_t grain = n / 64 + 1;
  return grain < 4096 ? grain : 4096;
}

/* Second level: the rows of each bucket in order of their ids. */
typedef struct refine {
  const uint64_t *keys;
  const int64_t *rows;
  const int64_t *bucket_starts;
  rs_groups *out;
  int shift;
} refine;

static void refine_buckets(void *context, int64_t begin, int64_t end) {
  const refine *r = context;
  for (int64_t b = begin; b < end; b++) {
    int64_t first = b << r->shift, last = (b + 1) << r->shift;
    int64_t *starts = r->out->starts;
    if (first >= r->out->n) return;
    if (last > r->out->n) last = r->out->n;
    for (int64_t i = r->bucket_starts[b]; i < r->bucket_starts[b + 1]; i++) starts[r->keys[i]]++;
    int64_t sum = r->bucket_starts[b];
    for (int64_t g = first; g < last; g++) {
      sum += starts[g];
      starts[g] = sum; /* the end, until rows are placed */
    }
    for (int64_t i = r->bucket_starts[b + 1] - 1; i >= r->bucket_starts[b]; i--)
      r->out->rows[--starts[r->keys[i]]] = r->rows[i];
  }
}

typedef struct widening {
  uint64_t *keys;
  const int64_t *ids;
  int64_t n_groups;
} widening;

static void widen_ids(void *context, int64_t begin, int64_t end) {
  const widening *w = context;
  for (int64_t i = begin; i < end; i++) w->keys[i] = (uint64_t)(w->ids[i] < 0 ? w->n_groups : w->ids[i]);
}

static int bits_for(int64_t values) { return values > 1 ? 64 - __builtin_clzll((uint64_t)values - 1) : 1; }

static rs_status fill_groups(rs_groups *out, const int64_t *ids, int64_t n, uint64_t *scratch) {
  int64_t starts[(1 << RS_BUCKET_BITS) + 1], *rows = (int64_t *)scratch + 2 * n;
  int bits = bits_for(out->n), shift = bits > RS_BUCKET_BITS ? bits - RS_BUCKET_BITS : 0;
  widening w = {scratch, ids, out->n - 1};
  rs_parallel_for(n, RS_ROW_GRAIN, widen_ids, &w);
  rs_status status = rs_scatter(scratch + n, rows, starts, scratch, NULL, n, shift, bits - shift);
  if (status != RS_OK) return status;
  refine r = {scratch + n, rows, starts, out, shift};
  rs_parallel_for(INT64_C(1) << (bits - shift), 16, refine_buckets, &r);
  out->starts[out->n] = n;
  return RS_OK;
}

rs_status rs_groups_of(rs_groups *out, const int64_t *ids, int64_t n, int64_t n_groups) {
  size_t scratch_bytes = 3 * (size_t)n * sizeof(int64_t);
  *out = (rs_groups){.n = n_groups + 1}; /* the last one holds the rows of none */
  out->starts = rs_alloc_zero((size_t)(n_groups + 2) * sizeof(int64_t));
  out->rows = rs_alloc((size_t)n * sizeof(int64_t));
  uint64_t *scratch = rs_alloc(scratch_bytes);
  rs_status status = out->starts && out->rows && scratch ? RS_OK : rs_nomem("frame groups", scratch_bytes);
  if (status == RS_OK) status = fill_groups(out, ids, n, scratch);
  out->n = n_groups;
  rs_free(scratch);
  if (status != RS_OK) rs_groups_free(out);
  return status;
}

/* Masks. */

typedef struct sieve {
  const uint8_t *mask;
  int64_t *counts; /* of each chunk, then where it begins */
  int64_t *rows;
} sieve;

static void count_kept(void *context, int64_t begin, int64_t end) {
  const sieve *s = context;
  int64_t count = 0;
  for (int64_t i = begin; i < end; i++) count += s->mask[i] != 0;
  s->counts[begin / RS_ROW_GRAIN] = count;
}

static void write_kept(void *context, int64_t begin, int64_t end) {
  const sieve *s = context;
  int64_t *to = s->rows + s->counts[begin / RS_ROW_GRAIN];
  for (int64_t i = begin; i < end; i++)
    if (s->mask[i]) *to++ = i;
}

rs_status rs_rows_of_mask(rs_tensor *rows, const uint8_t *mask, int64_t n) {
  int64_t chunks = (n + RS_ROW_GRAIN - 1) / RS_ROW_GRAIN, total = 0;
  sieve s = {mask, rs_alloc((size_t)(chunks + 1) * sizeof(int64_t)), NULL};
  if (!s.counts) return rs_nomem("frame rows", (size_t)(chunks + 1) * sizeof(int64_t));
  rs_parallel_for(n, RS_ROW_GRAIN, count_kept, &s);
  for (int64_t c = 0; c < chunks; c++) {
    int64_t count = s.counts[c];
    s.counts[c] = total;
    total += count;
  }
  rs_status status = rs_tensor_new(rows, RS_I64, 1, &total);
  if (status == RS_OK) {
    s.rows = rs_i64(rows);
    rs_parallel_for(n, RS_ROW_GRAIN, write_kept, &s);
  }
  rs_free(s.counts);
  return status;
}
