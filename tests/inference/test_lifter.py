"""Lifting keypoint tracks: as evaluation does, in the joints and the image that they come in."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from gcnpose.build import build_motion, build_views
from gcnpose.checkpoint import load_checkpoint, restore_model, save_checkpoint
from gcnpose.config import config_from_dict
from gcnpose.data.camera import denormalize_screen
from gcnpose.errors import InputError
from gcnpose.inference import Lifter
from gcnpose.keypoints.conversion import Conversion
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.keypoints.trajectory import guess_intrinsics
from gcnpose.metrics import mpjpe_mm
from gcnpose.nn.refinement import Refinement
from gcnpose.scoring import evaluate_checkpoint
from gcnpose.skeleton import Skeleton
from tests.checkpoints import small_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("lifter"), frames=(40, 30, 70))


def track_of(keypoints_2d: np.ndarray, **changes: object) -> KeypointTrack:
    frames, joints = keypoints_2d.shape[:2]
    values = {
        "person": "0",
        "layout": "h36m17",
        "first_frame": 10,
        "keypoints_2d": keypoints_2d.astype(np.float32),
        "score": np.ones((frames, joints), np.float32),
        "measured": np.ones((frames, joints), bool),
        "image_size": (1000, 1002),
        "fps": 50.0,
    }
    return KeypointTrack(**{**values, **changes})


def some_track(frames: int = 50, joints: int = 17, **changes: object) -> KeypointTrack:
    random = np.random.default_rng(frames)
    steps = random.normal(0, 3, (frames, joints, 2)).cumsum(axis=0)
    return track_of(random.uniform(300, 700, (joints, 2)) + steps, **changes)


def test_frames_keep_their_numbers(checkpoint: Path) -> None:
    lifted = Lifter.load(checkpoint)(some_track(3, first_frame=10, frame_step=5))
    assert (lifted.frames.tolist(), lifted.frame_step) == ([10, 15, 20], 5)


@pytest.mark.parametrize("method", ["windows", "whole", "shifts"])
def test_same_errors_as_evaluation(checkpoint: Path, method: str) -> None:
    """The same windows of the test subject, by way of pixels, to a thousandth of a millimetre."""
    report = evaluate_checkpoint(checkpoint, [f"evaluation.methods=[{method}]"], say=lambda _: None)
    content = load_checkpoint(checkpoint)
    config = config_from_dict(content["config"], "test", [f"evaluation.methods=[{method}]"])
    _, skeleton, model = restore_model(content, checkpoint)
    lifter = Lifter(model, skeleton, config)
    views = build_views(config, build_motion(config, skeleton, ("test",))["test"])
    errors = []
    for clip in views.clips:
        pixels = denormalize_screen(views.keypoints_2d[clip.rows], 1000, 1002)
        track = lifter(track_of(pixels.numpy()))
        assert track.frames.tolist() == list(range(10, 80))
        errors.append(mpjpe_mm(torch.from_numpy(track.positions), views.pose_3d[clip.rows]))
    assert torch.cat(errors).mean().item() == pytest.approx(report["mean_over_frames"]["mpjpe_mm"], abs=1e-3)


def test_method_and_flip_are_those_of_the_checkpoint_unless_given(tmp_path: Path) -> None:
    checkpoint = small_checkpoint(tmp_path, "evaluation.methods=[shifts, windows]", "evaluation.flip=false")
    own = Lifter.load(checkpoint)
    assert (own.method, own.flip, own.window, own.step) == ("shifts", False, 16, 5)
    given = Lifter.load(checkpoint, method="windows", flip=True)
    assert (given.method, given.flip) == ("windows", True)


def test_other_joints_are_converted(checkpoint: Path) -> None:
    lifter = Lifter.load(checkpoint)
    track = some_track(layout="coco17")
    converted = Conversion.load("coco17", "h36m17").convert(track)
    lifted, by_hand = lifter(track), lifter(converted)
    np.testing.assert_array_equal(lifted.positions, by_hand.positions)
    np.testing.assert_array_equal(lifted.score, converted.score)
    assert lifted.skeleton.name == "h36m17" and lifted.fps == 50 and lifted.translation is None


def test_a_graph_of_other_joints_may_have_kept_its_name(checkpoint: Path) -> None:
    """Joints are converted by what they are, not by what the graph is called."""
    lifter = Lifter.load(checkpoint)
    track = some_track()
    content = lifter.skeleton.to_dict()
    content["joints"] = sorted(content["joints"])
    lifter.skeleton = Skeleton.from_dict(content, "test")
    order = [Skeleton.load("h36m17").joints.index(joint) for joint in content["joints"]]
    converted = lifter.convert(track)
    np.testing.assert_array_equal(converted.keypoints_2d, track.keypoints_2d[:, order])


def test_place_is_where_the_3d_falls_on_the_2d(checkpoint: Path) -> None:
    """A pose that is known, seen by the camera that is guessed for the image."""
    lifter = Lifter.load(checkpoint)
    random = np.random.default_rng(0)
    pose, places = random.normal(0, 0.4, (17, 3)), random.uniform((-1, -1, 4), (1, 1, 6), (20, 3))
    placed = pose + places[:, None]
    track = track_of(placed[..., :2] / placed[..., 2:] * 1002 + [500, 501])
    lifted = dataclasses.replace(lifter(track), positions=np.tile(pose, (20, 1, 1)))
    with_place = lifter.place(lifted, track)
    np.testing.assert_allclose(with_place.placed, placed, atol=1e-3)
    assert with_place.intrinsics == guess_intrinsics((1000, 1002))


def test_the_image_size_normalises(checkpoint: Path) -> None:
    lifter = Lifter.load(checkpoint)
    track = some_track()
    doubled = dataclasses.replace(track, keypoints_2d=2 * track.keypoints_2d, image_size=(2000, 2004))
    np.testing.assert_allclose(lifter(track).positions, lifter(doubled).positions, atol=1e-5)


def test_bf16_is_near(checkpoint: Path) -> None:
    track = some_track()
    exact = Lifter.load(checkpoint)(track).positions
    rounded = Lifter.load(checkpoint, precision="bf16")(track).positions
    assert 0 < np.abs(exact - rounded).mean() < 0.02 * np.abs(exact).mean()


def test_score_goes_in_where_the_network_takes_it(tmp_path: Path) -> None:
    lifter = Lifter.load(small_checkpoint(tmp_path, "model.input_channels=3"))
    track = some_track()
    unsure = dataclasses.replace(track, score=track.score / 2)
    assert np.abs(lifter(track).positions - lifter(unsure).positions).max() > 1e-4


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 17])
@pytest.mark.parametrize("method", ["windows", "whole", "shifts"])
def test_any_length(checkpoint: Path, method: str, frames: int) -> None:
    track = Lifter.load(checkpoint, method=method)(some_track(frames))
    assert track.positions.shape == (frames, 17, 3)
    assert np.isfinite(track.positions).all()


@pytest.mark.parametrize("method", ["windows", "whole"])
def test_hours_of_video_go_through_the_network_in_parts(checkpoint: Path, method: str) -> None:
    """Features are what takes memory, far more than what goes in and comes out."""
    lifter = Lifter.load(checkpoint, method=method, flip=False)
    at_once = []
    lifter.model.register_forward_pre_hook(lambda _, inputs: at_once.append(inputs[0].shape[:2].numel()))
    track = lifter(some_track(100_000))
    assert track.positions.shape == (100_000, 17, 3)
    assert np.isfinite(track.positions).all()
    assert len(at_once) > 50
    assert max(at_once) <= 64 * lifter.window


def test_faults(checkpoint: Path) -> None:
    with pytest.raises(InputError, match="no such checkpoint"):
        Lifter.load(checkpoint.with_name("none.pt"))
    with pytest.raises(InputError, match="expected one of windows, whole, shifts, not 'fast'"):
        Lifter.load(checkpoint, method="fast")
    with pytest.raises(InputError, match="expected one of auto, fp32, bf16, not 'fp16'"):
        Lifter.load(checkpoint, precision="fp16")
    lifter = Lifter.load(checkpoint)
    with pytest.raises(InputError, match="no conversion from the joints of hand21 to those of h36m17"):
        lifter(some_track(joints=21, layout="hand21"))
    with pytest.raises(InputError, match="no such graph, did you mean coco17"):
        lifter(some_track(layout="cocoo17"))
    gap = some_track(first_frame=100)
    gap.keypoints_2d[3, 5] = np.nan
    with pytest.raises(InputError, match="person 0, frame 103, joint 5: is not finite"):
        lifter(gap)


@pytest.mark.parametrize(
    ("capabilities", "method", "bf16"),
    [({"avx512_bf16": True}, "windows", True), ({"amx_bf16": True}, "whole", False), ({}, "windows", False)],
)
def test_auto_is_bf16_where_the_cpu_has_it_and_predictions_are_averaged(
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capabilities: dict[str, bool],
    method: str,
    bf16: bool,
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    single, auto = (Lifter.load(checkpoint, method=method, precision=name) for name in ("fp32", "auto"))
    track = some_track()
    assert np.array_equal(auto(track).positions, single(track).positions) is not bf16


def test_a_second_stage_corrects_what_a_known_camera_saw(checkpoint: Path, tmp_path: Path) -> None:
    content = load_checkpoint(checkpoint)
    joints, width = 17, config_from_dict(content["config"], "test").refinement.width
    trusts_the_rays = Refinement(joints, width)
    torch.nn.init.zeros_(trusts_the_rays.layers[-1].weight)
    torch.nn.init.constant_(trusts_the_rays.layers[-1].bias, -100)
    save_checkpoint(tmp_path / "refined.pt", {**content, "refinement": trusts_the_rays.state_dict()})
    lifter, plain = (Lifter.load(path, device="cpu") for path in (tmp_path / "refined.pt", checkpoint))
    known = dataclasses.replace(guess_intrinsics((1000, 1002)), guessed=False)
    random = np.random.default_rng(0)
    true = random.normal(0, 0.3, (20, 17, 3)) + np.array([0.2, 0.1, 4.0])
    track = track_of(true[..., :2] / true[..., 2:] * known.focal_px + known.center_px)
    first = dataclasses.replace(
        plain(track), positions=(true - true[:, :1] + random.normal(0, 0.03, true.shape)).astype(np.float32)
    )
    refined = lifter.place(first, track, known)
    np.testing.assert_array_equal(refined.positions[..., 2], first.positions[..., 2])
    assert np.abs(refined.positions - first.positions).max() > 0.01
    # Put at the fitted depth, each joint now lies where the 2D has it, relative to where that has the root.
    depth = refined.positions[..., 2:] - refined.positions[:, :1, 2:] + refined.translation[:, None, 2:]
    rays = (track.keypoints_2d - known.center_px) / known.focal_px
    on_rays = rays * depth
    np.testing.assert_allclose(refined.positions[..., :2], on_rays - on_rays[:, :1], atol=1e-4)
    for unrefined in (lifter.place(first, track), plain.place(first, track, known)):
        np.testing.assert_array_equal(unrefined.positions, first.positions)
