/* region.h - a mapped file as a storage, which the tensors over it share. */
#ifndef RS_REGION_H
#define RS_REGION_H
#include "tensor/tensor.h"

/* Map the file read-only: a storage with one reference. RS_EFORMAT when it is empty. */
rs_status rs_region_open(rs_storage **out, const char *path);

/* The same of a copy that is made at once, or by rs_region_detach while others read (base/file.h). */
rs_status rs_region_open_copy(rs_storage **out, const char *path, bool later);
rs_status rs_region_detach(const rs_storage *region, const char *path);

/* A tensor over the region's bytes from 'at' on, which lie inside it: a view where they are aligned to the element,
 * else a copy. */
rs_status rs_region_tensor(rs_tensor *out, rs_storage *region, size_t at, rs_dtype dtype, int ndim,
                           const int64_t *size);

#endif
