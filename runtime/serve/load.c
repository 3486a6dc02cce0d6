/* load.c - from a bundle to a model, believing nothing: each member's tensors are checked before anything indexes by
 * them, and the plan is run once, so that a model that opened answers. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/wide.h"
#include "retrieval/columns.h"
#include "retrieval/hnsw.h"
#include "retrieval/scan.h"
#include "serve/loaded.h"

typedef struct loader {
  const rs_bundle *bundle;
  const char *path;
  rs_server_model *model;
} loader;

static rs_status bad(const loader *l, const char *member, const char *trouble) {
  return rs_fail(RS_EFORMAT, "%s: member %s %s", l->path, member, trouble);
}

/* Put the file and the member before a message of a lower layer. */
static rs_status blame(const loader *l, const char *member, rs_status status) {
  char reason[512];
  if (status == RS_OK || status == RS_ENOMEM) return status;
  snprintf(reason, sizeof reason, "%s", rs_message());
  return rs_fail(RS_EFORMAT, "%s: member %s: %s", l->path, member, reason);
}

static rs_status text_member(const loader *l, const char *name, const rs_member **out) {
  *out = rs_bundle_find(l->bundle, name);
  return *out ? RS_OK : rs_fail(RS_EFORMAT, "%s is no model: it has no member '%s'", l->path, name);
}

/* manifest.json: the moment, the window, and what likeness goes by. */

/* The field "group.key" of the manifest; without it *out stays as it is. */
static rs_status read_integer(const loader *l, const json_t *manifest, const char *group, const char *key,
                              int64_t least, int64_t *out) {
  const json_t *value = json_object_get(json_object_get(manifest, group), key);
  if (!value || json_is_null(value)) return RS_OK;
  if (!json_is_integer(value) || json_integer_value(value) < least)
    return rs_fail(RS_EFORMAT, "%s: manifest.json: %s.%s is not a whole number of %lld or more", l->path, group, key,
                   (long long)least);
  *out = json_integer_value(value);
  return RS_OK;
}

/* Which item-side codes a model without item vectors has columns for; nothing changes for others. */
static rs_status read_columns(const loader *l, const json_t *manifest) {
  const json_t *name = json_object_get(json_object_get(manifest, "model"), "columns");
  if (!name || json_is_null(name)) return RS_OK;
  if (!json_is_string(name))
    return rs_fail(RS_EFORMAT, "%s: manifest.json: model.columns is no name of an output", l->path);
  l->model->columns_of = rs_strdup(json_string_value(name));
  if (!l->model->columns_of) return rs_nomem("model", json_string_length(name));
  rs_status status = read_integer(l, manifest, "model", "dimensions", 1, &l->model->width);
  if (status != RS_OK || l->model->width > 0) return status;
  return rs_fail(RS_EFORMAT, "%s: manifest.json: model.columns without model.dimensions, how many there are", l->path);
}

/* "2024-01-31T00:00:00Z" in ms; INT64_MIN for what is no such text. */
static int64_t moment_of_text(const char *text) {
  struct tm t = {0};
  const char *end = text ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &t) : NULL;
  return end && !*end ? (int64_t)timegm(&t) * 1000 : INT64_MIN;
}

static rs_status load_manifest(loader *l) {
  const rs_member *m = rs_bundle_manifest(l->bundle);
  json_t *manifest = NULL;
  rs_status status = rs_json_object(&manifest, m->data, m->size, l->path);
  if (status == RS_OK && !json_is_object(json_object_get(manifest, "serving")))
    status = rs_fail(RS_EFORMAT, "%s is no model: its manifest does not say how to serve it", l->path);
  l->model->window = -1;
  if (status == RS_OK) status = read_integer(l, manifest, "serving", "as_of", INT64_MIN + 1, &l->model->as_of);
  if (status == RS_OK) status = read_integer(l, manifest, "serving", "window", 0, &l->model->window);
  if (status == RS_OK) status = read_integer(l, manifest, "model", "likeness", 1, &l->model->likeness);
  if (status == RS_OK) status = read_columns(l, manifest);
  l->model->known_until = l->model->as_of;
  l->model->counted = INT64_MIN;
  l->model->made = moment_of_text(json_string_value(json_object_get(manifest, "created")));
  json_decref(manifest);
  return status;
}

/* The encoder, the plan and its weights. */

static rs_status load_encoder(loader *l) {
  const rs_member *json = NULL;
  rs_tensors tables = {0};
  rs_status status = text_member(l, "features.json", &json);
  if (status == RS_OK) status = rs_bundle_tensors(l->bundle, "vocabularies.safetensors", &tables);
  if (status == RS_OK)
    status = blame(l, json->name, rs_encoder_parse(&l->model->encoder, json->data, json->size, &tables));
  rs_tensors_free(&tables);
  return status;
}

static rs_status load_plan(loader *l) {
  const rs_member *json = NULL;
  rs_status status = text_member(l, "plan.user.json", &json);
  if (status == RS_OK) status = blame(l, json->name, rs_plan_from_json(&l->model->plan, json->data, json->size));
  bool counts = status == RS_OK && !l->model->columns_of && rs_encoder_period(l->model->encoder) > 0;
  bool plan = status == RS_OK && (counts || rs_bundle_find(l->bundle, "plan.item.json"));
  if (plan) status = text_member(l, "plan.item.json", &json);
  if (plan && status == RS_OK)
    status = blame(l, json->name, rs_plan_from_json(&l->model->item_plan, json->data, json->size));
  if (status == RS_OK) status = rs_bundle_tensors(l->bundle, "weights.safetensors", &l->model->weights);
  if (status == RS_OK) status = blame(l, "weights.safetensors", rs_plan_settle(l->model->plan, &l->model->weights));
  return status;
}

/* Items and users. */

static bool is_of(const rs_tensor *t, rs_dtype dtype, int ndim) { return t && t->dtype == dtype && t->ndim == ndim; }

static rs_status check_titles(const loader *l, const char *member, const rs_texts *texts, int64_t n) {
  const int64_t *at = rs_i64(&texts->offsets);
  if (texts->offsets.size[0] != n + 1 || at[0] != 0 || at[n] != texts->bytes.size[0])
    return bad(l, member, "has titles for another number of items");
  for (int64_t i = 0; i < n; i++)
    if (at[i + 1] < at[i]) return bad(l, member, "has titles that overlap");
  return RS_OK;
}

static rs_status take_ids(const loader *l, const char *member, const rs_tensors *t, rs_vocabulary **out) {
  const rs_tensor *bytes = rs_tensors_find(t, "ids.bytes"), *offsets = rs_tensors_find(t, "ids.offsets");
  if (!bytes || !offsets) return bad(l, member, "holds no ids");
  return blame(l, member, rs_vocabulary_new(out, bytes, offsets));
}

static rs_status take_titles(const loader *l, const char *member, const rs_tensors *t, int64_t n) {
  const rs_tensor *bytes = rs_tensors_find(t, "titles.bytes"), *offsets = rs_tensors_find(t, "titles.offsets");
  if (!bytes && !offsets) return RS_OK;
  if (!is_of(bytes, RS_U8, 1) || !is_of(offsets, RS_I64, 1)) return bad(l, member, "has broken titles");
  rs_tensor_share(&l->model->titles.bytes, bytes);
  rs_tensor_share(&l->model->titles.offsets, offsets);
  return check_titles(l, member, &l->model->titles, n);
}

typedef struct finite_check {
  const float *values;
  int64_t width;
  _Atomic bool wrong;
} finite_check;

/* Whether a number is a NaN or an infinity. */
RS_INLINE bool any_wild(const float *values, int64_t n) {
  uint32_t wild = 0;
  for (int64_t i = 0; i < n; i++) {
    uint32_t bits;
    memcpy(&bits, &values[i], sizeof bits);
    wild |= (bits & 0x7F800000u) == 0x7F800000u;
  }
  return wild;
}
RS_WIDE static bool any_wild_wide(const float *values, int64_t n) { return any_wild(values, n); }

static void look_for_nan(void *context, int64_t begin, int64_t end) {
  finite_check *check = context;
  const float *values = check->values + begin * check->width;
  if ((rs_wide() ? any_wild_wide : any_wild)(values, (end - begin) * check->width)) check->wrong = true;
}

/* A column for each item. */
static rs_status take_columns(const loader *l, const char *member, const rs_tensors *t, int64_t n) {
  const rs_tensor *columns = rs_tensors_find(t, "columns");
  if (!is_of(columns, RS_I32, 1) || columns->size[0] != n) return bad(l, member, "has no column for each item");
  rs_status status = blame(l, member, rs_columns_check(rs_i32(columns), n, l->model->width));
  if (status == RS_OK) rs_tensor_share(&l->model->vectors, columns);
  return status;
}

static rs_status take_vectors(const loader *l, const char *member, const rs_tensors *t, int64_t n) {
  const rs_tensor *vectors = rs_tensors_find(t, "vectors");
  if (!is_of(vectors, RS_F32, 2) || vectors->size[0] != n || vectors->size[1] < 1)
    return bad(l, member, "has no vector for each item");
  finite_check check = {rs_f32(vectors), vectors->size[1], false};
  rs_parallel_for(n, 4096, look_for_nan, &check);
  if (check.wrong) return bad(l, member, "has a vector with a NaN or an infinity");
  rs_tensor_share(&l->model->vectors, vectors);
  l->model->width = vectors->size[1];
  return RS_OK;
}

static rs_status take_times(const loader *l, const char *member, const rs_tensors *t, int64_t n) {
  const rs_tensor *created = rs_tensors_find(t, "created");
  if (!created) return RS_OK;
  if (!is_of(created, RS_I64, 1) || created->size[0] != n) return bad(l, member, "has no creation time for each item");
  rs_tensor_share(&l->model->created, created);
  return RS_OK;
}

/* Without the manifest's word on it all dimensions count. */
static rs_status settle_likeness(const loader *l) {
  rs_server_model *m = l->model;
  int64_t width = m->width;
  if (m->columns_of) m->likeness = 0;
  if (m->columns_of) return RS_OK;
  if (m->likeness == 0) m->likeness = width;
  if (m->likeness <= width) return RS_OK;
  return rs_fail(RS_EFORMAT, "%s: manifest.json: model.likeness is %lld, but vectors have %lld dimensions", l->path,
                 (long long)m->likeness, (long long)width);
}

/* The item vectors are of the training that the user tower is of: both carry its version, and bundles from before there
 * were versions carry none. Products of vectors of two trainings would be finite, and noise. */
static rs_status check_versions(const loader *l, const char *member, const rs_tensors *t) {
  const rs_tensor *user = rs_tensors_find(&l->model->weights, "tower.version");
  const rs_tensor *item = rs_tensors_find(t, "tower.version");
  if (!user && !item) return RS_OK;
  bool same = is_of(user, RS_U8, 1) && is_of(item, RS_U8, 1) && user->size[0] == item->size[0] &&
              memcmp(rs_u8(user), rs_u8(item), (size_t)user->size[0]) == 0;
  return same ? RS_OK
              : bad(l, member,
                    "has vectors of another item tower than belongs to the user tower in weights.safetensors: publish "
                    "both from one trained model");
}

static rs_status load_items(loader *l) {
  static const char member[] = "items.safetensors";
  rs_tensors t = {0};
  rs_status status = rs_bundle_tensors(l->bundle, member, &t);
  if (status == RS_OK) status = take_ids(l, member, &t, &l->model->item_ids);
  int64_t n = status == RS_OK ? l->model->item_ids->n : 0;
  if (status == RS_OK && n == 0) status = bad(l, member, "holds no items");
  if (status == RS_OK) status = (l->model->columns_of ? take_columns : take_vectors)(l, member, &t, n);
  if (status == RS_OK) status = take_times(l, member, &t, n);
  if (status == RS_OK) status = settle_likeness(l);
  if (status == RS_OK) status = take_titles(l, member, &t, n);
  if (status == RS_OK) status = check_versions(l, member, &t);
  rs_tensors_free(&t);
  return status;
}

/* The column "user.x" of the users' moments from the tensor "moment.x". */
static rs_status take_moment(const loader *l, const char *member, const char *column, const rs_tensors *t) {
  char name[256];
  snprintf(name, sizeof name, "moment.%.200s", column + strlen("user."));
  const rs_tensor *values = rs_tensors_find(t, name);
  if (!values) return RS_OK; /* missing for everybody, as in a table without the column */
  if (!(is_of(values, RS_I64, 1) || is_of(values, RS_F64, 1)) || values->size[0] != l->model->user_ids->n)
    return bad(l, member, "has no number for each user in a column that event features read");
  rs_column c = {.name = rs_strdup(column), .type = values->dtype == RS_I64 ? RS_TIME : RS_NUMBER};
  if (!c.name) return rs_nomem("model", strlen(column));
  rs_tensor_share(&c.values, values);
  rs_status status = rs_frame_add(&l->model->moments, &c);
  rs_column_free(&c);
  return status;
}

static rs_status take_moments(const loader *l, const char *member, const rs_tensors *t) {
  const char *column, *type;
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && (column = rs_encoder_column(l->model->encoder, RS_EVENT, i, &type)); i++)
    if (strncmp(column, "user.", 5) == 0) status = take_moment(l, member, column, t);
  return status;
}

static rs_status load_users(loader *l) {
  static const char member[] = "users.safetensors";
  rs_tensors t = {0};
  rs_status status = rs_bundle_tensors(l->bundle, member, &t);
  if (status == RS_OK) status = take_ids(l, member, &t, &l->model->user_ids);
  if (status == RS_OK) status = take_moments(l, member, &t);
  rs_tensors_free(&t);
  return status;
}

static bool codes_lie_below(const rs_tensor *codes, int64_t rows) {
  bool inside = true;
  for (int64_t i = 0, n = rs_tensor_count(codes); i < n; i++)
    inside &= 0 <= rs_i32(codes)[i] && rs_i32(codes)[i] < rows;
  return inside;
}

/* A side's member must hold what the encoder makes of that side: the same outputs, widths and codes. */
static rs_status check_side(const loader *l, const char *member, const rs_features *f, rs_side side) {
  const rs_encoder *e = l->model->encoder;
  if (f->n_outputs != rs_encoder_outputs(e, side)) return bad(l, member, "does not hold the encoder's outputs");
  for (int i = 0; i < f->n_outputs; i++) {
    rs_output_info info = rs_encoder_output(e, side, i);
    const rs_output *output = rs_features_output(f, info.name);
    if (!output || output->kind != info.kind) return bad(l, member, "does not hold the encoder's outputs");
    bool codes = info.kind == RS_CODES || info.kind == RS_CODE_LIST;
    if (codes ? !codes_lie_below(&output->values, info.rows)
              : info.kind == RS_NUMBERS && output->values.size[1] != info.width)
      return bad(l, member, "holds codes or widths that the encoder does not make");
  }
  return RS_OK;
}

static rs_status load_features(loader *l, const char *member, rs_side side, int64_t rows, rs_features *out) {
  rs_tensors t = {0};
  rs_status status = rs_bundle_tensors(l->bundle, member, &t);
  if (status == RS_OK) status = blame(l, member, rs_features_from(out, &t));
  if (status == RS_OK) status = check_side(l, member, out, side);
  if (status == RS_OK && out->n_outputs == 0) out->rows = rows;
  if (status == RS_OK && out->rows != rows) status = bad(l, member, "has another number of rows than there are ids");
  rs_tensors_free(&t);
  return status;
}

/* Columns are the codes of the items' features, as those of items that come later are. */
static rs_status check_columns(const loader *l) {
  const rs_server_model *m = l->model;
  if (!m->columns_of) return RS_OK;
  const rs_output *codes = rs_features_output(&m->items, m->columns_of);
  if (!codes || codes->kind != RS_CODES)
    return rs_fail(RS_EFORMAT, "%s: manifest.json: model.columns is '%s', of which the items have no codes", l->path,
                   m->columns_of);
  if (memcmp(rs_i32(&codes->values), rs_i32(&m->vectors), rs_tensor_bytes(&m->vectors)) != 0)
    return bad(l, "items.safetensors", "holds columns that are not the items' codes: publish both from one model");
  return RS_OK;
}

/* What an advanced user keeps: what features read, and, as it is not to be recommended again, what he saw of the items
 * that can still be candidates. An item is no older than its first event. */
static rs_keep keep_of(const rs_server_model *m) {
  rs_keep keep = rs_encoder_keep(m->encoder);
  if (m->window < 0 || !m->created.storage) keep.events = -1;
  if (m->window > keep.span) keep.span = m->window;
  return keep;
}

static rs_status load_history(loader *l) {
  static const char member[] = "history.safetensors";
  rs_server_model *m = l->model;
  rs_tensors t = {0};
  rs_history history = {0};
  rs_status status = rs_bundle_tensors(l->bundle, member, &t);
  if (status == RS_OK) status = blame(l, member, rs_history_from(&history, &t, m->item_ids->n));
  if (status == RS_OK && history.users != m->user_ids->n)
    status = bad(l, member, "has another number of users than there are ids");
  if (status == RS_OK && rs_encoder_filters(m->encoder) > 0 && !history.marks.storage)
    status = bad(l, member, "lacks the marks of events that the features count");
  if (status == RS_OK) status = rs_accumulator_new(&m->state, &history, keep_of(m));
  if (status == RS_OK) status = rs_dictionary_new(&m->new_users);
  rs_history_free(&history);
  rs_tensors_free(&t);
  return status;
}

/* All items are looked at, first by the codes that the bundle holds of a large catalogue, else by ones made now. */
static rs_status load_scan(loader *l) {
  static const char member[] = "items.int8.safetensors";
  rs_server_model *m = l->model;
  rs_tensors t = {0};
  rs_codes codes = {0};
  if (!rs_bundle_find(l->bundle, member)) return rs_scan_new(&m->index, &m->vectors);
  rs_status status = rs_bundle_tensors(l->bundle, member, &t);
  if (status == RS_OK) status = check_versions(l, member, &t);
  const rs_tensor *values = rs_tensors_find(&t, "values"), *scales = rs_tensors_find(&t, "scales");
  const rs_tensor *bounds = rs_tensors_find(&t, "bounds");
  if (status == RS_OK && (!values || !scales || !bounds)) status = bad(l, member, "lacks values, scales or bounds");
  if (status == RS_OK)
    status = blame(l, member, rs_codes_over(&codes, m->vectors.size[0], m->vectors.size[1], values, scales, bounds));
  if (status == RS_OK && !rs_codes_fit(&codes, rs_f32(&m->vectors)))
    status = bad(l, member, "holds codes of other vectors than those in items.safetensors: publish both from one model");
  if (status == RS_OK) status = rs_scan_with(&m->index, &m->vectors, &codes);
  rs_codes_free(&codes);
  rs_tensors_free(&t);
  return status;
}

/* What items are found by: the graph that the bundle holds, else a look at all of them. */
static rs_status load_index(loader *l) {
  static const char member[] = "index.hnsw.safetensors";
  rs_server_model *m = l->model;
  rs_tensors t = {0};
  rs_hnsw *graph = NULL;
  if (m->columns_of) return rs_columns_new(&m->index, &m->vectors, m->width);
  if (!rs_bundle_find(l->bundle, member)) return load_scan(l);
  rs_status status = rs_bundle_tensors(l->bundle, member, &t);
  if (status == RS_OK) status = check_versions(l, member, &t);
  if (status == RS_OK) status = blame(l, member, rs_hnsw_open(&graph, &t, &m->vectors));
  if (status == RS_OK) m->index = rs_hnsw_index(graph);
  rs_tensors_free(&t);
  return status;
}

/* What the bundle may lack, and what is found by. */
static rs_status load_rest(loader *l) {
  char reason[512];
  rs_server_model *m = l->model;
  rs_status status = rs_attributes_load(m, l->bundle);
  if (status == RS_OK) status = rs_popular_load(m, l->bundle);
  if (status == RS_EFORMAT) {
    snprintf(reason, sizeof reason, "%s", rs_message());
    return rs_fail(RS_EFORMAT, "%s: %s", l->path, reason);
  }
  return status == RS_OK ? load_index(l) : status;
}

uint64_t rs_server_model_identity(void) {
  static atomic_uint_fast64_t last;
  return atomic_fetch_add(&last, 1) + 1;
}

/* Score for nobody in particular: shows that encoder, plan, weights and vectors fit each other. */
static rs_status rehearse(const loader *l) {
  rs_answer answer = {0};
  rs_serve_scratch *scratch = NULL;
  rs_status status = rs_serve_scratch_new(&scratch);
  rs_request request = {.now = RS_TIME_MISSING, .k = 1, .model_only = true};
  if (status == RS_OK) status = rs_recommend(l->model, scratch, &request, &answer);
  rs_answer_free(&answer);
  rs_serve_scratch_free(scratch);
  return blame(l, "plan.user.json", status);
}

static rs_status load(loader *l) {
  rs_server_model *m = l->model;
  rs_status status = load_manifest(l);
  if (status == RS_OK) status = load_encoder(l);
  if (status == RS_OK) status = load_plan(l);
  if (status == RS_OK) status = load_items(l);
  if (status == RS_OK) status = load_users(l);
  if (status == RS_OK) status = load_features(l, "items.features.safetensors", RS_ITEM, m->item_ids->n, &m->items);
  if (status == RS_OK) status = check_columns(l);
  if (status == RS_OK) status = load_features(l, "users.features.safetensors", RS_USER, m->user_ids->n, &m->users);
  if (status == RS_OK) status = load_history(l);
  if (status == RS_OK) status = load_rest(l);
  m->identity = rs_server_model_identity();
  if (status == RS_OK && !(m->spare = rs_alloc_zero(sizeof *m->spare))) status = rs_nomem("model", sizeof *m->spare);
  if (status == RS_OK) status = rehearse(l);
  return status;
}

static rs_status open_bundle(rs_server_model **out, const char *path, bool verify, bool copy) {
  rs_bundle *bundle = NULL;
  *out = NULL;
  rs_status status = (copy ? rs_bundle_open_copy : rs_bundle_open)(&bundle, path, verify);
  if (status != RS_OK) return status;
  loader l = {bundle, path, rs_alloc_zero(sizeof *l.model)};
  if (!l.model) {
    rs_bundle_free(bundle);
    return rs_nomem("model", sizeof *l.model);
  }
  l.model->bundle = bundle;
  status = load(&l);
  if (status == RS_OK)
    *out = l.model;
  else
    rs_server_model_free(l.model);
  return status;
}

rs_status rs_server_model_open(rs_server_model **out, const char *path) {
  return open_bundle(out, path, true, false);
}

rs_status rs_server_model_map(rs_server_model **out, const char *path) {
  return open_bundle(out, path, false, false);
}

rs_status rs_server_model_open_copy(rs_server_model **out, const char *path) {
  return open_bundle(out, path, true, true);
}

rs_status rs_server_model_map_copy(rs_server_model **out, const char *path) {
  return open_bundle(out, path, false, true);
}

const rs_member *rs_server_model_member(const rs_server_model *m, const char *name) {
  return strcmp(name, "manifest.json") ? rs_bundle_find(m->bundle, name) : rs_bundle_manifest(m->bundle);
}

rs_status rs_server_model_verify(const rs_server_model *m) { return rs_bundle_verify_late(m->bundle); }
const char *rs_server_model_digest(const rs_server_model *m) { return rs_bundle_manifest(m->bundle)->sha256; }

void rs_server_model_free(rs_server_model *m) {
  if (!m) return;
  for (int i = 0; m->spare && i < 2 * RS_SPARE_ROWS; i++)
    rs_row_free(m->spare->rows[i / RS_SPARE_ROWS][i % RS_SPARE_ROWS]);
  rs_free(m->spare);
  rs_index_free(m->index);
  rs_frame_free(&m->attributes);
  rs_popular_free(&m->popular);
  rs_encoder_free(m->encoder);
  rs_plan_free(m->plan);
  rs_plan_free(m->item_plan);
  rs_tensors_free(&m->weights);
  rs_tensor_free(&m->vectors);
  rs_free(m->columns_of);
  rs_tensor_free(&m->created);
  rs_vocabulary_release(m->item_ids);
  rs_vocabulary_release(m->user_ids);
  rs_tensor_free(&m->titles.bytes);
  rs_tensor_free(&m->titles.offsets);
  rs_features_free(&m->items);
  rs_features_free(&m->users);
  rs_accumulator_free(&m->state);
  rs_frame_free(&m->moments);
  rs_dictionary_release(m->new_users);
  for (int64_t i = 0; i < m->titles_capacity; i++) rs_free(m->new_titles[i]);
  rs_free(m->new_titles);
  rs_free(m->withdrawn);
  if (m->new_items) rs_dictionary_release(m->new_items);
  rs_bundle_free(m->bundle);
  rs_free(m);
}

rs_server_facts rs_server_model_facts(const rs_server_model *m) {
  return (rs_server_facts){.users = m->user_ids->n,
                           .items = m->vectors.size[0],
                           .events = m->state.base.items.size[0] + m->state.posted,
                           .width = m->width,
                           .columns = m->columns_of,
                           .likeness = m->likeness,
                           .as_of = m->as_of,
                           .window = m->window,
                           .index = rs_index_engine_name(m->index)};
}

const char *rs_server_model_item(const rs_server_model *m, int64_t row, size_t *length) {
  if (row >= m->item_ids->n) return rs_dictionary_text(m->new_items, (int32_t)(row - m->item_ids->n + 1), length);
  return rs_vocabulary_text(m->item_ids, (int32_t)(row + 1), length);
}

const char *rs_server_model_user(const rs_server_model *m, int64_t row, size_t *length) {
  return rs_vocabulary_text(m->user_ids, (int32_t)(row + 1), length);
}

const char *rs_server_model_title(const rs_server_model *m, int64_t row, size_t *length) {
  const rs_title *changed = row < m->titles_capacity ? m->new_titles[row] : NULL;
  *length = changed ? changed->length : 0;
  if (changed) return changed->bytes;
  if (!m->titles.offsets.storage || row >= m->item_ids->n) return "";
  const int64_t *at = rs_i64(&m->titles.offsets);
  *length = (size_t)(at[row + 1] - at[row]);
  return (const char *)rs_u8(&m->titles.bytes) + at[row];
}
