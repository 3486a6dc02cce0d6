/* filter.h - which items may be recommended by their attributes: a condition as JSON, to a bitmap over the catalogue.
 * Within the serve folder.
 *
 *     {"category": "sport"}                                   equal; of a column of lists: one of its values is
 *     {"category": ["sport", "city"]}                         one of these
 *     {"price": {"gte": 10, "lt": 20}}                        a range of numbers;
 *     {"created": {"gte": "2024-01-31", "lt": 1706832000000}} of times, as ISO 8601 or ms
 *     {"category": null}                                      missing
 *     {"item": ["i1", "i2"]}                                  by id
 *     {"a": ..., "b": ...}                                    all of these
 *     {"and": [..., ...]}, {"or": [..., ...]}, {"not": ...}   of conditions
 *
 * A missing value is equal to nothing and in no range; "not" turns that, too. A value that no item has lets none pass. */
#ifndef RS_FILTER_H
#define RS_FILTER_H
#include "base/bitmap.h"
#include "serve/loaded.h"
#include "serve/scratch.h"

/* The bitmap of a filter, from those that the scratch keeps, or made: good until the scratch has made another 63.
 * *n is how many items it lets pass. RS_EFORMAT for what is no JSON, RS_EARG says what is wrong where. */
rs_status rs_filter_bitmap(const rs_server_model *m, rs_serve_scratch *scratch, rs_span filter, const uint64_t **bits,
                           int64_t *n);

/* The column of items that a filter names, or a cap, or a message that lists what there is, or what the bundle lacks. */
rs_status rs_attribute(const rs_server_model *m, rs_span name, bool cap, const rs_column **out);
/* Whether caps are of such columns: of strings, and of lists of them. */
bool rs_may_cap(const rs_column *c);

#endif
