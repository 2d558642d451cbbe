"""The network's layers, from one graph convolution to UGCN."""

from gcnpose.nn.partition_conv import PartitionConv
from gcnpose.nn.st_block import STGCNBlock
from gcnpose.nn.temporal_conv import TemporalConv
from gcnpose.nn.ugcn import UGCN

__all__ = ["UGCN", "PartitionConv", "STGCNBlock", "TemporalConv"]
