"""What MLflow's own tests of its REST API ask of a server, asked of the one at MLFLOW_TRACKING_URI by MLflow's client.

    python mlflow_rest.py [NAME...]

Each check is a function of this file, written from the behaviour that tests/tracking/test_rest_tracking.py,
test_mlflow_artifacts.py and test_model_registry.py of MLflow's repository check; several of theirs may be one of ours.
It prints what does not hold, and as its last line "N hold, N do not". A real server of MLflow 3.18 meets all of them,
too, but for `trail`, which is ours alone. spec/ui_peer_spec.lua runs it against `recsys-run ui`, with the newest client
and an old one.

What is not asked: traces, prompts, scorers, webhooks, gateway and jobs (we have no such things), graphql (MLflow's page
asks it, clients do not), file: addresses as sources (our server gives none), and what looks into the server's process.
"""
import json
import math
import os
import sys
import tempfile
import time

import mlflow
import requests
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

URL = os.environ["MLFLOW_TRACKING_URI"]
NEW = int(mlflow.__version__.split(".")[0]) >= 3
checks = []


def check(function):
    checks.append(function)
    return function


def equal(found, expected):
    assert found == expected, f"{found!r}, not {expected!r}"


def refused(words, call, *arguments, code=None, **named):
    """A call that must be refused, in words that hold these."""
    try:
        call(*arguments, **named)
    except MlflowException as problem:
        assert words in str(problem), str(problem)
        assert code is None or problem.error_code == code, problem.error_code
        return
    raise AssertionError(f"not refused: {words}")


def asked(method, path, status, words="", **named):
    """A raw request, which must have this status and these words in its answer."""
    answer = requests.request(method, URL + path, timeout=60, **named)
    assert answer.status_code == status, f"{answer.status_code}: {answer.text[:300]}"
    assert words in answer.text, answer.text[:300]
    return answer


def bad(path, payload, words):
    answer = asked("POST", "/api/2.0/mlflow/" + path, 400, json=payload)
    said = answer.json()
    equal(said["error_code"], "INVALID_PARAMETER_VALUE")
    assert words in said["message"], said["message"]


def names(found):
    return [one.name for one in found]


def fresh(c, title):
    """A new experiment, and a run of it."""
    experiment = c.create_experiment(f"{title} {time.time_ns()}")
    return experiment, c.create_run(experiment).info.run_id


def pages(search, **named):
    """All that a search finds, page by page, and how long the pages were."""
    found, sizes, token = [], [], None
    while True:
        page = search(page_token=token, **named)
        found += page
        sizes.append(len(page))
        token = page.token
        if not token:
            return found, sizes


# Experiments --------------------------------------------------------------------------------------------------------


@check
def experiments_are_searched_by_view_and_page(c):
    e = c.create_experiment("My Experiment", artifact_location="my_location", tags={"key1": "val1", "key2": "val2"})
    kept = c.get_experiment(e)
    equal((kept.name, kept.tags), ("My Experiment", {"key1": "val1", "key2": "val2"}))
    assert kept.artifact_location.endswith("my_location"), kept.artifact_location
    equal(set(names(c.search_experiments())), {"My Experiment", "Default"})
    c.delete_experiment(e)
    equal(set(names(c.search_experiments())), {"Default"})
    equal(names(c.search_experiments(view_type=ViewType.ACTIVE_ONLY)), ["Default"])
    equal(names(c.search_experiments(view_type=ViewType.DELETED_ONLY)), ["My Experiment"])
    equal(set(names(c.search_experiments(view_type=ViewType.ALL))), {"My Experiment", "Default"})
    one = c.search_experiments(max_results=1)
    equal((names(one), one.token), (["Default"], None))
    found, sizes = pages(c.search_experiments, max_results=1, view_type=ViewType.ALL)
    equal((set(names(found)), sizes), ({"My Experiment", "Default"}, [1, 1]))


@check
def experiments_are_filtered_and_sorted(c):
    old = {e.experiment_id for e in c.search_experiments(view_type=ViewType.ALL) if e.name != "Default"}
    for e in c.search_experiments():
        if e.experiment_id in old:
            c.delete_experiment(e.experiment_id)
    ids = []
    for name, tags in (("a", {"key": "value"}), ("ab", {"key": "vaLue"}), ("Abc", None)):
        time.sleep(0.002)
        ids.append(c.create_experiment(name, tags=tags))
    for words, expected in (("attribute.name = 'a'", ["a"]), ("attribute.name != 'a'", ["Abc", "ab", "Default"]),
                            ("name LIKE 'a%'", ["ab", "a"]), ("tag.key = 'value'", ["a"]),
                            ("tag.key != 'value'", ["ab"]), ("tag.key ILIKE '%alu%'", ["ab", "a"])):
        equal(names(c.search_experiments(filter_string=words)), expected)
    equal(names(c.search_experiments(order_by=["name DESC"])), ["ab", "a", "Default", "Abc"])
    first = c.search_experiments(max_results=2)
    equal(names(first), ["Abc", "ab"])
    equal(names(c.search_experiments(page_token=first.token)), ["a", "Default"])
    c.delete_experiment(ids[1])
    equal(names(c.search_experiments(view_type=ViewType.ACTIVE_ONLY)), ["Abc", "a", "Default"])


@check
def experiments_are_checked(c):
    bad("experiments/create", {"name": 123}, "Invalid value 123 for parameter 'name'")
    bad("experiments/create", {}, "Missing value for required parameter 'name'")
    bad("experiments/create", {"name": "e", "artifact_location": 9.5}, "Invalid value 9.5 for parameter "
        "'artifact_location'")
    bad("experiments/create", {"name": "e", "tags": "5"}, "Invalid value \"5\" for parameter 'tags'")


@check
def experiments_are_deleted_restored_and_renamed(c):
    e = c.create_experiment("Deleterious")
    stages = [c.get_experiment(e).lifecycle_stage]
    for step in (c.delete_experiment, c.restore_experiment):
        step(e)
        stages.append(c.get_experiment(e).lifecycle_stage)
    equal(stages, ["active", "deleted", "active"])
    c.rename_experiment(e, "GoodName")
    equal(c.get_experiment(e).name, "GoodName")
    equal(c.get_experiment_by_name("GoodName").experiment_id, e)
    equal(c.get_experiment_by_name("idontexist"), None)


@check
def experiments_have_tags(c):
    one, two = c.create_experiment("tags 1"), c.create_experiment("tags 2")
    c.set_experiment_tag(one, "dataset", "imagenet1K")
    c.set_experiment_tag(one, "dataset", "birdbike")
    equal((c.get_experiment(one).tags, c.get_experiment(two).tags), ({"dataset": "birdbike"}, {}))
    c.set_experiment_tag(two, "dataset", "birds200")
    c.set_experiment_tag(one, "multiline tag", "value2\nvalue2\nvalue2")
    c.set_experiment_tag(one, "empty", "")
    equal(c.get_experiment(one).tags, {"dataset": "birdbike", "multiline tag": "value2\nvalue2\nvalue2", "empty": ""})
    equal(c.get_experiment(two).tags, {"dataset": "birds200"})


# Runs ---------------------------------------------------------------------------------------------------------------


@check
def runs_are_made_with_all_that_is_said(c):
    tags = {"mlflow.user": "username", "mlflow.source.type": "LOCAL", "mlflow.source.name": "Hello",
            "mlflow.project.entryPoint": "entry", "mlflow.source.git.commit": "abc", "mlflow.parentRunId": "7",
            "my": "tag", "other": "tag"}
    e = c.create_experiment("Run A Lot")
    made = c.create_run(e, start_time=456, run_name="my name", tags=tags)
    for run in (made, c.get_run(made.info.run_id)):
        info = run.info
        equal((info.run_id, info.experiment_id, info.user_id, info.start_time, info.run_name, info.status),
              (made.info.run_id, e, "username", 456, "my name", "RUNNING"))
        equal({key: run.data.tags.get(key) for key in tags}, tags)
        equal([dict(one.info) for one in c.search_runs([e])], [dict(info)])
    bare = c.get_run(c.create_run(e).info.run_id)
    equal((bare.info.user_id, bare.info.experiment_id), ("unknown", e))
    assert bare.info.run_name, "a run is given a name"


@check
def runs_keep_metrics_params_and_tags(c):
    _, run = fresh(c, "Oh My")
    c.log_metric(run, key="metric", value=123.456, timestamp=789, step=2)
    for key, value in (("nan_metric", math.nan), ("inf_metric", math.inf), ("-inf_metric", -math.inf)):
        c.log_metric(run, key=key, value=value)
    c.log_metric(run, key="stepless-metric", value=987.654, timestamp=321)
    c.log_param(run, "param", "value")
    c.set_tag(run, "taggity", "do-dah")
    data = c.get_run(run).data
    equal((data.metrics["metric"], data.metrics["stepless-metric"]), (123.456, 987.654))
    assert math.isnan(data.metrics["nan_metric"])
    most = 1.7976931348623157e308
    assert data.metrics["inf_metric"] >= most and data.metrics["-inf_metric"] <= -most
    equal((data.params["param"], data.tags["taggity"]), ("value", "do-dah"))
    for key, value, timestamp, step in (("metric", 123.456, 789, 2), ("stepless-metric", 987.654, 321, 0)):
        equal([(m.key, m.value, m.timestamp, m.step) for m in c.get_metric_history(run, key)],
              [(key, value, timestamp, step)])
    equal(list(c.get_metric_history(run, "a_test_accuracy")), [])


@check
def empty_texts_are_values(c):
    _, run = fresh(c, "empty")
    c.log_param(run, "p", "")
    c.set_tag(run, "t", "")
    c.log_batch(run, params=[Param("p2", "")], tags=[RunTag("t2", "")])
    data = c.get_run(run).data
    equal((data.params, data.tags["t"], data.tags["t2"]), ({"p": "", "p2": ""}, "", ""))


@check
def metrics_are_checked(c):
    _, run = fresh(c, "metrics validation")
    whole = {"run_id": run, "key": "foo", "value": 31, "timestamp": 59, "step": 26}
    for change, words in (({"run_id": 31}, "Invalid value 31 for parameter 'run_id' supplied"),
                          ({"key": 31}, "Invalid value 31 for parameter 'key' supplied"),
                          ({"step": "foo"}, "Invalid value \"foo\" for parameter 'step' supplied"),
                          ({"timestamp": "foo"}, "Invalid value \"foo\" for parameter 'timestamp' supplied"),
                          ({"run_id": None}, "Missing value for required parameter 'run_id'"),
                          ({"key": None}, "Missing value for required parameter 'key'")):
        bad("runs/log-metric", {**whole, **change}, words)
    del whole["key"]
    bad("runs/log-metric", whole, "Missing value for required parameter 'key'")


@check
def params_and_tags_are_checked(c):
    _, run = fresh(c, "params validation")
    bad("runs/log-parameter", {"run_id": 31, "key": "param", "value": 41}, "Invalid value 31 for parameter 'run_id'")
    bad("runs/log-parameter", {"run_id": run, "key": 31, "value": 41}, "Invalid value 31 for parameter 'key' supplied")
    bad("runs/set-tag", {"run_id": 31, "key": "tag", "value": 41}, "Invalid value 31 for parameter 'run_id' supplied")
    bad("runs/set-tag", {"run_id": run, "key": "k", "value": 41}, "Invalid value 41 for parameter 'value' supplied")
    bad("runs/set-tag", {"run_id": run, "value": "value"}, "Missing value for required parameter 'key'")
    asked("POST", "/api/2.0/mlflow/runs/set-tag", 200, json={"run_uuid": run, "key": "key", "value": "value"})


@check
def batches_are_kept_and_checked(c):
    _, run = fresh(c, "batch")
    c.log_batch(run, metrics=[Metric("metric", 123.456, 789, 3)], params=[Param("param", "value")],
                tags=[RunTag("taggity", "do-dah")])
    data = c.get_run(run).data
    equal((data.metrics, data.params, data.tags["taggity"]), ({"metric": 123.456}, {"param": "value"}, "do-dah"))
    equal([(m.value, m.timestamp, m.step) for m in c.get_metric_history(run, "metric")], [(123.456, 789, 3)])
    for field in ("metrics", "params", "tags"):
        bad("runs/log-batch", {"run_id": run, field: "foo"}, f"Invalid value \"foo\" for parameter '{field}' supplied")
    bad("runs/log-batch", {"run_id": run, "metrics": [{"key": "mae", "value": 2.5}]}, "metrics") # it has no timestamp
    asked("POST", "/api/2.0/mlflow/runs/log-batch", 200,
          json={"run_id": run, "metrics": [{"key": "mae", "value": 2.5, "timestamp": 123456789}]})
    refused("Changing param values is not allowed", c.log_batch, run, params=[Param("param", "other")])
    refused("", c.log_batch, run, metrics=[Metric("a@b", 1, 1, 1)], code="INVALID_PARAMETER_VALUE")


@check
def tags_are_deleted(c):
    _, run = fresh(c, "DeleteTag")
    c.set_tag(run, "taggity", "do-dah")
    c.delete_tag(run, "taggity")
    assert "taggity" not in c.get_run(run).data.tags
    refused("not found", c.delete_tag, "0" * 32, "taggity", code="RESOURCE_DOES_NOT_EXIST")
    refused("No tag with name: fakeTag", c.delete_tag, run, "fakeTag", code="RESOURCE_DOES_NOT_EXIST")
    c.delete_run(run)
    refused(f"The run {run} must be in", c.delete_tag, run, "taggity")


@check
def runs_end(c):
    e = c.create_experiment("Terminator")
    for status in (None, "FAILED", "KILLED"):
        run = c.create_run(e).info.run_id
        equal((c.get_run(run).info.status, c.get_run(run).info.end_time), ("RUNNING", None))
        c.set_terminated(run, status)
        info = c.get_run(run).info
        equal(info.status, status or "FINISHED")
        assert info.start_time <= info.end_time <= time.time() * 1000
    c.update_run(run, name="name_abc")
    equal((c.get_run(run).info.run_name, c.get_run(run).info.status), ("name_abc", "KILLED"))


@check
def runs_are_paged(c):
    e = c.create_experiment("search_pagination")
    runs = sorted(c.create_run(e, start_time=1).info.run_id for _ in range(10))
    found, sizes = pages(lambda page_token: c.search_runs([e], max_results=4, page_token=page_token))
    equal(([r.info.run_id for r in found], sizes), (runs, [4, 4, 2]))
    refused("Invalid value 123456789 for parameter 'max_results' supplied", c.search_runs, [e], max_results=123456789)


@check
def runs_are_filtered_and_sorted(c):
    e = c.create_experiment("search order")
    for n, (loss, kind) in enumerate(((0.3, "a"), (math.nan, "b"), (0.1, "a"), (None, "c"), (0.2, "b"))):
        run = c.create_run(e, start_time=n + 1, run_name=f"r{n}", tags={"kind": kind}).info.run_id
        c.log_param(run, "n", n)
        if loss is not None:
            c.log_metric(run, "loss", loss)

    def found(words="", order=None, view=ViewType.ACTIVE_ONLY):
        return "".join(r.info.run_name[1] for r in c.search_runs([e], words, view, order_by=order))
    equal(found(), "43210")
    equal(found(order=["metrics.loss ASC"]), "24013")
    equal(found(order=["metrics.loss DESC"]), "04213")
    equal(found(order=["params.n DESC"]), "43210")
    equal(found(order=["tags.kind", "attributes.start_time ASC"]), "02143")
    for words, expected in (("metrics.loss < 0.25", "42"), ("metrics.loss >= 0.2 and tags.kind = 'b'", "4"),
                            ("params.n = '3'", "3"), ("tags.kind != 'a'", "431"), ("tags.kind LIKE '%A%'", ""),
                            ("tags.kind ILIKE '%A%'", "20"), ("attributes.run_name = 'r2'", "2"),
                            ("attributes.start_time > 3", "43"), ("attributes.status = 'RUNNING'", "43210")):
        equal(found(words), expected)
    refused("Invalid", found, "metrics.loss <> 1", code="INVALID_PARAMETER_VALUE")
    refused("Invalid", found, "params.n = '3' or params.n = '4'", code="INVALID_PARAMETER_VALUE")
    run = c.search_runs([e], "params.n = '2'")[0].info.run_id
    c.delete_run(run)
    equal((found(), found(view=ViewType.DELETED_ONLY), found(view=ViewType.ALL)), ("4310", "2", "43210"))
    c.restore_run(run)
    equal(found(), "43210")


# Histories ----------------------------------------------------------------------------------------------------------

A = [{"key": "metricA", "timestamp": t, "step": s, "value": v} for t, s, v in
     ((1, 2, 10.0), (1, 3, 11.0), (1, 3, 12.0), (2, 3, 12.0))]
B = [{"key": "metricB", "timestamp": t, "step": s, "value": v} for t, s, v in
     ((7, -2, -100.0), (8, 0, 0.0), (8, 0, 1.0), (9, 1, 12.0))]
BULK = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"


@check
def histories_of_many_runs_are_in_order(c):
    e, one = fresh(c, "history bulk")
    two, three = (c.create_run(e).info.run_id for _ in range(2))
    for run, more in ((one, 0.0), (two, 1.0)):
        for metric in A + B:
            c.log_metric(run, **{**metric, "value": metric["value"] + more})

    def of(run, metrics, more=0.0):
        return [{**metric, "value": metric["value"] + more, "run_id": run} for metric in metrics]

    def found(runs, key, **named):
        return asked("GET", BULK, 200, params={"run_id": runs, "metric_key": key, **named}).json()["metrics"]
    equal(found([one], "metricA"), of(one, A))
    equal(found([two], "metricB"), of(two, B, 1.0))
    for key, metrics in (("metricA", A), ("metricB", B)):
        both = sorted(of(one, metrics) + of(two, metrics, 1.0), key=lambda metric: metric["run_id"])
        equal(found([one, two, three], key), both)
    equal(found([one], "metricA", max_results=2), of(one, A[:2]))


@check
def histories_of_many_runs_are_checked(c):
    for query, words in (({"metric_key": "key"}, "must specify at least one run_id"),
                         ({"run_id": [f"id_{i}" for i in range(1000)], "metric_key": "k"}, "cannot specify more than"),
                         ({"run_id": ["123"]}, "must specify a metric_key")):
        asked("GET", BULK, 400, words, params=query)
    at = BULK + "-interval"
    for query, words in (
            ({"metric_key": "key"}, "Missing value for required parameter 'run_ids'"),
            ({"run_ids": [f"id_{i}" for i in range(1000)], "metric_key": "key"}, "at most 100 run_ids"),
            ({"run_ids": ["123"], "metric_key": "key", "max_results": 0}, "max_results must be between 1 and 2500"),
            ({"run_ids": ["123"], "metric_key": ""}, "Missing value for required parameter 'metric_key'"),
            ({"run_ids": ["123"], "max_results": 5}, "Missing value for required parameter 'metric_key'"),
            ({"run_ids": ["123"], "metric_key": "key", "start_step": 1, "end_step": 0, "max_results": 5},
             "end_step must be greater than start_step"),
            ({"run_ids": ["123"], "metric_key": "key", "start_step": 1, "max_results": 5},
             "If either start step or end step are specified, both must be specified")):
        asked("GET", at, 400, words, params=query)


@check
def histories_are_sampled(c):
    e, one = fresh(c, "history interval")
    two = c.create_run(e).info.run_id
    for run, n in ((one, 10), (two, 20)):
        c.log_batch(run, metrics=[Metric("metricA", 10.0, 1, step) for step in range(n)])

    def steps(runs, **named):
        metrics = asked("GET", BULK + "-interval", 200, params={"run_ids": runs, "metric_key": "metricA",
                                                                "max_results": 5, **named}).json()["metrics"]
        return [[metric["step"] for metric in metrics if metric["run_id"] == run] for run in runs]

    def sampled(found, last):  # which steps is the server's affair, and has changed; the ends are there
        assert found[0] == 0 and found[-1] == last and 5 <= len(set(found)) <= 7 and found == sorted(found), found
    sampled(steps([one])[0], 9)
    equal(steps([one], start_step=0, end_step=4), [[0, 1, 2, 3, 4]])
    both = steps([one, two])
    sampled(both[1], 19)
    assert both[0][0] == 0 and both[0][-1] == 9, both
    c.log_batch(one, metrics=[Metric("metricA", 10.0, 2, step) for step in range(10)])
    assert {0, 9} <= set(steps([one])[0])


# Data sets and files ------------------------------------------------------------------------------------------------


@check
def datasets_are_kept_and_listed(c):
    e, run = fresh(c, "inputs")
    c.log_inputs(run, [DatasetInput(Dataset("name1", "digest1", "source_type1", "source1"),
                                    [InputTag("mlflow.data.context", "training"), InputTag("tag1", "value1")])])
    kept = c.get_run(run).inputs.dataset_inputs
    equal([(i.dataset.name, i.dataset.digest, i.dataset.source_type, i.dataset.source,
            {t.key: t.value for t in i.tags}) for i in kept],
          [("name1", "digest1", "source_type1", "source1", {"mlflow.data.context": "training", "tag1": "value1"})])
    at = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    equal(asked("POST", at, 200, json={"experiment_ids": [e]}).json()["dataset_summaries"],
          [{"experiment_id": e, "name": "name1", "digest": "digest1", "context": "training"}])
    for payload, words in (({}, "must specify at least one experiment_id"),
                           ({"experiment_ids": []}, "must specify at least one experiment_id"),
                           ({"experiment_ids": [f"id_{i}" for i in range(1000)]}, "cannot specify more than")):
        asked("POST", at, 400, words, json=payload)
    dataset = {"tags": [{"key": "tag1", "value": "value1"}],
               "dataset": {"name": "n", "digest": "d", "source_type": "s", "source": "s"}}
    bad("runs/log-inputs", {"datasets": [dataset]}, "Missing value for required parameter 'run_id'")


@check
def artifacts_go_up_and_down(c):
    e, run = fresh(c, "Art In Fact")
    home = c.get_experiment(e).artifact_location
    assert home.rsplit("/", 1)[-1] == e and c.get_run(run).info.artifact_uri.startswith(home), home
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/src")
        with open(folder + "/src/my.file", "w", encoding="utf-8") as file:
            file.write("Hello, World!")
        c.log_artifact(run, folder + "/src/my.file", None)
        c.log_artifacts(run, folder + "/src", "dir")
        c.log_text(run, "", "empty.txt")
        equal({a.path for a in c.list_artifacts(run)}, {"my.file", "dir", "empty.txt"})
        equal([(a.path, a.file_size) for a in c.list_artifacts(run, "dir")], [("dir/my.file", 13)])
        equal(list(c.list_artifacts(run, "dir/my.file")), [])
        for path, file in ((".", "dir/my.file"), ("dir", "my.file")):
            place = download_artifacts(run_id=run, artifact_path=path, tracking_uri=URL, dst_path=f"{folder}/to{path}")
            with open(f"{place}/{file}", encoding="utf-8") as found:
                equal(found.read(), "Hello, World!")
    asked("GET", "/get-artifact", 200, "Hello, World!", params={"run_uuid": run, "path": "dir/my.file"})
    for path, query in (("/api/2.0/mlflow/artifacts/list", {"run_id": run}), ("/get-artifact", {"run_id": run}),
                        ("/model-versions/get-artifact", {"name": "model", "version": 1})):
        for wrong in ("../path", "a/../../path", "./../path", "/etc/passwd", "/./etc/passwd"):
            said = asked("GET", path, 400, "Invalid path", params={**query, "path": wrong}).json()
            equal(said["error_code"], "INVALID_PARAMETER_VALUE")


@check
def artifacts_are_uploaded_by_pages(c):
    _, run = fresh(c, "upload")
    at = "/ajax-api/2.0/mlflow/upload-artifact"
    for query, words in (({}, "run_uuid."), ({"run_uuid": run}, "Request must specify path."),
                         ({"run_uuid": run, "path": ""}, "Request must specify path."),
                         ({"run_uuid": run, "path": "../test.txt"}, "Invalid path"),
                         ({"run_uuid": run, "path": "test.txt"}, "Request must specify data.")):
        asked("POST", at, 400, words, params=query)
    asked("POST", at, 200, params={"run_uuid": run, "path": "test.txt"}, data="hello world")
    equal(asked("GET", "/get-artifact", 200, params={"run_uuid": run, "path": "test.txt"}).text, "hello world")


# The registry -------------------------------------------------------------------------------------------------------

TAGS = {"key": "value", "another key": "some other value", "numeric value": 12345}
AS_TEXT = {key: str(value) for key, value in TAGS.items()}


def add_version(c, name, path="model", **named):
    """A version of what a run has below 'path': servers of today want the source to be the run's."""
    if not hasattr(add_version, "run"):
        add_version.run = fresh(c, "registered")[1]
    return c.create_model_version(name, f"runs:/{add_version.run}/{path}", add_version.run, **named)


def between(times, value):
    assert times[0] <= value <= times[1], (times, value)


def timed(call, *arguments, **named):
    began = time.time_ns() // 1000000
    result = call(*arguments, **named)
    return result, (began, time.time_ns() // 1000000)


@check
def models_are_made_and_found(c):
    model, when = timed(c.create_registered_model, "CreateRMTest", TAGS)
    for one in (model, c.get_registered_model("CreateRMTest")):
        equal((one.name, one.tags, one.description or "", one.latest_versions), ("CreateRMTest", AS_TEXT, "", []))
        between(when, one.creation_timestamp)
        between(when, one.last_updated_timestamp)
    for words in (None, "", "name = 'CreateRMTest'"):
        equal([n for n in names(c.search_registered_models(filter_string=words)) if n == "CreateRMTest"],
              ["CreateRMTest"])
    refused("already exists", c.create_registered_model, "CreateRMTest", code="RESOURCE_ALREADY_EXISTS")


@check
def models_are_paged(c):
    made = [c.create_registered_model(f"CreateRMsearch{i:03}").name for i in range(29)]
    mine = " and name LIKE 'CreateRMsearch%'"
    for words, fits in (("name LIKE 'CreateRMsearch%'", lambda n: True), ("name LIKE '%7'", lambda n: n[-1] == "7"),
                        ("name ILIKE '%rm%00%'" + mine, lambda n: "00" in n),
                        ("name LIKE '%rm%00%'" + mine, lambda n: 0), ("name = 'badname'", lambda n: 0),
                        ("name = 'CreateRMsearch023'", lambda n: "023" in n)):
        for size in (1, 8, 100):
            found, sizes = pages(c.search_registered_models, filter_string=words, max_results=size)
            equal(names(found), [n for n in made if fits(n)])
            assert all(one == size for one in sizes[:-1]), sizes
    equal(names(c.search_registered_models("name LIKE 'CreateRMsearch%'", order_by=["name DESC"], max_results=2)),
          made[:-3:-1])
    refused("max_results", c.search_registered_models, max_results=12345678)


@check
def models_are_renamed_and_described(c):
    _, made = timed(c.create_registered_model, "UpdateRMTest")
    _, renamed = timed(c.rename_registered_model, "UpdateRMTest", "UpdateRMTest 2")
    refused("Registered Model with name=UpdateRMTest not found", c.get_registered_model, "UpdateRMTest")
    model = c.get_registered_model("UpdateRMTest 2")
    between(made, model.creation_timestamp)
    between(renamed, model.last_updated_timestamp)
    _, told = timed(c.update_registered_model, "UpdateRMTest 2", description="This is a test")
    model = c.get_registered_model("UpdateRMTest 2")
    equal(model.description, "This is a test")
    between(told, model.last_updated_timestamp)
    c.rename_registered_model("UpdateRMTest 2", "UpdateRMTest 4")
    equal(c.get_registered_model("UpdateRMTest 4").description, "This is a test")


@check
def models_are_deleted_and_made_again(c):
    c.create_registered_model("DeleteRMTest")
    c.delete_registered_model("DeleteRMTest")
    refused("not found", c.get_registered_model, "DeleteRMTest", code="RESOURCE_DOES_NOT_EXIST")
    refused("not found", c.rename_registered_model, "DeleteRMTest", "something else")
    assert "DeleteRMTest" not in names(c.search_registered_models(max_results=1000))
    c.create_registered_model("DeleteRMTest")
    assert "DeleteRMTest" in names(c.search_registered_models(max_results=1000))


@check
def models_and_versions_have_tags(c):
    c.create_registered_model("TagTest")
    add_version(c, "TagTest")
    for key, value in (("key", "value"), ("numeric value", 12345), ("empty", "")):
        c.set_registered_model_tag("TagTest", key, value)
        c.set_model_version_tag("TagTest", "1", key, value)
    expected = {"key": "value", "numeric value": "12345", "empty": ""}
    equal((c.get_registered_model("TagTest").tags, c.get_model_version("TagTest", "1").tags), (expected, expected))
    c.delete_registered_model_tag("TagTest", "key")
    c.delete_model_version_tag("TagTest", "1", "key")
    del expected["key"]
    equal((c.get_registered_model("TagTest").tags, c.get_model_version("TagTest", "1").tags), (expected, expected))
    found = c.search_model_versions("tag.`numeric value` = '12345'") if NEW else []
    equal([(v.name, str(v.version)) for v in found], [("TagTest", "1")] if NEW else [])


@check
def versions_are_filtered_paged_and_sorted(c):
    made = [f"CreateRMforMV{i:03}" for i in range(12)]
    for name in made:
        c.create_registered_model(name)
    versions = []
    for name in made + made[:4]:
        time.sleep(0.002)
        v = add_version(c, name)
        versions.append((v.name, int(v.version)))

    def found(words, **named):
        return [(v.name, int(v.version)) for v in pages(c.search_model_versions, filter_string=words, **named)[0]]
    all_ = "name LIKE 'CreateRMforMV%'"
    for size in (1, 5, 100):
        equal(found(all_, max_results=size), versions[::-1])
    equal(found("name LIKE '%V%2' and " + all_), [v for v in versions[::-1] if v[0][-1] == "2"])
    equal((found("name = 'badname'"), found("name LIKE '%rmfor%'")), ([], []))
    equal(found("name = 'CreateRMforMV003'"), [("CreateRMforMV003", 2), ("CreateRMforMV003", 1)])
    equal(found(all_, order_by=["version_number DESC"]), sorted(versions, key=lambda v: (-v[1], v[0])))
    equal([v[0] for v in found(all_, order_by=["name DESC"])], sorted((v[0] for v in versions), reverse=True))


@check
def versions_are_made_and_found(c):
    c.create_registered_model("CreateMVTest")
    made = add_version(c, "CreateMVTest", tags=TAGS)
    equal((str(made.version), made.name, made.tags), ("1", "CreateMVTest", AS_TEXT))
    first = c.get_model_version("CreateMVTest", "1")
    equal(first.tags, AS_TEXT)

    def latest():
        found = c.search_registered_models("name = 'CreateMVTest'")
        return [[str(v.version) for v in model.latest_versions] for model in found]
    equal(latest(), [["1"]])
    add_version(c, "CreateMVTest", "another_model")
    equal(latest(), [["2"]])
    one, two = add_version.run, fresh(c, "another run")[1]
    c.create_model_version("CreateMVTest", f"runs:/{two}/model", two)
    for words, expected in ((f"run_id = '{one}'", ["2", "1"]), (f"source_path = 'runs:/{one}/model'", ["1"])):
        equal([str(v.version) for v in c.search_model_versions(words + " and name = 'CreateMVTest'")], expected)
    equal(c.get_model_version_download_uri("CreateMVTest", "1"), f"runs:/{one}/model")
    refused("Parameter 'version' must be an integer, got 'something not correct'.", c.get_model_version, "CreateMVTest",
            "something not correct", code="INVALID_PARAMETER_VALUE")
    refused("not found", c.get_model_version, "CreateMVTest", "9", code="RESOURCE_DOES_NOT_EXIST")


@check
def versions_move_through_stages(c):
    c.create_registered_model("LatestVersionTest")
    stages = ["Archived", "Production", "Archived", "Production", "Staging", "Staging", "None"]
    for number, stage in enumerate(stages, 1):
        add_version(c, "LatestVersionTest")
        if stage != "None":
            c.transition_model_version_stage("LatestVersionTest", str(number), stage)
        equal(c.get_model_version("LatestVersionTest", str(number)).current_stage, stage)

    def latest(asked_for):
        return {v.current_stage: str(v.version) for v in c.get_latest_versions("LatestVersionTest", asked_for)}
    every = {"Production": "4", "Staging": "6", "Archived": "3", "None": "7"}
    for some in (["None"], ["Staging"], ["None", "Staging"]):
        equal(latest(some), {stage: every[stage] for stage in some})
    equal((latest(None), latest([])), (every, every))
    c.transition_model_version_stage("LatestVersionTest", "7", "Production", archive_existing_versions=True)
    equal({s: c.get_model_version("LatestVersionTest", s).current_stage for s in "247"},
          {"2": "Archived", "4": "Archived", "7": "Production"})


@check
def versions_tell_when_they_change(c):
    _, made = timed(c.create_registered_model, "UpdateMVTest")
    _, added = timed(add_version, c, "UpdateMVTest")
    between(added, c.get_model_version("UpdateMVTest", "1").creation_timestamp)
    between(made, c.get_registered_model("UpdateMVTest").creation_timestamp)
    between(added, c.get_registered_model("UpdateMVTest").last_updated_timestamp)
    time.sleep(0.005)
    _, moved = timed(c.transition_model_version_stage, "UpdateMVTest", "1", "Staging")
    between(moved, c.get_model_version("UpdateMVTest", "1").last_updated_timestamp)
    between(moved, c.get_registered_model("UpdateMVTest").last_updated_timestamp)
    time.sleep(0.005)
    _, told = timed(c.update_model_version, "UpdateMVTest", "1", "This is a test model")
    version = c.get_model_version("UpdateMVTest", "1")
    equal(version.description, "This is a test model")
    between(told, version.last_updated_timestamp)
    between(added, version.creation_timestamp)
    between(moved, c.get_registered_model("UpdateMVTest").last_updated_timestamp)


@check
def versions_are_deleted_and_numbers_are_not_given_again(c):
    c.create_registered_model("DeleteMVTest")
    for number in "123":
        equal(str(add_version(c, "DeleteMVTest").version), number)

    def there():
        return {str(v.version) for v in c.search_model_versions("name = 'DeleteMVTest'")}
    _, gone = timed(c.delete_model_version, "DeleteMVTest", "1")
    equal(there(), {"2", "3"})
    between(gone, c.get_registered_model("DeleteMVTest").last_updated_timestamp)
    refused("not found", c.delete_model_version, "DeleteMVTest", "1")
    refused("not found", c.update_model_version, "DeleteMVTest", "1", "Test model")
    refused("not found", c.transition_model_version_stage, "DeleteMVTest", "1", "Staging")
    c.delete_model_version("DeleteMVTest", "3")
    equal(str(add_version(c, "DeleteMVTest", "a/b/c").version), "4")
    equal(there(), {"2", "4"})


@check
def aliases_are_set_found_and_taken_away(c):
    c.create_registered_model("AliasTest")
    add_version(c, "AliasTest")
    equal((c.get_registered_model("AliasTest").aliases, c.get_model_version("AliasTest", "1").aliases), ({}, []))
    c.set_registered_model_alias("AliasTest", "test_alias", "1")
    version = c.get_model_version("AliasTest", "1")
    equal((c.get_registered_model("AliasTest").aliases, version.aliases), ({"test_alias": "1"}, ["test_alias"]))
    equal(dict(c.get_model_version_by_alias("AliasTest", "test_alias")), dict(version))
    c.delete_registered_model_alias("AliasTest", "test_alias")
    equal((c.get_registered_model("AliasTest").aliases, c.get_model_version("AliasTest", "1").aliases), ({}, []))
    refused("not found", c.get_model_version_by_alias, "AliasTest", "test_alias", code="INVALID_PARAMETER_VALUE")
    for alias in ("latest", "v3", "a b"):
        refused("", c.set_registered_model_alias, "AliasTest", alias, "1", code="INVALID_PARAMETER_VALUE")


@check
def versions_are_copied(c):
    c.create_registered_model("CopyMVTest")
    source = add_version(c, "CopyMVTest", description="dummy", tags={"hello": "world"})
    c.set_registered_model_alias("CopyMVTest", "test_alias", "1")
    equal(str(c.copy_model_version("models:/CopyMVTest@test_alias", "CopyMVTest").version), "2")
    copy = c.get_model_version("CopyMVTest", "2")
    equal((copy.source, copy.description, copy.run_id, copy.tags),
          ("models:/CopyMVTest/1", "dummy", source.run_id, {"hello": "world"}))
    equal(c.get_model_version_download_uri("CopyMVTest", "2"), source.source)


@check
def sources_are_checked(c):
    c.create_registered_model("model")
    _, run = fresh(c, "sources")
    at, home = "/api/2.0/mlflow/model-versions/create", "mlflow-artifacts://host:9000/models"
    uri = c.get_run(run).info.artifact_uri
    for source in (uri, uri + "/model/", uri + "///model", uri + "/model/..../", f"runs:/{run}/model"):
        asked("POST", at, 200, json={"name": "model", "source": source, "run_id": run})
    for source in (home + "/../../../", "http://host:9000/models/../../../", home + "/..%2f..%2fartifacts",
                   "https://host/api/2.0/mlflow-artifacts/artifacts/../../../", home + "/artifact%00",
                   "s3a://my_bucket/api/2.0/mlflow-artifacts/artifacts/../../../",
                   "ftp://host:8888/api/2.0/mlflow-artifacts/artifacts/../../../", "/tmp", "file:///tmp"):
        bad("model-versions/create", {"name": "model", "source": source, "run_id": run}, "source")
    for source in ("/tmp", "file:///tmp"):
        bad("model-versions/create", {"name": "model", "source": source}, "Invalid model version source")


@check
def trail(c):
    c.create_registered_model("TrailTest")
    add_version(c, "TrailTest")
    c.set_registered_model_alias("TrailTest", "champion", "1")
    event = json.loads(c.get_registered_model("TrailTest").tags["recsys.audit.000001"])
    equal((event["action"], event["alias"], event["to"]), ("alias", "champion", 1))
    assert event["by"].startswith(f"mlflow-python-client/{mlflow.__version__} at 127.0.0.1"), event["by"]
    refused("", c.set_registered_model_tag, "TrailTest", "recsys.audit.000001", "{}", code="PERMISSION_DENIED")


def main():
    mlflow.set_tracking_uri(URL)
    client, failed = MlflowClient(), 0
    chosen = [one for one in checks if not sys.argv[1:] or one.__name__ in sys.argv[1:]]
    for one in chosen:
        try:
            one(client)
        except Exception as problem:  # pylint: disable=broad-except
            failed += 1
            line = problem.__traceback__.tb_next.tb_lineno
            print(f"{one.__name__}: line {line}: {type(problem).__name__}: {problem}")
    print(f"{len(chosen) - failed} hold, {failed} do not")


main()
