/* codes.h - a catalogue in 8 bits a number, and how far off its products can be: the first look of an exact search.
 *
 * An item x is written as s q + r: a scale s, whole numbers q of -127 .. 127, and what rounding leaves, r; a query u
 * likewise as t p + e. Their product is
 *     u x = (t p + e)(s q + r) = t s (p q) + t p r + e x,
 * so that by Cauchy and Schwarz it is no more than
 *     t s (p q) + |t p| |r| + |e| |x|,
 * of which p q is a sum of whole numbers and all else is three numbers an item: s, |r| and |x|. An f32 product is off
 * its true value, too: by less than g |u| |x| with g = 1.1 (width + width / 256 + 2) 2^-24, whatever the order of its
 * fused multiply-adds, and by width 2^-130 where numbers are so small that they lose digits. Both go into the bound, as
 * does the rounding of the bound itself (2^-18 of each of its terms, 16 times what it can be), so that the bound lies
 * above the product, never on it. With these terms taken away instead of added it lies below. So where k items reach at
 * least some score, an item whose bound is not above that score cannot be among the k best: only the others' products are
 * computed.
 *
 * That holds where no sum overflows. An item that holds a NaN or an infinity, or whose length no f32 can hold, has the
 * bound infinity; a query whose products could come near the largest f32 is refused. */
#ifndef RS_CODES_H
#define RS_CODES_H
#include "base/status.h"
#include "tensor/tensor.h"

enum { RS_CODES_BLOCK = 64, RS_CODES_WIDEST = 4096 };

/* All-zero is valid and empty. Tensors have a whole number of blocks of 64 items, those that there are not all zero: */
typedef struct rs_codes {
  int64_t n, width; /* items, dimensions */
  rs_tensor values; /* u8 [blocks, steps, 64, 4]: 128 + q of dimension 4 step + i of an item, 4 steps >= width */
  rs_tensor scales; /* f32 [blocks, 64]: s */
  rs_tensor bounds; /* f32 [blocks, 2, 64]: |r| and |x|, rounded up */
  double longest;   /* the largest |x| that is finite */
} rs_codes;

/* Of f32 items [n, width], contiguous, of at most RS_CODES_WIDEST dimensions. RS_ENOMEM; then 'out' is empty. */
rs_status rs_codes_new(rs_codes *out, const float *items, int64_t n, int64_t width);
/* Over tensors that were made so, such as a file's: RS_ESHAPE when they do not fit n and width. Whatever they hold, a
 * search with them ends; it is exact where they belong to the items. Holds handles on them. */
rs_status rs_codes_over(rs_codes *out, int64_t n, int64_t width, const rs_tensor *values, const rs_tensor *scales,
                        const rs_tensor *bounds);
/* Whether the codes are of these items, by a sample of rows coded anew. */
bool rs_codes_fit(const rs_codes *codes, const float *items);
/* Whether rs_codes_put may write any of 'n' items, more than there are or as many: not to codes that others hold, or that
 * are mapped. */
bool rs_codes_has_room(const rs_codes *codes, int64_t n);
/* A copy that has room. RS_ENOMEM; then 'out' is empty. */
rs_status rs_codes_longer(rs_codes *out, const rs_codes *codes, int64_t n);
/* Code an item's vector anew at its row, which may be one behind the last: where there is room. */
void rs_codes_put(rs_codes *codes, int64_t row, const float *vector);
void rs_codes_free(rs_codes *codes); /* any codes, empty or freed before included */

/* A query's vector as the codes are asked. */
typedef struct rs_coded {
  const int8_t *p; /* [4 steps] */
  float scale;     /* t */
  int32_t offset;  /* 128 times the sum of p */
  float by_rest;   /* what |r| counts in the bound */
  float by_length; /* what |x| counts */
  float least;     /* what counts always */
} rs_coded;

/* Bytes of a vector's p. */
static inline size_t rs_coded_bytes(const rs_codes *codes) { return (size_t)(codes->width + 3) / 4 * 4; }

/* Write a vector into 'p' and *out; false when its products with the items could overflow, or it is not finite. */
bool rs_codes_query(const rs_codes *codes, const float *vector, int8_t *p, rs_coded *out);

/* Of the items of a block whose bits are in 'rows': the largest bound with any of the query's vectors, which is returned;
 * and what they reach at the least, the same with its second and third term taken away instead: low[i] is raised to the
 * largest of the items i, i + RS_CODES_LANES, ... */
enum { RS_CODES_LANES = 16 };
float rs_codes_reach(const rs_codes *codes, int64_t block, const rs_coded *query, int64_t vectors, uint64_t rows,
                     float *low);

/* The items of a block, a bit each, whose bound with one of the query's vectors is above 'least'. */
uint64_t rs_codes_above(const rs_codes *codes, int64_t block, const rs_coded *query, int64_t vectors, float least);

/* The kernels by name: "plain" everywhere, "avx2" and "vnni" (AVX-512) where the CPU has them, else NULL. For tests,
 * which may make one of them the one that is used, from now on; NULL: the best again. */
typedef struct rs_codes_kernel {
  float (*reach)(const rs_codes *codes, int64_t block, const rs_coded *query, uint64_t rows, float *low);
  uint64_t (*above)(const rs_codes *codes, int64_t block, const rs_coded *query, float least);
} rs_codes_kernel;
const rs_codes_kernel *rs_codes_kernel_named(const char *name);
void rs_codes_use(const rs_codes_kernel *kernel);

#endif
