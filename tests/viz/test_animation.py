"""Sheets, GIF and MP4 of 3D tracks."""

from __future__ import annotations

import dataclasses
import gc
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from gcnpose.errors import InputError
from gcnpose.keypoints.track3d import Track3D
from gcnpose.skeleton import SIDE_COLOURS
from gcnpose.viz.animation import write_animation, write_sheet
from gcnpose.viz.scene import Scene
from tests.tracks3d import keypoints_of, standing_track

TRACK = standing_track(frames=8)
needs_ffmpeg = pytest.mark.skipif(
    importlib.util.find_spec("imageio_ffmpeg") is None, reason="no imageio-ffmpeg"
)


LEGEND_PIXELS = 35


def sheet(path: Path) -> np.ndarray:
    """The picture in bytes, without the legend below it."""
    return (imread(path)[:-LEGEND_PIXELS] * 255).round()


def middle(picture: np.ndarray, colour: str, columns: slice, rows: slice = slice(None)) -> np.ndarray:
    """Row and column of the middle of what has a colour, within a part of the picture."""
    part = picture[rows, columns, :3].astype(float)
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    found = np.argwhere(np.abs(part - wanted).max(axis=-1) < 12)
    assert len(found) > 20, f"nothing in {colour}"
    return found.mean(axis=0)


def check_sides(picture: np.ndarray, columns: slice, rows: slice = slice(None)) -> None:
    """Somebody who faces the camera has the left at the right; head and spine, in grey, reach higher."""
    left, right, grey = (
        middle(picture, SIDE_COLOURS[side], columns, rows) for side in ("left", "right", "middle")
    )
    assert left[1] > right[1] + 5
    assert grey[0] < min(left[0], right[0])


@pytest.mark.parametrize("name", ["sheet.png", "moving.gif"])
def test_frames_are_shown_by_the_numbers_of_the_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[int] = []
    number = Scene.number
    monkeypatch.setattr(Scene, "number", lambda scene, frame: shown.append(frame) or number(scene, frame))
    write = write_sheet if name.endswith("png") else write_animation
    write(tmp_path / name, [standing_track(frames=3, step=5)])
    assert shown == [0, 1, 2]


def decode(path: Path) -> tuple[list[np.ndarray], float]:
    """The pictures of a GIF or MP4, 320 pixels high, and how many there are a second."""
    if path.suffix == ".gif":
        from PIL import Image, ImageSequence

        with Image.open(path) as file:
            pictures = [np.array(picture.convert("RGB")) for picture in ImageSequence.Iterator(file)]
            return pictures, 1000 / file.info["duration"]
    import imageio_ffmpeg

    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(command, capture_output=True, check=True).stdout
    return list(np.frombuffer(decoded, np.uint8).reshape(count, 320, -1, 3)), count / seconds


def test_a_sheet_is_upright_with_left_at_the_right_in_2d_and_3d(tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    write_sheet(path, [TRACK], [keypoints_of(TRACK)], columns=3)
    picture = sheet(path)
    height, width = picture.shape[:2]
    for row in range(3):
        for column in range(3):
            where = slice(width * column // 3, width * (column + 1) // 3)
            check_sides(picture, where, slice(height * row // 3, height * (row + 1) // 3))
    without = tmp_path / "without.png"
    write_sheet(without, [TRACK], columns=20)
    assert imread(without).shape[0] < height
    assert imread(without).shape[1] > width  # a column for each of the 8 frames, and none twice


@pytest.mark.parametrize("suffix", [".gif", pytest.param(".mp4", marks=needs_ffmpeg)])
def test_an_animation_has_every_frame_at_its_time(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"motion{suffix}"
    write_animation(path, [TRACK], [keypoints_of(TRACK)])
    pictures, fps = decode(path)
    assert len(pictures) == 8
    assert fps == pytest.approx(25)
    width = pictures[0].shape[1]
    for picture in pictures[:2]:
        for panel in range(3):
            where = slice(width * panel // 3, width * (panel + 1) // 3)
            if suffix == ".gif":
                check_sides(picture, where)
            assert picture[:, where].std() > 1
    assert np.abs(pictures[0].astype(int) - pictures[-1]).max() > 50
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("fps", [24, 29.97, 30, 48])
def test_a_gif_is_as_long_as_the_motion(fps: float, tmp_path: Path) -> None:
    """Although it counts hundredths of a second."""
    from PIL import Image, ImageSequence

    write_animation(tmp_path / "own.gif", [dataclasses.replace(TRACK, fps=fps)])
    with Image.open(tmp_path / "own.gif") as file:
        durations = [picture.info["duration"] for picture in ImageSequence.Iterator(file)]
    assert len(durations) == 8
    assert sum(durations) == pytest.approx(8000 / fps, abs=5)


def test_a_gif_drops_frames_that_players_would_slow_down(tmp_path: Path) -> None:
    write_animation(tmp_path / "fast.gif", [dataclasses.replace(TRACK, fps=120.0)])
    pictures, fps = decode(tmp_path / "fast.gif")
    assert len(pictures) == 3  # frames 0, 3 and 6
    assert fps == pytest.approx(40, rel=0.2)  # of the first, in hundredths of a second


def test_people_come_and_go(tmp_path: Path) -> None:
    late = standing_track("late", frames=3, first=15, place=(-1.0, 0.2, 4.0))
    write_animation(tmp_path / "two.gif", [TRACK, late])
    pictures, _ = decode(tmp_path / "two.gif")
    half = slice(0, pictures[0].shape[1] // 2)
    green = [
        (np.abs(picture[:, half] - [0, 158, 115]).max(axis=-1) < 12).sum()
        for picture in (pictures[1].astype(int), pictures[6].astype(int))
    ]
    assert green[1] > 1.5 * green[0] > 0


def test_what_was_filled_in_is_pale(tmp_path: Path) -> None:
    write_sheet(tmp_path / "sheet.png", [dataclasses.replace(TRACK, measured=TRACK.measured & False)])
    picture = sheet(tmp_path / "sheet.png")
    assert not (np.abs(picture[..., :3] - [0, 158, 115]).max(axis=-1) < 12).any()


def test_2d_in_another_layout(tmp_path: Path) -> None:
    flat = keypoints_of(TRACK)
    coco = dataclasses.replace(flat, layout="coco17")
    for name, keypoints in (("own", flat), ("coco", coco)):
        write_sheet(tmp_path / f"{name}.png", [TRACK], [keypoints], columns=1)
    own, other = imread(tmp_path / "own.png"), imread(tmp_path / "coco.png")
    third = len(own) // 3
    assert (own[:third] != other[:third]).any()
    assert (own[2 * third :] == other[2 * third :]).all()


@pytest.mark.parametrize("write", [write_sheet, write_animation])
def test_what_cannot_be_drawn_is_refused(write: Callable[..., None], tmp_path: Path) -> None:
    broken = TRACK.positions.copy()
    broken[1, 2, 0] = np.nan
    lost = dataclasses.replace(TRACK, positions=broken)
    wrong: list[tuple[list[Track3D], list[object] | None, str]] = [
        ([], None, "expected at least one, got none"),
        ([lost], None, "frame 11, joint 'right_knee' is not finite"),
        ([TRACK], [], "a 2D track for every 3D track, got 0 for 1"),
    ]
    for tracks, keypoints, message in wrong:
        with pytest.raises(InputError, match=message):
            write(tmp_path / "out.gif", tracks, keypoints)
    for name in ("out.gif", "out.mp4"):
        with pytest.raises(FileNotFoundError):
            write(tmp_path / "no folder" / name, [TRACK])
    assert not list(tmp_path.iterdir())


@needs_ffmpeg
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ffmpeg_that_ends_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", shutil.which("false") or "false")
    with pytest.raises(OSError, match=r"out\.mp4\.part: ffmpeg could not write it"):
        write_animation(tmp_path / "out.mp4", [TRACK])
    gc.collect()  # imageio-ffmpeg leaves its end of the pipe open
    assert not list(tmp_path.iterdir())


def test_other_suffixes_and_a_missing_library_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match=r"ends in \.gif or \.mp4"):
        write_animation(tmp_path / "out.avi", [TRACK])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs imageio-ffmpeg: pip install 'gcnpose\[video\]'"):
        write_animation(tmp_path / "out.mp4", [TRACK])


def test_what_was_there_stays_if_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "motion.gif"
    path.write_bytes(b"before")

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_animation(path, [TRACK])
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
