"""The picture of a graph."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch

from gcnpose.errors import InputError
from gcnpose.resources import resource_folder
from gcnpose.skeleton import CENTRIFUGAL, CENTRIPETAL, ROOT, Skeleton
from gcnpose.viz.graph import JOINT_RADIUS, SUBSETS, draw_graph, graph_figure, radial_layout

GRAPHS = sorted(resource_folder("graphs").glob("*.yaml"))
every_skeleton = pytest.mark.parametrize(
    "skeleton", [Skeleton.load(path) for path in GRAPHS], ids=lambda skeleton: skeleton.name
)


def test_the_graphs_were_found() -> None:
    assert GRAPHS


@every_skeleton
def test_layout(skeleton: Skeleton) -> None:
    places = radial_layout(skeleton)
    radius = np.linalg.norm(places, axis=1)
    for hops in range(skeleton.hops.max() + 1):
        assert np.ptp(radius[skeleton.hops == hops]) < 1e-9
    assert (places[skeleton.root_index] == 0).all()
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 10 * np.eye(skeleton.num_joints)
    assert apart.min() > 3 * JOINT_RADIUS


@pytest.mark.parametrize("name", ["h36m17", "coco17", "body25", "mediapipe33", "ap10k17"])
def test_the_layout_is_mirrored_and_upright(name: str) -> None:
    skeleton = Skeleton.load(name)
    places = radial_layout(skeleton)
    assert np.allclose(places[skeleton.mirror_indices], places * [-1, 1])
    left = [skeleton.index(joint) for joint, _ in skeleton.mirror]
    assert (places[left, 0] < 0).all()
    assert places[skeleton.index("left_shoulder"), 1] > places[skeleton.index("left_knee"), 1]


@pytest.mark.parametrize("name", ["h36m17", "coco17", "hand21"])
def test_every_edge_has_an_arrow_in_its_colour(name: str) -> None:
    skeleton = Skeleton.load(name)
    (axes,) = graph_figure(skeleton).axes
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    colours = [to_hex(arrow.get_edgecolor()) for arrow in arrows]
    # On paper: h36m17 and hand21 are trees; coco17 has two bones across, at the shoulders and at the hips.
    across, along = {"h36m17": (0, 16), "coco17": (2, 16), "hand21": (0, 20)}[name]
    assert colours.count(SUBSETS[ROOT][0]) == 2 * across
    assert colours.count(SUBSETS[CENTRIPETAL][0]) == colours.count(SUBSETS[CENTRIFUGAL][0]) == along


def test_an_arrow_starts_at_its_source() -> None:
    bones = [["root", "leaf"]]
    content = {"name": "twig", "root": "root", "joints": ["root", "leaf"], "bones": bones, "mirror": []}
    skeleton = Skeleton.from_dict(content, source="twig")
    (axes,) = graph_figure(skeleton).axes
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    start = {to_hex(arrow.get_edgecolor()): np.asarray(arrow.get_path().vertices)[0] for arrow in arrows}
    root, leaf = radial_layout(skeleton)
    from_root, from_leaf = start[SUBSETS[CENTRIPETAL][0]], start[SUBSETS[CENTRIFUGAL][0]]
    assert np.linalg.norm(from_root - root) < np.linalg.norm(from_root - leaf)
    assert np.linalg.norm(from_leaf - leaf) < np.linalg.norm(from_leaf - root)


def test_names_and_hops_are_written() -> None:
    skeleton = Skeleton.load("mediapipe33")
    (axes,) = graph_figure(skeleton).axes
    texts = [text.get_text() for text in axes.texts]
    assert set(skeleton.joints) <= set(texts)
    assert [text for text in texts if text.isdigit()] == [str(hops) for hops in skeleton.hops]


@every_skeleton
def test_it_draws_a_png(skeleton: Skeleton, tmp_path: Path) -> None:
    draw_graph(skeleton, tmp_path / "graph")
    assert (tmp_path / "graph").read_bytes().startswith(b"\x89PNG\r\n")


def test_it_draws_the_same_twice(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        draw_graph(Skeleton.load("coco17"), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_a_single_joint(tmp_path: Path) -> None:
    content = {"name": "ball", "root": "ball", "joints": ["ball"], "bones": [], "mirror": []}
    draw_graph(Skeleton.from_dict(content, source="ball"), tmp_path / "ball.png")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing/graph\.png: cannot be written: No such file or directory"):
        draw_graph(Skeleton.load("h36m17"), tmp_path / "missing" / "graph.png")
