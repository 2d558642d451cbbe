"""Keypoints in NumPy's files: VideoPose3D's, its archive of Detectron's, MHFormer's, and plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.keypoints.people import Found, axes_of, choose_recording, single_frames
from gcnpose.pickles import load_arrays

_MARKS = {
    "npz_videopose3d": ("positions_2d",),
    "npz_detectron": ("boxes", "keypoints"),
    "npz_reconstruction": ("reconstruction",),
    "array": (),
}
ARRAY_FORMATS = (*_MARKS, "movenet")
_SCORE_NAMES = ("scores", "score", "keypoint_scores", "confidence", "conf")
_LAYOUTS = {"h36m": "h36m17", "coco": "coco17", "humaneva15": "humaneva15"}  # as VideoPose3D calls them
_PERSON_CLASS = 1


def read_arrays(path: Path, format: str | None = None, sequence: str | None = None) -> Found:
    """The people in an .npz or .npy file.

    Args:
        path: The file.
        format: One of :data:`ARRAY_FORMATS`; None: by the names of its arrays.
        sequence: Which of several recordings: ``subject/action/camera`` for VideoPose3D, otherwise the name
            of an array.

    Raises:
        InputError: if it cannot be read, or holds no keypoints, or several recordings and none is chosen.
    """
    arrays = load_arrays(path)
    told = format or _tell_format(arrays)
    marks = _MARKS.get(told, ())
    if not set(marks) <= set(arrays):
        known = ", ".join(repr(name[:40]) for name in list(arrays)[:10])
        raise InputError(f"has no {' and '.join(marks)}, as {told} does, but {known or 'no arrays'}")
    match told:
        case "npz_videopose3d":
            return _read_videopose3d(arrays, sequence)
        case "npz_detectron":
            return _read_detectron(arrays)
        case "npz_reconstruction":
            values = _numbers("reconstruction", arrays["reconstruction"])
            return read_array(values, "npz_reconstruction", layout="h36m17")
        case _:
            found = _read_plain(arrays, told, sequence)
            found.axes = axes_of(format)
            return found


def _tell_format(arrays: Mapping[str, Any]) -> str:
    format = next(name for name, keys in _MARKS.items() if set(keys) <= set(arrays))
    # Detectron's keypoints are lists of classes; as an array they have an axis for each of frames, classes,
    # people, numbers and joints. Others write plain arrays beside boxes.
    if format == "npz_detectron" and _is_numeric(arrays["keypoints"]) and arrays["keypoints"].ndim < 5:
        return "array"
    return format


def read_array(values: npt.NDArray[np.float64], format: str, layout: str = "") -> Found:
    """People of a plain array.

    Args:
        values: x and y, perhaps a score, of every joint.
        format: What to call the format.
        layout: Its layout, where that is known.

    Shapes:
        values: (frames, joints, 2 or 3), (people, frames, joints, 2 or 3), (frames, joints * 2 or 3) or, for
        one frame, (joints, 2 or 3)

    Raises:
        InputError: if it has another shape.
    """
    shape = values.shape
    third = "score" if format == "npz_reconstruction" else "either"
    if values.size == 0:
        raise InputError(f"holds an empty array of the shape {shape}")
    if values.ndim == 2 and shape[1] in (2, 3):
        values = values[None]
    if values.ndim in (2, 3):
        return single_frames(format, values, third=third, layout=layout)
    if values.ndim != 4:
        raise InputError(
            f"expected an array (frames, joints, 2 or 3) or (people, frames, joints, 2 or 3), got {shape}"
        )
    people, frames = shape[:2]
    assumptions = []
    if people > frames:
        people, frames = frames, people
        values = values.swapaxes(0, 1)
    if people > 1:
        assumptions.append(f"an array of the shape {shape} was taken as {people} people in {frames} frames")
    seen = ~np.isnan(values.reshape(people, frames, -1)).all(axis=2)
    frame_of, person_of = np.nonzero(seen.T)
    return Found(
        format,
        list(map(str, range(frames))),
        frame_of,
        values[person_of, frame_of],
        third=third,
        ids=[str(person) for person in person_of] if people > 1 else None,
        layout=layout,
        assumptions=assumptions,
    )


def _is_numeric(array: Any) -> bool:
    return isinstance(array, np.ndarray) and array.dtype.kind in "fiu"


def _numbers(name: str, array: Any) -> npt.NDArray[np.float64]:
    if not _is_numeric(array):
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise InputError(f"{name}: expected an array of numbers, got {kind}")
    return np.asarray(array, dtype=np.float64)


def _read_plain(arrays: Mapping[str, Any], format: str, sequence: str | None) -> Found:
    """The one array that can be keypoints, with the scores beside it if they have its shape."""
    numbers = {name: _without_batch(array) for name, array in arrays.items() if _is_numeric(array)}
    points = {
        name: array for name, array in numbers.items() if array.ndim in (3, 4) and array.shape[-1] in (2, 3)
    }
    tables = {name: array for name, array in numbers.items() if array.ndim == 2}
    name = _choose(sequence, points or tables, arrays)
    values = _numbers(name, numbers[name])
    beside = [key for key in _SCORE_NAMES if key in numbers and numbers[key].shape == values.shape[:-1]]
    if not beside:
        return read_array(values, format)
    score = np.where(np.isnan(values[..., 0]), np.nan, _numbers(beside[0], numbers[beside[0]]))
    found = read_array(np.concatenate([values[..., :2], score[..., None]], axis=-1), format)
    found.third = "score"
    return found


def _without_batch(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Without the two axes of length 1 that MoveNet puts before joints and numbers, for batch and person."""
    return array[:, 0, 0] if array.ndim == 5 and array.shape[1:3] == (1, 1) else array


def _choose(sequence: str | None, known: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Name of the recording that is meant.

    Raises:
        InputError: if there is none, or several and none is named.
    """
    if not known:
        held = ", ".join(
            f"{name[:40]!r} {getattr(array, 'shape', '')}" for name, array in list(arrays.items())[:8]
        )
        raise InputError(f"holds no array (frames, joints, 2 or 3), but {held or 'nothing'}")
    return choose_recording(sequence, known)


def _read_videopose3d(arrays: Mapping[str, Any], sequence: str | None) -> Found:
    """VideoPose3D's data_2d_*.npz: positions_2d[subject][action] is a list of cameras.

    facebookresearch/VideoPose3D: data/prepare_data_2d_custom.py and common/custom_dataset.py.
    """
    recordings: dict[str, tuple[str, Any]] = {}
    for subject, actions in _items("positions_2d", arrays["positions_2d"]):
        for action, cameras in _items(f"positions_2d[{subject[:40]!r}]", actions):
            if not isinstance(cameras, list | tuple | np.ndarray):
                raise InputError(
                    f"positions_2d[{subject[:40]!r}][{action[:40]!r}]: expected a list of cameras"
                )
            for camera, array in enumerate(cameras):
                recordings[f"{subject}/{action}/{camera}"] = (subject, array)
    name = _choose(sequence, recordings, arrays)
    subject, array = recordings[name]
    values = _numbers(name, array)
    if values.ndim != 3:
        raise InputError(f"{name[:80]!r}: expected an array (frames, joints, 2 or 3), got {values.shape}")
    metadata = arrays.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    layout = _LAYOUTS.get(str(metadata.get("layout_name")), "")
    found = read_array(values, "npz_videopose3d", layout)
    videos = metadata.get("video_metadata")
    found.sizes = _size(videos.get(subject)) if isinstance(videos, dict) else None
    return found


def _items(where: str, mapping: Any) -> list[tuple[str, Any]]:
    if not isinstance(mapping, dict):
        raise InputError(f"{where}: expected a dictionary, got {type(mapping).__name__}")
    return [(str(key), value) for key, value in mapping.items()]


def _size(place: Any) -> tuple[int, int] | None:
    """Image size of {w, h}."""
    if not isinstance(place, dict):
        return None
    sides = place.get("w"), place.get("h")
    if not all(isinstance(side, int | float | np.number) and 0 < side < 100_000 for side in sides):
        return None
    return int(sides[0]), int(sides[1])  # type: ignore[arg-type]


def _read_detectron(arrays: Mapping[str, Any]) -> Found:
    """Detectron's archive: keypoints[frame][class] is (people, 4, joints), rows x, y, logit, score.

    facebookresearch/VideoPose3D: inference/infer_video.py and infer_video_d2.py. The score is the height of a
    heat map and may exceed 1. A frame without people holds an empty list.
    """
    frames: list[int] = []
    people: list[npt.NDArray[np.float64]] = []
    if not isinstance(arrays["keypoints"], list | np.ndarray):
        raise InputError("keypoints: expected a list of frames")
    for frame, classes in enumerate(arrays["keypoints"]):
        where = f"keypoints of frame {frame}"
        if not isinstance(classes, list | tuple | np.ndarray) or len(classes) <= _PERSON_CLASS:
            raise InputError(f"{where}: expected a list of classes, persons being number {_PERSON_CLASS}")
        persons = classes[_PERSON_CLASS]
        if not isinstance(persons, list | np.ndarray):
            raise InputError(f"{where}: expected an array of people, got {type(persons).__name__}")
        if len(persons) == 0:
            continue
        array = _numbers(where, persons)
        if array.ndim != 3 or array.shape[1] != 4:
            raise InputError(f"{where}: expected an array (people, 4, joints), got {array.shape}")
        if people and array.shape[2] != len(people[0]):
            raise InputError(f"{where}: has {array.shape[2]} joints, those before {len(people[0])}")
        people += list(array[:, [0, 1, 3]].transpose(0, 2, 1))
        frames += [frame] * len(array)
    count = len(arrays["keypoints"])
    values = np.array(people) if people else np.empty((0, 17, 3))
    found = Found("npz_detectron", list(map(str, range(count))), np.array(frames, dtype=np.int64), values)
    found.sizes = _size(arrays.get("metadata"))
    return found
