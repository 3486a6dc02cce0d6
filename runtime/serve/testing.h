/* testing.h - parts of a bundle made by hand, for C tests of what serves it: users and items of ids alone; a user's
 * vector is his row and the mean of his last three items' rows, each of 8 numbers. */
#ifndef RS_SERVE_TESTING_H
#define RS_SERVE_TESTING_H
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/testing.h"
#include "bundle/bundle.h"

/* features.json; 'unknown': what becomes of items that are none, "keep" or "drop". */
#define RS_TEST_FEATURES(unknown)                                                        \
  "{\"format\":\"recsys.encoder\",\"version\":1,\"tables\":[\"item.id\",\"user.id\"],\"sides\":{" \
  "\"event\":{\"outputs\":[{\"name\":\"event.history\",\"step\":0}],"                    \
  "\"steps\":[{\"length\":3,\"of\":\"item.id\",\"op\":\"window\",\"unknown\":\"" unknown "\"}]}," \
  "\"item\":{\"outputs\":[{\"name\":\"item.id\",\"step\":1}],"                           \
  "\"steps\":[{\"column\":\"item\",\"op\":\"read\",\"type\":\"string\"},"                \
  "{\"input\":[0],\"op\":\"lookup\",\"table\":\"item.id\"}]},"                           \
  "\"user\":{\"outputs\":[{\"name\":\"user.id\",\"step\":1}],"                           \
  "\"steps\":[{\"column\":\"user\",\"op\":\"read\",\"type\":\"string\"},"                \
  "{\"input\":[0],\"op\":\"lookup\",\"table\":\"user.id\"}]}}}"

/* plan.user.json, over the weights "users" and "items" of so many rows: texts. */
#define RS_TEST_USER_PLAN(users, items)                                                                     \
  "{\"format\":\"recsys-plan\",\"version\":1,\"inputs\":[{\"name\":\"user.id\",\"dtype\":\"i32\",\"shape\":[-1]}," \
  "{\"name\":\"event.history\",\"dtype\":\"i32\",\"shape\":[-1]},"                                          \
  "{\"name\":\"event.history.offsets\",\"dtype\":\"i64\",\"shape\":[-1]}],"                                 \
  "\"weights\":[{\"name\":\"users\",\"dtype\":\"f32\",\"shape\":[" users ",8]},"                            \
  "{\"name\":\"items\",\"dtype\":\"f32\",\"shape\":[" items ",8]}],\"outputs\":[{\"name\":\"user\",\"slot\":7}]," \
  "\"steps\":[{\"op\":\"embedding\",\"operands\":[3,0],\"attributes\":{}},"                                 \
  "{\"op\":\"embedding_bag\",\"operands\":[4,1,2],\"attributes\":{\"mode\":\"mean\"}},"                     \
  "{\"op\":\"add\",\"operands\":[5,6],\"attributes\":{}}]}"

/* Add a tensor of zeros; its elements. */
static inline void *rs_test_add(rs_tensors *list, const char *name, rs_dtype dtype, int ndim, const int64_t *size) {
  rs_tensor t = {0};
  assert_int_equal(rs_tensor_zeros(&t, dtype, ndim, size), RS_OK);
  assert_int_equal(rs_tensors_add(list, name, &t), RS_OK);
  rs_tensor_free(&t); /* the list holds it */
  return rs_tensor_data(rs_tensors_find(list, name));
}

/* Add ids: a letter and the number from 0 in so many digits, zeros in front. */
static inline void rs_test_add_ids(rs_tensors *list, const char *prefix, char letter, int digits, int64_t n) {
  char name[64], text[32];
  int64_t length = digits + 1;
  snprintf(name, sizeof name, "%sbytes", prefix);
  uint8_t *bytes = rs_test_add(list, name, RS_U8, 1, (int64_t[]){length * n});
  snprintf(name, sizeof name, "%soffsets", prefix);
  int64_t *offsets = rs_test_add(list, name, RS_I64, 1, (int64_t[]){n + 1});
  for (int64_t i = 0; i < n; i++) {
    snprintf(text, sizeof text, "%c%0*d", letter, digits, (int)i);
    memcpy(bytes + length * i, text, (size_t)length);
    offsets[i + 1] = length * (i + 1);
  }
}

/* Add the codes 1 .. n. */
static inline void rs_test_add_codes(rs_tensors *list, const char *name, int64_t n) {
  int32_t *codes = rs_test_add(list, name, RS_I32, 1, &n);
  for (int64_t i = 0; i < n; i++) codes[i] = (int32_t)(i + 1);
}

/* Make an empty file below /tmp, whose name begins with 'name': 0, or -1. */
static inline int rs_test_file(char path[64], const char *name) {
  snprintf(path, 64, "/tmp/%s.XXXXXX", name);
  int fd = mkstemp(path);
  if (fd >= 0) close(fd);
  return fd >= 0 ? 0 : -1;
}

/* Write the bundle, and let go of the lists: 0, or -1. */
static inline int rs_test_publish(const char *path, const char *manifest, const rs_bundle_source *sources, int n,
                                  rs_tensors *lists, int n_lists) {
  rs_status status = rs_bundle_write(path, manifest, strlen(manifest), n, sources, NULL);
  for (int i = 0; i < n_lists; i++) rs_tensors_free(&lists[i]);
  return status == RS_OK ? 0 : -1;
}

#endif
