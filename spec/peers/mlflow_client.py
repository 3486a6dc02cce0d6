"""What a Python client of MLflow does, call by call, against the server at MLFLOW_TRACKING_URI.

Every call must succeed or fail as the real server has it; what was read back is checked here, and the last line is
"all of it holds". spec/ui_peer_spec.lua runs it against `recsys-run ui`, with MLflow of requirements-mlflow.txt.
"""
import math
import os

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException


def refused(code, call, *arguments):
    """The message of a call that must be refused with this code."""
    try:
        call(*arguments)
    except MlflowException as problem:
        assert problem.error_code == code, (problem.error_code, str(problem))
        return str(problem)
    raise AssertionError(f"{call.__name__}{arguments} was not refused")


def fluent():
    """Runs as recipes in Python log them; gives the run's id and the experiment's."""
    mlflow.set_experiment("wire exp 2")
    run = mlflow.start_run(run_name="wr")
    mlflow.log_param("lr", 0.1)
    mlflow.log_params({"a": 1, "b": "x"})
    mlflow.log_metric("loss", 0.5, step=1)
    mlflow.log_metric("n", float("nan"), step=1)
    mlflow.log_metrics({"m1": 1, "m2": float("inf")}, step=2)
    mlflow.set_tag("k", "v")
    mlflow.set_tags({"k2": "v2"})
    mlflow.log_text("hello", "d/a.txt")
    with mlflow.start_run(nested=True, run_name="child") as child:
        mlflow.log_metric("loss", 1)
    mlflow.end_run()
    return run.info.run_id, run.info.experiment_id, child.info.run_id


def runs(c, rid, experiment, child):
    run = c.get_run(rid)
    assert run.data.params == {"lr": "0.1", "a": "1", "b": "x"}, run.data.params
    assert run.data.metrics["loss"] == 0.5 and math.isnan(run.data.metrics["n"]), run.data.metrics
    assert run.data.metrics["m2"] > 1e308 and run.info.status == "FINISHED" and run.info.run_name == "wr"
    assert run.data.tags["k"] == "v" and run.data.tags["mlflow.runName"] == "wr", run.data.tags
    assert c.get_run(child).data.tags["mlflow.parentRunId"] == rid
    assert [(f.path, f.is_dir) for f in c.list_artifacts(rid)] == [("d", True)]
    assert [(f.path, f.file_size) for f in c.list_artifacts(rid, "d")] == [("d/a.txt", 5)]
    with open(c.download_artifacts(rid, "d/a.txt"), encoding="utf-8") as file:
        assert file.read() == "hello"
    assert [(m.value, m.step) for m in c.get_metric_history(rid, "loss")] == [(0.5, 1)]
    page = c.search_runs([experiment], "metrics.loss < 2", order_by=["metrics.loss DESC"], max_results=1)
    assert [r.info.run_id for r in page] == [child] and page.token
    page = c.search_runs([experiment], "metrics.loss < 2", order_by=["metrics.loss DESC"], max_results=1,
                         page_token=page.token)
    assert [r.info.run_id for r in page] == [rid] and not page.token
    assert "wire exp 2" in [e.name for e in c.search_experiments()]
    assert c.get_experiment_by_name("nope") is None
    assert "not found" in refused("RESOURCE_DOES_NOT_EXIST", c.get_run, "0" * 32)
    assert "Changing param values is not allowed" in refused("INVALID_PARAMETER_VALUE", c.log_param, rid, "lr", 0.2)
    refused("INVALID_PARAMETER_VALUE", c.log_metric, rid, "ndcg@10", 1)
    c.log_batch(rid, [Metric("x", 1.0, 1, 0)], [Param("p", "q")], [RunTag("t", "u")])
    c.update_run(rid, name="renamed")
    c.set_terminated(rid, "FAILED")
    assert c.get_run(rid).info.status == "FAILED" and c.get_run(rid).info.run_name == "renamed"
    c.delete_run(rid)
    assert c.get_run(rid).info.lifecycle_stage == "deleted"
    c.restore_run(rid)
    c.delete_tag(rid, "k")
    assert "k" not in c.get_run(rid).data.tags and c.get_run(rid).data.tags["t"] == "u"


def experiments(c):
    e = c.create_experiment("yy", tags={"a": "b"})
    refused("RESOURCE_ALREADY_EXISTS", c.create_experiment, "yy")
    c.rename_experiment(e, "yy2")
    c.set_experiment_tag(e, "x", "y")
    c.delete_experiment(e)
    c.restore_experiment(e)
    kept = c.get_experiment(e)
    assert (kept.name, kept.tags, kept.lifecycle_stage) == ("yy2", {"a": "b", "x": "y"}, "active"), kept


def registry(c, rid):
    c.create_registered_model("rmA", {"a": "b"}, "d")
    refused("RESOURCE_ALREADY_EXISTS", c.create_registered_model, "rmA")
    v = c.create_model_version("rmA", f"runs:/{rid}/d", rid, tags={"x": "y"}, description="dd")
    assert str(v.version) == "1" and v.tags == {"x": "y"} and v.status == "READY", v
    c.set_registered_model_alias("rmA", "champ", v.version)
    assert c.get_model_version_by_alias("rmA", "champ").description == "dd"
    assert c.get_registered_model("rmA").aliases == {"champ": "1"}
    c.delete_registered_model_alias("rmA", "champ")
    assert c.get_model_version("rmA", "1").run_id == rid
    assert c.get_model_version_download_uri("rmA", "1") == f"runs:/{rid}/d"
    assert [m.name for m in c.search_registered_models()] == ["rmA"]
    assert [m.name for m in c.search_registered_models("name LIKE '%r%'", order_by=["name DESC"])] == ["rmA"]
    assert [str(m.version) for m in c.search_model_versions("name='rmA'")] == ["1"]
    c.set_registered_model_tag("rmA", "k", "v")
    c.delete_registered_model_tag("rmA", "k")
    c.set_model_version_tag("rmA", "1", "k", "v")
    assert c.get_model_version("rmA", "1").tags == {"x": "y", "k": "v"}
    c.delete_model_version_tag("rmA", "1", "k")
    c.update_registered_model("rmA", "nd")
    c.update_model_version("rmA", "1", "nd2")
    c.transition_model_version_stage("rmA", "1", "Production")
    assert [str(m.version) for m in c.get_latest_versions("rmA")] == ["1"]
    c.rename_registered_model("rmA", "rmA2")
    assert c.get_registered_model("rmA2").description == "nd"
    c.delete_model_version("rmA2", "1")
    c.delete_registered_model("rmA2")
    refused("RESOURCE_DOES_NOT_EXIST", c.get_registered_model, "rmA2")


def inputs_and_models(c, rid, experiment):
    dataset = Dataset("ds", "dg", "local", "{}")
    c.log_inputs(rid, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])
    kept = c.get_run(rid).inputs.dataset_inputs
    assert [(i.dataset.name, i.dataset.digest, i.tags[0].value) for i in kept] == [("ds", "dg", "training")], kept
    model = c.create_logged_model(experiment_id=experiment, name="lm", source_run_id=rid, params={"p": "1"},
                                  tags={"t": "2"}, model_type="rec")
    c.finalize_logged_model(model.model_id, "READY")
    assert str(c.get_logged_model(model.model_id).status) == "READY"
    assert [m.model_id for m in c.search_logged_models([experiment])] == [model.model_id]
    c.log_outputs(rid, [LoggedModelOutput(model.model_id, 5)])


def at_once(c, rid):
    mlflow.config.enable_async_logging()
    mlflow.start_run(rid)
    mlflow.log_metric("as", 1)
    mlflow.flush_async_logging()
    mlflow.end_run()
    assert c.get_run(rid).data.metrics["as"] == 1.0
    c.log_artifact(rid, __file__, "code")
    assert [f.path for f in c.list_artifacts(rid, "code")] == ["code/" + os.path.basename(__file__)]


def main():
    mlflow.set_tracking_uri(os.environ["MLFLOW_TRACKING_URI"])
    c = MlflowClient()
    rid, experiment, child = fluent()
    runs(c, rid, experiment, child)
    experiments(c)
    registry(c, rid)
    inputs_and_models(c, rid, experiment)
    at_once(c, rid)
    print("all of it holds")


main()
