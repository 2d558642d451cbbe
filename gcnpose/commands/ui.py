"""``gcnpose ui``: MLflow on the runs of a folder, and a picture of its comparison of some."""

from __future__ import annotations

import argparse
from pathlib import Path

from gcnpose.commands.common import Commands, check_output
from gcnpose.errors import InputError


def add(commands: Commands) -> None:
    parser = commands.add_parser("ui", help="open MLflow on the runs of this folder")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument(
        "--compare",
        metavar="EXPERIMENT",
        help="take a picture of MLflow's page that compares the cells of this experiment; needs Chromium",
    )
    parser.add_argument("--output", type=Path, metavar="FILE.png", help="of --compare")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.config import TrackingConfig
    from gcnpose.tracking import photograph_comparison, serve_ui

    if options.compare is None and options.output is None:
        serve_ui(TrackingConfig(), options.port)
    elif options.compare is None or options.output is None:
        raise InputError("ui: --compare and --output go together")
    else:
        check_output(options.output, ".png")
        photograph_comparison(TrackingConfig(), {"experiment": options.compare}, options.output, options.port)
