/* npy_fuzz.c - any bytes as a .npy file: they are read or refused, and what is read can be read to its end. */
#include "base/fuzzing.h"
#include "tensor/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  rs_storage *region = rs_storage_wrap((void *)data, size, false, NULL, NULL);
  rs_tensor t = {0}, copy = {0};
  if (region && rs_npy_read(&t, region, "fuzz") == RS_OK && rs_tensor_copy_of(&copy, &t) == RS_OK)
    rs_tensor_free(&copy);
  rs_tensor_free(&t);
  if (region) rs_storage_release(region);
  return 0;
}
