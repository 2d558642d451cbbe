"""VideoPose3D: dilated convolutions in time over all joints together."""

from collections.abc import Sequence
from math import prod

from torch import Tensor, nn
from torch.nn import functional as F

from gcnpose.nn.dropout import Dropout
from gcnpose.nn.lifting_network import LiftingNetwork, pose_head
from gcnpose.skeleton import Skeleton


class TemporalBlock(nn.Module):
    """A dilated convolution and one of width 1, each with batch norm, ReLU and dropout, beside the input.

    Neither pads, so the output is shorter than the input at both ends, and so is what the residual takes of
    the input.

    Shapes:
        - input: (batch, channels, frames)
        - output: (batch, channels, frames - (filter_width - 1) * dilation)
    """

    def __init__(self, channels: int, filter_width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.margin = (filter_width // 2) * dilation
        self.layers = nn.Sequential(
            *_layer(channels, channels, filter_width, dilation, dropout),
            *_layer(channels, channels, 1, 1, dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[2]
        return x[:, :, self.margin : frames - self.margin] + self.layers(x)


class VideoPose3D(LiftingNetwork):
    """Lifts sequences by dilated convolutions in time, each over the features of all joints together.

    Pavllo, Feichtenhofer, Grangier, Auli, "3D human pose estimation in video with temporal convolutions and
    semi-supervised training" (CVPR 2019), Section 3: a convolution to 1024 features, then residual blocks
    whose dilation grows by the filters' width, so that a frame sees the product of all widths, then a layer
    to the pose. No convolution pads; the input is continued by its first and last frame.

    What is not the paper's:

    - It trains on one output frame at a time, each with its whole receptive field of true frames, and by
      that mixes more sequences in a batch. Here a window of frames goes in and all its frames come out of one
      pass, which the paper does at inference: same weights, same output. At a window's ends a training frame
      sees the repeated first or last frame instead of its true neighbours, and no frame sees farther than
      the window. A longer ``data.window`` shows it more.
    - Its momentum of the batch norms falls from 0.1 to 0.001 over the training; here it stays 0.1.
    - It trains with AMSGrad, a learning rate of 1e-3 that falls by 5 % an epoch, and by the distance of poses
      alone; here optimiser, schedule and loss are those of the experiment.
    - The input is normalised by its mean and variance, which the paper leaves to the first batch norm, and
      the last layer begins at zero, because of the motion loss.

    Args:
        skeleton: Gives the number of joints; its bones do not matter.
        input_channels: 2 for (x, y), 3 for (x, y, detector score).
        filter_widths: Frames that each convolution spans; odd. Five times 3 sees 243 frames, four times 81.
        width: Features of a layer.
        dropout: Dropout probability after every layer but the last; the paper's is 0.25.
        root_relative_input: See :class:`gcnpose.nn.LiftingNetwork`.

    Shapes:
        - input: (batch, frames, joints, input_channels), 2D normalised by the image width
        - output: (batch, frames, joints, 3), metres, relative to the root, in the camera's frame
    """

    def __init__(
        self,
        skeleton: Skeleton,
        input_channels: int = 2,
        filter_widths: Sequence[int] = (3, 3, 3, 3, 3),
        width: int = 1024,
        dropout: float = 0.25,
        root_relative_input: bool = False,
    ) -> None:
        super().__init__(
            skeleton, input_channels, scaled_input=False, root_relative_input=root_relative_input
        )
        if not filter_widths or any(size % 2 == 0 for size in filter_widths):
            raise ValueError(f"filter_widths must be odd numbers, at least one, not {list(filter_widths)}")
        self.receptive_field = prod(filter_widths)
        first, *others = filter_widths
        self.first = nn.Sequential(*_layer(self.joints * input_channels, width, first, 1, dropout))
        self.blocks = nn.Sequential(
            *(
                TemporalBlock(width, size, prod(filter_widths[:number]), dropout)
                for number, size in enumerate(others, start=1)
            )
        )
        self.head = pose_head(width, self.joints)

    @property
    def reach(self) -> int:
        """Input frames farther than this from an output frame do not change it."""
        return self.receptive_field // 2

    def features(self, x: Tensor) -> Tensor:
        channels_first = F.pad(x.flatten(2).transpose(1, 2), (self.reach, self.reach), mode="replicate")
        return self.blocks(self.first(channels_first)).transpose(1, 2)


def _layer(
    in_channels: int, out_channels: int, kernel_size: int, dilation: int, dropout: float
) -> list[nn.Module]:
    return [
        nn.Conv1d(in_channels, out_channels, kernel_size, dilation=dilation, bias=False),
        nn.BatchNorm1d(out_channels),
        nn.ReLU(inplace=True),
        Dropout(dropout),
    ]
