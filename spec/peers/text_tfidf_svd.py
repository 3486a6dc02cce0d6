"""Peer of the bench row text_tfidf_svd: TfidfVectorizer and TruncatedSVD by either of its solvers.

Words: randomized or arpack. Facts: the variance that the first d singular values keep, and the first 32 of them.
"""
import sys

from common import bench

solver = sys.argv[1]


def setup(arguments):
    with open(arguments["path"], encoding="utf-8") as file:
        texts = file.read().split("\n")[1:-1]
    return {"texts": texts, "d": int(arguments["d"]), "features": int(arguments["features"])}


def run(state):
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    matrix = TfidfVectorizer(max_features=state["features"]).fit_transform(state["texts"])
    svd = TruncatedSVD(state["d"], algorithm=solver, random_state=0)
    points = svd.fit_transform(matrix)
    state["values"] = svd.singular_values_
    return {"rows": points.shape[0], "dims": points.shape[1], "words": matrix.shape[1]}


def facts(state):
    values = state["values"]
    return {"variance": float((values**2).sum()), "values": [float(value) for value in values[:32]]}


bench(run, setup, facts)
