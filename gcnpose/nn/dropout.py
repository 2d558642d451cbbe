"""Dropout whose random bits are cheap on a CPU."""

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Dropout that spends one random byte per element on a CPU, and is ``torch.nn.Dropout`` elsewhere.

    PyTorch draws a full random number per element, one after the other on a CPU, which took a fifth of a
    training step. A byte resolves the probability to 1 / 256; what is kept is scaled by the resolved
    probability, so the expectation is exact. Draws come from PyTorch's global generator.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0 or x.device.type != "cpu":
            return super().forward(x)
        dropped = min(round(self.p * 256), 255)
        words = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        return x * kept.to(x.dtype).mul_(256 / (256 - dropped))
