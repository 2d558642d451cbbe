import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.spatial import procrustes
from scipy.spatial.transform import Rotation
from torch import Tensor

from gcnpose.errors import InputError
from gcnpose.metrics import (
    Mean,
    acceleration_error_mm,
    aggregate,
    auc,
    joint_errors_mm,
    mpjpe_mm,
    n_mpjpe_mm,
    p_mpjpe_mm,
    pck,
    sequences_metrics,
    velocity_error_mm,
)

PER_FRAME = [mpjpe_mm, p_mpjpe_mm, n_mpjpe_mm, pck, auc]
METRICS = [*PER_FRAME, velocity_error_mm, acceleration_error_mm]
NAMES = ["mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm", "acceleration_mm", "pck_150mm", "auc"]


def poses(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pair(*shape: int, error: float = 0.2) -> tuple[Tensor, Tensor]:
    """A prediction that resembles its target."""
    target = poses(*shape)
    return target + error * poses(*shape, seed=1), target


def turned(pose: Tensor, seed: int = 0) -> Tensor:
    """Every frame turned its own way."""
    turns = Rotation.random(pose.shape[0], rng=seed).as_matrix()
    return torch.from_numpy(np.einsum("tab,tjb->tja", turns, pose.numpy()))


def errors_at(*millimetres: float) -> tuple[Tensor, Tensor]:
    """One frame, as many joints, each this far off along x."""
    target = torch.zeros(1, len(millimetres), 3, dtype=torch.float64)
    predicted = target.clone()
    predicted[0, :, 0] = torch.tensor(millimetres, dtype=torch.float64) / 1000
    return predicted, target


# MPJPE


def test_mpjpe_by_hand():
    # One frame, three joints: 0, 3-4-5 and 2-3-6-7 (in decimetres).
    target = torch.zeros(1, 3, 3)
    predicted = torch.tensor([[[0.0, 0.0, 0.0], [0.3, 0.4, 0.0], [0.2, 0.3, 0.6]]])
    assert mpjpe_mm(predicted, target).tolist() == pytest.approx([(0 + 500 + 700) / 3])
    assert joint_errors_mm(predicted, target).flatten().tolist() == pytest.approx([0, 500, 700])


def test_mpjpe_equals_reference():
    predicted, target = pair(4, 5, 3)
    ours = mpjpe_mm(predicted, target)
    for b, t in np.ndindex(4, 5):
        distances = [math.dist(predicted[b, t, j].tolist(), target[b, t, j].tolist()) for j in range(3)]
        assert ours[b, t].item() == pytest.approx(1000 * sum(distances) / 3)


# P-MPJPE


def test_p_mpjpe_equals_kabsch():
    predicted, target = pair(20, 17)
    predicted = 1.7 * turned(predicted) + 3
    errors = p_mpjpe_mm(predicted, target)
    for ours, pose, truth in zip(errors, predicted.numpy(), target.numpy(), strict=True):
        pose, truth = pose - pose.mean(axis=0), truth - truth.mean(axis=0)
        pose = Rotation.align_vectors(truth, pose)[0].apply(pose)
        pose = pose * (pose * truth).sum() / (pose * pose).sum()
        assert ours.item() == pytest.approx(1000 * np.linalg.norm(pose - truth, axis=-1).mean())


def test_p_mpjpe_equals_scipys_procrustes():
    # SciPy brings the truth to unit norm; it may mirror too, which these predictions do not call for.
    predicted, target = pair(20, 17)
    for ours, pose, truth in zip(p_mpjpe_mm(turned(predicted), target), predicted, target, strict=True):
        truth_unit, pose_unit, _ = procrustes(truth.numpy(), pose.numpy())
        size = np.linalg.norm(truth - truth.mean(dim=0))
        expected = 1000 * size * np.linalg.norm(truth_unit - pose_unit, axis=-1).mean()
        assert ours.item() == pytest.approx(expected)


@pytest.mark.parametrize("mirrored", [False, True])
def test_p_mpjpe_equals_a_direct_search(mirrored):
    predicted, target = pair(1, 8, error=0.3)
    if mirrored:
        predicted = predicted * torch.tensor([-1.0, 1.0, 1.0])
    pose, truth = predicted[0].numpy(), target[0].numpy()

    def fit(x):  # rotation vector, logarithm of the scale, translation
        return math.exp(x[3]) * Rotation.from_rotvec(x[:3]).apply(pose) + x[4:]

    starts = Rotation.random(12, rng=0).as_rotvec()
    found = [
        minimize(lambda x: ((fit(x) - truth) ** 2).sum(), [*start, 0, 0, 0, 0], tol=1e-12) for start in starts
    ]
    best = fit(min(found, key=lambda result: result.fun).x)
    expected = 1000 * np.linalg.norm(best - truth, axis=-1).mean()
    assert p_mpjpe_mm(predicted, target).item() == pytest.approx(expected, rel=1e-4)


def test_p_mpjpe_undoes_every_similarity():
    target = poses(20, 17)
    scale = torch.linspace(0.01, 100, 20).reshape(20, 1, 1)
    assert p_mpjpe_mm(scale * turned(target) + poses(20, 1), target).max() < 1e-6
    predicted, target = pair(20, 17)
    moved = p_mpjpe_mm(scale * turned(predicted) + poses(20, 1), target)
    torch.testing.assert_close(moved, p_mpjpe_mm(predicted, target))


def test_p_mpjpe_does_not_mirror():
    target = poses(20, 17)
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0])
    assert p_mpjpe_mm(mirrored, target).min() > 100


def test_p_mpjpe_mirrors_flat_poses_by_turning_them():
    target = poses(20, 17) * torch.tensor([1.0, 1.0, 0.0])
    assert p_mpjpe_mm(target * torch.tensor([-1.0, 1.0, 1.0]), target).max() < 1e-6


def test_p_mpjpe_in_single_precision():
    predicted, target = pair(500, 17)
    single = p_mpjpe_mm(predicted.float(), target.float())
    torch.testing.assert_close(single.double(), p_mpjpe_mm(predicted, target), atol=0.01, rtol=0)


# N-MPJPE


def test_n_mpjpe_by_hand():
    # <target, predicted> = 2, <predicted, predicted> = 4: half the prediction remains, and lies (0, 0.5) off.
    target = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.5, 0.0]]])
    predicted = torch.tensor([[[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]])
    assert n_mpjpe_mm(predicted, target).tolist() == pytest.approx([500 / 2])


def test_n_mpjpe_equals_reference():
    predicted, target = pair(6, 4)
    errors = n_mpjpe_mm(predicted, target)
    for ours, pose, truth in zip(errors, predicted.numpy(), target.numpy(), strict=True):
        scale = np.linalg.lstsq(pose.reshape(-1, 1), truth.ravel(), rcond=None)[0][0]
        assert ours.item() == pytest.approx(1000 * np.linalg.norm(scale * pose - truth, axis=-1).mean())


def test_n_mpjpe_does_not_depend_on_the_scale():
    predicted, target = pair(6, 4)
    scale = torch.linspace(0.01, 100, 6).reshape(6, 1, 1)
    torch.testing.assert_close(n_mpjpe_mm(scale * predicted, target), n_mpjpe_mm(predicted, target))


# Velocity and acceleration


def test_velocity_and_acceleration_by_hand():
    # A joint that truly rests is predicted at 0, 1, 4, 9 mm: steps of 1, 3, 5, and 2 more each time.
    predicted = torch.zeros(4, 2, 3, dtype=torch.float64)
    predicted[:, 0, 1] = torch.tensor([0.0, 0.001, 0.004, 0.009])
    target = torch.zeros(4, 2, 3, dtype=torch.float64)
    assert velocity_error_mm(predicted, target).tolist() == pytest.approx([0.5, 1.5, 2.5])
    assert acceleration_error_mm(predicted, target).tolist() == pytest.approx([1, 1])


def test_velocity_and_acceleration_equal_reference():
    predicted, target = (pose.numpy() for pose in pair(2, 6, 3))
    velocity = velocity_error_mm(torch.from_numpy(predicted), torch.from_numpy(target))
    acceleration = acceleration_error_mm(torch.from_numpy(predicted), torch.from_numpy(target))
    assert velocity.shape == (2, 5) and acceleration.shape == (2, 4)
    error = predicted - target
    for b, t in np.ndindex(2, 5):
        steps = [np.linalg.norm(error[b, t + 1, j] - error[b, t, j]) for j in range(3)]
        assert velocity[b, t].item() == pytest.approx(1000 * sum(steps) / 3)
    for b, t in np.ndindex(2, 4):
        bend = error[b, t] - 2 * error[b, t + 1] + error[b, t + 2]
        bends = [np.linalg.norm(bend[j]) for j in range(3)]
        assert acceleration[b, t].item() == pytest.approx(1000 * sum(bends) / 3)


def test_velocity_ignores_an_offset_and_acceleration_a_drift():
    predicted, target = pair(9, 4)
    torch.testing.assert_close(velocity_error_mm(predicted + 5, target), velocity_error_mm(predicted, target))
    drift = torch.arange(9.0).reshape(9, 1, 1)
    drifting = acceleration_error_mm(predicted + drift, target)
    torch.testing.assert_close(drifting, acceleration_error_mm(predicted, target))


# PCK and AUC


def test_pck_is_strict():
    assert pck(*errors_at(149.9, 150.0, 150.1, 0.0)).tolist() == [50.0]
    assert pck(*errors_at(10.0, 20.0, 20.1, 30.0), threshold_mm=20.1).tolist() == [50.0]


def test_pck_in_single_precision_is_strict_at_150_mm():
    predicted, target = errors_at(150.0)
    assert pck(predicted.float(), target.float()).tolist() == [0.0]


def test_auc_by_hand():
    # Of the thresholds 0, 5, ..., 150 these lie above the error, strictly.
    for error, thresholds in [(0.0, 30), (4.9, 30), (5.0, 29), (147.0, 1), (150.0, 0), (999.0, 0)]:
        assert auc(*errors_at(error)).item() == pytest.approx(100 * thresholds / 31)


def test_auc_has_its_ceiling_at_96_77():
    assert round(auc(poses(1, 17), poses(1, 17)).item(), 2) == 96.77  # protocols of MPI-INF-3DHP


def test_auc_is_the_mean_of_the_pck_curve():
    predicted, target = pair(6, 17, error=0.04)
    curve = torch.stack([pck(predicted, target, threshold) for threshold in range(0, 151, 5)])
    torch.testing.assert_close(auc(predicted, target), curve.mean(dim=0))


@pytest.mark.parametrize("metric", [pck, auc])
def test_joints_can_be_selected(metric):
    predicted, target = pair(6, 17, error=0.04)
    joints = (3, 0, 16)
    expected = metric(predicted[:, list(joints)], target[:, list(joints)])
    torch.testing.assert_close(metric(predicted, target, joints=joints), expected)


# All of them

DEGENERATE = {
    "zero": torch.zeros(4, 17, 3),
    "one point": torch.ones(4, 17, 3),
    "collinear": torch.linspace(-1, 1, 17)[:, None] * torch.ones(4, 17, 3),
    "flat": poses(4, 17).float() * torch.tensor([1.0, 1.0, 0.0]),
    "tiny": poses(4, 17).float() * 1e-25,
    "general": poses(4, 17).float(),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("predicted", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("target", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_poses_have_finite_errors(metric, predicted, target):
    error = metric(predicted, target)
    assert error.isfinite().all()
    # The poses are a few metres in size, and no alignment makes them larger.
    assert error.min() >= 0 and error.max() < 20_000


def test_a_prediction_in_one_point_is_scored_at_the_centroid():
    target = poses(4, 17)
    expected = mpjpe_mm(target.mean(dim=1, keepdim=True).expand_as(target), target)
    torch.testing.assert_close(p_mpjpe_mm(torch.ones_like(target), target), expected)
    torch.testing.assert_close(n_mpjpe_mm(torch.zeros_like(target), target), mpjpe_mm(0 * target, target))


def test_nan_stays_in_its_frame():
    target = poses(3, 17)
    predicted = target.clone()
    predicted[1, 3, 1] = math.nan
    for metric in (mpjpe_mm, p_mpjpe_mm, n_mpjpe_mm):
        assert metric(predicted, target).isnan().tolist() == [False, True, False]
    assert pck(predicted, target).tolist() == pytest.approx([100, 100 * 16 / 17, 100])
    assert auc(predicted, target)[1].item() == pytest.approx(100 * 30 / 31 * 16 / 17)


@pytest.mark.parametrize("metric", METRICS)
def test_leading_axes_are_batches(metric):
    predicted, target = pair(2, 3, 6, 17)
    whole = metric(predicted, target)
    for i, j in np.ndindex(2, 3):
        torch.testing.assert_close(whole[i, j], metric(predicted[i, j], target[i, j]))


@pytest.mark.parametrize("metric", METRICS)
def test_half_precision_is_measured_in_single(metric):
    predicted, target = (pose.bfloat16() for pose in pair(3, 17))
    error = metric(predicted, target)
    assert error.dtype == torch.float32
    torch.testing.assert_close(error, metric(predicted.float(), target.float()))


@pytest.mark.parametrize("metric", METRICS)
def test_shape_errors(metric):
    with pytest.raises(InputError, match=r"one shape .*, got \(3, 17, 3\) and \(3, 1, 3\)"):
        metric(poses(3, 17), poses(3, 1))
    with pytest.raises(InputError, match=r"one shape .*, got \(17, 3\) and \(17, 3\)"):
        metric(poses(17), poses(17))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("metric", METRICS)
def test_gpu_agrees(metric):
    predicted, target = pair(100, 17, error=0.04)
    torch.testing.assert_close(metric(predicted.cuda(), target.cuda()).cpu(), metric(predicted, target))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_agrees_where_matrix_products_may_be_rounded(monkeypatch):
    predicted, target = (pose.float() for pose in pair(500, 17))
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    ours = p_mpjpe_mm(predicted.cuda(), target.cuda()).cpu()
    torch.testing.assert_close(
        ours.double(), p_mpjpe_mm(predicted.double(), target.double()), atol=0.01, rtol=0
    )


# One sequence


def values(predicted: Tensor, target: Tensor, *settings) -> dict[str, float]:
    """The measures of one sequence, without their weights."""
    (measures,) = sequences_metrics(predicted, target, [len(predicted)], *settings)
    return {name: mean.value for name, mean in measures.items()}


def test_sequence_metrics_are_the_means_over_its_frames():
    predicted, target = pair(9, 17, error=0.08)
    result = values(predicted, target, None, range(14))
    assert list(result) == NAMES
    expected = {
        "mpjpe_mm": mpjpe_mm(predicted, target),
        "p_mpjpe_mm": p_mpjpe_mm(predicted, target),
        "n_mpjpe_mm": n_mpjpe_mm(predicted, target),
        "mpjve_mm": velocity_error_mm(predicted, target),
        "acceleration_mm": acceleration_error_mm(predicted, target),
        "pck_150mm": pck(predicted[:, :14], target[:, :14]),
        "auc": auc(predicted[:, :14], target[:, :14]),
    }
    assert result == pytest.approx({name: values.mean().item() for name, values in expected.items()})


def test_frames_that_are_not_valid_do_not_count():
    predicted, target = pair(9, 17, error=0.08)
    valid = torch.tensor([1, 1, 1, 0, 1, 1, 0, 0, 1], dtype=torch.bool)
    predicted[~valid], target[~valid] = math.nan, -1e6
    result = values(predicted, target, valid)
    names = ["mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "pck_150mm", "auc"]
    for name, metric in zip(names, PER_FRAME, strict=True):
        assert result[name] == pytest.approx(metric(predicted[valid], target[valid]).mean().item())
    # Steps 0-1, 1-2 and 4-5; the only three frames on end are 0, 1, 2.
    steps = velocity_error_mm(predicted, target)[[0, 1, 4]]
    assert result["mpjve_mm"] == pytest.approx(steps.mean().item())
    assert result["acceleration_mm"] == pytest.approx(acceleration_error_mm(predicted, target)[0].item())


def test_many_sequences_are_measured_as_each_alone():
    predicted, target = pair(60, 17, error=0.08)
    valid = torch.rand(60, generator=torch.Generator().manual_seed(0)) < 0.7
    lengths = [1, 20, 2, 30, 7]
    valid[[0, 21]] = True
    target[30] = math.nan
    together = sequences_metrics(predicted, target, lengths, valid, [3, 0, 16])
    first = 0
    for length, metrics in zip(lengths, together, strict=True):
        rows = slice(first, first + length)
        (alone,) = sequences_metrics(predicted[rows], target[rows], [length], valid[rows], [3, 0, 16])
        for name, mean in metrics.items():
            assert mean == pytest.approx(alone[name], nan_ok=True)
        first += length
    assert valid[30] and math.isnan(together[3]["mpjpe_mm"].value)
    assert not math.isnan(together[4]["acceleration_mm"].value)


def test_steps_weigh_as_many_frames_as_have_them_on_end():
    """A sequence without gaps, one with a gap in the middle, one of frames that stand alone."""
    predicted, target = pair(27, 17)
    valid = torch.ones(27, dtype=torch.bool)
    valid[[0, 8, 13, 19, 21, 23, 24, 26]] = False
    whole, gap, alone = sequences_metrics(predicted, target, [9, 9, 9], valid)
    assert [whole[name].weight for name in ("mpjpe_mm", "mpjve_mm", "acceleration_mm")] == [7, 7, 7]
    # Of eight frames, 9 to 12 and 14 to 17: six steps and four accelerations.
    assert [gap[name].weight for name in ("mpjpe_mm", "mpjve_mm", "acceleration_mm")] == [8, 7, 6]
    assert [alone[name].weight for name in ("mpjpe_mm", "mpjve_mm", "acceleration_mm")] == [4, 0, 0]


def test_sequences_of_one_and_two_frames():
    predicted, target = pair(2, 17)
    two = values(predicted, target)
    assert [name for name in NAMES if math.isnan(two[name])] == ["acceleration_mm"]
    one = values(predicted[:1], target[:1])
    assert [name for name in NAMES if math.isnan(one[name])] == ["mpjve_mm", "acceleration_mm"]


def test_sequence_errors():
    predicted, target = pair(4, 17)
    with pytest.raises(InputError, match=r"expected sequences \(frames, joints, 3\), got \(1, 4, 17, 3\)"):
        sequences_metrics(predicted[None], target[None], [4])
    with pytest.raises(InputError, match="none of the sequence's 0 frames is to be scored"):
        sequences_metrics(predicted[:0], target[:0], [0])
    with pytest.raises(InputError, match="none of the sequence's 4 frames is to be scored"):
        sequences_metrics(predicted, target, [4], torch.zeros(4, dtype=torch.bool))
    with pytest.raises(InputError, match=r"expected 4 bools as valid, got torch.int64 \(4,\)"):
        sequences_metrics(predicted, target, [4], torch.ones(4, dtype=torch.int64))
    with pytest.raises(InputError, match=r"expected 4 bools as valid, got torch.bool \(3,\)"):
        sequences_metrics(predicted, target, [4], torch.ones(3, dtype=torch.bool))
    with pytest.raises(InputError, match="expected 5 frames of 2 sequences, got 4"):
        sequences_metrics(predicted, target, [2, 3])
    with pytest.raises(InputError, match="none of the sequence's 0 frames is to be scored"):
        sequences_metrics(predicted, target, [4, 0])


# Many sequences


def test_aggregate_by_hand():
    result = aggregate(
        [
            ("Walking", 100, {"mpjpe_mm": Mean(10.0, 100), "mpjve_mm": Mean(1.0, 100)}),
            ("Sitting", 50, {"mpjpe_mm": Mean(40.0, 50), "mpjve_mm": Mean(4.0, 50)}),
            ("Walking", 300, {"mpjpe_mm": Mean(30.0, 300), "mpjve_mm": Mean(3.0, 60)}),
        ]
    )
    # Walking (100 * 10 + 300 * 30) / 400 = 25; actions (25 + 40) / 2; frames (1000 + 9000 + 2000) / 450.
    # MPJVE: (100 * 1 + 60 * 3) / 160 = 1.75; (1.75 + 4) / 2; (100 + 180 + 200) / 210.
    assert result == {
        "mean_over_actions": {"mpjpe_mm": pytest.approx(32.5), "mpjve_mm": pytest.approx(2.875)},
        "mean_over_frames": {"mpjpe_mm": pytest.approx(80 / 3), "mpjve_mm": pytest.approx(480 / 210)},
        "per_action": {
            "Walking": {"mpjpe_mm": pytest.approx(25), "mpjve_mm": pytest.approx(1.75), "frames": 400},
            "Sitting": {"mpjpe_mm": pytest.approx(40), "mpjve_mm": pytest.approx(4), "frames": 50},
        },
    }


def test_aggregate_leaves_undefined_velocities_out():
    none = Mean(math.nan, 0)
    undefined = {"mpjpe_mm": Mean(90.0, 1), "mpjve_mm": none, "acceleration_mm": none}
    some = {"mpjpe_mm": Mean(10.0, 100), "mpjve_mm": Mean(1.0, 100), "acceleration_mm": none}
    result = aggregate(
        [
            ("Walking", 100, some),
            ("Walking", 1, undefined),
            ("Posing", 1, undefined),
        ]
    )
    assert result["per_action"]["Walking"]["mpjve_mm"] == 1.0
    assert math.isnan(result["per_action"]["Posing"]["mpjve_mm"])
    for mean in ("mean_over_actions", "mean_over_frames"):
        assert result[mean]["mpjve_mm"] == 1.0
        assert math.isnan(result[mean]["acceleration_mm"])
    assert result["mean_over_frames"]["mpjpe_mm"] == pytest.approx((1000 + 180) / 102)


def test_aggregate_shows_a_prediction_without_velocity_that_is_not_a_number():
    """Not to be taken for one that has no steps."""
    result = aggregate(
        [("Walking", 2, {"mpjve_mm": Mean(1.0, 2)}), ("Walking", 2, {"mpjve_mm": Mean(math.nan, 2)})]
    )
    assert math.isnan(result["mean_over_frames"]["mpjve_mm"])


def test_aggregate_shows_a_prediction_that_is_not_a_number():
    lost, there = Mean(math.nan, 2), Mean(1.0, 2)
    result = aggregate([("Walking", 2, {"mpjpe_mm": lost}), ("Sitting", 2, {"mpjpe_mm": there})])
    assert math.isnan(result["mean_over_actions"]["mpjpe_mm"])
    assert math.isnan(result["mean_over_frames"]["mpjpe_mm"])
    assert result["per_action"]["Sitting"]["mpjpe_mm"] == 1.0


def test_aggregate_errors():
    with pytest.raises(InputError, match="no sequence to aggregate"):
        aggregate([])
