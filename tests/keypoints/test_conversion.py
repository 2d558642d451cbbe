"""Skeleton conversions against the index arithmetic of the programs that they are from."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from gcnpose.errors import InputError
from gcnpose.keypoints.conversion import Conversion
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.resources import resource_folder
from gcnpose.skeleton import Skeleton

Array = np.ndarray

# Human3.6M's limbs, right leg, left leg, left arm, right arm, in COCO's numbers.
LIMBS = [1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16]
COCO_LIMBS = [12, 14, 16, 11, 13, 15, 5, 7, 9, 6, 8, 10]


def from_coco(c: Array) -> Array:
    """MMPose's convert_keypoint_definition and MotionBERT's coco2h36m."""
    h = np.zeros((len(c), 17, 2))
    h[:, 0] = (c[:, 11] + c[:, 12]) / 2
    h[:, 8] = (c[:, 5] + c[:, 6]) / 2
    h[:, 7] = (h[:, 0] + h[:, 8]) / 2
    h[:, 9] = c[:, 0]
    h[:, 10] = (c[:, 1] + c[:, 2]) / 2
    h[:, LIMBS] = c[:, COCO_LIMBS]
    return h


def from_halpe(x: Array) -> Array:
    """MotionBERT's halpe2h36m."""
    h = np.zeros((len(x), 17, 2))
    h[:, 0], h[:, 7], h[:, 8], h[:, 9], h[:, 10] = (
        x[:, 19],
        (x[:, 18] + x[:, 19]) / 2,
        x[:, 18],
        x[:, 0],
        x[:, 17],
    )
    h[:, LIMBS] = x[:, COCO_LIMBS]
    return h


def from_body25(b: Array) -> Array:
    """By way of COCO, but for the middle of the body, where OpenPose has joints of its own."""
    h = from_coco(b[:, [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11]])
    h[:, 0], h[:, 8], h[:, 7] = b[:, 8], b[:, 1], (b[:, 8] + b[:, 1]) / 2
    return h


def from_openpose18(o: Array) -> Array:
    h = from_coco(o[:, [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]])
    h[:, 8] = o[:, 1]
    h[:, 7] = (h[:, 0] + h[:, 8]) / 2
    return h


def from_mpii(m: Array) -> Array:
    """MHFormer's and MotionAGFormer's mpii_h36m."""
    h = np.zeros((len(m), 17, 2))
    h[:, [3, 2, 1, 4, 5, 6, 0, 8, 9, 10, 16, 15, 14, 11, 12, 13]] = m
    h[:, 7] = m[:, [2, 3, 12, 13]].mean(axis=1)
    return h


def from_mediapipe(p: Array) -> Array:
    return from_coco(p[:, [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]])


REFERENCES: dict[str, Callable[[Array], Array]] = {
    "coco17": from_coco,
    "halpe26": from_halpe,
    "body25": from_body25,
    "openpose18": from_openpose18,
    "mpii16": from_mpii,
    "mediapipe33": from_mediapipe,
}


def test_every_shipped_conversion_is_tested() -> None:
    shipped = {path.stem for path in (resource_folder("graphs") / "conversions").glob("*.yaml")}
    assert shipped == {f"{source}-h36m17" for source in REFERENCES}


@pytest.mark.parametrize("source", REFERENCES)
def test_equals_the_index_arithmetic(source: str) -> None:
    conversion = Conversion.load(source, "h36m17")
    random = np.random.default_rng(0)
    keypoints_2d = random.uniform(0, 1000, (5, conversion.source.num_joints, 2))
    score = random.uniform(0.1, 1, (5, conversion.source.num_joints))
    converted, carried = conversion(keypoints_2d, score)
    np.testing.assert_allclose(converted, REFERENCES[source](keypoints_2d), rtol=1e-5)
    # A score goes the way of a coordinate.
    np.testing.assert_allclose(
        carried, REFERENCES[source](np.repeat(score[..., None], 2, axis=-1))[..., 0], rtol=1e-5
    )


@pytest.mark.parametrize("source", REFERENCES)
def test_left_stays_left(source: str) -> None:
    conversion = Conversion.load(source, "h36m17")
    swapped = conversion.weights[conversion.target.mirror_indices][:, conversion.source.mirror_indices]
    np.testing.assert_array_equal(swapped, conversion.weights)


def test_a_missing_joint_makes_missing_what_it_is_part_of() -> None:
    conversion = Conversion.load("coco17", "h36m17")
    score = np.ones((1, 17))
    score[0, conversion.source.index("left_hip")] = 0
    _, carried = conversion(np.ones((1, 17, 2)), score)
    missing = {conversion.target.joints[joint] for joint in np.flatnonzero(carried[0] == 0)}
    assert missing == {"left_hip", "pelvis", "spine"}
    assert set(carried[0]) == {0, 1}


def test_by_name_where_every_joint_has_a_namesake() -> None:
    halpe, coco = Skeleton.load("halpe26"), Skeleton.load("coco17")
    keypoints_2d, score = np.random.rand(2, 26, 2), np.random.rand(2, 26)
    converted, carried = Conversion.load(halpe, coco)(keypoints_2d, score)
    np.testing.assert_allclose(converted, keypoints_2d[:, :17], rtol=1e-6)
    np.testing.assert_allclose(carried, score[:, :17], rtol=1e-6)


def test_a_track_keeps_what_was_measured() -> None:
    track = KeypointTrack(
        person="7",
        layout="coco17",
        first_frame=3,
        keypoints_2d=np.random.rand(2, 17, 2).astype(np.float32),
        score=np.ones((2, 17), np.float32),
        measured=np.ones((2, 17), bool),
        image_size=(640, 480),
        fps=25.0,
    )
    track.measured[1, 6] = False  # right shoulder
    conversion = Conversion.load("coco17", "h36m17")
    converted = conversion.convert(track)
    assert converted.layout == "h36m17" and converted.first_frame == 3 and converted.fps == 25
    assert converted.measured[0].all()
    filled = {conversion.target.joints[joint] for joint in np.flatnonzero(~converted.measured[1])}
    assert filled == {"right_shoulder", "thorax", "spine"}
    with pytest.raises(InputError, match="person 7: expected the 26 joints of halpe26, got 17"):
        Conversion.load("halpe26", "h36m17").convert(dataclasses.replace(track, layout="halpe26"))


def own_file(folder: Path, **changes: object) -> Path:
    content = {"source": "coco17", "target": "h36m17"}
    content["joints"] = yaml.safe_load(
        (resource_folder("graphs") / "conversions" / "coco17-h36m17.yaml").read_text(encoding="utf-8")
    )["joints"]
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return path


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    joints = yaml.safe_load(own_file(tmp_path).read_text())["joints"]
    path = own_file(tmp_path, joints={**joints, "head": {"left_eye": 1, "right_eye": 1, "nose": -1}})
    conversion = Conversion.load("coco17", "h36m17", path)
    keypoints_2d, score = np.random.rand(1, 17, 2), np.array([[0.5, 0.7, 0.9, *[1.0] * 14]])
    converted, carried = conversion(keypoints_2d, score)
    nose, left_eye, right_eye = keypoints_2d[0, :3]
    np.testing.assert_allclose(converted[0, 10], left_eye + right_eye - nose, rtol=1e-5)
    np.testing.assert_allclose(carried[0, 10], (0.5 + 0.7 + 0.9) / 3, rtol=1e-5)


def test_all_faults_of_a_file_at_once(tmp_path: Path) -> None:
    joints = yaml.safe_load(own_file(tmp_path).read_text())["joints"]
    del joints["spine"]
    joints |= {
        "head": {"left_eye": 0.5, "right_eye": 0.4},
        "nose": "noze",
        "tail": "nose",
        "thorax": {"left_shoulder": "half"},
    }
    path = own_file(tmp_path, joints=joints, target="coco17", extra=1)
    with pytest.raises(InputError) as caught:
        Conversion.load("coco17", "h36m17", path)
    message = str(caught.value)
    for fault in (
        "extra: unknown key",
        "target: is 'coco17', expected h36m17",
        "joints.head: the weights add to 0.9, expected 1",
        "joints.nose: coco17 has no joint 'noze', did you mean nose?",
        "joints.tail: h36m17 has no such joint",
        "joints.thorax.left_shoulder: expected a number, got 'half'",
        "joints: spine is missing",
    ):
        assert f"{path}: {fault}" in message
    assert len(message.splitlines()) == 7


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "expected the keys source, target, joints"),
        ("[1]", "expected the keys source, target, joints"),
        ("source: coco17", "target: missing"),
        (
            "{source: coco17, target: h36m17, joints: 3}",
            "joints: expected the graph's joints, each with those of coco17",
        ),
        ("{", "is not YAML"),
    ],
)
def test_what_is_no_conversion(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=fault):
        Conversion.load("coco17", "h36m17", path)


def test_no_conversion_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"to those of h36m17, since hand21 has no pelvis, .*; there are body25-"
    ):
        Conversion.load("hand21", "h36m17")
    with pytest.raises(InputError, match=r"no such conversion; shipped conversions: .*coco17-h36m17"):
        Conversion.load("coco17", "h36m17", tmp_path / "none.yaml")


def test_a_shipped_conversion_by_its_name() -> None:
    by_name = Conversion.load("coco17", "h36m17", "coco17-h36m17")
    np.testing.assert_array_equal(by_name.weights, Conversion.load("coco17", "h36m17").weights)
    with pytest.raises(InputError, match=r"body25-h36m17\.yaml: source: is 'body25', expected coco17"):
        Conversion.load("coco17", "h36m17", "body25-h36m17")
