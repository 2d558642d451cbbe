"""From settings to objects, and what is refused on the way."""

import dataclasses
from pathlib import Path

import pytest
import torch

from gcnpose import build
from gcnpose.build import build_device, build_loss, build_model, build_motion, build_views, build_windows
from gcnpose.config import Config
from gcnpose.data.windows import DrawnWindows, FixedWindows
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton
from tests.experiments import small_config
from tests.motions import small_motion

CPU = torch.device("cpu")
SKELETON = Skeleton.load("h36m17")


def embedded(folder: Path, *overrides: str) -> Config:
    return small_config(folder, "data.path=", *overrides)


@pytest.fixture
def quick_embedded_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "make_motion", lambda seed, takes: small_motion())


def test_device(tmp_path: Path) -> None:
    assert build_device(small_config(tmp_path)) == CPU
    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    assert build_device(small_config(tmp_path, "device=auto")).type == automatic
    with pytest.raises(InputError, match=r"^device: cuda:99 is not there, this machine has \d+ GPUs$"):
        build_device(small_config(tmp_path, "device=cuda:99"))


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


def test_more_pairs_than_steps(tmp_path: Path) -> None:
    config = small_config(tmp_path, "model.down_up_pairs=2")
    with pytest.raises(InputError, match=r"^model\.down_up_pairs: at most 1 with 2 channels, not 2$"):
        build_model(config, SKELETON)


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


def test_views_depend_on_the_seed_alone(tmp_path: Path) -> None:
    motion = small_motion()
    one, again, other = (
        build_views(small_config(tmp_path, f"seed={seed}"), motion).pose_3d for seed in (3, 3, 4)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_rigs(tmp_path: Path) -> None:
    motion = small_motion()
    h36m, virtual = (
        build_views(small_config(tmp_path, f"data.rig={rig}"), motion) for rig in ("h36m", "virtual")
    )
    assert len(h36m.clips) == len(virtual.clips) == 4 * 3
    assert not torch.equal(h36m.pose_3d, virtual.pose_3d)


@pytest.mark.parametrize(("views", "kind"), [("fixed", FixedWindows), ("turned", DrawnWindows)])
def test_windows_by_the_kind_of_views(tmp_path: Path, views: str, kind: type) -> None:
    config = small_config(tmp_path, f"data.views={views}", "data.window=24")
    windows = build_windows(config, small_motion(), build_views(config, small_motion()), CPU)
    assert isinstance(windows, kind)
    batch = windows.batch(torch.tensor([0]), torch.Generator())
    assert batch.pose_3d.shape == (1, 24, 17, 3)


def test_every_window_setting_arrives(tmp_path: Path) -> None:
    augment = ("flip=0.25", "bone_scale=0.125", "body_scale=0.5", "tempo=0.75")
    config = small_config(tmp_path, "data.views=drawn", *(f"data.augment.{one}" for one in augment))
    windows = build_windows(config, small_motion(), build_views(config, small_motion()), CPU)
    assert isinstance(windows, DrawnWindows)
    assert windows.drawn_cameras
    assert windows.flip.probability == 0.25
    assert (windows.bones.bone_scale, windows.bones.body_scale, windows.tempo) == (0.125, 0.5, 0.75)
