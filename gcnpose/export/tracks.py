"""3D tracks as files: npz, JSON and CSV. ``docs/output_formats.md`` describes them for their readers."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import gcnpose
from gcnpose.errors import InputError
from gcnpose.files import replacing
from gcnpose.keypoints.checked import check_tracks
from gcnpose.keypoints.track3d import Track3D

FORMAT = "gcnpose tracks 1"
DECIMALS_M, DECIMALS_SCORE = 5, 3
"""Of the texts: a hundredth of a millimetre. The npz keeps every bit."""


def describe(tracks: Sequence[Track3D]) -> dict[str, Any]:
    """What all three files say of themselves under ``meta``."""
    return {
        "format": FORMAT,
        "producer": f"gcnpose {gcnpose.__version__}",
        "units": "metres",
        "axes": "camera: x right, y down, z forward",
        "positions": "relative to the root joint",
        "translation": "of the root joint from the camera, to be added to the positions; null: not known",
        "score": "0 to 1, of the detector",
        "measured": "true: lifted from a detected joint; false: from one that was filled in",
        "tracks": [
            {
                "person": track.person,
                "skeleton": track.skeleton.to_dict(),
                "fps": track.fps,
                "frames": len(track.frames),
                "frame_step": track.frame_step,
                "translation": track.translation is not None,
                "intrinsics": None if track.intrinsics is None else vars(track.intrinsics),
            }
            for track in tracks
        ],
    }


def write_npz(path: Path, tracks: Sequence[Track3D]) -> None:
    """Arrays ``positions/N``, ``score/N``, ``measured/N``, ``frames/N`` and, where known, ``translation/N``.

    N counts the tracks from 0. ``meta`` is a text, JSON, as :func:`describe` gives it. Nothing is pickled.

    Raises:
        InputError: as :func:`gcnpose.keypoints.checked.check_tracks`.
        OSError: if the file cannot be written.
    """
    check_tracks(tracks)
    arrays: dict[str, Any] = {"meta": np.array(json.dumps(describe(tracks)))}
    for number, track in enumerate(tracks):
        for name in ("positions", "translation", "score", "measured", "frames"):
            if getattr(track, name) is not None:
                arrays[f"{name}/{number}"] = getattr(track, name)
    with replacing(path) as partial, partial.open("wb") as file:
        np.savez_compressed(file, **arrays)


def write_json(path: Path, tracks: Sequence[Track3D]) -> None:
    """``{"meta": ..., "tracks": [{"positions": [frame][joint][x, y, z], ...}]}``, the names of the npz.

    Raises:
        InputError: as :func:`gcnpose.keypoints.checked.check_tracks`.
        OSError: if the file cannot be written.
    """
    check_tracks(tracks)
    content = {"meta": describe(tracks), "tracks": [_lists(track) for track in tracks]}
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: Path, tracks: Sequence[Track3D]) -> None:
    """A row for every person and frame; the first line is ``#`` and the meta, the second the columns.

    Columns: ``person``, ``frame``, ``time_s`` (from frame 0; empty where the frame rate is not known),
    ``score`` (mean over the joints), ``measured`` (1: at least one joint was), ``translation_x`` to ``_z``
    (empty where not known), then ``JOINT_x``, ``_y``, ``_z`` and ``_score`` for every joint, and last
    ``JOINT_measured`` for every joint.

    Raises:
        InputError: as :func:`gcnpose.keypoints.checked.check_tracks`, or if the joints differ between tracks.
        OSError: if the file cannot be written.
    """
    check_tracks(tracks)
    joints = tracks[0].skeleton.joints
    for track in tracks:
        if track.skeleton.joints != joints:
            names = f"{tracks[0].skeleton.name} and {track.skeleton.name}"
            raise InputError(f"{path}: a CSV has the joints of one skeleton, came {names}")
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {json.dumps(describe(tracks))}\n")
        writer = csv.writer(file)
        writer.writerow(
            ["person", "frame", "time_s", "score", "measured", *(f"translation_{axis}" for axis in "xyz")]
            + [f"{joint}_{value}" for joint in joints for value in ("x", "y", "z", "score")]
            + [f"{joint}_measured" for joint in joints]
        )
        for track in tracks:
            writer.writerows(_rows(track))


def _lists(track: Track3D) -> dict[str, Any]:
    translation = None if track.translation is None else _rounded(track.translation).tolist()
    return {
        "person": track.person,
        "frames": track.frames.tolist(),
        "positions": _rounded(track.positions).tolist(),
        "translation": translation,
        "score": _rounded(track.score, DECIMALS_SCORE).tolist(),
        "measured": track.measured.tolist(),
    }


def _rows(track: Track3D) -> Iterator[list[Any]]:
    frames = len(track.frames)
    times: list[list[Any]] = [[""]] * frames
    if track.fps is not None:
        times = (track.frames[:, None] / track.frame_step / track.fps).round(6).tolist()
    places = [[""] * 3] * frames if track.translation is None else _rounded(track.translation).tolist()
    scores = _rounded(track.score, DECIMALS_SCORE)
    joints = np.concatenate([_rounded(track.positions), scores[..., None]], axis=-1)
    columns = (
        track.frames.tolist(),
        times,
        scores.mean(axis=1).round(DECIMALS_SCORE).tolist(),
        track.measured.any(axis=1).astype(int).tolist(),
        places,
        joints.reshape(frames, -1).tolist(),
        track.measured.astype(int).tolist(),
    )
    for frame, time, score, measured, place, values, found in zip(*columns, strict=True):
        yield [track.person, frame, *time, score, measured, *place, *values, *found]


def _rounded(values: npt.NDArray[np.floating], decimals: int = DECIMALS_M) -> npt.NDArray[np.float64]:
    """In double precision, which prints as the shortest decimal number."""
    return values.astype(np.float64).round(decimals)
