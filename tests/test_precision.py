"""Single precision, bfloat16, and which of them a device should have."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gcnpose.checkpoint import BEST, load_checkpoint
from gcnpose.config import Precision, load_config
from gcnpose.errors import StoppedError
from gcnpose.precision import autocast, doubts, has_bf16, settle
from gcnpose.run import CONFIG, resume, train
from gcnpose.scoring import evaluate_checkpoint
from tests.experiments import small_config
from tests.runs import quiet

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def pretend(monkeypatch: pytest.MonkeyPatch, **capabilities: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize(
    ("capabilities", "has"),
    [({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False), ({}, False)],
)
def test_a_cpu_tells_whether_it_has_bf16(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], has: bool
) -> None:
    pretend(monkeypatch, **capabilities)
    assert has_bf16(CPU) is has
    assert settle("auto", CPU) == ("bf16" if has else "fp32")
    assert [settle(precision, CPU) for precision in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert len(list(doubts("train.precision", "bf16", CPU))) == (0 if has else 1)
    assert list(doubts("train.precision", "auto", CPU)) == list(doubts("train.precision", "fp32", CPU)) == []


def test_a_pytorch_that_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bf16(CPU)


@pytest.mark.parametrize("has", [True, False])
def test_a_gpu_tells_by_its_own_instructions(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    pretend(monkeypatch, avx512_bf16=not has)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation
    )
    assert has_bf16(CUDA) is has
    assert not has_bf16(torch.device("mps"))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_under_autocast(precision: Precision, dtype: torch.dtype) -> None:
    with autocast(precision, CPU):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype is torch.float32


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pictures: Any) -> Path:
    """A run with auto, begun on a CPU without bf16, of whose two epochs one is done."""
    pretend(monkeypatch)
    config = small_config(tmp_path, "train.epochs=2", "train.precision=auto", "evaluation.precision=auto")

    def stop(line: str) -> None:
        if line.startswith("epoch 1/2"):
            raise KeyboardInterrupt

    with pytest.raises(StoppedError):
        train(config, stop)
    (folder,) = Path(config.output).iterdir()
    return folder


def test_a_run_goes_on_as_it_began_and_is_scored_as_is_best(
    interrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_config(interrupted / CONFIG).train.precision == "auto"
    pretend(monkeypatch, avx512_bf16=True)
    lines: list[str] = []
    resume(interrupted, lines.append)
    assert lines[0].endswith(" on cpu in fp32")
    assert load_checkpoint(interrupted / BEST)["config"]["train"]["precision"] == "fp32"
    report = json.loads((interrupted / "report.json").read_text())
    assert (report["training"], report["inference"]["precision"]) == ({"precision": "fp32"}, "bf16")
    pretend(monkeypatch)
    again = evaluate_checkpoint(interrupted, [], quiet)
    assert (again["training"], again["inference"]["precision"]) == ({"precision": "fp32"}, "fp32")
    assert again["mean_over_frames"] != report["mean_over_frames"]


def test_what_is_slow_here_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pictures: Any) -> None:
    pretend(monkeypatch)
    lines: list[str] = []
    settings = ("train.precision=bf16", "evaluation.precision=bf16")
    folder = train(small_config(tmp_path, "train.epochs=1", *settings), lines.append)
    said = "cpu has no instructions for bf16, fp32 is faster there (auto takes it)"
    assert f"train.precision: {said}" in lines and f"evaluation.precision: {said}" in lines
    evaluate_checkpoint(folder, [], lines.append)
    assert lines.count(f"evaluation.precision: {said}") == 2
