"""VideoPose3D's .npz files, which the whole field passes on: motion, and 2D keypoints that belong to it.

``data_3d_<set>.npz`` holds ``positions_3d``, a pickled ``{subject: {action: (frames, joints, 3)}}`` in metres
in the world's frame. ``data_2d_<set>_<source>.npz`` holds ``positions_2d``, ``{subject: {action: [(frames,
joints, 2 | 3) for each camera]}}`` in pixels, and ``metadata`` with ``num_joints`` and
``keypoints_symmetry``, the left and the right joints (facebookresearch/VideoPose3D, DATASETS.md and
data/prepare_data_h36m.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gcnpose.data.motion import MotionSet
from gcnpose.data.motion_file import read_sidecar
from gcnpose.data.sequence import MotionSequence
from gcnpose.errors import InputError
from gcnpose.keypoints.conversion import Conversion
from gcnpose.pickles import load_arrays
from gcnpose.skeleton import Skeleton

Say = Callable[[str], None]

# Graphs whose joints these files come in. Left and right tell them apart, since COCO has 17 joints as well.
_LAYOUTS = ("h36m17", "humaneva15", "mpii16", "coco17")


def read_videopose3d(path: str | Path, skeleton: Skeleton, say: Say, fps: float | None = None) -> MotionSet:
    """Motion in VideoPose3D's layout, of any skeleton; without cameras and 2D, which such a file lacks.

    What a ``splits.json`` beside the file says stands, as for a motion file.

    Args:
        path: The file.
        skeleton: Names the joints, in their order.
        say: Takes a line on what was read.
        fps: Frames per second, where ``splits.json`` does not have them.

    Raises:
        InputError: names the file, and the sequence, frame or joint at fault.
    """
    path = Path(path)
    arrays = {
        f"{subject}/{name}": array
        for subject, actions in read_positions(path, skeleton).items()
        for name, array in actions.items()
    }
    try:
        motion = MotionSet.from_arrays(arrays, read_sidecar(path), skeleton, fps)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    say(f"{path}: {len(motion.sequences)} sequences of {len(motion.subjects)} subjects")
    return motion


def read_positions(path: Path, skeleton: Skeleton | None) -> dict[str, dict[str, npt.NDArray[np.float32]]]:
    """The motion by subject and action. A ``/`` in a name, as in HumanEva's ``Train/S1``, becomes ``-``.

    Args:
        path: The file.
        skeleton: Whose joints they must be; None: any.

    Shapes:
        every array (frames, joints, 3)

    Raises:
        InputError: names the file and the action at fault.
    """
    return {
        subject: {
            name: check_array(f"{path}: {subject}/{name}", array, (3,), skeleton)
            for name, array in actions.items()
        }
        for subject, actions in _actions(path, _load(path, "positions_3d"), "positions_3d").items()
    }


@dataclass(frozen=True, eq=False)
class Keypoints:
    """2D keypoints of one file.

    Attributes:
        path: The file.
        layout: Whose joints they are; None where the file does not say.
        positions: By subject and action, one array for each camera.
    """

    path: Path
    layout: Skeleton | None
    positions: dict[str, dict[str, list[Any]]]


def read_keypoints(path: str | Path) -> Keypoints:
    """Reads a file of 2D keypoints; its arrays are checked when they are attached.

    Raises:
        InputError: if it is no such file, or its joints are of no known layout.
    """
    path = Path(path)
    content = _load(path, "positions_2d")
    positions: dict[str, dict[str, list[Any]]] = {}
    for subject, actions in _actions(path, content, "positions_2d").items():
        for name, cameras in actions.items():
            if not isinstance(cameras, list | tuple | np.ndarray):
                kind = type(cameras).__name__
                raise InputError(f"{path}: {subject}/{name}: expected an array for each camera, got {kind}")
            positions.setdefault(subject, {})[name] = list(cameras)
    return Keypoints(path, _layout(path, content.get("metadata")), positions)


def attach_keypoints(
    sequences: Sequence[MotionSequence],
    keypoints: Keypoints,
    skeleton: Skeleton,
    cameras: Sequence[str],
    say: Say,
) -> list[MotionSequence]:
    """The sequences with their 2D. Videos that run on after the motion are cut to its length.

    MPII's 16 joints, which stacked hourglass gives, become Human3.6M's 17 by the shipped conversion.

    Args:
        sequences: Motion.
        keypoints: 2D of at least these sequences.
        skeleton: Of the motion.
        cameras: Names, in the order of the file.
        say: Takes a line on what is used, and of what kind it is.

    Raises:
        InputError: if a sequence has no 2D, too little or too much of it, or of other joints; names the
            file, the sequence, camera, frame and joint.
    """
    path = keypoints.path
    layout = keypoints.layout or skeleton
    if keypoints.layout is None:
        say(f"{path}: does not say its joints, so they are taken for those of {skeleton.name}")
    conversion = None
    if layout.name != skeleton.name:
        if (layout.name, skeleton.name) != ("mpii16", "h36m17"):
            raise InputError(
                f"{path}: has the joints of {layout.name}, but the motion has those of {skeleton.name}; both "
                "must be the same joints in the same order"
            )
        conversion = Conversion.load(layout, skeleton)
        say(f"{path}: {layout.name}, converted to {skeleton.name}")
    attached = []
    longer = channels = 0
    for sequence in sequences:
        label = f"{sequence.subject}/{sequence.name}"
        views = keypoints.positions.get(sequence.subject, {}).get(sequence.name)
        if views is None:
            raise InputError(f"{path}: has no 2D keypoints of {label}")
        if len(views) != len(cameras):
            raise InputError(f"{path}: {label}: expected {len(cameras)} cameras, got {len(views)}")
        own = {}
        for camera, view in zip(cameras, views, strict=True):
            where = f"{path}: {label}/{camera}"
            array = check_array(where, view, (2, 3), layout)
            frames, channels = len(sequence.positions), array.shape[2]
            if len(array) < frames:
                raise InputError(f"{where}: {len(array)} frames, but {frames} in 3D")
            longer += len(array) > frames
            own[camera] = np.ascontiguousarray(_converted(conversion, array[:frames]))
        attached.append(dataclasses.replace(sequence, keypoints_2d=own))
    of_nobody = sum(map(len, keypoints.positions.values())) - len(sequences)
    say(
        f"{path}: 2D {'with' if channels == 3 else 'without'} score for {len(sequences)} sequences from "
        f"{len(cameras)} cameras, {longer} videos cut to the motion's length, "
        f"{of_nobody} sequences without motion left out"
    )
    return attached


def check_array(
    where: str, array: Any, channels: tuple[int, ...], skeleton: Skeleton | None
) -> npt.NDArray[np.float32]:
    """The array in single precision, if it has the shape it should and finite values.

    Args:
        where: What to call it in an error.
        array: What was found.
        channels: The sizes that its last axis may have.
        skeleton: Whose joints they must be; None: any.

    Shapes:
        (frames, joints, channels)

    Raises:
        InputError: says what was expected, and the frame and joint that are not finite.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        kind = getattr(array, "dtype", type(array).__name__)
        raise InputError(f"{where}: expected an array of floating-point numbers, got {kind}")
    if array.ndim != 3 or array.shape[2] not in channels:
        last = " or ".join(map(str, channels))
        raise InputError(f"{where}: expected shape (frames, joints, {last}), got {array.shape}")
    joints = range(array.shape[1]) if skeleton is None else skeleton.joints
    if skeleton is not None and array.shape[1] != len(joints):
        raise InputError(f"{where}: has {array.shape[1]} joints, but {skeleton.name!r} has {len(joints)}")
    with np.errstate(over="ignore"):  # what does not fit is found as infinite
        array = np.asarray(array, np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        frame, joint, channel = np.argwhere(~finite)[0]
        raise InputError(f"{where}: frame {frame}, joint {joints[joint]!r} is {array[frame, joint, channel]}")
    return array


def _converted(conversion: Conversion | None, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    if conversion is None:
        return array
    score = array[..., 2] if array.shape[-1] == 3 else np.ones(array.shape[:-1], np.float32)
    keypoints_2d, score = conversion(array[..., :2], score)
    return np.concatenate([keypoints_2d, score[..., None]], axis=-1)[..., : array.shape[-1]]


def _load(path: Path, key: str) -> dict[str, Any]:
    content = load_arrays(path)
    if not isinstance(content.get(key), dict):
        raise InputError(
            f"{path}: expected {key} by subject and action, got {', '.join(content) or 'nothing'}"
        )
    return content


def _actions(path: Path, content: Mapping[str, Any], key: str) -> dict[str, dict[str, Any]]:
    actions: dict[str, dict[str, Any]] = {}
    for subject, of_subject in content[key].items():
        if not isinstance(of_subject, dict):
            raise InputError(
                f"{path}: {key}: expected a dict of actions for each subject, got {of_subject!r:.50}"
            )
        names = actions.setdefault(_plain_name(path, subject), {})
        for name, value in of_subject.items():
            if names.setdefault(_plain_name(path, name), value) is not value:
                raise InputError(f"{path}: {key}: {subject}/{name} stands twice")
    return actions


def _plain_name(path: Path, name: Any) -> str:
    if not isinstance(name, str):
        raise InputError(f"{path}: expected names of subjects and actions, got {name!r:.50}")
    return name.replace("/", "-")


def _layout(path: Path, metadata: Any) -> Skeleton | None:
    """The graph with the joints of a file, by their number and its left joints."""
    if metadata is None:
        return None
    try:
        num_joints = int(metadata["num_joints"])
        left = {int(joint) for joint in metadata["keypoints_symmetry"][0]}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path}: metadata: expected num_joints and keypoints_symmetry") from error
    for name in _LAYOUTS:
        skeleton = Skeleton.load(name)
        if (num_joints, left) == (
            skeleton.num_joints,
            {skeleton.index(joint) for joint, _ in skeleton.mirror},
        ):
            return skeleton
    raise InputError(
        f"{path}: {num_joints} joints with {sorted(left)} on the left are of no known layout; "
        f"known are {', '.join(_LAYOUTS)}"
    )
