"""Where the runs are kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest

from gcnpose import tracking
from gcnpose.errors import InputError
from gcnpose.tracking import (
    Tracker,
    shared_run,
)
from tests.stores import client, config, experiment_of


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
