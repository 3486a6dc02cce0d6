/* json_out.c - see json_out.h. Room for a part is made once, then bytes are laid down one after another. */
#include "serve/json_out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/shortest.h"
#include "serve/json_read.h"

/* ---- pieces, where there is room ---- */

static char *put(char *p, const char *text) {
  size_t n = strlen(text);
  return (char *)memcpy(p, text, n) + n;
}

static char *put_whole(char *p, int64_t number) {
  char digits[24];
  int n = 0;
  uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
  if (number < 0) *p++ = '-';
  do digits[n++] = (char)('0' + rest % 10);
  while ((rest /= 10) > 0);
  while (n > 0) *p++ = digits[--n];
  return p;
}

static char *put_number(char *p, float value) {
  return isfinite(value) ? p + rs_shortest_f32(p, value) : put(p, "null");
}

/* One character as an escape. */
static char *put_escaped(char *p, unsigned char c) {
  static const char named[] = "\b\t\n\f\r", letters[] = "btnfr";
  const char *found = c ? strchr(named, c) : NULL;
  *p++ = '\\';
  if (c == '"' || c == '\\')
    *p++ = (char)c;
  else if (found)
    *p++ = letters[found - named];
  else
    p += sprintf(p, "u%04x", c);
  return p;
}

static bool is_plain(unsigned char c) { return c >= 0x20 && c != '"' && c != '\\' && c != 0x7F; }

/* The bytes of a text that is UTF-8; at most 6 for each. */
static char *put_text(char *p, const char *text, size_t length) {
  size_t from = 0;
  for (size_t i = 0; i < length; i++) {
    if (is_plain((unsigned char)text[i])) continue;
    memcpy(p, text + from, i - from);
    p = put_escaped(p + (i - from), (unsigned char)text[i]);
    from = i + 1;
  }
  memcpy(p, text + from, length - from);
  return p + (length - from);
}

/* The longest that begins at 'text' and is UTF-8: of one character. */
static size_t one_character(const char *text, size_t left) {
  for (size_t n = 1; n <= 4 && n <= left; n++)
    if (rs_is_utf8(text, n)) return n;
  return 0;
}

/* Whether all of eight bytes are ASCII and stand for themselves. A byte that is none sets its highest bit in one of the
 * terms; it may disturb those above it, which then does not matter. */
static bool are_plain(const char *eight) {
  const uint64_t ones = 0x0101010101010101u, highest = 0x80 * ones;
  uint64_t x;
  memcpy(&x, eight, sizeof x);
  uint64_t quotes = (x ^ '"' * ones) - ones, slashes = (x ^ '\\' * ones) - ones;
  return ((x | (x + ones) | (x - 0x20 * ones) | quotes | slashes) & highest) == 0;
}

/* How many bytes of a text are so from the first on, or a few less: most texts are so wholly. */
static size_t count_plain(const char *text, size_t length) {
  size_t n = 0;
  while (n + 8 <= length && are_plain(text + n)) n += 8;
  return n + 8 > length && length >= 8 && are_plain(text + length - 8) ? length : n;
}

static char *put_string(char *p, const char *text, size_t length) {
  size_t plain = count_plain(text, length);
  *p++ = '"';
  memcpy(p, text, plain);
  p += plain, text += plain, length -= plain;
  if (rs_is_utf8(text, length)) {
    p = put_text(p, text, length);
  } else {
    for (size_t i = 0, n; i < length; i += n ? n : 1) {
      n = one_character(text + i, length - i);
      p = n ? put_text(p, text + i, n) : put(p, "\xEF\xBF\xBD");
    }
  }
  *p++ = '"';
  return p;
}

static size_t string_room(size_t length) { return 6 * length + 2; }

/* Room for 'bytes' more; NULL with *status when memory is refused. */
static char *room(rs_buffer *out, size_t bytes, rs_status *status) {
  *status = rs_buffer_reserve(out, bytes);
  return *status == RS_OK ? out->data + out->size : NULL;
}

static void filled(rs_buffer *out, const char *p) { out->size = (size_t)(p - out->data); }

rs_status rs_json_number(rs_buffer *out, float value) {
  rs_status status;
  char *p = room(out, RS_SHORTEST_MAX, &status);
  if (p) filled(out, put_number(p, value));
  return status;
}

rs_status rs_json_string(rs_buffer *out, const char *text, size_t length) {
  rs_status status;
  char *p = room(out, string_room(length), &status);
  if (p) filled(out, put_string(p, text, length));
  return status;
}

/* ---- items ---- */

static size_t segment_room(const rs_server_model *m, int64_t segment) {
  rs_span column = {0}, value = {0};
  if (segment >= 0) rs_server_model_segment(m, (int)segment, &column, &value);
  return string_room(column.length) + string_room(value.length);
}

static char *put_segment(char *p, const rs_server_model *m, int64_t segment) {
  rs_span column, value;
  if (segment < 0) return p;
  rs_server_model_segment(m, (int)segment, &column, &value);
  p = put_string(put(p, ",\"segment\":{"), column.text, column.length);
  *p++ = ':';
  p = put_string(p, value.text, value.length);
  *p++ = '}';
  return p;
}

static size_t reason_room(const rs_server_model *m, const rs_reason *reason) {
  size_t length = 0;
  if (reason->kind == RS_LIKE) rs_server_model_item(m, reason->row, &length);
  return 100 + string_room(length) + (reason->kind == RS_POPULAR ? segment_room(m, reason->row) : 0);
}

static char *put_reason(char *p, const rs_server_model *m, const rs_reason *reason) {
  size_t length;
  switch (reason->kind) {
    case RS_LIKE: {
      const char *id = rs_server_model_item(m, reason->row, &length);
      p = put_string(put(p, "{\"kind\":\"like\",\"item\":"), id, length);
      p = put_number(put(p, rs_server_model_facts(m).columns ? ",\"score\":" : ",\"cosine\":"), reason->value);
      break;
    }
    case RS_FRESH: p = put_number(put(p, "{\"kind\":\"fresh\",\"boost\":"), reason->value); break;
    case RS_POPULAR:
      p = put_whole(put(p, "{\"kind\":\"popular\",\"place\":"), (int64_t)reason->value);
      p = put_segment(p, m, reason->row);
      break;
  }
  *p++ = '}';
  return p;
}

static rs_status append_item(rs_buffer *out, const rs_server_model *m, const rs_found *item, int64_t rank) {
  size_t id_length, title_length;
  const char *id = rs_server_model_item(m, item->row, &id_length);
  const char *title = rs_server_model_title(m, item->row, &title_length);
  size_t bytes = 150 + string_room(id_length) + string_room(title_length);
  for (int i = 0; i < item->n_reasons; i++) bytes += reason_room(m, &item->reasons[i]);
  rs_status status;
  char *p = room(out, bytes, &status);
  if (!p) return status;
  p = put_string(put(p, rank > 1 ? ",{\"id\":" : "{\"id\":"), id, id_length);
  if (title_length > 0) p = put_string(put(p, ",\"title\":"), title, title_length);
  p = put_number(put(p, ",\"score\":"), item->score);
  p = put_whole(put(p, ",\"rank\":"), rank);
  p = put(p, item->source == RS_BY_MODEL ? ",\"source\":\"model\",\"reasons\":[" : ",\"source\":\"popular\",\"reasons\":[");
  for (int i = 0; i < item->n_reasons; i++) {
    if (i > 0) *p++ = ',';
    p = put_reason(p, m, &item->reasons[i]);
  }
  filled(out, put(p, "]}"));
  return RS_OK;
}

/* ---- answers ---- */

static char *put_user(char *p, const rs_request *request) {
  p = put(p, "{\"user\":");
  return request->user.text ? put_string(p, request->user.text, request->user.length) : put(p, "null");
}

static char *put_word(char *p, const char *key, const char *word) {
  p = put(p, key);
  if (!word) return put(p, "null");
  *p++ = '"';
  p = put(p, word);
  *p++ = '"';
  return p;
}

rs_status rs_json_envelope(rs_buffer *out, const rs_envelope *e) {
  if (!e) return RS_OK;
  size_t version = e->model_version ? strlen(e->model_version) : 0, id = e->request_id ? strlen(e->request_id) : 0;
  rs_status status;
  char *p = room(out, 120 + string_room(version) + string_room(id), &status);
  if (!p) return status;
  if (e->model_version) p = put_string(put(p, ",\"model_version\":"), e->model_version, version);
  if (e->request_id) p = put_string(put(p, ",\"request_id\":"), e->request_id, id);
  if (e->latency_us >= 0) { /* of whole microseconds: 1.234 ms */
    int64_t rest = e->latency_us % 1000;
    p = put_whole(put(p, ",\"latency_ms\":"), e->latency_us / 1000);
    *p++ = '.';
    *p++ = (char)('0' + rest / 100), *p++ = (char)('0' + rest / 10 % 10), *p++ = (char)('0' + rest % 10);
  }
  filled(out, p);
  return RS_OK;
}

/* ,"ignored":["platfrom"], where there are any. */
static rs_status append_ignored(rs_buffer *out, const rs_buffer *names) {
  rs_status status = names->size > 0 ? rs_buffer_append_text(out, ",\"ignored\":[") : RS_OK;
  for (size_t at = 0; status == RS_OK && at < names->size; at += strlen(names->data + at) + 1) {
    if (at > 0) status = rs_buffer_append(out, ",", 1);
    if (status == RS_OK) status = rs_json_string(out, names->data + at, strlen(names->data + at));
  }
  return status == RS_OK && names->size > 0 ? rs_buffer_append(out, "]", 1) : status;
}

static rs_status append_tail(rs_buffer *out, const rs_answer *answer) {
  rs_status status;
  char *p = room(out, 300, &status);
  if (!p) return status;
  p = put_whole(put(p, "],\"filtered\":{\"seen\":"), answer->seen);
  p = put_whole(put(p, ",\"rule\":"), answer->rule);
  p = put_word(p, "},\"fallback\":", rs_fallback_word(answer->fallback));
  p = put_word(p, ",\"missing\":", rs_missing_word(answer->missing));
  p = put_whole(put(p, ",\"foreign\":"), answer->foreign);
  p = put_whole(put(p, ",\"unknown\":"), answer->unknown);
  filled(out, p);
  return append_ignored(out, &answer->ignored);
}

rs_status rs_json_answer(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                         const rs_envelope *envelope) {
  rs_status status;
  char *p = room(out, 100 + string_room(request->user.length), &status);
  if (!p) return status;
  p = put(put_user(p, request), answer->known ? ",\"known\":true,\"now\":" : ",\"known\":false,\"now\":");
  filled(out, put(put_whole(p, answer->now), ",\"items\":["));
  for (int64_t i = 0; status == RS_OK && i < answer->n; i++) status = append_item(out, m, &answer->items[i], i + 1);
  if (status == RS_OK) status = append_tail(out, answer);
  if (status == RS_OK) status = rs_json_envelope(out, envelope);
  return status == RS_OK ? rs_buffer_append(out, "}", 1) : status;
}

rs_status rs_json_refusal(rs_buffer *out, const rs_request *request, rs_status why, const char *message) {
  size_t length = strlen(message);
  rs_status status;
  char *p = room(out, 100 + string_room(request->user.length) + string_room(length), &status);
  if (!p) return status;
  p = put_word(put_user(p, request), ",\"error\":{\"code\":", rs_status_word(why));
  p = put_string(put(p, ",\"message\":"), message, length);
  filled(out, put(p, "}}"));
  return RS_OK;
}

/* ---- the other calls ---- */

/* {"user": ..., "known": ..., "now": ..., "foreign": ... */
static rs_status append_asker(rs_buffer *out, const rs_request *request, const rs_answer *answer) {
  rs_status status;
  char *p = room(out, 150 + string_room(request->user.length), &status);
  if (!p) return status;
  p = put(put_user(p, request), answer->known ? ",\"known\":true,\"now\":" : ",\"known\":false,\"now\":");
  filled(out, put_whole(put(put_whole(p, answer->now), ",\"foreign\":"), answer->foreign));
  return append_ignored(out, &answer->ignored);
}

/* ,{"id": "i1" and what is wrong with it, if anything; row -1: there is no such item. */
static rs_status append_id(rs_buffer *out, rs_span id, bool first, int64_t row) {
  rs_status status;
  char *p = room(out, 100 + string_room(id.length), &status);
  if (!p) return status;
  p = put_string(put(p, first ? "{\"id\":" : ",{\"id\":"), id.text, id.length);
  filled(out, row < 0 ? put(p, ",\"error\":\"there is no such item in the catalogue\"") : p);
  return RS_OK;
}

static rs_status append_vector(rs_buffer *out, const float *vector, int64_t n) {
  rs_status status;
  char *p = room(out, (size_t)n * (RS_SHORTEST_MAX + 1) + 2, &status);
  if (!p) return status;
  *p++ = '[';
  for (int64_t i = 0; i < n; i++) {
    if (i > 0) *p++ = ',';
    p = put_number(p, vector[i]);
  }
  *p++ = ']';
  filled(out, p);
  return RS_OK;
}

static rs_status finish(rs_buffer *out, const rs_envelope *envelope) {
  rs_status status = rs_json_envelope(out, envelope);
  return status == RS_OK ? rs_buffer_append(out, "}", 1) : status;
}

static rs_status append_alike(rs_buffer *out, const rs_server_model *m, const rs_found *item, int64_t rank) {
  size_t id_length, title_length;
  const char *id = rs_server_model_item(m, item->row, &id_length);
  const char *title = rs_server_model_title(m, item->row, &title_length);
  rs_status status;
  char *p = room(out, 100 + string_room(id_length) + string_room(title_length), &status);
  if (!p) return status;
  p = put_string(put(p, rank > 1 ? ",{\"id\":" : "{\"id\":"), id, id_length);
  if (title_length > 0) p = put_string(put(p, ",\"title\":"), title, title_length);
  p = put_whole(put(put_number(put(p, ",\"score\":"), item->score), ",\"rank\":"), rank);
  filled(out, put(p, "}"));
  return RS_OK;
}

rs_status rs_json_similar(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                          const rs_envelope *envelope) {
  rs_status status;
  rs_span id = request->items[0];
  char *p = room(out, 100 + string_room(id.length), &status);
  if (!p) return status;
  p = put_whole(put(put_string(put(p, "{\"item\":"), id.text, id.length), ",\"now\":"), answer->now);
  filled(out, put(p, ",\"items\":["));
  for (int64_t i = 0; status == RS_OK && i < answer->n; i++) status = append_alike(out, m, &answer->items[i], i + 1);
  p = status == RS_OK ? room(out, 200, &status) : NULL;
  if (!p) return status;
  p = put_word(put_whole(put(p, "],\"filtered\":{\"rule\":"), answer->rule), "},\"missing\":",
               rs_missing_word(answer->missing));
  filled(out, put_whole(put(p, ",\"unknown\":"), answer->unknown));
  return finish(out, envelope);
}

rs_status rs_json_scores(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                         const rs_envelope *envelope) {
  (void)m;
  rs_status status = append_asker(out, request, answer);
  if (status == RS_OK) status = rs_buffer_append_text(out, ",\"items\":[");
  for (int64_t i = 0; status == RS_OK && i < answer->n; i++) {
    bool known = answer->items[i].row >= 0;
    status = append_id(out, request->items[i], i == 0, answer->items[i].row);
    if (status == RS_OK && known) status = rs_buffer_append_text(out, ",\"score\":");
    if (status == RS_OK && known) status = rs_json_number(out, answer->items[i].score);
    if (status == RS_OK) status = rs_buffer_append(out, "}", 1);
  }
  if (status == RS_OK) status = rs_buffer_append(out, "]", 1);
  return status == RS_OK ? finish(out, envelope) : status;
}

rs_status rs_json_user(rs_buffer *out, const rs_server_model *m, const rs_request *request, const rs_answer *answer,
                       const rs_tensor *vectors, const rs_envelope *envelope) {
  int64_t width = rs_server_model_facts(m).width, n = rs_tensor_count(vectors) / width;
  rs_status status = append_asker(out, request, answer);
  if (status == RS_OK) status = rs_buffer_append_text(out, ",\"vectors\":[");
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    if (i > 0) status = rs_buffer_append(out, ",", 1);
    if (status == RS_OK) status = append_vector(out, rs_f32(vectors) + i * width, width);
  }
  if (status == RS_OK) status = rs_buffer_append(out, "]", 1);
  return status == RS_OK ? finish(out, envelope) : status;
}

rs_status rs_json_items(rs_buffer *out, const rs_server_model *m, const rs_request *request,
                        const rs_envelope *envelope) {
  int64_t width = rs_server_model_facts(m).width;
  rs_status status = rs_buffer_append_text(out, "{\"items\":[");
  for (int64_t i = 0; status == RS_OK && i < request->n_items; i++) {
    int64_t row = rs_server_model_row(m, request->items[i]);
    status = append_id(out, request->items[i], i == 0, row);
    if (status == RS_OK && row >= 0) status = rs_buffer_append_text(out, ",\"vector\":");
    if (status == RS_OK && row >= 0) status = append_vector(out, rs_server_model_vector(m, row), width);
    if (status == RS_OK) status = rs_buffer_append(out, "}", 1);
  }
  if (status == RS_OK) status = rs_buffer_append(out, "]", 1);
  return status == RS_OK ? finish(out, envelope) : status;
}

/* ---- replies ---- */

/* What a thread replies with. */
typedef struct replying {
  rs_buffer *out;
  rs_question question;
  const rs_server_model *model;
  rs_serve_scratch *scratch;
  rs_answer *answer;
} replying;

static rs_status embed(const replying *x, const rs_request *request, const rs_envelope *envelope) {
  rs_tensor vectors = {0};
  if (request->items && rs_server_model_facts(x->model).columns)
    return rs_fail(RS_EARG, "items of this model have no vectors: it gives users a score for each item");
  if (request->items) return rs_json_items(x->out, x->model, request, envelope);
  rs_status status = rs_embed_user(x->model, x->scratch, request, x->answer, &vectors);
  if (status == RS_OK) status = rs_json_user(x->out, x->model, request, x->answer, &vectors, envelope);
  rs_tensor_free(&vectors);
  return status;
}

static rs_status reply_one(const replying *x, const rs_request *request, const rs_envelope *envelope) {
  static rs_status (*const ask[])(const rs_server_model *, rs_serve_scratch *, const rs_request *,
                                  rs_answer *) = {rs_recommend, rs_similar, rs_score};
  static rs_status (*const write[])(rs_buffer *, const rs_server_model *, const rs_request *, const rs_answer *,
                                    const rs_envelope *) = {rs_json_answer, rs_json_similar, rs_json_scores};
  if (x->question == RS_EMBED) return embed(x, request, envelope);
  rs_status status = ask[x->question](x->model, x->scratch, request, x->answer);
  return status == RS_OK ? write[x->question](x->out, x->model, request, x->answer, envelope) : status;
}

static rs_status refuse_one(const replying *x, const rs_request *request, rs_status why, const char *message) {
  char copy[1024];
  snprintf(copy, sizeof copy, "%s", message);
  if (x->question != RS_SIMILAR) return rs_json_refusal(x->out, request, why, copy);
  rs_status status = rs_buffer_append_text(x->out, "{\"item\":");
  if (status == RS_OK) status = rs_json_string(x->out, request->items[0].text, request->items[0].length);
  if (status == RS_OK) status = rs_buffer_printf(x->out, ",\"error\":{\"code\":\"%s\",\"message\":", rs_status_word(why));
  if (status == RS_OK) status = rs_json_string(x->out, copy, strlen(copy));
  return status == RS_OK ? rs_buffer_append_text(x->out, "}}") : status;
}

/* One of several. */
static rs_status append_one(const replying *x, const rs_asked *asked, int64_t i) {
  const rs_request *request = &asked->requests[i];
  size_t before = x->out->size;
  if (asked->wrong[i]) return refuse_one(x, request, RS_EARG, asked->wrong[i]);
  rs_status status = reply_one(x, request, NULL);
  if (status == RS_OK || status == RS_ENOMEM) return status;
  x->out->size = before;
  return refuse_one(x, request, rs_json_whose(asked, i, status), rs_message());
}

static rs_status append_all(const replying *x, const rs_asked *asked, const rs_envelope *envelope) {
  rs_status status = rs_buffer_append_text(x->out, "{\"answers\":[");
  for (int64_t i = 0; status == RS_OK && i < asked->n; i++) {
    if (i > 0) status = rs_buffer_append(x->out, ",", 1);
    if (status == RS_OK) status = append_one(x, asked, i);
  }
  if (status == RS_OK) status = rs_buffer_append(x->out, "]", 1);
  return status == RS_OK ? finish(x->out, envelope) : status;
}

rs_status rs_json_reply(rs_buffer *out, rs_question question, const rs_server_model *m, rs_serve_scratch *scratch,
                        rs_answer *answer, const rs_asked *asked, const rs_envelope *envelope) {
  replying x = {out, question, m, scratch, answer};
  size_t before = out->size;
  rs_status status = asked->several ? append_all(&x, asked, envelope) : reply_one(&x, &asked->requests[0], envelope);
  if (status != RS_OK) out->size = before;
  return status;
}

rs_status rs_json_recommend(rs_buffer *out, const rs_server_model *m, rs_serve_scratch *scratch, rs_answer *answer,
                            const rs_asked *asked, const rs_envelope *envelope) {
  return rs_json_reply(out, RS_RECOMMEND, m, scratch, answer, asked, envelope);
}
