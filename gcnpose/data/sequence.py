"""One take of captured motion: a subject's 3D poses, and what cameras saw of them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton

# No captured body is this long; poses in millimetres or centimetres that are taken for metres are.
_LARGEST_POSE_M = 50.0
# "29_02_" and "94_p04_" before an action, " 1", "_01", "_p0" and " chunk0" after it.
_TRIAL_NUMBERS = re.compile(r"(?:\d+_p?\d+_)?(.+?)(?:[ _](?:p|chunk)?\d+)*")


@dataclass(frozen=True, eq=False)
class MotionSequence:
    """One take of one subject.

    Args:
        subject: who moves.
        name: unique within the subject, for example ``"Walking 1"`` or ``"29_02_basketball_signals"``.
        positions: joints in the world, metres, z up, float32.
        keypoints_2d: the same joints in images, by camera name, pixels, float32; a third channel is the
        score.
        cameras: names of those of the subject's cameras that saw it; None: all.
        valid: which frames are scored, bool; None: all.
        fps: frames per second where they are not the set's.

    Shapes:
        positions ``(frames, joints, 3)``, keypoints_2d ``(frames, joints, 2 | 3)``, valid ``(frames,)``.
    """

    subject: str
    name: str
    positions: npt.NDArray[np.float32]
    keypoints_2d: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    cameras: tuple[str, ...] | None = None
    valid: npt.NDArray[np.bool_] | None = None
    fps: float | None = None

    @property
    def label(self) -> str:
        """Subject and name, as the motion file has them: ``subject/name``."""
        return f"{self.subject}/{self.name}"

    @property
    def action(self) -> str:
        """The name without the subject before it and the numbers of trial, take and part around it.

        All of a name that is numbers.
        """
        match = _TRIAL_NUMBERS.fullmatch(self.name)
        name = match[1] if match and not match[1].isdigit() else self.name
        return name.removeprefix(f"{self.subject}_") or name

    def check(self, skeleton: Skeleton, cameras: Sequence[str]) -> None:
        """That it is motion of a skeleton, seen by none but the subject's cameras, given by their names.

        Raises:
            InputError: if not; if an array has the wrong type or shape, no frame, a value that is not finite,
                or a size that cannot be metres; or if a name is empty or has a slash in it.
        """
        label = self.label
        for word in (self.subject, self.name, *self.keypoints_2d):
            if not word or "/" in word or self.subject == "2d":
                raise InputError(
                    f"sequence {label}: names of subjects, sequences and cameras must not be empty "
                    "nor contain '/', and no subject is called '2d'"
                )
        _check_array(skeleton, f"sequence {label}", self.positions, channels=(3,))
        extent = np.ptp(self.positions[0].astype(np.float64), axis=0).max()
        if extent > _LARGEST_POSE_M:
            raise InputError(
                f"sequence {label}: the first pose is {extent:.0f} m long; positions must be in metres"
            )
        if self.cameras is not None:
            _check_camera_names(label, self.cameras, cameras)
        if self.valid is not None:
            _check_valid(label, self.valid, len(self.positions))
        if self.fps is not None:
            check_fps(f"sequence {label}: fps", self.fps)
        for camera, keypoints in self.keypoints_2d.items():
            where = f"2D keypoints {label}/{camera}"
            if camera not in cameras:
                has = ", ".join(cameras) or "no cameras"
                raise InputError(f"{where}: no such camera; subject {self.subject} has {has}")
            if self.cameras is not None and camera not in self.cameras:
                raise InputError(f"{where}: the sequence was seen by {', '.join(self.cameras)} only")
            _check_array(skeleton, where, keypoints, channels=(2, 3))
            if len(keypoints) != len(self.positions):
                raise InputError(f"{where}: {len(keypoints)} frames, but {len(self.positions)} in 3D")


def check_fps(where: str, fps: float) -> None:
    """Raises InputError, which begins with ``where``, unless it is a frame rate."""
    if not (math.isfinite(fps) and fps > 0):
        raise InputError(f"{where} must be a positive number, not {fps}")


def _check_camera_names(label: str, names: tuple[str, ...], known: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        given = ", ".join(names) or "none"
        raise InputError(f"sequence {label}: its cameras must be one or more different names, got {given}")
    for name in names:
        if name not in known:
            has = ", ".join(known) or "no cameras"
            raise InputError(f"sequence {label}: no such camera {name!r}; the subject has {has}")


def _check_valid(label: str, valid: np.ndarray, frames: int) -> None:
    if valid.dtype != np.bool_ or valid.shape != (frames,):
        raise InputError(f"valid {label}: expected {frames} bools, got {valid.dtype} {valid.shape}")
    if not valid.any():
        raise InputError(f"valid {label}: none of the {frames} frames is to be scored")


def _check_array(skeleton: Skeleton, where: str, array: np.ndarray, channels: tuple[int, ...]) -> None:
    if array.dtype != np.float32:
        raise InputError(f"{where}: expected float32, got {array.dtype}")
    if array.ndim != 3 or array.shape[2] not in channels:
        last = " or ".join(map(str, channels))
        raise InputError(f"{where}: expected shape (frames, joints, {last}), got {array.shape}")
    if array.shape[1] != skeleton.num_joints:
        raise InputError(
            f"{where}: has {array.shape[1]} joints, but the skeleton {skeleton.name!r} has "
            f"{skeleton.num_joints}"
        )
    if array.shape[0] == 0:
        raise InputError(f"{where}: has 0 frames")
    finite = np.isfinite(array)
    if not finite.all():
        frame, joint, channel = np.argwhere(~finite)[0]
        name, value = skeleton.joints[joint], array[frame, joint, channel]
        raise InputError(f"{where}: frame {frame}, joint {name!r} is {value}")
