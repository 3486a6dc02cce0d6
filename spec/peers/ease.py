"""Peer of the bench row ease: EASE as its paper has it, by NumPy and the BLAS that it brings along."""
import time

import numpy
import scipy.sparse

from common import Timed, bench


def setup(a):
    users, items = numpy.load(a["train_users"]).astype("i8"), numpy.load(a["train_items"]).astype("i8")
    pairs = numpy.unique(users * (items.max() + 1) + items)
    users, items = pairs // (items.max() + 1), pairs % (items.max() + 1)
    return {"l2": a["l2"], "matrix": scipy.sparse.csr_matrix((numpy.ones(len(pairs)), (users, items)))}


def run(state):
    began = time.perf_counter()
    gram = state["matrix"].T.dot(state["matrix"]).toarray()
    diagonal = numpy.diag_indices(len(gram))
    gram[diagonal] += state["l2"]
    inverse = numpy.linalg.inv(gram)
    weights = inverse / -numpy.diag(inverse)
    weights[diagonal] = 0
    seconds = time.perf_counter() - began
    return Timed(numpy.abs(weights).mean(), seconds)


bench(run, setup, version=numpy.__version__)
