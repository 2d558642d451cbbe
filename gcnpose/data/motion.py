"""Captured motion: sequences of 3D poses with skeleton, frame rate, subjects, splits, cameras; and its file.

The file is an ``.npz`` of plain arrays, read without unpickling anything::

    subject/name              float32 (frames, joints, 3)        world positions
    2d/subject/name/camera    float32 (frames, joints, 2 | 3)    pixels, and a detector's score if any
    valid/subject/name        bool (frames,)                     which frames are scored, if not all
    meta                      text (a 0-d array), JSON: version, skeleton, fps, units, up, splits, cameras;
                              sequences: {subject/name: {cameras, fps}} where they are not the set's

Without ``meta`` the fps, units, up axis and splits are taken from a ``splits.json`` in the same folder; where
``meta`` has no splits, they are, if that one knows any of its subjects.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gcnpose.data.camera import Camera
from gcnpose.errors import InputError
from gcnpose.files import replacing
from gcnpose.pickles import load_arrays
from gcnpose.skeleton import Skeleton

FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")

_METRES_PER_UNIT = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_UP_AXES = ("z", "y")
# No captured body is this long; poses in millimetres or centimetres that are taken for metres are.
_LARGEST_POSE_M = 50.0
# "29_02_" and "94_p04_" before an action, " 1", "_01", "_p0" and " chunk0" after it.
_TRIAL_NUMBERS = re.compile(r"(?:\d+_p?\d+_)?(.+?)(?:[ _](?:p|chunk)?\d+)*")
# Of plain arrays only; far more than any captured motion.
MAX_BYTES = 16 << 30


@dataclass(frozen=True, eq=False)
class MotionSequence:
    """One take of one subject.

    Args:
        subject: who moves.
        name: unique within the subject, for example ``"Walking 1"`` or ``"29_02_basketball_signals"``.
        positions: joints in the world, metres, z up, float32.
        keypoints_2d: the same joints in images, by camera name, pixels, float32; a third channel is the
        score.
        cameras: names of those of the subject's cameras that saw it; None: all.
        valid: which frames are scored, bool; None: all.
        fps: frames per second where they are not the set's.

    Shapes:
        positions ``(frames, joints, 3)``, keypoints_2d ``(frames, joints, 2 | 3)``, valid ``(frames,)``.
    """

    subject: str
    name: str
    positions: npt.NDArray[np.float32]
    keypoints_2d: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    cameras: tuple[str, ...] | None = None
    valid: npt.NDArray[np.bool_] | None = None
    fps: float | None = None

    @property
    def action(self) -> str:
        """The name without the subject before it and the numbers of trial, take and part around it.

        All of a name that is numbers.
        """
        match = _TRIAL_NUMBERS.fullmatch(self.name)
        name = match[1] if match and not match[1].isdigit() else self.name
        return name.removeprefix(f"{self.subject}_") or name


@dataclass(frozen=True, eq=False)
class MotionSet:
    """Sequences that share a skeleton.

    Args:
        skeleton: names the joints of every sequence, in order.
        fps: frames per second of every sequence that has no frame rate of its own.
        sequences: at least one; subject and name together are unique.
        splits: subjects for ``"train"``, ``"validation"`` and ``"test"``; no subject stands in two.
        cameras: cameras of each subject, names unique; may be empty where there are no 2D keypoints.

    Raises:
        InputError: if any of this does not hold, or an array has the wrong type or shape, no frame, a value
            that is not finite, or a size that cannot be metres.
    """

    skeleton: Skeleton
    fps: float
    sequences: list[MotionSequence]
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cameras: dict[str, list[Camera]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_fps("fps", self.fps)
        if not self.sequences:
            raise InputError("no motion sequence; at least one is needed")
        for subject, cameras in self.cameras.items():
            names = [camera.name for camera in cameras]
            if len(set(names)) < len(names):
                raise InputError(f"cameras of {subject}: names must be unique, got {', '.join(names)}")
        seen = set()
        for sequence in self.sequences:
            if (sequence.subject, sequence.name) in seen:
                raise InputError(f"sequence {_label(sequence)} stands twice")
            seen.add((sequence.subject, sequence.name))
            self._check_sequence(sequence)
        self._check_splits()

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, in the order of their first sequence."""
        return tuple(dict.fromkeys(sequence.subject for sequence in self.sequences))

    @property
    def common_fps(self) -> float | None:
        """Frames per second of all sequences; None where they differ."""
        rates = {sequence.fps or self.fps for sequence in self.sequences}
        return rates.pop() if len(rates) == 1 else None

    def cameras_of(self, sequence: MotionSequence) -> list[Camera]:
        """The cameras that saw a sequence, in the subject's order; none where the subject has none."""
        return [
            camera
            for camera in self.cameras.get(sequence.subject, [])
            if sequence.cameras is None or camera.name in sequence.cameras
        ]

    def select(self, subjects: Iterable[str]) -> MotionSet:
        """The sequences, splits and cameras of some subjects; the arrays are shared, not copied.

        Raises:
            InputError: if a subject is unknown, or none is given.
        """
        chosen = set(subjects)
        unknown = sorted(chosen - set(self.subjects))
        if unknown:
            raise InputError(f"unknown subjects {', '.join(unknown)}; known are {', '.join(self.subjects)}")
        splits = {
            split: tuple(name for name in names if name in chosen) for split, names in self.splits.items()
        }
        return dataclasses.replace(
            self,
            sequences=[sequence for sequence in self.sequences if sequence.subject in chosen],
            splits={split: names for split, names in splits.items() if names},
            cameras={subject: cameras for subject, cameras in self.cameras.items() if subject in chosen},
        )

    def bone_change(self) -> float:
        """How much a bone changes its length within a sequence: standard deviation over mean, the median.

        Near zero for people, and not for joints in another order than the skeleton's.
        """
        if not self.skeleton.bones:
            return 0.0
        parents, children = self.skeleton.bone_indices.T
        changes = []
        for sequence in self.sequences:
            vectors = sequence.positions[:, parents] - sequence.positions[:, children]
            lengths = np.linalg.norm(vectors, axis=-1)
            changes.append(lengths.std(axis=0) / np.maximum(lengths.mean(axis=0), 1e-6))
        return float(np.median(changes))

    def digest(self) -> str:
        """SHA-256 of what :meth:`save` writes, but the splits: names, shapes, bytes of arrays, ``meta``."""
        description = {key: value for key, value in self._meta().items() if key != "splits"}
        digest = hashlib.sha256(_dump_meta(description).encode())
        for key, array in self._arrays().items():
            digest.update(f"\n{key} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Writes the file, whole or not at all.

        Raises:
            InputError: if it cannot be written.
        """
        path = Path(path)
        arrays: dict[str, Any] = {**self._arrays(), "meta": np.array(_dump_meta(self._meta()))}
        try:
            with replacing(path) as partial, partial.open("wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | Path, skeleton: Skeleton | None = None, fps: float | None = None) -> MotionSet:
        """Reads a motion file.

        What the file says stands; a ``splits.json`` beside it adds the splits where it has none; the
        arguments fill in what is not said, and must not contradict it. A skeleton that is given may draw
        other bones between the file's joints. Millimetres become metres and y up becomes z up.

        Args:
            path: the ``.npz`` file.
            skeleton: names the joints; needed where the file has no ``meta``.
            fps: frames per second; needed where neither ``meta`` nor a ``splits.json`` beside the file has
                it.

        Raises:
            InputError: names the file, and the array, sequence, frame or joint at fault.
        """
        path = Path(path)
        arrays = load_arrays(path, objects=False, max_bytes=MAX_BYTES)
        try:
            if "meta" not in arrays:
                return cls.from_arrays(arrays, read_sidecar(path), skeleton, fps)
            motion = cls.from_arrays(arrays, _read_meta(arrays.pop("meta")), skeleton, fps)
            return motion if motion.splits else motion._with_splits_beside(path)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Any],
        description: Mapping[str, Any],
        skeleton: Skeleton | None = None,
        fps: float | None = None,
    ) -> MotionSet:
        """The motion of arrays that have the names they would have in a file; see :meth:`load`.

        Args:
            arrays: all but ``meta``.
            description: what ``meta`` or ``splits.json`` says.
            skeleton: names the joints where the description does not.
            fps: frames per second where the description has none.

        Raises:
            InputError: names the array, sequence, frame or joint at fault.
        """
        cameras = _read_cameras(description.get("cameras", {}))
        return cls(
            skeleton=_settle_skeleton(description, skeleton),
            fps=_settle_fps(description, fps),
            sequences=_read_sequences(arrays, description, has_cameras=bool(cameras)),
            splits=_read_splits(description.get("splits", {})),
            cameras=cameras,
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        """All arrays under their names in the file."""
        arrays: dict[str, np.ndarray] = {_label(sequence): sequence.positions for sequence in self.sequences}
        for sequence in self.sequences:
            for camera, keypoints in sequence.keypoints_2d.items():
                arrays[f"2d/{_label(sequence)}/{camera}"] = keypoints
            if sequence.valid is not None:
                arrays[f"valid/{_label(sequence)}"] = sequence.valid
        return arrays

    def _meta(self) -> dict[str, Any]:
        """The content of ``meta``."""
        cameras = {
            subject: [dataclasses.asdict(camera) for camera in cameras]
            for subject, cameras in self.cameras.items()
        }
        content = {
            "version": FORMAT_VERSION,
            "skeleton": self.skeleton.to_dict(),
            "fps": float(self.fps),
            "units": "m",
            "up": "z",
            "splits": self.splits,
            "cameras": cameras,
        }
        own = {_label(sequence): _own_description(sequence) for sequence in self.sequences}
        own = {label: entry for label, entry in own.items() if entry}
        return {**content, "sequences": own} if own else content

    def _with_splits_beside(self, path: Path) -> MotionSet:
        """With the splits in ``splits.json`` beside the file, unless that is of other subjects altogether."""
        splits = _read_splits(read_sidecar(path).get("splits", {}))
        if not any(subject in self.subjects for names in splits.values() for subject in names):
            return self
        try:
            return dataclasses.replace(self, splits=splits)
        except InputError as error:
            raise InputError(f"{path.with_name('splits.json')}: {error}") from None

    def _check_sequence(self, sequence: MotionSequence) -> None:
        label = _label(sequence)
        known = [camera.name for camera in self.cameras.get(sequence.subject, [])]
        for word in (sequence.subject, sequence.name, *sequence.keypoints_2d):
            if not word or "/" in word or sequence.subject == "2d":
                raise InputError(
                    f"sequence {label}: names of subjects, sequences and cameras must not be empty "
                    "nor contain '/', and no subject is called '2d'"
                )
        self._check_array(f"sequence {label}", sequence.positions, channels=(3,))
        extent = np.ptp(sequence.positions[0].astype(np.float64), axis=0).max()
        if extent > _LARGEST_POSE_M:
            raise InputError(
                f"sequence {label}: the first pose is {extent:.0f} m long; positions must be in metres"
            )
        if sequence.cameras is not None:
            _check_camera_names(label, sequence.cameras, known)
        if sequence.valid is not None:
            _check_valid(label, sequence.valid, len(sequence.positions))
        if sequence.fps is not None:
            _check_fps(f"sequence {label}: fps", sequence.fps)
        for camera, keypoints in sequence.keypoints_2d.items():
            where = f"2D keypoints {label}/{camera}"
            if camera not in known:
                has = ", ".join(known) or "no cameras"
                raise InputError(f"{where}: no such camera; subject {sequence.subject} has {has}")
            if sequence.cameras is not None and camera not in sequence.cameras:
                raise InputError(f"{where}: the sequence was seen by {', '.join(sequence.cameras)} only")
            self._check_array(where, keypoints, channels=(2, 3))
            if len(keypoints) != len(sequence.positions):
                raise InputError(f"{where}: {len(keypoints)} frames, but {len(sequence.positions)} in 3D")

    def _check_array(self, where: str, array: np.ndarray, channels: tuple[int, ...]) -> None:
        if array.dtype != np.float32:
            raise InputError(f"{where}: expected float32, got {array.dtype}")
        if array.ndim != 3 or array.shape[2] not in channels:
            last = " or ".join(map(str, channels))
            raise InputError(f"{where}: expected shape (frames, joints, {last}), got {array.shape}")
        if array.shape[1] != self.skeleton.num_joints:
            raise InputError(
                f"{where}: has {array.shape[1]} joints, but the skeleton {self.skeleton.name!r} has "
                f"{self.skeleton.num_joints}"
            )
        if array.shape[0] == 0:
            raise InputError(f"{where}: has 0 frames")
        finite = np.isfinite(array)
        if not finite.all():
            frame, joint, channel = np.argwhere(~finite)[0]
            name, value = self.skeleton.joints[joint], array[frame, joint, channel]
            raise InputError(f"{where}: frame {frame}, joint {name!r} is {value}")

    def _check_splits(self) -> None:
        owner: dict[str, str] = {}
        for split, names in self.splits.items():
            if split not in SPLITS:
                raise InputError(f"splits: unknown split {split!r}; expected {', '.join(SPLITS)}")
            for subject in names:
                if subject not in self.subjects:
                    raise InputError(
                        f"splits: subject {subject!r} of {split!r} has no sequence; "
                        f"known are {', '.join(self.subjects)}"
                    )
                if owner.setdefault(subject, split) != split:
                    raise InputError(
                        f"splits: subject {subject!r} stands in {owner[subject]!r} and in {split!r}"
                    )


def _label(sequence: MotionSequence) -> str:
    return f"{sequence.subject}/{sequence.name}"


def _own_description(sequence: MotionSequence) -> dict[str, Any]:
    """What a sequence has in ``meta`` of its own."""
    own: dict[str, Any] = {}
    if sequence.cameras is not None:
        own["cameras"] = list(sequence.cameras)
    if sequence.fps is not None:
        own["fps"] = float(sequence.fps)
    return own


def _check_fps(where: str, fps: float) -> None:
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"{where} must be a positive number, not {fps}")


def _check_camera_names(label: str, names: tuple[str, ...], known: list[str]) -> None:
    if not names or len(set(names)) < len(names):
        given = ", ".join(names) or "none"
        raise InputError(f"sequence {label}: its cameras must be one or more different names, got {given}")
    for name in names:
        if name not in known:
            has = ", ".join(known) or "no cameras"
            raise InputError(f"sequence {label}: no such camera {name!r}; the subject has {has}")


def _check_valid(label: str, valid: np.ndarray, frames: int) -> None:
    if valid.dtype != np.bool_ or valid.shape != (frames,):
        raise InputError(f"valid {label}: expected {frames} bools, got {valid.dtype} {valid.shape}")
    if not valid.any():
        raise InputError(f"valid {label}: none of the {frames} frames is to be scored")


def _is_2d(key: str) -> bool:
    return key.startswith("2d/") and key.count("/") == 3


def _is_valid(key: str) -> bool:
    return key.startswith("valid/") and key.count("/") == 2


def _checked(key: str, array: Any) -> np.ndarray:
    """The array of a sequence, floating-point numbers as contiguous float32."""
    if not (_is_2d(key) or _is_valid(key) or key.count("/") == 1):
        raise InputError(
            f"array {key!r}: expected a name subject/name, 2d/subject/name/camera, valid/subject/name or meta"
        )
    dtype = getattr(array, "dtype", np.dtype(object))
    if _is_valid(key):
        if dtype != np.bool_:
            raise InputError(f"{key}: expected bools, got {dtype}")
        return np.asarray(array)
    if dtype.kind != "f":
        raise InputError(f"{key}: expected floating-point numbers, got {dtype}")
    with np.errstate(over="ignore"):  # what does not fit is found as infinite
        return np.ascontiguousarray(array, dtype=np.float32)


def _dump_meta(content: Mapping[str, Any]) -> str:
    """The text of ``meta``; the same for equal content."""
    return json.dumps(content, sort_keys=True)


def _read_meta(text: np.ndarray) -> dict[str, Any]:
    if text.dtype.kind != "U" or text.ndim != 0:
        raise InputError("meta: expected one text")
    content = _parse_json("meta", str(text))
    if content.get("version") != FORMAT_VERSION:
        raise InputError(
            f"has format version {content.get('version')!r}; this gcnpose reads version {FORMAT_VERSION}"
        )
    return content


def read_sidecar(path: Path) -> dict[str, Any]:
    """What ``splits.json`` beside a file says of fps, units, up axis and splits; nothing where there is none.

    Raises:
        InputError: if it cannot be read.
    """
    sidecar = path.with_name("splits.json")
    if not sidecar.exists():
        return {}
    try:
        text = sidecar.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{sidecar} cannot be read: {error}") from error
    content = _parse_json(str(sidecar), text)
    return {key: content[key] for key in ("fps", "units", "up", "splits") if key in content}


def _parse_json(where: str, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{where}: expected keys and values, got {type(content).__name__}")
    return content


def _settle_skeleton(description: Mapping[str, Any], given: Skeleton | None) -> Skeleton:
    """The skeleton that is given, if it has the joints of the one in the file."""
    if "skeleton" not in description:
        if given is None:
            raise InputError("does not say which skeleton it has; one must be given")
        return given
    stored = Skeleton.from_dict(description["skeleton"], "skeleton in meta")
    if given is None:
        return stored
    if given.joints != stored.joints:
        raise InputError(
            f"has the {stored.num_joints} joints {', '.join(stored.joints)} of {stored.name!r}; "
            f"the given {given.name!r} has {given.num_joints} joints {', '.join(given.joints)}"
        )
    return given


def _settle_fps(description: Mapping[str, Any], given: float | None) -> float:
    if given is not None:
        _check_fps("the given fps", given)
    stored = description.get("fps", given)
    if stored is None:
        raise InputError(
            "does not say its frame rate, and there is no splits.json with fps beside it; give fps"
        )
    fps = _number("fps", stored)
    if given is not None and given != fps:
        raise InputError(f"has {fps:g} fps, but {given:g} fps was given")
    return fps


def _number(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where} must be a positive number, not {value!r}")
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{where} must be a positive number, not one of {len(str(value))} digits") from None


def _read_sequences(
    arrays: Mapping[str, Any], description: Mapping[str, Any], has_cameras: bool
) -> list[MotionSequence]:
    """Takes the arrays apart by name, and brings positions to metres and z up."""
    units, up = description.get("units", "m"), description.get("up", "z")
    if not isinstance(units, str) or units not in _METRES_PER_UNIT:
        raise InputError(f"units must be one of {', '.join(_METRES_PER_UNIT)}, not {units!r}")
    if up not in _UP_AXES:
        raise InputError(f"up must be one of {', '.join(_UP_AXES)}, not {up!r}")
    if has_cameras and (units, up) != ("m", "z"):
        raise InputError(f"has cameras, so its units must be m and its up axis z, not {units} and {up}")
    own = _read_own_descriptions(description.get("sequences", {}))
    positions_3d: dict[str, np.ndarray] = {}
    keypoints: dict[str, dict[str, np.ndarray]] = {}
    valid: dict[str, np.ndarray] = {}
    for key, given in arrays.items():
        array = _checked(key, given)
        if _is_2d(key):
            label, camera = key.removeprefix("2d/").rsplit("/", 1)
            keypoints.setdefault(label, {})[camera] = array
        elif _is_valid(key):
            valid[key.removeprefix("valid/")] = array
        else:
            positions_3d[key] = array
    for what, labels in (("2D keypoints", keypoints), ("valid frames", valid), ("sequences in meta", own)):
        for label in labels:
            if label not in positions_3d:
                raise InputError(f"{what} of {label}: there is no such sequence in 3D")
    sequences = []
    for label, array in positions_3d.items():
        subject, name = label.split("/")
        positions = _to_metres_z_up(label, array, _METRES_PER_UNIT[units], up)
        sequences.append(
            MotionSequence(
                subject,
                name,
                positions,
                keypoints.get(label, {}),
                valid=valid.get(label),
                **own.get(label, {}),
            )
        )
    return sequences


def _read_own_descriptions(content: object) -> dict[str, dict[str, Any]]:
    """By sequence, those of its ``cameras`` and ``fps`` that ``meta`` has."""
    if not isinstance(content, dict):
        raise InputError("sequences in meta: expected what a sequence has of its own, under subject/name")
    own: dict[str, dict[str, Any]] = {}
    for label, entry in content.items():
        where = f"sequences in meta, {label}"
        if not isinstance(entry, dict) or not set(entry) <= {"cameras", "fps"}:
            raise InputError(f"{where}: expected cameras and fps, got {entry!r}")
        own[label] = dict(entry)
        if "cameras" in entry:
            names = entry["cameras"]
            if not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
                raise InputError(f"{where}: cameras must be a list of names, not {names!r}")
            own[label]["cameras"] = tuple(names)
        if "fps" in entry:
            own[label]["fps"] = _number(f"{where}: fps", entry["fps"])
    return own


def _to_metres_z_up(label: str, positions: np.ndarray, metres_per_unit: float, up: str) -> np.ndarray:
    if positions.ndim != 3 or positions.shape[2] != 3:
        raise InputError(f"sequence {label}: expected shape (frames, joints, 3), got {positions.shape}")
    if metres_per_unit != 1:
        positions = positions * np.float32(metres_per_unit)
    return y_up_to_z_up(positions) if up == "y" else positions


def y_up_to_z_up(positions: np.ndarray) -> np.ndarray:
    """A quarter turn about x, so that handedness stays. Shapes: (..., 3) -> the same"""
    return np.stack([positions[..., 0], -positions[..., 2], positions[..., 1]], axis=-1)


def _read_splits(content: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(content, dict) or not all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in content.values()
    ):
        raise InputError(f"splits must be lists of subjects under {', '.join(SPLITS)}")
    return {split: tuple(names) for split, names in content.items()}


def _read_cameras(content: object) -> dict[str, list[Camera]]:
    if not isinstance(content, dict) or not all(isinstance(entries, list) for entries in content.values()):
        raise InputError("cameras must be lists of cameras under their subjects")
    return {
        subject: [_read_camera(subject, entry) for entry in entries] for subject, entries in content.items()
    }


def _read_camera(subject: str, entry: Any) -> Camera:
    expected = [field.name for field in dataclasses.fields(Camera)]
    if not isinstance(entry, dict) or sorted(entry) != sorted(expected):
        raise InputError(f"cameras of {subject}: expected the keys {', '.join(expected)}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    try:
        if not (isinstance(values["name"], str) and type(values["width"]) is type(values["height"]) is int):
            raise TypeError("name must be a text, width and height whole numbers")
        return Camera(**values)
    except TypeError as error:
        raise InputError(
            f"cameras of {subject}: {entry['name']!r} has a value of the wrong type: {error}"
        ) from None
    except InputError as error:
        raise InputError(f"cameras of {subject}: {error}") from None
