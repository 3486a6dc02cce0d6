"""MLflow beside our tracking: the start of its server, searches of runs by it, and its Python client on SQLite.

    python mlflow_server.py start|search|log ARGUMENTS REPEATS     (common.py)
"""
import atexit
import http.client
import importlib.metadata
import json
import os
import signal
import sys
import time

from common import Timed, bench

words = sys.argv[1]
version = importlib.metadata.version("mlflow")


def search(server, question):
    """A search by a connection that is kept."""
    body = json.dumps(question)
    if not hasattr(server, "connection"):
        server.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    server.connection.request("POST", "/ajax-api/2.0/mlflow/runs/search", body, {"Content-Type": "application/json"})
    answer = server.connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        sys.exit(f"status {answer.status}: {text[:300]}")
    return text


def check(text):
    runs = json.loads(text)["runs"]
    total = sum(metric["value"] for run in runs for metric in run["data"]["metrics"] if metric["key"] == "m1")
    return {"runs": len(runs), "first": runs[0]["info"]["run_name"], "sum": total}


def resident_mib(group):
    """Of all processes of the server: MiB that are resident, pages that they share counted once (Pss)."""
    total = 0
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getpgid(int(name)) == group:
                with open(f"/proc/{name}/smaps_rollup") as lines:
                    total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        except (ProcessLookupError, FileNotFoundError, PermissionError):
            pass
    return total / 1024


def started(arguments):
    from mlflow_ui import Server
    server = Server(arguments["theirs"], True)
    atexit.register(server.end)  # whatever ends this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    server.wait("/")
    return server


def start(arguments):
    began = time.perf_counter()
    server = started(arguments)
    try:
        text = search(server, {"experiment_ids": [arguments["experiment"]], "max_results": 100,
                               "order_by": ["attributes.start_time DESC"]})
        seconds = time.perf_counter() - began
    finally:
        server.end()
    return Timed(check(text), seconds)


class Searches:
    def __init__(self, arguments):
        self.server, self.question, self.calls = started(arguments), arguments["question"], arguments["calls"]

    def run(self):
        for _ in range(self.calls):
            text = search(self.server, self.question)
        return check(text)

    def facts(self):
        mib = resident_mib(self.server.process.pid)
        self.server.end()
        return {"resident_mib": mib}


def client(arguments):
    import mlflow
    folder = arguments["folder"] + "/theirs"
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.set_experiment("bench")
    return arguments


def log(arguments):
    import mlflow
    with mlflow.start_run() as run:
        began = time.perf_counter()
        for step in range(1, arguments["calls"] + 1):
            mlflow.log_metric("train/loss", 1 / step, step=step)
        seconds = time.perf_counter() - began
    kept = len(mlflow.MlflowClient().get_metric_history(run.info.run_id, "train/loss"))
    return Timed({"kept": kept}, seconds)


if words == "start":
    bench(start, version=version)
elif words == "search":
    bench(Searches.run, Searches, Searches.facts, version=version)
else:
    bench(log, client, version=version)
