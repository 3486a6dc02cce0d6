/* batch.c - see batch.h. */
#include "serve/batch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/shortest.h"
#include "serve/batch_in.h"
#include "serve/json_out.h"
#include "serve/json_read.h"
#include "serve/loaded.h"

enum { LINES = 32, CHUNKS = 128, BLOCK_BYTES = 8 << 20, EVERY_MS = 1000, IGNORED_BYTES = 1024 };

/* What a thread works with. */
typedef struct worker {
  rs_serve_scratch *scratch;
  rs_json_in *in;
  rs_answer answer;
  rs_users_reader reader;
} worker;

/* Some lines and what became of them. */
typedef struct chunk {
  rs_buffer out;
  rs_batch_facts facts;
  rs_buffer ignored; /* as rs_batch_ignored, of these */
  rs_status status;
  int64_t failed; /* the block's record that did */
  char message[600];
} chunk;

struct rs_batch {
  const rs_server_model *model;
  rs_batch_options options;
  char *users, *out, *part, *record, *fresh, *key;
  rs_mapping map;
  rs_users_header header;
  rs_request base; /* of ids and records; its texts are the first worker's */
  int handle;      /* of the part; -1: none */
  int n_workers;
  worker *workers;
  chunk chunks[CHUNKS];
  const char *starts[CHUNKS * LINES + 1]; /* of the block's records */
  int64_t n_lines;                        /* in the block */
  const char *at;
  int64_t written;
  rs_batch_facts facts;
  rs_buffer ignored;
  int64_t recorded; /* ms of the monotonic clock */
  bool hopeless;    /* a line of the users' file cannot be answered: another file will be another batch */
};

rs_batch_facts rs_batch_facts_of(const rs_batch *b) { return b->facts; }
const rs_buffer *rs_batch_ignored(const rs_batch *b) { return &b->ignored; }

/* Add the names that are not there yet, as long as there is room. */
static rs_status add_names(rs_buffer *all, const rs_buffer *more) {
  rs_status status = RS_OK;
  for (size_t at = 0, n; status == RS_OK && at < more->size; at += n) {
    const char *name = more->data + at;
    size_t have = 0;
    n = strlen(name) + 1;
    while (have < all->size && strcmp(all->data + have, name) != 0) have += strlen(all->data + have) + 1;
    if (have >= all->size && all->size + n <= IGNORED_BYTES) status = rs_buffer_append(all, name, n);
  }
  return status;
}

/* ---- rows of CSV ---- */

static rs_status append_csv(rs_buffer *out, const char *text, size_t length) {
  bool plain = true;
  for (size_t i = 0; i < length; i++) plain &= !(text[i] == '"' || text[i] == ',' || text[i] == '\r' || text[i] == '\n');
  if (plain) return rs_buffer_append(out, text, length);
  rs_status status = rs_buffer_reserve(out, 2 * length + 2);
  if (status != RS_OK) return status;
  char *p = out->data + out->size;
  *p++ = '"';
  for (size_t i = 0; i < length; i++) {
    if (text[i] == '"') *p++ = '"';
    *p++ = text[i];
  }
  *p++ = '"';
  out->size = (size_t)(p - out->data);
  return RS_OK;
}

static bool has_titles(const rs_server_model *m) { return m->titles.offsets.storage != NULL; }

static rs_status append_row(rs_buffer *out, const rs_server_model *m, rs_span user, const rs_found *item, int64_t rank) {
  char number[RS_SHORTEST_MAX];
  size_t length;
  rs_status status = append_csv(out, user.text ? user.text : "", user.length);
  if (status == RS_OK) status = rs_buffer_printf(out, ",%lld,", (long long)rank);
  const char *text = rs_server_model_item(m, item->row, &length);
  if (status == RS_OK) status = append_csv(out, text, length);
  if (status == RS_OK) status = rs_buffer_append(out, ",", 1);
  if (status == RS_OK) status = rs_buffer_append(out, number, rs_shortest_f32(number, item->score));
  if (status == RS_OK && has_titles(m)) {
    text = rs_server_model_title(m, item->row, &length);
    status = rs_buffer_append(out, ",", 1);
    if (status == RS_OK) status = append_csv(out, text, length);
  }
  if (status == RS_OK) status = rs_buffer_append(out, ",", 1);
  if (status == RS_OK) status = rs_buffer_append_text(out, rs_source_word(item->source));
  return status == RS_OK ? rs_buffer_append(out, "\n", 1) : status;
}

static rs_status append_rows(rs_buffer *out, const rs_server_model *m, rs_span user, const rs_answer *answer) {
  rs_status status = RS_OK;
  for (int64_t i = 0; status == RS_OK && i < answer->n; i++)
    status = append_row(out, m, user, &answer->items[i], i + 1);
  return status;
}

/* ---- answering ---- */

static void count(rs_batch_facts *facts, const rs_answer *answer) {
  facts->users++;
  facts->items += answer->n;
  facts->fallbacks += answer->fallback != RS_NO_FALLBACK;
  facts->short_of_k += answer->missing != RS_NONE_MISSING;
}

/* One request to its line, or its rows of CSV. */
static rs_status answer_one(const rs_batch *b, worker *w, chunk *c, const rs_request *request) {
  rs_status status = rs_recommend(b->model, w->scratch, request, &w->answer);
  if (status != RS_OK) return status;
  count(&c->facts, &w->answer);
  status = add_names(&c->ignored, &w->answer.ignored);
  if (status != RS_OK) return status;
  if (b->options.csv) return append_rows(&c->out, b->model, request->user, &w->answer);
  return rs_json_answer(&c->out, b->model, request, &w->answer, NULL);
}

/* What stands in the line's place; in CSV there is none, so that it ends the batch. */
static rs_status refuse(const rs_batch *b, chunk *c, const rs_request *request, rs_status why, const char *message) {
  char copy[1024];
  if (b->options.csv || why == RS_ENOMEM) return why;
  snprintf(copy, sizeof copy, "%s", message);
  c->facts.refused++;
  return rs_json_refusal(&c->out, request, why, copy);
}

static rs_status answer_in_place(const rs_batch *b, worker *w, chunk *c, const rs_asked *asked, int64_t i) {
  const rs_request *request = &asked->requests[i];
  const char *wrong = asked->wrong[i];
  size_t before = c->out.size;
  rs_status status = wrong ? rs_fail(RS_EARG, "%s", wrong) : rs_json_whose(asked, i, answer_one(b, w, c, request));
  if (status == RS_OK) return RS_OK;
  c->out.size = before;
  return refuse(b, c, request, status, rs_message());
}

/* A line of JSON: a request, or several. */
static rs_status answer_json(const rs_batch *b, worker *w, chunk *c, rs_span line) {
  rs_asked asked;
  rs_status status = rs_json_in_recommend(w->in, line.text, line.length, &asked);
  if (status != RS_OK) return refuse(b, c, &(rs_request){.user = rs_json_in_refused(w->in)}, status, rs_message());
  bool list = asked.several && !b->options.csv;
  if (list) status = rs_buffer_append_text(&c->out, "{\"answers\":[");
  for (int64_t i = 0; status == RS_OK && i < asked.n; i++) {
    if (list && i > 0) status = rs_buffer_append(&c->out, ",", 1);
    if (status == RS_OK) status = answer_in_place(b, w, c, &asked, i);
  }
  return status == RS_OK && list ? rs_buffer_append(&c->out, "]}", 2) : status;
}

/* A record of CSV as a request; what stands beside user and fields is read as it would be in JSON. */
static rs_status read_record(const rs_batch *b, worker *w, rs_span line, rs_request *request) {
  rs_asked asked;
  rs_users_reader *r = &w->reader;
  rs_status status = rs_users_record(r, &b->header, line, request);
  if (status != RS_OK || r->options.size == 0) return status;
  rs_request own = *request;
  status = rs_json_in_recommend(w->in, r->options.data, r->options.size, &asked);
  if (status != RS_OK) return status;
  *request = asked.requests[0];
  request->user = own.user;
  request->fields = own.fields;
  return RS_OK;
}

static rs_status answer_line(const rs_batch *b, worker *w, chunk *c, rs_span line) {
  rs_request request = b->base;
  rs_status status = RS_OK;
  bool told = b->options.format == RS_USERS_JSONL && !b->options.csv; /* line n of the answers is for line n */
  if (line.length == 0 && !told) return RS_OK;
  if (b->options.format != RS_USERS_JSONL && memchr(line.text, 0, line.length))
    return rs_fail(RS_EFORMAT, "there is a zero byte: is this a text?");
  if (b->options.format != RS_USERS_JSONL && !rs_is_utf8(line.text, line.length)) /* JSON's reader looks itself */
    return rs_fail(RS_EFORMAT, "this is not UTF-8");
  if (b->options.format == RS_USERS_JSONL) {
    status = answer_json(b, w, c, line);
  } else {
    request.user = line;
    if (b->options.format == RS_USERS_CSV) status = read_record(b, w, line, &request);
    if (status == RS_OK) status = answer_one(b, w, c, &request);
  }
  return status == RS_OK && !b->options.csv ? rs_buffer_append(&c->out, "\n", 1) : status;
}

/* Lines first .. last - 1 of the block, LINES of them at the most. */
static void answer_chunk(void *context, int64_t first, int64_t last) {
  rs_batch *b = context;
  chunk *c = &b->chunks[first / LINES];
  worker *w = &b->workers[rs_thread_index()];
  c->out.size = c->ignored.size = 0;
  c->status = RS_OK;
  c->facts = (rs_batch_facts){0};
  for (int64_t i = first; i < last && c->status == RS_OK; i++) {
    c->status = answer_line(b, w, c, rs_record_text(b->starts[i], b->starts[i + 1]));
    if (c->status == RS_OK) continue;
    c->failed = i;
    snprintf(c->message, sizeof c->message, "%s", rs_message());
  }
}

/* ---- files ---- */

static rs_status refused_by_system(const char *path) { return rs_fail(RS_EIO, "cannot write %s: %s", path, strerror(errno)); }

static rs_status write_all(rs_batch *b, const char *bytes, size_t n) {
  while (n > 0) {
    ssize_t wrote = write(b->handle, bytes, n);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return refused_by_system(b->part);
    bytes += wrote;
    n -= (size_t)wrote;
    b->written += wrote;
  }
  return RS_OK;
}

static int64_t monotonic_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The text in the place of the record, whole or not at all; what a kill leaves has a name that is used again. */
static rs_status replace_record(const rs_batch *b, const char *text, size_t n) {
  int handle = open(b->fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (handle < 0) return refused_by_system(b->fresh);
  bool fine = write(handle, text, n) == (ssize_t)n && fdatasync(handle) == 0;
  int why = errno;
  close(handle);
  errno = why;
  return fine && rename(b->fresh, b->record) == 0 ? RS_OK : refused_by_system(b->record);
}

/* Let the disk have the answers, then say how far they go. */
static rs_status record(rs_batch *b) {
  const rs_batch_facts *f = &b->facts;
  char text[512];
  if (fdatasync(b->handle) != 0) return refused_by_system(b->part);
  int n = snprintf(text, sizeof text,
                   "recsys-batch 1 %s %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64 " %" PRId64
                   "\n",
                   b->key, (int64_t)(b->at - b->map.data), b->written, f->users, f->items, f->fallbacks, f->short_of_k,
                   f->refused);
  b->recorded = monotonic_ms();
  return replace_record(b, text, (size_t)n);
}

/* The answers are whole, or of no use: nothing is to be gone on from. */
static void forget(const rs_batch *b) {
  unlink(b->record);
  unlink(b->fresh);
}

/* Where the record of a run with the same key says that it was; false when there is none that could be gone on from. */
static bool go_on(rs_batch *b) {
  char key[128];
  rs_buffer text = {0};
  int64_t at, written;
  rs_batch_facts f = {0};
  struct stat part;
  bool fine = access(b->record, F_OK) == 0 && rs_file_read(&text, b->record, 511) == RS_OK &&
              rs_buffer_append(&text, "", 1) == RS_OK;
  fine = fine && sscanf(text.data,
                        "recsys-batch 1 %127s %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64
                        " %" SCNd64,
                        key, &at, &written, &f.users, &f.items, &f.fallbacks, &f.short_of_k, &f.refused) == 8;
  rs_buffer_free(&text);
  fine = fine && strcmp(key, b->key) == 0 && at >= 0 && at <= (int64_t)b->map.size && written >= 0 &&
         fstat(b->handle, &part) == 0 && part.st_size >= written && ftruncate(b->handle, written) == 0 &&
         lseek(b->handle, written, SEEK_SET) == written;
  if (!fine) return false;
  b->at = b->map.data + at;
  b->written = written;
  f.resumed = f.read = at;
  f.bytes = b->facts.bytes;
  b->facts = f;
  return true;
}

/* Open the part, ours alone: once it is locked it must still be what its name says. */
static rs_status open_part(rs_batch *b) {
  struct stat held, named;
  b->handle = open(b->part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (b->handle < 0) return refused_by_system(b->part);
  bool ours = flock(b->handle, LOCK_EX | LOCK_NB) == 0;
  ours = ours && fstat(b->handle, &held) == 0 && stat(b->part, &named) == 0 && held.st_ino == named.st_ino;
  return ours ? RS_OK : rs_fail(RS_EBUSY, "another process writes %s", b->out);
}

/* Let the disk have the names of files, too. */
static void sync_folder(const rs_batch *b) {
  char *slash = strrchr(b->out, '/');
  char folder[4096];
  snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - b->out) : 1, slash ? b->out : ".");
  int handle = open(*folder ? folder : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle >= 0) fsync(handle), close(handle);
}

static rs_status finish_file(rs_batch *b) {
  if (fsync(b->handle) != 0) return refused_by_system(b->part);
  if (rename(b->part, b->out) != 0) return refused_by_system(b->out);
  forget(b);
  close(b->handle);
  b->handle = -1;
  sync_folder(b);
  return RS_OK;
}

/* ---- opening ---- */

static char *joined(const char *path, const char *end) {
  size_t n = strlen(path), more = strlen(end);
  char *text = rs_alloc(n + more + 1);
  if (!text) return NULL;
  memcpy(text, path, n);
  memcpy(text + n, end, more + 1);
  return text;
}

static rs_status make_workers(rs_batch *b) {
  const char *standard = b->options.standard;
  b->n_workers = rs_threads();
  b->workers = rs_alloc_zero((size_t)b->n_workers * sizeof *b->workers);
  if (!b->workers) return rs_nomem("batch", (size_t)b->n_workers * sizeof *b->workers);
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < b->n_workers; i++) {
    status = rs_serve_scratch_new(&b->workers[i].scratch);
    if (status == RS_OK) status = rs_json_in_new(&b->workers[i].in, &b->options.limits);
    if (status == RS_OK && standard) status = rs_json_in_standard(b->workers[i].in, standard, strlen(standard));
  }
  if (status == RS_OK) b->base = *rs_json_in_base(b->workers[0].in);
  return status;
}

static rs_status read_header(rs_batch *b) {
  static const char mark[] = "\xEF\xBB\xBF";
  char reason[512];
  const char *end = b->map.data + b->map.size;
  b->at = b->map.data;
  if (b->map.size >= 3 && memcmp(b->at, mark, 3) == 0) b->at += 3; /* as Excel and Notepad begin a text in UTF-8 */
  if (b->options.format != RS_USERS_CSV) return RS_OK;
  const char *names = b->at;
  b->at = rs_record_end(names, end, RS_USERS_CSV);
  rs_status status = rs_users_header_read(&b->header, b->model, rs_record_text(names, b->at));
  if (status == RS_OK || status == RS_ENOMEM) return status;
  snprintf(reason, sizeof reason, "%s", rs_message());
  return rs_fail(status, "%s:1: %s", b->users, reason);
}

static rs_status begin_file(rs_batch *b) {
  const char *head = has_titles(b->model) ? "user,rank,item,score,title,source\n" : "user,rank,item,score,source\n";
  if (go_on(b)) return RS_OK;
  if (access(b->record, F_OK) == 0) forget(b), sync_folder(b); /* before the part gets other bytes than it tells of */
  if (ftruncate(b->handle, 0) != 0 || lseek(b->handle, 0, SEEK_SET) != 0) return refused_by_system(b->part);
  return b->options.csv ? write_all(b, head, strlen(head)) : RS_OK;
}

static rs_status open_batch(rs_batch *b) {
  const rs_batch_options *o = &b->options;
  b->users = rs_strdup(o->users);
  b->out = rs_strdup(o->out);
  b->key = rs_strdup(o->key);
  b->part = joined(o->out, ".part");
  b->record = joined(o->out, ".part.at");
  b->fresh = joined(o->out, ".part.at.new");
  if (!b->users || !b->out || !b->key || !b->part || !b->record || !b->fresh) return rs_nomem("batch", strlen(o->out));
  if (strlen(b->key) > 100 || !*b->key || strpbrk(b->key, " \t\r\n"))
    return rs_fail(RS_EARG, "the key of a batch is 1 to 100 characters without blanks");
  rs_status status = rs_mapping_open(&b->map, b->users);
  b->facts.bytes = (int64_t)b->map.size;
  if (status == RS_OK) status = make_workers(b);
  if (status == RS_OK) status = read_header(b);
  if (status == RS_OK) status = open_part(b);
  if (status == RS_OK) status = begin_file(b);
  b->recorded = monotonic_ms();
  return status;
}

rs_status rs_batch_open(rs_batch **out, const rs_server_model *m, const rs_batch_options *options) {
  rs_batch *b = rs_alloc_zero(sizeof *b);
  *out = NULL;
  if (!b) return rs_nomem("batch", sizeof *b);
  b->model = m;
  b->options = *options;
  if (b->options.every_ms == 0) b->options.every_ms = EVERY_MS;
  b->handle = -1;
  rs_status status = open_batch(b);
  if (status == RS_OK)
    *out = b;
  else
    rs_batch_free(b);
  return status;
}

void rs_batch_free(rs_batch *b) {
  if (!b) return;
  if (b->handle >= 0 && b->hopeless) forget(b), unlink(b->part);
  if (b->handle >= 0) close(b->handle);
  for (int i = 0; b->workers && i < b->n_workers; i++) {
    worker *w = &b->workers[i];
    rs_serve_scratch_free(w->scratch);
    rs_json_in_free(w->in);
    rs_answer_free(&w->answer);
    rs_buffer_free(&w->reader.id);
    rs_buffer_free(&w->reader.fields);
    rs_buffer_free(&w->reader.options);
  }
  rs_free(b->workers);
  for (int i = 0; i < CHUNKS; i++) rs_buffer_free(&b->chunks[i].out), rs_buffer_free(&b->chunks[i].ignored);
  rs_buffer_free(&b->ignored);
  rs_users_header_free(&b->header);
  rs_mapping_close(&b->map);
  char *texts[] = {b->users, b->out, b->part, b->record, b->fresh, b->key};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) rs_free(texts[i]);
  rs_free(b);
}

/* ---- going on ---- */

/* Where the records of the next block begin; gives where it ends. */
static const char *cut_block(rs_batch *b) {
  const char *at = b->at, *end = b->map.data + b->map.size;
  b->n_lines = 0;
  while (at < end && b->n_lines < CHUNKS * LINES && at - b->at < BLOCK_BYTES) {
    b->starts[b->n_lines++] = at;
    at = rs_record_end(at, end, b->options.format);
  }
  b->starts[b->n_lines] = at;
  return at;
}

static void add_facts(rs_batch_facts *all, const rs_batch_facts *f) {
  all->users += f->users;
  all->items += f->items;
  all->fallbacks += f->fallbacks;
  all->short_of_k += f->short_of_k;
  all->refused += f->refused;
}

/* Give back the memory of the users that are answered; who looks there again reads the file again. */
static void let_go(const rs_batch *b) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (size_t)(b->at - b->map.data) / page * page;
  if (whole > 0) madvise((void *)b->map.data, whole, MADV_DONTNEED);
}

/* The number of the file's line that the block's record i begins. */
static int64_t line_of(const rs_batch *b, int64_t i) {
  int64_t line = 1;
  for (const char *p = b->map.data; (p = memchr(p, '\n', (size_t)(b->starts[i] - p))); p++) line++;
  return line;
}

/* The answers of the block in its order, up to the first line that failed. */
static rs_status write_block(rs_batch *b) {
  for (int64_t i = 0; i * LINES < b->n_lines; i++) {
    chunk *c = &b->chunks[i];
    if (c->status == RS_ENOMEM) return rs_fail(RS_ENOMEM, "%s", c->message);
    b->hopeless = c->status != RS_OK;
    if (b->hopeless)
      return rs_fail(c->status, "%s:%" PRId64 ": %s", b->users, line_of(b, c->failed), c->message);
    rs_status status = write_all(b, c->out.data, c->out.size);
    if (status == RS_OK) status = add_names(&b->ignored, &c->ignored);
    if (status != RS_OK) return status;
    add_facts(&b->facts, &c->facts);
  }
  return RS_OK;
}

rs_status rs_batch_step(rs_batch *b, bool *done) {
  *done = false;
  const char *next = cut_block(b);
  if (b->n_lines == 0) {
    rs_status status = finish_file(b);
    *done = status == RS_OK;
    return status;
  }
  rs_parallel_for(b->n_lines, LINES, answer_chunk, b);
  rs_status status = write_block(b);
  if (status != RS_OK) return status;
  b->at = next;
  b->facts.read = (int64_t)(b->at - b->map.data);
  let_go(b);
  return monotonic_ms() - b->recorded >= b->options.every_ms ? record(b) : RS_OK;
}
