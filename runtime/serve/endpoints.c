/* endpoints.c - see endpoints.h. */
#include "serve/endpoints.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "serve/media.h"

const rs_route *const rs_tables[] = {rs_routes_health,    rs_routes_metrics, rs_routes_recommend, rs_routes_invocations,
                                     rs_routes_sagemaker, rs_routes_posts,   rs_routes_users,     rs_routes_page,
                                     rs_routes_own,       NULL};

bool rs_path_fits(const char *pattern, const char *path, rs_path_part *parts) {
  while (*pattern && *path) {
    if (*pattern == '{') {
      size_t length = strcspn(path, "/");
      if (length == 0) return false;
      *parts++ = (rs_path_part){path, length};
      path += length;
      pattern += strcspn(pattern, "}") + 1;
    } else if (*pattern++ != *path++) {
      return false;
    }
  }
  return !*pattern && !*path;
}

void rs_route_allow(char allowed[64], const char *method) {
  if (strstr(allowed, method)) return;
  size_t used = strlen(allowed);
  snprintf(allowed + used, 64 - used, "%s%s%s", used ? ", " : "", method, strcmp(method, "GET") ? "" : ", HEAD");
}

const rs_route *rs_route_find(const char *method, const char *path, rs_path_part parts[RS_PATH_PARTS],
                              char allowed[64]) {
  allowed[0] = 0;
  for (const rs_route *const *table = rs_tables; *table; table++)
    for (const rs_route *route = *table; route->name; route++) {
      if (!rs_path_fits(route->path, path, parts)) continue;
      if (!strcmp(route->method, method)) return route;
      rs_route_allow(allowed, route->method);
    }
  return NULL;
}

int rs_route_number(const rs_route *route) {
  int before = 0;
  for (const rs_route *const *table = rs_tables; route && *table; table++) {
    const rs_route *r = *table;
    for (; r->name; r++, before++)
      if (r == route) return before;
  }
  return RS_ROUTES_LIMIT;
}

const rs_route *rs_route_at(int number) {
  for (const rs_route *const *table = rs_tables; *table; table++)
    for (const rs_route *route = *table; route->name; route++)
      if (number-- == 0) return route;
  return NULL;
}

rs_status rs_append_error(rs_buffer *b, const char *code, const char *message, const char *path) {
  rs_status status = rs_buffer_printf(b, "{\"code\":\"%s\",\"message\":", code);
  if (status == RS_OK) status = rs_json_string(b, message, strlen(message));
  if (status == RS_OK && *path) status = rs_buffer_append_text(b, ",\"path\":");
  if (status == RS_OK && *path) status = rs_json_string(b, path, strlen(path));
  return status == RS_OK ? rs_buffer_append_text(b, "}") : status;
}

void rs_refuse(rs_reply *reply, int status, const char *code, const char *path, const char *format, ...) {
  char message[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  rs_buffer *b = reply->body;
  b->size = 0;
  reply->status = status;
  reply->type = "application/json";
  bool fine = rs_buffer_append_text(b, "{\"error\":") == RS_OK &&
              rs_append_error(b, code, message, path) == RS_OK && rs_buffer_append_text(b, "}\n") == RS_OK;
  if (!fine) b->size = 0; /* there is no memory for an answer: the status alone says it */
}

/* The bytes of a message that are a place in a body, as in "users[2].k: ..."; 0: it begins otherwise. */
static size_t place_in(const char *message) {
  size_t n = 0;
  for (char c; (c = message[n]) && c != ':'; n++)
    if (!(isalnum((unsigned char)c) || strchr("_.[]-", c))) return 0;
  return message[n] == ':' && message[n + 1] == ' ' ? n : 0;
}

rs_refusal rs_refusal_of(rs_status status) {
  rs_refusal r = {.status = 500, .code = rs_status_word(status), .message = rs_message()};
  bool asked = status == RS_EARG || status == RS_ERANGE || status == RS_EFORMAT;
  if (status == RS_ENOMEM) r.status = 503;
  if (!asked) return r;
  r.status = 400;
  r.code = status == RS_EFORMAT ? "bad_json" : "bad_request";
  size_t place = place_in(r.message);
  if (place > 0 && place < sizeof r.path) memcpy(r.path, r.message, place);
  return r;
}

void rs_refuse_status(rs_reply *reply, rs_status status) {
  rs_refusal r = rs_refusal_of(status);
  rs_refuse(reply, r.status, r.code, r.path, "%s", r.message);
}

bool rs_has_model(rs_exchange *x) {
  if (!x->versions[RS_LIVE]) rs_refuse(x->reply, 503, "no_model", "", "this server has no model that is live");
  return x->versions[RS_LIVE];
}

bool rs_has_json(rs_exchange *x) {
  bool header, json = rs_media_of(rs_call_header(x->call, "content-type"), &header) == RS_MEDIA_JSON;
  if (!json) rs_refuse(x->reply, 415, "unsupported_media_type", "", "the body must be application/json");
  return json;
}

void rs_reply_header(rs_reply *reply, const char *name, const char *value) {
  if (reply->n_headers < RS_REPLY_HEADERS) reply->headers[reply->n_headers++] = (rs_http_pair){name, value};
}
