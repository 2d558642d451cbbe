"""Logging to MLflow, and what happens to a run when MLflow cannot be reached."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import mlflow
import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException
from torch import Tensor

from gcnpose import tracking
from gcnpose.config import TrackingConfig
from gcnpose.errors import InputError, RunError
from gcnpose.nn import UGCN
from gcnpose.settings import flatten
from gcnpose.skeleton import Skeleton
from gcnpose.tracking import (
    Tracker,
    environment,
    photograph_comparison,
    serve_ui,
    shared_run,
)
from tests.mlflow_server import FakeServer, serving
from tests.motions import past_the_beginning

SOON = 10
"""Seconds, on a busy machine. MLflow's own retries take minutes."""


def config(uri: str | None, **settings: Any) -> TrackingConfig:
    return TrackingConfig(uri=uri, **{"system_metrics": False, **settings})


def client(uri: str) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(uri)


def experiment_of(uri: str) -> Any:
    return client(uri).get_experiment_by_name("gcnpose")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "gcnpose.tracking"]


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Runs git as somebody whose settings are git's own."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    return lambda *arguments: subprocess.run(["git", *arguments], check=True, capture_output=True)


# What is logged


def test_parameters_and_tags_are_logged(tracking_uri: str) -> None:
    many = {f"k{number}": number for number in range(230)}
    parameters = {"train": {"epochs": 2, "deep": many}, "note": "x" * 7000, "odd key (1)#": None}
    with Tracker.start(
        config(tracking_uri), "first", parameters, {"mark": "red", "torch": "mine"}
    ) as tracker:
        assert tracker.run_id is not None
        run = client(tracking_uri).get_run(tracker.run_id)
    assert run.info.run_name == "first"
    assert len(run.data.params) == 233
    assert run.data.params["train.epochs"] == "2"
    assert run.data.params["train.deep.k229"] == "229"
    assert run.data.params["note"] == "x" * 5000
    assert run.data.params["odd key _1__"] == "None"
    assert run.data.tags["mark"] == "red"
    assert run.data.tags["torch"] == "mine"
    assert run.data.tags["python"] == ".".join(map(str, sys.version_info[:3]))


def test_flatten_gives_dotted_keys() -> None:
    assert flatten({"a": 1, "b": {"c": [2, 3], "d": {"e": None}}, "f": {}}) == {
        "a": 1,
        "b.c": [2, 3],
        "b.d.e": None,
    }


def test_metrics_and_curves_are_logged(tracking_uri: str, caplog: pytest.LogCaptureFixture) -> None:
    with Tracker.start(config(tracking_uri), "curves", {}) as tracker:
        tracker.log_metrics({"val/mpjpe_mm": 61.5, "lost": math.nan, "endless": math.inf}, step=3)
        tracker.log_metrics({"test/Sit down (2)//mpjpe_mm": float(torch.tensor(2.5))})
        tracker.log_history([{"step": step, "loss": step / 2, "rate": 0.1} for step in range(600)], "step")
        tracker.log_history([], "step")
    assert messages(caplog) == []
    store = client(tracking_uri)
    assert tracker.run_id is not None
    metrics = store.get_run(tracker.run_id).data.metrics
    assert metrics["val/mpjpe_mm"] == 61.5
    assert math.isnan(metrics["lost"])
    assert metrics["endless"] == sys.float_info.max
    assert metrics["test/Sit down _2_/mpjpe_mm"] == 2.5
    assert [point.step for point in store.get_metric_history(tracker.run_id, "lost")] == [3]
    curve = store.get_metric_history(tracker.run_id, "loss")
    assert sorted((point.step, point.value) for point in curve) == [(step, step / 2) for step in range(600)]


def test_files_tables_and_motion_are_logged(
    tracking_uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "config.yaml").write_text("name: x")
    with Tracker.start(config(tracking_uri), "files", {}) as tracker:
        tracker.log_files(tmp_path / "lost.png", tmp_path / "config.yaml")
        tracker.log_table({"action": ["Walking", "Eating"], "mpjpe_mm": [40.0, 50.5]}, "per_action.json")
        tracker.log_motion("cmu17", "data/cmu17.npz", "ab" * 32, "train", {"frames": 1200})
    assert messages(caplog) == [f"{tmp_path / 'lost.png'} does not exist and was not logged"]
    assert tracker.run_id is not None
    store = client(tracking_uri)
    artifacts = tmp_path / "mlartifacts" / "gcnpose" / tracker.run_id / "artifacts"
    found = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*") if path.is_file()}
    assert found == {"config.yaml", "per_action.json"}
    table = json.loads((artifacts / "per_action.json").read_text())
    assert table == {"columns": ["action", "mpjpe_mm"], "data": [["Walking", 40.0], ["Eating", 50.5]]}
    inputs: Any = store.get_run(tracker.run_id).inputs
    (used,) = inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("cmu17", "ab" * 18)
    assert json.loads(used.dataset.profile) == {"digest": "ab" * 32, "frames": 1200}
    assert json.loads(used.dataset.source) == {"uri": "data/cmu17.npz"}
    assert [(tag.key, tag.value) for tag in used.tags] == [("mlflow.data.context", "train")]


Logged = tuple[UGCN, Path, Any]


def network(**settings: Any) -> UGCN:
    """Small, with every part showing in the output, and three scales: frames are padded to multiples of 4."""
    skeleton = Skeleton.load("h36m17")
    return past_the_beginning(UGCN(skeleton, channels=(4, 6, 8), **settings))  # type: ignore[return-value]


def artifact_folder(uri: str, tracker: Tracker) -> str:
    assert tracker.run_id is not None
    run: Any = client(uri).get_run(tracker.run_id)
    (model_id,) = [model.model_id for model in run.outputs.model_outputs]
    entry = client(uri).get_logged_model(model_id)
    assert (entry.name, entry.status, entry.experiment_id) == ("model", "READY", run.info.experiment_id)
    return str(entry.artifact_location)


@pytest.fixture(scope="module")
def logged(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Logged:
    """A network, the folder of the MLflow model that it was logged as, and what MLflow loads from there."""
    folder = tmp_path_factory.mktemp("logged")
    uri = f"sqlite:///{shutil.copy(migrated_database, folder / 'mlflow.db')}"
    warned: list[tuple[object, ...]] = []
    trained = network(aggregation="native").train()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(tracking.network.logger, "warning", lambda *message: warned.append(message))
        with Tracker.start(config(uri), "model", {"a": 1}) as tracker:
            tracker.log_model(trained, torch.rand(2, 8, 17, 2))
        assert "MLFLOW_TRACKING_URI" not in os.environ
    assert trained.training
    assert warned == []
    where = mlflow.artifacts.download_artifacts(artifact_folder(uri, tracker))
    return trained, Path(where), mlflow.pyfunc.load_model(where)


def test_a_logged_network_describes_itself(logged: Logged) -> None:
    _, folder, _ = logged
    requirements = (folder / "requirements.txt").read_text()
    assert f"torch=={torch.__version__.partition('+')[0]}" in requirements.split()
    assert "gcnpose" not in requirements
    signature = mlflow.models.Model.load(str(folder)).signature
    assert [spec.shape for spec in signature.inputs.inputs] == [(-1, -1, 17, 2)]
    assert [spec.shape for spec in signature.outputs.inputs] == [(-1, -1, 17, 3)]
    assert [param.name for param in signature.params.params] == ["width", "height"]


@pytest.mark.parametrize(("people", "frames"), [(1, 1), (1, 4), (3, 21)])
def test_a_logged_network_lifts_pixels_like_the_eager_one(people: int, frames: int, logged: Logged) -> None:
    trained, _, served = logged
    pixels = np.random.default_rng(0).uniform(0, 1000, (people, frames, 17, 2)).astype(np.float32)
    x, y = pixels[..., 0] / 1920 * 2 - 1, pixels[..., 1] / 1920 * 2 - 1080 / 1920
    with torch.no_grad():
        expected = trained.eval()(torch.from_numpy(np.stack([x, y], axis=-1))).numpy()
    lifted = served.predict(pixels, params={"width": 1920, "height": 1080})
    assert lifted.dtype == np.float32
    np.testing.assert_allclose(lifted, expected, atol=1e-5)


def answer(served: Any, payload: object) -> Any:
    """What MLflow's scoring server answers a request with."""
    from mlflow.pyfunc.scoring_server import invocations

    schema = served.metadata.get_input_schema()
    response = invocations(json.dumps(payload), "application/json", served, schema)
    assert response.status == 200
    return json.loads(response.response)["predictions"]


def test_the_scoring_server_takes_keypoints_and_answers_3d(
    logged: Logged,
) -> None:
    _, folder, served = logged
    example = json.loads((folder / "serving_input_example.json").read_text())
    assert np.shape(answer(served, example)) == (1, 8, 17, 3)
    whole_numbers = {"inputs": [[[[100, 200]] * 17] * 5], "params": {"width": 640, "height": 480}}
    assert np.shape(answer(served, whole_numbers)) == (1, 5, 17, 3)


@pytest.mark.parametrize(
    ("keypoints", "params", "message"),
    [
        ([[[[1, 2]] * 17]], {}, "expected the width and height of the image in pixels, .* not None and None"),
        ([[[[1, 2]] * 17]], {"width": 640}, "not 640.0 and None"),
        ([[[[1, 2]] * 17]], {"width": 0, "height": 480}, "not 0.0 and 480.0"),
        ([[[[1, 2]] * 16]], {"width": 640, "height": 480}, r"\(1, 1, 16, 2\)"),
        ([[[[1, 2, 3]] * 17]], {"width": 640, "height": 480}, r"\(1, 1, 17, 3\)"),
        ([[[[1, None]] * 17]], {"width": 640, "height": 480}, "person 0, frame 0, joint 0: .* not finite"),
        ([[[[1, "a"]] * 17]], {"width": 640, "height": 480}, "float"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(
    keypoints: object, params: object, message: str, logged: Logged
) -> None:
    with pytest.raises(MlflowException, match=message) as refusal:
        answer(logged[2], {"inputs": keypoints, "params": params})
    assert refusal.value.get_http_status_code() == 400


def test_no_frame_is_refused(logged: Logged) -> None:
    with pytest.raises(MlflowException, match="expected at least one person and one frame"):
        logged[2].predict(np.zeros((1, 0, 17, 2), np.float32), params={"width": 640, "height": 480})


class Untraceable(UGCN):
    def forward(self, keypoints_2d: Tensor) -> Tensor:
        return keypoints_2d * 2 if float(keypoints_2d.sum()) > 0 else keypoints_2d


def test_a_network_that_cannot_be_traced_costs_only_the_model(
    tracking_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Tracker.start(config(tracking_uri), "model", {}) as tracker:
        tracker.log_model(Untraceable(Skeleton.load("h36m17"), channels=(4, 6)), torch.rand(2, 8, 17, 2))
        tracker.log_metrics({"after": 1.0})
    (message,) = messages(caplog)
    assert message.startswith("the network was not logged as a model, it cannot be traced: ")
    assert tracker.run_id is not None
    run: Any = client(tracking_uri).get_run(tracker.run_id)
    assert (run.data.metrics, run.info.status) == ({"after": 1.0}, "FINISHED")
    assert not run.outputs.model_outputs


def test_system_metrics_are_sampled_until_the_end(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    assert not any(thread.name == "SystemMetricsMonitor" for thread in threading.enumerate())
    with Tracker.start(config(tracking_uri, system_metrics=True), "sampled", {}) as tracker:
        assert any(thread.name == "SystemMetricsMonitor" for thread in threading.enumerate())
        time.sleep(1.0)
    assert not any(thread.name == "SystemMetricsMonitor" for thread in threading.enumerate())
    assert tracker.run_id is not None
    metrics = client(tracking_uri).get_run(tracker.run_id).data.metrics
    assert "system/system_memory_usage_megabytes" in metrics


# A run's life


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_the_run_ends_as_the_training_did(
    error: type[BaseException] | None, status: str, tracking_uri: str
) -> None:
    tracker = Tracker.start(config(tracking_uri), "ends", {})
    if error is None:
        with tracker:
            pass
    else:
        with pytest.raises(error, match="the reason"), tracker:
            raise error("the reason")
    tracker.log_metrics({"late": 1.0})
    tracker.finish("FAILED")
    assert tracker.run_id is not None
    run = client(tracking_uri).get_run(tracker.run_id)
    assert (run.info.status, run.data.metrics) == (status, {})


def test_a_run_is_resumed(tracking_uri: str, caplog: pytest.LogCaptureFixture) -> None:
    store = client(tracking_uri)
    with Tracker.start(config(tracking_uri), "long", {"epochs": 2}) as first:
        first.log_metrics({"loss": 1.0}, step=1)
    assert first.run_id is not None
    with Tracker.start(config(tracking_uri), "long", {"epochs": 3}, run_id=first.run_id) as second:
        assert store.get_run(first.run_id).info.status == "RUNNING"
        second.log_metrics({"loss": 0.5}, step=2)
    assert second.run_id == first.run_id
    assert messages(caplog) == []
    run = store.get_run(first.run_id)
    assert (run.info.status, run.data.params) == ("FINISHED", {"epochs": "2"})
    assert len(store.get_metric_history(first.run_id, "loss")) == 2


def test_missing_steps_are_filled_in(tracking_uri: str) -> None:
    rows = [{"step": step, "train/loss": step / 2, "val (mm)": step * 3} for step in (1, 2, 3, 4)]
    with Tracker.start(config(tracking_uri), "gaps", {}) as tracker:
        tracker.log_missing([], "step")
        tracker.log_history([rows[0], rows[2]], "step")
        tracker.log_missing(rows, "step")
        tracker.log_missing(rows, "step")
    for name, factor in (("train/loss", 0.5), ("val _mm_", 3)):
        curve = client(tracking_uri).get_metric_history(str(tracker.run_id), name)
        assert sorted((point.step, point.value) for point in curve) == [(n, n * factor) for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("kind", ["unknown", "deleted", "malformed"])
def test_a_run_that_is_gone_is_begun_anew(
    kind: str, tracking_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    lost = {"unknown": "0" * 32, "malformed": "../run"}.get(kind)
    if lost is None:
        with Tracker.start(config(tracking_uri), "old", {}) as old:
            assert old.run_id is not None
            lost = old.run_id
        client(tracking_uri).delete_run(lost)
    with Tracker.start(config(tracking_uri), "new", {"epochs": 2}, run_id=lost) as tracker:
        pass
    assert messages(caplog) == [f"MLflow at {tracking_uri} has no run {lost}: a new one begins"]
    assert tracker.run_id not in (None, lost)
    assert client(tracking_uri).get_run(str(tracker.run_id)).data.params == {"epochs": "2"}


# A run that several share


def test_a_shared_run_is_begun_once_and_found_by_its_tag(tracking_uri: str) -> None:
    run_id, tags = shared_run(config(tracking_uri), "grid", "table-1.x_y")
    assert tags["grid"] == "table-1.x_y"
    assert client(tracking_uri).get_run(run_id).info.run_name == "table-1.x_y"
    with Tracker.start(config(tracking_uri), "table-1.x_y", {}, run_id=run_id) as tracker:
        tracker.log_tags({"result/a-seed0": "{}"})
    again, tags = shared_run(config(tracking_uri), "grid", "table-1.x_y")
    assert (again, tags["result/a-seed0"]) == (run_id, "{}")
    for tag, value in (("grid", "table2"), ("other", "table-1.x_y")):
        assert shared_run(config(tracking_uri), tag, value)[0] != run_id
    client(tracking_uri).delete_run(run_id)
    assert shared_run(config(tracking_uri), "grid", "table-1.x_y")[0] != run_id


@pytest.mark.parametrize("later", [-1000, 1000])
def test_two_that_begin_a_shared_run_at_once_share_the_earlier(
    tracking_uri: str, later: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = []
    create = mlflow.MlflowClient.create_run

    def create_two(self: mlflow.MlflowClient, experiment_id: str, **settings: Any) -> Any:
        own = create(self, experiment_id, **settings)
        other = create(self, experiment_id, start_time=own.info.start_time + later, **settings)
        others.append(other.info.run_id)
        return own

    with monkeypatch.context() as busy:
        busy.setattr(mlflow.MlflowClient, "create_run", create_two)
        first, _ = shared_run(config(tracking_uri), "grid", "table1")
    assert (first == others[0]) == (later < 0)
    if later < 0:
        left = client(tracking_uri).search_runs([experiment_of(tracking_uri).experiment_id])
        assert [run.info.run_id for run in left] == [first]
    assert shared_run(config(tracking_uri), "grid", "table1")[0] == first


def test_a_store_that_cannot_be_shared_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database")
    with pytest.raises(InputError, match=r"^MLflow at sqlite:///.*/text cannot be used: "):
        shared_run(config(f"sqlite:///{tmp_path / 'text'}"), "grid", "table1")


def test_disabled_tracking_does_not_import_mlflow(tmp_path: Path) -> None:
    script = """
import sys
from gcnpose.config import TrackingConfig
from gcnpose.tracking import Tracker
with Tracker.start(TrackingConfig(enabled=False), "none", {"a": 1}) as tracker, Tracker() as other:
    for one in (tracker, other):
        one.log_metrics({"loss": 1.0})
        one.log_files("nowhere")
        assert one.run_id is None
assert "mlflow" not in sys.modules
"""
    paths = os.pathsep.join([str(Path(tracking.__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}
    )
    assert list(tmp_path.iterdir()) == []


# The store


def test_the_store_is_the_configs_or_the_environments_or_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert (
        tracking.store.tracking_uri(config("sqlite:///a/b.db?timeout=1"))
        == f"sqlite:///{tmp_path}/a/b.db?timeout=1"
    )
    assert tracking.store.tracking_uri(config(None)) == "http://somewhere:5000"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking.store.tracking_uri(config(None)) == f"sqlite:///{tmp_path}/mlflow.db"


def test_artifacts_lie_beside_the_database(
    migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, elsewhere = tmp_path / "säv ed #1%20", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    shutil.copy(migrated_database, folder / "mlflow.db")
    (tmp_path / "note.txt").write_text("hello")
    monkeypatch.chdir(folder)
    uri = tracking.store.tracking_uri(config("sqlite:///mlflow.db"))
    monkeypatch.chdir(elsewhere)
    with Tracker.start(config(uri, experiment="a/b: c#"), "run", {}) as tracker:
        tracker.log_files(tmp_path / "note.txt")
    (stored,) = folder.rglob("note.txt")
    assert stored.is_relative_to(folder / "mlartifacts")
    assert tracker.run_id in stored.parts
    assert list(elsewhere.iterdir()) == []
    assert [file.path for file in client(uri).list_artifacts(str(tracker.run_id))] == ["note.txt"]


@pytest.fixture
def new_store(
    migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, list[Callable[[], object]]]:
    """A path for a database that is not there yet, and a list for what happens while its tables are made.

    MLflow takes seconds for the tables, so here they are copied.
    """
    meanwhile: list[Callable[[], object]] = []

    def initialize(engine: Any) -> None:
        shutil.copy(migrated_database, engine.url.database)
        for happens in meanwhile:
            happens()

    monkeypatch.setattr("mlflow.store.db.utils._initialize_tables", initialize)
    return tmp_path / "new" / "mlflow.db", meanwhile


@pytest.mark.parametrize("has_links", [True, False])
def test_a_store_is_made_with_its_folder(
    has_links: bool, new_store: tuple[Path, list[Callable[[], object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: Path) -> None:
        raise PermissionError("this file system has no links")

    if not has_links:
        monkeypatch.setattr(os, "link", refuse)
    path, _ = new_store
    with Tracker.start(config(f"sqlite:///{path}"), "run", {}) as tracker:
        assert tracker.run_id is not None
    assert [file.name for file in path.parent.iterdir()] == ["mlflow.db"]


def test_an_interrupted_first_run_leaves_no_half_made_store(
    new_store: tuple[Path, list[Callable[[], object]]],
) -> None:
    path, meanwhile = new_store

    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        Tracker.start(config(f"sqlite:///{path}"), "run", {})
    assert list(path.parent.iterdir()) == []


def test_two_first_runs_at_once_share_one_store(
    new_store: tuple[Path, list[Callable[[], object]]], migrated_database: Path
) -> None:
    path, meanwhile = new_store

    def other_run() -> None:
        meanwhile.clear()
        shutil.copy(migrated_database, path)
        with Tracker.start(config(f"sqlite:///{path}", experiment="the faster one"), "other", {}) as other:
            assert other.run_id is not None

    meanwhile.append(other_run)
    with Tracker.start(config(f"sqlite:///{path}"), "run", {}) as tracker:
        assert tracker.run_id is not None
    names = [experiment.name for experiment in client(f"sqlite:///{path}").search_experiments()]
    assert sorted(names) == ["Default", "gcnpose", "the faster one"]


# MLflow fails


def run_without(uri: str, caplog: pytest.LogCaptureFixture) -> str:
    """The one warning of a run whose store cannot be used from the start."""
    with Tracker.start(config(uri, system_metrics=True), "run", {"epochs": 2}) as tracker:
        assert tracker.run_id is None
        for step in range(3):
            tracker.log_metrics({"loss": 1.0}, step)
        tracker.log_table({"a": [1]}, "a.json")
    (message,) = messages(caplog)
    return message


def test_a_server_that_is_down_costs_one_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in tracking.store._PATIENCE:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    begin = time.monotonic()
    message = run_without("http://me:secret@127.0.0.1:9", caplog)
    assert time.monotonic() - begin < SOON
    assert message.startswith(
        "MLflow at http://***@127.0.0.1:9 failed; the run goes on without it, and its folder"
    )
    assert "Connection refused" in message
    assert "secret" not in message
    # Two attempts of five seconds each, at most: a server that hangs costs ten.
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "5"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


def test_a_server_that_never_answers_costs_one_timeout(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system accepts, nobody reads
        begin = time.monotonic()
        message = run_without(f"http://127.0.0.1:{silent.getsockname()[1]}", caplog)
    assert time.monotonic() - begin < SOON
    assert "timed out" in message.lower()


@pytest.fixture
def fake_server(tmp_path: Path) -> Iterator[FakeServer]:
    with serving(tmp_path / "artifacts") as server:
        yield server


@pytest.mark.parametrize("failure", ["gone", "broken"])
def test_a_server_that_dies_midway_costs_one_warning(
    failure: str,
    fake_server: FakeServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Tracker.start(config(fake_server.uri), "run", {"epochs": 2}) as tracker:
        tracker.log_metrics({"loss": 1.0}, 1)
        assert messages(caplog) == []
        if failure == "gone":
            fake_server.vanish()
        fake_server.broken = True
        begin = time.monotonic()
        for step in range(3):
            tracker.log_metrics({"loss": 1.0}, step)
    assert time.monotonic() - begin < SOON
    assert tracker.run_id == "ab12"
    (message,) = messages(caplog)
    assert message.startswith(f"MLflow at {fake_server.uri} failed; ")
    assert capsys.readouterr() == ("", "")


def test_a_server_that_dies_at_the_end_costs_one_warning(
    fake_server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with Tracker.start(config(fake_server.uri, system_metrics=True), "run", {}):
        fake_server.broken = True
    assert len(messages(caplog)) == 1


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:///{folder}/file/mlflow.db", "file"),
        ("sqlite:///{folder}", "unable to open database file"),
        ("sqlite:///{folder}/file", "file is not a database"),
        ("sqlite:///{folder}/locked.db", "database is locked"),
        ("{folder}/mlruns", "maintenance mode"),
        ("nonsense://x", "unsupported URI 'nonsense://x'"),
    ],
)
def test_a_store_that_cannot_be_used_costs_one_warning(
    uri: str,
    reason: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking.store, "_LOCK_SECONDS", 0.1)
    (tmp_path / "file").write_text("this is no database " * 100)
    other = sqlite3.connect(tmp_path / "locked.db", isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        begin = time.monotonic()
        assert reason in run_without(uri.format(folder=tmp_path), caplog)
        assert time.monotonic() - begin < SOON
    finally:
        other.close()


def test_a_database_that_breaks_midway_costs_one_warning(
    tracking_uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Tracker.start(config(tracking_uri), "run", {}) as tracker:
        (tmp_path / "mlflow.db").write_bytes(b"no database " * 1000)
        tracker.log_metrics({"loss": 1.0})
        tracker.log_files(tmp_path / "mlflow.db")
    (message,) = messages(caplog)
    assert "file is not a database" in message
    assert "SELECT" not in message


# What a run depends on


def test_the_environment_names_the_commit(
    git: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "mlflow.source.git.commit" not in environment()

    git("init")
    assert "mlflow.source.git.commit" not in environment()  # nothing is committed yet
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "--message", "first")
    commit = (tmp_path / ".git" / (tmp_path / ".git" / "HEAD").read_text().split()[1]).read_text().strip()
    (tmp_path / "mlflow.db").touch()  # a run's own files are not part of the code
    clean = environment()
    assert (clean["mlflow.source.git.commit"], clean["mlflow.source.git.dirty"]) == (commit, "false")
    (tmp_path / "code.py").write_text("2")
    assert environment()["mlflow.source.git.dirty"] == "true"
    git("checkout", "--", ".")
    for name in ("results/table1.csv", "docs/page.md"):
        Path(name).parent.mkdir()
        Path(name).touch()
    git("add", "results", "docs")
    assert environment()["mlflow.source.git.dirty"] == "false", "experiments write them"

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "mlflow.source.git.commit" not in environment()


def test_the_environment_names_versions_hardware_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "a b.yaml", "tracking.uri=http://me:secret@host"])
    found = environment()
    assert found["command"] == "tools/train.py 'a b.yaml' tracking.uri=http://***@host"
    assert found["torch"] == torch.__version__
    assert found["threads"] == str(torch.get_num_threads())
    assert found["cpu"]
    assert {"torch-geometric", "python"} <= found.keys()
    assert ("gpu" in found) == torch.cuda.is_available()


# The page


def test_the_page_of_a_server_is_printed(fake_server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    serve_ui(config(f"{fake_server.uri}/"))
    page = "#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert capsys.readouterr().out == f"{fake_server.uri}/{page}\n"


def test_the_page_of_a_local_store_is_served(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for MLflow's server, which takes seconds to begin: answers one visitor and ends."""
    stand_in = tmp_path / "python"
    stand_in.write_text(
        f"#!{sys.executable}\n"
        "import json, socket, sys, time\n"
        "json.dump(sys.argv[1:], open('arguments.json', 'w'))\n"
        "socket.create_server(('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1]))).accept()\n"
        "time.sleep(0.5)\n"
        "sys.exit(3)\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunError, match="ended by itself with exit status 3"):
        serve_ui(config(tracking_uri), port)
    assert signal.getsignal(signal.SIGTERM) == handler
    arguments = json.loads((tmp_path / "arguments.json").read_text())
    assert arguments[:5] == ["-m", "mlflow", "ui", "--backend-store-uri", tracking_uri]
    experiment = experiment_of(tracking_uri).experiment_id
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert capsys.readouterr().out == f"http://127.0.0.1:{port}/{page}\nCtrl-C ends it.\n"


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that writes its last argument, an address, as the picture."""
    path = tmp_path / "browser"
    path.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "(picture,) = [a.split('=')[1] for a in sys.argv if a.startswith('--screenshot=')]\n"
        "pathlib.Path(picture).write_text(sys.argv[-1])\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(tracking.pages, "_BROWSERS", ("nothing-of-this-name", str(path)))
    return path


def test_a_picture_of_the_comparison(
    tracking_uri: str, tmp_path: Path, browser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for cell, failed in (("a", False), ("b", True), ("c", False)):
        with Tracker.start(config(tracking_uri), cell, {}, {"experiment": "table1"}) as tracker:
            tracker.finish("FAILED" if failed else "FINISHED")
        ids += [] if failed else [tracker.run_id]
    with Tracker.start(config(tracking_uri), "d", {}, {"experiment": "table2"}):
        pass
    served = []

    @contextlib.contextmanager
    def server(uri: str, port: int) -> Iterator[None]:
        served.append((uri, port))
        yield

    monkeypatch.setattr(tracking.pages, "_server", server)
    picture = tmp_path / "compare.png"
    photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture, 5123)
    address = unquote(picture.read_text())
    experiment = experiment_of(tracking_uri).experiment_id
    runs = json.dumps(ids)
    assert address == f'http://127.0.0.1:5123/#/compare-runs?runs={runs}&experiments=["{experiment}"]'
    assert served == [(tracking_uri, 5123)]

    with pytest.raises(InputError, match=r"has no finished runs with the tags \{'experiment': 'table3'\}$"):
        photograph_comparison(config(tracking_uri), {"experiment": "table3"}, picture)
    browser.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(RunError, match=r"the browser took no picture: .* status 3"):
        photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture)
    browser.write_text("#!/bin/sh\n")
    with pytest.raises(RunError, match=r"^the browser took no picture of http://127"):
        photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture)
    monkeypatch.setattr(tracking.pages, "_BROWSERS", ("nothing-of-this-name",))
    with pytest.raises(InputError, match="none of nothing-of-this-name is installed"):
        photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture)


def test_a_server_that_ends_before_it_answers(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RunError, match="ended by itself with exit status 1"):
        serve_ui(config(tracking_uri), 0)


def test_a_port_in_use_is_bad_input(tracking_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} cannot be used .*: choose another with --port"):
            serve_ui(config(tracking_uri), port)


def test_a_store_that_cannot_be_shown_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be used: .*refused"):
        serve_ui(config("http://127.0.0.1:9"))
