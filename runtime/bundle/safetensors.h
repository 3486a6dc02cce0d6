/* safetensors.h - tensors by name in the safetensors format (github.com/huggingface/safetensors).
 *
 * u64 little-endian header length, a JSON header {name: {dtype, shape, data_offsets}}, then the data without holes.
 * We pad the header with spaces so that the data starts at a multiple of 64 bytes, and order the tensors by falling
 * element size, so that each is aligned to its elements: a reader can use the bytes where they lie. */
#ifndef RS_SAFETENSORS_H
#define RS_SAFETENSORS_H
#include "base/buffer.h"
#include "tensor/region.h"
#include "tensor/tensors.h"

enum {
  RS_SAFETENSORS_ALIGN = 64,
  RS_SAFETENSORS_HEADER_LIMIT = 16 << 20, /* bytes */
  RS_SAFETENSORS_COUNT_LIMIT = 4096       /* tensors in one file */
};

/* A file about to be written: 'header', then the data of 'body' in order, each contiguous. All-zero is empty. */
typedef struct rs_safetensors_image {
  rs_buffer header; /* length word and padded JSON */
  rs_tensors body;
  size_t bytes; /* of header and data together */
} rs_safetensors_image;

/* RS_EARG for a name that is empty, over 255 bytes, "__metadata__" or not printable ASCII free of '"' and '\'. */
rs_status rs_safetensors_image_of(rs_safetensors_image *out, const rs_tensors *list);
void rs_safetensors_image_free(rs_safetensors_image *image);

/* Replace the file at 'path' atomically; 'later' as in rs_writer. */
rs_status rs_safetensors_write(const char *path, const rs_tensors *list, bool later);

/* The tensors of the safetensors image at [offset, offset + bytes) of 'region' (inside it; its data aligned to 8),
 * appended to 'out': views of the region, but copies where the bytes are not aligned to the element (other writers'), and of F16,
 * which becomes f32.
 * The bytes are not trusted: RS_EFORMAT, with 'what' in front, for a header that is cut, too long, not JSON, has a
 * key twice, an unknown dtype, more than RS_MAX_DIMS dimensions, or ranges that leave the data, overlap, leave holes
 * or differ from shape x element size. On failure 'out' keeps what it had before. */
rs_status rs_safetensors_read(rs_tensors *out, rs_storage *region, size_t offset, size_t bytes, const char *what);

/* Map the file at 'path' and read it. */
rs_status rs_safetensors_open(rs_tensors *out, const char *path);

#endif
