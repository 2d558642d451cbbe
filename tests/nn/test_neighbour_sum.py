"""NeighbourSum against the dense product."""

import pytest
import torch

from gcnpose.nn.neighbour_sum import NeighbourSum

MATRIX = torch.tensor([[0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]])


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (4, 1), (0, 4, 5)])
def test_is_the_dense_product(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    torch.testing.assert_close(NeighbourSum(MATRIX)(x), MATRIX @ x)


def test_low_precision() -> None:
    x = torch.randn(7, 4, 5).bfloat16()
    y = NeighbourSum(MATRIX)(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y, (MATRIX @ x.float()).bfloat16(), rtol=0.01, atol=0.01)


def test_gradient_is_the_numerical_one() -> None:
    layer = NeighbourSum(MATRIX).double()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64).transpose(0, 1).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,))
