"""A picture of a skeleton's graph, its edges coloured by the subsets of Eq. 10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch

from gcnpose.errors import InputError
from gcnpose.skeleton import CENTRIFUGAL, CENTRIPETAL, ROOT, Skeleton

SUBSETS = {
    ROOT: ("#000000", "root: from the joint itself (its ring) or from one equally far from the root"),
    CENTRIPETAL: ("#0072b2", "centripetal: from a neighbour nearer the root"),
    CENTRIFUGAL: ("#d55e00", "centrifugal: from a neighbour farther from the root"),
}

# In hops, the unit of the layout.
JOINT_RADIUS = 0.17
JOINT_DISTANCE = 0.9
MARGIN = np.array([1.2, 0.6])

Places = npt.NDArray[np.float64]


def draw_graph(skeleton: Skeleton, path: str | Path) -> None:
    """Writes :func:`graph_figure` as a PNG file.

    Raises:
        InputError: if the file cannot be written.
    """
    try:
        graph_figure(skeleton).savefig(path, format="png")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def graph_figure(skeleton: Skeleton) -> Figure:
    """Draws the graph of one frame.

    The root stands in the middle, every other joint on the circle of its hops, whose number it bears. The
    arrow of an edge runs from source to target, as its message does, in the colour of the edge's subset. The
    ring round a joint is its edge to itself, the filling its side.
    """
    data = skeleton.to_data()
    places = radial_layout(skeleton)
    low, high = places.min(axis=0) - MARGIN, places.max(axis=0) + MARGIN
    width, height = 1.2 * (high - low)
    figure = Figure(figsize=(max(width, 6.5), height + 1), layout="constrained")
    axes = figure.add_subplot(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    axes.axis("off")

    for radius in np.unique(np.linalg.norm(places, axis=1).round(6)):
        axes.add_patch(Circle((0, 0), radius, fill=False, edgecolor="#dddddd", linestyle=":", zorder=0))
    for (source, target), subset in zip(data.edge_index.t().tolist(), data.edge_type.tolist(), strict=True):
        if source != target:
            _draw_edge(axes, places[source], places[target], SUBSETS[subset][0])
    colours = skeleton.joint_colours
    for joint, name in enumerate(skeleton.joints):
        sources = data.edge_index[0, data.edge_index[1] == joint].numpy()
        neighbours = places[sources[sources != joint]]
        _draw_joint(axes, places[joint], neighbours, colours[joint], str(int(data.hops[joint])), name)

    counts = data.edge_type.bincount(minlength=len(SUBSETS)).tolist()
    legend = [
        Line2D([], [], color=colour, linewidth=2, label=f"{meaning}; {counts[subset]} edges")
        for subset, (colour, meaning) in SUBSETS.items()
    ]
    figure.legend(handles=legend, loc="outside lower center", frameon=False)
    figure.suptitle(f"{skeleton.name}: {skeleton.num_joints} joints, hops from the {skeleton.root}")
    return figure


def radial_layout(skeleton: Skeleton) -> Places:
    """Places of the joints for a drawing: the root in the middle, a circle round it for every number of hops.

    The leaves of the tree of shortest ways share the circle evenly, and every other joint stands at the mean
    angle of the leaves that hang on it. Clockwise from the bottom come left joints, the last one first, then
    those on the mirror's line, then right joints: a body that its graph file lists from head to foot stands
    upright, seen from behind. Circles are one unit apart, the first wide enough for all leaves.

    Shapes: (joints, 2), x to the right and y up
    """
    left = {skeleton.index(joint) for joint, _ in skeleton.mirror}
    right = {skeleton.index(joint) for _, joint in skeleton.mirror}
    parents = skeleton.parents
    leaves = skeleton.num_joints - len(np.unique(parents[parents >= 0]))
    leaf_angles = iter(-np.pi / 2 - 2 * np.pi * (np.arange(leaves) + 0.5) / leaves)
    angles = np.zeros(skeleton.num_joints)

    def spread(joint: int) -> list[float]:
        """Sets the angles of a joint and of all that hangs on it; gives those of its leaves."""
        children = np.flatnonzero(parents == joint)
        lefts = [child for child in children[::-1] if child in left]
        middles = [child for child in children if child not in left | right]
        rights = [child for child in children if child in right]
        beneath = [angle for child in lefts + middles + rights for angle in spread(child)]
        beneath = beneath or [next(leaf_angles)]
        angles[joint] = np.mean(beneath)
        return beneath

    spread(skeleton.root_index)
    first = max(1.0, leaves * JOINT_DISTANCE / (2 * np.pi))
    radius = np.where(skeleton.hops > 0, skeleton.hops - 1 + first, 0.0)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _draw_edge(axes: Axes, source: Places, target: Places, colour: str) -> None:
    gap = (target - source) / np.linalg.norm(target - source) * JOINT_RADIUS * 1.15
    arrow = FancyArrowPatch(
        tuple(source + gap),
        tuple(target - gap),
        connectionstyle="arc3,rad=0.15",  # to one side, so that the arrow back does not cover it
        arrowstyle="-|>",
        mutation_scale=12,
        shrinkA=0,
        shrinkB=0,
        color=colour,
        linewidth=1.6,
        zorder=1,
    )
    axes.add_patch(arrow)


def _draw_joint(axes: Axes, place: Places, neighbours: Places, colour: str, hops: str, name: str) -> None:
    x, y = place.tolist()
    ring = SUBSETS[ROOT][0]
    axes.add_patch(Circle((x, y), JOINT_RADIUS, facecolor=colour, edgecolor=ring, linewidth=2, zorder=2))
    axes.text(x, y, hops, color="white", ha="center", va="center", fontweight="bold", zorder=3)

    ways = neighbours - place
    ways = ways / np.linalg.norm(ways, axis=1, keepdims=True)
    sides = np.array([[0, -1], [-1, -1], [1, -1], [-1, 1], [1, 1], [-1, 0], [1, 0], [0, 1]])
    units = sides / np.linalg.norm(sides, axis=1, keepdims=True)
    # The name goes where it is farthest from all edges, rather outwards than inwards and rather below than
    # above. Right above or below, its width is in the way.
    nearness = (units @ ways.T).max(axis=1, initial=-1.0) - 0.15 * units @ [np.sign(x), -0.1]
    nearness[sides[:, 0] == 0] += 0.35
    side, unit = sides[nearness.argmin()], units[nearness.argmin()]
    axes.text(
        x + 1.3 * JOINT_RADIUS * unit[0],
        y + 1.3 * JOINT_RADIUS * unit[1],
        name,
        fontsize=9,
        ha={-1: "right", 0: "center", 1: "left"}[side[0]],
        va={-1: "top", 0: "center", 1: "bottom"}[side[1]],
        bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 1},
        zorder=4,
    )
