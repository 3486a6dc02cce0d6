/* post_in.c - see post_in.h. */
#include "serve/post_in.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "frame/column.h"
#include "frame/text.h"

/* ---- bodies to values ---- */

static int64_t count_lines(const char *bytes, size_t size) {
  int64_t n = 0;
  for (const char *at = bytes, *end = bytes + size; at < end; n++) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    at = stop ? stop + 1 : end;
  }
  return n;
}

static bool is_blank(const char *at, const char *end) {
  while (at < end && strchr(" \t\r", *at)) at++;
  return at == end;
}

/* The values of all lines that are not blank, with their numbers in 'lines'; a line that is no JSON is a string, which
 * says why. */
static rs_status parse_lines(json_t **out, int64_t *lines, const char *bytes, size_t size) {
  json_t *all = json_array();
  int64_t line = 0;
  rs_status status = all ? RS_OK : rs_nomem("posts", 0);
  for (const char *at = bytes, *end = bytes + size; status == RS_OK && at < end; line++) {
    json_t *value = NULL;
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    if (!stop) stop = end;
    if (!is_blank(at, stop)) {
      lines[json_array_size(all)] = line;
      status = rs_json_parse(&value, at, (size_t)(stop - at), "the line");
      if (status == RS_EFORMAT) value = json_string(rs_message()), status = value ? RS_OK : rs_nomem("posts", 0);
      if (status == RS_OK && json_array_append_new(all, value) != 0) status = rs_nomem("posts", 0);
    }
    at = stop < end ? stop + 1 : end;
  }
  if (status != RS_OK) json_decref(all);
  *out = status == RS_OK ? all : NULL;
  return status;
}

static rs_status parse_whole(json_t **out, const char *bytes, size_t size) {
  json_t *value = NULL, *all = NULL;
  rs_status status = rs_json_parse(&value, bytes, size, "the body");
  if (status != RS_OK) return status;
  if (json_is_array(value)) {
    *out = value;
    return RS_OK;
  }
  all = json_array();
  if (json_array_append_new(all, value) != 0) {
    json_decref(all);
    return rs_nomem("posts", 0);
  }
  *out = all;
  return RS_OK;
}

/* ---- values to posts ---- */

typedef struct reading {
  json_t *object;
  const rs_post_rules *rules;
  rs_post *post;
} reading;

/* A string of 1 to 'most' bytes into *text; absent is fine where it need not be there. */
static rs_status read_text(const reading *r, const char *key, bool needed, size_t most, const char **text,
                           size_t *length) {
  const json_t *value = json_object_get(r->object, key);
  if (!value || json_is_null(value))
    return needed ? rs_fail(RS_EARG, "'%s' is missing", key) : RS_OK;
  if (!json_is_string(value)) return rs_fail(RS_EARG, "'%s' is no string", key);
  if (json_string_length(value) < 1 || json_string_length(value) > most)
    return rs_fail(RS_EARG, "'%s' has %zu bytes; it may have 1 to %zu", key, json_string_length(value), most);
  *text = json_string_value(value);
  *length = json_string_length(value);
  return RS_OK;
}

/* An id: a string, or a whole number, in whose place its digits are put. */
static rs_status read_id(const reading *r, const char *key, bool needed, const char **text, size_t *length) {
  const json_t *value = json_object_get(r->object, key);
  if (json_is_integer(value)) {
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(value));
    if (json_object_set_new(r->object, key, json_string(digits)) != 0) return rs_nomem("posts", sizeof digits);
  } else if (value && !json_is_null(value) && !json_is_string(value)) {
    return rs_fail(RS_EARG, "'%s' is neither a string nor a whole number", key);
  }
  return read_text(r, key, needed, RS_POSTED_ID, text, length);
}

static rs_status read_time(const reading *r, const char *key, int64_t *ms) {
  const json_t *value = json_object_get(r->object, key);
  *ms = r->rules->when;
  if (!value || json_is_null(value)) return RS_OK;
  if (json_is_integer(value))
    *ms = json_integer_value(value);
  else if (!json_is_string(value) || !rs_parse_time(json_string_value(value), json_string_length(value), ms))
    return rs_fail(RS_EARG, "'%s' is neither a date such as 2024-01-31T12:00 nor milliseconds", key);
  if (*ms <= RS_TIME_MISSING) return rs_fail(RS_EARG, "'%s' is too early", key);
  if (*ms > r->rules->until) return rs_fail(RS_EARG, "'%s' lies in the future, by the server's clock", key);
  return RS_OK;
}

/* A copy of the object under 'key', or an empty one. */
static rs_status read_fields(const reading *r, const char *key) {
  json_t *value = json_object_get(r->object, key);
  if (value && !json_is_null(value) && !json_is_object(value)) return rs_fail(RS_EARG, "'%s' is no object", key);
  r->post->fields = json_is_object(value) ? json_incref(value) : json_object();
  return r->post->fields ? RS_OK : rs_nomem("posts", 0);
}

static rs_status check_keys(const reading *r, const char *const *known, const char *all) {
  const char *key;
  json_t *value;
  json_object_foreach(r->object, key, value) {
    int i = 0;
    while (known[i] && strcmp(known[i], key) != 0) i++;
    if (!known[i]) return rs_fail(RS_EARG, "there is no '%.100s' here (%s)", key, all);
  }
  return RS_OK;
}

static rs_status read_type(const reading *r) {
  json_t *type = json_object_get(r->object, "type");
  if (!type || json_is_null(type)) return RS_OK;
  if (!json_is_string(type)) return rs_fail(RS_EARG, "'type' is no string");
  if (json_object_get(r->post->fields, "type")) return rs_fail(RS_EARG, "'type' stands among the fields, too");
  return json_object_set(r->post->fields, "type", type) == 0 ? RS_OK : rs_nomem("posts", 0);
}

/* An item may be older than all events, as a film of 1975 is; who says that something happened then gave seconds. */
static rs_status check_moment(const reading *r) {
  if (!r->rules->from || r->post->time >= r->rules->from) return RS_OK;
  return rs_fail(RS_EARG, "'time' lies before 1980: is this in seconds? Milliseconds since 1970 are expected");
}

static rs_status read_event(const reading *r) {
  static const char *const known[] = {"user", "item", "time", "id", "type", "fields", NULL};
  rs_post *p = r->post;
  rs_status status = check_keys(r, known, "user, item, time, id, type, fields");
  if (status == RS_OK) status = read_id(r, "user", true, &p->user, &p->user_length);
  if (status == RS_OK) status = read_id(r, "item", true, &p->item, &p->item_length);
  if (status == RS_OK) status = read_id(r, "id", false, &p->id, &p->id_length);
  if (status == RS_OK) status = read_time(r, "time", &p->time);
  if (status == RS_OK) status = check_moment(r);
  if (status == RS_OK) status = read_fields(r, "fields");
  if (status == RS_OK) status = read_type(r);
  return status;
}

static rs_status read_item(const reading *r) {
  static const char *const known[] = {"id", "title", "created", "attributes", "removed", NULL};
  rs_post *p = r->post;
  const json_t *removed = json_object_get(r->object, "removed");
  p->kind = json_is_true(removed) ? RS_POST_REMOVAL : RS_POST_ITEM;
  rs_status status = check_keys(r, known, "id, title, created, attributes, removed");
  if (status == RS_OK && removed && !json_is_boolean(removed))
    status = rs_fail(RS_EARG, "'removed' is neither true nor false");
  if (status == RS_OK) status = read_id(r, "id", true, &p->item, &p->item_length);
  if (status == RS_OK) status = read_text(r, "title", false, RS_POSTED_TITLE, &p->title, &p->title_length);
  if (status == RS_OK) status = read_time(r, "created", &p->time);
  if (status == RS_OK) status = read_fields(r, "attributes");
  for (int i = 0; status == RS_OK && i < 3; i++) {
    static const char *const own[] = {"item", "title", "created"};
    if (json_object_get(p->fields, own[i]))
      status = rs_fail(RS_EARG, "'%s' is no attribute: it stands beside them%s", own[i], i ? "" : " as 'id'");
  }
  return status;
}

typedef rs_status reader(const reading *r);

/* One value of the body into its post; what is wrong with it is told there. */
static rs_status read_post(const reading *r, reader *read) {
  rs_status status = RS_OK;
  if (r->rules->lines && json_is_string(r->object))
    status = rs_fail(RS_EARG, "%s", json_string_value(r->object));
  else if (!json_is_object(r->object))
    status = rs_fail(RS_EARG, "this is no object");
  else
    status = read(r);
  if (status != RS_OK) rs_post_refuse(r->post);
  return status == RS_ENOMEM ? status : RS_OK;
}

static rs_status read_values(rs_posts **out, json_t *all, const int64_t *lines, const rs_post_rules *rules,
                             reader *read) {
  int64_t n = (int64_t)json_array_size(all);
  if (n > rules->most) {
    json_decref(all);
    return rs_fail(RS_EARG, "more than %lld; send them in parts", (long long)rules->most);
  }
  rs_status status = rs_posts_new(out, all, n);
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    reading r = {json_array_get(all, (size_t)i), rules, &(*out)->posts[i]};
    r.post->received = rules->now;
    r.post->index = lines ? lines[i] : i;
    status = read_post(&r, read);
  }
  if (status != RS_OK) {
    rs_posts_free(*out);
    *out = NULL;
  }
  return status;
}

static rs_status read_posts(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules, reader *read) {
  json_t *all = NULL;
  int64_t *lines = NULL, n = rules->lines ? count_lines(bytes, size) : 0;
  *out = NULL;
  if (n > rules->most) return rs_fail(RS_EARG, "more than %lld lines; send them in parts", (long long)rules->most);
  if (n > 0 && !(lines = rs_alloc((size_t)n * sizeof *lines))) return rs_nomem("posts", (size_t)n * sizeof *lines);
  rs_status status = rules->lines ? parse_lines(&all, lines, bytes, size) : parse_whole(&all, bytes, size);
  if (status == RS_OK) status = read_values(out, all, lines, rules, read);
  rs_free(lines);
  return status;
}

rs_status rs_posts_of_events(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules) {
  return read_posts(out, bytes, size, rules, read_event);
}

rs_status rs_posts_of_items(rs_posts **out, const char *bytes, size_t size, const rs_post_rules *rules) {
  return read_posts(out, bytes, size, rules, read_item);
}
