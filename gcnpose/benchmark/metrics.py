"""All metrics of a test set, beside a loop over its frames."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy.spatial.transform import Rotation

from gcnpose.benchmark.epoch import random_views
from gcnpose.benchmark.timing import Result, Rounds, Row, check_equal, rows_of, sweep, time_in_turn, varied
from gcnpose.evaluation import score
from gcnpose.metrics import AUC_THRESHOLDS_MM, PCK_THRESHOLD_MM
from gcnpose.skeleton import Skeleton

CLIP_FRAMES = 2400
"""About as long as a video of Human3.6M."""
LOOPED_FRAMES = 1000
"""On which the loop is timed; its time is in proportion to them."""


def time_metrics(axes: Mapping[str, Sequence[int]], device: torch.device, rounds: Rounds) -> Result:
    """All metrics of lifted clips, pooled as Human3.6M's, by gcnpose and by a loop over frames.

    Args:
        axes: ``frames`` of all clips together; it may have several.
        device: Where the lifted poses are.
        rounds: How often.

    Raises:
        InputError: if a size is too small.
        RunError: if the metrics of the two differ.
    """
    axis, sizes = varied(axes)
    result = Result("metrics", {**axes}, axis)
    skeleton = Skeleton.load("h36m17")
    views = random_views(skeleton, [LOOPED_FRAMES])
    predicted = views.pose_3d + 0.05 * torch.randn(views.pose_3d.shape)
    start = time.perf_counter()
    looped = loop_over_frames(predicted.numpy(), views.pose_3d.numpy())
    seconds_per_frame = (time.perf_counter() - start) / LOOPED_FRAMES
    ours = score([predicted.to(device)], views)["mean_over_frames"]
    for name, value in looped.items():
        outputs = {"the loop": torch.tensor(value), "gcnpose": torch.tensor(ours[name])}
        check_equal(name, outputs, tolerance=1e-4)

    def measure(**size: int) -> list[Row]:
        whole, rest = divmod(size["frames"], CLIP_FRAMES)
        views = random_views(skeleton, [CLIP_FRAMES] * whole + [rest] * (rest > 0))
        noise = 0.05 * torch.randn(CLIP_FRAMES, *views.pose_3d.shape[1:])
        lifted = [(views.pose_3d[clip.rows] + noise[: clip.frames]).to(device) for clip in views.clips]
        (seconds,) = time_in_turn({"": lambda: score(lifted, views)}, rounds, device).values()
        timings = {"loop over frames": seconds_per_frame * size["frames"], "gcnpose": seconds}
        return rows_of(timings, size["frames"], "frames")

    # The loop's time is reckoned, so no size takes long.
    sweep(result, sizes, measure, dataclasses.replace(rounds, limit_s=math.inf), device)
    result.notes.append(
        f"all metrics, P-MPJPE among them, clips of {CLIP_FRAMES} frames, {skeleton.num_joints} joints; "
        f"the loop ran on {LOOPED_FRAMES} frames, the time of all reckoned from them"
    )
    return result


def loop_over_frames(predicted: npt.NDArray[np.float32], target: npt.NDArray[np.float32]) -> dict[str, float]:
    """The metrics of one clip as evaluation scripts often have them: frame by frame in numpy and SciPy.

    Shapes:
        (frames, joints, 3) metres
    """
    values: dict[str, list[float]] = {}
    for frame, (pose, truth) in enumerate(zip(predicted, target, strict=True)):
        centred, true = pose - pose.mean(axis=0), truth - truth.mean(axis=0)
        turned = Rotation.align_vectors(true, centred)[0].apply(centred)
        aligned = turned * (turned * true).sum() / (turned**2).sum()
        scaled = pose * (pose * truth).sum() / (pose**2).sum()
        error_mm = 1000 * np.linalg.norm(pose - truth, axis=-1)
        measured = {
            "mpjpe_mm": error_mm.mean(),
            "p_mpjpe_mm": 1000 * np.linalg.norm(aligned - true, axis=-1).mean(),
            "n_mpjpe_mm": 1000 * np.linalg.norm(scaled - truth, axis=-1).mean(),
            "pck_150mm": 100 * (error_mm < PCK_THRESHOLD_MM).mean(),
            "auc": 100 * np.mean([(error_mm < threshold).mean() for threshold in AUC_THRESHOLDS_MM]),
        }
        difference = predicted[max(frame - 2, 0) : frame + 1] - target[max(frame - 2, 0) : frame + 1]
        for name, order in (("mpjve_mm", 1), ("acceleration_mm", 2)):
            if frame >= order:
                step = np.diff(difference, n=order, axis=0)[-1]
                measured[name] = 1000 * np.linalg.norm(step, axis=-1).mean()
        for name, value in measured.items():
            values.setdefault(name, []).append(float(value))
    return {name: float(np.mean(of_frames)) for name, of_frames in values.items()}
