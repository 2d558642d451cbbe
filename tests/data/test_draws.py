"""Random numbers for a part of a batch: those that the whole batch would have got."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gcnpose.build import build_views, build_windows
from gcnpose.config import Config
from gcnpose.data.draws import Draws
from tests.experiments import seen, small_config
from tests.motions import small_motion

CPU = torch.device("cpu")
NOISE = ("data.keypoints.noise.scale=1", "data.keypoints.noise.swap_rate=0.4", "model.input_channels=3")
KINDS: dict[str, Callable[[Draws], Tensor]] = {
    "uniform": lambda draws: draws.uniform(),
    "uniform of a shape": lambda draws: draws.uniform(3, 2),
    "normal": lambda draws: draws.normal(5),
    "normals": lambda draws: draws.normals(3, 4).movedim(0, 1),
    "below": lambda draws: draws.below(1000),
}


def drawn(seed: int, windows: int, part: slice | None = None) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), windows, part)


@pytest.mark.parametrize("kind", KINDS)
def test_parts_make_up_the_whole(kind: str) -> None:
    draw = KINDS[kind]
    whole = draw(drawn(0, 12))
    assert len(whole) == 12
    parts = [draw(drawn(0, 12, part)) for part in (slice(0, 5), slice(5, 6), slice(6, 12))]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(draw(drawn(1, 12)), whole)


def test_what_one_draws_next_does_not_depend_on_its_part() -> None:
    draws, part = drawn(0, 8), drawn(0, 8, slice(2, 4))
    for draw in KINDS.values():
        assert torch.equal(draw(draws)[2:4], draw(part))


@pytest.mark.parametrize("changes", [(), NOISE], ids=["clean", "noisy"])
@pytest.mark.parametrize("views", ["fixed", "turned", "drawn"])
def test_windows_of_a_part_are_those_of_the_whole(
    views: str, changes: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """As two processes take them, one after the other, from generators of their own."""
    varied = () if views == "fixed" else ("data.augment.body_scale=0.2",)
    config: Config = small_config(tmp_path_factory.mktemp("parts"), *seen(views), *varied, *changes)
    motion = small_motion((40, 9, 20))
    windows = build_windows(config, motion, build_views(config, motion), CPU)
    indices = torch.arange(8) % len(windows)
    whole = [windows.batch(indices, draws) for draws in [drawn(0, 8)] for _ in range(2)]
    for part in (slice(0, 4), slice(4, 8)):
        draws = drawn(0, 8, part)
        for batch in whole:
            taken = windows.batch(indices[part], draws)
            assert torch.equal(taken.valid, batch.valid[part])
            torch.testing.assert_close(taken.pose_3d, batch.pose_3d[part])
            torch.testing.assert_close(taken.keypoints_2d, batch.keypoints_2d[part])
