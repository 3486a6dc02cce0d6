/* block_lanes.h - the kernel of block.c for one width of vectors. No guard: block.c includes it for each, with
 *   OF(name)                       a function's name for this width
 *   VECTOR, LANES                  a register, and how many floats it holds
 *   ROWS                           the most rows of a tile: ROWS x 3 sums, 3 of b and one of a fill the registers
 *   MASK, MASK_OF(n)               which lanes count: the first n
 *   ZERO, SPREAD(x), LOAD(p), LOAD_SOME(mask, p), STORE_SOME(p, mask, x), TIMES(x, y), FUSED(x, y, z) = x y + z */

/* A part of the work: some columns of c, some of k. */
typedef struct OF(part) {
  const float *a, *b;
  int64_t a_row, a_column, ldb, k;
  float *c;
  int64_t ldc;
  float alpha;
  bool add;
  MASK mask; /* of the last register */
} OF(part);

/* A tile of c: 'rows' rows from row i on, 'vectors' registers wide. Inlined for constant rows, vectors and whole (the
 * last register is full), so that the sums stay in registers. */
RS_INLINE void OF(tile)(const int rows, const int vectors, const bool whole, const OF(part) * p, int64_t i) {
  VECTOR sum[ROWS][3];
  const float *a = p->a + i * p->a_row, *b = p->b;
  const int64_t a_row = p->a_row;
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) sum[r][v] = ZERO;
  for (int64_t step = 0; step < p->k; step++, b += p->ldb, a += p->a_column) {
    VECTOR y[3];
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++)
      y[v] = whole || v < vectors - 1 ? LOAD(b + v * LANES) : LOAD_SOME(p->mask, b + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
      VECTOR x = SPREAD(a[r * a_row]);
#pragma GCC unroll 3
      for (int v = 0; v < vectors; v++) sum[r][v] = FUSED(x, y[v], sum[r][v]);
    }
  }
  const VECTOR alpha = SPREAD(p->alpha);
  const MASK all = MASK_OF(LANES);
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
    for (int v = 0; v < vectors; v++) {
      float *c = p->c + (i + r) * p->ldc + v * LANES;
      MASK mask = v == vectors - 1 ? p->mask : all;
      STORE_SOME(c, mask, p->add ? FUSED(alpha, sum[r][v], LOAD_SOME(mask, c)) : TIMES(alpha, sum[r][v]));
    }
}

/* m rows in tiles of ROWS, then of 4, 2 and 1. */
RS_INLINE void OF(rows)(const int vectors, const bool whole, const OF(part) * p, int64_t m) {
  int64_t i = 0;
  for (; i + ROWS <= m; i += ROWS) OF(tile)(ROWS, vectors, whole, p, i);
  for (; i + 4 <= m; i += 4) OF(tile)(4, vectors, whole, p, i);
  for (; i + 2 <= m; i += 2) OF(tile)(2, vectors, whole, p, i);
  for (; i < m; i++) OF(tile)(1, vectors, whole, p, i);
}

static void OF(run)(const OF(part) * p, int64_t m, int vectors, bool whole) {
  switch (2 * vectors + whole) {
    case 2: OF(rows)(1, false, p, m); break;
    case 3: OF(rows)(1, true, p, m); break;
    case 4: OF(rows)(2, false, p, m); break;
    case 5: OF(rows)(2, true, p, m); break;
    case 6: OF(rows)(3, false, p, m); break;
    default: OF(rows)(3, true, p, m); break;
  }
}

/* The columns 'at' .. 'at' + 'width' of all rows, over k from 'from' on. */
static void OF(columns)(const rs_block *p, int64_t at, int64_t width, int64_t from) {
  float panel[RS_BLOCK_DEPTH * 3 * LANES] __attribute__((aligned(64)));
  bool near = false;
  int64_t left = p->k - from, last = (width - 1) % LANES + 1;
  OF(part) part = {.a = p->a + from * p->a_column, .a_row = p->a_row, .a_column = p->a_column, .alpha = p->alpha};
  part.k = left < RS_BLOCK_DEPTH ? left : RS_BLOCK_DEPTH;
  part.b = p->b + from * p->ldb + at;
  part.ldb = p->ldb;
  part.c = p->c + at;
  part.ldc = p->ldc;
  part.add = p->add || from > 0;
  part.mask = MASK_OF((int)last);
  if (p->turned)
    turn(panel, 3 * LANES, p->b + at * p->ldb + from, p->ldb, width, part.k);
  else if (p->ldb >= FAR && p->m >= MANY)
    for (int64_t i = 0; i < part.k; i++)
      memcpy(panel + i * 3 * LANES, part.b + i * p->ldb, (size_t)width * sizeof *panel);
  else
    near = true;
  if (!near) {
    part.b = panel;
    part.ldb = 3 * LANES;
  }
  OF(run)(&part, p->m, (int)((width + LANES - 1) / LANES), last == LANES);
}

/* Panels of columns are alike rather than wide ones and a narrow last one. */
static void OF(product)(const rs_block *p) {
  enum { WIDEST = 3 * LANES };
  for (int64_t from = 0; from < p->k || from == 0; from += RS_BLOCK_DEPTH)
    for (int64_t at = 0, width; at < p->n; at += width) {
      int64_t left = p->n - at, panels = (left + WIDEST - 1) / WIDEST;
      width = (left + panels * LANES - 1) / (panels * LANES) * LANES;
      if (width > left) width = left;
      OF(columns)(p, at, width, from);
    }
}

#undef OF
#undef VECTOR
#undef LANES
#undef ROWS
#undef MASK
#undef MASK_OF
#undef ZERO
#undef SPREAD
#undef LOAD
#undef LOAD_SOME
#undef STORE_SOME
#undef TIMES
#undef FUSED
