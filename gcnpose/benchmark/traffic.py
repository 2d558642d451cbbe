"""What a call holds in memory and moves through it, counted; and what the memory can move, measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gcnpose.benchmark.timing import timed

_COPIED = 64 * 2**20
"""Numbers that are copied to measure the bandwidth: far more than a cache holds."""


class Traffic(TorchDispatchMode):
    """Counts the bytes that PyTorch's operations read and write while it is entered.

    Every operation counts the tensors that it is given and those that it makes or changes once each, as if it
    were one pass and nothing stayed in a cache. Views and uninitialised memory are free. So it is the traffic
    that the operations cannot do without; fusing operations lowers it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        read = _tensors((args, kwargs))
        changed = _tensors(
            [
                value
                for value, argument in zip(args, func._schema.arguments, strict=False)
                if argument.alias_info is not None and argument.alias_info.is_write
            ]
        )
        given = {tensor.untyped_storage().data_ptr() for tensor in read}
        written = changed + [
            tensor for tensor in _tensors(out) if tensor.untyped_storage().data_ptr() not in given
        ]
        if written and "empty" not in func.name():
            self.bytes += sum(map(_bytes, read + written))
        return out


def _tensors(values: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _bytes(tensor: Tensor) -> int:
    """In memory: an axis that is expanded is there once."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def kept_bytes(forward: Callable[[], Tensor]) -> int:
    """Bytes that a forward pass keeps for the backward pass."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # a result that keeps itself would never be freed

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    del result  # until here it holds what was kept, so no two tensors had one place
    return sum(kept.values())


def bandwidth(device: torch.device) -> float:
    """Bytes per second that a large copy reads and writes."""
    source = torch.zeros(_COPIED, device=device)
    target = torch.zeros_like(source)
    seconds = [timed(lambda: target.copy_(source), device) for _ in range(5)]
    return 2 * _COPIED * source.element_size() / statistics.median(seconds)
