"""The results in the paper's Tables 6 to 9: its own and those of the methods that it compares with."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = Path(__file__).with_name("data") / "published_results.csv"


@dataclass(frozen=True)
class PublishedRow:
    """A method's row in one of the tables.

    Args:
        table: ``"Table 6"`` to ``"Table 9"``.
        keypoints: What is lifted: ``"ground-truth 2D"`` or ``"detected 2D"``.
        method: Name and, in brackets, reference.
        values: By metric, named as in a report, and action, named as in Human3.6M's files, or ``Average``;
            ``all`` where there are no actions. Averages are as printed: in Table 7 UGCN's is 25.6, while its
            actions have a mean of 25.2.
    """

    table: str
    keypoints: str
    method: str
    values: Mapping[tuple[str, str], float]


def published_rows(dataset: str) -> list[PublishedRow]:
    """What is published on ``"Human3.6M"`` or ``"MPI-INF-3DHP"``, in the order of the tables."""
    lines = [line for line in _FILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows: dict[tuple[str, str, str], dict[tuple[str, str], float]] = {}
    for entry in csv.DictReader(lines):
        if entry["dataset"] == dataset:
            values = rows.setdefault((entry["table"], entry["keypoints"], entry["method"]), {})
            values[entry["metric"], entry["action"]] = float(entry["value"])
    return [PublishedRow(*key, values) for key, values in rows.items()]
