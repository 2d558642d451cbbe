"""``gcnpose evaluate``: scores a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

from gcnpose.commands.common import Commands, check_output, say


def add(commands: Commands) -> None:
    parser = commands.add_parser("evaluate", help="score a checkpoint")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="CHECKPOINT key=value",
        help="checkpoint or run folder, the newest run if none; then changes such as data.path=motion.npz",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE.json", help="write the report here, and a .csv beside it"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.evaluation import write_report
    from gcnpose.run import BEST, evaluate_checkpoint, newest_run

    given, overrides = options.arguments[:1], options.arguments[1:]
    if not given or ("=" in given[0] and not Path(given[0]).exists()):
        given, overrides = [str(newest_run("runs", BEST))], options.arguments
    path = Path(given[0])
    if options.output:
        check_output(options.output, ".json")
    report = evaluate_checkpoint(path / BEST if path.is_dir() else path, overrides, say)
    if options.output:
        write_report(report, options.output)
