"""``gcnpose export``: a checkpoint's network for another runtime."""

from __future__ import annotations

import argparse
from pathlib import Path

from gcnpose.commands.common import Commands, check_output, say


def add(commands: Commands) -> None:
    parser = commands.add_parser("export", help="write a checkpoint's network for others")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="checkpoint or run folder")
    parser.add_argument(
        "--format",
        choices=("onnx", "pt2", "torchscript", "safetensors"),
        default="onnx",
        help="safetensors: for gcnpose itself, in half precision; the others: for other runtimes",
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="ends in a dot and the format's name"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.format == "safetensors":
        from gcnpose.checkpoint import SHARED_SUFFIX, load_checkpoint, restore_model, save_shared

        check_output(options.output, SHARED_SUFFIX)
        content = load_checkpoint(options.checkpoint)
        restore_model(content, options.checkpoint)
        save_shared(options.output, content)
        say(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
        return
    from gcnpose.export.network import FORMATS, export_network

    check_output(options.output, FORMATS[options.format][0])
    difference = export_network(options.checkpoint, options.format, options.output)
    say(f"{options.output}: differs from the checkpoint's network by {difference:.1g} m at most")
