"""The live mode's protocol, a JSON object a line in and one a line out: ``docs/output_formats.md``."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.inference.lifter import Lifter
from gcnpose.inference.streaming import StreamingLifter
from gcnpose.keypoints.detections import is_detected
from gcnpose.keypoints.track3d import Intrinsics

MOST_PEOPLE = 100
"""When another one comes, whoever has been away for longest gets their last answers and is forgotten."""

_DECIMALS_M = 5
_LARGEST_PX = 1e6
_SMALLEST_PX = 2.0

Points = npt.NDArray[np.float32]


def lift_lines(
    lines: Iterable[bytes],
    lifter: Lifter,
    layout: str,
    image_size: tuple[int, int],
    intrinsics: Intrinsics,
    delay: int | None = None,
    min_score: float = 0.0,
    fps: float | None = None,
) -> Iterator[dict[str, Any]]:
    """Answers to lines as they come.

    Args:
        lines: JSON texts.
        lifter: Lifts windows.
        layout: Joints of the lines: name of a graph, or path of its file.
        image_size: Width and height in pixels.
        intrinsics: Place the people in front of this camera.
        delay: In lines of a person, as :class:`StreamingLifter` takes it.
        min_score: Joints with a lower score count as missing.
        fps: Lines of a person per second, as :class:`StreamingLifter` takes it.

    Raises:
        InputError: if layout, delay or min_score cannot be used.
    """
    if not 0 <= min_score <= 1:
        raise InputError(f"expected a smallest score from 0 to 1, got {min_score:g}")

    def stream() -> StreamingLifter:
        return StreamingLifter(lifter, layout, image_size, delay, fps, intrinsics)

    first = stream()
    yield {
        "skeleton": lifter.skeleton.name,
        "joints": list(lifter.skeleton.joints),
        "delay": first.delay,
        "lifted_at": lifter.lifted_at(fps),
        "window": lifter.window,
        "units": "metres",
        "axes": "camera: x right, y down, z forward",
        "camera": vars(intrinsics),
    }
    people: dict[str, _Person] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            content = _parse(line)
            name, frame = _label(content, "person", "0"), _label(content, "frame", None)
            keypoints_2d, score = _joints(
                content.get("keypoints"), first.conversion.source.num_joints, min_score
            )
        except InputError as error:
            yield {"error": str(error), "line": number}
            continue
        person = people.pop(str(name), None)
        if person is None:
            person = _Person(str(name), stream(), intrinsics)
        people[str(name)] = person  # the last to be forgotten
        yield from person.push(frame, keypoints_2d, score)
        if len(people) > MOST_PEOPLE:
            yield from people.pop(next(iter(people))).flush()
    for person in people.values():
        yield from person.flush()


class _Person:
    """One person's frames that wait for their answers."""

    def __init__(self, name: str, stream: StreamingLifter, intrinsics: Intrinsics) -> None:
        self.name = name
        self.stream = stream
        self.intrinsics = intrinsics
        self.frames = 0
        self.found = False
        self.waiting: deque[tuple[Any, Points, Points]] = deque()

    def push(self, frame: Any, keypoints_2d: Points, score: Points) -> Iterator[dict[str, Any]]:
        """Takes a frame; answers to the one that is due, if there is one."""
        frame = self.frames if frame is None else frame
        self.frames += 1
        self.found |= bool(score.any())
        if not self.found:
            yield {"frame": frame, "person": self.name, "positions": None, "translation": None}
            return
        positions = self.stream.push(keypoints_2d, score)
        assert self.stream.keypoints_2d is not None
        self.waiting.append((frame, self.stream.keypoints_2d, score))
        if positions is not None:
            yield self._answer(positions)

    def flush(self) -> Iterator[dict[str, Any]]:
        """Answers to all that wait."""
        for positions in self.stream.flush():
            yield self._answer(positions)

    def _answer(self, positions: Points) -> dict[str, Any]:
        frame, keypoints_2d, score = self.waiting.popleft()
        seen, trusted = self.stream.conversion(keypoints_2d[None], score[None])
        try:
            (positions,), (translation,) = self.stream.lifter.place_poses(
                positions[None], seen, trusted, self.intrinsics
            )
        except InputError:
            translation = None
        return {
            "frame": frame,
            "person": self.name,
            "positions": positions.astype(np.float64).round(_DECIMALS_M).tolist(),
            "translation": None
            if translation is None
            else translation.astype(np.float64).round(_DECIMALS_M).tolist(),
        }


def _parse(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError('expected an object such as {"keypoints": [[x, y], ...]}')
    unknown = sorted(set(content) - {"keypoints", "frame", "person"})
    if unknown or "keypoints" not in content:
        raise InputError(
            f"expected the keys keypoints, and perhaps frame and person, got {', '.join(content)}"
        )
    return content


def _label(content: dict[str, Any], key: str, default: str | None) -> str | int | None:
    """The person, or the frame: a text or a whole number."""
    label = content.get(key)
    if label is None:
        return default
    if type(label) not in (str, int):
        raise InputError(f"{key}: expected a text or a whole number, got {type(label).__name__}")
    return label


def _joints(rows: Any, joints: int, min_score: float) -> tuple[Points, Points]:
    """Keypoints, 0 where missing, and scores, 0 where missing.

    Shapes: (joints, 2), (joints,)
    """
    if rows is None:
        rows = [None] * joints
    if not isinstance(rows, list) or len(rows) != joints:
        count = f"{len(rows)} of them" if isinstance(rows, list) else type(rows).__name__
        raise InputError(f"keypoints: expected a list of {joints} joints, got {count}")
    values = np.full((joints, 3), np.nan)
    for joint, row in enumerate(rows):
        if row is None:
            continue
        if not (isinstance(row, list) and len(row) in (2, 3) and all(type(v) in (int, float) for v in row)):
            raise InputError(f"keypoints: joint {joint}: expected [x, y], [x, y, score] or null")
        try:
            values[joint] = [*row, 1.0][:3]
        except OverflowError:
            raise InputError(f"keypoints: joint {joint}: a number is too large") from None
    there = (
        is_detected(values[:, :2]) & (np.abs(values) < _LARGEST_PX).all(axis=1) & (values[:, 2] >= min_score)
    )
    if there.sum() > 1 and (np.abs(values[there, :2]) <= _SMALLEST_PX).all():
        raise InputError(
            f"keypoints: all within {_SMALLEST_PX:g} pixels of a corner: fractions of the image?"
        )
    score = np.where(there, np.clip(values[:, 2], 0, 1), 0.0)
    return np.where(there[:, None], values[:, :2], 0.0).astype(np.float32), score.astype(np.float32)
