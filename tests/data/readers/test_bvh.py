from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcnpose.data.readers.bvh import read_bvh
from gcnpose.errors import InputError
from tests.bvh_files import SIX, Joint, bvh_text

# An arm of two bones along x: (1, 0, 0), then (2, 0, 0).
ARM = Joint(
    "hips", (0, 0, 0), [Joint("upper", (1, 0, 0), [Joint("lower", (2, 0, 0), tip=(1, 0, 0))])], channels=SIX
)
STILL = [0.0] * 12
GOOD = bvh_text(ARM, [STILL, [*STILL[:6], 90.0, *STILL[7:]]])


def write(folder: Path, text: str) -> Path:
    path = folder / "a.bvh"
    path.write_bytes(text.encode())
    return path


def slow_positions(joint: Joint, row: list[float], above: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """One frame by 4 x 4 matrices, one elementary rotation after the other; takes the values off the row."""
    place, turn = np.array(joint.offset, float), np.eye(4)
    for channel in joint.channels.split():
        axis, value = "XYZ".index(channel[0]), row.pop(0)
        if channel.endswith("position"):
            place[axis] = value
        else:
            one, two = [(1, 2), (2, 0), (0, 1)][axis]
            c, s = np.cos(np.radians(value)), np.sin(np.radians(value))
            step = np.eye(4)
            step[one, one], step[one, two], step[two, one], step[two, two] = c, -s, s, c
            turn = turn @ step
    here = np.eye(4)
    here[:3, 3] = place
    here = (np.eye(4) if above is None else above) @ here @ turn
    found = {joint.name: here[:3, 3]}
    for child in joint.children:
        found |= slow_positions(child, row, here)
    if not joint.children and joint.tip is not None:
        found[f"{joint.name}_end"] = (here @ np.array([*joint.tip, 1.0]))[:3]
    return found


def test_two_bones_by_hand(tmp_path: Path) -> None:
    """The upper bone's joint turned by 90 degrees about z: what lies along x lies along y."""
    tracks = read_bvh(write(tmp_path, GOOD))
    assert tracks.names == ("hips", "upper", "lower", "lower_end")
    assert tracks.parents == (-1, 0, 1, 2)
    assert tracks.fps == 50
    assert tracks.metres_per_unit is None
    along_x = [[0, 0, 0], [1, 0, 0], [3, 0, 0], [4, 0, 0]]
    bent = [[0, 0, 0], [1, 0, 0], [1, 2, 0], [1, 3, 0]]
    np.testing.assert_allclose(tracks.positions, [along_x, bent], atol=1e-12)


@pytest.mark.parametrize("order", ["".join(order) for n in (1, 2, 3) for order in permutations("XYZ", n)])
def test_every_order_of_channels_equals_matrices(tmp_path: Path, order: str) -> None:
    random = np.random.default_rng(0)
    channels = " ".join(f"{axis}rotation" for axis in order)
    tree = Joint(
        "root",
        (1, 2, 3),
        [
            Joint("a", (0, 1, 2), [Joint("b", (3, 1, 0), channels=channels)], channels=channels),
            Joint("c", (-1, 1, 0), [Joint("d", (0, 2, 1), tip=None)], channels=f"Yposition {channels}"),
        ],
        channels=f"{channels} Zposition Xposition Yposition",
    )
    rows = random.uniform(-200, 200, (4, 4 * len(order) + 4 + 3)).tolist()
    tracks = read_bvh(write(tmp_path, bvh_text(tree, rows)))
    for frame, row in enumerate(rows):
        slow = slow_positions(tree, list(row))
        assert tuple(slow) == tracks.names
        np.testing.assert_allclose(tracks.positions[frame], list(slow.values()), atol=1e-9)


def test_position_channels_stand_in_the_place_of_the_offset(tmp_path: Path) -> None:
    """As in the files of Mixamo and Blender, where every joint has six channels, three of them its OFFSET."""
    tree = Joint("hips", (5, 90, 0), [Joint("spine", (0, 10, 0), channels=SIX)], channels=SIX)
    row = [6, 91, 1, 0, 0, 0, 0, 10, 0, 0, 0, 0]
    positions = read_bvh(write(tmp_path, bvh_text(tree, [row]))).positions
    np.testing.assert_allclose(positions[0, :2], [[6, 91, 1], [6, 101, 1]])


def test_what_writers_do_differently(tmp_path: Path) -> None:
    text = (
        "\ufeffhierarchy\r\nROOT  My Hips{ OFFSET 0 0 0 CHANNELS 6 XPOSITION yposition Zposition\r\n"
        "Zrotation Xrotation Yrotation\r\n\tEnd Site of it\r\n\t{\r\n\tOFFSET 1 2 3 }\r\n"
        "end site { offset 0 0 1 } }\r\nROOT other { OFFSET 1 0 0 }\r\n\r\n"
        "Motion\r\nFrames:\t1\r\nFrame Time:\t.0083333\r\n\r\n1 2 3 0 0 0 \r\n\r\n"
    )
    tracks = read_bvh(write(tmp_path, text))
    assert tracks.names == ("My Hips", "My Hips_end", "My Hips_end2", "other")
    assert tracks.parents == (-1, 0, 0, -1)
    assert tracks.fps == 120
    np.testing.assert_allclose(tracks.positions[0], [[1, 2, 3], [2, 4, 6], [1, 2, 4], [1, 0, 0]])


@pytest.mark.parametrize(
    ("frame_time", "fps"),
    [
        ("0.033333", 30),
        ("0.0333", 30),
        (".0083333", 120),
        ("8.33333e-3", 120),
        ("0.016683", 1 / 0.016683),  # 59.94, not 60
        ("0.04", 25),
        ("2", 0.5),
        ("0.017", 60),
        ("0.008", 120),
        ("0.011", 90),
        ("0.021", 48),
    ],
)
def test_the_digits_of_a_frame_time_stand_for_a_whole_rate(
    tmp_path: Path, frame_time: str, fps: float
) -> None:
    assert read_bvh(write(tmp_path, bvh_text(ARM, [STILL], frame_time))).fps == fps


def test_a_lost_bone_is_put_in_along_its_parent(tmp_path: Path) -> None:
    """Half of the parent's bone of length 2, along the parent's own x, which is turned to y."""
    hand = Joint("lower", (2, 0, 0), [Joint("hand", (0, 0, 0))])
    tree = Joint("hips", (0, 0, 0), [Joint("upper", (1, 0, 0), [hand])], channels=SIX)
    path = write(tmp_path, bvh_text(tree, [[0] * 9 + [90] + [0] * 5]))
    without = read_bvh(path)
    tracks = read_bvh(path, lost_bones={"hand": (0.5, 0, 0)})
    np.testing.assert_allclose(without.positions[0, 2:4], [[3, 0, 0], [3, 0, 0]], atol=1e-12)
    np.testing.assert_allclose(tracks.positions[0, 2:4], [[3, 0, 0], [3, 1, 0]], atol=1e-12)
    with pytest.raises(InputError, match="has no joint 'hnad', did you mean hand"):
        read_bvh(path, lost_bones={"hnad": (1, 0, 0)})
    with pytest.raises(InputError, match="parent of 'upper' has no length"):
        read_bvh(path, lost_bones={"upper": (1, 0, 0)})


@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        ("HIERARCHY", "HIERARHCY", r"line 1: expected HIERARCHY, got 'HIERARHCY'"),
        ("ROOT hips", "JOINT hips", r"line 2: expected ROOT, got 'JOINT'"),
        ("JOINT upper", "JOINT hips", r"line 6: the joint 'hips' stands twice"),
        ("JOINT upper", "JOINT", r"line 6: JOINT has no name"),
        ("OFFSET 1 0 0\n", "", r"line 6: upper has no OFFSET"),
        ("OFFSET 2 0 0", "OFFSET 2 nan 0", r"line 12: expected a finite number, got 'nan'"),
        ("OFFSET 2 0 0", "OFFSET 2 0", r"line 13: expected a number, got 'CHANNELS'"),
        ("CHANNELS 6", "CHANNELS 7", r"line 5: expected 0 to 6 channels, got '7'"),
        ("CHANNELS 6", "CHANNELS 5", r"line 5: expected OFFSET or CHANNELS .*, got 'Yrotation'"),
        ("CHANNELS 6 X", "CHANNELS 6 Y", r"line 5: hips has Yposition twice"),
        ("CHANNELS 6 X", "CHANNELS 6 W", r"line 5: expected a channel such as Xrotation, got 'Wposition'"),
        ("JOINT lower\n{", "JOINT lower", r"line 11: expected {, got 'OFFSET'"),
        ("}\nMOTION", "MOTION", r"the brace of hips is not closed"),
        ("MOTION", "MOTOIN", r"line 21: expected ROOT, got 'MOTOIN'"),
        ("Frames: 2", "Frames: 3", r"line 22: says Frames: 3, but 2 follow; is the file cut off"),
        ("Frames: 2", "Frames: 1", r"line 22: says Frames: 1, but 2 follow"),
        ("Frames: 2", "Frames: 0", r"line 22: expected a number of frames of at least 1, got '0'"),
        ("Frames: 2", "Frames 2", r"line 22: expected 'Frames: N', got 'Frames 2'"),
        ("Time: 0.02", "Time: 0", r"line 23: expected a frame time of more than 0 s, got '0'"),
        ("Time: 0.02", "Time: -0.02", r"line 23: expected a frame time of more than 0 s"),
        ("Time: 0.02", "Time: inf", r"line 23: expected a finite number, got 'inf'"),
        ("0.0 90.0", "0.0 x90", r"line 25: expected a number, got 'x90'"),
        ("0.0 90.0", "0.0 NaN", r"line 25: expected a finite number, got 'NaN'"),
        ("0.0 90.0", "90.0", r"line 25: expected 12 values, one per channel, got 11"),
        (GOOD[GOOD.index("MOTION") :], "", r"no line MOTION follows the hierarchy; is the file cut off"),
        (GOOD[GOOD.index("JOINT lower") :], "", r"line 9: the hierarchy ends where|no line MOTION"),
        (GOOD[GOOD.index("Frame Time") :], "", r"expected 'Frame Time: SECONDS', got ''"),
        (GOOD[GOOD.index("Time: 0.02") + 10 :], "", r"line 22: says Frames: 2, but 0 follow; is the file"),
        (GOOD, "\n \n", r"is empty, expected HIERARCHY"),
        (GOOD, "HIERARCHY\nMOTION\nFrames: 1\nFrame Time: 1\n", r"line 1: the hierarchy has no channel"),
    ],
)
def test_a_bad_file_is_one_message_with_the_line(
    tmp_path: Path, found: str, instead: str, message: str
) -> None:
    assert found in GOOD
    path = write(tmp_path, GOOD.replace(found, instead, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_bvh(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_bvh(tmp_path / "none.bvh")
    (tmp_path / "image.bvh").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="line 1: expected HIERARCHY"):
        read_bvh(tmp_path / "image.bvh")


WORDS = [
    "{",
    "}",
    "JOINT",
    "End",
    "Site",
    "OFFSET",
    "CHANNELS",
    "MOTION",
    "Frames:",
    "1e300",
    "-1",
    "99999999999",
]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["", "x", "nan", "\n", *WORDS])), max_size=4
    ),
    cut=st.integers(0, len(GOOD)),
)
def test_whatever_the_text_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[int, str]], cut: int
) -> None:
    words = GOOD.replace("\n", " \n ").split(" ")
    for position, word in edits:
        words[position % len(words)] = word
    text = " ".join(words)
    path = tmp_path_factory.getbasetemp() / "fuzz.bvh"
    path.write_text(text if cut % 3 else text[:cut])
    try:
        tracks = read_bvh(path)
    except InputError:
        return
    assert np.isfinite(tracks.positions).all()
    assert tracks.positions.shape[1] == len(tracks.names) == len(set(tracks.names))


@pytest.fixture
def samples(cmu17: Path) -> Path:
    folder = cmu17.parent / "mocap_samples"
    if not folder.is_dir():
        pytest.skip(f"no motion capture files: {folder}")
    return folder


@pytest.mark.parametrize("name", ["16_21.cgspeed-mb.bvh", "35_17.cgspeed-mb.bvh", "09_01.cgspeed-daz.bvh"])
def test_real_files_equal_an_independent_forward_kinematics(samples: Path, name: str) -> None:
    expected = np.load(samples / "expected_fk.npz")
    tracks = read_bvh(samples / name)
    assert list(tracks.names) == expected[f"{name}/names"].tolist()
    assert tracks.fps == 120
    metres_per_unit = 0.01 if "daz" in name else 0.0254 / 0.45
    error = tracks.positions - expected[f"{name}/joints_fileunits_yup"]
    assert np.abs(error).max() * metres_per_unit < 1e-6
