"""``gcnpose draw``: pictures of graphs, of the paper's Figure 1, and of poses that a network finds hard."""

from __future__ import annotations

import argparse
from pathlib import Path

from gcnpose.commands.common import Commands, check_output, checkpoint_and_overrides
from gcnpose.errors import InputError


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "draw", help="draw a graph, the paper's Figure 1, or the hardest poses, as a PNG"
    )
    parser.add_argument("what", choices=("graph", "pendulum", "poses"))
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="GRAPH | CHECKPOINT key=value",
        help="graph: name or file of the skeleton, h36m17 if none; poses: checkpoint or run folder, the "
        "newest if none, whose largest errors are drawn, one of each sequence; then changes such as "
        "data.path=motion.npz",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.png")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if len(options.arguments) > {"graph": 1, "pendulum": 0}.get(options.what, len(options.arguments)):
        raise InputError(f"draw {options.what}: takes no {options.arguments[-1]!r}")
    check_output(options.output, ".png")
    if options.what == "graph":
        from gcnpose.skeleton import Skeleton
        from gcnpose.viz.graph import draw_graph

        draw_graph(Skeleton.load((*options.arguments, "h36m17")[0]), options.output)
    elif options.what == "pendulum":
        from gcnpose.viz.pendulum import draw_pendulum

        draw_pendulum(options.output)
    else:
        from gcnpose.scoring import draw_hardest

        draw_hardest(*checkpoint_and_overrides(options.arguments), options.output)
