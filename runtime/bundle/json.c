/* json.c - see json.h. */
#include "bundle/json.h"

#include "base/alloc.h"

__attribute__((constructor)) static void use_counted_memory(void) { json_set_alloc_funcs(rs_alloc, rs_free); }

rs_status rs_json_object(json_t **out, const char *text, size_t bytes, const char *what) {
  json_error_t error = {.text = ""};
  int64_t refusals = rs_alloc_refusals();
  *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
  if (*out && json_is_object(*out)) return RS_OK;
  if (*out) {
    json_decref(*out);
    *out = NULL;
    return rs_fail(RS_EFORMAT, "%s: the JSON is not an object", what);
  }
  if (rs_alloc_refusals() != refusals) return rs_nomem(what, bytes); /* jansson may call it an invalid token */
  for (char *p = error.text; *p; p++)
    if (*p < ' ' || *p > '~') *p = '?'; /* it quotes the bytes, which may be a terminal's commands */
  return rs_fail(RS_EFORMAT, "%s: line %d, column %d: %s", what, error.line, error.column, error.text);
}
