from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gcnpose.data.readers.asf_amc import read_amc, read_asf
from gcnpose.errors import InputError
from tests.asf_amc_files import AMC, ASF


def write(folder: Path, asf: str = ASF, amc: str = AMC) -> tuple[Path, Path]:
    (folder / "a.asf").write_text(asf)
    (folder / "a.amc").write_text(amc)
    return folder / "a.asf", folder / "a.amc"


def turn(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def test_two_bones_by_hand(tmp_path: Path) -> None:
    """Turned by 90 degrees about its own x, the world's y, the arm points to -z."""
    asf, amc = write(tmp_path)
    tracks = read_amc(amc, read_asf(asf))
    assert tracks.names == ("root", "upper", "spike", "lower")
    assert tracks.parents == (-1, 0, 0, 1)
    assert tracks.fps is None
    assert tracks.metres_per_unit == 0.0254
    straight = [[0, 0, 0], [2, 0, 0], [0, 3, 0], [3, 0, 0]]
    turned = [[10, 20, 30], [10, 20, 28], [10, 23, 30], [10, 20, 27]]
    np.testing.assert_allclose(tracks.positions, [straight, turned], atol=1e-12)


def test_random_angles_equal_matrices(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = random.uniform(-180, 180, (5, 11))
    text = "".join(
        f"{frame}\nroot {' '.join(map(str, row[:6]))}\nupper {' '.join(map(str, row[6:9]))}\n"
        f"lower {' '.join(map(str, row[9:]))}\n"
        for frame, row in enumerate(rows, start=7)
    )
    asf, amc = write(tmp_path, amc=text)
    positions = read_amc(amc, read_asf(asf)).positions
    for row, (root, upper, spike, lower) in zip(rows, positions, strict=True):
        base = turn("z", row[5]) @ turn("y", row[4]) @ turn("x", row[3])
        c = turn("z", 90)
        first = base @ c @ turn("z", row[8]) @ turn("y", row[7]) @ turn("x", row[6]) @ c.T
        c = turn("x", 30) @ turn("y", 20) @ turn("z", 10)
        second = first @ c @ turn("x", row[10]) @ turn("y", row[9]) @ c.T
        np.testing.assert_allclose(root, row[:3])
        np.testing.assert_allclose(upper, root + first @ [2, 0, 0])
        np.testing.assert_allclose(spike, root + base @ [0, 3, 0])
        np.testing.assert_allclose(lower, upper + second @ [1, 0, 0])


def test_radians_and_rate(tmp_path: Path) -> None:
    """The file's word on its unit of angle comes before the skeleton's."""
    in_radians = AMC.replace(":DEGREES", ":RADIANS\n:SAMPLES-PER-SECOND 60").replace("90", str(np.pi / 2))
    asf, amc = write(tmp_path, amc=in_radians)
    (tmp_path / "b").mkdir()
    expected = read_amc(*reversed([read_asf(asf), write(tmp_path / "b")[1]]))
    tracks = read_amc(amc, read_asf(asf))
    np.testing.assert_allclose(tracks.positions, expected.positions, atol=1e-12)
    assert tracks.fps == 60
    skeleton = ASF.replace("angle deg", "angle rad").replace("0 0 90 XYZ", f"0 0 {np.pi / 2} XYZ")
    asf, amc = write(tmp_path, skeleton, in_radians.replace(":RADIANS\n", ""))
    np.testing.assert_allclose(read_amc(amc, read_asf(asf)).positions, expected.positions, atol=1e-12)


def test_the_unit_of_cmu(tmp_path: Path) -> None:
    """0.45, and so 0.0564 m: mocap.cs.cmu.edu, frequently asked questions."""
    asf, _ = write(tmp_path, ASF.replace("length 1.0", "length 0.45"))
    assert read_asf(asf).metres_per_unit == pytest.approx(2.54 / 0.45 / 100)


@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        (ASF, "", "has no section :root; is it an ASF file, and complete"),
        (ASF, "Some text", "line 1: expected a section such as :root, got 'Some'"),
        (":hierarchy", ":hierarhcy", "has no section :hierarchy"),
        (ASF[ASF.index(":hierarchy") :], "", "has no section :hierarchy"),
        ("angle deg", "angle grad", "line 6: angle: expected deg or rad, got 'grad'"),
        ("length 1.0", "length 0", "line 5: length: expected a number above 0, got 0"),
        ("length 1.0", "length", "line 5: length: expected a number, got 0"),
        ("order TX", "order UX", "line 10: order: expected TX, TY, TZ, RX, RY, RZ, got UX"),
        ("order TX TY TZ", "ordre", "line 10: the root has no line 'order'"),
        (
            "orientation 0 0 0",
            "orientation 0 9 0",
            "line 13: a root that is turned beforehand is not supported",
        ),
        ("name upper", "nmae upper", "line 15: the bone that begins here has no line 'name'"),
        ("name upper", "name", "line 17: name: expected one word"),
        ("name lower", "name upper", "line 26: the bone 'upper' stands twice"),
        ("name lower", "name root", "line 26: the bone 'root' stands twice"),
        ("direction 1 0 0", "direction 1 0", "line 18: direction: expected 3 numbers, got 2"),
        ("direction 1 0 0", "direction 1 nan 0", "line 18: expected a finite number, got 'nan'"),
        ("length 2", "length two", "line 19: expected a number, got 'two'"),
        ("0 0 90 XYZ", "0 0 90 XXZ", "line 20: axis: expected three angles and their order"),
        ("dof rx ry rz", "dof rx ry l", "line 21: dof: expected RX, RY, RZ, got rx ry l"),
        ("dof rx ry rz", "dof rx rx", "line 21: dof: expected RX, RY, RZ, got rx rx"),
        ("(-60.0 70.0)\n  end", "(-60.0 70.0)", "line 25: expected end, got 'begin'"),
        ("root upper", "root uper", "line 42: there is no bone 'uper', did you mean upper"),
        (
            "root upper",
            "spike upper",
            "line 40: the hierarchy does not join to the root: upper, lower, spike",
        ),
        ("root upper spike", "root upper upper", "line 42: the bone 'upper' has a parent already"),
        ("    root upper spike\n  end", "", "line 40: this begin has no end; is the file cut off"),
    ],
)
def test_a_bad_skeleton_is_one_message_with_the_line(
    tmp_path: Path, found: str, instead: str, message: str
) -> None:
    assert found in ASF
    asf, _ = write(tmp_path, ASF.replace(found, instead, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_asf(asf)
    assert str(caught.value).startswith(str(asf))


@pytest.mark.parametrize(
    ("found", "instead", "message"),
    [
        (AMC, "", "has no frame; is it an AMC file, and complete"),
        (AMC, "HIERARCHY", "line 1: expected the number of a frame, got 'HIERARCHY'"),
        ("upper 90", "upperr 90", "line 10: frame 2: the skeleton has no bone 'upperr', did you mean upper"),
        ("upper 90 0 0", "upper 90 0", "line 10: frame 2: expected 3 values for upper, got 2"),
        ("upper 90 0 0", "upper 90 0 0 0", "line 10: frame 2: expected 3 values for upper, got 4"),
        ("upper 90 0 0", "upper 90 nan 0", "line 10: expected a finite number, got 'nan'"),
        ("upper 90 0 0", "upper 90 ? 0", r"line 10: expected a number, got '\?'"),
        ("upper 90 0 0", "lower 0 0", "line 10: frame 2: lower stands twice"),
        ("upper 90 0 0", "spike 1", "line 10: frame 2: expected 0 values for spike, got 1"),
        ("root 10 20 30 0 0 0\n", "", "line 8: frame 2 has no values for root; is the file cut off"),
        ("\n2\n", "\n3\n", "line 8: frame 3 follows frame 1"),
        ("\n2\n", "\n1\n", "line 8: frame 1 follows frame 1"),
    ],
)
def test_a_bad_motion_is_one_message_with_the_line(
    tmp_path: Path, found: str, instead: str, message: str
) -> None:
    assert found in AMC
    asf, amc = write(tmp_path, amc=AMC.replace(found, instead, 1))
    with pytest.raises(InputError, match=message) as caught:
        read_amc(amc, read_asf(asf))
    assert str(caught.value).startswith(str(amc))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    edits=st.lists(
        st.tuples(
            st.booleans(),
            st.integers(0, 200),
            st.sampled_from(
                ["", "x", "nan", "\n", "begin", "end", ":root", "upper", "1e300", "-1", "9" * 5000]
            ),
        ),
        max_size=4,
    ),
    cut=st.integers(0, 3000),
)
def test_whatever_the_text_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[bool, int, str]], cut: int
) -> None:
    texts = [text.replace("\n", " \n ").split(" ") for text in (ASF, AMC)]
    for of_motion, position, word in edits:
        texts[of_motion][position % len(texts[of_motion])] = word
    folder = tmp_path_factory.getbasetemp()
    asf, amc = write(folder, *(" ".join(words)[: cut if cut % 2 else None] for words in texts))
    try:
        tracks = read_amc(amc, read_asf(asf))
    except InputError:
        return
    assert np.isfinite(tracks.positions).all()
    assert tracks.positions.shape[1] == len(tracks.names)


@pytest.mark.parametrize(("subject", "trial"), [("16", "16_21"), ("16", "16_35"), ("49", "49_05")])
def test_real_files_equal_an_independent_forward_kinematics(cmu17: Path, subject: str, trial: str) -> None:
    folder = cmu17.parent / "mocap_samples"
    if not folder.is_dir():
        pytest.skip(f"no motion capture files: {folder}")
    expected = np.load(folder / "expected_fk.npz")
    tracks = read_amc(folder / f"{trial}.amc", read_asf(folder / f"{subject}.asf"))
    order = [tracks.names.index(name) for name in expected[f"{trial}.amc/names"]]
    assert tracks.metres_per_unit is not None
    error = tracks.positions[:, order] * tracks.metres_per_unit - expected[f"{trial}.amc/bone_ends_yup_m"]
    assert np.abs(error).max() < 1e-6
