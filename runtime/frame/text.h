/* text.h - numbers and times as text: what CSV files and requests hold. Independent of the locale. */
#ifndef RS_TEXT_H
#define RS_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A decimal number, [+-]digits[.digits][e[+-]digits], the whole text and nothing else, correctly rounded.
 * No hexadecimal, no "nan" or "inf"; a number too large for a double is refused. */
bool rs_parse_number(const char *text, size_t length, double *value);

/* Whether a text that parses as a number is one: "007" and integers beyond 2^53 are rather names, as they
 * would not be written back the same. */
bool rs_number_is_faithful(const char *text, size_t length);

/* An ISO 8601 date or date and time, as milliseconds since 1970-01-01 UTC:
 * 2024-01-31, 2024-01-31T12:30, 2024-01-31 12:30:15.123456789+05:30. 'T' may be a space, the zone "Z", +hh, +hhmm or
 * +hh:mm; without a zone it is UTC; below a millisecond is cut off. Also 31-Jan-2024, as MovieLens writes. */
bool rs_parse_time(const char *text, size_t length, int64_t *ms);

/* Room that the writers below need at most, with the final zero. */
enum { RS_TEXT_MAX = 40 };

/* The shortest of %.15g, %.16g, %.17g that reads back as the same double. Returns the length. */
size_t rs_format_number(char *out, double value);
/* 2024-01-31T12:30:15.123Z; years outside 0000..9999 get a sign and more digits. Returns the length. */
size_t rs_format_time(char *out, int64_t ms);

/* The epoch times that rs_parse_time can give lie in [-RS_TIME_LIMIT, RS_TIME_LIMIT]. */
#define RS_TIME_LIMIT INT64_C(253402300799999)

#endif
