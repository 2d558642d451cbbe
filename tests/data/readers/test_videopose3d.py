"""Motion in VideoPose3D's layout with any skeleton."""

import json
from pathlib import Path

import numpy as np
import pytest

from gcnpose.data.motion import MotionSet
from gcnpose.data.readers.videopose3d import read_videopose3d
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton
from tests.h36m_files import original_motion, write_3d

CMU17 = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "cmu17"
SKELETON = Skeleton.load("h36m17")


def quiet(line: str) -> None:
    pass


@pytest.mark.skipif(not CMU17.exists(), reason="the CMU motion is not here")
def test_equals_the_same_motion_as_plain_arrays() -> None:
    pickled = read_videopose3d(CMU17 / "cmu17_vp3d.npz", SKELETON, quiet)
    plain = MotionSet.load(CMU17 / "cmu17.npz", SKELETON)
    ours, theirs = (
        sorted(motion.sequences, key=lambda sequence: (sequence.subject, sequence.name))
        for motion in (pickled, plain)
    )
    assert (pickled.fps, pickled.splits) == (plain.fps, plain.splits) and len(ours) == len(theirs) == 343
    for one, other in zip(ours, theirs, strict=True):
        assert (one.subject, one.name) == (other.subject, other.name)
        np.testing.assert_array_equal(one.positions, other.positions)


def test_frame_rate_is_given_or_stands_beside_the_file(tmp_path: Path) -> None:
    path = write_3d(tmp_path / "data_3d_mine.npz", {"A/B": {"walk 1": original_motion(0, joints=17) / 1000}})
    lines: list[str] = []
    motion = read_videopose3d(path, SKELETON, lines.append, fps=30)
    assert motion.fps == 30.0 and motion.subjects == ("A-B",)
    assert lines == [f"{path}: 1 sequences of 1 subjects"]
    with pytest.raises(InputError, match=f"^{path}: does not say its frame rate"):
        read_videopose3d(path, SKELETON, quiet)
    (tmp_path / "splits.json").write_text(json.dumps({"fps": 25, "splits": {"test": ["A-B"]}}))
    assert read_videopose3d(path, SKELETON, quiet).splits == {"test": ("A-B",)}
    with pytest.raises(InputError, match="has 25 fps, but 30 fps was given"):
        read_videopose3d(path, SKELETON, quiet, fps=30)


def test_wrong_joint_count(tmp_path: Path) -> None:
    path = write_3d(tmp_path / "data_3d_mine.npz", {"A": {"walk": np.zeros((2, 15, 3), np.float32)}})
    with pytest.raises(InputError, match=f"^{path}: A/walk: has 15 joints, but 'h36m17' has 17"):
        read_videopose3d(path, SKELETON, quiet, fps=30)


def test_names_that_cannot_be_used(tmp_path: Path) -> None:
    poses = np.zeros((2, 17, 3), np.float32)
    path = write_3d(tmp_path / "data_3d_mine.npz", {"A": {"x/y": poses, "x-y": poses.copy()}})
    with pytest.raises(InputError, match=f"^{path}: positions_3d: A/x-y stands twice"):
        read_videopose3d(path, SKELETON, quiet, fps=30)
    write_3d(path, {"A": {7: poses}})  # type: ignore[dict-item]
    with pytest.raises(InputError, match=f"^{path}: expected names of subjects and actions, got 7"):
        read_videopose3d(path, SKELETON, quiet, fps=30)
