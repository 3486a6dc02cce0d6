/* json_read.h - JSON from untrusted bytes, read piece by piece: no value is built, so a request costs what it holds.
 *
 * The caller asks for what he expects, in the order of the text. The first thing that is not as it should be makes the
 * reader fail: it keeps the status, the message names the place ("users[3].k: ..."), and every later call is false.
 * Strict: UTF-8, RFC 8259's numbers, no U+0000, no more than RS_READ_DEPTH levels. Keys that occur twice are for the
 * caller to see, who knows the keys there are: rs_read_twice says so. */
#ifndef RS_JSON_READ_H
#define RS_JSON_READ_H
#include <stdint.h>

#include "base/buffer.h"
#include "base/span.h"

enum { RS_READ_DEPTH = 64 };

typedef enum rs_read_kind {
  RS_READ_OBJECT,
  RS_READ_ARRAY,
  RS_READ_STRING,
  RS_READ_NUMBER,
  RS_READ_BOOLEAN,
  RS_READ_NULL,
  RS_READ_NOTHING /* the end, or what begins no value */
} rs_read_kind;

typedef struct rs_json_reader {
  const char *start, *at, *end;
  rs_buffer *room;    /* of strings with escapes; never more than the text's own size */
  const char *prefix; /* of places: what the text is part of; "" for the whole */
  rs_status status;
  int depth;
  struct {
    rs_span key; /* of an object's value */
    int64_t index;
    bool object, begun;
  } steps[RS_READ_DEPTH];
} rs_json_reader;

/* Begin with a text, which must stay as long as what is read of it; 'room' is emptied (NULL: what was checked before,
 * without escapes). RS_EFORMAT for bytes that are no UTF-8, RS_ENOMEM. */
rs_status rs_read_begin(rs_json_reader *r, const char *bytes, size_t size, rs_buffer *room, const char *prefix);
/* What the next value is. */
rs_read_kind rs_read_next(rs_json_reader *r);
/* Nothing may follow. Gives the reader's status. */
rs_status rs_read_end(rs_json_reader *r);

/* Enter an object or array, whose parts are then read until rs_read_key or rs_read_item is false. */
bool rs_read_object(rs_json_reader *r);
bool rs_read_array(rs_json_reader *r);
/* Go to the next value of the object, or leave it; to the next of the array. False at the end, and on failure. */
bool rs_read_key(rs_json_reader *r, rs_span *key);
bool rs_read_item(rs_json_reader *r);

bool rs_read_text(rs_json_reader *r, rs_span *text);
bool rs_read_number(rs_json_reader *r, double *number);
/* A whole number within 64 bits, without fraction or exponent. */
bool rs_read_whole(rs_json_reader *r, int64_t *number);
/* An id: a string, or a whole number, which stands for its digits. */
bool rs_read_id(rs_json_reader *r, rs_span *id);
/* ms since 1970 UTC, or a text as rs_parse_time has it. */
bool rs_read_time(rs_json_reader *r, int64_t *ms);
bool rs_read_boolean(rs_json_reader *r, bool *value);
bool rs_read_null(rs_json_reader *r);
/* Any value, checked and passed over; 'raw' is its text. */
bool rs_read_any(rs_json_reader *r, rs_span *raw);

/* Fail, at the place that is being read; gives false. */
bool rs_read_refuse(rs_json_reader *r, rs_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The object that was just left has no such key: fail and name it. */
bool rs_read_lacks(rs_json_reader *r, const char *key);
/* The key is the object's second of that name, or there is no such key: fail and name it. */
bool rs_read_twice(rs_json_reader *r);
bool rs_read_unknown(rs_json_reader *r, const char *known);

/* Whether bytes are UTF-8: no surrogates, nothing overlong, nothing beyond U+10FFFF. */
bool rs_is_utf8(const char *bytes, size_t size);

#endif
