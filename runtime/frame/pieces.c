/* pieces.c - see pieces.h. */
#include "frame/pieces.h"

#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"

enum { BLOCK = 512 }; /* strings */

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
  int64_t base; /* where its codes begin among all */
} block;

/* Where the codes of a string begin, in its block, and how many they are. */
typedef struct run {
  int64_t begin;
  int32_t length;
} run;

typedef struct work {
  const rs_dictionary *strings;
  rs_cutter *cut;
  const void *argument;
  int32_t *order;    /* the distinct codes by first appearance */
  int32_t *position; /* of each code in 'order'; -1 for one that does not occur */
  run *runs;         /* by position */
  int64_t n, n_blocks;
  block *blocks;
} work;

static void work_free(work *w) {
  for (int64_t i = 0; w->blocks && i < w->n_blocks; i++) pieces_free(&w->blocks[i].pieces);
  rs_free(w->order);
  rs_free(w->position);
  rs_free(w->runs);
  rs_free(w->blocks);
}

static rs_status list_distinct(work *w, const rs_column *strings) {
  int64_t n = strings->values.size[0];
  const int32_t *values = rs_i32(&strings->values);
  size_t codes = (size_t)w->strings->n + 1;
  w->order = rs_alloc(codes * sizeof *w->order);
  w->position = rs_alloc(codes * sizeof *w->position);
  if (!w->order || !w->position) return rs_nomem("words", codes * sizeof *w->order);
  for (size_t i = 0; i < codes; i++) w->position[i] = -1;
  for (int64_t i = 0; i < n; i++)
    if (values[i] != 0 && w->position[values[i]] < 0) {
      w->position[values[i]] = (int32_t)w->n;
      w->order[w->n++] = values[i];
    }
  w->n_blocks = (w->n + BLOCK - 1) / BLOCK;
  w->runs = rs_alloc((size_t)w->n * sizeof *w->runs);
  w->blocks = rs_alloc_zero((size_t)w->n_blocks * sizeof *w->blocks);
  return w->runs && w->blocks ? RS_OK : rs_nomem("words", (size_t)w->n * sizeof *w->runs);
}

static rs_status cut_block(work *w, block *b, int64_t first, int64_t last) {
  rs_status status = rs_dictionary_new(&b->pieces.dictionary);
  for (int64_t i = first; status == RS_OK && i < last; i++) {
    size_t length, before = b->pieces.codes.size;
    const char *text = rs_dictionary_text(w->strings, w->order[i], &length);
    status = w->cut(&b->pieces, w->argument, text, length);
    w->runs[i].begin = (int64_t)(before / sizeof(int32_t));
    w->runs[i].length = (int32_t)((b->pieces.codes.size - before) / sizeof(int32_t));
  }
  return status;
}

static void cut_blocks(void *context, int64_t begin, int64_t end) {
  work *w = context;
  for (int64_t i = begin; i < end; i++) {
    int64_t last = (i + 1) * BLOCK < w->n ? (i + 1) * BLOCK : w->n;
    w->blocks[i].status = cut_block(w, &w->blocks[i], i * BLOCK, last);
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

/* All blocks' codes into out->values, one dictionary in out->dictionary. */
static rs_status merge(work *w, rs_column *out) {
  int64_t total = 0;
  for (int64_t i = 0; i < w->n_blocks; i++) {
    w->blocks[i].base = total;
    total += (int64_t)(w->blocks[i].pieces.codes.size / sizeof(int32_t));
  }
  rs_status status = rs_tensor_new(&out->values, RS_I32, 1, &total);
  if (status == RS_OK && w->n_blocks == 1) {
    rs_pieces *p = &w->blocks[0].pieces;
    if (total) memcpy(rs_i32(&out->values), p->codes.data, p->codes.size);
    out->dictionary = p->dictionary;
    p->dictionary = NULL;
    return RS_OK;
  }
  if (status == RS_OK) status = rs_dictionary_new(&out->dictionary);
  for (int64_t i = 0; status == RS_OK && i < w->n_blocks; i++)
    status = merge_block(out->dictionary, &w->blocks[i], rs_i32(&out->values) + w->blocks[i].base);
  return status;
}

/* The slice of each row. */
static rs_status point(const work *w, const rs_column *strings, rs_column *out) {
  int64_t n = strings->values.size[0];
  const int32_t *values = rs_i32(&strings->values);
  rs_status status = rs_tensor_new(&out->starts, RS_I64, 1, &n);
  if (status == RS_OK) status = rs_tensor_new(&out->lengths, RS_I32, 1, &n);
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    int32_t at = values[i] ? w->position[values[i]] : -1;
    rs_i64(&out->starts)[i] = at < 0 ? 0 : w->blocks[at / BLOCK].base + w->runs[at].begin;
    rs_i32(&out->lengths)[i] = at < 0 ? 0 : w->runs[at].length;
  }
  return status;
}

rs_status rs_pieces_cut(rs_column *out, const rs_column *strings, rs_cutter *cut, const void *argument) {
  work w = {.strings = strings->dictionary, .cut = cut, .argument = argument};
  *out = (rs_column){.type = RS_LIST};
  rs_status status = list_distinct(&w, strings);
  if (status == RS_OK) rs_parallel_for(w.n_blocks, 1, cut_blocks, &w);
  for (int64_t i = 0; status == RS_OK && i < w.n_blocks; i++)
    if (w.blocks[i].status != RS_OK) /* its message may be another thread's */
      status = w.blocks[i].status == RS_ENOMEM ? rs_nomem("words", 0) : rs_fail(w.blocks[i].status, "words: not text");
  if (status == RS_OK) status = merge(&w, out);
  if (status == RS_OK) status = point(&w, strings, out);
  if (status != RS_OK) rs_column_free(out);
  work_free(&w);
  return status;
}
