/* fused.c - see fused.h. */
#include "autograd/fused.h"

enum { TASK_WORK = 1 << 21, ROW_COST = 64, MOST_BLOCKS = 32 };

int64_t rs_tile_grain(int64_t m, int64_t k) {
  int64_t work = 2 * RS_GEMM_ROWS * (m < 1 ? 1 : m) * (k + ROW_COST);
  return work >= TASK_WORK ? RS_GEMM_ROWS : (TASK_WORK + work - 1) / work * RS_GEMM_ROWS;
}

int64_t rs_block_rows(int64_t n) {
  int64_t chunks = (n + RS_ROW_CHUNK - 1) / RS_ROW_CHUNK;
  return chunks <= MOST_BLOCKS ? RS_ROW_CHUNK : (chunks + MOST_BLOCKS - 1) / MOST_BLOCKS * RS_ROW_CHUNK;
}

void rs_over_rows(int64_t n, int64_t grain, rs_body *body, void *context) {
  if (n == 0)
    body(context, 0, 0);
  else
    rs_parallel_for(n, grain, body, context);
}

rs_status rs_weight_grad_new(rs_weight_grad *w, const rs_node *weight, const rs_tensor *x) {
  if (!weight->needs_grad) return RS_OK;
  w->dtype = x->dtype;
  w->m = weight->value.size[0];
  w->k = weight->value.size[1];
  w->block = rs_block_rows(x->size[0]);
  w->x = rs_tensor_data(x);
  return rs_tensor_new(&w->parts, x->dtype, 3, (int64_t[]){rs_blocks(x->size[0]), w->m, w->k});
}

void rs_weight_grad_block(const rs_weight_grad *w, const void *dz, int64_t begin, int64_t end) {
  if (!w->parts.storage || w->m == 0 || w->k == 0) return;
  int64_t size = (int64_t)rs_dtype_size(w->dtype);
  char *part = (char *)rs_tensor_data(&w->parts) + begin / w->block * w->m * w->k * size;
  rs_gemm_tile(w->dtype, true, false, w->m, w->k, end - begin, 1, (const char *)dz + begin * w->m * size, w->m,
               w->x + begin * w->k * size, w->k, 0, part, w->k);
}

rs_status rs_give_sum(rs_node *input, rs_tensor *parts) {
  rs_tensor sum = {0};
  rs_status status = rs_tensor_like(&sum, &input->value);
  if (status == RS_OK) status = rs_sum_middle(&sum, parts, 1, parts->size[0], rs_tensor_count(&sum));
  rs_tensor_free(parts);
  if (status == RS_OK) return rs_grad_give(input, &sum);
  rs_tensor_free(&sum);
  return status;
}

rs_status rs_weight_grad_give(rs_weight_grad *w, rs_node *weight) {
  return w->parts.storage ? rs_give_sum(weight, &w->parts) : RS_OK;
}

void rs_weight_grad_free(rs_weight_grad *w) { rs_tensor_free(&w->parts); }

rs_status rs_input_grad_new(rs_tensor *dx, rs_tiles **tiles, const rs_node *x, const rs_tensor *dz,
                            const rs_tensor *w) {
  if (!x->needs_grad) return RS_OK;
  rs_status status = rs_tensor_like(dx, &x->value);
  return status == RS_OK ? rs_tiles_new(tiles, dx, dz, w, false) : status;
}
