"""3D tracks, and the 2D they were lifted from, for the tests of files and pictures."""

from __future__ import annotations

import numpy as np

from gcnpose.keypoints.track3d import Intrinsics, Track3D
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.skeleton import Skeleton

SKELETON = Skeleton.load("h36m17")

# A man who stands before the camera and faces it, so his left is at larger x; metres, y down.
STANDING = np.array(
    [
        [0.00, 0.00, 0.00],  # pelvis
        [-0.13, 0.00, 0.00],  # right hip, knee, ankle
        [-0.14, 0.44, -0.02],
        [-0.15, 0.88, 0.05],
        [0.13, 0.00, 0.00],  # left hip, knee, ankle
        [0.14, 0.44, -0.02],
        [0.15, 0.88, 0.05],
        [0.00, -0.24, 0.01],  # spine, thorax, nose, head
        [0.00, -0.49, 0.02],
        [0.00, -0.58, -0.06],
        [0.00, -0.70, 0.00],
        [0.15, -0.45, 0.02],  # left shoulder, elbow, wrist
        [0.20, -0.17, 0.02],
        [0.22, 0.07, -0.05],
        [-0.15, -0.45, 0.02],  # right shoulder, elbow, wrist
        [-0.20, -0.17, 0.02],
        [-0.22, 0.07, -0.05],
    ]
)
FOCAL_PX, SIZE = 1000.0, (1280, 720)


def standing_track(
    person: str = "1",
    frames: int = 6,
    first: int = 10,
    place: tuple[float, float, float] | None = (0.5, 0.2, 4.0),
    fps: float | None = 25.0,
    step: int = 1,
) -> Track3D:
    """Somebody who sways by 2 cm and steps 1 cm to the right in every frame; the third frame is filled in."""
    count = np.arange(frames)
    sway = 0.02 * np.sin(count)[:, None, None] * np.linspace(0, 1, 17)[:, None]
    measured = np.ones((frames, 17), dtype=bool)
    measured[2:3] = False
    translation = None
    if place is not None:
        translation = (np.array(place) + 0.01 * count[:, None] * [1, 0, 0]).astype(np.float32)
    return Track3D(
        person=person,
        skeleton=SKELETON,
        fps=fps,
        frames=first + step * count,
        positions=(STANDING + sway).astype(np.float32),
        translation=translation,
        score=np.linspace(0.2, 0.9, frames * 17, dtype=np.float32).reshape(frames, 17),
        measured=measured,
        intrinsics=None if place is None else Intrinsics((FOCAL_PX, FOCAL_PX), (640.0, 360.0), guessed=True),
        frame_step=step,
    )


def keypoints_of(track: Track3D) -> KeypointTrack:
    """The projection of a track, from 4 m where its place is not known."""
    points = track.placed if track.translation is not None else track.positions + np.array([0, 0, 4.0])
    pixels = FOCAL_PX * points[..., :2] / points[..., 2:] + [640.0, 360.0]
    return KeypointTrack(
        person=track.person,
        layout="h36m17",
        first_frame=int(track.frames[0]),
        keypoints_2d=pixels.astype(np.float32),
        score=track.score,
        measured=track.measured,
        image_size=SIZE,
        fps=track.fps,
        frame_step=track.frame_step,
    )
