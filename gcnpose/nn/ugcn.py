"""UGCN: the U-shaped spatial-temporal graph network (Figure 4 of the paper)."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from gcnpose.nn.lifting_network import LiftingNetwork, pose_head
from gcnpose.nn.st_block import STGCNBlock
from gcnpose.skeleton import ROOT, Skeleton

UPSAMPLINGS = ("repeat", "linear")


def upsample_frames(x: Tensor, factor: int, mode: str = "repeat") -> Tensor:
    """Longer in time by an integer factor.

    ``"repeat"`` is Eq. 11, f_up(t) = f(floor(t / factor)); ``"linear"`` interpolates between frame centres.

    Shapes:
        - x: (batch, frames, joints, channels)
        - returns: (batch, frames * factor, joints, channels)
    """
    if factor == 1:
        return x
    batch, frames, joints, channels = x.shape
    if mode == "repeat":
        return (
            x[:, :, None].expand(batch, frames, factor, joints, channels).reshape(batch, -1, joints, channels)
        )
    flat = x.flatten(2).transpose(1, 2)
    longer = F.interpolate(flat, scale_factor=factor, mode="linear", align_corners=False)
    return longer.transpose(1, 2).unflatten(2, (joints, channels))


def _without_bones(nodes: int) -> Data:
    """A graph with no edge but every node's to itself."""
    loops = torch.arange(nodes).expand(2, -1)
    types = torch.full((nodes,), ROOT)
    return Data(edge_index=loops, edge_type=types, edge_weight=torch.ones(nodes), num_nodes=nodes)


class UGCN(LiftingNetwork):
    """Lifts 2D keypoint sequences to root-relative 3D.

    Figure 4 of "Motion Guided 3D Pose Estimation from Videos" (ECCV 2020): a contracting stage halves the
    frames while the features grow, an expanding stage doubles them again and adds what the contracting stage
    had at that scale, and a merging stage adds the expanding stage's intermediate scales at full length
    before the last block.

    Args:
        skeleton: The skeleton whose graph the network convolves over.
        input_channels: 2 for (x, y), 3 for (x, y, detector score).
        channels: Features at full length and after each down step; the paper's are the default.
        down_up_pairs: How many of the ``len(channels) - 1`` steps really halve and double the frames, the
            first ones first; the other layers stay, at stride 1. None means all (Table 3).
        spatial_graph: False keeps only every joint's edge to itself, so joints never mix (Table 4).
        whole_pose: True makes one node of all joints of a frame, so that they mix in every layer and no bone
            is known: the other way to have no spatial graph.
        max_hop: See :meth:`gcnpose.Skeleton.to_data`: None for the paper's subsets, 1 for those of ST-GCN's
            code.
        merge: False leaves the merging stage out (Table 4).
        temporal_kernel: Frames that each temporal convolution spans; odd.
        dropout: Dropout probability in every block.
        upsampling: ``"repeat"`` (Eq. 11) or ``"linear"``.
        aggregation: See :class:`gcnpose.nn.PartitionConv`.
        root_relative_input: See :class:`gcnpose.nn.LiftingNetwork`.

    Shapes:
        - input: (batch, frames, joints, input_channels), 2D normalised by the image width
        - output: (batch, frames, joints, 3), metres, relative to the root, in the camera's frame
    """

    def __init__(
        self,
        skeleton: Skeleton,
        input_channels: int = 2,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        down_up_pairs: int | None = None,
        spatial_graph: bool = True,
        whole_pose: bool = False,
        max_hop: int | None = None,
        merge: bool = True,
        temporal_kernel: int = 5,
        dropout: float = 0.5,
        upsampling: str = "repeat",
        aggregation: str = "auto",
        root_relative_input: bool = False,
    ) -> None:
        super().__init__(skeleton, input_channels, scaled_input=True, root_relative_input=root_relative_input)
        steps = len(channels) - 1
        pairs = steps if down_up_pairs is None else down_up_pairs
        if not 0 <= pairs <= steps:
            raise ValueError(
                f"down_up_pairs must lie in 0 to {steps} for {len(channels)} channels, not {pairs}"
            )
        if upsampling not in UPSAMPLINGS:
            raise ValueError(f"upsampling must be one of {', '.join(UPSAMPLINGS)}, not {upsampling!r}")
        self.upsampling = upsampling
        self.factors = [2 if step < pairs else 1 for step in range(steps)]
        graph = skeleton.to_data(max_hop)
        nodes = 1 if whole_pose else self.joints
        joints_of_a_node = self.joints // nodes
        if not spatial_graph or whole_pose:
            graph = _without_bones(nodes)
        self.whole_pose = whole_pose

        def block(in_channels: int, out_channels: int, stride: int = 1, residual: bool = True) -> STGCNBlock:
            return STGCNBlock(
                in_channels, out_channels, graph, stride, residual, temporal_kernel, dropout, aggregation
            )

        self.first = block(input_channels * joints_of_a_node, channels[0], residual=False)
        self.down = nn.ModuleList(
            nn.Sequential(block(narrow, wide, stride=factor), block(wide, wide))
            for narrow, wide, factor in zip(channels, channels[1:], self.factors, strict=False)
        )
        self.up = nn.ModuleList(block(wide, narrow) for narrow, wide in pairwise(channels))
        # The expanding stage's second-longest scale reaches the output through the top stream (Figure 4).
        self.merge = nn.ModuleList(block(narrow, channels[0]) for narrow in channels[1:-1]) if merge else None
        self.last = block(channels[0], channels[0])
        self.head = pose_head(channels[0], joints_of_a_node)

    @property
    def stride_product(self) -> int:
        """Frames are padded to a multiple of this."""
        return 2 ** sum(factor == 2 for factor in self.factors)

    @property
    def reach(self) -> int:
        """Input frames farther than this from an output frame do not change it; a multiple of the strides.

        An upper bound: on the longest way three temporal convolutions lie at every scale, and each doubling
        of the frames may look at one frame beside (``"linear"``).
        """
        scales = [prod(self.factors[:step]) for step in range(len(self.factors) + 1)]
        frames = 3 * (self.first.temporal.kernel_size[0] // 2) * sum(scales) + 2 * scales[-1]
        return -(-frames // scales[-1]) * scales[-1]

    def features(self, x: Tensor) -> Tensor:
        frames = x.shape[1]
        missing = -frames % self.stride_product
        if missing:
            x = torch.cat([x, x[:, -1:].expand(-1, missing, -1, -1)], dim=1)
        if self.whole_pose:
            x = x.flatten(2)[:, :, None]
        return self.last(self._u_shape(self.first(x)))[:, :frames]

    def _u_shape(self, x: Tensor) -> Tensor:
        skips = [x]
        for down in self.down:
            skips.append(down(skips[-1]))
        x = skips.pop()
        merged: list[Tensor] = []
        for step in reversed(range(len(self.up))):
            x = self.up[step](x)
            if self.merge is not None and step > 0:
                length_factor = 2 ** sum(factor == 2 for factor in self.factors[: step + 1])
                merged.append(upsample_frames(self.merge[step - 1](x), length_factor, self.upsampling))
            x = upsample_frames(x, self.factors[step], self.upsampling) + skips.pop()
        return sum(merged, start=x)
