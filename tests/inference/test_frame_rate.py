"""Tracks of another frame rate than the network knows."""

import numpy as np
import pytest
import torch

from gcnpose.build import build_motion, build_views
from gcnpose.config import load_config
from gcnpose.data.camera import denormalize_screen
from gcnpose.inference import Lifter
from gcnpose.inference.sequences import resample
from gcnpose.metrics import mpjpe_mm
from tests.inference.test_lifter import track_of


@pytest.fixture(scope="module")
def lifter() -> Lifter:
    """The network that comes with gcnpose."""
    return Lifter.load(method="whole", device="cpu")


def test_what_is_resampled(lifter: Lifter) -> None:
    assert lifter.fps == 50
    rates = (5, 25, 30, 38, 39, 50, 60, 71, 72, 120)
    assert [lifter.lifted_at(rate) for rate in rates] == [50, 50, 50, 50, *[None] * 4, 50, 50]
    assert lifter.lifted_at(None) is None
    assert lifter.lifted_at(4) is None, "too few frames to know the motion between them"


@pytest.mark.parametrize("every", [2, 4])
def test_slow_frames_are_lifted_better_when_their_rate_is_known(lifter: Lifter, every: int) -> None:
    """Every second or fourth frame of the embedded motion, which has 50 a second."""
    config = load_config("ugcn", ["data.takes=1"])
    views = build_views(config, build_motion(config, lifter.skeleton, ("test",))["test"])
    known, unknown = [], []
    for clip in views.clips[::9]:
        rows = slice(clip.first, clip.first + clip.frames, every)
        track = track_of(denormalize_screen(views.keypoints_2d[rows], 1000, 1002).numpy(), fps=50 / every)
        for errors, fps in ((known, track.fps), (unknown, 50.0)):
            lifted = lifter(track_of(track.keypoints_2d, fps=fps))
            assert lifted.fps == fps and len(lifted.positions) == len(track.keypoints_2d)
            errors.append(mpjpe_mm(torch.from_numpy(lifted.positions), views.pose_3d[rows]).mean().item())
    assert np.mean(known) < np.mean(unknown) * (0.99 if every == 2 else 0.95)


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_there_and_back_again(frames: int) -> None:
    sequence = torch.randn(frames, 3, 2)
    longer = resample(sequence, 2 * frames - 1)
    torch.testing.assert_close(longer[::2], sequence)
    torch.testing.assert_close(longer[1::2], (sequence[1:] + sequence[:-1]) / 2)
    torch.testing.assert_close(resample(longer, frames), sequence)


def test_frames_too_far_apart_are_each_lifted_alone(lifter: Lifter) -> None:
    random = np.random.default_rng(0)
    keypoints_2d = random.uniform(300, 700, (3, 17, 2))
    lifted = lifter(track_of(keypoints_2d, fps=2.0))
    assert lifted.fps == 2
    for number, frame in enumerate(keypoints_2d):
        alone = lifter(track_of(frame[None], fps=None)).positions[0]
        np.testing.assert_allclose(lifted.positions[number], alone, atol=1e-6)
