"""Plain arrays under whatever names."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.data.readers.npz import read_npz
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton
from tests.h36m_files import original_motion
from tests.motions import small_motion

SKELETON = Skeleton.load("h36m17")
POSES = original_motion(0, joints=17)


def quiet(line: str) -> None:
    pass


def refused(path: Path, **arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_npz(path, SKELETON, quiet, **arguments)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(("units", "in_a_metre"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_units(tmp_path: Path, units: str, in_a_metre: int) -> None:
    np.savez(tmp_path / "mine.npz", run=POSES / 1000 * in_a_metre)
    motion = read_npz(tmp_path / "mine.npz", SKELETON, quiet, fps=30, units=units)
    np.testing.assert_allclose(motion.sequences[0].positions, POSES / 1000, rtol=1e-5)


def test_names_become_subjects_and_sequences(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **{"S1/walk": POSES, "run": POSES, "a/b/c": POSES})
    lines: list[str] = []
    motion = read_npz(path, SKELETON, lines.append, fps=30, units="mm")
    assert [(sequence.subject, sequence.name) for sequence in motion.sequences] == [
        ("S1", "walk"),
        ("mine", "run"),
        ("mine", "a-b-c"),
    ]
    np.testing.assert_allclose(motion.sequences[0].positions, POSES / 1000, rtol=1e-6)
    assert motion.fps == 30.0 and motion.splits == {}
    assert lines == [f"{path}: 3 sequences of 2 subjects"]


def test_up_axis(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=POSES / 1000)
    x, y, z = np.moveaxis(POSES / 1000, -1, 0)
    (sequence,) = read_npz(tmp_path / "a.npz", SKELETON, quiet, fps=30, up="y").sequences
    np.testing.assert_allclose(sequence.positions, np.stack([x, -z, y], axis=-1), rtol=1e-6)


def test_splits_json_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **{"S1/walk": POSES})
    beside = {"fps": 25, "units": "mm", "splits": {"test": ["S1"]}}
    (tmp_path / "splits.json").write_text(json.dumps(beside))
    motion = read_npz(path, SKELETON, quiet)
    assert motion.fps == 25.0 and motion.splits == {"test": ("S1",)}
    assert refused(path, fps=50) == "has 25 fps, but 50 fps was given"
    assert refused(path, units="m") == f"{tmp_path / 'splits.json'} says units is mm, but m was given"


def test_a_motion_file_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "motion.npz"
    small_motion().save(path)
    assert read_npz(path, SKELETON, quiet).digest() == small_motion().digest()
    assert refused(path, units="mm") == "is a motion file, which says its units and up axis itself"
    assert refused(path, fps=25) == "has 50 fps, but 25 fps was given"


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "walk.npy", POSES / 1000)
    (sequence,) = read_npz(tmp_path / "walk.npy", SKELETON, quiet, fps=30).sequences
    assert (sequence.subject, sequence.name) == ("walk", "arr_0")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no motion sequence; at least one is needed"),
        ({"a": POSES[:, :16]}, "sequence m/a: has 16 joints, but the skeleton 'h36m17' has 17"),
        ({"a": POSES.reshape(4, 51)}, "sequence m/a: expected shape (frames, joints, 3), got (4, 51)"),
        ({"a": POSES.astype(int)}, "m/a: expected floating-point numbers, got int64"),
        ({"a": np.full((2, 17, 3), np.nan)}, "sequence m/a: frame 0, joint 'pelvis' is nan"),
        ({"a": POSES[:0]}, "sequence m/a: has 0 frames"),
        ({"a-b": POSES, "a/b/": POSES, "a-b-": POSES}, "two arrays have the same name but for '/' and '-'"),
        ({"a": np.array([{}], dtype=object)}, "array 'a': holds more than plain numbers and texts"),
        ({"a": POSES * 1000}, "sequence m/a: the first pose is"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "m.npz", **arrays)
    assert refused(tmp_path / "m.npz", fps=30, units="mm").startswith(message)
