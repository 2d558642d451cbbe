"""Rounds, medians, sizes and exponents: how everything here is measured, and how it comes out."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gcnpose.config import TrackingConfig
from gcnpose.errors import InputError, RunError
from gcnpose.evaluation import synchronize
from gcnpose.files import replacing
from gcnpose.memory import free_memory
from gcnpose.report import Table, as_text
from gcnpose.tracking import Tracker, environment

WARM_UP = 2
"""Rounds that do not count."""
FEWEST = 3
"""Rounds that count, at the least."""

Row = dict[str, Any]
"""A line of a table: numbers and texts by column."""


@dataclass(frozen=True)
class Rounds:
    """How often things are timed.

    Args:
        repeats: Rounds that count, at the most.
        limit_s: Seconds for one size. Rounds end there once `FEWEST` have counted, and a size that would not
            get that far is left out.
    """

    repeats: int = 10
    limit_s: float = 120.0


@dataclass
class Result:
    """What a benchmark found.

    Attributes:
        name: Which benchmark.
        settings: What it was asked for.
        rows: The timings; ``times as fast`` is the ratio to the reference of the same size.
        growth: Fitted exponents, where there are several sizes.
        notes: What the figures mean nothing without.
        axis: Column of the size that varies.
    """

    name: str
    settings: dict[str, Any]
    axis: str
    rows: list[Row] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def varied(axes: Mapping[str, Sequence[int]]) -> tuple[str, list[dict[str, int]]]:
    """The axis with several sizes, the first where none has, and all sizes, from the smallest.

    Raises:
        InputError: if a size is too small or too large, or several axes have several sizes.
    """
    for name, numbers in axes.items():
        fewest, most = (2, 10_000) if name == "joints" else (1, 10**9)  # a skeleton has a bone
        if min(numbers) < fewest:
            raise InputError(f"benchmark: --{name} must be at least {fewest}, not {min(numbers)}")
        if max(numbers) > most:
            raise InputError(f"benchmark: --{name} must be at most {most}, not {max(numbers)}")
    several = [name for name, numbers in axes.items() if len(numbers) > 1]
    if len(several) > 1:
        raise InputError(
            f"benchmark: only one of {', '.join(f'--{name}' for name in several)} may have several sizes, "
            "so that one table says how the cost grows with it"
        )
    axis = several[0] if several else next(iter(axes))
    base = {name: numbers[0] for name, numbers in axes.items()}
    return axis, [{**base, axis: number} for number in sorted(set(axes[axis]))]


def sweep(
    result: Result,
    sizes: Sequence[Mapping[str, int]],
    measure: Callable[..., list[Row]],
    rounds: Rounds,
    device: torch.device,
) -> None:
    """Measures size after size into the result, and fits how the cost grows.

    Sizes that would take too long, or more than half of the free RAM on a CPU, are left out with a note: both
    are reckoned from the size before, in proportion. So are sizes at which a GPU's memory runs out.

    Args:
        result: Gets rows, growth and notes.
        sizes: From the smallest.
        measure: Rows of one size, by its axes as keywords. Their ``kept MB`` is what they hold in memory.
        rounds: Limits the time of one size.
        device: Where it is measured.
    """
    before: list[Row] = []
    axis = result.axis
    for size in sizes:
        name = f"{axis} {size[axis]}"
        if before:
            factor = size[axis] / before[0][axis]
            seconds = 2 * (WARM_UP + FEWEST) * factor * sum(row["ms"] for row in before) / 1000
            if seconds > rounds.limit_s:
                result.notes.append(f"{name} and above left out: it would take {seconds:.0f} s (--limit)")
                break
            kept = factor * max(row.get("kept MB", 0.0) for row in before)
            if is_too_much(kept, device):
                result.notes.append(f"{name} and above left out: it would keep {kept:.0f} MB in memory")
                break
        try:
            before = [{"variant": row["variant"], axis: size[axis], **row} for row in measure(**size)]
        except torch.OutOfMemoryError:
            result.notes.append(f"{name} and above left out: the GPU's memory is too small")
            break
        result.rows += before
    result.growth = exponents(result.rows, axis)


def is_too_much(kept_mb: float, device: torch.device) -> bool:
    """Whether that is more than half of the free RAM, on a CPU; a GPU says so itself."""
    return device.type == "cpu" and kept_mb * 1e6 > free_memory() / 2


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of one call, until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - start


def time_in_turn(
    calls: Mapping[str, Callable[[], object]], rounds: Rounds, device: torch.device
) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that all see the same changes of the machine.

    In its turn each is called twice and the second call counts: a training makes the same step again and
    again, and finds the memory as its own last step left it.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()
    for number in range(WARM_UP + rounds.repeats):
        for name, call in calls.items():
            call()
            value = timed(call, device)
            if number >= WARM_UP:
                seconds[name].append(value)
        if number + 1 >= WARM_UP + FEWEST and time.perf_counter() - begin > rounds.limit_s:
            break
    return {name: statistics.median(values) for name, values in seconds.items()}


def rows_of(seconds: Mapping[str, float], work: float, unit: str) -> list[Row]:
    """Timings of one size as rows; the first one is the reference.

    Args:
        seconds: Of each variant.
        work: What one call gets done.
        unit: In what.
    """
    reference = next(iter(seconds.values()))
    return [
        {"variant": name, "ms": 1000 * value, "times as fast": reference / value, f"{unit}/s": work / value}
        for name, value in seconds.items()
    ]


def exponents(rows: Sequence[Row], axis: str) -> list[Row]:
    """Cost as the size grows: the slope of log time over log size, by least squares, of each variant.

    Beside the slope over all sizes stands that over the largest three, where what every call costs however
    small it is weighs less. Nothing where there are fewer than three sizes.
    """
    growth = []
    for name in dict.fromkeys(row["variant"] for row in rows):
        size, ms = np.log([(row[axis], row["ms"]) for row in rows if row["variant"] == name]).T
        if len(size) >= 3:
            slopes = [float(np.polyfit(size[first:], ms[first:], 1)[0]) for first in (0, -3)]
            growth.append({"variant": name, f"exponent of {axis}": slopes[0], "of the largest 3": slopes[1]})
    return growth


def crossover(rows: Sequence[Row], axis: str, one: str, other: str) -> float:
    """Size up to which one variant is faster than another: infinity where at all sizes, 0 where not at the
    smallest. Between two sizes it lies where straight lines of log time over log size meet."""
    ms = {(row["variant"], row[axis]): row["ms"] for row in rows}
    sizes = sorted({row[axis] for row in rows})
    ahead = [math.log(ms[one, size] / ms[other, size]) for size in sizes]
    if ahead[0] > 0:
        return 0.0
    for low, high, before, after in zip(sizes, sizes[1:], ahead, ahead[1:], strict=False):
        if before <= 0 < after:
            return float(low * (high / low) ** (before / (before - after)))
    return math.inf


def check_equal(what: str, outputs: Mapping[str, Tensor], tolerance: float = 1e-2) -> None:
    """Makes sure that variants which are to be compared compute the same.

    The tolerance is for a GPU, which may round convolutions to TF32's ten bits; what is written wrong is
    farther off.

    Raises:
        RunError: if one differs from the first by more than the tolerance, in Euclidean norms.
    """
    first, *others = outputs
    for name in others:
        one, other = (outputs[key].detach().cpu().double() for key in (first, name))
        difference = (other - one).norm() / one.norm()
        if not difference <= tolerance:
            raise RunError(
                f"benchmark: {what} of {name} and of {first} differ by {difference:.1e}, in parts of the "
                f"norm; at most {tolerance:.0e} are rounding"
            )


def format_result(result: Result) -> str:
    """The result for a terminal."""
    tables = [as_text(_table(title, rows)) for title, rows in _tables(result).items() if rows]
    settings = ", ".join(
        f"{name} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in result.settings.items()
    )
    return "\n\n".join([*tables, "\n".join([settings, *result.notes])])


def write_result(result: Result, path: Path) -> None:
    """Writes the result as JSON, with commit, versions and hardware."""
    content = {
        "benchmark": result.name,
        "settings": result.settings,
        "environment": environment(),
        "timings": result.rows,
        "growth": result.growth,
        "notes": result.notes,
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def track_result(result: Result, config: TrackingConfig) -> None:
    """Logs the result as a run in MLflow: tables as they are, and every ratio as a metric."""
    with Tracker.start(config, f"benchmark-{result.name}", result.settings) as tracker:
        for title, rows in _tables(result).items():
            if rows:
                tracker.log_table(
                    {column: [row[column] for row in rows] for column in rows[0]}, f"{title}.json"
                )
        tracker.log_metrics(
            {
                f"{result.axis} {row[result.axis]}/{row['variant']}": row["times as fast"]
                for row in result.rows
            }
        )


def _tables(result: Result) -> dict[str, list[Row]]:
    return {result.name: result.rows, f"{result.name} growth": result.growth}


def _table(title: str, rows: Sequence[Row]) -> Table:
    return Table(title, list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
