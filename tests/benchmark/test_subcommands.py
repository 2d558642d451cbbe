"""Lifting, data, epochs and metrics: the usual ways do the same, and figures come out."""

from typing import Any

import numpy as np
import pytest
import torch

from gcnpose.benchmark import data, epoch
from gcnpose.benchmark.data import Loader, WindowItems, check_windows, time_data
from gcnpose.benchmark.epoch import FRAMES, random_views, time_epoch
from gcnpose.benchmark.inference import time_inference
from gcnpose.benchmark.metrics import loop_over_frames, time_metrics
from gcnpose.benchmark.timing import Rounds
from gcnpose.data.camera import h36m_rig
from gcnpose.data.draws import Draws
from gcnpose.data.views import Views, fixed_views
from gcnpose.data.windows import FixedWindows
from gcnpose.errors import InputError, RunError
from gcnpose.metrics import sequences_metrics
from gcnpose.skeleton import Skeleton
from tests.motions import small_motion

CPU = torch.device("cpu")
FEW = Rounds(repeats=1)


@pytest.fixture(scope="module")
def views() -> Views:
    """Two sequences, one of them shorter than a window."""
    return fixed_views(small_motion((60, 20), ("A", "B")), h36m_rig(), seed=0)


def test_lifting() -> None:
    result = time_inference({"frames": [130], "joints": [5]}, "fp32", CPU, FEW)
    assert [row["variant"] for row in result.rows] == [
        "usual formulation, window by window",
        "PyG alone, window by window",
        "gcnpose, window by window",
        "windows, fp32",
        "shifts, fp32",
        "whole",
        "whole, no flip",
    ]
    assert all(row["frames/s"] == pytest.approx(130_000 / row["ms"]) for row in result.rows)


@pytest.mark.parametrize(
    "workers",
    [0, pytest.param(1, marks=pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"))],
)
def test_the_loader_gives_the_windows_in_order(views: Views, workers: int) -> None:
    loader = Loader(WindowItems(views, 24, 5, flip=0.0), torch.tensor([3, 0, 39, 7, 7]), 2, workers, CPU)
    windows = FixedWindows(views, 24, 5, 0.0, CPU)
    for _ in range(2):
        batches = list(loader)
        for batch, indices in zip(batches, ([3, 0], [39, 7], [7]), strict=True):
            for theirs, ours in zip(
                batch,
                windows.batch(torch.tensor(indices), Draws(torch.Generator(), len(indices))),
                strict=True,
            ):
                assert torch.equal(theirs, ours)


def test_windows_that_differ_are_not_compared(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    check_windows(views, 24, 5, CPU)
    monkeypatch.setattr(data, "window_starts", lambda frames, window, step: [1] * 9)
    with pytest.raises(RunError, match="keypoints_2d of the loader and of gcnpose differ"):
        check_windows(views, 24, 5, CPU)


def test_taking_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "make_motion", lambda takes: small_motion())
    result = time_data({"batch-size": [2, 4]}, [0], 2, CPU, FEW)
    assert [row["variant"] for row in result.rows[:5]] == [
        "loader, 0 workers",
        "fixed views",
        "fixed views, noise",
        "drawn views",
        "drawn views, noise",
    ]
    assert [row["batch-size"] for row in result.rows] == [2] * 5 + [4] * 5
    assert result.rows[5]["windows/s"] == pytest.approx(2 * 4 / result.rows[5]["ms"] * 1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"workers": [0, -1]}, "--workers must be at least 0, not -1"),
        ({"batches": 0}, "--batches must be at least 1, not 0"),
        ({"axes": {"batch-size": [0]}}, "--batch-size must be at least 1, not 0"),
    ],
)
def test_data_that_cannot_be_taken(options: dict[str, Any], message: str) -> None:
    given = {"axes": {"batch-size": [2]}, "workers": [0], "batches": 1, "device": CPU, "rounds": FEW}
    with pytest.raises(InputError, match=message):
        time_data(**{**given, **options})


def test_an_epoch_of_human36m_has_312000_windows() -> None:
    windows = FixedWindows(random_views(Skeleton.load("h36m17"), [FRAMES]), 96, 5, 0.5, CPU)
    assert len(windows) * epoch.CLIPS == 312_000


def test_a_share_of_an_epoch() -> None:
    result = time_epoch(0.001, 2, 0, "fp32", CPU, clips=1)
    usual, ours = result.rows
    assert (usual["variant"], ours["variant"]) == ("usual formulation, loader of 0 workers", "gcnpose")
    # 520 windows make 260 steps.
    assert ours["windows/s"] == pytest.approx(520 / ours["ms"] * 1000)
    assert "520 windows of 96 frames, 260 steps; 1 steps run" in result.notes[0]


@pytest.mark.parametrize(
    ("share", "batch_size", "workers", "message"),
    [
        (0.0, 2, 0, "--share must be above 0 and at most 1, not 0"),
        (1.1, 2, 0, "--share must be above 0 and at most 1, not 1.1"),
        (0.5, 0, 0, "train.batch_size: expected at least 1"),
        (0.5, 521, 0, "train.batch_size: 521, but the data has only 520 windows"),
        (0.5, 2, -1, "--workers must be at least 0, not -1"),
    ],
)
def test_epochs_that_cannot_be(share: float, batch_size: int, workers: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        time_epoch(share, batch_size, workers, "fp32", CPU, clips=1)


def test_the_loop_has_the_metrics() -> None:
    target = np.random.default_rng(0).normal(0, 0.3, (7, 17, 3)).astype(np.float32)
    predicted = target + np.random.default_rng(1).normal(0, 0.1, (7, 17, 3)).astype(np.float32)
    (ours,) = sequences_metrics(torch.from_numpy(predicted), torch.from_numpy(target), [7])
    expected = {name: mean.value for name, mean in ours.items()}
    assert loop_over_frames(predicted, target) == pytest.approx(expected, rel=1e-4)


def test_all_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gcnpose.benchmark.metrics.LOOPED_FRAMES", 20)
    result = time_metrics({"frames": [2500]}, CPU, FEW)
    loop, ours = result.rows
    assert (loop["variant"], ours["variant"]) == ("loop over frames", "gcnpose")
    assert ours["frames/s"] == pytest.approx(2500 / ours["ms"] * 1000)
    assert "the loop ran on 20 frames" in result.notes[0]
