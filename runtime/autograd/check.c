/* check.c - see check.h. */
#include "autograd/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"
#include "base/buffer.h"

void rs_count_not_finite(int64_t *nan, int64_t *infinite, const rs_tensor *t) {
  *nan = *infinite = 0;
  if (!t->storage || !rs_is_real(t) || !rs_tensor_is_contiguous(t)) return;
  for (int64_t i = 0, n = rs_tensor_count(t); i < n; i++) {
    double x = t->dtype == RS_F32 ? (double)rs_f32(t)[i] : rs_f64(t)[i];
    *nan += isnan(x) != 0;
    *infinite += isinf(x) != 0;
  }
}

/* "NaN in 3 of 512 numbers", "infinity in ..."; false when all are finite. */
static bool say_bad(char *text, size_t room, const rs_tensor *t) {
  int64_t nan, infinite;
  rs_count_not_finite(&nan, &infinite, t);
  if (nan + infinite == 0) return false;
  snprintf(text, room, "%s in %lld of %lld numbers", nan ? "NaN" : "an infinity", (long long)(nan ? nan : infinite),
           (long long)rs_tensor_count(t));
  return true;
}

/* The name of a parameter that 'node' was computed from, the nearest along its first inputs; NULL when there is none. */
static const char *nearest_parameter(const rs_node *node) {
  while (node) {
    for (int i = 0; i < node->n_inputs; i++)
      if (node->input[i]->parameter) return node->input[i]->parameter->name;
    node = node->n_inputs ? node->input[0] : NULL;
  }
  return NULL;
}

/* "linear of relu [4096, 64], parameter 'user.0.weight' [64, 64]", for messages. */
static rs_status describe(rs_buffer *out, const rs_node *node) {
  rs_status status = rs_buffer_printf(out, "%s of ", node->op->name);
  bool named = false;
  for (int i = 0; i < node->n_inputs && status == RS_OK; i++) {
    const rs_node *input = node->input[i];
    named = named || input->parameter;
    status = rs_buffer_printf(out, "%s%s %s", i ? ", " : "", rs_node_label(input), rs_shape(&input->value).text);
  }
  const char *near = named ? NULL : nearest_parameter(node);
  if (near && status == RS_OK) status = rs_buffer_printf(out, ", behind parameter '%s'", near);
  return status == RS_OK ? rs_buffer_append(out, "", 1) : status;
}

/* RS_ENUMERIC with the operation, and what of it is bad in which way. */
static rs_status refuse(const rs_node *node, const char *bad, const char *what) {
  rs_buffer text = {0};
  rs_status described = describe(&text, node);
  rs_status status = rs_fail(RS_ENUMERIC, "%s, %s: %s", described == RS_OK ? text.data : node->op->name, what, bad);
  rs_buffer_free(&text);
  return status;
}

/* What the operation is given: leaves, which no operation made. Buffers move in training and prove nothing. */
static rs_status check_leaves(const rs_node *node) {
  char bad[96], what[256];
  for (int i = 0; i < node->n_inputs; i++) {
    const rs_node *input = node->input[i];
    if (input->op || (input->parameter && !input->parameter->trainable)) continue;
    if (!say_bad(bad, sizeof bad, &input->value)) continue;
    snprintf(what, sizeof what, "%s that it is given", rs_node_label(input));
    return refuse(node, bad, what);
  }
  return RS_OK;
}

/* What an operation has just given one of its inputs; of a parameter all that it was given so far. */
static bool bad_gradient(char *text, size_t room, const rs_node *input) {
  const rs_parameter *p = input->parameter;
  if (!p) return say_bad(text, room, &input->grad);
  if (!p->has_grad) return false;
  if (p->n_pieces == 0) return say_bad(text, room, &p->grad);
  const rs_piece *last = &p->pieces[p->n_pieces - 1];
  return say_bad(text, room, &last->rows) || say_bad(text, room, &last->weight);
}

static rs_status check_gradients(const rs_node *node) {
  char bad[96], what[256];
  for (int i = 0; i < node->n_inputs; i++) {
    if (!node->input[i]->needs_grad || !bad_gradient(bad, sizeof bad, node->input[i])) continue;
    snprintf(what, sizeof what, "the gradient that it gives %s", rs_node_label(node->input[i]));
    return refuse(node, bad, what);
  }
  return RS_OK;
}

static rs_status watch(void *context, rs_tape_moment moment, const rs_node *node) {
  char bad[96];
  (void)context;
  if (moment == RS_FORWARD_BEGINS) return check_leaves(node);
  if (moment == RS_FORWARD_ENDS && say_bad(bad, sizeof bad, &node->value)) return refuse(node, bad, "its result");
  return moment == RS_BACKWARD_ENDS ? check_gradients(node) : RS_OK;
}

void rs_tape_check(rs_tape *tape) { rs_tape_watch(tape, watch, NULL); }

/* Whether the operation's last act is a ReLU: by its name, or by an attribute 'activation'. */
static bool ends_in_relu(const rs_node *node) {
  if (!node->op || node->value.ndim < 1 || node->value.dtype != RS_F32) return false;
  if (strcmp(node->op->name, "relu") == 0) return true;
  for (int i = 0; i < node->op->n_fields; i++) {
    const rs_attr_field *field = &node->op->fields[i];
    if (field->kind == RS_ATTR_CHOICE && strcmp(field->name, "activation") == 0)
      return strcmp(field->choices[node->attr[i].integer], "relu") == 0;
  }
  return false;
}

RS_SIMD static void mark_active(float *restrict active, const float *restrict x, int64_t rows, int64_t units) {
  for (; rows > 0; rows--, x += units)
    for (int64_t j = 0; j < units; j++) active[j] = x[j] > 0 ? 1.0f : active[j];
}

/* What its units are known by: the weights, or the operation and its place. */
static void name_units(char *text, size_t room, const rs_node *node) {
  if (node->n_inputs > 1 && node->input[1]->parameter)
    snprintf(text, room, "%s", node->input[1]->parameter->name);
  else
    snprintf(text, room, "%s.%d", node->op->name, node->index);
}

static rs_status add_active(rs_tensors *out, const rs_node *node) {
  char name[160];
  int64_t units = rs_last(&node->value);
  name_units(name, sizeof name, node);
  rs_tensor fresh = {0};
  const rs_tensor *active = rs_tensors_find(out, name); /* the same weights again */
  rs_status status = RS_OK;
  if (!active) {
    status = rs_tensor_zeros(&fresh, RS_F32, 1, &units);
    if (status == RS_OK) status = rs_tensors_add(out, name, &fresh);
    active = &fresh;
  }
  if (status == RS_OK) mark_active(rs_f32(active), rs_f32(&node->value), rs_rows(&node->value), units);
  rs_tensor_free(&fresh);
  return status;
}

rs_status rs_tape_active_units(rs_tensors *out, const rs_tape *tape) {
  rs_status status = RS_OK;
  for (int i = 0; i < rs_tape_size(tape) && status == RS_OK; i++)
    if (ends_in_relu(rs_tape_node(tape, i))) status = add_active(out, rs_tape_node(tape, i));
  return status;
}
