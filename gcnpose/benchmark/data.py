"""Taking batches, beside a loader with worker processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gcnpose.benchmark.timing import Result, Rounds, Row, check_equal, rows_of, sweep, time_in_turn, varied
from gcnpose.build import build_windows
from gcnpose.config import load_config
from gcnpose.data.camera import h36m_rig
from gcnpose.data.draws import Draws
from gcnpose.data.synthetic import make_motion
from gcnpose.data.views import Views, fixed_views
from gcnpose.data.windows import Batch, FixedWindows, Windows, window_starts
from gcnpose.errors import InputError

Arrays = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.bool_]]


class WindowItems(Dataset[Arrays]):
    """Windows one by one, as numpy arrays: what a loader with workers is usually given.

    Args:
        views: Every frame in every view.
        window: Frames per window.
        step: Frames between the starts of two windows.
        flip: Probability of a horizontal flip.
    """

    def __init__(self, views: Views, window: int, step: int, flip: float) -> None:
        self.keypoints_2d = views.keypoints_2d.numpy()
        self.pose_3d = views.pose_3d.numpy()
        self.places = [
            (clip.first + start, clip.first + clip.frames - 1)
            for clip in views.clips
            for start in window_starts(clip.frames, window, step)
        ]
        self.offsets = np.arange(window)
        self.flip = flip
        self.mirror = views.skeleton.mirror_indices

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Arrays:
        start, last = self.places[index]
        rows = start + self.offsets
        kept = np.minimum(rows, last)
        keypoints_2d, pose_3d = self.keypoints_2d[kept], self.pose_3d[kept]
        if torch.rand(()) < self.flip:
            keypoints_2d, pose_3d = keypoints_2d[:, self.mirror], pose_3d[:, self.mirror]
            keypoints_2d[..., 0] *= -1
            pose_3d[..., 0] *= -1
        return keypoints_2d, pose_3d, rows <= last


class Loader:
    """Batches of given windows from PyTorch's ``DataLoader``, on the device.

    Args:
        items: The windows.
        indices: Which, in which order.
        batch_size: Windows per batch.
        workers: Processes that make them; they stay from one pass to the next.
        device: Where the batches go, from pinned memory where that is a GPU.
    """

    def __init__(
        self, items: WindowItems, indices: Tensor, batch_size: int, workers: int, device: torch.device
    ) -> None:
        self.device = device
        self.loader = DataLoader(
            items,
            batch_size,
            sampler=indices.tolist(),
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
        )

    def __iter__(self) -> Iterator[Batch]:
        for tensors in self.loader:
            yield Batch(*(tensor.to(self.device, non_blocking=True) for tensor in tensors))


def time_data(
    axes: Mapping[str, Sequence[int]],
    workers: Sequence[int],
    batches: int,
    device: torch.device,
    rounds: Rounds,
) -> Result:
    """Taking some batches in a row: gcnpose's ways, and a ``DataLoader`` of windows one by one.

    The loaders do the work of gcnpose's fixed views: a window cut out, half of them mirrored.

    Args:
        axes: ``batch-size``; it may have several.
        workers: Processes of each loader.
        batches: Taken in one call.
        device: Where the batches go; gcnpose keeps the frames there too.
        rounds: How often.

    Raises:
        InputError: if a size is too small.
        RunError: if the loader's windows are others.
    """
    if min(workers) < 0:
        raise InputError(f"benchmark: --workers must be at least 0, not {min(workers)}")
    if batches < 1:
        raise InputError(f"benchmark: --batches must be at least 1, not {batches}")
    axis, sizes = varied(axes)
    result = Result("data", {**axes, "workers": workers, "batches": batches}, axis)
    motion = make_motion(takes=1)
    views = fixed_views(motion, h36m_rig(), seed=0)
    config = load_config("ugcn").data
    window, step = config.window, config.step

    def ours(*overrides: str) -> Windows:
        return build_windows(load_config("ugcn", overrides), motion, views, device)

    drawn = ["data.augment.bone_scale=0.05", "data.augment.body_scale=0.1", "data.augment.tempo=0.3"]
    noise = "data.keypoints.noise.scale=1"
    variants = {
        "fixed views": ours("data.views=fixed", "data.augment={flip: 0.5}"),
        "fixed views, noise": ours("data.views=fixed", "data.augment={flip: 0.5}", noise),
        "drawn views": ours("data.views=drawn", *drawn),
        "drawn views, noise": ours("data.views=drawn", *drawn, noise),
    }
    check_windows(views, window, step, device)

    def measure(**size: int) -> list[Row]:
        batch_size = size["batch-size"]
        generator = torch.Generator(device).manual_seed(0)
        items = WindowItems(views, window, step, flip=0.5)
        indices = torch.randint(len(items), (batches * batch_size,))
        calls: dict[str, Callable[[], object]] = {}
        for number in workers:
            loader = Loader(items, indices, batch_size, number, device)
            calls[f"loader, {number} workers"] = partial(deque, loader, maxlen=0)

        def take(windows: Windows, numbers: Tensor) -> None:
            for some in numbers.split(batch_size):
                windows.batch(some, Draws(generator, len(some)))

        for name, windows in variants.items():
            numbers = torch.randint(len(windows), (len(indices),), device=device)
            calls[name] = partial(take, windows, numbers)
        return rows_of(time_in_turn(calls, rounds, device), len(indices), "windows")

    sweep(result, sizes, measure, rounds, device)
    result.notes.append(
        f"{batches} batches of windows of {window} frames and {motion.skeleton.num_joints} joints in a row; "
        "the loaders do what the fixed views without noise do, drawn views draw camera, body and tempo"
    )
    return result


def check_windows(views: Views, window: int, step: int, device: torch.device) -> None:
    """Makes sure that a loader gives the windows that gcnpose takes, straight and mirrored.

    Raises:
        RunError: if it does not.
    """
    for flip in (0.0, 1.0):
        windows = FixedWindows(views, window, step, flip, device)
        indices = torch.arange(0, len(windows), max(len(windows) // 16, 1))
        taken = windows.batch(indices.to(device), Draws(torch.Generator(device), len(indices)))
        (loaded,) = Loader(WindowItems(views, window, step, flip), indices, len(indices), 0, device)
        for name, ours, theirs in zip(Batch._fields, taken, loaded, strict=True):
            check_equal(name, {"gcnpose": ours.float(), "the loader": theirs.float()}, tolerance=0)
