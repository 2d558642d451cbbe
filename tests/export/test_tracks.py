"""Files with 3D tracks: what is written is there again, read as the documentation tells a stranger to."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.errors import InputError
from gcnpose.export.tracks import write_csv, write_json, write_npz
from gcnpose.keypoints.track3d import Track3D
from gcnpose.skeleton import Skeleton
from tests.tracks3d import SKELETON, standing_track

HOSTILE = 'evil", \n</script>\u2028=cmd()'
TRACKS = [standing_track(HOSTILE), standing_track("2", frames=3, first=40, place=None, fps=None)]
WRITERS = {"npz": write_npz, "json": write_json, "csv": write_csv}

Write = Callable[[Path, Sequence[Track3D]], None]


def check_meta(meta: dict[str, Any]) -> None:
    assert meta["format"] == "gcnpose tracks 1"
    assert (meta["units"], meta["axes"]) == ("metres", "camera: x right, y down, z forward")
    first, second = meta["tracks"]
    assert (first["person"], first["fps"], first["frames"], first["translation"]) == (HOSTILE, 25.0, 6, True)
    assert (second["person"], second["fps"], second["frames"], second["translation"]) == ("2", None, 3, False)
    assert Skeleton.from_dict(first["skeleton"], "meta") == SKELETON
    assert first["intrinsics"] == {"focal_px": [1000, 1000], "center_px": [640, 360], "guessed": True}
    assert second["intrinsics"] is None


def test_npz_has_every_bit_and_nothing_pickled(tmp_path: Path) -> None:
    write_npz(tmp_path / "tracks.npz", TRACKS)
    file = np.load(tmp_path / "tracks.npz", allow_pickle=False)
    check_meta(json.loads(str(file["meta"])))
    for number, track in enumerate(TRACKS):
        for name in ("positions", "translation", "score", "measured", "frames"):
            expected = getattr(track, name)
            assert (f"{name}/{number}" in file) == (expected is not None)
            if expected is not None:
                np.testing.assert_array_equal(file[f"{name}/{number}"], expected)


def test_json_has_every_number_to_a_hundredth_of_a_millimetre(tmp_path: Path) -> None:
    write_json(tmp_path / "tracks.json", TRACKS)
    content = json.loads((tmp_path / "tracks.json").read_text(encoding="utf-8"))
    check_meta(content["meta"])
    for track, written in zip(TRACKS, content["tracks"], strict=True):
        assert written["person"] == track.person
        np.testing.assert_allclose(written["positions"], track.positions, atol=0.6e-5)
        np.testing.assert_allclose(written["score"], track.score, atol=0.6e-3)
        np.testing.assert_array_equal(written["measured"], track.measured)
        np.testing.assert_array_equal(written["frames"], track.frames)
    np.testing.assert_allclose(content["tracks"][0]["translation"], TRACKS[0].translation, atol=0.6e-5)
    assert content["tracks"][1]["translation"] is None


def test_csv_has_a_row_for_every_person_and_frame(tmp_path: Path) -> None:
    write_csv(tmp_path / "tracks.csv", TRACKS)
    with (tmp_path / "tracks.csv").open(newline="", encoding="utf-8") as file:
        check_meta(json.loads(file.readline().removeprefix("# ")))
        rows = list(csv.DictReader(file))
    expected = [(track, number) for track in TRACKS for number in range(len(track.frames))]
    assert len(rows) == len(expected) == 9
    for row, (track, number) in zip(rows, expected, strict=True):
        assert row["person"] == track.person
        assert int(row["frame"]) == track.frames[number]
        assert row["time_s"] == ("" if track.fps is None else f"{track.frames[number] / 25:g}")
        assert float(row["score"]) == pytest.approx(track.score[number].mean(), abs=1e-3)
        assert row["measured"] == ("0" if number == 2 else "1")
        for axis, name in enumerate("xyz"):
            place = (
                None
                if track.translation is None
                else pytest.approx(track.translation[number, axis], abs=1e-5)
            )
            assert (float(row[f"translation_{name}"]) if row[f"translation_{name}"] else None) == place
            for joint, joint_name in enumerate(SKELETON.joints):
                written = float(row[f"{joint_name}_{name}"])
                assert written == pytest.approx(track.positions[number, joint, axis], abs=1e-5)
        assert {row[f"{joint}_measured"] for joint in SKELETON.joints} == {row["measured"]}
        assert float(row["right_knee_score"]) == pytest.approx(track.score[number, 2], abs=1e-3)


def test_times_of_every_fifth_frame(tmp_path: Path) -> None:
    """Frames are numbered as in the file, and the rate is of those that it has."""
    write_csv(tmp_path / "tracks.csv", [standing_track(frames=3, first=10, step=5, fps=10.0)])
    with (tmp_path / "tracks.csv").open(newline="", encoding="utf-8") as file:
        meta = json.loads(file.readline().removeprefix("# "))
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["time_s"]) for row in rows] == [("10", "0.2"), ("15", "0.3"), ("20", "0.4")]
    assert meta["tracks"][0]["frame_step"] == 5


def test_csv_has_the_joints_of_one_skeleton(tmp_path: Path) -> None:
    other = dataclasses.replace(TRACKS[1], skeleton=Skeleton.load("mpi_inf_3dhp17"))
    with pytest.raises(InputError, match="joints of one skeleton, came h36m17 and mpi_inf_3dhp17"):
        write_csv(tmp_path / "tracks.csv", [TRACKS[0], other])
    assert not list(tmp_path.iterdir())


def with_nan(array: np.ndarray | None, *where: int) -> np.ndarray:
    assert array is not None
    wrong = array.copy()
    wrong[where] = np.nan
    return wrong


@pytest.mark.parametrize("suffix", WRITERS)
def test_what_cannot_be_written_is_refused(suffix: str, tmp_path: Path) -> None:
    good = standing_track()
    empty = standing_track(frames=0)
    lost = dataclasses.replace(good, positions=with_nan(good.positions, 3, 5))
    nowhere = dataclasses.replace(good, translation=with_nan(good.translation, 1))
    wrong: list[tuple[list[Track3D], str]] = [
        ([], "expected at least one, got none"),
        ([good, empty], "person '1': has no frame"),
        ([lost], "person '1': frame 13, joint 'left_knee' is not finite"),
        ([nowhere], "person '1': frame 11, the translation is not finite"),
    ]
    for tracks, message in wrong:
        with pytest.raises(InputError, match=message):
            WRITERS[suffix](tmp_path / f"tracks.{suffix}", tracks)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITERS)
def test_nothing_half_written(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"tracks.{suffix}"
    path.write_text("what was there before")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        WRITERS[suffix](path, TRACKS)
    assert path.read_text() == "what was there before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileNotFoundError):
        WRITERS[suffix](tmp_path / "no folder" / path.name, TRACKS)
