"""Sequences as fixed cameras see them."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gcnpose.data.camera import Camera, h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.views import fixed_views
from tests.motions import small_motion

PLAIN = Camera(
    "plain", (0.5**0.5, -(0.5**0.5), 0, 0), (0, -5, 1), (1000, 1000), (500, 400), (0, 0, 0), (0, 0), 1000, 800
)
"""Five metres along -y, one metre up, looking along +y: x right, world z up is image up."""


def with_own_camera(motion: MotionSet, keypoints: dict[str, np.ndarray] | None = None) -> MotionSet:
    sequences = [dataclasses.replace(s, keypoints_2d=keypoints or {}) for s in motion.sequences]
    return dataclasses.replace(motion, sequences=sequences, cameras={s.subject: [PLAIN] for s in sequences})


def test_own_camera_by_hand() -> None:
    motion = with_own_camera(small_motion())
    views = fixed_views(motion, h36m_rig(), seed=0)
    assert [(clip.subject, clip.camera, clip.first, clip.frames) for clip in views.clips] == [
        ("A", "plain", 0, 40),
        ("B", "plain", 40, 40),
        ("C", "plain", 80, 40),
    ]
    world = motion.sequences[1].positions
    x, y, z = world[7, 3]
    # Right is world x, down is minus world z, depth is the way along y.
    depth = y + 5
    pixels = np.array([1000 * x / depth + 500, 1000 * (1 - z) / depth + 400])
    expected = np.array([pixels[0] / 500 - 1, pixels[1] / 500 - 0.8])
    np.testing.assert_allclose(views.keypoints_2d[47, 3], expected, atol=1e-5)
    root = world[7, 0]
    np.testing.assert_allclose(views.pose_3d[47, 3], [x - root[0], root[2] - z, y - root[1]], atol=1e-5)


def test_a_turn_per_sequence_that_depends_on_its_name_alone() -> None:
    motion = small_motion()
    views, again = (
        fixed_views(motion, h36m_rig(), seed=3),
        fixed_views(motion.select(["B"]), h36m_rig(), seed=3),
    )
    assert torch.equal(views.pose_3d[160:320], again.pose_3d)
    assert not torch.allclose(views.pose_3d, fixed_views(motion, h36m_rig(), seed=4).pose_3d)
    # A turn about the vertical and a camera are one rotation: it maps the world's offsets onto the view's.
    offsets = motion.sequences[1].positions[0] - motion.sequences[1].positions[0, :1]
    _, residual = Rotation.align_vectors(again.pose_3d[0].numpy(), offsets)
    assert residual < 1e-4


def test_own_keypoints_stand_in_for_the_projection() -> None:
    detected = np.full((40, 17, 3), 250.0, dtype=np.float32)
    detected[..., 2] = 0.5
    motion = with_own_camera(small_motion(), {"plain": detected})
    views = fixed_views(motion, h36m_rig(), seed=0, input_channels=3)
    assert views.keypoints_2d[0, 0].tolist() == pytest.approx([-0.5, 0.5 - 0.8, 0.5])
    assert fixed_views(motion, h36m_rig(), seed=0).keypoints_2d.shape == (120, 17, 2)


def test_projected_keypoints_have_score_one() -> None:
    views = fixed_views(small_motion(), h36m_rig(), seed=0, input_channels=3)
    assert (views.keypoints_2d[..., 2] == 1).all()
    assert views.keypoints_2d[..., :2].abs().max() < 1.1


@pytest.mark.parametrize("detected", [False, True])
def test_what_has_no_projection_leaves_no_hole(detected: bool) -> None:
    """Frames without 3D are often zeros, and where a camera stands at the origin those lie in its centre."""
    own = np.full((40, 17, 2), 250.0, dtype=np.float32)
    motion = with_own_camera(small_motion(), {"plain": own} if detected else None)
    centre = np.float32([0, -5, 1])
    sequences = [
        dataclasses.replace(s, positions=np.where(np.arange(40)[:, None, None] == 7, centre, s.positions))
        for s in motion.sequences
    ]
    motion = dataclasses.replace(motion, sequences=sequences)
    seen = fixed_views(motion, h36m_rig(), seed=0, ground_truth_weight=0.5).keypoints_2d
    assert seen.isfinite().all()
    hole = torch.tensor([-0.5, 0.5 - 0.8] if detected else [0.0, 0.0])
    torch.testing.assert_close(seen[47], hole.expand(17, 2))


def test_only_the_cameras_that_saw_a_sequence() -> None:
    motion = with_own_camera(small_motion())
    rig = [PLAIN, dataclasses.replace(PLAIN, name="other", translation=(0, -6, 1))]
    first, *rest = motion.sequences
    seen_once = dataclasses.replace(
        motion,
        sequences=[dataclasses.replace(first, cameras=("other",)), *rest],
        cameras={sequence.subject: rig for sequence in motion.sequences},
    )
    views = fixed_views(seen_once, h36m_rig(), seed=0)
    assert [(clip.subject, clip.camera) for clip in views.clips] == [
        ("A", "other"),
        ("B", "plain"),
        ("B", "other"),
        ("C", "plain"),
        ("C", "other"),
    ]


def test_valid_rows_of_every_view() -> None:
    motion = small_motion()
    assert fixed_views(motion, h36m_rig(), seed=0).valid.all()
    some = np.arange(40) % 3 == 0
    sequences = [dataclasses.replace(motion.sequences[1], valid=some), motion.sequences[2]]
    valid = fixed_views(dataclasses.replace(motion, sequences=sequences, splits={}), h36m_rig(), seed=0).valid
    np.testing.assert_array_equal(valid, np.concatenate([some] * 4 + [np.ones(160, bool)]))
