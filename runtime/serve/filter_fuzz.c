/* filter_fuzz.c - any bytes as a filter over a few items of every type of attribute: a bitmap of these, or refused in
 * words; what it lets pass is counted rightly, and "not" of it is the rest. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "serve/filter.h"

enum { ITEMS = 70 };

static rs_tensor vector_of(rs_dtype dtype, int64_t n) {
  rs_tensor t = {0};
  if (rs_tensor_zeros(&t, dtype, 1, &n) != RS_OK) abort();
  return t;
}

static void add_column(rs_server_model *m, const char *name, rs_column_type type) {
  static const rs_dtype dtypes[] = {RS_F64, RS_I64, RS_I32, RS_I32};
  rs_column c = {.name = rs_strdup(name), .type = type, .values = vector_of(dtypes[type], ITEMS)};
  int32_t code;
  if (type == RS_STRING || type == RS_LIST) {
    if (rs_dictionary_new(&c.dictionary) != RS_OK) abort();
    for (int i = 0; i < 3; i++)
      if (rs_dictionary_add(c.dictionary, &"abc"[i], 1, &code) != RS_OK) abort();
  }
  if (type == RS_LIST) c.starts = vector_of(RS_I64, ITEMS), c.lengths = vector_of(RS_I32, ITEMS);
  for (int i = 0; i < ITEMS; i++) {
    if (type == RS_NUMBER) rs_f64(&c.values)[i] = i % 9 == 0 ? NAN : i % 10;
    if (type == RS_TIME) rs_i64(&c.values)[i] = i % 9 == 0 ? RS_TIME_MISSING : i * 86400000LL;
    if (type == RS_STRING) rs_i32(&c.values)[i] = i % 4;
    if (type == RS_LIST) rs_i32(&c.values)[i] = 1 + i % 3, rs_i64(&c.starts)[i] = i, rs_i32(&c.lengths)[i] = i % 2;
  }
  if (rs_frame_add(&m->attributes, &c) != RS_OK) abort();
}

static rs_server_model *make(void) {
  rs_server_model *m = rs_alloc_zero(sizeof *m);
  rs_tensor bytes = vector_of(RS_U8, 2 * ITEMS), offsets = vector_of(RS_I64, ITEMS + 1);
  for (int i = 0; i < ITEMS; i++) {
    rs_u8(&bytes)[2 * i] = (uint8_t)('0' + i / 10), rs_u8(&bytes)[2 * i + 1] = (uint8_t)('0' + i % 10);
    rs_i64(&offsets)[i + 1] = 2 * (i + 1);
  }
  if (!m || rs_vocabulary_new(&m->item_ids, &bytes, &offsets) != RS_OK) abort();
  if (rs_tensor_zeros(&m->vectors, RS_F32, 2, (int64_t[]){ITEMS, 1}) != RS_OK) abort();
  add_column(m, "s", RS_STRING);
  add_column(m, "l", RS_LIST);
  add_column(m, "n", RS_NUMBER);
  add_column(m, "t", RS_TIME);
  m->has_attributes = true;
  return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rs_server_model *m;
  static rs_serve_scratch *scratch;
  const uint64_t *bits;
  uint64_t first[2];
  int64_t n, rest;
  if (!m) m = make();
  if (!scratch && rs_serve_scratch_new(&scratch) != RS_OK) return 0;
  char *text = malloc(size + 16);
  memcpy(text, data, size);
  if (rs_filter_bitmap(m, scratch, (rs_span){text, size}, &bits, &n) == RS_OK) {
    if (n != rs_bitmap_count(bits, ITEMS) || bits[1] >> (ITEMS - 64)) __builtin_trap();
    memcpy(first, bits, sizeof first);
    size_t length = (size_t)sprintf(text, "{\"not\":");
    memcpy(text + length, data, size);
    text[length + size] = '}';
    if (rs_filter_bitmap(m, scratch, (rs_span){text, length + size + 1}, &bits, &rest) == RS_OK &&
        (n + rest != ITEMS || (first[0] & bits[0]) || (first[1] & bits[1])))
      __builtin_trap();
  } else if (!*rs_message()) {
    __builtin_trap();
  }
  free(text);
  return 0;
}
