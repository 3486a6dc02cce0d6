"""Peer of the bench rows hnsw*: compiles hnswlib.cpp for this machine (Debian's libhnswlib-dev and g++) and runs it."""
import json
import os
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
    return {"program": program, "arguments": a}


def run(s):
    a = s["arguments"]
    words = [a["items"], a["queries"], a["truth"], a["n"], a["q"], a["width"], a["m"], a["ef_construction"]]
    words += [os.environ["OMP_NUM_THREADS"], a["seconds"], *a["ef"]]
    out = subprocess.run([s["program"], *(str(int(w) if isinstance(w, float) and w.is_integer() else w) for w in words)],
                         check=True, stdout=subprocess.PIPE).stdout
    s["facts"] = json.loads(out)
    return Timed(None, 1 / max(point["qps"] for point in s["facts"]["curve"]))


bench(run, setup, facts=lambda s: s["facts"], uncounted=False, version="0.6.2")
