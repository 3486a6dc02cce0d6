/* safetensors.c - see safetensors.h. */
#include "bundle/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "tensor/half.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors holds little-endian elements");

static const char *const dtype_words[] = {
    [RS_F32] = "F32", [RS_F64] = "F64", [RS_I32] = "I32", [RS_I64] = "I64", [RS_U8] = "U8", [RS_BF16] = "BF16"};

enum { DTYPES = sizeof dtype_words / sizeof *dtype_words };

/* Writing. */

static bool name_is_plain(const char *name) {
  size_t length = strlen(name);
  if (length == 0 || length > 255 || !strcmp(name, "__metadata__")) return false;
  for (const char *p = name; *p; p++)
    if (*p < ' ' || *p > '~' || *p == '"' || *p == '\\') return false;
  return true;
}

/* Falling element size, then name. */
static int by_element_size(const void *a, const void *b) {
  const rs_named_tensor *x = *(const rs_named_tensor *const *)a, *y = *(const rs_named_tensor *const *)b;
  size_t wide = rs_dtype_size(x->tensor.dtype), other = rs_dtype_size(y->tensor.dtype);
  return wide != other ? (wide < other) - (wide > other) : strcmp(x->name, y->name);
}

static rs_status append_entry(rs_buffer *json, const rs_named_tensor *item, bool first, size_t begin) {
  const rs_tensor *t = &item->tensor;
  rs_status status = rs_buffer_printf(json, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", first ? "" : ",", item->name,
                                      dtype_words[t->dtype]);
  for (int i = 0; status == RS_OK && i < t->ndim; i++)
    status = rs_buffer_printf(json, "%s%lld", i ? "," : "", (long long)t->size[i]);
  if (status != RS_OK) return status;
  return rs_buffer_printf(json, "],\"data_offsets\":[%zu,%zu]}", begin, begin + rs_tensor_bytes(t));
}

/* Pad with spaces to the alignment and write the length word in front. */
static rs_status finish_header(rs_buffer *header) {
  size_t end = (header->size + RS_SAFETENSORS_ALIGN - 1) / RS_SAFETENSORS_ALIGN * RS_SAFETENSORS_ALIGN;
  size_t padding = end - header->size;
  rs_status status = rs_buffer_reserve(header, padding);
  if (status != RS_OK) return status;
  memset(header->data + header->size, ' ', padding);
  header->size = end;
  uint64_t length = end - sizeof length;
  memcpy(header->data, &length, sizeof length);
  return RS_OK;
}

static rs_status build(rs_safetensors_image *image, const rs_named_tensor **sorted, int64_t n) {
  uint64_t length = 0;
  size_t data = 0;
  rs_status status = rs_buffer_append(&image->header, &length, sizeof length);
  if (status == RS_OK) status = rs_buffer_append_text(&image->header, "{");
  for (int64_t i = 0; status == RS_OK && i < n; i++) {
    rs_tensor whole = {0};
    status = rs_tensor_contiguous(&whole, &sorted[i]->tensor);
    if (status == RS_OK) status = rs_tensors_add(&image->body, sorted[i]->name, &whole);
    rs_tensor_free(&whole);
    if (status == RS_OK) status = append_entry(&image->header, sorted[i], i == 0, data);
    data += rs_tensor_bytes(&sorted[i]->tensor);
  }
  if (status == RS_OK) status = rs_buffer_append_text(&image->header, "}");
  if (status == RS_OK) status = finish_header(&image->header);
  image->bytes = image->header.size + data;
  return status;
}

rs_status rs_safetensors_image_of(rs_safetensors_image *out, const rs_tensors *list) {
  *out = (rs_safetensors_image){0};
  if (list->n > RS_SAFETENSORS_COUNT_LIMIT)
    return rs_fail(RS_EARG, "safetensors: %lld tensors are more than %d", (long long)list->n,
                   RS_SAFETENSORS_COUNT_LIMIT);
  for (int64_t i = 0; i < list->n; i++)
    if (!name_is_plain(list->items[i].name))
      return rs_fail(RS_EARG, "safetensors: a tensor cannot be called '%.64s'", list->items[i].name);
  const rs_named_tensor **sorted = rs_alloc((size_t)list->n * sizeof *sorted);
  if (!sorted) return rs_nomem("safetensors", (size_t)list->n * sizeof *sorted);
  for (int64_t i = 0; i < list->n; i++) sorted[i] = &list->items[i];
  qsort(sorted, (size_t)list->n, sizeof *sorted, by_element_size);
  rs_status status = build(out, sorted, list->n);
  rs_free(sorted);
  if (status != RS_OK) rs_safetensors_image_free(out);
  return status;
}

void rs_safetensors_image_free(rs_safetensors_image *image) {
  rs_buffer_free(&image->header);
  rs_tensors_free(&image->body);
  *image = (rs_safetensors_image){0};
}

rs_status rs_safetensors_write(const char *path, const rs_tensors *list, bool later) {
  rs_safetensors_image image;
  rs_writer writer = {0};
  rs_status status = rs_safetensors_image_of(&image, list);
  if (status == RS_OK) status = rs_writer_open(&writer, path);
  writer.later = later;
  if (status == RS_OK) status = rs_writer_write(&writer, image.header.data, image.header.size);
  for (int64_t i = 0; status == RS_OK && i < image.body.n; i++) {
    const rs_tensor *t = &image.body.items[i].tensor;
    status = rs_writer_write(&writer, rs_tensor_data(t), rs_tensor_bytes(t));
  }
  if (status == RS_OK)
    status = rs_writer_commit(&writer);
  else
    rs_writer_abort(&writer);
  rs_safetensors_image_free(&image);
  return status;
}

/* Reading. */

typedef struct entry {
  const char *name;
  rs_dtype dtype;
  bool narrow; /* F16 in the file, f32 here */
  int ndim;
  int64_t size[RS_MAX_DIMS];
  size_t begin, end; /* bytes from the start of the data */
} entry;

typedef struct header {
  entry *entries;
  int64_t n;
  const char *what;
} header;

static rs_status bad(const header *h, const char *name, const char *trouble) {
  return rs_fail(RS_EFORMAT, "%s: tensor '%.64s' %s", h->what, name, trouble);
}

static rs_status parse_dtype(const header *h, entry *e, const json_t *word) {
  for (int i = 0; json_is_string(word) && i < DTYPES; i++)
    if (!strcmp(json_string_value(word), dtype_words[i])) {
      e->dtype = (rs_dtype)i;
      return RS_OK;
    }
  e->narrow = json_is_string(word) && strcmp(json_string_value(word), "F16") == 0;
  e->dtype = RS_F32;
  return e->narrow ? RS_OK : bad(h, e->name, "has a dtype other than F16, BF16, F32, F64, I32, I64 and U8");
}

/* Read the shape; *bytes becomes shape x element size. An empty dimension does not excuse impossible ones beside it. */
static rs_status parse_shape(const header *h, entry *e, const json_t *shape, size_t *bytes) {
  if (!json_is_array(shape)) return bad(h, e->name, "has no list of sizes as its shape");
  if (json_array_size(shape) > RS_MAX_DIMS) return bad(h, e->name, "has too many dimensions");
  e->ndim = (int)json_array_size(shape);
  int64_t span = e->narrow ? 2 : (int64_t)rs_dtype_size(e->dtype);
  bool empty = false;
  for (int i = 0; i < e->ndim; i++) {
    const json_t *size = json_array_get(shape, (size_t)i);
    if (!json_is_integer(size) || json_integer_value(size) < 0)
      return bad(h, e->name, "has a size that is not a whole number of 0 or more");
    e->size[i] = json_integer_value(size);
    empty = empty || e->size[i] == 0;
    if (__builtin_mul_overflow(span, e->size[i] ? e->size[i] : 1, &span) || span > INT64_MAX / 8)
      return bad(h, e->name, "has an impossible shape");
  }
  *bytes = empty ? 0 : (size_t)span;
  return RS_OK;
}

static rs_status parse_range(const header *h, entry *e, const json_t *offsets, size_t shape_bytes, size_t data_bytes) {
  const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
    return bad(h, e->name, "has data_offsets that are not two whole numbers");
  json_int_t from = json_integer_value(begin), to = json_integer_value(end);
  if (from < 0 || to < from || (uint64_t)to > data_bytes) return bad(h, e->name, "has data_offsets outside the data");
  e->begin = (size_t)from;
  e->end = (size_t)to;
  if (e->end - e->begin != shape_bytes) return bad(h, e->name, "has data_offsets that do not fit its shape and dtype");
  return RS_OK;
}

static rs_status parse_entry(const header *h, entry *e, const json_t *value, size_t data_bytes) {
  size_t bytes = 0;
  if (!name_is_plain(e->name)) return rs_fail(RS_EFORMAT, "%s: a tensor's name is not plain printable text", h->what);
  if (!json_is_object(value) || json_object_size(value) != 3)
    return bad(h, e->name, "is not described by dtype, shape and data_offsets");
  rs_status status = parse_dtype(h, e, json_object_get(value, "dtype"));
  if (status == RS_OK) status = parse_shape(h, e, json_object_get(value, "shape"), &bytes);
  if (status == RS_OK) status = parse_range(h, e, json_object_get(value, "data_offsets"), bytes, data_bytes);
  return status;
}

static int by_begin(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->begin != y->begin) return (x->begin > y->begin) - (x->begin < y->begin);
  return (x->end > y->end) - (x->end < y->end);
}

/* The ranges must cover the data from end to end, none twice. */
static rs_status check_cover(header *h, size_t data_bytes) {
  size_t at = 0;
  qsort(h->entries, (size_t)h->n, sizeof *h->entries, by_begin);
  for (int64_t i = 0; i < h->n; at = h->entries[i++].end)
    if (h->entries[i].begin != at)
      return bad(h, h->entries[i].name, h->entries[i].begin < at ? "overlaps another" : "leaves a hole before it");
  if (at != data_bytes) return rs_fail(RS_EFORMAT, "%s: %zu bytes behind the last tensor", h->what, data_bytes - at);
  return RS_OK;
}

static rs_status check_metadata(const header *h, json_t *metadata) {
  const char *key;
  json_t *value;
  if (!json_is_object(metadata)) return rs_fail(RS_EFORMAT, "%s: __metadata__ is not an object", h->what);
  json_object_foreach(metadata, key, value) if (!json_is_string(value)) return rs_fail(
      RS_EFORMAT, "%s: __metadata__ holds more than strings", h->what);
  return RS_OK;
}

static rs_status parse_header(header *h, json_t *object, size_t data_bytes) {
  const char *name;
  json_t *value;
  rs_status status = RS_OK;
  size_t n = json_object_size(object);
  if (n > RS_SAFETENSORS_COUNT_LIMIT) return rs_fail(RS_EFORMAT, "%s: too many tensors (%zu)", h->what, n);
  h->entries = rs_alloc_zero(n * sizeof *h->entries);
  if (!h->entries) return rs_nomem(h->what, n * sizeof *h->entries);
  json_object_foreach(object, name, value) {
    if (!strcmp(name, "__metadata__")) {
      status = check_metadata(h, value);
    } else {
      h->entries[h->n].name = name;
      status = parse_entry(h, &h->entries[h->n++], value, data_bytes);
    }
    if (status != RS_OK) return status;
  }
  return check_cover(h, data_bytes);
}

/* Elements of 16 bits as f32. */
static rs_status widen(rs_tensor *out, const char *from, const entry *e) {
  rs_status status = rs_tensor_new(out, RS_F32, e->ndim, e->size);
  for (size_t i = 0; status == RS_OK && i < (e->end - e->begin) / 2; i++) {
    uint16_t half;
    memcpy(&half, from + 2 * i, sizeof half);
    rs_f32(out)[i] = rs_half_to_f32(half);
  }
  return status;
}

/* 'start' is where the data begins in the region. */
static rs_status tensor_at(rs_tensor *out, rs_storage *region, size_t start, const entry *e) {
  size_t at = start + e->begin;
  if (e->narrow) return widen(out, (const char *)region->data + at, e);
  return rs_region_tensor(out, region, at, e->dtype, e->ndim, e->size);
}

/* Add the tensors to 'out' or none of them. */
static rs_status take_tensors(rs_tensors *out, rs_storage *region, size_t start, const header *h) {
  rs_status status = RS_OK;
  int64_t before = out->n;
  for (int64_t i = 0; status == RS_OK && i < h->n; i++) {
    rs_tensor t = {0};
    status = tensor_at(&t, region, start, &h->entries[i]);
    if (status == RS_OK) status = rs_tensors_add(out, h->entries[i].name, &t);
    rs_tensor_free(&t);
  }
  while (status != RS_OK && out->n > before) {
    rs_named_tensor *last = &out->items[--out->n];
    rs_free(last->name);
    rs_tensor_free(&last->tensor);
  }
  return status;
}

rs_status rs_safetensors_read(rs_tensors *out, rs_storage *region, size_t offset, size_t bytes, const char *what) {
  const char *image = (const char *)region->data + offset;
  uint64_t length;
  json_t *object = NULL;
  header h = {.what = what};
  if (bytes < sizeof length) return rs_fail(RS_EFORMAT, "%s: too short to be safetensors (%zu bytes)", what, bytes);
  memcpy(&length, image, sizeof length);
  if (length > RS_SAFETENSORS_HEADER_LIMIT || length > bytes - sizeof length)
    return rs_fail(RS_EFORMAT, "%s: the header claims %llu bytes of %zu (limit %d)", what, (unsigned long long)length,
                   bytes, RS_SAFETENSORS_HEADER_LIMIT);
  rs_status status = rs_json_object(&object, image + sizeof length, length, what);
  size_t start = sizeof length + length;
  if (status == RS_OK) status = parse_header(&h, object, bytes - start);
  if (status == RS_OK) status = take_tensors(out, region, offset + start, &h);
  rs_free(h.entries);
  json_decref(object);
  return status;
}

rs_status rs_safetensors_open(rs_tensors *out, const char *path) {
  rs_storage *region = NULL;
  rs_status status = rs_region_open(&region, path);
  if (status != RS_OK) return status;
  status = rs_safetensors_read(out, region, 0, region->bytes, path);
  rs_storage_release(region);
  return status;
}
