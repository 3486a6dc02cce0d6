/* pieces.c - see pieces.h. */
#include "frame/pieces.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { BLOCK = 512 }; /* units */

rs_status rs_pieces_add(rs_pieces *p, const char *text, size_t length) {
  int32_t code;
  rs_status status = rs_dictionary_add(p->dictionary, text, length, &code);
  return status == RS_OK ? rs_buffer_append(&p->codes, &code, sizeof code) : status;
}

static void pieces_free(rs_pieces *p) {
  rs_dictionary_release(p->dictionary);
  rs_buffer_free(&p->codes);
  rs_buffer_free(&p->scratch);
  rs_buffer_free(&p->points);
}

typedef struct block {
  rs_pieces pieces;
  rs_status status;
} block;

typedef struct work {
  rs_piece_maker *make;
  const void *context;
  int64_t n, n_blocks;
  block *blocks;
  int64_t *starts; /* by unit: where its codes begin in the block, in the end among all */
  int32_t *lengths;
} work;

static rs_status make_block(work *w, block *b, int64_t first, int64_t last) {
  rs_status status = rs_dictionary_new(&b->pieces.dictionary);
  for (int64_t i = first; status == RS_OK && i < last; i++) {
    size_t before = b->pieces.codes.size, width = sizeof(int32_t);
    status = w->make(&b->pieces, w->context, i);
    size_t n = (b->pieces.codes.size - before) / width;
    if (status == RS_OK && n > INT32_MAX) status = rs_fail(RS_ERANGE, "words: more than %d in one list", INT32_MAX);
    w->starts[i] = (int64_t)(before / width);
    w->lengths[i] = (int32_t)n;
  }
  return status;
}

static void make_blocks(void *context, int64_t begin, int64_t end) {
  work *w = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t last = (i + 1) * BLOCK < w->n ? (i + 1) * BLOCK : w->n;
    w->blocks[i].status = make_block(w, &w->blocks[i], i * BLOCK, last);
  }
}

/* A block's codes as codes of 'all', to which its strings are added. */
static rs_status merge_block(rs_dictionary *all, const block *b, int32_t *to) {
  const rs_dictionary *d = b->pieces.dictionary;
  size_t bytes = (size_t)(d->n + 1) * sizeof(int32_t);
  int32_t *map = rs_alloc(bytes);
  if (!map) return rs_nomem("words", bytes);
  rs_status status = RS_OK;
  for (int32_t code = 1; status == RS_OK && code <= d->n; code++) {
    size_t length;
    const char *text = rs_dictionary_text(d, code, &length);
    status = rs_dictionary_add(all, text, length, &map[code]);
  }
  const int32_t *from = (const int32_t *)b->pieces.codes.data;
  for (size_t i = 0; status == RS_OK && i < b->pieces.codes.size / sizeof *from; i++) to[i] = map[from[i]];
  rs_free(map);
  return status;
}

static int64_t codes_of(const block *b) { return (int64_t)(b->pieces.codes.size / sizeof(int32_t)); }

/* The codes of the only block, and its dictionary. */
static void take_block(rs_column *out, block *b) {
  if (codes_of(b)) memcpy(rs_i32(&out->values), b->pieces.codes.data, b->pieces.codes.size);
  out->dictionary = b->pieces.dictionary;
  b->pieces.dictionary = NULL;
}

/* All blocks' codes into out->values, one dictionary in out->dictionary. */
static rs_status merge(work *w, rs_column *out) {
  int64_t total = 0;
  for (int64_t i = 0; i < w->n_blocks; i++) total += codes_of(&w->blocks[i]);
  rs_status status = rs_tensor_new(&out->values, RS_I32, 1, &total);
  if (status == RS_OK && w->n_blocks == 1) return take_block(out, w->blocks), RS_OK;
  if (status == RS_OK) status = rs_dictionary_new(&out->dictionary);
  for (int64_t i = 0, base = 0; status == RS_OK && i < w->n_blocks; base += codes_of(&w->blocks[i++])) {
    status = merge_block(out->dictionary, &w->blocks[i], rs_i32(&out->values) + base);
    for (int64_t unit = i * BLOCK; unit < w->n && unit < (i + 1) * BLOCK; unit++) w->starts[unit] += base;
  }
  return status;
}

static rs_status run(work *w, rs_column *out) {
  size_t bytes = (size_t)w->n_blocks * sizeof *w->blocks;
  w->blocks = rs_alloc_zero(bytes);
  if (!w->blocks) return rs_nomem("words", bytes);
  rs_parallel_for(w->n_blocks, 1, make_blocks, w);
  for (int64_t i = 0; i < w->n_blocks; i++) { /* a message may be another thread's */
    rs_status status = w->blocks[i].status;
    if (status == RS_ENOMEM) return rs_nomem("words", 0);
    if (status != RS_OK) return rs_fail(status, "words: a text that cannot be cut");
  }
  return merge(w, out);
}

rs_status rs_pieces_make(rs_column *out, int64_t n, rs_piece_maker *make, const void *context) {
  work w = {.make = make, .context = context, .n = n, .n_blocks = (n + BLOCK - 1) / BLOCK};
  *out = (rs_column){.type = RS_LIST};
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->lengths, RS_I32, 1, &n);
  if (status == RS_OK) {
    w.starts = rs_i64(&out->starts);
    w.lengths = rs_i32(&out->lengths);
    status = run(&w, out);
  }
  if (status != RS_OK) rs_column_free(out);
  for (int64_t i = 0; w.blocks && i < w.n_blocks; i++) pieces_free(&w.blocks[i].pieces);
  rs_free(w.blocks);
  return status;
}

/* ---- strings ---- */

typedef struct cutting {
  const rs_dictionary *strings;
  rs_cutter *cut;
  const void *argument;
  int32_t *order;    /* the distinct codes by first appearance: the units */
  int32_t *position; /* of each code in 'order'; -1 for one that does not occur */
  int64_t n;
} cutting;

static rs_status list_distinct(cutting *c, const rs_column *strings) {
  const int32_t *values = rs_i32(&strings->values);
  size_t codes = (size_t)c->strings->n + 1;
  c->order = rs_alloc(codes * sizeof *c->order);
  c->position = rs_alloc(codes * sizeof *c->position);
  if (!c->order || !c->position) return rs_nomem("words", codes * sizeof *c->order);
  for (size_t i = 0; i < codes; i++) c->position[i] = -1;
  for (int64_t i = 0; i < strings->values.size[0]; i++)
    if (values[i] != 0 && c->position[values[i]] < 0) {
      c->position[values[i]] = (int32_t)c->n;
      c->order[c->n++] = values[i];
    }
  return RS_OK;
}

static rs_status cut_string(rs_pieces *p, const void *context, int64_t unit) {
  const cutting *c = context;
  size_t length;
  const char *text = rs_dictionary_text(c->strings, c->order[unit], &length);
  return c->cut(p, c->argument, text, length);
}

/* A row for each row of 'strings' instead of one for each distinct string. */
static rs_status spread(const cutting *c, const rs_column *strings, rs_column *out) {
  int64_t n = strings->values.size[0];
  const int32_t *values = rs_i32(&strings->values);
  rs_tensor starts = {0}, lengths = {0};
  rs_status status = rs_tensor_new(&starts, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&lengths, RS_I32, 1, &n);
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    int32_t at = values[i] ? c->position[values[i]] : -1;
    rs_i64(&starts)[i] = at < 0 ? 0 : rs_i64(&out->starts)[at];
    rs_i32(&lengths)[i] = at < 0 ? 0 : rs_i32(&out->lengths)[at];
  }
  rs_tensor_free(&out->starts);
  rs_tensor_free(&out->lengths);
  out->starts = starts;
  out->lengths = lengths;
  return status;
}

rs_status rs_pieces_cut(rs_column *out, const rs_column *strings, rs_cutter *cut, const void *argument) {
  cutting c = {.strings = strings->dictionary, .cut = cut, .argument = argument};
  *out = (rs_column){.type = RS_LIST};
  rs_status status = list_distinct(&c, strings);
  if (status == RS_OK) status = rs_pieces_make(out, c.n, cut_string, &c);
  if (status == RS_OK) status = spread(&c, strings, out);
  if (status != RS_OK) rs_column_free(out);
  rs_free(c.order);
  rs_free(c.position);
  return status;
}
