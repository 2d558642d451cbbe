"""Results of an experiment as lines or bars, with the published ones beside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#aa4499", "#e69f00", "#56b4e9", "#666666")  # told apart by all
BAR_COLOUR = "#9ecae1"
PUBLISHED_COLOUR = "#333333"


class Point(NamedTuple):
    """A figure with its spread, and what was published of it; NaN where there is none."""

    place: float
    value: float
    spread: float
    published: float


def draw_lines(
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    path: str | Path,
    title: str,
    axis_title: str,
    ticks: Sequence[str] | None = None,
) -> None:
    """A panel for each metric, a line through the points of each series, dashed through the published ones.

    Args:
        panels: By metric and name of the series, its points from left to right.
        path: The PNG file.
        title: Above all.
        axis_title: What the places are.
        ticks: What stands at the places 0, 1, 2, ...; None: their values.
    """
    figure, axes = _figure(len(panels), 4.0, title, wrap=3)
    for axis, (metric, lines) in zip(axes, panels.items(), strict=True):
        for number, (name, points) in enumerate(lines.items()):
            colour = COLOURS[number % len(COLOURS)]
            ours = [(p.place, p.value, p.spread) for p in points if not math.isnan(p.place + p.value)]
            others = [(p.place, p.published) for p in points if not math.isnan(p.place + p.published)]
            places, values, spreads = zip(*ours, strict=True) if ours else ((), (), ())
            caps = 3 * any(spreads)
            axis.errorbar(places, values, spreads, marker="o", capsize=caps, color=colour, label=name)
            axis.plot(*zip(*others, strict=True), linestyle="--", marker=".", color=colour, alpha=0.6)
        axis.set(xlabel=axis_title, ylabel=metric)
        if ticks is not None:
            axis.set_xticks(range(len(ticks)), ticks)
    _legend(figure, axes, any(_any_published(lines.values()) for lines in panels.values()))
    figure.savefig(path, format="png")


def draw_bars(panels: Mapping[str, Mapping[str, Point]], path: str | Path, title: str) -> None:
    """A panel for each metric, a bar for each name, a mark where the published figure is.

    Args:
        panels: By metric and name of the bar.
        path: The PNG file.
        title: Above all.
    """
    bars = max(len(points) for points in panels.values())
    figure, axes = _figure(len(panels), 1.2 + 0.4 * bars, title, wrap=len(panels))
    for number, (axis, (metric, points)) in enumerate(zip(axes, panels.items(), strict=True)):
        _, values, spreads, published = zip(*points.values(), strict=True)
        places = range(len(points))
        drawn = axis.barh(
            places, values, 0.6, xerr=spreads if any(spreads) else None, color=BAR_COLOUR, capsize=3
        )
        labels = ["" if math.isnan(value) else f"{value:#.3g}".rstrip(".") for value in values]
        axis.bar_label(drawn, labels, padding=3)
        axis.plot(published, places, "d", color=PUBLISHED_COLOUR)
        axis.set_yticks(places, points if number == 0 else [""] * len(points))
        axis.set(xlabel=metric, ylim=(len(points) - 0.5, -0.5))
        axis.margins(x=0.15)
        if _any_published([points.values()]):
            mark = Line2D([], [], marker="d", linestyle="", color=PUBLISHED_COLOUR, label="published")
            axis.legend(handles=[mark], frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    figure.savefig(path, format="png")


def _figure(panels: int, height: float, title: str, wrap: int) -> tuple[Figure, list[Axes]]:
    """Panels of a height in inches, so many in a row."""
    rows, columns = -(-panels // wrap), min(panels, wrap)
    figure = Figure(figsize=(5.0 * columns + 1.0, height * rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10, parse_math=False)
    return figure, [figure.add_subplot(rows, columns, number + 1) for number in range(panels)]


def _any_published(series: Iterable[Iterable[Point]]) -> bool:
    return any(not math.isnan(point.published) for points in series for point in points)


def _legend(figure: Figure, axes: Sequence[Axes], published: bool) -> None:
    """One for all panels, below them."""
    named: dict[str, Artist] = {}
    for axis in axes:
        handles, labels = axis.get_legend_handles_labels()
        named |= dict(zip(labels, handles, strict=True))
    if published:
        named["published"] = Line2D([], [], linestyle="--", marker=".", color=PUBLISHED_COLOUR)
    if len(named) > 1:
        figure.legend(named.values(), named, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
