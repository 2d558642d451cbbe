"""Refinement: a second network that corrects a pose from its 2D, given the camera."""

import torch
from torch import Tensor, nn

from gcnpose.nn.dropout import Dropout


def place_on_rays(pose_3d: Tensor, rays: Tensor, root_depth: Tensor, root: int) -> Tensor:
    """The pose of the same depths whose joints project onto the 2D.

    A joint that is seen at (u, v), in focal lengths from the principal point, and whose depth is z, lies at
    (u z, v z, z).

    Args:
        pose_3d: Gives each joint's depth, relative to the root.
        rays: Where the joints are seen: X / Z and Y / Z.
        root_depth: Of the root, metres from the camera.
        root: Number of the root joint.

    Shapes:
        - pose_3d: (..., joints, 3), rays: (..., joints, 2), root_depth: (...)
        - returns: (..., joints, 3), metres; x and y relative to the root, the depths as they were
    """
    relative = pose_3d[..., 2:]
    depth = root_depth[..., None, None] + relative - relative[..., root : root + 1, :]
    x_y = rays * depth
    return torch.cat([x_y - x_y[..., root : root + 1, :], relative], dim=-1)


class Refinement(nn.Module):
    """Chooses, for each joint's x and y, a mean of the prediction and of what lies on its ray.

    After Cai et al., "Exploiting Spatial-temporal Relationships for 3D Pose Estimation via Graph
    Convolutional Networks" (ICCV 2019), as their published code has it: both poses of a frame go through one
    hidden layer of 1024 features with ReLU and dropout of one half; the sigmoid of what comes out are the
    shares. The depths stay.

    Args:
        joints: Joints of the skeleton.
        width: Features of the hidden layer.
        dropout: Dropout probability after it.

    Shapes:
        - pose_3d and on_rays: (..., joints, 3), metres, the second from :func:`place_on_rays`
        - output: (..., joints, 3)
    """

    def __init__(self, joints: int, width: int = 1024, dropout: float = 0.5) -> None:
        super().__init__()
        self.joints = joints
        self.layers = nn.Sequential(
            nn.Linear(6 * joints, width),
            nn.ReLU(inplace=True),
            Dropout(dropout),
            nn.Linear(width, 2 * joints),
        )

    def forward(self, pose_3d: Tensor, on_rays: Tensor) -> Tensor:
        both = torch.cat([pose_3d, on_rays], dim=-1)
        share = self.layers(both.flatten(-2)).sigmoid().unflatten(-1, (self.joints, 2))
        return torch.cat([torch.lerp(on_rays[..., :2], pose_3d[..., :2], share), pose_3d[..., 2:]], dim=-1)
