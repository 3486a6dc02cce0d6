/* encoder.h - fitted feature programs: the one transform from a frame to features.
 *
 * An encoder is data: JSON (steps and outputs of three sides, names of tables) and tensors (vocabularies, edges). A
 * step is a primitive over columns (read, lookup, affine, bucketize, fourier, window, ...); C knows the primitives,
 * Lua (lua/recsys/feature/) composes features from them. Each output row is a function of its frame row and its
 * slice of events alone, so a million rows and a single request give the same bits. docs/features.md, "The program". */
#ifndef RS_ENCODER_H
#define RS_ENCODER_H
#include <jansson.h>

#include "frame/accumulator.h"
#include "frame/column.h"
#include "frame/features.h"
#include "frame/vocabulary.h"

typedef struct rs_encoder rs_encoder; /* immutable once parsed: any number of threads may run it at once */

typedef enum rs_side { RS_USER, RS_EVENT, RS_ITEM } rs_side;
const char *rs_side_name(rs_side side); /* "user", "event", "item" */

/* Parse and check an encoder from untrusted bytes; the tensors it names are shared, others are ignored. RS_EFORMAT
 * says what is wrong and in which step. */
rs_status rs_encoder_parse(rs_encoder **out, const char *json, size_t bytes, const rs_tensors *tensors);
void rs_encoder_free(rs_encoder *e); /* NULL is fine */

/* The text it was parsed from, and the tensors it uses, by name. Owned by the encoder. */
const char *rs_encoder_json(const rs_encoder *e, size_t *bytes);
const rs_tensors *rs_encoder_tensors(const rs_encoder *e);

/* The vocabulary called 'table', or NULL; the encoder's reference. */
rs_vocabulary *rs_encoder_vocabulary(const rs_encoder *e, const char *table);

/* What a side puts out, in order. */
typedef struct rs_output_info {
  const char *name; /* the encoder's */
  rs_output_kind kind;
  const char *table; /* the vocabulary its codes come from, or NULL */
  int64_t rows;      /* codes lie in 0 .. rows-1 */
  int64_t width;     /* of numbers; else 1 */
  bool moving;       /* it counts events, so that its value depends on the moment */
} rs_output_info;
int rs_encoder_outputs(const rs_encoder *e, rs_side side);
rs_output_info rs_encoder_output(const rs_encoder *e, rs_side side, int i);

/* The columns that a side reads, in order and each once; 'type' as a read step has it: string, strings or number. On
 * the event side "user.x" is the column x of the moment's user. NULL beyond the last. */
const char *rs_encoder_column(const rs_encoder *e, rs_side side, int i, const char **type);

/* Filters of events, which counts and rates are of: filter k is bit k of an event's marks. */
enum { RS_MAX_FILTERS = 31 };
int rs_encoder_filters(const rs_encoder *e);
/* marks i32 [rows]: bit k is set where all columns that filter k names hold one of its values (numbers in their decimal
 * form); a column that the frame lacks holds none. RS_EARG for a column of lists or times. */
rs_status rs_encoder_marks(const rs_encoder *e, const rs_frame *events, rs_tensor *marks);
/* The column of the interactions that says how much an event weighs, or NULL. */
const char *rs_encoder_weight(const rs_encoder *e);
/* ms: the item side's counts are read at the start of such a period; 0: it does not count. */
int64_t rs_encoder_period(const rs_encoder *e);
/* How far back the event side looks, and the item side's counts from the end of their period. */
rs_keep rs_encoder_keep(const rs_encoder *e);

/* What features of the past read: row i of the frame is preceded by events[begin[i] .. end[i]), oldest first, and
 * its moment is now[i]. The item side's counts read events of the items in the same way. */
typedef struct rs_events {
  const rs_features *items; /* the item side of the whole catalogue; windows need it */
  const int32_t *events;    /* rows of the catalogue; -1 is an item that it does not hold */
  int64_t n_events;
  const int64_t *begin, *end; /* one each a row of the frame, 0 <= begin <= end <= n_events */
  const int64_t *times;       /* ms, of each event; RS_TIME_MISSING is never within a span. NULL: all are missing */
  const float *weights;       /* of each event; NULL: all 1 */
  const int32_t *marks;       /* of each event; NULL: none */
  const int64_t *now;         /* ms, of each row; NULL: all are missing */
} rs_events;

/* Run one side over a frame. A column that the frame lacks counts as missing in every row; RS_EARG names a column of
 * the wrong type. 'events' is read by the event side alone; NULL stands for no events. 'out' must be empty. */
rs_status rs_encoder_run(const rs_encoder *e, rs_side side, const rs_frame *frame, const rs_events *events,
                         rs_features *out);

/* The moving outputs of the item side for 'rows' items at moments: row i's events are those before it, as of 'events'.
 * Nothing else of the side is run. 'out' must be empty. */
rs_status rs_encoder_run_moving(const rs_encoder *e, int64_t rows, const rs_events *events, rs_features *out);

/* A frame of one row from the fields of a request (a JSON object; null and absent are missing), with the columns that
 * the side reads, in the types it reads them. RS_EARG names a field of the wrong type; unknown fields are ignored. */
rs_status rs_encoder_request(const rs_encoder *e, rs_side side, const json_t *fields, rs_frame *out);

/* Weight and marks of an event from its fields, with the bits that rs_encoder_marks and rs_history_new give to a table
 * of such rows. RS_EARG names a field of the wrong type. */
rs_status rs_encoder_event(const rs_encoder *e, const json_t *fields, rs_event *event);

#endif
