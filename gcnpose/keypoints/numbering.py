"""Where on the timeline a frame stands, by what the file calls it: a number, a time or a file name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

_LARGEST = 2**62  # Beyond it a number is a hash, and no int64.
_FASTEST_FPS = 400  # cameras of phones reach 240
_UNITS = ((1, "s"), (1e3, "ms"), (1e6, "us"), (1e9, "ns"))  # in a second
_SPARSEST = (
    5  # Mean step of frame numbers, in their smallest step; image ids of a data set lie farther apart.
)


@dataclass(frozen=True, eq=False)
class Timeline:
    """Frames in the order of time.

    Attributes:
        order: Positions of the frames in the file, in the order of time.
        numbers: Frame numbers, strictly increasing.
        from_labels: The numbers come from the labels. Otherwise they count the frames from 0.
        fps: Frames per second, where the labels are times.
        step: By how much the numbers go up where frames are consecutive; a larger gap is a gap in time.
        assumption: What was assumed, a sentence; empty where nothing was.

    Shapes:
        order, numbers: (frames,) int64
    """

    order: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.int64]
    from_labels: bool
    fps: float | None = None
    assumption: str = ""
    step: int = 1


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key under which ``2.jpg`` comes before ``10.jpg``."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    return tuple((0, int(part[:30]), "") if "0" <= part[0] <= "9" else (1, 0, part) for part in parts)


def timeline(labels: Sequence[str], times: bool = False) -> Timeline:
    """Orders frames by their labels.

    Labels are frame numbers if they are whole numbers, or names that hold one, and do not lie as far apart
    as the image ids of a data set do.

    Args:
        labels: One per frame, all different, in the order of the file.
        times: The labels are times, unless they count up one by one. Dates with a time of day and numbers
            with fractions are times in any case.
    """
    count = len(labels)
    stamps = _as_times(labels) if count > 1 else None
    if stamps is not None and ((stamps % 1 != 0).any() or (times and _median_step(stamps) > 2)):
        return _by_time(stamps)
    values = _whole_numbers(labels)
    if values is None:
        order = np.array(sorted(range(count), key=lambda place: natural_key(labels[place])), dtype=np.int64)
        assumption = "" if count < 2 else "the frames have no numbers: taken as consecutive, in order of name"
        return Timeline(order, np.arange(count), False, assumption=assumption)
    order = np.argsort(values, kind="stable")
    numbers = values[order]
    if count == 1:
        return Timeline(order, numbers, True)
    steps = np.diff(numbers)
    step = int(np.gcd.reduce(steps))
    if np.median(steps) != step and steps.mean() > _SPARSEST * step:
        first = ", ".join(map(str, numbers[:3]))
        assumption = f"the images are numbered {first} ... and not one by one: taken as consecutive frames"
        return Timeline(order, np.arange(count), False, assumption=assumption)
    if step > 1:
        assumption = f"the frame numbers go up by {step}: taken as consecutive frames"
        return Timeline(order, numbers, True, assumption=assumption, step=step)
    return Timeline(order, numbers, True)


def _by_time(stamps: npt.NDArray[np.float64]) -> Timeline:
    """Frames on a grid of the usual step, in the finest unit that makes no camera of it that is too fast."""
    order = np.argsort(stamps, kind="stable")
    steps = np.diff(stamps[order])
    median = float(np.median(steps))
    if median <= 0:
        return Timeline(order, np.arange(len(stamps)), False)
    usual = steps[np.round(steps / median) == 1]
    step = float(usual.mean()) if len(usual) else median
    forward = np.clip(np.round(steps / step), 1, _LARGEST // len(stamps)).astype(np.int64)
    numbers = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(forward)])
    step = float(stamps[order[-1]] - stamps[order[0]]) / float(numbers[-1])  # single times are often rounded
    fitting = (unit for unit in reversed(_UNITS) if step >= unit[0] / _FASTEST_FPS)
    per_second, unit = next(fitting, _UNITS[0])
    fps = round(per_second / step, 3)
    assumption = (
        f"the frames have times and no numbers: taken as {fps:g} frames per second, by the mean step of "
        f"{step:.4g} {unit}"
    )
    return Timeline(order, numbers, False, fps=fps, assumption=assumption)


def _median_step(stamps: npt.NDArray[np.float64]) -> float:
    return float(np.median(np.diff(np.sort(stamps))))


def _as_times(labels: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Numbers as they are, dates with a time of day as seconds; None where the labels are something else."""
    try:
        if all("-" in label and ":" in label for label in labels):
            dates = [datetime.fromisoformat(label.replace("Z", "+00:00")) for label in labels]
            return np.array([(date - dates[0]).total_seconds() for date in dates])
        stamps = np.array([float(label) for label in labels])
    except (ValueError, TypeError):  # TypeError: with and without a time zone
        return None
    return stamps if np.isfinite(stamps).all() else None


def _whole_numbers(labels: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """The frame numbers in labels, all different; None if they hold none.

    Several numbers in a name: the last that differs from name to name, as in ``1_13_14_mp4-0003_jpg``.
    """
    groups = [re.findall(r"[0-9]+", _without_endings(label)) for label in labels]
    for place in range(1, min(map(len, groups), default=0) + 1):
        values = [int(group[-place]) if len(group[-place]) < 20 else _LARGEST for group in groups]
        if len(set(values)) == len(values) and max(values) < _LARGEST:
            return np.array(values, dtype=np.int64)
    return None


def names_number_frames(names: Sequence[str], ids: Sequence[str]) -> bool:
    """Whether file names are numbered as a video's frames are, and otherwise than the images' ids.

    Such names are alike but for their numbers. Those with hashes are not, though some hold a number too.
    """
    alike = len({re.sub("[0-9]+", "0", _without_endings(name)) for name in names}) == 1
    numbers, known = _whole_numbers(names), _whole_numbers(ids)
    return alike and numbers is not None and (known is None or not np.array_equal(numbers, known))


def _without_endings(label: str) -> str:
    """A file name without its folder, and without what stands behind the frame number and may hold digits."""
    name = re.sub(r"\.rf\.[0-9a-f]+(?=\.|$)", "", re.split(r"[/\\]", label)[-1])  # Roboflow's hash
    return re.sub(r"(\.[A-Za-z][A-Za-z0-9]{0,4})+$", "", name)
