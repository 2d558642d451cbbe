"""Sizes, rounds and exponents, against arithmetic on paper."""

import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gcnpose.benchmark import timing
from gcnpose.benchmark.timing import (
    Result,
    Rounds,
    Row,
    check_equal,
    crossover,
    exponents,
    format_result,
    rows_of,
    sweep,
    time_in_turn,
    track_result,
    varied,
    write_result,
)
from gcnpose.config import TrackingConfig
from gcnpose.errors import InputError, RunError

CPU = torch.device("cpu")


def test_one_axis_varies() -> None:
    assert varied({"batch-size": [4], "frames": [96]}) == ("batch-size", [{"batch-size": 4, "frames": 96}])
    axis, sizes = varied({"batch-size": [4], "frames": [96, 16, 96]})
    assert (axis, sizes) == ("frames", [{"batch-size": 4, "frames": 16}, {"batch-size": 4, "frames": 96}])


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"frames": [96, 0]}, "--frames must be at least 1, not 0"),
        ({"joints": [1]}, "--joints must be at least 2, not 1"),
        ({"frames": [1, 2], "joints": [2, 3]}, "only one of --frames, --joints may have several sizes"),
    ],
)
def test_sizes_that_cannot_be(axes: dict[str, list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        varied(axes)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock takes a second."""
    ticks = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(ticks))


@pytest.mark.usefixtures("clock")
def test_calls_take_turns_and_the_first_do_not_count() -> None:
    calls: list[str] = []
    both: dict[str, Callable[[], object]] = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert time_in_turn(both, Rounds(repeats=4, limit_s=1e9), CPU) == {"a": 1, "b": 1}
    assert calls == list("aabb" * (2 + 4))
    calls.clear()
    time_in_turn(both, Rounds(repeats=4, limit_s=1), CPU)
    assert calls == list("aabb" * (2 + 3))


def test_the_first_row_is_the_reference() -> None:
    assert rows_of({"usual": 0.5, "ours": 0.1}, 32, "windows") == [
        {"variant": "usual", "ms": 500, "times as fast": 1, "windows/s": 64},
        {"variant": "ours", "ms": 100, "times as fast": 5, "windows/s": 320},
    ]


def timings(**ms: Callable[[int], float]) -> list[Row]:
    return [{"variant": name, "n": n, "ms": f(n)} for n in (1, 10, 100, 1000) for name, f in ms.items()]


def test_exponents_of_powers() -> None:
    rows = timings(square=lambda n: 7 * n**2, constant_below_10=lambda n: max(n, 10))
    square, bent = exponents(rows, "n")
    assert square == {
        "variant": "square",
        "exponent of n": pytest.approx(2),
        "of the largest 3": pytest.approx(2),
    }
    # By hand: log10 of time is 1, 1, 2, 3 at 0, 1, 2, 3, so the slope is 3.5 / 5.
    assert bent["exponent of n"] == pytest.approx(0.7)
    assert bent["of the largest 3"] == pytest.approx(1)
    assert exponents(rows[:4], "n") == []


def test_crossover_lies_where_the_lines_meet() -> None:
    rows = timings(dense=lambda n: n**2 / 30, sparse=lambda n: n)
    assert crossover(rows, "n", "dense", "sparse") == pytest.approx(30)
    rows = timings(dense=lambda n: n, sparse=lambda n: 2 * n)
    assert crossover(rows, "n", "dense", "sparse") == math.inf
    assert crossover(rows, "n", "sparse", "dense") == 0
    rows = timings(dense=lambda n: n if n == 100 else 4 * n, sparse=lambda n: 2 * n)
    assert crossover(rows, "n", "dense", "sparse") == 0  # slower, faster, slower


def test_variants_that_differ() -> None:
    one = torch.tensor([3.0, 4.0])
    check_equal("the output", {"a": one, "b": one * 1.009})
    for other in (one * 1.02, one * torch.nan):
        with pytest.raises(RunError, match="the output of b and of a differ by"):
            check_equal("the output", {"a": one, "b": other})


def swept(measure: Callable[..., list[Row]], limit_s: float = 1e9) -> Result:
    result = Result("step", {}, "n")
    sweep(result, [{"n": n} for n in (1, 10, 100, 1000)], measure, Rounds(10, limit_s), CPU)
    return result


def test_sizes_that_would_take_too_long_are_left_out() -> None:
    """Two variants of n and 3 n seconds, each twice in five rounds at the least."""
    result = swept(lambda n: rows_of({"a": n, "b": 3 * n}, 1, "steps"), limit_s=4000)
    measured = [(row["n"], row["variant"]) for row in result.rows]
    assert measured == list(itertools.product((1, 10, 100), "ab"))
    assert result.notes == ["n 1000 and above left out: it would take 40000 s (--limit)"]
    assert [growth["exponent of n"] for growth in result.growth] == pytest.approx([1, 1])


def test_sizes_that_would_need_too_much_memory_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(n: int) -> list[Row]:
        return [{**row, "kept MB": 30.0 * n} for row in rows_of({"a": 1}, 1, "steps")]

    monkeypatch.setattr(timing, "free_memory", lambda: 10_000 * 10**6)
    assert swept(measure).notes == ["n 1000 and above left out: it would keep 30000 MB in memory"]

    def too_large(n: int) -> list[Row]:
        if n == 100:
            raise torch.OutOfMemoryError
        return measure(n)

    result = swept(too_large)
    assert [row["n"] for row in result.rows] == [1, 10]
    assert result.notes == ["n 100 and above left out: the GPU's memory is too small"]


@pytest.fixture
def result() -> Result:
    rows: list[Row] = []
    for n in (1, 2, 4):
        rows += [{"variant": r["variant"], "n": n, **r} for r in rows_of({"a": n, "b": n / 4}, 8, "windows")]
    return Result("step", {"n": [1, 2, 4], "precision": "fp32"}, "n", rows, exponents(rows, "n"), ["a note"])


def test_a_result_in_tables(result: Result) -> None:
    first, second, rest = format_result(result).split("\n\n")
    lines = first.splitlines()
    assert (lines[0], lines[1].split()) == (
        "step",
        ["variant", "n", "ms", "times", "as", "fast", "windows/s"],
    )
    assert lines[-1].split() == ["b", "4", "1,000", "4", "8"]
    assert second.splitlines()[0] == "step growth"
    assert rest == "n 1 2 4, precision fp32\na note"


def test_a_result_in_a_file(result: Result, tmp_path: Path) -> None:
    write_result(result, tmp_path / "step.json")
    content = json.loads((tmp_path / "step.json").read_text())
    assert content["timings"] == result.rows and content["growth"] == result.growth
    assert (content["benchmark"], content["settings"]) == ("step", result.settings)
    assert content["environment"]["torch"] == torch.__version__


def test_a_result_in_mlflow(result: Result, tracking_uri: str) -> None:
    from mlflow import MlflowClient

    track_result(result, TrackingConfig(uri=tracking_uri, system_metrics=False))
    client = MlflowClient(tracking_uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "gcnpose"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics == {
        f"n {n}/{name}": ratio for n in (1, 2, 4) for name, ratio in (("a", 1), ("b", 4))
    }
    assert run.info.run_name == "benchmark-step"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"step.json", "step growth.json"}
