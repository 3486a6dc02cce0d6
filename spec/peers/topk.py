"""Peer of the bench rows exact_*: the k best items by dot product, with PyTorch, Faiss's flat index or NumPy.

topk.py LIBRARY TASK; tasks are batch (all users at once), single (one user at a time), filtered (one user at a time, of
the items that a filter lets pass) and request (one user at a time without items that he has seen).
"""
import os
import sys
import time

import numpy

from common import Timed, bench

LIBRARY, TASK = sys.argv[1], sys.argv[2]
THREADS = int(os.environ["OMP_NUM_THREADS"])
BATCH = 512

if LIBRARY == "torch":
    import torch

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
elif LIBRARY == "faiss":
    import faiss

    faiss.omp_set_num_threads(THREADS)


def setup(a):
    s = {"users": numpy.load(a["users"]), "items": numpy.load(a["items"]), "k": a["k"]}
    filters = {name: numpy.load(path) for name, path in a.get("filters", {}).items()}
    if "seen" in a:
        s["seen"] = numpy.load(a["seen"]).reshape(-1, a["each"])
    s["users"] = s["users"][: a.get("queries")]
    if LIBRARY == "torch":
        s["users"], s["items"] = torch.from_numpy(s["users"]), torch.from_numpy(s["items"])
        s["filters"] = {name: torch.from_numpy(f == 0) for name, f in filters.items()}
        s["rows"] = {name: torch.from_numpy(f.nonzero()[0]) for name, f in filters.items()}
    elif LIBRARY == "faiss":
        s["index"] = faiss.IndexFlatIP(s["items"].shape[1])
        s["index"].add(s["items"])
        s["bits"] = {name: numpy.packbits(f, bitorder="little") for name, f in filters.items()}
        s["filters"] = {
            name: faiss.SearchParameters(sel=faiss.IDSelectorBitmap(len(filters[name]), faiss.swig_ptr(bits)))
            for name, bits in s["bits"].items()
        }
    return s


def mean(scores):
    return float(numpy.concatenate([numpy.asarray(x, "f8").ravel() for x in scores]).mean())


def batch(s):
    if LIBRARY == "faiss":
        return {"mean_score": mean([s["index"].search(s["users"], s["k"])[0]])}
    found = []
    for first in range(0, len(s["users"]), BATCH):
        found.append((s["users"][first : first + BATCH] @ s["items"].t()).topk(s["k"], 1))
    return {"mean_score": mean([x.values for x in found])}


def one(s, i):
    if LIBRARY == "faiss":
        return s["index"].search(s["users"][i : i + 1], s["k"])[0]
    return (s["items"] @ s["users"][i]).topk(s["k"]).values


def single(s):
    return {"mean_score": mean([one(s, i) for i in range(len(s["users"]))])}


def one_filtered(s, i, name):
    if LIBRARY == "faiss":
        return s["index"].search(s["users"][i : i + 1], s["k"], params=s["filters"][name])[0]
    if len(s["rows"][name]) * 20 < len(s["items"]):  # few: their vectors are gathered
        return (s["items"][s["rows"][name]] @ s["users"][i]).topk(s["k"]).values
    return (s["items"] @ s["users"][i]).masked_fill_(s["filters"][name], -numpy.inf).topk(s["k"]).values


def filtered(s):
    check, total, s["facts"] = {}, 0, {}
    for name in s["filters"]:
        began = time.perf_counter()
        found = [one_filtered(s, i, name) for i in range(len(s["users"]))]
        seconds = time.perf_counter() - began
        check[name] = mean(found)
        total += seconds
        s["facts"][name + "_ms"] = 1e3 * seconds / len(s["users"])
    return Timed(check, total)


def request(s):
    found, k = [], s["k"]
    for user, seen in zip(s["users"], s["seen"]):
        scores = s["items"] @ user
        scores[seen] = -numpy.inf
        best = numpy.argpartition(scores, -k)[-k:]
        found.append(scores[best[numpy.argsort(-scores[best])]])
    return {"mean_score": mean(found)}


bench({"batch": batch, "single": single, "filtered": filtered, "request": request}[TASK], setup,
      lambda s: s.get("facts", {}))
