/* csv_notes.c - see csv_notes.h. */
#include "frame/csv_notes.h"

#include <string.h>
#include <sys/stat.h>

enum { EXCERPT_BYTES = 1 << 16 };

void rs_csv_report_free(rs_csv_report *report) {
  rs_buffer_free(&report->first_bad);
  *report = (rs_csv_report){0};
}

void rs_csv_notes_free(rs_csv_notes *n) { rs_buffer_free(&n->quarantine); }

void rs_csv_notes_begin(rs_csv_notes *n, const char *path, const char *text) {
  n->path = path;
  n->counted = text;
  n->line = 1;
}

int64_t rs_csv_notes_line(rs_csv_notes *n, const char *at) {
  n->line += rs_csv_lines(n->counted, at);
  n->counted = at;
  return n->line;
}

/* Append text as a quoted CSV field. */
static rs_status append_quoted(rs_buffer *out, const char *text, size_t length) {
  rs_status status = rs_buffer_append(out, "\"", 1);
  for (const char *at = text, *end = text + length; status == RS_OK && at < end;) {
    const char *quote = memchr(at, '"', (size_t)(end - at)), *stop = quote ? quote + 1 : end;
    status = rs_buffer_append(out, at, (size_t)(stop - at));
    if (status == RS_OK && quote) status = rs_buffer_append(out, "\"", 1);
    at = stop;
  }
  return status == RS_OK ? rs_buffer_append(out, "\"", 1) : status;
}

/* Report a record that was left out. */
static rs_status set_aside(rs_csv_notes *n, const rs_csv_bad *bad, const char *reason) {
  rs_csv_report *report = n->report;
  int64_t line = rs_csv_notes_line(n, bad->record);
  rs_status status = RS_OK;
  if (bad->torn && report->torn++ == 0) report->torn_line = line;
  if (report->quarantined++ == 0) {
    report->first_bad_line = line;
    status = rs_buffer_append(&report->first_bad, reason, bad->reason_length);
  }
  if (status != RS_OK || !n->path_of_quarantine) return status;
  rs_buffer *out = &n->quarantine;
  status = append_quoted(out, n->path, strlen(n->path));
  if (status == RS_OK) status = rs_buffer_printf(out, ",%lld,", (long long)line);
  if (status == RS_OK) status = append_quoted(out, reason, bad->reason_length);
  if (status == RS_OK) status = rs_buffer_append(out, ",", 1);
  if (status == RS_OK)
    status = append_quoted(out, bad->record, bad->length < EXCERPT_BYTES ? bad->length : EXCERPT_BYTES);
  return status == RS_OK ? rs_buffer_append(out, "\n", 1) : status;
}

rs_status rs_csv_notes_take(rs_csv_notes *n, const rs_csv_block *b) {
  const rs_csv_bad *bad = (const rs_csv_bad *)(const void *)b->bad.data;
  rs_status status = RS_OK;
  n->report->rows += b->rows;
  for (size_t i = 0; i < b->bad.size / sizeof *bad && status == RS_OK; i++)
    status = set_aside(n, &bad[i], b->reasons.data + bad[i].reason);
  return status;
}

rs_status rs_csv_notes_write(const rs_csv_notes *n) {
  static const char header[] = "file,line,reason,text\n";
  rs_writer w = {0};
  if (!n->path_of_quarantine) return RS_OK;
  rs_status status = rs_writer_open(&w, n->path_of_quarantine);
  if (status != RS_OK) return status;
  status = rs_writer_write(&w, header, sizeof header - 1);
  if (status == RS_OK && n->quarantine.size) status = rs_writer_write(&w, n->quarantine.data, n->quarantine.size);
  if (status == RS_OK) return rs_writer_commit(&w);
  rs_writer_abort(&w);
  return status;
}

rs_status rs_csv_notes_judge(const rs_csv_notes *n, const rs_csv_report *report, const char *path, double bad_limit,
                             const char *advice) {
  int64_t total = report->rows + report->quarantined;
  if (report->quarantined == 0 || (double)report->quarantined <= bad_limit * (double)total) return RS_OK;
  return rs_fail(RS_EFORMAT,
                 "%s: %lld of %lld rows are malformed (%.3g %%, the limit is %.3g %%); the first is line %lld: %.*s. "
                 "%s%s; %s%s%s%s, or raise bad_limit",
                 path, (long long)report->quarantined, (long long)total,
                 100.0 * (double)report->quarantined / (double)total, 100 * bad_limit,
                 (long long)report->first_bad_line, (int)report->first_bad.size, report->first_bad.data,
                 n->path_of_quarantine ? "The rows are in " : "Set 'quarantine' to a path to see all of them",
                 n->path_of_quarantine ? n->path_of_quarantine : "", advice,
                 *report->separator ? " (the separator is '" : "", report->separator, *report->separator ? "')" : "");
}

bool rs_csv_notes_overwrite(const char *quarantine, const char *const *paths, int n) {
  struct stat file, aside;
  if (!quarantine || stat(quarantine, &aside) != 0) return false;
  for (int i = 0; i < n; i++)
    if (stat(paths[i], &file) == 0 && file.st_dev == aside.st_dev && file.st_ino == aside.st_ino) {
      rs_fail(RS_EARG, "the quarantine of %s must not be the file itself", paths[i]);
      return true;
    }
  return false;
}
