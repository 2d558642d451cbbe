import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from gcnpose.errors import InputError
from gcnpose.loss import LiftingLoss, MotionLoss, derivative_loss, motion_encoding, mpjpe_loss

OPERATORS = ["subtraction", "inner", "cross"]
SUBSETS = [(name,) for name in OPERATORS] + [("subtraction", "cross"), tuple(OPERATORS)]


def poses(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def encode(start: np.ndarray, end: np.ndarray, operator: str) -> list[float]:
    """One pair of positions, by the textbook."""
    if operator == "subtraction":
        return [start[i] - end[i] for i in range(3)]
    if operator == "inner":
        return [start[0] * end[0] + start[1] * end[1] + start[2] * end[2]]
    return list(np.cross(start, end))


def slow_motion_loss(predicted, target, valid, operators, intervals, distance) -> float:
    """Pair by pair: mean over elements, mean over the intervals that have pairs, sum over operators."""
    predicted, target = predicted.numpy(), target.numpy()
    batch, frames, joints, _ = predicted.shape
    total = 0.0
    for operator in operators:
        means = []
        for interval in intervals:
            distances = []
            for b in range(batch):
                for t in range(frames - interval):
                    if not (valid[b, t] and valid[b, t + interval]):
                        continue
                    for j in range(joints):
                        ours = encode(predicted[b, t, j], predicted[b, t + interval, j], operator)
                        true = encode(target[b, t, j], target[b, t + interval, j], operator)
                        differences = [o - r for o, r in zip(ours, true, strict=True)]
                        if distance == "l1":
                            distances.append(sum(abs(d) for d in differences))
                        else:
                            distances.append(math.sqrt(sum(d * d for d in differences)))
            if distances:
                means.append(sum(distances) / len(distances))
        total += sum(means) / len(means) if means else 0.0
    return total


# Encoding


@pytest.mark.parametrize(
    ("operator", "expected"),
    [  # of (1, 2, 3) and (4, 6, 5), by hand
        ("subtraction", [-3.0, -4.0, -2.0]),
        ("inner", [31.0]),
        ("cross", [2 * 5 - 3 * 6, 3 * 4 - 1 * 5, 1 * 6 - 2 * 4]),
    ],
)
def test_encoding_by_hand(operator, expected):
    pose = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [4.0, 6.0, 5.0]]).reshape(1, 3, 1, 3)
    assert motion_encoding(pose, 2, operator).tolist() == [[[expected]]]


@pytest.mark.parametrize("operator", OPERATORS)
def test_encoding_equals_reference(operator):
    pose = poses(2, 7, 3)
    ours = motion_encoding(pose, 3, operator).numpy()
    pose = pose.numpy()
    for b, t, j in np.ndindex(2, 4, 3):
        assert ours[b, t, j] == pytest.approx(encode(pose[b, t, j], pose[b, t + 3, j], operator))


@pytest.mark.parametrize("interval", [4, 9])
def test_encoding_of_a_sequence_shorter_than_the_interval_is_empty(interval):
    assert motion_encoding(poses(2, 4, 5), interval, "cross").shape == (2, 0, 5, 3)


def test_encoding_errors():
    with pytest.raises(InputError, match="unknown operator 'dot', expected one of subtraction, inner, cross"):
        motion_encoding(poses(1, 4, 2), 1, "dot")
    with pytest.raises(InputError, match=r"intervals of at least 1 frame, got \[0\]"):
        motion_encoding(poses(1, 4, 2), 0, "cross")
    with pytest.raises(InputError, match=r"\(batch, frames, joints, 3\), got \(4, 2, 3\)"):
        motion_encoding(poses(4, 2), 1, "cross")


# Motion loss


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("operators", SUBSETS)
def test_motion_loss_equals_reference(operators, distance):
    predicted, target = poses(2, 9, 3), poses(2, 9, 3, seed=1)
    ours = MotionLoss(operators, (1, 3, 4), distance)(predicted, target)
    theirs = slow_motion_loss(predicted, target, np.ones((2, 9), bool), operators, (1, 3, 4), distance)
    assert ours.item() == pytest.approx(theirs)


@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("operators", SUBSETS)
def test_masked_motion_loss_equals_reference(operators, distance):
    predicted, target = poses(3, 9, 2), poses(3, 9, 2, seed=1)
    valid = torch.rand(3, 9, generator=torch.Generator().manual_seed(2)) < 0.6
    assert 0 < valid.sum() < valid.numel()
    ours = MotionLoss(operators, (1, 3, 4), distance)(predicted, target, valid)
    theirs = slow_motion_loss(predicted, target, valid.numpy(), operators, (1, 3, 4), distance)
    assert ours.item() == pytest.approx(theirs)


def test_motion_loss_by_hand():
    # x turns by +90 degrees, predicted as -90: the cross products (0, 0, 1) and (0, 0, -1) lie two apart in
    # one of three components. The differences of the positions are (1, -1, 0) and (1, 1, 0).
    target = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).reshape(1, 2, 1, 3)
    predicted = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]).reshape(1, 2, 1, 3)
    assert MotionLoss(("cross",), (1,))(predicted, target).item() == pytest.approx(2)
    assert MotionLoss(("cross",), (1,), "l2")(predicted, target).item() == pytest.approx(2)
    assert MotionLoss(("subtraction",), (1,))(predicted, target).item() == pytest.approx(2)
    assert MotionLoss(("inner",), (1,))(predicted, target).item() == pytest.approx(0)


def test_motion_loss_defaults_are_the_papers():
    loss = MotionLoss()
    assert (loss.operators, loss.intervals, loss.distance) == (("cross",), (8, 12, 16, 24), "l1")


@pytest.mark.parametrize("operators", SUBSETS)
def test_motion_loss_is_zero_for_the_truth(operators):
    target = poses(2, 9, 3)
    assert MotionLoss(operators, (1, 3))(target, target).item() == 0


@pytest.mark.parametrize("operators", SUBSETS)
def test_motion_loss_l2_does_not_depend_on_the_axes(operators):
    predicted, target = poses(2, 9, 3), poses(2, 9, 3, seed=1)
    turn = torch.from_numpy(Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()).T
    loss = MotionLoss(operators, (2, 5), "l2")
    assert loss(predicted @ turn, target @ turn).item() == pytest.approx(loss(predicted, target).item())


@pytest.mark.parametrize(("operator", "power"), [("subtraction", 1), ("inner", 2), ("cross", 2)])
def test_motion_loss_in_millimetres(operator, power):
    predicted, target = poses(2, 9, 3), poses(2, 9, 3, seed=1)
    loss = MotionLoss((operator,), (2, 5))
    in_mm = loss(1000 * predicted, 1000 * target)
    assert in_mm.item() == pytest.approx(1000**power * loss(predicted, target).item())


def test_derivative_loss_is_the_mean_difference_of_the_steps():
    predicted, target = poses(2, 9, 3), poses(2, 9, 3, seed=1)
    steps = np.abs(np.diff(predicted.numpy(), axis=1) - np.diff(target.numpy(), axis=1))
    assert derivative_loss()(predicted, target).item() == pytest.approx(steps.sum(axis=-1).mean())
    assert derivative_loss()(target + 0.7, target).item() == pytest.approx(0, abs=1e-12)


def test_intervals_that_do_not_fit_are_left_out():
    predicted, target = poses(2, 9, 3), poses(2, 9, 3, seed=1)
    both = MotionLoss(intervals=(4, 8, 9, 24))(predicted, target)
    assert both.item() == pytest.approx(MotionLoss(intervals=(4, 8))(predicted, target).item())


@pytest.mark.parametrize("valid", [None, torch.ones(2, 8, dtype=torch.bool)])
def test_motion_loss_of_too_short_sequences_is_zero_with_gradients(valid):
    predicted = poses(2, 8, 3).requires_grad_()
    loss = MotionLoss()(predicted, poses(2, 8, 3, seed=1), valid)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad is not None and predicted.grad.abs().max() == 0


def test_motion_loss_errors():
    with pytest.raises(InputError, match=r"unknown operator 'x', expected one of subtraction, inner, cross"):
        MotionLoss(("cross", "x"))
    with pytest.raises(InputError, match="at least one operator"):
        MotionLoss(())
    with pytest.raises(InputError, match="unknown distance 'l3', expected one of l1, l2"):
        MotionLoss(distance="l3")
    with pytest.raises(InputError, match=r"at least 1 frame, got \[8, -2\]"):
        MotionLoss(intervals=(8, -2))
    with pytest.raises(InputError, match=r"at least 1 frame, got \[\]"):
        MotionLoss(intervals=())


# Reconstruction


def test_mpjpe_loss_by_hand():
    target = torch.zeros(1, 2, 2, 3)
    predicted = torch.tensor([[0.3, 0.4, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 2.0], [0.0, 0.0, -0.5]])
    predicted = predicted.reshape(1, 2, 2, 3)
    assert mpjpe_loss(predicted, target).item() == pytest.approx((0.5 + 0 + 3 + 0.5) / 4)
    second_only = torch.tensor([[False, True]])
    assert mpjpe_loss(predicted, target, second_only).item() == pytest.approx((3 + 0.5) / 2)


# All of them: padding, gradients, errors

LOSSES = {
    "mpjpe": mpjpe_loss,
    **{f"{name} {d}": MotionLoss((name,), (1, 3), d) for name in OPERATORS for d in ("l1", "l2")},
    "lifting": lambda *poses: LiftingLoss(0.5, OPERATORS, (1, 3))(*poses).total,
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)


@every_loss
@pytest.mark.parametrize("filling", [0.0, 1e6, math.nan, math.inf])
@pytest.mark.parametrize("frames", [1, 3, 7])
def test_padding_does_not_count(loss, filling, frames):
    short_predicted, short_target = poses(2, frames, 3), poses(2, frames, 3, seed=1)
    predicted = torch.full((2, 9, 3, 3), filling, dtype=torch.float64)
    target = -predicted
    predicted[:, :frames], target[:, :frames] = short_predicted, short_target
    valid = (torch.arange(9) < frames).expand(2, 9)
    for pose in (short_predicted, predicted):
        pose.requires_grad_()
    padded, short = loss(predicted, target, valid), loss(short_predicted, short_target)
    padded.backward()
    short.backward()
    assert padded.item() == pytest.approx(short.item())
    torch.testing.assert_close(predicted.grad[:, :frames], short_predicted.grad)
    assert torch.all(predicted.grad[:, frames:] == 0)


@every_loss
def test_no_valid_frame_gives_zero_with_gradients(loss):
    predicted = poses(2, 5, 3).requires_grad_()
    value = loss(predicted, poses(2, 5, 3, seed=1), torch.zeros(2, 5, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert torch.all(predicted.grad == 0)


@every_loss
def test_a_full_mask_changes_nothing(loss):
    predicted, target = poses(2, 5, 3), poses(2, 5, 3, seed=1)
    masked = loss(predicted, target, torch.ones(2, 5, dtype=torch.bool))
    assert masked.item() == pytest.approx(loss(predicted, target).item())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at", ["equal poses", "all zero"])
def test_gradient_is_finite_at_zero_distance(loss, dtype, at):
    target = poses(2, 5, 3).to(dtype) * (at == "equal poses")
    predicted = target.clone().requires_grad_()
    loss(predicted, target).backward()
    assert predicted.grad.isfinite().all()


@every_loss
@pytest.mark.parametrize("masked", [False, True])
def test_gradient(loss, masked):
    target = poses(2, 5, 2, seed=1)
    valid = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 1, 0]], dtype=torch.bool) if masked else None
    torch.autograd.gradcheck(lambda pose: loss(pose, target, valid), poses(2, 5, 2).requires_grad_())


@every_loss
@pytest.mark.parametrize("masked", [False, True])
def test_values_never_reach_the_host(loss, masked):
    # Tensors on the meta device have no values: reading one, or indexing by a mask, raises.
    pose = torch.empty(2, 5, 3, 3, device="meta", requires_grad=True)
    valid = torch.empty(2, 5, dtype=torch.bool, device="meta") if masked else None
    value = loss(pose, torch.empty(2, 5, 3, 3, device="meta"), valid)
    value.backward()
    assert value.shape == ()


@every_loss
def test_predictions_in_half_precision_are_compared_in_the_targets(loss):
    predicted, target = poses(2, 5, 3).bfloat16(), poses(2, 5, 3, seed=1).float()
    value = loss(predicted, target)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(predicted.float(), target).item())


@every_loss
def test_shape_errors(loss):
    with pytest.raises(InputError, match=r"differ in shape, \(2, 5, 3, 3\) and \(2, 5, 1, 3\)"):
        loss(poses(2, 5, 3), poses(2, 5, 1))
    with pytest.raises(InputError, match=r"expected poses \(batch, frames, joints, 3\), got \(5, 3, 3\)"):
        loss(poses(5, 3), poses(5, 3))
    with pytest.raises(InputError, match=r"bool mask .* = \(2, 5\), got torch.float32 \(2, 5\)"):
        loss(poses(2, 5, 3), poses(2, 5, 3), torch.ones(2, 5))
    with pytest.raises(InputError, match=r"bool mask .* = \(2, 5\), got torch.bool \(5,\)"):
        loss(poses(2, 5, 3), poses(2, 5, 3), torch.ones(5, dtype=torch.bool))


# Their sum


def test_lifting_loss_is_the_weighted_sum():
    predicted, target = poses(2, 30, 3), poses(2, 30, 3, seed=1)
    terms = LiftingLoss(motion_weight=0.3)(predicted, target)
    reconstruction, motion = mpjpe_loss(predicted, target).item(), MotionLoss()(predicted, target).item()
    assert terms.reconstruction.item() == pytest.approx(reconstruction)
    assert terms.motion.item() == pytest.approx(motion)
    assert terms.total.item() == pytest.approx(reconstruction + 0.3 * motion)


def test_lifting_loss_of_weight_zero_skips_the_motion_loss(monkeypatch):
    loss = LiftingLoss(motion_weight=0)
    monkeypatch.setattr(loss.motion_loss, "of_components", None)
    predicted, target = poses(2, 30, 3), poses(2, 30, 3, seed=1)
    terms = loss(predicted, target)
    assert terms.total.item() == terms.reconstruction.item() == mpjpe_loss(predicted, target).item()
    assert terms.motion.item() == 0


@pytest.mark.parametrize("weight", [-1.0, math.nan])
def test_lifting_loss_errors(weight):
    with pytest.raises(InputError, match="motion_weight: expected a number of at least 0"):
        LiftingLoss(motion_weight=weight)


# Parts of a batch


@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize("lengths", [(9, 9, 9, 9), (9, 2, 1, 5), (1, 1, 0, 9), (0, 0, 0, 1), (0, 0, 0, 0)])
def test_parts_of_a_batch_average_to_the_whole(lengths, weight):
    """However unequal the numbers of valid frames are, one frame in all included."""
    predicted, target = poses(4, 9, 3, seed=1).requires_grad_(), poses(4, 9, 3, seed=2)
    valid = torch.arange(9) < torch.tensor(lengths)[:, None]
    halves = (slice(0, 2), slice(2, 4))
    counts = []

    def note(count):
        counts.append(count)
        return count

    def terms(average, part):
        loss = LiftingLoss(weight, ("cross", "inner"), (1, 3, 8), average=average)
        return torch.stack(loss(predicted[part], target[part], valid[part]))

    whole = torch.stack(LiftingLoss(weight, ("cross", "inner"), (1, 3, 8))(predicted, target, valid))
    for half in halves:
        terms(note, half)
    assert len(counts) == 2, "the processes wait for each other once"
    mean = sum(counts) / 2
    average = sum(terms(lambda count: mean, half) for half in halves) / 2
    torch.testing.assert_close(average, whole)
    expected, ours = (torch.autograd.grad(each[0], predicted)[0] for each in (whole, average))
    torch.testing.assert_close(ours, expected)


def test_the_motion_loss_averages_too():
    counts = []
    loss = MotionLoss(("cross",), (1, 3), average=lambda count: counts.append(count) or 2 * count)
    pose, valid = poses(2, 5, 3), torch.ones(2, 5, dtype=torch.bool)
    half = loss(pose, pose + 1, valid)
    assert [count.tolist() for count in counts] == [[8, 4]]
    torch.testing.assert_close(2 * half, MotionLoss(("cross",), (1, 3))(pose, pose + 1, valid))
