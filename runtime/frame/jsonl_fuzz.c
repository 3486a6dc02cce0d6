/* jsonl_fuzz.c - any bytes as JSON Lines: they are read or refused, and the same in blocks as whole. */
#include "frame/jsonl.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "frame/frame_same.h"

typedef struct outcome {
  rs_status status;
  rs_frame frame;
  rs_csv_report report;
} outcome;

static outcome read_in_blocks(const char *path, size_t block) {
  outcome o = {0};
  rs_csv_options options = {.bad_limit = 1, .block = block, .expand_limit = 1 << 22};
  o.status = rs_jsonl_read(&o.frame, &o.report, &path, 1, &options);
  return o;
}

static void outcome_free(outcome *o) {
  rs_frame_free(&o->frame);
  rs_csv_report_free(&o->report);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rs_fuzz_file file;
  if (!rs_fuzz_write(&file, data, size)) return -1;
  outcome whole = read_in_blocks(file.path, size + 1), blocks = read_in_blocks(file.path, 1 + size / 9);
  if (whole.status != blocks.status || whole.report.quarantined != blocks.report.quarantined ||
      whole.report.first_bad_line != blocks.report.first_bad_line || !rs_same_frame(&whole.frame, &blocks.frame))
    abort();
  outcome_free(&whole);
  outcome_free(&blocks);
  if (rs_alloc_blocks() != 0) abort();
  return 0;
}
