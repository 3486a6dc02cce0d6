"""Peer of the bench row bpr_time_to_quality; words: implicit or lightfm: matrix factorisation by BPR as the library has it.

Gives its vectors to the bench's own evaluator after every few epochs; seconds are of training alone.

CHOSEN was searched for on Gowalla's tune_valid.txt (NDCG@20 of a third of the users, one thread); for other settings run
    OMP_NUM_THREADS=1 python spec/peers/bpr_quality.py implicit '{ARGUMENTS, "settings": {"learning_rate": 0.3}}' 1
with the "arguments" that `recsys-run bench train --row bpr_time_to_quality --json` prints among its details.
implicit, about 0.3 s an iteration (learning rate, regularization: iterations NDCG@20 ...)
    .1, .01: 30 .0276, 60 .0342     .3, .01: 40 .0300, 80 .0342, 120 .0355     .3, .001: 40 .0147, 80 .0134, 120 .0142
    .1, .01 again, from other first values: 50 .0332, 100 .0415, 150 .0428, 200 .0453     .1, .03: 40 .0202
    .1, .01 without verify_negative_samples: 50 .0295, 100 .0367
LightFM, about 1.2 s an epoch (learning rate, alpha: epochs NDCG@20 ...)
    .05, 0: 10 .0440, 20 .0594, 40 .0623, 60 .0642     .035, 0: 20 .0554, 40 .0647     .1, 0: 10 .0514, 20 .0537, 30 .0531     .3, 0: 10 .0318, 20 .0334
    .02, 1e-6: 10 .0146, 20 .0431     .05, 1e-5: 10 .0385, 20 .0518
"""
import json
import os
import subprocess
import sys
import time

import numpy
import scipy.sparse

from common import Timed, bench

WIDTH = 64
THREADS = int(os.environ["OMP_NUM_THREADS"])
CHOSEN = {
    "implicit": {"learning_rate": 0.1, "regularization": 0.01, "each": 10, "epochs": 200, "verify_negative_samples": True},
    "lightfm": {"learning_rate": 0.035, "alpha": 0.0, "each": 2, "epochs": 40},
}


class Implicit:
    def __init__(self, pairs, s):
        from implicit.bpr import BayesianPersonalizedRanking

        self.pairs = pairs.tocsr()
        self.model = BayesianPersonalizedRanking(
            factors=WIDTH, learning_rate=s["learning_rate"], regularization=s["regularization"], iterations=s["each"],
            num_threads=THREADS, verify_negative_samples=s["verify_negative_samples"],
            random_state=numpy.random.default_rng(1),  # not a number, of which each fit() would begin anew
        )

    def fit(self):
        self.model.fit(self.pairs, show_progress=False)

    def vectors(self):
        return self.model.user_factors, self.model.item_factors


class LightFM:
    def __init__(self, pairs, s):
        from lightfm import LightFM

        self.pairs, self.each = pairs, s["each"]
        self.model = LightFM(no_components=WIDTH, loss="bpr", learning_rate=s["learning_rate"], user_alpha=s["alpha"], item_alpha=s["alpha"], random_state=1)

    def fit(self):
        self.model.fit_partial(self.pairs, epochs=self.each, num_threads=THREADS)

    def vectors(self):  # an item's bias becomes one more number; a user's is the same for all items
        users, items = self.model.user_embeddings, self.model.item_embeddings
        return numpy.hstack([users, numpy.ones((len(users), 1))]), numpy.hstack([items, self.model.item_biases[:, None]])


def quality(a, vectors):
    """NDCG@20 by the bench's evaluator."""
    paths = [os.path.join(a["place"], f"{sys.argv[1]}-{os.getpid()}-{side}.npy") for side in ("users", "items")]
    try:
        for path, table in zip(paths, vectors):
            numpy.save(path, numpy.ascontiguousarray(table, "f4"))
        words = [*a["ranker"], "--repeats", "1", "--threads", str(THREADS), "--arguments", json.dumps(a | {"vectors": paths})]
        return json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)["check"]
    finally:
        for path in paths:
            if os.path.exists(path):
                os.remove(path)


def setup(a):
    users, items = numpy.load(a["train_users"]), numpy.load(a["train_items"])
    shape = (int(a["users"]), int(a["items"]))
    return a, scipy.sparse.coo_matrix((numpy.ones(len(users), "f4"), (users, items)), shape), []


def run(state):
    a, pairs, curve = state
    s = CHOSEN[sys.argv[1]] | a.get("settings", {})
    seconds, began = 0, time.perf_counter()
    model = (Implicit if sys.argv[1] == "implicit" else LightFM)(pairs, s)
    for _ in range(0, int(s["epochs"]), int(s["each"])):
        model.fit()
        seconds += time.perf_counter() - began
        curve.append({"seconds": seconds, "ndcg": quality(a, model.vectors())})
        began = time.perf_counter()
    return Timed(None, seconds)


bench(run, setup, lambda state: {"curve": state[2]}, uncounted=False)
