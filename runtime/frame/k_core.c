/* k_core.c - the k-core of a bipartite graph whose edges are rows. See frame.h.
 *
 * Peeling by a queue: a user or item that falls under k takes its rows away, which may let others fall. Each node is
 * queued once and each row taken away once, so the time is linear. */
#include <string.h>

#include "base/alloc.h"
#include "frame/keys.h"
#include "frame/partition.h"

/* Users are the nodes 0 .. n_users-1, items those behind. */
typedef struct peel {
  const int64_t *ends[2]; /* the user and the item of each row; -1: missing */
  rs_groups rows[2];      /* of each user, of each item */
  int64_t *degree;        /* [nodes] */
  int64_t *queue, n_queue;
  uint8_t *alive; /* [rows] */
} peel;

static int64_t node_of(const peel *p, int side, int64_t row) {
  return p->ends[side][row] + (side ? p->rows[0].n : 0);
}

static void drop_row(peel *p, int64_t row, int64_t k) {
  p->alive[row] = 0;
  for (int side = 0; side < 2; side++) {
    int64_t node = node_of(p, side, row);
    if (p->degree[node]-- == k) p->queue[p->n_queue++] = node;
  }
}

static void run_queue(peel *p, int64_t k) {
  for (int64_t at = 0; at < p->n_queue; at++) {
    int side = p->queue[at] >= p->rows[0].n;
    int64_t id = p->queue[at] - (side ? p->rows[0].n : 0);
    const rs_groups *g = &p->rows[side];
    for (int64_t i = g->starts[id]; i < g->starts[id + 1]; i++)
      if (p->alive[g->rows[i]]) drop_row(p, g->rows[i], k);
  }
}

static void count_degrees(peel *p, int64_t n, int64_t k) {
  int64_t nodes = p->rows[0].n + p->rows[1].n;
  for (int64_t row = 0; row < n; row++) {
    p->alive[row] = p->ends[0][row] >= 0 && p->ends[1][row] >= 0;
    for (int side = 0; side < 2 && p->alive[row]; side++) p->degree[node_of(p, side, row)]++;
  }
  for (int64_t node = 0; node < nodes; node++)
    if (p->degree[node] > 0 && p->degree[node] < k) p->queue[p->n_queue++] = node;
}

static rs_status find_ends(rs_tensor *ids, int64_t *n, const rs_frame *f, const char *name) {
  rs_keys keys = {0};
  rs_status status = rs_keys_find(&keys, f, &name, NULL, NULL, 1);
  if (status == RS_OK) status = rs_keys_index(&keys, true, ids, NULL, n);
  rs_keys_free(&keys);
  return status;
}

static rs_status peel_rows(rs_tensor *rows, peel *p, int64_t n, int64_t k) {
  size_t bytes = (size_t)(p->rows[0].n + p->rows[1].n) * 2 * sizeof(int64_t) + (size_t)n;
  int64_t *scratch = rs_alloc_zero(bytes);
  if (!scratch) return rs_nomem("k_core", bytes);
  p->degree = scratch;
  p->queue = scratch + p->rows[0].n + p->rows[1].n;
  p->alive = (uint8_t *)(p->queue + p->rows[0].n + p->rows[1].n);
  count_degrees(p, n, k);
  run_queue(p, k);
  rs_status status = rs_rows_of_mask(rows, p->alive, n);
  rs_free(scratch);
  return status;
}

rs_status rs_frame_k_core(rs_tensor *rows, const rs_frame *f, const char *user, const char *item, int64_t k) {
  rs_tensor ids[2] = {0};
  peel p = {0};
  const char *names[] = {user, item};
  int64_t n[2] = {0};
  rs_status status = RS_OK;
  for (int side = 0; status == RS_OK && side < 2; side++) {
    status = find_ends(&ids[side], &n[side], f, names[side]);
    if (status != RS_OK) break;
    p.ends[side] = rs_i64(&ids[side]);
    status = rs_groups_of(&p.rows[side], p.ends[side], f->rows, n[side]);
  }
  if (status == RS_OK) status = peel_rows(rows, &p, f->rows, k);
  for (int side = 0; side < 2; side++) {
    rs_tensor_free(&ids[side]);
    rs_groups_free(&p.rows[side]);
  }
  return status;
}
