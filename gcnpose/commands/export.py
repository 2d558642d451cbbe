"""``gcnpose export``: a checkpoint's network for another runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from gcnpose.commands.common import Commands, check_output, say


def add(commands: Commands) -> None:
    parser = commands.add_parser("export", help="write a checkpoint's network as ONNX, pt2 or TorchScript")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="checkpoint or run folder")
    parser.add_argument("--format", choices=("onnx", "pt2", "torchscript"), default="onnx")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="ends in .onnx, .pt2 or .torchscript"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.export.network import FORMATS, export_network

    check_output(options.output, FORMATS[options.format][0])
    difference = export_network(options.checkpoint, options.format, options.output)
    say(f"{options.output}: differs from the checkpoint's network by {difference:.1g} m at most")
