/* grad.h - how a backward hands gradients to its inputs. For the authors of operations. */
#ifndef RS_GRAD_H
#define RS_GRAD_H
#include "autograd/tape.h"

/* Give 'input' the gradient 'g' (its shape and dtype, contiguous): becomes the gradient when it is the first, is added
 * otherwise. Takes 'g' over and leaves it empty, also on failure. 'g' may share storage with other gradients: what
 * is added to is copied first. Does nothing but free 'g' when the input needs none. */
rs_status rs_grad_give(rs_node *input, rs_tensor *g);

/* Give an embedding table rows: see rs_piece. Keeps handles on the piece's tensors. */
rs_status rs_grad_give_piece(rs_node *table, const rs_piece *piece);

/* 'g', contiguous and nobody else's, times 'factor'. */
void rs_grad_scale(rs_tensor *g, double factor);

/* For a scalar whose forward already made the gradient of 'input' and kept it in self->saved[slot]: give it that, times
 * what comes back. Takes what is saved over. */
rs_status rs_grad_give_saved(rs_node *self, int slot, rs_node *input);

/* Give 'input' [n, d] the gradient whose row i is weight[i] * rows[i]: 'rows' [n, d], 'weight' [n], both contiguous and
 * of its dtype. Of rows of a sparse table it becomes a piece as it is, and is never multiplied out. */
rs_status rs_grad_give_scaled(rs_node *input, const rs_tensor *rows, const rs_tensor *weight);

/* A tensor like self->grad that backward may write to: the gradient's own storage when nobody else looks at it (its
 * content is then what was there, and self->grad must not be read after writing), else fresh memory.
 * 'out' must be empty. Element i may be written only after element i of self->grad was read. */
rs_status rs_grad_reuse(rs_tensor *out, rs_node *self);

#endif
