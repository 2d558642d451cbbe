"""3D tracks as a scene to look at: one clock, a level floor, people who do not stand in one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.keypoints.checked import check_tracks
from gcnpose.keypoints.track3d import Track3D
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.keypoints.trajectory import STEEPEST_DEGREES, Floor, estimate_floor

FRAMES_PER_SECOND = 25.0
"""Where no file tells the frame rate."""
APART_M = 1.2
"""Between people whose places are not known."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Performer:
    """A track on the scene.

    Attributes:
        track: Who it is.
        positions: Metres, x right as in the camera's image, y up, z towards the camera; (frames, joints, 3).
        start: Number of the scene's frame that it begins with.
    """

    track: Track3D
    positions: Array
    start: int


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn.

    Attributes:
        people: The lifted tracks.
        first_frame: The file's number of the scene's first frame.
        frame_step: By how much that number goes up from one frame to the next.
        frames: How many frames.
        fps: Frames per second.
        fps_known: Whether the tracks tell it.
        placed: Whether people stand where they are. If not, side by side, each with the root in one place.
        floor: Height of the floor, metres.
    """

    people: tuple[Performer, ...]
    first_frame: int
    frame_step: int
    frames: int
    fps: float
    fps_known: bool
    placed: bool
    floor: float

    def number(self, frame: int) -> int:
        """The file's number of a frame of the scene."""
        return self.first_frame + self.frame_step * frame


def make_scene(tracks: Sequence[Track3D]) -> Scene:
    """The scene of some tracks, turned so that the floor they stand on is level.

    Raises:
        InputError: as :func:`gcnpose.keypoints.checked.check_tracks`, or if the steps of the frames differ.
    """
    check_tracks(tracks)
    placed = all(track.translation is not None for track in tracks)
    if not placed:
        tracks = [dataclasses.replace(track, translation=None) for track in tracks]
    floor = _floor(tracks)
    right = np.array([1.0, 0.0, 0.0]) - floor.up[0] * floor.up
    right /= np.linalg.norm(right)
    axes = np.stack([right, floor.up, np.cross(right, floor.up)])
    names = list(dict.fromkeys(track.person for track in tracks))
    first = min(int(track.frames[0]) for track in tracks)
    last = max(int(track.frames[-1]) for track in tracks)
    step = tracks[0].frame_step
    if any(track.frame_step != step for track in tracks):
        raise InputError("the frames of one scene must be numbered in the same steps")
    rates = [track.fps for track in tracks if track.fps]

    def perform(track: Track3D) -> Performer:
        positions = track.placed @ axes.T
        if not placed:
            positions[..., 0] += APART_M * names.index(track.person)
        return Performer(track, positions, (int(track.frames[0]) - first) // step)

    return Scene(
        people=tuple(map(perform, tracks)),
        first_frame=first,
        frame_step=step,
        frames=(last - first) // step + 1,
        fps=rates[0] if rates else FRAMES_PER_SECOND,
        fps_known=bool(rates),
        placed=placed,
        floor=floor.height,
    )


def check_keypoints(scene: Scene, keypoints: Sequence[KeypointTrack]) -> None:
    """Refuses 2D that is not of the same people and frames.

    Raises:
        InputError: naming the person.
    """
    if len(keypoints) != len(scene.people):
        raise InputError(
            f"expected a 2D track for every 3D track, got {len(keypoints)} for {len(scene.people)}"
        )
    for person, flat in zip(scene.people, keypoints, strict=True):
        frames = person.track.frames
        if not np.array_equal(flat.frames, frames):
            raise InputError(
                f"person {person.track.person!r}: 3D of {len(frames)} frames, {frames[0]} to {frames[-1]}, "
                f"but 2D of {len(flat.frames)}, {flat.frames[0]} to {flat.frames[-1]}"
            )


def _floor(tracks: Sequence[Track3D]) -> Floor:
    """The floor in the camera's frame; level at the lowest joints where people do not show it."""
    level = np.array([0.0, -1.0, 0.0])
    try:
        floor = estimate_floor(tracks)
    except InputError:  # a skeleton without feet
        floor = None
    if floor is not None and floor.tilt_degrees <= STEEPEST_DEGREES:
        return floor
    lowest = np.concatenate([(track.placed @ level).min(axis=1) for track in tracks])
    return Floor(level, float(np.percentile(lowest, 5)))
