"""Joints as weighted sums of others, as mapping files have them.

Under ``joints``::

    pelvis: {left_hip: 0.5, right_hip: 0.5}    # weights add to 1; a negative one extrapolates
    right_hip: RightUpLeg                      # short for {RightUpLeg: 1}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

JointWeights = dict[str, dict[str, float]]
"""By joint, the weights of what it is made of."""

_SUM_TOLERANCE = 1e-4  # thirds are written with some digits
_LARGEST_WEIGHT = 1e3


def read_joint_weights(joints: Any, source: str) -> tuple[JointWeights, list[str]]:
    """The weights of every joint that has no fault, and the faults.

    Args:
        joints: What stands under ``joints``.
        source: Whose joints the others are, for the faults.
    """
    if not isinstance(joints, Mapping) or not joints:
        return {}, [f"joints: expected the graph's joints, each with those of {source} and weights"]
    read: JointWeights = {}
    faults = []
    for joint, of in joints.items():
        weights = {of: 1.0} if isinstance(of, str) else of
        where = f"joints.{joint}"
        if not isinstance(joint, str):
            faults.append(f"{where}: expected the name of a joint; put it in quotes")
        elif not isinstance(weights, Mapping) or not weights or not all(isinstance(o, str) for o in weights):
            faults.append(f"{where}: expected a joint of {source}, or several with weights, got {of!r}")
        elif wrong := [name for name, weight in weights.items() if not _is_weight(weight)]:
            faults += [f"{where}.{name}: expected a number, got {weights[name]!r}" for name in wrong]
        elif abs(sum(weights.values()) - 1) > _SUM_TOLERANCE:
            faults.append(f"{where}: the weights add to {sum(weights.values()):g}, expected 1")
        else:
            read[joint] = dict(weights)
    return read, faults


def _is_weight(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= _LARGEST_WEIGHT
