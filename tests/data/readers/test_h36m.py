"""Human3.6M from miniature files in their true layouts, against the motion that they were made from."""

import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gcnpose.data.camera import h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.readers import h36m
from gcnpose.data.readers.h36m import read_h36m
from gcnpose.data.views import fixed_views
from gcnpose.errors import InputError
from tests.h36m_files import (
    CAMERAS,
    KEPT,
    METADATA,
    detections,
    original_motion,
    write_2d,
    write_3d,
    write_archive,
    write_cdf,
    write_originals,
)

MOTION = {
    ("S1", "Walking 1"): original_motion(1, 5),
    ("S1", "TakingPhoto"): original_motion(2),
    ("S1", "WalkingDog 1"): original_motion(3),
    ("S9", "WalkTogether"): original_motion(4),
    ("S11", "Directions"): original_motion(5),
    ("S11", "Directions 1"): original_motion(6),
}
# As VideoPose3D names them, without what it leaves out.
NAMES = {
    ("S1", "Walking 1"): ("S1", "Walking 1"),
    ("S1", "Photo"): ("S1", "TakingPhoto"),
    ("S1", "WalkDog 1"): ("S1", "WalkingDog 1"),
    ("S9", "WalkTogether"): ("S9", "WalkTogether"),
    ("S11", "Directions 1"): ("S11", "Directions 1"),
}


def quiet(line: str) -> None:
    pass


def by_name(motion: MotionSet) -> dict[tuple[str, str], Any]:
    return {(sequence.subject, sequence.name): sequence for sequence in motion.sequences}


def positions_3d() -> dict[str, dict[str, Any]]:
    """What VideoPose3D makes of the motion."""
    positions: dict[str, dict[str, Any]] = {}
    for (subject, name), original in NAMES.items():
        positions.setdefault(subject, {})[name] = (MOTION[original] / 1000).astype(np.float32)
    return positions


def positions_2d(**arguments: Any) -> dict[str, dict[str, Any]]:
    """Detections of all sequences, each two frames longer than its motion."""
    positions: dict[str, dict[str, Any]] = {"S2": {"Walking": detections(0)}}
    for number, ((subject, name), original) in enumerate(NAMES.items()):
        views = detections(number, len(MOTION[original]) + 2, **arguments)
        positions.setdefault(subject, {})[name] = views
    return positions


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_originals(tmp_path_factory.mktemp("h36m"), MOTION)


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory, originals: Path) -> Path:
    folder = tmp_path_factory.mktemp("downloads")
    for subject in ("S1", "S9", "S11"):
        write_archive(folder, subject, originals)
    return folder


@pytest.fixture(scope="module")
def npz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_3d(tmp_path_factory.mktemp("vp3d") / "data_3d_h36m.npz", positions_3d())


def refused(path: Path, **arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_h36m(path, quiet, **arguments)
    return str(caught.value)


@pytest.mark.parametrize("source", ["originals", "archives", "npz"])
def test_joints_names_units_cameras_and_splits(source: str, request: pytest.FixtureRequest) -> None:
    motion = read_h36m(request.getfixturevalue(source), quiet)
    sequences = by_name(motion)
    assert set(sequences) == set(NAMES)
    for name, original in NAMES.items():
        np.testing.assert_allclose(sequences[name].positions, MOTION[original][:, KEPT] / 1000, atol=1e-6)
    assert motion.skeleton.name == "h36m17" and motion.fps == 50.0
    assert motion.splits == {"train": ("S1",), "test": ("S9", "S11")}
    assert motion.cameras == {subject: h36m_rig(subject) for subject in ("S1", "S9", "S11")}
    assert sequences["S1", "Photo"].action == "Photo" and sequences["S1", "WalkDog 1"].action == "WalkDog"


def test_all_sources_give_the_same(originals: Path, archives: Path, npz: Path) -> None:
    assert read_h36m(originals, quiet).digest() == read_h36m(archives, quiet).digest()
    for ours, theirs in zip(
        read_h36m(originals, quiet).sequences, read_h36m(npz, quiet).sequences, strict=True
    ):
        np.testing.assert_allclose(ours.positions, theirs.positions, atol=1e-6)


def test_one_archive(archives: Path) -> None:
    assert read_h36m(archives / "Poses_D3_Positions_S9.tgz", quiet).subjects == ("S9",)


def test_positions_in_a_cameras_frame_are_no_motion(originals: Path, tmp_path: Path) -> None:
    """The archives of D3_Positions_mono are built alike."""
    mono = tmp_path / "S9" / "MyPoseFeatures" / "D3_Positions_mono"
    shutil.copytree(originals / "S9" / "MyPoseFeatures" / "D3_Positions", mono)
    archive = write_archive(tmp_path, "S9", tmp_path)
    with pytest.raises(
        InputError, match=r"expected CDF files of a folder S\*/MyPoseFeatures/D3_Positions, fou"
    ):
        read_h36m(archive, quiet)


def test_says_what_it_read_and_left_out(originals: Path, npz: Path) -> None:
    lines: list[str] = []
    read_h36m(originals, lines.append)
    assert lines == [
        f"S5, S6, S7, S8: not in {originals}, left out",
        "S1: 3 of 30 sequences, 13 frames",
        "S9: 1 of 30 sequences, 4 frames",
        "S11/Directions: left out, its videos are corrupted",
        "S11: 1 of 30 sequences, 4 frames",
    ]


def test_corrupted_recording_is_kept_on_request(originals: Path, tmp_path: Path) -> None:
    kept = by_name(read_h36m(originals, quiet, keep_corrupted=True))
    assert set(kept) == {*NAMES, ("S11", "Directions")}
    keypoints = write_2d(tmp_path / "data_2d.npz", positions_2d())
    without = by_name(read_h36m(originals, quiet, keypoints, keep_corrupted=True))
    assert set(without) == set(NAMES)


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("metadata", [METADATA["h36m"], {**METADATA["h36m"], "layout_name": "h36m"}, None])
def test_keypoints_are_cut_to_the_motion(
    npz: Path, tmp_path: Path, channels: int, metadata: dict[str, Any] | None
) -> None:
    given = positions_2d(channels=channels)
    lines: list[str] = []
    keypoints = write_2d(tmp_path / "data_2d_h36m_gt.npz", given, metadata)
    for (subject, name), sequence in by_name(read_h36m(npz, lines.append, keypoints)).items():
        assert tuple(sequence.keypoints_2d) == CAMERAS
        for camera, view in zip(CAMERAS, given[subject][name], strict=True):
            np.testing.assert_array_equal(sequence.keypoints_2d[camera], view[: len(sequence.positions)])
    assert lines[-1] == (
        f"{keypoints}: 2D {'with' if channels == 3 else 'without'} score for 5 sequences from 4 cameras, "
        "20 videos cut to the motion's length, 1 sequences without motion left out"
    )
    assert any("does not say its joints" in line for line in lines) == (metadata is None)


def test_ground_truth_2d_is_what_the_cameras_see(npz: Path, tmp_path: Path) -> None:
    """The formula of VideoPose3D's common/camera.py, project_to_2d, in numpy: what its ``gt`` file holds."""
    given: dict[str, dict[str, Any]] = {}
    for (subject, name), original in NAMES.items():
        world = MOTION[original][:, KEPT] / 1000
        given.setdefault(subject, {})[name] = [
            seen_by(camera, world).astype(np.float32) for camera in h36m_rig(subject)
        ]
    motion = read_h36m(npz, quiet, write_2d(tmp_path / "gt.npz", given))
    projected = read_h36m(npz, quiet)
    ours, theirs = (fixed_views(one, h36m_rig(), seed=0).keypoints_2d for one in (projected, motion))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def seen_by(camera: Any, world: Any) -> Any:
    w, *v = camera.orientation
    # The conjugate quaternion turns world into camera.
    axis, offset = -np.array(v), world - np.array(camera.translation)
    twice = 2 * np.cross(axis, offset)
    seen = offset + w * twice + np.cross(axis, twice)
    xy = np.clip(seen[..., :2] / seen[..., 2:], -1, 1)
    r2 = (xy**2).sum(-1, keepdims=True)
    radial = 1 + sum(k * r2 ** (n + 1) for n, k in enumerate(camera.radial))
    tangential = (np.array(camera.tangential) * xy).sum(-1, keepdims=True)
    distorted = xy * (radial + tangential) + np.array(camera.tangential) * r2
    return np.array(camera.focal_px) * distorted + np.array(camera.center_px)


def test_stacked_hourglass_becomes_the_17_joints(npz: Path, tmp_path: Path) -> None:
    """MHFormer's rule: h36m_mpii_order, and the spine as the mean of MPII's joints 2, 3, 12 and 13."""
    given = positions_2d(joints=16)
    motion = read_h36m(npz, quiet, write_2d(tmp_path / "sh.npz", given, METADATA["mpii"]))
    order = [3, 2, 1, 4, 5, 6, 0, 8, 9, 10, 16, 15, 14, 11, 12, 13]
    mpii = given["S1"]["Photo"][2][:4]
    expected = np.zeros((4, 17, 2), np.float32)
    expected[:, order] = mpii
    expected[:, 7] = mpii[:, [2, 3, 12, 13]].mean(axis=1)
    ours = by_name(motion)["S1", "Photo"].keypoints_2d["58860488"]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_coco_is_refused_though_it_has_17_joints(npz: Path, tmp_path: Path) -> None:
    keypoints = write_2d(tmp_path / "detectron_pt_coco.npz", positions_2d(), METADATA["coco"])
    assert refused(npz, keypoints=keypoints) == (
        f"{keypoints}: has the joints of coco17, but the motion has those of h36m17; both must be the same "
        "joints in the same order"
    )


def test_keypoints_that_do_not_fit(npz: Path, tmp_path: Path) -> None:
    path = tmp_path / "data_2d.npz"

    def message(subject: str, name: str, views: Any, metadata: Any = METADATA["h36m"]) -> str:
        given = positions_2d()
        given[subject][name] = views
        return refused(npz, keypoints=write_2d(path, given, metadata)).removeprefix(f"{path}: ")

    assert message("S1", "Photo", detections(0, 3)) == "S1/Photo/54138969: 3 frames, but 4 in 3D"
    assert message("S1", "Photo", detections(0, cameras=3)) == "S1/Photo: expected 4 cameras, got 3"
    assert message("S1", "Photo", detections(0, joints=16)) == (
        "S1/Photo/54138969: has 16 joints, but 'h36m17' has 17"
    )
    views = detections(0)
    views[1][2, 3] = np.nan
    assert message("S1", "Photo", views) == "S1/Photo/55011271: frame 2, joint 'right_ankle' is nan"
    assert message("S1", "Photo", [None] * 4).startswith("S1/Photo/54138969: expected an array of floating-")
    assert message("S1", "Photo", None) == "S1/Photo: expected an array for each camera, got NoneType"
    assert message("S1", "x", [], {"num_joints": 5, "keypoints_symmetry": [[0], [1]]}).startswith(
        "5 joints with [0] on the left are of no known layout; known are h36m17"
    )
    assert message("S1", "x", [], {"joints": 5}) == "metadata: expected num_joints and keypoints_symmetry"
    del (given := positions_2d())["S9"]
    write_2d(path, given)
    assert refused(npz, keypoints=path) == f"{path}: has no 2D keypoints of S9/WalkTogether"


def test_npz_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "data_3d_h36m.npz"
    walking = original_motion(1) / 1000

    def message(content: Any) -> str:
        return refused(write_3d(path, content)).removeprefix(f"{path}: ")

    assert message({"S1": {"Walking": walking[:, :17]}}) == (
        "S1/Walking: has 17 joints, but Human3.6M has 32; "
        "for motion already cut to a graph's joints there is the kind videopose3d"
    )
    damaged = walking.copy()
    damaged[3, 12] = np.nan
    assert message({"S1": {"Walking": damaged}}) == "S1/Walking: frame 3, joint 12 is nan"
    assert message({"S1": {"Walking": walking[:0]}}) == "sequence S1/Walking: has 0 frames"
    assert message({"S1": {"Walking": walking * 1000}}).endswith("positions must be in metres")
    assert message({}) == "no motion sequence; at least one is needed"
    assert message({"S2": {"Walking": walking}}) == "no motion sequence; at least one is needed"
    assert message({"S1": [walking]}).startswith("positions_3d: expected a dict of actions for each subject")
    np.savez(path, poses=walking)
    assert refused(path) == f"{path}: expected positions_3d by subject and action, got poses"


def test_damaged_originals(tmp_path: Path) -> None:
    write_originals(tmp_path, {("S1", "Walking"): original_motion(1)})
    path = tmp_path / "S1" / "MyPoseFeatures" / "D3_Positions" / "Walking.cdf"
    whole = path.read_bytes()
    for content in (b"", b"hello, this is no CDF file", whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert refused(tmp_path).startswith(f"{path}: expected a CDF file with the variable Pose: ")
    write_cdf(path, original_motion(1), variable="Angles")
    assert refused(tmp_path).startswith(f"{path}: expected a CDF file with the variable Pose: ")
    write_cdf(path, original_motion(1, joints=17))
    assert refused(tmp_path) == (
        f"{path}: expected 96 numbers in a frame, 32 joints, got the shape (1, 4, 51)"
    )
    poses = original_motion(1)
    poses[2, 3] = np.nan
    write_cdf(path, poses)
    assert refused(tmp_path) == f"{path}: frame 2, joint 'right_ankle' is nan"
    path.unlink()
    assert refused(tmp_path) == (
        f"{path.parent}: expected CDF files of a folder S*/MyPoseFeatures/D3_Positions, found none"
    )


def test_damaged_archives(tmp_path: Path, archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "Poses_D3_Positions_S1.tgz"
    whole = (archives / path.name).read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        path.write_bytes(content)
        message = refused(tmp_path)
        assert message.startswith(f"{path}: cannot be read, expected a .tgz archive: ")
        assert "\n" not in message
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, arcname="S1/test.py")
    assert refused(tmp_path).startswith(f"{path}: expected CDF files of a folder")
    path.write_bytes(whole)
    monkeypatch.setattr(h36m, "_MAX_CDF_BYTES", 1000)
    assert "far more than a recording" in refused(path)


def test_places_without_the_data_set(tmp_path: Path) -> None:
    assert refused(tmp_path) == (
        f"{tmp_path}: expected Poses_D3_Positions_S*.tgz or S*/MyPoseFeatures/D3_Positions in it, "
        "found neither"
    )
    assert refused(tmp_path / "no") == f"{tmp_path / 'no'}: no such file or folder"
    assert refused(tmp_path / "no.npz") == f"{tmp_path / 'no.npz'}: no such file"


@pytest.mark.parametrize("source", ["originals", "archives"])
def test_goes_on_where_it_was_broken_off(
    source: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    shutil.copytree(request.getfixturevalue(source), folder)
    cache = tmp_path / "parts"
    read: list[str] = []
    read_cdf = h36m._read_cdf

    def until_subject_9(file: Path, where: str) -> Any:
        read.append(where)
        if "S9" in where:
            raise KeyboardInterrupt
        return read_cdf(file, where)

    monkeypatch.setattr(h36m, "_read_cdf", until_subject_9)
    with pytest.raises(KeyboardInterrupt):
        read_h36m(folder, quiet, cache=cache)
    assert len(read) == 4 and len(os.listdir(cache)) == 1
    monkeypatch.setattr(h36m, "_read_cdf", lambda file, where: read.append(where) or read_cdf(file, where))
    read.clear()
    motion = read_h36m(folder, quiet, cache=cache)
    assert len(read) == 3 and not [where for where in read if "S1/" in where.removeprefix(str(tmp_path))]
    assert motion.digest() == read_h36m(folder, quiet).digest()
    read.clear()
    for file in folder.rglob("*S1*" if source == "archives" else "S1/**/Walking 1.cdf"):
        os.utime(file, ns=(0, 0))
    read_h36m(folder, quiet, cache=cache)
    assert len(read) == 3 * (source == "originals") + (3 + 2) * (source == "archives")
