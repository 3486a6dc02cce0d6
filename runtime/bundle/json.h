/* json.h - JSON objects from untrusted bytes.
 *
 * jansson allocates through the counted allocator from the program's start on (a switch later would free blocks by
 * the wrong hands), so its memory is seen by the leak counts and by the fault hook. */
#ifndef RS_BUNDLE_JSON_H
#define RS_BUNDLE_JSON_H
#include <jansson.h>

#include "base/status.h"

/* Parse an object; duplicate keys and anything behind it are refused. 'what' names the text in the message.
 * RS_EFORMAT or RS_ENOMEM; the caller drops the object by json_decref. */
rs_status rs_json_object(json_t **out, const char *text, size_t bytes, const char *what);

#endif
