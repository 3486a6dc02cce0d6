/* safetensors_fuzz.c - any bytes as a safetensors file: they are read or refused, and what is read can be read to its
 * end. */
#include "base/fuzzing.h"
#include "bundle/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  rs_storage *region = rs_storage_wrap((void *)data, size, false, NULL, NULL);
  rs_tensors list = {0};
  if (region && rs_safetensors_read(&list, region, 0, size, "fuzz") == RS_OK)
    for (int64_t i = 0; i < list.n; i++) {
      rs_tensor copy = {0};
      if (rs_tensor_copy_of(&copy, &list.items[i].tensor) == RS_OK) rs_tensor_free(&copy);
    }
  rs_tensors_free(&list);
  if (region) rs_storage_release(region);
  return 0;
}
