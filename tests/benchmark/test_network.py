"""The layer and the step: what is compared is the same, and figures come out for each size."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch_geometric.data import Data

from gcnpose.benchmark import network
from gcnpose.benchmark.network import (
    check_networks,
    compare_losses,
    past_the_beginning,
    skeleton_of,
    time_layer,
    time_step,
)
from gcnpose.benchmark.references import UsualUGCN
from gcnpose.benchmark.timing import Rounds
from gcnpose.errors import InputError, RunError
from gcnpose.nn import UGCN
from gcnpose.nn.partition_conv import has_torch_scatter
from gcnpose.skeleton import Skeleton
from tests.motions import small_motion

CPU = torch.device("cpu")
FEW = Rounds(repeats=1)


def test_chains_have_as_many_edges_as_bodies() -> None:
    assert skeleton_of(17) == Skeleton.load("h36m17")
    edges = [skeleton_of(joints).to_data().edge_index.shape[1] for joints in (16, 17, 18)]
    assert edges == [46, 49, 52]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_layer_by_joints(precision: str) -> None:
    axes = {"batch-size": [1], "frames": [2], "joints": [5, 17, 9]}
    result = time_layer(axes, precision, CPU, FEW)
    names = ["usual formulation", "PyG alone", "gather", "native", "dense"]
    if has_torch_scatter("cpu"):
        names.insert(4, "scatter")
    assert [(row["variant"], row["joints"]) for row in result.rows] == [
        (name, joints) for joints in (5, 9, 17) for name in names
    ]
    assert [growth["variant"] for growth in result.growth] == names
    assert any(note.startswith("dense is faster than native") for note in result.notes)


def test_a_step_by_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    result = time_step({"batch-size": [1], "frames": [32, 16], "joints": [5]}, "bf16", CPU, FEW)
    variants = ["usual formulation, fp32", "usual formulation", "PyG alone", "gcnpose"]
    assert [row["frames"] for row in result.rows] == [16] * 4 + [32] * 4
    assert [row["variant"] for row in result.rows[:4]] == variants
    for row, longer in zip(result.rows[:4], result.rows[4:], strict=True):
        # What is kept grows with the frames, but for some tensors of a size of their own.
        assert row["windows/s"] == pytest.approx(1000 / row["ms"])
        assert 0 < row["kept MB"] < longer["kept MB"] < 2.1 * row["kept MB"]
        assert row["moved MB"] > row["kept MB"]


def test_frames_that_would_be_padded() -> None:
    with pytest.raises(InputError, match=r"--frames must be a multiple of 16, not 17"):
        time_step({"batch-size": [1], "frames": [17], "joints": [17]}, "fp32", CPU, FEW)
    with pytest.raises(InputError, match=r"--loss-steps must be at least 0, not -1"):
        time_step({"batch-size": [1], "frames": [16], "joints": [17]}, "fp32", CPU, FEW, loss_steps=-1)


def test_every_part_shows_in_the_output() -> None:
    begun = past_the_beginning(UGCN(Skeleton.load("h36m17"), channels=(4, 6)))
    assert all(parameter.any() for parameter in begun.parameters())


@pytest.fixture
def spoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Formulations one of which has another weight."""
    formulations: Callable[..., dict[str, nn.Module]] = network.formulations

    def one_differs(*arguments: object) -> dict[str, nn.Module]:
        found = formulations(*arguments)
        found["PyG alone"].head.weight.data *= 1.5
        return found

    monkeypatch.setattr(network, "formulations", one_differs)


@pytest.mark.usefixtures("spoiled")
def test_formulations_that_differ_are_not_compared() -> None:
    with pytest.raises(RunError, match="the output of PyG alone and of usual formulation differ by"):
        check_networks(skeleton_of(5), CPU)


def test_losses_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "make_motion", lambda takes: small_motion((200, 200, 200)))
    single, double = compare_losses(2, CPU, batch_size=2)
    assert single.startswith("losses of 2 steps at learning rate 3e-05 in torch.float32: the usual")
    assert double.startswith("losses of 2 steps at learning rate 0.01 in torch.float64: the usual")
    usual = network.UsualUGCN

    def moved(ours: UGCN, graph: Data) -> UsualUGCN:
        theirs = usual(ours, graph)
        theirs.head.bias.data += 0.01
        return theirs

    monkeypatch.setattr(network, "UsualUGCN", moved)
    with pytest.raises(RunError, match=r"in torch.float32: the usual .*; at most 1e-04 is expected"):
        compare_losses(2, CPU, batch_size=2)
