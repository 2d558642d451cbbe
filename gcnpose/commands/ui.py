"""``gcnpose ui``: MLflow on the runs of a folder."""

from __future__ import annotations

import argparse

from gcnpose.commands.common import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("ui", help="open MLflow on the runs of this folder")
    parser.add_argument("--port", type=int, default=5000)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.config import TrackingConfig
    from gcnpose.tracking import serve_ui

    serve_ui(TrackingConfig(), options.port)
