"""Peer of the bench rows hnsw*: compiles hnswlib.cpp for this machine (Debian's libhnswlib-dev and g++) and runs it.

A turn is a point of the curve, whose ef comes round again and again; a point's rates are the medians of its turns.
"""
import json
import os
import statistics
import subprocess
import sys

from common import Timed, bench

HERE = os.path.dirname(os.path.abspath(__file__))


def setup(a):
    program, source = os.path.join(a["folder"], "hnswlib-peer"), os.path.join(HERE, "hnswlib.cpp")
    if not os.path.exists("/usr/include/hnswlib/hnswlib.h"):
        sys.exit("hnswlib's header is not there: install libhnswlib-dev and g++")
    if not os.path.exists(program) or os.path.getmtime(program) < os.path.getmtime(source):
        flags = ["-O3", "-march=native", "-fopenmp", "-w"]
        subprocess.run(["g++", *flags, source, "-o", program + ".part"], check=True)
        os.replace(program + ".part", program)
    words = [a["items"], a["queries"], a["truth"], a["n"], a["q"], a["width"], a["m"], a["ef_construction"]]
    words = [str(int(w) if isinstance(w, float) else w) for w in words] + [os.environ["OMP_NUM_THREADS"], str(a["seconds"])]
    index = subprocess.Popen([program, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return {"index": index, "facts": json.loads(index.stdout.readline()), "efs": [int(ef) for ef in a["ef"]], "points": {}}


def run(s):
    ef = s["efs"][(s["turn"] - 1) % len(s["efs"])]
    s["index"].stdin.write("%d\n" % ef)
    s["index"].stdin.flush()
    point = json.loads(s["index"].stdout.readline())
    s["points"].setdefault(ef, []).append(point)
    return Timed(None, 1 / point["qps"])


def facts(s):
    s["index"].stdin.close()
    s["index"].wait()
    median = lambda points, key: statistics.median(point[key] for point in points)
    s["facts"]["curve"] = [{"ef": ef, "recall": points[0]["recall"], "qps1": median(points, "qps1"), "qps": median(points, "qps")}
                           for ef, points in s["points"].items()]
    return s["facts"]


bench(run, setup, facts, uncounted=False, version="0.6.2")
