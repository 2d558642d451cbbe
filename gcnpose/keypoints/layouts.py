"""Which joints a detector writes, in which order: by name, by number, by the joints' own names."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gcnpose.errors import InputError, did_you_mean
from gcnpose.skeleton import Skeleton, available_graphs


@dataclass(frozen=True)
class Layout:
    """Joints of one person, in the order of a file.

    Attributes:
        name: Such as ``"coco17"``; the path where it is a graph file of the user's.
        joints: Names, in the file's order.
        graph: Graph whose joints stand at the beginning of these: all of them, but for layouts that add a
            face, hands or feet to a graph's.
    """

    name: str
    joints: tuple[str, ...]
    graph: str


_FEET = ("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel")
_FACE_AND_HANDS = (
    *(f"face_{number}" for number in range(68)),
    *(f"left_hand_{number}" for number in range(21)),
    *(f"right_hand_{number}" for number in range(21)),
)

# A graph's joints, and more behind them. BODY_25B: CMU-Perceptual-Computing-Lab/openpose_train
# (experimental_models/README.md); Halpe-136: Fang-Haoshu/Halpe-FullBody; jin-s13/COCO-WholeBody.
_EXTENDED = {
    "body25b": ("coco17", ("neck", "head_top", *_FEET)),
    "halpe136": ("halpe26", _FACE_AND_HANDS),
    "wholebody133": ("coco17", (*_FEET, *_FACE_AND_HANDS)),
}

_ALIASES = {"openpose_coco18": "openpose18", "blazepose33": "mediapipe33", "body_25b": "body25b"}

# What a number of joints is taken for where nothing else tells.
BY_COUNT = {
    16: "mpii16",
    17: "coco17",
    18: "openpose18",
    25: "body25",
    26: "halpe26",
    33: "mediapipe33",
    133: "wholebody133",
    136: "halpe136",
}

# Other words for joints of our graphs, as files write them.
_SYNONYMS = {
    "root": "pelvis",
    "hip": "pelvis",
    "mid_hip": "pelvis",
    "midhip": "pelvis",
    "right_foot": "right_ankle",
    "left_foot": "left_ankle",
    "neck_base": "nose",
    "upper_neck": "neck",
    "left_mouth": "mouth_left",
    "right_mouth": "mouth_right",
}


def find_layout(name: str) -> Layout:
    """The layout of this name, or the graph file at this path.

    Raises:
        InputError: if there is none, or the graph file has faults.
    """
    name = _ALIASES.get(name, name)
    known = _known_layouts()
    if name in known:
        return _load(name)
    if Path(name).suffix not in (".yaml", ".yml"):
        raise InputError(f"no layout {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}")
    return Layout(name, Skeleton.load(name).joints, name)


def _known_layouts() -> list[str]:
    return sorted([*available_graphs(), *_EXTENDED])


@functools.cache
def _load(name: str) -> Layout:
    """A layout that comes with the package."""
    graph, more = _EXTENDED.get(name, (name, ()))
    return Layout(name, Skeleton.load(graph).joints + more, graph)


def layout_of_names(names: Sequence[str]) -> tuple[Layout, list[int]] | None:
    """The largest layout all of whose joints are among these names, and where each of them stands.

    Names may be written in any way: ``leftShoulder``, ``LEFT_SHOULDER``, ``left shoulder``.
    """
    places = _places(names)
    usual = BY_COUNT.get(len(names))
    if usual and [places.get(joint) for joint in find_layout(usual).joints] == [*range(len(names))]:
        return find_layout(usual), [*range(len(names))]
    fitting = [
        layout for layout in map(_load, _known_layouts()) if all(joint in places for joint in layout.joints)
    ]
    if not fitting:
        return None
    # Of two that are equally large, the one that has the names in the file's order.
    best = max(fitting, key=lambda layout: (len(layout.joints), _in_order(layout, places)))
    return best, [places[joint] for joint in best.joints]


def columns_of(layout: Layout, names: Sequence[str]) -> list[int] | None:
    """Where each of a layout's joints stands among these names, written in any way; None if one lacks."""
    places = _places(names)
    joints = [_spelling(joint) for joint in layout.joints]
    return [places[joint] for joint in joints] if places.keys() >= {*joints} else None


def _places(names: Sequence[str]) -> dict[str, int]:
    """The first column of each name, spelled as joints are, and of what it is a synonym of."""
    written = {_spelling(name): column for column, name in reversed(list(enumerate(names)))}
    return {_SYNONYMS.get(name, name): column for name, column in written.items()} | written


def is_joint_name(text: str) -> bool:
    """Whether a graph has a joint of this name, however it is written."""
    name = _spelling(text)
    return _SYNONYMS.get(name, name) in _all_joints() or name in _all_joints()


@functools.cache
def _all_joints() -> frozenset[str]:
    return frozenset(joint for name in _known_layouts() for joint in _load(name).joints)


def _in_order(layout: Layout, places: dict[str, int]) -> bool:
    columns = [places[joint] for joint in layout.joints]
    return columns == sorted(columns)


def _spelling(name: str) -> str:
    """``leftShoulder``, ``LEFT-SHOULDER`` and ``Left Shoulder`` as ``left_shoulder``."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", parted.lower()).strip("_")
