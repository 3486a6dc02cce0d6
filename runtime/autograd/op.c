/* op.c - the table of operations. */
#include "autograd/op.h"

#include <math.h>
#include <string.h>

#include "autograd/builtin.h"

enum { MAX_OPS = 64 };

static const rs_op *extra[MAX_OPS];
static int n_extra;

static const rs_op *const builtin[] = {RS_BUILTIN_OPS};
enum { N_BUILTIN = sizeof builtin / sizeof *builtin };

const rs_op *rs_op_find(const char *name) {
  for (int i = 0; i < N_BUILTIN; i++)
    if (!strcmp(builtin[i]->name, name)) return builtin[i];
  for (int i = 0; i < n_extra; i++)
    if (!strcmp(extra[i]->name, name)) return extra[i];
  return NULL;
}

rs_status rs_op_register(const rs_op *op) {
  const rs_op *old = rs_op_find(op->name);
  if (old == op) return RS_OK;
  if (old) return rs_fail(RS_EARG, "there is an operation '%s' already", op->name);
  if (n_extra == MAX_OPS - N_BUILTIN) return rs_fail(RS_EARG, "operation '%s': the table is full", op->name);
  extra[n_extra++] = op;
  return RS_OK;
}

static int64_t count_choices(const char *const *choices) {
  int64_t n = 0;
  while (choices[n]) n++;
  return n;
}

static bool within(const rs_attr_field *field, const rs_attr *attr) {
  switch (field->kind) {
    case RS_ATTR_INTEGER: return (double)attr->integer >= field->least && (double)attr->integer <= field->most;
    case RS_ATTR_REAL: return attr->real >= field->least && attr->real <= field->most;
    case RS_ATTR_BOOL: return attr->integer == 0 || attr->integer == 1;
    case RS_ATTR_CHOICE: return attr->integer >= 0 && attr->integer < count_choices(field->choices);
    case RS_ATTR_DIM: return attr->integer >= -RS_MAX_DIMS && attr->integer < RS_MAX_DIMS;
    case RS_ATTR_SHAPE: break;
  }
  if (attr->shape.ndim < 0 || attr->shape.ndim > RS_MAX_DIMS) return false;
  for (int i = 0; i < attr->shape.ndim; i++)
    if (attr->shape.size[i] < -1) return false;
  return true;
}

rs_status rs_op_check_attrs(const rs_op *op, const rs_attr *attrs) {
  for (int i = 0; i < op->n_fields; i++) {
    const rs_attr_field *field = &op->fields[i];
    if (within(field, &attrs[i])) continue;
    if (field->kind == RS_ATTR_REAL)
      return rs_fail(RS_EARG, "%s: %s is %g, outside %g to %g", op->name, field->name, attrs[i].real, field->least,
                     field->most);
    return rs_fail(RS_EARG, "%s: %s is out of its range", op->name, field->name);
  }
  return RS_OK;
}
