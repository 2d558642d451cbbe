"""A network in a form that can be traced once for any batch and any number of frames."""

import copy

import torch
from torch import Tensor, nn

from gcnpose.nn.following import Following
from gcnpose.nn.lifting_network import LiftingNetwork
from gcnpose.nn.partition_conv import PartitionConv


def count_blocks(frames: int, size: int) -> int:
    """How many blocks of a size it takes to hold some frames, in a form that torch.export leaves open.

    It takes a number that it knows for different from 1, and would rule out one block. One that is read from
    a tensor it does not know.
    """
    blocks = (frames + size - 1) // size
    if torch.compiler.is_exporting():
        blocks = torch.full((), blocks, dtype=torch.int64).item()  # type: ignore[assignment]
        torch._check(blocks >= 1)
        torch._check(blocks * size >= frames)
    return blocks


def portable(network: LiftingNetwork, follow_reach: int | None = None) -> nn.Module:
    """A copy for evaluation on the CPU that sums messages as a matrix product, for any runtime.

    Args:
        network: The network.
        follow_reach: As for :func:`following`.
    """
    network = copy.deepcopy(network).cpu()
    for layer in network.modules():
        if isinstance(layer, PartitionConv):
            layer.aggregation = "dense"
    return following(AnyLength(network), network, follow_reach).eval()


def following(lift: nn.Module, network: LiftingNetwork, follow_reach: int | None) -> nn.Module:
    """What lifts as a network does, or people as a camera sees them that follows.

    Args:
        lift: The network, or one that does the same.
        network: Whose root joint and extent count.
        follow_reach: Frames before and after one that count for where the camera looks; None: it does not
            follow.
    """
    if follow_reach is None:
        return lift
    return Following(lift, network.root, network.input_extent, follow_reach)


class AnyLength(nn.Module):
    """Pads the frames before the network does, without a branch.

    UGCN pads only where the frames are no multiple of its strides, and a tracer records one side of that
    branch. Here as many last frames are added as the network would add, none at the least, so that it never
    pads by itself. A network without strides is left alone.

    Args:
        network: The network, which is not copied.

    Shapes:
        - input and output: as the network's
    """

    def __init__(self, network: LiftingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, keypoints_2d: Tensor) -> Tensor:
        if self.network.stride_product == 1:
            return self.network(keypoints_2d)
        frames, scale = keypoints_2d.shape[1], self.network.stride_product
        rows = torch.arange(count_blocks(frames, scale) * scale, device=keypoints_2d.device).clamp(
            max=frames - 1
        )
        return self.network(keypoints_2d[:, rows])[:, :frames]
