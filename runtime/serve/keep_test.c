/* keep_test.c - workers ask while events and items are posted and versions change: nothing is lost, and each answer is
 * whole. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "serve/endpoints.h"
#include "serve/posted.h"
#include "serve/testing.h"

enum { USERS = 20, ITEMS = 640, WIDTH = 8, ASKERS = 2, POSTS = 150, RELOADS = 6 };

static char bundle[64], database[64];

static const char features[] = RS_TEST_FEATURES("keep"), user_plan[] = RS_TEST_USER_PLAN("21", "641");

static const char item_plan[] =
    "{\"format\":\"recsys-plan\",\"version\":1,\"inputs\":[{\"name\":\"item.id\",\"dtype\":\"i32\",\"shape\":[-1]}],"
    "\"weights\":[{\"name\":\"items\",\"dtype\":\"f32\",\"shape\":[641,8]}],"
    "\"outputs\":[{\"name\":\"item\",\"slot\":2}],"
    "\"steps\":[{\"op\":\"embedding\",\"operands\":[1,0],\"attributes\":{}}]}";

static void add_table(rs_tensors *list, const char *name, int64_t rows, int first) {
  float *values = rs_test_add(list, name, RS_F32, 2, (int64_t[]){rows, WIDTH});
  for (int64_t i = 0; i < rows * WIDTH; i++) values[i] = (float)((first * WIDTH + i) * 37 % 101) / 101 - 0.5f;
}

enum { TABLES, WEIGHTS, ITEM, ITEM_FEATURES, USER, USER_FEATURES, HISTORY, LISTS };

static void fill_lists(rs_tensors *l) {
  rs_test_add_ids(&l[TABLES], "table.user.id.", 'u', 3, USERS);
  rs_test_add_ids(&l[TABLES], "table.item.id.", 'i', 3, ITEMS);
  add_table(&l[WEIGHTS], "users", USERS + 1, 0);
  add_table(&l[WEIGHTS], "items", ITEMS + 1, 0);
  rs_test_add_ids(&l[ITEM], "ids.", 'i', 3, ITEMS);
  add_table(&l[ITEM], "vectors", ITEMS, 1);
  rs_test_add_codes(&l[ITEM_FEATURES], "item.id", ITEMS);
  rs_test_add_ids(&l[USER], "ids.", 'u', 3, USERS);
  rs_test_add_codes(&l[USER_FEATURES], "user.id", USERS);
  rs_test_add(&l[HISTORY], "starts", RS_I64, 1, (int64_t[]){USERS + 1});
  rs_test_add(&l[HISTORY], "items", RS_I32, 1, (int64_t[]){0});
  rs_test_add(&l[HISTORY], "times", RS_I64, 1, (int64_t[]){0});
  rs_test_add(&l[HISTORY], "orders", RS_I64, 1, (int64_t[]){0});
}

static int publish(void **state) {
  (void)state;
  rs_tensors lists[LISTS] = {0};
  fill_lists(lists);
  rs_bundle_source sources[] = {{.name = "features.json", .data = features, .size = strlen(features)},
                                {.name = "vocabularies.safetensors", .tensors = &lists[TABLES]},
                                {.name = "plan.user.json", .data = user_plan, .size = strlen(user_plan)},
                                {.name = "plan.item.json", .data = item_plan, .size = strlen(item_plan)},
                                {.name = "weights.safetensors", .tensors = &lists[WEIGHTS]},
                                {.name = "items.safetensors", .tensors = &lists[ITEM]},
                                {.name = "items.features.safetensors", .tensors = &lists[ITEM_FEATURES]},
                                {.name = "users.safetensors", .tensors = &lists[USER]},
                                {.name = "users.features.safetensors", .tensors = &lists[USER_FEATURES]},
                                {.name = "history.safetensors", .tensors = &lists[HISTORY]}};
  if (rs_test_file(bundle, "keep_test") || rs_test_file(database, "keep_test")) return -1;
  return rs_test_publish(bundle, "{\"serving\": {\"as_of\": 5000}}", sources, 10, lists, LISTS);
}

static int clean(void **state) {
  char beside[80];
  for (int i = 0; i < 2; i++) {
    snprintf(beside, sizeof beside, "%s%s", database, i ? "-shm" : "-wal");
    unlink(beside);
  }
  unlink(bundle);
  unlink(database);
  return no_blocks_remain(state);
}

static rs_server *new_server(int workers) {
  rs_server *server = NULL;
  rs_server_options options = {.workers = workers, .runtime = "1", .commit = "c", .openapi = "{}", .openapi_size = 2};
  assert_int_equal(rs_server_new(&server, &options), RS_OK);
  if (rs_server_keep(server, database, -1) != RS_OK) fail_msg("%s", rs_message());
  return server;
}

static void put_named(rs_server *server, rs_slot slot, const char *name) {
  rs_server_model *m = NULL;
  if (rs_server_model_open(&m, bundle) != RS_OK) fail_msg("%s", rs_message());
  assert_int_equal(rs_server_put(server, slot, m, name, slot == RS_CANDIDATE ? 5000 : 0), RS_OK);
}

static void put_version(rs_server *server, rs_slot slot) { put_named(server, slot, "v"); }

/* A worker's call; the status, and whether the answer ends as JSON does. */
static int ask_as(rs_server *server, int worker, const char *method, const char *path, const char *type,
                  const char *sent, rs_buffer *body) {
  rs_http_target target = {0};
  rs_http_pair json = {"content-type", type};
  if (rs_http_target_parse(&target, path) != RS_OK) return 0;
  rs_call call = {.worker = worker, .method = method, .target = &target, .headers = &json, .n_headers = 1};
  call.body = sent, call.size = sent ? strlen(sent) : 0;
  call.request_id = "r", call.client = "::1", call.principal = "", call.scopes = RS_SCOPE_ALL;
  body->size = 0;
  rs_reply reply = {.status = 200, .type = "application/json", .body = body};
  rs_server_answer(server, &call, &reply);
  rs_http_target_free(&target);
  return body->size > 2 && body->data[body->size - 2] == '}' ? reply.status : -reply.status;
}

static int ask(rs_server *server, int worker, const char *method, const char *path, const char *sent, rs_buffer *body) {
  return ask_as(server, worker, method, path, "application/json", sent, body);
}

typedef struct asker {
  rs_server *server;
  int worker;
  _Atomic bool *stop;
  int64_t answers, wrong;
} asker;

static void *ask_on(void *context) {
  asker *a = context;
  rs_buffer body = {0};
  for (; !*a->stop; a->answers++) {
    char path[32];
    snprintf(path, sizeof path, "/users/u%03d", (int)(a->answers % USERS));
    a->wrong += ask(a->server, a->worker, "GET", path, NULL, &body) != 200;
    a->wrong += ask(a->server, a->worker, "GET", "/schema", NULL, &body) != 200;
    char sent[96];
    snprintf(sent, sizeof sent, "{\"user\":\"u%03d\",\"k\":%d,\"exclude\":[\"i007\"]}", (int)(a->answers % USERS),
             1 + (int)(a->answers % 20));
    a->wrong += ask(a->server, a->worker, "POST", "/recommend", sent, &body) != 200;
  }
  rs_buffer_free(&body);
  return NULL;
}

/* Ask until it is committed: on a machine that has much else to do a worker does not wait for that. */
static int ask_for_good(rs_server *server, int worker, const char *method, const char *path, const char *sent,
                        rs_buffer *body) {
  static const struct timespec moment = {0, 20000000};
  int status = ask(server, worker, method, path, sent, body);
  for (int i = 0; status == 202 && i < 500; i++) {
    nanosleep(&moment, NULL);
    status = ask(server, worker, method, path, sent, body);
  }
  return status;
}

/* An item, then an event of it. */
static void *post_on(void *context) {
  asker *a = context;
  rs_buffer body = {0};
  for (int i = 0; i < POSTS; i++) {
    char sent[128];
    snprintf(sent, sizeof sent, "{\"id\":\"n%d\",\"title\":\"No. %d\",\"created\":%d}", i, i, 6000 + i);
    a->wrong += ask_for_good(a->server, a->worker, "POST", "/items", sent, &body) != 200;
    snprintf(sent, sizeof sent, "[{\"user\":\"u%03d\",\"item\":\"n%d\",\"time\":%d,\"id\":\"e%d\"}]", i % USERS, i,
             7000 + i, i);
    a->wrong += ask_for_good(a->server, a->worker, "POST", i % 3 ? "/events" : "/events?wait=true", sent, &body) != 200;
    if (i % 10 == 9) {
      snprintf(sent, sizeof sent, "/items/n%d", i - 5);
      a->wrong += ask_for_good(a->server, a->worker, "DELETE", sent, NULL, &body) != 200;
    }
  }
  rs_buffer_free(&body);
  return NULL;
}

static int64_t events_of(rs_server *server, int user) {
  char path[32];
  rs_buffer body = {0};
  snprintf(path, sizeof path, "/users/u%03d", user);
  assert_int_equal(ask(server, 0, "GET", path, NULL, &body), 200);
  assert_int_equal(rs_buffer_append(&body, "", 1), RS_OK);
  const char *events = strstr(body.data, "\"events\":");
  int64_t n = events ? atoll(events + 9) : -1;
  rs_buffer_free(&body);
  return n;
}

static void check_all(rs_server *server) {
  for (int u = 0; u < USERS; u++) assert_int_equal(events_of(server, u), POSTS / USERS + (u < POSTS % USERS));
  for (int i = RS_LIVE; i <= RS_CANDIDATE; i++) {
    rs_server_facts facts = rs_server_model_facts(rs_server_model_in(server, (rs_slot)i));
    assert_int_equal(facts.items, ITEMS + POSTS);
    assert_int_equal(facts.events, POSTS);
  }
}

static void posts_and_versions_change_under_those_who_ask(void **state) {
  (void)state;
  rs_server *server = new_server(ASKERS + 1);
  _Atomic bool stop = false;
  asker askers[ASKERS + 1];
  pthread_t threads[ASKERS + 1];
  put_version(server, RS_LIVE);
  for (int i = 0; i <= ASKERS; i++) {
    askers[i] = (asker){server, i, &stop, 0, 0};
    assert_int_equal(pthread_create(&threads[i], NULL, i < ASKERS ? ask_on : post_on, &askers[i]), 0);
  }
  for (int i = 0; i < RELOADS; i++) put_version(server, i % 2 ? RS_LIVE : RS_CANDIDATE);
  pthread_join(threads[ASKERS], NULL);
  stop = true;
  for (int i = 0; i < ASKERS; i++) {
    pthread_join(threads[i], NULL);
    assert_true(askers[i].answers > 0);
  }
  for (int i = 0; i <= ASKERS; i++) assert_int_equal(askers[i].wrong, 0);
  check_all(server);
  rs_server_free(server);
  server = new_server(1); /* and after a restart */
  put_version(server, RS_LIVE);
  put_version(server, RS_CANDIDATE);
  check_all(server);
  rs_server_free(server);
}

/* Workers check what is posted side by side: room, which is a copy of the catalogue, is the store's thread's to make. The
 * items fill whole blocks of codes, so that another one has none. */
static void checking_an_item_makes_no_room(void **state) {
  (void)state;
  rs_server *server = new_server(1);
  put_version(server, RS_LIVE);
  const rs_server_model *m = rs_server_model_in(server, RS_LIVE);
  rs_post post = {.kind = RS_POST_ITEM, .item = "new", .item_length = 3, .time = RS_TIME_MISSING};
  int64_t bytes = rs_alloc_bytes();
  assert_int_equal(rs_server_model_check_post(m, &post), RS_OK);
  assert_int_equal(rs_alloc_bytes(), bytes);
  post.item_length = 0;
  assert_int_equal(rs_server_model_check_post(m, &post), RS_EARG);
  assert_int_equal(rs_server_model_facts(m).items, ITEMS);
  rs_server_free(server);
}

/* What stands before /recommend: with its first request another version takes the place of the one that answers. */
typedef struct replacing {
  rs_server *server;
  pthread_t thread;
  int requests;
} replacing;

static void *replace(void *context) {
  put_named(((replacing *)context)->server, RS_LIVE, "next");
  return NULL;
}

static void stand_before(void *context, const rs_own_call *own) {
  static const struct timespec moment = {0, 200000};
  replacing *r = context;
  const rs_version *before = r->server->versions[RS_LIVE];
  if (r->requests++ == 0) {
    assert_int_equal(pthread_create(&r->thread, NULL, replace, r), 0);
    while (r->server->versions[RS_LIVE] == before) nanosleep(&moment, NULL);
  }
  rs_server_inner(own, "POST", "/recommend", own->call->body, own->call->size, own->reply);
}

static int count(const rs_buffer *body, const char *text) {
  int n = 0;
  for (const char *at = body->data; (at = strstr(at, text)); at++) n++;
  return n;
}

static void lines_behind_a_hook_are_answered_by_the_version_that_began(void **state) {
  (void)state;
  static const rs_own_route route = {"POST", "/recommend"};
  static const char lines[] = "{\"user\":\"u001\"}\n{\"user\":\"u002\"}\n\n{\"user\":\"u003\"}\n";
  rs_buffer body = {0};
  replacing r = {.server = new_server(1)};
  put_named(r.server, RS_LIVE, "first");
  assert_int_equal(rs_server_own(r.server, &route, 1, stand_before, &r), RS_OK);
  for (int time = 0; time < 2; time++) {
    assert_int_equal(ask_as(r.server, 0, "POST", "/invocations", "application/jsonlines", lines, &body), 200);
    assert_int_equal(rs_buffer_append(&body, "", 1), RS_OK);
    assert_int_equal(count(&body, time ? "\"next\"" : "\"first\""), 3);
    assert_int_equal(count(&body, "\"error\""), 1);
    assert_int_equal(r.requests, 4 * (time + 1));
  }
  pthread_join(r.thread, NULL);
  rs_buffer_free(&body);
  rs_server_free(r.server);
}

static void many_events_of_one_call_count_all(void **state) {
  (void)state;
  enum { MANY = 612 };
  rs_server *server = new_server(1);
  rs_buffer sent = {0}, body = {0};
  put_version(server, RS_LIVE);
  for (int i = 0; i < MANY; i++)
    assert_int_equal(rs_buffer_printf(&sent, "%s{\"user\":\"u%03d\",\"item\":\"i%03d\",\"time\":%d}", i ? "," : "[",
                                      i % 2, i % ITEMS, 9000 + i), RS_OK);
  assert_int_equal(rs_buffer_append(&sent, "]", 2), RS_OK);
  int64_t before = events_of(server, 0);
  assert_int_equal(ask(server, 0, "POST", "/events", sent.data, &body), 200);
  assert_int_equal(events_of(server, 0), before + MANY / 2);
  rs_buffer_free(&sent);
  rs_buffer_free(&body);
  rs_server_free(server);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(checking_an_item_makes_no_room),
                                     cmocka_unit_test(lines_behind_a_hook_are_answered_by_the_version_that_began),
                                     cmocka_unit_test(posts_and_versions_change_under_those_who_ask),
                                     cmocka_unit_test(many_events_of_one_call_count_all)};
  return cmocka_run_group_tests(tests, publish, clean);
}
