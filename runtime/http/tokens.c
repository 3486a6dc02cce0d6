/* tokens.c - see tokens.h. */
#include "http/tokens.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "http/call.h"
#include "http/head.h"

enum { DIGEST = 32, NAME = 64, MOST = 1000, FILE_LIMIT = 1 << 20 };

typedef struct token {
  char name[NAME + 1];
  unsigned scopes;
  unsigned char digest[DIGEST];
} token;

struct rs_tokens {
  int n;
  token of[];
};

static bool hash(unsigned char *digest, const char *text, size_t n) {
  unsigned size = DIGEST;
  return EVP_Digest(text, n, digest, &size, EVP_sha256(), NULL) == 1;
}

static int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 32);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_digest(unsigned char *digest, const char *text, size_t n) {
  if (n != 2 * DIGEST) return false;
  for (int i = 0; i < DIGEST; i++) {
    int high = hex(text[2 * i]), low = hex(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    digest[i] = (unsigned char)(high * 16 + low);
  }
  return true;
}

static const struct {
  const char *word;
  unsigned needed, given; /* an admin may do all */
} words[] = {{"use", RS_SCOPE_USE, RS_SCOPE_USE},
             {"write", RS_SCOPE_WRITE, RS_SCOPE_WRITE},
             {"metrics", RS_SCOPE_METRICS, RS_SCOPE_METRICS},
             {"admin", RS_SCOPE_ADMIN, RS_SCOPE_ALL},
             {"all", RS_SCOPE_ALL, RS_SCOPE_ALL}};
enum { WORDS = sizeof words / sizeof *words };

const char *rs_scope_word(unsigned scope) {
  int i = 0;
  while (i < WORDS - 1 && words[i].needed != scope) i++;
  return words[i].word;
}

static unsigned read_scope(const char *text, size_t n) {
  for (int i = 0; i < WORDS; i++)
    if (n == strlen(words[i].word) && !memcmp(text, words[i].word, n)) return words[i].given;
  return 0;
}

/* 0: one of the words is no scope. */
static unsigned read_scopes(const char *text, size_t n) {
  unsigned all = 0;
  for (const char *end = text + n;;) {
    const char *comma = memchr(text, ',', (size_t)(end - text));
    unsigned scope = read_scope(text, (size_t)((comma ? comma : end) - text));
    if (!scope) return 0;
    all |= scope;
    if (!comma) return all;
    text = comma + 1;
  }
}

static bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/* The next word of a line: its begin, and in *n its length; *at is moved behind it. */
static const char *word(const char **at, const char *end, size_t *n) {
  while (*at < end && is_blank(**at)) (*at)++;
  const char *begin = *at;
  while (*at < end && !is_blank(**at)) (*at)++;
  *n = (size_t)(*at - begin);
  return begin;
}

/* What is wrong with a line; NULL: nothing. */
static const char *read_line(token *t, const char *at, const char *end) {
  size_t name_size, scopes_size, size, rest;
  const char *name = word(&at, end, &name_size), *scopes = word(&at, end, &scopes_size), *text = word(&at, end, &size);
  word(&at, end, &rest);
  if (size == 0 || rest > 0) return "is not NAME SCOPES TOKEN";
  if (!rs_is_plain(name, name_size, NAME)) return "has a name that is not 1..64 letters, digits and -_.:/+=";
  memcpy(t->name, name, name_size);
  t->scopes = read_scopes(scopes, scopes_size);
  if (!t->scopes) return "has scopes other than use, write, metrics, admin or all, parted by commas";
  if (size > 7 && !memcmp(text, "sha256:", 7))
    return read_digest(t->digest, text + 7, size - 7) ? NULL : "has no SHA-256 of 64 hexadecimal digits";
  if (size < RS_TOKEN_LEAST) return "has a token of fewer than 16 letters";
  for (size_t i = 0; i < size; i++)
    if (text[i] <= ' ' || text[i] >= 0x7f) return "has a token with bytes that no header can have";
  return hash(t->digest, text, size) ? NULL : "cannot be hashed";
}

static rs_status check_others(const rs_tokens *t, const char *what, int line) {
  const token *last = &t->of[t->n];
  for (const token *other = t->of; other < last; other++) {
    if (!strcmp(other->name, last->name)) return rs_fail(RS_EFORMAT, "%s: line %d has the name of another", what, line);
    if (!memcmp(other->digest, last->digest, DIGEST))
      return rs_fail(RS_EFORMAT, "%s: line %d has the token of another", what, line);
  }
  return RS_OK;
}

static rs_status read_lines(rs_tokens *t, const char *text, size_t size, const char *what) {
  int line = 1;
  for (const char *at = text, *end = text + size, *stop; at < end; at = stop + 1, line++) {
    for (stop = at; stop < end && *stop != '\n' && *stop != ';';) stop++;
    while (at < stop && is_blank(*at)) at++;
    if (at == stop || *at == '#') continue;
    if (t->n == MOST) return rs_fail(RS_EFORMAT, "%s: more than %d tokens", what, MOST);
    const char *wrong = read_line(&t->of[t->n], at, stop);
    if (wrong) return rs_fail(RS_EFORMAT, "%s: line %d %s", what, line, wrong);
    rs_status status = check_others(t, what, line);
    if (status != RS_OK) return status;
    t->n++;
  }
  return t->n > 0 ? RS_OK : rs_fail(RS_EFORMAT, "%s: no token in it; a line is NAME SCOPES TOKEN", what);
}

rs_status rs_tokens_parse(rs_tokens **out, const char *text, size_t size, const char *what) {
  int most = 1;
  for (size_t i = 0; i < size; i++) most += text[i] == '\n' || text[i] == ';';
  if (most > MOST) most = MOST;
  rs_tokens *t = rs_alloc_zero(sizeof *t + sizeof *t->of * (size_t)most);
  if (!t) return rs_nomem("tokens", sizeof *t->of * (size_t)most);
  rs_status status = read_lines(t, text, size, what);
  if (status == RS_OK)
    *out = t;
  else
    rs_tokens_free(t);
  return status;
}

rs_status rs_tokens_read(rs_tokens **out, const char *path) {
  struct stat about;
  if (stat(path, &about) != 0) return rs_fail(RS_EIO, "%s: %s", path, strerror(errno));
  if (about.st_mode & (S_IWGRP | S_IWOTH))
    return rs_fail(RS_EIO, "%s: others than its owner may write to this file of tokens; chmod go-w it", path);
  rs_buffer text = {0};
  rs_status status = rs_file_read(&text, path, FILE_LIMIT);
  if (status == RS_OK) status = rs_tokens_parse(out, text.data ? text.data : "", text.size, path);
  if (text.data) OPENSSL_cleanse(text.data, text.size);
  rs_buffer_free(&text);
  return status;
}

void rs_tokens_free(rs_tokens *t) { rs_free(t); }

int rs_tokens_find(const rs_tokens *t, const char *authorization) {
  unsigned char shown[DIGEST];
  if (strncasecmp(authorization, "Bearer ", 7)) return -1;
  const char *text = authorization + 7;
  while (*text == ' ') text++;
  if (!hash(shown, text, strlen(text))) return -1;
  int found = -1;
  for (int i = 0; i < t->n; i++) { /* all of them, without a branch */
    int same = CRYPTO_memcmp(shown, t->of[i].digest, DIGEST) == 0;
    found = (found & (same - 1)) | (i & -same);
  }
  return found;
}

const char *rs_tokens_name(const rs_tokens *t, int at) { return t->of[at].name; }

unsigned rs_tokens_scopes(const rs_tokens *t, int at) { return t->of[at].scopes; }
