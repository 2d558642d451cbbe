"""2D as a camera sees it that follows the person: what a network knows, whoever is seen from wherever."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GUESSED_FOCAL = 2.0
"""In halves of the image's longer side: what `predict` guesses of the camera."""
LARGEST_RATIO = 1.2
"""How much larger or smaller than the training's people may be in the image without being zoomed."""
# Along the axis, of rays that are 1 long there: joints farther than 84 degrees from it stay in view.
_NEAREST = 0.1


def follow(sequence: Tensor, root: int, focal: float, extent: float, reach: int) -> tuple[Tensor, Tensor]:
    """Keypoints as a camera in the same place sees them that turns and zooms to keep the person in view.

    It looks where the root is, and zooms to the size that the network was trained on where the person is
    larger or smaller by more than `LARGEST_RATIO`; both on average over some time, so that it moves slowly.
    Poses are then where training has had them, however far away and off the axis the person is. The idea of
    turning is that of perspective crops (Yu et al., "PCLs: Geometry-aware neural reconstruction of 3D pose
    with perspective crop layers", CVPR 2021).

    Args:
        sequence: Normalised by the image width.
        root: Index of the root joint.
        focal: Focal length in half image widths. A guess does: it changes how far the camera turns, not where
            to.
        extent: Distance of joints from the root that the network knows, root mean square; 0: unknown, no
            zoom.
        reach: Frames before and after one that count for where the camera looks then.

    Returns:
        The sequence, and the rotation from the given camera's frame to that of each frame, for
        :func:`turn_back`.

    Shapes:
        sequence ([batch,] frames, joints, 2 or 3) -> the same, and ([batch,] frames, 3, 3)
    """
    rays = torch.cat([sequence[..., :2] / focal, torch.ones_like(sequence[..., :1])], dim=-1)
    axis = _moving_mean(F.normalize(rays[..., root, :], dim=-1), reach)
    rotation = _turn_to_z(F.normalize(axis, dim=-1))
    turned = _product(rays, rotation.mT)
    seen = turned[..., :2] / turned[..., 2:].clamp(min=_NEAREST) * focal
    if extent > 0:
        from_root = seen - seen[..., root : root + 1, :]
        square = from_root.square().sum(dim=-1).sum(dim=-1, keepdim=True) / max(seen.shape[-2] - 1, 1)
        ratio = (_moving_mean(square, reach).sqrt() / extent)[..., None]
        zoom = ratio.clamp(1 / LARGEST_RATIO, LARGEST_RATIO) / ratio.clamp(min=1e-6)
        middle = _moving_mean(seen[..., root, :], reach)[..., None, :]
        seen = middle + (seen - middle) * zoom
    return torch.cat([seen, sequence[..., 2:]], dim=-1), rotation


def turn_back(poses: Tensor, rotation: Tensor) -> Tensor:
    """Poses of what :func:`follow` sees, in the frame of the given camera.

    Shapes:
        poses (..., joints, 3), rotation (..., 3, 3) -> as the poses, in single precision
    """
    return _product(poses.float(), rotation)


class Following(nn.Module):
    """A network that lifts what a camera sees that follows the person, in one pass; see :func:`follow`.

    The camera is guessed, :data:`GUESSED_FOCAL`.

    Args:
        network: What lifts.
        root, extent, reach: As for :func:`follow`.

    Shapes:
        - input: (batch, frames, joints, 2 or 3), normalised by the image's longer side
        - output: (batch, frames, joints, 3), in the frame of the given camera
    """

    def __init__(self, network: nn.Module, root: int, extent: float, reach: int) -> None:
        super().__init__()
        self.network = network
        self.root, self.extent, self.reach = root, extent, reach

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        seen, rotation = follow(keypoints_2d, self.root, GUESSED_FOCAL, self.extent, self.reach)
        return turn_back(self.network(seen), rotation)


def _product(points: Tensor, rotation: Tensor) -> Tensor:
    """Row vectors times matrices, which autocast does not round."""
    with torch.autocast(points.device.type, enabled=False):
        return points @ rotation


def _moving_mean(values: Tensor, reach: int) -> Tensor:
    """Mean over the frames from ``reach`` before to ``reach`` after each.

    Shapes: ([batch,] frames, channels) -> the same
    """
    kernel = 2 * reach + 1
    return F.avg_pool1d(values.mT, kernel, stride=1, padding=reach, count_include_pad=False).mT


def _turn_to_z(axis: Tensor) -> Tensor:
    """The smallest rotations that bring unit vectors, z above 0, to (0, 0, 1).

    Shapes:
        (..., 3) -> (..., 3, 3)
    """
    x, y, z = axis.unbind(dim=-1)
    xx, xy, yy = 1 - x * x / (1 + z), -x * y / (1 + z), 1 - y * y / (1 + z)
    return torch.stack([xx, xy, -x, xy, yy, -y, x, y, z], dim=-1).unflatten(-1, (3, 3))
