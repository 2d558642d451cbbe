"""People whom the training has not seen so: far away, near, beside the axis, coming or crossing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gcnpose.build import build_motion, build_views
from gcnpose.checkpoint import load_checkpoint, restore_model
from gcnpose.config import load_config
from gcnpose.inference import Lifter
from gcnpose.keypoints.track3d import Intrinsics
from gcnpose.metrics import mpjpe_mm, velocity_error_mm
from gcnpose.nn import UGCN
from gcnpose.nn.following import LARGEST_RATIO, follow, turn_back
from gcnpose.scoring import evaluate_checkpoint
from gcnpose.skeleton import Skeleton
from tests.checkpoints import small_checkpoint
from tests.inference.test_lifter import track_of

SKELETON = Skeleton.load("h36m17")
ROOT = SKELETON.root_index
FOCAL = 1.56  # half image widths: a view of 65 degrees, a phone's


def poses(frames: int = 200) -> Tensor:
    """Root-relative poses of the embedded motion, as a camera sees them."""
    config = load_config("ugcn", ["data.takes=1"])
    views = build_views(config, build_motion(config, SKELETON, ("test",))["test"])
    return views.pose_3d[views.clips[0].rows][:frames]


def seen(pose: Tensor, place: Tensor) -> Tensor:
    points = pose + place
    return points[..., :2] / points[..., 2:] * FOCAL


def places(frames: int, *ends: tuple[float, float, float]) -> Tensor:
    """From the first to the last, evenly."""
    first, last = torch.tensor([ends[0], ends[-1]], dtype=torch.float32)
    return torch.lerp(first, last, torch.linspace(0, 1, frames)[:, None])[:, None]


@pytest.mark.parametrize(
    ("ends", "gain"),
    [
        ([(0, 0, 10)], 0.5),
        ([(0, 0, 2.2)], 0.95),
        ([(3.5, 0.5, 6)], 0.7),
        ([(-3.5, 0, 6), (3.5, 0, 6)], 0.8),
        ([(0, 0, 12), (0, 0, 4)], 0.7),
    ],
    ids=["far", "near", "beside", "crossing", "coming"],
)
def test_people_are_lifted_better_when_the_camera_follows(
    ends: list[tuple[float, float, float]], gain: float
) -> None:
    true = poses()
    keypoints_2d = seen(true, places(len(true), *ends))
    lifter = Lifter.load(method="whole", device="cpu")
    error, jitter = [], []
    for lifter.following in (False, True):
        lifted = torch.from_numpy(lifter.lift(keypoints_2d, FOCAL))
        error.append(mpjpe_mm(lifted, true).mean())
        jitter.append(velocity_error_mm(lifted, true).mean())
    assert error[1] < gain * error[0]
    assert jitter[1] < 1.1 * jitter[0]


def test_people_like_the_trainings_are_lifted_alike() -> None:
    true = poses()
    keypoints_2d = seen(true, places(len(true), (0, 0, 3.4)))
    lifter = Lifter.load(method="whole", device="cpu")
    following = torch.from_numpy(lifter.lift(keypoints_2d, FOCAL))
    lifter.following = False
    plain = torch.from_numpy(lifter.lift(keypoints_2d, FOCAL))
    assert mpjpe_mm(following, plain).mean() < 15


def test_it_turns_to_the_person_and_back() -> None:
    """What it sees is the projection of the poses in its own frame."""
    true, place = poses(40), places(40, (1.5, -1, 4), (2.5, 0, 6))
    followed, rotation = follow(seen(true, place), ROOT, FOCAL, extent=0, reach=10)
    turned = (true + place) @ rotation.mT
    torch.testing.assert_close(turn_back(turned, rotation), true + place)
    torch.testing.assert_close(followed, turned[..., :2] / turned[..., 2:] * FOCAL, atol=1e-5, rtol=0)
    assert followed[:, ROOT].abs().max() < 0.15 < 1 < seen(true, place)[:, ROOT].abs().max() * 2
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(40, 3, 3), atol=1e-6, rtol=0)


@pytest.mark.parametrize("times", [0.1, 0.9, 1.1, 7.0])
def test_it_zooms_where_people_are_much_larger_or_smaller(times: float) -> None:
    random = torch.Generator().manual_seed(0)
    pose = torch.randn(1, 17, 2, generator=random).expand(30, -1, -1).clone()
    pose[:, ROOT] = 0
    extent = float(pose.square().sum() / 30 / 16) ** 0.5
    followed, _ = follow(pose * times, ROOT, focal=1e6, extent=extent, reach=5)
    within = min(max(times, 1 / LARGEST_RATIO), LARGEST_RATIO)
    torch.testing.assert_close(followed, pose * within, atol=1e-4, rtol=1e-4)


def test_mirrored_people_are_lifted_as_in_a_mirror() -> None:
    keypoints_2d = seen(poses(60), places(60, (1, 0.3, 8), (2, 0, 9)))
    mirrored = keypoints_2d[:, SKELETON.mirror_indices] * torch.tensor([-1, 1])
    lifter = Lifter.load(method="whole", device="cpu")
    lifted, other = lifter.lift(keypoints_2d, FOCAL), lifter.lift(mirrored, FOCAL)
    np.testing.assert_allclose(other[:, SKELETON.mirror_indices] * [-1, 1, 1], lifted, atol=1e-4)


def test_the_camera_that_is_given_decides_how_far_it_turns() -> None:
    pixels = (seen(poses(60), places(60, (3, 0.3, 5))) + 1) * 500
    lifter = Lifter.load(method="whole", device="cpu")
    given = lifter(track_of(pixels.numpy()), Intrinsics((780, 780), (500, 501))).positions
    direct = lifter.lift(
        lifter.network_input(pixels.numpy(), np.ones((60, 17), np.float32), (1000, 1002)), FOCAL
    )
    np.testing.assert_allclose(given, direct, atol=1e-5)
    assert np.abs(given - lifter(track_of(pixels.numpy())).positions).max() > 1e-3


@pytest.mark.parametrize(
    "keypoints_2d", [torch.zeros(5, 17, 2), torch.full((1, 17, 2), 1e6)], ids=["point", "far out"]
)
def test_what_is_nobody_gives_numbers(keypoints_2d: Tensor) -> None:
    followed, rotation = follow(keypoints_2d, ROOT, FOCAL, extent=0.2, reach=3)
    assert followed.isfinite().all() and rotation.isfinite().all()


@pytest.mark.parametrize("relative", [False, True])
def test_the_extent_is_that_of_the_training(relative: bool) -> None:
    random = torch.Generator().manual_seed(0)
    keypoints_2d = torch.randn(50, 4, 17, 2, generator=random) * 0.3
    keypoints_2d[:, :, ROOT] = 0
    keypoints_2d += torch.randn(50, 4, 1, 2, generator=random)
    from_root = keypoints_2d - keypoints_2d[:, :, ROOT : ROOT + 1]
    network = UGCN(SKELETON, root_relative_input=relative)
    assert network.input_extent == 0
    network.fix_input_statistics(keypoints_2d)
    expected = (from_root.square().sum() / (200 * 16)).sqrt().item()
    assert network.input_extent == pytest.approx(expected, rel=5e-3 if relative else 0.1)


def test_networks_of_a_fixed_rig_are_not_asked_to_follow() -> None:
    assert Lifter.load().following, "the one that comes with gcnpose"
    for views, follows in (("turned", False), ("drawn", True)):
        config = load_config("ugcn", [f"data.views={views}"])
        assert Lifter(UGCN(SKELETON), SKELETON, config).following is follows
        assert Lifter(UGCN(SKELETON), SKELETON, config, following=not follows).following is not follows


def test_scores_of_a_camera_that_follows_are_those_of_the_lifter(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path)
    report = evaluate_checkpoint(checkpoint, ["evaluation.following=true"], say=lambda _: None)
    plain = evaluate_checkpoint(checkpoint, [], say=lambda _: None)["mean_over_frames"]["mpjpe_mm"]
    config, skeleton, model = restore_model(load_checkpoint(checkpoint), checkpoint)
    lifter = Lifter(model, skeleton, config, following=True)
    views = build_views(config, build_motion(config, skeleton, ("test",))["test"])
    errors = [
        mpjpe_mm(torch.from_numpy(lifter.lift(views.keypoints_2d[clip.rows], 2.0)), views.pose_3d[clip.rows])
        for clip in views.clips
    ]
    error = torch.cat(errors).mean().item()
    assert report["mean_over_frames"]["mpjpe_mm"] == pytest.approx(error, abs=1e-3) != plain
