"""Acclaim's skeleton (ASF) and motion (AMC), as Vicon's BodyBuilder writes them and CMU publishes them.

The format: M. Schafer, "Acclaim Skeleton File Definition V1.10", 1994. A bone begins where its parent ends,
and its angles are measured in axes of its own: with C the rotation of its line ``axis`` and R that of its
values in the AMC file, each about fixed axes one after the other in the order given, it turns against its
parent by C R C^-1.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from gcnpose.data.readers.joint_tracks import JointTracks, lines_to_numbers, read_lines, to_numbers
from gcnpose.errors import InputError, did_you_mean

ROOT = "root"
_METRES_PER_INCH = 0.0254
_SMALLEST = 1e-9  # of a unit or a rate: what is divided by it stays finite
_TRANSLATIONS = ("TX", "TY", "TZ")
_ROTATIONS = ("RX", "RY", "RZ")


@dataclass(frozen=True, eq=False)
class AsfBone:
    """One bone of a skeleton; the root is one that moves instead of having a length.

    Args:
        name: As in the file.
        parent: Index of its parent, -1 for the root.
        vector: From its beginning to its end in the base pose; of the root, its place.
        axis: Rotation of the axes in which its angles are measured.
        channels: What stands for it in each frame of an AMC file, of TX, TY, TZ, RX, RY, RZ; may be empty.

    Shapes:
        vector (3,) float64
    """

    name: str
    parent: int
    vector: npt.NDArray[np.float64]
    axis: Rotation
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class AsfSkeleton:
    """The bones of an ASF file.

    Args:
        bones: The root first, a parent before its children.
        metres_per_unit: The file's line ``length`` is what its lengths are divided by to be inches, so CMU's
            0.45 makes a unit of 0.0254 / 0.45 m (the frequently asked questions of mocap.cs.cmu.edu).
        degrees: Whether angles are degrees where an AMC file does not say; otherwise they are radians.
    """

    bones: tuple[AsfBone, ...]
    metres_per_unit: float
    degrees: bool


@dataclass(frozen=True)
class _Line:
    """A line that has words, without its comment."""

    path: Path
    number: int
    words: list[str]

    @property
    def keyword(self) -> str:
        return self.words[0].lower()

    def fault(self, reason: str) -> InputError:
        return InputError(f"{self.path}, line {self.number}: {reason}")

    def numbers(self, count: int) -> npt.NDArray[np.float64]:
        """The words after the first as numbers."""
        given = self.words[1 : count + 1]
        if len(given) < count:
            expected = "a number" if count == 1 else f"{count} numbers"
            raise self.fault(f"{self.words[0]}: expected {expected}, got {len(given)}")
        return to_numbers(given, f"{self.path}, line {self.number}")

    def positive(self) -> float:
        """The number after the first word."""
        value = float(self.numbers(1)[0])
        if value < _SMALLEST:
            raise self.fault(f"{self.words[0]}: expected a number above 0, got {self.words[1][:40]}")
        return value

    def channels(self, known: Sequence[str]) -> tuple[str, ...]:
        """The words after the first as channels."""
        channels = tuple(word.upper() for word in self.words[1:])
        if not channels or not set(channels) <= set(known) or len(set(channels)) < len(channels):
            raise self.fault(
                f"{self.words[0]}: expected {', '.join(known)}, got {' '.join(self.words[1:])[:80]}"
            )
        return channels


def read_asf(path: str | Path) -> AsfSkeleton:
    """Reads a skeleton.

    Raises:
        InputError: if the file is no ASF file, damaged or cut off, says a thing twice, or uses what programs
            understand differently: bones that grow or move (dof l, tx, ty, tz), a root turned beforehand;
            with the line.
    """
    path = Path(path)
    sections = _read_sections(path)
    units = {line.keyword: line for line in sections.get(":units", [])}
    degrees = "angle" in units and _is_in_degrees(units["angle"])
    bones = {ROOT: _read_root(sections[":root"])}
    for block in _blocks(sections[":bonedata"]):
        bone = _read_bone(block, degrees)
        if bone.name in bones:
            raise block[0].fault(f"the bone {bone.name!r} stands twice")
        bones[bone.name] = bone
    return AsfSkeleton(
        bones=_in_order(bones, sections[":hierarchy"]),
        metres_per_unit=_METRES_PER_INCH / (units["length"].positive() if "length" in units else 1.0),
        degrees=degrees,
    )


def read_amc(path: str | Path, skeleton: AsfSkeleton) -> JointTracks:
    """Reads a motion of a skeleton; the root and the end of every bone in every frame.

    Raises:
        InputError: if the file is no AMC file, damaged or cut off, or does not fit the skeleton; with the
            line.
    """
    path = Path(path)
    widths = {bone.name: len(bone.channels) for bone in skeleton.bones}
    frames = _frames(path)
    degrees, fps = skeleton.degrees, None
    for line in next(frames):
        if line.keyword in (":degrees", ":radians"):
            degrees = line.keyword == ":degrees"
        elif line.keyword == ":samples-per-second":
            fps = line.positive()
        elif not line.keyword.startswith(":"):
            raise line.fault(
                f"expected the number of a frame, got {line.words[0][:40]!r}; is it an AMC file?"
            )
    in_order = (line for number, *lines in frames for line in _in_the_order_of(widths, number, lines))
    values = lines_to_numbers(path, ((line.number, line.words[1:]) for line in in_order))
    if not len(values):
        raise InputError(f"{path}: has no frame; is it an AMC file, and complete?")
    values = values.reshape(-1, sum(widths.values()))
    return JointTracks(
        names=tuple(bone.name for bone in skeleton.bones),
        parents=tuple(bone.parent for bone in skeleton.bones),
        positions=_forward_kinematics(skeleton.bones, values, degrees),
        fps=fps,
        metres_per_unit=skeleton.metres_per_unit,
    )


def _lines(path: Path) -> Iterator[_Line]:
    """The lines that have words. Commas and parentheses separate like spaces."""
    separators = str.maketrans(",()", "   ")
    for number, line in enumerate(read_lines(path), start=1):
        words = line.partition("#")[0].translate(separators).split()
        if words:
            yield _Line(path, number, words)


def _frames(path: Path) -> Iterator[list[_Line]]:
    """The lines of an AMC file's header, then those of each frame, of which the first is its number."""
    frame: list[_Line] = []
    previous = None
    for line in _lines(path):
        if len(line.words) == 1 and re.fullmatch("[0-9]{1,12}", line.keyword):
            if previous is not None and int(line.keyword) != previous + 1:
                raise line.fault(f"frame {line.keyword} follows frame {previous}")
            previous = int(line.keyword)
            yield frame
            frame = []
        frame.append(line)
    yield frame


def _read_sections(path: Path) -> dict[str, list[_Line]]:
    """The lines of every section, by its keyword."""
    sections: dict[str, list[_Line]] = {}
    current: list[_Line] | None = None
    for line in _lines(path):
        if line.keyword.startswith(":"):
            current = sections.setdefault(line.keyword, [])
        elif current is None:
            raise line.fault(
                f"expected a section such as :root, got {line.words[0][:40]!r}; is it an ASF file?"
            )
        else:
            current.append(line)
    for needed in (":root", ":bonedata", ":hierarchy"):
        if not sections.get(needed):
            raise InputError(f"{path}: has no section {needed}; is it an ASF file, and complete?")
    return sections


def _is_in_degrees(line: _Line) -> bool:
    if line.words[1:] not in (["deg"], ["rad"]):
        raise line.fault(f"angle: expected deg or rad, got {' '.join(line.words[1:])[:40]!r}")
    return line.words[1] == "deg"


def _read_root(lines: Sequence[_Line]) -> AsfBone:
    fields = {line.keyword: line for line in lines}
    if "order" not in fields:
        raise lines[0].fault("the root has no line 'order'")
    if "orientation" in fields and fields["orientation"].numbers(3).any():
        raise fields["orientation"].fault(
            "a root that is turned beforehand is not supported: programs understand it differently"
        )
    return AsfBone(
        name=ROOT,
        parent=-1,
        vector=fields["position"].numbers(3) if "position" in fields else np.zeros(3),
        axis=Rotation.identity(),
        channels=fields["order"].channels(_TRANSLATIONS + _ROTATIONS),
    )


def _blocks(lines: Sequence[_Line]) -> Iterator[list[_Line]]:
    """The lines between ``begin`` and ``end``, each time with that of ``begin``."""
    block: list[_Line] | None = None
    for line in lines:
        if line.keyword == "begin" and block is None:
            block = [line]
        elif block is None or line.keyword == "begin":
            raise line.fault(f"expected {'begin' if block is None else 'end'}, got {line.words[0][:40]!r}")
        elif line.keyword == "end":
            yield block
            block = None
        else:
            block.append(line)
    if block is not None:
        raise block[0].fault("this begin has no end; is the file cut off?")


def _read_bone(block: Sequence[_Line], degrees: bool) -> AsfBone:
    fields = {line.keyword: line for line in block}
    for needed in ("name", "direction", "length", "axis"):
        if needed not in fields:
            raise block[0].fault(f"the bone that begins here has no line {needed!r}")
    name, axis = fields["name"], fields["axis"]
    if len(name.words) != 2:
        raise name.fault("name: expected one word")
    angles = axis.numbers(3)
    order = "".join(axis.words[4:]).lower()
    if sorted(order) != ["x", "y", "z"]:
        raise axis.fault("axis: expected three angles and their order, such as 0 0 20 XYZ")
    return AsfBone(
        name=name.words[1],
        parent=-1,
        vector=fields["direction"].numbers(3) * fields["length"].numbers(1),
        axis=Rotation.from_euler(order, angles, degrees=degrees),
        channels=fields["dof"].channels(_ROTATIONS) if "dof" in fields else (),
    )


def _in_order(bones: Mapping[str, AsfBone], lines: Sequence[_Line]) -> tuple[AsfBone, ...]:
    """The bones with their parents, each after its parent."""
    children: dict[str, list[str]] = {}
    has_parent = {ROOT}
    for line in (line for block in _blocks(lines) for line in block[1:]):
        for name in line.words:
            if name not in bones:
                raise line.fault(f"there is no bone {name[:40]!r}{did_you_mean(name, bones)}")
        for name in line.words[1:]:
            if name in has_parent:
                raise line.fault(f"the bone {name!r} has a parent already")
            has_parent.add(name)
        children.setdefault(line.words[0], []).extend(line.words[1:])
    ordered, indices = [bones[ROOT]], {ROOT: 0}
    for bone in ordered:
        for name in children.get(bone.name, []):
            indices[name] = len(ordered)
            ordered.append(dataclasses.replace(bones[name], parent=indices[bone.name]))
    if lost := [name for name in bones if name not in indices]:
        raise lines[0].fault(f"the hierarchy does not join to the root: {', '.join(lost)}")
    return tuple(ordered)


def _in_the_order_of(widths: Mapping[str, int], number: _Line, lines: Sequence[_Line]) -> list[_Line]:
    """One frame's lines in the order of the skeleton's bones, of which each that has channels has one."""
    frame = f"frame {number.keyword}"
    by_bone: dict[str, _Line] = {}
    for line in lines:
        name, given = line.words[0], len(line.words) - 1
        if name not in widths:
            raise line.fault(f"{frame}: the skeleton has no bone {name[:40]!r}{did_you_mean(name, widths)}")
        if given != widths[name]:
            raise line.fault(f"{frame}: expected {widths[name]} values for {name}, got {given}")
        if name in by_bone:
            raise line.fault(f"{frame}: {name} stands twice")
        by_bone[name] = line
    if missing := [name for name, width in widths.items() if width and name not in by_bone]:
        raise number.fault(f"{frame} has no values for {', '.join(missing)}; is the file cut off?")
    return [by_bone[name] for name, width in widths.items() if width]


def _forward_kinematics(
    bones: Sequence[AsfBone], values: npt.NDArray[np.float64], degrees: bool
) -> npt.NDArray[np.float64]:
    """Ends of all bones, shape (frames, bones, 3), from values, shape (frames, channels)."""
    positions = np.empty((len(values), len(bones), 3))
    turns: list[Rotation] = []  # of each bone, against the world
    begins = np.cumsum([0, *(len(bone.channels) for bone in bones)])
    for index, bone in enumerate(bones):
        of_bone = values[:, begins[index] : begins[index + 1]]
        order = "".join(channel[1].lower() for channel in bone.channels if channel in _ROTATIONS)
        turn = Rotation.identity(len(values))
        if order:
            angles = of_bone[:, [channel in _ROTATIONS for channel in bone.channels]]
            turn = bone.axis * Rotation.from_euler(order, angles, degrees=degrees) * bone.axis.inv()
        if bone.parent >= 0:
            turn = turns[bone.parent] * turn
            positions[:, index] = positions[:, bone.parent] + turn.apply(bone.vector)
        else:
            positions[:, index] = bone.vector
            for column, channel in enumerate(bone.channels):
                if channel in _TRANSLATIONS:
                    positions[:, index, _TRANSLATIONS.index(channel)] += of_bone[:, column]
        turns.append(turn)
    return positions
