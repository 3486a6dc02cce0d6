/* What looking at frames finds, against worked numbers and brute force. */
#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/testing.h"
#include "frame/profile.h"

static void add_column(rs_frame *f, rs_column *c) { assert_int_equal(rs_frame_add(f, c), RS_OK); }

static void add_numbers(rs_frame *f, const char *name, int64_t n, const double *values) {
  rs_column c = {.name = rs_strdup(name), .type = RS_NUMBER};
  assert_int_equal(rs_tensor_new(&c.values, RS_F64, 1, &n), RS_OK);
  if (n) memcpy(rs_f64(&c.values), values, (size_t)n * sizeof *values);
  add_column(f, &c);
}

static void add_times(rs_frame *f, const char *name, int64_t n, const int64_t *values) {
  rs_column c = {.name = rs_strdup(name), .type = RS_TIME};
  assert_int_equal(rs_tensor_new(&c.values, RS_I64, 1, &n), RS_OK);
  if (n) memcpy(rs_i64(&c.values), values, (size_t)n * sizeof *values);
  add_column(f, &c);
}

static void add_strings(rs_frame *f, const char *name, int64_t n, const char *const *texts) {
  rs_column c = {.name = rs_strdup(name), .type = RS_STRING};
  assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  assert_int_equal(rs_tensor_zeros(&c.values, RS_I32, 1, &n), RS_OK);
  for (int64_t i = 0; i < n; i++)
    if (texts[i])
      assert_int_equal(rs_dictionary_add(c.dictionary, texts[i], strlen(texts[i]), &rs_i32(&c.values)[i]), RS_OK);
  add_column(f, &c);
}

static void add_lists(rs_frame *f, const char *name, int64_t n, const int64_t *starts, const int32_t *lengths,
                      int64_t total, const int32_t *codes) {
  rs_column c = {.name = rs_strdup(name), .type = RS_LIST};
  int32_t code;
  assert_int_equal(rs_dictionary_new(&c.dictionary), RS_OK);
  assert_int_equal(rs_dictionary_add(c.dictionary, "x", 1, &code), RS_OK);
  assert_int_equal(rs_dictionary_add(c.dictionary, "y", 1, &code), RS_OK);
  assert_int_equal(rs_tensor_new(&c.values, RS_I32, 1, &total), RS_OK);
  assert_int_equal(rs_tensor_new(&c.starts, RS_I64, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_new(&c.lengths, RS_I32, 1, &n), RS_OK);
  memcpy(rs_i32(&c.values), codes, (size_t)total * sizeof *codes);
  memcpy(rs_i64(&c.starts), starts, (size_t)n * sizeof *starts);
  memcpy(rs_i32(&c.lengths), lengths, (size_t)n * sizeof *lengths);
  add_column(f, &c);
}

static void numbers_have_a_spread_and_bins(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_profile p;
  add_numbers(&f, "x", 7, (double[]){4, NAN, -2, 4, 0.5, 10, -0.0});
  assert_int_equal(rs_profile_columns(&p, &f, 2, 10), RS_OK);
  assert_int_equal(p.rows, 7);
  assert_int_equal(p.missing, 1);
  assert_int_equal(p.distinct, 5);
  assert_false(p.whole);
  assert_true(p.spread.min == -2 && p.spread.max == 10 && p.spread.n == 6);
  assert_true(fabs(p.spread.mean - 16.5 / 6) < 1e-15);
  assert_true(fabs(p.spread.deviation - sqrt(136.25 / 6 - 2.75 * 2.75)) < 1e-14);
  assert_true(fabs(p.spread.quantile[0] - -1.9) < 1e-15); /* -2 + 0.05 x 2 */
  assert_true(p.spread.quantile[1] == 0.125 && p.spread.quantile[2] == 2.25 && p.spread.quantile[3] == 4);
  assert_int_equal(p.n_top, 2);
  assert_true(p.top[0].number == 4 && p.top[0].count == 2);
  assert_true(p.top[1].number == -2 && p.top[1].count == 1); /* the least of those that stand once */
  int64_t sum = 0;
  for (int64_t i = 0; i < p.n_bins; i++) sum += p.bins[i];
  assert_int_equal(p.n_bins, 10);
  assert_int_equal(sum, 6);
  assert_int_equal(p.bins[0], 1);
  assert_int_equal(p.bins[9], 1); /* beyond the 99 % quantile */
  rs_frame_free(&f);
}

static void few_whole_numbers_have_a_bin_each(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_profile p[2];
  add_numbers(&f, "rating", 6, (double[]){1, 5, 5, 3, 5, 1});
  add_numbers(&f, "constant", 6, (double[]){7, 7, 7, 7, 7, 7});
  assert_int_equal(rs_profile_columns(p, &f, 10, 24), RS_OK);
  assert_true(p[0].whole && p[0].low == 0.5 && p[0].high == 5.5);
  assert_int_equal(p[0].n_bins, 5);
  assert_memory_equal(p[0].bins, ((int64_t[]){2, 0, 1, 0, 3}), 5 * sizeof(int64_t));
  assert_int_equal(p[1].n_bins, 1);
  assert_int_equal(p[1].bins[0], 6);
  assert_true(p[1].low == 6.5 && p[1].high == 7.5 && p[1].spread.deviation == 0);
  assert_int_equal(rs_profile_columns(p, &f, 33, 24), RS_EARG);
  assert_int_equal(rs_profile_columns(p, &f, 10, 0), RS_EARG);
  rs_frame_free(&f);
}

static void nothing_and_infinity_are_told(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_profile p[4];
  add_numbers(&f, "none", 2, (double[]){NAN, NAN});
  add_numbers(&f, "infinite", 2, (double[]){1, INFINITY});
  add_times(&f, "time", 2, (int64_t[]){1700000000001, 1700000000003});
  add_numbers(&f, "huge", 2, (double[]){-1.6e308, 1.6e308});
  assert_int_equal(rs_profile_columns(p, &f, 10, 24), RS_OK);
  assert_true(p[3].spread.quantile[2] == 0 && fabs(p[3].spread.quantile[3] / 0.8e308 - 1) < 1e-15);
  assert_int_equal(p[0].missing, 2);
  assert_true(p[0].distinct == 0 && p[0].n_bins == 0 && p[0].n_top == 0 && p[0].spread.n == 0);
  assert_true(p[1].spread.max == INFINITY && p[1].n_bins == 0 && p[1].distinct == 2);
  assert_true(p[2].spread.mean == 1700000000002 && p[2].spread.deviation == 1);
  assert_true(p[2].top[1].number == 1700000000003);
  rs_frame_free(&f);
  add_numbers(&f, "empty", 0, NULL);
  assert_int_equal(rs_profile_columns(p, &f, 10, 24), RS_OK);
  assert_true(p[0].rows == 0 && p[0].missing == 0);
  rs_frame_free(&f);
}

static void texts_are_counted_and_measured_in_characters(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_profile p[2];
  add_strings(&f, "s", 5, (const char *[]){"b", "caf\xC3\xA9", NULL, "b", "a"});
  add_lists(&f, "l", 5, (int64_t[]){0, 2, 2, 2, 3}, (int32_t[]){2, 0, 1, 0, 1}, 4, (int32_t[]){1, 2, 2, 2});
  assert_int_equal(rs_profile_columns(p, &f, 10, 24), RS_OK);
  assert_true(p[0].missing == 1 && p[0].distinct == 3 && p[0].n_top == 3);
  assert_true(p[0].top[0].code == 1 && p[0].top[0].count == 2 && p[0].top[1].code == 2 && p[0].top[2].code == 3);
  assert_true(p[0].spread.min == 1 && p[0].spread.max == 4 && p[0].spread.mean == 7.0 / 4);
  assert_true(p[1].missing == 2 && p[1].distinct == 2 && p[1].spread.max == 2);
  assert_true(p[1].top[0].code == 2 && p[1].top[0].count == 3 && p[1].top[1].count == 1);
  rs_frame_free(&f);
}

static void repeats_are_found_with_their_first_rows(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_repeats r = {0};
  add_strings(&f, "s", 6, (const char *[]){"a", "b", "a", NULL, NULL, "a"});
  add_numbers(&f, "x", 6, (double[]){0, 1, -0.0, NAN, NAN, 1});
  add_lists(&f, "l", 6, (int64_t[]){0, 0, 1, 0, 0, 0}, (int32_t[]){1, 2, 1, 0, 0, 1}, 2, (int32_t[]){1, 1});
  assert_int_equal(rs_frame_repeats(&r, &f, NULL, 0, false, 10), RS_OK);
  assert_int_equal(r.distinct, 4);
  assert_int_equal(r.repeated, 2);
  assert_memory_equal(rs_i64(&r.repeats), ((int64_t[]){2, 4}), 2 * sizeof(int64_t));
  assert_memory_equal(rs_i64(&r.firsts), ((int64_t[]){0, 3}), 2 * sizeof(int64_t));
  rs_repeats_free(&r);
  assert_int_equal(rs_frame_repeats(&r, &f, (const char *[]){"s"}, 1, true, 1), RS_OK);
  assert_int_equal(r.incomplete, 2);
  assert_int_equal(r.distinct, 2);
  assert_int_equal(r.repeated, 2);
  assert_int_equal(r.repeats.size[0], 1);
  rs_repeats_free(&r);
  assert_int_equal(rs_frame_repeats(&r, &f, (const char *[]){"z"}, 1, true, 1), RS_EARG);
  rs_repeats_free(&r);
  rs_frame_free(&f);
}

static void keys_without_a_partner_are_counted(void **state) {
  (void)state;
  rs_frame f = {0}, g = {0};
  rs_overlap left = {0}, right = {0};
  add_numbers(&f, "item", 6, (double[]){1, 2, 2.5, 2, NAN, 3});
  add_times(&f, "time", 6, (int64_t[]){1, 2, 3, 4, 5, 6});
  add_strings(&g, "id", 4, (const char *[]){"1", "01", NULL, "3"});
  assert_int_equal(rs_column_overlap(&left, &right, &f.columns[0], &g.columns[0]), RS_OK);
  assert_true(left.rows == 6 && left.missing == 1 && left.keys == 4);
  assert_true(left.unmatched_keys == 2 && left.unmatched_rows == 3 && left.n_examples == 2);
  assert_memory_equal(left.examples[0].text, "2", left.examples[0].length);
  assert_int_equal(left.examples[0].rows, 2);
  assert_memory_equal(left.examples[1].text, "2.5", left.examples[1].length);
  assert_true(right.keys == 3 && right.missing == 1 && right.unmatched_keys == 1 && right.unmatched_rows == 1);
  assert_memory_equal(right.examples[0].text, "01", right.examples[0].length);
  rs_overlap_free(&left);
  rs_overlap_free(&right);
  assert_int_equal(rs_column_overlap(&left, &right, &f.columns[1], &g.columns[0]), RS_EARG);
  rs_frame_free(&f);
  rs_frame_free(&g);
}

static void skew_is_measured(void **state) {
  (void)state;
  rs_skew s;
  assert_int_equal(rs_skew_of(&s, (int64_t[]){0, 3, 1, 0, 4, 2}, 6), RS_OK);
  assert_true(s.spread.n == 4 && s.total == 10 && s.once == 1);
  assert_true(fabs(s.gini - 0.25) < 1e-15);      /* (-3 - 2 + 3 + 12) / (4 x 10) */
  assert_true(s.top1 == 0.4 && s.top10 == 0.4); /* one of four */
  assert_int_equal(s.n_points, 4);
  assert_memory_equal(s.rank, ((int64_t[]){1, 2, 3, 4}), 4 * sizeof(int64_t));
  assert_memory_equal(s.count, ((int64_t[]){4, 3, 2, 1}), 4 * sizeof(int64_t));
  assert_int_equal(rs_skew_of(&s, (int64_t[]){0, 0}, 2), RS_OK);
  assert_true(s.spread.n == 0 && s.gini == 0 && s.n_points == 0);
  assert_int_equal(rs_skew_of(&s, (int64_t[]){5}, 1), RS_OK);
  assert_true(s.gini == 0 && s.top1 == 1 && s.n_points == 1);
}

static void what_starts_cold_is_counted(void **state) {
  (void)state;
  rs_frame f = {0};
  rs_interactions found;
  rs_cold cold[2] = {{.share = 0.5}, {.share = 0.2}};
  add_strings(&f, "user", 7, (const char *[]){"a", "b", "a", "c", "c", NULL, "a"});
  add_numbers(&f, "item", 7, (double[]){1, 1, 2, 3, 1, 1, 1});
  add_times(&f, "time", 7, (int64_t[]){10, 20, 30, 40, 50, 60, RS_TIME_MISSING});
  assert_int_equal(rs_frame_interactions(&found, cold, 2, &f, "user", "item", "time"), RS_OK);
  assert_true(found.rows == 7 && found.incomplete == 2 && found.pairs == 5 && found.repeated == 0);
  assert_true(found.users.spread.n == 3 && found.items.spread.n == 3 && found.items.spread.max == 3);
  /* Of the five complete rows the last half begins at the third: users a (known) and c, items 2, 3 (new) and 1. */
  assert_true(cold[0].from == 30 && cold[0].events == 3 && cold[0].users == 2 && cold[0].new_users == 1);
  assert_true(cold[0].items == 3 && cold[0].new_items == 2 && cold[0].user_events == 2 && cold[0].item_events == 2);
  assert_int_equal(cold[0].either_events, 3);
  assert_true(cold[1].from == 50 && cold[1].events == 1 && cold[1].new_users == 0 && cold[1].new_items == 0);
  assert_int_equal(rs_frame_interactions(&found, NULL, 0, &f, "user", "item", NULL), RS_OK);
  assert_true(found.incomplete == 1 && found.pairs == 5 && found.repeated == 1); /* a and 1 twice */
  assert_int_equal(rs_frame_interactions(&found, NULL, 0, &f, "user", "thing", NULL), RS_EARG);
  assert_int_equal(rs_frame_interactions(&found, NULL, 0, &f, "user", "item", "item"), RS_EARG);
  rs_frame_free(&f);
}

enum { MANY = 30000 };

static void fill_at_random(double *values, int64_t n, double range) {
  rs_stream s = rs_stream_at(7, RS_RNG_USER, 0, 0);
  for (int64_t i = 0; i < n; i++)
    values[i] = floor(range * (rs_stream_f64(&s, (uint64_t)i) + rs_stream_f64(&s, (uint64_t)(n + i))) - range);
}

static void many_rows_agree_with_brute_force_on_any_number_of_threads(void **state) {
  (void)state;
  static double values[MANY];
  static int64_t counts[2001];
  rs_frame f = {0};
  rs_profile p[2], again[2];
  rs_repeats r = {0};
  int threads = rs_threads();
  fill_at_random(values, MANY, 1000);
  add_numbers(&f, "x", MANY, values);
  fill_at_random(values, MANY, 700);
  add_numbers(&f, "y", MANY, values);
  rs_threads_set(1);
  assert_int_equal(rs_profile_columns(p, &f, 3, 24), RS_OK);
  rs_threads_set(4);
  assert_int_equal(rs_profile_columns(again, &f, 3, 24), RS_OK);
  assert_memory_equal(p, again, sizeof p);
  int64_t distinct = 0, best = 0;
  for (int64_t i = 0; i < MANY; i++) counts[(int)rs_f64(&f.columns[0].values)[i] + 1000]++;
  for (int i = 0; i < 2001; i++) {
    distinct += counts[i] > 0;
    if (counts[i] > counts[best]) best = i;
  }
  assert_int_equal(p[0].distinct, distinct);
  assert_true(p[0].top[0].number == (double)(best - 1000) && p[0].top[0].count == counts[best]);
  assert_int_equal(rs_frame_repeats(&r, &f, (const char *[]){"x"}, 1, false, 5), RS_OK);
  assert_int_equal(r.distinct, distinct);
  rs_repeats_free(&r);
  rs_threads_set(threads);
  rs_frame_free(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_have_a_spread_and_bins),
      cmocka_unit_test(few_whole_numbers_have_a_bin_each),
      cmocka_unit_test(nothing_and_infinity_are_told),
      cmocka_unit_test(texts_are_counted_and_measured_in_characters),
      cmocka_unit_test(repeats_are_found_with_their_first_rows),
      cmocka_unit_test(keys_without_a_partner_are_counted),
      cmocka_unit_test(skew_is_measured),
      cmocka_unit_test(what_starts_cold_is_counted),
      cmocka_unit_test(many_rows_agree_with_brute_force_on_any_number_of_threads),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
