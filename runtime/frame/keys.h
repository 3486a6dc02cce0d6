/* keys.h - numbers for combinations of key values: what grouping, joining and k-cores stand on.
 *
 * Private to the frame operations. */
#ifndef RS_KEYS_H
#define RS_KEYS_H
#include "frame/frame.h"

/* The key columns of one frame, or of two whose rows are to be compared: columns[i] of the second has the type of
 * columns[i] of the first. */
typedef struct rs_keys {
  int n;                     /* key columns */
  const rs_column **columns; /* [n], owned array */
  const rs_column **others;  /* [n], or NULL when there is one frame */
  int64_t rows, other_rows;
} rs_keys;

/* All-zero is a valid empty rs_keys. RS_EARG for a column that is absent, a list, or of another type than its
 * fellow. */
rs_status rs_keys_find(rs_keys *keys, const rs_frame *f, const char *const *names, const rs_frame *other,
                       const char *const *other_names, int n);
void rs_keys_free(rs_keys *keys);

/* ids i64 [rows] and, with two frames, other_ids i64 [other_rows]: equal where all key values are equal, numbered by
 * first appearance (first frame first), *n_ids of them. With 'skip_missing' a row that misses a key gets -1. */
rs_status rs_keys_number(const rs_keys *keys, bool skip_missing, rs_tensor *ids, rs_tensor *other_ids, int64_t *n_ids);
/* The same for who needs no order: the ids lie in 0 .. *n_ids-1, which is at most a few times the rows, but some may
 * not occur. Cheaper, as codes of strings serve as they are. */
rs_status rs_keys_index(const rs_keys *keys, bool skip_missing, rs_tensor *ids, rs_tensor *other_ids, int64_t *n_ids);

#endif
