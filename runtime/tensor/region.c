/* region.c - see region.h. */
#include "tensor/region.h"

#include <string.h>

#include "base/alloc.h"
#include "base/file.h"

static void unmap(rs_storage *storage) {
  rs_mapping_close(storage->owner);
  rs_free(storage->owner);
}

static rs_status open_by(rs_status open(rs_mapping *, const char *), rs_storage **out, const char *path) {
  rs_mapping *map = rs_alloc_zero(sizeof *map);
  *out = NULL;
  if (!map) return rs_nomem("mapping", sizeof *map);
  rs_status status = open(map, path);
  if (status == RS_OK && map->size == 0) status = rs_fail(RS_EFORMAT, "%s is empty", path);
  if (status == RS_OK) {
    *out = rs_storage_wrap((void *)map->data, map->size, false, unmap, map);
    if (*out) return RS_OK;
    status = rs_nomem("mapping", sizeof **out);
  }
  rs_mapping_close(map);
  rs_free(map);
  return status;
}

rs_status rs_region_open(rs_storage **out, const char *path) { return open_by(rs_mapping_open, out, path); }

rs_status rs_region_open_copy(rs_storage **out, const char *path, bool later) {
  return open_by(later ? rs_mapping_open_copied_later : rs_mapping_open_copy, out, path);
}

rs_status rs_region_detach(const rs_storage *region, const char *path) {
  return rs_mapping_detach(region->owner, path);
}

rs_status rs_region_tensor(rs_tensor *out, rs_storage *region, size_t at, rs_dtype dtype, int ndim,
                           const int64_t *size) {
  size_t width = rs_dtype_size(dtype);
  if (at % width == 0) {
    atomic_fetch_add(&region->references, 1);
    rs_status status = rs_tensor_over(out, region, dtype, ndim, size, (int64_t)(at / width));
    if (status != RS_OK) rs_storage_release(region);
    return status;
  }
  rs_status status = rs_tensor_new(out, dtype, ndim, size);
  if (status == RS_OK) memcpy(rs_tensor_data(out), (const char *)region->data + at, rs_tensor_bytes(out));
  return status;
}
