import dataclasses

import numpy as np
import pytest

from gcnpose.errors import InputError
from gcnpose.keypoints.smoothing import one_euro, savitzky_golay
from gcnpose.keypoints.tracks import KeypointTrack


def track(keypoints: np.ndarray) -> KeypointTrack:
    seen = np.ones(keypoints.shape[:2], dtype=bool)
    return KeypointTrack(
        "0", "coco17", 0, keypoints.astype(np.float32), seen.astype(np.float32), seen, (1000, 800), 30.0
    )


def sine_and_noise(frames: int = 200) -> tuple[np.ndarray, np.ndarray]:
    time = np.arange(frames)[:, None, None] / 30
    true = 400 + 100 * np.sin(time + np.arange(17)[:, None] + np.arange(2) * 2)
    return true, true + np.random.default_rng(0).normal(0, 3, true.shape)


def error(smooth: KeypointTrack, true: np.ndarray) -> float:
    return float(np.abs(smooth.keypoints_2d - true).mean())


def test_polynomials_pass_savitzky_golay_unchanged() -> None:
    time = np.arange(30)[:, None, None] / 10
    cubic = 100 + 3 * time - 2 * time**2 + time**3 + np.zeros((1, 17, 2))
    smooth = savitzky_golay(track(cubic), window=9, order=3)
    np.testing.assert_allclose(smooth.keypoints_2d, cubic, rtol=1e-5)


def test_both_take_noise_away() -> None:
    true, noisy = sine_and_noise()
    before = error(track(noisy), true)
    assert error(savitzky_golay(track(noisy)), true) < 0.6 * before
    assert error(one_euro(track(noisy)), true) < 0.9 * before


def test_one_euro_is_the_published_filter() -> None:
    """Against the authors' algorithm 1 written out for one number at a time."""
    _, noisy = sine_and_noise(40)
    noisy = noisy.astype(np.float32)
    smooth = one_euro(track(noisy), min_cutoff_hz=1.5, beta=0.3)
    values = noisy[:, 4, 1].astype(float)

    def alpha(cutoff: float) -> float:
        return 1 / (1 + 30 / (2 * np.pi * cutoff))

    x_hat, dx_hat = values[0], 0.0
    expected = [x_hat]
    for value in values[1:]:
        dx_hat = alpha(1.0) * (value - x_hat) * 30 + (1 - alpha(1.0)) * dx_hat
        a = alpha(1.5 + 0.3 * abs(dx_hat) / 10)  # 10 pixels are a percent of the width
        x_hat = a * value + (1 - a) * x_hat
        expected.append(x_hat)
    np.testing.assert_allclose(smooth.keypoints_2d[:, 4, 1], expected, rtol=1e-5)


def test_one_euro_looks_at_the_past_only() -> None:
    _, noisy = sine_and_noise(50)
    whole, part = one_euro(track(noisy)), one_euro(track(noisy[:20]))
    np.testing.assert_array_equal(whole.keypoints_2d[:20], part.keypoints_2d)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_short_tracks(frames: int) -> None:
    _, noisy = sine_and_noise(frames)
    for smooth in (savitzky_golay(track(noisy)), one_euro(track(noisy))):
        assert smooth.keypoints_2d.shape == noisy.shape
        assert np.isfinite(smooth.keypoints_2d).all()


def test_settings_are_checked() -> None:
    short = track(np.ones((4, 17, 2)))
    with pytest.raises(InputError, match=r"order < window, got 3 and 3"):
        savitzky_golay(short, window=3, order=3)
    with pytest.raises(InputError, match=r"got fps 0,"):
        one_euro(dataclasses.replace(short, fps=0))
    with pytest.raises(InputError, match="needs the frames per second, which the file does not tell: --fps"):
        one_euro(dataclasses.replace(short, fps=None))
