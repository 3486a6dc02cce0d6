/* endpoints_page.c - the page at /, whose files are read once, at the start, and what it needs to know of the model. */
#include <string.h>

#include "base/alloc.h"
#include "serve/endpoints.h"
#include "serve/loaded.h"

enum { SHOWN_VALUES = 50 };

/* Nothing from elsewhere, nothing inline, in no frame. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'";

rs_status rs_server_page(rs_server *s, const char *path, const char *type, const char *bytes, size_t size) {
  if (s->n_pages == RS_PAGES) return rs_fail(RS_EARG, "more than %d files of the page", RS_PAGES);
  rs_page *page = &s->pages[s->n_pages];
  *page = (rs_page){rs_strdup(path), rs_strdup(type), rs_alloc(size), size};
  if (page->path && page->type && page->bytes) {
    memcpy(page->bytes, bytes, size);
    s->n_pages++;
    return RS_OK;
  }
  rs_page_free(page);
  return rs_nomem("page", size);
}

void rs_page_free(rs_page *page) {
  rs_free(page->path);
  rs_free(page->type);
  rs_free(page->bytes);
  *page = (rs_page){0};
}

static void get_file(rs_exchange *x) {
  const rs_page *page = NULL;
  for (int i = 0; i < x->server->n_pages; i++)
    if (strcmp(x->server->pages[i].path, x->call->target->path) == 0) page = &x->server->pages[i];
  if (!page) {
    rs_refuse(x->reply, 404, "not_found", "", "this server was started without its page");
    return;
  }
  x->reply->type = page->type;
  rs_reply_header(x->reply, "Content-Security-Policy", policy);
  rs_reply_header(x->reply, "X-Content-Type-Options", "nosniff");
  rs_reply_header(x->reply, "X-Frame-Options", "DENY");
  rs_reply_header(x->reply, "Referrer-Policy", "same-origin");
  rs_reply_header(x->reply, "Cross-Origin-Opener-Policy", "same-origin");
  rs_reply_header(x->reply, "Cache-Control", "no-cache");
  rs_status status = rs_buffer_append(x->reply->body, page->bytes, page->size);
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

/* ---- GET /schema ---- */

static rs_status write_field(rs_buffer *b, int64_t *n, const char *name, const char *type) {
  rs_status status = rs_buffer_append_text(b, (*n)++ ? ",{\"name\":" : "{\"name\":");
  if (status == RS_OK) status = rs_json_string(b, name, strlen(name));
  return status == RS_OK ? rs_buffer_printf(b, ",\"type\":\"%s\"", type) : status;
}

/* The columns that a side reads, without the keys, and of the event side those of the user. */
static rs_status write_side(rs_buffer *b, int64_t *n, const rs_server_model *m, rs_side side, const char *key) {
  const char *type, *name;
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && (name = rs_encoder_column(m->encoder, side, i, &type)); i++) {
    bool his = strncmp(name, "user.", 5) == 0;
    if (side == RS_EVENT ? !his : strcmp(name, key) == 0) continue;
    status = write_field(b, n, his ? name + 5 : name, type);
    if (status == RS_OK) status = rs_buffer_append_text(b, "}");
  }
  return status;
}

/* What filters may name, with the first values of strings. */
static rs_status write_attribute(rs_buffer *b, int64_t *n, const rs_column *c) {
  rs_status status = write_field(b, n, c->name, rs_column_type_name(c->type));
  if (status != RS_OK || !c->dictionary) return status == RS_OK ? rs_buffer_append_text(b, "}") : status;
  status = rs_buffer_append_text(b, ",\"values\":[");
  for (int32_t code = 1; status == RS_OK && code <= c->dictionary->n && code <= SHOWN_VALUES; code++) {
    size_t length = 0;
    const char *text = rs_dictionary_text(c->dictionary, code, &length);
    if (code > 1) status = rs_buffer_append_text(b, ",");
    if (status == RS_OK) status = rs_json_string(b, text, length);
  }
  return status == RS_OK ? rs_buffer_append_text(b, "]}") : status;
}

static rs_status write_schema(rs_buffer *b, const rs_server_model *m) {
  rs_server_facts facts = rs_server_model_facts(m);
  int64_t users = 0, items = 0, attributes = 0;
  rs_status status = rs_buffer_printf(b, "{\"users\":%lld,\"items\":%lld,\"as_of\":%lld,\"user_fields\":[",
                                      (long long)facts.users, (long long)facts.items, (long long)facts.as_of);
  if (status == RS_OK) status = write_side(b, &users, m, RS_USER, "user");
  if (status == RS_OK) status = write_side(b, &users, m, RS_EVENT, "user");
  if (status == RS_OK) status = rs_buffer_append_text(b, "],\"item_fields\":[");
  if (status == RS_OK) status = write_side(b, &items, m, RS_ITEM, "item");
  if (status == RS_OK) status = rs_buffer_append_text(b, "],\"attributes\":[");
  for (int i = 0; status == RS_OK && i < m->attributes.n_columns; i++)
    status = write_attribute(b, &attributes, &m->attributes.columns[i]);
  return status == RS_OK ? rs_buffer_append_text(b, "]}\n") : status;
}

static void get_schema(rs_exchange *x) {
  const rs_version *live = x->server->versions[RS_LIVE];
  if (!live) {
    rs_refuse(x->reply, 503, "no_model", "", "no model is loaded yet");
    return;
  }
  rs_status status = write_schema(x->reply->body, live->model);
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

const rs_route rs_routes_page[] = {{"page", "GET", "/", 0, get_file},
                                   {"page_serve_js", "GET", "/serve.js", 0, get_file},
                                   {"page_ask_js", "GET", "/ask.js", 0, get_file},
                                   {"page_made_js", "GET", "/made.js", 0, get_file},
                                   {"page_css", "GET", "/page.css", 0, get_file},
                                   {"page_serve_css", "GET", "/serve.css", 0, get_file},
                                   {"page_icon", "GET", "/icon.svg", 0, get_file},
                                   {"schema", "GET", "/schema", RS_SCOPE_USE, get_schema},
                                   {0}};
