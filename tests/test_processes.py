"""Training in several processes: the same run as in one, and one end for all."""

import dataclasses
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed import TCPStore

from gcnpose import cli, processes, run
from gcnpose.checkpoint import load_checkpoint, restore_model
from gcnpose.cli import main
from gcnpose.config import load_config
from gcnpose.data.draws import Draws
from gcnpose.data.windows import Batch, DrawnWindows
from gcnpose.errors import InputError, StoppedError
from gcnpose.processes import ALONE, Processes, joined
from gcnpose.run import LAST, resume, train
from tests.experiments import seen, small_experiment
from tests.motions import small_motion
from tests.runs import quiet

TRAIN_TOOL = Path(__file__).resolve().parents[1] / "tools" / "train.py"
NOISE = ("data.keypoints.noise.scale=1", "data.keypoints.noise.swap_rate=0.3", "model.input_channels=3")
NO_DROPOUT = ("model.dropout=0", "train.batch_size=4", "train.steps_per_epoch=2")

Prepare = Callable[[int], None]

pytestmark = pytest.mark.usefixtures("no_pictures")


def nothing(rank: int) -> None:
    """Prepares nothing in a process."""


def _process(rank: int, port: int, output: Path, arguments: Sequence[str], prepare: Prepare) -> None:
    """One of two processes as torchrun starts them, but faster, since everything is imported already."""
    environment = {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": 2}
    address = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    os.environ.update({name: str(value) for name, value in {**environment, **address}.items()})
    file = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    run._Run._draw = lambda self, model, views, path: path.touch()  # type: ignore[method-assign]
    processes._DEFERENCE_SECONDS = 1.0
    prepare(rank)
    status = main(["train", *arguments])
    sys.stdout.flush()
    sys.exit(status)


class Pair:
    """Two processes that train together."""

    def __init__(self, folder: Path, context: Any, arguments: Sequence[str], prepare: Prepare) -> None:
        self.store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        self.outputs = [folder / f"output of {rank}" for rank in range(2)]
        self.processes = [
            context.Process(target=_process, args=(rank, self.store.port, output, arguments, prepare))
            for rank, output in enumerate(self.outputs)
        ]
        for process in self.processes:
            process.start()

    def end(self, seconds: float = 120.0) -> list[int]:
        """Their exit statuses, once both have ended."""
        until = time.monotonic() + seconds
        for process in self.processes:
            process.join(until - time.monotonic())
        return [process.exitcode for process in self.processes]

    def wait_for(self, beginning: str, seconds: float = 120.0) -> None:
        """Until the first process has said a line that begins so."""
        until = time.monotonic() + seconds
        while not any(line.startswith(beginning) for line in self.outputs[0].read_text().splitlines()):
            assert time.monotonic() < until
            time.sleep(0.02)

    def messages(self) -> list[str]:
        """What all of them say of their end, and whatever else is no line of progress."""
        lines = [line for said in self.said() for line in said]
        progress = r"\S+: [\d,]+ parameters, |epoch \d|no validation subjects|half of the bones change"
        return [line for line in lines if not re.match(progress, line)]

    def said(self) -> list[list[str]]:
        """The lines of each."""
        return [path.read_text().splitlines() for path in self.outputs]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Pair]]:
    """Starts two processes with the command's arguments, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gcnpose.run", "gcnpose.viz.poses", "tests.test_processes"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # threads do not survive a fork
    pairs = []

    def start(*arguments: str, prepare: Prepare = nothing) -> Pair:
        pairs.append(Pair(tmp_path, context, arguments, prepare))
        return pairs[-1]

    yield start
    for pair in pairs:
        for process in pair.processes:
            process.kill()
            process.join()


def uneven_experiment(folder: Path) -> Path:
    """Three sequences to train on, two of them shorter than a window, so that frames are missing."""
    experiment = small_experiment(folder)
    motion = small_motion((40, 9, 13, 20), ("A", "B", "C", "D"))
    dataclasses.replace(motion, splits={"train": ("A", "B", "C"), "test": ("D",)}).save(folder / "motion.npz")
    return experiment


def the_run(experiment: Path) -> Path:
    (folder,) = (experiment.parent / "runs").iterdir()
    return folder


def losses(folder: Path) -> Tensor:
    """Shapes: (epochs, 3)"""
    history = load_checkpoint(folder / LAST)["history"]
    return torch.tensor(
        [[row[f"train/{name}"] for name in ("loss", "reconstruction", "motion")] for row in history]
    )


def trained(folder: Path) -> tuple[dict[str, Tensor], Tensor]:
    """Weights of the last epoch, and what the network makes of some 2D by the statistics of that.

    Without biases before a batch norm: it takes them off again, so their gradients are nothing but rounding
    errors, which Adam scales up to steps of full length.
    """
    _, _, network = restore_model(load_checkpoint(folder / LAST), folder)
    free = r"(lin|temporal|shortcut\.0)\.bias"
    weights = {name: weight for name, weight in network.named_parameters() if not re.search(free, name)}
    keypoints_2d = torch.randn(4, 32, 17, network.input_channels, generator=torch.Generator().manual_seed(0))
    return weights, network.train()(keypoints_2d)


def assert_same_run(folder: Path, other: Path) -> None:
    torch.testing.assert_close(losses(folder), losses(other), rtol=1e-4, atol=1e-6)
    (ours, lifted), (theirs, expected) = trained(folder), trained(other)
    torch.testing.assert_close(lifted, expected, rtol=0, atol=2e-4)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-3)


def in_one(experiment: Path, *overrides: str) -> Path:
    """The run of one process, in a folder of its own."""
    output = f"output={experiment.parent / 'one'}"
    return train(load_config(experiment, [*overrides, output]), quiet)


# The same run


@pytest.mark.parametrize(
    "changes",
    [
        ("data.views=drawn", "data.augment.body_scale=0.1", "train.gradient_clip=1"),
        (*seen("fixed"), "train.fixed_input_statistics=false", *NOISE),
        ("train.optimizer=muon", "train.learning_rate=0.005", "model.channels=[16, 32]"),
    ],
    ids=["drawn", "fixed with noise", "muon"],
)
def test_the_curve_of_one_process(
    changes: tuple[str, ...], tmp_path: Path, start: Callable[..., Pair]
) -> None:
    experiment = uneven_experiment(tmp_path)
    settings = (*NO_DROPOUT, "train.epochs=12", *changes)
    pair = start(str(experiment), *settings)
    expected = in_one(experiment, *settings)
    assert pair.end() == [0, 0], pair.said()
    assert len(losses(expected)) * 2 == 24
    assert_same_run(the_run(experiment), expected)


def test_batch_norms_that_are_not_synchronized(tmp_path: Path, start: Callable[..., Pair]) -> None:
    experiment = uneven_experiment(tmp_path)
    settings = (*NO_DROPOUT, "train.epochs=3", "train.synchronized_batch_norm=false")
    pair = start(str(experiment), *settings)
    expected = losses(in_one(experiment, *settings))
    assert pair.end() == [0, 0], pair.said()
    ours = losses(the_run(experiment))
    assert ours.isfinite().all()
    assert (ours - expected).abs().max() > 3e-4


# Going on with another number of processes


def stop_after(epoch: int) -> Callable[[str], None]:
    def say(line: str) -> None:
        if line.startswith(f"epoch {epoch}/"):
            raise KeyboardInterrupt

    return say


def test_two_go_on_where_one_stopped(
    tmp_path: Path, start: Callable[..., Pair], monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = uneven_experiment(tmp_path)
    settings = (*NO_DROPOUT, "train.epochs=6")
    with pytest.raises(StoppedError):
        train(load_config(experiment, settings), stop_after(2))
    folder = the_run(experiment)
    monkeypatch.chdir(tmp_path)
    pair = start("--resume", prepare=partial(work_in, tmp_path))  # the newest in runs/
    expected = in_one(experiment, *settings)
    assert pair.end() == [0, 0], pair.said()
    assert the_run(experiment) == folder
    assert_same_run(folder, expected)
    (line, *_), nothing_at_all = pair.said()
    assert line.startswith(f"runs/{folder.name}: ")
    assert line.endswith(", 4 epochs on cpu in fp32 of 2 processes")
    assert nothing_at_all == []


def work_in(folder: Path, rank: int) -> None:
    """And only the first process may look for the newest run: another one could find a newer."""
    os.chdir(folder)
    if rank > 0:
        run.newest_run = None  # type: ignore[assignment]


def test_one_goes_on_where_two_were_ended(tmp_path: Path, start: Callable[..., Pair]) -> None:
    """By SIGTERM to each, which is what torchrun does when it is ended itself."""
    experiment = uneven_experiment(tmp_path)
    settings = (*NO_DROPOUT, "train.epochs=6")
    pair = start(str(experiment), *settings, prepare=partial(on_batch, 9, None, "wait"))
    expected = in_one(experiment, *settings)
    pair.wait_for("epoch 4/6")
    for process in pair.processes:
        process.terminate()
    assert pair.end() == [1, 1]
    folder = the_run(experiment)
    message = f"gcnpose: interrupted; `train --resume {folder}` goes on from the last checkpoint"
    assert pair.messages() == [message]
    assert load_checkpoint(folder / LAST)["epoch"] == 4
    resume(folder, quiet)
    assert_same_run(folder, expected)


# What goes wrong


def on_batch(number: int, where: int | None, what: str, rank: int) -> None:
    """Something happens to a process, or to all, as it takes a batch; the first one is for statistics."""
    if where not in (None, rank):
        return
    take, taken = DrawnWindows.batch, []

    def batch(self: DrawnWindows, indices: Tensor, draws: Draws) -> Batch:
        windows = take(self, indices, draws)
        taken.append(1)
        if len(taken) == number + 1:
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            elif what == "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            elif what == "raise":
                raise ValueError("out of luck")
            elif what == "wait":
                time.sleep(100)
            else:
                windows.pose_3d[0, 0, 0, 0] = torch.nan
        return windows

    DrawnWindows.batch = batch  # type: ignore[method-assign]


DIED = "rank 1 died without a word, .* `train --resume` goes on from the last checkpoint"
OUT_OF_LUCK = "ValueError: out of luck"
NOT_FINITE = r"the loss is not finite at step 2 \(epoch 2\), .*; the batch was from A/swing 1.*"


@pytest.mark.parametrize(
    ("where", "what", "statuses", "message"),
    [
        (1, "kill", [1, -9], DIED),
        (1, "raise", [1, 1], f"rank 1: {OUT_OF_LUCK}"),
        (None, "raise", [1, 1], f"rank [01]: {OUT_OF_LUCK}"),
        (1, "nan", [1, 1], NOT_FINITE),
    ],
)
def test_one_end_and_one_message(
    where: int | None,
    what: str,
    statuses: list[int],
    message: str,
    tmp_path: Path,
    start: Callable[..., Pair],
) -> None:
    experiment = uneven_experiment(tmp_path)
    pair = start(str(experiment), *NO_DROPOUT, prepare=partial(on_batch, 3, where, what))
    assert pair.end() == statuses
    (said,) = pair.messages()
    assert re.fullmatch(f"gcnpose: {message}", said), said
    assert load_checkpoint(the_run(experiment) / LAST)["epoch"] == 1


def fails_to_save(rank: int) -> None:
    """The disk of the first process is full, and the other one is at work."""

    def save(path: Path, content: Any) -> None:
        raise OSError(28, "No space left on device")

    run.save_checkpoint = save


def test_a_checkpoint_that_cannot_be_written(tmp_path: Path, start: Callable[..., Pair]) -> None:
    pair = start(str(uneven_experiment(tmp_path)), *NO_DROPOUT, prepare=fails_to_save)
    assert pair.end() == [1, 1]
    (said,) = pair.messages()
    assert said.startswith("gcnpose: epoch 1 could not be saved: [Errno 28] No space left on device. ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("train.batch_size=3", "train.batch_size: expected a multiple of the 2 processes, .*, came 3"),
        ("trian.epochs=3", "override 'trian.epochs=3': trian: unknown key, did you mean train\\?"),
        ("device=cuda:0", "device: expected auto, cpu or cuda, .*, came cuda:0"),
    ],
)
def test_input_that_no_process_can_use(
    change: str, message: str, tmp_path: Path, start: Callable[..., Pair]
) -> None:
    pair = start(str(small_experiment(tmp_path)), change)
    assert pair.end() == [2, 2], pair.said()
    (said,), nothing_at_all = pair.said()
    assert re.fullmatch(f"gcnpose: {message}", said), said
    assert nothing_at_all == []
    assert not (tmp_path / "runs").exists()


def lacks_the_motion(rank: int) -> None:
    if rank == 1:
        run.build_motion = no_motion


def no_motion(*_: Any) -> None:
    raise InputError("motion.npz: no such file")


def test_input_that_one_process_lacks(tmp_path: Path, start: Callable[..., Pair]) -> None:
    """As on a second machine that does not see the file; no run folder is left behind."""
    pair = start(str(small_experiment(tmp_path)), prepare=lacks_the_motion)
    assert pair.end() == [1, 2]
    assert pair.messages() == ["gcnpose: rank 1: motion.npz: no such file"]
    assert not (tmp_path / "runs").exists()


def test_only_the_first_tells_of_wrong_arguments(start: Callable[..., Pair]) -> None:
    pair = start("--bogus", prepare=in_no_hurry)
    assert pair.end() == [2, 2]
    (usage, *_, error), nothing_at_all = pair.said()
    assert usage.startswith("usage: gcnpose train")
    assert error == "gcnpose train: error: unrecognized arguments: --bogus"
    assert nothing_at_all == []


def in_no_hurry(rank: int) -> None:
    cli.time.sleep = lambda seconds: None


@pytest.mark.parametrize("rank", [0, 1])
def test_other_commands_run_in_one_process(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", f"{rank}")
    monkeypatch.setattr(cli.time, "sleep", lambda seconds: None)
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate", "runs/some"])
    told = "error: only train runs in several processes, not evaluate" in capsys.readouterr().err
    assert told == (rank == 0)


def be_soon_worried(rank: int) -> None:
    """And the other one stops for good without ending."""
    processes._SILENCE_SECONDS = 2.0
    on_batch(3, 1, "stop", rank)


def test_a_process_that_is_silent(tmp_path: Path, start: Callable[..., Pair]) -> None:
    """Its machine may be gone: nothing was heard, and no connection was closed."""
    pair = start(str(uneven_experiment(tmp_path)), *NO_DROPOUT, prepare=be_soon_worried)
    pair.processes[0].join(60)
    assert pair.processes[0].exitcode == 1
    (said,) = pair.messages()
    assert said.startswith("gcnpose: rank 1 was not heard of for 2 s; `train --resume` goes on from")


# As torchrun starts them


def test_torchrun(tracking_uri: str, tmp_path: Path) -> None:
    """One run folder, one run in MLflow, the lines of one process."""
    from mlflow import MlflowClient

    experiment = uneven_experiment(tmp_path)
    tracking = ("tracking.enabled=true", f"tracking.uri={tracking_uri}", "tracking.system_metrics=false")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += [str(TRAIN_TOOL), str(experiment), *NO_DROPOUT, "train.epochs=2", *tracking]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    folder = the_run(experiment)
    assert len(losses(folder)) == 2
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("epoch ")] == lines[3:5]
    client = MlflowClient(tracking_uri)
    (logged,) = client.search_runs([client.get_experiment_by_name("gcnpose").experiment_id])
    assert (logged.info.run_name, logged.info.status) == (folder.name, "FINISHED")
    assert load_checkpoint(folder / LAST)["mlflow_run"] == logged.info.run_id


# One process


def test_one_process_does_nothing_together() -> None:
    values = torch.arange(3.0)
    assert ALONE.is_first
    assert ALONE.part(7) == slice(0, 7)
    assert ALONE.mean(values) is values
    assert torch.equal(ALONE.gather(values), values[None])
    assert ALONE.of_first(lambda: "made") == "made"
    network = torch.nn.Linear(1, 1)
    assert ALONE.distribute(network) is network
    ALONE.wait()


def test_parts_cover_a_batch() -> None:
    parts = [Processes(rank, 3).part(12) for rank in range(3)]
    assert [list(range(12))[part] for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_what_is_done_after_a_failure_is_not_interrupted() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT)
    handlers = [signal.getsignal(number) for number in numbers]
    try:
        with pytest.raises(ValueError, match="first"), Processes(0, 2).undisturbed_end():
            assert [signal.getsignal(number) for number in numbers] == handlers
            raise ValueError("first")
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)


def test_without_torchrun_an_error_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    with pytest.raises(ValueError, match=r"^of its own$"), joined() as alone:
        assert alone == ALONE
        raise ValueError("of its own")
