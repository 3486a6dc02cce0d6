"""Peer of the bench rows ials_cholesky and ials_cg; words: implicit and the solver: alternating least squares as the library has it.

Its BLAS is kept to one thread, as it asks for: its own threads share the rows out. Seconds are of the sweeps alone."""
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy
import scipy.sparse
from implicit.cpu.als import AlternatingLeastSquares

from common import Timed, bench


def setup(a):
    users, items = numpy.load(a["train_users"]), numpy.load(a["train_items"])
    values = numpy.full(len(users), a["weight"], "f4")
    pairs = scipy.sparse.coo_matrix((values, (users, items)), (int(a["users"]), int(a["items"]))).tocsr()
    return {"a": a, "pairs": pairs}


def run(state):
    a = state["a"]
    model = AlternatingLeastSquares(
        factors=64, regularization=a["penalty"], alpha=1.0, iterations=int(a["sweeps"]), use_cg=sys.argv[2] == "cg",
        use_native=True, num_threads=int(os.environ["OMP_NUM_THREADS"]),
    )
    model.user_factors, model.item_factors = numpy.load(a["begin_users"]), numpy.load(a["begin_items"])
    seconds = []
    model.fit(state["pairs"], show_progress=False, callback=lambda iteration, elapsed, loss: seconds.append(elapsed))
    state["model"] = model
    return Timed(None, sum(seconds))


def facts(state):
    a, x, y = state["a"], state["model"].user_factors.astype("f8"), state["model"].item_factors.astype("f8")
    pairs = state["pairs"].tocoo()
    scores = numpy.concatenate([(x[u] * y[i]).sum(1) for u, i in zip(numpy.array_split(pairs.row, 32), numpy.array_split(pairs.col, 32))])
    fit = (a["weight"] * (scores - 1) ** 2 - scores**2).sum() + ((x.T @ x) * (y.T @ y)).sum()
    return {"loss": fit + a["penalty"] * ((x**2).sum() + (y**2).sum())}


bench(run, setup, facts)
