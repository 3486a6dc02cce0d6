/* endpoints_query.c - the words of a query, looked at as strictly as the fields of a body. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "serve/endpoints.h"

/* Whether a name stands in a list such as "like, limit". */
static bool is_named(const char *known, const char *name) {
  size_t length = strlen(name);
  for (const char *at = known; *at;) {
    size_t n = strcspn(at, ",");
    if (n == length && memcmp(at, name, n) == 0) return true;
    at += n + strspn(at + n, ", ");
  }
  return false;
}

static const rs_http_pair *find(const rs_call *call, const char *name, int from) {
  for (int i = from; i < call->target->n; i++)
    if (strcmp(call->target->query[i].name, name) == 0) return &call->target->query[i];
  return NULL;
}

bool rs_query_fits(rs_exchange *x, const char *known) {
  const rs_http_target *target = x->call->target;
  for (int i = 0; i < target->n; i++) {
    const char *name = target->query[i].name;
    if (!is_named(known, name)) {
      rs_refuse(x->reply, 400, "bad_request", name, "%.100s: there is no such word of the query; there %s%s", name,
                strchr(known, ',') ? "are " : "is ", *known ? known : "none");
      return false;
    }
    if (find(x->call, name, i + 1)) {
      rs_refuse(x->reply, 400, "bad_request", name, "%.100s: stands there twice", name);
      return false;
    }
  }
  return true;
}

const char *rs_query_text(const rs_exchange *x, const char *name) {
  const rs_http_pair *found = find(x->call, name, 0);
  return found ? found->value : NULL;
}

bool rs_query_whole(rs_exchange *x, const char *name, int64_t least, int64_t most, int64_t *number) {
  const char *text = rs_query_text(x, name);
  char *end = NULL;
  if (!text) return true;
  bool digits = *text && strspn(text, "0123456789") == strlen(text);
  errno = 0;
  long long value = strtoll(text, &end, 10);
  if (digits && errno == 0 && least <= value && value <= most) return *number = value, true;
  rs_refuse(x->reply, 400, "bad_request", name, "%s: is '%.100s'; a whole number of %lld to %lld is expected", name, text,
            (long long)least, (long long)most);
  return false;
}

bool rs_query_boolean(rs_exchange *x, const char *name, bool *value) {
  const char *text = rs_query_text(x, name);
  if (!text) return true;
  *value = strcmp(text, "true") == 0;
  if (*value || strcmp(text, "false") == 0) return true;
  rs_refuse(x->reply, 400, "bad_request", name, "%s: is '%.100s', neither true nor false", name, text);
  return false;
}
