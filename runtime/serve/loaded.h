/* loaded.h - what a loaded model consists of. Within the serve folder. */
#ifndef RS_SERVE_LOADED_H
#define RS_SERVE_LOADED_H
#include "autograd/plan.h"
#include "bundle/bundle.h"
#include "frame/accumulator.h"
#include "frame/encoder.h"
#include "frame/row.h"
#include "frame/vocabulary.h"
#include "retrieval/index.h"
#include "serve/model.h"

/* Strings one after another; number i is bytes[offsets[i] .. offsets[i + 1]). Empty tensors: all strings are empty. */
typedef struct rs_texts {
  rs_tensor bytes, offsets; /* u8 [total], i64 [n + 1] */
} rs_texts;

/* Rows that requests have filled and the next ones fill again: taken and put back without a lock. */
enum { RS_SPARE_ROWS = 8 };
typedef struct rs_spare {
  _Atomic(rs_row *) rows[2][RS_SPARE_ROWS]; /* RS_USER, RS_EVENT */
} rs_spare;

/* The title of an item that came later or changed. */
typedef struct rs_title {
  size_t length;
  char bytes[];
} rs_title;

/* What is popular, of all users and of those of a segment, which is a value of a column of theirs: popular.safetensors.
 * All-zero: the bundle has none. */
typedef struct rs_popular {
  rs_tensor rows, scores; /* i32 and f32 [n]: items by falling popularity, the decayed number of their events */
  rs_texts columns;       /* [n_columns] columns of users */
  rs_texts values;        /* [n_segments] each segment's value */
  rs_tensor column;       /* i32 [n_segments] and the column it is of */
  rs_tensor starts;       /* i64 [n_segments + 1]: where its items begin in */
  rs_tensor segment_rows, segment_scores;
  rs_tensor users; /* i32 [users] the segment of each; -1: none */
  int n_columns, n_segments;
} rs_popular;

struct rs_server_model {
  rs_bundle *bundle;
  uint64_t identity; /* of this model as its items are now; no two in this process are equal */
  rs_index *index;   /* over 'vectors' */
  rs_frame attributes; /* columns of items that filters and caps read, of the bundle's items */
  bool has_attributes; /* the bundle has that member */
  rs_popular popular;
  rs_encoder *encoder;
  rs_plan *plan;                      /* of the user tower; output "user" */
  rs_plan *item_plan;                 /* of the item tower, output "item"; NULL in a bundle without one */
  rs_tensors weights;                 /* of the plan */
  rs_tensor vectors;                  /* f32 [items, width]; of a model by columns i32 [items]: in which of a user's
                                       * row of scores an item's stands */
  int64_t width;                      /* of users' vectors */
  char *columns_of;                   /* by columns: the item side's codes that the columns are; NULL: by vectors */
  int64_t likeness;                   /* 0 by columns; else the first so many dimensions say what an item is: items are compared by them */
  rs_tensor created;                  /* i64 [items], ms, or empty */
  rs_vocabulary *item_ids, *user_ids; /* of the bundle: code = row + 1 */
  rs_dictionary *new_items; /* code - 1 + the bundle's items: rows of items that came later; NULL: none (items.h) */
  rs_texts titles;          /* of the bundle */
  rs_title **new_titles;    /* by row: of items that came later or changed; NULL: the bundle's */
  int64_t titles_capacity;  /* of new_titles */
  rs_features items, users; /* encoded item and user sides, a row each */
  rs_frame moments;         /* a row a user: the columns "user.x" that the event side reads of him */
  rs_accumulator state;     /* what users did, as of the bundle's last event and of what was posted since */
  rs_dictionary *new_users; /* code - 1 + the bundle's users: rows of users whose events were posted */
  rs_spare *spare;
  int64_t as_of, window;    /* ms; window -1: none */
  int64_t known_until;      /* ms: as_of when the bundle was made */
  int64_t counted;          /* ms: start of the period of which the items' events were counted since then */
  int64_t made;             /* ms since 1970 UTC: when the bundle was made; INT64_MIN: it does not tell */
  uint64_t *withdrawn;      /* bitmap of items that are not to be recommended (posted.h), of so many words */
  int64_t withdrawn_words, n_withdrawn;
};

/* The row of a user in the state: of the bundle, or of one whose events were posted; -1 for others. */
int64_t rs_server_model_find_user(const rs_server_model *m, const char *user, size_t length);

/* A number that no model had before. */
uint64_t rs_server_model_identity(void);

/* ---- attributes.c ---- */

/* The members items.attributes.safetensors and popular.safetensors, where the bundle has them. RS_EFORMAT names the
 * member, without the file. */
rs_status rs_attributes_load(rs_server_model *m, const rs_bundle *bundle);
rs_status rs_popular_load(rs_server_model *m, const rs_bundle *bundle);
void rs_popular_free(rs_popular *p);

/* Text i of 'texts'. */
static inline rs_span rs_texts_at(const rs_texts *texts, int64_t i) {
  const int64_t *at = rs_i64(&texts->offsets);
  return (rs_span){(const char *)rs_u8(&texts->bytes) + at[i], (size_t)(at[i + 1] - at[i])};
}

#endif
