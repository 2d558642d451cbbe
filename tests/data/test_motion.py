"""Motion files: round trip, conversion, and a clear message for every way in which one can be wrong."""

import dataclasses
import hashlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from gcnpose.data.camera import h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.sequence import MotionSequence
from gcnpose.data.synthetic import make_motion
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton

CMU17 = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "cmu17" / "cmu17.npz"


@pytest.fixture(scope="module")
def skeleton():
    return Skeleton.load("h36m17")


def poses(frames, seed=0, joints=17, channels=3):
    return np.random.default_rng(seed).random((frames, joints, channels), dtype=np.float32)


def full_set(skeleton):
    """Three subjects, 2D with and without score, every split."""
    return MotionSet(
        skeleton=skeleton,
        fps=50.0,
        sequences=[
            MotionSequence("S9", "Walking 1", poses(4, 1), {"55011271": poses(4, 2, channels=3)}),
            MotionSequence("S1", "Walking", poses(3, 3), {"54138969": poses(3, 4, channels=2)}),
            MotionSequence("S11", "Sitting", poses(1, 5)),
        ],
        splits={"train": ("S1",), "validation": ("S11",), "test": ("S9",)},
        cameras={"S1": h36m_rig("S1"), "S9": h36m_rig("S9")},
    )


def write(path, meta=None, **arrays):
    """An .npz with '__' in names for '/'."""
    content = {name.replace("__", "/"): array for name, array in arrays.items()}
    if meta is not None:
        content["meta"] = np.array(json.dumps(meta))
    np.savez(path, **content)
    return path


def meta_of(skeleton, **changes):
    return {"version": 1, "skeleton": skeleton.to_dict(), "fps": 50, "units": "m", "up": "z"} | changes


def load_error(path, **arguments):
    """The message of a load that must fail, which names the file first."""
    with pytest.raises(InputError) as caught:
        MotionSet.load(path, **arguments)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def test_round_trip(tmp_path, skeleton):
    motion = full_set(skeleton)
    motion.save(tmp_path / "motion.npz")
    again = MotionSet.load(tmp_path / "motion.npz")
    assert again.skeleton == skeleton and again.fps == 50.0
    assert again.splits == motion.splits and again.cameras == motion.cameras
    for before, after in zip(motion.sequences, again.sequences, strict=True):
        assert (before.subject, before.name) == (after.subject, after.name)
        assert after.positions.dtype == np.float32
        np.testing.assert_array_equal(before.positions, after.positions)
        assert list(before.keypoints_2d) == list(after.keypoints_2d)
        for camera, keypoints in before.keypoints_2d.items():
            np.testing.assert_array_equal(keypoints, after.keypoints_2d[camera])
    assert again.digest() == motion.digest()
    assert os.listdir(tmp_path) == ["motion.npz"]


def test_file_is_plain_arrays_under_their_names(tmp_path, skeleton):
    full_set(skeleton).save(tmp_path / "motion.npz")
    with np.load(tmp_path / "motion.npz", allow_pickle=False) as archive:
        assert archive["S9/Walking 1"].shape == (4, 17, 3)
        assert archive["2d/S1/Walking/54138969"].shape == (3, 17, 2)
        meta = json.loads(str(archive["meta"]))
    assert sorted(meta) == ["cameras", "fps", "skeleton", "splits", "units", "up", "version"]
    assert (meta["version"], meta["units"], meta["up"], meta["fps"]) == (1, "m", "z", 50.0)


def test_digest_is_sha256_of_description_names_shapes_and_bytes(tmp_path, skeleton):
    motion = MotionSet(skeleton, 25.0, [MotionSequence("S1", "a", poses(2))])
    motion.save(tmp_path / "motion.npz")
    with np.load(tmp_path / "motion.npz") as archive:
        meta = json.loads(str(archive["meta"]))
    del meta["splits"]
    content = json.dumps(meta, sort_keys=True).encode() + b"\nS1/a (2, 17, 3)\n" + poses(2).tobytes()
    assert motion.digest() == hashlib.sha256(content).hexdigest()


def test_digest_sees_every_change(skeleton):
    motion = full_set(skeleton)
    walk = motion.sequences[0]
    moved = walk.positions.copy()
    moved[2, 3, 1] += 1e-3
    others = [
        dataclasses.replace(motion, fps=25.0),
        dataclasses.replace(
            motion, sequences=[dataclasses.replace(walk, positions=moved), *motion.sequences[1:]]
        ),
        dataclasses.replace(motion, sequences=[dataclasses.replace(walk, name="x"), *motion.sequences[1:]]),
        dataclasses.replace(
            motion, sequences=[dataclasses.replace(walk, keypoints_2d={}), *motion.sequences[1:]]
        ),
    ]
    digests = {motion.digest(), *(other.digest() for other in others)}
    assert len(digests) == 1 + len(others)
    assert dataclasses.replace(motion, splits={"train": ("S1",)}).digest() == motion.digest()


def test_save_replaces_a_file_and_leaves_it_whole_when_it_fails(tmp_path, skeleton, monkeypatch):
    path = tmp_path / "motion.npz"
    full_set(skeleton).save(path)
    small = full_set(skeleton).select(["S1"])

    def full_disk(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full_disk)
        with pytest.raises(InputError, match=r"motion\.npz: cannot be written: No space left on device"):
            small.save(path)
    assert os.listdir(tmp_path) == ["motion.npz"]
    assert MotionSet.load(path).digest() == full_set(skeleton).digest()
    small.save(path)
    assert MotionSet.load(path).digest() == small.digest()


def test_save_into_a_missing_folder(tmp_path, skeleton):
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        full_set(skeleton).save(tmp_path / "missing" / "motion.npz")


def test_select_keeps_order_splits_and_cameras_and_shares_arrays(skeleton):
    motion = full_set(skeleton)
    chosen = motion.select(["S1", "S9"])
    assert motion.subjects == ("S9", "S1", "S11") and chosen.subjects == ("S9", "S1")
    assert chosen.splits == {"train": ("S1",), "test": ("S9",)}
    assert motion.select(["S11"]).cameras == {}
    assert chosen.sequences[0].positions is motion.sequences[0].positions


def test_select_of_unknown_subjects_names_the_known_ones(skeleton):
    with pytest.raises(InputError, match="unknown subjects S2, S7; known are S9, S1, S11"):
        full_set(skeleton).select(["S7", "S1", "S2"])


def test_select_of_nothing(skeleton):
    with pytest.raises(InputError, match="no motion sequence"):
        full_set(skeleton).select([])


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("Walking 1", "Walking"),
        ("Walking", "Walking"),
        ("29_02_basketball_signals", "basketball_signals"),
        ("94_p15_indian_dance", "indian_dance"),
        ("94_p04_indian_dance_p0", "indian_dance"),
        ("03_02_walk_on_uneven_terrain_p0", "walk_on_uneven_terrain"),
        ("135_02_empi", "empi"),
        ("14_21_climb_3_steps", "climb_3_steps"),
        ("16_17_walk_90_degree_left_turn_p0", "walk_90_degree_left_turn"),
        ("walk_03", "walk"),
        ("Walking 1 chunk0", "Walking"),
        ("7", "7"),
        ("14_02", "14_02"),
        ("135_p04", "135_p04"),
    ],
)
def test_action_is_the_name_without_trial_numbers(name, action):
    assert MotionSequence("S1", name, poses(1)).action == action


@pytest.mark.parametrize(
    ("subject", "name", "action"),
    [
        ("dora", "dora_walk_01", "walk"),
        ("29", "29_02_walk", "walk"),
        ("do", "dora_walk", "dora_walk"),
        ("dora", "dora_", "dora_"),
    ],
)
def test_action_is_the_name_without_the_subject(subject, name, action):
    assert MotionSequence(subject, name, poses(1)).action == action


@pytest.mark.skipif(not CMU17.exists(), reason="the CMU motion is not here")
def test_cmu17_is_read_as_it_is(skeleton):
    motion = MotionSet.load(CMU17, skeleton=skeleton)
    assert len(motion.sequences) == 343
    assert sum(len(sequence.positions) for sequence in motion.sequences) == 167_487
    assert motion.fps == 50.0
    assert {split: len(subjects) for split, subjects in motion.splits.items()} == {
        "train": 15,
        "validation": 3,
        "test": 2,
    }
    assert motion.splits["test"] == ("S29", "S35")
    assert motion.select(motion.splits["test"]).subjects == ("S29", "S35")
    actions = {sequence.action for sequence in motion.sequences}
    assert {"walk", "salsa_dance", "indian_dance", "basketball_signals"} <= actions
    assert not [action for action in actions if action[0].isdigit() or action[-1].isdigit()]


def test_flat_file_takes_fps_units_up_and_splits_from_splits_json(tmp_path, skeleton):
    path = write(tmp_path / "flat.npz", S1__walk=poses(3) * 1000, S2__run=poses(2) * 1000)
    beside = {"fps": 30, "units": "mm", "up": "y", "splits": {"train": ["S1"], "test": ["S2"]}}
    (tmp_path / "splits.json").write_text(json.dumps(beside))
    motion = MotionSet.load(path, skeleton=skeleton)
    assert motion.fps == 30.0 and motion.splits == {"train": ("S1",), "test": ("S2",)}
    # y up: x stays, y becomes z, and z comes towards -y
    x, y, z = np.moveaxis(poses(3), -1, 0)
    np.testing.assert_allclose(motion.sequences[0].positions, np.stack([x, -z, y], axis=-1), rtol=1e-6)


def test_flat_file_takes_fps_from_the_argument(tmp_path, skeleton):
    path = write(tmp_path / "flat.npz", S1__walk=poses(3).astype(np.float64))
    motion = MotionSet.load(path, skeleton=skeleton, fps=120)
    assert motion.fps == 120.0 and motion.splits == {} and motion.sequences[0].positions.dtype == np.float32


def test_given_skeleton_may_have_other_bones_but_not_other_joints(tmp_path, skeleton):
    full_set(skeleton).save(tmp_path / "motion.npz")
    other_name = dataclasses.replace(skeleton, name="other")
    assert MotionSet.load(tmp_path / "motion.npz", skeleton=other_name).skeleton.name == "other"
    other_order = dataclasses.replace(skeleton, name="turned", joints=skeleton.joints[::-1])
    message = load_error(tmp_path / "motion.npz", skeleton=other_order)
    assert message.startswith(
        f"has the 17 joints {', '.join(skeleton.joints)} of 'h36m17'; the given 'turned' has 17"
    )


def test_a_graph_that_does_not_fit_the_data_names_sequence_and_counts(tmp_path, skeleton):
    path = write(tmp_path / "flat.npz", S1__walk=poses(3, joints=16))
    expected = "sequence S1/walk: has 16 joints, but the skeleton 'h36m17' has 17"
    assert load_error(path, skeleton=skeleton, fps=50) == expected


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            np.zeros((5, 17, 2), np.float32),
            "sequence S1/a: expected shape (frames, joints, 3), got (5, 17, 2)",
        ),
        (np.zeros((5, 51), np.float32), "sequence S1/a: expected shape (frames, joints, 3), got (5, 51)"),
        (np.zeros((5, 17, 3), np.int32), "S1/a: expected floating-point numbers, got int32"),
        (np.zeros((0, 17, 3), np.float32), "sequence S1/a: has 0 frames"),
        (np.full((2, 17, 3), 1e300), "sequence S1/a: frame 0, joint {root!r} is inf"),
        (
            np.linspace(0, 1700, 2 * 17 * 3, dtype=np.float32).reshape(17, 2, 3).swapaxes(0, 1),
            "sequence S1/a: the first pose is 1616 m long; positions must be in metres",
        ),
    ],
)
def test_array_that_is_no_motion(tmp_path, skeleton, array, message):
    path = write(tmp_path / "flat.npz", S1__a=array)
    expected = message.format(root=skeleton.joints[0])
    assert load_error(path, skeleton=skeleton, fps=50) == expected


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_value_that_is_not_finite_names_sequence_frame_and_joint(tmp_path, skeleton, value):
    positions = poses(8)
    positions[5, 2, 1] = value
    path = write(tmp_path / "flat.npz", S1__ok=poses(2), S1__bad=positions)
    expected = f"sequence S1/bad: frame 5, joint {skeleton.joints[2]!r} is {value}"
    assert load_error(path, skeleton=skeleton, fps=50) == expected


def test_array_under_a_foreign_name(tmp_path, skeleton):
    path = write(tmp_path / "flat.npz", poses=poses(3))
    expected = (
        "array 'poses': expected a name subject/name, 2d/subject/name/camera, valid/subject/name or meta"
    )
    assert load_error(path, skeleton=skeleton, fps=50) == expected


def test_keypoints_without_their_sequence(tmp_path, skeleton):
    path = write(
        tmp_path / "m.npz", meta_of(skeleton), S1__a=poses(3), **{"2d__S1__b__cam": poses(3, channels=2)}
    )
    assert load_error(path) == "2D keypoints of S1/b: there is no such sequence in 3D"


@pytest.mark.parametrize(
    ("keypoints", "message"),
    [
        ({"cam": poses(3, channels=2)}, "2D keypoints S1/a/cam: no such camera; subject S1 has 54138969"),
        ({"54138969": poses(2, channels=2)}, "2D keypoints S1/a/54138969: 2 frames, but 3 in 3D"),
        (
            {"54138969": poses(3, channels=4)},
            "2D keypoints S1/a/54138969: expected shape (frames, joints, 2 or 3), got (3, 17, 4)",
        ),
        (
            {"54138969": poses(3, channels=2).astype(np.float64)},
            "S1/a/54138969: expected float32, got float64",
        ),
    ],
)
def test_keypoints_that_do_not_fit_their_sequence(skeleton, keypoints, message):
    sequence = MotionSequence("S1", "a", poses(3), keypoints)
    with pytest.raises(InputError) as caught:
        MotionSet(skeleton, 50.0, [sequence], cameras={"S1": h36m_rig()[:1]})
    assert message in str(caught.value)


def test_missing_file(tmp_path, skeleton):
    assert load_error(tmp_path / "no.npz", skeleton=skeleton) == "no such file"
    assert load_error(tmp_path, skeleton=skeleton) == "is not a file"


@pytest.mark.parametrize("content", [b"", b"hello, this is text", b"\x80\x04N."])
def test_file_of_another_kind(tmp_path, content):
    path = tmp_path / "m.npz"
    path.write_bytes(content)
    assert load_error(path) == "is not an .npz file: empty, cut off, or of another kind"


def test_truncated_and_damaged_files(tmp_path, skeleton):
    path = tmp_path / "m.npz"
    full_set(skeleton).save(path)
    whole = path.read_bytes()
    for kept in (len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:kept])
        assert "is not an .npz file" in load_error(path)
    start = whole.index(b"S9/Walking 1.npy") + 300
    path.write_bytes(
        whole[:start] + bytes(byte ^ 255 for byte in whole[start : start + 40]) + whole[start + 40 :]
    )
    assert load_error(path).startswith("array 'S9/Walking 1': cannot be read, the file is damaged: ")


def test_pickled_objects_are_not_loaded(tmp_path, skeleton):
    path = tmp_path / "m.npz"
    np.savez(path, **{"S1/a": np.array({"positions": poses(2)}, dtype=object)})
    expected = "array 'S1/a': holds more than plain numbers and texts"
    assert load_error(path, skeleton=skeleton, fps=50) == expected


def test_header_that_promises_more_than_there_is(tmp_path, skeleton):
    """Refused before memory is taken for it: the promise is a petabyte."""
    path = tmp_path / "m.npz"
    array = io.BytesIO()
    np.save(array, poses(2))
    with zipfile.ZipFile(path, "w") as archive:
        small, absurd = b"(2, 17, 3), }" + b" " * 12, b"(2000000000000, 17, 3), }"
        archive.writestr("S1/a.npy", array.getvalue().replace(small, absurd))
    message = load_error(path, skeleton=skeleton, fps=50)
    assert message.startswith("array 'S1/a': its header says (2000000000000, 17, 3) of float32, 408,000,000,")


def test_a_checkpoint_is_no_motion_file(tmp_path, skeleton):
    path = tmp_path / "m.npz"
    torch.save({"weights": torch.zeros(2)}, path)
    assert "expected" in load_error(path, skeleton=skeleton, fps=50)


def test_an_empty_archive_has_no_sequence(tmp_path, skeleton):
    path = tmp_path / "m.npz"
    with zipfile.ZipFile(path, "w"):
        pass
    assert "no motion sequence" in load_error(path, skeleton=skeleton, fps=50)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "has format version 2; this gcnpose reads version 1"),
        ({"fps": 0}, "fps must be a positive number, not 0.0"),
        ({"fps": "fast"}, "fps must be a positive number, not 'fast'"),
        ({"fps": True}, "fps must be a positive number, not True"),
        ({"units": "inch"}, "units must be one of m, cm, mm, not 'inch'"),
        ({"up": "x"}, "up must be one of z, y, not 'x'"),
        ({"splits": {"train": "S1"}}, "splits must be lists of subjects under train, validation, test"),
        ({"splits": {"dev": ["S1"]}}, "splits: unknown split 'dev'; expected train, validation, test"),
        ({"splits": {"train": ["S2"]}}, "splits: subject 'S2' of 'train' has no sequence; known are S1"),
        (
            {"splits": {"train": ["S1"], "test": ["S1"]}},
            "splits: subject 'S1' stands in 'train' and in 'test'",
        ),
        ({"cameras": []}, "cameras must be lists of cameras under their subjects"),
        (
            {"cameras": {"S1": [{"name": "a"}]}},
            "cameras of S1: expected the keys name, orientation, translation",
        ),
    ],
)
def test_meta_that_cannot_be_used(tmp_path, skeleton, change, message):
    path = write(tmp_path / "m.npz", meta_of(skeleton, **change), S1__a=poses(2))
    assert load_error(path).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": "wide"}, "cameras of S1: '54138969' has a value of the wrong type"),
        ({"radial": [0, "x", 0]}, "cameras of S1: '54138969' has a value of the wrong type"),
        ({"radial": [0]}, "cameras of S1: camera '54138969': radial must be 3 finite numbers, not (0,)"),
    ],
)
def test_camera_in_meta_that_cannot_be_used(tmp_path, skeleton, change, message):
    camera = dataclasses.asdict(h36m_rig()[0]) | change
    path = write(tmp_path / "m.npz", meta_of(skeleton, cameras={"S1": [camera]}), S1__a=poses(2))
    assert load_error(path).startswith(message)


def test_cameras_in_other_units_are_refused(tmp_path, skeleton):
    cameras = {"S1": [dataclasses.asdict(h36m_rig()[0])]}
    path = write(tmp_path / "m.npz", meta_of(skeleton, cameras=cameras, units="mm"), S1__a=poses(2))
    assert load_error(path) == "has cameras, so its units must be m and its up axis z, not mm and z"


def test_cameras_of_one_name(skeleton):
    with pytest.raises(InputError, match="cameras of S1: names must be unique, got 54138969, 54138969"):
        MotionSet(skeleton, 50.0, [MotionSequence("S1", "a", poses(1))], cameras={"S1": [h36m_rig()[0]] * 2})


def test_meta_that_is_not_json(tmp_path):
    path = tmp_path / "m.npz"
    np.savez(path, **{"S1/a": poses(2), "meta": np.array("{fps")})
    assert load_error(path).startswith("meta is not JSON")
    np.savez(path, **{"S1/a": poses(2), "meta": np.array("[1]")})
    assert load_error(path) == "meta: expected keys and values, got list"
    np.savez(path, **{"S1/a": poses(2), "meta": np.zeros(3)})
    assert load_error(path) == "meta: expected one text"


def test_splits_beside_a_file_that_says_all_else(tmp_path, skeleton):
    motion = dataclasses.replace(full_set(skeleton), splits={})
    motion.save(tmp_path / "motion.npz")
    first, *others = motion.subjects
    beside = {"fps": 1, "splits": {"train": [first], "test": others}}
    (tmp_path / "splits.json").write_text(json.dumps(beside))
    loaded = MotionSet.load(tmp_path / "motion.npz")
    assert loaded.splits == {"train": (first,), "test": tuple(others)}
    assert loaded.fps == motion.fps
    own = dataclasses.replace(motion, splits={"test": (first,)})
    own.save(tmp_path / "motion.npz")
    assert MotionSet.load(tmp_path / "motion.npz").splits == own.splits
    (tmp_path / "splits.json").write_text("{")
    assert MotionSet.load(tmp_path / "motion.npz").splits == own.splits, "which is all it takes"


def test_splits_of_another_data_set_beside_a_file(tmp_path, skeleton):
    dataclasses.replace(full_set(skeleton), splits={}).save(tmp_path / "motion.npz")
    (tmp_path / "splits.json").write_text(json.dumps({"splits": {"train": ["P1"], "test": ["P2"]}}))
    assert MotionSet.load(tmp_path / "motion.npz").splits == {}
    known = full_set(skeleton).subjects[0]
    (tmp_path / "splits.json").write_text(json.dumps({"splits": {"train": ["P1"], "test": [known]}}))
    assert load_error(tmp_path / "motion.npz").startswith(
        f"{tmp_path / 'splits.json'}: splits: subject 'P1' of 'train' has no sequence"
    )


def test_a_skeleton_without_bones_changes_nothing(skeleton):
    alone = Skeleton.from_dict(
        {"name": "point", "root": "a", "joints": ["a"], "bones": [], "mirror": []}, "test"
    )
    assert MotionSet(alone, 50.0, [MotionSequence("S1", "x", poses(3)[:, :1])]).bone_change() == 0


def test_splits_json_that_is_not_json(tmp_path, skeleton):
    path = write(tmp_path / "m.npz", S1__a=poses(2))
    (tmp_path / "splits.json").write_text("{")
    assert load_error(path, skeleton=skeleton).startswith(f"{tmp_path / 'splits.json'} is not JSON")


def test_flat_file_without_skeleton_or_fps(tmp_path, skeleton):
    path = write(tmp_path / "m.npz", S1__a=poses(2))
    assert load_error(path, fps=50) == "does not say which skeleton it has; one must be given"
    assert load_error(path, skeleton=skeleton).startswith("does not say its frame rate")


def test_fps_that_contradicts_the_file(tmp_path, skeleton):
    path = write(tmp_path / "m.npz", meta_of(skeleton), S1__a=poses(2))
    assert load_error(path, fps=25) == "has 50 fps, but 25 fps was given"


@pytest.mark.parametrize(("subject", "name"), [("S1", "a/b"), ("", "a"), ("S1", ""), ("2d", "a")])
def test_names_that_the_file_could_not_hold(skeleton, subject, name):
    with pytest.raises(InputError, match="must not be empty nor contain '/'"):
        MotionSet(skeleton, 50.0, [MotionSequence(subject, name, poses(1))])


def test_sequence_that_stands_twice(skeleton):
    with pytest.raises(InputError, match="sequence S1/a stands twice"):
        MotionSet(skeleton, 50.0, [MotionSequence("S1", "a", poses(1)), MotionSequence("S1", "a", poses(2))])


def own_set(skeleton, **own):
    """One sequence of five frames and what it has of its own, with two cameras for its subject."""
    sequences = [MotionSequence("S1", "a", poses(5), **own), MotionSequence("S1", "b", poses(2))]
    return MotionSet(skeleton, 50.0, sequences, cameras={"S1": h36m_rig()[:2]})


VALID = np.array([True, False, True, True, False])


def test_round_trip_of_what_a_sequence_has_of_its_own(tmp_path, skeleton):
    keypoints = {"55011271": poses(5, 9, channels=2)}
    motion = own_set(skeleton, keypoints_2d=keypoints, cameras=("55011271",), valid=VALID, fps=25)
    motion.save(tmp_path / "motion.npz")
    again = MotionSet.load(tmp_path / "motion.npz")
    first, second = again.sequences
    assert first.cameras == ("55011271",) and first.fps == 25.0 and again.fps == 50.0
    assert first.valid.dtype == np.bool_ and first.valid.tolist() == VALID.tolist()
    assert (second.cameras, second.valid, second.fps) == (None, None, None)
    assert again.digest() == motion.digest()
    assert [camera.name for camera in again.cameras_of(first)] == ["55011271"]
    assert [camera.name for camera in again.cameras_of(second)] == ["54138969", "55011271"]
    with np.load(tmp_path / "motion.npz") as archive:
        assert archive["valid/S1/a"].tolist() == VALID.tolist()
        sequences = json.loads(str(archive["meta"]))["sequences"]
    assert sequences == {"S1/a": {"cameras": ["55011271"], "fps": 25.0}}


def test_digest_sees_what_a_sequence_has_of_its_own(skeleton):
    own = ({}, {"cameras": ("54138969",)}, {"valid": VALID}, {"valid": ~VALID}, {"fps": 25.0})
    assert len({own_set(skeleton, **one).digest() for one in own}) == len(own)


def test_subject_called_valid(tmp_path, skeleton):
    path = write(tmp_path / "m.npz", meta_of(skeleton), train__a=poses(2), valid__a=poses(3))
    assert MotionSet.load(path).subjects == ("train", "valid")


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"cameras": ("x",)}, "sequence S1/a: no such camera 'x'; the subject has 54138969, 55011271"),
        ({"cameras": ()}, "sequence S1/a: its cameras must be one or more different names, got none"),
        (
            {"cameras": ("54138969", "54138969")},
            "sequence S1/a: its cameras must be one or more different names, got 54138969, 54138969",
        ),
        (
            {"cameras": ("54138969",), "keypoints_2d": {"55011271": poses(5, channels=2)}},
            "2D keypoints S1/a/55011271: the sequence was seen by 54138969 only",
        ),
        ({"valid": VALID[:4]}, "valid S1/a: expected 5 bools, got bool (4,)"),
        ({"valid": VALID.astype(np.uint8)}, "valid S1/a: expected 5 bools, got uint8 (5,)"),
        ({"valid": VALID & False}, "valid S1/a: none of the 5 frames is to be scored"),
        ({"fps": 0.0}, "sequence S1/a: fps must be a positive number, not 0.0"),
        ({"fps": float("nan")}, "sequence S1/a: fps must be a positive number, not nan"),
    ],
)
def test_what_a_sequence_cannot_have_of_its_own(skeleton, own, message):
    with pytest.raises(InputError) as caught:
        own_set(skeleton, **own)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "sequences in meta: expected what a sequence has of its own, under subject/name"),
        ({"S1/a": {"pace": 1}}, "sequences in meta, S1/a: expected cameras and fps, got {'pace': 1}"),
        ({"S1/a": {"fps": "25"}}, "sequences in meta, S1/a: fps must be a positive number, not '25'"),
        ({"S1/a": {"cameras": "x"}}, "sequences in meta, S1/a: cameras must be a list of names, not 'x'"),
        ({"S1/c": {"fps": 25}}, "sequences in meta of S1/c: there is no such sequence in 3D"),
    ],
)
def test_sequences_in_meta_that_cannot_be_used(tmp_path, skeleton, sequences, message):
    path = write(tmp_path / "m.npz", meta_of(skeleton, sequences=sequences), S1__a=poses(2))
    assert load_error(path) == message


def test_valid_array_in_the_file_that_cannot_be_used(tmp_path, skeleton):
    path = write(tmp_path / "m.npz", meta_of(skeleton), S1__a=poses(2), valid__S1__a=np.ones(2))
    assert load_error(path) == "valid/S1/a: expected bools, got float64"
    path = write(tmp_path / "m.npz", meta_of(skeleton), S1__a=poses(2), valid__S1__b=np.ones(2, bool))
    assert load_error(path) == "valid frames of S1/b: there is no such sequence in 3D"


def test_bones_keep_their_length_in_the_right_order_alone() -> None:
    motion = make_motion(0, 1)
    assert motion.bone_change() < 1e-3
    wrong = dataclasses.replace(motion, skeleton=Skeleton.load("coco17"))
    assert wrong.bone_change() > 0.01
