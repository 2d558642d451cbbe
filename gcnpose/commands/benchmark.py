"""``gcnpose benchmark``: times parts against the usual way of writing them."""

from __future__ import annotations

import argparse

from gcnpose.commands.common import Commands, say
from gcnpose.errors import InputError


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "benchmark", help="time a training step against the usual way of writing the network"
    )
    parser.add_argument("what", choices=("layer", "step"))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--frames", type=int, default=96)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.benchmark import time_layer, time_step

    if min(options.batch_size, options.frames, options.repeats) < 1:
        raise InputError("benchmark: --batch-size, --frames and --repeats must be at least 1")
    time_what = {"layer": time_layer, "step": time_step}[options.what]
    say(time_what(options.batch_size, options.frames, options.repeats, options.precision))
