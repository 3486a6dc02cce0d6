/* hnsw_fuzz.c - a saved graph in which numbers are others: refused, or opened, searched, changed and saved without harm.
 * Seven bytes are one change: the tensor, where in it (3), and what is added there as bits (3 of 4 bytes: the number's
 * lowest, its second and its highest). */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "retrieval/hnsw.h"

enum { ROWS = 200, WIDTH = 5, STEP = 7, K = 4 };

static rs_tensor items;
static rs_tensors saved[2];

static bool make(int codes) {
  rs_hnsw *h = NULL;
  rs_hnsw_options options = {.m = 3, .ef_construction = 8, .seed = 2, .codes = codes};
  if (!items.storage) {
    if (rs_tensor_new(&items, RS_F32, 2, (int64_t[]){ROWS, WIDTH}) != RS_OK) return false;
    for (int i = 0; i < ROWS * WIDTH; i++) rs_f32(&items)[i] = (float)(i * 37 % 101 - 50);
  }
  if (rs_hnsw_build(&h, &items, &options) != RS_OK || rs_hnsw_reserve(h, ROWS) != RS_OK) return false;
  rs_hnsw_delete(h, 9);
  rs_status status = rs_hnsw_save(h, &saved[codes]);
  rs_hnsw_free(h);
  return status == RS_OK;
}

static bool copy(rs_tensors *out, const rs_tensors *list) {
  bool fine = true;
  for (int64_t i = 0; fine && i < list->n; i++) {
    rs_tensor t = {0};
    fine = rs_tensor_copy_of(&t, &list->items[i].tensor) == RS_OK;
    fine = fine && rs_tensors_add(out, list->items[i].name, &t) == RS_OK;
    rs_tensor_free(&t);
  }
  return fine;
}

static void change(rs_tensors *list, const uint8_t *at) {
  const rs_tensor *t = &list->items[at[0] % list->n].tensor;
  size_t words = rs_tensor_bytes(t) / 4;
  if (words == 0) return;
  uint8_t *word = (uint8_t *)rs_tensor_data(t) + (at[1] | (size_t)at[2] << 8 | (size_t)at[3] << 16) % words * 4;
  word[0] ^= at[4], word[1] ^= at[5], word[3] ^= at[6];
}

static void use(rs_hnsw *h) {
  rs_index_scratch scratch = {0};
  int64_t rows[K];
  float scores[K], query[WIDTH] = {1, -2, 3, -4, 5};
  rs_index_found found = {.rows = rows, .scores = scores};
  for (int round = 0; round < 2; round++) {
    rs_index_query q = {.query = query, .k = K, .ef = K};
    if (rs_index_search(rs_hnsw_index(h), &q, &scratch, &found) != RS_OK) __builtin_trap();
    for (int64_t i = 0; i < found.n; i++)
      if (rows[i] < 0 || rows[i] >= ROWS) __builtin_trap();
    if (round > 0 || rs_hnsw_reserve(h, ROWS) != RS_OK) break;
    rs_hnsw_delete(h, 3);
    rs_hnsw_put(h, &items, 9);
    rs_hnsw_put(h, &items, 3);
  }
  rs_index_scratch_free(&scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  rs_tensors list = {0};
  rs_hnsw *h = NULL;
  int codes = size > 0 && data[0] & 1;
  if (saved[codes].n == 0 && !make(codes)) return 0;
  bool fine = copy(&list, &saved[codes]);
  for (size_t at = 1; fine && at + STEP <= size; at += STEP) change(&list, data + at);
  rs_status status = fine ? rs_hnsw_open(&h, &list, &items) : RS_ENOMEM;
  if (status == RS_OK)
    use(h);
  else if (!*rs_message())
    __builtin_trap();
  rs_hnsw_free(h);
  rs_tensors_free(&list);
  return 0;
}
