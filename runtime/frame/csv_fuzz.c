/* csv_fuzz.c - any bytes as a CSV file: they are read or refused, whatever they are.
 *
 * The first byte chooses the dialect, so that one corpus serves all. */
#include "base/fuzzing.h"
#include "frame/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static rs_fuzz_file file;
  if (size < 1 || !rs_fuzz_write(&file, data + 1, size - 1)) return -1;
  rs_csv_options options = {.escape = (rs_csv_escape)(data[0] & 3), .no_quotes = data[0] & 4, .bad_limit = 1};
  rs_frame frame = {0};
  rs_csv_report report = {0};
  if (rs_csv_read(&frame, &report, file.path, &options) == RS_OK) rs_frame_free(&frame);
  rs_csv_report_free(&report);
  return 0;
}
