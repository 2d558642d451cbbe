"""The losses UGCN is trained with: reconstruction, and the motion loss on encoded motions (Eq. 1-6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gcnpose.errors import InputError

# Operators and distances take components first, (channels, batch, frames, joints): products of whole planes
# run almost three times faster, forward and backward, than products along a last axis of three.


def _subtraction(start: Tensor, end: Tensor) -> Tensor:
    return start - end


def _inner_product(start: Tensor, end: Tensor) -> Tensor:
    return (start * end).sum(dim=0, keepdim=True)


def _cross_product(start: Tensor, end: Tensor) -> Tensor:
    x1, y1, z1 = start.unbind(0)
    x2, y2, z2 = end.unbind(0)
    return torch.stack((y1 * z2 - z1 * y2, z1 * x2 - x1 * z2, x1 * y2 - y1 * x2))


def _l1(difference: Tensor) -> Tensor:
    return difference.abs().sum(dim=0).mean(dim=-1)


def _l2(difference: Tensor) -> Tensor:
    # vector_norm over the first axis is ten times slower. The floor keeps the gradient at zero finite.
    squared = difference.square().sum(dim=0).clamp(min=torch.finfo(difference.dtype).tiny)
    return squared.sqrt().mean(dim=-1)


OPERATORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "subtraction": _subtraction,
    "inner": _inner_product,
    "cross": _cross_product,
}
DISTANCES: dict[str, Callable[[Tensor], Tensor]] = {"l1": _l1, "l2": _l2}


def motion_encoding(pose: Tensor, interval: int, operator: str) -> Tensor:
    """Pairwise motion encoding m(t, j) = S(t, j) * S(t + interval, j) of every joint (Eq. 1-3).

    Args:
        pose: root-relative positions S.
        interval: frames between the two ends of a pair, at least 1.
        operator: what ``*`` is: ``"subtraction"``, ``"inner"`` (product) or ``"cross"`` (product).

    Shapes:
        pose (batch, frames, joints, 3) -> (batch, frames - interval, joints, 3), or (..., 1) for the inner
        product. No frames are left where the interval is not shorter than the sequence.

    Raises:
        InputError: if the operator is unknown, the interval is below 1, or the pose has another shape.
    """
    _check_choices("operator", (operator,), OPERATORS)
    _check_intervals((interval,))
    _check_pose(pose)
    return _encoding(pose.movedim(-1, 0), interval, operator).movedim(0, -1)


def mpjpe_loss(predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean Euclidean distance over batch, frames and joints: the reconstruction loss L_p.

    In the unit of the poses, metres in training. Frames that are not ``valid`` do not count, whatever they
    hold; the loss is zero where no frame is valid. The gradient at zero distance is zero.

    Shapes:
        predicted, target (batch, frames, joints, 3); valid (batch, frames) bool -> scalar.

    Raises:
        InputError: if the shapes do not fit.
    """
    predicted, target = _components(predicted, target, valid)
    counted = None if valid is None else _Counted(valid, valid.sum())
    return _mean_over_frames(_l2(predicted - target), counted)


def same(counts: Tensor) -> Tensor:
    """The counts themselves: what one process has is what all have."""
    return counts


class MotionLoss(nn.Module):
    """Multiscale motion loss L_m: distance between the encodings of predicted and true motion (Eq. 4, 5).

    For every interval the distance between the encodings is averaged over batch, frames and joints, then the
    means are averaged over the intervals. The equations write sums; means keep the loss, and with it the
    weight, independent of the size of the batch and of the number of intervals. Several operators are added
    up.

    The cross and inner products are quadratic in the unit. With poses in metres their loss is of the size of
    the reconstruction loss, so a weight of 1 balances the two; in millimetres the motion loss would be a
    thousand times too large beside it.

    Intervals without any pair of frames are left out of the mean over intervals: those not shorter than the
    sequences, and those at which no two frames are both valid. So padding changes nothing. Where no interval
    is left, the loss is zero with zero gradients.

    Args:
        operators: one or more of ``"subtraction"``, ``"inner"``, ``"cross"``.
        intervals: frames between the two ends of a pair, one per time scale.
        distance: ``"l1"``, the sum over the components of their absolute differences, or ``"l2"``, the
            Euclidean norm over the components. An L1 averaged over the components too would be a third of
            this one, and a seventh of the reconstruction loss in training on CMU motion.
        average: of the counts of valid pairs, over processes that each have a part of a batch. Then the
            average of their losses, and of their gradients, is that of the whole batch.

    Raises:
        InputError: if an operator or the distance is unknown, an interval is below 1, or a list is empty.
    """

    def __init__(
        self,
        operators: Sequence[str] = ("cross",),
        intervals: Sequence[int] = (8, 12, 16, 24),
        distance: str = "l1",
        average: Callable[[Tensor], Tensor] = same,
    ) -> None:
        super().__init__()
        _check_choices("operator", operators, OPERATORS)
        _check_choices("distance", (distance,), DISTANCES)
        _check_intervals(intervals)
        self.operators = tuple(operators)
        self.intervals = tuple(intervals)
        self.distance = distance
        self.average = average

    def forward(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> Tensor:
        """Motion loss of root-relative poses, computed in the target's precision.

        A pair of frames counts where both are ``valid``; what the others hold does not matter.

        Shapes:
            predicted, target (batch, frames, joints, 3); valid (batch, frames) bool -> scalar.

        Raises:
            InputError: if the shapes do not fit.
        """
        predicted, target = _components(predicted, target, valid)
        pairs = None if valid is None else _counted(self.pairs(valid), self.average)
        return self.of_components(predicted, target, pairs)

    def pairs(self, valid: Tensor) -> list[Tensor]:
        """For every interval shorter than the sequences, which pairs of frames are both valid."""
        intervals = [interval for interval in self.intervals if interval < valid.shape[1]]
        return [valid[:, :-interval] & valid[:, interval:] for interval in intervals]

    def of_components(self, predicted: Tensor, target: Tensor, counted: Sequence[_Counted] | None) -> Tensor:
        """The loss of (3, batch, frames, joints) by the pairs that count, all where none are given."""
        distance = DISTANCES[self.distance]
        means: list[Tensor] = []
        intervals = [interval for interval in self.intervals if interval < predicted.shape[2]]
        for number, interval in enumerate(intervals):
            pairs = None if counted is None else counted[number]
            for operator in self.operators:
                predicted_motion = _encoding(predicted, interval, operator)
                target_motion = _encoding(target, interval, operator)
                means.append(_mean_over_frames(distance(predicted_motion - target_motion), pairs))
        if not intervals:
            return 0.0 * predicted.sum()
        total = torch.stack(means).sum()
        if counted is None:
            return total / len(intervals)
        return total / torch.stack([pairs.number > 0 for pairs in counted]).sum().clamp(min=1)

    def extra_repr(self) -> str:
        return f"operators={self.operators}, intervals={self.intervals}, distance={self.distance!r}"


def derivative_loss(distance: str = "l1") -> MotionLoss:
    """The derivative loss of Hossain & Little (ECCV 2018): subtraction at interval 1."""
    return MotionLoss(operators=("subtraction",), intervals=(1,), distance=distance)


class _Counted(NamedTuple):
    """Which frames, or pairs of frames, count, and how many they are: in each process, on average."""

    mask: Tensor
    number: Tensor


class LossTerms(NamedTuple):
    """Scalars of :class:`LiftingLoss`: ``total = reconstruction + motion_weight * motion``."""

    total: Tensor
    reconstruction: Tensor
    motion: Tensor


class LiftingLoss(nn.Module):
    """Training loss L = L_p + lambda * L_m (Eq. 6) of :func:`mpjpe_loss` and :class:`MotionLoss`.

    Args:
        motion_weight: lambda. At 0 the motion loss is not computed and is reported as 0.
        operators, intervals, distance, average: as in :class:`MotionLoss`.

    Raises:
        InputError: if the weight is negative, and as in :class:`MotionLoss`.
    """

    def __init__(
        self,
        motion_weight: float = 1.0,
        operators: Sequence[str] = ("cross",),
        intervals: Sequence[int] = (8, 12, 16, 24),
        distance: str = "l1",
        average: Callable[[Tensor], Tensor] = same,
    ) -> None:
        super().__init__()
        if not motion_weight >= 0:
            raise InputError(f"motion_weight: expected a number of at least 0, got {motion_weight!r}")
        self.motion_weight = motion_weight
        self.motion_loss = MotionLoss(operators, intervals, distance, average)
        self.average = average

    def forward(self, predicted: Tensor, target: Tensor, valid: Tensor | None = None) -> LossTerms:
        """Loss of root-relative poses in metres; frames that are not ``valid`` do not count.

        Shapes:
            predicted, target (batch, frames, joints, 3); valid (batch, frames) bool -> three scalars.

        Raises:
            InputError: if the shapes do not fit.
        """
        predicted, target = _components(predicted, target, valid)
        frames, pairs = None, None
        if valid is not None:
            masks = self.motion_loss.pairs(valid) if self.motion_weight > 0 else []
            frames, *pairs = _counted([valid, *masks], self.average)  # at once: processes wait for each other
        reconstruction = _mean_over_frames(_l2(predicted - target), frames)
        if self.motion_weight == 0:
            return LossTerms(reconstruction, reconstruction, torch.zeros_like(reconstruction))
        motion = self.motion_loss.of_components(predicted, target, pairs)
        return LossTerms(reconstruction + self.motion_weight * motion, reconstruction, motion)

    def extra_repr(self) -> str:
        return f"motion_weight={self.motion_weight}"


def _components(predicted: Tensor, target: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Checked poses as (3, batch, frames, joints), in the target's precision, zero where not valid."""
    _check_pose(predicted)
    if predicted.shape != target.shape:
        raise InputError(
            f"loss: prediction and target differ in shape, {tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    planes = (
        predicted.to(target.dtype).movedim(-1, 0).contiguous(),
        target.movedim(-1, 0).contiguous(),
    )
    if valid is None:
        return planes
    if valid.dtype != torch.bool or valid.shape != predicted.shape[:2]:
        raise InputError(
            f"loss: expected a bool mask (batch, frames) = {tuple(predicted.shape[:2])}, "
            f"got {valid.dtype} {tuple(valid.shape)}"
        )
    # A weight of zero would not do: zero times the NaN that may fill a missing frame is NaN.
    missing = ~valid[..., None]
    return planes[0].masked_fill(missing, 0.0), planes[1].masked_fill(missing, 0.0)


def _encoding(components: Tensor, interval: int, operator: str) -> Tensor:
    """Of (3, batch, frames, joints)."""
    return OPERATORS[operator](components[:, :, :-interval], components[:, :, interval:])


def _counted(masks: Sequence[Tensor], average: Callable[[Tensor], Tensor]) -> list[_Counted]:
    if not masks:
        return []
    counts = average(torch.stack([mask.sum() for mask in masks]))
    return [_Counted(mask, count) for mask, count in zip(masks, counts, strict=True)]


def _mean_over_frames(per_frame: Tensor, valid: _Counted | None) -> Tensor:
    """Mean of (batch, frames) over the valid entries, zero where there are none."""
    if valid is None:
        return per_frame.mean()
    # An average of counts may lie between 0 and 1.
    return (per_frame * valid.mask.to(per_frame.dtype)).sum() / torch.where(valid.number > 0, valid.number, 1)


def _check_pose(pose: Tensor) -> None:
    if pose.dim() != 4 or pose.shape[-1] != 3:
        raise InputError(f"loss: expected poses (batch, frames, joints, 3), got {tuple(pose.shape)}")


def _check_choices(kind: str, names: Sequence[str], known: dict[str, Callable[..., Tensor]]) -> None:
    if not names:
        raise InputError(f"motion loss: expected at least one {kind} of {', '.join(known)}, got none")
    for name in names:
        if name not in known:
            raise InputError(f"motion loss: unknown {kind} {name!r}, expected one of {', '.join(known)}")


def _check_intervals(intervals: Sequence[int]) -> None:
    if not intervals or any(interval < 1 for interval in intervals):
        raise InputError(f"motion loss: expected intervals of at least 1 frame, got {list(intervals)}")
