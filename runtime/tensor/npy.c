/* npy.c - see npy.h. */
#include "tensor/npy.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buffer.h"
#include "base/file.h"
#include "tensor/half.h"
#include "tensor/region.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the elements of .npy files are read as little-endian");

static const char magic[6] = "\x93NUMPY";

/* ---- the header ---- */

typedef struct cursor {
  const char *begin, *at, *end; /* the file, where we are, where the header ends */
  const char *what;
} cursor;

typedef struct header {
  char kind;    /* 'f', 'i', 'u' or 'b' */
  int width;    /* bytes of an element */
  bool swapped; /* of the other byte order */
  bool fortran;
  int ndim;
  int64_t size[RS_MAX_DIMS];
  bool has_kind, has_order, has_shape;
} header;

static rs_status bad(const cursor *c, const char *trouble) {
  return rs_fail(RS_EFORMAT, "%s: byte %zu: %s", c->what, (size_t)(c->at - c->begin), trouble);
}

static void skip_space(cursor *c) {
  while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\t')) c->at++;
}

static bool take(cursor *c, char wanted) {
  skip_space(c);
  if (c->at == c->end || *c->at != wanted) return false;
  c->at++;
  return true;
}

/* A string in quotes, without escapes, of fewer than 'room' bytes. */
static rs_status take_string(cursor *c, char *out, size_t room) {
  skip_space(c);
  char quote = c->at < c->end ? *c->at : 0;
  if (quote != '\'' && quote != '"') return bad(c, "a string in quotes is expected");
  const char *from = c->at + 1, *to = memchr(from, quote, (size_t)(c->end - from));
  if (!to || (size_t)(to - from) >= room) return bad(c, "the string does not end, or is too long");
  memcpy(out, from, (size_t)(to - from));
  out[to - from] = 0;
  c->at = to + 1;
  return RS_OK;
}

static rs_status take_kind(cursor *c, header *h) {
  static const char *const served[] = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "b1"};
  char text[16];
  skip_space(c);
  if (c->at < c->end && *c->at == '[') return bad(c, "records (a structured dtype) are not served");
  rs_status status = take_string(c, text, sizeof text);
  if (status != RS_OK) return status;
  const char *kind = text + (strchr("<>=|", text[0]) && text[0] != 0);
  for (size_t i = 0; i < sizeof served / sizeof *served; i++)
    if (strcmp(kind, served[i]) == 0) {
      h->kind = kind[0];
      h->width = kind[1] - '0';
      h->swapped = text[0] == '>' && h->width > 1;
      return RS_OK;
    }
  char trouble[96];
  snprintf(trouble, sizeof trouble, "elements '%s' are not served: f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 b1 are", text);
  return bad(c, trouble);
}

static rs_status take_order(cursor *c, header *h) {
  skip_space(c);
  if (c->end - c->at >= 4 && memcmp(c->at, "True", 4) == 0)
    h->fortran = true, c->at += 4;
  else if (c->end - c->at >= 5 && memcmp(c->at, "False", 5) == 0)
    c->at += 5;
  else
    return bad(c, "True or False is expected");
  return RS_OK;
}

static rs_status take_size(cursor *c, int64_t *out) {
  skip_space(c);
  const char *begin = c->at;
  for (*out = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
    if (__builtin_mul_overflow(*out, 10, out) || __builtin_add_overflow(*out, *c->at - '0', out))
      return bad(c, "the size is too large");
  if (c->at == begin) return bad(c, "a size is expected");
  if (c->at < c->end && *c->at == 'L') c->at++; /* Python 2 */
  return RS_OK;
}

static rs_status take_shape(cursor *c, header *h) {
  if (!take(c, '(')) return bad(c, "a shape in parentheses is expected");
  while (!take(c, ')')) {
    if (h->ndim == RS_MAX_DIMS) return bad(c, "more than 4 dimensions are not served");
    rs_status status = take_size(c, &h->size[h->ndim++]);
    if (status != RS_OK) return status;
    if (take(c, ',')) continue;
    if (!take(c, ')')) return bad(c, "the shape does not end");
    break;
  }
  return RS_OK;
}

static rs_status take_field(cursor *c, header *h) {
  char key[16];
  rs_status status = take_string(c, key, sizeof key);
  if (status != RS_OK) return status;
  bool *seen = strcmp(key, "descr") == 0           ? &h->has_kind
               : strcmp(key, "fortran_order") == 0 ? &h->has_order
               : strcmp(key, "shape") == 0         ? &h->has_shape
                                                   : NULL;
  if (!seen || *seen) return bad(c, "a key other than descr, fortran_order and shape, or one of them again");
  if (!take(c, ':')) return bad(c, "a colon is expected");
  *seen = true;
  if (seen == &h->has_kind) return take_kind(c, h);
  return seen == &h->has_order ? take_order(c, h) : take_shape(c, h);
}

static rs_status parse_dictionary(cursor *c, header *h) {
  if (!take(c, '{')) return bad(c, "a dictionary is expected");
  while (!take(c, '}')) {
    rs_status status = take_field(c, h);
    if (status != RS_OK) return status;
    if (take(c, ',')) continue;
    if (!take(c, '}')) return bad(c, "the dictionary does not end");
    break;
  }
  skip_space(c);
  if (c->at != c->end) return bad(c, "text behind the dictionary");
  if (!h->has_kind || !h->has_order || !h->has_shape) return bad(c, "descr, fortran_order or shape is missing");
  return RS_OK;
}

/* Magic, version and length: c->at .. c->end becomes the dictionary. */
static rs_status find_dictionary(cursor *c) {
  size_t bytes = (size_t)(c->end - c->begin), prefix = 10;
  if (bytes < 12 || memcmp(c->begin, magic, sizeof magic) != 0) return bad(c, "this is no .npy file");
  unsigned char version = (unsigned char)c->begin[6], digits[4] = {0};
  c->at = c->begin + 6;
  if (version < 1 || version > 3 || c->begin[7] != 0) return bad(c, "a version other than 1.0, 2.0 and 3.0");
  if (version > 1) prefix = 12;
  memcpy(digits, c->begin + 8, prefix - 8);
  size_t length = digits[0] | (size_t)digits[1] << 8 | (size_t)digits[2] << 16 | (size_t)digits[3] << 24;
  c->at = c->begin + 8;
  if (length > RS_NPY_HEADER_LIMIT || length > bytes - prefix)
    return bad(c, "the header is longer than the file, or than 65536 bytes");
  c->at = c->begin + prefix;
  c->end = c->at + length;
  return RS_OK;
}

/* ---- the elements ---- */

/* The dtype that elements are read as, and whether their bytes already are that. */
static rs_dtype dtype_of(const header *h, bool *as_stored) {
  *as_stored =
      !h->swapped && (h->kind == 'b' || (h->kind == 'u' && h->width == 1) || (h->kind != 'u' && h->width >= 4));
  if (h->kind == 'f') return h->width == 8 ? RS_F64 : RS_F32;
  if (h->width == 1 && h->kind != 'i') return RS_U8;
  return h->width == 8 || (h->kind == 'u' && h->width == 4) ? RS_I64 : RS_I32;
}

static rs_status count_bytes(const cursor *c, const header *h, int64_t *count, size_t bytes) {
  int64_t span = h->width;
  bool empty = false;
  for (int i = 0; i < h->ndim; i++) {
    empty = empty || h->size[i] == 0;
    if (__builtin_mul_overflow(span, h->size[i] ? h->size[i] : 1, &span) || span > INT64_MAX / 8)
      return bad(c, "an impossible shape");
  }
  *count = empty ? 0 : span / h->width;
  if ((size_t)(*count * h->width) != bytes)
    return rs_fail(RS_EFORMAT, "%s: byte %zu: the array takes %lld bytes, there are %zu", c->what,
                   (size_t)(c->end - c->begin), (long long)(*count * h->width), bytes);
  return RS_OK;
}

static uint64_t element(const header *h, const char *from) {
  uint64_t bits = 0;
  for (int i = 0; i < h->width; i++)
    bits |= (uint64_t)(unsigned char)from[h->swapped ? h->width - 1 - i : i] << (8 * i);
  return bits;
}

/* Elements of other widths or byte order, made ours. */
static void convert(rs_tensor *out, const header *h, const char *from, int64_t count) {
  char *to = rs_tensor_data(out);
  size_t width = rs_dtype_size(out->dtype);
  int unused = 64 - 8 * h->width;
  for (int64_t i = 0; i < count; i++, to += width) {
    uint64_t bits = element(h, from + i * h->width);
    if (h->kind == 'f' && h->width == 2) {
      float value = rs_half_to_f32((uint16_t)bits);
      memcpy(to, &value, width);
    } else {
      if (h->kind == 'i') bits = (uint64_t)((int64_t)(bits << unused) >> unused);
      memcpy(to, &bits, width);
    }
  }
}

/* A tensor that is filled with its dimensions the other way round, turned: what Fortran's order stands for. */
static rs_status turn(rs_tensor *t) {
  rs_tensor turned = *t, whole = {0};
  for (int i = 0; i < t->ndim; i++) {
    turned.size[i] = t->size[t->ndim - 1 - i];
    turned.stride[i] = t->stride[t->ndim - 1 - i];
  }
  rs_status status = rs_tensor_contiguous(&whole, &turned);
  if (status != RS_OK) return status;
  rs_tensor_free(t);
  *t = whole;
  return RS_OK;
}

static rs_status take_elements(rs_tensor *out, rs_storage *region, const cursor *c, const header *h) {
  size_t at = (size_t)(c->end - c->begin);
  int64_t count = 0, size[RS_MAX_DIMS];
  bool as_stored, fortran = h->fortran && h->ndim > 1;
  rs_dtype dtype = dtype_of(h, &as_stored);
  rs_status status = count_bytes(c, h, &count, region->bytes - at);
  if (status != RS_OK) return status;
  for (int i = 0; i < h->ndim; i++) size[i] = h->size[fortran ? h->ndim - 1 - i : i];
  if (as_stored) {
    status = rs_region_tensor(out, region, at, dtype, h->ndim, size);
  } else {
    status = rs_tensor_new(out, dtype, h->ndim, size);
    if (status == RS_OK) convert(out, h, c->end, count);
  }
  if (status == RS_OK && fortran) status = turn(out);
  if (status != RS_OK) rs_tensor_free(out);
  return status;
}

rs_status rs_npy_read(rs_tensor *out, rs_storage *region, const char *what) {
  const char *data = region->data;
  cursor c = {data, data, data + region->bytes, what};
  header h = {0};
  *out = (rs_tensor){0};
  rs_status status = find_dictionary(&c);
  if (status == RS_OK) status = parse_dictionary(&c, &h);
  return status == RS_OK ? take_elements(out, region, &c, &h) : status;
}

rs_status rs_npy_open(rs_tensor *out, const char *path) {
  rs_storage *region = NULL;
  *out = (rs_tensor){0};
  rs_status status = rs_region_open(&region, path);
  if (status != RS_OK) return status;
  status = rs_npy_read(out, region, path);
  rs_storage_release(region);
  return status;
}

/* ---- writing ---- */

/* Version 1, padded so that the elements start at a multiple of 64 bytes. */
static rs_status write_header(rs_buffer *out, const rs_tensor *t) {
  static const char *const descr[] = {
      [RS_F32] = "<f4", [RS_F64] = "<f8", [RS_I32] = "<i4", [RS_I64] = "<i8", [RS_U8] = "|u1"};
  if (t->dtype == RS_BF16) return rs_fail(RS_EDTYPE, "npy: NumPy has no bf16; cast it to f32");
  rs_status status = rs_buffer_append(out, "\x93NUMPY\1\0\0\0", 10);
  if (status == RS_OK)
    status = rs_buffer_printf(out, "{'descr': '%s', 'fortran_order': False, 'shape': (", descr[t->dtype]);
  for (int i = 0; status == RS_OK && i < t->ndim; i++)
    status =
        rs_buffer_printf(out, "%s%lld%s", i ? " " : "", (long long)t->size[i], i + 1 < t->ndim || i == 0 ? "," : "");
  if (status == RS_OK) status = rs_buffer_append_text(out, "), }");
  while (status == RS_OK && out->size % 64 != 63) status = rs_buffer_append(out, " ", 1);
  if (status == RS_OK) status = rs_buffer_append(out, "\n", 1);
  if (status != RS_OK) return status;
  out->data[8] = (char)((out->size - 10) & 0xFF);
  out->data[9] = (char)((out->size - 10) >> 8);
  return RS_OK;
}

rs_status rs_npy_write(const char *path, const rs_tensor *t) {
  rs_tensor whole = {0};
  rs_buffer head = {0};
  rs_writer writer = {0};
  rs_status status = rs_tensor_contiguous(&whole, t);
  if (status == RS_OK) status = write_header(&head, t);
  if (status == RS_OK) status = rs_writer_open(&writer, path);
  if (status == RS_OK) status = rs_writer_write(&writer, head.data, head.size);
  if (status == RS_OK) status = rs_writer_write(&writer, rs_tensor_data(&whole), rs_tensor_bytes(&whole));
  if (status == RS_OK)
    status = rs_writer_commit(&writer);
  else
    rs_writer_abort(&writer);
  rs_buffer_free(&head);
  rs_tensor_free(&whole);
  return status;
}
