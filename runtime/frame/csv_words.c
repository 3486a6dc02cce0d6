/* csv_words.c - see csv_words.h. */
#include "frame/csv_words.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/alloc.h"

enum { FIRST_SLOTS = 64, SHORT = 64 };

void rs_csv_words_free(rs_csv_words *w) {
  rs_dictionary_release(w->texts);
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

uint64_t rs_csv_hash_of(const char *text, size_t length) {
  char copy[SHORT] = {0};
  if (length > SHORT) return rs_csv_hash_long(text, length);
  if (length) memcpy(copy, text, length);
  return rs_csv_hash(copy, length);
}

/* Double the hash table. On failure the words are as they were. */
static rs_status grow(rs_csv_words *w) {
  int64_t n_slots = w->n_slots ? w->n_slots * 2 : FIRST_SLOTS;
  rs_csv_slot *slots = rs_alloc_zero((size_t)n_slots * sizeof *slots);
  if (!slots) return rs_nomem("dictionary", (size_t)n_slots * sizeof *slots);
  for (int64_t i = 0; i < rs_csv_words_count(w); i++) {
    const char *text = w->texts->bytes + w->texts->offsets[i];
    uint64_t hash = rs_csv_hash(text, (size_t)(w->texts->offsets[i + 1] - w->texts->offsets[i]));
    int64_t at = (int64_t)hash & (n_slots - 1);
    while (slots[at].code) at = (at + 1) & (n_slots - 1);
    slots[at] = (rs_csv_slot){(uint32_t)(hash >> 32), (int32_t)(i + 1)};
  }
  rs_free(w->slots);
  w->slots = slots;
  w->n_slots = n_slots;
  return RS_OK;
}

/* rs_csv_words_find for a text at whose end readable memory may end. */
static int32_t find(const rs_csv_words *w, const char *text, size_t length, uint64_t hash) {
  char copy[16] = {0};
  if (length && length <= sizeof copy) text = memcpy(copy, text, length);
  return rs_csv_words_find(w, length ? text : copy, length, hash);
}

rs_status rs_csv_words_add(rs_csv_words *w, const char *text, size_t length, uint64_t hash, int32_t *code) {
  *code = find(w, text, length, hash);
  if (*code) return RS_OK;
  rs_status status = w->texts ? RS_OK : rs_dictionary_new(&w->texts);
  if (status == RS_OK && 2 * (w->texts->n + 1) > w->n_slots) status = grow(w);
  if (status == RS_OK) status = rs_dictionary_append(w->texts, text, length);
  if (status != RS_OK) return status;
  *code = (int32_t)w->texts->n;
  int64_t at = (int64_t)hash & (w->n_slots - 1);
  while (w->slots[at].code) at = (at + 1) & (w->n_slots - 1);
  w->slots[at] = (rs_csv_slot){(uint32_t)(hash >> 32), *code};
  return RS_OK;
}
