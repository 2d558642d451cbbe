"""Results of experiments: of each step as JSON, of all cells as CSV, and the tables made of them."""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, get_args

from gcnpose.config import Config
from gcnpose.errors import InputError
from gcnpose.experiment import Experiment, Metric, Plan, Step
from gcnpose.files import replacing
from gcnpose.protocols import PROTOCOLS
from gcnpose.report import COLUMNS, DECIMALS, FORMATS, Table, number, write_document
from gcnpose.tracking import environment

METRICS: tuple[str, ...] = get_args(Metric)
TITLES = {
    **{metric: f"{title}, mm" if metric.endswith("_mm") else title for metric, title in COLUMNS.items()},
    "mpjve_mm": "MPJVE, mm per frame",
    "keypoints_error_px": "2D error, px of 1000",
    "train_mpjpe_mm": "MPJPE at the end of training, mm",
    "validation_mpjpe_mm": "validation MPJPE, mm",
    "validation_mpjve_mm": "validation MPJVE, mm per frame",
}

PRINTED_DECIMALS = 1
"""Of the published figures, whatever the metric."""


@dataclass(frozen=True)
class Provenance:
    """Where a result is from."""

    command: str
    commit: str
    machine: str

    @classmethod
    def of_this_machine(cls, command: str, config: Config) -> Provenance:
        """The commit is the working folder's, as it is now."""
        found = environment()
        commit = found.get("mlflow.source.git.commit", "")[:7]
        if found.get("mlflow.source.git.dirty") == "true":
            commit += " with changes"
        processor = f"{found['cpu']}, {os.cpu_count()} cores"
        return cls(command, commit, processor if config.device == "cpu" else found.get("gpu", processor))


@dataclass(frozen=True)
class Result:
    """What came of a step."""

    metrics: Mapping[str, float | None]
    """By name; empty where it failed, None where it is not defined."""
    failure: str
    """What went wrong; empty where nothing did."""
    training: str
    """The schedule."""
    scored: str
    """What was scored, and how."""
    command: str
    commit: str
    machine: str
    date: str
    digest: str
    """Of the step, so that the result stands for every step that must come to the same."""


class Entry(NamedTuple):
    """A result in its place in the table."""

    row: str
    column: str
    seed: int
    result: Result


def read_report(step: Step, provenance: Provenance) -> Result:
    """The result of a step that has left its report."""
    report = json.loads(step.report.read_text(encoding="utf-8"))
    protocol = PROTOCOLS[report["protocol"]]
    scores = {**report[protocol.mean], "keypoints_error_px": report["keypoints_error_px"]}
    scored = (
        f"{report['frames']:,} frames, {protocol.mean.replace('_', ' ')}, protocol {protocol.name}, "
        f"lifted by {_way(report['method'], report['inference'])}"
    )
    scores |= _of_training(step.trained or step.folder)
    metrics = {metric: scores[metric] for metric in METRICS}
    return Result(
        metrics,
        "",
        _training(step.config, report["training"]["precision"]),
        scored,
        date=_today(),
        digest=step.digest,
        **asdict(provenance),
    )


def _of_training(folder: Path) -> dict[str, float | None]:
    """Where a training ended on its windows, and what its best checkpoint had on the validation subjects."""
    with (folder / "history.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    validated = [row for row in rows if row.get("val/mpjpe_mm")]
    best = min(validated, key=lambda row: float(row["val/mpjpe_mm"]), default=None)
    names = ("mpjpe_mm", "mpjve_mm")
    return {
        "train_mpjpe_mm": 1000 * float(rows[-1]["train/reconstruction"]),
        **{f"validation_{name}": None if best is None else float(best[f"val/{name}"]) for name in names},
    }


def _way(method: str, inference: Mapping[str, Any]) -> str:
    """How a report was lifted, in words."""
    windows = f" of {inference['window']} frames, step {inference['step']}" if method == "windows" else ""
    parts = [method + windows]
    parts += ["with flips" if inference["flip"] else "without flips"]
    parts += ["following"] if inference["following"] else []
    parts += ["bf16"] if inference["precision"] == "bf16" else []
    return ", ".join(parts)


def failure(step: Step, reason: str, provenance: Provenance) -> Result:
    """The result of a step that failed."""
    training, about = _training(step.config, step.config.train.precision), asdict(provenance)
    return Result({}, reason, training, "", date=_today(), digest=step.digest, **about)


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())


def _training(config: Config, precision: str) -> str:
    """Data and schedule in words, and the precision where it is not single."""
    train, data = config.train, config.data
    source = Path(data.path).name if data.path else "embedded motion"
    steps = "all windows" if train.steps_per_epoch is None else f"{train.steps_per_epoch} steps"
    windows = f"{train.batch_size} windows of {data.window} frames a step"
    schedule = f"{source}, {train.epochs} epoch{'s' if train.epochs > 1 else ''} of {steps}, {windows}"
    return schedule if precision == "fp32" else f"{schedule}, {precision}"


def dump_result(result: Result) -> str:
    """The result as JSON that :func:`parse_result` takes for the same step only."""
    return json.dumps(asdict(result))


def parse_result(step: Step, text: str) -> Result | None:
    """The result in a text, if it is one of this step as it is configured now."""
    try:
        result = Result(**json.loads(text))
        return result if step.accepts(result.digest) else None
    except (ValueError, TypeError):  # cut off by a store that takes no longer texts, or of another version
        return None


def write_csv(entries: Iterable[Entry], path: Path) -> None:
    """Writes a row per entry, the metrics to four decimals."""
    about = [item.name for item in fields(Result) if item.name != "metrics"]
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "column", "seed", *METRICS, *about])
        for row, column, seed, result in entries:
            values = [result.metrics.get(metric) for metric in METRICS]
            rounded = ["" if value is None else round(value, 4) for value in values]
            writer.writerow([row, column, seed, *rounded, *(getattr(result, name) for name in about)])


def read_csv(path: Path, experiment: Experiment) -> list[Entry]:
    """What :func:`write_csv` wrote of an experiment.

    Raises:
        InputError: if there is no such file, it is another, or the experiment does not have its cells.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; the experiment writes it")
    entries = _read_rows(path)
    for entry in entries:
        if not _has_cell(experiment, entry):
            raise InputError(f"{path}: {experiment.name} has no cell {_cell_name(entry)!r}")
    return entries


def read_others(path: Path, plan: Plan) -> list[Entry]:
    """What :func:`write_csv` wrote of seeds that are not planned now, to be kept; failures are not.

    Raises:
        InputError: if results would be lost, of planned cells with other settings or motion, or of cells that
            the experiment does not have; or the file is damaged.
    """
    if not path.exists():
        return []
    planned = {(cell.row, cell.column, cell.seed): cell.step for cell in plan.cells}
    others, changed, gone = [], [], []
    for entry in _read_rows(path):
        step = planned.get((entry.row, entry.column, entry.seed))
        if entry.result.failure:
            continue
        if not _has_cell(plan.experiment, entry):
            gone.append(f"{_cell_name(entry)} seed {entry.seed}")
        elif step is None:
            others.append(entry)
        elif not step.accepts(entry.result.digest):
            changed.append(step.label)
    faults = [f"made with other settings or motion: {', '.join(changed)}"] if changed else []
    faults += [f"of cells that the experiment does not have: {', '.join(gone)}"] if gone else []
    if faults:
        raise InputError(
            f"{path}: {'; '.join(faults)}. "
            "Another name=... begins a new experiment; without the file this one begins anew."
        )
    return others


def _cell_name(entry: Entry) -> str:
    return " ".join(filter(None, (entry.row, entry.column)))


def _has_cell(experiment: Experiment, entry: Entry) -> bool:
    rows, columns = ([part.name for part in parts] for parts in (experiment.rows, experiment.columns))
    return entry.row in rows and entry.column in (columns or [""])


def _read_rows(path: Path) -> list[Entry]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [_entry(row) for row in csv.DictReader(file)]
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: damaged, or not the results of an experiment ({error})") from error


def known_results(folder: Path) -> dict[str, Result]:
    """The results in all files that :func:`write_csv` wrote into a folder, by digest, but for failures.

    Raises:
        InputError: if one of them is damaged.
    """
    files = [path for path in sorted(folder.glob("*.csv")) if path.is_file() and _is_of_experiment(path)]
    results = [entry.result for path in files for entry in _read_rows(path)]
    return {result.digest: result for result in results if not result.failure}


def _is_of_experiment(path: Path) -> bool:
    """By its first line, since other programs write CSV files too."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        return file.readline().startswith("row,column,seed,")


def _entry(row: Mapping[str, str]) -> Entry:
    metrics = {metric: float(row[metric]) if row.get(metric) else None for metric in METRICS}
    about = {item.name: row[item.name] for item in fields(Result) if item.name != "metrics"}
    return Entry(row["row"], row["column"], int(row["seed"]), Result(metrics, **about))


class Summary(NamedTuple):
    """A cell over its seeds."""

    mean: float
    """NaN where no seed has come to a figure."""
    spread: float
    """Standard deviation of the sample; 0 of a single one."""
    seeds: int
    """How many have."""


def summarise(entries: Iterable[Entry], row: str, column: str, metric: str) -> Summary:
    """Mean and spread of a metric over the seeds of a cell."""
    values = [
        value
        for entry in entries
        if (entry.row, entry.column) == (row, column)
        and (value := entry.result.metrics.get(metric)) is not None
        and math.isfinite(value)
    ]
    if not values:
        return Summary(math.nan, 0.0, 0)
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return Summary(statistics.mean(values), spread, len(values))


def make_tables(experiment: Experiment, entries: Sequence[Entry]) -> list[Table]:
    """A table per metric where the experiment has columns, else one with a column per metric.

    Published figures stand in a row below ours, or in a column beside.
    """
    if experiment.columns:
        return [_grid(experiment, entries, metric) for metric in experiment.metrics]
    beside = [
        any(row.published[position : position + 1] not in ((), (None,)) for row in experiment.rows)
        for position in range(len(experiment.metrics))
    ]
    header = [experiment.rows_are]
    for metric, shown in zip(experiment.metrics, beside, strict=True):
        header += [TITLES[metric], "published"] if shown else [TITLES[metric]]
    rows = []
    for row in experiment.rows:
        cells = [row.name]
        for position, (metric, shown) in enumerate(zip(experiment.metrics, beside, strict=True)):
            cells.append(_cell(experiment, entries, row.name, "", metric))
            if shown:
                cells.append(number(row.published[position] if row.published else None, PRINTED_DECIMALS))
        rows.append(cells)
    return [Table(experiment.title, header, rows)]


def _grid(experiment: Experiment, entries: Sequence[Entry], metric: str) -> Table:
    corner = " / ".join(filter(None, (experiment.rows_are, experiment.columns_are)))
    rows = []
    for row in experiment.rows:
        names = [column.name for column in experiment.columns]
        rows.append([row.name, *(_cell(experiment, entries, row.name, name, metric) for name in names)])
        if row.published and metric == experiment.metrics[0]:
            figures = (number(value, PRINTED_DECIMALS) for value in row.published)
            rows.append([f"{row.name}, published", *figures])
    header = [corner, *(column.name for column in experiment.columns)]
    return Table(f"{experiment.title}: {TITLES[metric]}", header, rows)


def _cell(experiment: Experiment, entries: Sequence[Entry], row: str, column: str, metric: str) -> str:
    summary = summarise(entries, row, column, metric)
    if summary.seeds == 0:
        failed = any(e.result.failure for e in entries if (e.row, e.column) == (row, column))
        return "failed" if failed else "-"
    text = number(summary.mean, _decimals(metric))
    if summary.seeds > 1:
        text += f" ± {number(summary.spread, _decimals(metric))}"
    wanted = len({*experiment.seeds, *(entry.seed for entry in entries)})
    return text if summary.seeds == wanted else f"{text} ({summary.seeds} of {wanted})"


def score_text(experiment: Experiment, result: Result) -> str:
    """The first metric of a result, with its name."""
    metric = experiment.metrics[0]
    return f"{TITLES[metric].partition(',')[0]} {number(result.metrics[metric], _decimals(metric))}"


def _decimals(metric: str) -> int:
    return DECIMALS.get(metric.removeprefix("validation_"), 1)


def make_notes(experiment: Experiment, entries: Sequence[Entry]) -> list[str]:
    """What the figures mean nothing without: the schedule, what was scored, what failed, the source."""
    scored = [entry for entry in entries if not entry.result.failure]
    seeds = ", ".join(map(str, sorted({entry.seed for entry in entries})))
    spread = ", mean ± standard deviation" if "," in seeds else ""
    notes = []
    if scored:
        trainings = "; or ".join(dict.fromkeys(entry.result.training for entry in scored))
        notes += [
            f"trained on {trainings}; seed {seeds}{spread}",
            f"scored: {'; or '.join(dict.fromkeys(entry.result.scored for entry in scored))}",
        ]
    notes += [
        f"failed: {_cell_name(entry)} seed {entry.seed}: {entry.result.failure}"
        for entry in entries
        if entry.result.failure
    ]
    if experiment.published:
        notes.append(f"published figures: {experiment.published}")
    return notes + ([experiment.notes] if experiment.notes else [])


def write_tables(experiment: Experiment, entries: Sequence[Entry], folder: Path) -> list[Path]:
    """Writes the table in Markdown and LaTeX and, where there is a figure, the plot; all named as it is."""
    tables, notes = make_tables(experiment, entries), make_notes(experiment, entries)
    files = [folder / f"{experiment.name}{suffix}" for suffix in FORMATS]
    for file in files:
        write_document(tables, notes, file)
    if any(not entry.result.failure for entry in entries):
        files.append(folder / f"{experiment.name}.png")
        _draw(experiment, entries, files[-1])
    return files


def _draw(experiment: Experiment, entries: Sequence[Entry], path: Path) -> None:
    """Lines over the columns; bars where there are none."""
    from gcnpose.viz.comparison import Point, draw_bars, draw_lines

    metrics = [metric for metric in experiment.metrics if metric != experiment.x]
    if not experiment.columns:
        bars = {}
        for place, metric in enumerate(metrics):
            bars[TITLES[metric]] = {
                row.name: Point(
                    0.0,
                    *summarise(entries, row.name, "", metric)[:2],
                    _figure(row.published, place),
                )
                for row in experiment.rows
            }
        draw_bars(bars, path, experiment.title)
        return
    names = [column.name for column in experiment.columns]
    lines = {}
    for metric in metrics:
        lines[TITLES[metric]] = {
            row.name: [
                Point(
                    summarise(entries, row.name, name, experiment.x).mean if experiment.x else column,
                    *summarise(entries, row.name, name, metric)[:2],
                    _figure(row.published, column) if metric == experiment.metrics[0] else math.nan,
                )
                for column, name in enumerate(names)
            ]
            for row in experiment.rows
        }
    axis = TITLES[experiment.x] if experiment.x else experiment.columns_are
    draw_lines(lines, path, experiment.title, axis, None if experiment.x else names)


def _figure(published: Sequence[float | None], position: int) -> float:
    figure = published[position] if published else None
    return math.nan if figure is None else figure


def insert_table(document: Path, name: str, markdown: str) -> None:
    """Puts a table into a Markdown file, in place of what stands between its two marks.

    Raises:
        InputError: as :func:`find_table`.
    """
    before, after = find_table(document, name)
    with replacing(document) as partial:
        partial.write_text(f"{before}{markdown}\n{after}", encoding="utf-8")


def find_table(document: Path, name: str) -> tuple[str, str]:
    """What stands in a Markdown file before the place of a table, and what after it, with its two marks.

    Raises:
        InputError: if the file cannot be read, or does not have the marks.
    """
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    try:
        text = document.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{document}: cannot be read: {error.strerror}") from error
    before, _, others = text.partition(begin)
    _, _, after = others.partition(end)
    if (text.count(begin), others.count(end)) != (1, 1):
        raise InputError(
            f"{document}: expected the lines {begin.strip()} and {end} once, one after the other"
        )
    return before + begin, end + after
