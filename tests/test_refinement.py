"""The second stage: what it is given, and what it learns."""

import dataclasses

import pytest
import torch

from gcnpose.config import RefinementConfig
from gcnpose.data.camera import h36m_rig
from gcnpose.data.views import Views, fixed_views
from gcnpose.errors import InputError, RunError
from gcnpose.metrics import mpjpe_mm
from gcnpose.refinement import clip_rays, poses_on_rays, refine, some_clips, train_refinement
from tests.motions import small_motion

CPU = torch.device("cpu")
CONFIG = RefinementConfig(width=64, dropout=0.0, epochs=20, batch_size=32)


@pytest.fixture(scope="module")
def views() -> Views:
    """Four cameras with distortion; the joints are a cloud a metre wide."""
    return fixed_views(small_motion(), h36m_rig(), seed=0)


def truth(views: Views) -> list[torch.Tensor]:
    return [views.pose_3d[clip.rows] for clip in views.clips]


@pytest.mark.parametrize("source", ["ground_truth", "fitted"])
def test_true_depths_and_true_2d_give_the_true_pose(views: Views, source: str) -> None:
    for found, true in zip(poses_on_rays(views, truth(views), source), truth(views), strict=True):
        torch.testing.assert_close(found, true, atol=1e-4, rtol=0)


def test_the_fitted_root_knows_nothing_of_the_true_one(views: Views) -> None:
    """A person a tenth larger looks the same a tenth farther away."""
    blind = dataclasses.replace(views, root_depth=None)
    larger = [1.1 * poses for poses in truth(views)]
    for found, expected in zip(poses_on_rays(blind, larger, "fitted"), larger, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    told = poses_on_rays(views, larger, "ground_truth")
    assert (torch.cat(told)[..., :2] - torch.cat(larger)[..., :2]).abs().max() > 0.03
    with pytest.raises(InputError, match=r"^the views do not say how far away the root is$"):
        poses_on_rays(blind, larger, "ground_truth")


def test_joints_without_a_score_have_no_say(views: Views) -> None:
    """But for the joint itself, which is put where it was said to be seen."""
    scored = torch.nn.functional.pad(views.keypoints_2d, (0, 1), value=1.0)
    scored[:, 5] = torch.tensor([0.9, 0.9, 0.0])
    found = poses_on_rays(dataclasses.replace(views, keypoints_2d=scored), truth(views), "fitted")
    others = [joint for joint in range(17) if joint != 5]
    torch.testing.assert_close(torch.cat(found)[:, others], views.pose_3d[:, others], atol=1e-3, rtol=0)


def test_a_clip_that_does_not_tell_where_the_root_is_stays(views: Views) -> None:
    backwards = [-poses for poses in truth(views)]  # would have to stand behind the camera
    found = poses_on_rays(views, backwards, "fitted")
    assert all(torch.equal(one, other) for one, other in zip(found, backwards, strict=True))


def test_learns_whom_to_trust(views: Views) -> None:
    """A first stage with right depths that is off to the side: the rays know better."""
    torch.manual_seed(0)
    lifted = [poses + torch.tensor([0.1, -0.1, 0.0]) * torch.randn(17, 3) for poses in truth(views)]
    refinement = train_refinement(views, lifted, CONFIG, seed=0, device=CPU)
    refined = refine(lambda _: lifted, refinement, views, CONFIG.root_depth)([])

    def error(found: list[torch.Tensor]) -> float:
        return mpjpe_mm(torch.cat(found), torch.cat(truth(views))).mean().item()

    assert error(refined) < 0.5 * error(lifted)
    for one, other in zip(refined, lifted, strict=True):
        assert torch.equal(one[..., 2], other[..., 2])
    again = train_refinement(views, lifted, CONFIG, seed=0, device=CPU)
    assert torch.equal(refinement.layers[0].weight, again.layers[0].weight)


def test_what_it_learns_of_one_side_it_knows_of_the_other(views: Views) -> None:
    """A first stage that is off on the right of the body, then one that is off on the left."""

    def off(side: int) -> list[torch.Tensor]:
        offset = torch.zeros(17, 3)
        offset[[views.skeleton.index(pair[side]) for pair in views.skeleton.mirror], :2] = 0.2
        return [poses + offset for poses in truth(views)]

    refinement = train_refinement(views, off(1), CONFIG, seed=0, device=CPU)
    refined = refine(lambda _: off(0), refinement, views, "ground_truth")([])
    before, after = (mpjpe_mm(torch.cat(found), views.pose_3d).mean() for found in (off(0), refined))
    assert after < 0.2 * before


def test_frames_that_are_not_valid_teach_nothing(views: Views) -> None:
    valid = torch.arange(len(views.pose_3d)) % 3 > 0
    spoilt = torch.where(valid[:, None, None], views.pose_3d, torch.nan)
    damaged = dataclasses.replace(views, valid=valid, pose_3d=spoilt)
    train_refinement(damaged, truth(views), dataclasses.replace(CONFIG, epochs=1), seed=0, device=CPU)
    with pytest.raises(RunError, match=r"^the refinement's weights are not finite; try less than 0\.001$"):
        whole = dataclasses.replace(damaged, valid=torch.ones_like(valid))
        train_refinement(whole, truth(views), dataclasses.replace(CONFIG, epochs=1), seed=0, device=CPU)


def test_some_clips_hold_the_frames_that_are_asked_for(views: Views) -> None:
    assert sorted(some_clips(views, 10**9, seed=0).clips, key=views.clips.index) == views.clips
    some = some_clips(views, 100, seed=0)
    assert len(some.clips) == 3  # of 40 frames each
    assert some.clips == some_clips(views, 100, seed=0).clips != some_clips(views, 100, seed=1).clips


def test_a_camera_that_is_not_known(views: Views) -> None:
    unknown = dataclasses.replace(views.clips[0], seen_by=None)
    with pytest.raises(InputError, match=r"^A/swing 1 from \d+: its camera is not known, and a refinement"):
        clip_rays(views, unknown)
