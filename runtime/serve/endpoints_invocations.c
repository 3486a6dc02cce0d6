/* endpoints_invocations.c - POST /invocations, as SageMaker calls it: a request in JSON, or one a line in JSON Lines or
 * text/csv, with a result for each in its order. */
#include <string.h>

#include "serve/csv_request.h"
#include "serve/hooked.h"
#include "serve/results.h"

#define ATTRIBUTES "X-Amzn-SageMaker-Custom-Attributes"

enum { ATTRIBUTES_MOST = 1024 };

/* Send the caller's attributes back; false when they are too long, which is answered. */
static bool echo_attributes(rs_exchange *x) {
  const char *attributes = rs_call_header(x->call, "x-amzn-sagemaker-custom-attributes");
  if (!attributes) return true;
  size_t n = strlen(attributes);
  if (n > ATTRIBUTES_MOST) {
    rs_refuse(x->reply, 400, "bad_request", "", ATTRIBUTES " has %zu characters, more than %d", n, ATTRIBUTES_MOST);
    return false;
  }
  rs_buffer *b = &x->worker->scratch; /* until the reply is sent */
  b->size = 0;
  if (rs_buffer_append(b, attributes, n + 1) == RS_OK) rs_reply_header(x->reply, ATTRIBUTES, b->data);
  return true;
}

/* Answer the line [from, to) of a kind. */
static void answer_line(rs_exchange *x, rs_results *r, rs_media kind, const rs_csv_names *names, const char *from,
                        const char *to) {
  rs_worker *w = x->worker;
  rs_asked asked;
  size_t size = (size_t)(to - from);
  rs_status status = RS_OK;
  if (kind == RS_MEDIA_CSV) {
    w->line.size = 0;
    status = rs_csv_request(&w->line, names, from, size);
    from = w->line.data, size = w->line.size;
  }
  if (status == RS_OK && rs_is_hooked(x)) {
    rs_hooked_add(r, from, size);
    return;
  }
  if (status != RS_OK) {
    rs_results_refuse(r, (rs_span){0}, status);
    return;
  }
  status = rs_json_in_recommend(w->in, from, size, &asked);
  if (status == RS_OK)
    rs_results_add_asked(r, &asked);
  else
    rs_results_refuse(r, rs_json_in_refused(w->in), status);
}

/* The end of the line that begins at 'from': its line feed, or the end of all. */
static const char *line_end(const char *from, const char *end) {
  const char *feed = memchr(from, '\n', (size_t)(end - from));
  return feed ? feed : end;
}

/* Without the carriage return of a line that ends by both. */
static const char *content_end(const char *from, const char *to) { return to > from && to[-1] == '\r' ? to - 1 : to; }

static const char *behind_mark(const char *from, const char *end) {
  return end - from >= 3 && !memcmp(from, "\xef\xbb\xbf", 3) ? from + 3 : from;
}

static void answer_lines(rs_exchange *x, rs_results *r, rs_media kind, bool header) {
  const char *from = x->call->body, *end = from ? from + x->call->size : from;
  if (kind == RS_MEDIA_CSV) from = behind_mark(from, end); /* Excel's CSV begins with a byte order mark */
  rs_csv_names names;
  names.n = 0;
  if (header && from < end) {
    const char *to = line_end(from, end);
    r->status = rs_csv_names_read(&names, x->versions[RS_LIVE]->model, from, (size_t)(content_end(from, to) - from));
    from = to < end ? to + 1 : end;
  }
  while (from < end && r->status == RS_OK) {
    const char *to = line_end(from, end);
    answer_line(x, r, kind, &names, from, content_end(from, to));
    from = to < end ? to + 1 : end;
  }
}

static void answer_json(rs_exchange *x, rs_media form) {
  rs_asked asked;
  rs_status status = rs_json_in_recommend(x->worker->in, x->call->body, x->call->size, &asked);
  if (status != RS_OK) {
    rs_refuse_status(x->reply, status);
    return;
  }
  rs_results r = rs_results_begin(x, RS_RECOMMEND, form, asked.several);
  for (int64_t i = 0; i < asked.n && r.status == RS_OK; i++)
    rs_results_add(&r, &asked, i);
  rs_results_end(&r);
}

void rs_answer_invocations(rs_exchange *x) {
  bool header;
  const char *accept = rs_call_header(x->call, "accept");
  rs_media kind = rs_media_of(rs_call_header(x->call, "content-type"), &header);
  if (!echo_attributes(x) || !rs_has_model(x)) return;
  if (kind == RS_MEDIA_OTHER) {
    rs_refuse(x->reply, 415, "unsupported_media_type", "",
              "the body must be application/json, application/jsonlines or text/csv");
    return;
  }
  rs_media natural = kind == RS_MEDIA_CSV ? RS_MEDIA_LINES : kind;
  if (*x->server->accept) natural = rs_media_wanted(x->server->accept, natural);
  rs_media form = rs_media_wanted(accept, natural);
  if (form == RS_MEDIA_OTHER) {
    rs_refuse(x->reply, 406, "not_acceptable", "",
              "answers are application/json, application/jsonlines or text/csv; Accept wants none of them");
    return;
  }
  if (kind == RS_MEDIA_JSON && rs_is_hooked(x)) {
    rs_hooked_answer(x, form);
    return;
  }
  if (kind == RS_MEDIA_JSON) {
    answer_json(x, form);
    return;
  }
  rs_results r = rs_results_begin(x, RS_RECOMMEND, form, true);
  answer_lines(x, &r, kind, header);
  rs_results_end(&r);
}

const rs_route rs_routes_invocations[] = {{"invocations", "POST", "/invocations", RS_SCOPE_USE, rs_answer_invocations},
                                          {NULL, NULL, NULL, 0, NULL}};
