/* request.c - a service's requests, by libmicrohttpd's calls: one at the first line, one at the end of the head, one
 * for each piece of a body, one when all is there, one when the reply is sent or the connection lost.
 *
 * A refusal in the call at the end of the head makes libmicrohttpd close the connection behind it. The handler's reply
 * lies in a buffer that is the connection's until it is sent: one that has gone out by the time the handler is called
 * next, as nearly all have, is the one that it writes into again. */
#include <stdio.h>
#include <string.h>

#include "http/service_parts.h"

/* Replies. */

static rs_sending *take_sending(rs_worker *w) {
  rs_sending *s = w->free_sendings;
  if (!s) {
    s = rs_alloc_zero(sizeof *s);
    if (s) s->of = w;
    return s;
  }
  w->free_sendings = s->next;
  s->bytes.size = 0;
  return s;
}

/* libmicrohttpd has no more use for the bytes. */
static void give_back(void *sending) {
  rs_sending *s = sending;
  s->of->held -= s->held;
  s->held = 0;
  if (s->bytes.capacity > RS_KEPT) rs_buffer_free(&s->bytes);
  s->next = s->of->free_sendings;
  s->of->free_sendings = s;
}

/* A large reply for which there is no room beside those that are not taken yet becomes a refusal; small ones have room,
 * so that clients that take nothing keep none of the others from their answers. */
static void hold(rs_worker *w, rs_reply *reply, rs_sending *s) {
  size_t size = s->bytes.capacity;
  if (size > RS_SMALL && w->held > 0 && w->held + size > RS_HELD) {
    rs_buffer_free(&s->bytes);
    reply->n_headers = 0;
    reply->headers[reply->n_headers++] = (rs_http_pair){"Retry-After", "1"};
    rs_reply_error(reply, 503, "full", "too many large answers are not taken yet");
    rs_tally_add(&w->tally.refused[RS_REFUSED_FULL], 1);
    size = s->bytes.capacity;
  }
  s->held = size;
  w->held += size;
}

static void header(struct MHD_Response *response, const char *name, const char *value) {
  MHD_add_response_header(response, name, value);
}

/* Send a reply, whose bytes are this call's from here on. */
static enum MHD_Result send_reply(rs_link *l, struct MHD_Connection *connection, const rs_reply *reply, rs_sending *s) {
  struct MHD_Response *response =
      MHD_create_response_from_buffer_with_free_callback_cls(s->bytes.size, s->bytes.data, give_back, s);
  if (!response) {
    give_back(s);
    return MHD_NO;
  }
  if (s->bytes.size > 0) header(response, "Content-Type", reply->type);
  for (int i = 0; i < reply->n_headers; i++) header(response, reply->headers[i].name, reply->headers[i].value);
  header(response, "X-Request-Id", l->id);
  if (l->last || atomic_load_explicit(&l->of->service->phase, memory_order_relaxed) != RS_SERVING)
    header(response, "Connection", "close");
  l->stage = RS_REPLYING;
  l->since = rs_service_now();
  l->looked = 0;
  l->reply_size = s->bytes.size;
  l->status = reply->status;
  rs_tally_add(&l->of->tally.reply_bytes, (int64_t)s->bytes.size);
  enum MHD_Result result = MHD_queue_response(connection, (unsigned)reply->status, response);
  MHD_destroy_response(response);
  return result;
}

static rs_refused reason_of(int status) {
  if (status == 401 || status == 403) return RS_REFUSED_ACCESS;
  if (status == 429) return RS_REFUSED_RATE;
  return status == 413 || status == 414 || status == 431 ? RS_REFUSED_LARGE : RS_REFUSED_FORMAT;
}

static enum MHD_Result refuse(rs_link *l, struct MHD_Connection *connection, const rs_fault *fault) {
  rs_tally_add(&l->of->tally.refused[reason_of(fault->status)], 1);
  rs_sending *s = take_sending(l->of);
  if (!s) return MHD_NO;
  rs_reply reply = {.body = &s->bytes};
  if (fault->status == 401) reply.headers[reply.n_headers++] = (rs_http_pair){"WWW-Authenticate", "Bearer"};
  if (fault->status == 429) reply.headers[reply.n_headers++] = (rs_http_pair){"Retry-After", l->retry};
  rs_reply_error(&reply, fault->status, fault->code, fault->message);
  return send_reply(l, connection, &reply, s);
}

/* The same before the body is there: the connection ends with it. */
static enum MHD_Result refuse_early(rs_link *l, struct MHD_Connection *connection, const rs_fault *fault) {
  l->last = l->lingers = true;
  return refuse(l, connection, fault);
}

/* The head. */

static uint64_t mixed(uint64_t x) { /* SplitMix64's finaliser, a bijection */
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* A number of its own for each request of the service, in hexadecimal: its order says nothing. */
static void make_id(rs_link *l) {
  rs_worker *w = l->of;
  uint64_t number = w->ids++ * (uint64_t)w->service->n + (uint64_t)w->index;
  uint64_t n = mixed(w->service->seed + number * 0x9e3779b97f4a7c15u);
  for (int i = 15; i >= 0; i--, n >>= 4) l->id[i] = "0123456789abcdef"[n & 15];
  l->id[16] = 0;
}

typedef struct gathering {
  rs_field *fields;
  int n;
} gathering;

static enum MHD_Result gather(void *context, enum MHD_ValueKind kind, const char *name, size_t name_size,
                              const char *value, size_t value_size) {
  (void)kind;
  gathering *g = context;
  if (g->n <= RS_SERVICE_HEADERS) g->fields[g->n] = (rs_field){name, value ? value : "", name_size, value_size};
  return ++g->n <= RS_SERVICE_HEADERS ? MHD_YES : MHD_NO;
}

/* Bytes at which the memory of a head has its fields, the handler's pairs, and the texts of those. */
enum {
  PAIRS_AT = (RS_SERVICE_HEADERS + 1) * (int)sizeof(rs_field),
  TEXTS_AT = PAIRS_AT + RS_SERVICE_HEADERS * (int)sizeof(rs_http_pair)
};

static rs_http_pair *pairs_of(const rs_link *l) { return (rs_http_pair *)(void *)(l->head_memory.data + PAIRS_AT); }

/* The fields as the handler sees them: names in lower case, values without blanks at their end. */
static void make_pairs(rs_link *l, const rs_field *fields, int n) {
  rs_http_pair *pair = pairs_of(l);
  char *text = l->head_memory.data + TEXTS_AT;
  for (const rs_field *f = fields; f < fields + n; f++) {
    size_t size = f->value_size;
    while (size > 0 && (f->value[size - 1] == ' ' || f->value[size - 1] == '\t')) size--;
    *pair = (rs_http_pair){text, f->value};
    for (size_t i = 0; i < f->name_size; i++)
      *text++ = (char)(f->name[i] >= 'A' && f->name[i] <= 'Z' ? f->name[i] + 32 : f->name[i]);
    *text++ = 0;
    if (size < f->value_size) {
      pair->value = memcpy(text, f->value, size);
      text[size] = 0;
      text += size + 1;
    }
    pair++;
  }
  l->n_headers = n;
}

/* Why the head is refused; where it is not, the fields are the handler's. */
static rs_fault check_head(rs_link *l, struct MHD_Connection *connection, const char *method, const char *version,
                           rs_head_facts *facts) {
  const rs_service *s = l->of->service;
  size_t size = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
  const rs_head_limits limits = {RS_LINE, RS_HEAD_BYTES, RS_SERVICE_HEADERS, s->options.max_body,
                                 s->names.data};
  if (size > RS_HEAD_BYTES) return (rs_fault){431, "headers", "the head is too long"};
  if (rs_buffer_reserve(&l->head_memory, TEXTS_AT + size) != RS_OK) return (rs_fault){503, "memory", "out of memory"};
  gathering g = {.fields = (rs_field *)(void *)l->head_memory.data};
  MHD_get_connection_values_n(connection, MHD_HEADER_KIND, gather, &g);
  if (l->fault.status) return l->fault;
  const rs_head head = {.method = method, .version = version, .target = l->line_target, .target_size = l->target_size,
                        .fields = g.fields, .n = g.n, .end = s->sees_lines ? method + size : NULL};
  rs_fault fault = rs_head_check(&head, &limits, facts);
  if (fault.status == 413) fault.message = s->too_large;
  if (fault.status) return fault;
  make_pairs(l, g.fields, g.n);
  l->last = facts->chunked || !s->sees_lines;
  l->lingers = facts->chunked;
  return fault;
}

static const char *header_of(const rs_link *l, const char *name) {
  const rs_call call = {.headers = pairs_of(l), .n_headers = l->n_headers};
  return rs_call_header(&call, name);
}

/* Of a request that a trusted proxy hands on, whom it is from. */
static void find_client(rs_link *l) {
  struct sockaddr_storage client;
  if (rs_proxies_client(l->of->service->proxies, pairs_of(l), l->n_headers, &client))
    rs_link_name(l, (const struct sockaddr *)&client);
}

/* By the scope that is needed. */
static rs_fault lacking(unsigned needed) {
  static const struct {
    unsigned scope;
    const char *message;
  } all[] = {{RS_SCOPE_USE, "this wants a token with the scope 'use'; the token that was shown lacks it"},
             {RS_SCOPE_WRITE, "this wants a token with the scope 'write'; the token that was shown lacks it"},
             {RS_SCOPE_METRICS, "this wants a token with the scope 'metrics'; the token that was shown lacks it"},
             {RS_SCOPE_ADMIN, "this wants a token with the scope 'admin'; the token that was shown lacks it"}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].scope == needed) return (rs_fault){403, "scope", all[i].message};
  return (rs_fault){403, "scope", "the token does not allow this"};
}

/* Who asks, by the token shown, and why it is not allowed. */
static rs_fault check_token(rs_link *l, unsigned needed) {
  const rs_tokens *tokens = l->of->service->options.tokens;
  if (!tokens) return (rs_fault){0};
  const char *shown = header_of(l, "authorization");
  l->token = shown ? rs_tokens_find(tokens, shown) : -1;
  if (!shown) return (rs_fault){401, "token", "a token is needed: Authorization: Bearer ..."};
  if (l->token < 0) return (rs_fault){401, "token", "the token that was shown is none that this server knows"};
  if ((rs_tokens_scopes(tokens, l->token) & needed) == needed) return (rs_fault){0};
  return lacking(needed);
}

static rs_fault check_rate(rs_link *l) {
  rs_service *s = l->of->service;
  if (!s->rate) return (rs_fault){0};
  const char *name = l->token >= 0 ? rs_tokens_name(s->options.tokens, l->token) : NULL;
  int64_t wait = name ? rs_rate_take(s->rate, name, strlen(name), l->arrived)
                      : rs_rate_take(s->rate, &l->address, sizeof l->address, l->arrived);
  if (wait == 0) return (rs_fault){0};
  snprintf(l->retry, sizeof l->retry, "%d", (int)(wait / 1000000000 + 1));
  return (rs_fault){429, "rate", "too many requests; see Retry-After"};
}

/* Tokens that are none count against their address's rate, so that they cannot be guessed at will. */
static rs_fault check_access(rs_link *l, const char *method) {
  const rs_service *s = l->of->service;
  unsigned needed = s->options.needs ? s->options.needs(s->context, method, l->target.path) : RS_SCOPE_USE;
  l->token = -1;
  if (!needed) return (rs_fault){0};
  rs_fault denied = check_token(l, needed), hasty = check_rate(l);
  return hasty.status ? hasty : denied;
}

static enum MHD_Result on_head(rs_link *l, struct MHD_Connection *connection, const char *method, const char *version) {
  l->called = true;
  l->stage = RS_BODY;
  l->since = rs_service_now();
  l->method = rs_known_method(method);
  if (!l->method) l->method = "";
  l->head_only = !strcmp(method, "HEAD");
  make_id(l);
  if (l->proxied)
    rs_link_name(l, MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
  rs_head_facts facts = {0};
  rs_fault fault = check_head(l, connection, method, version, &facts);
  if (fault.status) return refuse_early(l, connection, &fault);
  if (l->proxied) find_client(l);
  const char *id = header_of(l, "x-request-id");
  if (id && rs_is_plain(id, strlen(id), RS_REQUEST_ID)) strcpy(l->id, id);
  l->fault = check_access(l, l->head_only ? "GET" : method);
  bool early = l->fault.status && (facts.chunked || facts.length > RS_PASSED || header_of(l, "expect"));
  return early ? refuse_early(l, connection, &l->fault) : MHD_YES;
}

/* The body. */

static enum MHD_Result on_body(rs_link *l, const char *data, size_t *size) {
  int64_t most = l->of->service->options.max_body;
  l->size += (int64_t)*size;
  if (l->size > most) { /* in pieces whose sum was not told: no reply can be queued in the middle of them */
    rs_tally_add(&l->of->tally.refused[RS_REFUSED_LARGE], 1);
    l->lingers = true;
    l->status = 413;
    rs_link_say(l, 413, "Content Too Large", l->of->service->too_large);
    return MHD_NO;
  }
  if (!l->fault.status && rs_buffer_append(&l->body, data, *size) != RS_OK) return MHD_NO;
  *size = 0;
  return MHD_YES;
}

static enum MHD_Result on_whole(rs_link *l, struct MHD_Connection *connection, const char *method) {
  rs_worker *w = l->of;
  if (l->fault.status) return refuse(l, connection, &l->fault);
  rs_sending *s = take_sending(w);
  if (!s) return MHD_NO;
  const rs_tokens *tokens = w->service->options.tokens;
  rs_tally_add(&w->tally.requests, 1);
  rs_tally_add(&w->tally.body_bytes, l->size);
  rs_call call = {.worker = w->index, .method = l->head_only ? "GET" : method, .target = &l->target,
                  .headers = pairs_of(l), .n_headers = l->n_headers, .body = l->size > 0 ? l->body.data : NULL,
                  .size = (size_t)l->size, .request_id = l->id, .client = l->client, .arrived = l->arrived,
                  .principal = l->token < 0 ? "" : rs_tokens_name(tokens, l->token),
                  .scopes = l->token >= 0 ? rs_tokens_scopes(tokens, l->token) : tokens ? 0 : RS_SCOPE_ALL};
  rs_reply reply = {.status = 200, .type = "application/json", .body = &s->bytes};
  w->service->handler(w->service->context, &call, &reply);
  l->log_path = reply.log_path;
  l->handed = true;
  hold(w, &reply, s);
  return send_reply(l, connection, &reply, s);
}

/* libmicrohttpd's calls. */

void *rs_request_line(void *worker, const char *target, struct MHD_Connection *connection) {
  (void)worker;
  rs_link *l = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
  if (!l) return NULL;
  l->arrived = rs_service_now();
  if (l->stage == RS_IDLE) l->since = l->arrived;
  l->stage = RS_HEAD;
  rs_tally_add(&l->of->tally.in_flight, 1);
  if (!target) target = "";
  l->line_target = target;
  l->target_size = strlen(target);
  l->target = (rs_http_target){0};
  l->log_path = NULL;
  l->handed = false;
  l->fault = rs_target_check(target, RS_LINE);
  if (!l->fault.status && rs_buffer_reserve(&l->target_memory, rs_http_target_room(target)) != RS_OK)
    l->fault = (rs_fault){503, "memory", "out of memory"};
  if (!l->fault.status && rs_http_target_parse_in(&l->target, target, l->target_memory.data) != RS_OK)
    l->fault = (rs_fault){400, "target", "the address is no percent-encoded UTF-8"};
  return l;
}

enum MHD_Result rs_request_event(void *worker, struct MHD_Connection *connection, const char *url, const char *method,
                                 const char *version, const char *data, size_t *size, void **link) {
  (void)worker, (void)url;
  rs_link *l = *link;
  if (!l) return MHD_NO;
  if (!l->called) return on_head(l, connection, method, version);
  return *size > 0 ? on_body(l, data, size) : on_whole(l, connection, method);
}

/* A head that libmicrohttpd has refused by itself had no call of ours, and its reply went out. */
static void count_end(rs_link *l, enum MHD_RequestTerminationCode code) {
  if (!l->called && code == MHD_REQUEST_TERMINATED_COMPLETED_OK)
    rs_tally_add(&l->of->tally.refused[RS_REFUSED_FORMAT], 1);
  rs_tally_add(&l->of->tally.in_flight, -1);
  if (l->called && l->of->service->log) rs_link_log(l);
}

void rs_request_completed(void *worker, struct MHD_Connection *connection, void **link,
                          enum MHD_RequestTerminationCode code) {
  (void)worker, (void)connection;
  rs_link *l = *link;
  if (!l) return;
  *link = NULL;
  count_end(l, code);
  l->called = false;
  l->last = false;
  l->status = 0;
  l->size = 0;
  l->body.size = 0;
  if (l->body.capacity > RS_KEPT) rs_buffer_free(&l->body);
  if (l->stage == RS_LEFT) return;
  l->stage = RS_IDLE;
  l->since = rs_service_now();
  l->received = -1;
}
