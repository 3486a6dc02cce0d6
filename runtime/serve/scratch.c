/* scratch.c - see scratch.h. */
#include "serve/scratch.h"

#include <string.h>

#include "base/alloc.h"

void *rs_block_need(rs_block *block, size_t bytes) {
  if (block->data && block->bytes >= bytes) return block->data;
  size_t room = block->bytes + block->bytes / 2 > bytes ? block->bytes + block->bytes / 2 : bytes;
  rs_free(block->data);
  block->data = rs_alloc(room);
  block->bytes = block->data ? room : 0;
  return block->data;
}

void *rs_block_zero(rs_block *block, size_t bytes) {
  void *data = rs_block_need(block, bytes);
  return data ? memset(data, 0, bytes) : NULL;
}

rs_status rs_serve_scratch_new(rs_serve_scratch **out) {
  *out = rs_alloc_zero(sizeof **out);
  return *out ? RS_OK : rs_nomem("request", sizeof **out);
}

void rs_serve_scratch_free(rs_serve_scratch *s) {
  if (!s) return;
  for (int i = 0; i < RS_KEPT_FILTERS; i++) {
    rs_free(s->filters[i].text.data);
    rs_free(s->filters[i].bits.data);
  }
  rs_block *blocks[] = {&s->window, &s->both, &s->history, &s->barred, &s->gone,   &s->rows,
                        &s->scores, &s->pool, &s->chosen,  &s->unlike, &s->counts, &s->looked,
                        &s->inverse};
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) rs_free(blocks[i]->data);
  rs_index_scratch_free(&s->index);
  rs_buffer_free(&s->room);
  rs_free(s);
}
