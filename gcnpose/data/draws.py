"""Random numbers for the windows of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


class Draws:
    """Draws numbers for every window of a batch and gives those of some.

    So several processes that draw from equal generators, each for its part of a batch, change the windows as
    one process that draws for all of them does.

    Args:
        generator: Source of all randomness. The numbers come out on its device.
        windows: How many the whole batch has.
        part: Which of them to give numbers for; None: all.
    """

    def __init__(self, generator: torch.Generator, windows: int, part: slice | None = None) -> None:
        self.generator = generator
        self.windows = windows
        self.part = slice(None) if part is None else part

    def uniform(self, *size: int) -> Tensor:
        """In [0, 1). Shapes: (windows, *size)"""
        drawn = torch.rand(self.windows, *size, generator=self.generator, device=self.generator.device)
        return drawn[self.part]

    def normal(self, *size: int) -> Tensor:
        """Of unit variance. Shapes: (windows, *size)"""
        return self.normals(1, *size)[0]

    def normals(self, sets: int, *size: int) -> Tensor:
        """Of unit variance, several times. Shapes: (sets, windows, *size)"""
        shape = (sets, self.windows, *size)
        return torch.randn(shape, generator=self.generator, device=self.generator.device)[:, self.part]

    def below(self, number: int) -> Tensor:
        """Whole numbers from 0 on, less than some number. Shapes: (windows,)"""
        shape = (self.windows,)
        drawn = torch.randint(number, shape, generator=self.generator, device=self.generator.device)
        return drawn[self.part]
