from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gcnpose.data.readers.bvh import read_bvh
from gcnpose.data.readers.joint_tracks import JointTracks
from gcnpose.data.synthetic import make_motion
from gcnpose.errors import InputError
from gcnpose.export.bvh import write_bvh, write_bvh_files
from gcnpose.skeleton import Skeleton, available_graphs
from tests.tracks3d import standing_track

H36M = Skeleton.load("h36m17")
LEG = Skeleton("leg", "hip", ("hip", "knee", "ankle"), (("hip", "knee"), ("knee", "ankle")), ())


def written(path: Path, skeleton: Skeleton, positions: np.ndarray, fps: float = 50) -> JointTracks:
    write_bvh(path, skeleton, positions, fps)
    return read_bvh(path)


def of_joints(tracks: JointTracks, skeleton: Skeleton) -> np.ndarray:
    """The skeleton's joints of a file in metres, z up."""
    x, y, z = np.moveaxis(
        tracks.positions[:, [tracks.names.index(joint) for joint in skeleton.joints]], -1, 0
    )
    return np.stack([x, -z, y], axis=-1) / 100


def with_constant_bones(skeleton: Skeleton, positions: np.ndarray) -> np.ndarray:
    """The positions with every bone at its median length, bone by bone from the root."""
    positions = positions.astype(np.float64)
    result = positions.copy()
    for joint in np.argsort(skeleton.hops)[1:]:
        parent = skeleton.parents[joint]
        bone = positions[:, joint] - positions[:, parent]
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        result[:, joint] = result[:, parent] + bone / length * np.median(length)
    return result


def test_synthetic_motion_comes_back(tmp_path: Path) -> None:
    """The embedded motion has constant bones, so the file holds it but for its digits."""
    takes = [sequence for sequence in make_motion(takes=1).sequences if sequence.subject == "S9"]
    assert len(takes) >= 18
    for sequence in takes[::3]:
        tracks = written(tmp_path / "a.bvh", H36M, sequence.positions)
        assert tracks.fps == 50
        error = np.linalg.norm(of_joints(tracks, H36M) - sequence.positions, axis=-1)
        assert error.max() < 1e-5


def test_real_motion_comes_back_after_bone_length_normalisation(tmp_path: Path, cmu17: Path) -> None:
    archive = np.load(cmu17 / "cmu17.npz")
    for name in ("S16/16_21_walk", "S49/49_05_run_leap", "S49/49_06_cartwheel"):
        tracks = written(tmp_path / "a.bvh", H36M, archive[name])
        found = of_joints(tracks, H36M)
        error = np.linalg.norm(found - with_constant_bones(H36M, archive[name]), axis=-1)
        assert error.mean() < 1e-5
        assert np.linalg.norm(found - archive[name], axis=-1).mean() < 0.005


@pytest.mark.parametrize("name", available_graphs())
def test_every_graph(tmp_path: Path, name: str) -> None:
    """Any shape, also one that falls apart from frame to frame, keeps its directions."""
    skeleton = Skeleton.load(name)
    random = np.random.default_rng(0)
    positions = random.normal(size=(1, skeleton.num_joints, 3)) + random.normal(
        0, 0.3, (5, skeleton.num_joints, 3)
    )
    found = of_joints(written(tmp_path / "a.bvh", skeleton, positions), skeleton)
    np.testing.assert_allclose(found, with_constant_bones(skeleton, positions), atol=1e-5)


def test_bone_lengths_are_constant(tmp_path: Path) -> None:
    positions = np.random.default_rng(0).normal(size=(9, 17, 3))
    found = of_joints(written(tmp_path / "a.bvh", H36M, positions), H36M)
    lengths = np.linalg.norm(found - found[:, H36M.parents], axis=-1)[:, 1:]  # the root has none
    np.testing.assert_allclose(lengths, np.broadcast_to(lengths[:1], lengths.shape), atol=1e-6)


def test_the_rest_pose_is_upright_and_faces_the_viewer(tmp_path: Path) -> None:
    """Of a y-up file towards +z, so that the left is at +x; whichever way the motion goes."""
    (walk,) = [
        sequence
        for sequence in make_motion(takes=1).sequences
        if (sequence.subject, sequence.name) == ("S9", "walk 1")
    ]
    turned = walk.positions @ Rotation.from_rotvec([0, 0, 2]).as_matrix().T
    write_bvh(tmp_path / "a.bvh", H36M, turned, 50)
    text = (tmp_path / "a.bvh").read_text()
    hierarchy = text.split("MOTION\n")[0]
    channels = hierarchy.count("rotation") + 3
    still = "Frames: 1\nFrame Time: 1\n" + " ".join(["0"] * channels)
    (tmp_path / "rest.bvh").write_text(f"{hierarchy}MOTION\n{still}\n")
    (rest,) = of_joints(read_bvh(tmp_path / "rest.bvh"), H36M)
    at = {joint: rest[index] for index, joint in enumerate(H36M.joints)}
    assert at["head"][2] > at["thorax"][2] > at["pelvis"][2] > at["left_knee"][2] > at["left_ankle"][2]
    across = at["left_hip"] - at["right_hip"]
    assert across[0] > 0.9 * np.linalg.norm(across)
    assert abs(at["head"][0]) < 0.1


def test_twist_does_not_jump(tmp_path: Path) -> None:
    """A leg that kicks and swings round turns no faster than its bones do."""
    time = np.linspace(0, 4 * np.pi, 400)
    positions = np.zeros((400, 3, 3))
    for joint, (lift, phase) in enumerate(((1.2, 0.0), (1.5, 1.0)), start=1):
        tilt, turn = lift * np.sin(time), time / 2 + phase
        step = np.stack([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), -np.cos(tilt)], axis=-1)
        positions[:, joint] = positions[:, joint - 1] + 0.45 * step
    write_bvh(tmp_path / "a.bvh", LEG, positions, 50)
    rows = np.loadtxt((tmp_path / "a.bvh").read_text().split("Frame Time")[1].splitlines()[1:])
    hip, knee = (Rotation.from_euler("ZXY", rows[:, start : start + 3], degrees=True) for start in (3, 6))
    for turns, joint in ((hip, 1), (hip * knee, 2)):
        bone = positions[:, joint] - positions[:, joint - 1]
        bone /= np.linalg.norm(bone, axis=-1, keepdims=True)
        seen = np.arccos(np.clip((bone[1:] * bone[:-1]).sum(axis=-1), -1, 1)).max()
        turned = (turns[1:] * turns[:-1].inv()).magnitude().max()
        assert turned < 2.5 * seen
    assert np.abs(np.diff(rows[:, 3:], axis=0)).max() < 90, "no jump of a whole turn between two frames"


def test_one_frame_missing_bones_and_odd_names(tmp_path: Path) -> None:
    """A bone of no length has no direction; its joint stays where the other is."""
    skeleton = Skeleton("odd", "a b", ("a b", "c{", "d"), (("a b", "c{"), ("a b", "d")), ())
    tracks = written(tmp_path / "a.bvh", skeleton, np.array([[[0, 0, 1], [0, 0, 1], [0.1, 0, 1]]]))
    assert tracks.names[:3] == ("a_b", "a_b_to_c_", "c_")
    np.testing.assert_allclose(
        tracks.positions[0, [0, 2, 5]], [[0, 100, 0], [0, 100, 0], [10, 100, 0]], atol=1e-5
    )


def test_a_file_for_each_track_in_the_same_world(tmp_path: Path) -> None:
    parts = [standing_track("4", first=0), standing_track("4", first=30)]
    write_bvh_files(tmp_path, [*parts, standing_track("far", place=(0.5, 0.2, 6.0))])
    names = ["person_4_from_0.bvh", "person_4_from_30.bvh", "person_far.bvh"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    near, later, far = (of_joints(read_bvh(tmp_path / name), H36M) for name in names)
    np.testing.assert_allclose(near, later, atol=0.05)
    np.testing.assert_allclose(far - near, np.broadcast_to([0, 2, 0], near.shape), atol=0.15)
    assert np.abs([positions[:, [3, 6], 2].min() for positions in (near, far)]).max() < 0.15


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    good = np.random.default_rng(0).normal(size=(3, 3, 3))
    gap = good.copy()
    gap[1, 2, 0] = np.nan
    path = tmp_path / "a.bvh"
    for positions, fps, message in (
        (good[:, :2], 50, r"expected positions \(frames, 3, 3\) of the joints of leg, got \(3, 2, 3\)"),
        (good[:0], 50, r"got \(0, 3, 3\)"),
        (gap, 50, "frame 1, joint 'ankle' is nan"),
        (good, 0, "fps must be more than 0 and at most 1000, not 0"),
    ):
        with pytest.raises(InputError, match=message):
            write_bvh(path, LEG, positions, fps)
    with pytest.raises(InputError, match="cannot be written"):
        write_bvh(tmp_path / "none" / "a.bvh", LEG, good, 50)
    assert not list(tmp_path.iterdir())
