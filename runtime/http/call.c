#include "http/call.h"

#include <string.h>

const char *rs_call_header(const rs_call *call, const char *name) {
  for (int i = 0; i < call->n_headers; i++)
    if (!strcmp(call->headers[i].name, name)) return call->headers[i].value;
  return NULL;
}
