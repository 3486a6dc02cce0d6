/* testing.h - what C tests share. */
#ifndef RS_TESTING_H
#define RS_TESTING_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"

/* Group teardown: the tests gave back all that they took of rs_alloc. */
static inline int no_blocks_remain(void **state) {
  (void)state;
  return rs_alloc_blocks() == 0 ? 0 : -1;
}

#endif
