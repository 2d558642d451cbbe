"""From 2D to 3D with a trained network: tensors of whole sequences, keypoint tracks, one frame at a time."""

from gcnpose.inference.lifter import Lifter
from gcnpose.inference.sequences import lift, lift_whole, lift_windows, mirror
from gcnpose.inference.streaming import StreamingLifter

__all__ = ["Lifter", "StreamingLifter", "lift", "lift_whole", "lift_windows", "mirror"]
