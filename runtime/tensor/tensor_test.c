/* tensor_test.c - constructors, views, element access. */
#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>

#include "base/testing.h"
#include "tensor/tensors.h"

static rs_tensor counted(int ndim, const int64_t *size) {
  rs_tensor t;
  assert_int_equal(rs_tensor_new(&t, RS_F32, ndim, size), RS_OK);
  for (int64_t i = 0; i < rs_tensor_count(&t); i++) rs_f32(&t)[i] = (float)i;
  return t;
}

static void narrow_shares_storage(void **state) {
  (void)state;
  rs_tensor t = counted(2, (int64_t[]){4, 3}), part;
  assert_int_equal(rs_tensor_narrow(&part, &t, 0, 1, 2), RS_OK);
  assert_ptr_equal(part.storage, t.storage);
  assert_int_equal(part.storage->references, 2);
  assert_true(rs_tensor_get(&part, (int64_t[]){0, 0}) == 3);
  rs_tensor_free(&t);
  assert_true(rs_tensor_get(&part, (int64_t[]){1, 2}) == 8);
  rs_tensor_free(&part);
  rs_tensor_free(&part);
}

static void narrow_keeps_transposed_strides(void **state) {
  (void)state;
  rs_tensor t = counted(2, (int64_t[]){4, 3}), turned, part, copy;
  assert_int_equal(rs_tensor_transpose(&turned, &t, 0, 1), RS_OK);
  assert_int_equal(rs_tensor_narrow(&part, &turned, 1, 1, 2), RS_OK);
  assert_false(rs_tensor_is_contiguous(&part));
  assert_int_equal(rs_tensor_contiguous(&copy, &part), RS_OK);
  const float expected[] = {3, 6, 4, 7, 5, 8};
  assert_memory_equal(rs_f32(&copy), expected, sizeof expected);
  rs_tensor_free(&t), rs_tensor_free(&turned), rs_tensor_free(&part), rs_tensor_free(&copy);
}

static void select_drops_the_dimension(void **state) {
  (void)state;
  rs_tensor t = counted(3, (int64_t[]){2, 3, 4}), s;
  assert_int_equal(rs_tensor_select(&s, &t, 1, 2), RS_OK);
  assert_string_equal(rs_shape(&s).text, "[2, 4]");
  assert_true(rs_tensor_get(&s, (int64_t[]){1, 3}) == 23);
  rs_tensor_free(&s);
  assert_int_equal(rs_tensor_select(&s, &t, 1, 3), RS_ERANGE);
  assert_null(s.storage);
  rs_tensor_free(&t);
}

static void reshape_infers_one_size_and_copies_only_when_it_must(void **state) {
  (void)state;
  rs_tensor t = counted(2, (int64_t[]){4, 3}), r, turned;
  assert_int_equal(rs_tensor_reshape(&r, &t, 2, (int64_t[]){-1, 6}), RS_OK);
  assert_string_equal(rs_shape(&r).text, "[2, 6]");
  assert_ptr_equal(r.storage, t.storage);
  rs_tensor_free(&r);
  assert_int_equal(rs_tensor_transpose(&turned, &t, 0, 1), RS_OK);
  assert_int_equal(rs_tensor_reshape(&r, &turned, 1, (int64_t[]){12}), RS_OK);
  assert_ptr_not_equal(r.storage, t.storage);
  assert_true(rs_f32(&r)[1] == 3);
  rs_tensor_free(&r);
  assert_int_equal(rs_tensor_reshape(&r, &t, 2, (int64_t[]){-1, 5}), RS_ESHAPE);
  assert_int_equal(rs_tensor_reshape(&r, &t, 2, (int64_t[]){-1, 0}), RS_ESHAPE);
  assert_int_equal(rs_tensor_reshape(&r, &t, 2, (int64_t[]){-1, -1}), RS_ESHAPE);
  rs_tensor_free(&t), rs_tensor_free(&turned);
}

static void scalars_and_empty_tensors_are_tensors(void **state) {
  (void)state;
  rs_tensor scalar, empty, copy;
  assert_int_equal(rs_tensor_zeros(&scalar, RS_F64, 0, NULL), RS_OK);
  assert_int_equal(rs_tensor_count(&scalar), 1);
  assert_true(rs_tensor_get(&scalar, NULL) == 0);
  assert_int_equal(rs_tensor_new(&empty, RS_I32, 2, (int64_t[]){0, 5}), RS_OK);
  assert_int_equal(rs_tensor_count(&empty), 0);
  assert_non_null(empty.storage);
  assert_int_equal(rs_tensor_copy_of(&copy, &empty), RS_OK);
  rs_tensor_free(&scalar), rs_tensor_free(&empty), rs_tensor_free(&copy);
}

static void impossible_shapes_are_refused(void **state) {
  (void)state;
  rs_tensor t;
  assert_int_equal(rs_tensor_new(&t, RS_F32, 5, (int64_t[]){1, 1, 1, 1, 1}), RS_ESHAPE);
  assert_int_equal(rs_tensor_new(&t, RS_F32, 1, (int64_t[]){-1}), RS_ESHAPE);
  assert_int_equal(rs_tensor_new(&t, RS_F64, 2, (int64_t[]){INT64_MAX / 2, 3}), RS_ESHAPE);
  assert_int_equal(rs_tensor_new(&t, RS_U8, 3, (int64_t[]){0, INT64_MAX, INT64_MAX}), RS_ESHAPE);
  assert_null(t.storage);
}

static int released;
static void note_release(rs_storage *s) { released += s->owner == &released; }

static void foreign_bytes_are_released_with_the_last_view(void **state) {
  (void)state;
  static double bytes[6] = {0, 1, 2, 3, 4, 5};
  rs_storage *storage = rs_storage_wrap(bytes, sizeof bytes, false, note_release, &released);
  rs_tensor t, view;
  assert_int_equal(rs_tensor_over(&t, storage, RS_F64, 1, (int64_t[]){6}, 1), RS_ESHAPE);
  assert_int_equal(rs_tensor_over(&t, storage, RS_F64, 1, (int64_t[]){2}, INT64_MAX), RS_ESHAPE);
  assert_int_equal(rs_tensor_over(&t, storage, RS_F64, 1, (int64_t[]){5}, 1), RS_OK);
  rs_tensor_share(&view, &t);
  rs_tensor_free(&t);
  assert_int_equal(released, 0);
  assert_true(rs_f64(&view)[4] == 5);
  rs_tensor_free(&view);
  assert_int_equal(released, 1);
}

static void elements_pass_through_the_widest_type(void **state) {
  (void)state;
  for (int dtype = RS_F32; dtype <= RS_U8; dtype++) {
    rs_tensor t;
    int64_t at = 1;
    assert_int_equal(rs_tensor_zeros(&t, (rs_dtype)dtype, 1, (int64_t[]){2}), RS_OK);
    rs_tensor_set(&t, &at, 7);
    assert_int_equal(rs_tensor_get_integer(&t, &at), 7);
    rs_tensor_set_integer(&t, &at, 9);
    assert_true(rs_tensor_get(&t, &at) == 9);
    rs_dtype same;
    assert_int_equal(rs_dtype_named(&same, rs_dtype_name((rs_dtype)dtype)), RS_OK);
    assert_int_equal(same, dtype);
    rs_tensor_free(&t);
  }
  rs_dtype none;
  assert_int_equal(rs_dtype_named(&none, "f16"), RS_EARG);
}

static void named_tensors_keep_order_and_refuse_a_taken_name(void **state) {
  (void)state;
  rs_tensors list = {0};
  rs_tensor t = counted(1, (int64_t[]){3});
  for (int i = 0; i < 20; i++) {
    char name[16];
    snprintf(name, sizeof name, "w%d", i);
    assert_int_equal(rs_tensors_add(&list, name, &t), RS_OK);
  }
  assert_int_equal(rs_tensors_add(&list, "w7", &t), RS_EARG);
  assert_int_equal(rs_tensors_add_part(&list, "w7", "starts", &t), RS_OK);
  assert_int_equal(rs_tensors_add_part(&list, "w7", "starts", &t), RS_EARG);
  assert_ptr_equal(rs_tensors_find(&list, "w7.starts")->storage, t.storage);
  assert_string_equal(list.items[13].name, "w13");
  assert_ptr_equal(rs_tensors_find(&list, "w19")->storage, t.storage);
  assert_null(rs_tensors_find(&list, "w20"));
  rs_tensors_free(&list);
  assert_int_equal(t.storage->references, 1);
  rs_tensor_free(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(narrow_shares_storage),
      cmocka_unit_test(narrow_keeps_transposed_strides),
      cmocka_unit_test(select_drops_the_dimension),
      cmocka_unit_test(reshape_infers_one_size_and_copies_only_when_it_must),
      cmocka_unit_test(scalars_and_empty_tensors_are_tensors),
      cmocka_unit_test(impossible_shapes_are_refused),
      cmocka_unit_test(foreign_bytes_are_released_with_the_last_view),
      cmocka_unit_test(elements_pass_through_the_widest_type),
      cmocka_unit_test(named_tensors_keep_order_and_refuse_a_taken_name),
  };
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
