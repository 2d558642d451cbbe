"""From poses to movements: key poses played in time, smooth noise, and poses that many actions share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from gcnpose.data.synthetic.channels import CHANNEL, FPS, Array, per_part, pose

Generator = np.random.Generator

_STANCE = pose()
_IN_STYLE = per_part(arms=1, trunk=1, legs=1)
_JITTER = per_part(arms=6, trunk=2, legs=1)  # degrees


class Key(NamedTuple):
    """A pose, the seconds it takes to get there, and those it is held."""

    seconds: float
    pose: Array
    hold: float = 0.0


def smooth_noise(rng: Generator, frames: int, channels: int, seconds: float) -> Array:
    """Noise of unit variance that changes within about so many seconds. Shapes: -> (frames, channels)"""
    sigma = seconds * FPS
    margin = int(3 * sigma)
    white = rng.normal(size=(frames + 2 * margin, channels))
    smooth: Array = gaussian_filter1d(white, sigma, axis=0, truncate=3)[margin : margin + frames]
    return smooth * math.sqrt(2 * math.sqrt(math.pi) * sigma)


def perform(rng: Generator, frames: int, phrase: Callable[[], list[Key]]) -> Array:
    """One phrase after the other until the time is full, each key a little off in time, size and detail.

    Between the keys run monotone cubics, so nothing overshoots and a key that is held stands still.

    Shapes: -> (frames, channels)
    """
    tempo = rng.uniform(0.9, 1.25)
    times, keys = [-rng.uniform(0.1, 1.0)], [_STANCE]
    while times[-1] < frames / FPS:
        for key in phrase():
            size = _IN_STYLE * rng.uniform(-0.12, 0.08)
            varied = key.pose + size * (key.pose - _STANCE) + _JITTER * rng.normal(size=len(_STANCE))
            for seconds in (key.seconds, key.hold):
                if seconds:
                    times.append(times[-1] + tempo * seconds * rng.uniform(0.9, 1.15))
                    keys.append(varied)
    poses: Array = PchipInterpolator(times, keys)(np.arange(frames) / FPS)
    return poses


def hold_still(rng: Generator, poses: Array, angles: Mapping[str, float]) -> Array:
    """The same movement with some channels held still, apart from a slow drift."""
    held = poses.copy()
    for name, angle in angles.items():
        held[:, CHANNEL[name]] = angle + 5 * smooth_noise(rng, len(poses), 1, 0.7)[:, 0]
    return held


def footing(rng: Generator) -> dict[str, float]:
    """Feet of somebody standing: level or one ahead, together or apart, the weight on one or on both."""
    ahead, shift = rng.uniform(-12, 12), rng.uniform(-1, 1)
    left, right = max(-shift, 0.0), max(shift, 0.0)
    return {
        "left_hip": 3 + ahead + 12 * left, "left_knee": 6 + 22 * left,
        "right_hip": 3 - ahead + 12 * right, "right_knee": 6 + 22 * right,
        "abduct": rng.uniform(0, 10), "lean": 5 * shift, "side": -6 * shift,
    }  # fmt: skip


def random_arm(rng: Generator, side: str) -> dict[str, float]:
    """An arm somewhere within easy reach, in front of the body or beside it."""
    return {
        f"{side}_lift": rng.uniform(0, 120), f"{side}_spread": rng.uniform(0, 75),
        f"{side}_roll": rng.uniform(-55, 45), f"{side}_elbow": rng.uniform(10, 120),
    }  # fmt: skip


def random_arms(rng: Generator) -> dict[str, float]:
    return random_arm(rng, "left") | random_arm(rng, "right")
