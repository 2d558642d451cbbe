"""3D joint positions as BVH: a skeleton with constant bone lengths, turned by joint rotations.

Positions leave open how far a bone is turned about itself, and what the skeleton looks like at rest. Here

- a joint with one child turns by the shortest rotation from rest, one with several by the rotation that
  brings their rest directions closest to those seen (W. Kabsch, Acta Crystallographica A32, 1976);
- children of one joint do not move as one body, so each has a joint of no length before it, which turns it
  the rest of the way: every bone gets its exact direction;
- the rest pose is the middle of the motion itself: of one child the centre of the smallest cap that holds all
  its directions, of several their mean shape. A T-pose would need to know what an arm is, and this keeps
  every bone as far as can be from the half turn at which the shortest rotation is not unique and the twist
  would jump.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

from gcnpose.errors import InputError
from gcnpose.files import replacing
from gcnpose.keypoints.names import safe_name
from gcnpose.keypoints.track3d import Track3D
from gcnpose.skeleton import Skeleton

Array = npt.NDArray[np.float64]

_ORDER = "ZXY"  # of the rotation channels, as in most BVH files
_CENTIMETRES = 100.0
_TIP = 0.25  # length of the End Site of a joint without children, in lengths of its bone
# Weight of "no turn against the parent" beside the directions of several children: it settles the twist where
# they lie on a line. What it takes from their directions, their own joints give back.
_PRIOR = 1e-2


@dataclass
class _Node:
    """A joint of the file.

    Shapes:
        offset (3,) at rest, from the parent
    """

    name: str
    offset: Array
    turn: Rotation
    """One against the parent for every frame."""
    children: list[_Node] = field(default_factory=list)


def write_bvh_files(folder: Path, tracks: Sequence[Track3D]) -> None:
    """Writes a file for each track, ``person_NAME.bvh``, all in the same world and standing on its floor.

    The names of a person's several tracks end with their first frames, ``_from_FRAME``.

    Raises:
        InputError: as :func:`gcnpose.keypoints.checked.check_tracks`, and :func:`write_bvh`.
    """
    from gcnpose.viz.scene import make_scene

    scene = make_scene(tracks)
    parts = Counter(track.person for track in tracks)
    for performer in scene.people:
        track, (x, y, z) = performer.track, np.moveaxis(performer.positions, -1, 0)
        name = f"person_{safe_name(track.person)}"
        name += f"_from_{track.frames[0]}" if parts[track.person] > 1 else ""
        z_up = np.stack([x, -z, y - scene.floor], axis=-1)
        write_bvh(folder / f"{name}.bvh", track.skeleton, z_up, scene.fps)


def write_bvh(path: str | Path, skeleton: Skeleton, positions: npt.NDArray[np.floating], fps: float) -> None:
    """Writes a track as BVH, in centimetres and y up, so that Blender opens it upright with its defaults.

    A bone has its median length of all frames, and its direction in every frame; so the joints lie where they
    lay, but for what the lengths of their bones vary. Bones follow the shortest way from the root.

    Args:
        path: The file, replaced whole or not at all.
        skeleton: Names the joints.
        positions: Metres, z up.
        fps: Frames per second.

    Raises:
        InputError: if the positions have another shape, no frame or a value that is not finite, `fps` is not
            more than 0 and at most 1000, or the file cannot be written.

    Shapes:
        positions (frames, joints, 3)
    """
    path = Path(path)
    _check(skeleton, positions, fps)
    y_up = np.stack([positions[..., 0], positions[..., 2], -positions[..., 1]], axis=-1).astype(np.float64)
    root = _fit(skeleton, y_up * _CENTIMETRES)
    lines = ["HIERARCHY", *_hierarchy(root, "ROOT", ""), "MOTION"]
    lines += [f"Frames: {len(positions)}", f"Frame Time: {1 / fps:.9f}"]
    values = np.concatenate([y_up[:, skeleton.root_index] * _CENTIMETRES, *_angles(root)], axis=1)
    try:
        with replacing(path) as partial, partial.open("w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
            np.savetxt(file, values.round(6) + 0.0, fmt="%.6f")  # + 0.0: no "-0.000000"
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _check(skeleton: Skeleton, positions: npt.NDArray[np.floating], fps: float) -> None:
    if positions.ndim != 3 or positions.shape[1:] != (skeleton.num_joints, 3) or not len(positions):
        raise InputError(
            f"BVH: expected positions (frames, {skeleton.num_joints}, 3) of the joints of {skeleton.name}, "
            f"got {positions.shape}"
        )
    finite = np.isfinite(positions)
    if not finite.all():
        frame, joint, channel = np.argwhere(~finite)[0]
        value = positions[frame, joint, channel]
        raise InputError(f"BVH: frame {frame}, joint {skeleton.joints[joint]!r} is {value}")
    if not 0 < fps <= 1000:
        raise InputError(f"BVH: fps must be more than 0 and at most 1000, not {fps}")


def _fit(skeleton: Skeleton, positions: Array) -> _Node:
    """The file's joints from positions, shape (frames, joints, 3), y up."""
    parents, root = skeleton.parents, skeleton.root_index
    bones = positions - positions[:, parents]  # the root's is of no use
    lengths = np.linalg.norm(bones, axis=-1, keepdims=True)
    directions = np.divide(bones, lengths, out=np.zeros_like(bones), where=lengths > 0)
    median = np.median(lengths, axis=0)
    names = [re.sub(r"[\s{}]+", "_", joint) for joint in skeleton.joints]

    def grow(joint: int, offset: Array, above: Rotation) -> _Node:
        """A joint and all below it; `above` is the turn of its parent against the world."""
        children = np.flatnonzero(parents == joint).tolist()
        if len(children) == 0:
            return _Node(names[joint], offset, Rotation.identity(len(positions)))
        local = [above.inv().apply(directions[:, child]) for child in children]
        if len(children) == 1:
            rest = _middle(local[0])
            turn = _shortest(rest, local[0])
            child = grow(children[0], rest * median[children[0]], above * turn)
            return _Node(names[joint], offset, turn, [child])
        rest, turn = _mean_shape(np.stack(local, axis=1))
        home = _upright(skeleton, positions, turn) if joint == root else turn.mean()
        rest, turn = home.apply(rest), turn * home.inv()
        node = _Node(names[joint], offset, turn)
        for index, direction in zip(children, rest, strict=True):
            own = _shortest(direction, (above * turn).inv().apply(directions[:, index]))
            below = grow(index, direction * median[index], above * turn * own)
            node.children.append(_Node(f"{names[joint]}_to_{names[index]}", np.zeros(3), own, [below]))
        return node

    return grow(root, np.zeros(3), Rotation.identity(len(positions)))


def _middle(directions: Array) -> Array:
    """Centre of the smallest cap that holds all directions, which is that of the smallest ball around them.

    Ever smaller steps towards the farthest (M. Badoiu and K. Clarkson, "Smaller core-sets for balls", 2003).

    Shapes:
        (frames, 3) -> (3,)
    """
    centre: Array = directions.mean(axis=0)
    for step in range(2, 100):
        farthest = directions[np.linalg.norm(directions - centre, axis=1).argmax()]
        centre = centre + (farthest - centre) / step
    length = np.linalg.norm(centre)
    return centre / length if length > 0 else np.array([0.0, 1.0, 0.0])


def _shortest(start: Array, ends: Array) -> Rotation:
    """The shortest rotations from one direction (3,) to others (frames, 3); none to an end that is zero."""
    half = 1 + ends @ start
    axes = np.cross(start, ends)
    opposite = half < 1e-12
    axes[opposite] = np.cross(start, np.eye(3)[np.abs(start).argmin()])  # any that is perpendicular
    return Rotation.from_quat(np.concatenate([axes, half[:, None]], axis=1))


def _closest(rest: Array, seen: Array) -> Rotation:
    """The rotations that bring one shape (children, 3) closest to others (frames, children, 3)."""
    covariance = np.einsum("fki,kj->fij", seen, rest) + _PRIOR * len(rest) * np.eye(3)
    u, _, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return Rotation.from_matrix(u @ vt)


def _mean_shape(seen: Array) -> tuple[Array, Rotation]:
    """The mean of shapes that are turned onto one another, as directions, and the turns from it to them.

    Shapes:
        seen (frames, children, 3) -> (children, 3), one rotation per frame
    """
    rest: Array = seen[0]
    for _ in range(3):
        turn = _closest(rest, seen)
        back = np.stack([turn.inv().apply(child) for child in seen.swapaxes(0, 1)])
        rest = np.stack([_middle(child) for child in back])
    return rest, _closest(rest, seen)


def _upright(skeleton: Skeleton, positions: Array, turn: Rotation) -> Rotation:
    """Turns the root's rest so that what is up on average is up, and the left side is towards x: facing z."""
    up = turn.inv().apply([0.0, 1.0, 0.0]).mean(axis=0)
    raise_up = _shortest(up / max(np.linalg.norm(up), 1e-12), np.array([[0.0, 1.0, 0.0]]))[0]
    pairs = [(skeleton.index(left), skeleton.index(right)) for left, right in skeleton.mirror]
    left, right = min(pairs, key=lambda pair: skeleton.hops[pair[0]], default=(0, 0))  # hips, not hands
    across = turn.inv().apply(positions[:, left] - positions[:, right]).mean(axis=0)
    x, _, z = raise_up.apply(across)
    return Rotation.from_rotvec([0.0, math.atan2(z, x), 0.0]) * raise_up


def _hierarchy(node: _Node, kind: str, indent: str) -> list[str]:
    """The lines of a joint and all below it."""
    place = "Xposition Yposition Zposition " if kind == "ROOT" else ""
    rotations = " ".join(f"{axis}rotation" for axis in _ORDER)
    lines = [
        f"{indent}{kind} {node.name}",
        f"{indent}{{",
        f"{indent}  OFFSET {_numbers(node.offset)}",
        f"{indent}  CHANNELS {6 if place else 3} {place}{rotations}",
    ]
    for child in node.children:
        lines += _hierarchy(child, "JOINT", indent + "  ")
    if not node.children:
        tip = _numbers(node.offset * _TIP)
        lines += [f"{indent}  End Site", f"{indent}  {{", f"{indent}    OFFSET {tip}", f"{indent}  }}"]
    return [*lines, f"{indent}}}"]


def _numbers(offset: Array) -> str:
    return " ".join(f"{value:.6f}" for value in offset.round(6) + 0.0)


def _angles(node: _Node) -> list[Array]:
    """Degrees of a joint and all below it, in the order of the hierarchy; without jumps of a whole turn.

    Shapes:
        -> (frames, 3) for each
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # gimbal lock: any of the angles that do is right
        angles = node.turn.as_euler(_ORDER, degrees=True)
    below = [array for child in node.children for array in _angles(child)]
    return [np.unwrap(angles, period=360, axis=0), *below]
