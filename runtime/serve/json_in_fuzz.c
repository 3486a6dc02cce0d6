/* json_in_fuzz.c - any bytes as a request: read, or refused in words, and what is read lies within the bytes' size. */
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "serve/json_in.h"

static size_t sum;

static void touch(rs_span span) {
  for (size_t i = 0; i < span.length; i++) sum += (unsigned char)span.text[i];
}

static void touch_request(const rs_request *q) {
  touch(q->user);
  touch(q->fields);
  touch(q->filter);
  for (int64_t i = 0; i < q->n_history; i++) touch(q->history[i].item), touch(q->history[i].fields);
  for (int64_t i = 0; i < q->n_exclude; i++) touch(q->exclude[i]);
  for (int i = 0; i < q->n_caps; i++) touch(q->caps[i].attribute);
  if (q->k < 1 || q->k > 1000 || q->lambda < 0 || q->lambda > 1 || q->boost < 0) __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rs_json_in *in;
  rs_json_limits limits = rs_json_limits_standard();
  rs_asked asked;
  if (!in && rs_json_in_new(&in, &limits) != RS_OK) return 0;
  char *bytes = malloc(size ? size : 1); /* just that size: a byte too far is seen */
  memcpy(bytes, data, size);
  if (rs_json_in_recommend(in, bytes, size, &asked) == RS_OK) {
    for (int64_t i = 0; i < asked.n; i++)
      if (!asked.wrong[i]) touch_request(&asked.requests[i]);
  } else if (!*rs_message()) {
    __builtin_trap();
  }
  free(bytes);
  return 0;
}
