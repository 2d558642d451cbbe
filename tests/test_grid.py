"""Experiments run step by step: done ones left alone, failed and interrupted ones taken up again, shards."""

import contextlib
import io
import json
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from gcnpose import grid, run
from gcnpose.checkpoint import load_checkpoint
from gcnpose.cli import main
from gcnpose.errors import InputError, RunError
from gcnpose.experiment import Experiment, Step, load_experiment, make_plan
from gcnpose.grid import LOG, RESULT, duration, run_experiment, start_process
from gcnpose.processes import ALONE
from gcnpose.tracking import Tracker
from tests.experiments import small_experiment
from tests.motions import small_motion

ROWS = [
    {"name": "cross", "overrides": ["loss.operators=[cross]"], "published": [27.1, None, None]},
    {"name": "inner", "overrides": ["loss.operators=[inner]"]},
]
TRAINED = [{"name": interval, "overrides": [f"loss.intervals=[{interval}]"]} for interval in ("2", "4")]
EVALUATED = [{"name": "plain"}, {"name": "noisy", "evaluate": ["data.keypoints.noise.scale=9"]}]
FASTER = ["train.epochs=2", "train.validate_every=2", "train.fixed_input_statistics=false"]


@pytest.fixture(autouse=True)
def no_plots(no_pictures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnpose.results._draw", lambda experiment, entries, path: path.touch())


class Ended:
    """A process that has ended."""

    def __init__(self, status: int) -> None:
        self.status = status

    def poll(self) -> int | None:
        return self.status

    def send_signal(self, number: int, /) -> None:
        raise AssertionError("it has ended")

    def wait(self, timeout: float | None = None) -> int:
        return self.status

    def kill(self) -> None:
        raise AssertionError("it has ended")


class InProcess:
    """Runs the commands here, one after another, and notes the steps."""

    def __init__(self, fails: Sequence[str] = ()) -> None:
        self.steps: list[str] = []
        self.fails = fails

    def __call__(self, arguments: Sequence[str], step: Step, beside: int) -> Ended:
        self.steps.append(step.name)
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            if step.name in self.fails:
                print("gcnpose: it was to fail\n")
            status = 1 if step.name in self.fails else main(list(arguments))
        (step.folder / LOG).write_text(output.getvalue())
        return Ended(status)


def write(folder: Path, columns: Any = TRAINED, *changes: str, **settings: Any) -> Experiment:
    """A grid of two rows in the folder."""
    rows = [{**row, "published": row.get("published", [])[: len(columns)]} for row in ROWS]
    content = {"name": "grid", "title": "T", "base": str(small_experiment(folder)), "rows": rows}
    content |= {"columns": columns, "overrides": [*FASTER, "train.learning_rate=0.2"], **settings}
    (folder / "grid.yaml").write_text(yaml.safe_dump(content))
    return load_experiment(folder / "grid.yaml", changes)


def go(
    experiment: Experiment, folder: Path, launch: Any = None, **settings: Any
) -> tuple[list[str], list[str]]:
    """Runs it; gives the steps that were run, and the lines that were said."""
    launch, said = launch or InProcess(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grid, "start_process", launch)
        run_experiment(experiment, "the command", results=folder / "results", say=said.append, **settings)
    return launch.steps, said


def score(folder: Path, step: str) -> str:
    """MPJPE in a step's report, as a table shows it."""
    report = json.loads((folder / "runs" / "grid" / step / "report.json").read_text())
    return f"{report['mean_over_frames']['mpjpe_mm']:.1f}"


def table(folder: Path) -> list[list[str]]:
    """Rows of the first table."""
    lines = (folder / "results" / "grid.md").read_text().split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines[2:]]


STEPS = ["cross-2-seed0", "cross-4-seed0", "inner-2-seed0", "inner-4-seed0"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the grid has been run, without MLflow."""
    folder = tmp_path_factory.mktemp("finished")
    steps, said = go(write(folder), folder)
    assert steps == STEPS
    assert said[0].startswith(f"cell 1/4 cross 2 seed 0: MPJPE {score(folder, STEPS[0])}, ")
    assert " left" in said[0] and " left" not in said[3]
    return folder


def copy(finished: Path, folder: Path) -> Experiment:
    """The same, in a folder of one's own."""
    shutil.copytree(finished, folder, dirs_exist_ok=True)
    return write(folder)


# A grid from beginning to end


def test_the_table_has_the_figures_of_the_reports(finished: Path) -> None:
    assert table(finished) == [
        ["cross", score(finished, STEPS[0]), score(finished, STEPS[1])],
        ["cross, published", "27.1", "-"],
        ["inner", score(finished, STEPS[2]), score(finished, STEPS[3])],
    ]
    assert len({cell for row in table(finished) for cell in row[1:]}) == 6
    names = {path.name for path in (finished / "results").iterdir()}
    assert names == {f"grid{suffix}" for suffix in (".csv", ".md", ".tex", ".png")}
    result = json.loads((finished / "runs" / "grid" / STEPS[0] / RESULT).read_text())
    assert result["command"] == "the command"
    notes = (finished / "results" / "grid.md").read_text()
    assert "trained on motion.npz, 2 epochs of 4 steps, 2 windows of 16 frames a step; seed 0" in notes


def test_finished_cells_are_left_alone(finished: Path, tmp_path: Path) -> None:
    experiment = copy(finished, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")}
    steps, said = go(experiment, tmp_path)
    assert steps == []
    assert said[0] == "4 of 4 cells are done already"
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*")} == before
    assert table(tmp_path) == table(finished)


def test_another_seed_and_another_cell_are_all_that_is_run(finished: Path, tmp_path: Path) -> None:
    copy(finished, tmp_path)
    (tmp_path / "results").rename(tmp_path / "old")
    narrow = write(tmp_path, TRAINED[:1], "seeds=[0, 1]")
    steps, said = go(narrow, tmp_path)
    assert steps == ["cross-2-seed1", "inner-2-seed1"]
    assert said[0] == "2 of 4 cells are done already"
    assert "±" in table(tmp_path)[0][1]
    wide = [*TRAINED, {"name": "8", "overrides": ["loss.intervals=[8]"]}]
    steps, said = go(write(tmp_path, wide), tmp_path)
    assert steps == ["cross-8-seed0", "inner-8-seed0"]
    assert said[0] == "4 of 6 cells are done already"


def test_evaluations_use_the_training_they_share(tmp_path: Path) -> None:
    steps, _ = go(write(tmp_path, EVALUATED, metrics=["keypoints_error_px"]), tmp_path)
    assert steps == ["cross-seed0", "cross-seed0/cross-noisy", "inner-seed0", "inner-seed0/inner-noisy"]
    error = json.loads((tmp_path / "runs" / "grid" / steps[1] / "report.json").read_text())[
        "keypoints_error_px"
    ]
    assert error > 1
    assert table(tmp_path)[::2] == [[name, "0.0", f"{error:.1f}"] for name in ("cross", "inner")]
    noisier = [EVALUATED[0], {"name": "noisy", "evaluate": ["data.keypoints.noise.scale=3"]}]
    shutil.rmtree(tmp_path / "results")
    steps, _ = go(write(tmp_path, noisier), tmp_path)
    assert steps == ["cross-seed0/cross-noisy", "inner-seed0/inner-noisy"], "anew, and no training"


# Failures


def test_a_failed_cell_is_reported_and_the_rest_carried_on(tmp_path: Path) -> None:
    experiment = write(tmp_path, rows=ROWS[1:])
    failing = InProcess(fails=[STEPS[3]])
    with pytest.raises(RunError, match=r"^1 of 2 cells failed: inner-4-seed0: it was to fail$"):
        go(experiment, tmp_path, failing)
    assert failing.steps == STEPS[2:]
    assert table(tmp_path)[0] == ["inner", score(tmp_path, STEPS[2]), "failed"]
    assert "- failed: inner 4 seed 0: it was to fail" in (tmp_path / "results" / "grid.md").read_text()
    steps, _ = go(experiment, tmp_path)
    assert steps == [STEPS[3]]
    assert table(tmp_path)[0] == ["inner", score(tmp_path, STEPS[2]), score(tmp_path, STEPS[3])]


def test_evaluations_fail_with_their_training(tmp_path: Path) -> None:
    columns = [*EVALUATED, {"name": "step", "evaluate": ["evaluation.step=1"]}]
    experiment = write(tmp_path, columns, rows=ROWS[:1])
    failing = InProcess(fails=["cross-seed0"])
    with pytest.raises(
        RunError, match=r"^3 of 3 cells failed: cross-seed0: it was to fail; cross-seed0/cross-noisy: its"
    ):
        go(experiment, tmp_path, failing)
    assert failing.steps == ["cross-seed0"]
    assert not (tmp_path / "results" / "grid.png").exists()
    failing = InProcess(fails=["cross-seed0/cross-noisy"])
    with pytest.raises(RunError, match=r"^1 of 3 cells failed: cross-seed0/cross-noisy: it was to fail$"):
        go(experiment, tmp_path, failing)
    assert failing.steps == ["cross-seed0", "cross-seed0/cross-noisy", "cross-seed0/cross-step"]
    assert table(tmp_path)[0][2] == "failed"


def test_a_killed_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = write(tmp_path, TRAINED[:1], rows=ROWS[1:])

    def kill(arguments: Sequence[str], step: Step, beside: int) -> Ended:
        return Ended(-signal.SIGKILL)

    monkeypatch.setattr(grid, "start_process", kill)
    with pytest.raises(RunError, match=r"inner-2-seed0: ended by signal 9 \(SIGKILL\)$"):
        run_experiment(experiment, "", results=tmp_path, say=lambda line: None)


def test_a_cell_that_another_process_works_on(tmp_path: Path) -> None:
    experiment = write(tmp_path, TRAINED[:1], rows=ROWS[1:])
    folder = tmp_path / "runs" / "grid" / "inner-2-seed0"
    folder.mkdir(parents=True)
    with (
        run._alone_in(folder, ALONE),
        pytest.raises(RunError, match=rf"inner-2-seed0: {folder}: another process trains there$"),
    ):
        run_experiment(experiment, "", results=tmp_path, say=lambda line: None)


# Interruptions


def test_an_interrupted_cell_goes_on(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own, as it is outside of tests, is stopped in the midst of its training."""
    copy(finished, tmp_path)
    shutil.rmtree(tmp_path / "runs" / "grid" / STEPS[2])
    shutil.rmtree(tmp_path / "runs" / "grid" / STEPS[3])
    experiment = write(tmp_path)
    folder = tmp_path / "runs" / "grid" / STEPS[2]

    def start(arguments: Sequence[str], step: Step, beside: int) -> Any:
        assert arguments[:3] == ["train", "--resume", str(folder)]
        # Epochs for hours: it ends by the signal or not at all.
        config = (folder / "config.yaml").read_text()
        (folder / "config.yaml").write_text(config.replace("epochs: 2", "epochs: 100000"))
        return start_process(arguments, step, beside)

    def show(self: Any) -> None:
        if (folder / "last.pt").exists():
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background of a shell's script
    with monkeypatch.context() as stopping:
        stopping.setattr(grid._Grid, "_show", show)
        stopping.setattr(grid, "start_process", start)
        with pytest.raises(RunError, match=r"^interrupted; the same command goes on$"):
            run_experiment(experiment, "", results=tmp_path, say=lambda line: None)
    assert signal.signal(signal.SIGINT, signal.default_int_handler) == signal.SIG_IGN
    assert "gcnpose: interrupted; `train --resume " in (folder / LOG).read_text()
    with run._alone_in(folder, ALONE):  # nothing runs there any more
        pass
    assert not (folder / RESULT).exists()

    # As if it had been stopped after the first of two epochs.
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "results")
    train_epoch, trained = run._Run._train_epoch, []

    def stop(self: Any, epoch: int, *arguments: Any) -> None:
        train_epoch(self, epoch, *arguments)
        trained.append(epoch)
        if len(trained) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(run._Run, "_train_epoch", stop)
    with pytest.raises(RunError, match=f"^1 of 4 cells failed: {STEPS[2]}: interrupted; "):
        go(experiment, tmp_path)
    assert trained == [0, 0, 1]
    steps, _ = go(experiment, tmp_path)
    assert (steps, trained) == ([STEPS[2]], [0, 0, 1, 1])
    one, other = (
        load_checkpoint(place / "runs" / "grid" / STEPS[2])["model"] for place in (tmp_path, finished)
    )
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert table(tmp_path) == table(finished)


def test_what_stands_in_the_results_is_not_trained_again(finished: Path, tmp_path: Path) -> None:
    """Of whichever experiment: without a folder of a run, and with another one's name."""
    shutil.copytree(finished / "results", tmp_path / "results")
    steps, said = go(write(tmp_path, name="other"), tmp_path)
    assert (steps, said[0]) == ([], "4 of 4 cells are done already")
    written = [(tmp_path / "results" / f"{name}.csv").read_text() for name in ("grid", "other")]
    assert written[0] == written[1]
    changed = write(tmp_path, TRAINED, "train.batch_size=3", name="changed")
    assert go(changed, tmp_path)[0] == STEPS


def test_evaluations_use_the_training_of_another_experiment(tmp_path: Path) -> None:
    go(write(tmp_path, EVALUATED[:1]), tmp_path)
    steps, _ = go(write(tmp_path, EVALUATED, name="other"), tmp_path)
    assert steps == ["cross-seed0/cross-noisy", "inner-seed0/inner-noisy"]
    assert not (tmp_path / "runs" / "other" / "cross-seed0" / "best.pt").exists()


def test_results_are_of_one_motion_and_no_other(finished: Path, tmp_path: Path) -> None:
    """A motion file of the same name and other content is trained on; what is not a table is passed over."""
    shutil.copytree(finished / "results", tmp_path / "results")
    (tmp_path / "results" / "folder.csv").mkdir()
    (tmp_path / "results" / "other.csv").write_text("row\n" + "x" * 200_000)
    experiment = write(tmp_path, name="other-motion")
    small_motion(frames=(40, 40, 41)).save(tmp_path / "motion.npz")
    assert go(experiment, tmp_path)[0] == STEPS


def test_other_seeds_stay(finished: Path, tmp_path: Path) -> None:
    experiment = copy(finished, tmp_path)
    before = (tmp_path / "results" / "grid.csv").read_text()
    steps, _ = go(write(tmp_path, TRAINED, "seeds=[1]"), tmp_path)
    assert len(steps) == 4
    assert "±" in table(tmp_path)[0][1]
    lines = (tmp_path / "results" / "grid.csv").read_text().splitlines()
    assert lines[:1] + lines[5:] == before.splitlines()
    assert go(experiment, tmp_path)[0] == []
    assert (tmp_path / "results" / "grid.csv").read_text().splitlines() == lines[:1] + lines[5:] + lines[1:5]


def test_other_seeds_of_another_command_stay(finished: Path, tmp_path: Path) -> None:
    """That was at work at the same time."""
    shutil.copytree(finished / "results", tmp_path / "results")
    ended = (tmp_path / "results" / "grid.csv").read_text()
    (tmp_path / "results" / "grid.csv").unlink()

    class Beside(InProcess):
        def __call__(self, arguments: Sequence[str], step: Step, beside: int) -> Ended:
            (tmp_path / "results" / "grid.csv").write_text(ended)
            return super().__call__(arguments, step, beside)

    go(write(tmp_path, TRAINED, "seeds=[1]"), tmp_path, Beside())
    assert (tmp_path / "results" / "grid.csv").read_text().splitlines()[5:] == ended.splitlines()[1:]


def test_a_result_outlives_a_training_that_is_done_again(tmp_path: Path) -> None:
    """For another evaluation, since the folder is gone; it fails."""
    go(write(tmp_path, EVALUATED[:1]), tmp_path)
    shutil.rmtree(tmp_path / "runs")
    ((_, before),) = [row for row in table(tmp_path) if row[0] == "cross"]
    failing = InProcess(fails=["cross-seed0"])
    with pytest.raises(
        RunError, match=r"^2 of 4 cells failed: cross-seed0: it was to fail; cross-seed0/cros"
    ):
        go(write(tmp_path, EVALUATED), tmp_path, failing)
    assert table(tmp_path)[0] == ["cross", before, "failed"]


@pytest.mark.parametrize("damage", ["<<<<<<< HEAD", "cross,4,0,fifty"])
def test_no_result_is_lost(finished: Path, tmp_path: Path, damage: str) -> None:
    """Neither those of other settings nor those of a damaged file."""
    shutil.copytree(finished / "results", tmp_path / "results")
    path = tmp_path / "results" / "grid.csv"
    text = path.read_text()
    with pytest.raises(
        InputError, match=r"grid.csv: made with other settings or motion: cross 2 seed 0, cro"
    ):
        go(write(tmp_path, TRAINED, "train.epochs=3"), tmp_path)
    with pytest.raises(
        InputError, match=r"grid.csv: of cells that the experiment does not have: cross 4 seed 0, inner 4"
    ):
        go(write(tmp_path, TRAINED[:1]), tmp_path)
    first, *others = text.splitlines()
    for name in ("grid.csv", "other.csv"):
        damaged = "\n".join([first, damage, *others])
        path.with_name(name).write_text(damaged)
        with pytest.raises(InputError, match=f"{name}: damaged, or not the results of an experiment"):
            go(write(tmp_path), tmp_path)
        assert path.with_name(name).read_text() == damaged
        path.write_text(text)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("setting", ["--results", "output"])
def test_where_nothing_can_be_written(tmp_path: Path, setting: str) -> None:
    (tmp_path / "file").touch()
    if setting == "output":
        experiment = write(tmp_path, TRAINED, f"output={tmp_path}/file")
        with pytest.raises(
            InputError, match=f"^output: {tmp_path}/file/grid cannot be made: Not a directory"
        ):
            go(experiment, tmp_path)
        assert not list((tmp_path / "results").iterdir())
    else:
        with pytest.raises(InputError, match=f"^--results: {tmp_path}/file/results cannot be made"):
            go(write(tmp_path), tmp_path / "file")


def test_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there are jobs, and an interruption reaches all of them."""
    experiment = write(tmp_path)
    signals: list[int] = []

    class Running(Ended):
        def poll(self) -> int | None:
            return None

        def send_signal(self, number: int, /) -> None:
            signals.append(number)

    def interrupt(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(grid._Grid, "_show", interrupt)
    monkeypatch.setattr(grid, "start_process", lambda arguments, step, beside: Running(0))
    with pytest.raises(RunError, match=r"^interrupted"):
        run_experiment(experiment, "", 3, results=tmp_path, say=lambda line: None)
    assert signals == [signal.SIGINT] * 3


# What is in the way


def test_a_folder_with_other_settings(finished: Path, tmp_path: Path) -> None:
    copy(finished, tmp_path)
    with pytest.raises(InputError) as caught:
        go(write(tmp_path, TRAINED, "train.epochs=3", "model.dropout=0.1"), tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert lines[0] == (
        f"{tmp_path}/runs/grid/{STEPS[0]}: trained with other settings: "
        "model.dropout was the default, is 0.1; train.epochs was 2, is 3"
    )
    assert lines[4].startswith("Another name=... begins a new experiment")
    elsewhere = write(tmp_path, TRAINED, "device=auto", f"data.path={tmp_path}/../{tmp_path.name}/motion.npz")
    assert go(elsewhere, tmp_path)[0] == [], "where it lies and where it runs is no other setting"


def test_motion_that_has_moved(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on or is evaluated looks where the motion is now, not where it was at the training."""
    copy(finished, tmp_path)
    (tmp_path / "runs" / "grid" / STEPS[0] / RESULT).unlink()  # interrupted before its score
    shutil.rmtree(tmp_path / "results")
    columns = [TRAINED[0], {**TRAINED[0], **EVALUATED[1]}]
    experiment = write(tmp_path, columns, f"data.path={tmp_path / 'moved' / 'motion.npz'}")
    (tmp_path / "moved").mkdir()
    (tmp_path / "motion.npz").rename(tmp_path / "moved" / "motion.npz")
    (finished / "motion.npz").rename(finished / "away.npz")
    try:
        steps, _ = go(experiment, tmp_path)
    finally:
        (finished / "away.npz").rename(finished / "motion.npz")
    assert steps == [STEPS[0], f"{STEPS[0]}/cross-noisy", f"{STEPS[2]}/inner-noisy"]
    assert score(tmp_path, STEPS[0]) == score(finished, STEPS[0])


def test_the_time_left_after_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Epochs of an earlier session say nothing of how fast this one is."""
    experiment = write(tmp_path, TRAINED[:1])
    plan = make_plan(experiment)
    clock = iter([0.0, 60.0])
    monkeypatch.setattr(grid.time, "monotonic", lambda: next(clock))
    groups = [list(group) for group in plan.groups]
    monkeypatch.setattr(grid, "start_process", lambda *_: Ended(0))
    cells = grid._Grid(plan, groups, {}, "", 1, print, Tracker())
    folder = groups[0][0].folder
    folder.mkdir(parents=True)
    (folder / "history.csv").write_text("epoch\n1\n")
    cells.total, cells.before, cells.began = 2, 0, 0.0
    cells._start(groups[0])
    (folder / "history.csv").write_text("epoch\n1\n2\n")
    # Half a cell in a minute, and what is left is the other cell.
    assert cells._seconds_left() == pytest.approx(60 / 0.495 * (2 - 0.99))


def test_motion_that_is_not_there(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data\.path: nowhere/cmu\.npz: no such file; say where"):
        go(write(tmp_path, TRAINED, "data.path=nowhere/cmu.npz"), tmp_path)
    scored = [{"name": "other", "evaluate": ["data.path=nowhere/cmu.npz"]}]
    with pytest.raises(InputError, match=r"^data\.path: nowhere/cmu\.npz: no such file; say where"):
        go(write(tmp_path, scored), tmp_path)
    experiment = copy(finished, tmp_path)
    (tmp_path / "motion.npz").unlink()
    assert go(experiment, tmp_path)[0] == [], "where nothing is left to do, none is needed"


def test_a_store_that_cannot_be_reached(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/small.yaml"
    with pytest.raises(
        InputError, match=r"^MLflow at sqlite:.* cannot be used: .*; tracking\.enabled=false works"
    ):
        go(write(tmp_path, TRAINED, "tracking.enabled=true", f"tracking.uri={uri}"), tmp_path)
    assert not (tmp_path / "runs").exists()


# MLflow


def tracked(folder: Path, uri: str, columns: Any = TRAINED, *changes: str, **settings: Any) -> Experiment:
    store = [f"tracking.uri={uri}", "tracking.enabled=true", "tracking.system_metrics=false"]
    return write(folder, columns, *store, *changes, **settings)


def runs(uri: str) -> tuple[Any, list[Any]]:
    """The run of the experiment, and those of its steps from first to last."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    place = client.get_experiment_by_name("gcnpose").experiment_id
    found = client.search_runs([place], order_by=["attributes.start_time ASC"])
    (parent,) = [entry for entry in found if entry.data.tags.get("grid") == "grid"]
    children = [entry for entry in found if entry.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == len(found) - 1
    return parent, children


def test_runs_are_nested_in_that_of_the_experiment(tracking_uri: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    go(tracked(tmp_path, tracking_uri, EVALUATED), tmp_path)
    parent, children = runs(tracking_uri)
    assert (parent.info.run_name, parent.info.status) == ("grid", "FINISHED")
    names = ["cross", "cross noisy", "inner", "inner noisy"]
    assert [child.data.tags["cell"] for child in children] == names
    for child in children:
        assert (child.data.tags["experiment"], child.data.tags["seed"], child.info.status) == (
            "grid",
            "0",
            "FINISHED",
        )
    figures = [f"{child.data.metrics['test/mean_over_frames/mpjpe_mm']:.1f}" for child in children]
    assert [cell for row in table(tmp_path)[::2] for cell in row[1:]] == figures
    artifacts = {file.path for file in MlflowClient(tracking_uri).list_artifacts(parent.info.run_id)}
    assert artifacts == {"grid.csv", "grid.md", "grid.tex", "grid.png"}


def test_shards_on_two_machines_make_one_table(tracking_uri: str, tmp_path: Path) -> None:
    """They have a store in common and no folder."""
    machines = [tmp_path / "one", tmp_path / "two"]
    shards = []
    for number, folder in enumerate(machines, start=1):
        folder.mkdir()
        steps, said = go(tracked(folder, tracking_uri), folder, shard=(number, 2))
        shards.append(steps)
        assert ("2 of 4 cells have no result yet" in said) == (number == 1)
        assert runs(tracking_uri)[0].info.status == ("RUNNING" if number == 1 else "FINISHED")
    assert shards == [STEPS[::2], STEPS[1::2]]
    assert table(machines[0])[0] == ["cross", score(machines[0], STEPS[0]), "-"]
    assert table(machines[1])[0] == ["cross", score(machines[0], STEPS[0]), score(machines[1], STEPS[1])]
    assert go(tracked(machines[0], tracking_uri), machines[0])[0] == []
    assert table(machines[0]) == table(machines[1])
    assert len(runs(tracking_uri)[1]) == 4

    # The settings are others, so what is in the store is of another experiment.
    third = tmp_path / "three"
    third.mkdir()
    steps, _ = go(tracked(third, tracking_uri, TRAINED[:1], "train.steps_per_epoch=3"), third)
    assert steps == ["cross-2-seed0", "inner-2-seed0"]


def test_a_failure_on_another_machine(tracking_uri: str, tmp_path: Path) -> None:
    machines = [tmp_path / "one", tmp_path / "two"]
    for folder in machines:
        folder.mkdir()
    experiments = [tracked(folder, tracking_uri, rows=ROWS[1:]) for folder in machines]
    with pytest.raises(RunError):
        go(experiments[0], machines[0], InProcess(fails=[STEPS[2]]), shard=(1, 2))
    go(experiments[1], machines[1], shard=(2, 2))
    assert table(machines[1])[0][1] == "failed"
    assert runs(tracking_uri)[0].info.status == "FAILED"
    assert go(experiments[1], machines[1])[0] == [STEPS[2]]
    assert runs(tracking_uri)[0].info.status == "FINISHED"


def test_results_that_were_made_without_the_store_go_there_later(
    finished: Path, tracking_uri: str, tmp_path: Path
) -> None:
    machines = [tmp_path / "one", tmp_path / "two"]
    for folder in machines:
        folder.mkdir()
    copy(finished, machines[0])
    for folder in machines:
        assert go(tracked(folder, tracking_uri), folder)[0] == []
        assert table(folder) == table(finished)


def test_a_training_that_is_elsewhere_is_made_again_for_a_new_evaluation(
    tracking_uri: str, tmp_path: Path
) -> None:
    machines = [tmp_path / "one", tmp_path / "two"]
    for folder in machines:
        folder.mkdir()
    go(tracked(machines[0], tracking_uri, EVALUATED[:1]), machines[0])
    steps, _ = go(tracked(machines[1], tracking_uri, EVALUATED), machines[1], shard=(1, 2))
    assert steps == ["cross-seed0", "cross-seed0/cross-noisy"]


# The command


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, TRAINED[:1])
    launch = InProcess()
    monkeypatch.setattr(grid, "start_process", launch)
    Path("doc.md").write_text("<!-- grid -->\n<!-- end of grid -->\n")
    given = ["experiment", "grid.yaml", f"data.path={tmp_path}/motion.npz", "device=cpu", "loss.weight=2"]
    assert main([*given, "--insert", "doc.md"]) == 0
    assert launch.steps == STEPS[::2]
    output = capsys.readouterr()
    assert output.err == ""
    assert "results/grid.csv, results/grid.md, results/grid.tex, results/grid.png" in output.out
    text = Path("results/grid.csv").read_text()
    assert ",gcnpose experiment grid.yaml data.path=motion.npz loss.weight=2," in text
    assert str(tmp_path) not in text
    written = Path("results/grid.md").read_text()
    assert Path("doc.md").read_text() == f"<!-- grid -->\n{written}\n<!-- end of grid -->\n"

    # The tables from the CSV file alone.
    for file in ("grid.md", "grid.tex", "grid.png"):
        (Path("results") / file).unlink()
    shutil.rmtree("runs")
    assert main(["experiment", "grid.yaml", "--table-only"]) == 0
    assert launch.steps == STEPS[::2]
    assert Path("results/grid.md").read_text() == written
    assert Path("results/grid.csv").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "1"], "--shard: expected I/N, such as 1/4, came '1'"),
        (["--shard", "3/2"], "shard: expected 1/2 to 2/2, came 3/2"),
        (["--shard", "5/8"], "shard 5/8: nothing to do, the experiment has 4 trainings"),
        (["--jobs", "0"], "--jobs: expected at least 1, came 0"),
        (
            ["loss.intervals=[3]"],
            "override 'loss.intervals=[3]': loss.intervals is what the cells of grid.yaml differ in",
        ),
        (["--insert", "none.md"], "none.md: cannot be read: No such file or directory"),
        (
            ["--insert", "grid.yaml"],
            "grid.yaml: expected the lines <!-- grid --> and <!-- end of grid --> once, one after the other",
        ),
        (["--table-only"], "results/grid.csv: no such file; the experiment writes it"),
    ],
)
def test_bad_input(
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    assert main(["experiment", "grid.yaml", *arguments]) == 2
    assert capsys.readouterr().err == f"gcnpose: {message}\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3570, "1 h 0 min"),
        (3540, "59 min"),
        (6000, "1 h 40 min"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
