"""Lines and bars of an experiment show its figures."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import imread

from gcnpose.viz.comparison import Point, draw_bars, draw_lines

NAN = math.nan


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Axes]:
    """The panels of what is drawn."""
    panels: list[Axes] = []
    save = Figure.savefig

    def keep(self: Figure, *arguments: object, **settings: object) -> None:
        panels.extend(self.axes)
        save(self, *arguments, **settings)

    monkeypatch.setattr(Figure, "savefig", keep)
    return panels


def test_lines(tmp_path: Path, drawn: list[Axes]) -> None:
    ours = [
        Point(2, 51.0, 0.5, 32.0),
        Point(8, NAN, 0.0, 28.2),
        Point(NAN, 7.0, 0.0, NAN),
        Point(24, 47.0, 0.5, NAN),
    ]
    plain = [Point(2, 50.0, 0.0, NAN), Point(8, 49.0, 0.0, NAN)]
    draw_lines(
        {"MPJPE, mm": {"cross": ours, "inner": plain}, "MPJVE": {"inner": plain}},
        tmp_path / "x.png",
        "T",
        "i",
    )
    first, second = drawn
    solid = [line for line in first.get_lines() if line.get_marker() == "o"]
    dashed = [line for line in first.get_lines() if line.get_linestyle() == "--"]
    np.testing.assert_array_equal(solid[0].get_xydata(), [[2, 51], [24, 47]])
    np.testing.assert_array_equal(solid[1].get_xydata(), [[2, 50], [8, 49]])
    np.testing.assert_array_equal(dashed[0].get_xydata(), [[2, 32], [8, 28.2]])
    (legend,) = first.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["cross", "inner", "published"]
    assert (first.get_xlabel(), first.get_ylabel(), second.get_ylabel()) == ("i", "MPJPE, mm", "MPJVE")
    assert imread(tmp_path / "x.png").std() > 0


def test_names_as_places(tmp_path: Path, drawn: list[Axes]) -> None:
    points = [Point(0, 51.0, 0.0, NAN), Point(1, 50.0, 0.0, NAN)]
    draw_lines({"MPJPE": {"cross": points}}, tmp_path / "x.png", "T", "interval", ["none", "8"])
    assert [label.get_text() for label in drawn[0].get_xticklabels()] == ["none", "8"]
    assert drawn[0].figure.legends == [], "one line needs none"


def test_nothing_measured_yet(tmp_path: Path, drawn: list[Axes]) -> None:
    lines = {"cross": [Point(0, NAN, 0.0, NAN)], "inner": [Point(0, 51.0, 0.0, NAN)]}
    draw_lines({f"metric {number}": lines for number in range(4)}, tmp_path / "x.png", "T", "interval")
    assert [[len(line.get_xdata()) for line in axis.get_lines()] for axis in drawn] == [[0, 1]] * 4
    tops = [axis.get_position().y1 for axis in drawn]
    assert tops[0] == tops[2] > tops[3], "three in a row"


def test_bars(tmp_path: Path, drawn: list[Axes]) -> None:
    bars = {
        "UGCN": Point(0, 45.0, 1.0, 32.0),
        "failed": Point(0, NAN, 0.0, NAN),
        "other": Point(0, 40.0, 0.0, 39.2),
    }
    draw_bars(
        {"MPJPE": bars, "MPJVE": {name: point._replace(published=NAN) for name, point in bars.items()}},
        tmp_path / "x.png",
        "T",
    )
    first, second = drawn
    widths = [patch.get_width() for patch in first.patches]
    np.testing.assert_array_equal(widths, [45, NAN, 40])
    (marks,) = (line for line in first.get_lines() if line.get_marker() == "d")
    np.testing.assert_array_equal(marks.get_xydata(), [[32, 0], [NAN, 1], [39.2, 2]])
    assert [text.get_text() for text in first.texts] == ["45.0", "", "40.0"]
    assert [label.get_text() for label in first.get_yticklabels()] == list(bars)
    assert [text.get_text() for text in first.get_legend().get_texts()] == ["published"]
    assert second.get_legend() is None
    low, high = first.get_ylim()
    assert low > high, "the first row on top"
