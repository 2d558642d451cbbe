"""Readers on damaged files and on structures that nobody writes on purpose: an answer, or one message."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gcnpose.errors import InputError
from gcnpose.keypoints.detections import inspect
from gcnpose.keypoints.reading import read_keypoints
from gcnpose.keypoints.tracks import select
from tests.keypoint_files import JOINTS, WRITERS, walker

SETTINGS = settings(
    max_examples=25, deadline=5000, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)


def survive(path: Path) -> None:
    """Goes through all that is done with a file. Anything but an InputError fails the test."""
    try:
        detections = read_keypoints(path)
        json.dumps(inspect(detections), allow_nan=False)
        for track in select(detections, "all", say=lambda _: None):
            assert len(track.keypoints_2d) <= 16 * len(detections.frame_labels)
    except InputError as error:
        assert str(error)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, bytes]]:
    """A small file of every format, by its name; one file of a folder."""
    contents = {}
    for name, write in WRITERS.items():
        path = write(tmp_path_factory.mktemp(name), *walker(frames=3, joints=JOINTS.get(name, 17)))
        path = min(path.iterdir()) if path.is_dir() else path
        contents[name] = (path.name, path.read_bytes())
    return contents


# Replaced bytes, pieces cut out, pieces doubled: (where, as a share of the file; how much; by what).
DAMAGE = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 40),
        st.binary(max_size=8)
        | st.sampled_from(
            [b"null", b"NaN", b"-1", b"[]", b"{}", b'"', b",", b"1e999", b"\n", b"\0", b"9" * 30]
        ),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files(name: str, samples: dict[str, tuple[str, bytes]]) -> None:
    file_name, content = samples[name]

    @SETTINGS
    @given(DAMAGE)
    def damage(changes: list[tuple[float, int, bytes]]) -> None:
        damaged = content
        for share, length, piece in changes:
            place = int(share * len(damaged))
            damaged = damaged[:place] + piece + damaged[place + length :]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file_name
            path.write_bytes(damaged)
            survive(path)

    damage()


KEYS = st.sampled_from(
    [
        *(
            "people",
            "annotations",
            "images",
            "instances",
            "instance_info",
            "meta_info",
            "predictions",
            "data",
        ),
        *(
            "image_id",
            "id",
            "frame",
            "frame_id",
            "timestamp",
            "idx",
            "track_id",
            "name",
            "width",
            "height",
            "fps",
        ),
        *(
            "keypoints",
            "keypoint_scores",
            "pose_keypoints_2d",
            "bodies",
            "joints",
            "skeleton",
            "pose",
            "score",
        ),
        *(
            "box",
            "results",
            "x",
            "y",
            "visibility",
            "pose_landmarks",
            "landmarks",
            "nose",
            "left_eye",
            "position",
        ),
    ]
)
NUMBERS = st.integers(-5, 2000) | st.floats() | st.just(10**400)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS, inner, max_size=4)
        | st.lists(NUMBERS, min_size=34, max_size=34)
        | st.lists(st.lists(NUMBERS, min_size=2, max_size=3), min_size=17, max_size=17)
        | inner.map(lambda value: [value] * 3)
    ),
    max_leaves=12,
)


@settings(SETTINGS, max_examples=400)
@given(VALUES)
def test_any_json(content: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(content))
        survive(path)


CELLS = st.sampled_from(
    [
        "frame",
        "x_0",
        "y_0",
        "nose_x",
        "nose_y",
        "joint",
        "x",
        "y",
        "time",
        "id",
        "",
        "1",
        "0.5",
        "-7",
        "nan",
        "inf",
        "a",
    ]
)
TABLES = st.lists(st.lists(CELLS, max_size=6), max_size=6)


@settings(SETTINGS, max_examples=200)
@given(TABLES, st.sampled_from([",", ";", "\t", " "]), st.sampled_from(["a.csv", "a.txt"]))
def test_any_table(rows: list[list[str]], delimiter: str, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text("\n".join(map(delimiter.join, rows)))
        survive(path)
