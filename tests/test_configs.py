"""Every config of a data set trains and scores a few steps on a miniature of it in its true file layout."""

import dataclasses
import json
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest

from gcnpose.config import load_config
from gcnpose.data.motion import MotionSet
from gcnpose.data.readers.h36m import read_h36m
from gcnpose.data.readers.humaneva import read_humaneva
from gcnpose.data.readers.mpi_inf_3dhp import read_mpi_inf_3dhp
from gcnpose.run import train
from tests.h36m_files import METADATA, detections, original_motion, write_2d, write_3d, write_originals
from tests.mpi_inf_3dhp_files import world_motion, write_test, write_training

FRAMES = 20
H36M_SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")


def quiet(line: str) -> None:
    pass


def h36m(folder: Path, detected: bool) -> MotionSet:
    """Two recordings of every subject: CDF files, and detections in VideoPose3D's layout."""
    names = ("Walking", "SittingDown 1")
    recordings = [(subject, name) for subject in H36M_SUBJECTS for name in names]
    motion = {key: original_motion(seed, FRAMES) for seed, key in enumerate(recordings)}
    write_originals(folder, motion)
    seen = {
        subject: {name: detections(seed, FRAMES) for name in names}
        for seed, subject in enumerate(H36M_SUBJECTS)
    }
    keypoints = write_2d(folder / "data_2d_h36m_made_up.npz", seen)
    return read_h36m(folder, quiet, keypoints if detected else None)


def humaneva(folder: Path) -> MotionSet:
    names = ("Walking 1 chunk0", "Jog 1 chunk0", "Box 1 chunk2", "Gestures 1 chunk0")
    subjects = [f"{split}/S{number}" for split in ("Train", "Validate") for number in (1, 2, 3)]
    positions = {
        subject: {name: original_motion(seed, FRAMES, 15) / 1000 for name in names}
        for seed, subject in enumerate(subjects)
    }
    seen = {
        subject: {name: detections(seed, FRAMES, joints=15, cameras=3) for name in names}
        for seed, subject in enumerate(subjects)
    }
    path = write_3d(folder / "data_3d_humaneva15.npz", positions)
    keypoints = write_2d(folder / "data_2d_humaneva15_gt.npz", seen, METADATA["humaneva15"])
    return read_humaneva(path, quiet, keypoints)


def mpi_inf_3dhp(folder: Path) -> MotionSet:
    for number in range(1, 9):
        write_training(folder, f"S{number}", "Seq1", world_motion(number, FRAMES))
    for number in range(1, 7):
        write_test(folder, f"TS{number}", world_motion(10 + number, FRAMES))
    return read_mpi_inf_3dhp(folder, quiet)


# How to make the motion; how many frames of it are scored; the columns.
MINIATURES: dict[str, tuple[Callable[[Path], MotionSet], int, list[str]]] = {
    "h36m_gt": (lambda folder: h36m(folder, False), 2 * 2 * 4 * FRAMES, ["Walking", "SittingDown"]),
    "h36m_cpn": (lambda folder: h36m(folder, True), 2 * 2 * 4 * FRAMES, ["Walking", "SittingDown"]),
    "h36m_hrnet": (lambda folder: h36m(folder, True), 2 * 2 * 4 * FRAMES, ["Walking", "SittingDown"]),
    "humaneva": (
        humaneva,
        3 * 3 * 3 * FRAMES,
        [f"{action} S{number}" for number in (1, 2, 3) for action in ("Box", "Jog", "Walk")],
    ),
    "mpi_inf_3dhp_gt": (mpi_inf_3dhp, 6 * 7, [f"TS{number}" for number in range(1, 7)]),
}


@pytest.mark.parametrize("name", MINIATURES)
def test_config_of_a_data_set(name: str, tmp_path: Path) -> None:
    make, frames, columns = MINIATURES[name]
    (tmp_path / "source").mkdir()
    make(tmp_path / "source").save(tmp_path / "motion.npz")
    config = load_config(
        name,
        (
            f"data.path={tmp_path / 'motion.npz'}",
            f"output={tmp_path / 'runs'}",
            "train.epochs=1",
            "train.steps_per_epoch=2",
            "train.batch_size=2",
            "model.channels=[4, 8]",
            "evaluation.batch_size=8",
            "tracking.enabled=false",
            "device=cpu",
        ),
    )
    folder = train(config, quiet)
    report = json.loads((folder / "report.json").read_text())
    assert report["protocol"] == config.evaluation.protocol
    assert report["frames"] == frames
    assert sorted(report["per_action"]) == sorted(columns)
    assert (report["keypoints_error_px"] < 1) == (name in ("h36m_gt", "mpi_inf_3dhp_gt"))


def test_baselines_are_the_same_experiment_with_another_network() -> None:
    ours = load_config("cmu17")
    names = {"simple_baseline", "videopose3d", "agformer"}
    for baseline in ("simple_baseline", "videopose3d_81", "videopose3d_243", "agformer"):
        config = load_config(f"cmu17_{baseline}")
        names.discard(config.model.name)
        own = {"learning_rate": config.train.learning_rate, "weight_decay": config.train.weight_decay}
        train = dataclasses.replace(ours.train, **own)
        assert dataclasses.replace(ours, name=config.name, model=config.model, train=train) == config
    assert not names
    assert prod(load_config("cmu17_videopose3d_81").model.videopose3d.filter_widths) == 81
    assert prod(load_config("cmu17_videopose3d_243").model.videopose3d.filter_widths) == 243


@pytest.mark.parametrize("name", MINIATURES)
def test_settings_of_the_paper(name: str) -> None:
    """But for the data and how it is scored, they are one experiment."""
    config, paper = load_config(name), load_config("cmu17_paper")
    assert (config.model, config.loss, config.train) == (paper.model, paper.loss, paper.train)
    scored = dataclasses.replace(config.evaluation, protocol=paper.evaluation.protocol)
    assert scored == paper.evaluation
    for setting in ("window", "step", "views", "augment"):
        assert getattr(config.data, setting) == getattr(paper.data, setting)
