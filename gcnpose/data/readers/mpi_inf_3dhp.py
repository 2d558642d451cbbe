"""MPI-INF-3DHP (Mehta et al., 3DV 2017): its original folders, or P-STMO's .npz files made from them.

Of the data set, these files are read, wherever they lie up to three folders down::

    S1 ... S8 / Seq1, Seq2 / annot.mat             MATLAB 5: a cell per camera of annot2, annot3, univ_annot3
    S1 ... S8 / Seq1, Seq2 / camera.calibration    text, "Skeletool Camera Calibration File V1.0"
    TS1 ... TS6 / annot_data.mat                   MATLAB 7.3: annot2, annot3, univ_annot3, valid_frame

and of P-STMO (data_to_npz_3dhp.py)::

    data_train_3dhp.npz    {"S1 Seq1": [{"0": {"data_2d", "data_3d"}, ...}, fps], ...}
    data_test_3dhp.npz     {"TS1": {"data_2d", "data_3d", "valid"}, ...}

The 3D stands in the camera's frame in millimetres. ``annot3`` is the measured one and projects onto
``annot2``. ``univ_annot3``, on which the official evaluation scores, is scaled to the height of one skeleton
for everybody, differently in each camera's frame. So each camera's recording is a sequence of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from gcnpose.data.camera import Camera
from gcnpose.data.motion import MotionSet
from gcnpose.data.sequence import MotionSequence
from gcnpose.errors import InputError
from gcnpose.pickles import load_arrays
from gcnpose.skeleton import Skeleton

Poses = Literal["annot3", "univ_annot3"]
"""The measured positions, or those scaled to one skeleton, on which the official evaluation scores."""

# The 28 joints of the training set in their order: mpii_get_joint_set.m, which comes with the data.
JOINTS = (
    "spine3",
    "spine4",
    "spine2",
    "spine",
    "pelvis",
    "neck",
    "head",
    "head_top",
    "left_clavicle",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "left_hand",
    "right_clavicle",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "right_hand",
    "left_hip",
    "left_knee",
    "left_ankle",
    "left_foot",
    "left_toe",
    "right_hip",
    "right_knee",
    "right_ankle",
    "right_foot",
    "right_toe",
)
EVALUATED_JOINTS = 17
# Of 14, those that the field trains on: "vnect" of mpii_get_camera_set.m.
CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
# Frames of the videos and frames per second: mpii_get_sequence_info.m, as quoted in P-STMO.
SEQUENCES = {
    ("S1", "Seq1"): (6416, 25),
    ("S1", "Seq2"): (12430, 50),
    ("S2", "Seq1"): (6502, 25),
    ("S2", "Seq2"): (6081, 25),
    ("S3", "Seq1"): (12488, 50),
    ("S3", "Seq2"): (12283, 50),
    ("S4", "Seq1"): (6171, 25),
    ("S4", "Seq2"): (6675, 25),
    ("S5", "Seq1"): (12820, 50),
    ("S5", "Seq2"): (12312, 50),
    ("S6", "Seq1"): (6188, 25),
    ("S6", "Seq2"): (6145, 25),
    ("S7", "Seq1"): (6239, 25),
    ("S7", "Seq2"): (6320, 25),
    ("S8", "Seq1"): (6468, 25),
    ("S8", "Seq2"): (6054, 25),
}
# Width and height of the images.
TRAIN_SIZE = (2048, 2048)
TEST_SIZES = {
    "TS1": (2048, 2048),
    "TS2": (2048, 2048),
    "TS3": (2048, 2048),
    "TS4": (2048, 2048),
    "TS5": (1920, 1080),
    "TS6": (1920, 1080),
}
# Of the set as a whole, and of the test sequences, whose frame rate the data does not say.
FPS = 25.0

Array = npt.NDArray[Any]
Say = Callable[[str], None]

_TEST_SHAPES = {
    "annot2": (EVALUATED_JOINTS, 2),
    "annot3": (EVALUATED_JOINTS, 3),
    "univ_annot3": (EVALUATED_JOINTS, 3),
    "valid_frame": (),
}
_MOST_FRAMES = 1_000_000  # a damaged or hostile file may claim more than fit into memory
_NPZ = ("data_train_3dhp.npz", "data_test_3dhp.npz")
# To z up from a camera's frame (x right, y down, z forward) and from the calibration's world (y up).
_CAMERA_TO_LEVEL = Rotation.from_matrix([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
_Y_UP_TO_Z_UP = Rotation.from_matrix([[1, 0, 0], [0, 0, -1], [0, 1, 0]])


class _Recording(NamedTuple):
    """What one camera saw."""

    sequence: MotionSequence
    camera: Camera
    reprojection_px: float


def read_mpi_inf_3dhp(path: str | Path, say: Say, poses: Poses = "univ_annot3") -> MotionSet:
    """The 17 joints of the official evaluation: S1 to S8 to train on, TS1 to TS6 to test on.

    A sequence for every camera, ``S1/Seq1 0`` and so on, seen by the camera of the same name; and ``TS1/TS1``
    to ``TS6/TS6`` with their valid frames. The 2D is ``annot2``. The world of a training sequence is its
    calibration's, turned so that z is up. The test sequences and P-STMO's files have no calibration: their
    world is the camera's frame, turned so that z is up as if the camera were level, and the intrinsics are
    fitted to the 2D and 3D by least squares.

    Args:
        path: The folder that the data set lies in, P-STMO's two files in a folder, or one of them.
        say: Takes a line on everything read and left out.
        poses: Which 3D. P-STMO's files hold one of them, ``univ_annot3`` where P-STMO made them.

    Raises:
        InputError: if there is nothing to read, or naming what is damaged, missing, of another shape or not
            finite.
    """
    path = Path(path)
    skeleton = Skeleton.load("mpi_inf_3dhp17")
    recordings: list[_Recording] = []
    for file in _find(path, "S?/Seq?/annot.mat"):
        recordings += _read_training(file, poses, skeleton, say)
    for file in _find(path, "TS?/annot_data.mat"):
        recordings.append(_read_test(file, poses, say))
    if not recordings:
        files = [path] if path.is_file() else [path / name for name in _NPZ if (path / name).is_file()]
        if not files:
            raise InputError(
                f"{path}: expected the folder of S1/Seq1/annot.mat or TS1/annot_data.mat and so on, or of "
                f"{' or '.join(_NPZ)}; " + ("none of them is in it" if path.is_dir() else "no such folder")
            )
        for file in files:
            recordings += _read_npz(file, say)
    return _gather(path, recordings, skeleton, say)


def _find(path: Path, pattern: str) -> list[Path]:
    """At most three folders down: the whole tree may hold millions of images."""
    return sorted(file for depth in range(4) for file in path.glob("*/" * depth + pattern))


def _gather(path: Path, recordings: Sequence[_Recording], skeleton: Skeleton, say: Say) -> MotionSet:
    found = {(one.sequence.subject, one.sequence.name.split(" ")[0]) for one in recordings}
    wanted = [*SEQUENCES, *((subject, subject) for subject in TEST_SIZES)]
    if missing := [f"{subject}/{name}" for subject, name in wanted if (subject, name) not in found]:
        say(f"not there: {', '.join(missing)}")
    cameras: dict[str, list[Camera]] = {}
    for one in recordings:
        cameras.setdefault(one.sequence.subject, []).append(one.camera)
    splits = {
        "train": tuple(subject for subject in cameras if subject not in TEST_SIZES),
        "test": tuple(subject for subject in cameras if subject in TEST_SIZES),
    }
    try:
        return MotionSet(
            skeleton,
            FPS,
            [one.sequence for one in recordings],
            {split: subjects for split, subjects in splits.items() if subjects},
            cameras,
        )
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _read_training(file: Path, poses: Poses, skeleton: Skeleton, say: Say) -> list[_Recording]:
    subject, name = file.parts[-3:-1]
    if (subject, name) not in SEQUENCES:
        raise InputError(f"{file}: the data set has no sequence {subject}/{name}")
    frames, fps = SEQUENCES[subject, name]
    chosen = [JOINTS.index(joint) for joint in skeleton.joints]
    calibration = read_calibration(file.with_name("camera.calibration"))
    content = _load_mat(file, ("annot2", poses, "cameras"))
    numbers = np.ravel(content["cameras"]).tolist()
    recordings, annotated = [], 0
    for number in CAMERAS:
        if number not in numbers or number not in calibration:
            raise InputError(f"{file}: no camera {number} in it or in camera.calibration beside it")
        keypoints_2d, positions = (
            _cell(file, content, key, numbers.index(number), channels)
            for key, channels in (("annot2", 2), (poses, 3))
        )
        _check_frames(f"{file}: camera {number}", annot2=keypoints_2d, **{poses: positions})
        annotated = len(positions)
        camera = replace(calibration[number], name=f"{name} {number}")
        # Some sequences are annotated beyond the end of their videos (the data's README).
        recordings.append(
            _recording(subject, keypoints_2d[:frames, chosen], positions[:frames, chosen], camera, fps=fps)
        )
    others = ", ".join(str(number) for number in numbers if number not in CAMERAS)
    say(
        f"{subject}/{name}: {min(annotated, frames)} of {frames} frames at {fps} fps from {len(CAMERAS)} "
        f"cameras, {_fit(recordings, poses)}; skipped: "
        + f"cameras {others or 'none'}, {max(annotated - frames, 0)} frames after the end of the video"
    )
    return recordings


def _read_test(file: Path, poses: Poses, say: Say) -> _Recording:
    subject = file.parts[-2]
    if subject not in TEST_SIZES:
        raise InputError(f"{file}: the data set has no test sequence {subject}")
    content = _load_hdf5(file)
    valid = content["valid_frame"] > 0
    camera = _fitted_camera(
        str(file), subject, content["annot2"][valid], content["annot3"][valid], TEST_SIZES[subject]
    )
    recording = _recording(subject, content["annot2"], content[poses], camera, valid)
    say(
        f"{subject}: {len(valid)} frames, {valid.sum()} of them valid, taken as {FPS:g} fps; fitted camera, "
        f"{_fit([recording], poses)}"
    )
    return recording


def _read_npz(file: Path, say: Say) -> list[_Recording]:
    content = load_arrays(file).get("data")
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{file}: expected sequences by name under the key data, as P-STMO writes them")
    recordings: list[_Recording] = []
    for label, entry in content.items():
        where = f"{file}: {label}"
        match entry:
            case [Mapping() as seen_by, (int() | float() | np.integer()) as fps] if seen_by:
                subject, _, name = str(label).partition(" ")
                of_sequence = [
                    _read_entry(f"{where}, camera {number}", subject, f"{name} {number}", one, float(fps))
                    for number, one in seen_by.items()
                ]
            case Mapping():
                of_sequence = [_read_entry(where, str(label), str(label), entry, FPS)]
            case _:
                raise InputError(
                    f"{where}: expected arrays, or a list of arrays by camera and the fps, as P-STMO "
                    f"writes them, got {type(entry).__name__}"
                )
        first = of_sequence[0].sequence
        say(
            f"{label}: {len(first.positions)} frames"
            + ("" if first.valid is None else f", {first.valid.sum()} of them valid,")
            + f" at {first.fps or FPS:g} fps; fitted cameras: {len(of_sequence)}, {_fit(of_sequence, '3D')}"
        )
        recordings += of_sequence
    return recordings


def _read_entry(where: str, subject: str, name: str, arrays: object, fps: float) -> _Recording:
    """One camera of P-STMO's files; those of the test set say which frames are valid."""
    if not isinstance(arrays, Mapping):
        raise InputError(f"{where}: expected arrays by name, got {type(arrays).__name__}")
    keypoints_2d, positions = (
        _checked(f"{where}: {key}", arrays.get(key), (EVALUATED_JOINTS, channels))
        for key, channels in (("data_2d", 2), ("data_3d", 3))
    )
    valid = _checked(f"{where}: valid", arrays["valid"], ()) > 0 if "valid" in arrays else None
    scored = slice(None) if valid is None else valid
    size = TEST_SIZES.get(subject, TRAIN_SIZE)
    _check_frames(where, data_2d=keypoints_2d, data_3d=positions, valid=valid)
    camera = _fitted_camera(where, name, keypoints_2d[scored], positions[scored], size)
    return _recording(subject, keypoints_2d, positions, camera, valid, fps)


def read_calibration(file: Path) -> dict[int, Camera]:
    """The cameras of a "Skeletool Camera Calibration File V1.0" by number, in a world of metres with z up.

    Of each camera, the lines ``name``, ``size``, ``intrinsic``, ``extrinsic`` (row by row; from a world of
    millimetres with y up) and ``radial`` are read. The images are free of distortion: ``radial`` is 0.

    Raises:
        InputError: names the file, the camera and the line at fault.
    """
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    if not lines or lines[0][:3] != ["Skeletool", "Camera", "Calibration"]:
        raise InputError(f"{file}: expected a file that begins with 'Skeletool Camera Calibration'")
    entries: dict[str, dict[str, list[str]]] = {}
    for key, *values in lines[1:]:
        if key == "name":
            entries[" ".join(values)] = {}
        elif entries:
            entries[next(reversed(entries))][key] = values
    if wrong := [name for name in entries if not name.isdecimal()]:
        raise InputError(f"{file}: expected the numbers of cameras as their names, got {', '.join(wrong)}")
    return {int(name): _calibrated(f"{file}: camera {name}", name, entry) for name, entry in entries.items()}


def _calibrated(where: str, name: str, entry: Mapping[str, list[str]]) -> Camera:
    counts = {"size": 2, "intrinsic": 16, "extrinsic": 16, "radial": 1}
    numbers: dict[str, npt.NDArray[np.float64]] = {}
    for key, count in counts.items():
        try:
            numbers[key] = np.array(entry.get(key, []), dtype=np.float64)
        except ValueError as error:
            raise InputError(f"{where}: {key}: {error}") from error
        if numbers[key].shape != (count,) or not np.isfinite(numbers[key]).all():
            raise InputError(f"{where}: {key}: expected {count} finite numbers, got {entry.get(key)}")
    intrinsic, extrinsic = (numbers[key].reshape(4, 4) for key in ("intrinsic", "extrinsic"))
    turn, shift = extrinsic[:3, :3], extrinsic[:3, 3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3) or np.linalg.det(turn) < 0:
        raise InputError(f"{where}: extrinsic: its first three columns are no rotation")
    if numbers["radial"].any() or intrinsic[0, 1] != 0:
        raise InputError(f"{where}: expected a lens without distortion and skew")
    if min(*numbers["size"], intrinsic[0, 0], intrinsic[1, 1]) < 1:
        raise InputError(f"{where}: image size and focal lengths must be 1 px or more")
    to_world = _Y_UP_TO_Z_UP * Rotation.from_matrix(turn.T)
    return _camera(
        name,
        to_world,
        to_world.apply(-shift / 1000),
        intrinsic[[0, 1], [0, 1]],
        intrinsic[:2, 2],
        numbers["size"],
    )


def _fitted_camera(
    where: str, name: str, keypoints_2d: Array, positions: Array, size: tuple[int, int]
) -> Camera:
    """A level camera in the world's origin that looks along y.

    Its intrinsics are the least-squares fit of ``u = f X / Z + c`` on either axis.
    """
    ahead = positions[..., 2] > 0
    if not ahead.any():
        raise InputError(f"{where}: no valid joint lies before the camera; 3D is expected in its frame")
    lens = np.empty((2, 2))
    for axis in range(2):
        slope = positions[ahead][:, axis] / positions[ahead][:, 2]
        terms = np.column_stack([slope, np.ones_like(slope)])
        lens[axis] = np.linalg.lstsq(terms, keypoints_2d[ahead][:, axis])[0]
    if not lens[:, 0].min() > 0:
        raise InputError(f"{where}: the 2D is no image of the 3D: fitted focal lengths {lens[:, 0]} px")
    return _camera(name, _CAMERA_TO_LEVEL, np.zeros(3), lens[:, 0], lens[:, 1], size)


def _camera(
    name: str, to_world: Rotation, place: Array, focal_px: Array, center_px: Array, size: Iterable[float]
) -> Camera:
    x, y, z, w = to_world.as_quat().tolist()
    width, height = map(int, size)
    return Camera(
        name,
        orientation=(w, x, y, z),
        translation=tuple(place.tolist()),
        focal_px=tuple(focal_px.tolist()),
        center_px=tuple(center_px.tolist()),
        radial=(0.0, 0.0, 0.0),
        tangential=(0.0, 0.0),
        width=width,
        height=height,
    )


def _recording(
    subject: str,
    keypoints_2d: Array,
    positions: Array,
    camera: Camera,
    valid: npt.NDArray[np.bool_] | None = None,
    fps: float = FPS,
) -> _Recording:
    """Takes millimetres in the camera's frame, names the sequence as its camera."""
    w, x, y, z = camera.orientation
    flat = Rotation.from_quat((x, y, z, w)).apply(positions.reshape(-1, 3) / 1000) + camera.translation
    sequence = MotionSequence(
        subject,
        camera.name,
        flat.reshape(positions.shape).astype(np.float32),
        {camera.name: keypoints_2d.astype(np.float32)},
        cameras=(camera.name,),
        valid=valid,
        fps=None if fps == FPS else float(fps),
    )
    scored = positions if valid is None else positions[valid]
    seen = keypoints_2d if valid is None else keypoints_2d[valid]
    with np.errstate(divide="ignore", invalid="ignore"):  # a joint in the camera has no projection
        projected = scored[..., :2] / scored[..., 2:] * camera.focal_px + camera.center_px
    return _Recording(sequence, camera, float(np.nanmedian(np.linalg.norm(projected - seen, axis=-1))))


def _fit(recordings: Iterable[_Recording], poses: str) -> str:
    worst = max(one.reprojection_px for one in recordings)
    return f"{poses} projects to {worst:.2f} px from the 2D (median)"


def _load_mat(file: Path, names: Sequence[str]) -> dict[str, Any]:
    from scipy.io import loadmat

    try:
        content = loadmat(file, variable_names=names)
    except Exception as error:  # loadmat raises whatever it stumbles over
        raise InputError(f"{file}: cannot be read as a MATLAB 5 file, damaged or another: {error}") from error
    if missing := [name for name in names if name not in content]:
        raise InputError(f"{file}: has no {', '.join(missing)}; is it cut off or another?")
    return content


def _cell(file: Path, content: Mapping[str, Any], key: str, place: int, channels: int) -> Array:
    """What a cell array has of a camera, (frames, 28, channels)."""
    cells = np.ravel(content[key])
    if cells.dtype != object or place >= len(cells):
        raise InputError(
            f"{file}: {key}: expected a cell for each of the cameras, got {cells.dtype} {cells.shape}"
        )
    flat, joints = cells[place], len(JOINTS)
    where = f"{file}: {key}, cell {place}"
    if flat.ndim != 2 or flat.shape[1] != joints * channels:
        raise InputError(
            f"{where}: expected (frames, {joints * channels}) of {joints} joints, got {flat.shape}"
        )
    return _checked(where, flat.reshape(-1, joints, channels), (joints, channels))


def _load_hdf5(file: Path) -> dict[str, Array]:
    """Arrays (frames, 1, joints, channels) and (frames, 1) of a MATLAB 7.3 file, without the axis of 1."""
    import h5py

    arrays = {}
    try:
        with h5py.File(file, "r") as content:
            for name, shape in _TEST_SHAPES.items():
                found = getattr(content.get(name), "shape", None)
                if not found or found[1:] != (1, *shape) or found[0] > _MOST_FRAMES:
                    expected = ", ".join(map(str, ("frames", 1, *shape)))
                    raise InputError(f"{file}: {name}: expected shape ({expected}), got {found}")
                arrays[name] = _checked(f"{file}: {name}", content[name][:, 0], shape)
    except InputError:
        raise
    except Exception as error:  # as above
        raise InputError(
            f"{file}: cannot be read as a MATLAB 7.3 file, damaged or another: {error}"
        ) from error
    _check_frames(str(file), **arrays)
    return arrays


def _checked(where: str, value: object, shape: tuple[int, ...]) -> Array:
    """An array (frames, *shape) of finite numbers."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise InputError(f"{where}: expected numbers, got {getattr(value, 'dtype', type(value).__name__)}")
    if value.shape[1:] != shape or len(value) == 0:
        raise InputError(f"{where}: expected one or more frames of shape {shape}, got an array {value.shape}")
    finite = np.isfinite(value)
    if not finite.all():
        frame, *place = np.argwhere(~finite)[0].tolist()
        joint = f", joint {place[0]}" if place else ""
        raise InputError(f"{where}: frame {frame}{joint} is {value[(frame, *place)]} (counted from 0)")
    return value


def _check_frames(where: str, **arrays: Array | None) -> None:
    frames = {name: len(array) for name, array in arrays.items() if array is not None}
    if len(set(frames.values())) > 1:
        raise InputError(f"{where}: numbers of frames differ: {frames}")
