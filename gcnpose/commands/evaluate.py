"""``gcnpose evaluate``: scores a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

from gcnpose.commands.common import (
    Commands,
    add_tag_option,
    check_output,
    checkpoint_and_overrides,
    say,
    tags_of,
)
from gcnpose.config import ProtocolName


def add(commands: Commands) -> None:
    parser = commands.add_parser("evaluate", help="score a checkpoint")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="CHECKPOINT key=value",
        help="checkpoint or run folder, the newest run if none; then changes such as data.path=motion.npz",
    )
    parser.add_argument(
        "--protocol",
        choices=get_args(ProtocolName),
        help="what counts and how it is averaged; short for evaluation.protocol=...",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write the report here: all of it to a .json with a .csv beside it, its tables to a .md or .tex",
    )
    add_tag_option(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.report import SUFFIXES, write_report
    from gcnpose.scoring import evaluate_checkpoint

    checkpoint, overrides = checkpoint_and_overrides(options.arguments)
    if options.output:
        check_output(options.output, *SUFFIXES)
        if options.output.suffix == ".json":
            check_output(options.output.with_suffix(".csv"), ".csv")
    if options.protocol:
        overrides = [*overrides, f"evaluation.protocol={options.protocol}"]
    report = evaluate_checkpoint(checkpoint, overrides, say, tags_of(options))
    if options.output:
        write_report(report, options.output)
