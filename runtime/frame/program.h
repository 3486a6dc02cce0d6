/* program.h - the inside of an encoder: steps over typed values, one primitive each.
 *
 * A value is a column: strings with a dictionary, numbers f64 [n] (NaN missing), codes i32 [n], lists of codes,, a
 * matrix f32 [n, width], or weights beside a list of codes: f32 with the list's slices. Types are settled when the
 * program is parsed; running one only moves data. Every primitive works row by row (or string by string), so a row's
 * result does not depend on the rows around it. */
#ifndef RS_PROGRAM_H
#define RS_PROGRAM_H
#include "base/buffer.h"
#include "frame/encoder.h"
#include "frame/tfidf.h"
#include "frame/words.h"

typedef enum rs_value_type { RS_V_STRING, RS_V_STRINGS, RS_V_NUMBER, RS_V_CODES, RS_V_LIST, RS_V_MATRIX,
                             RS_V_WEIGHTS } rs_value_type;

typedef enum rs_time_part { RS_HOUR, RS_WEEKDAY, RS_MONTH_DAY, RS_MONTH, RS_YEAR_DAY } rs_time_part;

typedef enum rs_scale { RS_PLAIN, RS_LOG, RS_SHARE } rs_scale;

typedef struct rs_primitive rs_primitive;

typedef struct rs_step {
  const rs_primitive *primitive;
  rs_value_type type;              /* of the result */
  int64_t rows;                    /* codes and lists: they lie in 0 .. rows-1 */
  int64_t width;                   /* of a matrix; else 1 */
  int *inputs, n_inputs;           /* earlier steps */
  char *text;                      /* read: column; split: separator; window: item output */
  const rs_vocabulary *vocabulary; /* lookup; the encoder's */
  const char *table;               /* lookup: its name; the encoder's */
  rs_tensor edges;                 /* bucketize: f64, rising */
  rs_token_rule tokens;            /* tokenise */
  rs_ngram_rule ngrams;            /* ngrams */
  rs_tfidf_rule tfidf;             /* project: over its idf */
  rs_tensor idf, vectors;          /* project: f64 [words], f32 [words, width]; vector: f32 [codes, width - 1] */
  double a, b;                     /* affine: scale, shift; clamp: low, high; impute: value; fourier: period in a;
                                      time_part: offset in a */
  int64_t count; /* prefix, window: length; tokenise: max; hash: buckets; code: n; fourier: harmonics */
  int64_t each;  /* window: codes of an event, exactly so many; 0: all that it has */
  int64_t span;  /* count, profile: ms */
  int filter;    /* count, profile: the bit of the marks; -1: every event */
  int kinds[RS_MAX_FILTERS], n_kinds;   /* window of kinds: bits of the marks, the first that is set says the kind */
  float kind_weights[RS_MAX_FILTERS];   /* window of kinds' weights: of an event of each kind */
  rs_scale scale; /* profile */
  rs_time_part part;
  bool drop; /* lookup and window: leave unknown values out of a list */
} rs_step;

typedef struct rs_program_output {
  char *name;
  int step;
} rs_program_output;

typedef struct rs_program {
  rs_step *steps;
  int n_steps;
  rs_program_output *outputs;
  int n_outputs;
} rs_program;

typedef struct rs_table {
  char *name;
  rs_vocabulary *vocabulary;
} rs_table;

/* All conditions of a filter must hold: the column has one of the values. */
typedef struct rs_condition {
  char *column;
  char **values;
  int n_values;
} rs_condition;

typedef struct rs_filter {
  rs_condition *conditions;
  int n_conditions;
} rs_filter;

struct rs_encoder {
  rs_buffer json;
  rs_tensors tensors;
  rs_table *tables;
  int n_tables;
  rs_filter *filters;
  int n_filters;
  char *weight;   /* a column of the interactions, or NULL */
  int64_t period; /* ms, or 0 */
  rs_program sides[3]; /* by rs_side */
};

/* One run over a frame: values[i] is what step i gave. */
typedef struct rs_run {
  const rs_program *program;
  const rs_frame *frame;
  const rs_events *events;
  int64_t rows;
  rs_column *values;
  int64_t first, last; /* the events that some row reads are among first .. last-1 */
  rs_tensor *offsets;  /* i64 [last - first + 1]; of window steps: where the codes of each of those events begin; of
                          counts: how many events before each pass the filter */
} rs_run;

/* What a step may read while it is parsed. */
typedef struct rs_parsing {
  rs_encoder *encoder;
  const rs_tensors *tensors;
  rs_side side;
  const json_t *json; /* the step */
} rs_parsing;

struct rs_primitive {
  const char *name;
  unsigned accepts; /* a bit a value type of the inputs; 0: takes none */
  /* Check the parameters and settle type, rows and width; the inputs are parsed already. */
  rs_status (*parse)(rs_step *step, const rs_program *program, const rs_parsing *parsing);
  /* Fill 'out', which is empty; what a failure leaves in it is freed by the caller. */
  rs_status (*run)(const rs_step *step, int index, rs_run *run, rs_column *out);
};

extern const rs_primitive rs_read_primitive, rs_prefix_primitive, rs_split_primitive, rs_tokenise_primitive,
    rs_lookup_primitive, rs_hash_primitive, rs_log_primitive, rs_affine_primitive, rs_clamp_primitive,
    rs_impute_primitive, rs_missing_primitive, rs_bucketize_primitive, rs_time_part_primitive, rs_code_primitive,
    rs_fourier_primitive, rs_stack_primitive, rs_window_primitive, rs_window_weights_primitive,
    rs_window_gaps_primitive, rs_window_kinds_primitive, rs_window_kind_weights_primitive, rs_count_primitive, rs_profile_primitive,
    rs_ratio_primitive, rs_difference_primitive, rs_join_primitive, rs_pick_primitive,
    rs_without_primitive, rs_ngrams_primitive, rs_project_primitive, rs_vector_primitive;

/* Parameters of a step; RS_EFORMAT when absent or of the wrong kind. */
bool rs_is_window(const rs_primitive *p); /* its values lie beside a window's codes, or are these */
rs_status rs_step_text(const rs_parsing *p, const char *key, const char **out);
rs_status rs_step_count(const rs_parsing *p, const char *key, int64_t low, int64_t high, int64_t *out);
rs_status rs_step_number(const rs_parsing *p, const char *key, double *out); /* finite; a string of digits */
/* The tensor f64, finite and rising, that "edges" names, into step->edges. */
rs_status rs_step_edges(rs_step *step, const rs_parsing *p);
/* The tensor that parameter 'key' names, contiguous, of that dtype and number of dimensions; a handle, kept by the
 * encoder too. */
rs_status rs_step_tensor(const rs_parsing *p, const char *key, rs_dtype dtype, int ndim, rs_tensor *out);
/* Parameter "table": step->vocabulary and step->table. */
rs_status rs_step_table(rs_step *step, const rs_parsing *p);
/* "unknown": whether it says "drop"; "keep" when absent. */
rs_status rs_step_drop(const rs_parsing *p, bool *out);

/* The item output called 'name' while the event side is parsed, or NULL; and an item's codes there, -1 being an item
 * outside the catalogue. */
const rs_step *rs_item_step(const rs_encoder *e, const char *name);
int64_t rs_codes_of_item(const rs_output *o, int32_t item, const int32_t **codes);

/* "filters" and "weight" of an encoder's JSON. */
rs_status rs_filters_parse(rs_encoder *e, const json_t *document);
void rs_filters_free(rs_encoder *e);

/* body over 0 .. n-1: at once when n is small (a request opens no parallel region), else in parallel. */
typedef void rs_each_body(void *context, int64_t begin, int64_t end);
void rs_each(int64_t n, rs_each_body *body, void *context);

/* An uncleared tensor of that kind: 't' itself when it is that already and nobody else holds its memory, else a new
 * one. */
rs_status rs_value_reuse(rs_tensor *t, rs_dtype dtype, int ndim, const int64_t *size);

/* Whether the step writes over its value of an earlier run; else that is freed before. */
bool rs_step_reuses(const rs_step *step);
/* Run all steps over run->frame. */
rs_status rs_run_steps(rs_run *run);
rs_output_kind rs_output_kind_of(rs_value_type type);

/* Values of the shapes above, uncleared, by rs_value_reuse. */
rs_status rs_value_numbers(rs_column *out, int64_t n);
rs_status rs_value_codes(rs_column *out, int64_t n);

/* The transform of the primitive log, which fitting needs too: sign(x) log(1 + |x|). */
double rs_signed_log(double x);

#endif
