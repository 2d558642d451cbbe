"""Lifts 2D human keypoint sequences to 3D with UGCN, a U-shaped spatial-temporal graph network."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gcnpose.loss import LiftingLoss, MotionLoss
    from gcnpose.nn import UGCN
    from gcnpose.skeleton import Skeleton

try:
    __version__ = version("gcnpose")
except PackageNotFoundError:  # a checkout on the path, not installed
    __version__ = "unknown"
__all__ = ["UGCN", "LiftingLoss", "MotionLoss", "Skeleton", "__version__"]

_MODULES = {"UGCN": "nn", "LiftingLoss": "loss", "MotionLoss": "loss", "Skeleton": "skeleton"}


def __getattr__(name: str) -> object:
    """A class, imported when it is first asked for: PyTorch and PyG take seconds that no --help needs."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
