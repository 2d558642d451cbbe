"""Where the frames of a training lie, and how a batch is taken from there."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gcnpose.errors import InputError
from gcnpose.memory import free_memory

SHARE_OF_DEVICE = 1 / 2
"""Of the device's free memory that frames may take; activations and gradients need the rest."""
SHARE_OF_MEMORY = 1 / 3
"""Of the free RAM. Frames may be there up to three times: as built, and as a page-locked copy, for which
PyTorch's allocator rounds up to a power of two."""


class FrameStore:
    """Where flat arrays with a row per frame lie: ``place`` is "device", "host" (RAM) or "disk".

    On the disk they are in a file that is mapped into memory and has no name, so that it is gone with the
    process, however that ends. On a CPU, device and host are the same. Values and their order in a batch do
    not depend on the place.

    Args:
        device: Where to compute.
        keep: The place, or "auto": the first of them that has room.
        built: Bytes of the arrays that are made before training.
        kept: Bytes of those that stay, and have to fit on the device.
        folder: Where the file is made.
        processes: How many on this machine make as many at once.
    """

    def __init__(
        self,
        device: torch.device,
        keep: str = "device",
        built: int = 0,
        kept: int = 0,
        folder: Path | None = None,
        processes: int = 1,
    ) -> None:
        self.device = device
        self.kept = kept
        self.folder = folder
        too_much = processes * built > SHARE_OF_MEMORY * free_memory()
        self.in_file = keep == "disk" or (keep == "auto" and too_much)
        if device.type == "cpu":
            on_device = not self.in_file
        else:
            on_device = keep == "device" or (keep == "auto" and self._fits(kept))
        self.place = "device" if on_device else "disk" if self.in_file else "host"

    def __str__(self) -> str:
        names = {"device": "on the device", "host": "in host memory", "disk": "in a file on the disk"}
        return f"{self.kept / 2**20:,.0f} MiB of frames {names[self.place]}"

    def empty(self, *shape: int) -> Tensor:
        """A float32 array to be filled, in RAM or in the file.

        Raises:
            InputError: if the file cannot be made, or the disk has no room for it.
        """
        return _empty_in_file(shape, self.folder) if self.in_file else torch.empty(shape)

    def settle(self, frames: Tensor) -> Tensor:
        """An array from :meth:`empty`, filled, where it is to stay."""
        if self.place == "device":
            return frames.to(self.device)
        return frames.pin_memory() if self.place == "host" and self.device.type == "cuda" else frames

    def _fits(self, num_bytes: int) -> bool:
        if self.device.type != "cuda":
            return not self.in_file  # the device uses the RAM
        return num_bytes <= SHARE_OF_DEVICE * torch.cuda.mem_get_info(self.device)[0]


def take(frames: Tensor, rows: Tensor, joints: Tensor | None = None) -> Tensor:
    """Rows of a settled array, on the device of the row numbers.

    Args:
        frames: Anywhere. From the host it goes through page-locked memory, and the row numbers have to come
            to the host first, so that the device is waited for.
        rows: Row numbers.
        joints: Joint numbers for each row, broadcast; None: as they are.

    Shapes:
        - frames: (rows, joints, channels)
        - rows: (batch, frames)
        - joints: (batch or 1, frames or 1, joints)
        - output: (batch, frames, joints, channels)
    """
    if frames.device != rows.device:
        taken = _through_host(frames, rows)
        return taken if joints is None else taken.take_along_dim(joints[..., None], dim=2)
    if joints is None:
        return frames[rows]
    return frames.flatten(0, 1)[rows[..., None] * frames.shape[1] + joints]


def _through_host(frames: Tensor, rows: Tensor) -> Tensor:
    # PyTorch gives page-locked memory out again only once the copy from it is done.
    staged = torch.empty(rows.numel(), *frames.shape[1:], dtype=frames.dtype, pin_memory=rows.is_cuda)
    torch.index_select(frames, 0, rows.flatten().cpu(), out=staged)
    return staged.to(rows.device, non_blocking=True).unflatten(0, rows.shape)


def _empty_in_file(shape: tuple[int, ...], folder: Path | None) -> Tensor:
    size, block = 4 * math.prod(shape), bytes(2**20)
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            # Not a hole: that is filled when it is first written to, and a full disk then kills the process.
            for start in range(0, size, len(block)):
                file.write(block[: size - start])
            file.flush()
            return torch.from_numpy(np.memmap(file, np.float32, "r+", shape=shape))
    except OSError as error:
        raise InputError(
            f"data.keep: {size / 2**20:,.0f} MiB of frames cannot be put into a file in "
            f"{folder or tempfile.gettempdir()}: {error.strerror}"
        ) from error
