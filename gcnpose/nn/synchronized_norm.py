"""Batch norm by the statistics of the whole batch, where each of several processes has a part of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from gcnpose.nn.st_block import ChannelNorm

Gather = Callable[[Tensor], Tensor]
"""The values of every process, along a new first axis."""


class SynchronizedNorm(nn.BatchNorm1d):
    """A batch norm with the rows of all processes. Axis, parameters and buffers are the norm's.

    ``torch.nn.SyncBatchNorm`` does it on GPUs only. Means m and sums of squared deviations M of the processes
    are put together without cancellation (Chan, Golub & LeVeque, 1979), and exactly for unequal counts n::

        m = sum n_i m_i / N,    M = sum M_i + n_i (m_i - m)^2,    N = sum n_i

    The gradients are those of the sum of all processes' losses, as DistributedDataParallel expects.

    Args:
        norm: What to take the place of.
        gather: Brings together what the processes have.

    Shapes:
        - input and output: (..., channels) for a :class:`ChannelNorm`, else (batch, channels, ...)
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, norm: nn.BatchNorm1d, gather: Gather) -> None:
        super().__init__(norm.num_features, norm.eps, norm.momentum, norm.affine)
        for name, parameter in norm.named_parameters():
            self.register_parameter(name, parameter)
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, buffer)
        self.axis = -1 if isinstance(norm, ChannelNorm) else 1
        self.gather = gather
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.movedim(self.axis, -1)
        rows = channels_last.flatten(0, -2)
        y: Tensor
        if self.training:
            mean, variance, count = self._statistics(rows.detach())
            y = _Normalize.apply(rows, self.weight, self.bias, mean, variance, count, self.eps, self.gather)
        else:
            y = super().forward(rows)
        return y if x.dim() == 2 else y.view(channels_last.shape).movedim(-1, self.axis)

    @torch.no_grad()
    def _statistics(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean, variance and count of all processes' rows; moves the running statistics towards them."""
        # In the running statistics' precision under autocast too, which is why some are passed.
        zero = torch.zeros_like(self.running_mean)
        mean, variance = torch.batch_norm_update_stats(rows, zero, zero.clone(), 0.0)
        own_count = torch.full_like(mean[:1], len(rows))
        gathered = self.gather(torch.cat([mean, variance * own_count, own_count]))
        means, deviations, counts = gathered.split([len(mean), len(mean), 1], dim=1)
        count = counts.sum()
        mean = (counts * means).sum(dim=0) / count
        deviation = (deviations + counts * (means - mean).square()).sum(dim=0)
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(deviation / (count - 1), self.momentum)
        return mean, deviation / count, count


def synchronize_norms(network: nn.Module, gather: Gather) -> None:
    """Puts synchronised norms in the place of a network's batch norms; its state stays as it is."""
    for part in list(network.modules()):
        for name, child in part.named_children():
            if isinstance(child, nn.BatchNorm1d):
                setattr(part, name, SynchronizedNorm(child, gather))


class _Normalize(torch.autograd.Function):
    """(rows - mean) / sqrt(variance + eps), of all rows; then * weight + bias, if there are those."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        mean: Tensor,
        variance: Tensor,
        count: Tensor,
        eps: float,
        gather: Gather,
    ) -> Tensor:
        ctx.save_for_backward(rows, weight, mean, (variance + eps).rsqrt(), count)
        ctx.gather = gather
        return F.batch_norm(rows, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, mean, scale, count = ctx.saved_tensors
        # PyTorch's own backward subtracts from the gradient g its mean and its regression on the normalised
        # rows r, both over the rows of this process. What is missing is those of all processes.
        of_rows, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient.contiguous(), rows, weight, None, None, mean, scale, True, 0.0, [True, True, True]
        )
        own = torch.stack([of_bias, of_weight])  # sums of g and of g r
        mean_g, mean_gr = own / len(rows) - ctx.gather(own).sum(dim=0) / count
        factor = scale if weight is None else weight * scale
        slope = factor * scale * mean_gr
        offset = factor * mean_g - slope * mean
        of_rows += torch.addcmul(offset.to(rows.dtype), rows, slope.to(rows.dtype))
        of_affine = (None, None) if weight is None else (of_weight, of_bias)
        return of_rows, *of_affine, None, None, None, None, None
