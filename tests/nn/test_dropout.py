"""Dropout by random bytes."""

import torch

from gcnpose.nn.dropout import Dropout


def test_keeps_the_mean_and_drops_the_share() -> None:
    torch.manual_seed(0)
    y = Dropout(0.3)(torch.ones(1000, 1003))
    # A byte resolves 0.3 to 77 / 256; a million draws have a standard error of 0.0005.
    assert abs((y == 0).float().mean().item() - 77 / 256) < 0.003
    assert abs(y.mean().item() - 1) < 0.005
    assert set(y.unique().tolist()) == {0.0, torch.tensor(256 / 179).item()}


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = (Dropout(0.5)(torch.ones(1 << 20)) == 0).float()
    for distance in (1, 2, 3, 8, 64):
        both = (dropped[:-distance] * dropped[distance:]).mean().item()
        assert abs(both - 0.25) < 0.003


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
