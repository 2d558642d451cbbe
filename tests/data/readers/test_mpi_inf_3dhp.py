"""MPI-INF-3DHP from miniature files in their true layout, against the motion that they were made from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gcnpose.data.camera import h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.readers import mpi_inf_3dhp
from gcnpose.data.readers.mpi_inf_3dhp import JOINTS, SEQUENCES, read_calibration, read_mpi_inf_3dhp
from gcnpose.data.views import Clip, Views, fixed_views
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton
from tests.mpi_inf_3dhp_files import (
    CHOSEN_CAMERAS,
    INTRINSIC,
    OF_28,
    UNIVERSAL,
    calibration_text,
    extrinsic,
    projected,
    seen_by,
    training_annotations,
    valid_frames,
    world_motion,
    write_mpi_inf_3dhp,
    write_npz,
    write_test,
    write_training,
)


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mpi_inf_3dhp(tmp_path_factory.mktemp("mpi"))


@pytest.fixture(scope="module", params=["annot3", "univ_annot3"])
def poses(request: pytest.FixtureRequest) -> Any:
    return request.param


def views_of(motion: MotionSet) -> tuple[Views, dict[tuple[str, str], Clip]]:
    views = fixed_views(motion, h36m_rig(), seed=0)
    return views, {(clip.subject, clip.name): clip for clip in views.clips}


def root_relative(positions_mm: Any) -> torch.Tensor:
    pelvis = 14
    return torch.from_numpy((positions_mm - positions_mm[:, pelvis : pelvis + 1]) / 1000).float()


def test_joints_are_those_of_p_stmo() -> None:
    assert [JOINTS.index(joint) for joint in Skeleton.load("mpi_inf_3dhp17").joints] == OF_28
    assert len(set(JOINTS)) == 28


def test_frames_of_the_training_set() -> None:
    """1,052,736 training frames of 8 cameras, 131,592 for each (sum of mpii_get_sequence_info.m)."""
    assert sum(frames for frames, _ in SEQUENCES.values()) == 131_592
    assert {label for label, (_, fps) in SEQUENCES.items() if fps == 50} == {
        ("S1", "Seq2"),
        ("S3", "Seq1"),
        ("S3", "Seq2"),
        ("S5", "Seq1"),
        ("S5", "Seq2"),
    }


def test_what_there_is(folder: Path) -> None:
    motion = read_mpi_inf_3dhp(folder, quiet)
    assert motion.splits == {"train": ("S1", "S2"), "test": ("TS1", "TS5")}
    assert motion.skeleton == Skeleton.load("mpi_inf_3dhp17")
    assert motion.fps == 25
    names = [(sequence.subject, sequence.name, sequence.cameras) for sequence in motion.sequences]
    training = [("S1", "Seq1"), ("S1", "Seq2"), ("S2", "Seq1")]
    assert names == [
        *((subject, f"{name} {n}", (f"{name} {n}",)) for subject, name in training for n in CHOSEN_CAMERAS),
        ("TS1", "TS1", ("TS1",)),
        ("TS5", "TS5", ("TS5",)),
    ]
    assert [s.fps for s in motion.sequences] == [None] * 8 + [50.0] * 8 + [None] * 8 + [None] * 2
    assert {sequence.action for sequence in motion.sequences} == {"Seq1", "Seq2", "TS1", "TS5"}
    sizes = {camera.name: (camera.width, camera.height) for camera in motion.cameras["TS5"]}
    assert sizes == {"TS5": (1920, 1080)}


def test_world_is_that_of_the_calibration(folder: Path) -> None:
    """All cameras place the measured joints in one world: y up becomes z up, millimetres become metres."""
    world = world_motion(1, 40)[:, OF_28] / 1000
    expected = np.stack([world[..., 0], -world[..., 2], world[..., 1]], axis=-1)
    motion = read_mpi_inf_3dhp(folder, quiet, "annot3")
    of_take = [s for s in motion.sequences if s.subject == "S1" and s.name.startswith("Seq2")]
    assert len(of_take) == 8
    for sequence in of_take:
        np.testing.assert_allclose(sequence.positions, expected, atol=1e-5)


def test_training_views(folder: Path, poses: Any) -> None:
    """What is learnt from is annot2, and the 3D of that camera about its pelvis."""
    views, clips = views_of(read_mpi_inf_3dhp(folder, quiet, poses))
    scale = UNIVERSAL if poses == "univ_annot3" else 1
    for camera in CHOSEN_CAMERAS:
        clip = clips["S1", f"Seq2 {camera}"]
        seen = seen_by(camera, world_motion(1, 40))[:, OF_28]
        torch.testing.assert_close(views.pose_3d[clip.rows], root_relative(scale * seen), atol=1e-5, rtol=0)
        pixels = torch.from_numpy(projected(seen)).float() / 1024 - 1
        torch.testing.assert_close(views.keypoints_2d[clip.rows], pixels, atol=1e-5, rtol=0)
        assert clip.error_px < 0.02, "scaled about the camera, it projects to the same place"


def test_test_views(folder: Path, poses: Any) -> None:
    motion = read_mpi_inf_3dhp(folder, quiet, poses)
    views, clips = views_of(motion)
    scale = UNIVERSAL if poses == "univ_annot3" else 1
    assert views.valid is not None
    for subject, seed, (width, height) in (("TS1", 10, (2048, 2048)), ("TS5", 11, (1920, 1080))):
        clip = clips[subject, subject]
        seen = seen_by(0, world_motion(seed, 40))[:, OF_28]
        torch.testing.assert_close(views.pose_3d[clip.rows], root_relative(scale * seen), atol=1e-5, rtol=0)
        pixels = projected(seen) / width * 2 - [1, height / width]
        torch.testing.assert_close(
            views.keypoints_2d[clip.rows], torch.from_numpy(pixels).float(), atol=1e-5, rtol=0
        )
        assert views.valid[clip.rows].tolist() == valid_frames(40).tolist()
        (camera,) = motion.cameras[subject]
        assert camera.focal_px == pytest.approx((INTRINSIC[0, 0], INTRINSIC[1, 1]), abs=1e-6)
        assert camera.center_px == pytest.approx((INTRINSIC[0, 2], INTRINSIC[1, 2]), abs=1e-6)
    assert views.valid[: clips["TS1", "TS1"].first].all()


def test_test_world_is_the_camera_turned_upright(folder: Path) -> None:
    sequence = next(s for s in read_mpi_inf_3dhp(folder, quiet, "annot3").sequences if s.subject == "TS1")
    x, y, z = np.moveaxis(seen_by(0, world_motion(10, 40))[:, OF_28] / 1000, -1, 0)
    np.testing.assert_allclose(sequence.positions, np.stack([x, z, -y], axis=-1), atol=1e-5)


def test_invalid_frames_have_no_part_in_the_fitted_camera(tmp_path: Path) -> None:
    world = world_motion(10, 40)
    nowhere = np.where(valid_frames(40)[:, None, None, None], 1.0, 0.0)
    seen = seen_by(0, world)[:, None, OF_28]
    write_test(tmp_path, "TS1", world, annot3=nowhere * seen, univ_annot3=nowhere * seen)
    (camera,) = read_mpi_inf_3dhp(tmp_path, quiet).cameras["TS1"]
    assert camera.focal_px == pytest.approx((INTRINSIC[0, 0], INTRINSIC[1, 1]), abs=1e-6)


def test_the_same_from_p_stmo(tmp_path: Path, folder: Path) -> None:
    write_npz(tmp_path, {"S1 Seq2": world_motion(1, 40)}, {"TS5": world_motion(11, 40)})
    motion, original = read_mpi_inf_3dhp(tmp_path, quiet), read_mpi_inf_3dhp(folder, quiet)
    assert motion.splits == {"train": ("S1",), "test": ("TS5",)}
    assert [s.fps for s in motion.sequences] == [50.0] * 8 + [None]
    views, clips = views_of(motion)
    expected, their_clips = views_of(original)
    assert len(clips) == 9
    for key, clip in clips.items():
        theirs = their_clips[key]
        assert torch.equal(views.keypoints_2d[clip.rows], expected.keypoints_2d[theirs.rows])
        torch.testing.assert_close(views.pose_3d[clip.rows], expected.pose_3d[theirs.rows], atol=1e-5, rtol=0)
    assert views.valid is not None
    assert views.valid[clips["TS5", "TS5"].rows].tolist() == valid_frames(40).tolist()
    only = read_mpi_inf_3dhp(tmp_path / "data_test_3dhp.npz", quiet)
    assert only.splits == {"test": ("TS5",)}


def test_survives_its_file(folder: Path, tmp_path: Path) -> None:
    motion = read_mpi_inf_3dhp(folder, quiet)
    motion.save(tmp_path / "mpi.npz")
    assert MotionSet.load(tmp_path / "mpi.npz").digest() == motion.digest()


def test_annotations_after_the_end_of_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_training(tmp_path, "S1", "Seq1", world_motion(0, 40))
    monkeypatch.setitem(mpi_inf_3dhp.SEQUENCES, ("S1", "Seq1"), (30, 25))
    lines: list[str] = []
    motion = read_mpi_inf_3dhp(tmp_path, lines.append, "annot3")
    assert {len(sequence.positions) for sequence in motion.sequences} == {30}
    assert lines[0] == (
        "S1/Seq1: 30 of 30 frames at 25 fps from 8 cameras, annot3 projects to 0.00 px from the 2D (median); "
        "skipped: cameras 3, 9, 10, 11, 12, 13, 10 frames after the end of the video"
    )


def test_what_is_said(folder: Path) -> None:
    lines: list[str] = []
    read_mpi_inf_3dhp(folder, lines.append)
    assert lines[0].startswith("S1/Seq1: 40 of 6416 frames at 25 fps from 8 cameras, univ_annot3 projects to")
    assert lines[1].startswith("S1/Seq2: 40 of 12430 frames at 50 fps")
    assert lines[3] == (
        "TS1: 40 frames, 13 of them valid, taken as 25 fps; fitted camera, univ_annot3 projects to 0.00 px "
        "from the 2D (median)"
    )
    assert lines[-1].startswith("not there: S2/Seq2, S3/Seq1,")
    assert lines[-1].endswith("S8/Seq2, TS2/TS2, TS3/TS3, TS4/TS4, TS6/TS6")


def test_positions_that_are_no_image_are_said_to_be_none(tmp_path: Path) -> None:
    """A camera that stands elsewhere: 100 px at this focal length and distance."""
    shifted = training_annotations(world_motion(0, 40))
    for cell in shifted["annot2"][:, 0]:
        cell += [60, 80] * 28
    write_training(tmp_path, "S1", "Seq1", world_motion(0, 40), annot2=shifted["annot2"])
    lines: list[str] = []
    read_mpi_inf_3dhp(tmp_path, lines.append, "annot3")
    assert "annot3 projects to 100.00 px from the 2D (median)" in lines[0]


def test_calibration(tmp_path: Path) -> None:
    (tmp_path / "camera.calibration").write_text(calibration_text())
    cameras = read_calibration(tmp_path / "camera.calibration")
    assert list(cameras) == list(range(14))
    matrix = extrinsic(5)
    x, y, z = -matrix[:3, :3].T @ matrix[:3, 3] / 1000
    assert cameras[5].translation == pytest.approx((x, -z, y), abs=1e-6)
    assert cameras[5].translation[2] == pytest.approx(1.5, abs=1e-6), "it stands at 1.5 m"


# Files that cannot be used


def damaged(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        content = training_annotations(world_motion(0, 40))
        change(content)
        return write_training(folder, "S1", "Seq1", world_motion(0, 40), **content)

    return write


def cells(key: str, camera: int, change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    def replace(content: dict[str, Any]) -> None:
        content[key][camera, 0] = change(content[key][camera, 0])

    return damaged(replace)


def with_nan(array: Any, *place: int) -> Any:
    array = array.copy()
    array[place] = np.nan
    return array


def of_test_set(**changes: Any) -> Callable[[Path], Path]:
    return lambda folder: write_test(folder, "TS1", world_motion(0, 40), **changes)


def rewritten(write: Callable[[Path], Path], change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def rewrite(folder: Path) -> Path:
        file = write(folder)
        file.write_bytes(change(file.read_bytes()))
        return file

    return rewrite


def recalibrated(old: str, new: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        file = write_training(folder, "S1", "Seq1", world_motion(0, 40)).with_name("camera.calibration")
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        return file

    return write


def npz(**data: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        np.savez(folder / "data_test_3dhp", **data)
        return folder / "data_test_3dhp.npz"

    return write


def entry(**changes: Any) -> dict[str, Any]:
    seen = seen_by(0, world_motion(0, 10))[:, OF_28]
    whole = {"data_2d": projected(seen), "data_3d": seen, "valid": np.ones(10)}
    return {"TS1": {key: value for key, value in {**whole, **changes}.items() if value is not None}}


SEEN = seen_by(0, world_motion(0, 40))[:, None, OF_28]
BAD = {
    "another format": (
        rewritten(damaged(len), lambda content: b"PK\3\4" + content),
        "cannot be read as a MATLAB 5 file",
    ),
    "empty file": (rewritten(damaged(len), lambda content: b""), "cannot be read as a MATLAB 5 file"),
    "truncated": (
        rewritten(damaged(len), lambda content: content[: len(content) // 2]),
        "has no univ_annot3, cameras; is it cut off",
    ),
    "a MATLAB 7.3 file": (
        rewritten(damaged(len), lambda content: b"MATLAB 7.3 MAT-file" + b" " * 105 + b"\0\2IM"),
        "cannot be read as a MATLAB 5 file",
    ),
    "no 2D": (
        damaged(lambda content: content.update(annot2=np.zeros(3))),
        "annot2: expected a cell for each",
    ),
    "no such camera": (
        damaged(lambda content: content.update(cameras=np.array([[0, 1, 2]]))),
        "no camera 4 in it",
    ),
    "joints": (
        cells("annot2", 1, lambda array: array[:, :34]),
        r"annot2, cell 1: expected \(frames, 56\) of 28 joints, got \(40, 34\)",
    ),
    "NaN": (
        cells("univ_annot3", 2, lambda array: with_nan(array, 7, 3 * 5 + 1)),
        r"univ_annot3, cell 2: frame 7, joint 5 is nan \(counted from 0\)",
    ),
    "empty": (
        cells("univ_annot3", 0, lambda array: array[:0]),
        r"univ_annot3, cell 0: expected one or more frames",
    ),
    "frames": (
        cells("annot2", 0, lambda array: array[:39]),
        r"camera 0: numbers of frames differ: {'annot2': 39, 'univ_annot3': 40}",
    ),
    "no calibration": (recalibrated("Skeletool", "Skeleton"), "expected a file that begins with"),
    "cut calibration": (
        recalibrated("  radial      0", ""),
        "camera 0: radial: expected 1 finite numbers, got None",
    ),
    "distortion": (recalibrated("radial      0", "radial      0.1"), "without distortion"),
    "words": (recalibrated("size        2048 2048", "size  2048 high"), "camera 0: size: could not convert"),
    "infinite": (
        recalibrated("size        2048 2048", "size  2048 inf"),
        "camera 0: size: expected 2 finite",
    ),
    "no size": (recalibrated("size        2048 2048", "size  2048 0"), "must be 1 px or more"),
    "no rotation": (
        recalibrated(f"extrinsic   {extrinsic(0)[0, 0]:.9g}", "extrinsic   0.5"),
        "camera 0: extrinsic: its first three columns are no rotation",
    ),
    "named cameras": (recalibrated("name          0\n", "name   zero\n"), "expected the numbers of cameras"),
    "test: truncated": (
        rewritten(of_test_set(), lambda content: content[: len(content) // 2]),
        "cannot be read as a MATLAB 7.3 file",
    ),
    "test: another format": (rewritten(of_test_set(), lambda content: b"MATLAB 5.0"), "as a MATLAB 7.3 file"),
    "test: nothing valid": (
        of_test_set(valid_frame=np.zeros((40, 1))),
        "no valid joint lies before the camera",
    ),
    "test: no valid frames": (
        of_test_set(valid_frame=None),
        r"valid_frame: expected shape \(frames, 1\), got None",
    ),
    "test: joints": (
        of_test_set(univ_annot3=SEEN[:, :, :14]),
        r"univ_annot3: expected shape \(frames, 1, 17, 3\), got \(40, 1, 14, 3\)",
    ),
    "test: NaN": (
        of_test_set(univ_annot3=with_nan(SEEN, 3, 0, 16, 2)),
        "univ_annot3: frame 3, joint 16 is nan",
    ),
    "test: frames": (of_test_set(univ_annot3=SEEN[:39]), "numbers of frames differ"),
    "test: mirrored": (of_test_set(annot2=-projected(SEEN)), "the 2D is no image of the 3D"),
    "npz: no data": (npz(other=np.zeros(3)), "expected sequences by name under the key data"),
    "npz: plain": (npz(data=np.zeros((3, 17, 3))), "expected sequences by name under the key data"),
    "npz: an array": (
        npz(data=np.array({"TS1": 3})),
        "TS1: expected arrays, or a list of arrays by camera and the fps, as P-STMO writes them, got int",
    ),
    "npz: cameras": (npz(data=np.array({"S1 Seq1": [{"0": 3}, 25]})), "camera 0: expected arrays by name"),
    "npz: missing": (npz(data=np.array(entry(data_3d=None))), "TS1: data_3d: expected numbers, got NoneType"),
    "npz: joints": (
        npz(data=np.array(entry(data_3d=np.ones((10, 14, 3))))),
        r"TS1: data_3d: expected one or more frames of shape \(17, 3\), got an array \(10, 14, 3\)",
    ),
    "npz: root-relative": (
        npz(data=np.array(entry(data_3d=np.zeros((10, 17, 3))))),
        "TS1: no valid joint lies before the camera; 3D is expected in its frame",
    ),
    "npz: frames": (npz(data=np.array(entry(valid=np.ones(9)))), "TS1: numbers of frames differ"),
    "npz: fps": (
        npz(data=np.array({"S1 Seq1": [{"0": entry(valid=None)["TS1"]}, 0]})),
        "fps must be a positive number, not 0.0",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_files_that_cannot_be_used(tmp_path: Path, case: str) -> None:
    write, message = BAD[case]
    file = write(tmp_path)
    with pytest.raises(InputError, match=message) as caught:
        read_mpi_inf_3dhp(tmp_path, quiet)
    assert str(tmp_path) in str(caught.value)
    assert case in ("no such camera", "npz: fps") or file.name in str(caught.value)


@pytest.mark.parametrize(("label", "kind"), [("S9", "annot.mat"), ("TS7", "annot_data.mat")])
def test_subjects_that_the_data_set_does_not_have(tmp_path: Path, label: str, kind: str) -> None:
    if kind == "annot.mat":
        write_training(tmp_path, label, "Seq1", world_motion(0, 10))
    else:
        write_test(tmp_path, label, world_motion(0, 10))
    with pytest.raises(InputError, match=rf"{kind}: the data set has no .*sequence {label}"):
        read_mpi_inf_3dhp(tmp_path, quiet)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected the folder of S1/Seq1/annot\.mat .* none of them is in"):
        read_mpi_inf_3dhp(tmp_path, quiet)
    with pytest.raises(InputError, match="no such folder"):
        read_mpi_inf_3dhp(tmp_path / "missing", quiet)
