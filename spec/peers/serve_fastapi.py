"""Recommendations for known users over HTTP, by FastAPI on uvicorn with uvloop and httptools, as fastapi[standard] brings them.

serve_fastapi.py HOW WORKERS ARGUMENTS REPEATS: HOW is
  vectorised  NumPy, all items at once; the handler returns what it answers, as FastAPI's tutorial has it
  tuned       the same, but the answer goes past FastAPI: written by orjson, as a Response
  loop        one item after another, otherwise as vectorised
The model's threads are one: there are as many workers as that pays for.
"""
import json
import os
import signal
import socket
import subprocess
import sys
import time

from common import Timed, bench

HERE = os.path.dirname(os.path.abspath(__file__))


def application():
    """What uvicorn's workers run."""
    import orjson
    from fastapi import FastAPI, Response
    from serve_model import Model
    app, model = FastAPI(), Model(os.environ["SERVE_BUNDLE"])
    how = os.environ["SERVE_HOW"]
    if how == "loop":
        import torch
        torch.set_num_threads(1)
    async def vectorised(q: dict):
        began = time.perf_counter()
        return model.answer(q["user"], *model.recommend(q["user"], q["k"]), began)

    async def tuned(q: dict):
        began = time.perf_counter()
        return Response(orjson.dumps(model.answer(q["user"], *model.recommend(q["user"], q["k"]), began)), media_type="application/json")

    def loop(q: dict):  # in uvicorn's pool of threads
        began = time.perf_counter()
        return model.answer(q["user"], *model.recommend_loop(q["user"], q["k"]), began)

    app.post("/recommend")({"vectorised": vectorised, "tuned": tuned, "loop": loop}[how])
    return app


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def start(command, port, env):
    """Start a server and wait until it answers."""
    server = subprocess.Popen(command, cwd=HERE, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    for _ in range(1200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return server
        if server.poll() is not None:
            break
        time.sleep(0.05)
    server.kill()
    sys.exit("the server does not begin: " + server.stderr.read().decode()[-500:])


def ask(state):
    """Load from wrk for some seconds: seconds a request, and the ids and scores that a few users get."""
    a = state["arguments"]
    url = "http://127.0.0.1:%d%s" % (state["port"], a["path"])
    said = subprocess.run(["wrk", "-t1", "-c%d" % a["connections"], "-d%gs" % a["seconds"], "-s", a["script"], url, "--", a["bodies"]],
                          check=True, capture_output=True, text=True).stdout
    state["load"] = load = json.loads(said.strip().splitlines()[-1])
    if load["lost"] or load["refused"] or not load["requests"]:
        sys.exit("wrk: %d lost, %d refused: %s" % (load["lost"], load["refused"], said[-300:]))
    rest(state["pid"])
    return Timed(state["check"], load["seconds"] / load["requests"])


def check(arguments, port):
    """What the first users of the file get: ids, and the mean of scores."""
    import urllib.request
    found = []
    with open(arguments["bodies"]) as bodies:
        for _, body in zip(range(arguments["checked"]), bodies):
            r = urllib.request.Request("http://127.0.0.1:%d%s" % (port, arguments["path"]), body.encode(), {"Content-Type": "application/json"})
            items = json.load(urllib.request.urlopen(r))["items"]
            found.append([[x["id"] for x in items], sum(x["score"] for x in items) / len(items)])
    return found


def family(pid):
    """A process and its children."""
    return [pid] + [int(c) for t in os.listdir("/proc/%d/task" % pid) for c in open("/proc/%d/task/%s/children" % (pid, t)).read().split()]


def memory(pid):
    """Resident MiB of a process and of its children."""
    return sum(int(next(l for l in open("/proc/%d/status" % p) if l.startswith("VmRSS")).split()[1]) / 1024 for p in family(pid))


def rest(pid):
    """Wait until the server has done what wrk left behind, which would share the processors with the next side's turn."""
    ticks = lambda: sum(int(n) for p in family(pid) for n in open("/proc/%d/stat" % p).read().rsplit(")", 1)[1].split()[11:13])
    before = -1
    for _ in range(200):
        now = ticks()
        if now - before <= 1 and before >= 0:
            return
        before = now
        time.sleep(0.1)


def run(command, how, version=None):
    """A whole bench: the server that 'command(port)' gives, load, and its end."""
    server = []

    def setup(arguments):
        port = free_port()
        env = dict(os.environ, SERVE_BUNDLE=os.path.abspath(arguments["bundle"]), SERVE_HOW=how, OMP_NUM_THREADS="1",
                   OPENBLAS_NUM_THREADS="1")
        server.append(start(command(port), port, env))
        return {"arguments": arguments, "port": port, "pid": server[0].pid, "check": check(arguments, port)}

    def facts(state):
        load = state["load"]
        return {"requests_per_second": load["requests"] / load["seconds"], "p50_ms": load["p50"] * 1e3, "p99_ms": load["p99"] * 1e3,
                "bytes": load["bytes"] / load["requests"], "resident_mib": memory(server[0].pid)}

    try:
        bench(ask, setup, facts, version=version)
    finally:
        if server:
            server[0].send_signal(signal.SIGTERM)
            try:
                server[0].wait(10)
            except subprocess.TimeoutExpired:
                server[0].kill()


if __name__ == "__main__":
    import fastapi
    how, workers = sys.argv[1], sys.argv[2]
    run(lambda port: [sys.executable, "-m", "uvicorn", "serve_fastapi:application", "--factory", "--port", str(port), "--workers", workers,
                      "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"], how, fastapi.__version__)
