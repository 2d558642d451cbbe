"""Runs of days: killed, out of disk, without their server. What is lost, and that no checkpoint is."""

from __future__ import annotations

import csv
import dataclasses
import errno
import io
import logging
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from gcnpose import run
from gcnpose.checkpoint import BEST, load_checkpoint
from gcnpose.config import Config, load_config
from gcnpose.errors import InputError, RunError
from gcnpose.run import CONFIG, LAST, resume, train
from tests.experiments import seen, small_config, small_experiment
from tests.mlflow_server import serving
from tests.runs import (
    FileOnFullDisk,
    assert_loadable,
    assert_same_weights,
    on_a_slow_disk,
    opening,
    quiet,
)

TIMES = {"train/seconds", "train/windows_per_s"}

pytestmark = pytest.mark.usefixtures("no_pictures")


def same(one: Any, other: Any) -> bool:
    """Whether two checkpoints have the same in them, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def assert_same_run(folder: Path, other: Path) -> None:
    """All that two runs have written is the same, but for where they lie and how long they took."""
    for file in (LAST, BEST):
        one, two = (load_checkpoint(where / file) for where in (folder, other))
        for content in (one, two):
            del content["config"]["output"], content["config"]["data"]["path"]
            content["history"] = [
                {key: value for key, value in row.items() if key not in TIMES} for row in content["history"]
            ]
        assert one.keys() == two.keys()
        for key in one:
            assert same(one[key], two[key]), (file, key)
    ours, theirs = (history(where) for where in (folder, other))
    assert ours == theirs
    assert (folder / "report.csv").read_text() == (other / "report.csv").read_text()
    assert {path.name for path in folder.iterdir()} == {path.name for path in other.iterdir()}


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


# Killed


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Any]]:
    """Calls a function in a process of its own. They are forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gcnpose.run", "gcnpose.viz.poses", "tests.runs"])
    processes = []
    environment = pytest.MonkeyPatch()
    environment.setenv("OMP_NUM_THREADS", "1")  # threads do not survive a fork

    def start(function: Callable[..., Any], *arguments: Any) -> Any:
        process = context.Process(target=function, args=arguments)
        process.start()
        processes.append(process)
        return process

    yield start
    environment.undo()
    for process in processes:
        process.kill()
        process.join()


def is_checkpoint(path: Path) -> bool:
    try:
        load_checkpoint(path)
    except InputError:
        return False
    return True


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def epochs_done(folder: Path) -> int:
    return len(history(folder)) if (folder / "history.csv").exists() else 0


def test_killed_at_twenty_random_moments(tmp_path: Path, start: Callable[..., Any]) -> None:
    epochs = 30
    config = small_config(tmp_path, f"train.epochs={epochs}", "data.keep=disk")

    def begin(output: Path) -> tuple[Any, Path]:
        process = start(on_a_slow_disk, train, dataclasses.replace(config, output=str(output)))
        wait_for(lambda: list(output.glob(f"*/{CONFIG}")))
        return process, next(output.iterdir())

    process, uninterrupted = begin(tmp_path / "whole")
    wait_for(lambda: epochs_done(uninterrupted) == 1)
    began = time.monotonic()
    wait_for(lambda: epochs_done(uninterrupted) == epochs)
    seconds = (time.monotonic() - began) / (epochs - 1)
    process.join()
    assert process.exitcode == 0

    random_moments = random.Random(0)
    moments = sorted(random_moments.uniform(0, epochs + 1) for _ in range(20))
    assert moments[-1] > epochs, "one of them while the test subjects are scored"
    half_written = 0
    process, folder = begin(tmp_path / "killed")
    for moment in moments:
        epoch, part = divmod(moment, 1)
        wait_for(lambda epoch=epoch: epochs_done(folder) >= epoch)
        time.sleep(part * seconds)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert_loadable(folder)
        half_written += sum(not is_checkpoint(part) for part in folder.glob("*.pt.part"))
        process = start(on_a_slow_disk, resume, folder)
    process.join()
    assert process.exitcode == 0
    assert half_written > 0, "some of the moments were in the midst of writing a checkpoint"
    assert_same_run(folder, uninterrupted)


# Out of disk


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run._Run, "_draw", lambda self, model, views, path: path.touch())
        return train(small_config(tmp_path_factory.mktemp("finished")), quiet)


def stopped(config: Config, say: Callable[[str], None] = quiet) -> tuple[Path, str]:
    """Trains until it fails; gives the run's folder and the message."""
    with pytest.raises(RunError) as caught:
        train(config, say)
    (folder,) = Path(config.output).iterdir()
    return folder, str(caught.value)


def test_a_disk_that_fills_up_again_and_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a random byte of each file in turn; what was whole stays so, and resuming goes on from it."""
    draw, target = random.Random(0), ""
    monkeypatch.setattr(
        Path, "open", opening(lambda path: FileOnFullDisk if path.name == f"{target}.part" else io.FileIO)
    )
    folder, epochs = None, []
    for target in (BEST, LAST, "history.csv") * 3 + ("report.csv",):
        FileOnFullDisk.room = draw.randrange((finished / target).stat().st_size // 2)
        if folder is None:
            folder, message = stopped(small_config(tmp_path))
        else:
            with pytest.raises(RunError) as caught:
                resume(folder, quiet)
            message = str(caught.value)
        assert "No space left on device" in message and str(folder) in message
        assert not list(folder.glob("*.part"))
        assert_loadable(folder)
        epochs.append(load_checkpoint(folder / LAST)["epoch"] if (folder / LAST).exists() else 0)
    # The last checkpoint is written before the history, and another epoch is done then.
    assert epochs == [0, 0, 1, 1, 1, 2, 2, 2, 3, 3]
    target = ""
    resume(folder, quiet)
    assert_same_run(folder, finished)


@pytest.fixture
def tracked(tmp_path: Path) -> Callable[..., Config]:
    """The small experiment with a record in MLflow."""
    experiment = small_experiment(tmp_path)
    settings = ["tracking.enabled=true", "tracking.system_metrics=false"]
    return lambda uri, *changes: load_config(experiment, [*settings, f"tracking.uri={uri}", *changes])


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_full_disk_under_mlflow(
    finished: Path,
    tracked: Callable[..., Config],
    tracking_uri: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Training goes on while its database cannot grow; once it can, a resumption fills in what is missing."""
    from mlflow import MlflowClient

    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    database = tmp_path / "mlflow.db"
    size = database.stat().st_size
    assert size > 4 * (finished / LAST).stat().st_size, "the checkpoints are well below the limit"

    def fill(line: str) -> None:
        if line.startswith("epoch 1/"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (database.stat().st_size // 2, limits[1]))

    try:
        folder = train(tracked(tracking_uri), fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    (message,) = warnings_of(caplog)
    assert message.startswith(f"MLflow at {tracking_uri} failed; the run goes on without it")
    assert_same_weights(folder, finished)
    client, run_id = MlflowClient(tracking_uri), load_checkpoint(folder / LAST)["mlflow_run"]
    assert [point.step for point in client.get_metric_history(run_id, "train/loss")] == [1]
    resume(folder, quiet)
    for name in ("train/loss", "val/mpjpe_mm"):
        assert sorted(point.step for point in client.get_metric_history(run_id, name)) == [1, 2, 3]
    assert client.get_run(run_id).info.status == "FINISHED"
    assert len(warnings_of(caplog)) == 1


# Without the server


@pytest.mark.parametrize("failure", ["vanish", "hang"])
def test_a_server_lost_midway(
    failure: str,
    finished: Path,
    tracked: Callable[..., Config],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with serving(tmp_path / "artifacts") as server:

        def say(line: str) -> None:
            if line.startswith("epoch 2/"):
                getattr(server, failure)()

        folder = train(tracked(server.uri), say)
        assert server.unanswered == (failure == "hang"), "waited for once"
        assert {point["step"] for point in server.metrics if point["key"] == "train/loss"} == {1, 2}
    (message,) = warnings_of(caplog)
    assert message.startswith(f"MLflow at {server.uri} failed; the run goes on without it")
    assert_same_weights(folder, finished)


# Without the folder


def test_a_folder_that_is_gone_midway(finished: Path, tmp_path: Path) -> None:
    """A file is in its place, as when what it was mounted from has changed; then it is back."""
    elsewhere = tmp_path / "elsewhere"

    def take_away(line: str) -> None:
        if line.startswith("epoch 1/"):
            (folder,) = (tmp_path / "runs").iterdir()
            folder.rename(elsewhere)
            folder.touch()

    folder, message = stopped(small_config(tmp_path), take_away)
    assert message.startswith("epoch 2 could not be saved: [Errno 20] Not a directory")
    assert message.endswith(f"The last good checkpoint stands; make room, then resume {folder}")
    folder.unlink()
    elsewhere.rename(folder)
    assert load_checkpoint(folder / LAST)["epoch"] == 1
    resume(folder, quiet)
    assert_same_run(folder, finished)


def test_a_folder_made_read_only_midway(finished: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    writable = os.access(tmp_path, os.W_OK)
    tmp_path.chmod(0o700)
    if writable:
        pytest.skip("who runs this may write everywhere; the next test stands in for it")

    def protect(line: str) -> None:
        if line.startswith("epoch 1/"):
            next((tmp_path / "runs").iterdir()).chmod(0o500)

    folder, message = stopped(small_config(tmp_path), protect)
    assert message.startswith("epoch 2 could not be saved: [Errno 13] Permission denied")
    assert load_checkpoint(folder / LAST)["epoch"] == 1
    folder.chmod(0o700)
    resume(folder, quiet)
    assert_same_run(folder, finished)


def test_a_disk_made_read_only_midway(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a system does with a disk that has errors: nothing can be opened for writing, moved or deleted."""

    def protect(line: str) -> None:
        if line.startswith("epoch 1/"):
            for owner, name in ((Path, "open"), (Path, "unlink"), (os, "replace")):
                monkeypatch.setattr(owner, name, refuse(getattr(owner, name)))

    def refuse(function: Callable[..., Any]) -> Callable[..., Any]:
        def refusing(*arguments: Any, **options: Any) -> Any:
            if str(arguments[0]).endswith(".part"):
                raise OSError(errno.EROFS, "Read-only file system", str(arguments[0]))
            return function(*arguments, **options)

        return refusing

    folder, message = stopped(small_config(tmp_path), protect)
    monkeypatch.undo()
    assert message.startswith("epoch 2 could not be saved: [Errno 30] Read-only file system")
    assert load_checkpoint(folder / LAST)["epoch"] == 1
    resume(folder, quiet)
    assert_same_weights(folder, finished)


# For long


def soak(config: Config, file: Path) -> None:
    """Trains and notes the resident memory after every epoch, in MiB."""
    this = psutil.Process()

    def note(line: str) -> None:
        if line.startswith("epoch"):
            with file.open("a") as notes:
                notes.write(f"{this.memory_info().rss / 2**20}\n")

    train(config, note)


def test_memory_does_not_grow(tmp_path: Path, start: Callable[..., Any]) -> None:
    """Over 2,000 steps, in a process of its own: resident memory at the end and after 500 of them."""
    sizes = ("model.channels=[4]", "data.window=8", "loss.intervals=[2]", *seen("fixed"))
    config = small_config(tmp_path, *sizes, "train.epochs=20", "train.steps_per_epoch=100")
    process = start(soak, config, tmp_path / "notes")
    process.join()
    assert process.exitcode == 0
    resident = [float(line) for line in (tmp_path / "notes").read_text().split()]
    assert len(resident) == 20
    # Pools of PyTorch and the C library grow once or twice by some MiB; 5 KiB per step would be 7 MiB.
    assert resident[-1] - resident[4] < 7, resident
