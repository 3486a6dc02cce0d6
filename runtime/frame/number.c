/* number.c - numbers for values by first appearance. See partition.h.
 *
 * Values of a small range are looked up in a table. Others are mixed (a bijection), split by their first bits into
 * partitions whose hash tables stay in the second-level cache, and each row learns there the first row of its value.
 * That row's rank among all first rows is the number: the order of first appearance, whoever computed what. */
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/partition.h"

enum {
  SMALL_RANGE = 1 << 18,   /* a table of codes that fits the second-level cache */
  PARTITION_ROWS = 1 << 14, /* rows that a partition should have */
  MOST_PARTITION_BITS = 10,
  FIRST_SLOTS = 1024
};

static rs_status number_small(int64_t *ids, int64_t n, int64_t range, int64_t *n_ids) {
  size_t bytes = (size_t)range * sizeof(int32_t);
  int32_t *numbers = rs_alloc_zero(bytes), next = 0; /* number + 1; 0: not seen */
  if (!numbers) return rs_nomem("frame keys", bytes);
  for (int64_t i = 0; i < n; i++) {
    int32_t *number = &numbers[ids[i]];
    if (!*number) *number = ++next;
    ids[i] = *number - 1;
  }
  rs_free(numbers);
  *n_ids = next;
  return RS_OK;
}

static uint64_t mix(uint64_t z) { /* SplitMix64's finaliser, a bijection */
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

static void mix_keys(void *context, int64_t begin, int64_t end) {
  uint64_t *keys = context;
  for (int64_t i = begin; i < end; i++) keys[i] = mix(keys[i]);
}

typedef struct slot {
  uint64_t key;
  int64_t first; /* row + 1; 0: free */
} slot;

/* Linear probing, at most half full. */
typedef struct table {
  slot *slots;
  int64_t n, n_slots;
} table;

static slot *probe(const table *t, uint64_t key) {
  uint64_t at = key & (uint64_t)(t->n_slots - 1);
  while (t->slots[at].first && t->slots[at].key != key) at = (at + 1) & (uint64_t)(t->n_slots - 1);
  return &t->slots[at];
}

static bool table_new(table *t, int64_t n_slots) {
  *t = (table){rs_alloc_zero((size_t)n_slots * sizeof(slot)), 0, n_slots};
  return t->slots != NULL;
}

static bool table_grow(table *t) {
  table wider;
  if (!table_new(&wider, 2 * t->n_slots)) return false;
  for (int64_t i = 0; i < t->n_slots; i++)
    if (t->slots[i].first) *probe(&wider, t->slots[i].key) = t->slots[i];
  wider.n = t->n;
  rs_free(t->slots);
  *t = wider;
  return true;
}

typedef struct numbering {
  int64_t *ids; /* the values, then first rows, then numbers */
  const uint64_t *keys;
  const int64_t *rows;   /* NULL: 0 .. n-1 */
  const int64_t *starts; /* of the partitions */
  int64_t *ranks;        /* [n]; may be the memory of rows */
  int64_t *counts;       /* first rows of each chunk, then of those before it */
  atomic_int refused;    /* memory, inside a loop */
} numbering;

/* Tell the rows begin .. end-1 of the partitioned order their first row. */
static bool find_firsts(const numbering *w, int64_t begin, int64_t end) {
  table t;
  int64_t slots = FIRST_SLOTS, rows = end - begin < PARTITION_ROWS * 2 ? end - begin : PARTITION_ROWS * 2;
  while (slots < 2 * rows) slots *= 2;
  bool fine = table_new(&t, slots);
  for (int64_t i = begin; fine && i < end; i++) {
    int64_t row = w->rows ? w->rows[i] : i;
    slot *s = probe(&t, w->keys[i]);
    if (!s->first) {
      *s = (slot){w->keys[i], row + 1};
      if (2 * ++t.n > t.n_slots) fine = table_grow(&t);
      w->ids[row] = row;
    } else
      w->ids[row] = s->first - 1;
  }
  rs_free(t.slots);
  return fine;
}

static void find_partitions(void *context, int64_t begin, int64_t end) {
  numbering *w = context;
  for (int64_t p = begin; p < end; p++)
    if (!find_firsts(w, w->starts[p], w->starts[p + 1])) atomic_store(&w->refused, 1);
}

static void count_firsts(void *context, int64_t begin, int64_t end) {
  const numbering *w = context;
  int64_t count = 0;
  for (int64_t i = begin; i < end; i++) count += w->ids[i] == i;
  w->counts[begin / RS_ROW_GRAIN] = count;
}

static void rank_firsts(void *context, int64_t begin, int64_t end) {
  const numbering *w = context;
  int64_t rank = w->counts[begin / RS_ROW_GRAIN];
  for (int64_t i = begin; i < end; i++)
    if (w->ids[i] == i) w->ranks[i] = rank++;
}

static void firsts_to_ranks(void *context, int64_t begin, int64_t end) {
  const numbering *w = context;
  for (int64_t i = begin; i < end; i++) w->ids[i] = w->ranks[w->ids[i]];
}

static rs_status rank_all(numbering *w, int64_t n, int64_t *n_ids) {
  int64_t chunks = (n + RS_ROW_GRAIN - 1) / RS_ROW_GRAIN, sum = 0;
  w->counts = rs_alloc((size_t)chunks * sizeof(int64_t));
  if (!w->counts) return rs_nomem("frame keys", (size_t)chunks * sizeof(int64_t));
  rs_parallel_for(n, RS_ROW_GRAIN, count_firsts, w);
  for (int64_t c = 0; c < chunks; c++) {
    int64_t count = w->counts[c];
    w->counts[c] = sum;
    sum += count;
  }
  rs_parallel_for(n, RS_ROW_GRAIN, rank_firsts, w);
  rs_parallel_for(n, RS_ROW_GRAIN, firsts_to_ranks, w);
  rs_free(w->counts);
  *n_ids = sum;
  return RS_OK;
}

static rs_status number_wide(int64_t *ids, int64_t n, int64_t *n_ids, uint64_t *scratch) {
  int64_t starts[(1 << MOST_PARTITION_BITS) + 1] = {0, n}, *rows = (int64_t *)scratch + n;
  numbering w = {.ids = ids, .keys = scratch, .rows = rows, .starts = starts, .ranks = rows};
  int bits = 0;
  while (bits < MOST_PARTITION_BITS && n >> bits > PARTITION_ROWS) bits++;
  rs_parallel_for(n, RS_ROW_GRAIN, mix_keys, ids);
  rs_status status = RS_OK;
  if (bits)
    status = rs_scatter(scratch, rows, starts, (const uint64_t *)ids, NULL, n, 64 - bits, bits);
  else {
    if (n) memcpy(scratch, ids, (size_t)n * sizeof *ids);
    w.rows = NULL;
  }
  if (status == RS_OK) rs_parallel_for(INT64_C(1) << bits, 1, find_partitions, &w);
  if (status == RS_OK && atomic_load(&w.refused))
    status = rs_nomem("frame keys", (size_t)PARTITION_ROWS * 2 * sizeof(slot));
  return status == RS_OK ? rank_all(&w, n, n_ids) : status;
}

rs_status rs_number(int64_t *ids, int64_t n, int64_t range, int64_t *n_ids) {
  if (range > 0 && range <= SMALL_RANGE && range <= 4 * n + FIRST_SLOTS) return number_small(ids, n, range, n_ids);
  size_t bytes = 2 * (size_t)n * sizeof(int64_t);
  uint64_t *scratch = rs_alloc(bytes);
  if (!scratch) return rs_nomem("frame keys", bytes);
  rs_status status = number_wide(ids, n, n_ids, scratch);
  rs_free(scratch);
  return status;
}
