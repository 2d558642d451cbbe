"""``gcnpose benchmark``: times parts against the usual way of writing them."""

from __future__ import annotations

import argparse

from gcnpose.commands.common import Commands, say
from gcnpose.errors import InputError


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "benchmark", help="time training or lifting against the usual way of writing it"
    )
    parser.add_argument("what", choices=("layer", "step", "inference"))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--frames", type=int, help="96; of inference 2000")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.benchmark import time_inference, time_layer, time_step

    frames = options.frames
    if frames is None:
        frames = 2000 if options.what == "inference" else 96
    if min(options.batch_size, frames, options.repeats) < 1:
        raise InputError("benchmark: --batch-size, --frames and --repeats must be at least 1")
    time_what = {"layer": time_layer, "step": time_step, "inference": time_inference}[options.what]
    say(time_what(options.batch_size, frames, options.repeats, options.precision))
