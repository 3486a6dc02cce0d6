/* neighbours_rows.h - the loops over the entries of columns; neighbours.c includes it for each kind of entry with ENTRY, OF(x),
 * ROW(e) and TERM(x, e), what an entry gives the sum of its row, x being the other row's. */

/* Add what row 'row' has in common with each row to that row's sum. */
static void OF(add_row)(const work *w, float *sums, int64_t row) {
  const int64_t *starts = rs_i64(&w->rows.starts);
  const int32_t *columns = rs_i32(&w->rows.columns);
  const float *values = rs_f32(&w->rows.values);
  for (int64_t i = starts[row], last = starts[row + 1]; i < last; i++) {
    look_ahead(w, columns, i, last, sizeof(ENTRY));
    const ENTRY *e = (const ENTRY *)w->entries + w->of_column[columns[i]];
    const ENTRY *end = (const ENTRY *)w->entries + w->of_column[columns[i] + 1];
    float x = values[i];
    for (; e < end; e++) sums[ROW(e)] += TERM(x, e);
  }
}

/* The same where each sum only grows, and whose are no longer 0. How many. */
static int64_t OF(add_and_touch)(const work *w, float *sums, int32_t *touched, int64_t row) {
  const int64_t *starts = rs_i64(&w->rows.starts);
  const int32_t *columns = rs_i32(&w->rows.columns);
  const float *values = rs_f32(&w->rows.values);
  int64_t n = 0;
  for (int64_t i = starts[row], last = starts[row + 1]; i < last; i++) {
    look_ahead(w, columns, i, last, sizeof(ENTRY));
    const ENTRY *e = (const ENTRY *)w->entries + w->of_column[columns[i]];
    const ENTRY *end = (const ENTRY *)w->entries + w->of_column[columns[i] + 1];
    float x = values[i];
    for (; e < end; e++) {
      float sum = sums[ROW(e)];
      touched[n] = ROW(e);
      n += sum == 0;
      sums[ROW(e)] = sum + TERM(x, e);
    }
  }
  return n;
}

/* To the sums of each entry's row, in all lanes, what it gives; of rows below 'limit', which come first. */
RS_CLONES static void OF(add_lanes)(float *sums, const float *x_, const ENTRY *e, const ENTRY *end, int64_t limit) {
  lanes x = *(const lanes *)x_;
  for (; e < end && ROW(e) < limit; e++) *(lanes *)(sums + (int64_t)ROW(e) * LANES) += TERM(x, e);
}

/* The columns first .. first + n - 1, of which a block has those that are present. */
static void OF(add_slice)(const work *w, const scratch *s, float *sums, int64_t first, int64_t n, int64_t limit) {
  for (int64_t place = 0; place < n; place++)
    if (s->present[place])
      OF(add_lanes)(sums, s->slice + place * LANES, (const ENTRY *)w->entries + w->of_column[first + place],
                    (const ENTRY *)w->entries + w->of_column[first + place + 1], limit);
}

#undef ENTRY
#undef OF
#undef ROW
#undef TERM
