/* models.h - models that are loaded and unloaded by name while a server answers: SageMaker's multi-model endpoints.
 *
 * A request is answered by the model of its name, found without a lock in a table that never changes: who loads or
 * unloads puts another table in its place, and lets go of the old one when nobody looks at it any more. He waits for
 * his like and for the answers under way, nobody for him. */
#ifndef RS_SERVE_MODELS_H
#define RS_SERVE_MODELS_H
#include "serve/model.h"

enum { RS_MODEL_NAME = 256, RS_MODEL_PATH = 4096 }; /* bytes of a name or path at the most, with the end */

typedef struct rs_models rs_models;

/* Whoever looks for a model is a worker, 0 .. workers - 1. Bundles are opened below the folder 'root' alone, and take
 * 'room' bytes at the most by the sizes of their files. RS_ENOMEM. */
rs_status rs_models_new(rs_models **out, const char *root, int64_t room, int workers);
/* With all models; nobody may be looking. NULL is fine. */
void rs_models_free(rs_models *m);

typedef enum rs_models_outcome {
  RS_MODELS_DONE,
  RS_MODELS_THERE,   /* a model of that name is loaded already */
  RS_MODELS_ABSENT,  /* there is none of that name */
  RS_MODELS_FULL,    /* there is no room, or memory, for it */
  RS_MODELS_REFUSED, /* the path is none of ours, or what lies there no bundle: rs_message says what is wrong */
} rs_models_outcome;

/* Load the one bundle (.tar) of the folder 'path', or the bundle that it is, every byte of it verified. By no one who is
 * inside. */
rs_models_outcome rs_models_load(rs_models *m, const char *name, const char *path);
rs_models_outcome rs_models_unload(rs_models *m, const char *name, size_t length);

typedef struct rs_named_model {
  char *name, *path; /* as they were given */
  char *version;     /* the file's name without .tar */
  rs_server_model *model;
  int64_t bytes, loaded; /* of the file; ms since 1970 UTC */
} rs_named_model;

/* The models as they are now, which stay so for the worker until it leaves. */
typedef struct rs_model_table {
  int64_t n;
  rs_named_model *list[]; /* [n] by rising names */
} rs_model_table;
const rs_model_table *rs_models_enter(rs_models *m, int worker);
void rs_models_leave(rs_models *m, int worker);

/* The model of a name, NULL when there is none; and the place of the first behind a name ("": of all). */
const rs_named_model *rs_models_find(const rs_model_table *table, const char *name, size_t length);
int64_t rs_models_behind(const rs_model_table *table, const char *name);

#endif
