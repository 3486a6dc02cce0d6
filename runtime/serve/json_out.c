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

static char *put_string(char *p, const char *text, size_t length) {
  *p++ = '"';
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
      p = put_number(put(p, ",\"cosine\":"), reason->value);
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
  return RS_OK;
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

/* One of several. */
static rs_status append_one(rs_buffer *out, const rs_server_model *m, rs_serve_scratch *scratch, rs_answer *answer,
                            const rs_request *request, const char *wrong) {
  if (wrong) return rs_json_refusal(out, request, RS_EARG, wrong);
  char message[1024];
  rs_status status = rs_recommend(m, scratch, request, answer);
  if (status == RS_OK) return rs_json_answer(out, m, request, answer, NULL);
  if (status == RS_ENOMEM) return status;
  snprintf(message, sizeof message, "%s", rs_message());
  return rs_json_refusal(out, request, status, message);
}

rs_status rs_json_recommend(rs_buffer *out, const rs_server_model *m, rs_serve_scratch *scratch, rs_answer *answer,
                            const rs_asked *asked, const rs_envelope *envelope) {
  size_t before = out->size;
  rs_status status = RS_OK;
  if (!asked->several) {
    status = rs_recommend(m, scratch, &asked->requests[0], answer);
    if (status == RS_OK) status = rs_json_answer(out, m, &asked->requests[0], answer, envelope);
  } else {
    status = rs_buffer_append_text(out, "{\"answers\":[");
    for (int64_t i = 0; status == RS_OK && i < asked->n; i++) {
      if (i > 0) status = rs_buffer_append(out, ",", 1);
      if (status == RS_OK) status = append_one(out, m, scratch, answer, &asked->requests[i], asked->wrong[i]);
    }
    if (status == RS_OK) status = rs_buffer_append(out, "]", 1);
    if (status == RS_OK) status = rs_json_envelope(out, envelope);
    if (status == RS_OK) status = rs_buffer_append(out, "}", 1);
  }
  if (status != RS_OK) out->size = before;
  return status;
}
