"""The networks and their layers."""

from gcnpose.nn.agformer import AGFormer
from gcnpose.nn.lifting_network import LiftingNetwork
from gcnpose.nn.partition_conv import PartitionConv
from gcnpose.nn.simple_baseline import SimpleBaseline
from gcnpose.nn.st_block import STGCNBlock
from gcnpose.nn.temporal_conv import TemporalConv
from gcnpose.nn.ugcn import UGCN
from gcnpose.nn.videopose3d import VideoPose3D

__all__ = [
    "UGCN",
    "AGFormer",
    "LiftingNetwork",
    "PartitionConv",
    "STGCNBlock",
    "SimpleBaseline",
    "TemporalConv",
    "VideoPose3D",
]
