"""The usual formulation is the same network, and timings come out as tables."""

import copy
import itertools
import re

import pytest
import torch

from gcnpose import benchmark
from gcnpose.benchmark import UsualUGCN, time_in_turn, time_inference, time_layer, time_step
from gcnpose.errors import InputError
from gcnpose.nn import UGCN
from gcnpose.skeleton import Skeleton
from tests.motions import small_motion

ROW = r"^  (.{20})\s+[\d.]+ ms\s+([\d.]+) times as fast$"


def test_usual_formulation_is_the_same_network() -> None:
    """In evaluation with statistics of its own, and in training, where the batch's count, without dropout."""
    skeleton = Skeleton.load("h36m17")
    torch.manual_seed(0)
    ours = UGCN(skeleton, channels=(4, 6, 8), dropout=0.0)
    x = torch.randn(3, 16, 17, 2)
    ours(x + 1)
    theirs = UsualUGCN(copy.deepcopy(ours), skeleton.to_data())
    torch.testing.assert_close(theirs.train()(x), ours.train()(x), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(theirs.eval()(x), ours.eval()(x), atol=1e-4, rtol=1e-4)
    count = [sum(parameter.numel() for parameter in network.parameters()) for network in (ours, theirs)]
    assert count[0] == count[1]


def test_a_step_in_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "make_motion", lambda takes: small_motion())
    table = time_step(batch_size=1, frames=16, repeats=1, precision="fp32")
    assert table.startswith("training step, batch 1 x 16 frames, fp32, ")
    rows = re.findall(ROW, table, re.MULTILINE)
    assert [name.strip() for name, _ in rows] == ["usual formulation", "gcnpose", "taking a batch"]
    assert rows[0][1] == "1.00"
    assert re.search(r"taking a batch is [\d.]+ % of gcnpose's step$", table)


def test_frames_that_would_be_padded() -> None:
    with pytest.raises(InputError, match=r"--frames must be a multiple of 16, not 17"):
        time_step(batch_size=1, frames=17, repeats=1, precision="fp32")


def test_a_layer_in_tables() -> None:
    tables = time_layer(batch_size=1, frames=1, repeats=1, precision="bf16").split("\n\n")
    assert [table.split(", ")[2] for table in tables] == [f"{n} joints" for n in (17, 33, 65, 133, 257, 513)]
    for table in tables:
        names = [name.strip() for name, _ in re.findall(ROW, table, re.MULTILINE)]
        assert names in (["native", "dense"], ["native", "scatter", "dense"])


def test_lifting_in_a_table() -> None:
    table = time_inference(batch_size=1, frames=20, repeats=1, precision="fp32")
    assert table.startswith("lifting 20 frames, step 5, averages in fp32, ")
    names = [name.strip() for name, _ in re.findall(ROW, table, re.MULTILINE)]
    assert names == ["window by window", "windows", "shifts", "whole", "whole, no flip"]
    assert table.splitlines()[-1].startswith("frames per second: window by window ")


def test_calls_take_turns_and_the_first_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    calls: list[str] = []
    monkeypatch.setattr(benchmark.time, "perf_counter", lambda: next(ticks))
    seconds = time_in_turn(
        {name: lambda name=name: calls.append(name) for name in "ab"}, repeats=3, warm_up=2
    )
    assert calls == list("ab" * 5)
    assert seconds == {"a": 1, "b": 1}
