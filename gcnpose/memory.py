"""How much memory there is, and how much was used."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch

from gcnpose.errors import InputError, RunError

CGROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Bytes of RAM that can still be had: what the system has, and what a container or batch job may take.

    A control group may use ``memory.max`` bytes. Of ``memory.current`` those in ``inactive_file`` are copies
    of files, which make room when it is needed (Linux' Documentation/admin-guide/cgroup-v2.rst).
    """
    free = [psutil.virtual_memory().available]
    group = _control_group()
    for folder in [group, *group.parents]:
        try:
            limit = int((folder / "memory.max").read_text())
            used = int((folder / "memory.current").read_text())
            lines = (folder / "memory.stat").read_text().splitlines()
        except (OSError, ValueError):  # no group of this version, or "max": no limit
            continue
        files = dict(line.split() for line in lines)
        free.append(limit - used + int(files.get("inactive_file", 0)))
    return max(min(free), 0)


def peak_memory_mib(device: torch.device) -> dict[str, float]:
    """The most memory that this process has held so far, by the name of a metric, in MiB.

    ``peak_memory_mib``: resident in RAM, pages of a mapped file among it. ``peak_gpu_memory_mib``: in tensors
    on the GPU, where that is one.
    """
    peaks = {"peak_memory_mib": _peak_resident_bytes() / 2**20}
    if device.type == "cuda":
        peaks["peak_gpu_memory_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    return peaks


@contextmanager
def enough_memory() -> Iterator[None]:
    """Says in one message that there was too little.

    Raises:
        InputError: if what is needed cannot be allocated.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        # On a CPU, PyTorch has no type of its own for it; and some sizes it cannot even count.
        of_memory = isinstance(error, torch.OutOfMemoryError | MemoryError)
        no_size = re.search("can't allocate memory|(calculation|multiplication) overflow", str(error))
        if isinstance(error, RunError) or not (of_memory or no_size):
            raise
        asked = re.search(r"[Tt]ried to allocate ([\d.]+ \w+)", str(error))
        raise InputError(
            "out of memory"
            + (f", tried to allocate {asked[1]}" if asked else "")
            + ": smaller batches, windows or networks need less"
        ) from error


def _control_group() -> Path:
    """The folder of this process's control group, of version 2."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    paths = [line.removeprefix("0::") for line in lines if line.startswith("0::")]
    return CGROUPS / paths[0].lstrip("/") if paths else CGROUPS


def _peak_resident_bytes() -> int:
    import resource  # not on Windows, where nothing can train, but what only needs the free memory may run

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # bytes there, KiB elsewhere
