/* op_dropout.c - inverted dropout (Srivastava et al. 2014): in training an element is 0 with probability 'rate', else
 * divided by 1 - rate; in evaluation it passes.
 *
 * The draw at row i, column j is word (rows_before + i) d + j of the stream (seed, dropout, epoch, step), whose
 * counter's upper half also holds the node's place on the tape: no two nodes and no two steps share one. The mask is
 * drawn again in backward instead of kept: Philox costs less than the memory. */
#ifndef REAL
#include "autograd/builtin.h"
#include "autograd/dropout.h"
#include "autograd/kernel.h"
#include "autograd/ops.h"

typedef struct context {
  rs_mask mask;
  void *out;
  const void *in;
} context;

enum { BLOCKS = 64, WORDS = 4 * BLOCKS }; /* drawn at a time */

/* rs_philox for BLOCKS counters from 'block' on, side by side so that it vectorises. */
RS_SIMD static void draw(uint32_t *words, const rs_mask *m, uint64_t block) {
  uint32_t c0[BLOCKS], c1[BLOCKS], c2[BLOCKS], c3[BLOCKS];
  for (int b = 0; b < BLOCKS; b++) {
    uint64_t at = block + (uint64_t)b;
    c0[b] = (uint32_t)at;
    c1[b] = (uint32_t)(at >> 32) | m->place << 8; /* 40 bits of block, 24 of place */
    c2[b] = m->stream.tail[0];
    c3[b] = m->stream.tail[1];
  }
  uint32_t k0 = m->stream.key[0], k1 = m->stream.key[1];
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
    for (int b = 0; b < BLOCKS; b++) {
      uint64_t p0 = (uint64_t)0xD2511F53u * c0[b], p1 = (uint64_t)0xCD9E8D57u * c2[b];
      uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[b] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3[b] ^ k1;
      c1[b] = (uint32_t)p1;
      c3[b] = (uint32_t)p0;
      c0[b] = n0;
      c2[b] = n2;
    }
  for (int b = 0; b < BLOCKS; b++) {
    words[4 * b] = c0[b];
    words[4 * b + 1] = c1[b];
    words[4 * b + 2] = c2[b];
    words[4 * b + 3] = c3[b];
  }
}

#define KERNELS "autograd/op_dropout.c"
#include "autograd/each_real.h"

rs_mask rs_mask_of(const rs_node *self, double rate, int64_t width) {
  const rs_tape_options *o = self->options;
  return (rs_mask){.stream = rs_stream_at(o->seed, RS_RNG_DROPOUT, o->epoch, o->step),
                   .place = (uint32_t)self->index,
                   .first = (uint64_t)(o->rows_before * width),
                   .threshold = (uint32_t)(rate * 0x1p32),
                   .keep = 1 / (1 - rate)};
}

/* out = in, masked and scaled; 'out' may be 'in'. */
static void mask(const rs_node *self, rs_tensor *out, const rs_tensor *in) {
  int64_t width = 1; /* of a row */
  for (int i = 1; i < in->ndim; i++) width *= in->size[i];
  context c = {rs_mask_of(self, self->attr[0].real, width), rs_tensor_data(out), rs_tensor_data(in)};
  rs_each(rs_tensor_count(in), RS_GRAIN, RS_BODY(in->dtype, mask_body), &c);
}

static rs_status forward(rs_node *self) {
  rs_status status = rs_need_reals(self, 1);
  if (status != RS_OK) return status;
  if (!self->options->train || self->attr[0].real == 0) return rs_tensor_share(&self->value, rs_in(self, 0)), RS_OK;
  status = rs_tensor_like(&self->value, rs_in(self, 0));
  if (status == RS_OK) mask(self, &self->value, rs_in(self, 0));
  return status;
}

static rs_status backward(rs_node *self) {
  rs_tensor dx = {0};
  if (!self->options->train || self->attr[0].real == 0) {
    rs_tensor_share(&dx, &self->grad);
    return rs_grad_give(self->input[0], &dx);
  }
  rs_status status = rs_grad_reuse(&dx, self);
  if (status != RS_OK) return status;
  mask(self, &dx, &self->grad);
  return rs_grad_give(self->input[0], &dx);
}

static const rs_attr_field fields[] = {{"rate", RS_ATTR_REAL, 0, 0.999999, NULL}};
const rs_op rs_op_dropout = {"dropout", 1, 1, 1, fields, forward, backward, false};

rs_status rs_ag_dropout(rs_node **out, rs_node *x, double rate) {
  return rs_apply(out, &rs_op_dropout, 1, &x, &(rs_attr){.real = rate});
}

#else
RS_SIMD static void OF(apply)(REAL *y, const REAL *x, const uint32_t *word, uint32_t threshold, REAL keep, int64_t n) {
  RS_IVDEP for (int64_t i = 0; i < n; i++) y[i] = word[i] < threshold ? 0 : x[i] * keep;
}

void OF(rs_mask_apply)(const rs_mask *mask, REAL *out, const REAL *in, int64_t begin, int64_t end) {
  uint32_t words[WORDS];
  while (begin < end) {
    uint64_t at = mask->first + (uint64_t)begin, skip = at % 4;
    int64_t n = WORDS - (int64_t)skip;
    if (n > end - begin) n = end - begin;
    draw(words, mask, at / 4);
    OF(apply)(out + begin, in + begin, words + skip, mask->threshold, (REAL)mask->keep, n);
    begin += n;
  }
}

static void OF(mask_body)(void *context_, int64_t begin, int64_t end) {
  const context *c = context_;
  OF(rs_mask_apply)(&c->mask, c->out, c->in, begin, end);
}
#endif
