"""A body of its own proportions: forward kinematics within the joints' limits, and feet on the floor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from gcnpose.data.synthetic.channels import (
    ARM_LIMITS,
    CHANNEL,
    FPS,
    LEG_LIMITS,
    MAX_ARM_ELEVATION,
    SIDES,
    TRUNK_LIMITS,
    Array,
    Limits,
    limit,
    per_part,
)

# Metres at the reference height, close to Human3.6M's subjects. The stacked lengths add up to the height.
_REFERENCE_HEIGHT = 1.75
_STACKED = {
    "ankle": 0.08, "shank": 0.44, "thigh": 0.44, "lower_spine": 0.235, "upper_spine": 0.25,
    "neck": 0.12, "head": 0.115,
}  # fmt: skip
_OTHERS = {"hip": 0.13, "shoulder": 0.15, "upper_arm": 0.28, "forearm": 0.25}

_CONTACT = 0.012  # metres of height over which the weight passes from one foot to the other
_FLIGHT = 0.03  # metres above the floor at which feet no longer hold the body in place
_GLIDE = 0.05  # seconds over which the speed of the body follows its feet


@dataclass(frozen=True)
class Body:
    """Bone lengths in metres, equal on both sides, and the angles by which a person deviates from a pose."""

    lengths: Mapping[str, float]
    habit: Array
    """Degrees added to each channel. Shapes: (channels,)"""


def random_body(rng: np.random.Generator) -> Body:
    """Body 1.55 to 1.92 m tall, each bone off the average proportions by 5 % (standard deviation)."""
    height = np.clip(rng.normal(1.73, 0.09), 1.55, 1.92)

    def vary(lengths: Mapping[str, float]) -> dict[str, float]:
        return {name: length * (1 + 0.05 * np.clip(rng.normal(), -2, 2)) for name, length in lengths.items()}

    stacked = vary(_STACKED)
    stretch = height / sum(stacked.values())
    others = vary(_OTHERS)
    lengths = {name: length * stretch for name, length in stacked.items()}
    lengths |= {name: length * height / _REFERENCE_HEIGHT for name, length in others.items()}
    return Body(lengths, habit=rng.normal(size=len(CHANNEL)) * per_part(arms=4, trunk=2, legs=0.7))


def _rotation(about_x: Array | float, about_y: Array | float, about_z: Array | float) -> Rotation:
    """Rotations by rotation vectors given in degrees, one per frame."""
    vectors = np.stack(np.broadcast_arrays(about_x, about_y, about_z), axis=-1)
    return Rotation.from_rotvec(vectors, degrees=True)


def _along(length: float, forwards: float) -> Array:
    """A bone that points up and leans forwards by some degrees."""
    angle = np.radians(forwards)
    return length * np.array([np.sin(angle), 0.0, np.cos(angle)])


def _limited(poses: Array, side: str, limits: Limits, **added: Array) -> dict[str, Array]:
    """The channels of one part of the body by name, plus what is added, kept within their limits."""
    return {
        name: limit(poses[:, CHANNEL[f"{side}{name}"]] + added.get(name, 0.0), *bounds)
        for name, bounds in limits.items()
    }


def move(body: Body, poses: Array) -> dict[str, Array]:
    """Positions in metres of every joint, the root at the origin, turned to its heading.

    Shapes: (frames, channels) -> joint name: (frames, 3)
    """
    length = body.lengths
    trunk = _limited(poses, "", TRUNK_LIMITS)
    lean, tilt = trunk["lean"], trunk["tilt"]
    pelvis = _rotation(0.0, 0.0, poses[:, CHANNEL["heading"]]) * _rotation(-lean, tilt, trunk["turn"])
    bow = np.stack([-trunk["side"], trunk["bend"], trunk["twist"]])
    chest = pelvis * _rotation(*bow)
    shake = np.stack([-trunk["cock"], trunk["nod"], trunk["look"]])

    joints = {"pelvis": np.zeros((len(poses), 3))}
    joints["spine"] = (pelvis * _rotation(*(0.4 * bow))).apply(_along(length["lower_spine"], -5))
    joints["thorax"] = joints["spine"] + chest.apply(_along(length["upper_spine"], 3))
    joints["nose"] = joints["thorax"] + (chest * _rotation(*(0.5 * shake))).apply(_along(length["neck"], 30))
    joints["head"] = joints["nose"] + (chest * _rotation(*shake)).apply(_along(length["head"], -12))

    for side, sign in SIDES.items():
        arm = _limited(poses, f"{side}_", ARM_LIMITS)
        elevation = np.hypot(arm["lift"], arm["spread"]) + 1e-9
        allowed = limit(elevation, -MAX_ARM_ELEVATION, MAX_ARM_ELEVATION) / elevation
        # The shoulder blade goes up with the arm: about a degree for every five of the arm.
        girdle = _rotation(sign * (arm["shrug"] + 0.2 * elevation * allowed - 8), 0.0, -sign * arm["reach"])
        swing = _rotation(sign * arm["spread"] * allowed, -arm["lift"] * allowed, 0.0)
        upper_arm = chest * swing * _rotation(0.0, 0.0, -sign * arm["roll"])
        forearm = upper_arm * _rotation(0.0, -arm["elbow"], 0.0)
        shoulder = joints["thorax"] + (chest * girdle).apply([0.0, sign * length["shoulder"], 0.0])
        elbow = shoulder + upper_arm.apply([0.0, 0.0, -length["upper_arm"]])
        joints[f"{side}_shoulder"] = shoulder
        joints[f"{side}_elbow"] = elbow
        joints[f"{side}_wrist"] = elbow + forearm.apply([0.0, 0.0, -length["forearm"]])

        leg = _limited(poses, f"{side}_", LEG_LIMITS, hip=tilt, abduct=sign * lean)
        swing = _rotation(sign * leg["abduct"], -leg["hip"], 0.0)
        thigh = pelvis * swing * _rotation(0.0, 0.0, -sign * leg["toe_in"])
        shank = thigh * _rotation(0.0, leg["knee"], 0.0)
        hip = pelvis.apply([0.0, sign * length["hip"], 0.0])
        knee = hip + thigh.apply([0.0, 0.0, -length["thigh"]])
        joints[f"{side}_hip"] = hip
        joints[f"{side}_knee"] = knee
        joints[f"{side}_ankle"] = knee + shank.apply([0.0, 0.0, -length["shank"]])
    return joints


def walk_on_floor(body: Body, ankles: Array, air: Array) -> Array:
    """Path of the root in metres, such that the lower foot stands on the floor and does not slide.

    The root moves against the foot that bears the weight; in the air it keeps the speed it had on the floor.

    Args:
        body: its ankles keep their height above the floor.
        ankles: of the body with its root at the origin.
        air: height of the lower foot above the floor in metres.

    Shapes: (frames, 2, 3), (frames,) -> (frames, 3)
    """
    height = ankles[..., 2]
    # The smooth minimum is never above the minimum, so no foot goes through the floor.
    lowest = -_CONTACT * np.logaddexp(-height[:, 0] / _CONTACT, -height[:, 1] / _CONTACT)
    weight = np.exp((lowest[:, None] - height) / _CONTACT)
    step = -(0.5 * (weight[1:] + weight[:-1])[..., None] * np.diff(ankles[..., :2], axis=0)).sum(1)
    hold = np.exp(-((0.5 * (air[1:] + air[:-1]) / _FLIGHT) ** 2))[:, None] + 1e-12

    def smooth(values: Array) -> Array:
        smoothed: Array = gaussian_filter1d(values, _GLIDE * FPS, axis=0, truncate=8)
        return smoothed

    root = np.zeros((len(ankles), 3))
    root[1:, :2] = np.cumsum(smooth(hold * step) / smooth(hold), axis=0)
    root[:, 2] = body.lengths["ankle"] + air - lowest
    return root
