"""A detector's errors, by their moments."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from gcnpose.config import NoiseConfig
from gcnpose.data.camera import Rig, denormalize_screen, h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.noise import KeypointNoise
from gcnpose.data.synthetic import make_motion
from gcnpose.data.views import Views, fixed_views
from gcnpose.data.windows import DrawnWindows, FixedWindows
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton
from tests.motions import draws, small_motion

CPU = torch.device("cpu")
SKELETON = Skeleton.load("h36m17")
ONLY_JITTER = {"swap_rate": 0.0, "missing_rate": 0.0}
ONLY_SWAPS = {"error_px": 0.0, "missing_rate": 0.0}
ONLY_MISSES = {"error_px": 0.0, "swap_rate": 0.0}


def noise(**changes: object) -> KeypointNoise:
    """The config's defaults at full strength, changed."""
    settings = {**vars(NoiseConfig(scale=1.0)), "ground_truth_weight": 0.0, "device": CPU, **changes}
    return KeypointNoise(SKELETON, **settings)  # type: ignore[arg-type]


def apply(model: KeypointNoise, keypoints_2d: Tensor, seed: int = 0) -> Tensor:
    return model.apply(keypoints_2d, draws(len(keypoints_2d), seed))


def still(clips: int = 40, frames: int = 500, channels: int = 2) -> Tensor:
    """One pose for all frames, every joint elsewhere, with score 1."""
    pose = torch.rand(17, channels, generator=torch.Generator().manual_seed(7)) - 0.5
    pose[:, 2:] = 1
    return pose.expand(clips, frames, -1, -1)


def moving(clips: int = 4, frames: int = 60) -> Tensor:
    """Every joint somewhere else in every frame, with score 1."""
    positions = torch.rand(clips, frames, 17, 3, generator=torch.Generator().manual_seed(8)) - 0.5
    positions[..., 2] = 1
    return positions


def distance_px(noisy: Tensor, true: Tensor) -> Tensor:
    """In pixels of an image 1000 wide, which normalised coordinates make 2 wide."""
    return (noisy - true)[..., :2].norm(dim=-1) * 500


def run_lengths(marked: Tensor) -> list[int]:
    """Frames of the spans of one joint that neither begin nor end with the clip."""
    text = "".join("x" if frame else " " for frame in marked.tolist())
    return [len(span) for span in text.strip("x").split()]


# Jitter


@pytest.mark.parametrize("tail", [0.0, 0.6])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_mean_error(tail: float, scale: float) -> None:
    true = still()
    noisy = apply(noise(**ONLY_JITTER, error_px=8.0, tail=tail, scale=scale), true)
    assert distance_px(noisy, true).mean().item() == pytest.approx(8.0 * scale, rel=0.02)
    assert (noisy - true).mean().abs() < 1e-3


def test_error_of_each_joint() -> None:
    true = still()
    errors = [0.0, *range(1, 17)]
    given = distance_px(apply(noise(**ONLY_JITTER, joint_errors=errors), true), true).mean(dim=(0, 1))
    torch.testing.assert_close(given, torch.tensor(errors) * 6.0 / 8.0, rtol=0.1, atol=0)
    rising = distance_px(apply(noise(**ONLY_JITTER), true), true).mean(dim=(0, 1))
    assert rising[SKELETON.index("left_wrist")] / rising[SKELETON.root_index] == pytest.approx(2, rel=0.1)
    assert rising.mean().item() == pytest.approx(6.0, rel=0.02)


@pytest.mark.parametrize("tail", [0.0, 0.3, 0.5])
def test_tails(tail: float) -> None:
    """E x^4 / (E x^2)^2 of exp(tail g) h is 3 exp(8 tail^2) / exp(2 tail^2)^2."""
    true = still(clips=200)
    equal = noise(**ONLY_JITTER, tail=tail, smooth_frames=1, joint_errors=[1.0] * 17)
    error = (apply(equal, true) - true).double()
    kurtosis = (error**4).mean() / (error**2).mean() ** 2
    assert kurtosis.item() == pytest.approx(3 * math.exp(4 * tail**2), rel=0.1)


@pytest.mark.parametrize("frames", [1, 5, 12])
def test_autocorrelation(frames: int) -> None:
    """Moving averages of white noise share n - lag of n terms."""
    true = still(clips=100)
    error = (apply(noise(**ONLY_JITTER, tail=0.0, smooth_frames=frames), true) - true)[..., 0]
    power = (error**2).mean()
    for lag in range(1, 16):
        correlation = (error[:, lag:] * error[:, :-lag]).mean() / power
        assert correlation.item() == pytest.approx(max(1 - lag / frames, 0), abs=0.03)


def test_joints_axes_and_clips_err_apart() -> None:
    true = still(clips=2, frames=2000)
    error = apply(noise(**ONLY_JITTER, tail=0.0, smooth_frames=1), true) - true
    series = error.permute(0, 2, 3, 1).flatten(0, 2)
    assert (torch.corrcoef(series) - torch.eye(2 * 17 * 2)).abs().max() < 0.12


# Swaps and misses


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_swaps(rate: float) -> None:
    true = still()
    noisy = apply(noise(**ONLY_SWAPS, swap_rate=rate, swap_frames=6), true)
    swapped = (noisy != true).any(dim=-1)
    assert torch.equal(
        noisy, torch.where(swapped[..., None], true[:, :, torch.from_numpy(SKELETON.mirror_indices)], true)
    )
    for left, right in SKELETON.mirror:
        one, other = swapped[..., SKELETON.index(left)], swapped[..., SKELETON.index(right)]
        assert torch.equal(one, other)
        assert one.float().mean().item() == pytest.approx(rate, rel=0.35)
        assert min(length for clip in one for length in run_lengths(clip)) >= 6
    middle = [joint for joint in SKELETON.joints if not any(joint in pair for pair in SKELETON.mirror)]
    assert not swapped[..., [SKELETON.index(joint) for joint in middle]].any()
    paired = swapped[..., [SKELETON.index(left) for left, _ in SKELETON.mirror]]
    assert paired.float().mean().item() == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_missing_rate(rate: float) -> None:
    missing = apply(noise(**ONLY_MISSES, missing_rate=rate, missing_frames=4), still(channels=3))[..., 2] == 0
    assert missing.float().mean().item() == pytest.approx(rate, rel=0.1)
    assert min(length for clip in missing for joint in clip.T for length in run_lengths(joint)) >= 4


def test_missing_joints_stay_where_they_were_last_seen() -> None:
    true = moving()
    noisy = apply(noise(**ONLY_MISSES, missing_rate=0.4), true)
    assert (noisy[:, 0, :, 2] == 0).any(), "some begin with a miss"
    for clip in range(4):
        for joint in range(17):
            last = true[clip, 0, joint, :2]
            for frame in range(60):
                seen = noisy[clip, frame, joint, 2] == 1
                last = true[clip, frame, joint, :2] if seen else last
                assert torch.equal(noisy[clip, frame, joint, :2], last)


# Score


def test_score_falls_with_the_error() -> None:
    true = moving(clips=20)
    noisy = apply(noise(**ONLY_JITTER), true)
    score, error = noisy[..., 2].flatten(), distance_px(noisy, true).flatten()
    assert score.min() > 0 and score.max() < 1
    assert torch.corrcoef(torch.stack([score, error]))[0, 1] < -0.5
    # exp(-s / 50) of spreads s about 6 / sqrt(pi / 2).
    assert score.mean().item() == pytest.approx(math.exp(-6 / math.sqrt(math.pi / 2) / 50), abs=0.01)


def test_a_score_that_comes_in_is_a_factor() -> None:
    true = moving()
    half = true * torch.tensor([1.0, 1.0, 0.5])
    whole, halved = (apply(noise(), keypoints) for keypoints in (true, half))
    torch.testing.assert_close(halved, whole * torch.tensor([1.0, 1.0, 0.5]))


# All together


def test_one_seed_one_noise() -> None:
    true = moving()
    before = true.clone()
    assert torch.equal(apply(noise(), true, seed=1), apply(noise(), true, seed=1))
    assert not torch.equal(apply(noise(), true, seed=1), apply(noise(), true, seed=2))
    assert torch.equal(true, before)
    assert torch.equal(apply(noise(), true)[..., :2], apply(noise(), true[..., :2])), "with and without score"


def test_strength() -> None:
    true = moving()
    assert torch.equal(apply(noise(scale=0.0), true), true)
    once, twice = (apply(noise(**ONLY_JITTER, scale=scale), true) - true for scale in (1.0, 2.0))
    torch.testing.assert_close(twice[..., :2], 2 * once[..., :2], rtol=1e-4, atol=1e-6)
    missing = [(apply(noise(scale=scale), still(channels=3))[..., 2] == 0) for scale in (1.0, 3.0)]
    assert missing[1].sum() / missing[0].sum() == pytest.approx(3, rel=0.15)
    assert missing[1][missing[0]].all(), "the stronger noise misses them too"
    assert (apply(noise(scale=1000.0), true)[..., 2] == 0).all()


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_mixed_with_the_truth(weight: float) -> None:
    true = moving()
    mixed = apply(noise(ground_truth_weight=weight), true)
    torch.testing.assert_close(mixed, weight * true + (1 - weight) * apply(noise(), true))


def test_a_single_frame() -> None:
    assert apply(noise(), moving(frames=1)).isfinite().all()


@pytest.mark.parametrize("errors", [[1.0], [1.0] * 18])
def test_joint_errors_of_another_graph(errors: list[float]) -> None:
    with pytest.raises(
        InputError, match=rf"^joint_errors: expected 17, one for each joint of h36m17, came {len(errors)}$"
    ):
        noise(joint_errors=errors)


def test_defaults_err_as_much_as_cpn() -> None:
    """6 to 7 px on Human3.6M's images, which are 1000 wide; here people of its size in its cameras."""
    motion = make_motion(0, 1).select(["S9"])
    views = fixed_views(motion, h36m_rig(), seed=0, noise=noise())
    clips = [(clip.error_px, clip.frames) for clip in views.clips]
    assert 6 < sum(error * frames for error, frames in clips) / len(views.pose_3d) < 7


# In views


def true_views(motion: MotionSet) -> Views:
    return fixed_views(motion, h36m_rig(), seed=0, input_channels=3)


def noisy_views(motion: MotionSet, seed: int = 0, **changes: object) -> Views:
    return fixed_views(motion, h36m_rig(), seed, input_channels=3, noise=noise(**changes))


def with_detections(motion: MotionSet, subjects: tuple[str, ...]) -> MotionSet:
    """Everybody seen by one camera, some of them by a detector too: 10 pixels too far right, score 0.5."""
    camera = h36m_rig()[0]
    motion = dataclasses.replace(motion, cameras={subject: [camera] for subject in motion.subjects})
    true = true_views(motion)
    pixels = denormalize_screen(true.keypoints_2d, camera.width, camera.height)
    detected = (pixels + torch.tensor([10, 0, -0.5])).numpy()
    sequences = [
        dataclasses.replace(sequence, keypoints_2d={camera.name: detected[clip.rows]})
        if sequence.subject in subjects
        else sequence
        for sequence, clip in zip(motion.sequences, true.clips, strict=True)
    ]
    return dataclasses.replace(motion, sequences=sequences)


def test_a_view_has_its_noise_whatever_else_is_in_the_set() -> None:
    motion = small_motion((30, 30, 30))
    views, again = noisy_views(motion), noisy_views(motion.select(["B"]))
    assert torch.equal(views.keypoints_2d[4 * 30 : 8 * 30], again.keypoints_2d)
    assert torch.equal(views.pose_3d, true_views(motion).pose_3d)
    unturned = dataclasses.replace(motion, cameras={subject: h36m_rig() for subject in motion.subjects})
    error, other = (
        noisy_views(unturned, seed, **ONLY_JITTER).keypoints_2d - true_views(unturned).keypoints_2d
        for seed in (0, 1)
    )
    assert not torch.allclose(error, other, atol=1e-3)
    assert not torch.allclose(error[:30], error[30:60], atol=1e-3), "two cameras see other errors"


def test_error_of_a_clip() -> None:
    motion = small_motion((30, 30, 30))
    views, true = noisy_views(motion), true_views(motion)
    for clip, clean in zip(views.clips, true.clips, strict=True):
        error = distance_px(views.keypoints_2d[clip.rows], true.keypoints_2d[clip.rows]).mean().item()
        assert clip.error_px == pytest.approx(error, rel=1e-4)
        assert clean.error_px == 0
        assert not clip.detected


def test_detections_have_no_noise_and_may_be_mixed_with_the_truth() -> None:
    motion = with_detections(small_motion((30, 30, 30)), ("A", "C"))
    true = fixed_views(motion, h36m_rig(), 0, 3, detected=False)
    views = fixed_views(motion, h36m_rig(), 0, 3, None, 0.25, noise(ground_truth_weight=0.25))
    assert [clip.detected for clip in views.clips] == [True, False, True]
    error = views.keypoints_2d - true.keypoints_2d
    right = torch.tensor([0.75 * 10 / 500, 0, -0.75 * 0.5]).expand(60, 17, 3)
    torch.testing.assert_close(torch.cat([error[:30], error[60:]]), right, atol=1e-5, rtol=0)
    assert views.clips[0].error_px == pytest.approx(7.5, abs=0.01)
    assert error[30:60, :, 1].abs().max() > 0


def test_whether_detections_are_used() -> None:
    motion = with_detections(small_motion((30, 30, 30)), ("A", "B"))
    views = {
        used: fixed_views(motion.select(["A", "B"]), h36m_rig(), 0, 3, detected=used)
        for used in (None, True, False)
    }
    assert torch.equal(views[None].keypoints_2d, views[True].keypoints_2d)
    assert (views[True].keypoints_2d[..., 2] == 0.5).all()
    assert (views[False].keypoints_2d[..., 2] == 1).all()
    assert not any(clip.detected for clip in views[False].clips)
    with pytest.raises(
        InputError, match=r"^detected: sequence C/swing 1 has no 2D keypoints of camera 54138969$"
    ):
        fixed_views(motion, h36m_rig(), 0, detected=True)


# In training windows


def test_drawn_windows_draw_noise_each_time() -> None:
    motion = small_motion((40, 40, 40))
    settings = (motion, Rig.from_cameras(h36m_rig()), False, 24, 5, 0.5, 0.05, 0.1, 0.3, 3, CPU)
    clean, noisy = DrawnWindows(*settings), DrawnWindows(*settings, noise=noise())
    indices = torch.zeros(200, dtype=torch.long)
    true, seen = (windows.batch(indices, draws(len(indices))) for windows in (clean, noisy))
    assert torch.equal(true.pose_3d, seen.pose_3d)
    error = distance_px(seen.keypoints_2d, true.keypoints_2d)
    assert 5 < error.mean() < 12  # a swap in this cloud of joints is further than in a body
    assert error.flatten(1).mean(dim=1).unique().numel() == 200
    assert (seen.keypoints_2d[..., 2] < true.keypoints_2d[..., 2]).all()


def test_fixed_windows_draw_noise_each_time_but_not_on_detections() -> None:
    views = true_views(with_detections(small_motion((40, 40, 40)), ("A",)))
    clean, noisy = (FixedWindows(views, 40, 5, 0.5, CPU, model) for model in (None, noise()))
    indices = torch.tensor([0, 1, 1, 2])
    true, seen = (windows.batch(indices, draws(len(indices))) for windows in (clean, noisy))
    assert torch.equal(true.pose_3d, seen.pose_3d)
    error = distance_px(seen.keypoints_2d, true.keypoints_2d).mean(dim=(1, 2))
    assert error[0] == 0 and (error[1:] > 3).all()
    assert error[1] != error[2]
