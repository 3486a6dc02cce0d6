/* item_attributes.h - the attributes of an item that comes later, as the columns that filters and caps read have them.
 * Within the serve folder. */
#ifndef RS_SERVE_ITEM_ATTRIBUTES_H
#define RS_SERVE_ITEM_ATTRIBUTES_H
#include "serve/loaded.h"

/* RS_EARG names a field that is not of its column's type: a number, a time in ms, a string, or a list of strings. */
rs_status rs_item_attributes_check(const rs_server_model *m, const json_t *fields);

/* How many values the list of column c has in these fields. */
int64_t rs_item_attribute_values(const rs_server_model *m, int c, const json_t *fields);

/* Give the strings codes: of all string and list columns, one behind another, into 'codes', which has room for
 * rs_item_attribute_codes of them. RS_ENOMEM. Writing then cannot fail. */
int64_t rs_item_attribute_codes(const rs_server_model *m, const json_t *fields);
rs_status rs_item_attributes_code(rs_server_model *m, const json_t *fields, int32_t *codes);

/* Write row 'row' of all columns, which have room: values of lists behind all others. */
void rs_item_attributes_write(rs_server_model *m, int64_t row, const json_t *fields, const int32_t *codes);

#endif
