"""What tests of whole runs share."""

from __future__ import annotations

import errno
import io
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from tqdm import tqdm

from gcnpose.checkpoint import BEST, load_checkpoint
from gcnpose.run import LAST


def quiet(line: str) -> None:
    """Takes a line of progress and drops it."""


def assert_same_weights(folder: Path, other: Path) -> None:
    """All that a network is, of the last and of the best checkpoint."""
    for file in (LAST, BEST):
        one, two = (load_checkpoint(where / file)["model"] for where in (folder, other))
        assert one.keys() == two.keys()
        for name in one:
            assert torch.equal(one[name], two[name]), name


def assert_loadable(folder: Path) -> None:
    for path in folder.glob("*.pt"):
        load_checkpoint(path)


class SlowFile(io.FileIO):
    """Takes its time, so that a process that is killed is often in the midst of writing."""

    def write(self, data: Any) -> int:
        time.sleep(0.005)
        return super().write(memoryview(data).cast("B")[:16384])


class FileOnFullDisk(io.FileIO):
    """Takes what there is room for, and then nothing more."""

    room: ClassVar[int] = 0

    def write(self, data: Any) -> int:
        some = memoryview(data).cast("B")[: FileOnFullDisk.room]
        if not some:
            raise OSError(errno.ENOSPC, "No space left on device")
        FileOnFullDisk.room -= len(some)
        return super().write(some)


def opening(kind: Callable[[Path], type[io.FileIO]]) -> Callable[..., Any]:
    """A ``Path.open`` that opens a file for writing as the kind that is chosen for its path."""
    plain = Path.open

    def open(self: Path, mode: str = "r", buffering: int = -1, *text: Any, **options: Any) -> Any:
        if "w" not in mode:
            return plain(self, mode, buffering, *text, **options)
        binary = io.BufferedWriter(kind(self)(self, "wb"))
        return binary if "b" in mode else io.TextIOWrapper(binary, *text, **options)

    return open


def on_a_slow_disk(function: Callable[..., Any], *arguments: Any) -> None:
    """In a process of its own, whose files are slow from then on."""
    tqdm.set_lock(threading.RLock())  # its own is a semaphore of the system, which a kill leaves behind
    Path.open = opening(lambda path: SlowFile)  # type: ignore[method-assign]
    function(*arguments, quiet)
