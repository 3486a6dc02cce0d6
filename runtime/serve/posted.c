/* posted.c - see posted.h. */
#include "serve/posted.h"

#include <string.h>

#include "base/alloc.h"
#include "base/bitmap.h"
#include "serve/loaded.h"

bool rs_server_model_has_post(const rs_server_model *m, const rs_post *post) {
  if (post->received >= m->made) return false;
  if (post->kind == RS_POST_EVENT) return post->time < m->known_until;
  return post->kind == RS_POST_ITEM && rs_vocabulary_find(m->item_ids, post->item, post->item_length) > 0;
}

static rs_posted event_of(const rs_post *post) {
  return (rs_posted){.user = post->user,
                     .item = post->item,
                     .user_length = post->user_length,
                     .item_length = post->item_length,
                     .time = post->time,
                     .fields = post->fields};
}

static rs_status erase(rs_server_model *m, const rs_post *post) {
  return rs_accumulator_forget(&m->state, rs_server_model_find_user(m, post->user, post->user_length));
}

rs_status rs_server_model_take_post(rs_server_model *m, const rs_post *post) {
  rs_posted event = event_of(post);
  switch (post->kind) {
    case RS_POST_EVENT: return rs_server_model_advance(m, &event);
    case RS_POST_REMOVAL: return rs_server_model_withdraw(m, post->item, post->item_length);
    case RS_POST_ERASURE: return erase(m, post);
    default: return rs_fail(RS_EARG, "an item is made before it is put");
  }
}

static rs_item item_of(const rs_post *post) {
  return (rs_item){.id = post->item,
                   .title = post->title,
                   .id_length = post->item_length,
                   .title_length = post->title_length,
                   .created = post->time,
                   .fields = post->fields};
}

rs_status rs_server_model_make_posted(rs_new_item **out, const rs_server_model *m, const rs_post *post) {
  rs_item item = item_of(post);
  return rs_server_model_make_item(out, m, &item);
}

static rs_status check_event(const rs_server_model *m, const rs_post *post) {
  rs_event event = {0};
  if (rs_server_model_find_item(m, post->item, post->item_length) < 0)
    return rs_fail(RS_EARG, "there is no item '%.*s' in the catalogue", (int)post->item_length, post->item);
  return rs_encoder_event(m->encoder, post->fields, &event);
}

rs_status rs_server_model_check_post(const rs_server_model *m, const rs_post *post) {
  rs_item item = item_of(post);
  if (post->kind == RS_POST_EVENT) return check_event(m, post);
  if (post->kind == RS_POST_REMOVAL && rs_server_model_find_item(m, post->item, post->item_length) < 0)
    return rs_fail(RS_EARG, "there is no item '%.*s' in the catalogue", (int)post->item_length, post->item);
  return post->kind == RS_POST_ITEM ? rs_server_model_check_item(m, &item) : RS_OK;
}

void rs_server_model_replay(void *model, rs_post *posts, int64_t n) {
  rs_server_model *m = model;
  for (int64_t i = 0; i < n; i++) {
    rs_new_item *item = NULL;
    if (posts[i].outcome != RS_POST_TAKEN || rs_server_model_has_post(m, &posts[i])) continue;
    if (posts[i].kind != RS_POST_ITEM)
      rs_server_model_take_post(m, &posts[i]);
    else if (rs_server_model_make_posted(&item, m, &posts[i]) == RS_OK)
      rs_server_model_put_item(m, item);
    rs_new_item_free(item);
  }
}

/* ---- withdrawn items ---- */

static rs_status reserve(rs_server_model *m) {
  int64_t words = rs_bitmap_words(m->vectors.size[0]), before = m->withdrawn_words;
  if (words <= before) return RS_OK;
  words += words / 8 + 16;
  uint64_t *bits = rs_realloc(m->withdrawn, (size_t)words * sizeof *bits);
  if (!bits) return rs_nomem("item", (size_t)words * sizeof *bits);
  memset(bits + before, 0, (size_t)(words - before) * sizeof *bits);
  m->withdrawn = bits;
  m->withdrawn_words = words;
  return RS_OK;
}

rs_status rs_server_model_withdraw(rs_server_model *m, const char *id, size_t length) {
  int64_t row = rs_server_model_find_item(m, id, length);
  if (row < 0) return rs_fail(RS_EARG, "there is no item '%.*s' in the catalogue", (int)length, id);
  rs_status status = reserve(m);
  if (status != RS_OK || rs_bitmap_has(m->withdrawn, row)) return status;
  rs_bitmap_set(m->withdrawn, row);
  m->n_withdrawn++;
  return RS_OK;
}

int64_t rs_server_model_clock(const rs_server_model *m, int64_t now) {
  int64_t passed;
  bool ages = m->window >= 0 && m->created.storage;
  return ages && (__builtin_sub_overflow(now, m->as_of, &passed) || passed > m->window) ? m->as_of : now;
}

int64_t rs_server_model_span(const rs_server_model *m) {
  return m->state.keep.events < 0 ? -1 : m->state.keep.span;
}
