/* expression.c - see expression.h. The table of operations, and those on numbers and times, row by row in parallel. */
#include "frame/expression.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/parallel.h"
#include "frame/frame.h"
#include "frame/partition.h"
#include "frame/text.h"

/* The operands and the result of a loop; a constant has stride 0. */
typedef struct lanes {
  const void *in[3];
  int64_t stride[3];
  void *out;
} lanes;

#define NUMBER(k) (((const double *)l->in[k])[i * l->stride[k]])
#define TIME(k) (((const int64_t *)l->in[k])[i * l->stride[k]])
#define LOOP(name, type, value)                                \
  static void name(void *context, int64_t begin, int64_t end) { \
    const lanes *l = context;                                   \
    type *out = l->out;                                         \
    for (int64_t i = begin; i < end; i++) out[i] = (value);     \
  }

static inline bool no_time(int64_t a) { return a == RS_TIME_MISSING; }
static inline bool neither(double x, double y) { return isnan(x) || isnan(y); }
static inline bool no_times(int64_t a, int64_t b) { return a == RS_TIME_MISSING || b == RS_TIME_MISSING; }

/* Arithmetic. */

LOOP(add, double, NUMBER(0) + NUMBER(1))
LOOP(subtract, double, NUMBER(0) - NUMBER(1))
LOOP(multiply, double, NUMBER(0) * NUMBER(1))
LOOP(divide, double, NUMBER(0) / NUMBER(1))
LOOP(negate, double, -NUMBER(0))
LOOP(absolute, double, fabs(NUMBER(0)))
LOOP(logarithm, double, log(NUMBER(0)))
LOOP(logarithm_1p, double, log1p(NUMBER(0)))
LOOP(exponential, double, exp(NUMBER(0)))
LOOP(square_root, double, sqrt(NUMBER(0)))
LOOP(round_down, double, floor(NUMBER(0)))
LOOP(round_up, double, ceil(NUMBER(0)))
LOOP(round_nearest, double, round(NUMBER(0)))
LOOP(sine, double, sin(NUMBER(0)))
LOOP(cosine, double, cos(NUMBER(0)))

static inline double floored_modulo(double x, double y) { /* as Lua's: the sign of y */
  double rest = fmod(x, y);
  return rest * y < 0 ? rest + y : rest;
}

static inline double power(double x, double y) { return neither(x, y) ? NAN : pow(x, y); }
static inline double sign_of(double x) { return isnan(x) ? NAN : (double)((x > 0) - (x < 0)); }
static inline double lesser(double x, double y) { return neither(x, y) ? NAN : x < y ? x : y; }
static inline double greater(double x, double y) { return neither(x, y) ? NAN : x > y ? x : y; }

LOOP(divide_down, double, floor(NUMBER(0) / NUMBER(1)))
LOOP(modulo, double, floored_modulo(NUMBER(0), NUMBER(1)))
LOOP(raise_to, double, power(NUMBER(0), NUMBER(1)))
LOOP(sign, double, sign_of(NUMBER(0)))
LOOP(least, double, lesser(NUMBER(0), NUMBER(1)))
LOOP(greatest, double, greater(NUMBER(0), NUMBER(1)))

/* Comparisons and logic. */

#define COMPARISON(name, op)                                                              \
  LOOP(name##_numbers, double, neither(NUMBER(0), NUMBER(1)) ? NAN : NUMBER(0) op NUMBER(1)) \
  LOOP(name##_times, double, no_times(TIME(0), TIME(1)) ? NAN : TIME(0) op TIME(1))

COMPARISON(equal, ==)
COMPARISON(unequal, !=)
COMPARISON(less, <)
COMPARISON(at_most, <=)
COMPARISON(more, >)
COMPARISON(at_least, >=)

static inline double both(double x, double y) { return x == 0 || y == 0 ? 0 : neither(x, y) ? NAN : 1; }
static inline double either(double x, double y) {
  return (!isnan(x) && x != 0) || (!isnan(y) && y != 0) ? 1 : neither(x, y) ? NAN : 0;
}

LOOP(logical_and, double, both(NUMBER(0), NUMBER(1)))
LOOP(logical_or, double, either(NUMBER(0), NUMBER(1)))
LOOP(logical_not, double, isnan(NUMBER(0)) ? NAN : NUMBER(0) == 0)
LOOP(number_missing, double, isnan(NUMBER(0)))
LOOP(number_present, double, !isnan(NUMBER(0)))
LOOP(time_missing, double, no_time(TIME(0)))
LOOP(time_present, double, !no_time(TIME(0)))
LOOP(fill_number, double, isnan(NUMBER(0)) ? NUMBER(1) : NUMBER(0))
LOOP(fill_time, int64_t, no_time(TIME(0)) ? TIME(1) : TIME(0))
LOOP(choose_number, double, isnan(NUMBER(0)) ? NAN : NUMBER(0) != 0 ? NUMBER(1) : NUMBER(2))
LOOP(choose_time, int64_t, isnan(NUMBER(0)) ? RS_TIME_MISSING : NUMBER(0) != 0 ? TIME(1) : TIME(2))

/* Times. */

/* A number of ms as a time; missing when it is none or out of the range of dates. */
static inline int64_t to_time(double ms) {
  return ms >= -(double)RS_TIME_LIMIT && ms <= (double)RS_TIME_LIMIT ? (int64_t)floor(ms) : RS_TIME_MISSING;
}

static inline int64_t later(int64_t time, double ms) {
  return no_time(time) ? RS_TIME_MISSING : to_time((double)time + ms);
}

static inline int64_t floored(int64_t a, int64_t b) { return a / b - (a % b < 0); }

enum { DAY_MS = 86400000 };

/* The date of a day since 1970: Howard Hinnant's civil_from_days. */
typedef struct date {
  int64_t year;
  int month, day;
} date;

static date date_of(int64_t days) {
  days += 719468;
  int64_t era = floored(days, 146097), day = days - era * 146097;
  int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
  int64_t rest = day - (365 * year + year / 4 - year / 100), month = (5 * rest + 2) / 153;
  int m = (int)(month < 10 ? month + 3 : month - 9);
  return (date){year + era * 400 + (m <= 2), m, (int)(rest - (153 * month + 2) / 5 + 1)};
}

static int64_t days_of(int64_t year, int month) { /* of the first of the month: days_from_civil */
  year -= month <= 2;
  int64_t era = floored(year, 400), of_era = year - era * 400;
  int64_t day = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5;
  return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + day - 719468;
}

/* Missing, or so far off that the arithmetic of dates would overflow. */
static inline bool no_date(int64_t time) { return time < -(INT64_C(1) << 62) || time > INT64_C(1) << 62; }
static inline int64_t day_of(int64_t time) { return floored(time, DAY_MS); }

/* How many whole units of ms have gone by since the last multiple of n of them. */
static inline double within(int64_t time, int64_t unit, int64_t n) {
  int64_t units = floored(time, unit);
  return (double)(units - floored(units, n) * n);
}

static inline double apart(int64_t a, int64_t b) { return (double)(int64_t)((uint64_t)a - (uint64_t)b); }
static double day_of_year(int64_t time) { return (double)(day_of(time) - days_of(date_of(day_of(time)).year, 1) + 1); }

#define PART(name, value) LOOP(name, double, no_date(TIME(0)) ? NAN : (double)(value))

PART(part_year, date_of(day_of(TIME(0))).year)
PART(part_month, date_of(day_of(TIME(0))).month)
PART(part_day, date_of(day_of(TIME(0))).day)
PART(part_day_of_year, day_of_year(TIME(0)))
PART(part_weekday, within(TIME(0) + 3 * (int64_t)DAY_MS, DAY_MS, 7) + 1) /* 1970-01-01 was a Thursday */
PART(part_hour, within(TIME(0), 3600000, 24))
PART(part_minute, within(TIME(0), 60000, 60))
PART(part_second, within(TIME(0), 1000, 60))
PART(part_millisecond, within(TIME(0), 1, 1000))

static int64_t truncate_to(int64_t time, double unit) {
  if (no_date(time) || !(unit >= 1 && unit < 1e18)) return RS_TIME_MISSING;
  return floored(time, (int64_t)unit) * (int64_t)unit;
}

static int64_t start_of_week(int64_t time) { /* Monday */
  return no_date(time) ? RS_TIME_MISSING : (floored(day_of(time) + 3, 7) * 7 - 3) * DAY_MS;
}

static int64_t start_of_month(int64_t time) {
  if (no_date(time)) return RS_TIME_MISSING;
  date d = date_of(day_of(time));
  return days_of(d.year, d.month) * DAY_MS;
}

static int64_t start_of_year(int64_t time) {
  return no_date(time) ? RS_TIME_MISSING : days_of(date_of(day_of(time)).year, 1) * DAY_MS;
}

LOOP(time_plus, int64_t, later(TIME(0), NUMBER(1)))
LOOP(plus_time, int64_t, later(TIME(1), NUMBER(0)))
LOOP(time_minus, int64_t, later(TIME(0), -NUMBER(1)))
LOOP(times_apart, double, no_times(TIME(0), TIME(1)) ? NAN : apart(TIME(0), TIME(1)))
LOOP(truncate_time, int64_t, truncate_to(TIME(0), NUMBER(1)))
LOOP(week_start, int64_t, start_of_week(TIME(0)))
LOOP(month_start, int64_t, start_of_month(TIME(0)))
LOOP(year_start, int64_t, start_of_year(TIME(0)))
LOOP(number_to_time, int64_t, to_time(NUMBER(0)))
LOOP(time_to_number, double, no_time(TIME(0)) ? NAN : (double)TIME(0))
LOOP(same_number, double, NUMBER(0))
LOOP(same_time, int64_t, TIME(0))

static rs_body number_in;

/* The operations: operand types, '>' and the result's; n number, t time, s string, l list, * any more of the last. */
typedef struct operation {
  const char *name, *types;
  rs_body *body; /* either a loop over rows */
  rs_make *make; /* or a function of its own */
} operation;

static const operation operations[] = {
    {"add", "nn>n", add, NULL},
    {"add", "tn>t", time_plus, NULL},
    {"add", "nt>t", plus_time, NULL},
    {"subtract", "nn>n", subtract, NULL},
    {"subtract", "tt>n", times_apart, NULL},
    {"subtract", "tn>t", time_minus, NULL},
    {"multiply", "nn>n", multiply, NULL},
    {"divide", "nn>n", divide, NULL},
    {"divide_down", "nn>n", divide_down, NULL},
    {"modulo", "nn>n", modulo, NULL},
    {"power", "nn>n", raise_to, NULL},
    {"negate", "n>n", negate, NULL},
    {"abs", "n>n", absolute, NULL},
    {"log", "n>n", logarithm, NULL},
    {"log1p", "n>n", logarithm_1p, NULL},
    {"exp", "n>n", exponential, NULL},
    {"sqrt", "n>n", square_root, NULL},
    {"floor", "n>n", round_down, NULL},
    {"ceil", "n>n", round_up, NULL},
    {"round", "n>n", round_nearest, NULL},
    {"sign", "n>n", sign, NULL},
    {"sin", "n>n", sine, NULL},
    {"cos", "n>n", cosine, NULL},
    {"least", "nn>n", least, NULL},
    {"greatest", "nn>n", greatest, NULL},
    {"eq", "nn>n", equal_numbers, NULL},
    {"eq", "tt>n", equal_times, NULL},
    {"eq", "ss>n", NULL, rs_text_equal},
    {"ne", "nn>n", unequal_numbers, NULL},
    {"ne", "tt>n", unequal_times, NULL},
    {"ne", "ss>n", NULL, rs_text_unequal},
    {"lt", "nn>n", less_numbers, NULL},
    {"lt", "tt>n", less_times, NULL},
    {"le", "nn>n", at_most_numbers, NULL},
    {"le", "tt>n", at_most_times, NULL},
    {"gt", "nn>n", more_numbers, NULL},
    {"gt", "tt>n", more_times, NULL},
    {"ge", "nn>n", at_least_numbers, NULL},
    {"ge", "tt>n", at_least_times, NULL},
    {"is_in", "s*>n", NULL, rs_text_in},
    {"is_in", "n*>n", number_in, NULL},
    {"and", "nn>n", logical_and, NULL},
    {"or", "nn>n", logical_or, NULL},
    {"not", "n>n", logical_not, NULL},
    {"is_missing", "n>n", number_missing, NULL},
    {"is_missing", "t>n", time_missing, NULL},
    {"is_missing", "s>n", NULL, rs_text_missing},
    {"is_missing", "l>n", NULL, rs_list_missing},
    {"present", "n>n", number_present, NULL},
    {"present", "t>n", time_present, NULL},
    {"present", "s>n", NULL, rs_text_present},
    {"present", "l>n", NULL, rs_list_present},
    {"fill_missing", "nn>n", fill_number, NULL},
    {"fill_missing", "tt>t", fill_time, NULL},
    {"fill_missing", "ss>s", NULL, rs_text_fill},
    {"if_else", "nnn>n", choose_number, NULL},
    {"if_else", "ntt>t", choose_time, NULL},
    {"if_else", "nss>s", NULL, rs_text_if_else},
    {"year", "t>n", part_year, NULL},
    {"month", "t>n", part_month, NULL},
    {"day", "t>n", part_day, NULL},
    {"day_of_year", "t>n", part_day_of_year, NULL},
    {"weekday", "t>n", part_weekday, NULL},
    {"hour", "t>n", part_hour, NULL},
    {"minute", "t>n", part_minute, NULL},
    {"second", "t>n", part_second, NULL},
    {"millisecond", "t>n", part_millisecond, NULL},
    {"truncate", "tn>t", truncate_time, NULL},
    {"week_start", "t>t", week_start, NULL},
    {"month_start", "t>t", month_start, NULL},
    {"year_start", "t>t", year_start, NULL},
    {"lower", "s>s", NULL, rs_text_lower},
    {"upper", "s>s", NULL, rs_text_upper},
    {"length", "s>n", NULL, rs_text_length},
    {"length", "l>n", NULL, rs_list_length},
    {"contains", "ss>n", NULL, rs_text_contains},
    {"contains", "ls>n", NULL, rs_list_contains},
    {"starts_with", "ss>n", NULL, rs_text_starts_with},
    {"ends_with", "ss>n", NULL, rs_text_ends_with},
    {"concat", "ss>s", NULL, rs_text_concat},
    {"as_number", "n>n", same_number, NULL},
    {"as_number", "t>n", time_to_number, NULL},
    {"as_number", "s>n", NULL, rs_text_number},
    {"as_time", "t>t", same_time, NULL},
    {"as_time", "n>t", number_to_time, NULL},
    {"as_time", "s>t", NULL, rs_text_time},
    {"as_string", "n>s", NULL, rs_number_text},
    {"as_string", "t>s", NULL, rs_time_text},
};

enum { OPERATIONS = sizeof operations / sizeof *operations };

rs_column_type rs_operand_type(const rs_operand *a) { return a->column ? a->column->type : a->type; }

static const char letters[] = "ntsl"; /* of the column types, in their order */

static char letter(const rs_operand *a) { return letters[rs_operand_type(a)]; }
static rs_column_type type_of(char c) { return (rs_column_type)(strchr(letters, c) - letters); }

static bool takes(const operation *o, const rs_call *call) {
  if (strcmp(o->name, call->op) != 0) return false;
  int i = 0;
  const char *types = o->types;
  for (; *types != '>'; types++) {
    if (*types == '*') {
      for (; i < call->n; i++)
        if (letter(&call->args[i]) != types[-1]) return false;
      continue;
    }
    if (i >= call->n || letter(&call->args[i++]) != *types) return false;
  }
  return i == call->n;
}

/* RS_EARG: what the operands are, and what the operation takes. */
static rs_status refuse(const rs_call *call) {
  char given[200] = "", known[400] = "";
  size_t at = 0, known_at = 0;
  for (int i = 0; i < call->n && i < 8; i++)
    at += (size_t)snprintf(given + at, sizeof given - at, "%sa %s", i ? " and " : "",
                           rs_column_type_name(rs_operand_type(&call->args[i])));
  for (int i = 0; i < OPERATIONS; i++) {
    if (strcmp(operations[i].name, call->op) != 0) continue;
    known_at += (size_t)snprintf(known + known_at, sizeof known - known_at, "%s", known_at ? "; or " : "");
    const char *types = operations[i].types;
    for (const char *t = types; *t != '>'; t++)
      known_at += (size_t)snprintf(known + known_at, sizeof known - known_at, "%s%s",
                                   t == types    ? "a "
                                   : *t == '*' ? " and constants like it"
                                               : " and a ",
                                   *t == '*' ? "" : rs_column_type_name(type_of(*t)));
  }
  if (!known_at) return rs_fail(RS_EARG, "there is no operation '%s'", call->op);
  return rs_fail(RS_EARG, "'%s' is not for %s; it takes %s", call->op, given, known);
}

static rs_status start(rs_column *out, const rs_call *call, const char *types) {
  static const rs_dtype dtypes[] = {RS_F64, RS_I64, RS_I32};
  out->type = type_of(strchr(types, '>')[1]);
  out->name = rs_strdup("value");
  if (!out->name) return rs_nomem("expression", sizeof "value");
  return rs_tensor_new(&out->values, dtypes[out->type], 1, &call->rows);
}

static void lane_of(lanes *l, int k, const rs_operand *a) {
  l->stride[k] = a->column != NULL;
  if (a->column)
    l->in[k] = rs_tensor_data(&a->column->values);
  else
    l->in[k] = a->type == RS_TIME ? (const void *)&a->time : &a->number;
}

/* Whether the first operand is one of the others, which are constants: few, so they are gone through. */
typedef struct membership {
  lanes l;
  const rs_operand *others;
  int n;
} membership;

static void number_in(void *context, int64_t begin, int64_t end) {
  const membership *m = context;
  const lanes *l = &m->l;
  double *out = l->out;
  for (int64_t i = begin; i < end; i++) {
    double x = NUMBER(0), found = 0;
    for (int k = 0; k < m->n && !found; k++) found = m->others[k].number == x;
    out[i] = isnan(x) ? NAN : found;
  }
}

static rs_status run_loop(rs_column *out, const operation *o, const rs_call *call) {
  membership m = {.others = call->args + 1, .n = call->n - 1};
  bool set = strchr(o->types, '*') != NULL;
  for (int k = 0; set && k < m.n; k++)
    if (m.others[k].column) return rs_fail(RS_EARG, "'%s' takes constants behind its first operand", call->op);
  for (int k = 0; k < (set ? 1 : call->n); k++) lane_of(&m.l, k, &call->args[k]);
  m.l.out = rs_tensor_data(&out->values);
  rs_parallel_for(call->rows, RS_ROW_GRAIN, o->body, &m);
  return RS_OK;
}

/* Texts that meet a time become times. */
static rs_status read_times(rs_operand *args, const rs_call *call) {
  bool times = false;
  for (int i = 0; i < call->n; i++) {
    args[i] = call->args[i];
    times = times || rs_operand_type(&args[i]) == RS_TIME;
  }
  for (int i = 0; times && i < call->n; i++) {
    rs_operand *a = &args[i];
    if (a->column || a->type != RS_STRING) continue;
    if (!a->missing && !rs_parse_time(a->text, a->length, &a->time))
      return rs_fail(RS_EARG, "'%.60s' is no ISO 8601 time", a->text);
    if (a->missing) a->time = RS_TIME_MISSING;
    a->type = RS_TIME;
  }
  return RS_OK;
}

static rs_status apply(rs_column *out, const rs_call *call) {
  for (int i = 0; i < OPERATIONS; i++) {
    const operation *o = &operations[i];
    if (!takes(o, call)) continue;
    rs_status status = start(out, call, o->types);
    if (status != RS_OK) return status;
    return o->make ? o->make(out, call) : run_loop(out, o, call);
  }
  return refuse(call);
}

rs_status rs_column_apply(rs_column *out, const rs_call *call) {
  size_t bytes = (size_t)(call->n + 1) * sizeof(rs_operand);
  rs_operand *args = rs_alloc(bytes);
  if (!args) return rs_nomem("expression", bytes);
  rs_status status = read_times(args, call);
  if (status == RS_OK) status = apply(out, &(rs_call){call->op, args, call->n, call->rows});
  rs_free(args);
  return status;
}
