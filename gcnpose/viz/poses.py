"""A sheet of pictures that compares predicted poses with the true ones."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from gcnpose.errors import InputError
from gcnpose.metrics import mpjpe_mm
from gcnpose.skeleton import SIDE_COLOURS, Skeleton

TURN_DEGREES = 75  # not 90, where the sides of a person who faces the camera would cover each other
ROWS = ("2D input", "3D from\nthe camera", f"3D from {TURN_DEGREES}°\nto its right")
COLUMN_INCHES, DOTS_PER_INCH = 2.0, 100  # 8 poses make 1600 pixels
FARTHEST_M = 0.5  # a joint farther off than this may leave its panel, rather than shrink all of them
TRUTH_COLOUR, TRUTH_DASHES = "#a6a6a6", (0, (2.5, 1.0))

Array = npt.NDArray[np.float64]
LineStyle = str | tuple[float, tuple[float, float]]


def draw_poses(
    skeleton: Skeleton,
    keypoints_2d: Tensor | npt.NDArray[np.floating],
    predicted: Tensor | npt.NDArray[np.floating],
    target: Tensor | npt.NDArray[np.floating],
    path: str | Path,
    titles: Sequence[str] | None = None,
) -> None:
    """Draws predicted over true poses as a PNG file, a column for each.

    A column shows the keypoints as they lie in the image, every pose at a scale of its own; then the
    prediction over the truth from the camera's side, and from where the camera would be had it gone round
    them by 75 degrees to its right. These two are orthographic and at one scale throughout. Below stands
    MPJPE. Joints whose prediction is not finite are left out.

    Args:
        skeleton: names the joints; the sides are drawn in its colours.
        keypoints_2d: x right, y down, in any unit; further channels are not drawn.
        predicted: metres, in the camera's frame (x right, y down, z forward).
        target: the truth, as `predicted`.
        path: the file to write.
        titles: what stands above each pose.

    Shapes:
        keypoints_2d (poses, joints, 2 or more), predicted and target (poses, joints, 3)

    Raises:
        InputError: if the shapes do not fit, there is no pose, or keypoints or truth are not finite.
        OSError: if the file cannot be written.
    """
    keypoints, estimate, truth = (_as_array(poses) for poses in (keypoints_2d, predicted, target))
    titles = [""] * len(truth) if titles is None else titles
    _check(skeleton, keypoints, estimate, truth, titles)
    errors_mm = mpjpe_mm(torch.from_numpy(estimate), torch.from_numpy(truth)).tolist()
    views = [(_seen_from(truth, degrees), _seen_from(estimate, degrees)) for degrees in (0, TURN_DEGREES)]
    boxes = [_boxes(*view) for view in views]
    extent = _with_margin(np.max([high - low for low, high in boxes], axis=(0, 1)))

    size = (max(COLUMN_INCHES * len(truth), 5.0), len(ROWS) * COLUMN_INCHES * extent[1] / extent[0] + 1.0)
    figure = Figure(figsize=size, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(ROWS), len(truth), squeeze=False)
    colours = bone_colours(skeleton)
    for panel, points, title in zip(panels[0], keypoints[..., :2], titles, strict=True):
        _draw_bones(panel, skeleton, points, colours)
        low, high = points.min(axis=0), points.max(axis=0)
        _frame(panel, (low + high) / 2, extent * (_with_margin(high - low) / extent).max())
        panel.set_title(textwrap.fill(title.replace("_", " "), 22), fontsize=9, parse_math=False)
    for row, (truths, estimates), (low, high) in zip(panels[1:], views, boxes, strict=True):
        for panel, true_pose, pose, centre in zip(row, truths, estimates, (low + high) / 2, strict=True):
            _draw_bones(panel, skeleton, true_pose, [TRUTH_COLOUR], TRUTH_DASHES)
            _draw_bones(panel, skeleton, pose, colours)
            _frame(panel, centre, extent)
        _draw_scale(row[0])
    for panel, label in zip(panels[:, 0], ROWS, strict=True):
        panel.set_ylabel(label)
    for panel, error_mm in zip(panels[-1], errors_mm, strict=True):
        panel.set_xlabel(f"MPJPE {error_mm:.1f} mm")
    sides = {**SIDE_COLOURS, **skeleton.colours}
    legend = [Line2D([], [], color=colour, linewidth=2, label=side) for side, colour in sides.items()]
    legend.append(Line2D([], [], color=TRUTH_COLOUR, linewidth=2, linestyle=TRUTH_DASHES, label="truth"))
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    figure.savefig(path, format="png")


def _as_array(poses: Tensor | npt.NDArray[np.floating]) -> Array:
    array = poses.detach().cpu().double().numpy() if isinstance(poses, Tensor) else poses
    return np.array(array, dtype=np.float64)


def _check(
    skeleton: Skeleton, keypoints: Array, estimate: Array, truth: Array, titles: Sequence[str]
) -> None:
    joints, expected = skeleton.num_joints, (len(titles), skeleton.num_joints)
    fits = keypoints[..., :2].shape == (*expected, 2) and estimate.shape == truth.shape == (*expected, 3)
    if not (fits and len(titles)):
        raise InputError(
            f"draw_poses: for {skeleton.name} expected keypoints (poses, {joints}, 2 or more), prediction "
            f"and truth (poses, {joints}, 3) and as many titles, at least 1; got {keypoints.shape}, "
            f"{estimate.shape}, {truth.shape} and {len(titles)} titles"
        )
    for name, given in (("keypoints_2d", keypoints), ("target", truth)):
        for pose, joint in np.argwhere(~np.isfinite(given).all(axis=-1)):
            where = f"pose {pose}, joint {skeleton.joints[joint]!r}"
            raise InputError(f"draw_poses: {name}: {where} is not finite")


def _seen_from(poses: Array, degrees: float) -> Array:
    """x and y, in metres, for a camera that has gone round the poses to its right; NaN if infinite."""
    x, y, z = np.where(np.isfinite(poses), poses, np.nan).transpose(2, 0, 1)
    return np.stack([np.cos(np.radians(degrees)) * x + np.sin(np.radians(degrees)) * z, y], axis=-1)


def _boxes(truths: Array, estimates: Array) -> tuple[Array, Array]:
    """Lowest and highest x and y of every pair of poses, each (poses, 2)."""
    near = np.clip(estimates, truths - FARTHEST_M, truths + FARTHEST_M)
    both = np.concatenate([truths, near], axis=1)
    return np.nanmin(both, axis=1), np.nanmax(both, axis=1)


def _with_margin(extent: Array) -> Array:
    """Width and height of a panel for what has this extent: none is zero, nor far below the other."""
    return np.maximum(1.15 * extent, max(0.5 * extent.max(), 1e-3))


def bone_colours(skeleton: Skeleton) -> list[str]:
    """The colour of every bone: of its ends' side, or of the middle where they are on both or on none."""
    colours = {**SIDE_COLOURS, **skeleton.colours}
    side = {left: "left" for left, _ in skeleton.mirror} | {right: "right" for _, right in skeleton.mirror}
    sides = [{side[joint] for joint in bone if joint in side} for bone in skeleton.bones]
    return [colours[of_ends.pop() if len(of_ends) == 1 else "middle"] for of_ends in sides]


def _draw_bones(
    panel: Axes, skeleton: Skeleton, pose: Array, colours: list[str], style: LineStyle = "solid"
) -> None:
    segments = list(pose[skeleton.bone_indices])
    panel.add_collection(LineCollection(segments, colors=colours, linestyles=style, linewidths=2))


def _frame(panel: Axes, centre: Array, extent: Array) -> None:
    (left, top), (right, bottom) = centre - extent / 2, centre + extent / 2
    panel.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    panel.set(xticks=[], yticks=[], facecolor="#f7f7f7")
    panel.spines[:].set_visible(False)


def _draw_scale(panel: Axes) -> None:
    """A bar of round length in the lower left corner."""
    (left, right), bottom = panel.get_xlim(), panel.get_ylim()[0]
    metres = MaxNLocator(nbins=3, steps=[1, 2, 5, 10]).tick_values(0, right - left)[1]
    margin = 0.05 * (right - left)
    panel.plot([left + margin, left + margin + metres], [bottom - margin] * 2, color="black")
    panel.text(left + margin, bottom - 1.5 * margin, f"{metres:g} m", fontsize=8)
