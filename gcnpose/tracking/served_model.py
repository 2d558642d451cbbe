"""What serves a logged network: keypoints in pixels in, 3D out.

MLflow keeps a copy of this file with the model and loads it by itself, so it imports nothing of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FOLLOWS_FILE, FOLLOWS = "follows", "yes"
"""Name in the file of a network, and content, if it lifts people as a camera sees them that follows."""


class ServedModel:
    """Lifts keypoints of people who are each followed through consecutive frames.

    Args:
        network: From normalised keypoints to root-relative 3D.
        follows: Whether it takes keypoints normalised by the image's longer side, not by its width.
    """

    def __init__(self, network: Callable[[Tensor], Tensor], follows: bool) -> None:
        self.network = network
        self.follows = follows

    def predict(
        self, keypoints_2d: npt.NDArray[np.float32], params: Mapping[str, Any] | None = None
    ) -> npt.NDArray[np.float32]:
        """3D in metres, relative to the root joint, in the camera's frame: x right, y down, z forward.

        Args:
            keypoints_2d: x and y in pixels, then the score where the network was trained with it.
            params: ``width`` and ``height`` of the image, pixels.

        Shapes:
            (people, frames, joints, 2 or 3) -> (people, frames, joints, 3)

        Raises:
            MlflowException: if a size is missing or not positive, there is no frame, or a number is not
                finite. The server answers it with status 400 and the reason.
        """
        width, height = ((params or {}).get(side) for side in ("width", "height"))
        if not (width and height and width > 0 and height > 0):
            raise _refused(
                "params: expected the width and height of the image in pixels, "
                f"as in {{'width': 1920, 'height': 1080}}, not {width} and {height}"
            )
        if keypoints_2d.size == 0:
            raise _refused(f"expected at least one person and one frame, got the shape {keypoints_2d.shape}")
        if not np.isfinite(keypoints_2d).all():
            person, frame, joint = np.argwhere(~np.isfinite(keypoints_2d))[0, :3]
            raise _refused(f"person {person}, frame {frame}, joint {joint}: the keypoint is not finite")
        side = max(width, height) if self.follows else width
        normalised = keypoints_2d.copy()
        normalised[..., :2] = (keypoints_2d[..., :2] * 2 - [width, height]) / side
        with torch.inference_mode():
            lifted: npt.NDArray[np.float32] = self.network(torch.from_numpy(normalised)).numpy()
        return lifted


def _refused(reason: str) -> Exception:
    from mlflow.exceptions import MlflowException

    refusal: Exception = MlflowException.invalid_parameter_value(reason)
    return refusal


def _load_pyfunc(path: str) -> ServedModel:
    """What MLflow calls, with the file of the network that was logged."""
    extra_files = {FOLLOWS_FILE: ""}
    network = torch.export.load(path, extra_files=extra_files).module()
    return ServedModel(network, extra_files[FOLLOWS_FILE] == FOLLOWS)
