/* csv.c - reading CSV files: the columns to keep, passes over the rows, the limit of bad ones. See csv.h. */
#include "frame/csv.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "frame/csv_file.h"
#include "frame/csv_notes.h"
#include "frame/csv_wave.h"

enum { SAMPLE_ROWS = 1000 };

typedef struct reader {
  const rs_csv_options *options;
  const char *const *paths;
  int n_paths;
  rs_csv_encoding *encodings; /* of each file: what a census found */
  rs_csv_report *reports;
  rs_csv_notes notes;
  rs_csv_table table;
  rs_csv_waves waves;
  char **names; /* of the table's columns, owned */
  int n_names;
  int *place; /* column of the table -> of the file that is read now */
  rs_csv_file file;
  bool strays; /* bytes that are no UTF-8, in a file of which nobody has said what it is */
} reader;

static void reader_free(reader *r) {
  rs_csv_waves_free(&r->waves);
  rs_csv_table_free(&r->table);
  rs_csv_file_close(&r->file);
  for (int i = 0; i < r->n_names; i++) rs_free(r->names[i]);
  rs_free(r->names);
  rs_free(r->place);
  rs_free(r->encodings);
  rs_csv_notes_free(&r->notes);
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

/* Count a block's rows and report what it left out. */
static rs_status note_block(void *context, const rs_csv_block *b) {
  reader *r = context;
  r->strays |= b->strays;
  return rs_csv_notes_take(&r->notes, b);
}

/* Read the rows of the open file, a window of its text after another. */
static rs_status read_rows(reader *r) {
  const rs_csv_file *f = &r->file;
  rs_csv_layout layout = {.format = &rs_csv_rows,
                          .dialect = &f->dialect,
                          .n_fields = f->n_names,
                          .n_columns = r->table.n_columns,
                          .place = r->place,
                          .mapped = f->input.compression == RS_CSV_PLAIN,
                          .any_encoding = f->any_encoding,
                          .nulls = r->options->nulls,
                          .n_nulls = r->options->n_nulls};
  rs_status status = RS_OK;
  rs_csv_notes_begin(&r->notes, f->path, f->text);
  r->strays = false;
  for (bool more = true; more && status == RS_OK;) {
    const char *stop;
    layout.text = f->text;
    layout.end = f->end;
    layout.more = more = f->input.more;
    status = rs_csv_waves_read(&r->waves, &layout, f->body, &stop, note_block, r);
    if (status != RS_OK || !more) break;
    rs_csv_notes_line(&r->notes, stop);
    status = rs_csv_file_advance(&r->file, stop);
    r->notes.counted = f->text;
  }
  return status;
}

/* What the file turned out to be. */
static void describe_file(reader *r) {
  const rs_csv_file *f = &r->file;
  rs_csv_report *report = r->notes.report;
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
  r->notes.report = &r->reports[i];
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
  r->notes.quarantine.size = 0;
  for (int i = 0; i < r->n_paths; i++) rs_csv_report_free(&r->reports[i]);
  return RS_OK;
}

static rs_status read_table(reader *r, rs_frame *out) {
  bool again = true;
  rs_status status = RS_OK;
  r->encodings = rs_alloc_zero((size_t)r->n_paths * sizeof *r->encodings);
  if (!r->encodings) return rs_nomem("csv", (size_t)r->n_paths * sizeof *r->encodings);
  while (status == RS_OK && again) status = read_files(r, &again);
  if (status == RS_OK) status = rs_csv_notes_write(&r->notes);
  for (int i = 0; i < r->n_paths && status == RS_OK; i++)
    status = rs_csv_notes_judge(&r->notes, &r->reports[i], r->paths[i], r->options->bad_limit,
                                "check the separator, quote, escape and declared types");
  rs_csv_waves_free(&r->waves);
  return status == RS_OK ? rs_csv_table_finish(&r->table, out) : status;
}

rs_status rs_csv_read(rs_frame *out, rs_csv_report *reports, const char *const *paths, int n,
                      const rs_csv_options *options) {
  for (int i = 0; i < n; i++) reports[i] = (rs_csv_report){0};
  if (options->no_header && options->n_names == 0)
    return rs_fail(RS_EARG, "csv: a file without a header needs 'names'");
  if (rs_csv_notes_overwrite(options->quarantine, paths, n)) return RS_EARG;
  reader r = {.options = options, .paths = paths, .n_paths = n, .reports = reports};
  r.notes.path_of_quarantine = options->quarantine;
  r.waves.table = &r.table;
  r.waves.block = options->block;
  rs_status status = read_table(&r, out);
  reader_free(&r);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
