"""Lifting frames as they come, with a constant delay."""

from __future__ import annotations

import math
from collections import deque
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gcnpose.errors import InputError
from gcnpose.inference.lifter import Lifter, focal_length
from gcnpose.keypoints.conversion import Conversion
from gcnpose.keypoints.track3d import Intrinsics

DELAY = 8
"""Frames of the network between a frame and its 3D. On motion capture at 50 frames per second the error is
3 mm larger with half of it, and 1 mm smaller with twice."""


class StreamingLifter:
    """Takes the keypoints of one person frame by frame and gives 3D, ``delay`` frames later.

    Every new frame is lifted in a window of the last ``lifter.window`` frames; before the first frame the
    window holds that frame again and again. A frame lies in all windows that end with it or later. Its 3D is
    the mean over those that end half the delay to all of it later: the later ones know more of what
    follows, and in the mean of several the pattern cancels that the network's strides leave.

    Frames of another rate than :meth:`Lifter.lifted_at` are resampled to that, and the 3D back again, between
    neighbours and along straight lines. The network's delay is then one frame less than there is time for,
    since a frame's 3D lies between two of the network's.

    A joint that is missing stays where it was last seen, and before that in the middle of the joints that are
    there.

    Args:
        lifter: Gives network, window, flip and precision.
        layout: Joints of the frames: name of a graph, or path of its file.
        image_size: Width and height in pixels.
        delay: In frames as they come; None: as much time as `DELAY` frames of the network.
        fps: Frames per second as they come; None: as many as the network was trained at.
        intrinsics: Of the camera; None: a guess from the image size.

    Raises:
        InputError: if the delay is out of range, or there is no conversion for the joints.
    """

    def __init__(
        self,
        lifter: Lifter,
        layout: str,
        image_size: tuple[int, int],
        delay: int | None = None,
        fps: float | None = None,
        intrinsics: Intrinsics | None = None,
    ) -> None:
        if fps is not None and not 0 < fps < math.inf:
            raise InputError(f"fps: expected more than 0, got {fps:g}")
        lifted_at = lifter.lifted_at(fps)
        # Frames of the network per frame that comes; exact, so that the two never part.
        self._ratio = Fraction(lifted_at) / Fraction(fps) if lifted_at and fps else Fraction(1)
        resampled = self._ratio != 1
        least = math.ceil(1 / self._ratio) if resampled else 0
        most = math.ceil((lifter.window + 1) / self._ratio) - 1 if resampled else lifter.window - 1
        if delay is None:
            per_frame = fps / lifter.fps if fps and lifter.fps else 1.0  # of the network, in the same time
            delay = max(round(DELAY * per_frame), least)
        if not least <= delay <= most:
            raise InputError(f"delay: expected {least} to {most} frames, got {delay}")
        self.lifter = lifter
        self.conversion = Conversion.load(layout, lifter.skeleton, lifter.conversion)
        self.image_size = image_size
        self.focal = focal_length(intrinsics, image_size)
        self.delay = delay
        self._network_delay = math.floor(delay * self._ratio) - resampled
        self._begin()

    def _begin(self) -> None:
        self._frames = 0  # that came
        self.keypoints_2d: npt.NDArray[np.float32] | None = None
        """The last known place of every joint of the frames, in pixels; None before the first."""
        self._newest: Tensor | None = None  # of them, as the network takes it
        self._window: Tensor  # from the first frame on
        # What the last windows say of their last frames, (network's delay + 1, joints, 3), the newest last.
        self._ends: deque[Tensor] = deque(maxlen=self._network_delay + 1)
        self._lifted: dict[int, Tensor] = {}  # the network's frames that are done and still needed, by number

    @property
    def waiting(self) -> int:
        """Frames that were pushed and have no 3D yet."""
        return min(self._frames, self.delay)

    def push(
        self, keypoints_2d: npt.NDArray[np.floating], score: npt.NDArray[np.floating] | None = None
    ) -> npt.NDArray[np.float32] | None:
        """Takes the next frame; gives the 3D of the frame ``delay`` before it, None for the first frames.

        Args:
            keypoints_2d: Pixels; NaN where a joint is missing.
            score: 0 to 1, 0 where a joint is missing; None: 1 for all that are there.

        Shapes:
            keypoints_2d (joints, 2), score (joints,) -> (model's joints, 3) metres, relative to the root

        Raises:
            InputError: if the frame has the wrong shape, or it is the first and has no joint.
        """
        frame = self._complete(np.asarray(keypoints_2d, np.float32), score)
        newest = self.lifter.network_input(*frame, self.image_size)
        if self._newest is None:
            self._window = newest.expand(self.lifter.window, -1, -1)
            self._lift(0, newest)
        else:
            came, before = self._frames * self._ratio, (self._frames - 1) * self._ratio
            for number in range(math.floor(before) + 1, math.floor(came) + 1):
                self._lift(number, torch.lerp(self._newest, newest, float((number - before) / self._ratio)))
        self._newest = newest
        self._frames += 1
        return self._take(self._frames - 1 - self.delay) if self._frames > self.delay else None

    def flush(self) -> npt.NDArray[np.float32]:
        """The 3D of the frames that still wait, from as many windows as there are; then begins anew.

        Shapes:
            (waiting frames, model's joints, 3)
        """
        last = math.floor((self._frames - 1) * self._ratio)
        for newer in reversed(range(min(len(self._ends), self._network_delay))):
            self._lifted[last - newer] = self._mean(newer)
        rest = [self._take(frame) for frame in range(self._frames - self.waiting, self._frames)]
        self._begin()
        return np.stack(rest) if rest else np.empty((0, self.lifter.skeleton.num_joints, 3), np.float32)

    def _lift(self, number: int, newest: Tensor) -> None:
        """Takes the network's next frame, and has the one done whose last window this was."""
        self._window = torch.cat([self._window[1:], newest])
        lifted = self.lifter.lift_window(self._window, self.focal)
        self._ends.append(lifted[self.lifter.window - 1 - self._network_delay :])
        if len(self._ends) > self._network_delay:
            self._lifted[number - self._network_delay] = self._mean(self._network_delay)

    def _take(self, frame: int) -> npt.NDArray[np.float32]:
        """3D of a frame that came, between the two of the network's around it; after its last one, that."""
        place = frame * self._ratio
        before = math.floor(place)
        self._lifted = {number: pose for number, pose in self._lifted.items() if number >= before}
        after = min(math.ceil(place), max(self._lifted))
        return torch.lerp(self._lifted[before], self._lifted[after], float(place - before)).numpy()

    def _mean(self, newer: int) -> Tensor:
        """3D of the network's frame after which there are this many newer ones."""
        first = min(self._network_delay // 2, newer)
        said = [self._ends[later - newer - 1][-1 - later] for later in range(first, newer + 1)]
        return torch.stack(said).mean(dim=0)

    def _complete(
        self, keypoints_2d: npt.NDArray[np.float32], score: npt.NDArray[np.floating] | None
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """One frame in the model's joints without a gap, and its scores, each with an axis for the frame."""
        joints = self.conversion.source.num_joints
        score = np.ones(len(keypoints_2d)) if score is None else np.asarray(score)
        if keypoints_2d.shape != (joints, 2) or score.shape != (joints,):
            raise InputError(
                f"expected keypoints ({joints}, 2) and score ({joints},) for the joints of "
                f"{self.conversion.source.name}, got {keypoints_2d.shape} and {score.shape}"
            )
        there = np.isfinite(keypoints_2d).all(axis=1) & (score > 0)
        if self.keypoints_2d is None:
            if not there.any():
                raise InputError("the first frame has no joint")
            self.keypoints_2d = np.tile(keypoints_2d[there].mean(axis=0), (joints, 1))
        self.keypoints_2d = np.where(there[:, None], keypoints_2d, self.keypoints_2d)
        return self.conversion(self.keypoints_2d[None], np.where(there, score, 0.0)[None])
