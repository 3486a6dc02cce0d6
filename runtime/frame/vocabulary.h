/* vocabulary.h - raw values to codes: a fitted, immutable set of strings, and the counter it is fitted with.
 *
 * Code 0 is "unknown or missing"; codes 1 .. n are the strings. A fitted vocabulary is in the order of its
 * bytes, so it depends on which strings were counted and how often, never on the order of rows. It lives in two
 * tensors, bytes u8 [total] and offsets i64 [n + 1], which a bundle maps; the hash table is rebuilt on loading. */
#ifndef RS_VOCABULARY_H
#define RS_VOCABULARY_H
#include "frame/column.h"

typedef struct rs_vocabulary rs_vocabulary;
struct rs_vocabulary {
  atomic_int references;
  int64_t n;         /* codes 1 .. n */
  rs_tensor bytes;   /* u8 [total] */
  rs_tensor offsets; /* i64 [n + 1]; code c is bytes[offsets[c-1] .. offsets[c]) */
  const char *text;  /* the first of 'bytes' */
  const int64_t *at; /* and of 'offsets' */
  _Atomic(uint64_t) *slots; /* hash table: half a string's hash above its code; 0 = free */
  int64_t n_slots;
};

/* A vocabulary over the two tensors, which it shares. RS_EFORMAT unless they are u8 [total] and i64 [n + 1], the
 * offsets rise from 0 to total, no string occurs twice and n < 2^31 - 1: the tensors may come from strangers. */
rs_status rs_vocabulary_new(rs_vocabulary **out, const rs_tensor *bytes, const rs_tensor *offsets);
void rs_vocabulary_retain(rs_vocabulary *v);
void rs_vocabulary_release(rs_vocabulary *v); /* NULL is fine */

/* The code of a string, 0 when it is not there. */
int32_t rs_vocabulary_find(const rs_vocabulary *v, const char *text, size_t length);
/* The string of a code 1 .. n; not terminated. */
const char *rs_vocabulary_text(const rs_vocabulary *v, int32_t code, size_t *length);

/* How often strings occur. All-zero is a valid empty counter. */
typedef struct rs_counter {
  rs_dictionary *dictionary;
  int64_t *counts; /* of code c at c - 1 */
  int64_t capacity;
  int64_t missing; /* rows without a value: a missing string, an empty list */
  int64_t rows;    /* rows looked at */
} rs_counter;

/* Count the values of a string or list column at 'rows' (n of them, repeats count again; NULL: every row once).
 * RS_ERANGE for a row outside the column, RS_EARG for another type of column. */
rs_status rs_counter_add(rs_counter *counter, const rs_column *column, const int64_t *rows, int64_t n);
/* The strings counted at least 'min_count' and at most 'max_count' times, at most 'max_size' of them (the most
 * frequent; at equal counts those first in byte order), in byte order: 'bytes' and 'offsets' as rs_vocabulary_new takes
 * them, 'counts' i64 [n + 1] with the occurrences of everything left out at 0. */
rs_status rs_counter_vocabulary(const rs_counter *counter, int64_t min_count, int64_t max_count, int64_t max_size,
                                rs_tensor *bytes, rs_tensor *offsets, rs_tensor *counts);
void rs_counter_free(rs_counter *counter);

/* The strings of a string column in row order, which must be present and distinct (RS_EARG says which row is
 * not): code = row + 1. The index of a catalogue or of a table of users. */
rs_status rs_vocabulary_of_rows(const rs_column *column, rs_tensor *bytes, rs_tensor *offsets);

#endif
