"""Commands as typed: exit status, one clear message, nothing half-written."""

import dataclasses
import json
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from gcnpose import run, scoring
from gcnpose.build import build_motion, build_views
from gcnpose.checkpoint import load_checkpoint, restore_model
from gcnpose.cli import main
from gcnpose.data.windows import DrawnWindows
from gcnpose.skeleton import Skeleton
from tests.experiments import small_config, small_experiment
from tests.motions import small_motion

TOOLS = Path(__file__).resolve().parents[1] / "tools"

Fails = Callable[..., str]


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A small experiment in the working folder."""
    monkeypatch.chdir(tmp_path)
    return small_experiment(tmp_path).name


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Fails:
    """Runs a command that fails, and gives its message."""

    def fails(status: int, *arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == status
        message = capsys.readouterr().err
        assert message.startswith("gcnpose: ")
        assert message.count("gcnpose: ") == 1
        assert "Traceback" not in message
        return message.removeprefix("gcnpose: ").rstrip("\n")

    return fails


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, in a folder ``runs``."""
    return run.train(small_config(tmp_path_factory.mktemp("cli"), "train.epochs=1"), lambda line: None)


@pytest.fixture
def beside_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.parents[1])


def damage(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Changes the arrays of a motion file, past the checks of whoever writes it."""
    with np.load(path) as archive:
        arrays = dict(archive)
    change(arrays)
    np.savez(path, **arrays)


# Training


def test_train_and_evaluate(
    experiment: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)  # importing it would fail: it is not needed
    assert main(["train", experiment, "train.epochs=2", "name=quick"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("quick-")
    assert load_checkpoint(folder / "last.pt")["epoch"] == 2
    assert "epoch 2/2" in output.out and "mean over actions" in output.out

    assert main(["evaluate", "--output", "scores.json"]) == 0
    assert f"{folder}: epoch " in capsys.readouterr().out
    scores, report = (json.loads(path.read_text()) for path in (Path("scores.json"), folder / "report.json"))
    assert Path("scores.csv").is_file()
    assert scores["per_action"] == report["per_action"]
    assert not list(Path().rglob("*.part")) and not Path("mlflow.db").exists()


def test_resume(experiment: str, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest run, be it one that was stopped before its first checkpoint."""
    take = DrawnWindows.batch
    with monkeypatch.context() as stopped:
        stopped.setattr(DrawnWindows, "batch", interrupt)
        message = fails(1, "train", experiment)
    (folder,) = Path("runs").iterdir()
    assert message == f"interrupted; `train --resume {folder.absolute()}` goes on from the last checkpoint"
    assert DrawnWindows.batch is take
    assert main(["train", "--resume"]) == 0
    assert list(Path("runs").iterdir()) == [folder]
    assert load_checkpoint(folder / "last.pt")["epoch"] == 3
    assert main(["train", "--resume", str(folder)]) == 0
    assert main(["train", "--resume", "tracking.system_metrics=false"]) == 0, "the newest, with an override"
    assert fails(2, "train", "--resume", "train.epochs=2").startswith(
        "override 'train.epochs=2': a run goes on"
    )


def interrupt(*arguments: object) -> None:
    raise KeyboardInterrupt


def test_interrupted_before_the_training(
    experiment: str, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "build_motion", interrupt)
    assert fails(1, "train", experiment) == "interrupted"
    assert not Path("runs").exists()


def test_ended_by_a_batch_system(experiment: str, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.Trainer, "train_epoch", lambda *_: signal.raise_signal(signal.SIGTERM))
    before = signal.getsignal(signal.SIGTERM)
    assert fails(1, "train", experiment).startswith("interrupted; ")
    assert signal.getsignal(signal.SIGTERM) == before
    (folder,) = Path("runs").iterdir()
    assert not (folder / "lock").exists()


@pytest.fixture
def foreground() -> Iterator[None]:
    """A shell has its background commands ignore SIGINT, and what they start inherits that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_in_a_terminal(experiment: str, foreground: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    command = [sys.executable, str(TOOLS / "train.py"), experiment, "train.epochs=100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "epoch 1/" not in (line := process.stdout.readline()):
            assert line, "it ended by itself"
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=60)
    (folder,) = Path("runs").iterdir()
    assert process.returncode == 1
    hint = f"interrupted; `train --resume {folder.absolute()}` goes on from the last checkpoint"
    assert message == f"gcnpose: {hint}\n"


def test_diverged(experiment: str, fails: Fails) -> None:
    message = fails(1, "train", experiment, "train.learning_rate=1e30")
    assert "not finite at step" in message and "A/swing 1" in message


def test_all_faults_of_a_config_at_once(experiment: str, fails: Fails) -> None:
    message = fails(
        2, "train", experiment, "train.epoch=2", "modle.dropout=0.1", "data.window=abc", "seed=-1"
    )
    assert message.startswith("4 faults:")
    for part in (
        "train.epoch: unknown key, did you mean train.epochs?",
        "modle: unknown key, did you mean model?",
        "data.window: expected a whole number, came 'abc'",
        "seed: expected 0 to 4294967295, came -1",
    ):
        assert part in message


def set_nan(arrays: dict[str, np.ndarray]) -> None:
    arrays["B/swing 1"][7, 3, 1] = np.nan


def cut_all_frames(arrays: dict[str, np.ndarray]) -> None:
    arrays["C/swing 1"] = arrays["C/swing 1"][:0]


def test_nan_in_the_motion(experiment: str, fails: Fails) -> None:
    damage(Path("motion.npz"), set_nan)
    joint = Skeleton.load("h36m17").joints[3]
    assert fails(2, "train", experiment).endswith(
        f"motion.npz: sequence B/swing 1: frame 7, joint {joint!r} is nan"
    )
    assert not Path("runs").exists()


def test_a_sequence_without_frames(experiment: str, fails: Fails) -> None:
    damage(Path("motion.npz"), cut_all_frames)
    assert fails(2, "train", experiment).endswith("motion.npz: sequence C/swing 1: has 0 frames")
    assert not Path("runs").exists()


def test_truncated_motion(experiment: str, fails: Fails) -> None:
    whole = Path("motion.npz").read_bytes()
    Path("motion.npz").write_bytes(whole[: len(whole) // 2])
    assert "motion.npz: is not an .npz file: empty, cut off" in fails(2, "train", experiment)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.path=nowhere.npz", r"nowhere.npz: no such file"),
        ("data.path=.", r".: is not a file"),
        ("skeleton=coco17", "motion.npz: has the 17 joints "),
        ("skeleton=nobody", "nobody"),
        ("train.batch_size=1000", "train.batch_size: 1000, but the data has only 6 windows"),
        ("device=cuda:99", "device: cuda:99 is not there, this machine has "),
        ("data.test_subjects=[B]", "data: B among both the validation and the test subjects"),
        ("data.test_subjects=[Q]", "unknown subjects Q; known are A, B, C"),
        ("model.down_up_pairs=4", "model.down_up_pairs: expected at most 1 with 2 channels, came 4"),
        ("evaluation.protocol=h36m", "protocol h36m: C/swing 1 from 54138969 is none of Directions, "),
        ("output=small.yaml", "output: no run folder can be made in small.yaml: File exists"),
        ("output=small.yaml/runs", "output: no run folder can be made in small.yaml/runs: Not a directory"),
    ],
)
def test_unusable_input(experiment: str, fails: Fails, change: str, message: str) -> None:
    assert message in fails(2, "train", experiment, change)
    assert sorted(path.name for path in Path().iterdir()) == ["motion.npz", "small.yaml"]


def test_a_network_larger_than_any_memory(experiment: str, fails: Fails) -> None:
    sizes = ("model.channels=[4, 2000000]", "model.temporal_kernel=100001")
    message = fails(2, "train", experiment, *sizes)
    assert message.startswith("out of memory, tried to allocate ")
    assert message.endswith(" bytes: smaller batches, windows or networks need less")
    assert not Path("runs").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a folder that not even root can write to")
def test_read_only_folder(experiment: str, fails: Fails, finished: Path) -> None:
    assert "output: no run folder can be made in /proc/runs: " in fails(
        2, "train", experiment, "output=/proc/runs"
    )
    message = fails(2, "evaluate", finished, "--output", "/proc/scores.json")
    assert message.startswith("--output: nothing can be written in /proc: ")


def test_a_config_that_is_not_there(experiment: str, fails: Fails) -> None:
    assert fails(2, "train", "smal.yaml").startswith("smal.yaml: no such config")
    assert fails(2, "train", "train.epochs=2").startswith("train.epochs=2: no such config")


def test_nothing_to_train(experiment: str, fails: Fails) -> None:
    assert fails(2, "train") == "train needs an experiment file, such as configs/ugcn.yaml, or --resume"
    assert fails(2, "train", "--resume").startswith("runs: no run with a last.pt in it")
    assert "not the folder of a run" in fails(2, "train", "--resume", "nowhere")
    for arguments in (
        [experiment, "--resume"],
        [experiment, "--resume", "x"],
    ):
        assert fails(2, "train", *arguments).startswith("--resume takes a run folder and no config")
    assert fails(2, "train", "--resume", "x", "train.epochs=2") == (
        "override 'train.epochs=2': a run goes on with the settings it began with; "
        "only data.path, data.keep, output, device, tracking can change"
    )
    assert not Path("runs").exists()


def test_resume_what_is_damaged(tmp_path: Path, finished: Path, fails: Fails) -> None:
    whole = (finished / "last.pt").read_bytes()
    (tmp_path / "last.pt").write_bytes(whole[: len(whole) // 2])
    message = fails(2, "train", "--resume", tmp_path)
    assert message.endswith(
        "last.pt: cannot be read as a checkpoint: truncated, damaged or of another program"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize(
    "arguments", [[], ["fly"], ["train", "--fast"], ["evaluate", "x", "--fast", "data.path=y"]]
)
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: gcnpose" in capsys.readouterr().err


def test_options_stand_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(scoring, "evaluate_checkpoint", lambda *arguments: calls.append(arguments[:2]) or {})
    monkeypatch.setattr("gcnpose.report.write_report", lambda report, path: calls.append((path,)))
    monkeypatch.setattr("gcnpose.config.load_config", lambda path, overrides: (path, overrides))
    monkeypatch.setattr(run, "train", lambda config, *_: calls.append(config))
    words = ["network.pt", "seed=1", "seed=2"]
    for place in range(4):
        calls.clear()
        assert main(["evaluate", *words[:place], "--output", "here.json", *words[place:]]) == 0
        assert calls == [(Path("network.pt"), ["seed=1", "seed=2"]), (Path("here.json"),)]
    calls.clear()
    assert main(["train", "small.yaml", "seed=1", "train.warmup_epochs=-1"]) == 0
    assert calls == [("small.yaml", ["seed=1", "train.warmup_epochs=-1"])]


@pytest.mark.parametrize("verb", ["train", "evaluate", "experiment", "benchmark", "draw"])
def test_a_tool_is_its_subcommand(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = {"draw": ["graph", "nobody", "--output", "x.png"], "benchmark": ["step", "--repeats", "0"]}
    given = arguments.get(verb, ["nowhere"])
    monkeypatch.setattr(sys, "argv", [f"{verb}.py", *given])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(TOOLS / f"{verb}.py"), run_name="__main__")
    tool = capsys.readouterr()
    assert caught.value.code == main([verb, *given]) == 2
    assert capsys.readouterr() == tool


# Evaluating


@pytest.mark.usefixtures("beside_runs")
def test_evaluate_a_folder_a_file_or_the_newest(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = Path("runs") / finished.name / "best.pt"
    for given, named in (([str(best.parent)], best.parent), ([str(best)], best), ([], best.parent)):
        assert main(["evaluate", *given, "evaluation.flip=false"]) == 0
        assert capsys.readouterr().out.startswith(f"{named}: epoch 1, 1 sequences of C\n")


def test_evaluate_other_motion(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other, output = tmp_path / "other.npz", tmp_path / "scores.json"
    dataclasses.replace(small_motion(subjects=("X", "Y", "Z")), splits={}).save(other)
    given = ["evaluate", str(finished), f"data.path={other}", "--output", str(output), "data.subjects=[X, Y]"]
    assert main(given) == 0
    assert "2 sequences of X, Y" in capsys.readouterr().out
    assert json.loads(output.read_text())["frames"] == 2 * 40 * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.npz", "scores.csv", "scores.json"]


def test_evaluate_by_a_protocol(finished: Path, tmp_path: Path, fails: Fails) -> None:
    """Named on the command line or in the config; the paper's columns come out, in Markdown and LaTeX too."""
    other = tmp_path / "other.npz"
    motion = small_motion((12, 10, 10), ("S1", "S9", "S11"))
    names = ("Sitting", "Walking 1", "Waiting 1")
    sequences = [dataclasses.replace(s, name=name) for s, name in zip(motion.sequences, names, strict=True)]
    dataclasses.replace(motion, sequences=sequences, splits={}).save(other)
    given = ["evaluate", str(finished), f"data.path={other}"]
    for way in (["--protocol", "h36m"], ["evaluation.protocol=h36m"]):
        assert main([*given, *way, "--output", str(tmp_path / "scores.json")]) == 0
        report = json.loads((tmp_path / "scores.json").read_text())
        assert (report["protocol"], report["frames"]) == ("h36m", 32 * 4)
        assert list(report["per_action"]) == ["Sitting", "Walking", "Waiting"]
    for suffix in (".md", ".tex"):
        output = tmp_path / f"scores{suffix}"
        assert main([*given, "--protocol", "h36m-motionbert", "--output", str(output)]) == 0
        assert "SitD." in output.read_text()
    assert fails(2, *given, "--protocol", "mpi-inf-3dhp") == (
        "protocol mpi-inf-3dhp: scores the joints of mpi_inf_3dhp17, not those of h36m17"
    )


def test_a_checkpoint_in_a_folder_with_an_equals_sign(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "lr=1").mkdir()
    (tmp_path / "lr=1" / "best.pt").write_bytes((finished / "best.pt").read_bytes())
    assert main(["evaluate", str(tmp_path / "lr=1")]) == 0


def test_evaluate_what_is_no_checkpoint(
    tmp_path: Path, finished: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fails(2, "evaluate").startswith("runs: no run with a best.pt in it; train one first")
    assert fails(2, "evaluate", "nowhere.pt") == "nowhere.pt: no such checkpoint"
    assert fails(2, "evaluate", tmp_path) == f"{tmp_path / 'best.pt'}: no such checkpoint"
    whole = (finished / "best.pt").read_bytes()
    for content in (whole[:1000], whole[:-100], b"text\n" * 1000, b""):
        Path("x.pt").write_bytes(content)
        message = fails(2, "evaluate", "x.pt")
        assert message == "x.pt: cannot be read as a checkpoint: truncated, damaged or of another program"
    torch.save({"state_dict": {}}, "x.pt")
    assert fails(2, "evaluate", "x.pt").startswith("x.pt: not a checkpoint of this program")


def test_evaluate_motion_of_another_skeleton(finished: Path, tmp_path: Path, fails: Fails) -> None:
    other = tmp_path / "coco.npz"
    dataclasses.replace(small_motion(), skeleton=Skeleton.load("coco17")).save(other)
    assert "coco.npz: has the 17 joints nose, " in fails(2, "evaluate", finished, f"data.path={other}")


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("nowhere/scores.json", "--output: nothing can be written in nowhere: No such file or directory"),
        ("small.yaml/scores.json", "--output: nothing can be written in small.yaml: Not a directory"),
        ("scores.txt", "--output: expected a file name that ends in .json or .md or .tex, not scores.txt"),
        ("folder.json", "--output: expected a file name that ends in .json or .md or .tex, not folder.json"),
    ],
)
def test_an_output_that_cannot_be_written(
    experiment: str, finished: Path, fails: Fails, output: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is found before any work."""
    monkeypatch.delattr(run, "load_checkpoint")
    Path("folder.json").mkdir()
    assert fails(2, "evaluate", finished, "--output", output) == message
    assert sorted(path.name for path in Path().iterdir()) == ["folder.json", "motion.npz", "small.yaml"]


# Drawing and timing


@pytest.mark.usefixtures("beside_runs")
def test_draw_the_hardest_poses(
    finished: Path, tmp_path: Path, fails: Fails, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("gcnpose.viz.poses.draw_poses", lambda *arguments: drawn.append(arguments))
    picture = str(tmp_path / "hard.png")
    motion = small_motion((40, 30, 20), subjects=("A", "X", "C"))
    dataclasses.replace(motion, splits={}).save(tmp_path / "other.npz")
    other = [f"data.path={tmp_path / 'other.npz'}", "device=cpu"]
    for given in ([], [str(finished)], other, [str(finished), *other]):
        assert main(["draw", "poses", *given, "--output", picture]) == 0
    own, _, others, _ = drawn
    assert own[5] == (f"C swing, frame {own[5][0].split()[-1]}",), "one of a sequence, of whichever camera"
    assert sorted(title[0] for title in others[5]) == ["A", "C", "X"]
    for _, keypoints_2d, predicted, truth, path, titles in drawn:
        assert path == Path(picture)
        assert keypoints_2d.shape[:2] == predicted.shape[:2] == truth.shape[:2] == (len(titles), 17)
        errors = [float((one - two).norm(dim=-1).mean()) for one, two in zip(predicted, truth, strict=True)]
        assert errors == sorted(errors, reverse=True)
    assert "expected a file name that ends in .png" in fails(2, "draw", "poses", "--output", "hard.jpg")
    assert fails(2, "draw", "pendulum", "x", "--output", picture) == "draw pendulum: takes no 'x'"
    assert fails(2, "draw", "graph", "h36m17", "y", "--output", picture) == "draw graph: takes no 'y'"


def test_the_hardest_poses_have_the_largest_errors(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the slow way: both windows of every clip, and all frames in turn."""
    drawn = []
    monkeypatch.setattr("gcnpose.viz.poses.draw_poses", lambda *arguments: drawn.append(arguments))
    scoring.draw_hardest(finished, ["evaluation.flip=false", "evaluation.step=16"], Path("x.png"))
    ((_, _, predicted, truth, _, _),) = drawn
    config, skeleton, model = restore_model(load_checkpoint(finished), finished)
    views = build_views(config, build_motion(config, skeleton, ("test",))["test"])
    largest = 0.0
    for clip in views.clips:
        keypoints_2d, pose_3d = views.keypoints_2d[clip.rows], views.pose_3d[clip.rows]
        with torch.no_grad():
            first, last = model(keypoints_2d[None, :16])[0], model(keypoints_2d[None, 4:])[0]
        lifted = torch.cat([first[:4], (first[4:] + last[:12]) / 2, last[12:]])
        for one, two in zip(lifted, pose_3d, strict=True):
            largest = max(largest, float((one - two).norm(dim=-1).mean()))
    assert float((predicted - truth)[0].norm(dim=-1).mean()) == pytest.approx(largest, rel=1e-5)


def test_invalid_frames_are_not_the_hardest(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr("gcnpose.viz.poses.draw_poses", lambda *arguments: drawn.append(arguments))
    motion = small_motion()
    motion.sequences[2].positions[7] *= 3
    valid = np.arange(40) != 7
    sequences = [dataclasses.replace(sequence, valid=valid) for sequence in motion.sequences]
    for kept, file in ((motion, "a.npz"), (dataclasses.replace(motion, sequences=sequences), "b.npz")):
        kept.save(tmp_path / file)
        scoring.draw_hardest(finished, [f"data.path={tmp_path / file}"], Path("x.png"))
    assert drawn[0][5] == ("C swing, frame 7",)
    assert drawn[1][5] != ("C swing, frame 7",)


def test_tags(experiment: str, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fails(2, "train", experiment, "--tag", "red") == "--tag: expected NAME=VALUE, came 'red'"
    assert fails(2, "evaluate", "x", "--tag", "=x") == "--tag: expected NAME=VALUE, came '=x'"
    given = []
    monkeypatch.setattr(run, "train", lambda config, say, tags, processes: given.append(tags))
    monkeypatch.setattr(run, "resume", lambda folder, say, tags, processes, overrides: given.append(tags))
    monkeypatch.setattr(scoring, "evaluate_checkpoint", lambda path, overrides, say, tags: given.append(tags))
    tags = ["--tag=cell=a b", "--tag", "sum=1+1=2"]
    for command in (["train", experiment], ["train", "--resume", "x"], ["evaluate", "x"]):
        assert main([*command, *tags]) == 0
    assert given == [{"cell": "a b", "sum": "1+1=2"}] * 3


def test_draw(tmp_path: Path, fails: Fails) -> None:
    picture = tmp_path / "graph.png"
    assert main(["draw", "graph", "--output", str(picture), "h36m17"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    below = picture / "x.png"
    for what in ("graph", "pendulum"):
        assert "Not a directory" in fails(2, "draw", what, "--output", below)


def test_benchmark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "layer.json"
    sizes = ["--joints", "5", "9", "--batch-size", "1", "--frames", "2"]
    assert (
        main(["benchmark", "layer", *sizes, "--threads", "1", "--repeats", "1", "--output", str(output)]) == 0
    )
    printed = capsys.readouterr().out
    assert "times as fast" in printed and "joints 5 9, precision fp32, device cpu, threads 1" in printed
    assert {row["joints"] for row in json.loads(output.read_text())["timings"]} == {5, 9}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("step --repeats 0", "benchmark: --repeats must be at least 1, not 0"),
        ("step --limit 0", "benchmark: --limit must be above 0, not 0"),
        ("step --frames 90", "benchmark: --frames must be a multiple of 16, not 90"),
        ("inference --threads 0", "benchmark: --threads must be 1 to "),
        ("inference --threads 100000000", "benchmark: --threads must be 1 to "),
        ("metrics --frames 0", "benchmark: --frames must be at least 1, not 0"),
        ("data --device cuda:99", "device: cuda:99 is not there"),
        ("epoch --device gpu", "override 'device=gpu': device: expected auto, cpu, cuda, cuda:N or mps"),
        ("layer --output x.txt", "--output: expected a file name that ends in .json, not x.txt"),
    ],
)
def test_benchmarks_that_cannot_be(arguments: str, message: str, fails: Fails) -> None:
    assert fails(2, "benchmark", *arguments.split()).startswith(message)


@pytest.mark.parametrize("arguments", ["", "nothing", "epoch --repeats 3", "metrics --precision bf16"])
def test_a_benchmark_takes_no_option_that_it_ignores(
    arguments: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["benchmark", *arguments.split()])
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_reader_that_has_enough(tmp_path: Path) -> None:
    """As `| head`: no word, and no traceback."""
    keypoints = tmp_path / "keypoints.npy"
    np.save(keypoints, np.random.default_rng(0).uniform(0, 500, (20, 17, 2)))
    command = [sys.executable, "-m", "gcnpose.cli", "predict", str(keypoints), "--inspect"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1
