/* csv_fuzz.c - any bytes as a CSV file: they are read or refused, whatever they are, and the same in blocks as whole.
 *
 * The first byte chooses the dialect, so that one corpus serves all. */
#include <stdlib.h>

#include "base/alloc.h"
#include "base/fuzzing.h"
#include "frame/csv.h"
#include "frame/frame_same.h"

typedef struct outcome {
  rs_status status;
  rs_frame frame;
  rs_csv_report report;
} outcome;

static outcome read_in_blocks(const char *path, rs_csv_options options, size_t block) {
  outcome o = {0};
  options.block = block;
  o.status = rs_csv_read(&o.frame, &o.report, &path, 1, &options);
  return o;
}

static void outcome_free(outcome *o) {
  rs_frame_free(&o->frame);
  rs_csv_report_free(&o->report);
}

static bool same(const outcome *a, const outcome *b) {
  return a->status == b->status && a->report.rows == b->report.rows && a->report.torn == b->report.torn &&
         a->report.quarantined == b->report.quarantined && a->report.first_bad_line == b->report.first_bad_line &&
         rs_same_frame(&a->frame, &b->frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rs_fuzz_file file;
  if (size < 1 || !rs_fuzz_write(&file, data + 1, size - 1)) return -1;
  rs_csv_options options = {
      .escape = (rs_csv_escape)(data[0] & 3), .no_quotes = data[0] & 4, .bad_limit = 1, .expand_limit = 1 << 22};
  outcome whole = read_in_blocks(file.path, options, size), blocks = read_in_blocks(file.path, options, 1 + size / 9);
  if (!same(&whole, &blocks)) abort();
  outcome_free(&whole);
  outcome_free(&blocks);
  if (rs_alloc_blocks() != 0) abort();
  return 0;
}
