"""Graph files, and the graphs made of them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch_geometric.data import Data

from gcnpose.errors import InputError
from gcnpose.resources import resource_folder
from gcnpose.skeleton import (
    CENTRIFUGAL,
    CENTRIPETAL,
    ROOT,
    SIDE_COLOURS,
    TEMPORAL,
    Skeleton,
    available_graphs,
)

GRAPHS = sorted(resource_folder("graphs").glob("*.yaml"))
SKELETONS = [Skeleton.load(path) for path in GRAPHS]
NAMES = [path.stem for path in GRAPHS]
every_skeleton = pytest.mark.parametrize("skeleton", SKELETONS, ids=NAMES)


@pytest.fixture
def h36m17() -> Skeleton:
    return Skeleton.load("h36m17")


@pytest.fixture
def ring() -> Skeleton:
    """Seven joints in a ring: those opposite the root, 3 and 4, are equally far from it."""
    joints = [f"joint_{number}" for number in range(7)]
    return Skeleton.from_dict(
        {
            "name": "ring",
            "root": "joint_0",
            "joints": joints,
            "bones": [[joints[number], joints[(number + 1) % 7]] for number in range(7)],
            "mirror": [[joints[1], joints[6]], [joints[2], joints[5]], [joints[3], joints[4]]],
        },
        source="ring",
    )


def shortest_ways(skeleton: Skeleton) -> np.ndarray:
    """Distance in bones between all joints, by Floyd and Warshall's recursion."""
    distance = np.full((skeleton.num_joints, skeleton.num_joints), np.inf)
    np.fill_diagonal(distance, 0)
    for first, second in skeleton.bones:
        one, other = skeleton.joints.index(first), skeleton.joints.index(second)
        distance[one, other] = distance[other, one] = 1
    for between in range(skeleton.num_joints):
        distance = np.minimum(distance, distance[:, [between]] + distance[[between], :])
    return distance


def stock_distances(skeleton: Skeleton) -> np.ndarray:
    """Distances to the root as in stock ST-GCN: found up to one hop, infinite beyond (mmskeleton #367)."""
    distance = shortest_ways(skeleton)[skeleton.joints.index(skeleton.root)]
    return np.where(distance <= 1, distance, np.inf)


def subsets(skeleton: Skeleton, distance: np.ndarray) -> dict[tuple[int, int], int]:
    """Subset of every (source, target) without the loops, Eq. 10 word by word."""
    labels = {}
    for first, second in skeleton.bones:
        one, other = skeleton.joints.index(first), skeleton.joints.index(second)
        for source, target in ((one, other), (other, one)):
            if distance[source] == distance[target]:
                labels[source, target] = ROOT
            elif distance[source] < distance[target]:
                labels[source, target] = CENTRIPETAL
            else:
                labels[source, target] = CENTRIFUGAL
    return labels


def edges_of(data: Data) -> dict[tuple[int, int], int]:
    """Subset of every (source, target) of a graph."""
    pairs = zip(data.edge_index.t().tolist(), data.edge_type.tolist(), strict=True)
    return {(source, target): label for (source, target), label in pairs}


def without_loops(edges: dict[tuple[int, int], int]) -> dict[tuple[int, int], int]:
    return {(source, target): label for (source, target), label in edges.items() if source != target}


def count(labels: dict[tuple[int, int], int]) -> list[int]:
    return [list(labels.values()).count(subset) for subset in (ROOT, CENTRIPETAL, CENTRIFUGAL)]


def test_the_graphs_were_found() -> None:
    people = {"h36m17", "mpi_inf_3dhp17", "humaneva15", "coco17", "halpe26", "body25", "openpose18", "mpii16"}
    assert people | {"mediapipe33", "hand21", "ap10k17"} <= set(NAMES)
    assert available_graphs() == NAMES


@every_skeleton
def test_a_shipped_graph_says_what_it_is(skeleton: Skeleton) -> None:
    path = resource_folder("graphs") / f"{skeleton.name}.yaml"
    assert path in GRAPHS
    assert skeleton.name.endswith(str(skeleton.num_joints))
    assert skeleton.citation
    assert path.read_text(encoding="utf-8").startswith("# ")


class TestLayouts:
    """Joint orders against lists of indices in other people's code, which is named beside each."""

    def test_human36m(self, h36m17: Skeleton) -> None:
        # VideoPose3D, common/h36m_dataset.py after its removal of joints.
        assert h36m17.parents.tolist() == [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15]
        assert sides(h36m17) == ([4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16])
        assert h36m17.hops.tolist() == [0, 1, 2, 3, 1, 2, 3, 1, 2, 3, 4, 3, 4, 5, 3, 4, 5]

    def test_humaneva(self) -> None:
        # VideoPose3D, common/humaneva_dataset.py.
        skeleton = Skeleton.load("humaneva15")
        assert skeleton.parents.tolist() == [-1, 0, 1, 2, 3, 1, 5, 6, 0, 8, 9, 0, 11, 12, 1]
        assert sides(skeleton) == ([2, 3, 4, 8, 9, 10], [5, 6, 7, 11, 12, 13])

    def test_mpi_inf_3dhp(self, h36m17: Skeleton) -> None:
        skeleton = Skeleton.load("mpi_inf_3dhp17")
        # P-STMO, common/mpi_inf_3dhp_dataset.py; root of the official evaluation.
        assert sides(skeleton) == ([5, 6, 7, 11, 12, 13], [2, 3, 4, 8, 9, 10])
        assert skeleton.root_index == 14
        # HDFormer's map from the test set to Human3.6M's order. The limbs' names agree; the heads' do not.
        to_h36m = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
        names = [skeleton.joints[joint] for joint in to_h36m]
        assert names[:8] + names[11:] == [*h36m17.joints[:8], *h36m17.joints[11:]]

    def test_mpii(self, h36m17: Skeleton) -> None:
        skeleton = Skeleton.load("mpii16")
        # VideoPose3D, common/data_utils.py.
        left, right = sides(skeleton)
        assert (left, right) == ([3, 4, 5, 13, 14, 15], [0, 1, 2, 10, 11, 12])
        # MHFormer's map to Human3.6M's order: joint k of MPII is joint order[k] there; 9 and 10 are the head.
        order = [3, 2, 1, 4, 5, 6, 0, 8, 9, 10, 16, 15, 14, 11, 12, 13]
        for joint, there in zip(skeleton.joints, order, strict=True):
            assert joint == h36m17.joints[there] or there in (9, 10)

    def test_detectors_agree_with_coco(self) -> None:
        coco = Skeleton.load("coco17").joints
        # Halpe begins with COCO's joints; MediaPipe's and OpenPose's indices of COCO's joints.
        assert Skeleton.load("halpe26").joints[:17] == coco
        mediapipe = [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]
        assert tuple(Skeleton.load("mediapipe33").joints[joint] for joint in mediapipe) == coco
        body25 = [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11]
        assert tuple(Skeleton.load("body25").joints[joint] for joint in body25) == coco
        openpose18 = [0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10]
        assert tuple(Skeleton.load("openpose18").joints[joint] for joint in openpose18) == coco

    def test_a_hand_has_no_sides(self) -> None:
        skeleton = Skeleton.load("hand21")
        assert skeleton.mirror_indices.tolist() == list(range(21))
        # MediaPipe's fingertips.
        assert [skeleton.joints[tip] for tip in (4, 8, 12, 16, 20)] == [
            f"{finger}_tip" for finger in ("thumb", "index", "middle", "ring", "pinky")
        ]


def sides(skeleton: Skeleton) -> tuple[list[int], list[int]]:
    left, right = zip(*skeleton.mirror, strict=True)
    return sorted(map(skeleton.joints.index, left)), sorted(map(skeleton.joints.index, right))


class TestSubsets:
    def test_human36m_has_no_bone_in_the_root_subset(self, h36m17: Skeleton) -> None:
        edges = edges_of(h36m17.to_data())
        assert count(without_loops(edges)) == [0, 16, 16]
        assert count(edges) == [17, 16, 16]

    def test_the_stock_fault_gives_other_subsets(self, h36m17: Skeleton) -> None:
        # 20 / 6 / 6, and these six bones, are what running tamasino52/UGCN's Graph("h36m", "spatial") gave.
        stock = subsets(h36m17, stock_distances(h36m17))
        assert count(stock) == [20, 6, 6]
        outward = {(target, source) for (source, target), label in stock.items() if label == CENTRIFUGAL}
        assert outward == {(0, 1), (0, 4), (0, 7), (1, 2), (4, 5), (7, 8)}
        assert without_loops(edges_of(h36m17.to_data())) != stock
        assert without_loops(edges_of(h36m17.to_data(max_hop=1))) == stock

    @every_skeleton
    def test_hops_count_up_to_a_limit(self, skeleton: Skeleton) -> None:
        for max_hop in (0, 1, 2):
            distance = shortest_ways(skeleton)[skeleton.joints.index(skeleton.root)]
            limited = np.where(distance <= max_hop, distance, np.inf)
            edges = edges_of(skeleton.to_data(max_hop))
            assert without_loops(edges) == subsets(skeleton, limited)
        far = skeleton.to_data(skeleton.num_joints)
        assert all(
            torch.equal(far[key], skeleton.to_data()[key]) for key in ("edge_type", "edge_weight", "hops")
        )

    def test_direction(self, h36m17: Skeleton) -> None:
        edges = edges_of(h36m17.to_data())
        pelvis, hip = h36m17.index("pelvis"), h36m17.index("left_hip")
        assert edges[pelvis, hip] == CENTRIPETAL
        assert edges[hip, pelvis] == CENTRIFUGAL

    @every_skeleton
    def test_hops_and_subsets_equal_the_reference(self, skeleton: Skeleton) -> None:
        distance = shortest_ways(skeleton)[skeleton.joints.index(skeleton.root)]
        data = skeleton.to_data()
        assert skeleton.hops.tolist() == distance.tolist() == data.hops.tolist()
        loops = {(joint, joint): ROOT for joint in range(skeleton.num_joints)}
        assert edges_of(data) == subsets(skeleton, distance) | loops
        assert data.num_edges == 2 * len(skeleton.bones) + skeleton.num_joints

    @every_skeleton
    def test_weights_equal_the_reference(self, skeleton: Skeleton) -> None:
        data = skeleton.to_data()
        edges = edges_of(data)
        for (source, target), weight in zip(data.edge_index.t().tolist(), data.edge_weight, strict=True):
            alike = [j for (j, i), label in edges.items() if i == target and label == edges[source, target]]
            assert weight == pytest.approx(1 / len(alike))

    @every_skeleton
    def test_the_weights_of_a_subset_sum_to_one(self, skeleton: Skeleton) -> None:
        data = skeleton.to_data()
        sums = torch.zeros(skeleton.num_joints * 3)
        sums.index_add_(0, data.edge_index[1] * 3 + data.edge_type, data.edge_weight)
        assert torch.allclose(sums[sums > 0], torch.ones(()))
        assert (sums.view(-1, 3)[:, ROOT] > 0).all()

    @every_skeleton
    def test_data_is_valid(self, skeleton: Skeleton) -> None:
        data = skeleton.to_data()
        assert data.validate(raise_on_error=True)
        assert data.has_self_loops() and data.is_undirected()
        assert data.num_nodes == skeleton.num_joints
        assert tuple(data.joint_names) == skeleton.joints
        assert data.edge_weight.dtype == torch.float32

    @pytest.mark.parametrize("name", ["ap10k17", "coco17", "mediapipe33"])
    def test_a_loop_puts_bones_into_the_root_subset(self, name: str) -> None:
        assert count(without_loops(edges_of(Skeleton.load(name).to_data())))[ROOT] > 0

    def test_ring(self, ring: Skeleton) -> None:
        # Opposite the root, an odd ring has one bone between joints equally far; 6 bones lead outwards.
        assert ring.hops.tolist() == [0, 1, 2, 3, 3, 2, 1]
        edges = without_loops(edges_of(ring.to_data()))
        assert count(edges) == [2, 6, 6]
        assert edges[3, 4] == edges[4, 3] == ROOT
        assert ring.parents.tolist() == [-1, 0, 1, 2, 5, 6, 0]

    def test_an_even_ring_has_two_ways_to_a_joint(self) -> None:
        bones = [["a", "b"], ["a", "c"], ["b", "d"], ["c", "d"]]
        content = {
            "name": "rhomb",
            "root": "a",
            "joints": list("abcd"),
            "bones": bones,
            "mirror": [["b", "c"]],
        }
        skeleton = Skeleton.from_dict(content, source="rhomb")
        assert skeleton.parents.tolist() == [-1, 0, 0, 1]
        data = skeleton.to_data()
        into_d = data.edge_weight[(data.edge_index[1] == 3) & (data.edge_type == CENTRIPETAL)]
        assert into_d.tolist() == [0.5, 0.5]

    def test_a_single_joint(self) -> None:
        content = {"name": "ball", "root": "ball", "joints": ["ball"], "bones": [], "mirror": []}
        skeleton = Skeleton.from_dict(content, source="ball")
        data = skeleton.to_data()
        assert data.edge_index.tolist() == [[0], [0]]
        assert skeleton.bone_indices.shape == (0, 2)
        assert skeleton.spatio_temporal(3).num_edges == 3 + 4

    def test_bones_written_backwards_make_the_same_graph(self, h36m17: Skeleton) -> None:
        content = h36m17.to_dict()
        content["bones"] = [[child, parent] for parent, child in content["bones"]]
        backwards = Skeleton.from_dict(content, source="backwards")
        assert (backwards.bone_indices == h36m17.bone_indices).all()
        assert edges_of(backwards.to_data()) == edges_of(h36m17.to_data())


class TestMirror:
    @every_skeleton
    def test_it_is_an_involution_that_keeps_the_graph(self, skeleton: Skeleton) -> None:
        mirror = skeleton.mirror_indices
        assert (mirror[mirror] == np.arange(skeleton.num_joints)).all()
        assert mirror[skeleton.root_index] == skeleton.root_index
        edges = edges_of(skeleton.to_data())
        assert {(int(mirror[j]), int(mirror[i])): label for (j, i), label in edges.items()} == edges

    @every_skeleton
    def test_left_and_right_are_not_swapped(self, skeleton: Skeleton) -> None:
        for left, right in skeleton.mirror:
            assert "left" in left
            assert right == left.replace("left", "right")
        middle = set(skeleton.joints) - set(itertools.chain(*skeleton.mirror))
        assert not any("left" in joint or "right" in joint for joint in middle)

    def test_it_swaps_the_hands(self, h36m17: Skeleton) -> None:
        pose = torch.randn(2, 5, 17, 3, generator=torch.Generator().manual_seed(0))
        flipped = pose[..., torch.from_numpy(h36m17.mirror_indices), :]
        left, right = h36m17.index("left_wrist"), h36m17.index("right_wrist")
        assert torch.equal(flipped[:, :, left], pose[:, :, right])
        assert torch.equal(flipped[:, :, h36m17.index("head")], pose[:, :, h36m17.index("head")])


class TestSpatioTemporal:
    @pytest.mark.parametrize("frames", [1, 2, 5])
    def test_it_equals_the_reference(self, ring: Skeleton, frames: int) -> None:
        data = ring.spatio_temporal(frames)
        spatial = edges_of(ring.to_data())
        expected = {}
        for t, (source, target) in itertools.product(range(frames), spatial):
            expected[t * 7 + source, t * 7 + target] = spatial[source, target]
        for t, joint in itertools.product(range(frames - 1), range(7)):
            expected[t * 7 + joint, (t + 1) * 7 + joint] = TEMPORAL
            expected[(t + 1) * 7 + joint, t * 7 + joint] = TEMPORAL
        assert edges_of(data) == expected
        assert data.num_edges == len(expected)
        for (source, target), weight in zip(data.edge_index.t().tolist(), data.edge_weight, strict=True):
            alike = [
                j for (j, i), label in expected.items() if i == target and label == expected[source, target]
            ]
            assert weight == pytest.approx(1 / len(alike))

    def test_nodes(self, h36m17: Skeleton) -> None:
        data = h36m17.spatio_temporal(96)
        assert data.validate(raise_on_error=True)
        assert data.is_undirected()
        assert data.num_nodes == 96 * 17
        assert data.num_edges == 96 * 49 + 2 * 95 * 17
        node = 40 * 17 + h36m17.index("head")
        assert (int(data.frame[node]), int(data.joint[node]), int(data.hops[node])) == (40, 10, 4)

    def test_no_frames(self, h36m17: Skeleton) -> None:
        with pytest.raises(InputError, match=r"h36m17: .* at least 1 frame, got 0"):
            h36m17.spatio_temporal(0)


class TestLoading:
    def test_by_name_and_by_path(self, h36m17: Skeleton, tmp_path: Path) -> None:
        shipped = resource_folder("graphs") / "h36m17.yaml"
        copy = tmp_path / "copy"
        copy.write_bytes(shipped.read_bytes())
        assert Skeleton.load(shipped) == Skeleton.load(str(shipped)) == Skeleton.load(copy) == h36m17

    def test_a_file_without_suffix_in_the_working_folder(
        self, h36m17: Skeleton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mine").write_bytes((resource_folder("graphs") / "h36m17.yaml").read_bytes())
        monkeypatch.chdir(tmp_path)
        assert Skeleton.load("mine") == h36m17

    @every_skeleton
    def test_round_trip(self, skeleton: Skeleton) -> None:
        text = yaml.safe_dump(skeleton.to_dict())
        again = Skeleton.from_dict(yaml.safe_load(text), source="text")
        assert again == skeleton
        assert hash(again) == hash(skeleton)

    def test_colours(self, h36m17: Skeleton) -> None:
        content = h36m17.to_dict() | {"colours": {"left": "#00FF7f"}}
        skeleton = Skeleton.from_dict(content, source="colours")
        assert skeleton.to_dict() == content
        colour = dict(zip(skeleton.joints, skeleton.joint_colours, strict=True))
        assert colour["left_knee"] == "#00FF7f"
        assert colour["right_knee"] == SIDE_COLOURS["right"]
        assert colour["pelvis"] == SIDE_COLOURS["middle"]

    def test_an_unknown_joint(self, h36m17: Skeleton) -> None:
        with pytest.raises(InputError, match=r"^h36m17: no joint 'Left_nee', did you mean left_knee\?$"):
            h36m17.index("Left_nee")

    @pytest.mark.parametrize("given", ["h36m71", "H36M17", "graphs/h36m17.yml", "nowhere/h36m17.yaml"])
    def test_a_missing_file(self, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(InputError) as caught:
            Skeleton.load(given)
        assert str(caught.value) == (
            f"{given}: no such graph, did you mean h36m17?; shipped graphs: {', '.join(NAMES)}"
        )

    def test_nothing_similar(self) -> None:
        with pytest.raises(InputError, match=r"^xyz: no such graph; shipped graphs: .*h36m17"):
            Skeleton.load("xyz")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            Skeleton.load(tmp_path)


GOOD = """
name: figure
root: hip
joints: [hip, left_foot, right_foot, head]
bones: [[hip, left_foot], [hip, right_foot], [hip, head]]
mirror: [[left_foot, right_foot]]
"""


def faults_of(text: str | bytes, folder: Path) -> list[str]:
    """The lines of the error, without the file that each must begin with."""
    path = folder / "figure.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        Skeleton.load(path)
    lines = str(caught.value).split("\n")
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


# What to replace in the good file, and the only fault that the change makes.
FAULTS = {
    "unknown key": ("mirror:", "miror: []\nmirror:", "miror: unknown key, did you mean mirror?"),
    "strange key": ("mirror:", "zzz: []\nmirror:", "zzz: unknown key"),
    "missing key": ("name: figure", "", "name: missing"),
    "repeated key": ("root: hip", "root: hip\nroot: head", "root: given again in line 4"),
    "name a number": (
        "name: figure",
        "name: 17",
        "name: expected a text, got 17 (YAML takes it for the type int",
    ),
    "name missing": ("name: figure", "name:", "name: expected a text, got None (YAML takes ~, null"),
    "name empty": ("name: figure", "name: ''", "name: expected a text, got an empty one"),
    "root unknown": ("root: hip", "root: hips", "root: unknown joint 'hips', did you mean hip?"),
    "root a list": ("root: hip", "root: [hip]", "root: expected the name of a joint, got ['hip']"),
    "joints a text": (
        "[hip, left_foot, right_foot, head]",
        "hip",
        "joints: expected a list of at least one joint",
    ),
    "joints empty": (
        "[hip, left_foot, right_foot, head]",
        "[]",
        "joints: expected a list of at least one joint",
    ),
    "joint a truth value": (
        "head]\nb",
        "head, on]\nb",
        "joints[4]: expected a text, got True (YAML takes on, off",
    ),
    "joint a number": (
        "head]\nb",
        "head, 7]\nb",
        "joints[4]: expected a text, got 7 (YAML takes it for the type int",
    ),
    "joint a date": (
        "head]\nb",
        "head, 2026-02-03]\nb",
        "joints[4]: expected a text, got 2026-02-03 (YAML takes",
    ),
    "joint nothing": ("head]\nb", "head, ~]\nb", "joints[4]: expected a text, got None (YAML takes ~, null"),
    "joint empty": ("head]\nb", "head, '']\nb", "joints[4]: expected a text, got an empty one"),
    "joint repeated": ("head]\nb", "head, hip]\nb", "joints[4]: the joint 'hip' is joints[0] already"),
    "joint alone": ("head]\nb", "head, a, b]\nb", "bones: do not connect the root 'hip' with: a, b"),
    "bones a mapping": (
        "[[hip, left_foot], [hip, right_foot], [hip, head]]",
        "{hip: head}",
        "bones: expected a list of pairs [parent, child], got {'hip': 'head'}",
    ),
    "bone of three": (
        "[hip, head]",
        "[hip, head, hip]",
        "bones[2]: expected two joints, got ['hip', 'head', 'hip']",
    ),
    "bone a text": ("[hip, head]", "head", "bones[2]: expected two joints, got 'head'"),
    "bone to unknown": ("[hip, head]", "[hip, haed]", "bones[2]: unknown joint 'haed', did you mean head?"),
    "bone to a number": (
        "[hip, head]",
        "[hip, 3]",
        "bones[2]: expected the name of a joint, got 3 (YAML takes",
    ),
    "bone to itself": ("[hip, head]", "[head, head]", "bones[2]: joins 'head' to itself"),
    "bone repeated": (
        "[hip, head]",
        "[hip, head], [head, hip]",
        "bones[3]: the bone [head, hip] is bones[2] already",
    ),
    "mirror a text": (
        "[[left_foot, right_foot]]",
        "none",
        "mirror: expected a list of pairs [left, right], or [] for",
    ),
    "mirror nothing": (
        "mirror: [[left_foot, right_foot]]",
        "mirror:",
        "mirror: expected a list of pairs [left, right]",
    ),
    "partner unknown": (
        "[[left_foot,",
        "[[letf_foot,",
        "mirror[0]: unknown joint 'letf_foot', did you mean left_foot",
    ),
    "partner itself": ("[[left_foot,", "[[right_foot,", "mirror[0]: joins 'right_foot' to itself"),
    "partner of two": (
        "[[left_foot, right_foot]]",
        "[[left_foot, right_foot], [head, right_foot]]",
        "mirror[1]: the joint 'right_foot' has a partner already, in mirror[0]",
    ),
    "partner of the root": (
        "[[left_foot, right_foot]]",
        "[[left_foot, right_foot], [head, hip]]",
        "mirror[1]: the root 'hip' must be its own mirror image, without a partner",
    ),
    "bone without image": (
        "[hip, right_foot], [hip, head]",
        "[head, right_foot], [hip, head], [hip, right_foot]",
        "bones[1]: [head, right_foot] has no mirror image, the mirror needs the bone [head, left_foot] too",
    ),
    "colours a text": (
        "name:",
        "colours: red\nname:",
        "colours: expected the keys left, right, middle, got 'red'",
    ),
    "colour of no side": (
        "name:",
        "colours: {lefft: '#000000'}\nname:",
        "colours.lefft: unknown side, did you mean left?",
    ),
    "colour of nothing": (
        "name:",
        "colours: {head: '#000000'}\nname:",
        "colours.head: unknown side, expected left, right, middle",
    ),
    "colour by name": ("name:", "colours: {left: red}\nname:", "colours.left: expected a colour like"),
    "colour not quoted": (
        "name:",
        "colours:\n  left: #00ff00\nname:",
        "colours.left: expected a colour like",
    ),
    "colour given twice": (
        "name:",
        "colours: {left: '#000000', left: '#111111'}\nname:",
        "colours.left: given again in line 2",
    ),
    "citation a year": ("name:", "citation: 2014\nname:", "citation: expected a text, got 2014"),
}


class TestFaults:
    def test_the_good_file_is_good(self, tmp_path: Path) -> None:
        path = tmp_path / "figure.yaml"
        path.write_text(GOOD)
        assert Skeleton.load(path).num_joints == 4

    @pytest.mark.parametrize(("old", "new", "message"), FAULTS.values(), ids=FAULTS.keys())
    def test_one_fault(self, old: str, new: str, message: str, tmp_path: Path) -> None:
        assert GOOD.count(old) == 1
        (fault,) = faults_of(GOOD.replace(old, new), tmp_path)
        assert fault.startswith(message)

    def test_all_faults_at_once(self, tmp_path: Path) -> None:
        text = GOOD.replace("name: figure", "nmae: figure\nrot: 1").replace("head]\nb", "head, on, hip]\nb")
        text = text.replace("[hip, head]]", "[hip, hand], [hip, hip]]").replace("[[left_foot", "[[left_hand")
        assert [fault.split(":")[0] for fault in faults_of(text, tmp_path)] == [
            "nmae",
            "rot",
            "name",
            "joints[4]",
            "joints[5]",
            "bones[2]",
            "bones[3]",
            "mirror[0]",
        ]

    def test_every_bone_without_image_is_named(self, tmp_path: Path) -> None:
        text = GOOD.replace("[[left_foot, right_foot]]", "[[left_foot, head]]").replace(
            "[hip, left_foot], ", ""
        )
        text = text.replace("[hip, head]", "[right_foot, left_foot], [left_foot, head]")
        assert faults_of(text, tmp_path) == [
            "bones[1]: [right_foot, left_foot] has no mirror image, "
            "the mirror needs the bone [right_foot, head] too",
        ]

    @pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n...\n", "~"])
    def test_an_empty_file(self, text: str, tmp_path: Path) -> None:
        assert faults_of(text, tmp_path) == ["is empty, expected the keys name, root, joints, bones, mirror"]

    @pytest.mark.parametrize("text", ["- hip\n- head\n", "figure", "17"])
    def test_not_a_mapping(self, text: str, tmp_path: Path) -> None:
        (fault,) = faults_of(text, tmp_path)
        assert fault.startswith("expected the keys name, root, joints, bones, mirror, got ")

    @pytest.mark.parametrize(
        "text",
        [
            "name: [",
            "name: @x",
            "a: b: c",
            b"\xff\xfe\x00\xd8",
            b"\x89PNG\r\n",
            "name: 2026-02-30",
            "? [a]\n: b",
            "[" * 5000,
        ],
    )
    def test_not_yaml(self, text: str | bytes, tmp_path: Path) -> None:
        (fault,) = faults_of(text, tmp_path)
        assert fault.startswith("is not YAML: ")

    def test_the_source_is_named(self) -> None:
        content = yaml.safe_load(GOOD)
        del content["name"]
        with pytest.raises(InputError, match=r"^best\.pt: name: missing$"):
            Skeleton.from_dict(content, source="best.pt")
