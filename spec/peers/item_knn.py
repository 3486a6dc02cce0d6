"""Peer of the bench rows item_knn and item_knn_sparse; words: implicit or sklearn: the k most similar items of each by cosine.

implicit counts an item among its own neighbours, so it is asked for one more, and that one is taken off."""
import os
import sys
import time
import warnings

import numpy
import scipy.sparse

from common import Timed, bench

warnings.filterwarnings("ignore")


def setup(a):
    users, items = numpy.load(a["train_users"]).astype("i8"), numpy.load(a["train_items"]).astype("i8")
    pairs = numpy.unique(items * (users.max() + 1) + users)
    items, users = pairs // (users.max() + 1), pairs % (users.max() + 1)
    matrix = scipy.sparse.csr_matrix((numpy.ones(len(pairs)), (items, users)))
    return {"k": int(a["k"]), "items": matrix, "users": matrix.T.tocsr(), "threads": int(os.environ["OMP_NUM_THREADS"])}


def run_implicit(state):
    from implicit.nearest_neighbours import CosineRecommender

    model = CosineRecommender(K=state["k"] + 1, num_threads=state["threads"])
    began = time.perf_counter()
    model.fit(state["users"], show_progress=False)
    seconds = time.perf_counter() - began
    found = model.similarity.tocoo()
    others = found.row != found.col
    return Timed(found.data[others].mean(), seconds)


def run_sklearn(state):
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=state["k"], metric="cosine", algorithm="brute", n_jobs=state["threads"])
    distances, _ = model.fit(state["items"]).kneighbors()
    similar = 1 - distances
    found = similar > 1e-12
    return similar[found].sum() / found.sum()


bench(run_implicit if sys.argv[1] == "implicit" else run_sklearn, setup)
