"""Scores on whole sequences, with yardsticks beside them."""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcnpose.data.views import Views
from gcnpose.files import replacing
from gcnpose.metrics import aggregate, sequence_metrics

PROTOCOL = (
    "generic: root-relative, predicted root as predicted, every frame of every view; "
    "action means weighted by frames, their mean unweighted"
)
COLUMNS = {
    "mpjpe_mm": "MPJPE",
    "p_mpjpe_mm": "P-MPJPE",
    "n_mpjpe_mm": "N-MPJPE",
    "mpjve_mm": "MPJVE",
    "acceleration_mm": "accel.",
    "pck_150mm": "PCK %",
    "auc": "AUC %",
}


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
        """Least squares over every frame of the training views, in double precision."""
        joints = views.skeleton.num_joints
        normal = torch.zeros(2 * joints + 1, 2 * joints + 1, dtype=torch.float64)
        moment = torch.zeros(2 * joints + 1, 3 * joints, dtype=torch.float64)
        for keypoints_2d, pose_3d in zip(
            views.keypoints_2d.split(chunk), views.pose_3d.split(chunk), strict=True
        ):
            features = _features(keypoints_2d)
            normal += features.T @ features
            moment += features.T @ pose_3d.flatten(1).double()
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
    lifts: Mapping[str, Lift], views: Views, keypoints: str, yardsticks: Yardsticks, device: torch.device
) -> dict[str, Any]:
    """All metrics per action, over actions and over frames, with the yardsticks' beside.

    Args:
        lifts: Ways to apply the network, by name; the first one is scored in full.
        views: What to score.
        keypoints: Where the 2D is from.
        yardsticks: Fitted on the training views.
        device: Where to lift.

    Returns:
        The report: ``protocol``, ``frames``, ``clips``, ``keypoints``, ``method``, ``seconds``,
        ``mean_over_actions``, ``mean_over_frames``, ``per_action``; ``other_methods`` and ``yardsticks`` with
        the means of each.
    """
    simple = {}
    for name, predict in yardsticks.predictors().items():
        scored = score([predict(views.keypoints_2d[clip.rows]) for clip in views.clips], views)
        simple[name] = {key: scored[key] for key in ("mean_over_actions", "mean_over_frames")}
    scores = {name: timed_score(lift, views, device) for name, lift in lifts.items()}
    first, *others = scores
    return {
        "protocol": PROTOCOL,
        "frames": len(views.pose_3d),
        "clips": len(views.clips),
        "keypoints": keypoints,
        "method": first,
        **scores[first],
        "other_methods": {
            name: {key: scores[name][key] for key in ("seconds", "mean_over_actions", "mean_over_frames")}
            for name in others
        },
        "yardsticks": simple,
    }


def timed_score(lift: Lift, views: Views, device: torch.device) -> dict[str, Any]:
    """:func:`score` of what is lifted on a device, with the ``seconds`` that lifting takes."""
    start = time.perf_counter()
    lifted = lift([views.keypoints_2d[clip.rows].to(device) for clip in views.clips])
    lifted = [poses.cpu() for poses in lifted]
    return {"seconds": time.perf_counter() - start, **score(lifted, views)}


def score(lifted: Sequence[Tensor], views: Views) -> dict[str, Any]:
    """Pooled metrics of lifted clips; see :func:`gcnpose.metrics.aggregate`."""
    return aggregate(
        (clip.action, clip.frames, sequence_metrics(poses, views.pose_3d[clip.rows]))
        for clip, poses in zip(views.clips, lifted, strict=True)
    )


def format_report(report: Mapping[str, Any]) -> str:
    """The report as a table for a terminal."""
    rows = [(action, values) for action, values in report["per_action"].items()]
    rows += [
        ("mean over actions", report["mean_over_actions"]),
        ("mean over frames", report["mean_over_frames"]),
    ]
    for name, values in report["other_methods"].items():
        rows.append((f"{name}, over frames", values["mean_over_frames"]))
    for name, values in report["yardsticks"].items():
        rows.append((f"yardstick {name}, over frames", values["mean_over_frames"]))
    width = max(len(name) for name, _ in rows)
    lines = [f"{'mm (MPJVE per frame)':{width}}" + "".join(f"{title:>9}" for title in COLUMNS.values())]
    for name, values in rows:
        if name == "mean over actions":
            lines.append("-" * len(lines[0]))
        lines.append(f"{name:{width}}" + "".join(f"{values[key]:9.2f}" for key in COLUMNS))
    lines.append(f"protocol {report['protocol']}")
    lines.append(f"{report['frames']} frames in {report['clips']} clips, 2D: {report['keypoints']}")
    for name, values in {report["method"]: report, **report["other_methods"]}.items():
        speed = report["frames"] / values["seconds"]
        lines.append(f"lifted by {name}: {values['seconds']:.1f} s ({speed:.0f} frames/s)")
    return "\n".join(lines)


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Writes the report as JSON, and its table as CSV beside it; each file whole or not at all.

    What is not defined, such as the MPJVE of one frame, is null in JSON and empty in CSV.
    """
    report = _defined(report)
    with replacing(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    rows = [
        [action, values["frames"], *(values[key] for key in COLUMNS)]
        for action, values in report["per_action"].items()
    ]
    for name in ("mean_over_actions", "mean_over_frames"):
        rows.append([name, report["frames"], *(report[name][key] for key in COLUMNS)])
    for name, values in report["other_methods"].items():
        rows.append([name, report["frames"], *(values["mean_over_frames"][key] for key in COLUMNS)])
    for name, values in report["yardsticks"].items():
        rows.append(
            [f"yardstick_{name}", report["frames"], *(values["mean_over_frames"][key] for key in COLUMNS)]
        )
    with (
        replacing(path.with_suffix(".csv")) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["action", "frames", *COLUMNS])
        writer.writerows(rows)


def _defined(value: Any) -> Any:
    """None in place of every number that is not finite: JSON has none."""
    if isinstance(value, Mapping):
        return {name: _defined(entry) for name, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
