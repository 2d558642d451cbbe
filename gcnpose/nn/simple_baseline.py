"""SimpleBaseline: a residual network of fully connected layers, frame by frame."""

from torch import Tensor, nn

from gcnpose.nn.dropout import Dropout
from gcnpose.nn.lifting_network import LiftingNetwork, pose_head
from gcnpose.nn.st_block import ChannelNorm
from gcnpose.skeleton import Skeleton


class ResidualBlock(nn.Module):
    """Two fully connected layers, each with batch norm, ReLU and dropout, beside the input itself.

    Shapes:
        - input and output: (..., width)
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_layer(width, width, dropout), *_layer(width, width, dropout))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class SimpleBaseline(LiftingNetwork):
    """Lifts every frame by itself with a residual network of fully connected layers.

    Martinez, Hossain, Romero, Little, "A simple yet effective baseline for 3d human pose estimation" (ICCV
    2017): a layer to 1024 features, two residual blocks of two layers, a layer to the pose; batch
    norm, ReLU and dropout of one half after all but the last; weights begin as He et al. (2015) draw them.

    What is not the paper's:

    - Its constraint that no layer's weights have a norm above 1, which the paper found to steady the
      training, is left out: the batch norms make the scale of all weights but the last layer's immaterial.
    - It takes the 16 joints of its 2D detector and gives all joints but the root. Here the skeleton's joints
      go in and come out.
    - It standardises the pose by its mean and deviation over the training data. Here the pose is in metres,
      which the loss that all networks share needs, and the last layer begins at zero: drawn like the
      others it would begin metres away.
    - A training batch holds windows of consecutive frames, where the paper's holds frames from anywhere.

    Args:
        skeleton: Gives the number of joints; its bones do not matter.
        input_channels: 2 for (x, y), 3 for (x, y, detector score).
        width: Features of a layer.
        blocks: Residual blocks.
        dropout: Dropout probability after every layer but the last.
        root_relative_input: See :class:`gcnpose.nn.LiftingNetwork`.

    Shapes:
        - input: (batch, frames, joints, input_channels), 2D normalised by the image width
        - output: (batch, frames, joints, 3), metres, relative to the root, in the camera's frame
    """

    def __init__(
        self,
        skeleton: Skeleton,
        input_channels: int = 2,
        width: int = 1024,
        blocks: int = 2,
        dropout: float = 0.5,
        root_relative_input: bool = False,
    ) -> None:
        super().__init__(
            skeleton, input_channels, scaled_input=False, root_relative_input=root_relative_input
        )
        self.first = nn.Sequential(*_layer(self.joints * input_channels, width, dropout))
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                nn.init.zeros_(module.bias)
        self.head = pose_head(width, self.joints)

    @property
    def reach(self) -> int:
        """Input frames farther than this from an output frame do not change it: a frame sees itself alone."""
        return 0

    def features(self, x: Tensor) -> Tensor:
        return self.blocks(self.first(x.flatten(2)))


def _layer(in_features: int, out_features: int, dropout: float) -> list[nn.Module]:
    norm = ChannelNorm(out_features)
    return [nn.Linear(in_features, out_features), norm, nn.ReLU(inplace=True), Dropout(dropout)]
