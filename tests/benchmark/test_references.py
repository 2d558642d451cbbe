"""The other formulations are the same network."""

import copy

import pytest
import torch

from gcnpose.benchmark.references import PyGGraphConv, PyGUGCN, UsualGraphConv, UsualUGCN, copy_weights
from gcnpose.nn import UGCN, PartitionConv
from gcnpose.skeleton import Skeleton, available_graphs
from tests.motions import past_the_beginning


@pytest.mark.parametrize("formulation", [UsualUGCN, PyGUGCN])
def test_is_the_same_network(formulation: type[UsualUGCN]) -> None:
    """In evaluation with statistics of its own, and in training, where the batch's count, without dropout."""
    skeleton = Skeleton.load("h36m17")
    ours = past_the_beginning(UGCN(skeleton, channels=(4, 6, 8), dropout=0.0))
    x = torch.randn(3, 16, 17, 2)
    ours(x + 1)
    theirs = formulation(copy.deepcopy(ours), skeleton.to_data())
    torch.testing.assert_close(theirs.train()(x), ours.train()(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(theirs.eval()(x), ours.eval()(x), atol=1e-4, rtol=1e-4)
    shapes = [[tuple(p.squeeze().shape) for p in network.parameters()] for network in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("formulation", [UsualUGCN, PyGUGCN])
def test_drops_as_much(formulation: type[UsualUGCN]) -> None:
    skeleton = Skeleton.load("h36m17")
    theirs = formulation(UGCN(skeleton, dropout=0.3), skeleton.to_data())
    shares = [module.p for module in theirs.modules() if isinstance(module, torch.nn.Dropout)]
    assert len(shares) == 17 and set(shares) == {0.3}


@pytest.mark.parametrize("name", available_graphs())
def test_graph_convolutions_agree_on_any_skeleton(name: str) -> None:
    skeleton = Skeleton.load(name)
    graph, joints = skeleton.to_data(), skeleton.num_joints
    ours = PartitionConv(3, 5, graph)
    usual, pyg = UsualGraphConv(3, 5, graph), PyGGraphConv(3, 5, graph)
    copy_weights(ours, usual), copy_weights(ours, pyg)
    x = torch.randn(2, 4, joints, 3)
    torch.testing.assert_close(
        usual(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), ours(x), atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(pyg(x.flatten(0, 2)).view(2, 4, joints, 5), ours(x), atol=1e-5, rtol=1e-5)
