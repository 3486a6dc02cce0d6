/* json_in.c - see json_in.h. Lists are gathered in one block, whose end is not known before, and then copied to pages
 * that do not move. */
#include "serve/json_in.h"

#include <math.h>
#include <stdio.h>

#include "base/alloc.h"
#include "frame/text.h"
#include "serve/json_read.h"
#include "serve/scratch.h"

enum { PAGE_BYTES = 1 << 14, MOST_CAPS = 16 };

/* Memory of one reading: pages are kept for the next one. */
typedef struct pages {
  rs_block *all;
  int n, at;   /* pages; which one is being filled, */
  size_t used; /* so far */
  rs_buffer room; /* strings with escapes */
} pages;

struct rs_json_in {
  rs_json_limits limits;
  pages call, standard;
  rs_buffer standard_text;
  rs_request base; /* the standard of every request */
  rs_block list;   /* being gathered */
  rs_span refused; /* user */
};

rs_json_limits rs_json_limits_standard(void) { return (rs_json_limits){1000, 1000, 1000, 10000}; }

/* ---- memory ---- */

static void *take(pages *p, size_t bytes) {
  bytes = (bytes + 15) / 16 * 16;
  while (p->at < p->n && p->used + bytes > p->all[p->at].bytes) p->at++, p->used = 0;
  if (p->at == p->n) {
    rs_block *all = rs_realloc(p->all, (size_t)(p->n + 1) * sizeof *all);
    if (!all) return NULL;
    p->all = all;
    all[p->n] = (rs_block){0};
    if (!rs_block_need(&all[p->n], bytes > PAGE_BYTES ? bytes : PAGE_BYTES)) return NULL;
    p->n++;
  }
  void *found = (char *)p->all[p->at].data + p->used;
  p->used += bytes;
  return found;
}

static void reset_pages(pages *p) { p->at = 0, p->used = 0; }

static void free_pages(pages *p) {
  for (int i = 0; i < p->n; i++) rs_free(p->all[i].data);
  rs_free(p->all);
  rs_buffer_free(&p->room);
}

/* Entry n of the list that is being gathered. */
static void *entry(rs_block *list, int64_t n, size_t size) {
  size_t bytes = (size_t)(n + 1) * size;
  if (list->data && list->bytes >= bytes) return (char *)list->data + (size_t)n * size;
  size_t room = bytes < 1024 ? 1024 : 2 * bytes;
  void *data = rs_realloc(list->data, room);
  if (!data) return NULL;
  *list = (rs_block){data, room};
  return (char *)data + (size_t)n * size;
}

/* What reads one text: where to, and what for. */
typedef struct reading {
  rs_json_in *in;
  pages *pages;
  rs_json_reader r;
  int takes; /* fields that there are, a bit each */
} reading;

static bool no_memory(reading *x, size_t bytes) {
  if (x->r.status == RS_OK) x->r.status = rs_nomem("request", bytes);
  return false;
}

/* The gathered list of n entries, where it stays; one of none is not NULL. */
static void *keep_list(reading *x, int64_t n, size_t size) {
  void *kept = take(x->pages, (size_t)n * size + 1);
  if (!kept) return no_memory(x, (size_t)n * size), NULL;
  if (n > 0) memcpy(kept, x->in->list.data, (size_t)n * size);
  return kept;
}

static bool within(reading *x, int64_t n, int64_t limit, const char *what) {
  return n <= limit || rs_read_refuse(&x->r, RS_EARG, "more than %lld %s", (long long)limit, what);
}

/* ---- values ---- */

static bool read_id(reading *x, rs_span *id) { return rs_read_id(&x->r, id); }

static bool read_object_text(reading *x, rs_span *raw) {
  rs_read_kind kind = rs_read_next(&x->r);
  if (kind != RS_READ_OBJECT && kind != RS_READ_NOTHING) return rs_read_object(&x->r); /* which says what it is */
  return rs_read_any(&x->r, raw);
}

bool rs_parse_duration(rs_span text, int64_t *ms) {
  static const struct {
    const char *unit;
    int64_t ms;
  } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"w", 604800000}};
  size_t n = 0;
  int64_t value = 0;
  for (; n < text.length && text.text[n] >= '0' && text.text[n] <= '9'; n++)
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, text.text[n] - '0', &value))
      return false;
  for (size_t u = 0; n > 0 && u < sizeof units / sizeof *units; u++)
    if (rs_span_is((rs_span){text.text + n, text.length - n}, units[u].unit))
      return !__builtin_mul_overflow(value, units[u].ms, ms);
  return false;
}

static bool read_duration(reading *x, int64_t *ms) {
  rs_span text;
  if (rs_read_next(&x->r) == RS_READ_NUMBER) return rs_read_whole(&x->r, ms);
  if (!rs_read_text(&x->r, &text)) return false;
  return rs_parse_duration(text, ms) ||
         rs_read_refuse(&x->r, RS_EARG, "is no duration such as \"3d\", \"90m\", or a number of ms");
}

static bool read_whole_from(reading *x, int64_t least, int64_t *number) {
  if (!rs_read_whole(&x->r, number)) return false;
  return *number >= least || rs_read_refuse(&x->r, RS_EARG, "is %lld; %lld or more is expected", (long long)*number,
                                            (long long)least);
}

/* ---- fields ---- */

static bool read_k(reading *x, rs_request *q) {
  int64_t most = x->in->limits.k;
  if (!rs_read_whole(&x->r, &q->k)) return false;
  return (q->k >= 1 && q->k <= most) ||
         rs_read_refuse(&x->r, RS_EARG, "is %lld; 1 to %lld items can be asked for", (long long)q->k, (long long)most);
}

/* {"item", "time", "fields"} */
static bool read_event_object(reading *x, rs_past_event *event) {
  rs_span key;
  int had = 0;
  if (!rs_read_object(&x->r)) return false;
  while (rs_read_key(&x->r, &key)) {
    int field = rs_span_is(key, "item") ? 1 : rs_span_is(key, "time") ? 2 : rs_span_is(key, "fields") ? 4 : 0;
    if (field == 0) return rs_read_unknown(&x->r, "item, time, fields");
    if (had & field) return rs_read_twice(&x->r);
    had |= field;
    if (field != 1 && rs_read_next(&x->r) == RS_READ_NULL ? !rs_read_null(&x->r)
        : field == 1                                      ? !read_id(x, &event->item)
        : field == 2                                      ? !rs_read_time(&x->r, &event->time)
                                                          : !read_object_text(x, &event->fields))
      return false;
  }
  return x->r.status == RS_OK && ((had & 1) || rs_read_lacks(&x->r, "item"));
}

static bool read_history(reading *x, rs_request *q) {
  int64_t n = 0;
  if (!rs_read_array(&x->r)) return false;
  for (; rs_read_item(&x->r); n++) {
    rs_past_event event = {.time = RS_TIME_MISSING};
    if (!within(x, n + 1, x->in->limits.history, "events")) return false;
    if (rs_read_next(&x->r) == RS_READ_OBJECT ? !read_event_object(x, &event) : !read_id(x, &event.item)) return false;
    rs_past_event *to = entry(&x->in->list, n, sizeof event);
    if (!to) return no_memory(x, sizeof event);
    *to = event;
  }
  q->n_history = n;
  q->history = x->r.status == RS_OK ? keep_list(x, n, sizeof *q->history) : NULL;
  return q->history != NULL;
}

/* A list of ids. */
static bool read_ids(reading *x, const rs_span **ids, int64_t *n) {
  *n = 0;
  if (!rs_read_array(&x->r)) return false;
  for (; rs_read_item(&x->r); *n += 1) {
    rs_span id;
    if (!within(x, *n + 1, x->in->limits.items, "ids") || !read_id(x, &id)) return false;
    rs_span *to = entry(&x->in->list, *n, sizeof id);
    if (!to) return no_memory(x, sizeof id);
    *to = id;
  }
  *ids = x->r.status == RS_OK ? keep_list(x, *n, sizeof **ids) : NULL;
  return *ids != NULL;
}

static bool read_caps(reading *x, rs_request *q) {
  rs_cap caps[MOST_CAPS];
  rs_span key;
  int n = 0;
  if (!rs_read_object(&x->r)) return false;
  for (; rs_read_key(&x->r, &key); n++) {
    if (n == MOST_CAPS) return rs_read_refuse(&x->r, RS_EARG, "more than %d caps", MOST_CAPS);
    for (int i = 0; i < n; i++)
      if (rs_span_equal(caps[i].attribute, key)) return rs_read_twice(&x->r);
    caps[n].attribute = key;
    if (!read_whole_from(x, 1, &caps[n].most)) return false;
  }
  if (x->r.status != RS_OK) return false;
  rs_cap *kept = take(x->pages, sizeof caps);
  if (!kept) return no_memory(x, sizeof caps);
  memcpy(kept, caps, sizeof caps);
  q->caps = kept;
  q->n_caps = n;
  return true;
}

static bool read_diversity(reading *x, rs_request *q) {
  rs_span key;
  int had = 0;
  if (!rs_read_object(&x->r)) return false;
  while (rs_read_key(&x->r, &key)) {
    int field = rs_span_is(key, "lambda") ? 1 : rs_span_is(key, "pool") ? 2 : 0;
    if (field == 0) return rs_read_unknown(&x->r, "lambda, pool");
    if (had & field) return rs_read_twice(&x->r);
    had |= field;
    if (field == 2 ? !read_whole_from(x, 1, &q->pool) : !rs_read_number(&x->r, &q->lambda)) return false;
    if (field == 1 && !(q->lambda > 0 && q->lambda <= 1))
      return rs_read_refuse(&x->r, RS_EARG, "is %g; it lies above 0, up to 1", q->lambda);
  }
  return x->r.status == RS_OK && ((had & 1) || rs_read_lacks(&x->r, "lambda"));
}

static bool read_freshness(reading *x, rs_request *q) {
  rs_span key;
  int had = 0;
  q->boost = 1;
  if (!rs_read_object(&x->r)) return false;
  while (rs_read_key(&x->r, &key)) {
    int field = rs_span_is(key, "half_life") ? 1 : rs_span_is(key, "boost") ? 2 : 0;
    if (field == 0) return rs_read_unknown(&x->r, "boost, half_life");
    if (had & field) return rs_read_twice(&x->r);
    had |= field;
    if (field == 1 ? !read_duration(x, &q->half_life) : !rs_read_number(&x->r, &q->boost)) return false;
    if (field == 1 && q->half_life < 1) return rs_read_refuse(&x->r, RS_EARG, "1 ms or more is expected");
    if (field == 2 && !(q->boost >= 0 && q->boost <= 1e30))
      return rs_read_refuse(&x->r, RS_EARG, "is %g; it lies between 0 and 1e30", q->boost);
  }
  return x->r.status == RS_OK && ((had & 1) || rs_read_lacks(&x->r, "half_life"));
}

static bool read_negated(reading *x, bool *value) {
  bool given;
  if (!rs_read_boolean(&x->r, &given)) return false;
  *value = !given;
  return true;
}

static const char *const names[] = {"user",   "fields", "history",   "now",       "k",        "exclude_seen", "exclude",
                                    "filter", "caps",   "diversity", "freshness", "fallback", "item",         "items",
                                    "users"};
enum { USER, FIELDS, HISTORY, NOW, K, SEEN, EXCLUDE, FILTER, CAPS, DIVERSITY, FRESHNESS, FALLBACK, ITEM, ITEMS, USERS,
       FIELD_COUNT };

enum {
  OWN = 1 << USER | 1 << FIELDS | 1 << HISTORY, /* each user's */
  RULES = 1 << NOW | 1 << K | 1 << EXCLUDE | 1 << FILTER
};
/* By question. */
static const int fields_of[] = {OWN | RULES | 1 << SEEN | 1 << CAPS | 1 << DIVERSITY | 1 << FRESHNESS | 1 << FALLBACK |
                                    1 << USERS,
                                RULES | 1 << ITEM | 1 << ITEMS, OWN | 1 << NOW | 1 << ITEMS | 1 << USERS,
                                OWN | 1 << NOW | 1 << ITEMS | 1 << USERS};

static bool read_item(reading *x, rs_request *q) {
  rs_span *item = take(x->pages, sizeof *item);
  if (!item) return no_memory(x, sizeof *item);
  q->items = item;
  q->n_items = 1;
  return read_id(x, item);
}

static bool read_field(reading *x, int field, rs_request *q) {
  switch (field) {
    case USER: return read_id(x, &q->user);
    case FIELDS: return read_object_text(x, &q->fields);
    case HISTORY: return read_history(x, q);
    case NOW: return rs_read_time(&x->r, &q->now);
    case K: return read_k(x, q);
    case SEEN: return rs_read_boolean(&x->r, &q->exclude_seen);
    case EXCLUDE: return read_ids(x, &q->exclude, &q->n_exclude);
    case FILTER: return read_object_text(x, &q->filter);
    case CAPS: return read_caps(x, q);
    case DIVERSITY: return read_diversity(x, q);
    case FRESHNESS: return read_freshness(x, q);
    case ITEM: return read_item(x, q);
    case ITEMS: return read_ids(x, &q->items, &q->n_items);
    default: return read_negated(x, &q->model_only);
  }
}

static int field_named(rs_span key) {
  for (int i = 0; i < FIELD_COUNT; i++)
    if (rs_span_is(key, names[i])) return i;
  return FIELD_COUNT;
}

static bool unknown_field(reading *x) {
  char known[200] = "";
  for (int i = 0; i < FIELD_COUNT; i++)
    if (x->takes & 1 << i)
      snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", names[i]);
  return rs_read_unknown(&x->r, known);
}

/* The fields of an object, over those of 'q'; 'users' is the text of that field. */
static bool read_request(reading *x, rs_request *q, rs_span *users, int *had) {
  rs_span key;
  *had = 0;
  if (!rs_read_object(&x->r)) return false;
  while (rs_read_key(&x->r, &key)) {
    int field = field_named(key);
    if (field == FIELD_COUNT || !(x->takes & 1 << field)) return unknown_field(x);
    if (*had & 1 << field) return rs_read_twice(&x->r);
    *had |= 1 << field;
    bool absent = rs_read_next(&x->r) == RS_READ_NULL && field != USERS;
    if (field == USERS && rs_read_next(&x->r) != RS_READ_ARRAY) return rs_read_array(&x->r);
    if (absent ? !rs_read_null(&x->r) : field == USERS ? !rs_read_any(&x->r, users) : !read_field(x, field, q))
      return false;
  }
  return x->r.status == RS_OK;
}

/* The user of a request that is wrong elsewhere, perhaps before his id; text NULL: it tells none. What it reads is put
 * behind what 'room' holds. */
static rs_span find_user(rs_buffer *room, const char *bytes, size_t size) {
  rs_json_reader r;
  rs_span key, raw, user = {0};
  rs_read_begin(&r, bytes, size, NULL, ""); /* UTF-8, as it was looked at */
  r.room = room;
  if (rs_read_next(&r) != RS_READ_OBJECT || !rs_read_object(&r)) return user;
  while (rs_read_key(&r, &key)) {
    if (rs_span_is(key, "user")) return rs_read_id(&r, &user) ? user : (rs_span){0};
    if (!rs_read_any(&r, &raw)) break;
  }
  return user;
}

/* ---- several users ---- */

/* Element i of the list: what is wrong with it is told there, not to the whole call. */
static bool read_one(reading *x, int64_t i, const rs_request *base, rs_request *q, const char **wrong) {
  char prefix[40];
  rs_span raw, none;
  int had;
  *wrong = NULL;
  *q = *base;
  if (!rs_read_any(&x->r, &raw)) return false;
  reading one = {.in = x->in, .pages = x->pages, .takes = x->takes & ~(1 << USERS)};
  snprintf(prefix, sizeof prefix, "users[%lld]", (long long)i);
  rs_read_begin(&one.r, raw.text, raw.length, NULL, prefix); /* UTF-8, as it was looked at; */
  one.r.room = x->r.room;                                    /* behind what is there */
  bool fine = rs_read_next(&one.r) == RS_READ_OBJECT ? read_request(&one, q, &none, &had) : read_id(&one, &q->user);
  if (fine) return true;
  if (one.r.status != RS_EARG) return x->r.status = one.r.status, false;
  size_t n = strlen(rs_message()) + 1;
  char *message = take(x->pages, n);
  if (!message) return no_memory(x, n);
  memcpy(message, rs_message(), n);
  *wrong = message;
  if (!q->user.text) q->user = find_user(x->r.room, raw.text, raw.length);
  return true;
}

/* Whether a message's place is in a field. */
static bool is_about(const char *message, const char *field) {
  size_t n = strlen(field);
  return strncmp(message, field, n) == 0 && message[n] && strchr(".[:", message[n]);
}

rs_status rs_json_whose(const rs_asked *asked, int64_t i, rs_status status) {
  char message[1024];
  const rs_request *own = &asked->requests[i], *all = asked->standard;
  if (status == RS_OK || status == RS_ENOMEM || !all) return status;
  snprintf(message, sizeof message, "%s", rs_message());
  bool his = (own->fields.text != all->fields.text && is_about(message, "fields")) ||
             (own->history != all->history && is_about(message, "history")) ||
             (own->filter.text != all->filter.text && is_about(message, "filter")) ||
             (own->caps != all->caps && is_about(message, "caps"));
  return his ? rs_fail(status, "users[%lld].%s", (long long)i, message) : status;
}

static bool read_users(reading *x, rs_span users, const rs_request *base, rs_asked *out) {
  int64_t n = 0;
  reading list = {.in = x->in, .pages = x->pages, .takes = x->takes};
  rs_read_begin(&list.r, users.text, users.length, NULL, "users");
  rs_json_reader ahead = list.r;
  rs_span raw;
  ahead.room = list.r.room = x->r.room;
  size_t kept = x->r.room->size;
  for (rs_read_array(&ahead); rs_read_item(&ahead) && rs_read_any(&ahead, &raw);) n++;
  x->r.room->size = kept;
  if (n > x->in->limits.users)
    return rs_read_refuse(&list.r, RS_EARG, "more than %lld users", (long long)x->in->limits.users),
           x->r.status = list.r.status, false;
  rs_request *requests = take(x->pages, (size_t)n * sizeof *requests + 1);
  const char **wrong = take(x->pages, (size_t)n * sizeof *wrong + 1);
  if (!requests || !wrong) return no_memory(x, (size_t)n * sizeof *requests);
  bool fine = rs_read_array(&list.r);
  for (int64_t i = 0; fine && rs_read_item(&list.r); i++) fine = read_one(&list, i, base, &requests[i], &wrong[i]);
  *out = (rs_asked){requests, wrong, n, true, base};
  x->r.status = list.r.status;
  return fine;
}

/* To /similar each item is a request. */
static bool split_items(reading *x, const rs_request *base, rs_asked *out) {
  int64_t n = base->n_items;
  rs_request *requests = take(x->pages, (size_t)n * sizeof *requests + 1);
  const char **wrong = take(x->pages, (size_t)n * sizeof *wrong + 1);
  if (!requests || !wrong) return no_memory(x, (size_t)n * sizeof *requests);
  for (int64_t i = 0; i < n; i++) {
    requests[i] = *base;
    requests[i].items = base->items + i;
    requests[i].n_items = 1;
    wrong[i] = NULL;
  }
  *out = (rs_asked){requests, wrong, n, true, NULL};
  return true;
}

/* What goes together, by question. */
static bool check_fields(reading *x, rs_question question, int had) {
  int about = had & (1 << ITEM | 1 << ITEMS), own = had & OWN;
  if (question == RS_SIMILAR && !about)
    return rs_read_refuse(&x->r, RS_EARG, "item: is missing; give an id, or a list of them as 'items'");
  if (question == RS_SIMILAR && about != 1 << ITEM && about != 1 << ITEMS)
    return rs_read_refuse(&x->r, RS_EARG, "items: cannot stand beside 'item'; give one of the two");
  if ((had & 1 << USERS) && own)
    return rs_read_refuse(&x->r, RS_EARG, "users: 'user', 'fields' and 'history' cannot stand beside the list; they belong "
                          "into its elements");
  if (question == RS_EMBED && about && (own || (had & 1 << USERS)))
    return rs_read_refuse(&x->r, RS_EARG, "items: cannot stand beside a user; ask for the two in calls of their own");
  if (question == RS_SCORE && !about && !(had & 1 << USERS))
    return rs_read_refuse(&x->r, RS_EARG, "items: is missing; give a list of the ids to be scored");
  return true;
}

static bool read_call(reading *x, rs_question question, rs_asked *out) {
  rs_span users = {0};
  rs_request *base = take(x->pages, sizeof *base);
  const char **wrong = take(x->pages, sizeof *wrong);
  int had;
  if (!base || !wrong) return no_memory(x, sizeof *base);
  *base = x->in->base;
  *wrong = NULL;
  if (!read_request(x, base, &users, &had) || rs_read_end(&x->r) != RS_OK || !check_fields(x, question, had))
    return false;
  *out = (rs_asked){base, wrong, 1, false, NULL};
  if (question == RS_SIMILAR && (had & 1 << ITEMS)) return split_items(x, base, out);
  return users.text ? read_users(x, users, base, out) : true;
}

/* ---- the reader ---- */

rs_status rs_json_in_new(rs_json_in **out, const rs_json_limits *limits) {
  rs_json_in *in = rs_alloc_zero(sizeof *in);
  *out = in;
  if (!in) return rs_nomem("request", sizeof *in);
  in->limits = *limits;
  in->base = (rs_request){.now = RS_TIME_MISSING, .k = 10, .exclude_seen = true};
  return RS_OK;
}

void rs_json_in_free(rs_json_in *in) {
  if (!in) return;
  free_pages(&in->call);
  free_pages(&in->standard);
  rs_buffer_free(&in->standard_text);
  rs_free(in->list.data);
  rs_free(in);
}

/* Escapes of an element are read up to four times: within the list, ahead, by themselves, and for the user of one that is
 * wrong. Room for that. */
static rs_status begin(reading *x, const char *bytes, size_t size) {
  reset_pages(x->pages);
  rs_status status = rs_read_begin(&x->r, bytes, size, &x->pages->room, "");
  return status == RS_OK ? rs_buffer_reserve(&x->pages->room, 4 * size + 16) : status;
}

/* Keep who asked in vain; the message stays. Nothing else of the call is of use any more. */
static rs_status keep_refused(rs_json_in *in, const char *bytes, size_t size) {
  char message[1024];
  snprintf(message, sizeof message, "%s", rs_message());
  in->call.room.size = 0;
  in->refused = find_user(&in->call.room, bytes, size);
  return rs_fail(RS_EARG, "%s", message);
}

rs_status rs_json_in_ask(rs_json_in *in, rs_question question, const char *bytes, size_t size, rs_asked *out) {
  reading x = {.in = in, .pages = &in->call, .takes = fields_of[question]};
  *out = (rs_asked){0};
  in->refused = (rs_span){0};
  rs_status status = begin(&x, bytes, size);
  if (status == RS_OK && !read_call(&x, question, out)) status = x.r.status;
  if (status == RS_OK) return status;
  *out = (rs_asked){0};
  return status == RS_EARG ? keep_refused(in, bytes, size) : status;
}

rs_span rs_json_in_refused(const rs_json_in *in) { return in->refused; }

rs_status rs_json_in_recommend(rs_json_in *in, const char *bytes, size_t size, rs_asked *out) {
  return rs_json_in_ask(in, RS_RECOMMEND, bytes, size, out);
}

const rs_request *rs_json_in_base(const rs_json_in *in) { return &in->base; }

rs_status rs_json_in_standard(rs_json_in *in, const char *bytes, size_t size) {
  reading x = {.in = in, .pages = &in->standard, .takes = fields_of[RS_RECOMMEND] & ~(1 << USERS)};
  rs_span none;
  rs_request base = {.now = RS_TIME_MISSING, .k = 10, .exclude_seen = true};
  int had;
  in->standard_text.size = 0;
  rs_status status = rs_buffer_append(&in->standard_text, bytes, size);
  if (status == RS_OK) status = begin(&x, in->standard_text.data, size);
  if (status == RS_OK && (!read_request(&x, &base, &none, &had) || rs_read_end(&x.r) != RS_OK)) status = x.r.status;
  if (status == RS_OK) in->base = base;
  return status;
}
