/* csv_input.c - see csv_input.h. gzip by zlib and zstd by its own library: both check their checksums. */
#include "frame/csv_input.h"

#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/alloc.h"

enum { WINDOW = (1 << 24) + (1 << 16), STEP = 1 << 20 };

static const int64_t most_bytes = INT64_C(64) << 30, most_line = INT64_C(1) << 30;

static void *gzip_alloc(void *opaque, unsigned items, unsigned size) {
  (void)opaque;
  return rs_alloc((size_t)items * size);
}

static void gzip_free(void *opaque, void *block) {
  (void)opaque;
  rs_free(block);
}

void rs_csv_input_close(rs_csv_input *in) {
  if (in->stream && in->compression == RS_CSV_ZSTD) ZSTD_freeDStream(in->stream);
  if (in->stream && in->compression == RS_CSV_GZIP) {
    inflateEnd(in->stream);
    rs_free(in->stream);
  }
  rs_buffer_free(&in->buffer);
  rs_mapping_close(&in->map);
  *in = (rs_csv_input){0};
}

static rs_status open_gzip(rs_csv_input *in) {
  z_stream *z = rs_alloc_zero(sizeof *z);
  if (!z) return rs_nomem("gzip", sizeof *z);
  z->zalloc = gzip_alloc;
  z->zfree = gzip_free;
  if (inflateInit2(z, 15 + 16) != Z_OK) { /* 16: a gzip header, and its checksum */
    rs_free(z);
    return rs_nomem("gzip", 1 << 15);
  }
  in->stream = z;
  return RS_OK;
}

static rs_status damaged(const rs_csv_input *in, const char *why) {
  return rs_fail(RS_EFORMAT, "%s: the %s stream is damaged at byte %zu (%s)", in->path,
                 in->compression == RS_CSV_GZIP ? "gzip" : "zstd", in->consumed, why);
}

static rs_status cut_off(const rs_csv_input *in) {
  return rs_fail(RS_EFORMAT, "%s ends within its %s stream, at byte %zu: was it cut off?", in->path,
                 in->compression == RS_CSV_GZIP ? "gzip" : "zstd", in->map.size);
}

/* Decompress into 'to', which takes 'room' bytes. Another member may follow one that ended; zeros may fill the rest. */
static rs_status step_gzip(rs_csv_input *in, char *to, size_t room, size_t *got, bool *ended) {
  z_stream *z = in->stream;
  size_t left = in->map.size - in->consumed;
  z->next_in = (Bytef *)(uintptr_t)(in->map.data + in->consumed);
  z->avail_in = (uInt)(left < (1u << 30) ? left : 1u << 30);
  z->next_out = (Bytef *)to;
  z->avail_out = (uInt)room;
  int result = inflate(z, Z_NO_FLUSH);
  in->consumed = (size_t)((const char *)z->next_in - in->map.data);
  *got = room - z->avail_out;
  if (result == Z_MEM_ERROR) return rs_nomem("gzip", 1 << 15);
  if (result == Z_STREAM_END) {
    while (in->consumed < in->map.size && in->map.data[in->consumed] == 0) in->consumed++;
    *ended = in->consumed == in->map.size;
    if (!*ended && inflateReset(z) != Z_OK) return damaged(in, "no member follows");
    return RS_OK;
  }
  if (result != Z_OK && result != Z_BUF_ERROR) return damaged(in, z->msg ? z->msg : "no gzip");
  return *got == 0 && in->consumed == in->map.size ? cut_off(in) : RS_OK;
}

static rs_status step_zstd(rs_csv_input *in, char *to, size_t room, size_t *got, bool *ended) {
  ZSTD_inBuffer from = {in->map.data, in->map.size, in->consumed};
  ZSTD_outBuffer out = {to, room, 0};
  size_t left = ZSTD_decompressStream(in->stream, &out, &from);
  in->consumed = from.pos;
  *got = out.pos;
  if (ZSTD_isError(left)) return damaged(in, ZSTD_getErrorName(left));
  *ended = left == 0 && in->consumed == in->map.size;
  return !*ended && *got == 0 && in->consumed == in->map.size ? cut_off(in) : RS_OK;
}

/* Append up to STEP bytes of text to the buffer. */
static rs_status step(rs_csv_input *in, bool *ended) {
  size_t got = 0;
  rs_status status = rs_buffer_reserve(&in->buffer, STEP);
  if (status != RS_OK) return status;
  char *to = in->buffer.data + in->buffer.size;
  status = in->compression == RS_CSV_GZIP ? step_gzip(in, to, STEP, &got, ended) : step_zstd(in, to, STEP, &got, ended);
  in->buffer.size += got;
  in->produced += (int64_t)got;
  if (status == RS_OK && in->produced > in->most)
    return rs_fail(RS_EFORMAT,
                   "%s holds more than %lld bytes of text by byte %zu of %zu: raise expand_limit if it is meant to",
                   in->path, (long long)in->most, in->consumed, in->map.size);
  return status;
}

/* Fill the buffer, which holds 'kept' bytes of text already, up to the end of a line or of the text. */
static rs_status fill(rs_csv_input *in, size_t kept) {
  bool ended = false;
  rs_status status = RS_OK;
  const char *newline = NULL;
  size_t looked = kept; /* there is no newline that nobody knows of before */
  while (status == RS_OK && !ended && (in->buffer.size < kept + WINDOW || !newline)) {
    if (in->buffer.size >= kept + WINDOW && (int64_t)(in->buffer.size - kept) > most_line)
      return rs_fail(RS_EFORMAT, "%s: a line has more than %lld bytes", in->path, (long long)most_line);
    status = step(in, &ended);
    if (in->buffer.size >= kept + WINDOW) {
      newline = memrchr(in->buffer.data + looked, '\n', in->buffer.size - looked);
      looked = in->buffer.size;
    }
  }
  in->text = in->buffer.data ? in->buffer.data : "";
  in->end = ended || !newline ? in->text + in->buffer.size : newline + 1;
  in->more = !ended;
  return status;
}

rs_status rs_csv_input_advance(rs_csv_input *in, const char *unread) {
  size_t kept = (size_t)(in->buffer.data + in->buffer.size - unread);
  memmove(in->buffer.data, unread, kept);
  in->buffer.size = kept;
  return fill(in, kept);
}

rs_status rs_csv_input_open(rs_csv_input *in, const char *path, int64_t most) {
  in->path = path;
  in->most = most ? most : most_bytes;
  rs_status status = rs_mapping_open(&in->map, path);
  if (status != RS_OK) return status;
  const char *bytes = in->map.data;
  if (in->map.size >= 3 && memcmp(bytes, "\x1F\x8B\x08", 3) == 0) {
    in->compression = RS_CSV_GZIP;
    status = open_gzip(in);
  } else if (in->map.size >= 4 && memcmp(bytes, "\x28\xB5\x2F\xFD", 4) == 0) {
    in->compression = RS_CSV_ZSTD;
    in->stream = ZSTD_createDStream();
    if (!in->stream) status = rs_nomem("zstd", 1 << 17);
  } else {
    in->text = bytes ? bytes : "";
    in->end = in->text + in->map.size;
    return RS_OK;
  }
  return status == RS_OK ? fill(in, 0) : status;
}
