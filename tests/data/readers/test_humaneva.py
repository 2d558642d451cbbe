"""HumanEva from VideoPose3D's layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.data.camera import humaneva_rig
from gcnpose.data.readers.humaneva import read_humaneva
from gcnpose.errors import InputError
from tests.h36m_files import METADATA, detections, original_motion, write_2d, write_3d


def quiet(line: str) -> None:
    pass


def poses(seed: int, frames: int = 4) -> Any:
    return (original_motion(seed, frames, joints=15) / 1000).astype(np.float32)


POSITIONS = {
    "Train/S1": {"Walking 1 chunk0": poses(1), "Walking 1 chunk2": poses(2, 1), "Box 1 chunk0": poses(3)},
    "Validate/S2": {"Jog 1 chunk0": poses(4, 6)},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_3d(tmp_path / "data_3d_humaneva15.npz", POSITIONS)


def views(**arguments: Any) -> dict[str, dict[str, Any]]:
    """2D from three cameras, and of what has no motion."""
    given = {
        subject: {
            name: detections(0, len(array), 15, cameras=3, **arguments) for name, array in actions.items()
        }
        for subject, actions in POSITIONS.items()
    }
    return {**given, "Unlabeled/S4": {"Combo 1": detections(0, 9, 15, cameras=3)}}


def test_subjects_actions_cameras_and_splits(path: Path) -> None:
    lines: list[str] = []
    motion = read_humaneva(path, lines.append)
    assert motion.skeleton.name == "humaneva15" and motion.fps == 60.0
    assert motion.splits == {"train": ("Train-S1",), "test": ("Validate-S2",)}
    assert [(sequence.subject, sequence.name, sequence.action) for sequence in motion.sequences] == [
        ("Train-S1", "Box 1 chunk0", "Box"),
        ("Train-S1", "Walking 1 chunk0", "Walking"),
        ("Train-S1", "Walking 1 chunk2", "Walking"),
        ("Validate-S2", "Jog 1 chunk0", "Jog"),
    ]
    np.testing.assert_array_equal(motion.sequences[1].positions, POSITIONS["Train/S1"]["Walking 1 chunk0"])
    assert motion.cameras == {"Train-S1": humaneva_rig("S1"), "Validate-S2": humaneva_rig("S2")}
    assert lines[0] == "Train-S1: 3 sequences, 9 frames" and "will be projected" in lines[-1]


@pytest.mark.parametrize("channels", [2, 3])
def test_keypoints(path: Path, tmp_path: Path, channels: int) -> None:
    given = views(channels=channels)
    keypoints = write_2d(tmp_path / "data_2d_humaneva15_gt.npz", given, METADATA["humaneva15"])
    motion = read_humaneva(path, quiet, keypoints)
    for sequence in motion.sequences:
        expected = given[sequence.subject.replace("-", "/")][sequence.name]
        assert list(sequence.keypoints_2d) == ["C1", "C2", "C3"]
        for ours, theirs in zip(sequence.keypoints_2d.values(), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_other_layouts_are_refused(path: Path, tmp_path: Path) -> None:
    keypoints = write_2d(tmp_path / "data_2d_humaneva15_detectron_pt_coco.npz", views(), METADATA["coco"])
    with pytest.raises(InputError, match="has the joints of coco17, but the motion has those of humaneva15"):
        read_humaneva(path, quiet, keypoints)
    twenty = {"Train/S1": {"Walking 1": (original_motion(0, joints=20) / 1000).astype(np.float32)}}
    with pytest.raises(InputError, match="Train-S1/Walking 1: has 20 joints, but 'humaneva15' has 15"):
        read_humaneva(write_3d(path, twenty), quiet)


def test_other_subjects_are_left_out(path: Path) -> None:
    lines: list[str] = []
    write_3d(path, {**POSITIONS, "Unlabeled/S4": {"Combo 1": poses(0)}})
    assert read_humaneva(path, lines.append).subjects == ("Train-S1", "Validate-S2")
    assert lines[0].startswith("Unlabeled-S4: left out, the data set's subjects are Train-S1, ")


def test_hostile_pickle(path: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return open, (str(tmp_path / "ran"), "w")

    write_3d(path, {"Train/S1": {"Walking 1": Hostile()}})
    with pytest.raises(InputError, match=f"^{path}: array 'positions_3d': holds _?io.open;"):
        read_humaneva(path, quiet)
    assert not (tmp_path / "ran").exists()
