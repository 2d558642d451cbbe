"""The live mode's lines."""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gcnpose.errors import InputError
from gcnpose.inference import Lifter, StreamingLifter
from gcnpose.inference.lines import MOST_PEOPLE, lift_lines
from gcnpose.keypoints.track3d import Intrinsics
from gcnpose.nn.refinement import Refinement
from tests.checkpoints import small_checkpoint

SIZE, DELAY = (640, 480), 3
CAMERA = Intrinsics((600.0, 600.0), (320.0, 240.0))


@pytest.fixture(scope="module")
def lifter(tmp_path_factory: pytest.TempPathFactory) -> Lifter:
    return Lifter.load(small_checkpoint(tmp_path_factory.mktemp("lines")))


def some_frames(frames: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    points = random.uniform(200, 400, (17, 2)) + random.normal(0, 3, (frames, 17, 2)).cumsum(axis=0)
    return np.concatenate([points, random.uniform(0.3, 1, (frames, 17, 1))], axis=2).round(3)


def answers(lifter: Lifter, lines: Iterable[Any], **options: Any) -> list[dict[str, Any]]:
    texts = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines)
    return list(lift_lines(texts, lifter, "h36m17", SIZE, CAMERA, DELAY, **options))


def by_hand(lifter: Lifter, frames: np.ndarray) -> list[np.ndarray]:
    stream = StreamingLifter(lifter, "h36m17", SIZE, DELAY, intrinsics=CAMERA)
    poses = [stream.push(frame[:, :2], frame[:, 2]) for frame in frames]
    return [*(pose for pose in poses if pose is not None), *stream.flush()]


def test_every_line_is_answered_later(lifter: Lifter) -> None:
    frames = some_frames(9)
    head, *rest = answers(lifter, [{"keypoints": frame.tolist()} for frame in frames])
    assert head["joints"] == list(lifter.skeleton.joints)
    assert (head["delay"], head["window"], head["units"]) == (3, 16, "metres")
    assert head["camera"] == {"focal_px": (600, 600), "center_px": (320, 240), "guessed": False}
    assert [answer["frame"] for answer in rest] == list(range(9))
    for answer, expected in zip(rest, by_hand(lifter, frames), strict=True):
        np.testing.assert_allclose(answer["positions"], expected, atol=1e-5)


class Standing(nn.Module):
    """A network that sees the same pose in every frame."""

    def __init__(self, pose: np.ndarray) -> None:
        super().__init__()
        self.input_channels = 2
        self.pose = torch.from_numpy(pose.astype(np.float32))

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        return self.pose.expand(*keypoints_2d.shape[:2], -1, -1)


def test_the_translation_is_that_of_the_answered_frame(
    lifter: Lifter, monkeypatch: pytest.MonkeyPatch
) -> None:
    pose = np.random.default_rng(0).normal(0, 0.4, (17, 3))
    monkeypatch.setattr(lifter, "model", Standing(pose))
    monkeypatch.setattr(lifter, "flip", False)
    places = np.stack([np.linspace(-1, 1, 8), np.linspace(0, 0.5, 8), np.linspace(5, 8, 8)], axis=1)
    placed = pose + places[:, None]
    pixels = placed[..., :2] / placed[..., 2:] * CAMERA.focal_px + CAMERA.center_px
    rest = answers(lifter, [{"keypoints": frame.tolist()} for frame in pixels])[1:]
    np.testing.assert_allclose([answer["translation"] for answer in rest], places, atol=1e-3)
    two_joints = [[x, y, float(joint < 2)] for joint, (x, y) in enumerate(pixels[0].tolist())]
    (_, answer) = answers(lifter, [{"keypoints": two_joints}], min_score=0.5)
    assert answer["translation"] is None


def test_a_second_stage_corrects_the_answers(lifter: Lifter, monkeypatch: pytest.MonkeyPatch) -> None:
    pose = np.random.default_rng(0).normal(0, 0.4, (17, 3))
    monkeypatch.setattr(lifter, "model", Standing(pose))
    monkeypatch.setattr(lifter, "flip", False)
    placed = pose + np.array([0, 0, 5]) + np.random.default_rng(1).normal(0, 0.05, (5, 17, 3))
    pixels = placed[..., :2] / placed[..., 2:] * CAMERA.focal_px + CAMERA.center_px
    lines = [{"keypoints": frame.tolist()} for frame in pixels]
    lines[3]["keypoints"][8] = None  # stays where it was, and does not go to the corner of the image
    _, *plain = answers(lifter, lines)
    refinement = Refinement(17, 8)
    torch.nn.init.constant_(refinement.layers[-1].bias, -100)  # trusts the rays
    monkeypatch.setattr(lifter, "refinement", refinement.eval())
    _, *refined = answers(lifter, lines)
    for before, after in zip(plain, refined, strict=True):
        assert before["translation"] == after["translation"]
        assert 0.01 < np.abs(np.subtract(before["positions"], after["positions"])).max() < 0.5


def test_answers_come_before_the_next_line_is_read(lifter: Lifter) -> None:
    read = []

    def lines() -> Iterable[bytes]:
        for number, frame in enumerate(some_frames(6)):
            read.append(number)
            yield json.dumps({"keypoints": frame.tolist()}).encode()

    stream = lift_lines(lines(), lifter, "h36m17", SIZE, CAMERA, DELAY)
    next(stream)
    for expected in range(3):
        assert next(stream)["frame"] == expected
        assert read[-1] == expected + DELAY


def test_people_are_lifted_apart(lifter: Lifter) -> None:
    one, other = some_frames(5, 1), some_frames(5, 2)
    lines = []
    for number, (a, b) in enumerate(zip(one, other, strict=True)):
        lines.append({"keypoints": a.tolist(), "person": 7, "frame": 10 * number})
        lines.append({"keypoints": b.tolist(), "person": "<b>", "frame": f"{number}.jpg"})
    rest = answers(lifter, lines)[1:]
    for person, frames, labels in (
        ("7", one, [0, 10, 20, 30, 40]),
        ("<b>", other, [f"{number}.jpg" for number in range(5)]),
    ):
        own = [answer for answer in rest if answer["person"] == person]
        assert [answer["frame"] for answer in own] == labels
        for answer, expected in zip(own, by_hand(lifter, frames), strict=True):
            np.testing.assert_allclose(answer["positions"], expected, atol=1e-5)


def test_missing_people_and_joints(lifter: Lifter) -> None:
    frames = some_frames(6)
    lines: list[Any] = [{"keypoints": None}, *({"keypoints": frame.tolist()} for frame in frames)]
    lines[3]["keypoints"][4] = None
    lines[4]["keypoints"] = None
    lines[5]["keypoints"][9][2] = 0.05  # below the smallest score
    lines[6]["keypoints"][2][:2] = [0, 0]  # not detected, as many detectors write it
    held = frames.copy()
    held[2, 4, :2] = held[1, 4, :2]
    held[3, :, :2] = held[2, :, :2]
    held[4, 9, :2] = held[3, 9, :2]
    held[5, 2, :2] = held[4, 2, :2]
    _, first, *rest = answers(lifter, lines, min_score=0.1)
    assert first == {"frame": 0, "person": "0", "positions": None, "translation": None}
    assert [answer["frame"] for answer in rest] == [1, 2, 3, 4, 5, 6]
    for answer, expected in zip(rest, by_hand(lifter, held), strict=True):
        np.testing.assert_allclose(answer["positions"], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        ([1], "expected an object such as"),
        ({}, "expected the keys keypoints, and perhaps frame and person, got "),
        ({"keypoints": None, "joints": 1}, "got keypoints, joints"),
        ({"keypoints": [[1, 2]] * 16}, "expected a list of 17 joints, got 16 of them"),
        ({"keypoints": "x"}, "expected a list of 17 joints, got str"),
        ({"keypoints": [[1]] * 17}, r"joint 0: expected \[x, y\], \[x, y, score\] or null"),
        ({"keypoints": [[1, 2]] * 16 + [[1, True]]}, "joint 16: expected"),
        ({"keypoints": [[1, 10**400]] * 17}, "joint 0: a number is too large"),
        ({"keypoints": [[0.4, 0.5]] * 17}, "all within 2 pixels of a corner: fractions of the image"),
        ({"keypoints": None, "person": [1]}, "person: expected a text or a whole number, got list"),
        ({"keypoints": None, "frame": 1.5}, "frame: expected a text or a whole number, got float"),
    ],
)
def test_a_bad_line_is_named_and_the_next_one_read(lifter: Lifter, line: Any, fault: str) -> None:
    frames = some_frames(4)
    lines: list[Any] = [{"keypoints": frame.tolist()} for frame in frames]
    good, mixed = answers(lifter, lines), answers(lifter, [b"\n", *lines[:2], line, *lines[2:]])
    (error,) = [answer for answer in mixed if "error" in answer]
    assert error["line"] == 4
    with pytest.raises(AssertionError, match=fault):
        raise AssertionError(error["error"])
    assert [answer for answer in mixed if "error" not in answer] == good
    json.dumps(mixed, allow_nan=False)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e300", "-1e7"])
def test_numbers_that_are_no_places_are_missing(lifter: Lifter, number: str) -> None:
    frames = some_frames(3)
    lines = [json.dumps({"keypoints": frame.tolist()}).encode() for frame in frames]
    lines[1] = lines[1].replace(f"[{frames[1, 0, 0]}, ".encode(), f"[{number}, ".encode(), 1)
    held = frames.copy()
    held[1, 0, :2] = held[0, 0, :2]
    for answer, expected in zip(answers(lifter, lines)[1:], by_hand(lifter, held), strict=True):
        np.testing.assert_allclose(answer["positions"], expected, atol=1e-5)


def test_who_has_been_away_for_longest_is_forgotten(lifter: Lifter) -> None:
    frame = some_frames(1)[0].tolist()
    people = [{"keypoints": frame, "person": number} for number in range(MOST_PEOPLE + 1)]
    lines = [*people[:2], people[0], *people[2:], people[1]]  # the newest lets 1 go, and 1's return 0
    rest = [(answer["person"], answer["frame"]) for answer in answers(lifter, lines)[1:]]
    assert rest[:3] == [("1", 0), ("0", 0), ("0", 1)]
    assert rest[-1] == ("1", 0)  # a new person: frames count from the start
    assert len(rest) == len(lines)


def test_faults_of_the_options(lifter: Lifter) -> None:
    for options, fault in (({"min_score": 2}, "expected a smallest score from 0 to 1, got 2"),):
        with pytest.raises(InputError, match=fault):
            answers(lifter, [], **options)
    with pytest.raises(InputError, match="delay: expected 0 to 15 frames, got 16"):
        list(lift_lines([], lifter, "h36m17", SIZE, CAMERA, 16))
