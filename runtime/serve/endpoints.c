/* endpoints.c - see endpoints.h. */
#include "serve/endpoints.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const rs_route *const rs_tables[] = {rs_routes_health, rs_routes_metrics, rs_routes_sagemaker, rs_routes_posts,
                                      rs_routes_page,   rs_routes_own,     NULL};

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

static void allow(char allowed[64], const char *method) {
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
      allow(allowed, route->method);
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

rs_status rs_append_quoted(rs_buffer *b, const char *text, size_t length) {
  static const char hex[] = "0123456789abcdef";
  rs_status status = rs_buffer_reserve(b, 6 * length + 2);
  if (status != RS_OK) return status;
  char *to = b->data + b->size;
  *to++ = '"';
  for (size_t i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c == '"' || c == '\\') *to++ = '\\';
    if (c >= ' ') {
      *to++ = (char)c;
    } else {
      memcpy(to, "\\u00", 4);
      to[4] = hex[c >> 4], to[5] = hex[c & 15];
      to += 6;
    }
  }
  *to++ = '"';
  b->size = (size_t)(to - b->data);
  return RS_OK;
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
  bool fine = rs_buffer_append_text(b, "{\"error\":{\"code\":") == RS_OK &&
              rs_append_quoted(b, code, strlen(code)) == RS_OK && rs_buffer_append_text(b, ",\"message\":") == RS_OK &&
              rs_append_quoted(b, message, strlen(message)) == RS_OK &&
              (!*path || rs_buffer_append_text(b, ",\"path\":") == RS_OK) &&
              (!*path || rs_append_quoted(b, path, strlen(path)) == RS_OK) && rs_buffer_append_text(b, "}}\n") == RS_OK;
  if (!fine) b->size = 0; /* there is no memory for an answer: the status alone says it */
}

void rs_reply_status(rs_reply *reply, rs_status status, const char *path) {
  bool asked = status == RS_EARG || status == RS_ERANGE;
  int code = asked ? 400 : status == RS_ENOMEM ? 503 : 500;
  rs_refuse(reply, code, asked ? "bad_request" : rs_status_word(status), path, "%s", rs_message());
}

void rs_reply_header(rs_reply *reply, const char *name, const char *value) {
  if (reply->n_headers < RS_REPLY_HEADERS) reply->headers[reply->n_headers++] = (rs_http_pair){name, value};
}
