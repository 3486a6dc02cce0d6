/* posted.h - posts (online.h) into a model.
 *
 * A bundle knows what its training knew: an event that came to the server before the bundle was made, of a time before
 * the bundle's last event, is among its data and is not taken a second time; likewise an item that came before and that
 * its catalogue has. Removals and erasures count for every bundle. */
#ifndef RS_SERVE_POSTED_H
#define RS_SERVE_POSTED_H
#include "serve/items.h"
#include "serve/online.h"

/* Whether the bundle has the post among its data. */
bool rs_server_model_has_post(const rs_server_model *m, const rs_post *post);

/* Take an event, a removal or an erasure. No other call on the model may run meanwhile. RS_EARG for an event of an item
 * that the catalogue lacks or with a field of the wrong type. */
rs_status rs_server_model_take_post(rs_server_model *m, const rs_post *post);

/* Make the item of a post, as rs_server_model_make_item does. */
rs_status rs_server_model_make_posted(rs_new_item **out, const rs_server_model *m, const rs_post *post);

/* Whether a post, of which nothing is known yet, could be taken: RS_EARG says why not. Other threads may ask meanwhile. */
rs_status rs_server_model_check_post(const rs_server_model *m, const rs_post *post);

/* Take what the bundle does not have, into a model that nobody asks yet: an rs_online_apply whose context is the model.
 * What cannot be taken, as an event of an item that is gone, is passed over. */
void rs_server_model_replay(void *model, rs_post *posts, int64_t n);

/* Let an item be recommended no more by rs_recommend, until it is put again. RS_EARG when the catalogue lacks it. */
rs_status rs_server_model_withdraw(rs_server_model *m, const char *id, size_t length);

/* When it is by a model: 'now', but for one of sample data, all of whose items would be too old by then, and that nothing
 * could be recommended by any more: just after the last event it knows. ms since 1970 UTC. */
int64_t rs_server_model_clock(const rs_server_model *m, int64_t now);

/* ms that posted events matter to features or as seen; -1: for ever. */
int64_t rs_server_model_span(const rs_server_model *m);

#endif
