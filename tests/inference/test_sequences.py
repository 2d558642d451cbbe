"""Averaged windows and shifts against a plain loop; pieces against the whole."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gcnpose.build import build_model
from gcnpose.inference import lift_whole, lift_windows, mirror
from gcnpose.nn import UGCN
from gcnpose.skeleton import Skeleton
from tests.experiments import NETWORKS, small_config
from tests.motions import past_the_beginning

SKELETON = Skeleton.load("h36m17")


class Positional(nn.Module):
    """A stand-in network whose output depends on the place in the window and not symmetrically on the
    input."""

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        place = torch.arange(keypoints_2d.shape[1]).view(1, -1, 1, 1)
        x, y = keypoints_2d[..., :1], keypoints_2d[..., 1:2]
        return torch.cat([x * 2 + 0.1 * place, y + x.abs(), x * y + 1], dim=-1)


def by_loop(keypoints_2d: Tensor, window: int, step: int, flip: bool) -> Tensor:
    model, frames = Positional(), len(keypoints_2d)
    padded = torch.cat([keypoints_2d] + [keypoints_2d[-1:]] * max(window - frames, 0))
    total, count = torch.zeros(len(padded), 17, 3), torch.zeros(len(padded))
    starts = sorted({*range(0, len(padded) - window + 1, step), len(padded) - window})
    for start in starts:
        inside = padded[None, start : start + window]
        predicted = model(inside)
        if flip:
            predicted = (predicted + mirror(model(mirror(inside, SKELETON)), SKELETON)) / 2
        total[start : start + window] += predicted[0]
        count[start : start + window] += 1
    return (total / count[:, None, None])[:frames]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 256])
def test_equals_the_loop(flip: bool, batch_size: int) -> None:
    torch.manual_seed(0)
    sequences = [torch.randn(frames, 17, 2) for frames in (1, 23, 24, 25, 61)]
    lifted = lift_windows(
        Positional(), SKELETON, sequences, window=24, step=5, flip=flip, batch_size=batch_size
    )
    for keypoints_2d, poses in zip(sequences, lifted, strict=True):
        torch.testing.assert_close(poses, by_loop(keypoints_2d, 24, 5, flip), atol=1e-5, rtol=1e-5)


def test_one_window_is_one_pass() -> None:
    keypoints_2d = torch.randn(24, 17, 2)
    windows = lift_windows(Positional(), SKELETON, [keypoints_2d], window=24, step=5)
    torch.testing.assert_close(windows[0], lift_whole(Positional(), SKELETON, [keypoints_2d])[0])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("frames_at_once", [1, 50, 10_000])
def test_shifts_equal_the_loop(flip: bool, frames_at_once: int) -> None:
    torch.manual_seed(0)
    sequences = [torch.randn(frames, 17, 2) for frames in (1, 7, 40)]
    lifted = lift_whole(Positional(), SKELETON, sequences, 4, flip, frames_at_once)
    for keypoints_2d, poses in zip(sequences, lifted, strict=True):
        total = torch.zeros(len(keypoints_2d), 17, 3)
        for shift in range(4):
            later = torch.cat([keypoints_2d[:1]] * shift + [keypoints_2d])
            total += lift_whole(Positional(), SKELETON, [later], flip=flip)[0][shift:]
        torch.testing.assert_close(poses, total / 4, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shifts", [1, 4])
@pytest.mark.parametrize("upsampling", ["repeat", "linear"])
def test_pieces_equal_the_whole(shifts: int, upsampling: str) -> None:
    torch.manual_seed(0)
    network = past_the_beginning(UGCN(SKELETON, channels=(4, 6, 8), upsampling=upsampling)).eval()
    forward = Recorded(network)
    sequences = [torch.randn(frames, 17, 2) for frames in (1, network.reach, 5 * network.reach + 3, 403)]
    whole = lift_whole(network, SKELETON, sequences, shifts)
    for frames_at_once in (1, 4 * network.reach):
        forward.frames = 0
        pieces = lift_whole(
            forward, SKELETON, sequences, shifts, frames_at_once=frames_at_once, reach=network.reach
        )
        assert forward.frames <= max(frames_at_once, 3 * network.reach)
        for one, other in zip(whole, pieces, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["simple_baseline", "videopose3d", "agformer"])
def test_pieces_equal_the_whole_for_other_networks(name: str, tmp_path: Path) -> None:
    network = past_the_beginning(build_model(small_config(tmp_path, NETWORKS[name]), SKELETON)).eval()
    sequences = [torch.randn(frames, 17, 2) for frames in (1, 9, 70)]
    whole = lift_whole(network, SKELETON, sequences)
    pieces = lift_whole(network, SKELETON, sequences, frames_at_once=20, reach=network.reach)
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


class Recorded(nn.Module):
    """A network, and the most frames that it was given at once, mirrored ones apart."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.frames = 0

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        self.frames = max(self.frames, keypoints_2d.shape[:2].numel() // 2)
        return self.network(keypoints_2d)


def test_shifts_cancel_what_repeats_with_the_strides() -> None:
    class Pattern(nn.Module):
        def forward(self, keypoints_2d: Tensor) -> Tensor:
            place = torch.arange(keypoints_2d.shape[1]) % 8
            return (place / 8.0).view(1, -1, 1, 1).expand(len(keypoints_2d), -1, 17, 3)

    (once,) = lift_whole(Pattern(), SKELETON, [torch.zeros(50, 17, 2)], flip=False)
    (averaged,) = lift_whole(Pattern(), SKELETON, [torch.zeros(50, 17, 2)], shifts=8, flip=False)
    assert once.std() > 0.2
    torch.testing.assert_close(averaged, torch.full((50, 17, 3), 3.5 / 8))


def test_mirror_is_its_own_inverse_and_exchanges_sides() -> None:
    pose = torch.randn(2, 17, 3)
    assert torch.equal(mirror(mirror(pose, SKELETON), SKELETON), pose)
    left, right = SKELETON.index("left_wrist"), SKELETON.index("right_wrist")
    assert torch.equal(mirror(pose, SKELETON)[:, left], pose[:, right] * torch.tensor([-1.0, 1, 1]))


def test_flip_averaging_makes_the_prediction_symmetric() -> None:
    keypoints_2d = torch.randn(30, 17, 2)
    both = [keypoints_2d, mirror(keypoints_2d, SKELETON)]
    one, other = lift_windows(Positional(), SKELETON, both, window=24, flip=True)
    torch.testing.assert_close(one, mirror(other, SKELETON), atol=1e-5, rtol=1e-5)
