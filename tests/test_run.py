"""A run from its folder to its scores, whatever interrupts it."""

import dataclasses
import fcntl
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gcnpose import run
from gcnpose.checkpoint import BEST, load_checkpoint, restore_model, save_checkpoint
from gcnpose.config import load_config
from gcnpose.data.camera import denormalize_screen, h36m_rig
from gcnpose.data.synthetic import make_motion
from gcnpose.data.views import Views, fixed_views
from gcnpose.data.windows import DrawnWindows
from gcnpose.errors import InputError, RunError
from gcnpose.processes import ALONE
from gcnpose.run import LAST, newest_run, resume, train
from gcnpose.scoring import evaluate_checkpoint
from gcnpose.skeleton import Skeleton
from gcnpose.tracking import Tracker
from tests.experiments import seen, small_config, small_experiment
from tests.motions import coco_motion, small_motion
from tests.runs import assert_loadable, assert_same_weights, quiet

FILES = {
    "config.yaml",
    "skeleton.yaml",
    "last.pt",
    "best.pt",
    "history.csv",
    "report.json",
    "report.csv",
    "poses.png",
}


pytestmark = pytest.mark.usefixtures("no_pictures")
DRAW = run._Run._draw


@pytest.fixture
def pictures(no_pictures: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run._Run, "_draw", DRAW)


def test_what_a_run_leaves(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == FILES
    config = load_config(finished / "config.yaml")
    assert (config.name, config.train.epochs) == ("small", 3)
    assert load_checkpoint(finished / BEST)["fps"] == 50, "by which predict knows how fast its motion was"
    assert finished.name.startswith("small-20")
    assert Skeleton.load(finished / "skeleton.yaml") == Skeleton.load("h36m17")
    report = json.loads((finished / "report.json").read_text())
    assert report["frames"] == 20 * 4
    assert report["keypoints"] == "projected ground truth"
    assert set(report["yardsticks"]) == {"mean_pose", "linear"}
    assert list(report["per_action"]) == ["swing"]
    history = (finished / "history.csv").read_text().splitlines()
    assert history[0].startswith("epoch,train/loss,train/reconstruction,train/motion,train/learning_rate")
    assert len(history) == 1 + 3


def test_a_checkpoint_is_enough_to_predict(finished: Path) -> None:
    config, skeleton, model = restore_model(load_checkpoint(finished / BEST), BEST)
    assert (config.name, skeleton.name) == ("small", "h36m17")
    with torch.no_grad():
        assert model(torch.zeros(1, 9, 17, 2)).shape == (1, 9, 17, 3)


def test_same_command_same_weights(finished: Path, small_folder: Path) -> None:
    torch.rand(3)
    again = train(small_config(small_folder), quiet)
    assert again != finished
    assert_same_weights(again, finished)
    assert (again / "report.csv").read_text() == (finished / "report.csv").read_text()


def test_frames_on_the_disk_same_weights(finished: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    folder = train(small_config(tmp_path, "data.keep=disk"), lines.append)
    assert_same_weights(folder, finished)
    assert lines[0].endswith("3 epochs on cpu in fp32, 0 MiB of frames in a file on the disk")
    assert list(Path(folder).parent.iterdir()) == [folder]


def test_peak_memory_is_told(tmp_path: Path) -> None:
    lines: list[str] = []
    folder = train(small_config(tmp_path, "train.epochs=1"), lines.append)
    assert len([line for line in lines if re.fullmatch(r"peak memory [\d,]+ MiB", line)]) == 1
    lines.clear()
    resume(folder, lines.append)
    assert not [line for line in lines if line.startswith("peak memory")], "nothing was trained"


def test_another_seed_other_weights(finished: Path, small_folder: Path) -> None:
    other = train(small_config(small_folder, "seed=1"), quiet)
    with pytest.raises(AssertionError):
        assert_same_weights(other, finished)


def test_test_subjects_are_lifted_once_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[object] = []
    for name in ("lift_once", "evaluate_model"):
        lift = getattr(run, name)

        def spy(config: Any, model: Any, views: Views, *rest: Any, lift: Any = lift) -> Any:
            order.append({clip.subject for clip in views.clips})
            return lift(config, model, views, *rest)

        monkeypatch.setattr(run, name, spy)
    train(small_config(tmp_path), lambda line: order.append(line.split("/")[0]))
    epochs = [entry for entry in order if entry in ("epoch 1", "epoch 2", "epoch 3", {"A"}, {"B"}, {"C"})]
    assert epochs == [{"B"}, "epoch 1", {"B"}, "epoch 2", {"B"}, "epoch 3", {"C"}]


def test_test_subjects_have_no_part_in_the_weights(finished: Path, tmp_path: Path) -> None:
    config = small_config(tmp_path)
    motion = small_motion((40, 30, 20))
    sequences = list(motion.sequences)
    sequences[2] = dataclasses.replace(sequences[2], positions=sequences[2].positions[:11] * np.float32(0.5))
    dataclasses.replace(motion, sequences=sequences).save(tmp_path / "motion.npz")
    other = train(config, quiet)
    assert_same_weights(other, finished)
    assert (other / "report.csv").read_text() != (finished / "report.csv").read_text()


def test_the_best_is_chosen_by_the_validation_subjects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([9.0, 5.0, 7.0, 5.0, float("nan")])

    def validate(self: object) -> dict[str, float]:
        return dict.fromkeys(("val/mpjpe_mm", "val/mpjve_mm"), next(scores))

    monkeypatch.setattr(run._Run, "_validate", validate)
    folder = train(small_config(tmp_path, "train.epochs=5"), quiet)
    best = load_checkpoint(folder / BEST)
    assert (best["epoch"], best["best"], load_checkpoint(folder / LAST)["epoch"]) == (2, 5.0, 5)
    report = evaluate_checkpoint(folder / BEST, [], quiet)
    written = json.loads((folder / "report.json").read_text())
    assert report["per_action"] == written["per_action"]
    assert evaluate_checkpoint(folder / LAST, [], quiet)["per_action"] != report["per_action"]


def test_validates_every_few_epochs_and_at_the_end(tmp_path: Path) -> None:
    folder = train(small_config(tmp_path, "train.epochs=5", "train.validate_every=2"), quiet)
    history = load_checkpoint(folder / LAST)["history"]
    assert [row["epoch"] for row in history if "val/mpjpe_mm" in row] == [2, 4, 5]


def test_without_validation_subjects_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    splits = {"train": ("A", "B"), "test": ("C",)}
    dataclasses.replace(small_motion((40, 30, 20)), splits=splits).save(tmp_path / "motion.npz")
    lines: list[str] = []
    folder = train(config, lines.append)
    assert "no validation subjects, so the last epoch's weights will be best.pt" in lines
    best, last = (load_checkpoint(folder / file)["model"] for file in (BEST, LAST))
    assert all(torch.equal(best[name], last[name]) for name in last)
    assert load_checkpoint(folder / BEST)["epoch"] == 3
    assert not any(
        name.startswith("val/") for row in load_checkpoint(folder / LAST)["history"] for name in row
    )
    (folder / "report.json").unlink()
    assert resume(folder, quiet) == folder
    assert (folder / "report.json").is_file()


def test_no_validation_that_is_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = dict.fromkeys(("val/mpjpe_mm", "val/mpjve_mm"), float("nan"))
    monkeypatch.setattr(run._Run, "_validate", lambda self: nothing)
    with pytest.raises(RunError, match="no best checkpoint, since the validation MPJPE was not finite"):
        train(small_config(tmp_path), quiet)


# Interruptions


def interrupted(config: Any, error: type[BaseException] = RunError, say: Any = quiet) -> tuple[Path, str]:
    """Trains until it is stopped; gives the run's folder and the message."""
    with pytest.raises(error) as caught:
        train(config, say)
    (folder,) = Path(config.output).iterdir()
    assert not list(folder.glob("*.part"))
    return folder, str(caught.value)


@pytest.mark.parametrize("batch", [2, 6, 11])
def test_ctrl_c_in_the_midst_of_an_epoch(
    finished: Path, tmp_path: Path, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, taken = DrawnWindows.batch, []

    def stop(self: DrawnWindows, *arguments: Any) -> Any:
        taken.append(1)
        if len(taken) == batch:
            raise KeyboardInterrupt
        return take(self, *arguments)

    config = small_config(tmp_path)
    with monkeypatch.context() as stopping:
        stopping.setattr(DrawnWindows, "batch", stop)
        folder, message = interrupted(config)
    assert message == f"interrupted; `train --resume {folder}` goes on from the last checkpoint"
    assert (folder / LAST).is_file() == (batch > 4)
    resume(folder, quiet)
    assert_same_weights(folder, finished)
    assert {path.name for path in folder.iterdir()} == FILES


@pytest.mark.parametrize("writes", range(1, 7))
def test_stopped_between_two_writes(
    finished: Path, tmp_path: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each checkpoint in turn: an epoch writes the best, where it is the best, and then the last."""
    saved = []

    def save_and_stop(path: Path, content: Any) -> None:
        save_checkpoint(path, content)
        saved.append(path)
        if len(saved) == writes:
            raise KeyboardInterrupt

    config = small_config(tmp_path)
    try:
        with monkeypatch.context() as stopping:
            stopping.setattr(run, "save_checkpoint", save_and_stop)
            train(config, quiet)
    except RunError:
        (folder,) = Path(config.output).iterdir()
        resume(folder, quiet)
        assert_same_weights(folder, finished)
    else:
        assert len(saved) < writes, "there were fewer writes than that"


@pytest.mark.parametrize("epochs", [0, 1])
def test_full_disk(finished: Path, tmp_path: Path, epochs: int) -> None:
    """A file may not grow larger than the best checkpoint, and the last is larger; from some epoch on."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = small_config(tmp_path)

    def fill(line: str) -> None:
        if line.startswith(f"epoch {epochs}/") or epochs == 0:
            size = ((finished / BEST).stat().st_size + (finished / LAST).stat().st_size) // 2
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))

    try:
        folder, message = interrupted(config, say=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert message.startswith(f"epoch {epochs + 1} could not be saved: ")
    assert "File too large" in message
    assert message.endswith(f"make room, then resume {folder}")
    assert (folder / LAST).exists() == (epochs > 0)
    assert_loadable(folder)
    (folder / "best.pt.part").write_bytes(b"what a killed write leaves")
    resume(folder, quiet)
    assert_same_weights(folder, finished)
    assert not list(folder.glob("*.part"))


def test_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take, taken = DrawnWindows.batch, []

    def spoil(self: DrawnWindows, *arguments: Any) -> Any:
        batch = take(self, *arguments)
        taken.append(1)
        if len(taken) == 6:  # the first is for the statistics of the input
            batch.pose_3d[0, 0, 0, 0] = torch.nan
        return batch

    monkeypatch.setattr(DrawnWindows, "batch", spoil)
    config = small_config(tmp_path, "train.steps_per_epoch=3")
    folder, message = interrupted(config)
    assert message.startswith("the loss is not finite at step 4 (epoch 2), learning rate ")
    assert message.endswith("the batch was from A/swing 1; the one before from A/swing 1")
    content = load_checkpoint(folder / LAST)
    assert content["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in content["model"].values())


def test_an_absurd_learning_rate(tmp_path: Path) -> None:
    folder, message = interrupted(small_config(tmp_path, "train.learning_rate=1e30"))
    assert "not finite at step" in message
    assert not list(folder.glob("*.pt"))


# Resuming what cannot be resumed


def test_resume_a_finished_run(finished: Path, tmp_path: Path) -> None:
    folder = train(small_config(tmp_path), quiet)
    (folder / "report.json").unlink()
    resume(folder, quiet)
    assert_same_weights(folder, finished)
    assert {path.name for path in folder.iterdir()} == FILES


def test_resume_with_other_motion(tmp_path: Path) -> None:
    folder = train(small_config(tmp_path, "train.epochs=1"), quiet)
    small_motion((40, 30, 21)).save(tmp_path / "motion.npz")
    with pytest.raises(InputError, match=r"motion\.npz motion is not what this run began with$"):
        resume(folder, quiet)


def test_resume_with_motion_of_another_skeleton(tmp_path: Path) -> None:
    folder = train(small_config(tmp_path, "train.epochs=1"), quiet)
    coco_motion().save(tmp_path / "motion.npz")
    with pytest.raises(InputError, match="of 'coco17'; the given 'h36m17' has 17 joints"):
        resume(folder, quiet)


def test_resume_what_is_no_run(tmp_path: Path, finished: Path) -> None:
    others = [tmp_path / "download.part", tmp_path / "lock"]
    for other in others:
        other.touch()
    with pytest.raises(
        InputError, match=r"not the folder of a run, it has neither last\.pt nor config\.yaml$"
    ):
        resume(tmp_path, quiet)
    assert all(other.exists() for other in others)
    (tmp_path / LAST).write_text("text")
    with pytest.raises(InputError, match=r"last\.pt: cannot be read as a checkpoint"):
        resume(tmp_path, quiet)
    (tmp_path / LAST).write_bytes((finished / BEST).read_bytes())
    with pytest.raises(InputError, match=r"last\.pt: cannot be resumed, the checkpoint lacks optimizer$"):
        resume(tmp_path, quiet)


def test_newest_run(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"runs: no run with a best\.pt in it; train one first, or name one$"
    ):
        newest_run(tmp_path / "runs", BEST)
    for seconds, name in enumerate(("b/best.pt", "c/best.pt", "a/last.pt", "d/config.yaml", "e/other")):
        path = tmp_path / "runs" / name
        path.parent.mkdir(parents=True)
        path.touch()
        os.utime(path, (0, seconds))
    assert newest_run(tmp_path / "runs", BEST).name == "c"
    assert newest_run(tmp_path / "runs", LAST, "config.yaml").name == "d"


def test_runs_of_the_same_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.time, "strftime", lambda text: "20300101-000000")
    config = small_config(tmp_path)
    folders = [run._make_folder(config, Skeleton.load("h36m17")) for _ in range(3)]
    stem = "small-20300101-000000"
    assert [folder.name for folder in folders] == [stem, f"{stem}-1", f"{stem}-2"]


def test_a_run_folder_that_cannot_be_filled_is_not_left(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = small_config(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1100, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written: File too large"):
            run._make_folder(config, Skeleton.load("h36m17"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list(Path(config.output).iterdir())


# Unusual motion and settings


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("length", [1, 15])
def test_sequences_shorter_than_a_window(tmp_path: Path, length: int) -> None:
    config = small_config(tmp_path, "train.epochs=1", "train.batch_size=1", frames=(length,) * 3)
    folder = train(config, quiet)
    report = json.loads((folder / "report.json").read_text())
    assert report["frames"] == 4 * length
    assert (report["mean_over_frames"]["mpjve_mm"] is None) == (length == 1)
    assert report["mean_over_frames"]["mpjpe_mm"] > 0


def test_95_frames_of_96(tmp_path: Path) -> None:
    config = small_config(
        tmp_path, "train.epochs=1", "data.window=96", "train.batch_size=1", frames=(95,) * 3
    )
    report = json.loads((train(config, quiet) / "report.json").read_text())
    assert report["frames"] == 4 * 95


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("own", [("A", "B", "C"), ("C",)])
def test_keypoints_of_a_detector(tmp_path: Path, own: tuple[str, ...]) -> None:
    """With scores as a third channel where the training motion has 2D of its own; elsewhere projections."""
    channels = 3 if "A" in own else 2
    config = small_config(tmp_path, "train.epochs=1", f"model.input_channels={channels}", *seen("fixed"))
    motion, camera = small_motion(), h36m_rig()[0]
    noise = np.random.default_rng(0)
    sequences = [
        dataclasses.replace(
            sequence,
            keypoints_2d={camera.name: noise.uniform(0, 1, (40, 17, 3)).astype(np.float32)}
            if sequence.subject in own
            else {},
        )
        for sequence in motion.sequences
    ]
    cameras = {subject: [camera] for subject in own}
    dataclasses.replace(motion, sequences=sequences, cameras=cameras).save(tmp_path / "motion.npz")
    folder = train(config, quiet)
    report = json.loads((folder / "report.json").read_text())
    assert (report["keypoints"], report["clips"]) == ("the motion's own", 1)
    everybody = evaluate_checkpoint(folder / BEST, ["data.subjects=[A, B, C]"], quiet)
    mixed = "the motion's own where it has some, else projected ground truth"
    assert everybody["keypoints"] == ("the motion's own" if len(own) == 3 else mixed)


def test_a_graph_that_does_not_fit_the_motion(tmp_path: Path) -> None:
    config = small_config(tmp_path, "skeleton=coco17")
    with pytest.raises(
        InputError, match=r"motion\.npz: has the 17 joints .* of 'h36m17'; the given 'coco17'"
    ):
        train(config, quiet)
    assert not Path(config.output).exists()


def test_the_model_is_logged_with_whole_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few frames the test subjects have; to follow people if the training drew its cameras."""
    logged = []
    monkeypatch.setattr(
        Tracker, "log_model", lambda self, model, example, reach: logged.append((example.shape, reach))
    )
    settings = ("train.epochs=1", "tracking.log_model=true")
    train(small_config(tmp_path, *settings, frames=(40, 30, 1)), quiet)
    train(small_config(tmp_path, *settings, "data.views=drawn"), quiet)
    assert logged == [((2, 16, 17, 2), None), ((2, 16, 17, 2), 16)]


# MLflow


@pytest.fixture
def tracked(tracking_uri: str, tmp_path: Path) -> tuple[Any, Any]:
    """A config that logs to a store of the test's own, and a client of that."""
    from mlflow import MlflowClient

    config = load_config(
        small_experiment(tmp_path),
        ["tracking.enabled=true", f"tracking.uri={tracking_uri}", "tracking.system_metrics=false"],
    )
    return config, MlflowClient(tracking_uri)


def runs_of(client: Any) -> list[Any]:
    experiment = client.get_experiment_by_name("gcnpose")
    return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"]))


def epochs_of(client: Any, run_id: str, metric: str) -> list[int]:
    return [point.step for point in client.get_metric_history(run_id, metric)]


def test_tracked_run(tracked: tuple[Any, Any]) -> None:
    config, client = tracked
    folder = train(config, quiet)
    (logged,) = runs_of(client)
    assert (logged.info.run_name, logged.info.status) == (folder.name, "FINISHED")
    assert load_checkpoint(folder / LAST)["mlflow_run"] == logged.info.run_id
    assert logged.data.params["train.epochs"] == "3"
    assert logged.data.params["model.channels"] == "[4, 8]"
    assert int(logged.data.params["parameters"]) == 1743
    assert logged.data.tags["folder"] == str(folder)
    history = load_checkpoint(folder / LAST)["history"]
    for metric in (
        "train/loss",
        "train/learning_rate",
        "train/windows_per_s",
        "val/mpjpe_mm",
        "val/mpjve_mm",
    ):
        points = client.get_metric_history(logged.info.run_id, metric)
        assert [(point.step, point.value) for point in points] == [
            (row["epoch"], row[metric]) for row in history
        ]
    report = json.loads((folder / "report.json").read_text())
    metrics = logged.data.metrics
    assert metrics["train/peak_memory_mib"] > 50
    assert metrics["test/mean_over_frames/mpjpe_mm"] == report["mean_over_frames"]["mpjpe_mm"]
    assert metrics["test/mean_over_actions/mpjve_mm"] == report["mean_over_actions"]["mpjve_mm"]
    assert (
        metrics["yardstick_linear/mpjpe_mm"] == report["yardsticks"]["linear"]["mean_over_frames"]["mpjpe_mm"]
    )
    assert {file.path for file in client.list_artifacts(logged.info.run_id)} == (FILES - {LAST}) | {
        "per_action.json"
    }
    contexts = {used.tags[0].value: used.dataset for used in logged.inputs.dataset_inputs}
    assert set(contexts) == {"train", "validation", "test"}
    digest = json.loads(contexts["train"].profile)["digest"]
    assert digest == load_checkpoint(folder / LAST)["digests"]["train"]

    evaluate_checkpoint(folder / BEST, [], quiet)
    _, evaluation = runs_of(client)
    assert evaluation.data.tags["checkpoint"] == str(folder / BEST)
    assert evaluation.data.metrics["test/mean_over_frames/mpjpe_mm"] == report["mean_over_frames"]["mpjpe_mm"]


def stop_after(epoch: int) -> Callable[[str], None]:
    def say(line: str) -> None:
        if line.startswith(f"epoch {epoch}/"):
            raise KeyboardInterrupt

    return say


def test_a_resumed_run_goes_on_in_its_record(tracked: tuple[Any, Any]) -> None:
    config, client = tracked
    folder, _ = interrupted(config, say=stop_after(2))
    (logged,) = runs_of(client)
    assert logged.info.status == "KILLED"
    resume(folder, quiet)
    (resumed,) = runs_of(client)
    assert (resumed.info.run_id, resumed.info.status) == (logged.info.run_id, "FINISHED")
    assert epochs_of(client, logged.info.run_id, "train/loss") == [1, 2, 3]


def test_the_record_goes_on_after_a_session_without_it(tracked: tuple[Any, Any]) -> None:
    config, client = tracked
    folder, _ = interrupted(config, say=stop_after(1))
    with pytest.raises(RunError):
        resume(folder, stop_after(2), overrides=["tracking.uri=http://127.0.0.1:9"])
    resume(folder, quiet, overrides=[f"tracking.uri={config.tracking.uri}"])
    (logged,) = runs_of(client)
    assert logged.info.status == "FINISHED"
    assert epochs_of(client, logged.info.run_id, "train/loss") == [1, 2, 3]


def test_a_record_that_was_lost_is_written_anew(
    tracked: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    config, client = tracked
    folder, _ = interrupted(config, say=stop_after(2))
    client.delete_run(runs_of(client)[0].info.run_id)
    with caplog.at_level(logging.WARNING):
        resume(folder, quiet)
    assert "a new one begins" in caplog.text
    (logged,) = runs_of(client)
    assert epochs_of(client, logged.info.run_id, "train/loss") == [1, 2, 3]
    assert epochs_of(client, logged.info.run_id, "val/mpjpe_mm") == [1, 2, 3]


def test_a_diverged_run_is_marked_as_failed(tracked: tuple[Any, Any]) -> None:
    config, client = tracked
    interrupted(dataclasses.replace(config, train=dataclasses.replace(config.train, learning_rate=1e30)))
    assert runs_of(client)[0].info.status == "FAILED"


def test_one_process_at_a_time(finished: Path, tmp_path: Path) -> None:
    """What another one writes at this moment is not cleaned away, nor written twice."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    partial = folder / "last.pt.part"
    partial.touch()
    with run._alone_in(folder, ALONE), pytest.raises(InputError, match=f"^{folder}: another process trains"):
        resume(folder, quiet)
    assert partial.exists()
    resume(folder, quiet)
    assert not partial.exists()


def test_a_lock_that_is_removed_while_one_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes between gets another file's lock."""
    first, second = ExitStack(), ExitStack()
    first.enter_context(run._alone_in(tmp_path, ALONE))
    flock = fcntl.flock

    def ends_just_now(file: Any, operation: int) -> None:
        first.close()
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", ends_just_now)
    with second:
        second.enter_context(run._alone_in(tmp_path, ALONE))
        with pytest.raises(InputError, match="another process trains"), run._alone_in(tmp_path, ALONE):
            pass


def test_resumed_where_things_are_now(tmp_path: Path) -> None:
    folder = train(small_config(tmp_path, "train.epochs=1"), quiet)
    report = (folder / "report.csv").read_text()
    (tmp_path / "moved").mkdir()
    (tmp_path / "motion.npz").rename(tmp_path / "moved" / "motion.npz")
    (folder / "report.csv").unlink()
    with pytest.raises(InputError, match="no such file"):
        resume(folder, quiet)
    resume(folder, quiet, overrides=[f"data.path={tmp_path}/moved/motion.npz", "device=cpu"])
    assert (folder / "report.csv").read_text() == report
    with pytest.raises(InputError, match="override 'seed=1': a run goes on with the settings it began with"):
        resume(folder, quiet, overrides=["seed=1"])


def test_joints_that_are_not_the_skeletons(tmp_path: Path) -> None:
    """Plain arrays have no names of joints."""
    motion = make_motion(0, 1)
    arrays = {f"{s.subject}/{s.name}": s.positions for s in motion.sequences[::4]}
    np.savez(tmp_path / "plain.npz", **arrays)
    first, second = motion.subjects[:2]
    said = {}
    for skeleton in ("h36m17", "coco17"):
        given = [f"skeleton={skeleton}", f"data.path={tmp_path}/plain.npz", "data.fps=50", "train.epochs=1"]
        given += [f"data.train_subjects=[{first}]", f"data.test_subjects=[{second}]"]
        lines: list[str] = []
        train(small_config(tmp_path, *given), lines.append)
        said[skeleton] = [line for line in lines if "change their length" in line]
    assert said["h36m17"] == []
    assert said["coco17"][0].endswith("and more: are these the joints of coco17, in its order?")


@pytest.mark.parametrize("mirrored", [False, True])
def test_2d_that_is_not_of_the_3d(mirrored: bool, tmp_path: Path) -> None:
    """Left and right exchanged in all of it, and training as well as evaluation says so."""
    motion, camera = small_motion(), h36m_rig()[0]
    motion = dataclasses.replace(motion, cameras={subject: [camera] for subject in motion.subjects})
    seen_2d = fixed_views(motion, [camera], seed=0)
    sequences = []
    for sequence, clip in zip(motion.sequences, seen_2d.clips, strict=True):
        pixels = denormalize_screen(seen_2d.keypoints_2d[clip.rows], camera.width, camera.height).numpy()
        own = pixels[:, motion.skeleton.mirror_indices] if mirrored else pixels
        sequences.append(dataclasses.replace(sequence, keypoints_2d={camera.name: own}))
    dataclasses.replace(motion, sequences=sequences).save(tmp_path / "seen.npz")
    lines: list[str] = []
    given = [*seen("fixed"), f"data.path={tmp_path}/seen.npz", "train.epochs=1"]
    folder = train(small_config(tmp_path, *given), lines.append)
    evaluate_checkpoint(folder, [], lines.append)
    told = [line for line in lines if "its cameras, and the joints of h36m17, in its order?" in line]
    assert len(told) == 2 * mirrored


def test_sequences_that_are_shorter_than_a_window(tmp_path: Path) -> None:
    said = []
    for frames in (15, 16):
        lines: list[str] = []
        config = small_config(tmp_path, "train.epochs=1", "train.batch_size=1", frames=(frames, 40, 40))
        train(config, lines.append)
        said.append([line for line in lines if "shorter than data.window" in line])
    assert said[0][0].startswith("100% of the frames are in sequences shorter than data.window=16, which ")
    assert said[1] == []


def test_motion_that_is_not_where_the_cameras_look(tmp_path: Path) -> None:
    said = []
    for away in (0, 3):
        motion = make_motion(0, 1)
        moved = [
            dataclasses.replace(s, positions=s.positions + np.float32([away, 0, 0])) for s in motion.sequences
        ]
        dataclasses.replace(motion, sequences=moved).save(tmp_path / "far.npz")
        lines: list[str] = []
        train(small_config(tmp_path, f"data.path={tmp_path}/far.npz", "train.epochs=1"), lines.append)
        said.append([line for line in lines if "outside the cameras' images" in line])
    assert said[0] == []
    assert said[1][0].startswith(("4", "5")) and "of the joints lie outside" in said[1][0]


def test_views_by_other_cameras_than_the_motions_own(tmp_path: Path) -> None:
    """Somebody 4 m before a camera in the origin, where the rig looks."""
    along_y = (0.5**0.5, -(0.5**0.5), 0.0, 0.0)
    at_origin = dataclasses.replace(h36m_rig()[0], orientation=along_y, translation=(0.0, 0.0, 0.0))
    motion = small_motion()
    far = [dataclasses.replace(s, positions=s.positions + np.float32([0, 4, -1])) for s in motion.sequences]
    cameras = {subject: [at_origin] for subject in motion.subjects}
    dataclasses.replace(motion, sequences=far, cameras=cameras).save(tmp_path / "far.npz")
    for views, told in (("fixed", False), ("turned", True)):
        lines: list[str] = []
        train(
            small_config(tmp_path, *seen(views), f"data.path={tmp_path}/far.npz", "train.epochs=1"),
            lines.append,
        )
        assert any("those of data.rig=h36m, which" in line for line in lines) == told


def test_frame_rates_that_differ_are_no_frame_rate(tmp_path: Path) -> None:
    motion = small_motion()
    mixed = [
        dataclasses.replace(s, fps=rate) for s, rate in zip(motion.sequences, (25.0, 50.0, 50.0), strict=True)
    ]
    assert dataclasses.replace(motion, sequences=mixed).common_fps is None
    assert dataclasses.replace(motion, sequences=mixed[1:], splits={}).common_fps == 50
    assert motion.common_fps == 50
