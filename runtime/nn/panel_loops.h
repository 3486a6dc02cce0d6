/* panel_loops.h - the loops behind panel.h, for one width of vectors. Included by panel_plain.c, panel_avx2.c and
 * panel_avx512.c, which are compiled for those CPUs; no guard, as the plain one needs it for float and for double.
 *
 * They set REAL, OF(name), LANES (reals of a vector), VECTORS (of a row of a tile) and FMA(x, y, z). A tile of
 * ROWS x VECTORS sums stays in registers while k runs; the compiler unrolls the loops over it, as its sizes are
 * constants of each instance. */
enum { OF(ROWS) = 6 };

typedef REAL OF(vector) __attribute__((vector_size(LANES * sizeof(REAL))));

static inline OF(vector) OF(load)(const REAL *p) {
  OF(vector) v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void OF(store)(REAL *p, OF(vector) v) { memcpy(p, &v, sizeof v); }

typedef void OF(tile_function)(int64_t k, const REAL *a, int64_t a_row, int64_t a_step, const REAL *b, int64_t b_step,
                               const REAL *start, int64_t start_row, REAL *c, int64_t c_row);

static inline __attribute__((always_inline)) void OF(tile)(int rows, int vectors, int64_t k, const REAL *a,
                                                           int64_t a_row, int64_t a_step, const REAL *b, int64_t b_step,
                                                           const REAL *start, int64_t start_row, REAL *c,
                                                           int64_t c_row) {
  OF(vector) sum[OF(ROWS)][VECTORS];
#pragma GCC unroll 6
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
      sum[i][v] = start ? OF(load)(start + i * start_row + v * LANES) : (OF(vector)){0};
  for (int64_t p = 0; p < k; p++, a += a_step, b += b_step) {
    OF(vector) x[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) x[v] = OF(load)(b + v * LANES);
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
      OF(vector) y = a[i * a_row] - (OF(vector)){0};
#pragma GCC unroll 4
      for (int v = 0; v < vectors; v++) sum[i][v] = FMA(y, x[v], sum[i][v]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++) OF(store)(c + i * c_row + v * LANES, sum[i][v]);
}

#define TILE(rows, vectors)                                                                                          \
  static void OF(tile_##rows##_##vectors)(int64_t k, const REAL *a, int64_t a_row, int64_t a_step, const REAL *b,    \
                                          int64_t b_step, const REAL *start, int64_t start_row, REAL *c,             \
                                          int64_t c_row) {                                                           \
    OF(tile)(rows, vectors, k, a, a_row, a_step, b, b_step, start, start_row, c, c_row);                             \
  }
#define TILES(vectors) \
  TILE(1, vectors) TILE(2, vectors) TILE(3, vectors) TILE(4, vectors) TILE(5, vectors) TILE(6, vectors)
#define NAMES(vectors)                                                                                     \
  {                                                                                                        \
    OF(tile_1_##vectors), OF(tile_2_##vectors), OF(tile_3_##vectors), OF(tile_4_##vectors),                \
        OF(tile_5_##vectors), OF(tile_6_##vectors)                                                         \
  }

TILES(1)
TILES(2)
#if VECTORS == 4
TILES(3)
TILES(4)
static OF(tile_function) *const OF(tiles)[VECTORS][6] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};
#else
static OF(tile_function) *const OF(tiles)[VECTORS][6] = {NAMES(1), NAMES(2)};
#endif

/* Tiles are about alike in width, rather than wide ones and a narrow last one, whose sums would wait for each other. */
static void OF(product)(int64_t rows, int64_t width, int64_t k, const void *a, int64_t a_row, int64_t a_step,
                        const void *b, int64_t b_step, const void *start, int64_t start_row, void *c, int64_t c_row) {
  for (int64_t j = 0, vectors; j < width; j += vectors * LANES) {
    int64_t left = (width - j) / LANES, tiles = (left + VECTORS - 1) / VECTORS;
    vectors = (left + tiles - 1) / tiles;
    for (int64_t i = 0; i < rows; i += OF(ROWS)) {
      int64_t high = rows - i < OF(ROWS) ? rows - i : OF(ROWS);
      OF(tiles)[vectors - 1][high - 1](k, (const REAL *)a + i * a_row, a_row, a_step, (const REAL *)b + j, b_step,
                                       start ? (const REAL *)start + i * start_row + j : NULL, start_row,
                                       (REAL *)c + i * c_row + j, c_row);
    }
  }
}

static double OF(exponentials)(void *s_, double shift, int64_t n) {
  REAL *s = s_;
  OF(vector) sum = {0}, by = (REAL)shift - (OF(vector)){0};
  for (int64_t j = 0; j < n; j += LANES) {
    OF(vector) e = OF(raise)(OF(load)(s + j) - by);
    OF(store)(s + j, e);
    sum += e;
  }
  double total = 0;
  for (int l = 0; l < LANES; l++) total += (double)sum[l];
  return total;
}

#undef TILE
#undef TILES
#undef NAMES
