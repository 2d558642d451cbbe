"""Synchronised batch norm against PyTorch's on the whole batch; processes are threads here."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gcnpose.build import build_model
from gcnpose.config import load_config
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.st_block import ChannelNorm
from gcnpose.nn.synchronized_norm import Gather, SynchronizedNorm, synchronize_norms
from gcnpose.skeleton import Skeleton
from tests.experiments import NETWORKS
from tests.motions import past_the_beginning


def in_turn(size: int, work: Callable[[int, Gather], Any]) -> list[Any]:
    """What each of several ranks makes, given a way to gather from all."""
    barrier = threading.Barrier(size, timeout=60)
    slots: list[Tensor] = [torch.empty(0)] * size

    def gather_at(rank: int) -> Gather:
        def gather(values: Tensor) -> Tensor:
            slots[rank] = values
            barrier.wait()
            gathered = torch.stack(slots)
            barrier.wait()
            return gathered

        return gather

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(lambda rank: work(rank, gather_at(rank)), range(size)))


def norm_and_rows(offset: float = 0.0, dtype: torch.dtype = torch.float64) -> tuple[nn.BatchNorm1d, Tensor]:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(6).to(dtype)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    return norm, (torch.randn(18, 6, dtype=dtype) * torch.arange(1, 7) + offset)


def copy_of(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    copy = nn.BatchNorm1d(norm.num_features).to(norm.weight.dtype)
    copy.load_state_dict(norm.state_dict())
    return copy


@pytest.mark.parametrize("counts", [(9, 9), (12, 6), (1, 17), (5, 1, 12)])
@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_equals_the_norm_of_the_whole_batch(counts: tuple[int, ...], offset: float) -> None:
    norm, rows = norm_and_rows(offset)
    slope = torch.randn_like(rows)

    whole = rows.clone().requires_grad_()
    ours = [copy_of(norm) for _ in counts]
    expected = norm(whole)
    (expected * slope).sum().backward()

    def one_process(rank: int, gather: Gather) -> tuple[SynchronizedNorm, Tensor, Tensor]:
        mine = SynchronizedNorm(ours[rank], gather)
        part = rows.split(counts)[rank].clone().requires_grad_()
        y = mine(part)
        (y * slope.split(counts)[rank]).sum().backward()
        return mine, y, part.grad

    norms, outputs, gradients = zip(*in_turn(len(counts), one_process), strict=True)
    close = {"rtol": 1e-7, "atol": 1e-7}
    torch.testing.assert_close(torch.cat(outputs), expected, **close)
    torch.testing.assert_close(torch.cat(gradients), whole.grad, **close)
    for parameter in ("weight", "bias"):
        total = sum(getattr(mine, parameter).grad for mine in norms)
        torch.testing.assert_close(total, getattr(norm, parameter).grad, **close)
    for mine in norms:
        for name, buffer in norm.named_buffers():
            torch.testing.assert_close(dict(mine.named_buffers())[name], buffer, **close)


def test_the_gradient_is_that_of_finite_differences() -> None:
    norm, rows = norm_and_rows()
    mine = SynchronizedNorm(norm, lambda values: values[None])
    rows = rows[:5].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mine(x).sin(), (rows,))


def test_means_that_are_large_beside_the_deviations() -> None:
    """Sums of squares would have lost all digits in single precision."""
    norm, rows = norm_and_rows(offset=3e3, dtype=torch.float32)
    exact = copy_of(norm).double()(rows.double())
    ours = in_turn(2, lambda rank, gather: SynchronizedNorm(copy_of(norm), gather)(rows.chunk(2)[rank]))
    torch.testing.assert_close(torch.cat(ours).double(), exact, rtol=0, atol=2e-3)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, ChannelNorm])
def test_in_evaluation_nothing_is_gathered(kind: type[nn.BatchNorm1d]) -> None:
    norm = kind(6).eval()
    nn.init.normal_(norm.running_mean)
    x = torch.randn(3, 6, 6)
    expected = norm(x)

    def refuse(values: Tensor) -> Tensor:
        raise AssertionError

    mine = SynchronizedNorm(norm, refuse)
    assert not mine.training
    torch.testing.assert_close(mine(x), expected)


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, ChannelNorm])
def test_the_axis_is_that_of_the_norm(kind: type[nn.BatchNorm1d]) -> None:
    x = torch.randn(3, 6, 6)
    mine = SynchronizedNorm(kind(6), lambda values: values[None])
    torch.testing.assert_close(mine(x), kind(6)(x))


def test_rounded_input() -> None:
    """As autocast hands it on. What comes out is rounded, the running statistics are not."""
    norm, rows = norm_and_rows(offset=10.0, dtype=torch.float32)
    rounded = rows.bfloat16()
    reference, exact = copy_of(norm), rounded.float().requires_grad_()
    expected = reference(exact)
    expected.square().sum().backward()

    def one_process(rank: int, gather: Gather) -> tuple[SynchronizedNorm, Tensor, Tensor]:
        mine = SynchronizedNorm(copy_of(norm), gather)
        part = rounded.chunk(2)[rank].clone().requires_grad_()
        y = mine(part)
        y.float().square().sum().backward()
        return mine, y, part.grad

    norms, outputs, gradients = zip(*in_turn(2, one_process), strict=True)
    assert outputs[0].dtype == gradients[0].dtype == torch.bfloat16
    torch.testing.assert_close(torch.cat(outputs).float(), expected, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(torch.cat(gradients).float(), exact.grad, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(norms[0].running_mean, reference.running_mean)
    torch.testing.assert_close(norms[0].running_var, reference.running_var)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("fixed", [False, True], ids=["normal", "fixed input statistics"])
def test_a_whole_network(name: str, fixed: bool) -> None:
    """In two parts it is in every respect the network that sees the whole batch."""
    skeleton = Skeleton.load("h36m17")
    config = load_config("ugcn", [NETWORKS[name], "model.dropout=0"])

    def network() -> LiftingNetwork:
        torch.manual_seed(1)
        made = past_the_beginning(build_model(config, skeleton)).double()
        if fixed:
            made.fix_input_statistics(torch.randn(4, 8, 17, 2, dtype=torch.float64))
        return made.train()

    x = torch.randn(4, 8, 17, 2, dtype=torch.float64)
    whole = network()
    expected = whole(x)
    expected.square().sum().backward()

    def one_process(rank: int, gather: Gather) -> tuple[LiftingNetwork, Tensor]:
        part = parts[rank]
        synchronize_norms(part, gather)
        part.train()
        y = part(x.chunk(2)[rank])
        y.square().sum().backward()
        return part, y.detach()

    parts = [network(), network()]
    keys = list(parts[0].state_dict())
    networks, outputs = zip(*in_turn(2, one_process), strict=True)
    torch.testing.assert_close(torch.cat(outputs), expected)
    assert list(networks[0].state_dict()) == keys == list(whole.state_dict())
    for name, buffer in whole.named_buffers():
        torch.testing.assert_close(dict(networks[1].named_buffers())[name], buffer)
    for name, parameter in whole.named_parameters():
        gradients = [dict(part.named_parameters())[name].grad for part in networks]
        torch.testing.assert_close(gradients[0] + gradients[1], parameter.grad)
