"""A real MLflow over a folder of ours: `mlflow ui` is started in it as its users start it, asked what it shows, and ended.

    python mlflow_ui.py FOLDER [--uri] [--keep SECONDS]

prints one JSON line: version, seconds (until it answered), experiments, runs (with histories and artifacts), models.
--uri names the database on the command line, which releases before 3.7 need. --keep leaves it running so long after
that line, for a browser to look at; its port is in the line.
"""
import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

PATIENCE = 180  # seconds until it must have answered


class Server:
    """`mlflow ui` in a folder, with processes of its own that end with it."""

    def __init__(self, folder, uri):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [os.path.join(os.path.dirname(sys.executable), "mlflow"), "ui", "--port", str(self.port),
                   "--workers", "1"]  # more of them take more memory and longer to start, and show the same
        if uri:
            command += ["--backend-store-uri", "sqlite:///mlflow.db"]
        self.log = open(os.path.join(folder, "mlflow-ui.log"), "w+")
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
        path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log, start_new_session=True,
                                        env={**os.environ, **quiet, "PATH": path})

    def wait(self, path="/health"):
        """Until it answers there: the seconds that took."""
        began = time.perf_counter()
        while time.perf_counter() - began < PATIENCE:
            try:
                self.get(path)
                return time.perf_counter() - began
            except OSError:
                pass
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.log.seek(0)
        sys.exit("mlflow ui does not answer: " + self.log.read()[-3000:])

    def get(self, place, **query):
        url = f"http://127.0.0.1:{self.port}{place}"
        if query:
            url += "?" + urllib.parse.urlencode(query)
        with urllib.request.urlopen(url, timeout=60) as answer:
            return answer.read()

    def ask(self, place, body=None, **query):
        """A call of MLflow's REST API: POST with a body, else GET."""
        place = "/ajax-api/2.0/mlflow/" + place
        if body is None:
            return json.loads(self.get(place, **query))
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{place}", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def end(self):
        if self.log.closed:
            return
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, how)
                self.process.wait(10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        self.log.close()


def artifacts(server, run, path=""):
    """Files below 'path' by their path: size, SHA-256 as it is downloaded."""
    found = {}
    listed = server.ask("artifacts/list", run_id=run, **({"path": path} if path else {}))
    for entry in listed.get("files", []):
        if entry["is_dir"]:
            found.update(artifacts(server, run, entry["path"]))
        else:
            content = server.get("/get-artifact", path=entry["path"], run_uuid=run)
            found[entry["path"]] = {"size": int(entry["file_size"]), "sha256": hashlib.sha256(content).hexdigest()}
    return found


def by_key(entries):
    return {entry["key"]: entry["value"] for entry in entries}


def described(server, run):
    info, data, key = run["info"], run["data"], {}
    for metric in data.get("metrics", []):
        history = server.ask("metrics/get-history", run_id=info["run_id"], metric_key=metric["key"], max_results=25000)
        key[metric["key"]] = [[int(point["step"]), point["value"]] for point in history["metrics"]]
    return {"name": info.get("run_name"), "status": info["status"], "experiment": info["experiment_id"],
            "lifecycle": info["lifecycle_stage"], "params": by_key(data.get("params", [])),
            "tags": by_key(data.get("tags", [])), "metrics": by_key(data.get("metrics", [])), "histories": key,
            "datasets": [one["dataset"]["name"] for one in run.get("inputs", {}).get("dataset_inputs", [])],
            "artifacts": artifacts(server, info["run_id"])}


def models(server):
    """Registered models: aliases (name -> version), and of each version its run and source."""
    found = {}
    for model in server.ask("registered-models/search", max_results=100).get("registered_models", []):
        versions = server.ask("model-versions/search", filter=f"name='{model['name']}'", max_results=100)
        found[model["name"]] = {
            "aliases": {alias["alias"]: alias["version"] for alias in model.get("aliases", [])},
            "versions": {one["version"]: {"run": one.get("run_id", ""), "source": one["source"],
                                          "tags": by_key(one.get("tags", []))}
                         for one in versions.get("model_versions", [])}}
    return found


def look(server):
    experiments = server.ask("experiments/search", {"max_results": 1000, "view_type": "ALL"})["experiments"]
    runs = server.ask("runs/search", {"experiment_ids": [one["experiment_id"] for one in experiments],
                                      "max_results": 1000, "run_view_type": "ALL"}).get("runs", [])
    page = server.get("/").decode()
    return {"version": server.get("/version").decode(), "page": "<title>MLflow</title>" in page,
            "experiments": {one["experiment_id"]: one["name"] for one in experiments},
            "runs": {run["info"]["run_id"]: described(server, run) for run in runs}, "models": models(server)}


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server ends with this process
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--uri", action="store_true")
    parser.add_argument("--keep", type=float, default=0)
    asked = parser.parse_args()
    server = Server(asked.folder, asked.uri)
    try:
        seconds = server.wait()
        print(json.dumps({**look(server), "seconds": seconds, "port": server.port}), flush=True)
        time.sleep(asked.keep)
    finally:
        server.end()


if __name__ == "__main__":
    main()
