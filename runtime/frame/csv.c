/* csv.c - reading a CSV file: header, passes over the rows, the limit of bad ones. See csv.h. */
#include "frame/csv.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/file.h"
#include "frame/csv_column.h"

enum { SAMPLE_ROWS = 1000, MAX_COLUMNS = 100000, EXCERPT_BYTES = 1 << 16 };

typedef struct reader {
  const char *path;
  const rs_csv_options *options;
  rs_mapping map;
  const char *text; /* behind the byte order mark */
  size_t size;
  rs_csv_dialect dialect;
  char **names; /* owned, of the file's columns */
  int n_names;
  rs_csv_field *fields; /* n_names */
  int *kept;            /* file column -> builder, -1: not kept */
  int *place;           /* builder -> file column */
  rs_csv_builder *builders;
  int n_builders;
  rs_csv_cells cells;
  rs_csv_scanner body; /* where the first data row begins */
  rs_buffer quarantine;
  rs_csv_report *report;
} reader;

static void reader_free(reader *r) {
  for (int i = 0; i < r->n_names; i++) rs_free(r->names[i]);
  for (int i = 0; i < r->n_builders; i++) rs_csv_builder_reset(&r->builders[i]);
  rs_free(r->names);
  rs_free(r->fields);
  rs_free(r->kept);
  rs_free(r->place);
  rs_free(r->builders);
  rs_csv_cells_free(&r->cells);
  rs_buffer_free(&r->quarantine);
  rs_mapping_close(&r->map);
}

void rs_csv_report_free(rs_csv_report *report) {
  rs_buffer_free(&report->first_bad);
  *report = (rs_csv_report){0};
}

/* Map the file and step over a byte order mark. */
static rs_status open_text(reader *r) {
  rs_status status = rs_mapping_open(&r->map, r->path);
  if (status != RS_OK) return status;
  r->text = r->map.data ? r->map.data : "";
  r->size = r->map.size;
  if (r->size >= 2 && (memcmp(r->text, "\xFF\xFE", 2) == 0 || memcmp(r->text, "\xFE\xFF", 2) == 0))
    return rs_fail(RS_EFORMAT, "%s is UTF-16: convert it to UTF-8 first (iconv -f UTF-16 -t UTF-8)", r->path);
  if (r->size >= 3 && memcmp(r->text, "\xEF\xBB\xBF", 3) == 0) {
    r->text += 3;
    r->size -= 3;
  }
  if (r->size == 0 && !r->options->no_header) return rs_fail(RS_EFORMAT, "%s is empty: not even a header", r->path);
  return RS_OK;
}

/* Keep the name of file column i: from the options, else the header's. */
static rs_status add_name(reader *r, int i, const rs_csv_field *f) {
  const char *text = "";
  size_t length = 0;
  rs_status status = RS_OK;
  if (i < r->options->n_names) {
    text = r->options->names[i];
    length = strlen(text);
  } else if (f) {
    status = rs_csv_unescape(&r->dialect, f, &r->cells.unescaped, &text, &length);
    if (status == RS_OK && r->dialect.encoding == RS_CSV_LATIN1) {
      status = rs_latin1_to_utf8(&r->cells.transcoded, text, length);
      text = r->cells.transcoded.data;
      length = r->cells.transcoded.size;
    }
  }
  if (status != RS_OK) return status;
  if (memchr(text, 0, length) || !rs_utf8_is_valid(text, length))
    return rs_fail(RS_EFORMAT, "%s: the name of column %d in the header is no text: is this a CSV file?", r->path,
                   i + 1);
  rs_buffer name = {0};
  status = length ? rs_buffer_append(&name, text, length) : rs_buffer_printf(&name, "column_%d", i + 1);
  if (status == RS_OK) status = rs_buffer_append(&name, "", 1);
  r->names[r->n_names++] = name.data; /* freed with the reader, half-built too */
  return status;
}

/* How many columns the first record has, without touching it. */
static int count_columns(reader *r) {
  rs_csv_scanner first = r->body;
  return rs_csv_next(&first) && first.fault == RS_CSV_SOUND ? first.n_fields : 0;
}

static rs_status read_header(reader *r) {
  const rs_csv_options *o = r->options;
  r->body = (rs_csv_scanner){.dialect = &r->dialect, .at = r->text, .end = r->text + r->size, .at_line = 1};
  int n = o->no_header ? o->n_names : count_columns(r);
  if (n < 1 || n > MAX_COLUMNS)
    return rs_fail(RS_EFORMAT, "%s: line 1 cannot be read as a header: a quote in it is not closed", r->path);
  if (o->n_names && o->n_names != n)
    return rs_fail(RS_EFORMAT, "%s: %d names are given, but the header has %d columns", r->path, o->n_names, n);
  r->names = rs_alloc_zero((size_t)n * sizeof *r->names);
  r->fields = rs_alloc_zero((size_t)n * sizeof *r->fields);
  r->kept = rs_alloc((size_t)n * sizeof *r->kept);
  if (!r->names || !r->fields || !r->kept) return rs_nomem("csv", (size_t)n * sizeof *r->fields);
  r->body.fields = r->fields;
  r->body.capacity = n;
  if (!o->no_header) rs_csv_next(&r->body);
  r->body.expected = n;
  rs_status status = RS_OK;
  for (int i = 0; i < n && status == RS_OK; i++) status = add_name(r, i, o->no_header ? NULL : &r->fields[i]);
  return status;
}

/* The file column called 'name'; -1 with a message that lists what there is. */
static int find_column(const reader *r, const char *name) {
  int found = -1, times = 0;
  for (int i = 0; i < r->n_names; i++)
    if (strcmp(r->names[i], name) == 0) found = i, times++;
  if (times == 1) return found;
  if (times > 1) {
    rs_fail(RS_EFORMAT, "%s: %d columns are called '%s': give all columns 'names' of your own", r->path, times, name);
    return -1;
  }
  char list[512] = "";
  size_t used = 0;
  for (int i = 0; i < r->n_names && used + 64 < sizeof list; i++)
    used += (size_t)snprintf(list + used, sizeof list - used, "%s%.40s", i ? ", " : "", r->names[i]);
  rs_fail(RS_EFORMAT, "%s has no column '%s'; it has: %s", r->path, name, list);
  return -1;
}

static rs_status add_builder(reader *r, const char *name) {
  int at = find_column(r, name);
  if (at < 0) return RS_EFORMAT;
  if (r->kept[at] >= 0) return rs_fail(RS_EARG, "csv: column '%s' is asked for twice", name);
  rs_csv_builder *b = &r->builders[r->n_builders];
  *b = (rs_csv_builder){.name = r->names[at], .separator = "|", .inferred = true};
  r->place[r->n_builders] = at;
  r->kept[at] = r->n_builders++;
  return RS_OK;
}

/* Choose the columns and give them their declared types. */
static rs_status plan_columns(reader *r) {
  const rs_csv_options *o = r->options;
  int n = o->n_keep ? o->n_keep : r->n_names;
  r->builders = rs_alloc_zero((size_t)n * sizeof *r->builders);
  r->place = rs_alloc((size_t)n * sizeof *r->place);
  if (!r->builders || !r->place) return rs_nomem("csv", (size_t)n * sizeof *r->builders);
  for (int i = 0; i < r->n_names; i++) r->kept[i] = -1;
  for (int i = 0; i < n; i++) {
    rs_status status = add_builder(r, o->n_keep ? o->keep[i] : r->names[i]);
    if (status != RS_OK) return status;
  }
  for (int i = 0; i < o->n_types; i++) {
    int at = find_column(r, o->types[i].name);
    if (at < 0) return RS_EFORMAT;
    if (r->kept[at] < 0) continue;
    rs_csv_builder *b = &r->builders[r->kept[at]];
    b->type = o->types[i].type;
    b->inferred = b->type == RS_CSV_INFER;
    if (o->types[i].separator && *o->types[i].separator) b->separator = o->types[i].separator;
  }
  return RS_OK;
}

/* Guess the types that nobody declared from the first rows. */
static void infer_types(reader *r) {
  rs_csv_scanner s = r->body;
  for (int row = 0; row < SAMPLE_ROWS && rs_csv_next(&s); row++)
    for (int i = 0; s.fault == RS_CSV_SOUND && i < r->n_builders; i++) {
      rs_csv_builder *b = &r->builders[i];
      if (!b->inferred || b->type == RS_CSV_STRING) continue;
      rs_csv_type type = rs_csv_guess(&r->cells, &s.fields[r->place[i]]);
      if (type == RS_CSV_INFER) continue;
      b->type = b->type == RS_CSV_INFER || b->type == type ? type : RS_CSV_STRING;
    }
}

/* The reason of a malformed record into cells.reason. */
static rs_status describe(reader *r, const rs_csv_scanner *s) {
  rs_buffer *reason = &r->cells.reason;
  reason->size = 0;
  switch (s->fault) {
    case RS_CSV_TORN: return rs_buffer_append_text(reason, "a quote is opened and never closed");
    case RS_CSV_BROKEN: return rs_buffer_append_text(reason, "text follows a closing quote");
    default:
      return rs_buffer_printf(reason, "%d field%s instead of %d", s->n_fields, s->n_fields == 1 ? "" : "s",
                              s->expected);
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

/* Leave the scanned record out for the reason in cells.reason. */
static rs_status set_aside(reader *r, const rs_csv_scanner *s) {
  const rs_buffer *reason = &r->cells.reason;
  rs_status status = RS_OK;
  if (r->report->quarantined++ == 0) {
    r->report->first_bad_line = s->line;
    status = rs_buffer_append(&r->report->first_bad, reason->data, reason->size);
  }
  if (status != RS_OK || !r->options->quarantine) return status;
  rs_buffer *out = &r->quarantine;
  size_t length = (size_t)(s->record_end - s->record);
  status = append_quoted(out, r->path, strlen(r->path));
  if (status == RS_OK) status = rs_buffer_printf(out, ",%lld,", (long long)s->line);
  if (status == RS_OK) status = append_quoted(out, reason->data, reason->size);
  if (status == RS_OK) status = rs_buffer_append(out, ",", 1);
  if (status == RS_OK) status = append_quoted(out, s->record, length < EXCERPT_BYTES ? length : EXCERPT_BYTES);
  return status == RS_OK ? rs_buffer_append(out, "\n", 1) : status;
}

/* Check a sound record by all columns, then append it to all. */
static rs_status take_record(reader *r, const rs_csv_scanner *s) {
  bool fits = true;
  for (int i = 0; i < r->n_builders; i++) {
    rs_status status = rs_csv_check(&r->builders[i], &r->cells, &s->fields[r->place[i]], &fits);
    if (status != RS_OK) return status;
    if (!fits) return set_aside(r, s);
  }
  for (int i = 0; i < r->n_builders; i++) {
    rs_status status = rs_csv_append(&r->builders[i], &r->cells, &s->fields[r->place[i]]);
    if (status != RS_OK) return status;
  }
  r->report->rows++;
  return RS_OK;
}

static rs_status read_rows(reader *r) {
  rs_csv_scanner s = r->body;
  rs_status status = RS_OK;
  while (status == RS_OK && rs_csv_next(&s)) {
    if (s.fault == RS_CSV_SOUND)
      status = take_record(r, &s);
    else {
      status = describe(r, &s);
      if (status == RS_OK) status = set_aside(r, &s);
    }
  }
  return status;
}

/* Prepare another pass when columns turned out to be text; false when there is none to read again. */
static bool prepare_again(reader *r) {
  bool again = false;
  for (int i = 0; i < r->n_builders; i++)
    if (r->builders[i].demoted) {
      r->builders[i].type = RS_CSV_STRING;
      again = true;
    }
  if (!again) return false;
  for (int i = 0; i < r->n_builders; i++) rs_csv_builder_reset(&r->builders[i]);
  r->quarantine.size = 0;
  r->report->rows = r->report->quarantined = r->report->first_bad_line = 0;
  r->report->first_bad.size = 0;
  return true;
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

/* RS_EFORMAT when too many rows are malformed. */
static rs_status judge(const reader *r) {
  const rs_csv_report *found = r->report;
  int64_t total = found->rows + found->quarantined;
  if (found->quarantined == 0 || (double)found->quarantined <= r->options->bad_limit * (double)total) return RS_OK;
  return rs_fail(
      RS_EFORMAT,
      "%s: %lld of %lld rows are malformed (%.3g %%, the limit is %.3g %%); the first is line %lld: %.*s. %s%s; "
      "check the separator ('%s'), quote, escape and declared types, or raise bad_limit",
      r->path, (long long)found->quarantined, (long long)total, 100.0 * (double)found->quarantined / (double)total,
      100 * r->options->bad_limit, (long long)found->first_bad_line, (int)found->first_bad.size, found->first_bad.data,
      r->options->quarantine ? "The rows are in " : "Set 'quarantine' to a path to see all of them",
      r->options->quarantine ? r->options->quarantine : "", r->dialect.separator);
}

static rs_status build_frame(reader *r, rs_frame *out) {
  for (int i = 0; i < r->n_builders; i++) {
    rs_column column = {0};
    rs_status status = rs_csv_finish(&r->builders[i], &column);
    if (status == RS_OK) status = rs_frame_add(out, &column);
    rs_column_free(&column);
    if (status != RS_OK) return status;
  }
  return RS_OK;
}

static rs_status read_file(reader *r, rs_frame *out) {
  rs_status status = open_text(r);
  if (status == RS_OK) status = rs_csv_detect(&r->dialect, r->options, r->text, r->size);
  if (status == RS_OK) status = read_header(r);
  if (status == RS_OK) status = plan_columns(r);
  if (status != RS_OK) return status;
  r->cells.dialect = &r->dialect;
  r->cells.nulls = r->options->nulls;
  r->cells.n_nulls = r->options->n_nulls;
  infer_types(r);
  do status = read_rows(r);
  while (status == RS_OK && prepare_again(r));
  if (status == RS_OK && r->options->quarantine) status = write_quarantine(r);
  if (status == RS_OK) status = judge(r);
  if (status == RS_OK) status = build_frame(r, out);
  memcpy(r->report->separator, r->dialect.separator, sizeof r->report->separator);
  r->report->escape = r->dialect.escape;
  r->report->encoding = r->dialect.encoding;
  return status;
}

/* Whether the malformed rows would replace the very file they are read from. */
static bool quarantines_itself(const char *path, const rs_csv_options *options) {
  struct stat file, aside;
  return options->quarantine && stat(path, &file) == 0 && stat(options->quarantine, &aside) == 0 &&
         file.st_dev == aside.st_dev && file.st_ino == aside.st_ino;
}

rs_status rs_csv_read(rs_frame *out, rs_csv_report *report, const char *path, const rs_csv_options *options) {
  *report = (rs_csv_report){0};
  if (options->no_header && options->n_names == 0)
    return rs_fail(RS_EARG, "csv: a file without a header needs 'names'");
  if (quarantines_itself(path, options))
    return rs_fail(RS_EARG, "csv: the quarantine of %s must not be the file itself", path);
  reader r = {.path = path, .options = options, .report = report};
  rs_status status = read_file(&r, out);
  reader_free(&r);
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
