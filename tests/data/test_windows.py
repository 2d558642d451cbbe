"""Training windows against plain slicing."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from gcnpose.data.camera import Rig, h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.views import fixed_views
from gcnpose.data.windows import Batch, BoneScaling, DrawnWindows, FixedWindows, window_starts
from gcnpose.inference import mirror
from gcnpose.skeleton import Skeleton
from tests.motions import draws, small_motion

CPU = torch.device("cpu")
SKELETON = Skeleton.load("h36m17")


def drawn(**changes: object) -> DrawnWindows:
    settings = {
        "motion": small_motion((40, 20, 33)),
        "rig": Rig.from_cameras(h36m_rig()),
        "drawn_cameras": False,
        "window": 24,
        "step": 5,
        "flip": 0.0,
        "bone_scale": 0.0,
        "body_scale": 0.0,
        "tempo": 0.0,
        "input_channels": 2,
        "device": CPU,
    }
    return DrawnWindows(**{**settings, **changes})  # type: ignore[arg-type]


def bone_lengths(pose: torch.Tensor) -> torch.Tensor:
    parent, child = torch.from_numpy(SKELETON.bone_indices).T
    return (pose[..., child, :] - pose[..., parent, :]).norm(dim=-1)


@pytest.mark.parametrize(
    ("frames", "starts"),
    [(24, [0]), (25, [0, 1]), (29, [0, 5]), (31, [0, 5, 7]), (10, [0]), (1, [0]), (34, [0, 5, 10])],
)
def test_window_starts(frames: int, starts: list[int]) -> None:
    assert window_starts(frames, window=24, step=5) == starts


@pytest.mark.parametrize("frames", range(1, 60))
def test_windows_cover_every_frame(frames: int) -> None:
    covered = {start + offset for start in window_starts(frames, 24, 5) for offset in range(24)}
    assert set(range(frames)) <= covered
    assert max(covered) < max(frames, 24)


def test_fixed_windows_are_slices() -> None:
    views = fixed_views(small_motion((40, 20, 33)), h36m_rig(), seed=0)
    windows = FixedWindows(views, window=24, step=5, flip=0.0, device=CPU)
    slices = [(clip, start) for clip in views.clips for start in window_starts(clip.frames, 24, 5)]
    assert len(windows) == len(slices)
    batch = windows.batch(torch.arange(len(windows)), draws(len(windows)))
    for number, (clip, start) in enumerate(slices):
        pose = views.pose_3d[clip.rows][start : start + 24]
        assert torch.equal(batch.pose_3d[number, : len(pose)], pose)
        assert torch.equal(
            batch.keypoints_2d[number, : len(pose)], views.keypoints_2d[clip.rows][start : start + 24]
        )
        assert batch.valid[number].tolist() == [True] * len(pose) + [False] * (24 - len(pose))
        assert (batch.pose_3d[number, len(pose) :] == pose[-1]).all()
    assert windows.names(torch.tensor([0, len(windows) - 1])) == [
        "A/swing 1 from 54138969",
        "C/swing 1 from 60457274",
    ]


def assert_mirrored(plain: Batch, flipped: Batch) -> None:
    torch.testing.assert_close(flipped.keypoints_2d, mirror(plain.keypoints_2d, SKELETON))
    torch.testing.assert_close(flipped.pose_3d, mirror(plain.pose_3d, SKELETON))


def test_a_flip_mirrors_2d_and_3d() -> None:
    views = fixed_views(small_motion(), h36m_rig(), seed=0)
    indices = torch.arange(5)
    plain, flipped = (
        FixedWindows(views, 24, 5, flip, CPU).batch(indices, draws(len(indices))) for flip in (0.0, 1.0)
    )
    assert_mirrored(plain, flipped)
    half = FixedWindows(views, 24, 5, 0.5, CPU).batch(torch.zeros(1000, dtype=torch.long), draws(1000))
    assert 0.4 < (half.pose_3d == plain.pose_3d[0]).flatten(1).all(1).float().mean() < 0.6


def test_a_drawn_flip_mirrors_2d_and_3d() -> None:
    indices = torch.arange(5)
    assert_mirrored(
        drawn(flip=0.0).batch(indices, draws(len(indices))),
        drawn(flip=1.0).batch(indices, draws(len(indices))),
    )


@pytest.mark.parametrize("drawn_cameras", [False, True])
def test_drawn_windows_are_the_motion_seen_from_somewhere(drawn_cameras: bool) -> None:
    windows = drawn(drawn_cameras=drawn_cameras)
    batch = windows.batch(torch.arange(len(windows)), draws(len(windows)))
    motion = windows.world[:24]
    torch.testing.assert_close(bone_lengths(batch.pose_3d[0]), bone_lengths(motion), atol=1e-5, rtol=0)
    assert (batch.pose_3d[:, :, SKELETON.root_index] == 0).all()
    # Two takes of one window are seen from two sides, and their depths differ.
    other = windows.batch(torch.zeros(2, dtype=torch.long), draws(2))
    assert (other.pose_3d[0] - other.pose_3d[1]).abs().max() > 0.05
    assert batch.keypoints_2d.abs().max() < 1.5


def test_people_are_turned_all_around() -> None:
    """The direction from the root to the head, of a window before one camera, fills the whole circle."""
    batch = drawn(rig=Rig.from_cameras(h36m_rig()[:1])).batch(torch.zeros(800, dtype=torch.long), draws(800))
    x, _, z = batch.pose_3d[:, 0, SKELETON.index("head")].T
    assert torch.histc(torch.atan2(z, x), 8, -math.pi, math.pi).min() > 60


def test_keypoints_are_the_projection_of_the_pose() -> None:
    """2D offsets from the root times depth over focal length are the 3D's x and y: one unknown depth per
    frame."""
    batch = drawn().batch(torch.tensor([0]), draws(1))
    pose, seen = batch.pose_3d[0, 0].double(), batch.keypoints_2d[0, 0].double()
    best = min(
        ((pose[:, :2] + offset) / (pose[:, 2:] + depth) * 2.29 - seen).abs().max().item()
        for depth in np.arange(3, 8, 0.05)
        for offset in [seen[0] / 2.29 * depth]
    )
    assert best < 0.02  # the lens distorts by about a hundredth


def test_short_sequences_are_marked() -> None:
    windows = drawn()
    batch = windows.batch(torch.arange(len(windows)), draws(len(windows)))
    lengths = [24] * 5 + [20] + [24] * 3
    assert batch.valid.sum(1).tolist() == lengths
    assert (batch.pose_3d[5, 19:] == batch.pose_3d[5, 19]).all()


def partly_valid() -> MotionSet:
    """What holds nothing of worth from the frame 10 to 14 of the first sequence."""
    motion = small_motion((40, 20, 33))
    valid = np.arange(40) // 5 != 2
    first = dataclasses.replace(motion.sequences[0], valid=valid)
    return dataclasses.replace(motion, sequences=[first, *motion.sequences[1:]])


def test_frames_that_the_motion_calls_invalid_are_marked() -> None:
    fixed = FixedWindows(fixed_views(partly_valid(), h36m_rig(), seed=0), 24, 5, flip=0.0, device=CPU)
    for windows in (fixed, drawn(motion=partly_valid())):
        valid = windows.batch(torch.arange(2), draws(2)).valid
        assert [(~row).nonzero().flatten().tolist() for row in valid] == [[*range(10, 15)], [*range(5, 10)]]


def test_drawn_cameras_look_at_people_wherever_they_are() -> None:
    here, there = small_motion((40, 20, 33)), small_motion((40, 20, 33))
    for sequence in there.sequences:
        sequence.positions[..., :2] += 50
    seen = [
        drawn(motion=motion, drawn_cameras=True).batch(torch.arange(2), draws(2)) for motion in (here, there)
    ]
    torch.testing.assert_close(seen[0].keypoints_2d, seen[1].keypoints_2d, atol=1e-3, rtol=0)


def test_drawn_cameras_do_not_look_at_invalid_frames() -> None:
    motion = partly_valid()
    where_they_are = drawn(motion=motion, drawn_cameras=True).batch(torch.arange(2), draws(2))
    motion.sequences[0].positions[10:15] += 100
    elsewhere = drawn(motion=motion, drawn_cameras=True).batch(torch.arange(2), draws(2))
    valid = where_they_are.valid
    torch.testing.assert_close(elsewhere.keypoints_2d[valid], where_they_are.keypoints_2d[valid])


def test_drawn_cameras_have_somewhere_to_look_where_no_frame_is_valid() -> None:
    motion = small_motion((40, 20, 33))
    motion.sequences[0] = dataclasses.replace(motion.sequences[0], valid=np.arange(40) >= 30)
    batch = drawn(motion=motion, drawn_cameras=True).batch(torch.tensor([0]), draws(1))
    assert not batch.valid.any()
    assert batch.keypoints_2d.isfinite().all()


def test_nothing_is_played_from_an_invalid_frame() -> None:
    motion = partly_valid()
    motion.sequences[0].positions[10:15, :, 2] = 50
    windows = drawn(motion=motion, tempo=0.9)
    outside = {True: 0.0, False: 0.0}
    for seed in range(20):
        batch = windows.batch(torch.arange(5), draws(5, seed))
        farthest = batch.keypoints_2d[..., 1].abs().amax(dim=-1)
        for valid in outside:
            outside[valid] = max(outside[valid], *farthest[batch.valid == valid].tolist())
    assert outside[True] < 2 < outside[False]


def test_tempo_plays_faster_and_slower() -> None:
    windows = drawn(tempo=0.5, motion=small_motion((200, 20, 33)))
    speeds = []
    for seed in range(20):
        batch = windows.batch(torch.tensor([10]), draws(1, seed))
        speeds.append((bone_lengths(batch.pose_3d[0]).diff(dim=0).abs().mean()).item())
        assert batch.valid.all()
    still = drawn(motion=small_motion((200, 20, 33))).batch(torch.tensor([10]), draws(1))
    plain = bone_lengths(still.pose_3d[0]).diff(dim=0).abs().mean().item()
    assert min(speeds) < 0.75 * plain
    assert max(speeds) > 1.2 * plain


def test_a_fast_window_begins_earlier_rather_than_end_short() -> None:
    """The last window of 40 frames starts at 16 and has 24: played faster it needs more."""
    windows = drawn(motion=small_motion((40,), ("A",)), tempo=0.5)
    last = torch.full((50,), len(windows) - 1)
    assert windows.table.start[last[0]] == 16
    assert windows.batch(last, draws(50)).valid.all()


def test_tempo_never_leaves_the_sequence() -> None:
    windows = drawn(tempo=0.9)
    for seed in range(30):
        batch = windows.batch(torch.arange(len(windows)), draws(len(windows), seed))
        assert batch.pose_3d.isfinite().all()
        assert batch.valid[:, 0].all()
        # The valid frames come first, and A's 40 frames play at least 40 / 1.9 of them.
        assert (batch.valid[:, :-1] | ~batch.valid[:, 1:]).all()
        assert batch.valid[0].sum() >= 21


def test_bone_scaling_changes_lengths_and_keeps_directions() -> None:
    pose = torch.from_numpy(small_motion().sequences[0].positions)[None]
    scaled = BoneScaling(SKELETON, bone_scale=0.1, body_scale=0.0, device=CPU).apply(pose, draws(len(pose)))
    assert torch.equal(scaled[:, :, 0], pose[:, :, 0])
    parent, child = torch.from_numpy(SKELETON.bone_indices).T
    before, after = (p[..., child, :] - p[..., parent, :] for p in (pose, scaled))
    factors = after.norm(dim=-1) / before.norm(dim=-1)
    torch.testing.assert_close(after, before * factors[..., None], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), atol=1e-4, rtol=0)
    assert 0.02 < factors.std() < 0.2
    length = dict(zip(child.tolist(), factors[0, 0].tolist(), strict=True))
    for left, right in SKELETON.mirror:
        assert length[SKELETON.index(left)] == pytest.approx(length[SKELETON.index(right)], abs=1e-4)


def test_bones_are_at_most_two_deviations_longer_or_shorter() -> None:
    pose = torch.from_numpy(small_motion().sequences[0].positions)[None, :1].repeat(300, 1, 1, 1)
    scaled = BoneScaling(SKELETON, bone_scale=0.1, body_scale=0.0, device=CPU).apply(pose, draws(len(pose)))
    factors = bone_lengths(scaled) / bone_lengths(pose)
    assert factors.min().item() == pytest.approx(0.8, abs=1e-4)
    assert factors.max().item() == pytest.approx(1.2, abs=1e-4)


def test_body_scale_scales_the_world() -> None:
    pose = torch.from_numpy(small_motion().sequences[0].positions)[None].repeat(50, 1, 1, 1)
    scaled = BoneScaling(SKELETON, bone_scale=0.0, body_scale=0.2, device=CPU).apply(pose, draws(len(pose)))
    ratio = scaled / pose
    torch.testing.assert_close(ratio, ratio[:, :1, :1, :1].expand_as(ratio), atol=1e-4, rtol=0)
    assert 0.8 <= ratio.min() < 0.85 and 1.15 < ratio.max() <= 1.2


def test_same_generator_same_batch() -> None:
    windows = drawn(flip=0.5, bone_scale=0.05, body_scale=0.1, tempo=0.3, drawn_cameras=True)
    first, second = (windows.batch(torch.arange(6), draws(6)) for _ in range(2))
    for one, other in itertools.pairwise([first, second]):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_score_channel_is_one() -> None:
    assert (drawn(input_channels=3).batch(torch.arange(3), draws(3)).keypoints_2d[..., 2] == 1).all()


def test_memory_of_human36m() -> None:
    """1,559,752 training frames of 17 joints, 2D and 3D in float32, worked out from what a small set
    takes."""
    views = fixed_views(small_motion(), h36m_rig(), seed=0)
    windows = FixedWindows(views, 96, 5, 0.5, CPU)
    rows = len(views.pose_3d)
    held = [value for value in vars(windows).values() if isinstance(value, torch.Tensor)]
    per_row = sum(tensor.numel() * tensor.element_size() for tensor in held) / rows
    table = [value for value in vars(windows.table).values() if isinstance(value, torch.Tensor)]
    per_window = sum(tensor.numel() * tensor.element_size() for tensor in table[:4]) / len(windows)
    assert 1_559_752 * per_row + 312_000 * per_window < 0.7e9
