"""``gcnpose experiment``: trains and scores the cells of a table."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from gcnpose.commands.common import Commands, say
from gcnpose.errors import InputError


def add(commands: Commands) -> None:
    parser = commands.add_parser("experiment", help="train and score the cells of a table")
    parser.add_argument("experiment", help="experiment file, or the name of one that comes with gcnpose")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to the experiment, such as seeds=[0,1], or to all trainings, such as train.epochs=2",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes at once")
    parser.add_argument(
        "--shard",
        default="1/1",
        metavar="I/N",
        help="the part of one of N machines, I from 1 to N; all need the same MLflow server",
    )
    parser.add_argument(
        "--results", type=Path, default=Path("results"), metavar="FOLDER", help="of NAME.csv and its tables"
    )
    parser.add_argument(
        "--table-only", action="store_true", help="train nothing, make the tables of the NAME.csv there is"
    )
    parser.add_argument(
        "--insert",
        type=Path,
        action="append",
        default=[],
        metavar="FILE.md",
        help="put the table between <!-- NAME --> and <!-- end of NAME --> in this file too",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.experiment import load_experiment
    from gcnpose.grid import run_experiment
    from gcnpose.results import find_table, insert_table, read_csv, write_tables

    experiment = load_experiment(options.experiment, options.overrides)
    for document in options.insert:
        find_table(document, experiment.name)
    file = options.results / f"{experiment.name}.csv"
    if options.table_only:
        written = write_tables(experiment, read_csv(file, experiment), options.results)
        say(", ".join(map(str, written)))
    else:
        shard = re.fullmatch(r"(\d+)/(\d+)", options.shard)
        if shard is None:
            raise InputError(f"--shard: expected I/N, such as 1/4, came {options.shard!r}")
        if options.jobs < 1:
            raise InputError(f"--jobs: expected at least 1, came {options.jobs}")
        command = shlex.join(["gcnpose", "experiment", options.experiment, *_that_matter(options.overrides)])
        part = (int(shard[1]), int(shard[2]))
        run_experiment(experiment, command, options.jobs, part, options.results, say)
    for document in options.insert:
        insert_table(document, experiment.name, file.with_suffix(".md").read_text(encoding="utf-8"))


def _that_matter(overrides: Sequence[str]) -> list[str]:
    """Those that others need to come to the same results, with the file's name for its path here."""
    from gcnpose.config import is_place

    matter = [o for o in overrides if o.startswith("data.path=") or not is_place(o.partition("=")[0])]
    return [re.sub(r"^data\.path=.*/", "data.path=", override) for override in matter]
