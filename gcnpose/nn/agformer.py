"""AGFormer: attention and graph convolution side by side, after MotionAGFormer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from gcnpose.nn.any_length import count_blocks
from gcnpose.nn.dropout import Dropout
from gcnpose.nn.lifting_network import LiftingNetwork, pose_head
from gcnpose.nn.partition_conv import PartitionConv
from gcnpose.nn.st_block import ChannelNorm
from gcnpose.nn.temporal_conv import TemporalConv
from gcnpose.skeleton import Skeleton


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """Scaled dot-product attention with a bias on the logits, written out for as many leading axes as wanted.

    Shapes:
        - query: (..., tokens, features); key and value: (..., others, features); bias: (..., tokens, others)
        - returns: (..., tokens, features)
    """
    logits = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5 + bias
    return logits.softmax(dim=-1) @ value


class SpatialAttention(nn.Module):
    """Multi-head attention among the joints of every frame.

    Args:
        width: Features of a joint.
        heads: Attention heads; a divisor of the width.

    Shapes:
        - input and output: (batch, frames, joints, width)
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.lin_in = nn.Linear(width, 3 * width, bias=False)
        self.lin_out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.lin_in(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = parts.permute(3, 0, 1, 4, 2, 5)  # each (batch, frames, heads, joints, features)
        seen = attend(query, key, value)
        return self.lin_out(seen.transpose(2, 3).flatten(-2))


class TemporalAttention(nn.Module):
    """Multi-head attention of every joint's frames to the frames at most ``span`` away.

    What a frame gives to another begins with a learned bias for how far it is before or after it. Frames are
    cut into blocks of ``span``, and a block attends to itself and the two beside it, so that time and memory
    grow with the frames and not with their square.

    Args:
        width: Features of a joint.
        heads: Attention heads; a divisor of the width.
        span: Farthest frame that a frame attends to.

    Shapes:
        - input and output: (batch, frames, joints, width)
    """

    distance: Tensor
    too_far: Tensor

    def __init__(self, width: int, heads: int, span: int) -> None:
        super().__init__()
        self.heads = heads
        self.span = span
        self.lin_in = nn.Linear(width, 3 * width, bias=False)
        self.lin_out = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * span + 1))
        distance = torch.arange(-span, 2 * span) - torch.arange(span)[:, None]  # (frame, frame that is seen)
        self.register_buffer("distance", distance.clamp(-span, span) + span, persistent=False)
        self.register_buffer("too_far", distance.abs() > span, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        frames, span = x.shape[1], self.span
        blocks = count_blocks(frames, span)
        parts = self.lin_in(x).unflatten(-1, (3, self.heads, -1)).permute(3, 0, 2, 4, 1, 5)
        parts = F.pad(parts, (0, 0, 0, blocks * span - frames)).unflatten(-2, (blocks, span))
        query, keys, values = parts  # each (batch, joints, heads, blocks, span, features)
        seen = attend(query, self._beside(keys), self._beside(values), self._bias(frames, blocks))
        return self.lin_out(seen.flatten(3, 4)[:, :, :, :frames].permute(0, 3, 1, 2, 4).flatten(-2))

    @staticmethod
    def _beside(x: Tensor) -> Tensor:
        """Each block with the one before and the one after it: (..., blocks, 3 * span, features)."""
        padded = F.pad(x, (0, 0, 0, 0, 1, 1))
        return torch.cat([padded[..., :-2, :, :], x, padded[..., 2:, :, :]], dim=-2)

    def _bias(self, frames: int, blocks: int) -> Tensor:
        """What is added to the logits: (heads, blocks, span, 3 * span)."""
        first = torch.arange(blocks, device=self.distance.device)[:, None, None] * self.span
        place = first + torch.arange(-self.span, 2 * self.span, device=self.distance.device)
        unseen = self.too_far | (place < 0) | (place >= frames)
        return self.bias[:, None, self.distance].masked_fill(unseen, float("-inf"))


class GraphMixer(nn.Module):
    """A convolution over a graph, batch norm and ReLU, beside the input itself.

    Shapes:
        - input and output: (batch, frames, joints, width)
    """

    def __init__(self, convolution: nn.Module, width: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = ChannelNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.norm(self.convolution(x)))


class MixerBlock(nn.Module):
    """A transformer's block: layer norm and mixer, layer norm and two layers per token, each with a residual.

    Args:
        mixer: What exchanges features between joints or frames.
        width: Features of a joint.
        dropout: Dropout probability of what is added to the residual.

    Shapes:
        - input and output: (batch, frames, joints, width)
    """

    def __init__(self, mixer: nn.Module, width: int, dropout: float) -> None:
        super().__init__()
        self.mixer_norm = nn.LayerNorm(width)
        self.mixer = mixer
        self.layers = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.mixer(self.mixer_norm(x)))
        return x + self.dropout(self.layers(x))


class DualStreamLayer(nn.Module):
    """A stream of attention and a stream of graph convolutions, each spatial and then temporal, fused.

    The fusion is a mean whose weights each joint and frame chooses by what both streams found.

    Shapes:
        - input and output: (batch, frames, joints, width)
    """

    def __init__(self, width: int, heads: int, span: int, graph: Data, dropout: float) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            MixerBlock(SpatialAttention(width, heads), width, dropout),
            MixerBlock(TemporalAttention(width, heads, span), width, dropout),
        )
        self.graph = nn.Sequential(
            MixerBlock(GraphMixer(PartitionConv(width, width, graph), width), width, dropout),
            MixerBlock(GraphMixer(TemporalConv(width, width, 3), width), width, dropout),
        )
        self.fusion = nn.Linear(2 * width, 2)
        nn.init.zeros_(self.fusion.weight)
        nn.init.zeros_(self.fusion.bias)

    def forward(self, x: Tensor) -> Tensor:
        by_attention, by_graph = self.attention(x), self.graph(x)
        share = self.fusion(torch.cat([by_attention, by_graph], dim=-1)).softmax(dim=-1)
        return by_attention * share[..., :1] + by_graph * share[..., 1:]


class AGFormer(LiftingNetwork):
    """Lifts sequences by layers of attention and graph convolution side by side.

    A small network after Mehraban, Adeli, Taati, "MotionAGFormer: Enhancing 3D Human Pose Estimation with a
    Transformer-GCNFormer Network" (WACV 2024): a feature vector per joint and frame, a learned embedding of
    the joint, layers of two streams with adaptive fusion, a layer to the pose. With the defaults it has about
    half a million parameters; the paper's smallest, XS, has 2.2 million in 12 layers.

    What is simpler, or other, than in the paper:

    - In time a joint attends to frames at most ``span`` away, with a bias by the distance, instead of to all
      frames of a window of fixed length without any notion of order. So any number of frames will do.
    - The graph in time joins adjacent frames, by a convolution of 3 frames, instead of the most similar
      ones. The graph in space is the skeleton's, with a weight per subset of neighbours as in UGCN.
    - Layers after the mixers are twice as wide as the features, not four times; there are no learned scales
      on the residuals and no layer of 512 features before the head.
    - Optimiser, schedule and loss are those of the experiment; the paper trains by AdamW with a learning rate
      of 5e-4, and adds to the distance of poses that of velocities and a scaled distance.

    Args:
        skeleton: The skeleton whose graph the graph stream convolves over.
        input_channels: 2 for (x, y), 3 for (x, y, detector score).
        width: Features of a joint and frame.
        layers: Layers of two streams.
        heads: Attention heads; a divisor of the width.
        span: Farthest frame that a frame attends to, in one layer.
        dropout: Dropout probability of what is added to a residual; the paper's is 0.
        root_relative_input: See :class:`gcnpose.nn.LiftingNetwork`.

    Shapes:
        - input: (batch, frames, joints, input_channels), 2D normalised by the image width
        - output: (batch, frames, joints, 3), metres, relative to the root, in the camera's frame
    """

    def __init__(
        self,
        skeleton: Skeleton,
        input_channels: int = 2,
        width: int = 64,
        layers: int = 4,
        heads: int = 4,
        span: int = 24,
        dropout: float = 0.0,
        root_relative_input: bool = False,
    ) -> None:
        super().__init__(
            skeleton, input_channels, scaled_input=False, root_relative_input=root_relative_input
        )
        if width % heads:
            raise ValueError(f"width must be a multiple of heads ({heads}), not {width}")
        graph = skeleton.to_data()
        self.span = span
        self.embedding = nn.Linear(input_channels, width)
        self.joint_embedding = nn.Parameter(torch.empty(self.joints, width))
        nn.init.trunc_normal_(self.joint_embedding, std=0.02)
        self.layers = nn.Sequential(
            *(DualStreamLayer(width, heads, span, graph, dropout) for _ in range(layers))
        )
        self.norm = nn.LayerNorm(width)
        self.head = pose_head(width)

    @property
    def reach(self) -> int:
        """Input frames farther than this from an output frame do not change it."""
        return len(self.layers) * self.span

    def features(self, x: Tensor) -> Tensor:
        return self.norm(self.layers(self.embedding(x) + self.joint_embedding))
