/* items.h - items that come, change and go while a model answers, without training.
 *
 * An item's fields are encoded by the same item side as the catalogue's and go through the same item plan, so that its
 * vector has the bits of a bundle that was published with it. The catalogue's columns stay mapped until the first
 * change; then they are copied to memory with room behind them, which grows by an eighth at a time. New items have the
 * rows behind the bundle's, in the order in which they came. */
#ifndef RS_SERVE_ITEMS_H
#define RS_SERVE_ITEMS_H
#include "serve/model.h"

typedef struct rs_item {
  const char *id, *title; /* title NULL: none */
  size_t id_length, title_length;
  int64_t created;      /* ms since 1970 UTC, or RS_TIME_MISSING: in a model whose items age it is no candidate then */
  const json_t *fields; /* an object: further columns of the item frame; NULL: none */
} rs_item;

typedef struct rs_new_item rs_new_item;

/* Encode an item and make room for it: what takes time, for the first one as long as a copy of the catalogue. Other
 * threads may ask the model meanwhile, and check items; one alone makes and puts them. RS_EARG for an empty id or a field
 * of the wrong type; RS_EFORMAT when the bundle has no item plan or its vector is not finite; RS_ENOMEM. */
rs_status rs_server_model_make_item(rs_new_item **out, const rs_server_model *m, const rs_item *item);
void rs_new_item_free(rs_new_item *item); /* NULL is fine */

/* Whether an item could be made: that fails as making it does, and changes nothing. Any number of threads may ask. */
rs_status rs_server_model_check_item(const rs_server_model *m, const rs_item *item);

/* Put a made item into the catalogue, in the place of one of that id, and move 'as_of' behind its creation. No other call on
 * the model may run meanwhile, and none that changes it since the item was made. RS_ENOMEM: the model is unharmed. */
rs_status rs_server_model_put_item(rs_server_model *m, rs_new_item *item);

/* Whether the vectors are more than RS_LARGE bytes, so that nobody is to wait for what goes through all of them, and whether
 * the next item is made by a copy of the catalogue. */
enum { RS_LARGE = 16 << 20 };
bool rs_server_model_is_large(const rs_server_model *m);
bool rs_server_model_is_full(const rs_server_model *m);

/* The catalogue row of an id; -1 when there is none. */
int64_t rs_server_model_find_item(const rs_server_model *m, const char *id, size_t length);

#endif
