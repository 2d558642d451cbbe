"""2D keypoints with the errors of a detector, for motion that comes without detections."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gcnpose.data.draws import Draws
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton

_PX = 2 / 1000  # a pixel of an image 1000 wide, in normalised coordinates


class KeypointNoise:
    """Adds the errors that Ronchi & Perona (ICCV 2017) tell apart: jitter, inversion (swaps) and misses.

    With g smooth Gaussian noise of unit variance, independent for every joint, each of

    - jitter: ``x += s g_x``, ``y += s g_y`` with the spread ``s = s_joint exp(tail g_s)``. The spread changes
      over time, so errors come in bursts and their tails are heavier than a Gaussian's: the kurtosis of x is
      ``3 exp(4 tail^2)``;
    - swaps: a joint and its mirror joint change places over a span of frames;
    - misses: a joint stays where it was last seen over a span of frames, with score 0. One that a clip begins
      without stays where the first frame has it.

    The score is ``exp(-s / score_px)``: it falls with the spread from which the error is drawn, not with the
    error itself, and a swap does not lower it.

    Args:
        skeleton: Gives the mirror joints, and the hops from the root.
        scale: Factor on the jitter and on both rates; 0: nothing changes.
        error_px: Mean distance of the jitter, over all joints, in pixels of an image 1000 wide.
        joint_errors: How large the jitter of each joint is, in the order of the graph, in any unit; None:
            rising evenly with the hops from the root, to twice the root's at the farthest joint.
        tail: Standard deviation of the logarithm of the spread; 0: Gaussian.
        smooth_frames: Frames over which g is a moving average; 1: white noise.
        swap_rate: Share of frames in which a pair of mirror joints is swapped.
        swap_frames: Shortest span of a swap.
        missing_rate: Share of frames in which a joint is missing.
        missing_frames: Shortest span of a miss.
        score_px: Spread at which the score is 1 / e, in pixels of an image 1000 wide.
        ground_truth_weight: Share w of the truth: ``w * true + (1 - w) * noisy``, the score included.
        device: Where the keypoints will be.

    Raises:
        InputError: if there is not one of ``joint_errors`` for each joint.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        scale: float,
        error_px: float,
        joint_errors: Sequence[float] | None,
        tail: float,
        smooth_frames: int,
        swap_rate: float,
        swap_frames: int,
        missing_rate: float,
        missing_frames: int,
        score_px: float,
        ground_truth_weight: float,
        device: torch.device,
    ) -> None:
        hops = torch.from_numpy(skeleton.hops)
        relative = 1 + hops / hops.max().clamp(min=1)
        if joint_errors is not None:
            relative = torch.tensor(joint_errors, dtype=relative.dtype)
        if len(relative) != skeleton.num_joints:
            raise InputError(
                f"joint_errors: expected {skeleton.num_joints}, one for each joint of {skeleton.name}, "
                f"came {len(relative)}"
            )
        # The mean distance of a 2D Gaussian is sqrt(pi / 2) deviations, the mean of exp(tail g)
        # exp(tail^2 / 2).
        mean_distance = relative.mean() * math.sqrt(math.pi / 2) * math.exp(tail**2 / 2)
        self.spread = (scale * error_px * _PX / mean_distance * relative).to(device)
        self.tail = tail
        self.smooth_frames = smooth_frames
        self.swap_rate = min(scale * swap_rate, 1.0)
        self.swap_frames = swap_frames
        self.missing_rate = min(scale * missing_rate, 1.0)
        self.missing_frames = missing_frames
        self.score = score_px * _PX
        self.ground_truth_weight = ground_truth_weight
        self.mirror = torch.from_numpy(skeleton.mirror_indices).to(device)
        self.twin = torch.minimum(torch.arange(skeleton.num_joints, device=device), self.mirror)

    def apply(self, keypoints_2d: Tensor, draws: Draws) -> Tensor:
        """Clips with errors drawn for each; the 2D that comes in is the truth, and stays as it is.

        Shapes:
            (clips, frames, joints, 2 or 3), normalised by the image width -> the same
        """
        shift_x, shift_y, burst = self._smooth_normal(keypoints_2d, draws)
        spread = self.spread * torch.exp(self.tail * burst)
        x, y, *score = keypoints_2d.unbind(-1)
        score = [channel * torch.exp(-spread / self.score) for channel in score]
        noisy = torch.stack([x + spread * shift_x, y + spread * shift_y, *score], dim=-1)

        swapped = _spans(keypoints_2d, self.swap_rate, self.swap_frames, draws)[..., self.twin]
        noisy = torch.where(swapped[..., None], noisy[..., self.mirror, :], noisy)

        missing = _spans(keypoints_2d, self.missing_rate, self.missing_frames, draws)
        frame = torch.arange(missing.shape[1], device=missing.device)[:, None]
        last_seen = torch.where(missing, 0, frame).cummax(dim=1).values
        noisy = noisy.take_along_dim(last_seen[..., None], dim=1)
        noisy[..., 2:] *= ~missing[..., None]
        return torch.lerp(noisy, keypoints_2d, self.ground_truth_weight)

    def _smooth_normal(self, keypoints_2d: Tensor, draws: Draws) -> Tensor:
        """Shapes: (3, clips, frames, joints)"""
        _, frames, joints, _ = keypoints_2d.shape
        white = draws.normals(3, frames + self.smooth_frames - 1, joints).to(keypoints_2d.device)
        return white.unfold(2, self.smooth_frames, 1).sum(dim=-1) / math.sqrt(self.smooth_frames)


def _spans(keypoints_2d: Tensor, rate: float, length: int, draws: Draws) -> Tensor:
    """Marks spans of at least ``length`` frames that cover a share ``rate`` of the frames of each joint.

    Shapes: (clips, frames, joints)
    """
    _, frames, joints, _ = keypoints_2d.shape
    drawn = draws.uniform(frames + length - 1, joints).to(keypoints_2d.device)
    # A frame is in none where none begins in it or in one of the length - 1 frames before it.
    begin = 1 - (1 - rate) ** (1 / length)
    return (drawn < begin).unfold(1, length, 1).any(dim=-1)
