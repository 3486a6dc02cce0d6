/* lower.h - text in lower case as Python's str.lower() gives it, for who must agree with what was made there. */
#ifndef RS_LOWER_H
#define RS_LOWER_H
#include <stdbool.h>

#include "base/buffer.h"

/* Replace 'out' by the text in lower case: Unicode's full mapping without locale. 'İ' becomes i and a dot above, 'ß'
 * stays, a capital sigma at the end of a word becomes 'ς'. Bytes that are not UTF-8 become spaces. *ascii: whether
 * all of the text is ASCII. Characters younger than the Unicode of utf8proc stay as they are. */
rs_status rs_lower(rs_buffer *out, const char *text, size_t length, bool *ascii);

#endif
