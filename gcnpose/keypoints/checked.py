"""What every writer and picture of 3D tracks asks of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gcnpose.errors import InputError
from gcnpose.keypoints.track3d import Track3D


def check_tracks(tracks: Sequence[Track3D]) -> None:
    """Refuses what cannot be written or drawn.

    Raises:
        InputError: if there is no track, a track has no frame, or a position or translation is not finite.
    """
    if not tracks:
        raise InputError("3D tracks: expected at least one, got none")
    for track in tracks:
        where = f"3D track of person {track.person!r}"
        if not len(track.frames):
            raise InputError(f"{where}: has no frame")
        wrong = np.argwhere(~np.isfinite(track.positions).all(axis=-1))
        if len(wrong):
            frame, joint = track.frames[wrong[0, 0]], track.skeleton.joints[wrong[0, 1]]
            raise InputError(f"{where}: frame {frame}, joint {joint!r} is not finite")
        if track.translation is not None and not np.isfinite(track.translation).all():
            frame = track.frames[np.argwhere(~np.isfinite(track.translation))[0, 0]]
            raise InputError(f"{where}: frame {frame}, the translation is not finite")
