/* op.h - what an operation is: a name, a schema of attributes, a forward and a backward.
 *
 * One table serves the tape (forward and backward) and the plan (forward alone), so both compute the same bits.
 * An operation lives in op_<name>.c, its whole story in one place. Other folders (nn) register theirs here. */
#ifndef RS_OP_H
#define RS_OP_H
#include "tensor/tensor.h"

typedef struct rs_node rs_node;

enum { RS_MAX_ATTRS = 6, RS_MAX_SAVED = 4 };

/* The value of an attribute; which member counts follows from its kind. */
typedef union rs_attr {
  int64_t integer; /* RS_ATTR_INTEGER, RS_ATTR_BOOL, RS_ATTR_CHOICE (its position), RS_ATTR_DIM */
  double real;     /* RS_ATTR_REAL */
  struct {
    int ndim;
    int64_t size[RS_MAX_DIMS];
  } shape; /* RS_ATTR_SHAPE; one size may be -1, inferred */
} rs_attr;

typedef enum rs_attr_kind {
  RS_ATTR_INTEGER,
  RS_ATTR_REAL,
  RS_ATTR_BOOL,
  RS_ATTR_CHOICE,
  RS_ATTR_DIM, /* a dimension from 0, or -1, -2, ... from the last */
  RS_ATTR_SHAPE
} rs_attr_kind;

typedef struct rs_attr_field {
  const char *name; /* as written in a plan */
  rs_attr_kind kind;
  double least, most;         /* inclusive bounds of an integer or a real */
  const char *const *choices; /* ends with NULL */
} rs_attr_field;

/* 'forward' makes self->value from self->input[i]->value and self->attr, and refuses what does not fit (a plan is
 * not trusted: every shape, dtype and code is checked here). When self->needs_grad it may leave tensors in
 * self->saved for backward. 'backward' reads self->grad, which is there, contiguous and of the value's shape, and
 * gives each input that wants one its gradient by rs_grad_give (grad.h). Both keep: values are contiguous; the
 * result of a row does not depend on other rows unless the operation says so; no bit depends on the threads. */
typedef struct rs_op {
  const char *name;
  int min_inputs, max_inputs; /* max_inputs -1: any number */
  int n_fields;
  const rs_attr_field *fields;
  rs_status (*forward)(rs_node *self);
  rs_status (*backward)(rs_node *self); /* NULL: its inputs never get a gradient */
  bool training_only;                   /* refused in plans (losses) */
} rs_op;

/* The operation of that name, or NULL. */
const rs_op *rs_op_find(const char *name);
/* Add an operation from another folder. Call before threads run; registering the same pointer again is fine.
 * RS_EARG when the name is taken or the table (64 operations) is full. */
rs_status rs_op_register(const rs_op *op);
/* RS_EARG when an attribute is outside its schema. */
rs_status rs_op_check_attrs(const rs_op *op, const rs_attr *attrs);

#endif
