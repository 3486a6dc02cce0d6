/* primitives_number.c - arithmetic on numbers in float64; f32 only where a matrix is made. */
#include <math.h>
#include <string.h>

#include "frame/program.h"

enum { NUMBER_BIT = 1 << RS_V_NUMBER, MAX_CODES = 1 << 30, MAX_HARMONICS = 256 };

double rs_signed_log(double x) { return copysign(log1p(fabs(x)), x); }

/* ---- number to number ---- */

typedef struct map_work {
  const rs_step *step;
  double (*f)(const rs_step *step, double x);
  const double *from;
  double *to;
} map_work;

static void map_numbers(void *context, int64_t begin, int64_t end) {
  const map_work *w = context;
  for (int64_t i = begin; i < end; i++) w->to[i] = w->f(w->step, w->from[i]);
}

static rs_status run_map(const rs_step *step, rs_run *run, rs_column *out, double (*f)(const rs_step *, double)) {
  rs_status status = rs_value_numbers(out, run->rows);
  if (status != RS_OK) return status;
  map_work w = {step, f, rs_f64(&run->values[step->inputs[0]].values), rs_f64(&out->values)};
  rs_each(run->rows, map_numbers, &w);
  return RS_OK;
}

static rs_status parse_plain(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program, (void)p;
  step->type = RS_V_NUMBER;
  return RS_OK;
}

static rs_status parse_two(rs_step *step, const rs_parsing *p, const char *first, const char *second) {
  step->type = RS_V_NUMBER;
  rs_status status = rs_step_number(p, first, &step->a);
  return status == RS_OK && second ? rs_step_number(p, second, &step->b) : status;
}

static double log_of(const rs_step *step, double x) {
  (void)step;
  return rs_signed_log(x);
}

static rs_status run_log(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_map(step, run, out, log_of);
}

const rs_primitive rs_log_primitive = {"log", NUMBER_BIT, parse_plain, run_log};

static rs_status parse_affine(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  return parse_two(step, p, "scale", "shift");
}

static double affine_of(const rs_step *step, double x) { return x * step->a + step->b; }

static rs_status run_affine(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_map(step, run, out, affine_of);
}

const rs_primitive rs_affine_primitive = {"affine", NUMBER_BIT, parse_affine, run_affine};

static rs_status parse_clamp(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  rs_status status = parse_two(step, p, "low", "high");
  if (status == RS_OK && step->a > step->b) return rs_fail(RS_EFORMAT, "low lies above high");
  return status;
}

static double clamp_of(const rs_step *step, double x) { return x < step->a ? step->a : x > step->b ? step->b : x; }

static rs_status run_clamp(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_map(step, run, out, clamp_of);
}

const rs_primitive rs_clamp_primitive = {"clamp", NUMBER_BIT, parse_clamp, run_clamp};

static rs_status parse_impute(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  return parse_two(step, p, "value", NULL);
}

static double impute_of(const rs_step *step, double x) { return isfinite(x) ? x : step->a; }

static rs_status run_impute(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_map(step, run, out, impute_of);
}

const rs_primitive rs_impute_primitive = {"impute", NUMBER_BIT, parse_impute, run_impute};

static double missing_of(const rs_step *step, double x) {
  (void)step;
  return isfinite(x) ? 0 : 1;
}

static rs_status run_missing(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_map(step, run, out, missing_of);
}

const rs_primitive rs_missing_primitive = {"missing", NUMBER_BIT, parse_plain, run_missing};

/* ---- time parts ---- */

static const struct {
  const char *name;
  int n;
} parts[] = {{"hour", 24}, {"weekday", 7}, {"month_day", 31}, {"month", 12}, {"year_day", 366}};

static rs_status parse_time_part(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  const char *part;
  step->type = RS_V_NUMBER;
  rs_status status = rs_step_number(p, "offset", &step->a);
  if (status == RS_OK) status = rs_step_text(p, "part", &part);
  if (status != RS_OK) return status;
  for (int i = 0; i < 5; i++)
    if (strcmp(parts[i].name, part) == 0) {
      step->part = (rs_time_part)i;
      return RS_OK;
    }
  return rs_fail(RS_EFORMAT, "part is '%.40s', not hour, weekday, month_day, month or year_day", part);
}

static bool is_leap(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

/* Year, month 0 .. 11 and day of the month 0 .. 30 of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level
 * date algorithms": eras of 400 years that begin in March). */
static void civil(int64_t day, int64_t *year, int *month, int *month_day) {
  day += 719468;
  int64_t era = (day >= 0 ? day : day - 146096) / 146097, of_era = day - era * 146097;
  int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int from_march = (int)((5 * of_year + 2) / 153);
  *month_day = (int)(of_year - (153 * from_march + 2) / 5);
  *month = from_march < 10 ? from_march + 2 : from_march - 10;
  *year = year_of_era + era * 400 + (*month < 2);
}

static double year_day(int64_t year, int month, int month_day) {
  static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  return before[month] + month_day + (month > 1 && is_leap(year));
}

static double part_of(const rs_step *step, double x) {
  double day = floor((x + step->a) / 86400000.0);
  if (!(fabs(x) <= 8.64e15)) return NAN;
  if (step->part == RS_HOUR) return floor((x + step->a - day * 86400000.0) / 3600000.0);
  if (step->part == RS_WEEKDAY) return day + 3 - 7 * floor((day + 3) / 7);
  int64_t year;
  int month, month_day;
  civil((int64_t)day, &year, &month, &month_day);
  if (step->part == RS_MONTH_DAY) return month_day;
  return step->part == RS_MONTH ? month : year_day(year, month, month_day);
}

static rs_status run_time_part(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_map(step, run, out, part_of);
}

const rs_primitive rs_time_part_primitive = {"time_part", NUMBER_BIT, parse_time_part, run_time_part};

/* ---- number to codes ---- */

typedef struct coder_work {
  const rs_step *step;
  const double *from;
  int32_t *to;
} coder_work;

static rs_status run_coder(const rs_step *step, rs_run *run, rs_column *out, rs_each_body *body) {
  rs_status status = rs_value_codes(out, run->rows);
  if (status != RS_OK) return status;
  coder_work w = {step, rs_f64(&run->values[step->inputs[0]].values), rs_i32(&out->values)};
  rs_each(run->rows, body, &w);
  return RS_OK;
}

static rs_status check_edges(const rs_tensor *t) {
  if (t->dtype != RS_F64 || t->ndim != 1 || !rs_tensor_is_contiguous(t) || t->size[0] >= MAX_CODES)
    return rs_fail(RS_EFORMAT, "edges are %s %s, not a vector of f64", rs_dtype_name(t->dtype), rs_shape(t).text);
  for (int64_t i = 0; i < t->size[0]; i++)
    if (!isfinite(rs_f64(t)[i]) || (i && !(rs_f64(t)[i] > rs_f64(t)[i - 1])))
      return rs_fail(RS_EFORMAT, "edges do not rise at %lld", (long long)i);
  return RS_OK;
}

rs_status rs_step_edges(rs_step *step, const rs_parsing *p) {
  const char *name;
  rs_status status = rs_step_text(p, "edges", &name);
  if (status != RS_OK) return status;
  const rs_tensor *edges = rs_tensors_find(p->tensors, name);
  if (!edges) return rs_fail(RS_EFORMAT, "there is no tensor '%.100s'", name);
  status = check_edges(edges);
  if (status != RS_OK) return status;
  rs_tensor_share(&step->edges, edges);
  return rs_tensors_find(&p->encoder->tensors, name) ? RS_OK : rs_tensors_add(&p->encoder->tensors, name, edges);
}

static rs_status parse_bucketize(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  step->type = RS_V_CODES;
  rs_status status = rs_step_edges(step, p);
  step->rows = status == RS_OK ? step->edges.size[0] + 2 : 0;
  return status;
}

static void bucketize(void *context, int64_t begin, int64_t end) {
  const coder_work *w = context;
  const double *edges = rs_f64(&w->step->edges);
  for (int64_t i = begin; i < end; i++) {
    int64_t low = 0, high = w->step->edges.size[0];
    while (low < high) {
      int64_t middle = (low + high) / 2;
      if (edges[middle] <= w->from[i])
        low = middle + 1;
      else
        high = middle;
    }
    w->to[i] = isnan(w->from[i]) ? 0 : (int32_t)low + 1;
  }
}

static rs_status run_bucketize(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_coder(step, run, out, bucketize);
}

const rs_primitive rs_bucketize_primitive = {"bucketize", NUMBER_BIT, parse_bucketize, run_bucketize};

static rs_status parse_code(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  step->type = RS_V_CODES;
  rs_status status = rs_step_count(p, "n", 1, MAX_CODES, &step->count);
  step->rows = step->count + 1;
  return status;
}

static void to_codes(void *context, int64_t begin, int64_t end) {
  const coder_work *w = context;
  for (int64_t i = begin; i < end; i++) {
    double x = w->from[i];
    bool good = x >= 0 && x < (double)w->step->count && x == floor(x);
    w->to[i] = good ? (int32_t)x + 1 : 0;
  }
}

static rs_status run_code(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  return run_coder(step, run, out, to_codes);
}

const rs_primitive rs_code_primitive = {"code", NUMBER_BIT, parse_code, run_code};

/* ---- number to matrix ---- */

static rs_status new_matrix(const rs_step *step, rs_run *run, rs_column *out) {
  return rs_value_reuse(&out->values, RS_F32, 2, (int64_t[]){run->rows, step->width});
}

static rs_status parse_fourier(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program;
  step->type = RS_V_MATRIX;
  rs_status status = rs_step_number(p, "period", &step->a);
  if (status == RS_OK && !(step->a > 0)) status = rs_fail(RS_EFORMAT, "period is not above 0");
  if (status == RS_OK) status = rs_step_count(p, "harmonics", 1, MAX_HARMONICS, &step->count);
  step->width = 2 * step->count;
  return status;
}

typedef struct matrix_work {
  const rs_step *step;
  rs_run *run;
  const double *from;
  float *to;
} matrix_work;

/* The remainder is exact in float64, so the angle's error is a few units of 1e-16 of a turn, times k, at any date. */
static void fourier(void *context, int64_t begin, int64_t end) {
  const matrix_work *w = context;
  int64_t harmonics = w->step->count;
  for (int64_t i = begin; i < end; i++) {
    float *row = w->to + i * 2 * harmonics;
    double turn = fmod(w->from[i], w->step->a) / w->step->a;
    for (int64_t k = 1; k <= harmonics; k++) {
      double angle = 6.283185307179586 * fmod(turn * (double)k, 1);
      row[2 * k - 2] = isfinite(turn) ? (float)cos(angle) : 0;
      row[2 * k - 1] = isfinite(turn) ? (float)sin(angle) : 0;
    }
  }
}

static rs_status run_fourier(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  rs_status status = new_matrix(step, run, out);
  if (status != RS_OK) return status;
  matrix_work w = {step, run, rs_f64(&run->values[step->inputs[0]].values), rs_f32(&out->values)};
  rs_each(run->rows, fourier, &w);
  return RS_OK;
}

const rs_primitive rs_fourier_primitive = {"fourier", NUMBER_BIT, parse_fourier, run_fourier};

static rs_status parse_stack(rs_step *step, const rs_program *program, const rs_parsing *p) {
  (void)program, (void)p;
  step->type = RS_V_MATRIX;
  step->width = step->n_inputs;
  return RS_OK;
}

static void stack(void *context, int64_t begin, int64_t end) {
  const matrix_work *w = context;
  int width = w->step->n_inputs;
  for (int j = 0; j < width; j++) {
    const double *from = rs_f64(&w->run->values[w->step->inputs[j]].values);
    for (int64_t i = begin; i < end; i++) w->to[i * width + j] = (float)from[i];
  }
}

static rs_status run_stack(const rs_step *step, int index, rs_run *run, rs_column *out) {
  (void)index;
  rs_status status = new_matrix(step, run, out);
  if (status != RS_OK) return status;
  matrix_work w = {step, run, NULL, rs_f32(&out->values)};
  rs_each(run->rows, stack, &w);
  return RS_OK;
}

const rs_primitive rs_stack_primitive = {"stack", NUMBER_BIT, parse_stack, run_stack};
