/* csr_type.h - the product of one element type; csr.c includes it for each with TYPE and NAME(x). */

typedef TYPE NAME(lanes) __attribute__((vector_size(LANES * sizeof(TYPE)), aligned(sizeof(TYPE)), may_alias));

/* A row of the result: the sum of 'n' rows of b, d elements apart, at 'columns', times 'values'. STRIP columns. */
RS_CLONES static void NAME(whole_strip)(TYPE *to, const TYPE *values, const int32_t *columns, int64_t n, const TYPE *b,
                                        int64_t d) {
  NAME(lanes) s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, *out = (NAME(lanes) *)to;
  for (int64_t i = 0; i < n; i++) {
    const NAME(lanes) *from = (const NAME(lanes) *)(b + columns[i] * d);
    TYPE v = values[i];
    s0 += v * from[0], s1 += v * from[1], s2 += v * from[2], s3 += v * from[3];
  }
  out[0] = s0, out[1] = s1, out[2] = s2, out[3] = s3;
}

/* The same of STRIP / 2 columns. */
RS_CLONES static void NAME(half_strip)(TYPE *to, const TYPE *values, const int32_t *columns, int64_t n, const TYPE *b,
                                       int64_t d) {
  NAME(lanes) s0 = {0}, s1 = {0}, *out = (NAME(lanes) *)to;
  for (int64_t i = 0; i < n; i++) {
    const NAME(lanes) *from = (const NAME(lanes) *)(b + columns[i] * d);
    s0 += values[i] * from[0], s1 += values[i] * from[1];
  }
  out[0] = s0, out[1] = s1;
}

/* The same of 'width' columns. */
RS_CLONES static void NAME(some_columns)(TYPE *to, int64_t width, const TYPE *values, const int32_t *columns, int64_t n,
                                         const TYPE *b, int64_t d) {
  for (int64_t j = 0; j < width; j++) to[j] = 0;
  for (int64_t i = 0; i < n; i++) {
    const TYPE *from = b + columns[i] * d, v = values[i];
    for (int64_t j = 0; j < width; j++) to[j] += v * from[j];
  }
}

/* Rows begin .. end-1 of the strip of 'width' columns from 'column' on. */
static void NAME(rows)(const product *p, int64_t begin, int64_t end, int64_t column, int64_t width) {
  const int64_t *starts = rs_i64(&p->m->starts);
  const int32_t *columns = rs_i32(&p->m->columns);
  const TYPE *values = rs_tensor_data(&p->m->values), *b = (const TYPE *)rs_tensor_data(p->b) + column;
  TYPE *out = rs_tensor_data(p->out);
  for (int64_t row = begin; row < end; row++) {
    int64_t at = starts[row], n = starts[row + 1] - at;
    TYPE *to = out + row * p->d + column;
    if (width == STRIP)
      NAME(whole_strip)(to, values + at, columns + at, n, b, p->d);
    else if (width == STRIP / 2)
      NAME(half_strip)(to, values + at, columns + at, n, b, p->d);
    else
      NAME(some_columns)(to, width, values + at, columns + at, n, b, p->d);
  }
}

/* Add rows of m, times the elements of a's row that are not 0, to a row of the result. */
static void NAME(add_rows)(TYPE *to, const TYPE *a, const rs_csr *m) {
  const int64_t *starts = rs_i64(&m->starts);
  const int32_t *columns = rs_i32(&m->columns);
  const TYPE *values = rs_tensor_data(&m->values);
  for (int64_t row = 0; row < m->rows; row++) {
    if (a[row] == 0) continue;
    for (int64_t i = starts[row]; i < starts[row + 1]; i++) to[columns[i]] += a[row] * values[i];
  }
}

#undef TYPE
#undef NAME
