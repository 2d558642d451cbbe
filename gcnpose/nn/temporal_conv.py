"""Convolution along time, the same for every joint (Eq. 8 of the paper)."""

from torch import Tensor, nn
from torch.nn import functional as F


class TemporalConv(nn.Conv1d):
    """``Conv1d`` over the frames of every joint, with zero padding that keeps the length at stride 1.

    The kernel slides over frames alone. It is applied as a (kernel, 1) convolution over frames and joints,
    which is the same arithmetic without moving the joints into the batch: channels stay the innermost axis,
    as the spatial convolution wants them, and nothing is copied.

    Args:
        in_channels: Size of each input feature.
        out_channels: Size of each output feature.
        kernel_size: Frames that the kernel spans; odd.
        stride: Step between output frames.

    Shapes:
        - input: (batch, frames, joints, in_channels)
        - output: (batch, ceil(frames / stride), joints, out_channels)
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 5, stride: int = 1) -> None:
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, not {kernel_size}")
        super().__init__(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2)

    def forward(self, x: Tensor) -> Tensor:
        channels_first = x.permute(0, 3, 1, 2)
        y = F.conv2d(
            channels_first, self.weight[..., None], self.bias, (self.stride[0], 1), (int(self.padding[0]), 0)
        )
        return y.permute(0, 2, 3, 1)
