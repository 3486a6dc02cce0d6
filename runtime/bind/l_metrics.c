/* l_metrics.c - recsys.core.metrics: full ranking, means and bootstrap intervals, trailing counts, users' sequences. */
#include <string.h>

#include "bind/bind.h"
#include "bind/fields.h"
#include "metrics/bootstrap.h"
#include "metrics/ranking.h"
#include "metrics/sequences.h"
#include "metrics/window.h"

#define RANKING "recsys.Ranking"
#define RANKED "recsys.Ranked"
#define WINDOW "recsys.WindowCounts"
#define SEQUENCES "recsys.UserSequences"

enum { MOST_CUTOFFS = 32 };

/* Ranking. */

typedef struct ranking {
  rs_ranking *core;
  rs_question ask; /* borrows from the tensors below */
  rs_list_tensors relevant, excluded, candidates;
  rs_tensor gains, item_time, from, to;
  int64_t k[MOST_CUTOFFS];
} ranking;

static int l_ranking_free(lua_State *L) {
  ranking *r = luaL_checkudata(L, 1, RANKING);
  rs_ranking_free(r->core);
  rs_free_lists(&r->relevant);
  rs_free_lists(&r->excluded);
  rs_free_lists(&r->candidates);
  rs_tensor_free(&r->gains);
  rs_tensor_free(&r->item_time);
  rs_tensor_free(&r->from);
  rs_tensor_free(&r->to);
  r->core = NULL;
  return 0;
}

static ranking *check_ranking(lua_State *L, int arg) {
  ranking *r = luaL_checkudata(L, arg, RANKING);
  luaL_argcheck(L, r->core, arg, "ranking is closed");
  return r;
}

static void take_cutoffs(lua_State *L, ranking *r) {
  if (lua_getfield(L, 1, "k") != LUA_TTABLE) luaL_error(L, "'k' must be a table of cut-offs");
  lua_Unsigned n = lua_rawlen(L, -1);
  if (n > MOST_CUTOFFS) luaL_error(L, "'k' has %I cut-offs; at most %d are served", (LUAI_UACINT)n, MOST_CUTOFFS);
  for (r->ask.n_k = 0; r->ask.n_k < (int64_t)n; r->ask.n_k++) {
    lua_rawgeti(L, -1, r->ask.n_k + 1);
    if (!lua_isinteger(L, -1)) luaL_error(L, "'k' must hold integers, not %s", luaL_tolstring(L, -1, NULL));
    r->k[r->ask.n_k] = lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  r->ask.k = r->k;
}

static void take_question_lists(lua_State *L, ranking *r) {
  r->ask.relevant = rs_take_lists(L, 1, "relevant", &r->relevant);
  if (!r->relevant.starts.storage) luaL_error(L, "'relevant' is missing");
  r->ask.queries = r->ask.relevant.n;
  r->ask.excluded = rs_take_lists(L, 1, "excluded", &r->excluded);
  r->ask.candidates = rs_take_lists(L, 1, "candidates", &r->candidates);
  if (rs_take_field(L, 1, "gains", RS_F32, 1, &r->gains)) {
    rs_need_rows(L, &r->gains, "gains", r->ask.relevant.n_values);
    r->ask.gains = rs_f32(&r->gains);
  }
}

static void take_windows(lua_State *L, ranking *r) {
  if (rs_take_field(L, 1, "item_time", RS_I64, 1, &r->item_time)) {
    rs_need_rows(L, &r->item_time, "item_time", r->ask.items);
    r->ask.item_time = rs_i64(&r->item_time);
  }
  if (rs_take_field(L, 1, "from", RS_I64, 1, &r->from)) {
    rs_need_rows(L, &r->from, "from", r->ask.queries);
    r->ask.from = rs_i64(&r->from);
  }
  if (rs_take_field(L, 1, "to", RS_I64, 1, &r->to)) {
    rs_need_rows(L, &r->to, "to", r->ask.queries);
    r->ask.to = rs_i64(&r->to);
  }
}

/* metrics.ranking{ items, relevant, k, [gains, excluded, candidates, item_time, from, to, coverage] } -> Ranking */
static int l_ranking(lua_State *L) {
  static const char *const known[] = {"items",     "relevant", "k",  "gains",    "excluded", "candidates",
                                      "item_time", "from",     "to", "coverage", NULL};
  rs_check_options(L, 1, known);
  lua_settop(L, 1);
  ranking *r = rs_push_object(L, sizeof *r, RANKING, 0);
  r->ask.items = rs_integer_field(L, 1, "items", -1);
  if (r->ask.items < 0) luaL_error(L, "'items' must be the number of items");
  take_cutoffs(L, r);
  take_question_lists(L, r);
  take_windows(L, r);
  r->ask.coverage = lua_getfield(L, 1, "coverage") == LUA_TNIL || lua_toboolean(L, -1);
  lua_pop(L, 1);
  rs_check_retry(L, rs_ranking_new(&r->core, &r->ask));
  return 1;
}

/* r:names() -> the metrics, in order of the rows of finish().metrics */
static int l_ranking_names(lua_State *L) {
  const ranking *r = check_ranking(L, 1);
  lua_newtable(L);
  for (int64_t c = 0; c < rs_ranking_columns(r->core); c++) {
    char name[RS_METRIC_NAME];
    rs_ranking_column_name(r->core, c, name);
    lua_pushstring(L, name);
    lua_rawseti(L, -2, c + 1);
  }
  return 1;
}

static int l_ranking_queries(lua_State *L) {
  lua_pushinteger(L, check_ranking(L, 1)->ask.queries);
  return 1;
}

static int l_ranking_items(lua_State *L) {
  lua_pushinteger(L, check_ranking(L, 1)->ask.items);
  return 1;
}

/* r:candidates() -> how many items are a candidate of some query; nil without coverage */
static int l_ranking_candidates(lua_State *L) {
  int64_t n = rs_ranking_candidates(check_ranking(L, 1)->core);
  if (n < 0)
    lua_pushnil(L);
  else
    lua_pushinteger(L, n);
  return 1;
}

static int l_ranking_tostring(lua_State *L) {
  const ranking *r = luaL_checkudata(L, 1, RANKING);
  if (r->core)
    lua_pushfstring(L, "Ranking of %I queries over %I items", (LUAI_UACINT)r->ask.queries, (LUAI_UACINT)r->ask.items);
  else
    lua_pushliteral(L, "Ranking (closed)");
  return 1;
}

/* Ranked: what one scorer reached. Its user value 1 is the ranking, whose cut-offs and queries it borrows. */

static int l_ranked_free(lua_State *L) {
  rs_ranked_free(luaL_checkudata(L, 1, RANKED));
  return 0;
}

static const ranking *ranking_of(lua_State *L) {
  lua_getiuservalue(L, 1, 1);
  const ranking *r = check_ranking(L, -1);
  lua_pop(L, 1);
  return r;
}

static rs_ranked *check_ranked(lua_State *L) {
  rs_ranked *ranked = luaL_checkudata(L, 1, RANKED);
  luaL_argcheck(L, ranked->scored, 1, "ranked is closed");
  return ranked;
}

/* r:ranked() -> Ranked */
static int l_ranking_ranked(lua_State *L) {
  const ranking *r = check_ranking(L, 1);
  rs_ranked *ranked = rs_push_object(L, sizeof *ranked, RANKED, 1);
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, 1);
  rs_check_retry(L, rs_ranked_new(ranked, r->core));
  rs_account(L, &ranked->metrics);
  return 1;
}

/* A contiguous f32 handle on the tensor at 'arg', left on the stack. */
static const rs_tensor *scores_at(lua_State *L, int arg, int ndim) {
  const rs_tensor *t = rs_check_tensor(L, arg);
  luaL_argcheck(L, t->dtype == RS_F32 && t->ndim == ndim, arg,
                lua_pushfstring(L, "a tensor f32 with %d dimensions expected, got %s %s", ndim, rs_dtype_name(t->dtype),
                                rs_shape(t).text));
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(out, t));
  return out;
}

/* Columns i32 [items] at 'arg', NULL where there are none. */
static const int32_t *columns_at(lua_State *L, int arg, const ranking *r) {
  if (lua_isnoneornil(L, arg)) return NULL;
  const rs_tensor *t = rs_check_tensor(L, arg);
  luaL_argcheck(L, t->dtype == RS_I32 && t->ndim == 1 && t->size[0] == r->ask.items, arg,
                lua_pushfstring(L, "a tensor i32 [%I] expected, got %s %s", (LUAI_UACINT)r->ask.items,
                                rs_dtype_name(t->dtype), rs_shape(t).text));
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(out, t));
  return rs_i32(out);
}

/* ranked:rows(first, scores f32 [n, items], [columns i32 [items]]): scores of queries first .. first + n - 1, from 1; with
 * columns scores are [n, width], and an item's stands in its column */
static int l_ranked_rows(lua_State *L) {
  rs_ranked *ranked = check_ranked(L);
  const ranking *r = ranking_of(L);
  lua_Integer first = luaL_checkinteger(L, 2);
  lua_settop(L, 4);
  const rs_tensor *scores = scores_at(L, 3, 2);
  const int32_t *columns = columns_at(L, 4, r);
  luaL_argcheck(L, columns || scores->size[1] == r->ask.items, 3, "the scores must have a column an item");
  luaL_argcheck(L, first >= 1 && scores->size[0] <= r->ask.queries - (first - 1), 2, "more scores than queries");
  rs_check(L, rs_ranking_rows(r->core, ranked, first - 1, scores->size[0], rs_f32(scores), scores->size[1],
                              columns));
  return 0;
}

/* ranked:constant(scores f32 [items]): the same scores for every query */
static int l_ranked_constant(lua_State *L) {
  rs_ranked *ranked = check_ranked(L);
  const ranking *r = ranking_of(L);
  const rs_tensor *scores = scores_at(L, 2, 1);
  luaL_argcheck(L, scores->size[0] == r->ask.items, 2, "there must be a score an item");
  rs_check(L, rs_ranking_rows(r->core, ranked, 0, r->ask.queries, rs_f32(scores), 0, NULL));
  return 0;
}

/* ranked:factors(users f32 [queries, d] or [queries, vectors, d], items f32 [items, d]): scores are their products */
static int l_ranked_factors(lua_State *L) {
  rs_ranked *ranked = check_ranked(L);
  const ranking *r = ranking_of(L);
  const rs_tensor *users = scores_at(L, 2, rs_check_tensor(L, 2)->ndim == 3 ? 3 : 2), *items = scores_at(L, 3, 2);
  int64_t vectors = users->ndim == 3 ? users->size[1] : 1, width = users->size[users->ndim - 1];
  luaL_argcheck(L, users->size[0] == r->ask.queries, 2, "there must be a row a query");
  luaL_argcheck(L, items->size[0] == r->ask.items, 3, "there must be a row an item");
  luaL_argcheck(L, items->size[1] == width, 3, "users and items have different widths");
  rs_check(L, rs_ranking_factors(r->core, ranked, rs_f32(users), rs_f32(items), vectors, width));
  return 0;
}

/* ranked:finish() -> { metrics = f64 [names, queries], candidates, greater, equal, coverage = { [k] = share } } */
static int l_ranked_finish(lua_State *L) {
  const rs_ranked *ranked = check_ranked(L);
  const ranking *r = ranking_of(L);
  rs_check(L, rs_ranked_check(ranked));
  lua_newtable(L);
  rs_set_tensor(L, "metrics", &ranked->metrics);
  rs_set_tensor(L, "candidates", &ranked->candidates);
  rs_set_tensor(L, "greater", &ranked->greater);
  rs_set_tensor(L, "equal", &ranked->equal);
  if (!r->ask.coverage) return 1;
  lua_newtable(L);
  int64_t candidates = rs_ranking_candidates(r->core);
  for (int64_t i = 0; i < r->ask.n_k; i++) {
    lua_pushnumber(L, candidates > 0 ? rs_coverage_count(&ranked->coverage, i) / (double)candidates : 0);
    lua_rawseti(L, -2, r->k[i]);
  }
  lua_setfield(L, -2, "coverage");
  return 1;
}

static int l_ranked_tostring(lua_State *L) {
  const rs_ranked *ranked = luaL_checkudata(L, 1, RANKED);
  lua_pushstring(L, ranked->scored ? "Ranked" : "Ranked (closed)");
  return 1;
}

/* Means and intervals. */

/* The metrics at argument 1 and the optional rows at 'arg' as handles, left on the stack. */
static rs_measured check_measured(lua_State *L, int arg) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  luaL_argcheck(L, t->dtype == RS_F64 && t->ndim == 2, 1, "a tensor f64 [metrics, queries] expected");
  rs_tensor *values = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(values, t));
  rs_measured m = {rs_f64(values), t->size[0], t->size[1], NULL, 0};
  if (lua_isnoneornil(L, arg)) return m;
  rs_tensor *rows = rs_push_tensor(L);
  rs_take_tensor(L, arg, "rows", RS_I64, 1, rows);
  m.rows = rs_i64(rows);
  m.n_rows = rows->size[0];
  return m;
}

/* metrics.means(values f64 [metrics, queries], [rows i64]) -> numbers */
static int l_means(lua_State *L) {
  lua_settop(L, 2);
  rs_measured m = check_measured(L, 2);
  double *out = lua_newuserdatauv(L, (size_t)m.metrics * sizeof *out + 1, 0);
  rs_check(L, rs_means(out, &m));
  lua_newtable(L);
  for (int64_t i = 0; i < m.metrics; i++) {
    lua_pushnumber(L, out[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* metrics.bootstrap(values f64 [metrics, queries], users i64 [queries], [{ samples, seed, rows }])
 * -> f64 [metrics, samples] */
static int l_bootstrap(lua_State *L) {
  static const char *const known[] = {"samples", "seed", "rows", NULL};
  lua_settop(L, 3);
  if (lua_isnil(L, 3)) {
    lua_newtable(L);
    lua_replace(L, 3);
  }
  rs_check_options(L, 3, known);
  lua_Integer samples = rs_integer_field(L, 3, "samples", 1000), seed = rs_integer_field(L, 3, "seed", 1);
  lua_getfield(L, 3, "rows");
  rs_measured m = check_measured(L, 4);
  rs_tensor *users = rs_push_tensor(L);
  rs_take_tensor(L, 2, "users", RS_I64, 1, users);
  rs_need_rows(L, users, "users", m.queries);
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_bootstrap(out, &m, rs_i64(users), samples, (uint64_t)seed));
  rs_account(L, out);
  return 1;
}

static double check_level(lua_State *L, int arg) {
  double level = luaL_optnumber(L, arg, 0.95);
  luaL_argcheck(L, level > 0 && level < 1, arg, "the level must lie between 0 and 1");
  return level;
}

/* The resamples at argument 1, contiguous. */
static const rs_tensor *check_resamples(lua_State *L) {
  const rs_tensor *t = rs_check_tensor(L, 1);
  luaL_argcheck(L, t->dtype == RS_F64 && t->ndim == 2, 1, "a tensor f64 [metrics, samples] expected");
  rs_tensor *out = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_contiguous(out, t));
  return out;
}

static void push_bounds(lua_State *L, const double bounds[2]) {
  lua_createtable(L, 2, 0);
  for (int i = 0; i < 2; i++) {
    lua_pushnumber(L, bounds[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* metrics.intervals(resamples f64 [metrics, samples], [level = 0.95]) -> { { low, high }, ... } */
static int l_intervals(lua_State *L) {
  double level = check_level(L, 2), p[2] = {(1 - level) / 2, (1 + level) / 2}, bounds[2];
  const rs_tensor *t = check_resamples(L);
  lua_newtable(L);
  for (int64_t i = 0; i < t->size[0]; i++) {
    rs_check(L, rs_quantiles(bounds, rs_f64(t) + i * t->size[1], t->size[1], p, 2));
    push_bounds(L, bounds);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* metrics.paired(resamples f64 [metrics, samples], a, b, [level = 0.95]) -> { difference = {low, high}, ratio } */
static int l_paired(lua_State *L) {
  lua_settop(L, 4);
  const rs_tensor *t = check_resamples(L);
  int64_t a = rs_check_index(L, 2, t->size[0]), b = rs_check_index(L, 3, t->size[0]), n = t->size[1];
  rs_paired paired;
  rs_check(L, rs_paired_intervals(&paired, rs_f64(t) + a * n, rs_f64(t) + b * n, n, check_level(L, 4)));
  lua_createtable(L, 0, 2);
  push_bounds(L, paired.difference);
  lua_setfield(L, -2, "difference");
  push_bounds(L, paired.ratio);
  lua_setfield(L, -2, "ratio");
  return 1;
}

/* Trailing counts. */

typedef struct window {
  rs_window *core;
  rs_tensor time, item, group;
  int64_t items;
  bool grouped;
} window;

static int l_window_free(lua_State *L) {
  window *w = luaL_checkudata(L, 1, WINDOW);
  rs_window_free(w->core);
  rs_tensor_free(&w->time);
  rs_tensor_free(&w->item);
  rs_tensor_free(&w->group);
  w->core = NULL;
  return 0;
}

/* metrics.window{ time, item, items, [group, groups, length = 0] } -> WindowCounts */
static int l_window(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  window *w = rs_push_object(L, sizeof *w, WINDOW, 0);
  rs_need_field(L, 1, "time", RS_I64, 1, &w->time);
  rs_need_field(L, 1, "item", RS_I32, 1, &w->item);
  rs_need_rows(L, &w->item, "item", w->time.size[0]);
  rs_events events = {w->time.size[0],
                      rs_i64(&w->time),
                      rs_i32(&w->item),
                      NULL,
                      rs_integer_field(L, 1, "items", -1),
                      rs_integer_field(L, 1, "groups", 1)};
  if (events.items < 0 || events.groups < 1) luaL_error(L, "'items' and 'groups' must be numbers of items and groups");
  if (events.groups > INT32_MAX || events.items > INT32_MAX)
    luaL_error(L, "'items' and 'groups' must be below 2147483648");
  if ((w->grouped = rs_take_field(L, 1, "group", RS_I32, 1, &w->group))) {
    rs_need_rows(L, &w->group, "group", events.n);
    events.group = rs_i32(&w->group);
  }
  w->items = events.items;
  rs_check_retry(L, rs_window_new(&w->core, &events, rs_integer_field(L, 1, "length", 0)));
  return 1;
}

/* w:counts(time i64 [n], [group i32 [n]]) -> f32 [n, items] */
static int l_window_counts(lua_State *L) {
  lua_settop(L, 3);
  window *w = luaL_checkudata(L, 1, WINDOW);
  luaL_argcheck(L, w->core, 1, "window is closed");
  rs_tensor *time = rs_push_tensor(L), *group = rs_push_tensor(L), *out = rs_push_tensor(L);
  rs_take_tensor(L, 2, "time", RS_I64, 1, time);
  bool by_group = !lua_isnil(L, 3);
  luaL_argcheck(L, !by_group || w->grouped, 3, "the events have no groups");
  if (by_group) {
    rs_take_tensor(L, 3, "group", RS_I32, 1, group);
    rs_need_rows(L, group, "group", time->size[0]);
  }
  rs_check_retry(L, rs_tensor_new(out, RS_F32, 2, (int64_t[]){time->size[0], w->items}));
  rs_check(L, rs_window_counts(w->core, time->size[0], rs_i64(time), by_group ? rs_i32(group) : NULL, rs_f32(out)));
  rs_account(L, out);
  return 1;
}

static int l_window_tostring(lua_State *L) {
  const window *w = luaL_checkudata(L, 1, WINDOW);
  if (w->core)
    lua_pushfstring(L, "WindowCounts of %I events on %I items", (LUAI_UACINT)w->time.size[0], (LUAI_UACINT)w->items);
  else
    lua_pushliteral(L, "WindowCounts (closed)");
  return 1;
}

/* Users' sequences. */

typedef struct sequences {
  rs_sequences core;
  rs_tensor user, item, rows;
} sequences;

static int l_sequences_free(lua_State *L) {
  sequences *s = luaL_checkudata(L, 1, SEQUENCES);
  rs_sequences_free(&s->core);
  rs_tensor_free(&s->user);
  rs_tensor_free(&s->item);
  rs_tensor_free(&s->rows);
  return 0;
}

static sequences *check_sequences(lua_State *L) {
  sequences *s = luaL_checkudata(L, 1, SEQUENCES);
  luaL_argcheck(L, s->core.starts.storage, 1, "sequences are closed");
  return s;
}

/* metrics.sequences(user i64 [n], item i64 [n], users, [rows i64]) -> UserSequences */
static int l_sequences(lua_State *L) {
  lua_settop(L, 4);
  lua_Integer users = luaL_checkinteger(L, 3);
  luaL_argcheck(L, users >= 0, 3, "there cannot be fewer than 0 users");
  sequences *s = rs_push_object(L, sizeof *s, SEQUENCES, 0);
  rs_take_tensor(L, 1, "user", RS_I64, 1, &s->user);
  rs_take_tensor(L, 2, "item", RS_I64, 1, &s->item);
  rs_need_rows(L, &s->item, "item", s->user.size[0]);
  bool some = !lua_isnil(L, 4);
  if (some) rs_take_tensor(L, 4, "rows", RS_I64, 1, &s->rows);
  rs_check_retry(L, rs_sequences_new(&s->core, rs_i64(&s->user), rs_i64(&s->item), s->user.size[0], users,
                                     some ? rs_i64(&s->rows) : NULL, some ? s->rows.size[0] : 0));
  return 1;
}

/* s:lists() -> { starts = i64 [users], lengths = i32 [users], values = i32 [events], rows = i64 [events] } */
static int l_sequences_lists(lua_State *L) {
  const sequences *s = check_sequences(L);
  lua_createtable(L, 0, 4);
  rs_set_tensor(L, "starts", &s->core.starts);
  rs_set_tensor(L, "lengths", &s->core.lengths);
  rs_set_tensor(L, "values", &s->core.items);
  rs_set_tensor(L, "rows", &s->core.rows);
  return 1;
}

/* s:before(time i64 [n], user i64 [q], at i64 [q]) -> { starts = i64 [q], lengths = i32 [q], values } */
static int l_sequences_before(lua_State *L) {
  lua_settop(L, 4);
  const sequences *s = check_sequences(L);
  rs_tensor *time = rs_push_tensor(L), *user = rs_push_tensor(L), *at = rs_push_tensor(L);
  rs_take_tensor(L, 2, "time", RS_I64, 1, time);
  rs_take_tensor(L, 3, "user", RS_I64, 1, user);
  rs_take_tensor(L, 4, "at", RS_I64, 1, at);
  rs_need_rows(L, time, "time", s->user.size[0]);
  rs_need_rows(L, at, "at", user->size[0]);
  lua_createtable(L, 0, 3);
  rs_tensor *starts = rs_push_tensor(L), *lengths = rs_push_tensor(L);
  rs_check_retry(L, rs_tensor_new(starts, RS_I64, 1, user->size));
  rs_check_retry(L, rs_tensor_new(lengths, RS_I32, 1, user->size));
  rs_check(L, rs_sequences_before(&s->core, rs_i64(time), user->size[0], rs_i64(user), rs_i64(at), rs_i64(starts),
                                  rs_i32(lengths)));
  lua_setfield(L, -3, "lengths");
  lua_setfield(L, -2, "starts");
  rs_set_tensor(L, "values", &s->core.items);
  return 1;
}

static int l_sequences_tostring(lua_State *L) {
  const sequences *s = luaL_checkudata(L, 1, SEQUENCES);
  if (s->core.starts.storage)
    lua_pushfstring(L, "UserSequences of %I users", (LUAI_UACINT)s->core.starts.size[0]);
  else
    lua_pushliteral(L, "UserSequences (closed)");
  return 1;
}

static void new_ranking_types(lua_State *L) {
  static const luaL_Reg ranking_methods[] = {{"names", l_ranking_names},
                                             {"queries", l_ranking_queries},
                                             {"items", l_ranking_items},
                                             {"candidates", l_ranking_candidates},
                                             {"ranked", l_ranking_ranked},
                                             {"close", l_ranking_free},
                                             {NULL, NULL}};
  static const luaL_Reg ranking_meta[] = {
      {"__gc", l_ranking_free}, {"__close", l_ranking_free}, {"__tostring", l_ranking_tostring}, {NULL, NULL}};
  static const luaL_Reg ranked_methods[] = {{"rows", l_ranked_rows},       {"constant", l_ranked_constant},
                                            {"factors", l_ranked_factors}, {"finish", l_ranked_finish},
                                            {"close", l_ranked_free},      {NULL, NULL}};
  static const luaL_Reg ranked_meta[] = {
      {"__gc", l_ranked_free}, {"__close", l_ranked_free}, {"__tostring", l_ranked_tostring}, {NULL, NULL}};
  rs_new_type(L, RANKING, ranking_methods, ranking_meta);
  rs_new_type(L, RANKED, ranked_methods, ranked_meta);
}

int rs_open_metrics(lua_State *L) {
  static const luaL_Reg window_methods[] = {{"counts", l_window_counts}, {"close", l_window_free}, {NULL, NULL}};
  static const luaL_Reg window_meta[] = {
      {"__gc", l_window_free}, {"__close", l_window_free}, {"__tostring", l_window_tostring}, {NULL, NULL}};
  static const luaL_Reg sequences_methods[] = {
      {"lists", l_sequences_lists}, {"before", l_sequences_before}, {"close", l_sequences_free}, {NULL, NULL}};
  static const luaL_Reg sequences_meta[] = {
      {"__gc", l_sequences_free}, {"__close", l_sequences_free}, {"__tostring", l_sequences_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"ranking", l_ranking},     {"means", l_means},   {"bootstrap", l_bootstrap},
                                       {"intervals", l_intervals}, {"paired", l_paired}, {"window", l_window},
                                       {"sequences", l_sequences}, {NULL, NULL}};
  new_ranking_types(L);
  rs_new_type(L, WINDOW, window_methods, window_meta);
  rs_new_type(L, SEQUENCES, sequences_methods, sequences_meta);
  luaL_newlib(L, functions);
  return 1;
}
