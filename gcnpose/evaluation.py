"""Scores on whole sequences, with yardsticks beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gcnpose.data.views import Views
from gcnpose.metrics import Mean, aggregate, auc, means_of_sequences, pck, sequences_metrics
from gcnpose.protocols import GENERIC, Protocol
from gcnpose.report import rounded

# Clips are scored together until they have so many frames: on a CPU as many as its caches hold.
_FRAMES_AT_ONCE = {"cpu": 8192}
_FRAMES_AT_ONCE_ELSEWHERE = 2**18


class Yardsticks:
    """What a network must beat: the mean training pose, and a linear regression from a frame's 2D to its 3D.

    Shapes:
        - mean_pose: (joints, 3) metres
        - linear: (2 * joints + 1, 3 * joints), the last row the constant
    """

    def __init__(self, mean_pose: Tensor, linear: Tensor) -> None:
        self.mean_pose = mean_pose
        self.linear = linear

    @classmethod
    def fit(cls, views: Views, chunk: int = 65536) -> Yardsticks:
        """Least squares over every valid frame of the training views, in double precision."""
        joints = views.skeleton.num_joints
        normal = torch.zeros(2 * joints + 1, 2 * joints + 1, dtype=torch.float64)
        moment = torch.zeros(2 * joints + 1, 3 * joints, dtype=torch.float64)
        for start in range(0, len(views.pose_3d), chunk):  # the whole may be larger than memory
            rows = slice(start, start + chunk)
            valid = views.valid[rows]
            features = _features(views.keypoints_2d[rows][valid])
            normal += features.T @ features
            moment += features.T @ views.pose_3d[rows][valid].flatten(1).double()
        # The last row and column of the normal equations are sums, so the mean pose falls out.
        mean_pose = (moment[-1] / normal[-1, -1]).view(joints, 3)
        linear = torch.linalg.lstsq(normal, moment, driver="gelsd").solution
        return cls(mean_pose.float(), linear.float())

    def predictors(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """By name, functions from (frames, joints, 2 or 3) to (frames, joints, 3)."""
        return {
            "mean_pose": lambda keypoints_2d: self.mean_pose.expand(len(keypoints_2d), -1, -1),
            "linear": lambda keypoints_2d: (
                (_features(keypoints_2d) @ self.linear.double()).float().view(len(keypoints_2d), -1, 3)
            ),
        }


def _features(keypoints_2d: Tensor) -> Tensor:
    flat = keypoints_2d[..., :2].flatten(1).double()
    return torch.cat([flat, flat.new_ones(len(flat), 1)], dim=1)


Lift = Callable[[list[Tensor]], list[Tensor]]
"""From the 2D of all clips to their 3D."""


def evaluate(
    lifts: Mapping[str, Lift],
    views: Views,
    keypoints: str,
    yardsticks: Yardsticks,
    device: torch.device,
    protocol: Protocol = GENERIC,
) -> dict[str, Any]:
    """All metrics by a protocol, with the yardsticks' beside.

    Args:
        lifts: Ways to apply the network, by name; the first one is scored in full.
        views: What to score.
        keypoints: Where the 2D is from.
        yardsticks: Fitted on the training views.
        device: Where to lift.
        protocol: What counts, and how it is averaged.

    Returns:
        The report: ``protocol`` (its name), ``rules``, ``averaging``, ``frames`` (scored), ``lifted_frames``,
        ``clips``, ``subjects``, ``keypoints``, ``keypoints_error_px`` (mean distance of the 2D from the
        projected 3D, in pixels of an image 1000 wide), ``method``, ``headline`` (the protocol's mean, rounded
        as it is quoted), ``seconds``, and what :func:`score` gives; ``other_methods`` and ``yardsticks`` with
        the means of each.

    Raises:
        InputError: if the protocol is not for these views.
    """
    simple = {}
    for name, predict in yardsticks.predictors().items():
        scored = score([predict(views.keypoints_2d[clip.rows]) for clip in views.clips], views, protocol)
        simple[name] = {key: scored[key] for key in ("mean_over_actions", "mean_over_frames")}
    scores = {name: timed_score(lift, views, device, protocol) for name, lift in lifts.items()}
    first, *others = scores
    lifted_frames = len(views.pose_3d)
    return {
        "protocol": protocol.name,
        "rules": protocol.rules,
        "averaging": protocol.averaging,
        "frames": sum(values["frames"] for values in scores[first]["per_action"].values()),
        "lifted_frames": lifted_frames,
        "clips": len(views.clips),
        "subjects": list(dict.fromkeys(clip.subject for clip in views.clips)),
        "keypoints": keypoints,
        "keypoints_error_px": views.keypoints_error_px(),
        "method": first,
        "headline": rounded(scores[first][protocol.mean]),
        **scores[first],
        "other_methods": {
            name: {key: scores[name][key] for key in ("seconds", "mean_over_actions", "mean_over_frames")}
            for name in others
        },
        "yardsticks": simple,
    }


def timed_score(
    lift: Lift, views: Views, device: torch.device, protocol: Protocol = GENERIC
) -> dict[str, Any]:
    """:func:`score` of what is lifted on a device, with the ``seconds`` that lifting takes."""
    start = time.perf_counter()
    lifted = lift([views.keypoints_2d[clip.rows].to(device) for clip in views.clips])
    synchronize(device)
    return {"seconds": time.perf_counter() - start, **score(lifted, views, protocol)}


def synchronize(device: torch.device) -> None:
    """Waits until a device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def score(lifted: Sequence[Tensor], views: Views, protocol: Protocol = GENERIC) -> dict[str, Any]:
    """Pooled metrics of what a protocol scores of lifted clips, computed where those lie.

    Returns:
        What :func:`gcnpose.metrics.aggregate` gives, by the protocol's columns; ``groups`` with the metrics
        of its frame groups and ``joint_groups`` with PCK and AUC of its joint groups, both over frames.

    Raises:
        InputError: if the protocol is not for these views.
    """
    scored = list(_scored(lifted, views, protocol))
    index = views.skeleton.joints.index
    groups = {name: [index(joint) for joint in joints] for name, joints in protocol.joint_groups.items()}
    counted = [joint for joints in groups.values() for joint in joints] or None
    root = views.skeleton.root_index
    videos: list[tuple[str, int, dict[str, Mean]]] = []
    by_joints: list[tuple[str, int, dict[str, Mean]]] = []
    for parts in _batches(scored):
        device = parts[0].poses.device
        poses = torch.cat([part.poses for part in parts])
        target = torch.cat([part.target for part in parts]).to(device)
        valid = torch.cat([part.valid for part in parts]).to(device)
        lengths = [len(part.poses) for part in parts]
        if protocol.subtract_root:
            poses = poses - poses[:, root : root + 1]
        metrics = sequences_metrics(poses, target, lengths, valid, counted)
        videos += [(part.column, part.frames, found) for part, found in zip(parts, metrics, strict=True)]
        for name, joints in groups.items():
            correct = torch.stack([measure(poses, target, joints=joints) for measure in (pck, auc)], dim=-1)
            means = means_of_sequences(correct, valid[:, None].expand(-1, 2), lengths)
            for part, values in zip(parts, means, strict=True):
                by_joints.append((name, part.frames, dict(zip(("pck_150mm", "auc"), values, strict=True))))
    by_group = [
        (name, frames, metrics)
        for name, columns in protocol.frame_groups.items()
        for column, frames, metrics in videos
        if column in columns
    ]
    return {
        **aggregate(videos),
        "groups": aggregate(by_group)["per_action"] if by_group else {},
        "joint_groups": aggregate(by_joints)["per_action"] if by_joints else {},
    }


class _Part(NamedTuple):
    """A clip, or a piece of one, that is scored.

    Shapes:
        - poses, target: (frames, joints, 3)
        - valid: (frames,), on the CPU, with some frame valid
    """

    column: str
    poses: Tensor
    target: Tensor
    valid: Tensor

    @property
    def frames(self) -> int:
        return int(self.valid.sum())


def _scored(lifted: Sequence[Tensor], views: Views, protocol: Protocol) -> Iterator[_Part]:
    """What a protocol scores, but for clips without a valid frame."""
    for number, column, rows in protocol.parts(views):
        in_clip = views.clips[number].rows
        part = _Part(column, lifted[number][rows], views.pose_3d[in_clip][rows], views.valid[in_clip][rows])
        if part.frames > 0:
            yield part


def _batches(parts: Iterable[_Part]) -> Iterator[list[_Part]]:
    """Parts until they have enough frames together."""
    batch: list[_Part] = []
    frames = 0
    for part in parts:
        batch.append(part)
        frames += len(part.poses)
        if frames >= _FRAMES_AT_ONCE.get(part.poses.device.type, _FRAMES_AT_ONCE_ELSEWHERE):
            yield batch
            batch, frames = [], 0
    if batch:
        yield batch
