/* client.c - see client.h. */
#include "http/client.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"

enum { PAUSE_MS = 1000, BYTES_A_MS = (4 << 20) / 1000 };

struct rs_http_client {
  CURLM *multi;
  CURL *easy;
  char error[CURL_ERROR_SIZE];
  rs_http_client_options options;
  bool busy;
  struct curl_slist *sent;
  FILE *upload;
  rs_writer download;
  rs_status failure; /* of a callback; RS_OK: none */
  int64_t patience, waited, seen; /* ms: how long we wait, have waited, and when that was noted */
  bool carries;                   /* a file, so that each byte begins the wait anew */
  curl_off_t moved;
  long status;
  rs_buffer lines; /* "name\0value\0" of each header */
  rs_http_pair *headers;
  int n;
  rs_buffer body;
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode begun;
static void begin(void) { begun = curl_global_init(CURL_GLOBAL_DEFAULT); }

/* Callbacks: 0 or another count than was given ends the request. */

static bool is_success(const rs_http_client *c) {
  long status = 0;
  curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
  return status / 100 == 2;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *context) {
  rs_http_client *c = context;
  n *= one;
  if (c->download.stream && is_success(c))
    c->failure = rs_writer_write(&c->download, bytes, n);
  else if ((int64_t)(c->body.size + n) > c->options.max_body)
    c->failure = rs_fail(RS_EFORMAT, "the answer is larger than %lld bytes", (long long)c->options.max_body);
  else
    c->failure = rs_buffer_append(&c->body, bytes, n);
  return c->failure == RS_OK ? n : 0;
}

/* Keep a line "Name: value"; a status line begins anew, as behind "100 Continue". */
static rs_status keep_line(rs_http_client *c, const char *line, size_t n) {
  while (n > 0 && isspace((unsigned char)line[n - 1])) n--;
  if (n >= 5 && strncasecmp(line, "HTTP/", 5) == 0) {
    c->lines.size = 0;
    c->n = 0;
    return RS_OK;
  }
  const char *colon = memchr(line, ':', n);
  if (!colon || memchr(line, 0, n)) return RS_OK;
  size_t name = (size_t)(colon - line), from = name + 1;
  while (from < n && isspace((unsigned char)line[from])) from++;
  rs_status status = rs_buffer_reserve(&c->lines, n + 2);
  if (status != RS_OK) return status;
  char *to = c->lines.data + c->lines.size;
  for (size_t i = 0; i < name; i++) *to++ = (char)tolower((unsigned char)line[i]);
  *to++ = 0;
  to = mempcpy(to, line + from, n - from);
  *to++ = 0;
  c->lines.size = (size_t)(to - c->lines.data);
  c->n++;
  return RS_OK;
}

static size_t on_header(char *line, size_t one, size_t n, void *context) {
  rs_http_client *c = context;
  c->failure = keep_line(c, line, n * one);
  return c->failure == RS_OK ? n * one : 0;
}

static size_t on_upload(char *to, size_t one, size_t n, void *context) {
  rs_http_client *c = context;
  size_t got = fread(to, 1, one * n, c->upload);
  if (got > 0 || !ferror(c->upload)) return got;
  c->failure = rs_fail(RS_EIO, "the file to send cannot be read: %s", strerror(errno));
  return CURL_READFUNC_ABORT;
}

/* A request that has to be sent once more, on a new connection, begins at the file's beginning. */
static int on_seek(void *context, curl_off_t offset, int origin) {
  rs_http_client *c = context;
  return fseeko(c->upload, offset, origin) == 0 ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
}

/* The client. */

static rs_status copy_option(const char **option) {
  if (!*option) return RS_OK;
  *option = rs_strdup(*option);
  return *option ? RS_OK : rs_fail(RS_ENOMEM, "no memory for an HTTP client");
}

/* All of them, so that each is ours or NULL. */
static rs_status copy_options(rs_http_client_options *own) {
  const char **texts[] = {&own->user, &own->password, &own->token, &own->ca};
  rs_status status = RS_OK;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (status != RS_OK)
      *texts[i] = NULL;
    else
      status = copy_option(texts[i]);
  }
  return status;
}

rs_status rs_http_client_new(rs_http_client **out, const rs_http_client_options *options) {
  pthread_once(&once, begin);
  if (begun != CURLE_OK) return rs_fail(RS_EIO, "the HTTP client cannot be started: %s", curl_easy_strerror(begun));
  rs_http_client *c = rs_alloc_zero(sizeof *c);
  if (!c) return rs_fail(RS_ENOMEM, "no memory for an HTTP client");
  c->options = *options;
  rs_status status = copy_options(&c->options);
  if (status == RS_OK && (!(c->multi = curl_multi_init()) || !(c->easy = curl_easy_init())))
    status = rs_fail(RS_ENOMEM, "no memory for an HTTP client");
  if (status == RS_OK)
    *out = c;
  else
    rs_http_client_free(c);
  return status;
}

void rs_http_client_free(rs_http_client *c) {
  if (!c) return;
  rs_http_stop(c);
  curl_easy_cleanup(c->easy);
  curl_multi_cleanup(c->multi);
  rs_buffer_free(&c->lines);
  rs_buffer_free(&c->body);
  rs_free(c->headers);
  const char *texts[] = {c->options.user, c->options.password, c->options.token, c->options.ca};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) rs_free((void *)(uintptr_t)texts[i]);
  rs_free(c);
}

void rs_http_stop(rs_http_client *c) {
  if (c->busy) curl_multi_remove_handle(c->multi, c->easy);
  c->busy = false;
  if (c->upload) fclose(c->upload);
  c->upload = NULL;
  rs_writer_abort(&c->download);
  curl_slist_free_all(c->sent);
  c->sent = NULL;
}

bool rs_http_busy(const rs_http_client *c) { return c->busy; }

static rs_status add_line(rs_http_client *c, const char *line) {
  struct curl_slist *longer = curl_slist_append(c->sent, line);
  if (!longer) return rs_fail(RS_ENOMEM, "no memory for a request");
  c->sent = longer;
  return RS_OK;
}

/* A header of the request; "Name;" is how libcurl wants an empty one. */
static rs_status add_header(rs_http_client *c, const rs_http_pair *h) {
  if (!*h->name || strpbrk(h->name, "\r\n: ") || strpbrk(h->value, "\r\n"))
    return rs_fail(RS_EARG, "the header '%.200s' cannot be sent", h->name);
  rs_buffer line = {0};
  rs_status status = rs_buffer_printf(&line, *h->value ? "%s: %s" : "%s;", h->name, h->value);
  if (status == RS_OK) status = rs_buffer_append(&line, "", 1);
  if (status == RS_OK) status = add_line(c, line.data);
  rs_buffer_free(&line);
  return status;
}

static bool has_header(const rs_http_call *call, const char *name) {
  for (int i = 0; i < call->n; i++)
    if (strcasecmp(call->headers[i].name, name) == 0) return true;
  return false;
}

static rs_status set_headers(rs_http_client *c, const rs_http_call *call) {
  rs_status status = add_line(c, "Expect:"); /* do not wait for "100 Continue" */
  if (status == RS_OK && call->body && !has_header(call, "Content-Type")) status = add_line(c, "Content-Type:");
  for (int i = 0; i < call->n && status == RS_OK; i++) status = add_header(c, &call->headers[i]);
  curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->sent);
  return status;
}

static void set_options(rs_http_client *c) {
  const rs_http_client_options *o = &c->options;
  CURL *e = c->easy;
  curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
  curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(e, CURLOPT_USERAGENT, "recsys-run");
  curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L); /* ".." is the server's to refuse */
  curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
  curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
  if (o->ca) curl_easy_setopt(e, CURLOPT_CAINFO, o->ca);
  if (o->insecure) {
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (o->user) {
    curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
    curl_easy_setopt(e, CURLOPT_USERNAME, o->user);
    curl_easy_setopt(e, CURLOPT_PASSWORD, o->password ? o->password : "");
  } else if (o->token) {
    curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
    curl_easy_setopt(e, CURLOPT_XOAUTH2_BEARER, o->token);
  }
}

static rs_status set_file(rs_http_client *c, const char *path) {
  struct stat about;
  c->upload = fopen(path, "rbe");
  if (!c->upload || fstat(fileno(c->upload), &about) != 0) return rs_fail(RS_EIO, "%s: %s", path, strerror(errno));
  if (!S_ISREG(about.st_mode)) return rs_fail(RS_EIO, "%s: not a file", path);
  curl_easy_setopt(c->easy, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(c->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)about.st_size);
  if (c->patience) c->patience += about.st_size / BYTES_A_MS;
  curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, on_upload);
  curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
  curl_easy_setopt(c->easy, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt(c->easy, CURLOPT_SEEKDATA, c);
  return RS_OK;
}

static rs_status set_body(rs_http_client *c, const rs_http_call *call) {
  if (call->file) return set_file(c, call->file);
  if (!call->body) return RS_OK;
  curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->size);
  curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, call->body);
  return RS_OK;
}

/* What a failed code of libcurl is to us. */
static rs_status status_of(CURLcode code) {
  switch (code) {
    case CURLE_OUT_OF_MEMORY: return RS_ENOMEM;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL: return RS_EARG;
    case CURLE_WEIRD_SERVER_REPLY: return RS_EFORMAT;
    default: return RS_EIO;
  }
}

/* Waiting. */

static int64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Note the time since the last note, at most so much of it. */
static void note_time(rs_http_client *c, int64_t most) {
  int64_t now = now_ms(), passed = now - c->seen;
  c->waited += passed < most ? passed : most;
  c->seen = now;
}

/* Whether the server has kept us waiting too long. */
static bool is_late(rs_http_client *c) {
  curl_off_t sent = 0, got = 0;
  note_time(c, INT64_MAX);
  curl_easy_getinfo(c->easy, CURLINFO_SIZE_UPLOAD_T, &sent);
  curl_easy_getinfo(c->easy, CURLINFO_SIZE_DOWNLOAD_T, &got);
  if (c->carries && sent + got != c->moved) c->waited = 0;
  c->moved = sent + got;
  return c->patience && c->waited >= c->patience;
}

/* What a call needs beside the client's options. */

static rs_status set_call(rs_http_client *c, const rs_http_call *call) {
  CURLcode code = curl_easy_setopt(c->easy, CURLOPT_URL, call->url);
  if (code != CURLE_OK) return rs_fail(status_of(code), "%s: %s", call->url, curl_easy_strerror(code));
  rs_status status = set_body(c, call);
  if (status == RS_OK) status = set_headers(c, call);
  if (status == RS_OK && call->into) status = rs_writer_open(&c->download, call->into);
  if (strcasecmp(call->method, "HEAD") == 0)
    curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
  else
    curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, call->method);
  return status;
}

rs_status rs_http_start(rs_http_client *c, const rs_http_call *call) {
  rs_http_stop(c);
  c->status = 0;
  c->failure = RS_OK;
  c->lines.size = c->body.size = 0;
  c->n = 0;
  c->error[0] = 0;
  c->patience = c->options.timeout_ms;
  c->waited = c->moved = 0;
  c->seen = now_ms();
  c->carries = call->file || call->into;
  curl_easy_reset(c->easy); /* connections are kept */
  set_options(c);
  rs_status status = set_call(c, call);
  if (status == RS_OK && curl_multi_add_handle(c->multi, c->easy) != CURLM_OK)
    status = rs_fail(RS_EIO, "the request cannot be started");
  if (status == RS_OK)
    c->busy = true;
  else
    rs_http_stop(c);
  return status;
}

/* Point at the headers, now that their lines stay where they are. */
static rs_status index_headers(rs_http_client *c) {
  rs_free(c->headers);
  c->headers = rs_alloc(sizeof *c->headers * (size_t)c->n);
  if (!c->headers) {
    c->n = 0;
    return rs_fail(RS_ENOMEM, "no memory for an answer");
  }
  const char *at = c->lines.data;
  for (int i = 0; i < c->n; i++) {
    const char *value = at + strlen(at) + 1;
    c->headers[i] = (rs_http_pair){at, value};
    at = value + strlen(value) + 1;
  }
  return RS_OK;
}

static rs_status finish(rs_http_client *c, CURLcode code) {
  const char *url = NULL;
  curl_easy_getinfo(c->easy, CURLINFO_EFFECTIVE_URL, &url);
  curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &c->status);
  rs_status status = c->failure; /* its message is the last one */
  if (status == RS_OK && code != CURLE_OK)
    status = rs_fail(status_of(code), "%s: %s", url ? url : "", c->error[0] ? c->error : curl_easy_strerror(code));
  if (status == RS_OK) status = index_headers(c);
  if (status == RS_OK && c->download.stream && is_success(c)) status = rs_writer_commit(&c->download);
  rs_http_stop(c);
  return status;
}

static rs_status give_up(rs_http_client *c) {
  const char *url = NULL;
  curl_easy_getinfo(c->easy, CURLINFO_EFFECTIVE_URL, &url);
  rs_status status = rs_fail(RS_EIO, "%s: no answer for %.1f seconds", url ? url : "", (double)c->waited / 1000);
  rs_http_stop(c);
  return status;
}

rs_status rs_http_wait(rs_http_client *c, int timeout_ms, bool *done) {
  *done = true;
  if (!c->busy) return rs_fail(RS_EARG, "no request is under way");
  int running = 0, left = 0;
  note_time(c, PAUSE_MS);
  CURLMcode code = curl_multi_perform(c->multi, &running);
  if (code == CURLM_OK && running > 0) code = curl_multi_poll(c->multi, NULL, 0, timeout_ms, NULL);
  if (code == CURLM_OK && running > 0) code = curl_multi_perform(c->multi, &running);
  if (code != CURLM_OK) {
    rs_http_stop(c);
    return rs_fail(RS_EIO, "the request failed: %s", curl_multi_strerror(code));
  }
  for (CURLMsg *m; (m = curl_multi_info_read(c->multi, &left));)
    if (m->msg == CURLMSG_DONE) return finish(c, m->data.result);
  if (is_late(c)) return give_up(c);
  *done = false;
  return RS_OK;
}

int rs_http_status(const rs_http_client *c) { return (int)c->status; }

int rs_http_reply_headers(const rs_http_client *c, const rs_http_pair **headers) {
  *headers = c->headers;
  return c->n;
}

const char *rs_http_reply(const rs_http_client *c, size_t *size) {
  *size = c->body.size;
  return c->body.data ? c->body.data : "";
}
