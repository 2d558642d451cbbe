"""Pointwise against torch.nn.Linear."""

import pytest
import torch
from torch import nn

from gcnpose.nn.pointwise import Pointwise


@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (3, 5, 4), (5, 4), (2, 2, 3, 5, 4), (0, 5, 4), (1, 1, 1, 4)])
def test_is_linear(shape: tuple[int, ...]) -> None:
    ours, theirs = Pointwise(4, 6), nn.Linear(4, 6)
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(shape)
    torch.testing.assert_close(ours(x), theirs(x))


def test_gradients_are_those_of_linear() -> None:
    ours, theirs = Pointwise(4, 6).double(), nn.Linear(4, 6).double()
    ours.load_state_dict(theirs.state_dict())
    gradients = []
    for layer in (ours, theirs):
        x = torch.arange(48.0, dtype=torch.float64).view(2, 2, 3, 4).transpose(0, 1).requires_grad_()
        layer(x).square().sum().backward()
        gradients.append([x.grad, layer.weight.grad, layer.bias.grad])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_one_channel() -> None:
    layer = Pointwise(1, 1)
    x = torch.randn(2, 3, 1)
    torch.testing.assert_close(layer(x), x * layer.weight + layer.bias)
