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
  rs_gate *gate;
  rs_named_model **list; /* by rising names; changed behind the gate */
  int64_t n, capacity;
};

static void named_free(rs_named_model *named) {
  if (!named) return;
  rs_server_model_free(named->model);
  rs_free(named->name);
  rs_free(named->path);
  rs_free(named->version);
  rs_free(named);
}

rs_status rs_models_new(rs_models **out, const char *root, int64_t room, int workers) {
  rs_models *m = rs_alloc_zero(sizeof *m);
  *out = NULL;
  if (!m) return rs_nomem("models", sizeof *m);
  pthread_mutex_init(&m->change, NULL);
  m->room = room;
  m->root = rs_strdup(root);
  rs_status status = m->root ? rs_gate_new(&m->gate, workers) : rs_nomem("models", strlen(root));
  if (status == RS_OK)
    *out = m;
  else
    rs_models_free(m);
  return status;
}

void rs_models_free(rs_models *m) {
  if (!m) return;
  for (int64_t i = 0; i < m->n; i++) named_free(m->list[i]);
  pthread_mutex_destroy(&m->change);
  rs_gate_free(m->gate);
  rs_free(m->list);
  rs_free(m->root);
  rs_free(m);
}

/* Looking. */

void rs_models_enter(rs_models *m, int worker) { rs_gate_enter(m->gate, worker); }
void rs_models_leave(rs_models *m, int worker) { rs_gate_leave(m->gate, worker); }

/* The order of a name that is not terminated and one that is. */
static int compare(const char *name, size_t length, const char *other) {
  int order = strncmp(name, other, length);
  return order ? order : other[length] ? -1 : 0;
}

/* The first place whose name is not before this one. */
static int64_t place_of(const rs_models *m, const char *name, size_t length) {
  int64_t low = 0, high = m->n;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (compare(name, length, m->list[middle]->name) > 0)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static bool is_at(const rs_models *m, int64_t place, const char *name, size_t length) {
  return place < m->n && compare(name, length, m->list[place]->name) == 0;
}

const rs_named_model *rs_models_find(const rs_models *m, const char *name, size_t length) {
  int64_t place = place_of(m, name, length);
  return is_at(m, place, name, length) ? m->list[place] : NULL;
}

const rs_named_model *const *rs_models_from(const rs_models *m, const char *after, int64_t *count) {
  int64_t place = *after ? place_of(m, after, strlen(after)) : 0;
  if (*after && is_at(m, place, after, strlen(after))) place++;
  *count = m->n - place;
  return (const rs_named_model *const *)m->list + place;
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

static rs_status grow(rs_models *m) {
  if (m->n < m->capacity) return RS_OK;
  int64_t capacity = m->capacity ? 2 * m->capacity : 16;
  rs_named_model **list = rs_alloc((size_t)capacity * sizeof *list);
  if (!list) return rs_nomem("models", (size_t)capacity * sizeof *list);
  if (m->n) memcpy(list, m->list, (size_t)m->n * sizeof *list);
  rs_named_model **before = m->list;
  rs_gate_close(m->gate);
  m->list = list;
  rs_gate_open(m->gate);
  m->capacity = capacity;
  rs_free(before);
  return RS_OK;
}

static void put(rs_models *m, rs_named_model *named) {
  int64_t place = place_of(m, named->name, strlen(named->name));
  rs_gate_close(m->gate);
  memmove(m->list + place + 1, m->list + place, (size_t)(m->n - place) * sizeof *m->list);
  m->list[place] = named;
  m->n++;
  rs_gate_open(m->gate);
  m->used += named->bytes;
}

static rs_models_outcome load(rs_models *m, const char *name, const char *path) {
  if (rs_models_find(m, name, strlen(name))) return RS_MODELS_THERE;
  char file[RS_MODEL_PATH];
  int64_t bytes = 0;
  if (resolve(m, file, path, &bytes) != RS_OK) return RS_MODELS_REFUSED;
  if (bytes > m->room - m->used) return RS_MODELS_FULL;
  rs_named_model *named;
  rs_status status = open_named(&named, name, path, file);
  if (status == RS_OK) status = grow(m);
  if (status == RS_OK) {
    named->bytes = bytes;
    put(m, named);
    return RS_MODELS_DONE;
  }
  named_free(named);
  return status == RS_ENOMEM ? RS_MODELS_FULL : RS_MODELS_REFUSED;
}

rs_models_outcome rs_models_load(rs_models *m, const char *name, const char *path) {
  pthread_mutex_lock(&m->change);
  rs_models_outcome outcome = load(m, name, path);
  pthread_mutex_unlock(&m->change);
  return outcome;
}

rs_models_outcome rs_models_unload(rs_models *m, const char *name, size_t length) {
  rs_named_model *gone = NULL;
  pthread_mutex_lock(&m->change);
  int64_t place = place_of(m, name, length);
  if (is_at(m, place, name, length)) {
    gone = m->list[place];
    rs_gate_close(m->gate);
    m->n--;
    memmove(m->list + place, m->list + place + 1, (size_t)(m->n - place) * sizeof *m->list);
    rs_gate_open(m->gate);
    m->used -= gone->bytes;
  }
  pthread_mutex_unlock(&m->change);
  named_free(gone);
  return gone ? RS_MODELS_DONE : RS_MODELS_ABSENT;
}
