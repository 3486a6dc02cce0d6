/* index.c - see index.h: what all engines have in common, which is looking at the query and marking what is excluded. */
#include "retrieval/index.h"

#include <math.h>

#include "base/alloc.h"
#include "base/parallel.h"

/* Grow *block to 'bytes' or more, by half at least, so that slowly growing needs cost few allocations. */
static bool grow(void **block, size_t *has, size_t bytes, bool keep) {
  if (bytes <= *has) return true;
  size_t larger = *has + *has / 2 > bytes ? *has + *has / 2 : bytes;
  void *grown = keep ? rs_realloc(*block, larger) : rs_alloc(larger);
  if (!grown) return false;
  if (!keep) rs_free(*block);
  *block = grown;
  *has = larger;
  return true;
}

void *rs_index_room(rs_index_scratch *scratch, size_t bytes) {
  if (scratch->room && bytes <= scratch->room_bytes) return scratch->room;
  return grow(&scratch->room, &scratch->room_bytes, bytes > 0 ? bytes : 1, false) ? scratch->room : NULL;
}

void *rs_index_marks(rs_index_scratch *scratch, size_t bytes) {
  size_t before = scratch->marks_bytes;
  if (!grow(&scratch->marks, &scratch->marks_bytes, bytes > 0 ? bytes : 1, true)) return NULL;
  memset((char *)scratch->marks + before, 0, scratch->marks_bytes - before);
  return scratch->marks;
}

void rs_index_scratch_free(rs_index_scratch *scratch) {
  rs_free(scratch->barred);
  rs_free(scratch->room);
  rs_free(scratch->marks);
  *scratch = (rs_index_scratch){0};
}

static rs_status check(const rs_index *index, const rs_index_query *q) {
  if (q->k < 1) return rs_fail(RS_EARG, "top-k: k is %lld; 1 or more items can be asked for", (long long)q->k);
  if (q->vectors < 0)
    return rs_fail(RS_EARG, "top-k: %lld vectors a user; 1 or more are expected", (long long)q->vectors);
  if (q->ef < 0) return rs_fail(RS_EARG, "top-k: ef is %lld; 0 or more is expected", (long long)q->ef);
  for (int64_t i = 0; i < q->n_excluded; i++)
    if (q->excluded[i] < 0 || q->excluded[i] >= index->n)
      return rs_fail(RS_ERANGE, "excluded items: value %ld at %lld is outside 0..%lld", (long)q->excluded[i],
                     (long long)i, (long long)index->n - 1);
  return RS_OK;
}

/* Room for a bit of each item; new words are zero as the old ones are. */
static rs_status make_barred(const rs_index *index, rs_index_scratch *scratch) {
  int64_t words = rs_bitmap_words(index->n);
  if (words <= scratch->barred_words) return RS_OK;
  uint64_t *barred = rs_alloc_zero((size_t)words * sizeof *barred);
  if (!barred) return rs_nomem("top-k", (size_t)words * sizeof *barred);
  rs_free(scratch->barred);
  scratch->barred = barred;
  scratch->barred_words = words;
  return RS_OK;
}

rs_status rs_index_search(const rs_index *index, const rs_index_query *query, rs_index_scratch *scratch,
                          rs_index_found *found) {
  rs_index_query q = *query;
  found->n = 0;
  found->stats = (rs_index_stats){0};
  rs_status status = check(index, &q);
  if (status == RS_OK && q.n_excluded > 0) status = make_barred(index, scratch);
  if (status != RS_OK || index->n == 0) return status;
  if (q.vectors == 0) q.vectors = 1;
  if (q.k > index->n) q.k = index->n;
  for (int64_t i = 0; i < q.n_excluded; i++) rs_bitmap_set(scratch->barred, q.excluded[i]);
  status = index->engine->search(index, &q, scratch, found);
  for (int64_t i = 0; i < q.n_excluded; i++) rs_bitmap_clear(scratch->barred, q.excluded[i]);
  if (status != RS_OK) found->n = 0;
  return status;
}

typedef struct many {
  const rs_index *index;
  const rs_index_query *queries;
  rs_index_scratch *scratches; /* a thread's own */
  int64_t *rows;
  float *scores;
  int64_t failed; /* the first query that failed; INT64_MAX: none */
  rs_index_stats stats;
} many;

static void search_some(void *context, int64_t begin, int64_t end) {
  many *m = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t k = m->queries[i].k;
    rs_index_found found = {.rows = m->rows + i * k, .scores = m->scores + i * k};
    if (rs_index_search(m->index, &m->queries[i], &m->scratches[rs_thread_index()], &found) != RS_OK) {
      int64_t seen = __atomic_load_n(&m->failed, __ATOMIC_RELAXED);
      while (i < seen && !__atomic_compare_exchange_n(&m->failed, &seen, i, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      }
    }
    for (int64_t at = found.n; at < k; at++) found.rows[at] = -1, found.scores[at] = -INFINITY;
    __atomic_fetch_add(&m->stats.looked, found.stats.looked, __ATOMIC_RELAXED);
    __atomic_fetch_add(&m->stats.scored, found.stats.scored, __ATOMIC_RELAXED);
  }
}

/* The complaint of a query that failed in some thread, from this one. */
static rs_status fail_again(const many *m) {
  const rs_index_query *q = &m->queries[m->failed];
  rs_index_found found = {.rows = m->rows + m->failed * q->k, .scores = m->scores + m->failed * q->k};
  return rs_index_search(m->index, q, &m->scratches[0], &found);
}

rs_status rs_index_search_many(const rs_index *index, const rs_index_query *queries, int64_t n, rs_tensor *rows,
                               rs_tensor *scores, rs_index_stats *stats) {
  int64_t k = n > 0 ? queries[0].k : 0;
  int threads = rs_threads();
  many m = {.index = index, .queries = queries, .failed = INT64_MAX};
  *rows = *scores = (rs_tensor){0};
  *stats = (rs_index_stats){0};
  if (n > 0 && k < 1) return check(index, &queries[0]);
  rs_status status = rs_tensor_new(rows, RS_I64, 2, (int64_t[]){n, k});
  if (status == RS_OK) status = rs_tensor_new(scores, RS_F32, 2, (int64_t[]){n, k});
  m.scratches = rs_alloc_zero((size_t)threads * sizeof *m.scratches);
  if (status == RS_OK && !m.scratches) status = rs_nomem("top-k", (size_t)threads * sizeof *m.scratches);
  if (status == RS_OK) {
    m.rows = rs_i64(rows), m.scores = rs_f32(scores);
    rs_parallel_for(n, 1, search_some, &m);
    if (m.failed != INT64_MAX) status = fail_again(&m);
    *stats = m.stats;
  }
  for (int t = 0; m.scratches && t < threads; t++) rs_index_scratch_free(&m.scratches[t]);
  rs_free(m.scratches);
  if (status != RS_OK) {
    rs_tensor_free(rows);
    rs_tensor_free(scores);
  }
  return status;
}

rs_status rs_index_reserve(rs_index *index, int64_t n) { return index->engine->reserve(index, n); }

void rs_index_put(rs_index *index, const rs_tensor *items, int64_t row) { index->engine->put(index, items, row); }

const char *rs_index_engine_name(const rs_index *index) { return index->engine->name; }
int64_t rs_index_items(const rs_index *index) { return index->n; }
int64_t rs_index_width(const rs_index *index) { return index->width; }

void rs_index_free(rs_index *index) {
  if (index) index->engine->free(index);
}
