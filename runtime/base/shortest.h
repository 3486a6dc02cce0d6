/* shortest.h - the shortest decimal text that reads back as the same f32, whether it is read as one or as a double that
 * is then rounded: "0.1", "-3", "1.5e-9". Texts in the very middle between two f32 are passed over: which of them a reader
 * takes should not matter. Of the shortest ones the nearest. The same text wherever a score is written. */
#ifndef RS_SHORTEST_H
#define RS_SHORTEST_H
#include <stddef.h>

/* Room that it needs at the most, with the final zero. */
enum { RS_SHORTEST_MAX = 24 };

/* Write it, terminated, and give its length: "nan", "inf" and "-inf" for what is no number. */
size_t rs_shortest_f32(char *out, float value);

#endif
