"""The arithmetic of forward passes: single precision, or bfloat16 by autocast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import torch

from gcnpose.config import Precision


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in one instruction; False where PyTorch cannot tell.

    Without, bfloat16 is computed all the same, but several times slower than single precision.
    """
    if device.type == "cpu":
        capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def settle(precision: Precision, device: torch.device) -> Literal["fp32", "bf16"]:
    """What a precision is on a device: auto is bf16 where the device has instructions for it, else fp32."""
    if precision == "auto":
        return "bf16" if has_bf16(device) else "fp32"
    return precision


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The precision of what is computed on the device, for a ``with`` statement."""
    return torch.autocast(device.type, torch.bfloat16, enabled=settle(precision, device) == "bf16")


def doubts(setting: str, precision: Precision, device: torch.device) -> Iterator[str]:
    """What makes one doubt that a setting is meant for this device."""
    if precision == "bf16" and not has_bf16(device):
        yield f"{setting}: {device.type} has no instructions for bf16, fp32 is faster there (auto takes it)"
