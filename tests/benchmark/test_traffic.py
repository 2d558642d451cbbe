"""Bytes counted by hand, for 1,000 numbers of 4 bytes."""

import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gcnpose.benchmark.traffic import Traffic, bandwidth, kept_bytes

X, Y = torch.ones(1000), torch.ones(1000)


@pytest.mark.parametrize(
    ("call", "moved"),
    [
        (lambda: X + Y, 12_000),
        (lambda: X.clone().relu_(), 8_000 + 8_000),
        (lambda: X.view(10, 100).T[3], 0),
        (lambda: torch.empty(1000), 0),
        (lambda: torch.ones(10, 1000) + X, 40_000 + 40_000 + 4_000 + 40_000),
        (lambda: X.expand(10, 1000) + 1, 4_000 + 40_000),
        (lambda: torch.stack([X, Y]), 8_000 + 8_000),
    ],
)
def test_traffic(call: Callable[[], Tensor], moved: int) -> None:
    with Traffic() as traffic:
        call()
    assert traffic.bytes == moved


def test_traffic_of_the_backward_pass_counts() -> None:
    x = torch.ones(1000, requires_grad=True)
    y = x.exp().sum()
    with Traffic() as traffic:
        y.backward()
    # One number, the gradient of the sum, times the result gives the gradient of x; little beside.
    assert 8_000 <= traffic.bytes < 8_100


@pytest.mark.parametrize(
    ("forward", "kept"),
    [
        (lambda x: x.exp(), 4_000),
        (lambda x: x * x, 4_000),
        (lambda x: x * Y, 4_000),
        (lambda x: x.exp() * x, 8_000),
        (lambda x: x + 1, 0),
    ],
)
def test_what_is_kept_for_the_backward_pass(forward: Callable[[Tensor], Tensor], kept: int) -> None:
    x = torch.ones(1000, requires_grad=True)
    assert kept_bytes(lambda: forward(x)) == kept


def test_bandwidth_of_this_machine() -> None:
    assert 1e8 < bandwidth(torch.device("cpu")) < 1e13


def test_what_was_kept_is_freed() -> None:
    """Of an operation that keeps its own result too."""
    results = []

    def forward() -> Tensor:
        result = torch.ones(3, requires_grad=True).sigmoid()
        results.append(weakref.ref(result))
        return result

    assert kept_bytes(forward) == 12
    assert results[0]() is None
