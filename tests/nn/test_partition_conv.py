"""PartitionConv against a triple loop over Eq. 9."""

from itertools import pairwise
from unittest import mock

import pytest
import torch
from torch import Tensor

from gcnpose.nn import PartitionConv
from gcnpose.nn.partition_conv import has_torch_scatter
from gcnpose.skeleton import Skeleton, available_graphs

AGGREGATIONS = ("gather", "dense", "native", "scatter")
WIDTHS = ((4, 6), (6, 4))
"""The sums come first where a layer widens, the weights where it does not."""


def triple_loop(layer: PartitionConv, skeleton: Skeleton, x: Tensor) -> Tensor:
    """Eq. 9 as it is written: for every joint, over its neighbours, each subset's mean through its own
    weights."""
    hops, joints = skeleton.hops, skeleton.num_joints
    neighbours = {joint: {joint} for joint in range(joints)}
    for parent, child in skeleton.bone_indices.tolist():
        neighbours[parent].add(child)
        neighbours[child].add(parent)
    weight = layer.lin.weight.view(-1, layer.out_channels, layer.in_channels)
    bias = layer.lin.bias.view(-1, layer.out_channels)
    out = torch.zeros(*x.shape[:-1], layer.out_channels, dtype=x.dtype)
    for i in range(joints):
        subsets: dict[int, list[int]] = {0: [], 1: [], 2: []}
        for j in neighbours[i]:
            subsets[0 if hops[j] == hops[i] else 1 if hops[j] < hops[i] else 2].append(j)
        for subset, members in subsets.items():
            for j in members:
                out[..., i, :] += (x[..., j, :] @ weight[subset].T + bias[subset]) / len(members)
    return out


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("name", available_graphs())
def test_equals_the_triple_loop(name: str, aggregation: str, widths: tuple[int, int]) -> None:
    torch.manual_seed(0)
    skeleton = Skeleton.load(name)
    layer = PartitionConv(*widths, skeleton.to_data(), aggregation)
    x = torch.randn(2, 3, skeleton.num_joints, widths[0])
    torch.testing.assert_close(layer(x), triple_loop(layer, skeleton, x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("widths", WIDTHS)
def test_aggregations_agree_in_the_gradients_too(widths: tuple[int, int]) -> None:
    graph = Skeleton.load("h36m17").to_data()
    gradients = {}
    for aggregation in AGGREGATIONS:
        torch.manual_seed(0)
        layer = PartitionConv(*widths, graph, aggregation)
        x = torch.randn(2, 4, 17, widths[0], requires_grad=True)
        layer(x).square().sum().backward()
        gradients[aggregation] = (x.grad, layer.lin.weight.grad, layer.lin.bias.grad)
    for aggregation in AGGREGATIONS:
        torch.testing.assert_close(gradients[aggregation], gradients["dense"], atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("aggregation", ["gather", "native"])
def test_gradient_is_the_numerical_one(aggregation: str, widths: tuple[int, int]) -> None:
    layer = PartitionConv(*widths, Skeleton.load("humaneva15").to_data(), aggregation).double()
    x = torch.randn(1, 15, widths[0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_scatter_runs_on_torch_scatter_where_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_torch_scatter("cpu"):
        pytest.skip("torch-scatter is not installed")
    import torch_scatter

    calls = []
    scatter = torch_scatter.scatter
    monkeypatch.setattr(
        torch_scatter, "scatter", lambda *args, **named: calls.append(1) or scatter(*args, **named)
    )
    PartitionConv(2, 2, Skeleton.load("h36m17").to_data(), "scatter")(torch.randn(1, 17, 2))
    assert calls == [1]


def test_auto_gathers_on_a_cpu() -> None:
    layer = PartitionConv(2, 3, Skeleton.load("h36m17").to_data())
    with mock.patch.object(layer.neighbour_sum, "forward", wraps=layer.neighbour_sum.forward) as gather:
        layer(torch.randn(1, 17, 2))
    gather.assert_called_once()


def test_auto_is_dense_for_small_graphs_only_elsewhere() -> None:
    names = [f"j{number}" for number in range(300)]
    bones = [[one, other] for one, other in pairwise(names)]
    content = {"name": "chain", "root": "j0", "joints": names, "bones": bones, "mirror": []}
    large = PartitionConv(2, 2, Skeleton.from_dict(content, "test").to_data()).to("meta")
    with mock.patch.object(PartitionConv, "propagate", return_value="scattered"):
        assert large(torch.empty(1, 300, 2, device="meta")) == "scattered"
    small = PartitionConv(2, 2, Skeleton.load("mediapipe33").to_data()).to("meta")
    with mock.patch.object(PartitionConv, "message_and_aggregate", return_value="dense"):
        assert small(torch.empty(1, 33, 2, device="meta")) == "dense"


def test_unknown_aggregation() -> None:
    with pytest.raises(ValueError, match="must be one of auto, gather, dense, native, scatter, not 'mean'"):
        PartitionConv(2, 2, Skeleton.load("h36m17").to_data(), "mean")
