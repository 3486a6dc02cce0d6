/* neighbours.c - see neighbours.h. */
#include "solve/neighbours.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "tensor/nearest.h"
#include "tensor/clones.h"

enum {
  LANES = 16,       /* rows of a block */
  AHEAD = 4,        /* columns */
  SLICE = 512,      /* columns of m whose entries of a block lie side by side: 32 KiB */
  WIDEST = 1 << 13, /* rows of m up to which sums of blocks are kept: 128 MiB of them at the most */
  FOURTHS = 3       /* of what its rows alone take a block must save, to pay */
};

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(sizeof(float)), may_alias));

/* An entry of a column of m: a row of ours and its weight. */
typedef struct entry {
  int32_t row;
  float value;
} entry;

/* What a thread works with. */
typedef struct scratch {
  float *sums;      /* [n]: all 0 between rows */
  float *slice;     /* [SLICE, LANES] */
  uint8_t *present; /* [SLICE] */
  int32_t *touched; /* [n + 1]: whose sums are not 0 */
  float *found;     /* [n + 1]: these sums, then similarities */
  float *few;       /* [n + 1] or [room] */
  float *scores;    /* [LANES, room] */
  int32_t *near;    /* [LANES, room]: their rows */
  uint64_t *marks, *marked; /* sets of rows of m, and of words of the former that are not 0: for sorting */
} scratch;

typedef struct work {
  const rs_neighbours_options *options;
  int64_t n, width, room, blocks, first_together;
  rs_csr rows;        /* [n, width]: our rows, those with few entries first; columns rising */
  int64_t *of_column; /* [width + 1]: where a column's entries begin */
  void *entries;      /* rising in each column: entry, or uint16_t where a column's weights are all the same */
  bool ones;          /* which they are: 'rows' holds their squares */
  bool grows;         /* no sum that was added to is 0 */
  int32_t *original;  /* [n]: the row of m that ours is */
  float *own, *length; /* [n]: what products are divided by, of the row whose neighbours are found, and of the other */
  float *together;    /* the sums of blocks, each [rows up to its last, LANES] */
  scratch *of_thread;
  int threads;
  int64_t *counts;    /* [n], of rows of m */
  rs_tensor near, similar; /* i32 and f32 [n k], of rows of m */
  int32_t *columns;        /* their numbers */
  float *values;
} work;

/* The block's sums among those of all that are kept: [LANES (block + 1), LANES]. */
static float *sums_of_block(const work *w, int64_t block) {
  int64_t before = (block * (block + 1) - w->first_together * (w->first_together + 1)) / 2;
  return w->together + before * LANES * LANES;
}

/* Put the best of row 'row' of ours where they belong, by their rows. */
static void put(const work *w, scratch *s, rs_nearest *b, int64_t row) {
  int64_t k = w->options->k, to = w->original[row] * k;
  rs_nearest_keep(b, k, w->original, s->few);
  for (int64_t i = 0; i < b->n; i++) {
    int32_t at = w->original[b->rows[i]];
    s->sums[at] = b->scores[i];
    s->marks[at >> 6] |= UINT64_C(1) << (at & 63);
    s->marked[at >> 12] |= UINT64_C(1) << (at >> 6 & 63);
  }
  w->counts[w->original[row]] = b->n;
  for (int64_t high = 0, end = to + b->n; to < end; high++)
    for (; s->marked[high]; s->marked[high] &= s->marked[high] - 1) {
      int64_t word = high << 6 | __builtin_ctzll(s->marked[high]);
      for (; s->marks[word]; s->marks[word] &= s->marks[word] - 1) {
        int32_t at = (int32_t)(word << 6 | __builtin_ctzll(s->marks[word]));
        w->columns[to] = at;
        w->values[to++] = s->sums[at];
        s->sums[at] = 0;
      }
    }
}

/* What lies ahead: the entries of the column that is met some columns later, whose place nothing else foretells. */
static inline void look_ahead(const work *w, const int32_t *columns, int64_t i, int64_t end, size_t size) {
  if (i + 2 * AHEAD < end) __builtin_prefetch(w->of_column + columns[i + 2 * AHEAD]);
  if (i + AHEAD >= end) return;
  int64_t from = w->of_column[columns[i + AHEAD]], to = w->of_column[columns[i + AHEAD] + 1];
  const char *next = (const char *)w->entries + (size_t)from * size, *last = (const char *)w->entries + (size_t)to * size;
  for (int line = 0; line < 8 && next < last; line++, next += 64) __builtin_prefetch(next);
}

#define ENTRY entry
#define OF(name) name##_weighted
#define ROW(e) ((e)->row)
#define TERM(x, e) ((x) * (e)->value)
#include "solve/neighbours_rows.h"

#define ENTRY uint16_t
#define OF(name) name##_ones
#define ROW(e) (*(e))
#define TERM(x, e) (x)
#include "solve/neighbours_rows.h"

/* ---- one row at a time ---- */

/* Take the sums that are not 0, and clear them all. How many. */
static int64_t take_all(const work *w, scratch *s) {
  int64_t n = 0;
  for (int64_t at = 0; at < w->n; at++) {
    s->touched[n] = (int32_t)at;
    s->found[n] = s->sums[at];
    n += s->sums[at] != 0;
  }
  memset(s->sums, 0, (size_t)w->n * sizeof(float));
  return n;
}

static int64_t take_touched(scratch *s, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    s->found[i] = s->sums[s->touched[i]];
    s->sums[s->touched[i]] = 0;
  }
  return n;
}

/* Sums to similarities. */
RS_CLONES static void divide(float *restrict found, const int32_t *restrict touched, int64_t n,
                             const float *restrict length, float own, float shrink) {
  for (int64_t i = 0; i < n; i++) found[i] /= own * length[touched[i]] + shrink;
}

/* Updates that a row alone takes. */
static int64_t updates_of(const work *w, int64_t row) {
  const int64_t *starts = rs_i64(&w->rows.starts);
  const int32_t *columns = rs_i32(&w->rows.columns);
  int64_t updates = 0;
  for (int64_t i = starts[row]; i < starts[row + 1]; i++)
    updates += w->of_column[columns[i] + 1] - w->of_column[columns[i]];
  return updates;
}

static void do_row(const work *w, scratch *s, int64_t row) {
  int64_t n;
  if (w->grows && updates_of(w, row) <= w->n) {
    n = w->ones ? add_and_touch_ones(w, s->sums, s->touched, row) : add_and_touch_weighted(w, s->sums, s->touched, row);
    s->sums[row] = 0;
    n = take_touched(s, n);
  } else {
    w->ones ? add_row_ones(w, s->sums, row) : add_row_weighted(w, s->sums, row);
    s->sums[row] = 0;
    n = take_all(w, s);
  }
  divide(s->found, s->touched, n, w->length, w->own[row], (float)w->options->shrink);
  put(w, s, &(rs_nearest){.scores = s->found, .rows = s->touched, .n = n}, row);
}

/* ---- a block of rows ---- */

static int64_t rows_of_block(const work *w, int64_t block) {
  return w->n - block * LANES < LANES ? w->n - block * LANES : LANES;
}

/* Entries of a block's rows in columns first .. first + SLICE - 1, side by side. 'at': where each row has come to. */
static void fill_slice(const work *w, scratch *s, int64_t row, int64_t n, int64_t first, int64_t *at) {
  const int64_t *starts = rs_i64(&w->rows.starts);
  const int32_t *columns = rs_i32(&w->rows.columns);
  const float *values = rs_f32(&w->rows.values);
  memset(s->slice, 0, SLICE * LANES * sizeof(float));
  memset(s->present, 0, SLICE);
  for (int64_t lane = 0; lane < n; lane++)
    for (; at[lane] < starts[row + lane + 1] && columns[at[lane]] < first + SLICE; at[lane]++) {
      int64_t place = columns[at[lane]] - first;
      s->slice[place * LANES + lane] = values[at[lane]];
      s->present[place] = 1;
    }
}

/* The products of a block's rows with all rows up to its last. The largest blocks come first. */
static void add_blocks(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  scratch *s = &w->of_thread[rs_thread_index()];
  for (int64_t i = begin; i < end; i++) {
    int64_t block = w->blocks - 1 - i, row = block * LANES, n = rows_of_block(w, block), at[LANES];
    float *sums = sums_of_block(w, block);
    memset(sums, 0, (size_t)(row + LANES) * LANES * sizeof(float));
    for (int64_t lane = 0; lane < n; lane++) at[lane] = rs_i64(&w->rows.starts)[row + lane];
    for (int64_t first = 0; first < w->width; first += SLICE) {
      fill_slice(w, s, row, n, first, at);
      int64_t columns = w->width - first < SLICE ? w->width - first : SLICE;
      if (w->ones)
        add_slice_ones(w, s, sums, first, columns, row + LANES);
      else
        add_slice_weighted(w, s, sums, first, columns, row + LANES);
    }
  }
}

/* out = sums as similarities, in all lanes; whether one of them reaches 'least'. */
RS_CLONES static bool reaches(float *restrict out, const float *restrict sums, const float *restrict lengths,
                              float length, float shrink, const float *restrict least) {
  int any = 0;
  for (int lane = 0; lane < LANES; lane++) {
    out[lane] = sums[lane] / (lengths[lane] * length + shrink);
    any |= out[lane] >= least[lane];
  }
  return any;
}

/* The neighbours that the rows of a block have so far. */
typedef struct block_best {
  rs_nearest of[LANES];
  float least[LANES]; /* above 0 */
} block_best;

static inline void add_near(const work *w, scratch *s, block_best *b, int64_t lane, float score, int64_t row) {
  rs_nearest *best = &b->of[lane];
  best->scores[best->n] = score;
  best->rows[best->n++] = (int32_t)row;
  if (best->n < w->room) return;
  rs_nearest_keep(best, w->options->k, w->original, s->few);
  if (best->least > 0) b->least[lane] = best->least;
}

/* Among the rows up to the block's last. */
static void look_back(const work *w, scratch *s, block_best *b, int64_t block) {
  int64_t row = block * LANES, n = rows_of_block(w, block);
  const float *sums = sums_of_block(w, block);
  float out[LANES], lengths[LANES];
  for (int64_t lane = 0; lane < LANES; lane++) lengths[lane] = lane < n ? w->own[row + lane] : 1;
  for (int64_t at = row + n; at-- > 0;) { /* those with as many entries are the likeliest */
    if (!reaches(out, sums + at * LANES, lengths, w->length[at], (float)w->options->shrink, b->least)) continue;
    for (int64_t lane = 0; lane < n; lane++)
      if (out[lane] >= b->least[lane] && at != row + lane) add_near(w, s, b, lane, out[lane], at);
  }
}

/* Among the rows of a later block. */
static void look_on(const work *w, scratch *s, block_best *b, int64_t block, int64_t later) {
  int64_t row = block * LANES, n = rows_of_block(w, later);
  const float *sums = sums_of_block(w, later) + row * LANES;
  float out[LANES], lengths[LANES], least[LANES];
  for (int64_t i = 0; i < LANES; i++) lengths[i] = i < n ? w->length[later * LANES + i] : 1;
  for (int64_t lane = 0; lane < LANES; lane++, sums += LANES) {
    for (int64_t i = 0; i < LANES; i++) least[i] = b->least[lane];
    if (!reaches(out, sums, lengths, w->own[row + lane], (float)w->options->shrink, least)) continue;
    for (int64_t i = 0; i < n; i++)
      if (out[i] >= b->least[lane]) add_near(w, s, b, lane, out[i], later * LANES + i);
  }
}

static void do_block(const work *w, scratch *s, int64_t block) {
  block_best b;
  for (int64_t lane = 0; lane < LANES; lane++) {
    b.of[lane] = (rs_nearest){.scores = s->scores + lane * w->room, .rows = s->near + lane * w->room};
    b.least[lane] = __FLT_DENORM_MIN__;
  }
  look_back(w, s, &b, block);
  for (int64_t later = block + 1; later < w->blocks; later++) look_on(w, s, &b, block, later);
  for (int64_t lane = 0, n = rows_of_block(w, block); lane < n; lane++) put(w, s, &b.of[lane], block * LANES + lane);
}

/* ---- all ---- */

static void do_blocks(void *context, int64_t begin, int64_t end) {
  const work *w = context;
  scratch *s = &w->of_thread[rs_thread_index()];
  for (int64_t i = begin; i < end; i++) {
    int64_t block = w->blocks - 1 - i;
    if (block >= w->first_together)
      do_block(w, s, block);
    else
      for (int64_t lane = rows_of_block(w, block); lane-- > 0;) do_row(w, s, block * LANES + lane);
  }
}

/* Whether the rows of a block have so many columns in common that they are better added together. 'stamp' [width]. */
static bool is_close(const work *w, int64_t block, int32_t *stamp) {
  const int64_t *starts = rs_i64(&w->rows.starts);
  const int32_t *columns = rs_i32(&w->rows.columns);
  int64_t alone = 0, together = 0, row = block * LANES, end = starts[row + rows_of_block(w, block)];
  for (int64_t i = starts[row]; i < end; i++) {
    int32_t column = columns[i];
    int64_t size = w->of_column[column + 1] - w->of_column[column];
    alone += size;
    if (stamp[column] != block + 1) together += size;
    stamp[column] = (int32_t)(block + 1);
  }
  return 4 * together < FOURTHS * alone;
}

/* From which block on rows are added together. */
static rs_status choose(work *w) {
  w->blocks = w->first_together = (w->n + LANES - 1) / LANES;
  if (w->n > WIDEST) return RS_OK;
  size_t bytes = ((size_t)w->width + 1) * sizeof(int32_t);
  int32_t *stamp = rs_alloc_zero(bytes);
  if (!stamp) return rs_nomem("neighbours", bytes);
  while (w->first_together > 0 && is_close(w, w->first_together - 1, stamp)) w->first_together--;
  rs_free(stamp);
  int64_t sums = (w->blocks * (w->blocks + 1) - w->first_together * (w->first_together + 1)) / 2 * LANES * LANES;
  if (sums == 0) return RS_OK;
  w->together = rs_alloc((size_t)sums * sizeof(float));
  return w->together ? RS_OK : rs_nomem("neighbours", (size_t)sums * sizeof(float));
}

static rs_status scratch_new(scratch *s, const work *w) {
  size_t n = (size_t)w->n + 1, words = (size_t)(w->n >> 12) + 1, room = (size_t)w->room;
  s->sums = rs_alloc_zero(n * sizeof(float));
  s->slice = rs_alloc(SLICE * LANES * sizeof(float));
  s->present = rs_alloc(SLICE);
  s->touched = rs_alloc(n * sizeof(int32_t));
  s->found = rs_alloc(n * sizeof(float));
  s->few = rs_alloc((n > room ? n : room) * sizeof(float));
  s->scores = rs_alloc(room * LANES * sizeof(float));
  s->near = rs_alloc(room * LANES * sizeof(int32_t));
  s->marks = rs_alloc_zero(words * 64 * sizeof(uint64_t));
  s->marked = rs_alloc_zero(words * sizeof(uint64_t));
  bool all = s->sums && s->slice && s->present && s->touched && s->found && s->few && s->scores && s->near &&
             s->marks && s->marked;
  return all ? RS_OK : rs_nomem("neighbours", (n + room * LANES) * sizeof(float));
}

static void scratch_free(scratch *s) {
  void *const parts[] = {s->sums, s->slice,  s->present, s->touched, s->found,
                         s->few,  s->scores, s->near,    s->marks,   s->marked};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) rs_free(parts[i]);
}

/* Rows by their entries, the fewest first: a counting sort, stable. */
static rs_status order_rows(work *w, const rs_csr *m) {
  const int64_t *starts = rs_i64(&m->starts);
  int64_t most = 0, total = 0;
  for (int64_t r = 0; r < m->rows; r++) most = starts[r + 1] - starts[r] > most ? starts[r + 1] - starts[r] : most;
  size_t bytes = ((size_t)most + 1) * sizeof(int64_t);
  int64_t *at = rs_alloc_zero(bytes);
  if (!at) return rs_nomem("neighbours", bytes);
  for (int64_t r = 0; r < m->rows; r++) at[starts[r + 1] - starts[r]]++;
  for (int64_t i = 0; i <= most; i++) {
    int64_t here = at[i];
    at[i] = total;
    total += here;
  }
  for (int64_t r = 0; r < m->rows; r++) w->original[at[starts[r + 1] - starts[r]]++] = (int32_t)r;
  rs_free(at);
  return RS_OK;
}

/* m's rows in our order, with 'values' for its own. */
static rs_status reorder(rs_csr *out, const work *w, const rs_csr *m, const float *values) {
  *out = (rs_csr){.rows = m->rows, .width = m->width};
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, m->starts.size);
  if (status == RS_OK) status = rs_tensor_new(&out->columns, RS_I32, 1, m->columns.size);
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_F32, 1, m->columns.size);
  if (status != RS_OK) return status;
  int64_t *starts = rs_i64(&out->starts), to = 0;
  for (int64_t row = 0; row < m->rows; row++) {
    int64_t from = rs_i64(&m->starts)[w->original[row]], n = rs_i64(&m->starts)[w->original[row] + 1] - from;
    starts[row] = to;
    memcpy(rs_i32(&out->columns) + to, rs_i32(&m->columns) + from, (size_t)n * sizeof(int32_t));
    memcpy(rs_f32(&out->values) + to, values + from, (size_t)n * sizeof(float));
    to += n;
  }
  starts[m->rows] = to;
  return RS_OK;
}

/* Entries in the order of their columns, and each column once; lengths of rows, of bm25 as they are. */
static rs_status look_at_rows(work *w) {
  const int64_t *starts = rs_i64(&w->rows.starts);
  const int32_t *columns = rs_i32(&w->rows.columns);
  const float *values = rs_f32(&w->rows.values);
  w->grows = true;
  for (int64_t row = 0; row < w->n; row++) {
    double squares = 0;
    for (int64_t i = starts[row]; i < starts[row + 1]; i++) {
      if (i > starts[row] && columns[i] == columns[i - 1])
        return rs_fail(RS_EARG, "neighbours: row %d has column %d twice", w->original[row], columns[i]);
      squares += w->ones ? (double)values[i] : (double)values[i] * (double)values[i];
      w->grows = w->grows && values[i] > 1e-15f;
    }
    if (!(squares < 1e38))
      return rs_fail(RS_ERANGE, "neighbours: the entries of row %d are too large", w->original[row]);
    if (w->options->weighting == RS_BM25) continue;
    w->own[row] = (float)pow(squares, w->options->alpha);
    w->length[row] = (float)pow(squares, 1 - w->options->alpha);
  }
  return RS_OK;
}

/* Columns and values side by side: one place to fetch instead of two; or no values at all. */
static rs_status take_entries(work *w, const rs_csr *turned) {
  size_t starts = ((size_t)w->width + 1) * sizeof(int64_t), n = (size_t)rs_csr_entries(turned);
  w->of_column = rs_alloc(starts);
  w->entries = rs_alloc((n + 1) * (w->ones ? sizeof(uint16_t) : sizeof(entry)));
  if (!w->of_column || !w->entries) return rs_nomem("neighbours", n * sizeof(entry));
  memcpy(w->of_column, rs_i64(&turned->starts), starts);
  const int32_t *columns = rs_i32(&turned->columns);
  const float *values = rs_f32(&turned->values);
  for (size_t i = 0; i < n && w->ones; i++) ((uint16_t *)w->entries)[i] = (uint16_t)columns[i];
  for (size_t i = 0; i < n && !w->ones; i++) ((entry *)w->entries)[i] = (entry){columns[i], values[i]};
  return RS_OK;
}

/* The weights, in the place of m's values: of entries that are all 1 the square of the column's part, the row's then
 * being a length to divide by. */
static rs_status weigh(work *w, rs_csr *out, const rs_csr *m) {
  const rs_neighbours_options *o = w->options;
  const rs_weigh_options weighing = {.weighting = o->weighting, .k1 = o->k1, .b = o->b};
  w->ones = w->n <= UINT16_MAX && rs_weigh_is_ones(m);
  for (int64_t row = 0; row < w->n; row++) w->own[row] = w->length[row] = 1;
  if (!w->ones) return rs_weigh(out, m, &weighing);
  rs_tensor of_row = {0}, of_column = {0};
  rs_status status = rs_weigh_ones(&of_row, &of_column, m, &weighing);
  *out = (rs_csr){.rows = m->rows, .width = m->width};
  if (status == RS_OK) status = rs_tensor_new(&out->values, RS_F32, 1, m->columns.size);
  if (status == RS_OK) {
    rs_tensor_share(&out->starts, &m->starts);
    rs_tensor_share(&out->columns, &m->columns);
    const int32_t *columns = rs_i32(&m->columns);
    const float *part = rs_f32(&of_column);
    float *values = rs_f32(&out->values);
    for (int64_t i = 0, n = rs_csr_entries(m); i < n; i++) values[i] = part[columns[i]] * part[columns[i]];
    for (int64_t row = 0; row < w->n; row++)
      w->own[row] = w->length[row] = 1 / rs_f32(&of_row)[w->original[row]];
  }
  rs_tensor_free(&of_row);
  rs_tensor_free(&of_column);
  return status;
}

/* Whether the columns of each row rise, or stay. */
static bool rises(const rs_csr *m) {
  const int64_t *starts = rs_i64(&m->starts);
  const int32_t *columns = rs_i32(&m->columns);
  for (int64_t row = 0; row < m->rows; row++)
    for (int64_t i = starts[row] + 1; i < starts[row + 1]; i++)
      if (columns[i] < columns[i - 1]) return false;
  return true;
}

static rs_status prepare(work *w, const rs_csr *m) {
  rs_csr weighed = {0}, ordered = {0}, turned = {0};
  rs_status status = order_rows(w, m);
  if (status == RS_OK) status = weigh(w, &weighed, m);
  if (status == RS_OK) status = reorder(&ordered, w, m, rs_f32(&weighed.values));
  if (status == RS_OK) status = rs_csr_transpose(&turned, &ordered);
  if (status == RS_OK && rises(&ordered)) {
    w->rows = ordered;
    ordered = (rs_csr){0};
  } else if (status == RS_OK) {
    status = rs_csr_transpose(&w->rows, &turned);
  }
  if (status == RS_OK) status = take_entries(w, &turned);
  if (status == RS_OK) status = look_at_rows(w);
  rs_csr_free(&weighed);
  rs_csr_free(&ordered);
  rs_csr_free(&turned);
  return status == RS_OK ? choose(w) : status;
}

/* Let the similarities of a row sum to 1. */
static void normalize(float *values, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (double)values[i];
  for (int64_t i = 0; i < n; i++) values[i] = (float)(values[i] / sum);
}

/* Close the gaps behind rows of less than k neighbours, and hand over what they take of the room. */
static rs_status finish(rs_csr *out, work *w) {
  int64_t total = 0, k = w->options->k;
  *out = (rs_csr){.rows = w->n, .width = w->n};
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, (int64_t[]){w->n + 1});
  if (status != RS_OK) return status;
  for (int64_t row = 0; row < w->n; row++) {
    size_t bytes = (size_t)w->counts[row] * sizeof(float); /* and of an int32_t */
    rs_i64(&out->starts)[row] = total;
    if (w->options->normalize) normalize(w->values + row * k, w->counts[row]);
    if (total < row * k) memmove(w->columns + total, w->columns + row * k, bytes);
    if (total < row * k) memmove(w->values + total, w->values + row * k, bytes);
    total += w->counts[row];
  }
  rs_i64(&out->starts)[w->n] = total;
  rs_tensor_narrow(&out->columns, &w->near, 0, 0, total);
  rs_tensor_narrow(&out->values, &w->similar, 0, 0, total);
  return RS_OK;
}

static rs_status allocate(work *w) {
  size_t n = (size_t)w->n + 1;
  w->threads = rs_threads();
  w->original = rs_alloc(n * sizeof(int32_t));
  w->own = rs_alloc(n * sizeof(float));
  w->length = rs_alloc(n * sizeof(float));
  w->counts = rs_alloc(n * sizeof(int64_t));
  w->of_thread = rs_alloc_zero((size_t)w->threads * sizeof(scratch));
  if (!w->original || !w->own || !w->length || !w->counts || !w->of_thread)
    return rs_nomem("neighbours", n * sizeof(int64_t));
  int64_t room = w->n * w->options->k;
  rs_status status = rs_tensor_new(&w->near, RS_I32, 1, &room);
  if (status == RS_OK) status = rs_tensor_new(&w->similar, RS_F32, 1, &room);
  if (status != RS_OK) return status;
  w->columns = rs_i32(&w->near);
  w->values = rs_f32(&w->similar);
  for (int i = 0; i < w->threads && status == RS_OK; i++) status = scratch_new(&w->of_thread[i], w);
  return status;
}

static void release(work *w) {
  for (int i = 0; w->of_thread && i < w->threads; i++) scratch_free(&w->of_thread[i]);
  void *const parts[] = {w->of_thread, w->original,  w->own, w->length,  w->counts,  w->of_column,
                         w->entries,   w->together};
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) rs_free(parts[i]);
  rs_tensor_free(&w->near);
  rs_tensor_free(&w->similar);
  rs_csr_free(&w->rows);
}

static rs_status check_options(const rs_csr *m, const rs_neighbours_options *o) {
  if (o->k < 1) return rs_fail(RS_EARG, "neighbours: k is %lld, not 1 or more", (long long)o->k);
  if (!(o->shrink >= 0 && o->shrink <= 1e9))
    return rs_fail(RS_EARG, "neighbours: shrink is %g, not 0 or more", o->shrink);
  if (!(o->alpha >= 0 && o->alpha <= 1)) return rs_fail(RS_EARG, "neighbours: alpha is %g, not from 0 to 1", o->alpha);
  if ((o->shrink > 0 || o->alpha != 0.5) && o->weighting == RS_BM25)
    return rs_fail(RS_EARG, "neighbours: products of bm25 are not divided by lengths, so there is no shrink or alpha");
  if (m->rows > INT32_MAX - LANES) return rs_fail(RS_ESHAPE, "neighbours: %lld rows", (long long)m->rows);
  return RS_OK;
}

rs_status rs_neighbours(rs_csr *out, const rs_csr *m, const rs_neighbours_options *options) {
  *out = (rs_csr){0};
  rs_status status = check_options(m, options);
  if (status != RS_OK) return status;
  rs_neighbours_options o = *options;
  if (o.k > m->rows) o.k = m->rows > 0 ? m->rows : 1;
  work w = {.options = &o, .n = m->rows, .width = m->width, .room = 4 * o.k + 64};
  status = allocate(&w);
  if (status == RS_OK) status = prepare(&w, m);
  if (status == RS_OK) {
    rs_parallel_for(w.blocks - w.first_together, 1, add_blocks, &w);
    rs_parallel_for(w.blocks, 1, do_blocks, &w);
    status = finish(out, &w);
  }
  if (status != RS_OK) rs_csr_free(out);
  release(&w);
  return status;
}
