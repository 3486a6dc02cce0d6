/* parameter.c - see parameter.h. */
#include "autograd/parameter.h"

#include <string.h>

#include "autograd/kernel.h"
#include "base/alloc.h"

rs_status rs_parameter_new(rs_parameter **out, const char *name, const rs_tensor *t, bool trainable, bool sparse) {
  bool stored = t->dtype == RS_BF16 && sparse;
  bool integers = t->dtype != RS_BF16 && !trainable && !sparse;
  if (!rs_is_real(t) && !stored && !integers)
    return rs_fail(RS_EDTYPE, "parameter '%s' is %s, not f32 or f64; %s", name, rs_dtype_name(t->dtype),
                   t->dtype == RS_BF16 ? "bf16 is for sparse tables" : "integers are for what is not trainable");
  if (sparse && t->ndim != 2)
    return rs_fail(RS_ESHAPE, "parameter '%s' is %s: only a matrix has sparse gradients", name, rs_shape(t).text);
  if (stored && t->size[1] > RS_BF16_WIDTH)
    return rs_fail(RS_ESHAPE, "parameter '%s' is bf16 %s: rows of %d at the most", name, rs_shape(t).text,
                   RS_BF16_WIDTH);
  rs_parameter *p = rs_alloc_zero(sizeof *p);
  if (!p) return rs_nomem("parameter", sizeof *p);
  atomic_init(&p->references, 1);
  p->trainable = trainable;
  p->sparse = sparse;
  p->name = rs_strdup(name);
  rs_status status = p->name ? rs_tensor_contiguous(&p->value, t) : rs_nomem("parameter", strlen(name) + 1);
  if (status != RS_OK) {
    rs_parameter_release(p);
    return status;
  }
  *out = p;
  return RS_OK;
}

void rs_parameter_retain(rs_parameter *p) { atomic_fetch_add(&p->references, 1); }

static void piece_free(rs_piece *piece) {
  rs_tensor_free(&piece->codes);
  rs_tensor_free(&piece->rows);
  rs_tensor_free(&piece->row);
  rs_tensor_free(&piece->weight);
}

void rs_parameter_zero_grad(rs_parameter *p) {
  for (int i = 0; i < p->n_pieces; i++) piece_free(&p->pieces[i]);
  p->n_pieces = 0;
  rs_tensor_free(&p->grad);
  p->has_grad = false;
}

void rs_parameter_release(rs_parameter *p) {
  if (!p || atomic_fetch_sub(&p->references, 1) > 1) return;
  rs_parameter_zero_grad(p);
  rs_tensor_free(&p->value);
  rs_free(p->pieces);
  rs_free(p->name);
  rs_free(p);
}

/* Append handles on the piece's tensors. */
static rs_status keep_piece(rs_parameter *p, const rs_piece *piece) {
  if (p->n_pieces == p->capacity) {
    int capacity = p->capacity ? 2 * p->capacity : 4;
    rs_piece *pieces = rs_realloc(p->pieces, (size_t)capacity * sizeof *pieces);
    if (!pieces) return rs_nomem("gradient", (size_t)capacity * sizeof *pieces);
    p->pieces = pieces;
    p->capacity = capacity;
  }
  rs_piece *kept = &p->pieces[p->n_pieces++];
  *kept = (rs_piece){0};
  rs_tensor_share(&kept->codes, &piece->codes);
  rs_tensor_share(&kept->rows, &piece->rows);
  if (piece->row.storage) rs_tensor_share(&kept->row, &piece->row);
  if (piece->weight.storage) rs_tensor_share(&kept->weight, &piece->weight);
  p->has_grad = true;
  return RS_OK;
}

/* A dense gradient of a table as a piece of all its codes. */
static rs_status keep_dense(rs_parameter *p, const rs_tensor *grad) {
  rs_piece piece = {0};
  rs_status status = rs_tensor_new(&piece.codes, RS_I32, 1, grad->size);
  if (status != RS_OK) return status;
  for (int64_t i = 0; i < grad->size[0]; i++) rs_i32(&piece.codes)[i] = (int32_t)i;
  rs_tensor_share(&piece.rows, grad);
  status = keep_piece(p, &piece);
  piece_free(&piece);
  return status;
}

rs_status rs_parameter_add_grad(rs_parameter *p, const rs_tensor *grad) {
  if (!rs_same_shape(&p->value, grad) || rs_grad_dtype(&p->value) != grad->dtype)
    return rs_fail(RS_ESHAPE, "parameter '%s' is %s %s, the gradient %s %s", p->name, rs_dtype_name(p->value.dtype),
                   rs_shape(&p->value).text, rs_dtype_name(grad->dtype), rs_shape(grad).text);
  rs_tensor flat = {0};
  rs_status status = rs_tensor_contiguous(&flat, grad);
  if (status != RS_OK) return status;
  if (p->sparse) {
    status = keep_dense(p, &flat);
  } else if (p->has_grad) {
    status = rs_accumulate(&p->grad, &flat);
  } else {
    rs_tensor_share(&p->grad, &flat);
    p->has_grad = true;
  }
  rs_tensor_free(&flat);
  return status;
}

rs_status rs_parameter_add_piece(rs_parameter *p, const rs_piece *piece) {
  if (p->sparse) return keep_piece(p, piece);
  rs_tensor dense = {0};
  rs_status status = rs_piece_dense(&dense, piece, &p->value);
  if (status == RS_OK) status = rs_parameter_add_grad(p, &dense);
  rs_tensor_free(&dense);
  return status;
}

static bool is_merged(const rs_parameter *p) { return p->n_pieces == 1 && p->pieces[0].merged; }

rs_status rs_parameter_merge(rs_parameter *p, const rs_tensor **codes, const rs_tensor **rows) {
  if (!p->sparse) return rs_fail(RS_EARG, "parameter '%s' has a dense gradient", p->name);
  if (!is_merged(p)) {
    rs_piece whole = {.merged = true};
    rs_status status =
        rs_pieces_merge(&whole.codes, &whole.rows, p->pieces, p->n_pieces, rs_grad_dtype(&p->value), p->value.size[1]);
    if (status != RS_OK) return status;
    bool had = p->has_grad;
    rs_parameter_zero_grad(p);
    status = keep_piece(p, &whole);
    piece_free(&whole);
    if (status != RS_OK) return status;
    p->pieces[0].merged = true;
    p->has_grad = had;
  }
  *codes = &p->pieces[0].codes;
  *rows = &p->pieces[0].rows;
  return RS_OK;
}

rs_status rs_parameter_dense_grad(rs_tensor *out, rs_parameter *p) {
  if (!p->has_grad) return rs_tensor_zeros(out, rs_grad_dtype(&p->value), p->value.ndim, p->value.size);
  if (!p->sparse) return rs_tensor_copy_of(out, &p->grad);
  const rs_tensor *codes, *rows;
  rs_status status = rs_parameter_merge(p, &codes, &rows);
  if (status != RS_OK) return status;
  status = rs_tensor_zeros(out, rs_grad_dtype(&p->value), 2, p->value.size);
  if (status != RS_OK) return status;
  size_t bytes = (size_t)p->value.size[1] * rs_dtype_size(rs_grad_dtype(&p->value));
  for (int64_t i = 0; i < codes->size[0]; i++)
    memcpy((char *)rs_tensor_data(out) + (size_t)rs_i32(codes)[i] * bytes,
           (char *)rs_tensor_data(rows) + (size_t)i * bytes, bytes);
  return RS_OK;
}
