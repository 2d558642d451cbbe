"""What a keypoint file says: people, frame by frame, with their joints; and a summary of it to look at."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.keypoints.layouts import Layout
from gcnpose.keypoints.names import printable


@dataclass(frozen=True, eq=False)
class Detections:
    """The people of a keypoint file, as they stand in it, in the order of time.

    Attributes:
        source: The file or folder.
        format: Name of the format, such as ``"openpose_json"``.
        layout: The joints.
        frame_labels: What the file calls each frame: a number, a time or a file name.
        frame_numbers: Number of each frame, strictly increasing.
        frame_step: By how much the numbers go up where frames are consecutive; a larger gap is a gap in time.
        numbers_from_labels: The frame numbers are the file's own. Otherwise they count from 0.
        frame_of: Position of each person's frame in ``frame_labels``, never decreasing.
        keypoints: x and y of each joint in ``unit``, as in the file; NaN where it has none.
        scores: Score of each joint as in the file, which may be a flag 0, 1, 2 or exceed 1; None if the file
            has none.
        track_ids: Track id of each person, "" for one without; None if the file does not track.
        unit: ``"pixel"``, or ``"normalized"``: fractions of the image's width and height.
        image_sizes: Width and height of each frame's image in pixels.
        image_size_from: ``"file"``, ``"option"`` or ``"guess"``.
        fps: Frames per second, where the file tells it.
        assumptions: What was assumed where the content did not tell, and which option changes it.
        repairs: What was mended.

    Shapes:
        frame_labels, frame_numbers: (frames,); frame_of, track_ids: (people,), the people of all frames;
        keypoints: (people, joints, 2) float64; scores: (people, joints) float64; image_sizes: (frames, 2)
    """

    source: str
    format: str
    layout: Layout
    frame_labels: tuple[str, ...]
    frame_numbers: npt.NDArray[np.int64]
    frame_step: int
    numbers_from_labels: bool
    frame_of: npt.NDArray[np.int64]
    keypoints: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64] | None
    track_ids: tuple[str, ...] | None
    unit: str
    image_sizes: npt.NDArray[np.int64]
    image_size_from: str
    fps: float | None
    assumptions: tuple[str, ...]
    repairs: tuple[str, ...]

    @property
    def detected(self) -> npt.NDArray[np.bool_]:
        """Joints that have a place: not empty, and not where detectors put those that they did not find.

        Shapes: (people, joints)
        """
        return is_detected(self.keypoints)

    @property
    def keypoints_px(self) -> npt.NDArray[np.float64]:
        """x and y in pixels.

        Shapes: (people, joints, 2)
        """
        if self.unit == "pixel":
            return self.keypoints
        return self.keypoints * self.image_sizes[self.frame_of][:, None]

    @property
    def places(self) -> npt.NDArray[np.int64]:
        """Where each frame stands on the timeline, in frames from the first.

        Shapes: (frames,)
        """
        return (self.frame_numbers - self.frame_numbers[0]) // self.frame_step

    @property
    def people_per_frame(self) -> npt.NDArray[np.int64]:
        """Number of people in each frame.

        Shapes: (frames,)
        """
        return np.bincount(self.frame_of, minlength=len(self.frame_labels))


def is_detected(keypoints: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which joints have a place.

    Those that a detector did not find it leaves empty (NaN here) or puts at (0, 0) or (-1, -1), OpenPifPaf at
    (0, -3). A joint whose x alone is 0 is a real one at the image's edge.

    Shapes:
        keypoints: (..., 2) -> (...)
    """
    x, y = keypoints[..., 0], keypoints[..., 1]
    nowhere = ((x == 0) & ((y == 0) | (y == -3))) | ((x == -1) & (y == -1))
    return np.isfinite(x) & np.isfinite(y) & ~nowhere


def inspect(detections: Detections) -> dict[str, Any]:
    """What was understood of a file, as one JSON object.

    The ranges of x and y are over the detected joints, in the file's own unit. ``frame_numbers_missing``
    holds the gaps in the frame numbers, each as [first, last], and null where the frames have no numbers.
    """
    people = detections.people_per_frame
    detected = detections.detected
    runs = [[count, len(list(run))] for count, run in itertools.groupby(people.tolist())]
    return {
        "source": printable(detections.source),
        "format": detections.format,
        "layout": detections.layout.name,
        "frames": len(people),
        "first_frame": printable(detections.frame_labels[0]),
        "last_frame": printable(detections.frame_labels[-1]),
        "frame_numbers_missing": _gaps(detections),
        "frames_without_people": int((people == 0).sum()),
        "people_min": int(people.min()),
        "people_max": int(people.max()),
        "people_per_frame_runs": runs,
        "track_ids": _ids(detections),
        "keypoints": len(detections.layout.joints),
        "has_score": detections.scores is not None,
        "undetected_joints": int((~detected).sum()),
        "unit": detections.unit,
        "x_range": _range(detections.keypoints[..., 0][detected]),
        "y_range": _range(detections.keypoints[..., 1][detected]),
        "score_range": None if detections.scores is None else _range(detections.scores),
        "image_size": _image_size(detections),
        "image_size_from": detections.image_size_from,
        "fps": detections.fps,
        "assumptions": list(detections.assumptions),
        "repairs": list(detections.repairs),
    }


def inspect_person(detections: Detections, frame: str, person: int) -> dict[str, Any]:
    """One person's joints by name: x, y and score as in the file, and the place in pixels.

    Args:
        detections: Of a file.
        frame: Label of the frame in the file, or its number.
        person: Number of the person in the frame, from 0, in the order of the file.

    Raises:
        InputError: if there is no such frame or person.
    """
    position = _find_frame(detections, frame)
    label = detections.frame_labels[position]
    (people,) = np.nonzero(detections.frame_of == position)
    if not 0 <= person < len(people):
        has = f"people 0 to {len(people) - 1}" if len(people) else "no people"
        raise InputError(f"frame {label[:80]!r} has no person {person}, but {has}")
    row = people[person]
    place, place_px = detections.keypoints[row], detections.keypoints_px[row]
    detected = detections.detected[row]
    joints = {}
    for number, joint in enumerate(detections.layout.joints):
        joints[joint] = {
            "index": number,
            "x": _json_number(place[number, 0]),
            "y": _json_number(place[number, 1]),
            "score": None if detections.scores is None else _json_number(detections.scores[row, number]),
            "x_px": _json_number(place_px[number, 0]),
            "y_px": _json_number(place_px[number, 1]),
            "detected": bool(detected[number]),
        }
    return {
        "frame": printable(label),
        "frame_number": int(detections.frame_numbers[position]),
        "frame_position": position,
        "person": person,
        "track_id": printable(detections.track_ids[row]) if detections.track_ids else None,
        "layout": detections.layout.name,
        "unit": detections.unit,
        "image_size": detections.image_sizes[position].tolist(),
        "joints": joints,
    }


def _find_frame(detections: Detections, frame: str) -> int:
    """Position of a frame by its label, else by its number."""
    if frame in detections.frame_labels:
        return detections.frame_labels.index(frame)
    if frame.isdecimal() and len(frame) < 19:
        (places,) = np.nonzero(detections.frame_numbers == int(frame))
        if len(places):
            return int(places[0])
    first, last = detections.frame_labels[0][:80], detections.frame_labels[-1][:80]
    raise InputError(f"there is no frame {frame[:80]!r}; the frames go from {first!r} to {last!r}")


def _gaps(detections: Detections) -> list[list[int]] | None:
    numbers, step = detections.frame_numbers, detections.frame_step
    if not detections.numbers_from_labels or len(numbers) < 2:
        return None
    (before,) = np.nonzero(np.diff(numbers) > step)
    return [[int(numbers[place]) + step, int(numbers[place + 1]) - step] for place in before]


def _ids(detections: Detections) -> list[str] | None:
    """The different track ids in the order of their coming, at most a hundred."""
    if detections.track_ids is None:
        return None
    return [printable(name) for name in dict.fromkeys(detections.track_ids) if name][:100]


def _image_size(detections: Detections) -> list[int] | dict[str, list[int]]:
    """The images' size; by frame where it differs."""
    sizes = detections.image_sizes
    if (sizes == sizes[0]).all():
        return sizes[0].tolist()
    labels = map(printable, detections.frame_labels)
    return dict(zip(labels, sizes.tolist(), strict=True))


def _range(values: npt.NDArray[np.float64]) -> list[float] | None:
    return [round(float(values.min()), 4), round(float(values.max()), 4)] if values.size else None


def _json_number(value: np.floating[Any]) -> float | None:
    """A number that JSON can hold."""
    return float(value) if np.isfinite(value) else None
