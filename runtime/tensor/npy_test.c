/* npy_test.c - arrays written by hand and by NumPy 2.4, and headers that lie. */
#include "tensor/npy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/testing.h"

static char folder[] = "/tmp/recsys-npy-XXXXXX", path[64];

static int make_folder(void **state) {
  (void)state;
  if (!mkdtemp(folder)) return -1;
  snprintf(path, sizeof path, "%s/a.npy", folder);
  return 0;
}

static int remove_folder(void **state) {
  unlink(path);
  return rmdir(folder) == 0 ? no_blocks_remain(state) : -1;
}

/* A file of that version, dictionary and elements, as a region. */
static rs_status read_parts(rs_tensor *out, int version, const char *dictionary, const void *elements, size_t bytes) {
  rs_buffer file = {0};
  size_t length = strlen(dictionary);
  char head[12] = {'\x93', 'N', 'U', 'M', 'P', 'Y', (char)version, 0, (char)(length & 0xFF), (char)(length >> 8)};
  assert_int_equal(rs_buffer_append(&file, head, version == 1 ? 10 : 12), RS_OK);
  assert_int_equal(rs_buffer_append(&file, dictionary, length), RS_OK);
  assert_int_equal(rs_buffer_append(&file, elements, bytes), RS_OK);
  rs_storage *region = rs_storage_wrap(file.data, file.size, false, NULL, NULL);
  rs_tensor view, copy = {0};
  rs_status status = rs_npy_read(&view, region, "a.npy");
  if (status == RS_OK) assert_int_equal(rs_tensor_copy_of(&copy, &view), RS_OK);
  rs_tensor_free(&view);
  rs_storage_release(region);
  rs_buffer_free(&file);
  *out = copy;
  return status;
}

static void check(int version, const char *dictionary, const void *elements, size_t bytes, rs_dtype dtype,
                  const char *shape, const double *expected) {
  rs_tensor t;
  rs_status status = read_parts(&t, version, dictionary, elements, bytes);
  if (status != RS_OK) fail_msg("%s: %s", dictionary, rs_message());
  assert_int_equal(t.dtype, dtype);
  assert_string_equal(rs_shape(&t).text, shape);
  int64_t n = rs_tensor_count(&t);
  for (int64_t i = 0; i < n; i++) {
    rs_tensor flat;
    assert_int_equal(rs_tensor_reshape(&flat, &t, 1, &n), RS_OK);
    assert_true(rs_tensor_get(&flat, &i) == expected[i]);
    rs_tensor_free(&flat);
  }
  rs_tensor_free(&t);
}

static void elements_of_every_served_kind_are_read(void **state) {
  (void)state;
  check(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }\n", (float[]){1.5F, -2}, 8, RS_F32, "[2]",
        (double[]){1.5, -2});
  check(2, "{'shape': (1, 2), 'descr': '<f8', 'fortran_order': False}", (double[]){0.1, 3}, 16, RS_F64, "[1, 2]",
        (double[]){0.1, 3});
  check(3, "{\"descr\": \"|u1\", \"fortran_order\": False, \"shape\": ()}", "\377", 1, RS_U8, "[]", (double[]){255});
  check(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (2,)}", "\0\1", 2, RS_U8, "[2]", (double[]){0, 1});
  check(1, "{'descr': '|i1', 'fortran_order': False, 'shape': (2L,)}", "\377\1", 2, RS_I32, "[2]", (double[]){-1, 1});
  check(1, "{'descr': '<i2', 'fortran_order': False, 'shape': (1,)}", "\376\377", 2, RS_I32, "[1]", (double[]){-2});
  check(1, "{'descr': '<u2', 'fortran_order': False, 'shape': (1,)}", "\376\377", 2, RS_I32, "[1]", (double[]){65534});
  check(1, "{'descr': '<u4', 'fortran_order': False, 'shape': (1,)}", "\377\377\377\377", 4, RS_I64, "[1]",
        (double[]){4294967295});
  check(1, "{'descr': '>i4', 'fortran_order': False, 'shape': (2,)}", "\0\0\1\2\377\377\377\375", 8, RS_I32, "[2]",
        (double[]){258, -3});
  check(1, "{'descr': '>f4', 'fortran_order': False, 'shape': (1,)}", "\77\300\0\0", 4, RS_F32, "[1]", (double[]){1.5});
  check(1, "{'descr': '>i8', 'fortran_order': False, 'shape': (1,)}", "\377\377\377\377\377\377\377\375", 8, RS_I64,
        "[1]", (double[]){-3});
  check(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}", "", 0, RS_F32, "[0, 3]", NULL);
}

static void halves_are_exact(void **state) {
  (void)state;
  const uint16_t halves[] = {0x3C00, 0xC000, 0x0000, 0x0001, 0x03FF, 0x0400, 0x7BFF, 0x3555, 0x7C00, 0xFC00};
  const double values[] = {1, -2, 0, 0x1p-24, 1023 * 0x1p-24, 0x1p-14, 65504, 1365 * 0x1p-12, INFINITY, -INFINITY};
  check(1, "{'descr': '<f2', 'fortran_order': False, 'shape': (10,)}", halves, sizeof halves, RS_F32, "[10]", values);
}

static void orders_of_fortran_are_turned(void **state) {
  (void)state;
  /* [[0, 1, 2], [3, 4, 5]] column after column */
  check(1, "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3)}", (int32_t[]){0, 3, 1, 4, 2, 5}, 24, RS_I32,
        "[2, 3]", (double[]){0, 1, 2, 3, 4, 5});
  check(1, "{'descr': '<i2', 'fortran_order': True, 'shape': (1, 2, 2)}", (int16_t[]){0, 2, 1, 3}, 8, RS_I32,
        "[1, 2, 2]", (double[]){0, 1, 2, 3});
  check(1, "{'descr': '<i4', 'fortran_order': True, 'shape': (3,)}", (int32_t[]){0, 1, 2}, 12, RS_I32, "[3]",
        (double[]){0, 1, 2});
}

static void refused(const char *dictionary, size_t bytes, const char *expected) {
  rs_tensor t;
  char elements[64] = {0};
  assert_int_equal(read_parts(&t, 1, dictionary, elements, bytes), RS_EFORMAT);
  assert_string_equal(rs_message(), expected);
}

static void headers_that_lie_are_refused_with_their_byte(void **state) {
  (void)state;
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 7,
          "a.npy: byte 65: the array takes 8 bytes, there are 7");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9,
          "a.npy: byte 65: the array takes 8 bytes, there are 9");
  refused("{'descr': '<c8', 'fortran_order': False, 'shape': (1,)}", 8,
          "a.npy: byte 25: elements '<c8' are not served: f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 b1 are");
  refused("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", 4,
          "a.npy: byte 20: records (a structured dtype) are not served");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9)}", 4,
          "a.npy: byte 85: an impossible shape");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 9223372036854775807)}", 0,
          "a.npy: byte 85: an impossible shape");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4,
          "a.npy: byte 79: the size is too large");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1)}", 4,
          "a.npy: byte 69: more than 4 dimensions are not served");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, "a.npy: byte 61: a size is expected");
  refused("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", 4, "a.npy: byte 44: True or False is expected");
  refused("{'descr': '<f4', 'descr': '<f4'}", 4,
          "a.npy: byte 34: a key other than descr, fortran_order and shape, or one of them again");
  refused("{'descr': '<f4', 'fortran_order': False}", 4, "a.npy: byte 50: descr, fortran_order or shape is missing");
  refused("{'descr': '<f4", 4, "a.npy: byte 20: the string does not end, or is too long");
  refused("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, "a.npy: byte 66: text behind the dictionary");
}

static void what_is_no_array_is_refused(void **state) {
  (void)state;
  static const char *const files[] = {"\x93NUMPY\1\0\377\377{}", "\x93NUMPY\4\0\2\0{}", "PK\3\4 a zip file", "short"};
  static const size_t sizes[] = {12, 12, 16, 5};
  for (int i = 0; i < 4; i++) {
    rs_tensor t;
    rs_storage *region = rs_storage_wrap((void *)files[i], sizes[i], false, NULL, NULL);
    assert_int_equal(rs_npy_read(&t, region, "a.npy"), RS_EFORMAT);
    rs_storage_release(region);
  }
  assert_string_equal(rs_message(), "a.npy: byte 0: this is no .npy file");
}

static void what_is_written_is_read_where_it_lies(void **state) {
  (void)state;
  for (rs_dtype dtype = RS_F32; dtype <= RS_U8; dtype++)
    for (int ndim = 0; ndim <= 4; ndim++) {
      rs_tensor t, back;
      assert_int_equal(rs_tensor_new(&t, dtype, ndim, (int64_t[]){2, 3, 1, 5}), RS_OK);
      memset(rs_tensor_data(&t), 7, rs_tensor_bytes(&t));
      assert_int_equal(rs_npy_write(path, &t), RS_OK);
      assert_int_equal(rs_npy_open(&back, path), RS_OK);
      assert_int_equal(back.dtype, dtype);
      assert_string_equal(rs_shape(&back).text, rs_shape(&t).text);
      assert_false(back.storage->writable);
      assert_int_equal((uintptr_t)rs_tensor_data(&back) % 64, 0);
      assert_memory_equal(rs_tensor_data(&back), rs_tensor_data(&t), rs_tensor_bytes(&t));
      rs_tensor_free(&t);
      rs_tensor_free(&back);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(elements_of_every_served_kind_are_read),
      cmocka_unit_test(halves_are_exact),
      cmocka_unit_test(orders_of_fortran_are_turned),
      cmocka_unit_test(headers_that_lie_are_refused_with_their_byte),
      cmocka_unit_test(what_is_no_array_is_refused),
      cmocka_unit_test(what_is_written_is_read_where_it_lies),
  };
  return cmocka_run_group_tests_name("npy", tests, make_folder, remove_folder);
}
