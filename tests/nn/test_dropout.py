"""Dropout by picks from a table."""

import math

import pytest
import torch

from gcnpose.nn.dropout import Dropout, _table


@pytest.mark.parametrize("p", [0.02, 0.1, 0.3, 0.5, 0.9])
def test_keeps_the_mean_and_drops_the_share(p: float) -> None:
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(1000, 1003))
    # A million draws have a standard error of at most 0.0005.
    assert abs((y == 0).float().mean().item() - p) < 0.002
    assert abs(y.mean().item() - 1) < 0.003 / (1 - p)
    assert len(y.unique()) == 2


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_neighbours_are_dropped_independently(p: float) -> None:
    torch.manual_seed(0)
    dropped = (Dropout(p)(torch.ones(1 << 20)) == 0).float()
    for distance in (1, 2, 3, 8, 64):
        both = (dropped[:-distance] * dropped[distance:]).mean().item()
        assert abs(both - p**2) < 0.003


@pytest.mark.parametrize("p", [share / 50 for share in range(1, 50)])
def test_every_outcome_has_its_share(p: float) -> None:
    kept = (_table(p, torch.float64) > 0).double()
    times = kept.sum(dim=1)
    for number in range(9):
        share = math.comb(8, number) * (1 - p) ** number * p ** (8 - number)
        assert (times == number).double().mean().item() == pytest.approx(share, abs=0.01)
    assert kept.mean(dim=0).tolist() == pytest.approx([1 - p] * 8, abs=0.004)
    assert kept.all(dim=1).double().mean().item() == pytest.approx((1 - p) ** 8, abs=2e-4)


def test_seeded_and_off_in_evaluation() -> None:
    layer, x = Dropout(0.5), torch.ones(100)
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert torch.equal(layer.eval()(x), x)


def test_gradient_passes_where_kept() -> None:
    x = torch.ones(1000, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("size", [1, 7, 1001])
def test_in_place_is_the_same(size: int) -> None:
    x = torch.randn(size, requires_grad=True)
    results = []
    for inplace in (False, True):
        torch.manual_seed(0)
        y = Dropout(0.5, inplace)(x * 1)
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        results.append((y, gradient))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
