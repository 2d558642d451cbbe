"""Experiments: which trainings and evaluations a table needs, as a file says it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Literal

from gcnpose.config import (
    Config,
    config_from_dict,
    config_to_dict,
    is_place,
    load_config,
)
from gcnpose.errors import InputError
from gcnpose.resources import read_shipped, resource_folder
from gcnpose.settings import Fault, check, distinct, file_name, flatten, not_empty, overlap, read_settings
from gcnpose.skeleton import Skeleton, available_graphs

Metric = Literal[
    "mpjpe_mm",
    "p_mpjpe_mm",
    "n_mpjpe_mm",
    "mpjve_mm",
    "acceleration_mm",
    "pck_150mm",
    "auc",
    "keypoints_error_px",
    "train_mpjpe_mm",
    "validation_mpjpe_mm",
    "validation_mpjve_mm",
]


@dataclass(frozen=True)
class Column:
    """What the cells of a column have in common."""

    name: str = field(metadata=not_empty())
    """Its heading."""
    overrides: tuple[str, ...] = ()
    """Changes to the training, key=value."""
    evaluate: tuple[str, ...] = ()
    """Changes to how the trained network is scored, key=value."""


@dataclass(frozen=True)
class Row:
    """What the cells of a row have in common, and what was published of them."""

    name: str = field(metadata=not_empty())
    """What stands before it."""
    overrides: tuple[str, ...] = ()
    """As of a column; where both change a key, the column's counts."""
    evaluate: tuple[str, ...] = ()
    """As of a column."""
    published: tuple[float | None, ...] = ()
    """Published figures of the first metric for each column; without columns, one for each metric."""


@dataclass(frozen=True)
class Experiment:
    """A table: every row in every column, with every seed."""

    name: str = field(metadata=file_name())
    """Name of the experiment, its folder, its run in MLflow and its results."""
    title: str = field(metadata=not_empty())
    """What is compared."""
    base: str = field(metadata=not_empty())
    """Config that all cells vary: name or path."""
    rows: tuple[Row, ...] = ()
    """The rows of the table."""
    columns: tuple[Column, ...] = ()
    """Its columns; none: a column for each metric."""
    rows_are: str = ""
    """What the rows' names are."""
    columns_are: str = ""
    """What the columns' names are."""
    overrides: tuple[str, ...] = ()
    """Changes to the training of all cells, key=value."""
    seeds: tuple[int, ...] = field(
        default=(0,),
        metadata=check(
            "one or more of 0 to 4294967295, none twice",
            lambda seeds: 0 < len(seeds) == len({*seeds}) and all(0 <= seed < 2**32 for seed in seeds),
        ),
    )
    """Each cell is trained with each; more than one show as mean and standard deviation."""
    metrics: tuple[Metric, ...] = field(default=("mpjpe_mm",), metadata=distinct())
    """Which scores to show, by the mean that the protocol quotes."""
    x: Metric | None = None
    """Score that the columns are drawn over; None: over their names."""
    published: str = ""
    """Where the published figures are from, and what they were measured on."""
    notes: str = ""
    """What else stands under the table."""


@dataclass(frozen=True)
class Step:
    """A training, or an evaluation of what one left; each is a process of its own."""

    label: str
    """For a reader."""
    name: str
    """The folder within the experiment's, so unlike any other step's."""
    folder: Path
    config: Config
    """Of the training, also where this is an evaluation."""
    trained: Path | None = None
    """An evaluation: the folder of the training."""
    evaluate: tuple[str, ...] = ()

    @property
    def report(self) -> Path:
        return self.folder / "report.json"

    @cached_property
    def scored(self) -> Config:
        """What the training's config is to an evaluation."""
        return _scored(self.config, self.evaluate)

    @property
    def other_motion(self) -> str | None:
        """The motion that an evaluation scores, where it names one."""
        named = any(override.startswith("data.path=") for override in self.evaluate)
        return self.scored.data.path if named else None

    @cached_property
    def digest(self) -> str:
        """The same for steps that must come to the same result, wherever they run.

        Of the settings; and then, where all motion is in files that are here, of what these and their splits
        hold.
        """
        content = json.dumps([identity(self.config), *self.evaluate], sort_keys=True).encode()
        motions = [_hash_of_motion(Path(path)) for path in (self.config.data.path, self.other_motion) if path]
        return hashlib.sha256(content).hexdigest()[:16] + ("".join(motions) if all(motions) else "")

    def accepts(self, digest: str) -> bool:
        """Whether a result with that digest is this step's; where the motion is not here, by the settings."""
        return digest.startswith(self.digest)


def _scored(config: Config, evaluate: Sequence[str]) -> Config:
    return config_from_dict(config_to_dict(config), "evaluate", evaluate)


def _hash_of_motion(path: Path) -> str:
    if not path.is_file():
        return ""
    files = [file for file in (path, path.with_name("splits.json")) if file.is_file()]
    return "".join("-" + _hash_of_file(file, file.stat().st_mtime_ns) for file in files)


@cache
def _hash_of_file(path: Path, changed_ns: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


@dataclass(frozen=True)
class Cell:
    """A place in the table, for one seed, and the step whose score stands there."""

    row: str
    column: str
    seed: int
    step: Step


@dataclass(frozen=True)
class Plan:
    """All that is to do for an experiment."""

    experiment: Experiment
    folder: Path
    cells: list[Cell]
    groups: list[list[Step]]
    """Each a training and then the evaluations of it. No two trainings are alike."""

    def shard(self, number: int, count: int) -> list[list[Step]]:
        """The groups of one of several machines, ``number`` from 1 to ``count``: each has its own.

        Raises:
            InputError: if there is no such shard, or none of the groups is left for it.
        """
        if not 1 <= number <= count:
            last = max(count, 1)
            raise InputError(f"shard: expected 1/{last} to {last}/{last}, came {number}/{count}")
        if number > len(self.groups):
            raise InputError(
                f"shard {number}/{count}: nothing to do, the experiment has {len(self.groups)} trainings"
            )
        return self.groups[number - 1 :: count]


def load_experiment(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment in a YAML file, or the shipped one of that name (``"table1"``), with overrides put in.

    Args:
        path_or_name: A path, or a shipped experiment's name without folder and suffix.
        overrides: ``key=value`` with a key of the experiment (``seeds=[0, 1]``, ``base=h36m_gt``), or else a
            key of the config (``data.path=cmu17.npz``), which changes all cells.

    Raises:
        InputError: naming every fault of the file and of the overrides that are its own; or if the experiment
            itself sets what one of the others would change.
    """
    folder = resource_folder("configs") / "experiments"
    content, source, faults = read_shipped(path_or_name, folder, "experiment")
    own = {item.name for item in fields(Experiment)}
    keys = {override: override.partition("=")[0] for override in overrides}
    for_itself = [override for override in overrides if keys[override].split(".")[0] in own]
    experiment = read_settings(Experiment, content, source, for_itself, faults, _conflicts)
    for_all = [override for override in overrides if override not in for_itself]
    parts: tuple[Row | Column, ...] = (*experiment.rows, *experiment.columns)
    varied = [override.partition("=")[0] for part in parts for override in (*part.overrides, *part.evaluate)]
    for override in for_all:
        for key in varied:
            if overlap(key, keys[override]):
                raise InputError(f"override {override!r}: {key} is what the cells of {source} differ in")
        if keys[override] == "seed":
            raise InputError(f"override {override!r}: the seeds of an experiment are seeds=[...]")
    return replace(experiment, overrides=(*experiment.overrides, *for_all))


def make_plan(experiment: Experiment) -> Plan:
    """Reads the config of every cell. Cells with equal configs share a training.

    Raises:
        InputError: if a config cannot be read, naming the faults of all cells; or if two cells have one name.
    """
    # What the whole machine does says little of one of the cells that run on it at once.
    for_all = ["tracking.system_metrics=false", *experiment.overrides]
    base = load_config(experiment.base, for_all)
    folder = Path(base.output) / experiment.name
    faults: list[str] = []
    cells: list[Cell] = []
    steps: dict[str, Step] = {}  # by digest
    groups: dict[Path, list[Step]] = {}
    columns: Sequence[Column | None] = experiment.columns or (None,)
    for seed, row, column in product(experiment.seeds, experiment.rows, columns):
        parts: tuple[Row | Column, ...] = (row,) if column is None else (row, column)
        name = " ".join(part.name for part in parts)
        overrides = [override for part in parts for override in part.overrides]
        evaluate = tuple(override for part in parts for override in part.evaluate)
        trained = " ".join(part.name for part in parts if part.overrides) or (base.name if evaluate else name)
        settings = (f"name={experiment.name}-{_slug(trained)}", f"output={folder}", f"seed={seed}")
        try:
            config = load_config(experiment.base, [*for_all, *overrides, *settings])
            if _scored(config, evaluate).model != config.model:
                raise InputError("evaluate: model.* is what the training made it")
            Skeleton.load(config.skeleton)
        except InputError as error:
            faults.append(f"{name}: {error}")
            continue
        place = f"{_slug(trained)}-seed{seed}"
        step = Step(f"{trained} seed {seed}", place, folder / place, config)
        training = step = steps.setdefault(step.digest, step)
        if evaluate:
            place = f"{training.name}/{_slug(name)}"
            step = Step(f"{name} seed {seed}", place, folder / place, config, training.folder, evaluate)
            step = steps.setdefault(step.digest, step)
        cells.append(Cell(row.name, column.name if column else "", seed, step))
        group = groups.setdefault(training.folder, [training])
        if group[0] != training:
            faults.append(f"{name}: its training would lie in the folder {training.name} of another one")
        elif step not in group:
            group.append(step)
    names = [step.name for group in groups.values() for step in group]
    faults += [
        f"{name}: two cells have this name" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    if faults:
        faults = list(dict.fromkeys(faults))
        raise InputError("\n".join(f"{experiment.name}: {fault}" for fault in faults))
    return Plan(experiment, folder, cells, list(groups.values()))


def identity(config: Config, graph: str | Path | None = None) -> dict[str, object]:
    """The settings that a result depends on, where they are not the defaults, under their dotted keys.

    Of the motion only the file's name is among them, since it lies elsewhere on every machine, and of a graph
    file of one's own only a digest of what it holds. Without the defaults a result stays what it is when the
    config gets a new setting.

    Args:
        config: All settings.
        graph: The graph file, where it is another one than the config's.
    """
    defaults = flatten(config_to_dict(Config(name="", skeleton="")))
    settings = {
        key: value for key, value in flatten(config_to_dict(config)).items() if value != defaults[key]
    }
    settings = {key: value for key, value in settings.items() if key != "name" and not is_place(key)}
    if config.data.path is not None:
        settings["data.path"] = Path(config.data.path).name
    if config.skeleton not in available_graphs():
        content = json.dumps(Skeleton.load(graph or config.skeleton).to_dict(), sort_keys=True)
        settings["skeleton"] = hashlib.sha256(content.encode()).hexdigest()[:8]
    return settings


def _conflicts(experiment: Experiment) -> Iterator[Fault]:
    if not experiment.rows:
        yield ("rows",), "expected at least one, came none"
    expected = len(experiment.columns) or len(experiment.metrics)
    of_what = "column" if experiment.columns else "metric"
    for kind in ("rows", "columns"):
        names = [part.name for part in getattr(experiment, kind)]
        for position, name in enumerate(names):
            if name in names[:position]:
                yield (f"{kind}[{position}].name",), f"expected another name than {kind}[{names.index(name)}]"
    if experiment.x is not None and not experiment.columns:
        yield ("x", "columns"), "is what columns are drawn over, and there are none"
    if experiment.x is not None and all(metric == experiment.x for metric in experiment.metrics):
        yield ("x", "metrics"), "there is no other metric to draw over it"
    for position, row in enumerate(experiment.rows):
        if row.published and len(row.published) != expected:
            reason = f"expected {expected}, one for each {of_what}, came {len(row.published)}"
            yield (f"rows[{position}].published", "columns", "metrics"), reason


def _slug(name: str) -> str:
    """The name as part of a file name."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.") or "cell"
