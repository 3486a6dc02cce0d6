/* frame_same.h - whether two frames are the same to the bit, dictionaries included; for tests. */
#ifndef RS_FRAME_SAME_H
#define RS_FRAME_SAME_H
#include <string.h>

#include "frame/column.h"

static inline bool rs_same_tensor(const rs_tensor *a, const rs_tensor *b) {
  if (!a->storage || !b->storage) return a->storage == b->storage;
  return a->dtype == b->dtype && rs_tensor_count(a) == rs_tensor_count(b) &&
         (rs_tensor_bytes(a) == 0 || memcmp(rs_tensor_data(a), rs_tensor_data(b), rs_tensor_bytes(a)) == 0);
}

static inline bool rs_same_dictionary(const rs_dictionary *a, const rs_dictionary *b) {
  if (!a || !b || a->n == 0 || b->n == 0) return (a ? a->n : 0) == (b ? b->n : 0);
  return a->n == b->n && memcmp(a->offsets, b->offsets, (size_t)(a->n + 1) * sizeof *a->offsets) == 0 &&
         (a->offsets[a->n] == 0 || memcmp(a->bytes, b->bytes, (size_t)a->offsets[a->n]) == 0);
}

static inline bool rs_same_frame(const rs_frame *a, const rs_frame *b) {
  bool same = a->rows == b->rows && a->n_columns == b->n_columns;
  for (int i = 0; same && i < a->n_columns; i++) {
    const rs_column *x = &a->columns[i], *y = &b->columns[i];
    same = x->type == y->type && strcmp(x->name, y->name) == 0 && rs_same_tensor(&x->values, &y->values) &&
           rs_same_tensor(&x->starts, &y->starts) && rs_same_tensor(&x->lengths, &y->lengths) &&
           rs_same_dictionary(x->dictionary, y->dictionary);
  }
  return same;
}

#endif
