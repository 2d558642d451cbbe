"""The angles that describe a pose, their limits, and how a pose is written down.

A pose is a row of channels. In the body's frame x is forward, y left and z up; all angles are in degrees. A
channel that exists on both sides means the same movement on either: positive ``spread`` carries the left arm
to the left and the right arm to the right.

Shoulders and hips are balls: the limb hangs down, is swung by the rotation vector made of its angle forwards
(``lift``, ``hip``) and its angle sideways (``spread``, ``abduct``), and turns about its own axis (``roll``,
``toe_in``, positive inwards). Elbows and knees are hinges that open to one side only. ``hip`` and ``abduct``
are written against the vertical, so that bending the pelvis forward leaves the legs where they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Limits = Mapping[str, tuple[float, float]]

FPS = 50
SIDES = {"left": 1.0, "right": -1.0}

# Lowest and highest, degrees: pelvis against heading and vertical, chest against pelvis, head against chest.
TRUNK_LIMITS: Limits = {
    "turn": (-30.0, 30.0), "tilt": (-25.0, 90.0), "lean": (-25.0, 25.0),
    "bend": (-30.0, 70.0), "side": (-35.0, 35.0), "twist": (-45.0, 45.0),
    "nod": (-45.0, 50.0), "cock": (-30.0, 30.0), "look": (-65.0, 65.0),
}  # fmt: skip
# The shoulder girdle and the upper arm against the chest, the forearm against the upper arm.
ARM_LIMITS: Limits = {
    "shrug": (-8.0, 30.0), "reach": (-20.0, 25.0),
    "lift": (-55.0, 170.0), "spread": (-35.0, 165.0), "roll": (-90.0, 85.0), "elbow": (3.0, 148.0),
}  # fmt: skip
# The thigh against the pelvis, the shank against the thigh.
LEG_LIMITS: Limits = {
    "hip": (-35.0, 125.0), "abduct": (-25.0, 65.0), "toe_in": (-45.0, 35.0), "knee": (2.0, 150.0),
}  # fmt: skip
MAX_ARM_ELEVATION = 168.0  # in any direction: an arm straight up would have no direction to roll about

_EASE = 6.0  # degrees before a limit from where a movement slows down

# `heading`: degrees counter-clockwise from world x. `air`: metres between the lower foot and the floor.
CHANNELS = (
    "heading",
    "air",
    *TRUNK_LIMITS,
    *(f"{side}_{name}" for side in SIDES for name in (*ARM_LIMITS, *LEG_LIMITS)),
)
CHANNEL = {name: index for index, name in enumerate(CHANNELS)}

STANCE = {"spread": 9.0, "roll": 20.0, "elbow": 14.0, "hip": 3.0, "knee": 6.0, "abduct": 2.0, "toe_in": -8.0}


def pose(**angles: ArrayLike) -> Array:
    """Standing upright, apart from the named channels; a name without its side holds for both sides.

    A side that is named as well goes before.

    Shapes: numbers or arrays of one shape (...) -> (..., channels)
    """
    shape = np.broadcast_shapes(*(np.shape(angle) for angle in angles.values()))
    result = np.zeros((*shape, len(CHANNELS)))
    for name, angle in sorted((STANCE | angles).items(), key=lambda item: item[0] in CHANNEL):
        for channel in (name,) if name in CHANNEL else (f"{side}_{name}" for side in SIDES):
            result[..., CHANNEL[channel]] = angle
    return result


def per_part(arms: float, trunk: float, legs: float) -> Array:
    """One number for every channel of a part of the body, zero for heading and air. Shapes: -> (channels,)"""
    parts = [(TRUNK_LIMITS, trunk)] + 2 * [(ARM_LIMITS, arms), (LEG_LIMITS, legs)]
    return np.concatenate([[0.0, 0.0], *(np.full(len(limits), value) for limits, value in parts)])


def _other_side(channel: str) -> str:
    side, _, name = channel.partition("_")
    return {"left": "right_", "right": "left_"}[side] + name if side in SIDES else channel


_MIRROR_ORDER = [CHANNEL[_other_side(channel)] for channel in CHANNELS]
_SIDEWAYS = ("heading", "turn", "lean", "side", "twist", "cock", "look")
_MIRROR_SIGN = np.where([channel in _SIDEWAYS for channel in CHANNELS], -1.0, 1.0)


def mirror(poses: Array) -> Array:
    """The same movement with left and right exchanged. Shapes: (..., channels) -> (..., channels)"""
    return poses[..., _MIRROR_ORDER] * _MIRROR_SIGN


def limit(angle: Array, low: float, high: float) -> Array:
    """Angles kept between low and high without a kink: within a few degrees of a limit they slow down."""
    over = np.maximum(angle - (high - _EASE), 0)
    under = np.maximum(low + _EASE - angle, 0)
    inside = np.clip(angle, low + _EASE, high - _EASE)
    return inside + _EASE * (np.exp(-under / _EASE) - np.exp(-over / _EASE))
