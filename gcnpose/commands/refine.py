"""``gcnpose refine``: trains a second stage that corrects a network's poses, given the cameras."""

from __future__ import annotations

import argparse
from pathlib import Path

from gcnpose.commands.common import Commands, say


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "refine", help="train a second stage that corrects a network's poses, given the cameras"
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint or run folder of the network")
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to its config, such as refinement.root_depth=ground_truth or data.path=motion.npz",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.second_stage import refine_checkpoint

    refined = refine_checkpoint(options.checkpoint, options.overrides, say)
    say(f"{refined}: both stages; the report is beside it, as .json and .csv")
