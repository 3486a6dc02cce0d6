/* bundle_test.c - what is written is read back in place; whatever is cut, flipped or made up is refused. */
#include "bundle/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/rng.h"

static char folder[64];

static const char *path_of(const char *name) {
  static char path[128];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int make_folder(void **state) {
  (void)state;
  strcpy(folder, "/tmp/bundle_test.XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
  (void)state;
  unlink(path_of("a.tar"));
  unlink(path_of("b.tar"));
  unlink(path_of("t.safetensors"));
  return rmdir(folder);
}

static void spew(const char *path, const void *bytes, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

/* Tensors f32 "w" [3, 2], i64 "ids" [n], u8 "raw" [5] and an empty f64 "none" [0, 4]. */
static rs_tensors make_tensors(int64_t n) {
  rs_tensors list = {0};
  rs_tensor w = {0}, ids = {0}, raw = {0}, none = {0};
  assert_int_equal(rs_tensor_zeros(&w, RS_F32, 2, (int64_t[]){3, 2}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&ids, RS_I64, 1, &n), RS_OK);
  assert_int_equal(rs_tensor_zeros(&raw, RS_U8, 1, (int64_t[]){5}), RS_OK);
  assert_int_equal(rs_tensor_zeros(&none, RS_F64, 2, (int64_t[]){0, 4}), RS_OK);
  for (int i = 0; i < 6; i++) rs_f32(&w)[i] = 0.5f * (float)i;
  for (int64_t i = 0; i < n; i++) rs_i64(&ids)[i] = i * 1000003;
  memcpy(rs_u8(&raw), "hello", 5);
  assert_int_equal(rs_tensors_add(&list, "raw", &raw), RS_OK);
  assert_int_equal(rs_tensors_add(&list, "w", &w), RS_OK);
  assert_int_equal(rs_tensors_add(&list, "ids", &ids), RS_OK);
  assert_int_equal(rs_tensors_add(&list, "none", &none), RS_OK);
  rs_tensor_free(&w);
  rs_tensor_free(&ids);
  rs_tensor_free(&raw);
  rs_tensor_free(&none);
  return list;
}

static rs_status write_sample(const char *path, int64_t n, char digest[65]) {
  static const char manifest[] = "{\"name\": \"sample\", \"metrics\": {\"ndcg_10\": 0.1}}";
  rs_tensors list = make_tensors(n);
  rs_bundle_source sources[] = {{.name = "notes.txt", .data = "a note\n", .size = 7},
                                {.name = "model/weights.safetensors", .tensors = &list},
                                {.name = "empty", .data = "", .size = 0}};
  rs_status status = rs_bundle_write(path, manifest, strlen(manifest), 3, sources, digest);
  rs_tensors_free(&list);
  return status;
}

static void a_bundle_reads_back_in_place(void **state) {
  (void)state;
  int64_t blocks = rs_alloc_blocks();
  rs_bundle *b = NULL;
  rs_tensors got = {0};
  assert_int_equal(write_sample(path_of("a.tar"), 4, NULL), RS_OK);
  assert_int_equal(rs_bundle_open(&b, path_of("a.tar"), true), RS_OK);
  assert_int_equal(rs_bundle_verify(b), RS_OK);
  assert_int_equal(rs_bundle_count(b), 3);
  assert_string_equal(rs_bundle_member(b, 0)->name, "notes.txt");
  assert_memory_equal(rs_bundle_find(b, "notes.txt")->data, "a note\n", 7);
  assert_int_equal(rs_bundle_find(b, "empty")->size, 0);
  assert_null(rs_bundle_find(b, "absent"));
  assert_int_equal(rs_bundle_tensors(b, "model/weights.safetensors", &got), RS_OK);
  rs_bundle_free(b); /* the tensors hold the mapping */
  assert_int_equal(got.n, 4);
  const rs_tensor *w = rs_tensors_find(&got, "w"), *ids = rs_tensors_find(&got, "ids");
  assert_false(w->storage->writable);
  assert_ptr_equal(w->storage, ids->storage);
  assert_int_equal(w->size[0], 3);
  assert_true(rs_f32(w)[5] == 2.5f);
  assert_int_equal(rs_i64(ids)[3], 3000009);
  assert_memory_equal(rs_u8(rs_tensors_find(&got, "raw")), "hello", 5);
  assert_int_equal(rs_tensors_find(&got, "none")->size[1], 4);
  assert_int_equal((uintptr_t)rs_tensor_data(rs_tensors_find(&got, "ids")) % 64, 0); /* the first of the data */
  rs_tensors_free(&got);
  assert_int_equal(rs_alloc_blocks(), blocks);
}

static void equal_bundles_have_equal_bytes_and_digests(void **state) {
  (void)state;
  char first[65], second[65];
  rs_buffer a = {0}, b = {0};
  assert_int_equal(write_sample(path_of("a.tar"), 4, first), RS_OK);
  assert_int_equal(write_sample(path_of("b.tar"), 4, second), RS_OK);
  assert_string_equal(first, second);
  assert_int_equal(rs_file_read(&a, path_of("a.tar"), 1 << 20), RS_OK);
  assert_int_equal(rs_file_read(&b, path_of("b.tar"), 1 << 20), RS_OK);
  assert_int_equal(a.size, b.size);
  assert_memory_equal(a.data, b.data, a.size);
  rs_buffer_free(&a);
  rs_buffer_free(&b);
}

static void every_truncation_is_refused(void **state) {
  (void)state;
  rs_buffer file = {0};
  int64_t blocks = rs_alloc_blocks();
  assert_int_equal(write_sample(path_of("a.tar"), 4, NULL), RS_OK);
  assert_int_equal(rs_file_read(&file, path_of("a.tar"), 1 << 20), RS_OK);
  for (size_t n = 0; n < file.size; n += n % 512 == 0 || n % 512 == 511 ? 1 : 73) {
    rs_bundle *b = NULL;
    spew(path_of("b.tar"), file.data, n);
    assert_int_equal(rs_bundle_open(&b, path_of("b.tar"), true), RS_EFORMAT);
    assert_null(b);
    assert_non_null(strstr(rs_message(), "b.tar"));
  }
  rs_buffer_free(&file);
  assert_int_equal(rs_alloc_blocks(), blocks);
}

/* A header's own checksum field ends in bytes that carry nothing; any other flipped byte must be noticed. */
static void every_flipped_byte_is_refused(void **state) {
  (void)state;
  rs_buffer file = {0};
  int survived = 0;
  assert_int_equal(write_sample(path_of("a.tar"), 4, NULL), RS_OK);
  assert_int_equal(rs_file_read(&file, path_of("a.tar"), 1 << 20), RS_OK);
  for (size_t i = 0; i < file.size; i++) {
    rs_bundle *b = NULL;
    file.data[i] ^= (char)(1 << i % 8);
    spew(path_of("b.tar"), file.data, file.size);
    file.data[i] ^= (char)(1 << i % 8);
    if (rs_bundle_open(&b, path_of("b.tar"), true) == RS_OK) {
      size_t column = i % 512;
      if (column < 148 || column > 155) print_error("a flip at %zu goes unseen\n", i);
      assert_in_range(column, 148, 155);
      survived++;
    }
    rs_bundle_free(b);
  }
  assert_in_range(survived, 0, 5 * 8);
  rs_buffer_free(&file);
}

static void a_flip_in_a_large_member_is_found_and_placed(void **state) {
  (void)state;
  rs_buffer file = {0};
  rs_bundle *b = NULL;
  assert_int_equal(write_sample(path_of("a.tar"), 400000, NULL), RS_OK); /* 3.2 MB: four chunks */
  assert_int_equal(rs_bundle_open(&b, path_of("a.tar"), true), RS_OK);
  assert_int_equal(rs_bundle_verify(b), RS_OK);
  rs_bundle_free(b);
  assert_int_equal(rs_file_read(&file, path_of("a.tar"), 1 << 23), RS_OK);
  file.data[2500000] ^= 1;
  spew(path_of("b.tar"), file.data, file.size);
  assert_int_equal(rs_bundle_open(&b, path_of("b.tar"), true), RS_EFORMAT);
  assert_non_null(
      strstr(rs_message(), "member 'model/weights.safetensors' does not have its SHA-256 (bytes 2097152 to"));
  assert_int_equal(rs_bundle_open(&b, path_of("b.tar"), false), RS_OK); /* unverified: only the structure */
  assert_int_equal(rs_bundle_verify(b), RS_EFORMAT);
  rs_bundle_free(b);
  rs_buffer_free(&file);
}

static void names_that_could_leave_are_not_written(void **state) {
  (void)state;
  static const char *const names[] = {"../x", "/x", "a//b", "a/../b", "A", "a b", "", "x/", ".hidden", "manifest.json"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    rs_bundle_source source = {.name = names[i], .data = "", .size = 0};
    assert_int_equal(rs_bundle_write(path_of("a.tar"), "{}", 2, 1, &source, NULL), RS_EARG);
  }
  rs_bundle_source twice[] = {{.name = "x", .data = "", .size = 0}, {.name = "x", .data = "", .size = 0}};
  assert_int_equal(rs_bundle_write(path_of("a.tar"), "{}", 2, 2, twice, NULL), RS_EARG);
  assert_int_equal(rs_bundle_write(path_of("a.tar"), "[]", 2, 0, twice, NULL), RS_EARG);
  assert_int_equal(rs_bundle_write(path_of("a.tar"), "{\"members\":1}", 13, 0, twice, NULL), RS_EARG);
}

/* Bytes changed at random, and many at once: whatever comes of it, nothing is read that is not there. */
static void mutated_files_are_refused_or_read(void **state) {
  (void)state;
  rs_buffer file = {0};
  rs_stream s = rs_stream_at(5, RS_RNG_USER, 0, 0);
  assert_int_equal(write_sample(path_of("a.tar"), 4, NULL), RS_OK);
  assert_int_equal(rs_file_read(&file, path_of("a.tar"), 1 << 20), RS_OK);
  char *copy = malloc(file.size);
  for (uint64_t round = 0; round < 400; round++) {
    rs_bundle *b = NULL;
    memcpy(copy, file.data, file.size);
    for (uint64_t i = 0, n = 1 + round % 9; i < n; i++) {
      uint64_t at = rs_stream_below(&s, 32 * round + 2 * i, file.size);
      copy[at] = (char)rs_stream_below(&s, 32 * round + 2 * i + 1, 256);
    }
    spew(path_of("b.tar"), copy, file.size);
    if (rs_bundle_open(&b, path_of("b.tar"), false) == RS_OK) {
      rs_tensors got = {0};
      rs_bundle_tensors(b, "model/weights.safetensors", &got);
      for (int64_t i = 0; i < got.n; i++) assert_true(rs_tensor_bytes(&got.items[i].tensor) <= file.size);
      rs_tensors_free(&got);
    }
    rs_bundle_free(b);
  }
  free(copy);
  rs_buffer_free(&file);
}

/* Headers changed at random: the tensors that come of it lie inside the file. */
static void mutated_headers_are_refused_or_read(void **state) {
  (void)state;
  static const char letters[] = "0123456789-[]{}\",: FIU3264";
  rs_buffer file = {0};
  rs_stream s = rs_stream_at(6, RS_RNG_USER, 0, 0);
  rs_tensors list = make_tensors(4);
  assert_int_equal(rs_safetensors_write(path_of("t.safetensors"), &list, false), RS_OK);
  assert_int_equal(rs_file_read(&file, path_of("t.safetensors"), 1 << 20), RS_OK);
  for (uint64_t round = 0; round < 2000; round++) {
    rs_tensors got = {0};
    rs_storage *region = rs_storage_wrap(file.data, file.size, false, NULL, NULL);
    uint64_t at = 8 + rs_stream_below(&s, 4 * round, 248);
    char was = file.data[at];
    file.data[at] = letters[rs_stream_below(&s, 4 * round + 1, sizeof letters - 1)];
    if (rs_safetensors_read(&got, region, 0, file.size, "mutated") == RS_OK)
      for (int64_t i = 0; i < got.n; i++) {
        const rs_tensor *t = &got.items[i].tensor;
        if (t->storage == region) assert_true((char *)rs_tensor_data(t) + rs_tensor_bytes(t) <= file.data + file.size);
      }
    file.data[at] = was;
    rs_tensors_free(&got);
    rs_storage_release(region);
  }
  rs_tensors_free(&list);
  rs_buffer_free(&file);
}

/* safetensors headers, padded to a multiple of 8. */

static rs_status read_header(const char *json, size_t data_bytes, rs_tensors *out) {
  char bytes[2048] = {0};
  uint64_t text = strlen(json), length = (text + 7) / 8 * 8;
  memcpy(bytes, &length, 8);
  memset(bytes + 8, ' ', length);
  memcpy(bytes + 8, json, text);
  spew(path_of("t.safetensors"), bytes, 8 + length + data_bytes);
  return rs_safetensors_open(out, path_of("t.safetensors"));
}

static void headers_that_lie_are_refused(void **state) {
  (void)state;
  static const char *const headers[] = {
      "",
      "{",
      "[]",
      "{}",
      "{} x",
      "{\"a\":1}",
      "{\"a\":{\"dtype\":\"I16\",\"shape\":[4],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296,4294967298],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387906],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[0,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[0,4611686018427387904,4],\"data_offsets\":[0,0]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"more\":1}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],"
      "\"data_offsets\":[4,8]}}",
      "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],"
      "\"data_offsets\":[0,8]}}",
      "{\"a\\n\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      "{\"__metadata__\":{\"k\":1},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}"};
  int64_t blocks = rs_alloc_blocks();
  for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
    rs_tensors out = {0};
    if (read_header(headers[i], 8, &out) != RS_EFORMAT) fail_msg("accepted: %s", headers[i]);
    assert_int_equal(out.n, 0);
    rs_tensors_free(&out);
  }
  assert_int_equal(rs_alloc_blocks(), blocks);
}

static void honest_headers_are_read_in_any_order(void **state) {
  (void)state;
  rs_tensors out = {0};
  assert_int_equal(read_header("{\"__metadata__\":{\"by\":\"hand\"},"
                               "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[3,7]},"
                               "\"a\":{\"shape\":[3],\"data_offsets\":[0,3],\"dtype\":\"U8\"},"
                               "\"s\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[7,8]}}   ",
                               8, &out),
                   RS_OK);
  assert_int_equal(out.n, 3);
  assert_true(rs_tensors_find(&out, "b")->storage->writable); /* not aligned: copied */
  assert_int_equal(rs_tensors_find(&out, "s")->ndim, 0);
  rs_tensors_free(&out);
}

static void huge_header_lengths_are_refused(void **state) {
  (void)state;
  static const uint64_t lengths[] = {9, 1 << 25, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 63};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    char bytes[16] = {0};
    rs_tensors out = {0};
    memcpy(bytes, &lengths[i], 8);
    spew(path_of("t.safetensors"), bytes, sizeof bytes);
    assert_int_equal(rs_safetensors_open(&out, path_of("t.safetensors")), RS_EFORMAT);
  }
}

/* Grant n allocations, refuse the rest, until all goes well: never a crash, never a live block. */
static void refused_memory_leaks_nothing(void **state) {
  (void)state;
  int64_t blocks = rs_alloc_blocks();
  rs_status status = RS_ENOMEM;
  for (int64_t n = 0; status != RS_OK; n++) {
    rs_bundle *b = NULL;
    rs_tensors list = make_tensors(4), got = {0};
    rs_bundle_source source = {.name = "w.safetensors", .tensors = &list};
    assert_in_range(n, 0, 2000);
    rs_alloc_fault(n);
    status = rs_bundle_write(path_of("a.tar"), "{\"a\": [1, {\"b\": \"c\"}]}", 22, 1, &source, NULL);
    if (status == RS_OK) status = rs_bundle_open(&b, path_of("a.tar"), true);
    if (status == RS_OK) status = rs_bundle_tensors(b, "w.safetensors", &got);
    rs_alloc_fault(-1);
    if (status != RS_OK) assert_int_equal(status, RS_ENOMEM);
    rs_tensors_free(&got);
    rs_bundle_free(b);
    rs_tensors_free(&list);
    assert_int_equal(rs_alloc_blocks(), blocks);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_bundle_reads_back_in_place),
                                     cmocka_unit_test(equal_bundles_have_equal_bytes_and_digests),
                                     cmocka_unit_test(every_truncation_is_refused),
                                     cmocka_unit_test(every_flipped_byte_is_refused),
                                     cmocka_unit_test(a_flip_in_a_large_member_is_found_and_placed),
                                     cmocka_unit_test(names_that_could_leave_are_not_written),
                                     cmocka_unit_test(mutated_files_are_refused_or_read),
                                     cmocka_unit_test(mutated_headers_are_refused_or_read),
                                     cmocka_unit_test(headers_that_lie_are_refused),
                                     cmocka_unit_test(honest_headers_are_read_in_any_order),
                                     cmocka_unit_test(huge_header_lengths_are_refused),
                                     cmocka_unit_test(refused_memory_leaks_nothing)};
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
