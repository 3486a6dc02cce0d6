/* jsonl.c - reading JSON Lines files: which fields there are, passes over the lines. See jsonl.h.
 *
 * The fields of the first lines are the columns to begin with; what later lines have besides is found in the same
 * pass, and makes another one. */
#include "frame/jsonl.h"

#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "frame/csv_input.h"
#include "frame/csv_notes.h"
#include "frame/csv_wave.h"
#include "frame/jsonl_block.h"
#include "frame/jsonl_column.h"

enum { SAMPLE_LINES = 1000, MAX_COLUMNS = 10000 };

typedef struct reader {
  const rs_csv_options *options;
  const char *const *paths;
  int n_paths;
  rs_csv_report *reports;
  rs_csv_notes notes;
  rs_csv_words names; /* of the columns; those found in a pass are behind fields.n */
  rs_json_fields fields;
  bool *whole, *had; /* fields.n; had: some line had the field */
  char **texts;      /* the names, terminated, owned */
  rs_csv_plan *plans;
  rs_csv_table table;
  rs_csv_waves waves;
  rs_csv_input input;
  struct {
    const char *path, *reason; /* NULL for none */
    int line;                  /* from 1 */
  } unsound;                   /* the first malformed one of the first lines */
} reader;

/* Free what was made for the columns. */
static void free_columns(reader *r) {
  for (int i = 0; i < r->fields.n && r->texts; i++) rs_free(r->texts[i]);
  rs_free(r->texts);
  rs_free(r->whole);
  rs_free(r->had);
  rs_free(r->plans);
  rs_csv_waves_free(&r->waves);
  rs_csv_table_free(&r->table);
  r->texts = NULL;
  r->whole = r->had = NULL;
  r->plans = NULL;
  r->fields = (rs_json_fields){0};
}

static void reader_free(reader *r) {
  free_columns(r);
  rs_csv_words_free(&r->names);
  rs_csv_notes_free(&r->notes);
  rs_csv_input_close(&r->input);
}

static rs_status open_input(reader *r, int i) {
  rs_csv_input_close(&r->input);
  rs_status status = rs_csv_input_open(&r->input, r->paths[i], r->options->expand_limit);
  if (status == RS_OK && r->input.end - r->input.text >= 3 && memcmp(r->input.text, "\xEF\xBB\xBF", 3) == 0)
    r->input.text += 3;
  return status;
}

static rs_status add_name(reader *r, const char *name, size_t length) {
  int32_t code;
  return rs_csv_words_add(&r->names, name, length, rs_csv_words_hash(name, length), &code);
}

/* Take over names that blocks found; the order is that of the files. */
static rs_status add_names(reader *r, const rs_csv_words *found) {
  rs_status status = RS_OK;
  for (int32_t code = 1; code <= rs_csv_words_count(found) && status == RS_OK; code++) {
    size_t length;
    const char *name = rs_dictionary_text(found->texts, code, &length);
    status = add_name(r, name, length);
  }
  if (status == RS_OK && rs_csv_words_count(&r->names) > MAX_COLUMNS)
    return rs_fail(RS_EFORMAT, "%s: the lines have more than %d different fields: choose some with 'columns'",
                   r->input.path, MAX_COLUMNS);
  return status;
}

/* Add the names of the fields in the first lines of the file that is open. */
static rs_status sample_names(reader *r) {
  const rs_json_fields none = {0};
  rs_json_line line = {0};
  const char *at = r->input.text, *text;
  size_t length;
  bool sound;
  rs_status status = rs_json_line_make(&line, &none);
  for (int i = 0; status == RS_OK && i < SAMPLE_LINES && rs_jsonl_next(&at, r->input.end, &text, &length); i++) {
    if (length == 0) continue;
    status = rs_json_line_read(&line, text, length, &sound);
    if (status != RS_OK || sound || r->unsound.reason) continue;
    r->unsound.path = r->input.path;
    r->unsound.reason = line.problem;
    r->unsound.line = i + 1;
  }
  if (status == RS_OK) status = add_names(r, &line.unknown);
  rs_json_line_free(&line);
  return status;
}

/* The names to begin with: those asked for, or those of the first lines of the first file that has some. */
static rs_status begin_names(reader *r) {
  rs_status status = RS_OK;
  for (int i = 0; i < r->options->n_keep && status == RS_OK; i++)
    status = add_name(r, r->options->keep[i], strlen(r->options->keep[i]));
  if (status == RS_OK && rs_csv_words_count(&r->names) < r->options->n_keep)
    return rs_fail(RS_EARG, "jsonl: a column is asked for twice");
  if (status == RS_OK) status = open_input(r, 0);
  if (status != RS_OK || r->options->n_keep) return status;
  status = sample_names(r);
  for (int i = 1; i < r->n_paths && status == RS_OK && rs_csv_words_count(&r->names) == 0; i++) {
    status = open_input(r, i);
    if (status == RS_OK) status = sample_names(r);
  }
  return status;
}

/* The declared type of a column, or what it was found to be in an earlier pass, by name. */
static void plan_column(const reader *r, rs_csv_plan *plan, const rs_csv_plan *before, int n_before) {
  plan->separator = "|";
  plan->inferred = true;
  for (int i = 0; i < n_before; i++)
    if (strcmp(before[i].name, plan->name) == 0) plan->type = before[i].type;
  for (int i = 0; i < r->options->n_types; i++) {
    const rs_csv_column_type *type = &r->options->types[i];
    if (strcmp(type->name, plan->name) != 0) continue;
    plan->type = type->type;
    plan->inferred = type->type == RS_CSV_INFER;
    if (type->separator && *type->separator) plan->separator = type->separator;
  }
}

/* Make columns of all names there are now. What 'before' says of their types holds. */
static rs_status make_columns(reader *r, const rs_csv_plan *before, int n_before) {
  int n = (int)rs_csv_words_count(&r->names);
  if (n == 0 && r->unsound.reason)
    return rs_fail(RS_EFORMAT, "%s holds no object with a field in its first lines; one object a line is expected, "
                   "and line %d is malformed: %s", r->unsound.path, r->unsound.line, r->unsound.reason);
  if (n == 0) return rs_fail(RS_EFORMAT, "%s holds no object with a field in its first lines", r->paths[0]);
  r->texts = rs_alloc_zero((size_t)n * sizeof *r->texts);
  r->whole = rs_alloc_zero((size_t)n * sizeof *r->whole);
  r->had = rs_alloc_zero((size_t)n * sizeof *r->had);
  r->plans = rs_alloc_zero((size_t)n * sizeof *r->plans);
  if (!r->texts || !r->whole || !r->had || !r->plans) return rs_nomem("jsonl", (size_t)n * sizeof *r->plans);
  r->fields = (rs_json_fields){r->names.texts, r->whole, n};
  for (int i = 0; i < n; i++) {
    size_t length;
    const char *name = rs_dictionary_text(r->names.texts, i + 1, &length);
    r->texts[i] = rs_alloc(length + 1);
    if (!r->texts[i]) return rs_nomem("jsonl", length + 1);
    memcpy(r->texts[i], name, length);
    r->texts[i][length] = 0;
    r->plans[i].name = r->texts[i];
    plan_column(r, &r->plans[i], before, n_before);
    r->whole[i] = !r->plans[i].inferred && r->plans[i].type == RS_CSV_STRING;
  }
  rs_status status = rs_dictionary_index(r->names.texts);
  return status == RS_OK ? rs_csv_table_make(&r->table, r->plans, n) : status;
}

/* Guess the types that nobody declared from the first lines of the file that is open. */
static rs_status infer_types(reader *r) {
  rs_json_line line = {0};
  const char *at, *text;
  size_t length;
  bool sound;
  rs_status status = rs_json_line_make(&line, &r->fields);
  at = r->input.text;
  for (int i = 0; status == RS_OK && i < SAMPLE_LINES && rs_jsonl_next(&at, r->input.end, &text, &length); i++) {
    if (length == 0) continue;
    status = rs_json_line_read(&line, text, length, &sound);
    for (int c = 0; status == RS_OK && sound && c < r->fields.n; c++) {
      rs_csv_plan *plan = &r->table.columns[c].plan;
      rs_csv_type type = rs_json_guess(&line.cells[c]);
      if (!plan->inferred || type == RS_CSV_INFER) continue;
      plan->type = plan->type == RS_CSV_INFER || plan->type == type ? type : RS_CSV_STRING;
    }
  }
  rs_json_line_free(&line);
  return status;
}

static rs_status note_block(void *context, const rs_csv_block *b) {
  reader *r = context;
  const rs_json_block *j = b->state;
  for (int i = 0; i < r->fields.n; i++) r->had[i] |= j->had[i];
  rs_status status = r->options->n_keep ? RS_OK : add_names(r, &j->line.unknown);
  return status == RS_OK ? rs_csv_notes_take(&r->notes, b) : status;
}

static rs_status read_file(reader *r, int i) {
  rs_csv_layout layout = {.format = &rs_jsonl_rows, .fields = &r->fields, .n_columns = r->fields.n};
  rs_status status = open_input(r, i);
  r->notes.report = &r->reports[i];
  rs_csv_notes_begin(&r->notes, r->paths[i], r->input.text);
  layout.mapped = r->input.compression == RS_CSV_PLAIN;
  for (bool more = true; more && status == RS_OK;) {
    const char *stop;
    layout.text = r->input.text;
    layout.end = r->input.end;
    layout.more = more = r->input.more;
    status = rs_csv_waves_read(&r->waves, &layout, layout.text, &stop, note_block, r);
    if (status != RS_OK || !more) break;
    rs_csv_notes_line(&r->notes, stop);
    status = rs_csv_input_advance(&r->input, stop);
    r->notes.counted = r->input.text;
  }
  r->reports[i].compression = r->input.compression;
  r->reports[i].encoding = RS_CSV_UTF8;
  r->reports[i].unterminated = r->input.end > r->input.text && r->input.end[-1] != '\n';
  return status;
}

/* Read all files once; *again when columns turned out to be strings, or there are more of them. */
static rs_status read_files(reader *r, bool *again) {
  rs_status status = RS_OK;
  struct stat info;
  r->waves.expected = 0;
  for (int i = 0; i < r->n_paths; i++)
    if (stat(r->paths[i], &info) == 0) r->waves.expected += (size_t)info.st_size;
  for (int i = 0; i < r->n_paths && status == RS_OK; i++) status = read_file(r, i);
  *again = rs_csv_table_is_spoilt(&r->table) || rs_csv_words_count(&r->names) > r->fields.n;
  return status;
}

/* Begin anew with what the pass has found: types as they settled, further columns. */
static rs_status prepare_again(reader *r) {
  int n = r->fields.n;
  rs_csv_table_restart(&r->table);
  reader old = *r;
  rs_csv_plan *settled = r->plans;
  for (int i = 0; i < n; i++) settled[i].type = r->table.columns[i].plan.type;
  r->plans = NULL;
  r->texts = NULL;
  r->fields = (rs_json_fields){0};
  free_columns(r);
  rs_status status = make_columns(r, settled, n);
  for (int i = 0; i < n; i++) rs_free(old.texts[i]);
  rs_free(old.texts);
  rs_free(settled);
  r->waves.count = 0;
  r->waves.seen = 0;
  r->notes.quarantine.size = 0;
  for (int i = 0; i < r->n_paths; i++) rs_csv_report_free(&r->reports[i]);
  return status;
}

/* A name that was asked for must be one that some line has. */
static rs_status check_names(const reader *r) {
  for (int i = 0; i < r->options->n_keep; i++)
    if (!r->had[i]) return rs_fail(RS_EFORMAT, "%s: no line has a field '%s'", r->paths[0], r->options->keep[i]);
  for (int i = 0; i < r->options->n_types && !r->options->n_keep; i++) {
    const char *name = r->options->types[i].name;
    if (!rs_dictionary_find(r->names.texts, name, strlen(name)))
      return rs_fail(RS_EFORMAT, "%s: no line has a field '%s', whose type is given", r->paths[0], name);
  }
  return RS_OK;
}

static rs_status read_table(reader *r, rs_frame *out) {
  bool again = true;
  rs_status status = begin_names(r);
  if (status == RS_OK) status = make_columns(r, NULL, 0);
  if (status == RS_OK) status = infer_types(r);
  while (status == RS_OK && again) {
    status = read_files(r, &again);
    if (status == RS_OK && again) status = prepare_again(r);
  }
  if (status == RS_OK) status = rs_csv_notes_write(&r->notes);
  for (int i = 0; i < r->n_paths && status == RS_OK; i++)
    status = rs_csv_notes_judge(&r->notes, &r->reports[i], r->paths[i], r->options->bad_limit,
                                "check that each line is one JSON object, and the declared types");
  if (status == RS_OK) status = check_names(r);
  rs_csv_waves_free(&r->waves);
  return status == RS_OK ? rs_csv_table_finish(&r->table, out) : status;
}

rs_status rs_jsonl_read(rs_frame *out, rs_csv_report *reports, const char *const *paths, int n,
                        const rs_csv_options *options) {
  for (int i = 0; i < n; i++) reports[i] = (rs_csv_report){0};
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
