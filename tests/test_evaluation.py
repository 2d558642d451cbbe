"""Reports and yardsticks against plain numpy."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gcnpose import evaluation
from gcnpose.data.camera import h36m_rig
from gcnpose.data.views import Clip, Views, fixed_views
from gcnpose.evaluation import Yardsticks, evaluate, score, timed_score
from gcnpose.metrics import aggregate, sequences_metrics
from gcnpose.skeleton import Skeleton
from tests.motions import small_motion

CPU = torch.device("cpu")
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
SKELETON = Skeleton.load("h36m17")
METRICS = {"mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm", "acceleration_mm", "pck_150mm", "auc"}


def random_views(frames: int = 300, channels: int = 2) -> Views:
    """3D that follows from the 2D but for some noise, in two clips."""
    random = torch.Generator().manual_seed(0)
    keypoints_2d = torch.randn(frames, 17, channels, generator=random)
    weights = torch.randn(34, 51, generator=random)
    pose_3d = (keypoints_2d[..., :2].flatten(1) @ weights).view(frames, 17, 3) + 0.3
    pose_3d += 0.5 * torch.randn(frames, 17, 3, generator=random)
    cut = frames // 3
    clips = [Clip("A", "one", "one", "", 0, cut), Clip("A", "two", "two", "", cut, frames - cut)]
    return Views(SKELETON, clips, keypoints_2d, pose_3d, torch.ones(frames, dtype=torch.bool))


def by_numpy(views: Views) -> Tensor:
    """The linear yardstick's prediction of the views that it was fitted on."""
    flat = views.keypoints_2d[..., :2].flatten(1).double().numpy()
    features = np.column_stack([flat, np.ones(len(flat))])
    solution = np.linalg.lstsq(features, views.pose_3d.flatten(1).double().numpy(), rcond=1e-8)[0]
    return torch.from_numpy(features @ solution).float().view(views.pose_3d.shape)


@pytest.mark.parametrize("chunk", [65536, 7])
@pytest.mark.parametrize("channels", [2, 3])
def test_yardsticks_by_numpy(chunk: int, channels: int) -> None:
    views = random_views(channels=channels)
    predictors = Yardsticks.fit(views, chunk).predictors()
    assert set(predictors) == {"mean_pose", "linear"}
    expected = views.pose_3d.double().mean(dim=0).float().expand(300, -1, -1)
    torch.testing.assert_close(predictors["mean_pose"](views.keypoints_2d), expected)
    linear = predictors["linear"](views.keypoints_2d)
    torch.testing.assert_close(linear, by_numpy(views), atol=1e-5, rtol=1e-5)


def test_yardsticks_are_of_valid_frames() -> None:
    views = random_views()
    valid = torch.arange(300) % 3 > 0
    spoilt = views.pose_3d + torch.where(valid, 0.0, 50.0)[:, None, None]
    found = Yardsticks.fit(dataclasses.replace(views, pose_3d=spoilt, valid=valid), chunk=7)
    torch.testing.assert_close(found.mean_pose, views.pose_3d[valid].mean(dim=0))
    assert found.linear.abs().max() < 10


def ill_conditioned() -> dict[str, Views]:
    real = fixed_views(small_motion((60, 40, 40)).select(["A"]), h36m_rig(), seed=0)
    constant, doubled, almost = (real.keypoints_2d.clone() for _ in range(3))
    constant[:, 3] = 0.25
    doubled[:, 3] = doubled[:, 2]
    almost[:, 3] = almost[:, 2] + 1e-7 * torch.randn(
        len(almost), 2, generator=torch.Generator().manual_seed(0)
    )
    few = Views(SKELETON, real.clips[:1], real.keypoints_2d[:5], real.pose_3d[:5], real.valid[:5])
    one = Views(SKELETON, real.clips[:1], real.keypoints_2d[:1], real.pose_3d[:1], real.valid[:1])
    changed = {"constant": constant, "doubled": doubled, "almost doubled": almost}
    return {name: dataclasses.replace(real, keypoints_2d=seen) for name, seen in changed.items()} | {
        "few": few,
        "one": one,
    }


@pytest.mark.parametrize("case", ill_conditioned())
def test_linear_yardstick_of_ill_conditioned_data(case: str) -> None:
    views = ill_conditioned()[case]
    linear = Yardsticks.fit(views).predictors()["linear"](views.keypoints_2d)
    torch.testing.assert_close(linear, by_numpy(views), atol=1e-4, rtol=0)


def perfect(views: Views) -> Any:
    def lift(inputs: list[Tensor]) -> list[Tensor]:
        assert all(
            torch.equal(x, views.keypoints_2d[c.rows]) for x, c in zip(inputs, views.clips, strict=True)
        )
        return [views.pose_3d[clip.rows] for clip in views.clips]

    return lift


def test_error_of_the_2d_is_a_mean_over_valid_frames() -> None:
    views = random_views()
    clips = [dataclasses.replace(clip, error_px=px) for clip, px in zip(views.clips, (1.0, 4.0), strict=True)]
    valid = torch.ones(300, dtype=torch.bool)
    valid[clips[1].rows] = torch.arange(clips[1].frames) < 20
    counts = (clips[0].frames, 20)
    clips.append(Clip("A", "none valid", "three", "", clips[1].first + 20, 5, error_px=math.nan))
    views = dataclasses.replace(views, clips=clips, valid=valid)
    report = evaluate({"windows": perfect(views)}, views, "made up", Yardsticks.fit(views), CPU)
    assert report["keypoints_error_px"] == pytest.approx((counts[0] + 4 * 20) / sum(counts), abs=0.01)


def test_report_of_a_perfect_network() -> None:
    views = random_views()
    report = evaluate({"windows": perfect(views)}, views, "made up", Yardsticks.fit(views), CPU)
    assert list(report) == [
        "protocol",
        "rules",
        "averaging",
        "frames",
        "lifted_frames",
        "clips",
        "subjects",
        "keypoints",
        "keypoints_error_px",
        "method",
        "headline",
        "seconds",
        "mean_over_actions",
        "mean_over_frames",
        "per_action",
        "groups",
        "joint_groups",
        "other_methods",
        "yardsticks",
    ]
    assert (report["protocol"], report["frames"], report["clips"]) == ("generic", 300, 2)
    assert (report["keypoints_error_px"], report["groups"], report["joint_groups"]) == (0, {}, {})
    assert (report["keypoints"], report["method"], report["other_methods"]) == ("made up", "windows", {})
    assert report["seconds"] > 0
    for means in (report["mean_over_actions"], report["mean_over_frames"]):
        assert set(means) == METRICS
        assert means["mpjpe_mm"] == means["mpjve_mm"] == means["acceleration_mm"] == 0
        assert means["pck_150mm"] == 100
    assert list(report["per_action"]) == ["one", "two"]
    assert [action["frames"] for action in report["per_action"].values()] == [100, 200]
    assert set(report["per_action"]["one"]) == METRICS | {"frames"}
    for name, prediction in Yardsticks.fit(views).predictors().items():
        yardstick = report["yardsticks"][name]
        assert set(yardstick) == {"mean_over_actions", "mean_over_frames"}
        errors = 1000 * (prediction(views.keypoints_2d) - views.pose_3d).norm(dim=-1)
        assert yardstick["mean_over_frames"]["mpjpe_mm"] == pytest.approx(errors.mean().item(), rel=1e-4)
        by_action = (errors[:100].mean() + errors[100:].mean()).item() / 2
        assert yardstick["mean_over_actions"]["mpjpe_mm"] == pytest.approx(by_action, rel=1e-4)


def test_steps_do_not_cross_clips() -> None:
    """Predictions off by one constant in each clip have no velocity error, though the constants differ."""
    views = random_views()
    lifted = [views.pose_3d[clip.rows] + offset for clip, offset in zip(views.clips, (0.1, 5.0), strict=True)]
    means = score(lifted, views)["mean_over_frames"]
    assert means["mpjve_mm"] == pytest.approx(0, abs=1e-2)
    expected = 1000 * math.sqrt(3) * (0.1 * 100 + 5.0 * 200) / 300
    assert means["mpjpe_mm"] == pytest.approx(expected, rel=1e-4)


def test_only_valid_frames_are_scored() -> None:
    """Wrong by 1 m in the invalid frames; steps count between two valid frames that stand side by side."""
    views = random_views()
    valid = torch.arange(300) % 5 != 2
    views = dataclasses.replace(views, valid=valid)
    wrong = torch.where(valid, 0.0, 1.0)[:, None, None] * torch.tensor([1.0, 0, 0])
    drift = 0.001 * torch.arange(300.0)[:, None, None] * torch.tensor([0, 1.0, 0])
    lifted = [(views.pose_3d + wrong + drift)[clip.rows] for clip in views.clips]
    scored = score(lifted, views)
    expected = torch.arange(300.0)[valid].mean().item()
    assert scored["mean_over_frames"]["mpjpe_mm"] == pytest.approx(expected, rel=1e-4)
    assert scored["mean_over_frames"]["mpjve_mm"] == pytest.approx(1.0, abs=0.01)
    assert [action["frames"] for action in scored["per_action"].values()] == [80, 160]
    report = evaluate({"windows": perfect(views)}, views, "made up", Yardsticks.fit(views), CPU)
    assert (report["frames"], report["lifted_frames"]) == (240, 300)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
def test_many_short_clips_are_scored_as_each_alone(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(evaluation._FRAMES_AT_ONCE, "cpu", 50)
    frames = torch.tensor([3, 40, 1, 30, 90, 26, 110])
    first = [0, *frames.cumsum(0).tolist()]
    clips = [Clip("A", str(n), f"action {n % 3}", "", first[n], int(frames[n])) for n in range(7)]
    views = dataclasses.replace(random_views(), clips=clips, valid=torch.arange(300) % 7 != 1)
    lifted = [views.pose_3d[clip.rows] + 0.1 * torch.randn(clip.frames, 17, 3) for clip in clips]
    scored = score([poses.to(device) for poses in lifted], views)
    alone = [
        (
            clip.action,
            int(valid.sum()),
            *sequences_metrics(poses, views.pose_3d[clip.rows], [clip.frames], valid),
        )
        for clip, poses in zip(clips, lifted, strict=True)
        if (valid := views.valid[clip.rows]).any()
    ]
    for name, means in aggregate(alone)["per_action"].items():
        assert scored["per_action"][name] == pytest.approx(means)


def test_seconds_are_those_of_lifting(monkeypatch: pytest.MonkeyPatch) -> None:
    views = random_views()
    clock = iter([100.0, 103.5])
    monkeypatch.setattr("gcnpose.evaluation.time.perf_counter", lambda: next(clock))
    assert timed_score(perfect(views), views, CPU)["seconds"] == 3.5
