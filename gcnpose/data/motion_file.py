"""The motion file: plain arrays in an ``.npz``, read without unpickling anything::

    subject/name              float32 (frames, joints, 3)        world positions
    2d/subject/name/camera    float32 (frames, joints, 2 | 3)    pixels, and a detector's score if any
    valid/subject/name        bool (frames,)                     which frames are scored, if not all
    meta                      text (a 0-d array), JSON: version, skeleton, fps, units, up, splits, cameras;
                              sequences: {subject/name: {cameras, fps}} where they are not the set's

Without ``meta`` the fps, units, up axis and splits are taken from a ``splits.json`` in the same folder; where
``meta`` has no splits, they are, if that one knows any of its subjects. What is here takes the arrays apart
and puts them together; :class:`gcnpose.data.motion.MotionSet` loads and saves them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gcnpose.data.camera import Camera
from gcnpose.data.sequence import MotionSequence, check_fps
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton

FORMAT_VERSION = 1
SPLITS = ("train", "validation", "test")
MAX_BYTES = 16 << 30
"""Of plain arrays only; far more than any captured motion."""

_METRES_PER_UNIT = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_UP_AXES = ("z", "y")


def arrays_of(sequences: Sequence[MotionSequence]) -> dict[str, np.ndarray]:
    """All arrays under their names in the file."""
    arrays: dict[str, np.ndarray] = {sequence.label: sequence.positions for sequence in sequences}
    for sequence in sequences:
        for camera, keypoints in sequence.keypoints_2d.items():
            arrays[f"2d/{sequence.label}/{camera}"] = keypoints
        if sequence.valid is not None:
            arrays[f"valid/{sequence.label}"] = sequence.valid
    return arrays


def meta_text(
    skeleton: Skeleton,
    fps: float,
    sequences: Sequence[MotionSequence],
    cameras: Mapping[str, list[Camera]],
    splits: Mapping[str, tuple[str, ...]] | None,
) -> str:
    """The content of ``meta``, with or without splits; the same text for equal content."""
    content: dict[str, Any] = {
        "version": FORMAT_VERSION,
        "skeleton": skeleton.to_dict(),
        "fps": float(fps),
        "units": "m",
        "up": "z",
        "cameras": {
            subject: [dataclasses.asdict(camera) for camera in of_subject]
            for subject, of_subject in cameras.items()
        },
    }
    own = {sequence.label: _own_description(sequence) for sequence in sequences}
    own = {label: entry for label, entry in own.items() if entry}
    if own:
        content["sequences"] = own
    if splits is not None:
        content["splits"] = splits
    return json.dumps(content, sort_keys=True)


def _own_description(sequence: MotionSequence) -> dict[str, Any]:
    """What a sequence has in ``meta`` of its own."""
    own: dict[str, Any] = {}
    if sequence.cameras is not None:
        own["cameras"] = list(sequence.cameras)
    if sequence.fps is not None:
        own["fps"] = float(sequence.fps)
    return own


def read_parts(
    arrays: Mapping[str, Any],
    description: Mapping[str, Any],
    skeleton: Skeleton | None,
    fps: float | None,
) -> dict[str, Any]:
    """What a :class:`gcnpose.data.motion.MotionSet` is made of, from arrays under their names in a file.

    Args:
        arrays: all but ``meta``.
        description: what ``meta`` or ``splits.json`` says.
        skeleton: names the joints where the description does not.
        fps: frames per second where the description has none.

    Raises:
        InputError: names the array, sequence, frame or joint at fault.
    """
    cameras = _read_cameras(description.get("cameras", {}))
    return {
        "skeleton": _settle_skeleton(description, skeleton),
        "fps": _settle_fps(description, fps),
        "sequences": _read_sequences(arrays, description, has_cameras=bool(cameras)),
        "splits": read_splits(description.get("splits", {})),
        "cameras": cameras,
    }


def read_meta(text: np.ndarray) -> dict[str, Any]:
    """The content of ``meta``.

    Raises:
        InputError: if it is not that of a motion file of this version.
    """
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
        check_fps("the given fps", given)
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


def read_splits(content: object) -> dict[str, tuple[str, ...]]:
    """The subjects of each split, checked."""
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
