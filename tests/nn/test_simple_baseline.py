"""SimpleBaseline against its paper and against layers written out."""

import pytest
import torch
from torch import Tensor, nn

from gcnpose.nn import SimpleBaseline
from gcnpose.skeleton import Skeleton
from tests.motions import past_the_beginning

SKELETON = Skeleton.load("h36m17")


def test_layers_are_the_papers() -> None:
    """By hand: 1024 (34 + 1), four times 1024 (1024 + 1), five batch norms of 2 x 1024, 51 (1024 + 1).

    The paper's network has 32 inputs and 48 outputs and so 4,291,632 parameters, "between 4 and 5 million".
    """
    with torch.device("meta"):
        network = SimpleBaseline(SKELETON)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 1024 * 35 + 4 * 1024 * 1025 + 5 * 2048 + 51 * 1025
    assert count - 2 * 1024 - 3 * 1025 == 4_291_632


def written_out(network: SimpleBaseline, frame: Tensor) -> Tensor:
    """The pose of one frame, a layer at a time; the batch norms' statistics are those at the start."""
    modules = [*network.first.modules(), *network.blocks.modules()]
    linears = [module for module in modules if isinstance(module, nn.Linear)]
    norms = [module for module in modules if isinstance(module, nn.BatchNorm1d)]
    small = (1 + 1e-5) ** 0.5  # batch norm at the start: mean 0, variance 1

    def layer(number: int, x: Tensor) -> Tensor:
        linear, norm = linears[number], norms[number]
        return torch.relu((linear.weight @ x + linear.bias) / small * norm.weight + norm.bias)

    x = layer(0, frame.flatten() / small)
    x = x + layer(2, layer(1, x))
    x = x + layer(4, layer(3, x))
    return (network.head.weight @ x + network.head.bias).view(17, 3)


def test_equals_the_layers_written_out() -> None:
    network = past_the_beginning(SimpleBaseline(SKELETON, width=12)).eval()
    x = torch.randn(2, 3, 17, 2)
    predicted = network(x)
    for sequence in range(2):
        for frame in range(3):
            torch.testing.assert_close(
                predicted[sequence, frame], written_out(network, x[sequence, frame]), atol=1e-4, rtol=1e-4
            )


def test_frames_do_not_mix() -> None:
    network = past_the_beginning(SimpleBaseline(SKELETON, width=12)).eval()
    x = torch.randn(1, 8, 17, 2)
    order = torch.randperm(8)
    torch.testing.assert_close(network(x[:, order]), network(x)[:, order])


def test_weights_begin_as_he_et_al_draw_them() -> None:
    torch.manual_seed(0)
    network = SimpleBaseline(SKELETON, width=512)
    for part in (network.first, network.blocks):
        for module in part.modules():
            if isinstance(module, nn.Linear):
                assert module.weight.std().item() == pytest.approx((2 / module.in_features) ** 0.5, rel=0.05)
                assert not module.bias.any()
