"""The pendulum of the paper's Figure 1: estimates equally far off, told apart by the motion loss alone."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gcnpose.loss import MotionLoss, mpjpe_loss

FPS = 50
SWING_SECONDS = 1.0
LENGTH_M = 9.81 * (SWING_SECONDS / math.pi) ** 2  # of the pendulum whose swing takes that long
AMPLITUDE = math.radians(40)
ERROR_M = 0.06
COLOURS = {"shifted": "#1b7f5c", "wobbling": "#c77700", "jittering": "#c2255c"}


def pendulum_traces() -> tuple[Tensor, dict[str, Tensor]]:
    """One swing of a pendulum about the origin, and three estimates of it.

    Every frame of every estimate is 60 mm off the truth, so no distance between positions tells them apart.
    The direction of the error stays the same (shifted), turns to and fro smoothly (wobbling), or is drawn
    anew for each frame (jittering).

    Returns:
        The truth, and the estimates by name in order of rising motion loss (cross product or subtraction),
        each (1, frames, 1, 3) in metres, float64, in the plane y = 0 with z up.
    """
    time = torch.arange(round(SWING_SECONDS * FPS) + 1, dtype=torch.float64) / FPS
    angle = -AMPLITUDE * torch.cos(math.pi * time / SWING_SECONDS)
    truth = LENGTH_M * _in_plane(torch.sin(angle), -torch.cos(angle))
    generator = torch.Generator().manual_seed(0)
    directions = {
        "shifted": torch.full_like(time, math.pi / 6),
        "wobbling": math.pi / 6 + 0.9 * torch.sin(2 * math.pi * time / 0.6),
        "jittering": 2 * math.pi * torch.rand(len(time), dtype=torch.float64, generator=generator),
    }
    estimates = {
        name: truth + ERROR_M * _in_plane(torch.cos(direction), torch.sin(direction))
        for name, direction in directions.items()
    }
    return truth, estimates


def draw_pendulum(path: str | Path) -> None:
    """Draws :func:`pendulum_traces` beside each other, with the mean distance and the motion loss of each.

    The motion loss is the paper's: cross product, intervals 8, 12, 16 and 24.

    Args:
        path: the picture to write; its suffix gives the format.
    """
    truth, estimates = pendulum_traces()
    motion_loss = MotionLoss()
    figure = Figure(figsize=(10, 3.5), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(estimates), sharex=True, sharey=True)
    for panel, (name, estimate) in zip(panels, estimates.items(), strict=True):
        _draw_trace(panel, truth, estimate, COLOURS[name])
        distance_mm = 1000 * mpjpe_loss(estimate, truth).item()
        loss = motion_loss(estimate, truth).item()
        panel.set_title(name, color=COLOURS[name], fontweight="bold")
        caption = f"mean distance {distance_mm:.1f} mm\nmotion loss {loss:.4f}"
        panel.text(0.5, -0.03, caption, transform=panel.transAxes, ha="center", va="top", fontsize=11)
    panels[0].legend(loc="upper left", frameon=False)
    figure.savefig(path)


def _draw_trace(panel: Axes, truth: Tensor, estimate: Tensor, colour: str) -> None:
    for x_end, z_end in truth[0, ::10, 0, ::2].tolist():
        panel.plot([0.0, x_end], [0.0, z_end], color="0.88", linewidth=1, zorder=0)
    panel.plot(0.0, 0.0, "o", color="0.4", markersize=6)
    x, _, z = truth[0, :, 0].unbind(-1)
    panel.plot(x, z, "-o", color="0.6", linewidth=1, markersize=2.2, label="truth")
    x, _, z = estimate[0, :, 0].unbind(-1)
    panel.plot(x, z, "-o", color=colour, linewidth=1.2, markersize=2.5, label="estimate")
    panel.set_aspect("equal")
    panel.set_axis_off()


def _in_plane(x: Tensor, z: Tensor) -> Tensor:
    """(frames,) coordinates as a batch of one sequence of one joint, (1, frames, 1, 3)."""
    return torch.stack((x, torch.zeros_like(x), z), dim=-1)[None, :, None]
