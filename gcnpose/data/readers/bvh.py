"""BVH files (Biovision hierarchy): joints, channels in any order and number, and forward kinematics.

The format as M. Meredith and S. Maddock describe it in "Motion Capture File Formats Explained" (University of
Sheffield, CS-01-11). Rotations are intrinsic in the order of their channels, in degrees. Where a joint has
position channels they stand in the place of its OFFSET, as Blender reads and writes them and as the exports
of MotionBuilder and Mixamo mean them, whose position channels repeat the OFFSET.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from gcnpose.data.readers.joint_tracks import JointTracks, lines_to_numbers, read_lines, to_numbers
from gcnpose.errors import InputError, did_you_mean

_CHANNEL = re.compile(r"([xyz])(position|rotation)", re.IGNORECASE)
_FRAMES = re.compile(r"\s*frames\s*:\s*(\S+)\s*", re.IGNORECASE)
_FRAME_TIME = re.compile(r"\s*frame\s+time\s*:\s*(\S+)\s*", re.IGNORECASE)
_USUAL_RATES = (24, 25, 30, 48, 50, 60, 72, 90, 100, 120, 240)


@dataclass
class _Joint:
    name: str
    parent: int
    line: int
    offset: npt.NDArray[np.float64] = field(default_factory=lambda: np.full(3, np.nan))
    """NaN until it is read."""
    position_columns: dict[int, int] = field(default_factory=dict)
    """Column in the motion of each axis (0, 1, 2) that has one."""
    rotation_order: str = ""
    """Axes in the order of the rotation channels, such as "ZXY"."""
    rotation_columns: list[int] = field(default_factory=list)


class _Words:
    """The words of the hierarchy one after the other, each with its line."""

    def __init__(self, path: Path, lines: Sequence[str]) -> None:
        self.path = path
        spaced = (line.replace("{", " { ").replace("}", " } ") for line in lines)
        self.words = [(word, number) for number, line in enumerate(spaced, start=1) for word in line.split()]
        self.position = 0
        self.line = 1

    def __bool__(self) -> bool:
        return self.position < len(self.words)

    @property
    def place(self) -> str:
        return f"{self.path}, line {self.line}"

    def next(self, expected: str) -> str:
        if not self:
            raise InputError(f"{self.place}: the hierarchy ends where {expected} was expected")
        word, self.line = self.words[self.position]
        self.position += 1
        return word

    def keyword(self, *expected: str) -> str:
        word = self.next(" or ".join(expected))
        if word.upper() not in expected:
            raise InputError(f"{self.place}: expected {' or '.join(expected)}, got {word[:40]!r}")
        return word.upper()

    def numbers(self, count: int) -> npt.NDArray[np.float64]:
        return to_numbers([self.next("a number") for _ in range(count)], self.place)

    def name(self) -> str:
        """What is left of the line, up to a brace: names may have spaces."""
        words = []
        while self and self.words[self.position][1] == self.line and self.words[self.position][0] != "{":
            words.append(self.next("a name"))
        return " ".join(words)


def read_bvh(
    path: str | Path, lost_bones: Mapping[str, tuple[float, float, float]] | None = None
) -> JointTracks:
    """Reads a BVH file; the position of every joint and End Site in every frame.

    The End Site of a joint ``Head`` is called ``Head_end``.

    Args:
        path: The file.
        lost_bones: Where a conversion lost the OFFSET of a joint: the one to put in its place, along the
            parent's axes, in lengths of the parent's own OFFSET.

    Raises:
        InputError: if the file is no BVH file, damaged or cut off, names a joint twice, has no frame, or
            lacks a joint that `lost_bones` names; with the line.
    """
    path = Path(path)
    lines = read_lines(path)
    motion = next((number for number, line in enumerate(lines) if line.strip().upper() == "MOTION"), None)
    words = _Words(path, lines[:motion])
    if not words:
        raise InputError(f"{path}: is empty, expected HIERARCHY")
    words.keyword("HIERARCHY")
    joints = _read_hierarchy(words, complete=motion is not None)
    if motion is None:
        raise InputError(f"{words.place}: no line MOTION follows the hierarchy; is the file cut off?")
    values, fps = _read_motion(path, lines, motion, joints)
    for name, lengths in (lost_bones or {}).items():
        _put_bone(path, joints, name, lengths)
    return JointTracks(
        names=tuple(joint.name for joint in joints),
        parents=tuple(joint.parent for joint in joints),
        positions=_forward_kinematics(joints, values),
        fps=fps,
        metres_per_unit=None,
    )


def _read_hierarchy(words: _Words, complete: bool) -> list[_Joint]:
    joints: list[_Joint] = []
    indices: dict[str, int] = {}
    opened: list[int] = []  # the joints whose braces are open, the innermost last
    columns = 0
    while words:
        if not opened:
            words.keyword("ROOT")
            kind = "ROOT"
        else:
            kind = words.keyword("OFFSET", "CHANNELS", "JOINT", "END", "}")
        if kind == "}":
            joint = joints[opened.pop()]
            if np.isnan(joint.offset).any():
                raise InputError(f"{words.path}, line {joint.line}: {joint.name} has no OFFSET")
        elif kind == "OFFSET":
            joints[opened[-1]].offset = words.numbers(3)
        elif kind == "CHANNELS":
            columns = _read_channels(words, joints[opened[-1]], columns)
        else:
            parent = opened[-1] if opened else -1
            if kind == "END":
                words.keyword("SITE")
                line = words.line
                words.name()
                name = _end_site_name(joints[parent].name, indices)
            else:
                name, line = words.name(), words.line
            if not name or name in indices:
                reason = f"the joint {name!r} stands twice" if name else f"{kind} has no name"
                raise InputError(f"{words.path}, line {line}: {reason}")
            indices[name] = len(joints)
            opened.append(len(joints))
            joints.append(_Joint(name, parent, line))
            words.keyword("{")
    if opened and complete:
        raise InputError(f"{words.place}: the brace of {joints[opened[-1]].name} is not closed before MOTION")
    if not columns and complete:
        raise InputError(f"{words.place}: the hierarchy has no channel")
    return joints


def _end_site_name(parent: str, taken: Mapping[str, int]) -> str:
    name = f"{parent}_end"
    number = 2
    while name in taken:
        name, number = f"{parent}_end{number}", number + 1
    return name


def _read_channels(words: _Words, joint: _Joint, columns: int) -> int:
    """Reads a line CHANNELS into the joint; gives the columns that are taken now."""
    count = words.next("the number of channels")
    if joint.position_columns or joint.rotation_columns:
        raise InputError(f"{words.place}: {joint.name} has CHANNELS twice")
    if not re.fullmatch("[0-6]", count):
        raise InputError(f"{words.place}: expected 0 to 6 channels, got {count[:40]!r}")
    for _ in range(int(count)):
        word = words.next("a channel")
        match = _CHANNEL.fullmatch(word)
        if not match:
            raise InputError(f"{words.place}: expected a channel such as Xrotation, got {word[:40]!r}")
        axis, position = match[1].upper(), match[2].lower() == "position"
        if "XYZ".index(axis) in joint.position_columns if position else axis in joint.rotation_order:
            raise InputError(f"{words.place}: {joint.name} has {word} twice")
        if position:
            joint.position_columns["XYZ".index(axis)] = columns
        else:
            joint.rotation_order += axis
            joint.rotation_columns.append(columns)
        columns += 1
    return columns


def _read_motion(
    path: Path, lines: Sequence[str], motion: int, joints: Sequence[_Joint]
) -> tuple[npt.NDArray[np.float64], float]:
    """The values of all channels, shape (frames, channels), and the frames per second."""
    rows = [
        (number, line) for number, line in enumerate(lines[motion + 1 :], start=motion + 2) if line.strip()
    ]
    header = []
    for pattern, expected in ((_FRAMES, "Frames: N"), (_FRAME_TIME, "Frame Time: SECONDS")):
        number, line = rows.pop(0) if rows else (len(lines), "")
        match = pattern.fullmatch(line)
        if not match:
            raise InputError(f"{path}, line {number}: expected {expected!r}, got {line.strip()[:40]!r}")
        header.append((match[1], f"{path}, line {number}"))
    (count, count_place), (frame_time, time_place) = header
    if not re.fullmatch("[0-9]{1,12}", count) or int(count) == 0:
        raise InputError(f"{count_place}: expected a number of frames of at least 1, got {count[:40]!r}")
    fps = _frames_per_second(frame_time, time_place)
    frames, channels = int(count), sum(len(j.position_columns) + len(j.rotation_columns) for j in joints)
    if len(rows) != frames:
        cut = "; is the file cut off?" if len(rows) < frames else ""
        raise InputError(f"{count_place}: says Frames: {frames}, but {len(rows)} follow{cut}")

    def split() -> Iterator[tuple[int, list[str]]]:
        for number, line in rows:
            words = line.split()
            if len(words) != channels:
                raise InputError(
                    f"{path}, line {number}: expected {channels} values, one per channel, got {len(words)}"
                )
            yield number, words

    return lines_to_numbers(path, split()).reshape(frames, channels), fps


def _frames_per_second(frame_time: str, place: str) -> float:
    """The whole number that the frame time's digits may stand for, as 0.033333 for 30; else the inverse.

    Few digits may stand for several, as 0.017 for 58 to 60; then it is a rate that cameras have.
    """
    seconds = float(to_numbers([frame_time], place)[0])
    if not 1e-6 <= seconds <= 1e6:
        raise InputError(f"{place}: expected a frame time of more than 0 s, got {frame_time[:40]!r}")
    half_a_digit = 0.5 * 10.0 ** int(Decimal(frame_time).as_tuple().exponent)
    usual = min(_USUAL_RATES, key=lambda rate: abs(1 / rate - seconds))
    for whole in (usual, max(round(1 / seconds), 1)):
        if abs(1 / whole - seconds) <= half_a_digit:
            return float(whole)
    return 1 / seconds


def _put_bone(path: Path, joints: Sequence[_Joint], name: str, lengths: tuple[float, float, float]) -> None:
    """Puts an OFFSET that a conversion lost into a joint."""
    by_name = {joint.name: joint for joint in joints}
    if name not in by_name:
        raise InputError(f"{path}: has no joint {name!r}{did_you_mean(name, by_name)}")
    parent = by_name[name].parent
    length = np.linalg.norm(joints[parent].offset) if parent >= 0 else 0.0
    if length == 0:
        raise InputError(f"{path}: the parent of {name!r} has no length to measure the lost bone by")
    by_name[name].offset = length * np.array(lengths)


def _forward_kinematics(joints: Sequence[_Joint], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Positions of all joints, shape (frames, joints, 3), from channels, shape (frames, channels)."""
    positions = np.empty((len(values), len(joints), 3))
    turns: list[Rotation] = []  # of each joint, against the world
    for index, joint in enumerate(joints):
        steps = np.tile(joint.offset, (len(values), 1))
        for axis, column in joint.position_columns.items():
            steps[:, axis] = values[:, column]
        turn = Rotation.identity(len(values))
        if joint.rotation_order:
            angles = values[:, joint.rotation_columns]
            turn = Rotation.from_euler(joint.rotation_order, angles, degrees=True)
        if joint.parent >= 0:
            steps = positions[:, joint.parent] + turns[joint.parent].apply(steps)
            turn = turns[joint.parent] * turn
        positions[:, index] = steps
        turns.append(turn)
    return positions
