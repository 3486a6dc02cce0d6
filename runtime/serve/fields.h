/* fields.h - a user's fields, as a request has them, into the row that his side of the encoder reads. Within the serve
 * folder. */
#ifndef RS_SERVE_FIELDS_H
#define RS_SERVE_FIELDS_H
#include "base/buffer.h"
#include "base/span.h"
#include "frame/row.h"
#include "serve/model.h"

/* Clear the row and fill it from the JSON object 'fields' (text NULL: none) and the id 'user' (likewise): of the column
 * prefix + "x" from the field x. A number column takes numbers, a string column strings and numbers, a column of lists
 * strings and lists of them; null is missing, fields that no column reads are ignored. *filled counts those that were
 * read, without the id. RS_EFORMAT for what is no JSON object, RS_EARG names a field of the wrong type, with
 * its place ("fields.age: ..."). */
rs_status rs_fill_row(rs_row *row, const char *prefix, rs_span fields, rs_span user, rs_buffer *room, int *filled);

/* Whether a field of a user is read: by a feature, or for his segment of popularity. */
bool rs_reads_field(const rs_server_model *m, rs_span name);

/* Append the names of the fields that nothing reads, each terminated; of the first 20 of them. What is no JSON object has
 * none. RS_ENOMEM. */
rs_status rs_ignored_fields(rs_buffer *names, const rs_server_model *m, rs_span fields, rs_buffer *room);

#endif
