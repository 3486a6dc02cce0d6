/* csv.c - reading CSV files: the columns to keep, passes over the rows, the limit of bad ones. See csv.h. */
#include "frame/csv.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "frame/csv_file.h"
#include "frame/csv_wave.h"

enum { SAMPLE_ROWS = 1000, EXCERPT_BYTES = 1 << 16 };

typedef struct reader {
  const rs_csv_options *options;
  const char *const *paths;
  int n_paths;
  rs_csv_encoding *encodings; /* of each file: what a census found */
  rs_csv_report *reports, *report;
  rs_csv_table table;
  rs_csv_waves waves;
  char **names; /* of the table's columns, owned */
  int n_names;
  int *place; /* column of the table -> of the file that is read now */
  rs_buffer quarantine;
  rs_csv_file file;
  const char *counted; /* lines are counted up to here, when somebody asks for one */
  int64_t line;        /* of that place, from 1 */
  bool strays;         /* bytes that are no UTF-8, in a file of which nobody has said what it is */
} reader;

static void reader_free(reader *r) {
  rs_csv_waves_free(&r->waves);
  rs_csv_table_free(&r->table);
  rs_csv_file_close(&r->file);
  for (int i = 0; i < r->n_names; i++) rs_free(r->names[i]);
  rs_free(r->names);
  rs_free(r->place);
  rs_free(r->encodings);
  rs_buffer_free(&r->quarantine);
}

void rs_csv_report_free(rs_csv_report *report) {
  rs_buffer_free(&report->first_bad);
  *report = (rs_csv_report){0};
}

/* The declared type of a column, and whether it is to be found out. */
static void plan_type(const rs_csv_options *o, rs_csv_plan *plan) {
  plan->inferred = true;
  plan->separator = "|";
  for (int i = 0; i < o->n_types; i++) {
    if (strcmp(o->types[i].name, plan->name) != 0) continue;
    plan->type = o->types[i].type;
    plan->inferred = plan->type == RS_CSV_INFER;
    if (o->types[i].separator && *o->types[i].separator) plan->separator = o->types[i].separator;
  }
}

/* Find the table's columns in the file. Without a choice of columns, files of one table have the same ones. */
static rs_status find_columns(reader *r) {
  for (int i = 0; i < r->n_names; i++) {
    r->place[i] = rs_csv_file_column(&r->file, r->names[i]);
    if (r->place[i] < 0) return RS_EFORMAT;
    for (int j = 0; j < i; j++)
      if (r->place[j] == r->place[i]) return rs_fail(RS_EARG, "csv: column '%s' is asked for twice", r->names[i]);
  }
  for (int i = 0; i < r->options->n_types; i++)
    if (rs_csv_file_column(&r->file, r->options->types[i].name) < 0) return RS_EFORMAT;
  if (r->options->n_keep == 0 && r->file.n_names != r->n_names)
    return rs_fail(RS_EFORMAT, "%s has %d columns, %s has %d: choose common ones with 'columns'", r->file.path,
                   r->file.n_names, r->paths[0], r->n_names);
  return RS_OK;
}

/* Choose the columns, by the first file's, and give them their declared types. */
static rs_status plan_columns(reader *r) {
  const rs_csv_options *o = r->options;
  int n = o->n_keep ? o->n_keep : r->file.n_names;
  rs_csv_plan *plans = rs_alloc_zero((size_t)n * sizeof *plans);
  r->place = rs_alloc((size_t)n * sizeof *r->place);
  r->names = rs_alloc((size_t)n * sizeof *r->names);
  rs_status status = plans && r->place && r->names ? RS_OK : rs_nomem("csv", (size_t)n * sizeof *plans);
  for (int i = 0; i < n && status == RS_OK; i++) {
    const char *name = o->n_keep ? o->keep[i] : r->file.names[i];
    if ((r->names[i] = rs_strdup(name)))
      r->n_names++;
    else
      status = rs_nomem("csv", strlen(name));
    plans[i].name = r->names[i];
    if (status == RS_OK) plan_type(o, &plans[i]);
  }
  if (status == RS_OK) status = find_columns(r);
  if (status == RS_OK) status = rs_csv_table_make(&r->table, plans, n);
  rs_free(plans);
  return status;
}

/* Guess the types that nobody declared from the first rows. */
static void infer_types(reader *r) {
  const rs_csv_cells cells = {.dialect = &r->file.dialect, .nulls = r->options->nulls, .n_nulls = r->options->n_nulls};
  rs_csv_scanner s = {.dialect = &r->file.dialect,
                      .at = r->file.body,
                      .end = r->file.end,
                      .expected = r->file.n_names,
                      .fields = r->file.fields,
                      .capacity = r->file.n_names};
  for (int row = 0; row < SAMPLE_ROWS && rs_csv_next(&s); row++)
    for (int i = 0; s.fault == RS_CSV_SOUND && i < r->table.n_columns; i++) {
      rs_csv_plan *plan = &r->table.columns[i].plan;
      if (!plan->inferred || plan->type == RS_CSV_STRING) continue;
      rs_csv_type type = rs_csv_guess(&cells, &s.fields[r->place[i]]);
      if (type == RS_CSV_INFER) continue;
      plan->type = plan->type == RS_CSV_INFER || plan->type == type ? type : RS_CSV_STRING;
    }
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

/* The line of a place at or behind the last one that was asked for. */
static int64_t line_of(reader *r, const char *at) {
  r->line += rs_csv_lines(r->counted, at);
  r->counted = at;
  return r->line;
}

/* Report a record that was left out. */
static rs_status set_aside(reader *r, const rs_csv_bad *bad, const char *reason) {
  rs_csv_report *report = r->report;
  int64_t line = line_of(r, bad->record);
  rs_status status = RS_OK;
  if (bad->torn && report->torn++ == 0) report->torn_line = line;
  if (report->quarantined++ == 0) {
    report->first_bad_line = line;
    status = rs_buffer_append(&report->first_bad, reason, bad->reason_length);
  }
  if (status != RS_OK || !r->options->quarantine) return status;
  rs_buffer *out = &r->quarantine;
  status = append_quoted(out, r->file.path, strlen(r->file.path));
  if (status == RS_OK) status = rs_buffer_printf(out, ",%lld,", (long long)line);
  if (status == RS_OK) status = append_quoted(out, reason, bad->reason_length);
  if (status == RS_OK) status = rs_buffer_append(out, ",", 1);
  if (status == RS_OK)
    status = append_quoted(out, bad->record, bad->length < EXCERPT_BYTES ? bad->length : EXCERPT_BYTES);
  return status == RS_OK ? rs_buffer_append(out, "\n", 1) : status;
}

/* Count a block's rows and report what it left out. */
static rs_status note_block(void *context, const rs_csv_block *b) {
  reader *r = context;
  const rs_csv_bad *bad = (const rs_csv_bad *)(const void *)b->bad.data;
  rs_status status = RS_OK;
  r->report->rows += b->rows;
  r->strays |= b->strays;
  for (size_t i = 0; i < b->bad.size / sizeof *bad && status == RS_OK; i++)
    status = set_aside(r, &bad[i], b->reasons.data + bad[i].reason);
  return status;
}

/* Read the rows of the open file, a window of its text after another. */
static rs_status read_rows(reader *r) {
  const rs_csv_file *f = &r->file;
  rs_csv_layout layout = {.dialect = &f->dialect,
                          .n_fields = f->n_names,
                          .n_columns = r->table.n_columns,
                          .place = r->place,
                          .mapped = f->input.compression == RS_CSV_PLAIN,
                          .any_encoding = f->any_encoding,
                          .nulls = r->options->nulls,
                          .n_nulls = r->options->n_nulls};
  rs_status status = RS_OK;
  r->counted = f->text;
  r->line = 1;
  r->strays = false;
  for (bool more = true; more && status == RS_OK;) {
    const char *stop;
    layout.text = f->text;
    layout.end = f->end;
    layout.more = more = f->input.more;
    status = rs_csv_waves_read(&r->waves, &layout, f->body, &stop, note_block, r);
    if (status != RS_OK || !more) break;
    line_of(r, stop);
    status = rs_csv_file_advance(&r->file, stop);
    r->counted = f->text;
  }
  return status;
}

/* What the file turned out to be. */
static void describe_file(reader *r) {
  const rs_csv_file *f = &r->file;
  rs_csv_report *report = r->report;
  memcpy(report->separator, f->dialect.separator, sizeof report->separator);
  report->quote = f->dialect.quotes ? f->dialect.quote : 0;
  report->escape = f->dialect.escape;
  report->encoding = f->dialect.encoding;
  report->compression = f->input.compression;
  report->header = !r->options->no_header;
  report->unterminated = f->end > f->text && f->end[-1] != '\n';
}

/* Read file i. In the first pass the first file says what the columns are. */
static rs_status read_file(reader *r, int i) {
  r->report = &r->reports[i];
  rs_csv_file_close(&r->file);
  rs_status status = rs_csv_file_open(&r->file, r->paths[i], r->options, r->encodings[i]);
  if (status == RS_OK && r->table.n_columns == 0) {
    status = plan_columns(r);
    if (status == RS_OK) infer_types(r);
  } else if (status == RS_OK)
    status = find_columns(r);
  if (status == RS_OK) status = read_rows(r);
  if (status == RS_OK) describe_file(r);
  if (status == RS_OK && r->strays) status = rs_csv_file_encoding(&r->file, &r->encodings[i]);
  return status;
}

static size_t size_of(const char *path) {
  struct stat info;
  return stat(path, &info) == 0 ? (size_t)info.st_size : 0;
}

/* Read all files once; *again when columns turned out to be text, or texts to be Latin-1, and all is void. */
static rs_status read_files(reader *r, bool *again) {
  rs_status status = RS_OK;
  *again = false;
  r->waves.expected = 0;
  for (int i = 0; i < r->n_paths; i++) r->waves.expected += size_of(r->paths[i]);
  for (int i = 0; i < r->n_paths && status == RS_OK; i++) {
    status = read_file(r, i);
    *again |= r->strays;
  }
  *again |= rs_csv_table_is_spoilt(&r->table);
  if (status != RS_OK || !*again) return status;
  rs_csv_table_restart(&r->table);
  rs_csv_waves_restart(&r->waves);
  r->quarantine.size = 0;
  for (int i = 0; i < r->n_paths; i++) rs_csv_report_free(&r->reports[i]);
  return RS_OK;
}

static rs_status write_quarantine(const reader *r) {
  static const char header[] = "file,line,reason,text\n";
  rs_writer w = {0};
  rs_status status = rs_writer_open(&w, r->options->quarantine);
  if (status != RS_OK) return status;
  status = rs_writer_write(&w, header, sizeof header - 1);
  if (status == RS_OK && r->quarantine.size) status = rs_writer_write(&w, r->quarantine.data, r->quarantine.size);
  if (status == RS_OK) return rs_writer_commit(&w);
  rs_writer_abort(&w);
  return status;
}

/* RS_EFORMAT when too many rows of a file are malformed. */
static rs_status judge(const reader *r, int i) {
  const rs_csv_report *found = &r->reports[i];
  int64_t total = found->rows + found->quarantined;
  if (found->quarantined == 0 || (double)found->quarantined <= r->options->bad_limit * (double)total) return RS_OK;
  return rs_fail(
      RS_EFORMAT,
      "%s: %lld of %lld rows are malformed (%.3g %%, the limit is %.3g %%); the first is line %lld: %.*s. %s%s; "
      "check the separator ('%s'), quote, escape and declared types, or raise bad_limit",
      r->paths[i], (long long)found->quarantined, (long long)total, 100.0 * (double)found->quarantined / (double)total,
      100 * r->options->bad_limit, (long long)found->first_bad_line, (int)found->first_bad.size, found->first_bad.data,
      r->options->quarantine ? "The rows are in " : "Set 'quarantine' to a path to see all of them",
      r->options->quarantine ? r->options->quarantine : "", found->separator);
}

static rs_status read_table(reader *r, rs_frame *out) {
  bool again = true;
  rs_status status = RS_OK;
  r->encodings = rs_alloc_zero((size_t)r->n_paths * sizeof *r->encodings);
  if (!r->encodings) return rs_nomem("csv", (size_t)r->n_paths * sizeof *r->encodings);
  while (status == RS_OK && again) status = read_files(r, &again);
  if (status == RS_OK && r->options->quarantine) status = write_quarantine(r);
  for (int i = 0; i < r->n_paths && status == RS_OK; i++) status = judge(r, i);
  rs_csv_waves_free(&r->waves);
  return status == RS_OK ? rs_csv_table_finish(&r->table, out) : status;
}

/* Whether the malformed rows would replace the very file they are read from. */
static bool quarantines_itself(const char *path, const rs_csv_options *options) {
  struct stat file, aside;
  return options->quarantine && stat(path, &file) == 0 && stat(options->quarantine, &aside) == 0 &&
         file.st_dev == aside.st_dev && file.st_ino == aside.st_ino;
}

rs_status rs_csv_read(rs_frame *out, rs_csv_report *reports, const char *const *paths, int n,
                      const rs_csv_options *options) {
  for (int i = 0; i < n; i++) reports[i] = (rs_csv_report){0};
  if (options->no_header && options->n_names == 0)
    return rs_fail(RS_EARG, "csv: a file without a header needs 'names'");
  for (int i = 0; i < n; i++)
    if (quarantines_itself(paths[i], options))
      return rs_fail(RS_EARG, "csv: the quarantine of %s must not be the file itself", paths[i]);
  reader r = {.options = options, .paths = paths, .n_paths = n, .reports = reports};
  r.waves.table = &r.table;
  r.waves.block = options->block;
  rs_status status = read_table(&r, out);
  reader_free(&r);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
