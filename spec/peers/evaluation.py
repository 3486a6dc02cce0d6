"""Peer of the bench row evaluation: hit, NDCG and MAP at 10 by batched PyTorch, or by NumPy over all users at once."""
import os
import sys

import numpy

from common import bench

K, BATCH = 10, 512
DISCOUNTS = 1 / numpy.log2(numpy.arange(2, K + 2))
IDEAL = numpy.concatenate([[1], numpy.cumsum(DISCOUNTS)])
THREADS = int(os.environ["OMP_NUM_THREADS"])


def metrics(hits, counts):
    most = numpy.minimum(counts, K)
    precisions = numpy.cumsum(hits, 1) / numpy.arange(1, K + 1)
    return {
        "hit_10": float(hits.any(1).mean()),
        "ndcg_10": float(((hits * DISCOUNTS).sum(1) / IDEAL[most]).mean()),
        "map_10": float(((hits * precisions).sum(1) / most).mean()),
    }


def setup(a):
    s = {key: numpy.load(a[key]) for key in ("user_vectors", "item_vectors", "seen_starts", "seen_values")}
    starts, values = numpy.load(a["relevant_starts"]), numpy.load(a["relevant_values"])
    s["counts"] = numpy.diff(starts)
    s["relevant"] = numpy.zeros((len(s["user_vectors"]), len(s["item_vectors"])), bool)
    s["relevant"][numpy.repeat(numpy.arange(len(s["counts"])), s["counts"]), values] = True
    s["seen_users"] = numpy.repeat(numpy.arange(len(s["counts"])), numpy.diff(s["seen_starts"]))
    if sys.argv[1] == "torch":
        import torch

        torch.set_num_threads(THREADS)
        for key in ("user_vectors", "item_vectors", "relevant"):
            s[key] = torch.from_numpy(s[key])
        for key in ("seen_users", "seen_values"):
            s[key] = torch.from_numpy(s[key]).long()
    return s


def by_torch(s):
    import torch

    found = []
    for first in range(0, len(s["user_vectors"]), BATCH):
        scores = s["user_vectors"][first : first + BATCH] @ s["item_vectors"].t()
        a, b = s["seen_starts"][first], s["seen_starts"][first + len(scores)]
        scores[s["seen_users"][a:b] - first, s["seen_values"][a:b]] = -1e30
        found.append(s["relevant"][first : first + BATCH].gather(1, scores.topk(K, 1).indices))
    s["facts"] = metrics(torch.cat(found).numpy(), s["counts"])


def by_numpy(s):
    scores = s["user_vectors"] @ s["item_vectors"].T
    scores[s["seen_users"], s["seen_values"]] = -numpy.inf
    best = numpy.argpartition(-scores, K, axis=1)[:, :K]
    order = numpy.argsort(-numpy.take_along_axis(scores, best, 1), 1)
    best = numpy.take_along_axis(best, order, 1)
    s["facts"] = metrics(numpy.take_along_axis(s["relevant"], best, 1), s["counts"])


bench(by_torch if sys.argv[1] == "torch" else by_numpy, setup, lambda s: s["facts"])
