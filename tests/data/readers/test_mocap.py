from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from gcnpose.data.motion import MotionSet
from gcnpose.data.readers.mocap import SourceMapping, read_mocap
from gcnpose.errors import InputError
from gcnpose.resources import resource_folder
from gcnpose.skeleton import Skeleton
from tests.asf_amc_files import AMC, ASF
from tests.bvh_files import SIX, Joint, bvh_text

SHIPPED = sorted((resource_folder("graphs") / "sources").glob("*.yaml"))
ARM = Skeleton(
    "arm", "shoulder", ("shoulder", "middle", "wrist"), (("shoulder", "middle"), ("middle", "wrist")), ()
)
# 30 cm from shoulder to wrist, along x.
SOURCE = Joint("Arm", (0, 0, 0), [Joint("Hand", (30, 0, 0))], channels=SIX)
MAPPING: dict[str, Any] = {
    "format": "bvh",
    "metres_per_unit": 0.01,
    "joints": {"shoulder": "Arm", "middle": {"Arm": 0.5, "Hand": 0.5}, "wrist": "Hand"},
}


def row(x: float = 0, y: float = 0, z: float = 0) -> list[float]:
    """Channels of `SOURCE`, the arm unturned at a place."""
    return [x, y, z, 0, 0, 0, 0, 0, 0]


def write(path: Path, rows: list[list[float]] | None = None, frame_time: str = "0.02") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(bvh_text(SOURCE, rows or [row()], frame_time))
    return path


def mapping(folder: Path, **changes: Any) -> Path:
    path = folder / "mapping.yaml"
    content = {key: value for key, value in {**MAPPING, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content))
    return path


def silent(line: str) -> None:
    pass


def read(path: Path, mapped: Path, fps: float | None = None) -> MotionSet:
    return read_mocap(path, ARM, mapped, fps, silent)


def test_joints_unit_and_up_axis(tmp_path: Path) -> None:
    """Centimetres become metres and y becomes z: a quarter turn about x, so z becomes -y."""
    motion = read(write(tmp_path / "anna_walk.bvh", [row(100, 200, 300)]), mapping(tmp_path))
    (sequence,) = motion.sequences
    assert (sequence.subject, sequence.name, motion.fps) == ("anna", "anna_walk", 50)
    assert sequence.positions.dtype == np.float32
    np.testing.assert_allclose(sequence.positions, [[[1, -3, 2], [1.15, -3, 2], [1.3, -3, 2]]], rtol=1e-6)
    (sequence,) = read(tmp_path / "anna_walk.bvh", mapping(tmp_path, up="z")).sequences
    np.testing.assert_allclose(sequence.positions[0, 0], [1, 2, 3], rtol=1e-6)


def test_subjects_and_names_come_from_folders_and_files(tmp_path: Path) -> None:
    for name in (
        "16_21.bvh",
        "standing.bvh",
        "_x.BVH",
        "anna/walk.bvh",
        "anna/day 2/walk.bvh",
        "notes.txt",
        "c.amc",
    ):
        write(tmp_path / "in" / name)
    lines: list[str] = []
    motion = read_mocap(tmp_path / "in", ARM, mapping(tmp_path), say=lines.append)
    assert sorted((sequence.subject, sequence.name) for sequence in motion.sequences) == [
        ("16", "16_21"),
        ("_x", "_x"),
        ("anna", "day 2_walk"),
        ("anna", "walk"),
        ("standing", "standing"),
    ]
    assert "left out 2 files that are not .bvh: c.amc, notes.txt" in lines
    assert "subject anna: 2 sequences, 2 frames at 50 fps" in lines


def test_resampling_follows_the_curve_between_the_frames(tmp_path: Path) -> None:
    """A swing of 0.5 Hz at 120 fps, taken at 50: frame k is the sine at k / 50 s."""
    seconds = np.arange(242) / 120
    rows = [row(100 * np.sin(np.pi * second)) for second in seconds]
    (sequence,) = read(write(tmp_path / "a.bvh", rows, ".0083333"), mapping(tmp_path), fps=50).sequences
    assert len(sequence.positions) == 101  # the last frame lies at 2.008 s, the 101st of 50 per second at 2 s
    expected = np.sin(np.pi * np.arange(101) / 50)
    np.testing.assert_allclose(sequence.positions[:, 0, 0], expected, atol=1e-6)
    (same,) = read(tmp_path / "a.bvh", tmp_path / "mapping.yaml", fps=120).sequences
    np.testing.assert_allclose(same.positions[:, 0, 0], np.sin(np.pi * seconds), atol=1e-6)
    write(tmp_path / "a.bvh", [row(7)])
    (still,) = read(tmp_path / "a.bvh", tmp_path / "mapping.yaml", fps=25).sequences
    assert still.positions.shape == (1, 3, 3)


def test_frames_at_the_beginning_are_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.bvh", [row(900), row(100), row(200)])
    (sequence,) = read(path, mapping(tmp_path, skip_frames=1)).sequences
    np.testing.assert_allclose(sequence.positions[:, 0, 0], [1, 2])
    with pytest.raises(InputError, match=r"a\.bvh: has 3 frames, and the mapping skips 3"):
        read(path, mapping(tmp_path, skip_frames=3))


def test_names_match_without_their_namespace_if_only_one_does(tmp_path: Path) -> None:
    path = tmp_path / "a.bvh"
    path.write_text(
        bvh_text(SOURCE, [row()]).replace("ROOT Arm", "ROOT m:Arm").replace("JOINT Hand", "JOINT m:Hand")
    )
    assert len(read(path, mapping(tmp_path)).sequences) == 1
    two = bvh_text(SOURCE, [row()]).replace("ROOT Arm", "ROOT m:Arm").replace("JOINT Hand", "JOINT n:Arm")
    path.write_text(two)
    with pytest.raises(InputError, match="takes Arm, Hand, but its joints are m:Arm, n:Arm, n:Arm_end"):
        read(path, mapping(tmp_path))


def test_lost_bones_reach_the_reader(tmp_path: Path) -> None:
    """The End Site, 1 above the hand, is put 0.1 lengths of the arm's 30 cm beside it."""
    joints = {**MAPPING["joints"], "wrist": "Hand_end"}
    path = mapping(tmp_path, joints=joints, lost_bones={"Hand_end": [0.1, 0, 0]})
    (sequence,) = read(write(tmp_path / "a.bvh"), path).sequences
    np.testing.assert_allclose(sequence.positions[0, 2], [0.33, 0, 0], atol=1e-7)


def test_the_skeleton_of_an_amc_file_lies_beside_it(tmp_path: Path) -> None:
    joints = {"shoulder": "root", "middle": "upper", "wrist": "lower"}
    asf = ASF.replace("length 1.0", "length 0.1")  # 0.254 m
    path = mapping(tmp_path, format="amc", metres_per_unit=None, fps=60, joints=joints)
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "07_01.amc").write_text(AMC)
    with pytest.raises(InputError, match=r"no skeleton for it in its folder; expected 07_01\.asf or 07\.asf"):
        read(folder, path)
    for name in ("other.asf", "07.asf", "07_01.asf"):  # the later, the better
        (folder / name).write_text(asf.replace("length 2", f"length {len(name)}"))
        motion = read(folder, path)
        assert motion.fps == 60
        first = motion.sequences[0].positions[0]
        np.testing.assert_allclose(first[1], [0.254 * len(name), 0, 0], rtol=1e-6)
    unsaid = mapping(tmp_path, format="amc", metres_per_unit=None, joints=joints)
    with pytest.raises(
        InputError, match=r"07_01\.amc: does not say its frame rate; write fps into the mapping"
    ):
        read(folder, unsaid)


def test_files_of_different_rates_need_one_to_resample_to(tmp_path: Path) -> None:
    write(tmp_path / "in/a.bvh", [row()] * 3, "0.02")
    write(tmp_path / "in/b.bvh", [row()] * 3, "0.01")
    with pytest.raises(InputError, match=r"a\.bvh has 50 fps and .*b\.bvh 100; give the fps"):
        read(tmp_path / "in", mapping(tmp_path))
    motion = read(tmp_path / "in", mapping(tmp_path), fps=50)
    assert [len(sequence.positions) for sequence in motion.sequences] == [3, 2]


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "in/a.bvh")
    with pytest.raises(InputError, match=r"none: no such file or folder"):
        read(tmp_path / "none", mapping(tmp_path))
    with pytest.raises(
        InputError, match=r"in: the mapping is for \.amc files, and there is none in this folder"
    ):
        read(tmp_path / "in", mapping(tmp_path, format="amc"))
    with pytest.raises(InputError, match=r"a\.bvh: the mapping is for \.amc files"):
        read(path, mapping(tmp_path, format="amc"))
    with pytest.raises(InputError, match=r"a\.bvh: the first pose is 30 m long; is metres_per_unit .* right"):
        read(path, mapping(tmp_path, metres_per_unit=1))
    with pytest.raises(InputError, match=r"fps: expected more than 0 and at most 1000, got 0"):
        read(path, mapping(tmp_path), fps=0)
    joints = {"shoulder": "Arm", "Middle": "Hand", "wrist": "Hand"}
    with pytest.raises(
        InputError, match=r"nothing becomes middle of the skeleton 'arm', did you mean Middle"
    ):
        read(path, mapping(tmp_path, joints=joints))
    (tmp_path / "in/a.bvh").write_text("HIERARCHY")
    with pytest.raises(InputError, match=r"a\.bvh, line 1"):
        read(tmp_path / "in", mapping(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "fbx"}, "format: expected one of bvh, amc, came 'fbx'"),
        ({"metres_per_unit": None}, "metres_per_unit: missing; BVH does not say its unit"),
        ({"metres_per_unit": 0}, "metres_per_unit: expected above 0"),
        ({"up": "x"}, "up: expected one of y, z, came 'x'"),
        ({"skip_frames": -1}, "skip_frames: expected at least 0"),
        ({"skipframes": 1}, "skipframes: unknown key, did you mean skip_frames"),
        ({"joints": None}, "joints: expected the graph's joints"),
        ({"joints": {"wrist": {"Arm": 0.5}}}, "joints.wrist: the weights add to 0.5, expected 1"),
        ({"lost_bones": {"Hand": [1, 2]}}, "lost_bones.Hand: expected a joint and three numbers"),
        ({"lost_bones": {1: [1, 2, 3]}}, "lost_bones.1: expected a joint and three numbers"),
        ({"lost_bones": {"Hand": [1, 2, 3]}, "format": "amc"}, "lost_bones: only BVH files lose bones"),
        ({"lost_bones": [1]}, "lost_bones: expected joints, each with three numbers"),
    ],
)
def test_a_bad_mapping_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = mapping(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        SourceMapping.load(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_all_faults_of_a_mapping_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        SourceMapping.load(mapping(tmp_path, up="x", joints={"wrist": {}}))
    assert "2 faults" in str(caught.value)


def test_a_mapping_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"no such mapping, did you mean mixamo\?; shipped mappings: cmu-asf-amc"
    ):
        SourceMapping.load("mixama")
    (tmp_path / "list.yaml").write_text("[1, 2]")
    with pytest.raises(InputError, match="expected at least the keys format and joints"):
        SourceMapping.load(tmp_path / "list.yaml")


def test_mappings_were_found() -> None:
    assert {"cmu-asf-amc", "cmu-cgspeed", "mixamo", "humanik"} <= {path.stem for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_mappings_treat_left_and_right_alike(path: Path) -> None:
    skeleton = Skeleton.load("h36m17")
    source = SourceMapping.load(path.stem)
    assert set(skeleton.joints) == set(source.joints)

    def mirrored(name: str) -> str:
        for left, right in (("Left", "Right"), ("left", "right"), ("l", "r"), ("L", "R")):
            if name.startswith(left):
                return right + name[len(left) :]
        return name

    for left, right in skeleton.mirror:
        assert {mirrored(name): weight for name, weight in source.joints[left].items()} == source.joints[
            right
        ]


def limb(side: int, name: str, *steps: tuple[str, tuple[float, float, float]]) -> Joint:
    """A chain of joints, mirrored for the right side, named after it."""
    joint: list[Joint] = []
    for part, (x, y, z) in reversed(steps):
        joint = [Joint(f"{name}{part}", (side * x, y, z), joint, tip=(side * 10.0, 0, 0))]
    return joint[0]


@pytest.mark.parametrize("source", ["mixamo", "humanik"])
def test_a_person_in_a_t_pose_is_upright_with_the_left_on_the_left(tmp_path: Path, source: str) -> None:
    """A figure that faces +z of a y-up file has its left at +x. Lengths are Mixamo's, rounded, in cm."""
    prefix = "mixamorig:" if source == "mixamo" else ""
    top = [Joint(f"{prefix}HeadTop_End", (0, 18, 0))] if source == "mixamo" else []
    sides = ((1, f"{prefix}Left"), (-1, f"{prefix}Right"))
    arms = [
        limb(
            side,
            name,
            ("Shoulder", (5, 11, 0)),
            ("Arm", (11, 0, 0)),
            ("ForeArm", (28, 0, 0)),
            ("Hand", (28, 0, 0)),
        )
        for side, name in sides
    ]
    legs = [
        limb(side, name, ("UpLeg", (8, -7, 0)), ("Leg", (0, -44, 0)), ("Foot", (0, -44, 0)))
        for side, name in sides
    ]
    head = Joint(f"{prefix}Head", (0, 10, 0), top, tip=(0, 18, 0))
    chest = Joint(f"{prefix}Spine2", (0, 9, 0), [Joint(f"{prefix}Neck", (0, 17, 0), [head]), *arms])
    trunk = Joint(f"{prefix}Spine", (0, 10, 0), [Joint(f"{prefix}Spine1", (0, 10, 0), [chest])])
    root = Joint(f"{prefix}Hips", (0, 97, 0), [trunk, *legs], channels=SIX)
    channels = bvh_text(root, []).count("rotation")
    (tmp_path / "a.bvh").write_text(bvh_text(root, [[0, 97, 0, *[0] * channels]]))
    skeleton = Skeleton.load("h36m17")
    (pose,) = read_mocap(tmp_path / "a.bvh", skeleton, source, say=silent).sequences[0].positions
    at = {joint: pose[index] for index, joint in enumerate(skeleton.joints)}
    np.testing.assert_allclose(at["pelvis"], [0, 0, 0.90], atol=1e-6)
    np.testing.assert_allclose(at["head"], [0, 0, 1.71], atol=1e-6)
    np.testing.assert_allclose(at["left_wrist"], [0.72, 0, 1.37], atol=1e-6)
    np.testing.assert_allclose(at["right_ankle"], [-0.08, 0, 0.02], atol=1e-6)
    heights = [at[joint][2] for joint in ("pelvis", "spine", "thorax", "nose", "head")]
    assert heights == sorted(heights)


@pytest.mark.parametrize(
    ("name", "source", "limit_mm"),
    [
        ("16_21.amc", "cmu-asf-amc", 0.2),
        ("16_35.amc", "cmu-asf-amc", 0.2),
        ("49_05.amc", "cmu-asf-amc", 0.2),
        ("16_21.cgspeed-mb.bvh", "cmu-cgspeed", 2),
        ("35_17.cgspeed-mb.bvh", "cmu-cgspeed", 2),
    ],
)
def test_real_files_give_the_3d_of_cmu17(cmu17: Path, name: str, source: str, limit_mm: float) -> None:
    """Up to the shifts of the whole sequence, which are recorded with 0.1 mm."""
    path = cmu17.parent / "mocap_samples" / name
    if not path.is_file():
        pytest.skip(f"no motion capture files: {path}")
    (record,) = [
        record
        for record in json.loads((cmu17 / "cmu17_meta.json").read_text())
        if record["trial"] == name.split(".")[0]
    ]
    expected = np.load(cmu17 / "cmu17.npz")[f"{record['subject']}/{record['action']}"]
    (sequence,) = read_mocap(path, Skeleton.load("h36m17"), source, 50, silent).sequences
    x, y = record["centre_xy_removed_m"]
    shift = np.array([-x, -y, record["floor_shift_m"]])
    error = np.linalg.norm(sequence.positions + shift - expected, axis=-1)
    assert error.max() * 1000 < limit_mm
