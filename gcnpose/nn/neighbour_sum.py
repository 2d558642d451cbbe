"""Weighted sums over the neighbours in a small graph, for many copies of the graph at once."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class NeighbourSum(nn.Module):
    """Multiplies a sparse matrix, the same for every frame: y = A x.

    Each row of y gathers and sums its neighbours in one kernel, ``embedding_bag``, forward and backward, so
    nothing but x and y is read and written. On a CPU that is three times as fast as a product with the dense
    matrix, nearly all of which is zeros, for a graph of 17 joints.

    Args:
        matrix: A, (targets, sources).

    Shapes:
        - input: (..., sources, channels)
        - output: (..., targets, channels)
    """

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.forward_rows = _Rows(matrix)
        self.backward_rows = _Rows(matrix.T)

    def forward(self, x: Tensor) -> Tensor:
        return _Sum.apply(x, self.forward_rows, self.backward_rows)


class _Rows(nn.Module):
    """The entries of a sparse matrix that are not zero, row by row."""

    source: Tensor
    start: Tensor
    weight: Tensor

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        row, source = matrix.nonzero(as_tuple=True)
        entries = torch.bincount(row, minlength=len(matrix))
        self.sources = matrix.shape[1]
        self.register_buffer("source", source.int(), persistent=False)
        self.register_buffer("start", (entries.cumsum(0) - entries).int(), persistent=False)
        self.register_buffer("weight", matrix[row, source], persistent=False)

    def apply_to(self, x: Tensor) -> Tensor:
        copies = torch.arange(x.shape[:-2].numel(), dtype=torch.int32, device=x.device)[:, None]
        sums = F.embedding_bag(
            (copies * self.sources + self.source).flatten(),
            x.reshape(-1, x.shape[-1]),
            (copies * len(self.source) + self.start).flatten(),
            mode="sum",
            per_sample_weights=self.weight.to(x.dtype).expand(len(copies), -1).flatten(),
        )
        return sums.view(*x.shape[:-2], len(self.start), x.shape[-1])


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, forward_rows: _Rows, backward_rows: _Rows) -> Tensor:
        ctx.backward_rows = backward_rows
        return forward_rows.apply_to(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.backward_rows.apply_to(gradient), None, None
