/* tensors.c - a short list searched in order; names number in the tens. */
#include "tensor/tensors.h"

#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"

static rs_status grow(rs_tensors *list) {
  int64_t capacity = list->capacity ? 2 * list->capacity : 8;
  size_t bytes = (size_t)capacity * sizeof *list->items;
  rs_named_tensor *items = rs_realloc(list->items, bytes);
  if (!items) return rs_nomem("tensors", bytes);
  list->items = items;
  list->capacity = capacity;
  return RS_OK;
}

rs_status rs_tensors_add(rs_tensors *list, const char *name, const rs_tensor *t) {
  if (rs_tensors_find(list, name)) return rs_fail(RS_EARG, "tensors: the name '%.200s' is taken", name);
  rs_status status = list->n < list->capacity ? RS_OK : grow(list);
  if (status != RS_OK) return status;
  rs_named_tensor *item = &list->items[list->n];
  item->name = rs_strdup(name);
  if (!item->name) return rs_nomem("tensors", strlen(name));
  rs_tensor_share(&item->tensor, t);
  list->n++;
  return RS_OK;
}

rs_status rs_tensors_add_part(rs_tensors *list, const char *name, const char *part, const rs_tensor *t) {
  rs_buffer full = {0};
  rs_status status = rs_buffer_printf(&full, "%s.%s", name, part);
  if (status == RS_OK) status = rs_buffer_append(&full, "", 1);
  if (status == RS_OK) status = rs_tensors_add(list, full.data, t);
  rs_buffer_free(&full);
  return status;
}

const rs_tensor *rs_tensors_find(const rs_tensors *list, const char *name) {
  for (int64_t i = 0; i < list->n; i++)
    if (strcmp(list->items[i].name, name) == 0) return &list->items[i].tensor;
  return NULL;
}

void rs_tensors_free(rs_tensors *list) {
  if (!list) return;
  for (int64_t i = 0; i < list->n; i++) {
    rs_free(list->items[i].name);
    rs_tensor_free(&list->items[i].tensor);
  }
  rs_free(list->items);
  *list = (rs_tensors){0};
}
