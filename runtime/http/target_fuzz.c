/* target_fuzz.c - any bytes as what a request line asks for: parsed, or refused, and all that is parsed is text. */
#include <string.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *raw = rs_alloc(size + 1);
  if (!raw) return 0;
  memcpy(raw, data, size);
  raw[size] = 0;
  rs_http_target target = {0};
  if (rs_http_target_parse(&target, raw) == RS_OK) {
    size_t length = strlen(target.path);
    for (int i = 0; i < target.n; i++) length += strlen(target.query[i].name) + strlen(target.query[i].value);
    if (target.path[0] != '/' || length > strlen(raw)) __builtin_trap();
  }
  rs_http_target_free(&target);
  rs_free(raw);
  return 0;
}
