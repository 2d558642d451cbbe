"""Walking, running and turning, as cycles of the legs.

Every action draws its own style. Shapes: frames -> (frames, channels)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.interpolate import CubicSpline

from gcnpose.data.synthetic.channels import CHANNEL, FPS, Array, pose
from gcnpose.data.synthetic.choreography import (
    Generator,
    Key,
    hold_still,
    perform,
    random_arm,
    random_arms,
    smooth_noise,
)

# (phase, degrees) over a stride that begins when the heel strikes: thigh against the vertical, knee.
_WALK_HIP = [(0, 25), (0.15, 18), (0.35, -3), (0.52, -16), (0.65, -3), (0.78, 20), (0.88, 28)]
_WALK_KNEE = [(0, 5), (0.14, 18), (0.38, 6), (0.52, 16), (0.62, 42), (0.72, 62), (0.85, 32), (0.95, 5)]
_RUN_HIP = [(0, 30), (0.15, 12), (0.35, -20), (0.48, -10), (0.68, 38), (0.82, 48), (0.93, 38)]
_RUN_KNEE = [(0, 18), (0.12, 40), (0.33, 18), (0.45, 45), (0.6, 95), (0.72, 85), (0.86, 38), (0.95, 16)]


def _strides(rng: Generator, frames: int, per_second: float) -> Array:
    """Phase of a gait in strides, at a slightly uneven pace from a random start. Shapes: -> (frames,)"""
    pace = per_second * (1 + 0.05 * smooth_noise(rng, frames, 1, 0.6)[:, 0])
    return rng.uniform() + np.cumsum(pace) / FPS


def _both(phase: Array, knots: Sequence[tuple[float, float]]) -> Array:
    """The periodic curve for the left and, half a stride later, the right leg. Shapes: (n,) -> (2, n)"""
    position, value = zip(*knots, strict=True)
    curve = CubicSpline([*position, 1.0], [*value, value[0]], bc_type="periodic")
    both: Array = curve(np.stack([phase, phase + 0.5]) % 1.0)
    return both


def _path(rng: Generator, frames: int, speed: float) -> Array:
    """Heading in degrees along a circle or a snaking line that stays near, for a speed in m/s.

    Shapes: -> (frames,)
    """
    seconds = np.arange(frames) / FPS
    rate = rng.choice([-1, 1]) * speed / rng.uniform(0.8, 1.25)
    if rng.random() < 0.4:
        pulse = 2 * np.pi / rng.uniform(3.5, 5)
        heading = 1.5 * rate / pulse * np.sin(pulse * seconds + rng.uniform(0, 2 * np.pi))
    else:
        heading = rate * seconds
    degrees: Array = np.degrees(heading)
    return degrees + 6 * smooth_noise(rng, frames, 1, 0.8)[:, 0]


def _gait(
    phase: Array,
    *,
    hip: Array,
    knee: Array,
    swing: float,
    tilt: float = 0.0,
    bend: float = 0.0,
    **others: Array | float,
) -> Array:
    """A person whose arms swing against the legs, and whose chest turns against the pelvis.

    Args:
        phase: of the left leg, in strides.
        hip: angles of the left and the right thigh.
        knee: angles of the left and the right knee.
        swing: of the arms to either side of the vertical, from which a trunk that leans does not take them.
        tilt: of the pelvis.
        bend: of the spine.
        others: channels on top of that.

    Shapes: (frames,), (2, frames), (2, frames) -> (frames, channels)
    """
    ahead, aside = np.cos(2 * np.pi * phase), np.sin(2 * np.pi * phase)
    bow, crook = tilt + bend, 22 + 0.7 * swing
    angles: dict[str, Array | float] = {
        "tilt": tilt, "bend": bend, "turn": -5 * ahead, "twist": (6 + 0.2 * swing) * ahead,
        "lean": -4 * aside, "side": 3.5 * aside,
        "left_hip": hip[0], "right_hip": hip[1], "left_knee": knee[0], "right_knee": knee[1],
        "left_lift": bow - swing * ahead, "right_lift": bow + swing * ahead,
        "left_elbow": crook - 0.4 * swing * ahead, "right_elbow": crook + 0.4 * swing * ahead,
    }  # fmt: skip
    return pose(**(angles | others))


def stroll(rng: Generator, frames: int) -> Array:
    """Walks slowly, in short steps."""
    pace = rng.uniform(0.5, 0.7)
    phase = _strides(rng, frames, pace)
    return _gait(
        phase,
        hip=0.6 * _both(phase, _WALK_HIP),
        knee=0.85 * _both(phase, _WALK_KNEE),
        swing=rng.uniform(5, 20),
        bend=rng.uniform(0, 10),
        heading=_path(rng, frames, speed=0.8 * pace),
    )


def walk(rng: Generator, frames: int) -> Array:
    """Walks, with free arms or something in one hand or both."""
    length, pace = rng.uniform(0.75, 1.15), rng.uniform(0.75, 1.05)
    phase = _strides(rng, frames, pace)
    poses = _gait(
        phase,
        hip=length * _both(phase, _WALK_HIP),
        knee=_both(phase, _WALK_KNEE),
        swing=rng.uniform(5, 32),
        bend=rng.uniform(-3, 12),
        heading=_path(rng, frames, speed=1.3 * length * pace),
        abduct=rng.uniform(-2, 5),
        nod=rng.uniform(-8, 15),
        look=25 * smooth_noise(rng, frames, 1, 0.8)[:, 0],
    )
    carrying = rng.choice(["nothing", "one hand", "both hands"], p=[0.6, 0.25, 0.15])
    if carrying == "nothing":
        return poses
    return hold_still(rng, poses, random_arm(rng, "right") if carrying == "one hand" else random_arms(rng))


def crouch_walk(rng: Generator, frames: int) -> Array:
    """Walks with bent knees and back, as under a low ceiling."""
    depth, pace = rng.uniform(0.5, 1.0), rng.uniform(0.6, 0.9)
    phase = _strides(rng, frames, pace)
    return _gait(
        phase,
        hip=45 * depth + 0.9 * _both(phase, _WALK_HIP),
        knee=80 * depth + 0.6 * _both(phase, _WALK_KNEE),
        swing=rng.uniform(5, 25),
        tilt=rng.uniform(15, 40) * depth,
        bend=rng.uniform(10, 30) * depth,
        heading=_path(rng, frames, speed=0.9 * pace),
        elbow=rng.uniform(30, 80),
        abduct=rng.uniform(0, 10),
        nod=-rng.uniform(10, 30) * depth,
        look=25 * smooth_noise(rng, frames, 1, 0.6)[:, 0],
    )


def run(rng: Generator, frames: int) -> Array:
    """Jogs, both feet off the floor after each push."""
    length, pace = rng.uniform(0.65, 0.95), rng.uniform(1.2, 1.45)
    phase = _strides(rng, frames, pace)
    flight = np.maximum(np.sin(4 * np.pi * (phase - 0.31)), 0) ** 2
    pump = 15 * np.cos(2 * np.pi * phase)
    return _gait(
        phase,
        hip=length * _both(phase, _RUN_HIP),
        knee=length * _both(phase, _RUN_KNEE),
        swing=rng.uniform(25, 45),
        tilt=rng.uniform(4, 12),
        bend=rng.uniform(0, 10),
        heading=_path(rng, frames, speed=1.7 * length * pace),
        air=rng.uniform(0.03, 0.07) * flight,
        left_elbow=rng.uniform(70, 105) - pump,
        right_elbow=rng.uniform(70, 105) + pump,
        spread=rng.uniform(8, 25),
        roll=rng.uniform(15, 40),
        nod=-rng.uniform(0, 10),
    )


def turn(rng: Generator, frames: int) -> Array:
    """Steps on the spot from one direction to another, head and chest first."""
    heading = 0.0

    def phrase() -> list[Key]:
        nonlocal heading
        heading += rng.choice([-1, 1]) * rng.uniform(60, 200)
        arms = random_arms(rng) if rng.random() < 0.3 else {}
        there = pose(heading=heading, bend=rng.uniform(0, 10), **arms)
        return [Key(rng.uniform(0.9, 1.6), there, hold=rng.uniform(0.2, 0.7))]

    poses = perform(rng, frames, phrase)
    rate = np.gradient(poses[:, CHANNEL["heading"]], 1 / FPS)
    effort = np.tanh(np.abs(rate) / 50)
    step = np.sin(2 * np.pi * _strides(rng, frames, rng.uniform(0.8, 1.1)))
    for side, up in (("left", np.maximum(step, 0)), ("right", np.maximum(-step, 0))):
        poses[:, CHANNEL[f"{side}_hip"]] += 28 * effort * up**1.5
        poses[:, CHANNEL[f"{side}_knee"]] += 50 * effort * up**1.5
    poses[:, CHANNEL["lean"]] -= 4 * effort * step
    poses[:, CHANNEL["look"]] += 40 * np.tanh(rate / 120)
    poses[:, CHANNEL["twist"]] += 15 * np.tanh(rate / 120)
    return poses
