/* csv_wave.c - see csv_wave.h. */
#include "frame/csv_wave.h"

#include "base/alloc.h"
#include "base/parallel.h"

enum { BLOCK_BYTES = 1 << 18, FIRST_BLOCKS = 2, MOST_BLOCKS = 256, WIDE = 128, MOST_WIDE_BLOCKS = 8 };

static void wave_free(rs_csv_wave *w, int n_columns) {
  for (int i = 0; w->blocks && w->placements && i < w->capacity; i++) {
    rs_csv_block_free(&w->blocks[i]);
    rs_csv_placement_free(&w->placements[i], n_columns);
  }
  rs_free(w->blocks);
  rs_free(w->placements);
  *w = (rs_csv_wave){0};
}

void rs_csv_waves_free(rs_csv_waves *w) {
  for (int i = 0; i < 2; i++) wave_free(&w->waves[i], w->table->n_columns);
}

void rs_csv_waves_restart(rs_csv_waves *w) {
  w->count = 0;
  w->seen = 0;
  w->waves[0].n = w->waves[1].n = 0;
}

/* Room in an empty block for the layout's columns and fields. */
static rs_status prepare_block(rs_csv_block *b, const rs_csv_layout *layout) {
  if (!b->columns) {
    b->columns = rs_alloc_zero((size_t)layout->n_columns * sizeof *b->columns);
    if (!b->columns) return rs_nomem("csv", (size_t)layout->n_columns * sizeof *b->columns);
    b->n_columns = layout->n_columns;
  }
  if (b->n_fields < layout->n_fields) {
    rs_csv_field *fields = rs_realloc(b->fields, (size_t)layout->n_fields * sizeof *fields);
    if (!fields) return rs_nomem("csv", (size_t)layout->n_fields * sizeof *fields);
    b->fields = fields;
    b->n_fields = layout->n_fields;
  }
  b->cells.dialect = layout->dialect;
  b->cells.nulls = layout->nulls;
  b->cells.n_nulls = layout->n_nulls;
  return RS_OK;
}

/* Make the wave hold 'n' blocks. */
static rs_status prepare(rs_csv_wave *w, const rs_csv_layout *layout, int n) {
  rs_status status = RS_OK;
  if (!w->blocks) {
    w->capacity = layout->n_columns > WIDE ? MOST_WIDE_BLOCKS : MOST_BLOCKS;
    w->blocks = rs_alloc_zero((size_t)w->capacity * sizeof *w->blocks);
    w->placements = rs_alloc_zero((size_t)w->capacity * sizeof *w->placements);
    if (!w->blocks || !w->placements) return rs_nomem("csv", (size_t)w->capacity * sizeof *w->blocks);
  }
  for (int i = 0; i < n && status == RS_OK; i++) {
    status = prepare_block(&w->blocks[i], layout);
    if (status == RS_OK && !w->placements[i].codes)
      status = rs_csv_placement_make(&w->placements[i], layout->n_columns);
  }
  w->n = 0;
  return status;
}

typedef struct wave_work {
  rs_csv_table *table;
  const rs_csv_layout *layout;
  rs_csv_wave *now, *before;
  const char *begin; /* of the first record */
  size_t block;
} wave_work;

static const char *cut(const wave_work *w, int64_t block) {
  size_t left = (size_t)(w->layout->end - w->begin), offset = (size_t)block * w->block;
  return offset < left ? w->begin + offset : w->layout->end;
}

static void read_block(const wave_work *w, int i, const char *begin) {
  rs_csv_block *b = &w->now->blocks[i];
  for (int column = 0; column < b->n_columns; column++)
    rs_csv_builder_begin(&b->columns[column], &w->table->columns[column].plan, &w->table->columns[column].words);
  const char *limit = cut(w, i + 1);
  if (!begin) begin = i ? w->layout->format->guess(b, w->layout, cut(w, i), limit) : w->begin;
  rs_csv_block_read(b, w->layout, begin, limit);
}

/* First copy the rows of the wave before, then read the blocks of this one. */
static void run_item(void *context, int64_t begin, int64_t end) {
  wave_work *w = context;
  for (int64_t i = begin; i < end; i++) {
    int before = w->before->n;
    if (i < before)
      rs_csv_table_place(w->table, w->before->blocks[i].columns, &w->before->placements[i]);
    else
      read_block(w, (int)(i - before), NULL);
  }
}

/* In file order: read again what began in the wrong place, then give the rows theirs. */
static rs_status commit(wave_work *w, const char **stop, rs_csv_note *note, void *context) {
  const char *begin = w->begin;
  rs_status status = RS_OK;
  for (int i = 0; i < w->now->n && status == RS_OK; i++) {
    rs_csv_block *b = &w->now->blocks[i];
    if (b->begin != begin) read_block(w, i, begin);
    if (b->status != RS_OK) return rs_fail(b->status, "%s", b->message);
    status = rs_csv_table_commit(w->table, b->columns, b->rows, &w->now->placements[i]);
    b->row = w->now->placements[i].row;
    if (status == RS_OK) status = note(context, b);
    begin = b->stop;
    if (b->starved) w->now->n = i + 1;
  }
  *stop = begin;
  return status;
}

/* Once the first rows are there, guess how many there will be: then the columns need not move while they grow. */
static rs_status expect_rows(rs_csv_waves *w) {
  if (w->count != 1 || w->seen == 0 || w->expected <= w->seen) return RS_OK;
  double share = (double)w->expected / (double)w->seen;
  return rs_csv_table_expect(w->table, (int64_t)((double)w->table->rows * share * 1.03) + 64);
}

rs_status rs_csv_waves_read(rs_csv_waves *w, const rs_csv_layout *layout, const char *begin, const char **stop,
                            rs_csv_note *note, void *context) {
  size_t block = w->block ? w->block : BLOCK_BYTES;
  rs_status status = RS_OK;
  *stop = begin;
  for (bool starved = false; status == RS_OK && *stop < layout->end && !starved; w->count++) {
    rs_csv_wave *now = &w->waves[w->count & 1], *before = &w->waves[1 - (w->count & 1)];
    size_t left = (size_t)(layout->end - *stop), blocks = (left + block - 1) / block;
    size_t most = w->count < 2 ? (size_t)FIRST_BLOCKS << 3 * w->count : MOST_BLOCKS;
    if (layout->n_columns > WIDE && most > MOST_WIDE_BLOCKS) most = MOST_WIDE_BLOCKS;
    int n = (int)(blocks < most ? blocks : most);
    status = prepare(now, layout, n);
    if (status != RS_OK) break;
    now->n = n;
    wave_work work = {w->table, layout, now, before, *stop, block};
    rs_parallel_for(before->n + n, 1, run_item, &work);
    before->n = 0;
    status = commit(&work, stop, note, context);
    starved = status == RS_OK && now->n && now->blocks[now->n - 1].starved;
    w->seen += (size_t)(*stop - work.begin);
    if (status == RS_OK) status = expect_rows(w);
  }
  for (int i = 0; i < 2; i++) {
    wave_work work = {.table = w->table, .before = &w->waves[i]};
    if (status == RS_OK && work.before->n) rs_parallel_for(work.before->n, 1, run_item, &work);
    work.before->n = 0;
  }
  return status;
}
