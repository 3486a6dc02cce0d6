/* models.c - see models.h. */
#include "serve/models.h"

#include <dirent.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/alloc.h"
#include "base/gate.h"

struct rs_models {
  char *root;
  int64_t room, used;     /* bytes; 'used' belongs to who holds 'change' */
  pthread_mutex_t change; /* one loads or unloads at a time */
  rs_gate *gate;          /* who looks at the table is inside */
  _Atomic(rs_model_table *) table;
};

static void named_free(rs_named_model *named) {
  if (!named) return;
  rs_server_model_free(named->model);
  rs_free(named->name);
  rs_free(named->path);
  rs_free(named->version);
  rs_free(named);
}

static rs_model_table *table_new(int64_t n) {
  rs_model_table *table = rs_alloc(sizeof *table + (size_t)n * sizeof *table->list);
  if (table) table->n = n;
  return table;
}

rs_status rs_models_new(rs_models **out, const char *root, int64_t room, int workers) {
  rs_models *m = rs_alloc_zero(sizeof *m);
  *out = NULL;
  if (!m) return rs_nomem("models", sizeof *m);
  pthread_mutex_init(&m->change, NULL);
  m->room = room;
  m->root = rs_strdup(root);
  m->table = table_new(0);
  rs_status status = m->root && m->table ? rs_gate_new(&m->gate, workers) : rs_nomem("models", strlen(root));
  if (status == RS_OK)
    *out = m;
  else
    rs_models_free(m);
  return status;
}

void rs_models_free(rs_models *m) {
  if (!m) return;
  rs_model_table *table = m->table;
  for (int64_t i = 0; table && i < table->n; i++) named_free(table->list[i]);
  pthread_mutex_destroy(&m->change);
  rs_gate_free(m->gate);
  rs_free(table);
  rs_free(m->root);
  rs_free(m);
}

/* Looking. */

const rs_model_table *rs_models_enter(rs_models *m, int worker) {
  rs_gate_enter(m->gate, worker);
  return m->table;
}

void rs_models_leave(rs_models *m, int worker) { rs_gate_leave(m->gate, worker); }

/* The order of a name that is not terminated and one that is. */
static int compare(const char *name, size_t length, const char *other) {
  int order = strncmp(name, other, length);
  return order ? order : other[length] ? -1 : 0;
}

/* The first place whose name is not before this one. */
static int64_t place_of(const rs_model_table *table, const char *name, size_t length) {
  int64_t low = 0, high = table->n;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (compare(name, length, table->list[middle]->name) > 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool is_at(const rs_model_table *table, int64_t place, const char *name, size_t length) {
  return place < table->n && compare(name, length, table->list[place]->name) == 0;
}

const rs_named_model *rs_models_find(const rs_model_table *table, const char *name, size_t length) {
  int64_t place = place_of(table, name, length);
  return is_at(table, place, name, length) ? table->list[place] : NULL;
}

int64_t rs_models_behind(const rs_model_table *table, const char *name) {
  size_t length = strlen(name);
  int64_t place = length ? place_of(table, name, length) : 0;
  return place + (length && is_at(table, place, name, length));
}

/* Where a bundle lies. */

/* The one bundle of a folder. */
static rs_status bundle_of(char out[RS_MODEL_PATH], const char *folder) {
  DIR *entries = opendir(folder);
  if (!entries) return rs_fail(RS_EIO, "the model's folder cannot be read");
  int found = 0;
  for (struct dirent *entry; (entry = readdir(entries));) {
    size_t length = strlen(entry->d_name);
    if (entry->d_name[0] == '.' || length < 5 || strcmp(entry->d_name + length - 4, ".tar")) continue;
    if (snprintf(out, RS_MODEL_PATH, "%s/%s", folder, entry->d_name) < RS_MODEL_PATH) found++;
  }
  closedir(entries);
  if (found == 1) return RS_OK;
  return rs_fail(RS_EARG, "the model's folder holds %d bundles (.tar), and one is asked for", found);
}

/* The file that a path means, which lies below our folder by its real name; links that lead out of it are refused. */
static rs_status resolve(const rs_models *m, char out[RS_MODEL_PATH], const char *path, int64_t *bytes) {
  char root[PATH_MAX], real[PATH_MAX], file[RS_MODEL_PATH];
  if (!realpath(m->root, root)) return rs_fail(RS_EARG, "there is no folder %.512s", m->root);
  size_t length = strlen(root);
  struct stat about;
  if (!realpath(path, real) || strncmp(real, root, length) || real[length] != '/' || stat(real, &about))
    return rs_fail(RS_EARG, "url must be a folder below %.512s that holds a bundle", m->root);
  if (S_ISDIR(about.st_mode)) {
    rs_status status = bundle_of(file, real);
    if (status != RS_OK) return status;
    if (!realpath(file, real) || strncmp(real, root, length) || real[length] != '/' || stat(real, &about))
      return rs_fail(RS_EARG, "the bundle is a link that leads out of %.512s", m->root);
  }
  if (!S_ISREG(about.st_mode)) return rs_fail(RS_EARG, "url is neither a folder nor a file");
  *bytes = about.st_size;
  snprintf(out, RS_MODEL_PATH, "%s", real);
  return RS_OK;
}

/* Loading and unloading. */

static char *version_of(const char *file) {
  const char *name = strrchr(file, '/') + 1;
  char *version = rs_strdup(name);
  size_t length = strlen(name);
  if (version && length > 4 && !strcmp(version + length - 4, ".tar")) version[length - 4] = 0;
  return version;
}

static rs_status open_named(rs_named_model **out, const char *name, const char *path, const char *file) {
  rs_named_model *named = rs_alloc_zero(sizeof *named);
  *out = named;
  if (!named) return rs_nomem("model", sizeof *named);
  named->name = rs_strdup(name);
  named->path = rs_strdup(path);
  named->version = version_of(file);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  named->loaded = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
  if (!named->name || !named->path || !named->version) return rs_nomem("model", strlen(path));
  return rs_server_model_open(&named->model, file);
}

/* Put another table in the place of the one that is there, and free that when nobody looks at it any more. */
static void change(rs_models *m, rs_model_table *next) {
  rs_model_table *before = m->table;
  m->table = next;
  rs_gate_pass(m->gate);
  rs_free(before);
}

/* The table with a model more, or, where that is NULL, without the one at the place. NULL without memory. */
static rs_model_table *changed(const rs_model_table *before, int64_t place, rs_named_model *more) {
  rs_model_table *next = table_new(before->n + (more ? 1 : -1));
  if (!next) return NULL;
  int64_t rest = place + !more, to = place + !!more;
  memcpy(next->list, before->list, (size_t)place * sizeof *next->list);
  if (more) next->list[place] = more;
  memcpy(next->list + to, before->list + rest, (size_t)(before->n - rest) * sizeof *next->list);
  return next;
}

static rs_models_outcome load(rs_models *m, const char *name, const char *path) {
  rs_model_table *table = m->table;
  int64_t bytes = 0, place = place_of(table, name, strlen(name));
  if (is_at(table, place, name, strlen(name))) return RS_MODELS_THERE;
  char file[RS_MODEL_PATH];
  if (resolve(m, file, path, &bytes) != RS_OK) return RS_MODELS_REFUSED;
  if (bytes > m->room - m->used) return RS_MODELS_FULL;
  rs_named_model *named;
  rs_status status = open_named(&named, name, path, file);
  rs_model_table *next = status == RS_OK ? changed(table, place, named) : NULL;
  if (!next) {
    named_free(named);
    return status == RS_OK || status == RS_ENOMEM ? RS_MODELS_FULL : RS_MODELS_REFUSED;
  }
  named->bytes = bytes;
  m->used += bytes;
  change(m, next);
  return RS_MODELS_DONE;
}

rs_models_outcome rs_models_load(rs_models *m, const char *name, const char *path) {
  pthread_mutex_lock(&m->change);
  rs_models_outcome outcome = load(m, name, path);
  pthread_mutex_unlock(&m->change);
  return outcome;
}

static rs_models_outcome unload(rs_models *m, const char *name, size_t length) {
  rs_model_table *table = m->table;
  int64_t place = place_of(table, name, length);
  if (!is_at(table, place, name, length)) return RS_MODELS_ABSENT;
  rs_named_model *gone = table->list[place];
  rs_model_table *next = changed(table, place, NULL);
  if (!next) return RS_MODELS_FULL;
  m->used -= gone->bytes;
  change(m, next);
  named_free(gone);
  return RS_MODELS_DONE;
}

rs_models_outcome rs_models_unload(rs_models *m, const char *name, size_t length) {
  pthread_mutex_lock(&m->change);
  rs_models_outcome outcome = unload(m, name, length);
  pthread_mutex_unlock(&m->change);
  return outcome;
}
