"""How much memory there is, and how much was used."""

from pathlib import Path

import psutil
import pytest
import torch

from gcnpose import memory
from gcnpose.errors import InputError, RunError
from gcnpose.memory import enough_memory, free_memory, peak_memory_mib


def limit(folder: Path, most: str, used: int, files: int) -> None:
    """The files of a control group."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon {used - files}\ninactive_file {files}\nslab 3\n")


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A group in a group, neither with a limit."""
    inner = tmp_path / "job" / "step"
    for folder in (inner, inner.parent):
        limit(folder, "max", 500, 100)
    monkeypatch.setattr(memory, "_control_group", lambda: inner)
    return inner


def test_what_the_system_has(group: Path) -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total


def test_what_a_group_may_take(group: Path) -> None:
    limit(group, "1000", 500, 100)
    assert free_memory() == 1000 - 500 + 100
    limit(group.parent, "900", 700, 0)
    assert free_memory() == 200, "the group around it has less"
    limit(group, "1000", 1100, 0)
    assert free_memory() == 0


def test_the_group_of_this_process() -> None:
    assert memory._control_group().is_relative_to(memory.CGROUPS)


def test_peak_memory_is_in_mib() -> None:
    held = torch.ones(2**24)  # 64 MiB
    peaks = peak_memory_mib(held.device)
    assert peaks.keys() == {"peak_memory_mib"}
    resident = psutil.Process().memory_info().rss / 2**20
    assert 64 < resident <= peaks["peak_memory_mib"] * 1.01 < psutil.virtual_memory().total / 2**20


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of"),
            "out of memory, tried to allocate 2.00 GiB: smaller batches, windows or networks need less",
        ),
        (RuntimeError("x: can't allocate memory"), "out of memory: smaller batches, windows or networks"),
        (RuntimeError("Storage size calculation overflowed"), "out of memory: smaller batches"),
        (RuntimeError("numel: integer multiplication overflow"), "out of memory: smaller batches"),
        (MemoryError("Unable to allocate 1. TiB"), "out of memory: smaller batches"),
    ],
)
def test_out_of_memory_is_one_message(error: Exception, message: str) -> None:
    with pytest.raises(InputError, match=message), enough_memory():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        RunError("runs/overflow: the loss is not finite"),
        RunError("runs: can't allocate memory"),
        RuntimeError("value cannot be converted to type float without overflow"),
    ],
)
def test_other_errors_pass(error: Exception) -> None:
    with pytest.raises(type(error), match=str(error)), enough_memory():
        raise error


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_peak_memory_of_the_gpu() -> None:
    torch.cuda.reset_peak_memory_stats()
    held = torch.ones(2**24, device="cuda")
    assert 64 <= peak_memory_mib(held.device)["peak_gpu_memory_mib"] < 1000
