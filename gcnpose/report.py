"""Reports as tables beside the published ones, for a terminal, Markdown, LaTeX and CSV; and as JSON."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gcnpose.files import replacing
from gcnpose.protocols import PROTOCOLS, Protocol
from gcnpose.published import published_rows

COLUMNS = {
    "mpjpe_mm": "MPJPE",
    "p_mpjpe_mm": "P-MPJPE",
    "n_mpjpe_mm": "N-MPJPE",
    "mpjve_mm": "MPJVE",
    "acceleration_mm": "accel.",
    "pck_150mm": "PCK %",
    "auc": "AUC %",
}
DECIMALS = {"mpjve_mm": 2, "acceleration_mm": 2}  # all others 1, as papers print them
_TRUE_PX = 1.0  # 2D that is nearer to the projected truth is the truth, but for how it was computed
_LATEX = str.maketrans({character: f"\\{character}" for character in "%_&#${}"})


class Table(NamedTuple):
    """Cells as text; the first column is the row's name."""

    title: str
    header: list[str]
    rows: list[list[str]]


def rounded(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics as they are quoted: one decimal, those of single frames' steps two."""
    return {name: round(values[name], DECIMALS.get(name, 1)) for name in COLUMNS}


def format_text(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """Tables and what is to be said of them, for a terminal."""
    return "\n".join([*(as_text(table) + "\n" for table in tables), *notes])


def format_markdown(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """The same as Markdown."""
    return "\n".join([*(_as_markdown(table) + "\n" for table in tables), *(f"- {note}" for note in notes)])


def format_latex(tables: Sequence[Table], notes: Sequence[str]) -> str:
    """The same as LaTeX: a ``tabular`` for each table, no packages needed; the notes in comments."""
    return "\n".join([*(_as_latex(table) + "\n" for table in tables), *(f"% {note}" for note in notes)])


FORMATS: Mapping[str, Callable[[Sequence[Table], Sequence[str]], str]] = {
    ".md": format_markdown,
    ".tex": format_latex,
}
"""By the suffix of a file."""
SUFFIXES = (".json", *FORMATS)
"""Of the files that :func:`write_report` writes."""


def write_document(tables: Sequence[Table], notes: Sequence[str], path: Path) -> None:
    """Writes tables and notes in the format of the file's suffix, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(FORMATS[path.suffix](tables, notes) + "\n", encoding="utf-8")


def format_report(report: Mapping[str, Any]) -> str:
    """The report for a terminal."""
    return format_text(_tables(report), _notes(report))


def write_report(report: Mapping[str, Any], path: Path) -> None:
    """Writes the report; each file whole or not at all.

    Args:
        report: As :func:`gcnpose.evaluation.evaluate` gives it.
        path: ``.md`` for Markdown, ``.tex`` for LaTeX, ``.json`` for all of it, with the table of actions as
            CSV beside it. What is not defined, such as the MPJVE of one frame, is null in JSON and empty in
            CSV.
    """
    if path.suffix in FORMATS:
        write_document(_tables(report), _notes(report), path)
        return
    report = _defined(report)
    with replacing(path.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    with (
        replacing(path.with_suffix(".csv")) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["action", "frames", *COLUMNS])
        for name, values in _rows(report, "yardstick_{}", "{}").items():
            writer.writerow([name, values.get("frames", report["frames"]), *(values[key] for key in COLUMNS)])


def _rows(report: Mapping[str, Any], yardstick: str, other: str) -> dict[str, Mapping[str, Any]]:
    """All rows of metrics by name."""
    return {
        **report["per_action"],
        **report["groups"],
        "mean_over_actions": report["mean_over_actions"],
        "mean_over_frames": report["mean_over_frames"],
        **{other.format(name): means["mean_over_frames"] for name, means in report["other_methods"].items()},
        **{yardstick.format(name): means["mean_over_frames"] for name, means in report["yardsticks"].items()},
    }


def _tables(report: Mapping[str, Any]) -> list[Table]:
    rows = _rows(report, "yardstick {}, over frames", "{}, over frames")
    header = ["mm (MPJVE per frame)", *COLUMNS.values()]
    cells = [
        _cells(name.replace("mean_over_", "mean over "), [values[key] for key in COLUMNS], 2)
        for name, values in rows.items()
    ]
    tables = [Table("All metrics", header, cells)]
    if groups := report["joint_groups"]:
        cells = [
            _cells(COLUMNS[metric], [group[metric] for group in groups.values()], 1)
            for metric in ("pck_150mm", "auc")
        ]
        tables.append(Table("By joints, mean over frames", ["", *groups], cells))
    return tables + _paper_tables(report, PROTOCOLS[report["protocol"]])


def _paper_tables(report: Mapping[str, Any], protocol: Protocol) -> list[Table]:
    """The tables as the paper has them, with this run as the last row.

    A table per metric with a column per action; or one with a column per metric, where there are no actions.
    """
    means = report[protocol.mean]
    if protocol.mean == "mean_over_frames":
        header = {(metric, "all"): COLUMNS[metric] for metric in protocol.metrics}
        ours = {(metric, "all"): means[metric] for metric in protocol.metrics}
        return [_paper_table(report, protocol, "mm and %", header, ours)] if ours else []
    tables = []
    for metric in protocol.metrics:
        header = {
            (metric, action): title for action, title in {**protocol.columns, "Average": "Ave."}.items()
        }
        scores = {**report["per_action"], "Average": means}
        ours = {(metric, action): values[metric] for action, values in scores.items()}
        tables.append(_paper_table(report, protocol, f"{COLUMNS[metric]}, mm", header, ours))
    return tables


def _paper_table(
    report: Mapping[str, Any],
    protocol: Protocol,
    title: str,
    header: Mapping[tuple[str, str], str],
    ours: Mapping[tuple[str, str], float],
) -> Table:
    """The published rows that have any of the columns, and ours.

    Args:
        header: Heading of each column, a metric of an action.
        ours: Values of this run.
    """
    published = published_rows(protocol.dataset) if protocol.dataset else []
    kind = "ground-truth 2D" if report["keypoints_error_px"] < _TRUE_PX else "detected 2D"
    published = [row for row in published if row.keypoints == kind] or published
    beside = [row for row in published if row.values.keys() & header.keys()]
    source = " and ".join(dict.fromkeys(f"{row.table} ({row.keypoints})" for row in beside))
    rows = [_cells(row.method, [row.values.get(key) for key in header], 1) for row in beside]
    decimals = DECIMALS.get(next(iter(header))[0], 1)
    rows.append(_cells(f"this run, {report['method']}", [ours.get(key) for key in header], decimals))
    return Table(f"{title}, beside the paper's {source}" if source else title, ["", *header.values()], rows)


def _notes(report: Mapping[str, Any]) -> list[str]:
    """What a number means nothing without."""
    protocol = PROTOCOLS[report["protocol"]]
    headline = ", ".join(
        f"{title} {number(report['headline'][name], DECIMALS.get(name, 1))}"
        for name, title in COLUMNS.items()
    )
    notes = [
        f"{protocol.mean.replace('_', ' ')}: {headline}",
        f"protocol {report['protocol']}: {report['rules']}",
        f"averaging: {report['averaging']}",
        f"{report['frames']} frames in {report['clips']} clips, 2D: {report['keypoints']}"
        f" ({report['keypoints_error_px']:.1f} px from the projected 3D in an image 1000 px wide)",
    ]
    missing = [name for name in protocol.columns if name not in report["per_action"]]
    if protocol.subjects and {*report["subjects"]} != {*protocol.subjects}:
        scored, whole = ", ".join(report["subjects"]), ", ".join(protocol.subjects)
        notes.append(f"NOT the test set as published, which is of {whole}: of {scored}")
    elif missing:
        notes.append(f"NOT the whole test set: without {', '.join(missing)}")
    elif protocol.frames and report["frames"] != protocol.frames:
        notes.append(f"NOT the test set as published, which has {protocol.frames} frames")
    for name, values in {report["method"]: report, **report["other_methods"]}.items():
        speed = report["lifted_frames"] / values["seconds"]
        notes.append(f"lifted by {name}: {values['seconds']:.1f} s ({speed:.0f} frames/s)")
    return notes


def _cells(name: str, values: Sequence[float | None], decimals: int) -> list[str]:
    return [name, *(number(value, decimals) for value in values)]


def number(value: float | None, decimals: int) -> str:
    """A dash for what is not there or not defined."""
    return "-" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def as_text(table: Table) -> str:
    widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in (table.header, *table.rows)
    ]
    return "\n".join([table.title, lines[0], "-" * len(lines[0]), *lines[1:]])


def _as_markdown(table: Table) -> str:
    rule = ["---", *["---:"] * (len(table.header) - 1)]
    lines = ["| " + " | ".join(row) + " |" for row in (table.header, rule, *table.rows)]
    return "\n".join([f"**{table.title}**", "", *lines])


def _as_latex(table: Table) -> str:
    header, *rows = (
        " & ".join(cell.translate(_LATEX) for cell in row) for row in (table.header, *table.rows)
    )
    return "\n".join(
        [
            f"% {table.title}",
            f"\\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
            "\\hline",
            f"{header} \\\\",
            "\\hline",
            *(f"{row} \\\\" for row in rows),
            "\\hline",
            "\\end{tabular}",
        ]
    )


def _defined(value: Any) -> Any:
    """None in place of every number that is not finite: JSON has none."""
    if isinstance(value, Mapping):
        return {name: _defined(entry) for name, entry in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
