/* csv_words.c - see csv_words.h. */
#include "frame/csv_words.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"

/* Small tables are kept emptier than large ones: they stay in the near caches all the same, and most texts are in the
 * first slot that is looked at. */
enum {
  FIRST_SLOTS = 256,
  SMALL_SLOTS = 1 << 12,
  SMALL_SPARE = 16,
  LARGE_SLOTS = 1 << 16,
  SPARE = 3,
  LEAST = 2,
  FIRST_KEYS = 16
};

#define LOW(n) ((UINT64_C(1) << 8 * (n)) - 1)
const rs_csv_key rs_csv_masks[16] = {{0, 0},
                                     {LOW(1), 0},
                                     {LOW(2), 0},
                                     {LOW(3), 0},
                                     {LOW(4), 0},
                                     {LOW(5), 0},
                                     {LOW(6), 0},
                                     {LOW(7), 0},
                                     {UINT64_MAX, 0},
                                     {UINT64_MAX, LOW(1)},
                                     {UINT64_MAX, LOW(2)},
                                     {UINT64_MAX, LOW(3)},
                                     {UINT64_MAX, LOW(4)},
                                     {UINT64_MAX, LOW(5)},
                                     {UINT64_MAX, LOW(6)},
                                     {UINT64_MAX, LOW(7)}};

void rs_csv_words_free(rs_csv_words *w) {
  rs_dictionary_release(w->texts);
  rs_free(w->keys);
  rs_free(w->slots);
  *w = (rs_csv_words){0};
}

void rs_csv_words_clear(rs_csv_words *w) {
  if (!w->texts || w->texts->n == 0) return;
  w->texts->n = 0;
  memset(w->slots, 0, (size_t)w->n_slots * sizeof *w->slots);
}

int64_t rs_csv_words_count(const rs_csv_words *w) { return w->texts ? w->texts->n : 0; }

uint64_t rs_csv_hash_long(const char *text, size_t length) { return XXH3_64bits(text, length); }

static rs_csv_key short_key(const char *text, size_t length) {
  char copy[16] = {0};
  if (length) memcpy(copy, text, length);
  return rs_csv_short_key(copy, length);
}

uint64_t rs_csv_words_hash(const char *text, size_t length) {
  return length <= RS_CSV_SHORT ? rs_csv_hash_key(short_key(text, length)) : rs_csv_hash_text(text, length);
}

/* Put a code into the first free slot from where its hash belongs. */
static void put(rs_csv_slot *slots, int64_t n_slots, uint64_t hash, int32_t code) {
  int64_t at = (int64_t)hash & (n_slots - 1);
  while (slots[at].code) at = (at + 1) & (n_slots - 1);
  slots[at] = (rs_csv_slot){(uint32_t)(hash >> 32), code};
}

/* Double the hash table. On failure the words are as they were. */
static rs_status grow_slots(rs_csv_words *w) {
  int64_t n_slots = w->n_slots ? w->n_slots * 2 : FIRST_SLOTS;
  rs_csv_slot *slots = rs_alloc_zero((size_t)n_slots * sizeof *slots);
  if (!slots) return rs_nomem("dictionary", (size_t)n_slots * sizeof *slots);
  for (int32_t code = 1; code <= rs_csv_words_count(w); code++) {
    size_t length;
    const char *text = rs_dictionary_text(w->texts, code, &length);
    put(slots, n_slots, rs_csv_words_hash(text, length), code);
  }
  rs_free(w->slots);
  w->slots = slots;
  w->n_slots = n_slots;
  return RS_OK;
}

/* Room for one more text. */
static rs_status reserve(rs_csv_words *w) {
  rs_status status = w->texts ? RS_OK : rs_dictionary_new(&w->texts);
  if (status != RS_OK) return status;
  int64_t n = w->texts->n + 1;
  int64_t spare = w->n_slots < SMALL_SLOTS ? SMALL_SPARE : w->n_slots < LARGE_SLOTS ? SPARE : LEAST;
  if (n >= w->keys_capacity) {
    int64_t capacity = w->keys_capacity ? w->keys_capacity * 2 : FIRST_KEYS;
    rs_csv_key *keys = rs_realloc(w->keys, (size_t)capacity * sizeof *keys);
    if (!keys) return rs_nomem("dictionary", (size_t)capacity * sizeof *keys);
    keys[0] = (rs_csv_key){0, UINT64_MAX};
    w->keys = keys;
    w->keys_capacity = capacity;
  }
  return spare * n > w->n_slots ? grow_slots(w) : RS_OK;
}

/* Whether the text is that of a code. */
static bool is_text(const rs_csv_words *w, int32_t code, const char *text, size_t length) {
  size_t stored_length;
  const char *stored = rs_dictionary_text(w->texts, code, &stored_length);
  return stored_length == length && (length == 0 || memcmp(stored, text, length) == 0);
}

int32_t rs_csv_words_find(const rs_csv_words *w, const char *text, size_t length, uint64_t hash) {
  if (w->n_slots == 0) return 0;
  int64_t mask = w->n_slots - 1;
  for (int64_t at = (int64_t)hash & mask;; at = (at + 1) & mask) {
    rs_csv_slot slot = w->slots[at];
    if (slot.code == 0) return 0;
    if (slot.tag == (uint32_t)(hash >> 32) && is_text(w, slot.code, text, length)) return slot.code;
  }
}

rs_status rs_csv_words_add(rs_csv_words *w, const char *text, size_t length, uint64_t hash, int32_t *code) {
  *code = rs_csv_words_find(w, text, length, hash);
  if (*code) return RS_OK;
  rs_status status = reserve(w);
  if (status == RS_OK) status = rs_dictionary_append(w->texts, text, length);
  if (status != RS_OK) return status;
  *code = (int32_t)w->texts->n;
  w->keys[*code] =
      length <= RS_CSV_SHORT ? short_key(text, length) : rs_csv_long_key(w->texts->offsets[*code - 1], length);
  put(w->slots, w->n_slots, hash, *code);
  return RS_OK;
}
