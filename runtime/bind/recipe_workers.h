/* recipe_workers.h - the handlers of a serve recipe: one Lua state a worker, which only its thread uses.
 *
 * A state is made at the start, and anew, in its worker's thread, after a handler that ran out of time or memory: what
 * it was at is lost with it, and its memory goes back to the kernel. The recipe's file is read once: a state that is made
 * later runs what the others run, whatever has become of the file, and must have their routes. Time is looked at by a hook every few thousand instructions; once it is over each further
 * instruction raises, so that no pcall of the recipe's goes on. A single call of a C function, as string.find with a
 * pattern that backtracks, is not interrupted. Memory is what Lua itself takes. */
#ifndef RS_RECIPE_WORKERS_H
#define RS_RECIPE_WORKERS_H
#include "bind/bind.h"
#include "serve/own.h"

typedef struct rs_recipe_workers rs_recipe_workers;

typedef struct rs_recipe_options {
  const char *recipe; /* its file */
  const char *path;   /* package.path, and */
  const char *cpath;  /* package.cpath of the states */
  int workers;
  int time_ms;    /* of a call */
  size_t memory;  /* bytes of a state */
} rs_recipe_options;

/* Make the states. RS_EARG with the recipe's message. */
rs_status rs_recipe_workers_new(rs_recipe_workers **out, const rs_recipe_options *options);
void rs_recipe_workers_free(rs_recipe_workers *w); /* NULL is fine */

/* Put its routes before the server's. */
rs_status rs_recipe_workers_serve(rs_recipe_workers *w, rs_server *server);

#endif
