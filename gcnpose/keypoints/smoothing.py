"""Smoothing of 2D tracks, where the detector jitters. Off unless asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.signal import savgol_filter

from gcnpose.errors import InputError
from gcnpose.keypoints.tracks import KeypointTrack


def savitzky_golay(track: KeypointTrack, window: int = 9, order: int = 3) -> KeypointTrack:
    """Each coordinate replaced by a polynomial fitted to the frames around it (Savitzky and Golay 1964).

    It looks into the future, and does not delay. Tracks shorter than the window are fitted as a whole.

    Args:
        track: Of one person.
        window: Frames of a fit.
        order: Of the polynomial; smaller than the window.

    Raises:
        InputError: if the window is not larger than the order, or the order negative.
    """
    if not 0 <= order < window:
        raise InputError(f"Savitzky-Golay smoothing: expected 0 <= order < window, got {order} and {window}")
    frames = len(track.keypoints_2d)
    window = min(window, frames)
    smooth = savgol_filter(track.keypoints_2d, window, min(order, window - 1), axis=0, mode="interp")
    return dataclasses.replace(track, keypoints_2d=smooth.astype(np.float32))


def one_euro(track: KeypointTrack, min_cutoff_hz: float = 1.0, beta: float = 1.0) -> KeypointTrack:
    """The 1-Euro filter: a low pass whose cutoff rises with speed (Casiez, Roussel, Vogel, CHI 2012).

    It looks at the past only, so it serves live input too, and delays slow motion a little.

    Args:
        track: Of one person, with its frames per second.
        min_cutoff_hz: Cutoff at rest. Lower: less jitter, more delay.
        beta: Rise of the cutoff, Hz for each percent of the image's width per second. Higher: less delay.

    Raises:
        InputError: if one of the numbers is not positive, but for beta, which may be 0; or if the track does
            not tell its frames per second.
    """
    fps = track.fps
    if fps is None:
        raise InputError("--smooth one-euro needs the frames per second, which the file does not tell: --fps")
    if not (fps > 0 and min_cutoff_hz > 0 and beta >= 0):
        raise InputError(
            f"1-Euro smoothing: expected positive numbers, got fps {fps:g}, min_cutoff {min_cutoff_hz:g} and "
            f"beta {beta:g}"
        )
    keypoints = track.keypoints_2d.astype(np.float64)
    smooth = np.empty_like(keypoints)
    smooth[0] = previous = keypoints[0]
    speed = np.zeros_like(previous)
    percent = 100 / track.image_size[0]
    for frame in range(1, len(keypoints)):
        change = (keypoints[frame] - previous) * fps
        speed += _weight(1.0, fps) * (change - speed)  # 1 Hz as in the paper
        cutoff = min_cutoff_hz + beta * percent * np.abs(speed)
        smooth[frame] = smooth[frame - 1] + _weight(cutoff, fps) * (keypoints[frame] - smooth[frame - 1])
        previous = smooth[frame]
    return dataclasses.replace(track, keypoints_2d=smooth.astype(np.float32))


def _weight(cutoff_hz: np.ndarray | float, fps: float) -> np.ndarray | float:
    """Weight of the new value in exponential smoothing with this cutoff."""
    ratio = 2 * np.pi * cutoff_hz / fps
    return ratio / (ratio + 1)


FILTERS: dict[str, Callable[[KeypointTrack], KeypointTrack]] = {
    "savgol": savitzky_golay,
    "one-euro": one_euro,
}
"""By the name that ``--smooth`` has for it."""
