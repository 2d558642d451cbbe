"""Frames as they come: the same 3D as the same windows give offline."""

import gc
from fractions import Fraction

import numpy as np
import pytest
import torch

from gcnpose.errors import InputError
from gcnpose.inference import Lifter, StreamingLifter
from gcnpose.inference.lifter import focal_length
from tests.checkpoints import small_checkpoint

SIZE = (640, 480)


@pytest.fixture(scope="module")
def lifter(tmp_path_factory: pytest.TempPathFactory) -> Lifter:
    lifter = Lifter.load(small_checkpoint(tmp_path_factory.mktemp("streaming")))
    lifter.fps, lifter.tempo = 50.0, 0.3
    return lifter


def some_keypoints(frames: int, joints: int = 17) -> np.ndarray:
    random = np.random.default_rng(0)
    steps = random.normal(0, 3, (frames, joints, 2)).cumsum(axis=0)
    return (random.uniform(200, 400, (joints, 2)) + steps).astype(np.float32)


def offline(lifter: Lifter, keypoints_2d: np.ndarray, delay: int) -> np.ndarray:
    """Every window by itself, then the mean of what the later ones say of a frame."""
    frames, window = len(keypoints_2d), lifter.window
    said = np.full((frames, frames, 17, 3), np.nan)  # [frame, last frame of the window]
    sequence = lifter.network_input(keypoints_2d, np.ones(keypoints_2d.shape[:2], np.float32), SIZE)
    for last in range(frames):
        inside = torch.arange(last - window + 1, last + 1)
        poses = lifter.lift_window(sequence[inside.clamp(min=0)], focal_length(None, SIZE)).numpy()
        for place, frame in enumerate(inside.tolist()):
            if frame >= 0:
                said[frame, last] = poses[place]
    result = []
    for frame in range(frames):
        latest = min(frame + delay, frames - 1)
        earliest = min(frame + delay // 2, latest)
        result.append(said[frame, earliest : latest + 1].mean(axis=0))
    return np.array(result)


@pytest.mark.parametrize("delay", [0, 1, 4, 15])
@pytest.mark.parametrize("frames", [1, 3, 40])
def test_equals_the_same_windows_offline(lifter: Lifter, frames: int, delay: int) -> None:
    keypoints_2d = some_keypoints(frames)
    stream = StreamingLifter(lifter, "h36m17", SIZE, delay)
    pushed = [stream.push(points) for points in keypoints_2d]
    assert [pose is None for pose in pushed] == [frame < delay for frame in range(frames)]
    assert stream.waiting == min(delay, frames)
    rest = stream.flush()
    assert rest.shape == (min(delay, frames), 17, 3)
    streamed = np.array([*(pose for pose in pushed if pose is not None), *rest])
    np.testing.assert_allclose(streamed, offline(lifter, keypoints_2d, delay), atol=1e-5)


@pytest.mark.parametrize("fps", [30, 29.97, 25, 72, 120, 1000])
@pytest.mark.parametrize("frames", [1, 2, 40])
def test_frames_of_another_rate_are_resampled_and_back(lifter: Lifter, fps: float, frames: int) -> None:
    """As where all frames are known: 2D and 3D along straight lines, the network at its own rate, here 50."""
    ratio = Fraction(50) / Fraction(fps)
    delay = {30: 4, 29.97: 4, 25: 2, 72: 5, 120: 9, 1000: 45}[fps]
    stream = StreamingLifter(lifter, "h36m17", SIZE, delay, fps)
    keypoints_2d = some_keypoints(frames)
    pushed = [stream.push(points) for points in keypoints_2d]
    assert [pose is None for pose in pushed] == [frame < delay for frame in range(frames)]
    streamed = np.array([*(pose for pose in pushed if pose is not None), *stream.flush()])

    places = np.arange(int((frames - 1) * ratio) + 1) / float(ratio)  # of the network's frames

    def between(values: np.ndarray, there: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        columns = values.reshape(len(values), -1).T
        lines = [np.interp(wanted, there, column) for column in columns]
        return np.stack(lines, axis=1).reshape(-1, *values.shape[1:]).astype(np.float32)

    within = int(delay * ratio) - 1
    lifted = offline(lifter, between(keypoints_2d, np.arange(frames), places), within)
    np.testing.assert_allclose(streamed, between(lifted, places, np.arange(frames)), atol=1e-5)


def test_the_delay_is_as_long_at_every_rate(lifter: Lifter) -> None:
    rates = (None, 50, 60, 39, 25, 100, 4)
    delays = [StreamingLifter(lifter, "h36m17", SIZE, None, fps).delay for fps in rates]
    assert delays == [8, 8, 10, 6, 4, 16, 1]


def test_begins_anew_after_the_end(lifter: Lifter) -> None:
    stream = StreamingLifter(lifter, "h36m17", SIZE, 2)
    runs = []
    for _ in range(2):
        runs.append([stream.push(points) for points in some_keypoints(5)][-1])
        stream.flush()
    np.testing.assert_array_equal(*runs)
    assert stream.waiting == 0
    assert stream.flush().shape == (0, 17, 3)


@pytest.mark.parametrize("fps", [50, 30])
def test_a_stream_keeps_no_more_the_longer_it_runs(lifter: Lifter, fps: float) -> None:
    def kept(frames: int) -> int:
        for points in some_keypoints(frames):
            stream.push(points)
        gc.collect()
        return sum(type(thing) is torch.Tensor for thing in gc.get_objects())

    stream = StreamingLifter(lifter, "h36m17", SIZE, 4, fps)
    assert kept(30) == kept(60)


def test_a_missing_joint_stays_where_it_was(lifter: Lifter) -> None:
    keypoints_2d = some_keypoints(6)
    held = keypoints_2d.copy()
    held[3:5, 4] = held[2, 4]
    held[4] = held[3]
    by_score, by_nan = (StreamingLifter(lifter, "h36m17", SIZE, 0) for _ in range(2))
    whole = StreamingLifter(lifter, "h36m17", SIZE, 0)
    for frame, points in enumerate(keypoints_2d):
        score, gaps = np.ones(17), points.copy()
        if frame in (3, 4):
            score[4], gaps[4] = 0, np.nan
        if frame == 4:  # nobody found
            score[:], gaps[:] = 0, np.nan
        expected = whole.push(held[frame])
        np.testing.assert_array_equal(by_score.push(points, score), expected)
        np.testing.assert_array_equal(by_nan.push(gaps), expected)


def test_a_joint_not_seen_yet_stands_amid_the_others(lifter: Lifter) -> None:
    points = some_keypoints(1)[0]
    gaps, filled = points.copy(), points.copy()
    gaps[[2, 7]] = np.nan
    filled[[2, 7]] = np.delete(points, [2, 7], axis=0).mean(axis=0)
    one, other = (StreamingLifter(lifter, "h36m17", SIZE, 0) for _ in range(2))
    np.testing.assert_allclose(one.push(gaps), other.push(filled), atol=1e-6)


def test_other_joints(lifter: Lifter) -> None:
    stream = StreamingLifter(lifter, "halpe26", SIZE, 0)
    pose = stream.push(some_keypoints(1, 26)[0])
    assert pose is not None and pose.shape == (17, 3)


def test_faults(lifter: Lifter) -> None:
    for delay in (-1, 16):
        with pytest.raises(InputError, match=f"delay: expected 0 to 15 frames, got {delay}"):
            StreamingLifter(lifter, "coco17", SIZE, delay)
    for delay in (1, 34):
        with pytest.raises(InputError, match=f"delay: expected 2 to 33 frames, got {delay}"):
            StreamingLifter(lifter, "coco17", SIZE, delay, 100)
    for fps in (0.0, -30.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match=f"fps: expected more than 0, got {fps:g}"):
            StreamingLifter(lifter, "coco17", SIZE, None, fps)
    stream = StreamingLifter(lifter, "coco17", SIZE)
    with pytest.raises(InputError, match=r"expected keypoints \(17, 2\) and score \(17,\) .* got \(3, 2\)"):
        stream.push(np.zeros((3, 2)))
    with pytest.raises(InputError, match="the first frame has no joint"):
        stream.push(np.full((17, 2), np.nan))
