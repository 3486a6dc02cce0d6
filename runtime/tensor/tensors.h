/* tensors.h - tensors by name, in order: model weights, a batch of inputs, the members of a safetensors file. */
#ifndef RS_TENSORS_H
#define RS_TENSORS_H
#include "tensor/tensor.h"

typedef struct rs_named_tensor {
  char *name; /* owned */
  rs_tensor tensor;
} rs_named_tensor;

/* All-zero is a valid empty list. */
typedef struct rs_tensors {
  rs_named_tensor *items;
  int64_t n, capacity;
} rs_tensors;

/* Append another handle on 't' under 'name'. RS_EARG when the name is taken. */
rs_status rs_tensors_add(rs_tensors *list, const char *name, const rs_tensor *t);
/* The same under "name.part": what an object of several tensors is stored as. */
rs_status rs_tensors_add_part(rs_tensors *list, const char *name, const char *part, const rs_tensor *t);
/* The tensor called 'name', or NULL. */
const rs_tensor *rs_tensors_find(const rs_tensors *list, const char *name);
void rs_tensors_free(rs_tensors *list);

#endif
