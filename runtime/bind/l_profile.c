/* l_profile.c - recsys.core.profile: what looking at frames finds, as plain tables. */
#include "bind/fields.h"
#include "bind/frame.h"
#include "frame/profile.h"

#define REPEATS "recsys frame repeats"
#define OVERLAPS "recsys frame overlaps"

enum { SHARES = 8 };

static void set_number(lua_State *L, const char *key, double value) {
  lua_pushnumber(L, value);
  lua_setfield(L, -2, key);
}

/* Spread and skew. */

/* The fields of a spread into the table on top of the stack; none when there are no values. */
static void set_spread(lua_State *L, const rs_spread *s) {
  static const char *const names[RS_PROFILE_QUANTILES] = {"q01", "q25", "q50", "q75", "q99"};
  if (s->n == 0) return;
  set_number(L, "min", s->min);
  set_number(L, "max", s->max);
  set_number(L, "mean", s->mean);
  set_number(L, "deviation", s->deviation);
  for (int k = 0; k < RS_PROFILE_QUANTILES; k++) set_number(L, names[k], s->quantile[k]);
}

static void push_integers(lua_State *L, const int64_t *values, int64_t n) {
  lua_createtable(L, (int)n, 0);
  for (int64_t i = 0; i < n; i++) {
    lua_pushinteger(L, values[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

static void set_skew(lua_State *L, const char *key, const rs_skew *s) {
  lua_createtable(L, 0, 16);
  rs_set_integer(L, "n", s->spread.n);
  rs_set_integer(L, "total", s->total);
  rs_set_integer(L, "once", s->once);
  set_number(L, "gini", s->gini);
  set_number(L, "top_1", s->top1);
  set_number(L, "top_10", s->top10);
  set_spread(L, &s->spread);
  push_integers(L, s->rank, s->n_points);
  lua_setfield(L, -2, "rank");
  push_integers(L, s->count, s->n_points);
  lua_setfield(L, -2, "count");
  lua_setfield(L, -2, key);
}

/* Columns. */

static int64_t optional(lua_State *L, int arg, int64_t standard, int64_t least, int64_t most) {
  int64_t value = luaL_optinteger(L, arg, standard);
  if (value < least || value > most)
    luaL_argerror(L, arg, lua_pushfstring(L, "%I to %I are served", (LUAI_UACINT)least, (LUAI_UACINT)most));
  return value;
}

static void push_top(lua_State *L, const rs_column *c, const rs_top *top) {
  lua_createtable(L, 0, 2);
  if (c->dictionary) {
    size_t length;
    const char *text = rs_dictionary_text(c->dictionary, top->code, &length);
    lua_pushlstring(L, text, length);
  } else if (c->type == RS_TIME)
    lua_pushinteger(L, (lua_Integer)top->number);
  else
    lua_pushnumber(L, top->number);
  lua_setfield(L, -2, "value");
  rs_set_integer(L, "count", top->count);
}

static void push_profile(lua_State *L, const rs_column *c, const rs_profile *p) {
  lua_createtable(L, 0, 18);
  rs_set_text(L, "name", c->name);
  rs_set_text(L, "type", rs_column_type_name(c->type));
  rs_set_integer(L, "rows", p->rows);
  rs_set_integer(L, "missing", p->missing);
  rs_set_integer(L, "distinct", p->distinct);
  if (c->type == RS_NUMBER) {
    lua_pushboolean(L, p->whole);
    lua_setfield(L, -2, "whole");
  }
  set_spread(L, &p->spread);
  lua_createtable(L, (int)p->n_top, 0);
  for (int64_t i = 0; i < p->n_top; i++) {
    push_top(L, c, &p->top[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "top");
  if (p->n_bins == 0) return;
  lua_createtable(L, 0, 3);
  set_number(L, "from", p->low);
  set_number(L, "to", p->high);
  push_integers(L, p->bins, p->n_bins);
  lua_setfield(L, -2, "counts");
  lua_setfield(L, -2, "histogram");
}

/* profile.columns(f, top, bins) -> a table a column */
static int l_columns(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  int64_t top = optional(L, 2, 10, 0, RS_PROFILE_TOP), bins = optional(L, 3, 24, 1, RS_PROFILE_BINS);
  rs_profile *profiles = lua_newuserdatauv(L, (size_t)f->n_columns * sizeof *profiles, 0);
  rs_check_retry(L, rs_profile_columns(profiles, f, top, bins));
  lua_createtable(L, f->n_columns, 0);
  for (int i = 0; i < f->n_columns; i++) {
    push_profile(L, &f->columns[i], &profiles[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* Repeated rows. */

static int l_free_repeats(lua_State *L) {
  rs_repeats_free(luaL_checkudata(L, 1, REPEATS));
  return 0;
}

/* profile.repeats(f, names | nil, { missing = "value" | "skip", limit = n }) -> table */
static int l_repeats(lua_State *L) {
  static const char *const known[] = {"missing", "limit", NULL}, *const words[] = {"value", "skip", NULL};
  const rs_frame *f = rs_check_frame(L, 1);
  int n = 0;
  bool skip = false;
  int64_t limit = 10;
  lua_settop(L, 3);
  if (!lua_isnil(L, 3)) {
    rs_check_options(L, 3, known);
    skip = rs_choice_option(L, 3, "missing", words, "value") == 1;
    limit = rs_integer_option(L, 3, "limit", 0, 10);
  }
  const char **names = lua_isnil(L, 2) ? NULL : rs_check_names(L, 2, &n);
  rs_repeats *r = rs_push_object(L, sizeof *r, REPEATS, 0);
  rs_check_retry(L, rs_frame_repeats(r, f, names, n, skip, limit));
  lua_createtable(L, 0, 6);
  rs_set_integer(L, "rows", r->rows);
  rs_set_integer(L, "incomplete", r->incomplete);
  rs_set_integer(L, "distinct", r->distinct);
  rs_set_integer(L, "repeated", r->repeated);
  rs_set_tensor(L, "repeats", &r->repeats);
  rs_set_tensor(L, "firsts", &r->firsts);
  rs_repeats_free(r);
  return 1;
}

/* Keys. */

typedef struct overlaps {
  rs_overlap sides[2];
} overlaps;

static int l_free_overlaps(lua_State *L) {
  overlaps *o = luaL_checkudata(L, 1, OVERLAPS);
  for (int i = 0; i < 2; i++) rs_overlap_free(&o->sides[i]);
  return 0;
}

static void push_overlap(lua_State *L, const rs_overlap *o) {
  lua_createtable(L, 0, 6);
  rs_set_integer(L, "rows", o->rows);
  rs_set_integer(L, "missing", o->missing);
  rs_set_integer(L, "keys", o->keys);
  rs_set_integer(L, "unmatched_rows", o->unmatched_rows);
  rs_set_integer(L, "unmatched_keys", o->unmatched_keys);
  lua_createtable(L, (int)o->n_examples, 0);
  for (int64_t i = 0; i < o->n_examples; i++) {
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, o->examples[i].text, o->examples[i].length);
    lua_setfield(L, -2, "key");
    rs_set_integer(L, "rows", o->examples[i].rows);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "examples");
}

static const rs_column *check_column_of(lua_State *L, int frame, int name) {
  const rs_column *c = rs_frame_need(rs_check_frame(L, frame), luaL_checkstring(L, name));
  if (!c) luaL_argerror(L, name, rs_message());
  return c;
}

/* profile.overlap(f, name, g, name) -> table of the one, table of the other */
static int l_overlap(lua_State *L) {
  const rs_column *a = check_column_of(L, 1, 2), *b = check_column_of(L, 3, 4);
  overlaps *o = rs_push_object(L, sizeof *o, OVERLAPS, 0);
  rs_check_retry(L, rs_column_overlap(&o->sides[0], &o->sides[1], a, b));
  push_overlap(L, &o->sides[0]);
  push_overlap(L, &o->sides[1]);
  return 2;
}

/* Interactions. */

static void push_cold(lua_State *L, const rs_cold *c) {
  lua_createtable(L, 0, 10);
  set_number(L, "share", c->share);
  if (c->from != INT64_MAX) rs_set_integer(L, "from", c->from);
  rs_set_integer(L, "events", c->events);
  rs_set_integer(L, "users", c->users);
  rs_set_integer(L, "items", c->items);
  rs_set_integer(L, "new_users", c->new_users);
  rs_set_integer(L, "new_items", c->new_items);
  rs_set_integer(L, "user_events", c->user_events);
  rs_set_integer(L, "item_events", c->item_events);
  rs_set_integer(L, "either_events", c->either_events);
}

static int check_shares(lua_State *L, int arg, rs_cold *cold) {
  if (lua_isnoneornil(L, arg)) return 0;
  luaL_checktype(L, arg, LUA_TTABLE);
  int n = (int)lua_rawlen(L, arg);
  luaL_argcheck(L, n <= SHARES, arg, "at most 8 shares are served");
  for (int i = 0; i < n; i++) {
    lua_rawgeti(L, arg, i + 1);
    cold[i].share = lua_tonumber(L, -1);
    luaL_argcheck(L, cold[i].share > 0 && cold[i].share < 1, arg, "shares between 0 and 1 expected");
    lua_pop(L, 1);
  }
  return n;
}

/* profile.interactions(f, user, item, time | nil, shares) -> table */
static int l_interactions(lua_State *L) {
  const rs_frame *f = rs_check_frame(L, 1);
  const char *user = luaL_checkstring(L, 2), *item = luaL_checkstring(L, 3), *time = luaL_optstring(L, 4, NULL);
  rs_cold cold[SHARES] = {{0}};
  int n = check_shares(L, 5, cold);
  luaL_argcheck(L, time || n == 0, 5, "cold shares need a time");
  rs_interactions *found = lua_newuserdatauv(L, sizeof *found, 0);
  rs_check_retry(L, rs_frame_interactions(found, cold, n, f, user, item, time));
  lua_createtable(L, 0, 7);
  rs_set_integer(L, "rows", found->rows);
  rs_set_integer(L, "incomplete", found->incomplete);
  rs_set_integer(L, "pairs", found->pairs);
  rs_set_integer(L, "repeated", found->repeated);
  set_skew(L, "users", &found->users);
  set_skew(L, "items", &found->items);
  lua_createtable(L, n, 0);
  for (int i = 0; i < n; i++) {
    push_cold(L, &cold[i]);
    lua_rawseti(L, -2, i + 1);
  }
  lua_setfield(L, -2, "cold");
  return 1;
}

int rs_open_profile(lua_State *L) {
  static const luaL_Reg functions[] = {{"columns", l_columns},
                                       {"repeats", l_repeats},
                                       {"overlap", l_overlap},
                                       {"interactions", l_interactions},
                                       {NULL, NULL}};
  rs_new_scratch_type(L, REPEATS, l_free_repeats);
  rs_new_scratch_type(L, OVERLAPS, l_free_overlaps);
  luaL_newlib(L, functions);
  return 1;
}
