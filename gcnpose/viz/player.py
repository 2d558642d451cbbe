"""3D tracks as a page to look at from all sides: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gcnpose.files import replacing
from gcnpose.keypoints.track3d import Track3D
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.skeleton import SIDE_COLOURS, Skeleton
from gcnpose.viz.poses import bone_colours
from gcnpose.viz.scene import Performer, Scene, check_keypoints, make_scene

TEMPLATE = Path(__file__).with_name("player.html")
PLACEHOLDER = "__DATA__"


def write_html(
    path: Path,
    tracks: Sequence[Track3D],
    title: str,
    keypoints: Sequence[KeypointTrack] | None = None,
) -> None:
    """A page that plays the tracks in 3D: orbit, zoom, follow, scrub, change the speed, hide people.

    Positions are kept to the millimetre, keypoints to a thousandth of the image.

    Args:
        path: The file.
        tracks: What was lifted; a person's several tracks are shown as one.
        title: What stands above it.
        keypoints: What it was lifted from, a track for each, shown in a corner.

    Raises:
        InputError: if there is nothing to show, or 2D and 3D do not belong together.
        OSError: if the file cannot be written.
    """
    scene = make_scene(tracks)
    content = {
        "title": title,
        "first_frame": scene.first_frame,
        "frame_step": scene.frame_step,
        "frames": scene.frames,
        "fps": scene.fps,
        "fps_known": scene.fps_known,
        "placed": scene.placed,
        "floor": scene.floor,
        "tracks": [_positions(person) for person in scene.people],
        "keypoints": None if keypoints is None else _keypoints(scene, keypoints),
    }
    page = TEMPLATE.read_text(encoding="utf-8").replace(PLACEHOLDER, _embedded(content))
    with replacing(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _embedded(content: object) -> str:
    """JSON that cannot end the script element it stands in: without ``<``, ``>`` and ``&``."""
    text = json.dumps(content, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _positions(person: Performer) -> dict[str, Any]:
    track = person.track
    root = person.positions[:, track.skeleton.root_index]
    return {
        "person": track.person,
        "start": person.start,
        "frames": len(root),
        "root": _base64(root.astype("<f4")),
        "positions_mm": _base64(_int16((person.positions - root[:, None]) * 1000)),
        "measured": _base64(np.asarray(track.measured.any(axis=1), dtype=np.uint8)),
        **_drawing(track.skeleton),
    }


def _keypoints(scene: Scene, keypoints: Sequence[KeypointTrack]) -> dict[str, Any]:
    check_keypoints(scene, keypoints)
    width, height = keypoints[0].image_size
    scale = 1000 / max(width, height)
    return {
        "width": width * scale,
        "height": height * scale,
        "tracks": [
            {"points": _base64(_int16(flat.keypoints_2d * scale)), **_drawing(Skeleton.load(flat.layout))}
            for flat in keypoints
        ],
    }


def _drawing(skeleton: Skeleton) -> dict[str, Any]:
    return {
        "joints": list(skeleton.joints),
        "bones": skeleton.bone_indices.tolist(),
        "colours": bone_colours(skeleton),
        "sides": {**SIDE_COLOURS, **skeleton.colours},
    }


def _int16(values: npt.NDArray[np.floating]) -> npt.NDArray[np.int16]:
    return np.clip(np.rint(values), -32767, 32767).astype("<i2")


def _base64(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
