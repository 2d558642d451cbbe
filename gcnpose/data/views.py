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
from gcnpose.data.draws import Draws
from gcnpose.data.motion import MotionSet
from gcnpose.data.noise import KeypointNoise
from gcnpose.errors import InputError
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
    detected: bool = False
    """Whether its 2D is the motion's own, not projected."""
    error_px: float = 0.0
    """Mean distance of its 2D from the projected truth in valid frames, in pixels of an image 1000 wide."""
    seen_by: Camera | None = None
    """The camera itself, where it is known."""

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
        - valid: (rows,) bool, which rows are scored
        - root_depth: (rows,), metres from the camera to the root along its axis; None: not known
    """

    skeleton: Skeleton
    clips: list[Clip]
    keypoints_2d: Tensor
    pose_3d: Tensor
    valid: Tensor
    root_depth: Tensor | None = None

    def share_outside(self) -> float:
        """Of the joints, how many lie beside a square image: none of people in front of the cameras."""
        outside = 0
        for clip in self.clips:  # one by one, since the whole may be larger than memory
            places = self.keypoints_2d[clip.rows][..., :2]
            outside += int((places.abs() > 1).any(dim=-1).sum())
        return outside / self.keypoints_2d[..., 0].numel()

    def keypoints_error_px(self) -> float:
        """Mean distance of the 2D from the projected truth in valid frames, pixels of an image 1000 wide."""
        frames = [(clip, int(self.valid[clip.rows].sum())) for clip in self.clips]
        return sum(clip.error_px * count for clip, count in frames if count) / sum(c for _, c in frames)


def fixed_views(
    motion: MotionSet,
    rig: Sequence[Camera],
    seed: int,
    input_channels: int = 2,
    detected: bool | None = None,
    ground_truth_weight: float = 0.0,
    noise: KeypointNoise | None = None,
    empty: Callable[..., Tensor] = torch.empty,
) -> Views:
    """Every sequence from every camera that saw it.

    Subjects with cameras of their own are seen by those, with the 2D that the motion set holds for them
    where it has some. All others are seen by ``rig`` after one turn about the vertical per sequence, drawn
    from the seed and the sequence's name, so a view stays the same whatever else is in the set. Keypoints
    without a score, projected ones among them, have score 1.

    Args:
        motion: Sequences in the world's frame.
        rig: Cameras for subjects without their own.
        seed: Draws the turns and the noise.
        input_channels: 2, or 3 with the score.
        detected: Whether to use the motion's own 2D; None: where it has some.
        ground_truth_weight: Share w of the projected truth in the motion's own 2D: w * true + (1 - w) * own.
        noise: Errors on projected 2D, the same for a sequence and camera whatever else is in the set.
        empty: Makes the arrays, from their sizes; they may lie in a file.

    Raises:
        InputError: if ``detected`` and a sequence has no 2D of one of its cameras.
    """
    rows = count_rows(motion, rig)
    joints, root = motion.skeleton.num_joints, motion.skeleton.root_index
    keypoints_2d = empty(rows, joints, input_channels)
    pose_3d = empty(rows, joints, 3)
    valid = torch.ones(rows, dtype=torch.bool)
    root_depth = torch.empty(rows)
    clips: list[Clip] = []
    first = 0
    for sequence in motion.sequences:
        seen_by = motion.cameras_of(sequence) or rig
        positions = torch.from_numpy(sequence.positions)
        if seen_by is rig:
            yaw = _random(seed, sequence.subject, sequence.name).uniform(0, 2 * math.pi)
            positions = rotate_about_vertical(positions, float(yaw))
        for camera in seen_by:
            lens = Rig.from_cameras([camera])
            seen = world_to_camera(positions, lens.orientation[0], lens.translation[0])
            pixels = project(seen, lens.focal_px[0], lens.center_px[0], lens.radial[0], lens.tangential[0])
            true = _as_input(pixels, camera, input_channels)
            there = true.isfinite()  # not where a point lies in the camera's centre
            own = None if detected is False else sequence.keypoints_2d.get(camera.name)
            if own is not None:
                seen_2d = _as_input(torch.from_numpy(own), camera, input_channels)
                if ground_truth_weight > 0:
                    seen_2d = torch.lerp(seen_2d, true.where(there, seen_2d), ground_truth_weight)
            elif detected:
                raise InputError(
                    f"detected: sequence {sequence.subject}/{sequence.name} has no 2D keypoints "
                    f"of camera {camera.name}"
                )
            else:
                seen_2d = true.where(there, 0.0)
                if noise is not None:
                    random = _random(seed, sequence.subject, sequence.name, camera.name)
                    generator = torch.Generator().manual_seed(int(random.integers(2**63)))
                    seen_2d = noise.apply(seen_2d[None], Draws(generator, 1))[0]
            counted = slice(None) if sequence.valid is None else torch.from_numpy(sequence.valid)
            clip = Clip(
                sequence.subject,
                sequence.name,
                sequence.action,
                camera.name,
                first,
                len(positions),
                detected=own is not None,
                error_px=(seen_2d - true)[counted, :, :2].norm(dim=-1).nanmean().item() * 500,
                seen_by=camera,
            )
            keypoints_2d[clip.rows] = seen_2d
            pose_3d[clip.rows] = seen - seen[:, root : root + 1]
            root_depth[clip.rows] = seen[:, root, 2]
            if sequence.valid is not None:
                valid[clip.rows] = torch.from_numpy(sequence.valid)
            clips.append(clip)
            first += clip.frames
    return Views(motion.skeleton, clips, keypoints_2d, pose_3d, valid, root_depth)


def count_rows(motion: MotionSet, rig: Sequence[Camera]) -> int:
    """Frames times the cameras that see them: the rows of :func:`fixed_views`."""
    return sum(
        len(sequence.positions) * len(motion.cameras_of(sequence) or rig) for sequence in motion.sequences
    )


def _as_input(pixels: Tensor, camera: Camera, channels: int) -> Tensor:
    """Normalised by the image width, with a score of 1 where one is wanted and there is none."""
    normalized = normalize_screen(pixels[..., :channels], camera.width, camera.height)
    return torch.nn.functional.pad(normalized, (0, channels - normalized.shape[-1]), value=1.0)


def _random(seed: int, *names: str) -> np.random.Generator:
    """Draws that depend on nothing but the arguments."""
    return np.random.default_rng([seed, *"/".join(names).encode()])
