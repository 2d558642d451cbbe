"""A run in MLflow, and what happens to it when MLflow cannot be reached."""

from __future__ import annotations

import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from gcnpose import tracking
from gcnpose.tracking import (
    Tracker,
)
from tests.mlflow_server import FakeServer
from tests.stores import client, config, messages

SOON = 10
"""Seconds, on a busy machine. MLflow's own retries take minutes."""


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


def test_metrics_and_curves_are_logged(tracking_uri: str, caplog: pytest.LogCaptureFixture) -> None:
    with Tracker.start(config(tracking_uri), "curves", {}) as tracker:
        tracker.log_metrics({"val/mpjpe_mm": 61.5, "lost": math.nan, "endless": math.inf})
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
    assert [point.step for point in store.get_metric_history(tracker.run_id, "lost")] == [0]
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
        first.log_history([{"step": 1, "loss": 1.0}], "step")
    assert first.run_id is not None
    with Tracker.start(config(tracking_uri), "long", {"epochs": 3}, run_id=first.run_id) as second:
        assert store.get_run(first.run_id).info.status == "RUNNING"
        second.log_history([{"step": 2, "loss": 0.5}], "step")
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


# MLflow fails


def run_without(uri: str, caplog: pytest.LogCaptureFixture) -> str:
    """The one warning of a run whose store cannot be used from the start."""
    with Tracker.start(config(uri, system_metrics=True), "run", {"epochs": 2}) as tracker:
        assert tracker.run_id is None
        for _ in range(3):
            tracker.log_metrics({"loss": 1.0})
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


@pytest.mark.parametrize("failure", ["gone", "broken"])
def test_a_server_that_dies_midway_costs_one_warning(
    failure: str,
    fake_server: FakeServer,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Tracker.start(config(fake_server.uri), "run", {"epochs": 2}) as tracker:
        tracker.log_metrics({"loss": 1.0})
        assert messages(caplog) == []
        if failure == "gone":
            fake_server.vanish()
        fake_server.broken = True
        begin = time.monotonic()
        for _ in range(3):
            tracker.log_metrics({"loss": 1.0})
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
