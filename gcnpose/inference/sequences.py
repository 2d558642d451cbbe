"""Lifting whole sequences of tensors: overlapping windows as in the paper, or the whole at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gcnpose.config import Method
from gcnpose.data.windows import window_starts
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.following import follow, turn_back
from gcnpose.skeleton import Skeleton


def lift_by(
    method: Method,
    model: LiftingNetwork,
    skeleton: Skeleton,
    sequences: Sequence[Tensor],
    *,
    window: int,
    step: int,
    flip: bool,
    batch_size: int,
    frames_at_once: int,
    reach: int | None = None,
    focal: float | None = None,
) -> list[Tensor]:
    """3D of whole sequences by the method of a name, whose arguments are those that it takes.

    ``"windows"`` is :func:`lift_windows`; ``"whole"`` and ``"shifts"`` are :func:`lift_whole` in one pass and
    in one per phase of the network's strides. With a focal length, in half image widths, they lift what a
    camera sees that follows the person: :func:`gcnpose.nn.following.follow`.
    """
    rotations: Sequence[Tensor] = ()
    if focal is not None:
        extent, root = model.input_extent, skeleton.root_index
        followed = [follow(sequence, root, focal, extent, window) for sequence in sequences]
        sequences, rotations = zip(*followed, strict=True)
    if method == "windows":
        lifted = lift_windows(model, skeleton, sequences, window, step, flip, batch_size)
    else:
        shifts = model.stride_product if method == "shifts" else 1
        lifted = lift_whole(model, skeleton, sequences, shifts, flip, frames_at_once, reach)
    if focal is None:
        return lifted
    return [turn_back(poses, rotation) for poses, rotation in zip(lifted, rotations, strict=True)]


@torch.inference_mode()
def lift_windows(
    model: nn.Module,
    skeleton: Skeleton,
    sequences: Sequence[Tensor],
    window: int = 96,
    step: int = 5,
    flip: bool = True,
    batch_size: int = 256,
) -> list[Tensor]:
    """3D of whole sequences: every frame is the mean over all windows that it lies in.

    Windows start every ``step`` frames and the last is aligned to the end, so every frame is predicted.
    Sequences shorter than a window are continued by their last frame.

    Args:
        model: Lifts (batch, frames, joints, channels) to (batch, frames, joints, 3); set to evaluation by
            the caller.
        skeleton: For its mirror.
        sequences: Normalised 2D, each (frames, joints, channels), on the model's device.
        window: Frames per window.
        step: Frames between windows.
        flip: Average with the prediction of the mirrored input.
        batch_size: Windows per forward pass; mirrored ones come on top.

    Returns:
        Positions in metres, (frames, joints, 3) for each sequence.
    """
    frames = [len(sequence) for sequence in sequences]
    padded = [
        torch.cat([sequence, sequence[-1:].expand(max(window - len(sequence), 0), -1, -1)])
        for sequence in sequences
    ]
    flat = torch.cat(padded)
    offsets = torch.arange(window, device=flat.device)
    first, starts = 0, []
    for sequence in padded:
        starts += [first + start for start in window_starts(len(sequence), window, step)]
        first += len(sequence)
    total = flat.new_zeros(len(flat), flat.shape[1], 3)
    count = flat.new_zeros(len(flat))
    for chosen in torch.tensor(starts, device=flat.device).split(batch_size):
        rows = chosen[:, None] + offsets
        predicted = lift(model, skeleton, flat[rows], flip)
        total.index_add_(0, rows.flatten(), predicted.flatten(0, 1))
        count.index_add_(0, rows.flatten(), count.new_ones(rows.numel()))
    mean = total / count[:, None, None]
    return [
        sequence[:length]
        for sequence, length in zip(mean.split([len(p) for p in padded]), frames, strict=True)
    ]


@torch.inference_mode()
def lift_whole(
    model: nn.Module,
    skeleton: Skeleton,
    sequences: Sequence[Tensor],
    shifts: int = 1,
    flip: bool = True,
    frames_at_once: int = 256 * 96,
    reach: int | None = None,
) -> list[Tensor]:
    """3D of whole sequences, each in one pass: the network is convolutional, so any length will do.

    A network that halves and doubles the frames leaves a pattern in its output that repeats with the product
    of its strides. Averaged over that many passes, each with one more frame before the sequence, the pattern
    cancels, as it nearly does in averaged windows, and no window's edge comes in.

    Args:
        model: As in :func:`lift_windows`.
        skeleton: For its mirror.
        sequences: As in :func:`lift_windows`.
        shifts: Passes to average: 1, or the model's ``stride_product``.
        flip: Average with the prediction of the mirrored input.
        frames_at_once: Shifted sequences go into one forward pass up to this many frames, at least one.
        reach: The model's ``reach``: longer sequences go in pieces of at most ``frames_at_once``, or three
            times ``reach`` where that is more, with so many frames in common that nothing changes. None: in
            one piece, however long.

    Returns:
        Positions in metres, (frames, joints, 3) for each sequence.
    """
    lifted = []
    for sequence in sequences:
        frames = len(sequence)
        length = frames + shifts - 1
        piece, margin = length, 0
        if reach is not None:
            unit, margin = max(reach, 1), reach
            piece = max(frames_at_once // unit - 2, 1) * unit
        total = sequence.new_zeros(frames, sequence.shape[1], 3)
        for chosen in torch.arange(shifts).split(max(frames_at_once // min(length, piece + 2 * margin), 1)):
            for first in range(0, length, piece):
                before = min(margin, first)
                places = torch.arange(first - before, min(first + piece + margin, length))
                rows = (places - chosen[:, None]).clamp(0, frames - 1).to(sequence.device)
                predicted = lift(model, skeleton, sequence[rows], flip)[:, before : before + piece]
                for shift, poses in zip(chosen.tolist(), predicted, strict=True):
                    start, stop = max(first - shift, 0), min(first - shift + len(poses), frames)
                    total[start:stop] += poses[start + shift - first : stop + shift - first]
        lifted.append(total / shifts)
    return lifted


def lift(model: nn.Module, skeleton: Skeleton, keypoints_2d: Tensor, flip: bool) -> Tensor:
    """One forward pass, and where ``flip`` is set its mean with that of the mirrored input.

    Shapes:
        (batch, frames, joints, channels) -> (batch, frames, joints, 3)
    """
    if not flip:
        return model(keypoints_2d)
    both = model(torch.cat([keypoints_2d, mirror(keypoints_2d, skeleton)]))
    straight, mirrored = both.chunk(2)
    return (straight + mirror(mirrored, skeleton)) / 2


def was_played_at(fps: float, trained_at: float, tempo: float) -> bool:
    """Whether a training whose motion had ``trained_at`` frames per second played some of it at ``fps``.

    It did where its ``data.augment.tempo`` made motion as much faster or slower.
    """
    return 1 - tempo <= trained_at / fps <= 1 + tempo


def resample(sequence: Tensor, frames: int) -> Tensor:
    """As many frames at even distances, the first and last ones kept, by linear interpolation.

    Shapes:
        (n, joints, channels) -> (frames, joints, channels)
    """
    channels_first = sequence.flatten(1).T[None]
    resampled = F.interpolate(channels_first, size=frames, mode="linear", align_corners=True)
    return resampled[0].T.unflatten(1, sequence.shape[1:])


def mirror(points: Tensor, skeleton: Skeleton) -> Tensor:
    """Left and right exchanged: x negated, mirror joints swapped.

    Shapes:
        (..., joints, channels) -> the same; 2D or 3D, centred on x = 0; further channels such as a score
        only move.
    """
    swapped = points[..., torch.from_numpy(skeleton.mirror_indices).to(points.device), :]
    return torch.cat([-swapped[..., :1], swapped[..., 1:]], dim=-1)
