"""What a checkpoint scores: on other motion, by other ways to lift, on 2D of any quality."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from gcnpose.checkpoint import BEST
from gcnpose.data.camera import h36m_rig
from gcnpose.errors import InputError
from gcnpose.run import resume, train
from gcnpose.scoring import evaluate_checkpoint
from tests.experiments import NETWORKS, small_config
from tests.motions import coco_motion, small_motion
from tests.runs import assert_same_weights, quiet

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_other_motion(finished: Path, tmp_path: Path) -> None:
    dataclasses.replace(small_motion(subjects=("X", "Y", "Z")), splits={}).save(tmp_path / "other.npz")
    lines: list[str] = []
    other = f"data.path={tmp_path / 'other.npz'}"
    report = evaluate_checkpoint(finished / BEST, [other], lines.append)
    assert report["frames"] == 3 * 40 * 4
    assert "3 sequences of X, Y, Z" in lines[0]
    assert report["per_action"].keys() == {"swing"}
    some = evaluate_checkpoint(finished / BEST, [other, "data.subjects=[Y]"], quiet)
    assert some["frames"] == 40 * 4
    assert some["yardsticks"]["linear"] != report["yardsticks"]["linear"]


def test_people_it_was_trained_on(tmp_path: Path) -> None:
    """Their scores may be asked for, though the config that names them is for training."""
    named = [
        f"data.{split}_subjects=[{who}]"
        for split, who in zip(("train", "validation", "test"), "ABC", strict=True)
    ]
    run = train(small_config(tmp_path, "train.epochs=1", *named), quiet)
    for who, others in (("A", False), ("B", False), ("C", True)):
        lines: list[str] = []
        assert evaluate_checkpoint(run / BEST, [f"data.subjects=[{who}]"], lines.append)["subjects"] == [who]
        assert (f"subjects called {who}: are they other people?" not in lines[1]) == others


@pytest.mark.parametrize("splits", [{}, {"test": ("A",)}, {"train": ("C",)}], ids=str)
def test_test_subjects_stay_where_the_motion_has_moved(
    tmp_path: Path, splits: dict[str, tuple[str, ...]]
) -> None:
    """The config's test subjects are scored, whatever the file says of them, and not the training's."""
    moved = tmp_path / "moved"
    moved.mkdir()
    for folder in (tmp_path, moved):
        dataclasses.replace(small_motion(), splits=splits).save(folder / "motion.npz")
    named = ["data.train_subjects=[A]", "data.validation_subjects=[B]", "data.test_subjects=[C]"]
    run = train(
        small_config(tmp_path, "train.epochs=1", f"data.path={tmp_path / 'motion.npz'}", *named), quiet
    )
    (tmp_path / "motion.npz").unlink()
    given = [f"data.path={moved / 'motion.npz'}"]
    assert evaluate_checkpoint(run / BEST, given, quiet)["subjects"] == ["C"]
    assert evaluate_checkpoint(run / BEST, [*given, "data.subjects=[A]"], quiet)["subjects"] == ["A"]


@pytest.mark.parametrize(("fps", "told"), [(50.0, False), (25.0, True)])
def test_motion_of_another_frame_rate(finished: Path, tmp_path: Path, fps: float, told: bool) -> None:
    dataclasses.replace(small_motion(subjects=("X", "Y", "Z")), fps=fps, splits={}).save(tmp_path / "x.npz")
    lines: list[str] = []
    evaluate_checkpoint(finished / BEST, [f"data.path={tmp_path / 'x.npz'}"], lines.append)
    assert (
        any(line.startswith("the motion has 25 frames per second, the training's had 50") for line in lines)
        == told
    )


def test_evaluation_settings(finished: Path) -> None:
    plain = evaluate_checkpoint(finished / BEST, [], quiet)
    assert (plain["method"], plain["other_methods"]) == ("windows", {})
    assert plain["inference"] == {
        "window": 16,
        "step": 5,
        "flip": True,
        "following": False,
        "precision": "fp32",
    }
    lines: list[str] = []
    changes = ["evaluation.methods=[shifts, windows, whole]", "evaluation.step=16", "evaluation.flip=false"]
    report = evaluate_checkpoint(finished / BEST, changes, lines.append)
    assert (report["method"], list(report["other_methods"])) == ("shifts", ["windows", "whole"])
    scores = [report, *report["other_methods"].values()]
    for scored in scores:
        assert scored["seconds"] > 0
    assert len({scored["mean_over_frames"]["mpjpe_mm"] for scored in scores}) == 3
    assert report["inference"] == {
        "window": 16,
        "step": 16,
        "flip": False,
        "following": False,
        "precision": "fp32",
    }
    assert "whole, over frames" in lines[1] and "lifted by whole: " in lines[1]


def test_bf16_is_for_lifting_and_not_for_scoring(finished: Path) -> None:
    single = evaluate_checkpoint(finished, [], quiet)
    half = evaluate_checkpoint(finished, ["evaluation.precision=bf16"], quiet)
    assert half["yardsticks"] == single["yardsticks"]
    assert half["mean_over_frames"] != single["mean_over_frames"]
    assert half["mean_over_frames"] == pytest.approx(single["mean_over_frames"], rel=0.02)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "ugcn"])
def test_other_networks_in_a_run(name: str, tmp_path: Path) -> None:
    folder = train(small_config(tmp_path, NETWORKS[name], "train.epochs=1"), quiet)
    trained = json.loads((folder / "report.json").read_text())
    report = evaluate_checkpoint(folder, ["evaluation.methods=[windows, whole, shifts]"], quiet)
    assert report["mean_over_frames"] == trained["mean_over_frames"]
    other = report["other_methods"]
    assert other["whole"]["mean_over_frames"] == other["shifts"]["mean_over_frames"], "they have no strides"
    assert resume(folder, quiet) == folder


def sweep(checkpoint: Path, *changes: str) -> tuple[list[str], list[float], list[float], list[float]]:
    """What each report says of the 2D; MPJPE of the network, and of the linear yardstick, which fits A."""
    reports = [
        evaluate_checkpoint(checkpoint, ["data.subjects=[A]", *change.split()], quiet) for change in changes
    ]
    network = [report["mean_over_frames"]["mpjpe_mm"] for report in reports]
    linear = [report["yardsticks"]["linear"]["mean_over_frames"]["mpjpe_mm"] for report in reports]
    errors = [report["keypoints_error_px"] for report in reports]
    return [report["keypoints"] for report in reports], network, linear, errors


def test_noise_on_a_network_that_knew_none(finished: Path) -> None:
    sources, network, linear, errors = sweep(
        finished / BEST, *(f"data.keypoints.noise.scale={scale}" for scale in (0, 0.5, 1, 2))
    )
    plain = evaluate_checkpoint(finished / BEST, ["data.subjects=[A]"], quiet)
    assert network[0] == plain["mean_over_frames"]["mpjpe_mm"]
    assert linear == sorted(set(linear)), "the worse the 2D, the worse the 3D"
    assert len(set(network)) == 4
    assert sources[0] == "projected ground truth"
    assert sources[1:] == ["projected ground truth with noise"] * 3
    assert errors[0] == pytest.approx(0, abs=1e-3)
    assert [error / errors[1] for error in errors[1:]] == pytest.approx([1, 2, 4], rel=0.3)


@pytest.mark.parametrize("own", [False, True])
def test_between_the_prediction_and_the_truth(finished: Path, tmp_path: Path, own: bool) -> None:
    """The paper's appendix A: 2D of any quality between a detector's, or the noise's, and the truth."""
    motion, camera = small_motion((40, 30, 20)), h36m_rig()[0]
    if own:
        detected = np.random.default_rng(0).uniform(400, 600, (40, 17, 2)).astype(np.float32)
        seen = dataclasses.replace(motion.sequences[0], keypoints_2d={camera.name: detected})
        motion = dataclasses.replace(motion, sequences=[seen], splits={}, cameras={"A": [camera]})
    motion.save(tmp_path / "seen.npz")
    weights = (1, 0.75, 0.5, 0.25, 0)
    settings = f"data.path={tmp_path / 'seen.npz'} data.keypoints.noise.scale=1"
    sources, network, linear, _ = sweep(
        finished / BEST,
        f"{settings} data.keypoints.noise.scale=0 data.keypoints.detected=false",
        *(f"{settings} data.keypoints.ground_truth_weight={weight}" for weight in weights),
    )
    assert network[0] == network[1] and linear[0] == linear[1]
    assert linear[1:] == sorted(set(linear[1:]))
    assert len(set(network[1:])) == 5
    source = "the motion's own" if own else "projected ground truth with noise"
    mixed = [f"{source} mixed with {weight} ground truth" for weight in weights[:-1]]
    assert sources == ["projected ground truth", *mixed, source]


def test_training_with_noise(finished: Path, tmp_path: Path) -> None:
    config = small_config(tmp_path, "data.keypoints.noise.scale=1")
    folder = train(config, quiet)
    with pytest.raises(AssertionError):
        assert_same_weights(folder, finished)
    report = json.loads((folder / "report.json").read_text())
    assert report["keypoints"] == "projected ground truth with noise"
    again = train(config, quiet)
    assert_same_weights(again, folder)
    assert (again / "report.csv").read_text() == (folder / "report.csv").read_text()
    clean = evaluate_checkpoint(folder / BEST, ["data.keypoints.noise.scale=0"], quiet)
    assert clean["keypoints"] == "projected ground truth"


@pytest.mark.parametrize("change", ["model.channels=[4, 9]", "model.dropout=0.1", "skeleton=coco17"])
def test_the_network_cannot_be_overridden(finished: Path, change: str) -> None:
    with pytest.raises(InputError, match="the network is what the checkpoint has"):
        evaluate_checkpoint(finished / BEST, [change], quiet)


def test_motion_of_another_skeleton(finished: Path, tmp_path: Path) -> None:
    coco_motion().save(tmp_path / "coco.npz")
    with pytest.raises(
        InputError, match=r"coco\.npz: has the 17 joints .*; the given 'h36m17' has 17 joints"
    ):
        evaluate_checkpoint(finished / BEST, [f"data.path={tmp_path / 'coco.npz'}"], quiet)


def test_overrides_are_checked(finished: Path) -> None:
    with pytest.raises(InputError, match=r"data\.pth: unknown key, did you mean data\.path\?"):
        evaluate_checkpoint(finished / BEST, ["data.pth=x"], quiet)
    with pytest.raises(InputError, match="unknown subjects D; known are A, B, C"):
        evaluate_checkpoint(finished / BEST, ["data.subjects=[D]"], quiet)
