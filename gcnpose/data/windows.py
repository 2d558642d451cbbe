"""Training windows: all motion stays where it has room, on the device if it can; a batch is one gather."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gcnpose.data.camera import (
    Rig,
    normalize_screen,
    project,
    rotate_about_vertical,
    sample_views,
    world_to_camera,
)
from gcnpose.data.draws import Draws
from gcnpose.data.frames import FrameStore, take
from gcnpose.data.motion import MotionSet
from gcnpose.data.noise import KeypointNoise
from gcnpose.data.views import Clip, Views
from gcnpose.skeleton import Skeleton


class Batch(NamedTuple):
    """Training windows.

    Shapes:
        - keypoints_2d: (batch, frames, joints, 2 or 3), normalised by the image width
        - pose_3d: (batch, frames, joints, 3), metres, relative to the root, in the camera's frame
        - valid: (batch, frames), False where the motion says so, and where a sequence was too short and its
            last frame is repeated
    """

    keypoints_2d: Tensor
    pose_3d: Tensor
    valid: Tensor


class Windows(Protocol):
    """What the training loop needs of its data."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        """Windows by number, with a random change to each."""

    def names(self, indices: Tensor) -> list[str]:
        """Which sequences those windows are from."""


def window_starts(frames: int, window: int, step: int) -> list[int]:
    """First frames of the windows over a sequence, the last aligned to its end; [0] for a shorter one."""
    last = max(frames - window, 0)
    starts = list(range(0, last + 1, step))
    return starts if starts[-1] == last else [*starts, last]


class _WindowTable:
    """Where every window starts, and the first and last row of the clip that it is cut from."""

    def __init__(self, clips: Sequence[Clip], window: int, step: int, device: torch.device) -> None:
        self.clips = clips
        starts = [window_starts(clip.frames, window, step) for clip in clips]
        self.clip = torch.tensor(
            [number for number, of_clip in enumerate(starts) for _ in of_clip], device=device
        )
        self.start = torch.tensor(
            [clip.first + start for clip, of_clip in zip(clips, starts, strict=True) for start in of_clip],
            device=device,
        )
        self.first = torch.tensor([clip.first for clip in clips], device=device)[self.clip]
        self.last = torch.tensor([clip.first + clip.frames - 1 for clip in clips], device=device)[self.clip]
        self.offsets = torch.arange(window, device=device)

    def __len__(self) -> int:
        return len(self.start)

    def names(self, indices: Tensor) -> list[str]:
        return [str(self.clips[number]) for number in self.clip[indices].tolist()]


class _Flip:
    """Which windows of a batch to mirror: joint order and sign of x for each."""

    def __init__(self, skeleton: Skeleton, probability: float, device: torch.device) -> None:
        self.probability = probability
        mirrored = torch.from_numpy(skeleton.mirror_indices).to(device)
        self.joints = torch.stack([torch.arange(skeleton.num_joints, device=device), mirrored])

    def draw(self, draws: Draws) -> tuple[Tensor, Tensor]:
        """Shapes: joint order (batch, 1, joints); sign (batch, 1, 1)."""
        flipped = draws.uniform().to(self.joints.device) < self.probability
        return self.joints[flipped.long()][:, None], torch.where(flipped, -1.0, 1.0)[:, None, None]


class FixedWindows:
    """Windows of fixed views, half of them mirrored.

    Args:
        views: Flat arrays of every frame in every view.
        window: Frames per window.
        step: Frames between the starts of two windows.
        flip: Probability of a horizontal flip.
        device: Where the batches are wanted.
        noise: Errors on projected 2D, drawn anew each time that a window is taken.
        store: Where the arrays lie; None: on the device. The views were built with it.
    """

    def __init__(
        self,
        views: Views,
        window: int,
        step: int,
        flip: float,
        device: torch.device,
        noise: KeypointNoise | None = None,
        store: FrameStore | None = None,
    ) -> None:
        store = store or FrameStore(device)
        self.table = _WindowTable(views.clips, window, step, device)
        self.keypoints_2d = store.settle(views.keypoints_2d)
        self.pose_3d = store.settle(views.pose_3d)
        self.valid = views.valid.to(device)
        self.flip = _Flip(views.skeleton, flip, device)
        self.noise = noise
        self.detected = torch.tensor([clip.detected for clip in views.clips], device=device)

    def __len__(self) -> int:
        return len(self.table)

    def names(self, indices: Tensor) -> list[str]:
        return self.table.names(indices)

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        rows = self.table.start[indices, None] + self.table.offsets
        last = self.table.last[indices, None]
        inside = rows <= last
        rows = rows.minimum(last)
        valid = inside & self.valid[rows]
        joints, sign = self.flip.draw(draws)
        keypoints_2d = take(self.keypoints_2d, rows, joints)
        pose_3d = take(self.pose_3d, rows, joints)
        keypoints_2d[..., 0] *= sign
        pose_3d[..., 0] *= sign
        if self.noise is not None:
            detected = self.detected[self.table.clip[indices]][:, None, None, None]
            keypoints_2d = torch.where(detected, keypoints_2d, self.noise.apply(keypoints_2d, draws))
        return Batch(keypoints_2d, pose_3d, valid)


class DrawnWindows:
    """Windows of world motion, seen from a new side each time and by bodies of varied proportions.

    Every time a window is taken, its person is turned about the vertical, and a camera, a playback speed, a
    body size and bone lengths are drawn for it.

    Args:
        motion: Sequences in the world's frame.
        rig: Cameras that the windows are seen by, on the device.
        drawn_cameras: False: one of the rig's cameras, where it stands. True: a camera drawn around the
            person, with a lens like the rig's.
        window: Frames per window.
        step: Frames between the starts of two windows.
        flip: Probability of a horizontal flip.
        bone_scale: Standard deviation of the factor on each bone's length, the same left and right.
        body_scale: Half range of the factor on the whole body and its path.
        tempo: Half range of the playback speed.
        input_channels: 2, or 3 with a score, which is 1 but for the noise.
        device: Where the batches are wanted.
        noise: Errors on the 2D.
        store: Where the motion lies; None: on the device.
    """

    def __init__(
        self,
        motion: MotionSet,
        rig: Rig,
        drawn_cameras: bool,
        window: int,
        step: int,
        flip: float,
        bone_scale: float,
        body_scale: float,
        tempo: float,
        input_channels: int,
        device: torch.device,
        noise: KeypointNoise | None = None,
        store: FrameStore | None = None,
    ) -> None:
        store = store or FrameStore(device)
        clips: list[Clip] = []
        first = 0
        for sequence in motion.sequences:
            clips.append(
                Clip(sequence.subject, sequence.name, sequence.action, "", first, len(sequence.positions))
            )
            first += len(sequence.positions)
        self.table = _WindowTable(clips, window, step, device)
        world = store.empty(first, motion.skeleton.num_joints, 3)
        valid = torch.ones(first, dtype=torch.bool)
        for clip, sequence in zip(clips, motion.sequences, strict=True):
            world[clip.rows] = torch.from_numpy(sequence.positions)
            if sequence.valid is not None:
                valid[clip.rows] = torch.from_numpy(sequence.valid)
        self.world = store.settle(world)
        self.valid = valid.to(device)
        self.device = device
        self.rig = rig
        self.drawn_cameras = drawn_cameras
        self.flip = _Flip(motion.skeleton, flip, device)
        self.bones = BoneScaling(motion.skeleton, bone_scale, body_scale, device)
        self.tempo = tempo
        self.root = motion.skeleton.root_index
        self.input_channels = input_channels
        self.noise = noise

    def __len__(self) -> int:
        return len(self.table)

    def names(self, indices: Tensor) -> list[str]:
        return self.table.names(indices)

    def batch(self, indices: Tensor, draws: Draws) -> Batch:
        world, valid = self._play(indices, draws)
        world = self.bones.apply(world, draws)
        world = rotate_about_vertical(world, draws.uniform().to(world.device) * 2 * math.pi)
        if self.drawn_cameras:
            cameras = sample_views(draws, self.device, self.rig)
            there = valid[..., None].to(world.dtype)
            middle = (world[:, :, self.root, :2] * there).sum(dim=1) / there.sum(dim=1).clamp(min=1)
            world = world - torch.nn.functional.pad(middle, (0, 1))[:, None, None]
        else:
            cameras = self.rig[(draws.uniform().to(world.device) * len(self.rig)).long()]
        seen = world_to_camera(world, cameras.orientation, cameras.translation)
        pixels = project(seen, cameras.focal_px, cameras.center_px, cameras.radial, cameras.tangential)
        keypoints_2d = normalize_screen(pixels, cameras.width, cameras.height)
        if self.input_channels == 3:
            keypoints_2d = torch.nn.functional.pad(keypoints_2d, (0, 1), value=1.0)
        pose_3d = seen - seen[:, :, self.root : self.root + 1]

        joints, sign = self.flip.draw(draws)
        keypoints_2d = keypoints_2d.take_along_dim(joints[..., None], dim=2)
        pose_3d = pose_3d.take_along_dim(joints[..., None], dim=2)
        keypoints_2d[..., 0] *= sign
        pose_3d[..., 0] *= sign
        if self.noise is not None:
            keypoints_2d = self.noise.apply(keypoints_2d, draws)
        return Batch(keypoints_2d, pose_3d, valid)

    def _play(self, indices: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """World windows (batch, frames, joints, 3) at a drawn speed, and which of their frames exist."""
        start, first, last = (
            rows[indices, None] for rows in (self.table.start, self.table.first, self.table.last)
        )
        if self.tempo == 0:
            rows = start + self.table.offsets
            exist, rows = rows <= last, rows.minimum(last)
            return take(self.world, rows), exist & self.valid[rows]
        speed = 1 + self.tempo * (2 * draws.uniform().to(start.device)[:, None] - 1)
        played = self.table.offsets * speed
        # A fast window that would run past the end begins earlier, where the sequence is long enough.
        start = start.minimum(last - played[:, -1:].ceil().long()).maximum(first)
        whole = played.floor()
        rows = start + whole.long()
        between = (played - whole)[..., None, None]
        exist, rows, next_rows = rows <= last, rows.minimum(last), (rows + 1).minimum(last)
        world = torch.lerp(take(self.world, rows), take(self.world, next_rows), between)
        return world, exist & self.valid[rows] & self.valid[next_rows]


class BoneScaling:
    """Changes the lengths of bones and keeps their directions.

    The bones of the breadth-first spanning tree are scaled and the body is put together again from the root:
    with D the differences along bones, P the sums along paths and s the factors, joints' = root + P diag(s)
    D joints.

    Args:
        skeleton: Gives bones, root and mirror.
        bone_scale: Standard deviation of the factor on each bone, the same left and right, at most two
            deviations.
        body_scale: Half range of a uniform factor on everything: bones, and the path through the world.
        device: Where poses will be.
    """

    def __init__(
        self, skeleton: Skeleton, bone_scale: float, body_scale: float, device: torch.device
    ) -> None:
        self.bone_scale = bone_scale
        self.body_scale = body_scale
        self.root = skeleton.root_index
        joints = torch.arange(skeleton.num_joints)
        differences = torch.zeros(skeleton.num_joints, skeleton.num_joints)
        paths = torch.zeros(skeleton.num_joints, skeleton.num_joints)
        parents = torch.from_numpy(skeleton.parents)
        for joint in joints.tolist():
            ancestor = joint
            if joint != self.root:
                differences[joint, joint] = 1
                differences[joint, parents[joint]] = -1
            while ancestor != self.root:
                paths[joint, ancestor] = 1
                ancestor = int(parents[ancestor])
        self.differences = differences.to(device)
        self.paths = paths.to(device)
        self.twin = torch.minimum(joints, torch.from_numpy(skeleton.mirror_indices)).to(device)

    def apply(self, pose: Tensor, draws: Draws) -> Tensor:
        """Shapes: (batch, frames, joints, 3) in the world's frame -> the same."""
        if self.bone_scale > 0:
            deviation = draws.normal(len(self.twin)).to(pose.device).clamp(-2, 2)
            factors = (1 + self.bone_scale * deviation)[:, self.twin]
            scaled = (self.paths * factors[:, None]) @ self.differences
            root = pose[:, :, self.root : self.root + 1]
            pose = root + scaled[:, None] @ pose
        if self.body_scale > 0:
            uniform = draws.uniform().to(pose.device)
            pose = pose * (1 + self.body_scale * (2 * uniform - 1))[:, None, None, None]
        return pose
