/* endpoints_sagemaker.c - what SageMaker asks of a container beside /ping and /invocations: /execution-parameters, and
 * the models of a multi-model endpoint, which are loaded, listed, asked and unloaded by name. */
#include <string.h>

#include "base/json.h"
#include "serve/endpoints.h"

enum { PAGE = 100 }; /* models that GET /models tells at once */

/* What a token of a page begins with; behind it is the name of the last model there, which may be unloaded by now. */
#define AFTER "after:"

static void execution_parameters(rs_exchange *x) {
  if (rs_buffer_append_text(x->reply->body, x->server->execution) != RS_OK) rs_refuse_status(x->reply, RS_ENOMEM);
}

/* Whether this server's models go by name; tells it when they do not. */
static bool has_models(rs_exchange *x) {
  if (x->server->models) return true;
  rs_refuse(x->reply, 404, "not_found", "", "this server has one model; SAGEMAKER_MULTI_MODEL=true serves many by name");
  return false;
}

static void refuse_absent(rs_exchange *x) {
  rs_refuse(x->reply, 404, "model_not_found", "", "there is no model '%.*s' here", (int)x->parts[0].length,
            x->parts[0].text);
}

static rs_status append_model(rs_buffer *b, const rs_named_model *named) {
  rs_status status = rs_buffer_append_text(b, "{\"modelName\":");
  if (status == RS_OK) status = rs_json_string(b, named->name, strlen(named->name));
  if (status == RS_OK) status = rs_buffer_append_text(b, ",\"modelUrl\":");
  if (status == RS_OK) status = rs_json_string(b, named->path, strlen(named->path));
  if (status == RS_OK) status = rs_buffer_append_text(b, "}");
  return status;
}

/* A page of the models by their names. */
static rs_status append_page(rs_buffer *b, const rs_model_table *table, const char *after) {
  int64_t first = rs_models_behind(table, after);
  int64_t end = table->n - first < PAGE ? table->n : first + PAGE;
  rs_status status = rs_buffer_append_text(b, "{\"models\":[");
  for (int64_t i = first; status == RS_OK && i < end; i++) {
    if (i > first) status = rs_buffer_append_text(b, ",");
    if (status == RS_OK) status = append_model(b, table->list[i]);
  }
  if (status == RS_OK) status = rs_buffer_append_text(b, "]");
  if (status == RS_OK && end < table->n) {
    const char *last = table->list[end - 1]->name;
    status = rs_buffer_append_text(b, ",\"nextPageToken\":");
    rs_buffer token = {0};
    if (status == RS_OK) status = rs_buffer_append_text(&token, AFTER);
    if (status == RS_OK) status = rs_buffer_append_text(&token, last);
    if (status == RS_OK) status = rs_json_string(b, token.data, token.size);
    rs_buffer_free(&token);
  }
  return status == RS_OK ? rs_buffer_append_text(b, "}\n") : status;
}

static void list_models(rs_exchange *x) {
  if (!has_models(x)) return;
  const char *token = rs_query_text(x, "next_page_token");
  bool further = token && *token;
  if (further && strncmp(token, AFTER, sizeof AFTER - 1)) {
    rs_refuse(x->reply, 400, "bad_request", "next_page_token",
              "next_page_token: is '%.100s', no nextPageToken of a page", token);
    return;
  }
  const rs_model_table *table = rs_models_enter(x->server->models, x->call->worker);
  rs_status status = append_page(x->reply->body, table, further ? token + sizeof AFTER - 1 : "");
  rs_models_leave(x->server->models, x->call->worker);
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

static void show_model(rs_exchange *x) {
  if (!has_models(x)) return;
  const rs_model_table *table = rs_models_enter(x->server->models, x->call->worker);
  const rs_named_model *named = rs_models_find(table, x->parts[0].text, x->parts[0].length);
  rs_status status = named ? append_model(x->reply->body, named) : RS_OK;
  rs_models_leave(x->server->models, x->call->worker);
  if (!named) refuse_absent(x);
  if (status != RS_OK) rs_refuse_status(x->reply, status);
}

static void unload_model(rs_exchange *x) {
  if (!has_models(x)) return;
  rs_gate_leave(x->server->gate, x->call->worker); /* nobody is to wait for those who still ask the model */
  rs_models_outcome outcome = rs_models_unload(x->server->models, x->parts[0].text, x->parts[0].length);
  rs_gate_enter(x->server->gate, x->call->worker);
  if (outcome != RS_MODELS_DONE) refuse_absent(x);
}

/* The text of a field that is one, of at most so many bytes; NULL, and told, when it is not. */
static const char *text_of(rs_exchange *x, const json_t *object, const char *field, size_t most) {
  const json_t *value = json_object_get(object, field);
  const char *text = json_string_value(value);
  if (text && *text && json_string_length(value) == strlen(text) && strlen(text) < most) return text;
  rs_refuse(x->reply, 400, "bad_request", field, "%s must be a text of 1 to %d bytes", field, (int)most - 1);
  return NULL;
}

static void told(rs_exchange *x, rs_models_outcome outcome, const char *name) {
  if (outcome == RS_MODELS_THERE)
    rs_refuse(x->reply, 409, "model_loaded", "", "the model '%.*s' is loaded already", RS_MODEL_NAME, name);
  if (outcome == RS_MODELS_FULL)
    rs_refuse(x->reply, 507, "no_room", "", "there is no room for the model '%.*s': unload another one", RS_MODEL_NAME,
              name);
  if (outcome == RS_MODELS_REFUSED) rs_refuse(x->reply, 400, "bad_model", "url", "%s", rs_message());
}

static void load_model(rs_exchange *x) {
  if (!has_models(x)) return;
  json_t *object;
  rs_status status = rs_json_object(&object, x->call->body ? x->call->body : "", x->call->size, "the body");
  if (status != RS_OK) {
    rs_refuse(x->reply, status == RS_ENOMEM ? 507 : 400, "bad_request", "", "%s", rs_message());
    return;
  }
  const char *name = text_of(x, object, "model_name", RS_MODEL_NAME);
  const char *url = name ? text_of(x, object, "url", RS_MODEL_PATH) : NULL;
  if (url && strchr(name, '/')) {
    rs_refuse(x->reply, 400, "bad_request", "model_name", "a model's name has no '/'");
  } else if (url) {
    rs_gate_leave(x->server->gate, x->call->worker); /* to load takes long, and wants no version */
    rs_models_outcome outcome = rs_models_load(x->server->models, name, url);
    rs_gate_enter(x->server->gate, x->call->worker);
    told(x, outcome, name);
  }
  json_decref(object);
}

/* What /invocations does, by the model of a name. */
static void invoke_model(rs_exchange *x) {
  if (!has_models(x)) return;
  const rs_model_table *table = rs_models_enter(x->server->models, x->call->worker);
  const rs_named_model *named = rs_models_find(table, x->parts[0].text, x->parts[0].length);
  if (named) {
    rs_version version = {.model = named->model, .name = named->version, .loaded = named->loaded};
    x->versions[RS_LIVE] = &version;
    rs_answer_invocations(x);
    x->versions[RS_LIVE] = NULL;
  } else {
    refuse_absent(x);
  }
  rs_models_leave(x->server->models, x->call->worker);
}

const rs_route rs_routes_sagemaker[] = {
    {"execution_parameters", "GET", "/execution-parameters", RS_SCOPE_USE, execution_parameters},
    {"models", "GET", "/models", RS_SCOPE_USE, list_models},
    {"load_model", "POST", "/models", RS_SCOPE_WRITE, load_model},
    {"model", "GET", "/models/{name}", RS_SCOPE_USE, show_model},
    {"unload_model", "DELETE", "/models/{name}", RS_SCOPE_WRITE, unload_model},
    {"invoke_model", "POST", "/models/{name}/invoke", RS_SCOPE_USE, invoke_model},
    {NULL, NULL, NULL, 0, NULL}};
