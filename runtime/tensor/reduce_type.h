/* reduce_type.h - the reductions of one element type; reduce.c includes it for each with TYPE, SUM (the type that sums
 * are kept in) and NAME(x). 'n' elements in steps of 'step'. */

/* Sixteen sums side by side, folded in a fixed order: vector code without changing the meaning of +. */
RS_CLONES static SUM NAME(sum)(const TYPE *x, int64_t n) {
  SUM lane[16] = {0}, total = 0;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (int l = 0; l < 16; l++) lane[l] += (SUM)x[i + l];
  for (; i < n; i++) total += (SUM)x[i];
  for (int half = 8; half >= 1; half /= 2)
    for (int l = 0; l < half; l++) lane[l] += lane[l + half];
  return lane[0] + total;
}

/* sums[j] += row[j] */
RS_CLONES static void NAME(add_row)(SUM *sums, const TYPE *row, int64_t n) {
  for (int64_t j = 0; j < n; j++) sums[j] += (SUM)row[j];
}

/* The position of the first greatest (sign 1) or least (sign -1); a NaN wins over all. */
static int64_t NAME(extreme)(const TYPE *x, int64_t n, int64_t step, bool greatest) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++) {
    TYPE value = x[i * step], known = x[best * step];
    if (IS_NAN(known)) break;
    if ((greatest ? value > known : value < known) || IS_NAN(value)) best = i;
  }
  return best;
}

static void NAME(sum_slices)(void *context, int64_t begin, int64_t end) {
  const slices *s = context;
  const TYPE *x = s->x;
  SUM *out = s->out;
  for (int64_t o = begin; o < end; o++) {
    if (s->inner == 1) {
      out[o] = NAME(sum)(x + o * s->n, s->n);
    } else {
      memset(out + o * s->inner, 0, sizeof(SUM) * (size_t)s->inner);
      for (int64_t i = 0; i < s->n; i++) NAME(add_row)(out + o * s->inner, x + (o * s->n + i) * s->inner, s->inner);
    }
  }
}

static void NAME(extreme_slices)(void *context, int64_t begin, int64_t end) {
  const slices *s = context;
  int64_t *out = s->out;
  for (int64_t o = begin; o < end; o++)
    for (int64_t j = 0; j < s->inner; j++)
      out[o * s->inner + j] = NAME(extreme)((const TYPE *)s->x + o * s->n * s->inner + j, s->n, s->inner, s->greatest);
}

#undef TYPE
#undef SUM
#undef NAME
#undef IS_NAN
