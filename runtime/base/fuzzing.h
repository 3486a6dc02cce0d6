/* fuzzing.h - a file in memory that a fuzz target rewrites for readers that take a path. */
#ifndef RS_FUZZING_H
#define RS_FUZZING_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct rs_fuzz_file {
  int handle;
  char path[32];
} rs_fuzz_file;

/* Put the bytes into the file, made when handle is 0. */
static inline bool rs_fuzz_write(rs_fuzz_file *f, const uint8_t *data, size_t size) {
  if (f->handle <= 0) {
    f->handle = memfd_create("recsys-fuzz", 0);
    snprintf(f->path, sizeof f->path, "/proc/self/fd/%d", f->handle);
  }
  return f->handle > 0 && ftruncate(f->handle, 0) == 0 && pwrite(f->handle, data, size, 0) == (ssize_t)size;
}

/* The target's entry, which libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
