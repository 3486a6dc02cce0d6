/* cost.c - see cost.h. One rule for each kind of operation, and one for all others: as many operations as there are
 * elements. */
#include "nn/cost.h"

#include <string.h>

static double count(const rs_tensor *t) { return t->storage ? (double)rs_tensor_count(t) : 0; }
static double bytes(const rs_tensor *t) { return count(t) * (double)rs_dtype_size(t->dtype); }

static const rs_tensor *in(const rs_node *node, int i) { return &node->input[i]->value; }

/* How many of the first 'n' inputs want a gradient. */
static int wanted(const rs_node *node, int n) {
  int found = 0;
  for (int i = 0; i < n && i < node->n_inputs; i++) found += node->input[i]->needs_grad;
  return found;
}

static double all_bytes(const rs_node *node) {
  double sum = bytes(&node->value);
  for (int i = 0; i < node->n_inputs; i++) sum += bytes(in(node, i));
  return sum;
}

/* x [n, k], w [m, k] -> [n, m]; 'linear' and what it is fused with. */
static rs_cost linear(const rs_node *node, bool backward) {
  double product = 2 * count(in(node, 0)) * (double)in(node, 1)->size[0];
  if (!backward) return (rs_cost){product, all_bytes(node)};
  return (rs_cost){product * wanted(node, 2), 2 * all_bytes(node)};
}

static rs_cost matmul(const rs_node *node, bool backward) {
  double rows = (double)node->value.size[0];
  double product = rows > 0 ? 2 * count(&node->value) * count(in(node, 0)) / rows : 0;
  if (!backward) return (rs_cost){product, all_bytes(node)};
  return (rs_cost){product * wanted(node, 2), 2 * all_bytes(node)};
}

/* Rows of a table that are read, and their codes. Backward keeps the gradient as it comes. */
static rs_cost embedding(const rs_node *node, bool backward) {
  if (backward) return (rs_cost){0, 0};
  return (rs_cost){0, 2 * bytes(&node->value) + bytes(in(node, 1))};
}

static rs_cost embedding_bag(const rs_node *node, bool backward) {
  (void)backward;
  const rs_tensor *table = in(node, 0), *codes = in(node, 1);
  double width = (double)table->size[table->ndim - 1];
  double rows = count(codes) * width * (double)rs_dtype_size(table->dtype);
  return (rs_cost){count(codes) * width, rows + bytes(codes) + bytes(&node->value)};
}

/* Losses over all pairs of rows [n, d] and columns [m, d]: scores, an exponential a pair, and the gradients of both
 * sides, which the forward makes while the logits are in cache, and backward hands on. */
static rs_cost pairs(const rs_node *node, bool backward) {
  const rs_tensor *rows = in(node, 0), *columns = in(node, 1);
  double operands = bytes(rows) + bytes(columns);
  if (backward) return (rs_cost){0, 0};
  double logits = (double)rows->size[0] * (double)columns->size[0], d = (double)rows->size[1];
  return (rs_cost){(1 + wanted(node, 2)) * 2 * logits * d + logits, operands * (node->needs_grad ? 2 : 1)};
}

static rs_cost element_wise(const rs_node *node, bool backward) {
  double most = count(&node->value);
  for (int i = 0; i < node->n_inputs; i++) most = count(in(node, i)) > most ? count(in(node, i)) : most;
  return backward ? (rs_cost){2 * most, 2 * all_bytes(node)} : (rs_cost){most, all_bytes(node)};
}

/* Sums: a gradient of the sum's own shape is handed on. */
static rs_cost sum(const rs_node *node, bool backward) {
  if (!backward) return element_wise(node, false);
  rs_cost cost = {0, 0};
  for (int i = 0; i < node->n_inputs; i++)
    if (node->input[i]->needs_grad && count(in(node, i)) != count(&node->value)) {
      cost.flops += count(&node->value);
      cost.bytes += bytes(&node->value) + bytes(in(node, i));
    }
  return cost;
}

/* Views of their input cost nothing. */
static rs_cost nothing(const rs_node *node, bool backward) {
  (void)node, (void)backward;
  return (rs_cost){0, 0};
}

static const struct {
  const char *prefix; /* of the operation's name */
  rs_cost (*cost)(const rs_node *node, bool backward);
} rules[] = {{"linear", linear},
             {"matmul", matmul},
             {"embedding_bag", embedding_bag},
             {"embedding", embedding},
             {"in_batch_softmax", pairs},
             {"catalogue_softmax", pairs},
             {"bilateral_softmax", pairs},
             {"cosine_contrastive", pairs},
             {"gbce", pairs},
             {"reshape", nothing},
             {"add", sum}};

static rs_cost cost(const rs_node *node, bool backward) {
  for (size_t i = 0; node->op && i < sizeof rules / sizeof *rules; i++)
    if (!strncmp(node->op->name, rules[i].prefix, strlen(rules[i].prefix))) return rules[i].cost(node, backward);
  return node->op ? element_wise(node, backward) : (rs_cost){0, 0};
}

rs_cost rs_cost_forward(const rs_node *node) { return cost(node, false); }
rs_cost rs_cost_backward(const rs_node *node) { return cost(node, true); }
