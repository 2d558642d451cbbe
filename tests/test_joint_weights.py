"""Tests of gcnpose.joint_weights."""

from __future__ import annotations

from typing import Any

import pytest

from gcnpose.joint_weights import read_joint_weights


def test_a_name_is_the_weight_one() -> None:
    joints = {"pelvis": {"left": 0.5, "right": 0.5}, "nose": "Nose", "head": {"left": 2, "right": -1}}
    weights, faults = read_joint_weights(joints, "the files")
    assert weights == {**joints, "nose": {"Nose": 1.0}}
    assert not faults


def test_thirds_may_be_written_short() -> None:
    assert not read_joint_weights({"a": {"b": 0.33333, "c": 0.33333, "d": 0.33333}}, "the files")[1]


@pytest.mark.parametrize(
    ("of", "fault"),
    [
        (3, "joints.wrist: expected a joint of the files, or several with weights, got 3"),
        ({}, "joints.wrist: expected a joint of the files, or several with weights, got {}"),
        ({1: 1}, "joints.wrist: expected a joint of the files, or several with weights, got {1: 1}"),
        ({"Arm": 0.5}, "joints.wrist: the weights add to 0.5, expected 1"),
        ({"Arm": "1"}, "joints.wrist.Arm: expected a number, got '1'"),
        ({"Arm": True}, "joints.wrist.Arm: expected a number, got True"),
        ({"Arm": float("nan")}, "joints.wrist.Arm: expected a number, got nan"),
        ({"Arm": 10**400}, f"joints.wrist.Arm: expected a number, got {10**400!r}"),
        ({"Arm": 1e9, "Hand": 1 - 1e9}, "joints.wrist.Arm: expected a number, got 1000000000.0"),
    ],
)
def test_a_fault_is_named_and_the_others_are_read(of: Any, fault: str) -> None:
    weights, faults = read_joint_weights({"wrist": of, "nose": "Nose"}, "the files")
    assert weights == {"nose": {"Nose": 1.0}}
    assert faults[0] == fault


@pytest.mark.parametrize("joints", [None, {}, [], 3])
def test_no_joints(joints: Any) -> None:
    assert read_joint_weights(joints, "coco17") == (
        {},
        ["joints: expected the graph's joints, each with those of coco17 and weights"],
    )


def test_a_joint_needs_a_name() -> None:
    """YAML reads ``no: Arm`` as False."""
    assert read_joint_weights({False: "Arm"}, "the files")[1] == [
        "joints.False: expected the name of a joint; put it in quotes"
    ]
