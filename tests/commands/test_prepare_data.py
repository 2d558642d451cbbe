"""The command, on miniature files in their true layouts."""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.commands import prepare_data
from gcnpose.data.motion import MotionSet
from gcnpose.data.readers import h36m
from gcnpose.errors import InputError
from tests.h36m_files import METADATA, detections, original_motion, write_2d, write_3d, write_originals
from tests.mpi_inf_3dhp_files import write_mpi_inf_3dhp

MOCAP_SAMPLES = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "mocap_samples"
S9 = {
    ("S9", name): original_motion(number) for number, name in enumerate(("Greeting", "Waiting 1", "Eating"))
}


def prepare(*arguments: Any) -> None:
    """As the command line calls it."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    prepare_data.add(commands)
    options = commands.choices["prepare_data"].parse_intermixed_args([str(word) for word in arguments])
    options.run(options)


def refused(*arguments: Any) -> str:
    with pytest.raises(InputError) as caught:
        prepare(*arguments)
    return str(caught.value)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "output").mkdir()
    return tmp_path / "output" / "motion.npz"


def test_h36m(tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_originals(tmp_path / "data", S9)
    given = {"S9": {name: detections(0) for _, name in S9}}
    keypoints = write_2d(tmp_path / "data_2d_h36m_cpn_ft_h36m_dbb.npz", given)
    prepare("h36m", folder, "--output", output, "--keypoints", keypoints)
    motion = MotionSet.load(output)
    assert len(motion.sequences) == 3 and all(sequence.keypoints_2d for sequence in motion.sequences)
    assert os.listdir(output.parent) == [output.name]
    lines = capsys.readouterr().out.splitlines()
    assert f"S1, S5, S6, S7, S8, S11: not in {folder}, left out" in lines
    poses = np.concatenate([sequence.positions for sequence in motion.sequences])[..., 2]
    high, lowest = np.median(np.ptp(poses, axis=1)), np.median(poses.min(axis=1))
    assert lines[-1] == (
        f"{output}: 3 sequences, 12 frames, joints of h36m17, 50 fps, 2D in 3 sequences; "
        f"poses are {high:.2f} m high and the lowest joint at z = {lowest:.2f} m (medians); test S9"
    )


def test_h36m_motionbert_names_what_it_will_not_score(
    tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corrupted = {("S11", "Directions"): original_motion(9)}
    prepare("h36m-motionbert", write_originals(tmp_path / "data", {**S9, **corrupted}), "--output", output)
    assert len(MotionSet.load(output).sequences) == 4
    expected = "kept, but not scored by the protocol h36m-motionbert: S9/Greeting, S9/Waiting 1"
    assert expected in capsys.readouterr().out.splitlines()


def test_h36m_goes_on_where_it_was_broken_off(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_originals(tmp_path / "data", {("S1", "Eating"): original_motion(1), **S9})
    read_cdf = h36m._read_cdf

    def broken_off(file: Path, where: str) -> Any:
        if "S9" in where:
            raise KeyboardInterrupt
        return read_cdf(file, where)

    with monkeypatch.context() as patch:
        patch.setattr(h36m, "_read_cdf", broken_off)
        with pytest.raises(KeyboardInterrupt):
            prepare("h36m", folder, "--output", output)
    assert os.listdir(output.parent) == ["motion.npz.parts"]
    read: list[str] = []
    monkeypatch.setattr(h36m, "_read_cdf", lambda file, where: read.append(where) or read_cdf(file, where))
    prepare("h36m", folder, "--output", output)
    assert len(read) == 3 and os.listdir(output.parent) == [output.name]


def test_what_was_read_stays_where_it_cannot_be_written(
    tmp_path: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_originals(tmp_path / "data", S9)

    def full(self: MotionSet, path: Path) -> None:
        raise InputError(f"{path}: cannot be written: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MotionSet, "save", full)
        assert "No space left" in refused("h36m", folder, "--output", output)
    assert os.listdir(output.parent) == ["motion.npz.parts"]
    monkeypatch.setattr(h36m, "_read_cdf", None)
    prepare("h36m", folder, "--output", output)
    assert os.listdir(output.parent) == [output.name]


def test_humaneva(tmp_path: Path, output: Path) -> None:
    positions = {"Train/S1": {"Box 1 chunk0": original_motion(0, joints=15) / 1000}}
    given = {"Train/S1": {"Box 1 chunk0": detections(0, joints=15, cameras=3)}}
    keypoints = write_2d(tmp_path / "data_2d.npz", given, METADATA["humaneva15"])
    path = write_3d(tmp_path / "data_3d_humaneva15.npz", positions)
    prepare("humaneva", path, "--output", output, "--keypoints", keypoints)
    assert MotionSet.load(output).subjects == ("Train-S1",)


def test_mpi_inf_3dhp(tmp_path: Path, output: Path) -> None:
    prepare("mpi-inf-3dhp", write_mpi_inf_3dhp(tmp_path / "data"), "--output", output, "--poses", "annot3")
    assert MotionSet.load(output).skeleton.name == "mpi_inf_3dhp17"


@pytest.mark.skipif(not MOCAP_SAMPLES.exists(), reason="the CMU motion is not here")
def test_mocap(tmp_path: Path, output: Path) -> None:
    for name in ("16.asf", "16_35.amc"):
        shutil.copy(MOCAP_SAMPLES / name, tmp_path)
    prepare("mocap", tmp_path, "--output", output, "--mapping", "cmu-asf-amc", "--fps", 50)
    assert MotionSet.load(output).fps == 50.0


def test_videopose3d_and_npz(tmp_path: Path, output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    poses = original_motion(0, joints=17)
    prepare(
        "videopose3d",
        write_3d(tmp_path / "a.npz", {"S1": {"a": poses / 1000}}),
        "--output",
        output,
        "--fps",
        30,
    )
    first = MotionSet.load(output)
    np.savez(tmp_path / "b.npz", **{"S1/a": poses})
    prepare("npz", tmp_path / "b.npz", "--output", output, "--fps", 30, "--units", "mm", "--up", "z")
    second = MotionSet.load(output)
    np.testing.assert_allclose(second.sequences[0].positions, first.sequences[0].positions, rtol=1e-6)
    assert "no splits, so name the subjects in the config" in capsys.readouterr().out.splitlines()[-1]


def test_options_that_a_kind_has_not(tmp_path: Path, output: Path) -> None:
    message = refused("h36m", tmp_path, "--output", output, "--fps", 25)
    assert message == "--fps: h36m has no such option, it takes --keypoints"
    assert refused("mocap", tmp_path, "--output", output).startswith("mocap needs --mapping")


def test_outputs_that_cannot_be_written(tmp_path: Path) -> None:
    assert "expected a file name that ends in .npz" in refused(
        "h36m", tmp_path, "--output", tmp_path / "a.txt"
    )
    missing = tmp_path / "no" / "a.npz"
    assert "nothing can be written" in refused("h36m", tmp_path, "--output", missing)
    source = tmp_path / "a.npz"
    np.savez(source, a=np.zeros(3))
    before = source.read_bytes()
    assert refused("npz", source, "--output", source) == f"--output: {source} is what is to be read"
    assert source.read_bytes() == before


class Hostile:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return open, (str(self.file), "w")


@pytest.mark.parametrize(
    "kind", ["h36m", "h36m-motionbert", "humaneva", "mpi-inf-3dhp", "videopose3d", "npz"]
)
@pytest.mark.parametrize("case", ["missing", "empty", "text", "cut off", "hostile", "of no use"])
def test_bad_files_leave_no_output_behind(kind: str, case: str, tmp_path: Path, output: Path) -> None:
    name = "data_train_3dhp.npz" if kind == "mpi-inf-3dhp" else "data_3d.npz"
    path, ran = tmp_path / name, tmp_path / "ran"
    if case == "hostile":
        hostile = np.array({"S1": Hostile(ran)}, dtype=object)
        np.savez(path, positions_3d=hostile, data=hostile)
    elif case == "of no use":
        np.savez(path, other=np.zeros((2, 5, 3)))
    elif case != "missing":
        np.savez(path, positions_3d=np.zeros((100, 17, 3)))
        content = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"hello", "cut off": content[: len(content) // 2]}[case])
    output.write_bytes(b"of an earlier run")
    options = ("--fps", 30) if kind in ("videopose3d", "npz") else ()
    message = refused(kind, path, "--output", output, *options)
    assert message.startswith(f"{path}: ") and "\n" not in message
    assert os.listdir(output.parent) == [output.name] and output.read_bytes() == b"of an earlier run"
    assert not ran.exists()


def test_a_damaged_original_costs_no_subject_read_before_it(tmp_path: Path, output: Path) -> None:
    folder = write_originals(tmp_path / "data", {("S1", "Eating"): original_motion(1), **S9})
    damaged = folder / "S9" / "MyPoseFeatures" / "D3_Positions" / "Eating.cdf"
    damaged.write_bytes(damaged.read_bytes()[:100])
    assert refused("h36m", folder, "--output", output).startswith(f"{damaged}: expected a CDF file")
    parts = output.with_name(f"{output.name}.parts")
    assert len(list(parts.iterdir())) == 1
