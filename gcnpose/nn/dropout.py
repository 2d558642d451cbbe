"""Dropout whose random numbers are cheap on a CPU."""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

_AT_ONCE, _ROWS = 8, 2**13


class Dropout(nn.Dropout):
    """Dropout that spends two random bits per element on a CPU, and is ``torch.nn.Dropout`` elsewhere.

    PyTorch draws a full random number per element, one after the other on a CPU, which took a fifth of a
    training step. Here one of 16 bits picks what becomes of eight elements from a table of 8192 rows, in
    which every outcome has its share. That resolves the probability to 1 / 8192; what is kept is scaled by
    the resolved probability, so the expectation is exact but for the rounding of that factor, in bfloat16 up
    to a fifth of a per cent. For the backward pass only the numbers are kept, an eighth of the memory of a
    mask. Draws come from PyTorch's global generator.
    """

    def forward(self, x: Tensor) -> Tensor:
        elsewhere = x.device.type != "cpu" or torch.compiler.is_compiling()
        if not self.training or self.p == 0 or elsewhere:
            return super().forward(x)
        picks = -(-x.numel() // _AT_ONCE)
        words = torch.empty(-(-picks // 4), dtype=torch.int64).random_(-(2**63), None)
        return _Drop.apply(x, words.view(torch.int16)[:picks].int() & (_ROWS - 1), self.p, self.inplace)


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, picks: Tensor, p: float, inplace: bool) -> Tensor:
        ctx.picks, ctx.p = picks, p
        factors = _factors(picks, p, x)
        if not inplace:
            return x * factors
        ctx.mark_dirty(x)
        return x.mul_(factors)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return gradient * _factors(ctx.picks, ctx.p, gradient), None, None, None


def _factors(picks: Tensor, p: float, like: Tensor) -> Tensor:
    return _table(p, like.dtype).index_select(0, picks).view(-1)[: like.numel()].view(like.shape)


@cache
def _table(p: float, dtype: torch.dtype) -> Tensor:
    """Outcomes for eight elements, 0 or the scale of what is kept, each as often as it is likely.

    Shapes: (8192, 8)
    """
    rare = min(p, 1 - p)
    happens = torch.arange(2**_AT_ONCE)[:, None] >> torch.arange(_AT_ONCE) & 1
    times = happens.sum(dim=1)
    shares = (1.0 - rare) ** (_AT_ONCE - times) * rare**times
    # Rounding the sums, not the shares, makes neither the whole nor any part of it too long or too short.
    ends = (shares.double().cumsum(dim=0) * _ROWS).round().long()
    rows = ends.diff(prepend=ends.new_zeros(1))
    kept = (happens if p > 0.5 else 1 - happens).repeat_interleave(rows, dim=0)
    return (kept / kept.double().mean()).to(dtype)
