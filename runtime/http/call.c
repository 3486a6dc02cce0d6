/* call.c - see call.h. */
#include "http/call.h"

#include <string.h>

const char *rs_call_header(const rs_call *call, const char *name) {
  for (int i = 0; i < call->n_headers; i++)
    if (!strcmp(call->headers[i].name, name)) return call->headers[i].value;
  return NULL;
}

static void append_escaped(rs_buffer *out, const char *text) {
  for (const unsigned char *c = (const unsigned char *)text; *c; c++)
    if (*c < 0x20 || *c == '"' || *c == '\\') rs_buffer_printf(out, "\\u%04x", *c);
    else rs_buffer_append(out, c, 1);
}

/* What memory refuses leaves the body short; the status is sent all the same. */
void rs_reply_error(rs_reply *reply, int status, const char *code, const char *message) {
  reply->status = status;
  reply->type = "application/json";
  reply->body->size = 0;
  rs_buffer_append_text(reply->body, "{\"error\":{\"code\":\"");
  append_escaped(reply->body, code);
  rs_buffer_append_text(reply->body, "\",\"message\":\"");
  append_escaped(reply->body, message);
  rs_buffer_append_text(reply->body, "\"}}\n");
}
