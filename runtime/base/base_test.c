/* base_test.c - the generator against published vectors, the fault hook, buffers, and files that replace atomically. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <malloc.h>
#include <pthread.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/rng.h"

/* The known-answer vectors of the Random123 distribution (kat_vectors, philox4x32 10). */
static void philox_gives_the_published_vectors(void **state) {
  (void)state;
  static const struct {
    uint32_t counter[4], key[2], out[4];
  } vectors[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
    uint32_t out[4];
    rs_philox(vectors[i].key, vectors[i].counter, out);
    assert_memory_equal(out, vectors[i].out, sizeof out);
  }
}

static void streams_have_the_moments_of_their_distributions(void **state) {
  (void)state;
  enum { N = 200000 };
  rs_stream s = rs_stream_at(11, RS_RNG_USER, 2, 3);
  double sum = 0, squares = 0, uniform = 0, single = 0;
  int64_t counts[7] = {0};
  for (int64_t i = 0; i < N; i++) {
    double x = rs_stream_normal(&s, (uint64_t)i);
    sum += x;
    squares += x * x;
    uniform += rs_stream_f64(&s, (uint64_t)i);
    single += (double)rs_stream_f32(&s, (uint64_t)i);
    counts[rs_stream_below(&s, (uint64_t)i, 7)]++;
  }
  /* five standard errors */
  assert_true(fabs(sum / N) < 5 / sqrt(N));
  assert_true(fabs(squares / N - 1) < 5 * sqrt(2.0 / N));
  assert_true(fabs(uniform / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
  assert_true(fabs(single / N - 0.5) < 5 * sqrt(1.0 / 12 / N));
  for (int v = 0; v < 7; v++) assert_true(fabs((double)counts[v] / N - 1.0 / 7) < 5 * sqrt(6.0 / 49 / N));
}

static void permutations_are_uniform(void **state) {
  (void)state;
  enum { DRAWS = 24000 };
  int counts[4][4] = {{0}};
  for (uint32_t step = 0; step < DRAWS; step++) {
    rs_stream s = rs_stream_at(1, RS_RNG_SHUFFLE, 0, step);
    int64_t order[4];
    int seen = 0;
    rs_stream_permutation(&s, order, 4);
    for (int i = 0; i < 4; i++) {
      seen |= 1 << order[i];
      counts[i][order[i]]++;
    }
    assert_int_equal(seen, 15);
  }
  for (int i = 0; i < 4; i++)
    for (int v = 0; v < 4; v++) assert_true(abs(counts[i][v] - DRAWS / 4) < 5 * sqrt(DRAWS * 3.0 / 16));
}

/* The streams' own numbers, kept: a change would silently change every saved run. */
static void streams_keep_their_numbers(void **state) {
  (void)state;
  rs_stream s = rs_stream_at(42, RS_RNG_INIT, 1, 2);
  uint32_t first[4];
  for (uint64_t i = 0; i < 4; i++) first[i] = rs_stream_u32(&s, i);
  uint32_t out[4];
  rs_philox(s.key, (uint32_t[]){0, 0, 1, 2}, out);
  assert_memory_equal(first, out, sizeof out);
  assert_int_equal(s.key[0], 2583233866);
  assert_int_equal(s.key[1], 4199519317);
  int64_t order[8];
  static const int64_t golden[8] = {4, 7, 2, 0, 1, 3, 6, 5};
  rs_stream_permutation(&s, order, 8);
  assert_memory_equal(order, golden, sizeof order);
}

static void the_fault_hook_grants_and_refuses(void **state) {
  (void)state;
  int64_t blocks = rs_alloc_blocks(), bytes = rs_alloc_bytes();
  rs_alloc_fault(2);
  char *a = rs_alloc(100), *b = rs_realloc(a, 300), *c = rs_alloc(1), *d = rs_realloc(b, 400);
  assert_non_null(b);
  assert_null(c);
  assert_null(d);
  assert_int_equal(rs_alloc_refusals(), 2);
  assert_int_equal(rs_alloc_bytes() - bytes, 300);
  rs_alloc_fault(-1);
  assert_int_equal((uintptr_t)b % RS_ALIGN, 0);
  assert_null(rs_alloc(SIZE_MAX));
  rs_free(b);
  rs_free(NULL);
  assert_int_equal(rs_alloc_blocks(), blocks);
}

/* Bytes that malloc has mapped on their own: where large blocks are. */
static size_t mapped(void) { return mallinfo2().hblkhd; }

static void large_blocks_are_given_out_again(void **state) {
  (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  skip();
#endif
  enum { MIB = 1 << 20 };
  for (size_t bytes = 100000; bytes < 40 * MIB; bytes += bytes / 3) {
    char *a = rs_alloc(bytes);
    a[0] = a[bytes - 1] = 1;
    rs_free(a);
    char *b = rs_alloc(bytes);
    if (bytes > MIB) assert_ptr_equal(a, b);
    rs_free(b);
  }
  char *many[40]; /* 1.2 GiB, never touched: freed, all but 512 MiB goes back */
  for (int i = 0; i < 40; i++) many[i] = rs_alloc(30 * MIB);
  assert_true(mapped() > (size_t)1200 * MIB);
  for (int i = 0; i < 40; i++) rs_free(many[i]);
  assert_true(mapped() <= (size_t)(514 + 17 * 4) * MIB); /* of each, some of a huge page is mapped in front */
}

static void *small_blocks(void *unused) {
  for (size_t bytes = 1; bytes < 10000; bytes += 40) rs_free(rs_alloc(bytes));
  return unused;
}

static void small_blocks_stay_with_their_thread(void **state) {
  (void)state;
  pthread_t other;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  void *block = rs_alloc(5000);
  assert_true((uintptr_t)block % RS_ALIGN == 0);
  rs_free(block);
  void *again = rs_alloc(5050); /* of the same 64 bytes */
  assert_ptr_equal(again, block);
  rs_free(again);
#endif
  void *many[400];
  for (int i = 0; i < 400; i++) many[i] = rs_alloc(8000); /* more than a thread keeps */
  for (int i = 0; i < 400; i++) memset(many[i], i, 8000), rs_free(many[i]);
  assert_int_equal(pthread_create(&other, NULL, small_blocks, NULL), 0);
  assert_int_equal(pthread_join(other, NULL), 0);
  assert_int_equal(rs_alloc_blocks(), 0);
}

static void buffers_grow_and_survive_refusal(void **state) {
  (void)state;
  rs_buffer b = {0};
  for (int i = 0; i < 1000; i++) assert_int_equal(rs_buffer_printf(&b, "%d,", i), RS_OK);
  assert_int_equal(b.size, 10 * 2 + 90 * 3 + 900 * 4);
  rs_alloc_fault(0);
  char big[8192] = {0};
  assert_int_equal(rs_buffer_append(&b, big, sizeof big), RS_ENOMEM);
  rs_alloc_fault(-1);
  assert_memory_equal(b.data + b.size - 4, "999,", 4);
  rs_buffer_free(&b);
  rs_buffer_free(&b);
}

static void count_body(void *context, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i++) ((int *)context)[i]++;
}

static void parallel_loops_visit_everything_once(void **state) {
  (void)state;
  static const int64_t sizes[] = {0, 1, 7, 64, 1000};
  int threads = rs_threads();
  for (int n = 1; n <= 4; n++)
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
      int visits[1000] = {0};
      rs_threads_set(n);
      rs_parallel_for(sizes[s], 7, count_body, visits);
      for (int64_t i = 0; i < 1000; i++) assert_int_equal(visits[i], i < sizes[s]);
    }
  rs_threads_set(threads);
}

/* Files. */

static char folder[] = "/tmp/recsys-base-XXXXXX";
static const char *path_of(const char *name) {
  static char path[256];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int files_in_folder(void) {
  DIR *d = opendir(folder);
  int n = 0;
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

static void assert_holds(const char *name, const char *text) {
  rs_buffer b = {0};
  assert_int_equal(rs_file_read(&b, path_of(name), 1000), RS_OK);
  assert_int_equal(b.size, strlen(text));
  assert_memory_equal(b.data, text, b.size);
  rs_buffer_free(&b);
}

static void writers_replace_at_commit_and_not_before(void **state) {
  (void)state;
  rs_writer w;
  assert_int_equal(rs_writer_open(&w, path_of("a")), RS_OK);
  assert_int_equal(rs_writer_write(&w, "old", 3), RS_OK);
  assert_int_not_equal(access(path_of("a"), F_OK), 0);
  assert_int_equal(rs_writer_commit(&w), RS_OK);
  assert_holds("a", "old");
  assert_int_equal(rs_writer_open(&w, path_of("a")), RS_OK);
  assert_int_equal(rs_writer_write(&w, "newer", 5), RS_OK);
  assert_holds("a", "old");
  rs_writer_abort(&w);
  rs_writer_abort(&w);
  assert_holds("a", "old");
  assert_int_equal(files_in_folder(), 1);
  assert_int_equal(rs_writer_open(&w, path_of("a")), RS_OK);
  assert_int_equal(rs_writer_write(&w, "newer", 5), RS_OK);
  assert_int_equal(rs_writer_commit(&w), RS_OK);
  assert_holds("a", "newer");
  assert_int_equal(files_in_folder(), 1);
}

static void writers_leave_the_target_when_the_rename_fails(void **state) {
  (void)state;
  rs_writer w;
  assert_int_equal(rs_writer_open(&w, path_of("no/such/folder")), RS_EIO);
  assert_non_null(strstr(rs_message(), "no/such/folder"));
  assert_int_equal(mkdir(path_of("taken"), 0777), 0);
  assert_int_equal(rs_writer_open(&w, path_of("taken")), RS_OK);
  assert_int_equal(rs_writer_write(&w, "x", 1), RS_OK);
  assert_int_equal(rs_writer_commit(&w), RS_EIO); /* a folder is not replaced by a file */
  assert_int_equal(files_in_folder(), 2);
  rmdir(path_of("taken"));
}

static void writers_under_refused_memory_leave_nothing(void **state) {
  (void)state;
  for (int64_t n = 0;; n++) {
    rs_writer w;
    rs_alloc_fault(n);
    rs_status status = rs_writer_open(&w, path_of("b"));
    if (status == RS_OK) status = rs_writer_write(&w, "x", 1);
    if (status == RS_OK) status = rs_writer_commit(&w);
    int refused = rs_alloc_refusals() > 0;
    rs_alloc_fault(-1);
    assert_int_equal(status, refused ? RS_ENOMEM : RS_OK);
    if (!refused) break;
  }
  assert_holds("b", "x");
  assert_int_equal(files_in_folder(), 2);
}

static void files_are_read_and_mapped_whole(void **state) {
  (void)state;
  rs_buffer b = {0};
  rs_mapping map;
  assert_int_equal(rs_file_read(&b, path_of("a"), 4), RS_EFORMAT);
  assert_int_equal(rs_file_read(&b, path_of("none"), 4), RS_EIO);
  assert_int_equal(rs_file_read(&b, folder, 4), RS_EIO);
  rs_buffer_free(&b);
  assert_int_equal(rs_mapping_open(&map, path_of("a")), RS_OK);
  assert_int_equal(map.size, 5);
  assert_memory_equal(map.data, "newer", 5);
  rs_mapping_close(&map);
  rs_mapping_close(&map);
  assert_int_equal(rs_mapping_open(&map, path_of("none")), RS_EIO);
}

/* A long string, a long number and a word: jansson's buffer must grow for them. */
static char *long_json(size_t string, size_t digits) {
  char *text = malloc(string + digits + 64), *p = text;
  p += sprintf(p, "{\n \"a\": \"");
  memset(p, 'y', string);
  p += string;
  p += sprintf(p, "\", \"b\": 0.");
  memset(p, '3', digits);
  p += digits;
  sprintf(p, ", \"c\": [true]}");
  return text;
}

static void json_under_refused_memory_is_refused(void **state) {
  (void)state;
  char *text = long_json(9000, 400);
  int64_t blocks = rs_alloc_blocks();
  rs_status status = RS_ENOMEM;
  for (int64_t n = 0; status != RS_OK; n++) {
    json_t *value;
    rs_alloc_fault(n);
    status = rs_json_parse(&value, text, strlen(text), "text");
    rs_alloc_fault(-1);
    assert_true(status == RS_OK || status == RS_ENOMEM);
    assert_true(status != RS_OK || n > 10);
    json_decref(value);
    assert_int_equal(rs_alloc_blocks(), blocks);
  }
  free(text);
}

static void json_is_one_value_with_words_of_bounded_length(void **state) {
  (void)state;
  static const char *const bad[] = {"", "1,2", "1],[2", "{\"a\":1,\"a\":2}", "tru", "\"a", "{\n \"a\": 1,\n}"};
  json_t *value;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(rs_json_parse(&value, bad[i], strlen(bad[i]), "text"), RS_EFORMAT);
    assert_null(value);
  }
  assert_non_null(strstr(rs_message(), "text: line 3, column "));
  assert_int_equal(rs_json_parse(&value, "{ !", 3, "text"), RS_EFORMAT);
  assert_non_null(strstr(rs_message(), "text: line 1, column 3: "));
  assert_int_equal(rs_json_object(&value, "[1]", 3, "text"), RS_EFORMAT);
  char *text = long_json(9000, RS_JSON_WORD - 2);
  assert_int_equal(rs_json_object(&value, text, strlen(text), "text"), RS_OK);
  assert_int_equal(json_string_length(json_object_get(value, "a")), 9000);
  json_decref(value);
  free(text);
  text = long_json(10, RS_JSON_WORD - 1);
  assert_int_equal(rs_json_object(&value, text, strlen(text), "text"), RS_EFORMAT);
  free(text);
}

static int no_blocks_remain(void **state) {
  (void)state;
  unlink(path_of("a"));
  unlink(path_of("b"));
  rmdir(folder);
  return rs_alloc_blocks() == 0 ? 0 : -1;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(philox_gives_the_published_vectors),
      cmocka_unit_test(streams_have_the_moments_of_their_distributions),
      cmocka_unit_test(permutations_are_uniform),
      cmocka_unit_test(streams_keep_their_numbers),
      cmocka_unit_test(the_fault_hook_grants_and_refuses),
      cmocka_unit_test(large_blocks_are_given_out_again),
      cmocka_unit_test(small_blocks_stay_with_their_thread),
      cmocka_unit_test(buffers_grow_and_survive_refusal),
      cmocka_unit_test(parallel_loops_visit_everything_once),
      cmocka_unit_test(writers_replace_at_commit_and_not_before),
      cmocka_unit_test(writers_leave_the_target_when_the_rename_fails),
      cmocka_unit_test(writers_under_refused_memory_leave_nothing),
      cmocka_unit_test(files_are_read_and_mapped_whole),
      cmocka_unit_test(json_under_refused_memory_is_refused),
      cmocka_unit_test(json_is_one_value_with_words_of_bounded_length),
  };
  if (!mkdtemp(folder)) return perror("mkdtemp"), 1;
  return cmocka_run_group_tests(tests, NULL, no_blocks_remain);
}
