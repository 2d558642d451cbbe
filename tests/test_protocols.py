"""Each rule of each protocol on hand-made clips, against arithmetic on paper and plain numpy."""

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from gcnpose.config import ProtocolName
from gcnpose.data.views import Clip, Views
from gcnpose.errors import InputError
from gcnpose.evaluation import score
from gcnpose.protocols import GENERIC, MOTIONBERT_BLOCK_LIST, PROTOCOLS
from gcnpose.skeleton import Skeleton

H36M, MOTIONBERT, MPI, HUMANEVA = (
    PROTOCOLS[name] for name in ("h36m", "h36m-motionbert", "mpi-inf-3dhp", "humaneva")
)
PELVIS, HEAD_TOP, NECK, SPINE, HEAD = 14, 0, 1, 15, 16
COUNTED = [0, 1, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13]


def views_of(skeleton: str, clips: Sequence[tuple[str, str, int]], valid: Tensor | None = None) -> Views:
    """Random true poses about their root, in clips of a subject, a name and a number of frames."""
    graph = Skeleton.load(skeleton)
    made, first = [], 0
    for subject, name, frames in clips:
        made.append(Clip(subject, name, "not asked for", "", first, frames))
        first += frames
    poses = torch.randn(first, graph.num_joints, 3, generator=torch.Generator().manual_seed(0))
    poses -= poses[:, graph.root_index : graph.root_index + 1].clone()
    every_row = torch.ones(first, dtype=torch.bool)
    seen = torch.zeros(first, graph.num_joints, 2)
    return Views(graph, made, seen, poses, every_row if valid is None else valid)


def off_by(views: Views, errors_mm: Any) -> list[Tensor]:
    """Predictions off along x by so many millimetres: (rows,), (joints,) or (rows, joints)."""
    errors = torch.as_tensor(errors_mm, dtype=torch.float32) / 1000
    if errors.shape == (len(views.pose_3d),):
        errors = errors[:, None]
    offset = torch.zeros_like(views.pose_3d)
    offset[..., 0] = errors
    return [(views.pose_3d + offset)[clip.rows] for clip in views.clips]


def test_the_config_knows_them_all() -> None:
    assert set(get_args(ProtocolName)) == set(PROTOCOLS)
    assert all(name == protocol.name for name, protocol in PROTOCOLS.items())


def test_joints_and_columns_fit() -> None:
    for protocol in PROTOCOLS.values():
        joints = Skeleton.load(protocol.skeleton or "h36m17").joints
        assert {joint for group in protocol.joint_groups.values() for joint in group} <= set(joints)
        assert {column for group in protocol.frame_groups.values() for column in group} <= set(
            protocol.columns
        )


@pytest.mark.parametrize("protocol", [H36M, MOTIONBERT, MPI, HUMANEVA], ids=lambda p: p.name)
def test_joints_of_another_skeleton(protocol: Any) -> None:
    views = views_of("coco17", [("S9", "Walking", 5)])
    message = f"^protocol {protocol.name}: scores the joints of {protocol.skeleton}, not those of coco17$"
    with pytest.raises(InputError, match=message):
        score(off_by(views, 0.0), views, protocol)


def test_generic_scores_everything_by_action() -> None:
    views = views_of("coco17", [("A", "one", 3), ("B", "two", 5)])
    views = dataclasses.replace(views, clips=[dataclasses.replace(c, action=c.name) for c in views.clips])
    scored = score(off_by(views, [10.0] * 3 + [20.0] * 5), views, GENERIC)
    assert scored["mean_over_frames"]["mpjpe_mm"] == pytest.approx((3 * 10 + 5 * 20) / 8, rel=1e-4)
    assert scored["mean_over_actions"]["mpjpe_mm"] == pytest.approx(15, rel=1e-4)


# Human3.6M


def test_h36m_weights_frames_within_actions_and_then_actions() -> None:
    """Walking: 2 frames off by 10 mm and 6 by 50 is 40 mm; Sitting Down: 4 off by 20. Their mean is 30."""
    views = views_of("h36m17", [("S9", "Walking", 2), ("S11", "Walking 1", 6), ("S9", "SittingDown 1", 4)])
    scored = score(off_by(views, [10.0] * 2 + [50.0] * 6 + [20.0] * 4), views, H36M)
    means = {action: values["mpjpe_mm"] for action, values in scored["per_action"].items()}
    assert means == pytest.approx({"Walking": 40, "SittingDown": 20}, rel=1e-4)
    assert scored["mean_over_actions"]["mpjpe_mm"] == pytest.approx(30, rel=1e-4)
    assert scored["mean_over_frames"]["mpjpe_mm"] == pytest.approx((8 * 40 + 4 * 20) / 12, rel=1e-4)


def test_h36m_counts_the_root_as_predicted() -> None:
    """Only the root is off, by 170 mm: 10 mm over 17 joints. MotionBERT moves the whole body instead."""
    views = views_of("h36m17", [("S9", "Walking", 4)])
    errors = torch.zeros(4, 17)
    errors[:, 0] = 170
    lifted = off_by(views, errors)
    assert score(lifted, views, H36M)["mean_over_actions"]["mpjpe_mm"] == pytest.approx(10, rel=1e-4)
    shifted = score(lifted, views, MOTIONBERT)["mean_over_actions"]["mpjpe_mm"]
    assert shifted == pytest.approx(170 * 16 / 17, rel=1e-4)


def test_h36m_drops_one_recording() -> None:
    views = views_of(
        "h36m17", [("S11", "Directions", 3), ("S11", "Directions 1", 3), ("S9", "Directions", 3)]
    )
    scored = score(off_by(views, [900.0] * 3 + [10.0] * 6), views, H36M)
    assert scored["per_action"]["Directions"]["frames"] == 6
    assert scored["per_action"]["Directions"]["mpjpe_mm"] == pytest.approx(10, rel=1e-4)


def test_h36m_velocity_is_weighted_by_frames() -> None:
    """A video of 3 frames drifting by 4 mm a frame, one of 5 by 2, one of 1 frame: (3 * 4 + 5 * 2) / 8."""
    views = views_of("h36m17", [("S9", "Walking", 3), ("S9", "Walking 1", 5), ("S11", "Walking", 1)])
    drift = [0.0, 4, 8, 100, 102, 104, 106, 108, 7]
    scored = score(off_by(views, drift), views, H36M)
    assert scored["mean_over_actions"]["mpjve_mm"] == pytest.approx(22 / 8, rel=1e-3)


def test_h36m_refuses_other_actions() -> None:
    views = views_of("h36m17", [("S29", "29_01_jump", 3)])
    with pytest.raises(
        InputError, match=r"^protocol h36m: S29/29_01_jump is none of Directions, Discussion, "
    ):
        score(off_by(views, 0.0), views, H36M)


def test_motionbert_cuts_into_clips_and_drops_what_is_left() -> None:
    """Of 500 frames the first 486 count; of 100, all."""
    views = views_of("h36m17", [("S9", "Walking", 500), ("S11", "Waiting", 100)])
    errors = torch.full((600, 17), 10.0)
    errors[:, 0] = 0
    errors[486:500, 1:] = 1000
    scored = score(off_by(views, errors), views, MOTIONBERT)
    assert [values["frames"] for values in scored["per_action"].values()] == [486, 100]
    assert scored["mean_over_frames"]["mpjpe_mm"] == pytest.approx(10 * 16 / 17, rel=1e-4)


def test_motionbert_takes_no_step_from_clip_to_clip() -> None:
    """All joints but the root are 100 mm further from the 244th frame on."""
    views = views_of("h36m17", [("S9", "Walking", 486)])
    errors = torch.zeros(486, 17)
    errors[243:, 1:] = 100
    assert score(off_by(views, errors), views, MOTIONBERT)["mean_over_frames"]["mpjve_mm"] < 1e-3


def test_motionbert_leaves_out_its_block_list() -> None:
    assert MOTIONBERT_BLOCK_LIST == (("S9", "Greeting"), ("S9", "SittingDown 1"), ("S9", "Waiting 1"))
    kept = [("S9", "Greeting 1"), ("S11", "Greeting"), ("S9", "SittingDown"), ("S9", "Waiting")]
    views = views_of("h36m17", [(s, name, 2) for s, name in (*MOTIONBERT_BLOCK_LIST, *kept)])
    scored = score(off_by(views, 0.0), views, MOTIONBERT)
    assert {action: values["frames"] for action, values in scored["per_action"].items()} == {
        "Greeting": 4,
        "SittingDown": 2,
        "Waiting": 2,
    }
    only = dataclasses.replace(views, clips=views.clips[:3])
    with pytest.raises(InputError, match=r"^protocol h36m-motionbert: scores none of the 3 clips$"):
        score(off_by(views, 0.0), only, MOTIONBERT)


# MPI-INF-3DHP


def mpi_views(frames: dict[str, int], valid: Tensor | None = None) -> Views:
    return views_of("mpi_inf_3dhp17", [(name, name, count) for name, count in frames.items()], valid)


def by_joint(**errors_mm: float) -> Tensor:
    """(17,): errors of some joints, which the pelvis must not have."""
    errors = torch.zeros(17)
    for name, value in errors_mm.items():
        errors[Skeleton.load("mpi_inf_3dhp17").joints.index(name)] = value
    return errors


def scored_mpi(errors_mm: Any, frames: dict[str, int] | None = None) -> dict[str, Any]:
    views = mpi_views(frames or {"TS1": 4})
    return score(off_by(views, errors_mm), views, MPI)


def test_mpi_threshold_is_strict() -> None:
    """Of single joints, with poses at rest so that the distances are exact."""
    views = mpi_views({"TS1": 1})
    views = dataclasses.replace(views, pose_3d=torch.zeros(1, 17, 3, dtype=torch.float64))
    for error, correct in ((149.999, 14), (150.0, 13), (150.001, 13)):
        lifted = torch.zeros(1, 17, 3, dtype=torch.float64)
        lifted[0, NECK, 0] = error / 1000
        pck = score([lifted], views, MPI)["mean_over_frames"]["pck_150mm"]
        assert pck == pytest.approx(100 * correct / 14), error


def test_mpi_counts_14_joints_in_8_groups() -> None:
    joints = Skeleton.load("mpi_inf_3dhp17").joints
    groups = [[joints.index(joint) for joint in group] for group in MPI.joint_groups.values()]
    assert groups == [[0], [1], [2, 5], [3, 6], [4, 7], [8, 11], [9, 12], [10, 13]]
    assert list(MPI.joint_groups) == ["Head", "Neck", "Shou", "Elbow", "Wrist", "Hip", "Knee", "Ankle"]


@pytest.mark.parametrize("joint", ["spine", "head"])
def test_mpi_pck_leaves_joints_out(joint: str) -> None:
    means = scored_mpi(by_joint(**{joint: 500}))["mean_over_frames"]
    assert means["pck_150mm"] == 100
    assert means["mpjpe_mm"] == pytest.approx(500 / 17, rel=1e-4)


def test_mpi_pelvis_is_where_it_is_said_to_be() -> None:
    """A prediction that is moved as a whole is not wrong, and MPJPE counts a pelvis without error."""
    assert scored_mpi(torch.full((17,), 300.0))["mean_over_frames"]["mpjpe_mm"] < 1e-3
    means = scored_mpi(torch.where(torch.arange(17) == PELVIS, 0.0, 34.0))["mean_over_frames"]
    assert means["mpjpe_mm"] == pytest.approx(34 * 16 / 17, rel=1e-4)


def test_mpi_ceiling_of_the_auc() -> None:
    """No error is below the first of the 31 thresholds, 0: 30 / 31."""
    means = scored_mpi(torch.zeros(17))["mean_over_frames"]
    assert means["auc"] == pytest.approx(100 * 30 / 31) == pytest.approx(96.77, abs=0.005)
    assert means["pck_150mm"] == 100


def test_mpi_auc_by_hand() -> None:
    """All off by 72 mm: below 75, 80 ... 150, 16 of 31 thresholds. By 149: below one. By 151: below none."""
    for error, below in ((72, 16), (149, 1), (151, 0)):
        errors = torch.where(torch.arange(17) == PELVIS, 0.0, float(error))
        assert scored_mpi(errors)["mean_over_frames"]["auc"] == pytest.approx(100 * below / 31)


def test_mpi_total_is_weighted_by_joints_not_by_groups() -> None:
    """Both hips missed: 12 of 14 joints, while 7 of 8 groups would be 87.5 %."""
    scored = scored_mpi(by_joint(left_hip=200, right_hip=200))
    assert scored["mean_over_frames"]["pck_150mm"] == pytest.approx(100 * 12 / 14)
    assert {name: values["pck_150mm"] for name, values in scored["joint_groups"].items()} == {
        name: 0.0 if name == "Hip" else 100.0 for name in MPI.joint_groups
    }
    assert scored["joint_groups"]["Hip"]["auc"] == 0
    assert scored["joint_groups"]["Head"]["auc"] == pytest.approx(96.77, abs=0.005)


def test_mpi_scores_valid_frames_only() -> None:
    valid = torch.tensor([True, False, True, False, False, True])
    views = mpi_views({"TS1": 4, "TS2": 2}, valid)
    errors = torch.full((6, 17), 500.0)
    errors[valid] = 20
    errors[:, PELVIS] = 0
    scored = score(off_by(views, errors), views, MPI)
    assert [values["frames"] for values in scored["per_action"].values()] == [2, 1]
    assert scored["mean_over_frames"]["mpjpe_mm"] == pytest.approx(20 * 16 / 17, rel=1e-4)


def test_mpi_weights_sequences_by_frames() -> None:
    """Errors of 17, 34 ... 102 mm on 16 joints in sequences of 1 to 6 frames."""
    frames = {f"TS{number}": number for number in range(1, 7)}
    errors = torch.cat([torch.full((number, 17), 17.0 * number) for number in range(1, 7)])
    errors[:, PELVIS] = 0
    scored = scored_mpi(errors, frames)
    means = {name: values["mpjpe_mm"] for name, values in scored["per_action"].items()}
    assert means == pytest.approx({name: 16 * number for name, number in frames.items()}, rel=1e-4)
    squares = sum(number**2 for number in range(1, 7))
    assert scored["mean_over_frames"]["mpjpe_mm"] == pytest.approx(16 * squares / 21, rel=1e-4)
    assert scored["mean_over_actions"]["mpjpe_mm"] == pytest.approx(16 * 21 / 6, rel=1e-4)
    groups = {name: (values["frames"], values["mpjpe_mm"]) for name, values in scored["groups"].items()}
    assert list(groups) == ["GS", "noGS", "Outdoor"]
    for name, (one, two) in zip(groups, ((1, 2), (3, 4), (5, 6)), strict=True):
        expected = (one + two, pytest.approx(16 * (one**2 + two**2) / (one + two), rel=1e-4))
        assert groups[name] == expected


def official(errors_mm: Any) -> tuple[float, float, float]:
    """PCK, AUC and MPJPE of (frames, 17) errors, written down once more as loops over thresholds."""
    errors = np.asarray(errors_mm)
    curve = [
        100 * np.mean([errors[:, joint] < threshold for joint in COUNTED]) for threshold in range(0, 151, 5)
    ]
    return float(curve[-1]), float(np.mean(curve)), float(errors.mean())


def test_mpi_against_a_second_formula() -> None:
    views = mpi_views({"TS1": 50, "TS5": 30}, torch.arange(80) % 3 != 0)
    noise = 0.1 * torch.randn(80, 17, 3, generator=torch.Generator().manual_seed(1))
    predicted = views.pose_3d + noise
    scored = score([predicted[clip.rows] for clip in views.clips], views, MPI)
    about_pelvis = (predicted - predicted[:, PELVIS : PELVIS + 1]).double()
    errors = 1000 * (about_pelvis - views.pose_3d.double()).norm(dim=-1)
    for means, rows in (
        (scored["mean_over_frames"], views.valid),
        (scored["per_action"]["TS5"], views.valid & (torch.arange(80) >= 50)),
    ):
        measured = (means["pck_150mm"], means["auc"], means["mpjpe_mm"])
        assert measured == pytest.approx(official(errors[rows].numpy()), rel=1e-4)


def test_mpi_knows_its_sequences() -> None:
    with pytest.raises(
        InputError, match=r"^protocol mpi-inf-3dhp: S1/S1 is none of TS1, TS2, TS3, TS4, TS5, TS6$"
    ):
        scored_mpi(torch.zeros(17), {"S1": 3})
    # 3dhp_test/README.txt of P-STMO: valid frames of TS1 to TS6.
    assert MPI.frames == 603 + 540 + 505 + 553 + 276 + 452


# HumanEva


def test_humaneva_columns() -> None:
    clips = [
        ("Validate-S1", "Walking 1 chunk0", 4),
        ("Validate-S1", "Walking 1 chunk1", 2),
        ("Validate-S3", "Box 1 chunk0", 3),
        ("Validate-S2", "Gestures 1 chunk0", 5),
        ("Validate-S2", "Jog 1", 1),
    ]
    views = views_of("humaneva15", clips)
    scored = score(
        off_by(views, [10.0] * 4 + [40.0] * 2 + [50.0] * 3 + [900.0] * 5 + [30.0]), views, HUMANEVA
    )
    means = {column: values["mpjpe_mm"] for column, values in scored["per_action"].items()}
    assert means == pytest.approx({"Walk S1": 20, "Box S3": 50, "Jog S2": 30}, rel=1e-4)
    assert scored["mean_over_actions"]["mpjpe_mm"] == pytest.approx(100 / 3, rel=1e-4)
    assert list(HUMANEVA.columns) == [f"{a} S{n}" for a in ("Walk", "Jog", "Box") for n in (1, 2, 3)]
