"""A skeleton, read from a graph file: joints, bones and mirror partners; and the graphs made of it."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from gcnpose.errors import InputError, did_you_mean
from gcnpose.resources import read_shipped, resource_folder, shipped_files

REQUIRED_KEYS = ("name", "root", "joints", "bones", "mirror")
OPTIONAL_KEYS = ("colours", "citation")
SIDE_COLOURS = {"left": "#009e73", "right": "#aa4499", "middle": "#777777"}

ROOT, CENTRIPETAL, CENTRIFUGAL, TEMPORAL = range(4)


@dataclass(frozen=True)
class Skeleton:
    """Joints, bones and mirror partners of a body, by name.

    :meth:`load` and :meth:`from_dict` check what they are given; the constructor does not.

    Attributes:
        name: name of the layout.
        root: joint that hops are counted from; it lies on the mirror's line.
        joints: all joints, in the order of the data.
        bones: pairs (parent, child). Loops are allowed.
        mirror: pairs (left, right); a joint in no pair lies on the mirror's line.
        colours: colour "#rrggbb" of the sides "left", "right" and "middle", where not that of `SIDE_COLOURS`.
        citation: where the layout was published.
    """

    name: str
    root: str
    joints: tuple[str, ...]
    bones: tuple[tuple[str, str], ...]
    mirror: tuple[tuple[str, str], ...]
    colours: Mapping[str, str] = field(default_factory=dict, hash=False)
    citation: str = ""

    @classmethod
    def load(cls, name_or_path: str | Path) -> Skeleton:
        """Reads a graph file.

        Args:
            name_or_path: name of a graph that comes with the package (``"h36m17"``), or the path of a file.

        Raises:
            InputError: if the file is missing, unreadable, not YAML, or no graph, with all its faults.
        """
        content, source, repeated = read_shipped(name_or_path, resource_folder("graphs"), "graph")
        if content is None:
            raise InputError(f"{source}: is empty, expected the keys {', '.join(REQUIRED_KEYS)}")
        return cls._build(content, source, repeated)

    @classmethod
    def from_dict(cls, content: Mapping[str, object], source: str) -> Skeleton:
        """Builds a skeleton from the content of a graph file, the inverse of :meth:`to_dict`.

        Args:
            content: the file's keys and values.
            source: what to call the content in an error, usually the file.

        Raises:
            InputError: one line per fault, each with the source, the key or joint, and the reason.
        """
        return cls._build(content, source, [])

    @classmethod
    def _build(cls, content: Any, source: str, faults: list[str]) -> Skeleton:
        faults = faults + _find_faults(content)
        if faults:
            raise InputError("\n".join(f"{source}: {fault}" for fault in faults))
        return cls(
            name=content["name"],
            root=content["root"],
            joints=tuple(content["joints"]),
            bones=tuple((parent, child) for parent, child in content["bones"]),
            mirror=tuple((left, right) for left, right in content["mirror"]),
            colours=dict(content.get("colours", {})),
            citation=content.get("citation", ""),
        )

    def to_dict(self) -> dict[str, Any]:
        """The graph file's content as plain lists and texts; optional keys only where they are set."""
        content: dict[str, Any] = {
            "name": self.name,
            "root": self.root,
            "joints": list(self.joints),
            "bones": [list(bone) for bone in self.bones],
            "mirror": [list(pair) for pair in self.mirror],
        }
        if self.colours:
            content["colours"] = dict(self.colours)
        if self.citation:
            content["citation"] = self.citation
        return content

    @property
    def num_joints(self) -> int:
        """Number of joints."""
        return len(self.joints)

    @property
    def root_index(self) -> int:
        """Index of the root joint."""
        return self.index(self.root)

    def index(self, joint: str) -> int:
        """Index of a joint.

        Raises:
            InputError: if the skeleton has no such joint.
        """
        if joint not in self.joints:
            raise InputError(f"{self.name}: no joint {joint!r}{did_you_mean(joint, self.joints)}")
        return self.joints.index(joint)

    @property
    def hops(self) -> npt.NDArray[np.int64]:
        """Number of bones on the shortest way from the root to each joint: h_v of Eq. 10.

        Shapes: (joints,)
        """
        distances = _hop_distances(self.root, self.bones)
        return np.array([distances[joint] for joint in self.joints], dtype=np.int64)

    @property
    def parents(self) -> npt.NDArray[np.int64]:
        """Every joint's neighbour on the way to the root, by the first bone where several lead there.

        The root has -1.

        Shapes: (joints,)
        """
        hops = self.hops
        parents = np.full(self.num_joints, -1, dtype=np.int64)
        for parent, child in self.bone_indices[::-1]:
            if hops[parent] < hops[child]:
                parents[child] = parent
        return parents

    @property
    def bone_indices(self) -> npt.NDArray[np.int64]:
        """Joint indices (parent, child) of every bone.

        The parent is the end nearer the root, whichever end the file names first. Where both are equally
        near, in a loop, it is the end that the file names first.

        Shapes: (bones, 2)
        """
        hops = self.hops
        pairs = [(self.index(first), self.index(second)) for first, second in self.bones]
        pairs = [(a, b) if hops[a] <= hops[b] else (b, a) for a, b in pairs]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    @property
    def mirror_indices(self) -> npt.NDArray[np.int64]:
        """Permutation that swaps left and right: ``pose[..., mirror_indices, :]``, x then to be negated.

        Shapes: (joints,)
        """
        partner = _partners(self.mirror)
        return np.array([self.index(partner.get(joint, joint)) for joint in self.joints], dtype=np.int64)

    @property
    def joint_colours(self) -> tuple[str, ...]:
        """Drawing colour "#rrggbb" of every joint, by its side of the mirror."""
        colours = {**SIDE_COLOURS, **self.colours}
        side = {left: "left" for left, _ in self.mirror} | {right: "right" for _, right in self.mirror}
        return tuple(colours[side.get(joint, "middle")] for joint in self.joints)

    def to_data(self, max_hop: int | None = None) -> Data:
        """The graph of one frame: every bone in both directions, and a loop at every joint.

        A message goes from source j to target i, so the subset of an edge is l_i(j) of Eq. 10, with h the
        hops from the root over the whole graph:

        - `edge_type` 0, root: h_j = h_i, the joint itself and neighbours equally far in a loop;
        - `edge_type` 1, centripetal: h_j < h_i, the source is nearer the root;
        - `edge_type` 2, centrifugal: h_j > h_i.

        `edge_weight` is 1 / Z_ij of Eq. 9, Z_ij the number of neighbours of i, itself among them, in the
        subset that j falls in, so that each subset of a joint contributes its mean.

        Args:
            max_hop: joints farther from the root than this count as equally far, so that edges between two of
                them fall in the root subset. None: none do. ST-GCN's code has 1 in effect: it looks for
                neighbours one hop away, and leaves all other distances infinite (open-mmlab/mmskeleton#367).

        Shapes:
            edge_index: (2, edges), sources and targets, ordered by target, then source
            edge_type, edge_weight: (edges,), int64 and float32
            hops: (joints,); joint_names: a list of as many
        """
        bones = torch.from_numpy(self.bone_indices).t()
        loops = torch.arange(self.num_joints).expand(2, -1)
        edge_index = torch.cat([bones, bones.flip(0), loops], dim=1)
        order = torch.argsort(edge_index[1] * self.num_joints + edge_index[0])
        edge_index = edge_index[:, order]
        hops = torch.from_numpy(self.hops)
        counted = hops if max_hop is None else hops.clamp(max=max_hop + 1)
        source_hops, target_hops = counted[edge_index]
        edge_type = torch.full_like(source_hops, ROOT)
        edge_type[source_hops < target_hops] = CENTRIPETAL
        edge_type[source_hops > target_hops] = CENTRIFUGAL
        return Data(
            edge_index=edge_index,
            edge_type=edge_type,
            edge_weight=_subset_weights(edge_index[1], edge_type),
            hops=hops,
            joint_names=list(self.joints),
            num_nodes=self.num_joints,
        )

    def spatio_temporal(self, frames: int) -> Data:
        """The spatial-temporal graph of the paper's section 3.2.1: a node per joint and frame.

        Node (t, j) has the number t * joints + j. The edges of :meth:`to_data` stand in every frame. A joint
        and itself in the next frame are joined by an edge each way; these form a subset of their own,
        `edge_type` 3, and their `edge_weight` is 1 / Z as well: 1 into the first and the last frame, 1/2 into
        those between.

        Shapes:
            edge_index: (2, edges), sources and targets, frame by frame, then the edges through time
            edge_type, edge_weight: (edges,), int64 and float32
            frame, joint, hops: (frames * joints,), frame and joint index of every node, and the joint's hops
            joint_names: a list of the joints, not of the nodes

        Raises:
            InputError: if there is no frame.
        """
        if frames < 1:
            raise InputError(f"{self.name}: a spatial-temporal graph needs at least 1 frame, got {frames}")
        joints = self.num_joints
        spatial = self.to_data()
        frame_start = torch.arange(frames) * joints
        within = (spatial.edge_index[:, None, :] + frame_start[:, None]).reshape(2, -1)
        nodes = torch.arange(frames * joints)
        forward = torch.stack([nodes[:-joints], nodes[joints:]])
        edge_index = torch.cat([within, forward, forward.flip(0)], dim=1)
        through_time = torch.full((2 * forward.shape[1],), TEMPORAL)
        edge_type = torch.cat([spatial.edge_type.repeat(frames), through_time])
        return Data(
            edge_index=edge_index,
            edge_type=edge_type,
            edge_weight=_subset_weights(edge_index[1], edge_type),
            frame=nodes // joints,
            joint=nodes % joints,
            hops=spatial.hops.repeat(frames),
            joint_names=list(self.joints),
            num_nodes=frames * joints,
        )


def available_graphs() -> list[str]:
    """Names of the graphs that come with the package."""
    return list(shipped_files(resource_folder("graphs")))


def _subset_weights(target: Tensor, edge_type: Tensor) -> Tensor:
    """1 / Z of Eq. 9: Z counts the edges of one type into one target."""
    subset = target * (TEMPORAL + 1) + edge_type
    return 1.0 / torch.bincount(subset)[subset].float()


def _hop_distances(root: str, bones: Iterable[Sequence[str]]) -> dict[str, int]:
    """Hops from the root to every joint that bones connect with it, by breadth-first search."""
    neighbours: dict[str, list[str]] = {root: []}
    for first, second in bones:
        neighbours.setdefault(first, []).append(second)
        neighbours.setdefault(second, []).append(first)
    distances = {root: 0}
    queue = [root]
    for joint in queue:
        for neighbour in neighbours[joint]:
            if neighbour not in distances:
                distances[neighbour] = distances[joint] + 1
                queue.append(neighbour)
    return distances


def _partners(mirror: Iterable[Sequence[str]]) -> dict[str, str]:
    """Partner of every joint that stands in a mirror pair."""
    return {joint: partner for left, right in mirror for joint, partner in ((left, right), (right, left))}


def _find_faults(content: object) -> list[str]:
    """All faults of a graph file's content, each as ``key: reason``."""
    if not isinstance(content, Mapping):
        return [f"expected the keys {', '.join(REQUIRED_KEYS)}, got {_describe(content)}"]
    allowed = REQUIRED_KEYS + OPTIONAL_KEYS
    faults = [f"{key}: unknown key{did_you_mean(key, allowed)}" for key in content if key not in allowed]
    faults += [f"{key}: missing" for key in REQUIRED_KEYS if key not in content]

    joints = content.get("joints")
    known = [name for name in joints if isinstance(name, str)] if isinstance(joints, list | tuple) else []
    checks: dict[str, Callable[[Any], list[str]]] = {
        "name": lambda value: _text_faults("name", value),
        "root": lambda value: _joint_faults("root", value, known),
        "joints": _joints_faults,
        "bones": lambda value: _bones_faults(value, known),
        "mirror": lambda value: _mirror_faults(value, known, content.get("root")),
        "colours": _colours_faults,
        "citation": lambda value: _text_faults("citation", value),
    }
    found = {key: check(content[key]) for key, check in checks.items() if key in content}
    faults += [fault for of_key in found.values() for fault in of_key]

    def sound(*keys: str) -> bool:
        return all(found.get(key) == [] for key in keys)

    # A fault in a list would show again as faults of the whole, so the whole waits until its parts are sound.
    if sound("root", "joints", "bones"):
        faults += _connection_faults(content["root"], content["joints"], content["bones"])
    if sound("joints", "bones", "mirror"):
        faults += _symmetry_faults(content["bones"], content["mirror"])
    return faults


def _text_faults(where: str, value: object) -> list[str]:
    if not isinstance(value, str):
        return [f"{where}: expected a text, got {_describe(value)}"]
    return [] if value.strip() else [f"{where}: expected a text, got an empty one"]


def _joint_faults(where: str, value: object, known: list[str]) -> list[str]:
    """Faults of a reference to a joint; `known` is empty where the joints themselves cannot be read."""
    if not isinstance(value, str):
        return [f"{where}: expected the name of a joint, got {_describe(value)}"]
    if not known or value in known:
        return []
    return [f"{where}: unknown joint {value!r}{did_you_mean(value, known)}"]


def _joints_faults(joints: object) -> list[str]:
    if not isinstance(joints, list | tuple) or not joints:
        return [f"joints: expected a list of at least one joint, got {_describe(joints)}"]
    faults = []
    for position, joint in enumerate(joints):
        where = f"joints[{position}]"
        faults += _text_faults(where, joint)
        first = joints.index(joint)
        if isinstance(joint, str) and first < position:
            faults.append(f"{where}: the joint {joint!r} is joints[{first}] already")
    return faults


def _pair_faults(where: str, pair: object, known: list[str]) -> list[str]:
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return [f"{where}: expected two joints, got {_describe(pair)}"]
    faults = [fault for joint in pair for fault in _joint_faults(where, joint, known)]
    return faults or ([f"{where}: joins {pair[0]!r} to itself"] if pair[0] == pair[1] else [])


def _bones_faults(bones: object, known: list[str]) -> list[str]:
    if not isinstance(bones, list | tuple):
        return [f"bones: expected a list of pairs [parent, child], got {_describe(bones)}"]
    faults: list[str] = []
    seen: dict[frozenset[str], int] = {}
    for position, bone in enumerate(bones):
        where = f"bones[{position}]"
        wrong = _pair_faults(where, bone, known)
        faults += wrong
        if not wrong:
            first = seen.setdefault(frozenset(bone), position)
            if first < position:
                faults.append(f"{where}: the bone [{', '.join(bone)}] is bones[{first}] already")
    return faults


def _mirror_faults(mirror: object, known: list[str], root: object) -> list[str]:
    if not isinstance(mirror, list | tuple):
        return [f"mirror: expected a list of pairs [left, right], or [] for none, got {_describe(mirror)}"]
    faults: list[str] = []
    seen: dict[str, int] = {}
    for position, pair in enumerate(mirror):
        where = f"mirror[{position}]"
        wrong = _pair_faults(where, pair, known)
        faults += wrong
        if wrong:
            continue
        for joint in pair:
            first = seen.setdefault(joint, position)
            if first < position:
                faults.append(f"{where}: the joint {joint!r} has a partner already, in mirror[{first}]")
            if joint == root:
                faults.append(f"{where}: the root {joint!r} must be its own mirror image, without a partner")
    return faults


def _colours_faults(colours: object) -> list[str]:
    if not isinstance(colours, Mapping):
        return [f"colours: expected the keys {', '.join(SIDE_COLOURS)}, got {_describe(colours)}"]
    faults = []
    for side, colour in colours.items():
        if side not in SIDE_COLOURS:
            expected = did_you_mean(side, SIDE_COLOURS) or f", expected {', '.join(SIDE_COLOURS)}"
            faults.append(f"colours.{side}: unknown side{expected}")
        elif not (isinstance(colour, str) and re.fullmatch("#[0-9a-fA-F]{6}", colour)):
            faults.append(f'colours.{side}: expected a colour like "#1f77b4", got {_describe(colour)}')
    return faults


def _connection_faults(root: str, joints: Sequence[str], bones: Sequence[Sequence[str]]) -> list[str]:
    reached = _hop_distances(root, bones)
    apart = [joint for joint in joints if joint not in reached]
    return [f"bones: do not connect the root {root!r} with: {', '.join(apart)}"] if apart else []


def _symmetry_faults(bones: Sequence[Sequence[str]], mirror: Sequence[Sequence[str]]) -> list[str]:
    partner = _partners(mirror)
    present = {frozenset(bone) for bone in bones}
    faults = []
    for position, bone in enumerate(bones):
        image = [partner.get(joint, joint) for joint in bone]
        if frozenset(image) not in present:
            faults.append(
                f"bones[{position}]: [{', '.join(bone)}] has no mirror image, "
                f"the mirror needs the bone [{', '.join(image)}] too"
            )
    return faults


def _describe(value: object) -> str:
    """What came, and what YAML did to it where it did something."""
    if isinstance(value, str | list | tuple | Mapping):
        return reprlib.repr(value)
    if isinstance(value, bool):
        reason = "YAML takes on, off, yes, no, true and false for truth values"
    elif value is None:
        reason = "YAML takes ~, null and whatever follows a # for nothing"
    else:
        reason = f"YAML takes it for the type {type(value).__name__}"
    return f"{value} ({reason}: put texts in quotes)"
