/* hnsw_file_test.c - an index as tensors and back: files that lie, what is refused, refused memory. */
#include "retrieval/hnsw.h"

#include "retrieval/hnsw_testing.h"

static void an_opened_index_answers_as_the_saved_one_and_copies_nothing(void **state) {
  (void)state;
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items, queries;
    rs_tensors saved = {0};
    rs_hnsw *again;
    rs_index_scratch scratch = {0};
    static answer a, b;
    draw(&items, LENGTHS, ROWS, 7);
    draw(&queries, CLUSTERS, QUERIES, 99);
    rs_hnsw *h = build(&items, codes, false);
    assert_int_equal(rs_hnsw_reserve(h, ROWS), RS_OK);
    for (int64_t row = 0; row < ROWS; row += 3) rs_hnsw_delete(h, row);
    assert_int_equal(rs_hnsw_save(h, &saved), RS_OK);
    int64_t before = rs_alloc_bytes();
    assert_int_equal(rs_hnsw_open(&again, &saved, &items), RS_OK);
    assert_true(rs_alloc_bytes() - before < 2000);
    assert_int_equal(rs_hnsw_facts_of(again).dead, rs_hnsw_facts_of(h).dead);
    for (int64_t i = 0; i < QUERIES; i++) {
      rs_index_query q = {.query = rs_f32(&queries) + i * WIDTH, .k = K};
      ask(rs_hnsw_index(h), &q, &scratch, &a);
      ask(rs_hnsw_index(again), &q, &scratch, &b);
      assert_memory_equal(a.rows, b.rows, K * sizeof *a.rows);
      assert_memory_equal(a.scores, b.scores, K * sizeof *a.scores);
    }
    assert_int_equal(rs_hnsw_reserve(again, ROWS), RS_OK);
    rs_hnsw_put(h, &items, 0);
    rs_hnsw_put(again, &items, 0);
    assert_same(h, again);
    rs_hnsw_free(h);
    rs_hnsw_free(again);
    rs_tensors_free(&saved);
    rs_index_scratch_free(&scratch);
    rs_tensor_free(&items);
    rs_tensor_free(&queries);
  }
}

/* A copy of the list in one of whose tensors a few numbers or bytes are others. */
static void damage(rs_tensors *out, const rs_tensors *list, const rs_stream *s, uint64_t *at) {
  for (int64_t i = 0; i < list->n; i++) {
    rs_tensor copy;
    assert_int_equal(rs_tensor_copy_of(&copy, &list->items[i].tensor), RS_OK);
    assert_int_equal(rs_tensors_add(out, list->items[i].name, &copy), RS_OK);
    rs_tensor_free(&copy);
  }
  int64_t hits = 1 + (int64_t)rs_stream_below(s, (*at)++, 30);
  const rs_tensor *t = &out->items[rs_stream_below(s, (*at)++, (uint64_t)out->n)].tensor;
  for (int64_t i = 0; i < hits && rs_tensor_bytes(t) >= 4; i++) {
    uint8_t *bytes = rs_tensor_data(t);
    static const int32_t numbers[] = {-1, -2, INT32_MIN, INT32_MAX, 1 << 20, 0, 1, 799, 800, 801, 49, 50, 51};
    int32_t number = numbers[rs_stream_below(s, (*at)++, sizeof numbers / sizeof *numbers)];
    uint64_t where = rs_stream_below(s, (*at)++, rs_tensor_bytes(t) / 4) * 4;
    if (rs_stream_below(s, (*at)++, 2) == 0)
      memcpy(bytes + where, &number, 4);
    else
      bytes[where] ^= (uint8_t)(1 << rs_stream_below(s, (*at)++, 8));
  }
}

static void a_damaged_file_is_refused_or_does_no_harm(void **state) {
  (void)state;
  enum { FEW = 800 };
  rs_stream s = rs_stream_at(21, RS_RNG_USER, 0, 0);
  uint64_t at = 0;
  int opened = 0;
  for (int codes = 0; codes < 2; codes++) {
    rs_tensor items, queries;
    rs_tensors saved = {0};
    draw(&items, CLUSTERS, FEW, 7);
    draw(&queries, CLUSTERS, 4, 99);
    rs_hnsw *h = build(&items, codes, false);
    assert_int_equal(rs_hnsw_reserve(h, FEW), RS_OK);
    rs_hnsw_delete(h, 3);
    assert_int_equal(rs_hnsw_save(h, &saved), RS_OK);
    rs_hnsw_free(h);
    for (int c = 0; c < 200; c++) {
      rs_tensors lies = {0};
      rs_hnsw *liar;
      damage(&lies, &saved, &s, &at);
      rs_status status = rs_hnsw_open(&liar, &lies, &items);
      assert_true(status == RS_OK || status == RS_EFORMAT);
      if (status == RS_OK) {
        opened++;
        rs_index_scratch scratch = {0};
        static answer a;
        for (int64_t i = 0; i < 4; i++) {
          rs_index_query q = {.query = rs_f32(&queries) + i * WIDTH, .k = K, .ef = 20};
          ask(rs_hnsw_index(liar), &q, &scratch, &a);
          assert_int_equal(a.n, K);
          for (int64_t j = 0; j < K; j++) assert_true(0 <= a.rows[j] && a.rows[j] < FEW);
        }
        assert_int_equal(rs_hnsw_reserve(liar, FEW), RS_OK);
        for (int64_t row = 0; row < FEW; row += 97) rs_hnsw_delete(liar, row), rs_hnsw_put(liar, &items, row);
        rs_index_scratch_free(&scratch);
        rs_hnsw_free(liar);
      }
      rs_tensors_free(&lies);
    }
    rs_tensors_free(&saved);
    rs_tensor_free(&items);
    rs_tensor_free(&queries);
  }
  assert_true(opened > 100);
}

static void refuse(const rs_tensor *items, rs_hnsw_options options, rs_status expected, const char *message) {
  rs_hnsw *h;
  assert_int_equal(rs_hnsw_build(&h, items, &options), expected);
  assert_string_equal(rs_message(), message);
  assert_null(h);
}

static void what_makes_no_sense_is_refused(void **state) {
  (void)state;
  rs_tensor items, numbers = {0};
  draw(&items, CLUSTERS, 50, 7);
  refuse(&items, (rs_hnsw_options){.m = 1}, RS_EARG, "index: M is 1; 2 to 128 are served");
  refuse(&items, (rs_hnsw_options){.ef_construction = -1}, RS_EARG,
         "index: ef_construction is -1; 1 to 4096 are served");
  rs_f32(&items)[40] = INFINITY;
  refuse(&items, (rs_hnsw_options){0}, RS_ENUMERIC, "index: a vector has a NaN, an infinity or no finite length");
  assert_int_equal(rs_tensor_zeros(&numbers, RS_I32, 2, (int64_t[]){5, 5}), RS_OK);
  refuse(&numbers, (rs_hnsw_options){0}, RS_EDTYPE, "index: items are i32; f32 expected");
  rs_tensor_free(&numbers);
  rs_tensor_free(&items);
  draw(&items, CLUSTERS, 50, 7);
  rs_hnsw *h = build(&items, false, false), *other;
  rs_tensors saved = {0};
  rs_tensor fewer;
  assert_int_equal(rs_hnsw_save(h, &saved), RS_OK);
  first_rows(&fewer, &items, 49);
  assert_int_equal(rs_hnsw_open(&other, &saved, &fewer), RS_EFORMAT);
  assert_string_equal(rs_message(), "the index is of 50 vectors of 24 numbers, not of [49, 24]: build it anew");
  rs_tensor_free(&fewer);
  rs_tensors_free(&saved);
  rs_hnsw_free(h);
  rs_tensor_free(&items);
}

static void refused_memory_is_told_and_leaks_nothing(void **state) {
  (void)state;
  rs_tensor items, more;
  rs_status status = RS_ENOMEM;
  draw(&items, CLUSTERS, 300, 7);
  first_rows(&more, &items, 299);
  for (int64_t n = 0; status != RS_OK; n++) {
    rs_hnsw *h = NULL, *again = NULL, *moved = NULL;
    rs_tensors saved = {0};
    int64_t blocks = rs_alloc_blocks();
    rs_alloc_fault(n);
    status = rs_hnsw_build(&h, &more, &(rs_hnsw_options){.codes = true});
    if (status == RS_OK) status = rs_hnsw_save(h, &saved);
    if (status == RS_OK) status = rs_hnsw_open(&again, &saved, &more);
    if (status == RS_OK) status = rs_hnsw_over(&moved, again, &more);
    if (status == RS_OK) status = rs_hnsw_reserve(again, 300);
    if (status == RS_OK) rs_hnsw_put(again, &items, 299);
    rs_alloc_fault(-1);
    assert_true(status == RS_OK || status == RS_ENOMEM);
    rs_tensors_free(&saved);
    rs_hnsw_free(h);
    rs_hnsw_free(again);
    rs_hnsw_free(moved);
    assert_int_equal(rs_alloc_blocks(), blocks);
  }
  rs_tensor_free(&more);
  rs_tensor_free(&items);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(an_opened_index_answers_as_the_saved_one_and_copies_nothing),
      cmocka_unit_test(a_damaged_file_is_refused_or_does_no_harm),
      cmocka_unit_test(what_makes_no_sense_is_refused),
      cmocka_unit_test(refused_memory_is_told_and_leaks_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
