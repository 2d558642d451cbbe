"""Lifts 2D human keypoint sequences to 3D with UGCN, a U-shaped spatial-temporal graph network."""

from importlib.metadata import PackageNotFoundError, version

from gcnpose.loss import LiftingLoss, MotionLoss
from gcnpose.nn import UGCN
from gcnpose.skeleton import Skeleton

try:
    __version__ = version("gcnpose")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "unknown"
__all__ = ["UGCN", "LiftingLoss", "MotionLoss", "Skeleton", "__version__"]
