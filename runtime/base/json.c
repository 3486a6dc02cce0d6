/* json.c - see json.h.
 *
 * jansson 2.14 does not survive memory that is refused while a token outgrows its buffer: behind a number or word it
 * fails an assertion, and a string it reads past its end. So
 * - the text is read behind a long string, ["xxx...", text], after which no number or word outgrows the buffer;
 * - once an allocation of a parse is refused, so are its others, which makes it give the string up. */
#include "base/json.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"

enum { PREFIX = RS_JSON_WORD + 2 }; /* as long as any word with its end, and the bracket */

static _Thread_local bool parsing, refused;

static void *allocate(size_t bytes) {
  if (parsing && refused) return NULL;
  void *block = rs_alloc(bytes);
  if (!block) refused = true;
  return block;
}

__attribute__((constructor)) static void use_counted_memory(void) { json_set_alloc_funcs(allocate, rs_free); }

static bool in_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' || c == '-' || c == '.';
}

/* The longest run of bytes outside strings that could be one number or word. */
static size_t longest_word(const char *text, size_t bytes) {
  size_t longest = 0, run = 0;
  bool inside = false;
  for (size_t i = 0; i < bytes; i++) {
    if (inside && text[i] == '\\') {
      i++;
      continue;
    }
    if (text[i] == '"') inside = !inside;
    run = !inside && in_word(text[i]) ? run + 1 : 0;
    if (run > longest) longest = run;
  }
  return longest;
}

/* The text in its frame, handed out piece by piece. */
typedef struct framed {
  const char *piece[3];
  size_t bytes[3];
  int at;
} framed;

static size_t next_bytes(void *buffer, size_t room, void *context) {
  framed *f = context;
  while (f->at < 3 && f->bytes[f->at] == 0) f->at++;
  if (f->at == 3) return 0;
  size_t n = f->bytes[f->at] < room ? f->bytes[f->at] : room;
  memcpy(buffer, f->piece[f->at], n);
  f->piece[f->at] += n;
  f->bytes[f->at] -= n;
  return n;
}

static rs_status not_json(const char *what, json_error_t *error) {
  for (char *p = error->text; *p; p++)
    if (*p < ' ' || *p > '~') *p = '?'; /* it quotes the bytes, which may be a terminal's commands */
  int column = error->line == 1 ? error->column - (PREFIX + 2) : error->column;
  return rs_fail(RS_EFORMAT, "%s: line %d, column %d: %s", what, error->line, column > 0 ? column : 0, error->text);
}

rs_status rs_json_parse(json_t **out, const char *text, size_t bytes, const char *what) {
  char prefix[PREFIX + 2] = "[\"";
  memset(prefix + 2, 'x', PREFIX - 2);
  memcpy(prefix + PREFIX, "\",", 2);
  *out = NULL;
  if (longest_word(text, bytes) > RS_JSON_WORD)
    return rs_fail(RS_EFORMAT, "%s: a word of more than %d letters or digits", what, RS_JSON_WORD);
  framed f = {{prefix, text, "]"}, {sizeof prefix, bytes, 1}, 0};
  json_error_t error = {.text = ""};
  parsing = true;
  refused = false;
  json_t *list = json_load_callback(next_bytes, &f, JSON_REJECT_DUPLICATES, &error);
  parsing = false;
  if (!list) return refused ? rs_nomem(what, bytes) : not_json(what, &error); /* jansson may blame the text */
  if (json_array_size(list) == 2) *out = json_incref(json_array_get(list, 1));
  json_decref(list);
  return *out ? RS_OK : rs_fail(RS_EFORMAT, "%s: there is more than one value", what);
}

rs_status rs_json_object(json_t **out, const char *text, size_t bytes, const char *what) {
  rs_status status = rs_json_parse(out, text, bytes, what);
  if (status != RS_OK || json_is_object(*out)) return status;
  json_decref(*out);
  *out = NULL;
  return rs_fail(RS_EFORMAT, "%s: the JSON is not an object", what);
}
