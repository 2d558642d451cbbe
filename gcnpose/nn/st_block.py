"""Spatial-temporal graph convolution block (Eq. 7 and 8 of the paper)."""

from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from gcnpose.nn.dropout import Dropout
from gcnpose.nn.partition_conv import PartitionConv
from gcnpose.nn.pointwise import Pointwise
from gcnpose.nn.temporal_conv import TemporalConv


class ChannelNorm(nn.BatchNorm1d):
    """Batch norm over the last axis: statistics over batch, frames and joints.

    Shapes:
        - input and output: (..., channels)
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = super().forward(x.flatten(0, -2))
        return rows if x.dim() == 2 else rows.view(x.shape)


class STGCNBlock(nn.Module):
    """Graph convolution in every frame, then temporal convolution on every joint, with a residual.

    As in ST-GCN: spatial convolution, batch norm, ReLU, temporal convolution, batch norm, dropout, residual,
    ReLU. The residual is the input itself where shapes agree, else a strided 1x1 convolution and batch norm.

    The paper does not say how weights begin. Here a block with a residual begins as its residual alone: the
    last batch norm's scale is zero (Goyal et al., 2017).

    Args:
        in_channels: Size of each input feature.
        out_channels: Size of each output feature.
        graph: The skeleton as a graph, see :class:`PartitionConv`.
        stride: Temporal stride.
        residual: Whether the block has a residual connection; the network's first has none.
        temporal_kernel: Frames that the temporal convolution spans.
        dropout: Probability of dropping a feature after the temporal convolution.
        aggregation: See :class:`PartitionConv`.

    Shapes:
        - input: (batch, frames, joints, in_channels)
        - output: (batch, ceil(frames / stride), joints, out_channels)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        graph: Data,
        stride: int = 1,
        residual: bool = True,
        temporal_kernel: int = 5,
        dropout: float = 0.5,
        aggregation: str = "auto",
    ) -> None:
        super().__init__()
        self.stride = stride
        self.residual = residual
        self.spatial = PartitionConv(in_channels, out_channels, graph, aggregation)
        self.spatial_norm = ChannelNorm(out_channels)
        self.temporal = TemporalConv(out_channels, out_channels, temporal_kernel, stride)
        self.temporal_norm = ChannelNorm(out_channels)
        self.dropout = Dropout(dropout, inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if residual:
            nn.init.zeros_(self.temporal_norm.weight)
        if residual and (in_channels != out_channels or stride != 1):
            self.shortcut = nn.Sequential(Pointwise(in_channels, out_channels), ChannelNorm(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.spatial(x)
        # Rows, because autograd copies what is changed in place if it is a view.
        rows = F.relu(self.spatial_norm(y.flatten(0, -2)), inplace=True)
        y = self.temporal(rows.view(y.shape))
        rows = self.dropout(self.temporal_norm(y.flatten(0, -2)))
        if self.residual:
            rows += self.shortcut(x[:, :: self.stride]).flatten(0, -2)
        return F.relu(rows, inplace=True).view(y.shape)
