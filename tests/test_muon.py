"""Muon against a singular value decomposition, and against Adam where it is Adam."""

import copy

import pytest
import torch
from torch import nn

from gcnpose.muon import Muon, matrices, orthogonalise


@pytest.mark.parametrize("shape", [(20, 20), (16, 80), (96, 32)])
def test_singular_values_come_near_to_one_and_directions_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inside = u.T @ orthogonalise(matrix) @ v.T  # diagonal, if the directions are the matrix's own
    values = inside.diagonal()
    assert ((values > 0.5) & (values < 1.4)).all()
    assert (inside - values.diag()).abs().max() < 1e-4


def test_small_matrices_and_vectors_are_adams() -> None:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Linear(3, 16), nn.Linear(16, 20), nn.Linear(20, 3))
    theirs = copy.deepcopy(ours)
    optimizers = [Muon(ours, lr=0.01), torch.optim.Adam(theirs.parameters(), lr=0.01)]
    assert matrices(ours) == {ours[1].weight}
    for _ in range(3):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape)
            other.grad = one.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for index, (one, other) in enumerate(zip(ours.parameters(), theirs.parameters(), strict=True)):
        if index == 2:
            assert not torch.allclose(one, other)
        else:
            torch.testing.assert_close(one, other)


def test_the_first_step_of_a_convolution() -> None:
    """Along the nearest orthogonal matrix, each element by about 0.2 times the learning rate."""
    convolution = nn.Conv1d(32, 32, 5, bias=False)
    before = convolution.weight.detach().clone()
    optimizer = Muon(convolution, lr=0.01)
    gradient = torch.randn(32, 160)
    convolution.weight.grad = gradient.view(32, 32, 5).clone()
    optimizer.step()
    moved = (convolution.weight.detach() - before).flatten(1)
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    expected = -0.01 * 0.2 * 160**0.5 * (u @ v)
    assert torch.nn.functional.cosine_similarity(moved.flatten(), expected.flatten(), dim=0) > 0.98
    assert moved.square().mean().sqrt() == pytest.approx(0.002, rel=0.2)


def test_the_second_step_looks_ahead() -> None:
    """Nesterov: along the new mean of the gradients, and by it a step beyond the gradient."""
    torch.manual_seed(0)
    layer = nn.Linear(16, 16, bias=False)
    optimizer = Muon(layer, lr=0.01, momentum=0.9)
    first, second = torch.randn(16, 16), torch.randn(16, 16)
    for gradient in (first, second):
        before = layer.weight.detach().clone()
        layer.weight.grad = gradient.clone()
        optimizer.step()
    mean = 0.9 * (0.1 * first) + 0.1 * second
    expected = -0.01 * 0.2 * 16**0.5 * orthogonalise(0.1 * second + 0.9 * mean)
    torch.testing.assert_close(layer.weight.detach() - before, expected, atol=1e-6, rtol=1e-3)


def test_goes_on_from_its_state() -> None:
    torch.manual_seed(0)
    whole = nn.Linear(16, 16)
    begun = copy.deepcopy(whole)
    gradients = [(torch.randn(16, 16), torch.randn(16)) for _ in range(4)]

    def steps(layer: nn.Linear, optimizer: Muon, few: slice) -> None:
        for gradient in gradients[few]:
            layer.weight.grad, layer.bias.grad = (part.clone() for part in gradient)
            optimizer.step()

    steps(whole, Muon(whole, lr=0.1), slice(4))
    first = Muon(begun, lr=0.1)
    steps(begun, first, slice(2))
    second = Muon(begun, lr=0.1)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    steps(begun, second, slice(2, 4))
    assert torch.equal(begun.weight, whole.weight) and torch.equal(begun.bias, whole.bias)
