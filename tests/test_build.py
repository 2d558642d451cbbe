"""From settings to objects, and what is refused on the way."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from gcnpose import build
from gcnpose.build import (
    build_device,
    build_loss,
    build_model,
    build_motion,
    build_noise,
    build_views,
    build_windows,
)
from gcnpose.config import Config
from gcnpose.data.camera import h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.views import fixed_views
from gcnpose.data.windows import DrawnWindows, FixedWindows
from gcnpose.errors import InputError
from gcnpose.nn import AGFormer, PartitionConv, SimpleBaseline, VideoPose3D
from gcnpose.nn.dropout import Dropout
from gcnpose.processes import Processes
from gcnpose.skeleton import Skeleton
from tests.experiments import seen, small_config
from tests.motions import draws, small_motion

CPU = torch.device("cpu")
SKELETON = Skeleton.load("h36m17")


def embedded(folder: Path, *overrides: str) -> Config:
    return small_config(folder, "data.path=", *overrides)


def detected_motion(keypoints_2d: np.ndarray) -> MotionSet:
    """Motion in front of one camera, with these detections of every sequence."""
    motion, camera = small_motion(), h36m_rig()[0]
    seen_by = [dataclasses.replace(s, keypoints_2d={camera.name: keypoints_2d}) for s in motion.sequences]
    return dataclasses.replace(motion, sequences=seen_by, cameras={s: [camera] for s in motion.subjects})


@pytest.fixture
def quick_embedded_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "make_motion", lambda seed, takes: small_motion())


def test_device(tmp_path: Path) -> None:
    assert build_device(small_config(tmp_path)) == CPU
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    assert build_device(small_config(tmp_path, "device=auto")).type == automatic
    with pytest.raises(InputError, match=r"^device: cuda:99 is not there, this machine has \d+ GPUs$"):
        build_device(small_config(tmp_path, "device=cuda:99"))


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_a_gpu_for_each_process(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    config = small_config(tmp_path, f"device={name}")
    devices = [build_device(config, Processes(2 + local, 4, local, 2)) for local in (0, 1)]
    assert devices == [torch.device("cuda:0"), torch.device("cuda:1")]
    with pytest.raises(InputError, match=r"^device: 3 processes, but this machine has 2 GPUs$"):
        build_device(config, Processes(0, 3, 0, 3))


@pytest.mark.parametrize("name", ["mps", "cuda:0"])
def test_a_device_for_one_process_only(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^device: expected auto, cpu or cuda, .* 2 .*, came {name}$"):
        build_device(small_config(tmp_path, f"device={name}"), Processes(0, 2, 0, 2))
    assert build_device(small_config(tmp_path, "device=cpu"), Processes(1, 2, 1, 2)) == CPU


def test_every_model_setting_arrives(tmp_path: Path) -> None:
    config = small_config(
        tmp_path,
        "model.channels=[4, 6, 8]",
        "model.down_up_pairs=1",
        "model.spatial_graph=false",
        "model.merge=false",
        "model.temporal_kernel=3",
        "model.dropout=0.25",
        "model.upsampling=linear",
        "model.aggregation=native",
        "model.input_channels=3",
    )
    model = build_model(config, SKELETON)
    assert [block[0].spatial.out_channels for block in model.down] == [6, 8]
    assert model.factors == [2, 1]
    assert model.first.spatial.edge_index.shape[1] == SKELETON.num_joints
    assert model.merge is None
    assert model.first.temporal.kernel_size == (3,)
    assert model.first.dropout.p == 0.25
    assert model.upsampling == "linear"
    assert model.first.spatial.aggregation == "native"
    assert model.input_channels == 3
    assert not model.whole_pose
    assert build_model(small_config(tmp_path, "model.whole_pose=true"), SKELETON).whole_pose


def test_every_setting_of_the_baselines_arrives(tmp_path: Path) -> None:
    shared = "dropout: 0.125, input_channels: 3"
    sections = {
        "simple_baseline": "{width: 6, blocks: 3}",
        "videopose3d": "{width: 6, filter_widths: [5, 3]}",
        "agformer": "{width: 6, layers: 3, heads: 2, span: 7}",
    }
    built = {}
    for name, section in sections.items():
        config = small_config(tmp_path, f"model={{name: {name}, {shared}, {name}: {section}}}")
        built[name] = build_model(config, SKELETON)
        assert built[name].input_channels == 3
        assert {part.p for part in built[name].modules() if isinstance(part, Dropout)} == {0.125}
    one, two, three = built.values()
    assert isinstance(one, SimpleBaseline)
    assert (one.head.in_features, len(one.blocks)) == (6, 3)
    assert isinstance(two, VideoPose3D)
    assert (two.head.in_features, two.receptive_field, two.blocks[0].layers[0].dilation) == (6, 15, (5,))
    assert isinstance(three, AGFormer)
    assert (three.head.in_features, three.reach, three.layers[0].attention[1].mixer.heads) == (6, 21, 2)


def test_the_subsets_of_st_gcns_code(tmp_path: Path) -> None:
    stock = build_model(small_config(tmp_path, "model.max_hop=1"), SKELETON)
    true = build_model(small_config(tmp_path), SKELETON)
    for one, other in zip(stock.modules(), true.modules(), strict=True):
        if isinstance(one, PartitionConv):
            assert not torch.equal(one.adjacency, other.adjacency)


def test_every_loss_setting_arrives(tmp_path: Path) -> None:
    config = small_config(tmp_path, "loss.weight=0.5", "loss.operators=[inner]", "loss.distance=l2")
    loss = build_loss(config)
    assert loss.motion_weight == 0.5
    motion = loss.motion_loss
    assert (motion.operators, motion.intervals, motion.distance) == (("inner",), (2, 4), "l2")


def test_subjects_of_the_file(tmp_path: Path) -> None:
    motion = build_motion(small_config(tmp_path), SKELETON)
    assert {split: part.subjects for split, part in motion.items()} == {
        "train": ("A",),
        "validation": ("B",),
        "test": ("C",),
    }


def test_subjects_of_the_config_come_first(tmp_path: Path) -> None:
    config = small_config(tmp_path, "data.train_subjects=[C]", "data.test_subjects=[A]")
    motion = build_motion(config, SKELETON)
    assert {split: part.subjects for split, part in motion.items()} == {
        "train": ("C",),
        "validation": ("B",),
        "test": ("A",),
    }


def test_nobody_need_be_for_validation(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    splits = {"train": ("A", "B"), "test": ("C",)}
    dataclasses.replace(small_motion(), splits=splits).save(tmp_path / "motion.npz")
    assert {split: part.subjects for split, part in build_motion(config, SKELETON).items()} == splits


def test_a_subject_in_two_splits(tmp_path: Path) -> None:
    config = small_config(tmp_path, "data.train_subjects=[A, C]")
    with pytest.raises(InputError, match=r"^data: C among both the train and the test subjects$"):
        build_motion(config, SKELETON)


def test_motion_without_splits(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    dataclasses.replace(small_motion(), splits={}).save(tmp_path / "motion.npz")
    assert build_motion(config, SKELETON, ("test",))["test"].subjects == ("A", "B", "C")
    with pytest.raises(
        InputError, match=r"data\.train_subjects: .*motion\.npz does not say .* it has A, B, C$"
    ):
        build_motion(config, SKELETON)
    named = small_config(tmp_path, "data.train_subjects=[A]", "data.validation_subjects=[B]")
    dataclasses.replace(small_motion(), splits={}).save(tmp_path / "motion.npz")
    with pytest.raises(InputError, match=r"data\.test_subjects: .* does not say who is for test"):
        build_motion(named, SKELETON)


def test_an_unknown_subject(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown subjects D; known are A, B, C"):
        build_motion(small_config(tmp_path, "data.train_subjects=[D]"), SKELETON)


@pytest.mark.usefixtures("quick_embedded_motion")
def test_embedded_motion_takes_the_given_bones(tmp_path: Path) -> None:
    """A skeleton may draw other bones between the same joints; flips then go by its mirror."""
    content = SKELETON.to_dict() | {"name": "other", "mirror": []}
    content["bones"] = [[SKELETON.root, joint] for joint in SKELETON.joints if joint != SKELETON.root]
    other = Skeleton.from_dict(content, "test")
    motion = build_motion(embedded(tmp_path), other)
    assert all(part.skeleton == other for part in motion.values())


@pytest.mark.usefixtures("quick_embedded_motion")
def test_embedded_motion_has_joints_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the embedded motion has the joints of h36m17, not those of coco17"):
        build_motion(embedded(tmp_path), Skeleton.load("coco17"))


def test_all_seeds_are_scored_on_the_same_views(tmp_path: Path) -> None:
    """With noise too."""
    one, other = (
        build_views(small_config(tmp_path, f"seed={seed}", "data.keypoints.noise.scale=1"), small_motion())
        for seed in (3, 4)
    )
    assert torch.equal(one.pose_3d, other.pose_3d)
    assert torch.equal(one.keypoints_2d, other.keypoints_2d)


def test_all_seeds_have_the_same_embedded_motion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_by: list[int] = []
    monkeypatch.setattr(build, "make_motion", lambda seed, takes: drawn_by.append(seed) or small_motion())
    for seed in (3, 4):
        build_motion(embedded(tmp_path, f"seed={seed}"), SKELETON)
    assert drawn_by == [build.DATA_SEED] * 2


def test_rigs(tmp_path: Path) -> None:
    motion = small_motion()
    h36m, virtual = (
        build_views(small_config(tmp_path, f"data.rig={rig}"), motion) for rig in ("h36m", "virtual")
    )
    assert len(h36m.clips) == len(virtual.clips) == 4 * 3
    assert not torch.equal(h36m.pose_3d, virtual.pose_3d)


@pytest.mark.parametrize(("views", "kind"), [("fixed", FixedWindows), ("turned", DrawnWindows)])
def test_windows_by_the_kind_of_views(tmp_path: Path, views: str, kind: type) -> None:
    config = small_config(tmp_path, *seen(views), "data.window=24")
    windows = build_windows(config, small_motion(), build_views(config, small_motion()), CPU)
    assert isinstance(windows, kind)
    batch = windows.batch(torch.tensor([0]), draws(1))
    assert batch.pose_3d.shape == (1, 24, 17, 3)


def test_every_window_setting_arrives(tmp_path: Path) -> None:
    augment = ("flip=0.25", "bone_scale=0.125", "body_scale=0.5", "tempo=0.75")
    config = small_config(tmp_path, "data.views=drawn", *(f"data.augment.{one}" for one in augment))
    windows = build_windows(config, small_motion(), build_views(config, small_motion()), CPU)
    assert isinstance(windows, DrawnWindows)
    assert windows.drawn_cameras
    assert windows.flip.probability == 0.25
    assert (windows.bones.bone_scale, windows.bones.body_scale, windows.tempo) == (0.125, 0.5, 0.75)


# The 2D


def test_every_noise_setting_arrives(tmp_path: Path) -> None:
    errors = [1.0] * 8 + [2.0] * 9
    settings = (
        "scale=2",
        "error_px=3",
        f"joint_errors={errors}",
        "tail=0",
        "smooth_frames=4",
        "swap_rate=0.125",
        "swap_frames=5",
        "missing_rate=0.25",
        "missing_frames=7",
        "score_px=25",
    )
    changes = [f"data.keypoints.noise.{setting}" for setting in settings]
    config = small_config(tmp_path, "data.keypoints.ground_truth_weight=0.75", *changes)
    noise = build_noise(config, SKELETON, CPU)
    assert noise is not None
    # 2 * 3 px of half an image's 500, for a mean error of 26 / 17 at sqrt(pi / 2) deviations
    assert noise.spread[0].item() == pytest.approx(6 / 500 / (26 / 17) / 1.2533, rel=1e-3)
    assert (noise.spread / noise.spread[0]).tolist() == pytest.approx(errors)
    assert (noise.tail, noise.smooth_frames, noise.score) == (0, 4, 25 / 500)
    assert (noise.swap_rate, noise.swap_frames) == (0.25, 5)
    assert (noise.missing_rate, noise.missing_frames) == (0.5, 7)
    assert noise.ground_truth_weight == 0.75


@pytest.mark.parametrize("views", ["fixed", "turned", "drawn"])
def test_without_noise_nothing_is_drawn(tmp_path: Path, views: str) -> None:
    """The views are the projection, and windows take from the generator what they did before noise was."""
    config = small_config(tmp_path, *seen(views), "data.keypoints.noise.error_px=50")
    plain = fixed_views(small_motion(), h36m_rig(), config.seed)
    built = build_views(config, small_motion())
    assert torch.equal(built.keypoints_2d, plain.keypoints_2d)
    windows = build_windows(config, small_motion(), built, CPU)
    assert isinstance(windows, FixedWindows | DrawnWindows)
    assert windows.noise is None


@pytest.mark.parametrize("views", ["fixed", "turned"])
def test_views_have_one_noise_and_windows_another_each_time(tmp_path: Path, views: str) -> None:
    config = small_config(tmp_path, *seen(views), "data.keypoints.noise.scale=1")
    one, again = build_views(config, small_motion()), build_views(config, small_motion())
    assert torch.equal(one.keypoints_2d, again.keypoints_2d)
    assert min(clip.error_px for clip in one.clips) > 3
    windows = build_windows(config, small_motion(), one, CPU)
    first, second = (windows.batch(torch.tensor([0]), draws(1, seed)).keypoints_2d for seed in (0, 1))
    assert not torch.equal(first, second)
    if isinstance(windows, FixedWindows):
        assert torch.equal(windows.keypoints_2d, fixed_views(small_motion(), h36m_rig(), 0).keypoints_2d)


def test_joint_errors_of_another_graph(tmp_path: Path) -> None:
    noise = ("data.keypoints.noise.scale=1", "data.keypoints.noise.joint_errors=[1, 2]")
    with pytest.raises(InputError, match=r"^data\.keypoints\.noise\.joint_errors: expected 17, one for each"):
        build_views(small_config(tmp_path, *noise), small_motion())


@pytest.mark.parametrize("views", ["fixed", "drawn"])
def test_scores_that_are_all_one_teach_nothing(tmp_path: Path, views: str) -> None:
    with_scores = [*seen(views), "model.input_channels=3"]
    motion, config = small_motion(), small_config(tmp_path, *with_scores)
    with pytest.raises(InputError, match=r"^model.input_channels: 3 takes scores, and those of the training"):
        build_windows(config, motion, build_views(config, motion), CPU)
    noisy = small_config(tmp_path, *with_scores, "data.keypoints.noise.scale=1")
    assert len(build_windows(noisy, motion, build_views(noisy, motion), CPU)) > 0


def test_scores_of_a_detector(tmp_path: Path) -> None:
    detected = np.full((40, 17, 3), 500, np.float32)
    detected[20:, :, 2] = 0.5
    motion = detected_motion(detected)
    config = small_config(tmp_path, *seen("fixed"), "model.input_channels=3")
    windows = build_windows(config, motion, build_views(config, motion), CPU)
    assert windows.batch(torch.tensor([0]), draws(1)).keypoints_2d.shape[-1] == 3


def test_noise_gives_detections_no_scores(tmp_path: Path) -> None:
    """It is for projected 2D, and leaves a detector's as it is."""
    motion = detected_motion(np.full((40, 17, 2), 500, np.float32))
    config = small_config(tmp_path, *seen("fixed"), "model.input_channels=3", "data.keypoints.noise.scale=1")
    with pytest.raises(InputError, match=r"^model.input_channels: 3 takes scores"):
        build_windows(config, motion, build_views(config, motion), CPU)


def test_detections_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^detected: sequence A/swing 1 has no 2D keypoints of camera"):
        build_views(small_config(tmp_path, *seen("fixed"), "data.keypoints.detected=true"), small_motion())


@pytest.mark.parametrize("views", ["turned", "drawn"])
def test_detections_are_of_the_views_that_they_were_made_of(tmp_path: Path, views: str) -> None:
    """Views that are drawn anew have none, so training would be on other 2D than the test, without a word."""
    motion = detected_motion(np.full((40, 17, 2), 500, np.float32))
    config = small_config(tmp_path, *seen(views))
    with pytest.raises(
        InputError, match=f"^data.views: {views} views project 2D of their own, but the motion"
    ):
        build_windows(config, motion, build_views(config, motion), CPU)
    without = small_config(tmp_path, *seen(views), "data.keypoints.detected=false")
    assert isinstance(build_windows(without, motion, build_views(without, motion), CPU), DrawnWindows)
    with pytest.raises(InputError, match=r"data\.keypoints\.detected: needs data\.views=fixed"):
        small_config(tmp_path, *seen(views), "data.keypoints.detected=true")
