"""The field's measures of a lifted pose: MPJPE, P-MPJPE, N-MPJPE, MPJVE, acceleration error, PCK, AUC.

Every measure takes predicted and true root-relative positions (..., frames, joints, 3) in metres and gives
one value per frame, in millimetres or percent, averaged over the joints with the root included, so that
callers choose how frames are pooled. :func:`sequences_metrics` and :func:`aggregate` pool them as Human3.6M's
evaluations do.

A frame with NaN in it scores NaN in the distances and counts as a miss in PCK and AUC; the other frames are
not touched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from gcnpose.errors import InputError

PCK_THRESHOLD_MM = 150.0
AUC_THRESHOLDS_MM = tuple(range(0, 151, 5))


class Mean(NamedTuple):
    """A measure over a video, and what it weighs among those of other videos."""

    value: float
    """NaN where nothing was measured."""
    weight: int
    """Frames; 0 where nothing was measured."""


def mpjpe_mm(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean per joint position error (protocol 1): Euclidean distance, averaged over the joints.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames)

    Raises:
        InputError: if the shapes do not fit.
    """
    return joint_errors_mm(predicted, target).mean(dim=-1)


def joint_errors_mm(predicted: Tensor, target: Tensor) -> Tensor:
    """Euclidean distance of every joint from the truth.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames, joints)

    Raises:
        InputError: if the shapes do not fit.
    """
    predicted, target = _poses(predicted, target)
    return _distance_mm(predicted, target)


def p_mpjpe_mm(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJPE after the best similarity transform of each frame's prediction onto the truth (protocol 2).

    Orthogonal Procrustes analysis (Schonemann 1966, Umeyama 1991): with both poses centred and U S V' the
    singular value decomposition of predicted' target, the rotation is U D V' and the scale trace(S D) /
    |predicted|^2, where D is the identity but for det(U V') as its last entry, so that a mirrored prediction
    is not mirrored back.

    Where the prediction is a single point, or fits only at scale zero, it is moved onto the true centroid.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames)

    Raises:
        InputError: if the shapes do not fit.
    """
    predicted, target = _poses(predicted, target)
    predicted = predicted - predicted.mean(dim=-2, keepdim=True)
    target = target - target.mean(dim=-2, keepdim=True)
    # One NaN would make svd refuse the whole batch. The frame's own error still becomes NaN below.
    u, s, vt = torch.linalg.svd(_product(predicted.mT, target).nan_to_num())
    reflection = torch.ones_like(s)
    reflection[..., 2] = torch.linalg.det(_product(u, vt)).sign()
    rotation = _product(u * reflection.unsqueeze(-2), vt)
    scale = _ratio((s * reflection).sum(dim=-1), predicted.square().sum(dim=(-2, -1)))
    return _distance_mm(scale[..., None, None] * _product(predicted, rotation), target).mean(dim=-1)


def n_mpjpe_mm(predicted: Tensor, target: Tensor) -> Tensor:
    """MPJPE after the best scale of each frame's prediction (protocol 3).

    The scale is <target, predicted> / <predicted, predicted> over joints and components. Nothing is centred,
    the poses being root-relative. A prediction that is zero stays zero.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames)

    Raises:
        InputError: if the shapes do not fit.
    """
    predicted, target = _poses(predicted, target)
    scale = _ratio((predicted * target).sum(dim=(-2, -1)), predicted.square().sum(dim=(-2, -1)))
    return _distance_mm(scale[..., None, None] * predicted, target).mean(dim=-1)


def velocity_error_mm(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean per joint velocity error (MPJVE): distance between the steps from frame to frame, in mm per frame.

    Not multiplied by the frame rate. The frames must be consecutive frames of one video.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames - 1)

    Raises:
        InputError: if the shapes do not fit.
    """
    predicted, target = _poses(predicted, target)
    return _distance_mm(predicted.diff(dim=-3), target.diff(dim=-3)).mean(dim=-1)


def acceleration_error_mm(predicted: Tensor, target: Tensor) -> Tensor:
    """Distance between the second differences along time, averaged over the joints, in mm per frame squared.

    Not multiplied by the frame rate. The frames must be consecutive frames of one video.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames - 2)

    Raises:
        InputError: if the shapes do not fit.
    """
    predicted, target = _poses(predicted, target)
    return _distance_mm(predicted.diff(n=2, dim=-3), target.diff(n=2, dim=-3)).mean(dim=-1)


def pck(
    predicted: Tensor,
    target: Tensor,
    threshold_mm: float = PCK_THRESHOLD_MM,
    joints: Sequence[int] | None = None,
) -> Tensor:
    """Percentage of correct keypoints: of the joints whose error is below the threshold, strictly.

    Args:
        predicted, target: positions in metres.
        threshold_mm: largest error that is not correct any more.
        joints: indices of the joints that count, all where None. MPI-INF-3DHP's protocol counts 14 of 17.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames), in percent

    Raises:
        InputError: if the shapes do not fit.
    """
    errors = _selected_errors_mm(predicted, target, joints)
    return 100.0 * (errors < threshold_mm).to(errors.dtype).mean(dim=-1)


def auc(predicted: Tensor, target: Tensor, joints: Sequence[int] | None = None) -> Tensor:
    """Area under the PCK curve: the mean PCK over the 31 thresholds 0, 5, ... 150 mm (MPI-INF-3DHP).

    No error is below the threshold 0, so a perfect prediction has 30 / 31, which is 96.77 %.

    Args:
        predicted, target: positions in metres.
        joints: indices of the joints that count, as in :func:`pck`.

    Shapes:
        predicted, target (..., frames, joints, 3) -> (..., frames), in percent

    Raises:
        InputError: if the shapes do not fit.
    """
    errors = _selected_errors_mm(predicted, target, joints)
    thresholds = torch.tensor(AUC_THRESHOLDS_MM, dtype=errors.dtype, device=errors.device)
    exceeded = torch.bucketize(errors, thresholds, right=True)  # how many thresholds are at most the error
    return 100.0 * (1.0 - exceeded.to(errors.dtype) / len(thresholds)).mean(dim=-1)


def sequences_metrics(
    predicted: Tensor,
    target: Tensor,
    lengths: Sequence[int],
    valid: Tensor | None = None,
    pck_joints: Sequence[int] | None = None,
) -> list[dict[str, Mean]]:
    """All measures of many videos' sequences, each averaged over its frames.

    The sequences lie one after the other, so that all their frames are measured at once.

    Args:
        predicted, target: root-relative positions in metres.
        lengths: how many of the frames each sequence has.
        valid: which frames are scored; all where None. A step counts where both its frames are scored, an
            acceleration where all three are.
        pck_joints: joints that PCK and AUC count, as in :func:`pck`.

    Returns:
        For each sequence ``mpjpe_mm``, ``p_mpjpe_mm``, ``n_mpjpe_mm``, ``mpjve_mm``, ``acceleration_mm``,
        ``pck_150mm`` and ``auc`` (both in percent), each with the number of scored frames as its weight. The
        weight of ``mpjve_mm`` and ``acceleration_mm`` is the number of frames on end that have as many steps
        or accelerations as count: that of all scored frames where there is no gap between them, as in
        published numbers; 0 where there is no step or no acceleration, as with 1 or 2 frames.

    Shapes:
        predicted, target (frames, joints, 3); valid (frames,) bool

    Raises:
        InputError: if the shapes do not fit or no frame of a sequence is to be scored.
    """
    frames = len(predicted)
    if predicted.dim() != 3:
        raise InputError(f"metrics: expected sequences (frames, joints, 3), got {tuple(predicted.shape)}")
    if sum(lengths) != frames:
        raise InputError(f"metrics: expected {sum(lengths)} frames of {len(lengths)} sequences, got {frames}")
    if valid is None:
        valid = torch.ones(frames, dtype=torch.bool, device=predicted.device)
    if valid.dtype != torch.bool or valid.shape != (frames,):
        raise InputError(f"metrics: expected {frames} bools as valid, got {valid.dtype} {tuple(valid.shape)}")
    scored = torch.stack([part.any() for part in valid.split(list(lengths))])
    for length, any_scored in zip(lengths, scored.tolist(), strict=True):
        if not any_scored:
            raise InputError(f"metrics: none of the sequence's {length} frames is to be scored")
    number = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).to(valid.device)
    steps = valid[:-1] & valid[1:] & (number[:-1] == number[1:])
    measured = {
        "mpjpe_mm": (mpjpe_mm(predicted, target), valid),
        "p_mpjpe_mm": (p_mpjpe_mm(predicted, target), valid),
        "n_mpjpe_mm": (n_mpjpe_mm(predicted, target), valid),
        "mpjve_mm": (velocity_error_mm(predicted, target), steps),
        "acceleration_mm": (acceleration_error_mm(predicted, target), steps[:-1] & steps[1:]),
        "pck_150mm": (pck(predicted, target, joints=pck_joints), valid),
        "auc": (auc(predicted, target, joints=pck_joints), valid),
    }
    # A step stands in the row of its last frame.
    values, counted = (
        torch.stack([pad(column, (frames - len(column), 0)) for column in columns], dim=-1)
        for columns in zip(*measured.values(), strict=True)
    )
    fewer = [frames - len(column) for column, _ in measured.values()]  # steps than frames, without gaps
    return [
        {
            name: Mean(mean.value, mean.weight + missing if mean.weight else 0)
            for name, mean, missing in zip(measured, row, fewer, strict=True)
        }
        for row in means_of_sequences(values, counted, lengths)
    ]


def means_of_sequences(values: Tensor, counted: Tensor, lengths: Sequence[int]) -> list[list[Mean]]:
    """Mean of each column over the frames that count, for each of the sequences, with their number.

    Shapes:
        values, counted (frames, columns) -> [sequences][columns]
    """
    values = values.where(counted, 0.0)
    sums, counts = (
        torch.stack([part.sum(dim=0) for part in column.split(list(lengths))]) for column in (values, counted)
    )
    return [
        list(map(Mean, *row)) for row in zip((sums / counts).tolist(), counts.int().tolist(), strict=True)
    ]


def aggregate(sequences: Iterable[tuple[str, int, Mapping[str, Mean]]]) -> dict[str, dict[str, Any]]:
    """Pools the measures of many videos as Human3.6M's evaluations do.

    Within an action the videos (subjects, takes, cameras) are weighted by their number of frames; the mean
    over actions then gives every action the same weight, the mean over frames every frame. Videos in which
    a measure has no weight are left out of it, and so are actions in the mean over actions; where nothing has
    any it is NaN. Any other NaN is a fault of the prediction, which stays visible in every mean.

    Args:
        sequences: action, number of scored frames, and the measures of each video.

    Returns:
        ``{"mean_over_actions": {...}, "mean_over_frames": {...}, "per_action": {action: {...}}}``, with the
        actions in order of appearance, each with its number of ``"frames"`` beside its measures.

    Raises:
        InputError: if there is no sequence.
    """
    actions: dict[str, list[tuple[int, Mapping[str, Mean]]]] = {}
    for action, frames, metrics in sequences:
        actions.setdefault(action, []).append((frames, metrics))
    if not actions:
        raise InputError("metrics: no sequence to aggregate")
    videos_of = {action: [means for _, means in videos] for action, videos in actions.items()}
    per_action = {action: _pooled(videos) for action, videos in videos_of.items()}
    alike = [
        {name: Mean(mean.value, min(mean.weight, 1)) for name, mean in means.items()}
        for means in per_action.values()
    ]
    return {
        "mean_over_actions": _values(_pooled(alike)),
        "mean_over_frames": _values(_pooled([means for videos in videos_of.values() for means in videos])),
        "per_action": {
            action: {**_values(per_action[action]), "frames": sum(frames for frames, _ in videos)}
            for action, videos in actions.items()
        },
    }


def _pooled(rows: Sequence[Mapping[str, Mean]]) -> dict[str, Mean]:
    pooled = {}
    for name in rows[0]:
        counted = [row[name] for row in rows if row[name].weight]
        total = sum(weight for _, weight in counted)
        value = math.fsum(weight * value for value, weight in counted) / total if total else math.nan
        pooled[name] = Mean(value, total)
    return pooled


def _values(means: Mapping[str, Mean]) -> dict[str, float]:
    return {name: mean.value for name, mean in means.items()}


def _poses(predicted: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Checked poses in their common precision, at least single."""
    if predicted.shape != target.shape or predicted.dim() < 3 or predicted.shape[-1] != 3:
        raise InputError(
            "metrics: expected prediction and target of one shape (..., frames, joints, 3), "
            f"got {tuple(predicted.shape)} and {tuple(target.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(predicted.dtype, target.dtype), torch.float32)
    return predicted.to(dtype), target.to(dtype)


def _distance_mm(predicted: Tensor, target: Tensor) -> Tensor:
    metres: Tensor = torch.linalg.vector_norm(predicted - target, dim=-1)
    return 1000.0 * metres


def _selected_errors_mm(predicted: Tensor, target: Tensor, joints: Sequence[int] | None) -> Tensor:
    errors = joint_errors_mm(predicted, target)
    return errors if joints is None else errors[..., list(joints)]


def _product(left: Tensor, right: Tensor) -> Tensor:
    """Matrix product that is never rounded to TF32 or bfloat16, as a training may allow PyTorch's own."""
    total = left[..., :1] * right[..., :1, :]
    for inner in range(1, right.shape[-2]):
        total.addcmul_(left[..., inner, None], right[..., inner, None, :])
    return total


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Quotient with a denominator that is not negative, zero where both are zero."""
    return numerator / denominator.clamp(min=torch.finfo(denominator.dtype).tiny)
