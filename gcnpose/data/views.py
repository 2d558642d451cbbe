"""Sequences as fixed cameras see them: what is scored, and what training on a fixed rig learns from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gcnpose.data.camera import (
    Camera,
    Rig,
    h36m_rig,
    normalize_screen,
    project,
    rotate_about_vertical,
    virtual_rig,
    world_to_camera,
)
from gcnpose.data.motion import MotionSet
from gcnpose.skeleton import Skeleton

DEFAULT_RIGS: Mapping[str, Callable[[], list[Camera]]] = {
    "h36m": h36m_rig,
    "virtual": lambda: virtual_rig(num_cameras=4, seed=0),
}
"""Cameras for motion that comes without its own: Human3.6M's as they stood for S1, or four drawn ones."""


@dataclass(frozen=True)
class Clip:
    """One sequence as one camera sees it: rows ``first`` to ``first + frames`` of the flat arrays."""

    subject: str
    name: str
    action: str
    camera: str
    first: int
    frames: int

    @property
    def rows(self) -> slice:
        return slice(self.first, self.first + self.frames)

    def __str__(self) -> str:
        return f"{self.subject}/{self.name}" + (f" from {self.camera}" if self.camera else "")


@dataclass(frozen=True)
class Views:
    """All clips of a set of subjects in flat arrays, a row per frame.

    Shapes:
        - keypoints_2d: (rows, joints, 2 or 3), normalised by the image width; the third is the detector's
            score
        - pose_3d: (rows, joints, 3), metres, relative to the root, in the camera's frame
    """

    skeleton: Skeleton
    clips: list[Clip]
    keypoints_2d: Tensor
    pose_3d: Tensor


def fixed_views(motion: MotionSet, rig: Sequence[Camera], seed: int, input_channels: int = 2) -> Views:
    """Every sequence from every camera of its subject.

    Subjects with cameras of their own are seen by those, with the 2D that the motion set holds for them
    where it has some. All others are seen by ``rig`` after one turn about the vertical per sequence, drawn
    from the seed and the sequence's name, so a view stays the same whatever else is in the set. Keypoints
    without a score, projected ones among them, have score 1.

    Args:
        motion: Sequences in the world's frame.
        rig: Cameras for subjects without their own.
        seed: Draws the turns.
        input_channels: 2, or 3 with the score.
    """
    cameras = [motion.cameras.get(sequence.subject) or rig for sequence in motion.sequences]
    rows = sum(
        len(sequence.positions) * len(seen_by)
        for sequence, seen_by in zip(motion.sequences, cameras, strict=True)
    )
    joints, root = motion.skeleton.num_joints, motion.skeleton.root_index
    keypoints_2d = torch.ones(rows, joints, input_channels)
    pose_3d = torch.empty(rows, joints, 3)
    clips: list[Clip] = []
    first = 0
    for sequence, seen_by in zip(motion.sequences, cameras, strict=True):
        positions = torch.from_numpy(sequence.positions)
        if sequence.subject not in motion.cameras:
            positions = rotate_about_vertical(positions, _yaw(seed, sequence.subject, sequence.name))
        for camera in seen_by:
            clip = Clip(sequence.subject, sequence.name, sequence.action, camera.name, first, len(positions))
            lens = Rig.from_cameras([camera])
            seen = world_to_camera(positions, lens.orientation[0], lens.translation[0])
            if camera.name in sequence.keypoints_2d:
                pixels = torch.from_numpy(sequence.keypoints_2d[camera.name])[..., :input_channels]
            else:
                pixels = project(
                    seen, lens.focal_px[0], lens.center_px[0], lens.radial[0], lens.tangential[0]
                )
            normalized = normalize_screen(pixels, camera.width, camera.height)
            keypoints_2d[clip.rows, :, : normalized.shape[-1]] = normalized
            pose_3d[clip.rows] = seen - seen[:, root : root + 1]
            clips.append(clip)
            first += clip.frames
    return Views(motion.skeleton, clips, keypoints_2d, pose_3d)


def _yaw(seed: int, subject: str, name: str) -> float:
    """A turn in radians that depends on nothing but its arguments."""
    words = [seed, *f"{subject}/{name}".encode()]
    return float(np.random.default_rng(words).uniform(0, 2 * math.pi))
