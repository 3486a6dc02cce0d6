/* endpoints.h - the routes of a server, and what their handlers see. Within the serve folder.
 *
 * A route is a row of a table in the file that has its handler, endpoints_<what>.c, and rs_tables (endpoints.c) lists
 * the tables: a new endpoint is a row there, its paths in lua/recsys/serve/openapi.json, and nothing else. */
#ifndef RS_SERVE_ENDPOINTS_H
#define RS_SERVE_ENDPOINTS_H
#include "base/gate.h"
#include "serve/counts.h"
#include "serve/json_in.h"
#include "serve/json_out.h"
#include "serve/models.h"
#include "serve/online.h"
#include "serve/own.h"
#include "serve/server.h"
#include "serve/shadow.h"

enum { RS_PATH_PARTS = 2 };

/* A part of the path that stands for {name} in a route; not terminated. */
typedef struct rs_path_part {
  const char *text;
  size_t length;
} rs_path_part;

typedef struct rs_version {
  rs_server_model *model;
  char *name;         /* as answers tell it: "two_tower-4" */
  int64_t loaded;     /* ms since 1970 UTC */
  int share;          /* of 10,000 users */
  _Atomic int pinned; /* calls that leave the gate between their answers, and hold on to it */
} rs_version;

/* Memory that a worker uses again for each of its calls. */
typedef struct rs_worker {
  _Alignas(64) rs_buffer scratch;
  rs_buffer line; /* of text/csv, as JSON */
  rs_buffer hooked, room; /* what stands before /recommend has answered, and texts of it */
  rs_json_in *in;
  rs_serve_scratch *serving;
  rs_answer answer;
} rs_worker;

/* A call on its way to its answer. The versions are there until the handler returns, whatever is put in their places
 * meanwhile. */
typedef struct rs_exchange {
  rs_server *server;
  rs_version *versions[RS_SLOTS]; /* NULL: none */
  const rs_call *call;
  rs_reply *reply;
  rs_worker *worker;
  rs_counts *counts; /* of the worker */
  rs_path_part parts[RS_PATH_PARTS];
  bool inner; /* a handler asks, before which no other one stands */
} rs_exchange;

/* Enter the server's gate, and see the versions that are there now; leave it. */
void rs_exchange_enter(rs_exchange *x);
void rs_exchange_leave(rs_exchange *x);

typedef struct rs_route {
  const char *name;   /* as metrics call it */
  const char *method; /* HEAD comes as GET */
  const char *path;   /* "/models/{name}/invoke": {x} stands for one part */
  unsigned scope;     /* RS_SCOPE_...: what a token must allow; 0: nothing, also where tokens are asked for */
  void (*handle)(rs_exchange *x);
} rs_route;

/* Tables of routes end with a row without a name. */
extern const rs_route rs_routes_health[], rs_routes_metrics[], rs_routes_recommend[], rs_routes_invocations[],
    rs_routes_sagemaker[], rs_routes_posts[], rs_routes_users[], rs_routes_page[], rs_routes_own[];
extern const rs_route *const rs_tables[];

/* Find the route of a method and a path, and fill the parts of its path. NULL when there is none; 'allowed' becomes then
 * the methods that the path has, as the header Allow has them, "" when there is no such path. */
const rs_route *rs_route_find(const char *method, const char *path, rs_path_part parts[RS_PATH_PARTS],
                              char allowed[64]);

/* Add a method to those of a path, as the header Allow has them. */
void rs_route_allow(char allowed[64], const char *method);

/* Whether a path is that of a route; its parts where it is. */
bool rs_path_fits(const char *pattern, const char *path, rs_path_part *parts);

/* The number of a route among all, from 0, by which its counts go; of NULL the last one, which has no route. */
int rs_route_number(const rs_route *route);
/* The route of a number; NULL behind the last. */
const rs_route *rs_route_at(int number);
enum { RS_ROUTES_LIMIT = RS_COUNTED_ROUTES - 1 };

/* A file of the page. */
typedef struct rs_page {
  char *path, *type, *bytes;
  size_t size;
} rs_page;
void rs_page_free(rs_page *page);
enum { RS_PAGES = 16 };

struct rs_server {
  /* The workers and the shadow's thread are inside while they use a version. Who puts another in its place waits until
   * they have left, and who changes what a version is made of closes it. */
  rs_gate *gate;
  _Atomic(rs_version *) versions[RS_SLOTS];
  _Atomic(rs_shadow *) shadow; /* NULL until there is one */
  int workers;
  rs_worker *scratch;  /* [workers] */
  rs_counts *counts;   /* [workers + 1]; the last are the shadow's */
  const rs_service *service;
  char *runtime, *commit, *openapi;
  char *execution, *accept; /* as in rs_server_options; accept "": nothing is said */
  rs_models *models;        /* NULL: there is one model, the live version */
  size_t openapi_size;
  _Atomic(const char *) state;
  _Atomic int64_t asked, done; /* reloads that were asked for, and those of them that came to an end */
  _Atomic int64_t reloads, failures;
  char *failure;               /* of the last attempt to load a version, NULL when it was fine; changed behind the gate */
  int64_t started;             /* ms since 1970 UTC */
  rs_online *online;           /* what is posted; NULL: it is not kept */
  bool keep_as_needed;
  rs_page pages[RS_PAGES];
  int n_pages;
  rs_own_route own[RS_OWN_ROUTES]; /* of whoever runs the server */
  int n_own;
  int own_recommend; /* the one of them that stands before POST /recommend, from 1; 0: none does */
  rs_own_handler *own_handle;
  void *own_context;
};

/* The number of the route of whoever runs the server that a call is for, with the parts of its path; -1: none is. */
int rs_server_own_find(rs_exchange *x);
/* 'outer' is as in rs_own_call. */
void rs_server_own_answer(const rs_exchange *x, int number, const rs_exchange *outer);
void rs_server_own_free(rs_server *s);
/* Add the methods that the path of a call has there. */
void rs_server_own_allow(rs_exchange *x, char allowed[64]);

/* Bring a model that is to go into a slot (NULL: none is) up to what is kept, and hold the store until rs_server_go_on:
 * no post comes between this and the change of places. On failure nothing is held. */
rs_status rs_server_catch_up(rs_server *s, rs_slot slot, rs_server_model *model);
void rs_server_go_on(rs_server *s);

/* Milliseconds since 1970 UTC. */
int64_t rs_wall_clock(void);

/* Answer by an error: { "error": { code, message, path } }. 'path' is where in the body it is, as "users[2].k", or the word
 * of the query; "" and left out when it is not about a value there. */
void rs_refuse(rs_reply *reply, int status, const char *code, const char *path, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same for a failed status of the core: 400 for what the request is to blame for, whose place the message begins
 * with, as in "users[2].k: ..."; else 500, or 503 for want of memory. */
void rs_refuse_status(rs_reply *reply, rs_status status);
/* How a failed status is told: the word for programs, the message, and where in the body it is, which the message begins
 * with; "" when it does not. */
typedef struct rs_refusal {
  int status;
  const char *code, *message;
  char path[128];
} rs_refusal;
rs_refusal rs_refusal_of(rs_status status);
/* Append { "code", "message", "path" }. */
rs_status rs_append_error(rs_buffer *b, const char *code, const char *message, const char *path);

/* Whether the words of the query are those of a list such as "like, limit", each once; answers when they are not. */
bool rs_query_fits(rs_exchange *x, const char *known);
/* The value of a word, whose variable is left as it is where the word is not there (text: NULL). They answer, and give
 * false, when it makes no sense. */
const char *rs_query_text(const rs_exchange *x, const char *name);
bool rs_query_whole(rs_exchange *x, const char *name, int64_t least, int64_t most, int64_t *number);
bool rs_query_boolean(rs_exchange *x, const char *name, bool *value);

/* Whether there is a live version; tells it when there is none. */
bool rs_has_model(rs_exchange *x);
/* Whether the body is said to be application/json; tells it when it is not. */
bool rs_has_json(rs_exchange *x);

/* What POST /invocations does, by the versions of the exchange. */
void rs_answer_invocations(rs_exchange *x);

void rs_reply_header(rs_reply *reply, const char *name, const char *value);

#endif
