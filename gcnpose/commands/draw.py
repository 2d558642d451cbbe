"""``gcnpose draw``: pictures of graphs and of the paper's Figure 1."""

from __future__ import annotations

import argparse
from pathlib import Path

from gcnpose.commands.common import Commands


def add(commands: Commands) -> None:
    parser = commands.add_parser("draw", help="draw a skeleton graph, or the paper's Figure 1, as a PNG")
    parser.add_argument("what", choices=("graph", "pendulum"))
    parser.add_argument("name", nargs="?", default="h36m17", help="graph: name or file of the skeleton")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.png")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from gcnpose.skeleton import Skeleton
    from gcnpose.viz.graph import draw_graph
    from gcnpose.viz.pendulum import draw_pendulum

    if options.what == "graph":
        draw_graph(Skeleton.load(options.name), options.output)
    else:
        draw_pendulum(options.output)
