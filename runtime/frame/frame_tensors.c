/* frame_tensors.c - frames as named tensors and back, for storing. See frame.h. */
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "frame/frame.h"

static void release_dictionary(rs_storage *storage) { rs_dictionary_release(storage->owner); }

/* A read-only tensor over memory of the dictionary, which it keeps alive. */
static rs_status view_of(rs_tensor *out, rs_dictionary *d, void *data, rs_dtype dtype, int64_t n) {
  rs_storage *storage = rs_storage_wrap(data, (size_t)n * rs_dtype_size(dtype), false, release_dictionary, d);
  if (!storage) return rs_nomem("frame", sizeof *storage);
  rs_dictionary_retain(d);
  return rs_tensor_over(out, storage, dtype, 1, &n, 0);
}

static rs_status add_dictionary(rs_tensors *out, const char *name, rs_dictionary *d) {
  rs_tensor bytes = {0}, offsets = {0};
  rs_status status;
  if (d->n == 0) {
    status = rs_tensor_new(&bytes, RS_U8, 1, (int64_t[]){0});
    if (status == RS_OK) status = rs_tensor_zeros(&offsets, RS_I64, 1, (int64_t[]){1});
  } else {
    status = view_of(&bytes, d, d->bytes, RS_U8, d->offsets[d->n]);
    if (status == RS_OK) status = view_of(&offsets, d, d->offsets, RS_I64, d->n + 1);
  }
  if (status == RS_OK) status = rs_tensors_add_part(out, name, "bytes", &bytes);
  if (status == RS_OK) status = rs_tensors_add_part(out, name, "offsets", &offsets);
  rs_tensor_free(&bytes);
  rs_tensor_free(&offsets);
  return status;
}

rs_status rs_frame_tensors(const rs_frame *f, rs_tensors *out) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < f->n_columns; i++) {
    const rs_column *c = &f->columns[i];
    status = rs_tensors_add_part(out, c->name, "values", &c->values);
    if (status == RS_OK && c->type == RS_LIST) status = rs_tensors_add_part(out, c->name, "starts", &c->starts);
    if (status == RS_OK && c->type == RS_LIST) status = rs_tensors_add_part(out, c->name, "lengths", &c->lengths);
    if (status == RS_OK && c->dictionary) status = add_dictionary(out, c->name, c->dictionary);
  }
  if (status != RS_OK) rs_tensors_free(out);
  return status;
}

/* The tensor "name.part" as a contiguous vector of that dtype. */
static rs_status fetch(rs_tensor *out, const rs_tensors *tensors, const char *name, const char *part, rs_dtype dtype) {
  rs_buffer key = {0};
  rs_status status = rs_buffer_printf(&key, "%s.%s", name, part);
  if (status == RS_OK) status = rs_buffer_append(&key, "", 1);
  const rs_tensor *t = status == RS_OK ? rs_tensors_find(tensors, key.data) : NULL;
  rs_buffer_free(&key);
  if (status != RS_OK) return status;
  if (!t || t->ndim != 1 || t->dtype != dtype)
    return rs_fail(RS_EFORMAT, "frame: column '%s' needs a tensor '%s.%s', %s [n]", name, name, part,
                   rs_dtype_name(dtype));
  return rs_tensor_contiguous(out, t);
}

static rs_status build_dictionary(rs_dictionary **out, const char *name, const rs_tensor *bytes,
                                  const rs_tensor *offsets) {
  int64_t n = offsets->size[0] - 1, size = bytes->size[0];
  const int64_t *at = rs_i64(offsets);
  rs_status status = rs_dictionary_new(out);
  if (status == RS_OK && (n < 0 || at[0] != 0 || at[n] != size))
    status = rs_fail(RS_EFORMAT, "frame: the offsets of '%s' do not cover its bytes", name);
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    int32_t code = 0;
    if (at[i + 1] < at[i] || at[i + 1] > size)
      status = rs_fail(RS_EFORMAT, "frame: the offsets of '%s' do not rise at %lld", name, (long long)i);
    else
      status = rs_dictionary_add(*out, (const char *)rs_u8(bytes) + at[i], (size_t)(at[i + 1] - at[i]), &code);
    if (status == RS_OK && code != i + 1)
      status = rs_fail(RS_EFORMAT, "frame: the dictionary of '%s' holds a text twice", name);
  }
  return status;
}

static rs_status fetch_dictionary(rs_column *c, const rs_tensors *tensors) {
  rs_tensor bytes = {0}, offsets = {0};
  rs_status status = fetch(&bytes, tensors, c->name, "bytes", RS_U8);
  if (status == RS_OK) status = fetch(&offsets, tensors, c->name, "offsets", RS_I64);
  if (status == RS_OK) status = build_dictionary(&c->dictionary, c->name, &bytes, &offsets);
  rs_tensor_free(&bytes);
  rs_tensor_free(&offsets);
  if (status != RS_OK) return status;
  const int32_t *codes = rs_i32(&c->values);
  int32_t least = c->type == RS_LIST ? 1 : 0;
  for (int64_t i = 0; i < c->values.size[0]; i++)
    if (codes[i] < least || codes[i] > c->dictionary->n)
      return rs_fail(RS_EFORMAT, "frame: code %d of '%s' is outside %d .. %lld", codes[i], c->name, least,
                     (long long)c->dictionary->n);
  return RS_OK;
}

static rs_status fetch_slices(rs_column *c, const rs_tensors *tensors) {
  rs_status status = fetch(&c->starts, tensors, c->name, "starts", RS_I64);
  if (status == RS_OK) status = fetch(&c->lengths, tensors, c->name, "lengths", RS_I32);
  if (status != RS_OK) return status;
  int64_t n = c->starts.size[0], total = c->values.size[0];
  if (c->lengths.size[0] != n) return rs_fail(RS_EFORMAT, "frame: '%s' has more starts than lengths or fewer", c->name);
  for (int64_t i = 0; i < n; i++) {
    int64_t start = rs_i64(&c->starts)[i], length = rs_i32(&c->lengths)[i];
    if (start < 0 || length < 0 || start > total || length > total - start)
      return rs_fail(RS_EFORMAT, "frame: the list in row %lld of '%s' leaves its values", (long long)i, c->name);
  }
  return RS_OK;
}

static rs_status fetch_column(rs_column *c, const rs_tensors *tensors, const char *name, rs_column_type type) {
  static const rs_dtype dtypes[] = {RS_F64, RS_I64, RS_I32, RS_I32};
  *c = (rs_column){.type = type, .name = rs_strdup(name)};
  if (!c->name) return rs_nomem("frame", strlen(name));
  rs_status status = fetch(&c->values, tensors, name, "values", dtypes[type]);
  if (status == RS_OK && type == RS_LIST) status = fetch_slices(c, tensors);
  if (status == RS_OK && (type == RS_LIST || type == RS_STRING)) status = fetch_dictionary(c, tensors);
  return status;
}

rs_status rs_frame_from_tensors(rs_frame *out, const rs_tensors *tensors, const char *const *names,
                                const rs_column_type *types, int n) {
  rs_status status = RS_OK;
  for (int i = 0; status == RS_OK && i < n; i++) {
    rs_column made = {0};
    status = fetch_column(&made, tensors, names[i], types[i]);
    if (status == RS_OK) status = rs_frame_add(out, &made);
    if (status == RS_ESHAPE || status == RS_EARG)
      status = rs_fail(RS_EFORMAT, "frame: column '%s' is there twice, or differs in length", names[i]);
    rs_column_free(&made);
  }
  if (status != RS_OK) rs_frame_free(out);
  return status;
}
