/* json.h - JSON values from untrusted bytes: the one place that parses.
 *
 * jansson allocates through the counted allocator from the program's start on (a switch later would free blocks by
 * the wrong hands), so its memory is seen by the leak counts and by the fault hook. */
#ifndef RS_JSON_H
#define RS_JSON_H
#include <jansson.h>

#include "base/status.h"

/* The longest number or word (true, false, null) that is read, in bytes; strings may be of any length. */
enum { RS_JSON_WORD = 510 };

/* Parse one value of any kind; duplicate keys and anything behind it are refused. 'what' names the text in the
 * message. RS_EFORMAT or RS_ENOMEM; the caller drops the value by json_decref. */
rs_status rs_json_parse(json_t **out, const char *text, size_t bytes, const char *what);

/* The same for an object: any other value is RS_EFORMAT. */
rs_status rs_json_object(json_t **out, const char *text, size_t bytes, const char *what);

#endif
