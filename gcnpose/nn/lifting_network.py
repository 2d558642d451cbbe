"""What all networks that lift 2D keypoints have in common."""

import torch
from torch import Tensor, nn

from gcnpose.skeleton import Skeleton


def pose_head(in_features: int, joints: int = 1) -> nn.Linear:
    """The layer from features to the positions of some joints; every joint begins at the root.

    Weights that are drawn would begin metres away, where the motion loss, which multiplies poses, is larger
    still.
    """
    head = nn.Linear(in_features, joints * 3)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return head


class LiftingNetwork(nn.Module):
    """Lifts 2D keypoint sequences to root-relative 3D: the base of every network.

    It checks the input, normalises it by a batch norm over joints and channels, and applies the head in full
    precision. In between stands ``features``, which a network adds, with its ``head`` and its ``reach``.

    Args:
        skeleton: Gives the number of joints and the root.
        input_channels: 2 for (x, y), 3 for (x, y, detector score).
        scaled_input: Whether the input's batch norm has a scale and a shift to learn.
        root_relative_input: Whether every joint's (x, y) is taken relative to the root's; the root's own stay
            where they are in the image, so nothing is lost. Else a joint of a graph network learns of the
            root over as many layers as there are hops to it.

    Shapes:
        - input: (batch, frames, joints, input_channels), 2D normalised by the image width
        - output: (batch, frames, joints, 3), metres, relative to the root, in the camera's frame
    """

    head: nn.Linear
    moved: Tensor

    def __init__(
        self, skeleton: Skeleton, input_channels: int, scaled_input: bool, root_relative_input: bool
    ) -> None:
        super().__init__()
        self.joints = skeleton.num_joints
        self.input_channels = input_channels
        self.input_statistics_fixed = False
        self.input_norm = nn.BatchNorm1d(self.joints * input_channels, affine=scaled_input)
        self.root = skeleton.root_index
        self.root_relative_input = root_relative_input
        moved = torch.ones(self.joints, input_channels)
        moved[self.root] = 0
        moved[:, 2:] = 0  # a score
        self.register_buffer("moved", moved, persistent=False)

    @property
    def stride_product(self) -> int:
        """Frames between two that are treated alike; 1: all are."""
        return 1

    @property
    def reach(self) -> int:
        """Input frames farther than this from an output frame do not change it; a multiple of the strides."""
        raise NotImplementedError

    @property
    def input_extent(self) -> float:
        """Distance of joints from the root in the 2D of the training, root mean square; 0 before any.

        By the statistics of the input's batch norm; where these are of places in the image, as if poses did
        not depend on where the root is.
        """
        mean, variance = self.input_norm.running_mean, self.input_norm.running_var
        assert mean is not None and variance is not None
        trained = variance.ne(1).any()
        mean, variance = (values.view(self.joints, -1)[:, :2] for values in (mean, variance))
        if not self.root_relative_input:
            mean, variance = mean - mean[self.root], variance - variance[self.root]
        square = (mean.square() + variance).sum(dim=1)
        square[self.root] = 0
        return float(square.sum().clamp(min=0).div(max(self.joints - 1, 1)).sqrt() * trained)

    def features(self, x: Tensor) -> Tensor:
        """What the head turns into positions.

        Shapes:
            - x: (batch, frames, joints, input_channels), normalised
            - returns: (batch, frames, joints, channels), or (batch, frames, channels) of all joints together
        """
        raise NotImplementedError

    @torch.no_grad()
    def fix_input_statistics(self, keypoints_2d: Tensor) -> None:
        """Sets the input batch norm's mean and variance to those of some data, for training too.

        A batch of few windows has few places in the image, and its own mean and variance say little of where
        the joints are. The network that predicts is the same: there the statistics are fixed anyway.

        Shapes:
            - keypoints_2d: (windows, frames, joints, input_channels)
        """
        features = self._placed(keypoints_2d).flatten(2).flatten(0, 1)
        self.input_norm.running_mean = features.mean(dim=0)
        self.input_norm.running_var = features.var(dim=0)
        self.input_statistics_fixed = True
        self.train(self.training)

    def train(self, mode: bool = True) -> "LiftingNetwork":
        super().train(mode)
        if self.input_statistics_fixed:
            self.input_norm.eval()
        return self

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        if keypoints_2d.dim() != 4 or keypoints_2d.shape[2:] != (self.joints, self.input_channels):
            raise ValueError(
                f"expected (batch, frames, {self.joints} joints, {self.input_channels} channels), "
                f"got {tuple(keypoints_2d.shape)}"
            )
        placed = self._placed(keypoints_2d)
        x = self.input_norm(placed.reshape(-1, self.joints * self.input_channels)).view(keypoints_2d.shape)
        x = self.features(x)
        # Under autocast too: bfloat16 would round a metre to multiples of 4 mm, which the motion loss sees
        # as jitter.
        with torch.autocast(x.device.type, enabled=False):
            return self.head(x.to(self.head.weight.dtype)).reshape(*keypoints_2d.shape[:3], 3)

    def _placed(self, keypoints_2d: Tensor) -> Tensor:
        """The 2D as the network takes it: where it is in the image, or relative to the root."""
        if not self.root_relative_input:
            return keypoints_2d
        return keypoints_2d - keypoints_2d[:, :, self.root : self.root + 1] * self.moved
