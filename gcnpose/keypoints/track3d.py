"""One person in 3D through time: what lifting a :class:`gcnpose.keypoints.tracks.KeypointTrack` gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcnpose.skeleton import Skeleton


@dataclass(frozen=True)
class Intrinsics:
    """A camera without distortion.

    Attributes:
        focal_px: Focal length along x and y, pixels.
        center_px: Principal point, pixels.
        guessed: Made up from the image size, not measured.
    """

    focal_px: tuple[float, float]
    center_px: tuple[float, float]
    guessed: bool = False


@dataclass(frozen=True, eq=False)
class Track3D:
    """3D of one person in consecutive frames, in the camera's frame: x right, y down, z forward.

    Attributes:
        person: As in the track that was lifted.
        skeleton: Names the joints.
        fps: Frames per second; None where the keypoint file does not tell it.
        frames: Number of every frame, on the keypoint file's own count.
        positions: Metres, relative to the root. As the network gives them: the root is near zero, not zero.
        translation: Place of the root, metres from the camera; None where it was not fitted.
        score: 0 to 1, the detector's, carried along to the joints of the skeleton.
        measured: The detector found what the joint was lifted from; where not, it was filled in.
        intrinsics: What the translation was fitted with; None where it was not.
        frame_step: By how much the number goes up from one frame to the next.

    Shapes:
        frames (frames,), positions (frames, joints, 3), translation (frames, 3), score and measured
        (frames, joints)
    """

    person: str
    skeleton: Skeleton
    fps: float | None
    frames: npt.NDArray[np.int64]
    positions: npt.NDArray[np.float32]
    translation: npt.NDArray[np.float32] | None
    score: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]
    intrinsics: Intrinsics | None = None
    frame_step: int = 1

    @property
    def placed(self) -> npt.NDArray[np.float32]:
        """Positions where the person is: with the translation added, if there is one.

        Shapes: (frames, joints, 3)
        """
        return self.positions if self.translation is None else self.positions + self.translation[:, None]
