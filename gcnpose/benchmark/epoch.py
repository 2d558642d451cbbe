"""An epoch of Human3.6M's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

import torch

from gcnpose.benchmark.data import Loader, WindowItems, check_windows
from gcnpose.benchmark.network import OURS, USUAL, Step, check_networks
from gcnpose.benchmark.references import UsualUGCN
from gcnpose.benchmark.timing import WARM_UP, Result, rows_of, timed
from gcnpose.build import build_loss
from gcnpose.config import Precision, load_config
from gcnpose.data.draws import Draws
from gcnpose.data.views import Clip, Views
from gcnpose.data.windows import FixedWindows
from gcnpose.errors import InputError
from gcnpose.nn import UGCN
from gcnpose.skeleton import Skeleton
from gcnpose.training import Trainer

CLIPS, FRAMES = 600, 2691
"""Videos of Human3.6M's five training subjects from four cameras, and frames of each that give 312,000
windows of 96 frames at step 5."""


def random_views(skeleton: Skeleton, lengths: Sequence[int]) -> Views:
    """Clips of random numbers, of so many frames each, in flat arrays as real ones are."""
    clips: list[Clip] = []
    first = 0
    for number, frames in enumerate(lengths):
        clips.append(Clip("S1", f"clip {number}", "none", "", first, frames))
        first += frames
    size = (first, skeleton.num_joints)
    every_row = torch.ones(first, dtype=torch.bool)
    return Views(skeleton, clips, torch.randn(*size, 2) / 3, torch.randn(*size, 3) / 3, every_row)


def time_epoch(
    share: float,
    batch_size: int,
    workers: int,
    precision: Precision,
    device: torch.device,
    clips: int = CLIPS,
) -> Result:
    """An epoch of gcnpose's own loop, and of the usual formulation fed by a loader with workers.

    The data has its full size always. Where the share is below 1, so many of the steps are taken, and the
    times are divided by it.

    Args:
        share: Of the epoch that is run.
        batch_size: Windows per step.
        workers: Processes of the loader.
        precision: ``"fp32"``, or ``"bf16"`` for autocast.
        device: Where to.
        clips: Of the data.

    Raises:
        InputError: if the share is not above 0 and at most 1, a number is too small, or there are fewer
            windows than a batch needs.
        RunError: if the two do not compute the same.
    """
    if not 0 < share <= 1:
        raise InputError(f"benchmark: --share must be above 0 and at most 1, not {share:g}")
    if workers < 0:
        raise InputError(f"benchmark: --workers must be at least 0, not {workers}")
    config = load_config("h36m_gt", [f"train.batch_size={batch_size}", f"train.precision={precision}"])
    skeleton = Skeleton.load(config.skeleton)
    views = random_views(skeleton, [FRAMES] * clips)
    data = config.data
    check_windows(views, data.window, data.step, device)
    check_networks(skeleton, device)

    windows = FixedWindows(views, data.window, data.step, data.augment.flip, device)
    network = UGCN(skeleton).to(device)
    usual = UsualUGCN(network, skeleton.to_data())
    trainer = Trainer(network, build_loss(config), windows, config.train, config.seed, device)
    whole = trainer.steps_per_epoch
    steps = max(round(share * whole), 1)

    items = WindowItems(views, data.window, data.step, data.augment.flip)
    indices = torch.randint(len(items), ((WARM_UP + steps) * batch_size,))
    batches = iter(Loader(items, indices, batch_size, workers, device))
    step = Step(usual, precision, device)

    def train_usual(number: int) -> None:
        for batch in islice(batches, number):
            step(batch)

    def train_ours(number: int) -> None:
        trainer.steps_per_epoch = number
        trainer.train_epoch(0)

    def take_batches(number: int) -> None:
        generator = torch.Generator(device).manual_seed(0)
        for some in torch.randperm(len(windows), device=device)[: number * batch_size].split(batch_size):
            windows.batch(some, Draws(generator, len(some)))

    def seconds_of(run: Callable[[int], None]) -> float:
        run(WARM_UP)
        return timed(partial(run, steps), device) * whole / steps

    seconds = {
        f"{USUAL}, loader of {workers} workers": seconds_of(train_usual),
        OURS: seconds_of(train_ours),
    }
    taking = seconds_of(take_batches)
    settings = {"batch-size": batch_size, "share": share, "workers": workers, "precision": precision}
    result = Result("epoch", settings, "batch-size")
    result.rows = [
        {"variant": row["variant"], "batch-size": batch_size, **row}
        for row in rows_of(seconds, len(windows), "windows")
    ]
    result.notes += [
        f"an epoch of {len(windows):,} windows of {data.window} frames, {whole:,} steps; "
        + ("run in full" if steps == whole else f"{steps} steps run, the time of all reckoned from them"),
        f"{OURS}: {seconds[OURS]:.4g} s, of which {100 * taking / seconds[OURS]:.2g} % to take its batches",
    ]
    return result
