"""Checkpoint files: all that predicting or resuming needs, written whole, read without running code."""

from __future__ import annotations

import io
import json
import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from gcnpose.build import build_model
from gcnpose.config import Config, config_from_dict, is_place
from gcnpose.errors import InputError
from gcnpose.files import replacing
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.refinement import Refinement
from gcnpose.resources import resource_folder
from gcnpose.skeleton import Skeleton

FORMAT = "gcnpose checkpoint 1"
BEST = "best.pt"
"""The checkpoint that a run folder stands for."""
SHARED_SUFFIX = ".safetensors"
_NAMED_TENSORS = ("model", "refinement", "yardsticks")
REQUIRED = ("format", "config", "skeleton", "model", "epoch", "yardsticks")
KEPT = (*REQUIRED, "fps")
"""What lifting needs, or likes to know: the frame rate of the training motion, which older files lack."""


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint: beside the target first, then moved over it, so the file on disk is always whole.

    Args:
        path: The file.
        content: Tensors, numbers, texts, lists and dicts only.

    Raises:
        OSError: if it cannot be written; what stood there before stays.
    """
    # Through memory, because PyTorch's zip writer hides a full disk behind a RuntimeError of its own.
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(buffer.getbuffer())


def save_shared(path: Path, content: Mapping[str, Any]) -> None:
    """Writes what lifting needs of a checkpoint in the format that models are shared in.

    Weight matrices are kept in half precision, everything else in single: half as large. A network to lift
    with and to score, not to train on.

    Args:
        path: The file, which ends in ``.safetensors``.
        content: Of :func:`load_checkpoint`.

    Raises:
        OSError: if it cannot be written.
    """
    tensors = {
        f"{part}.{name}": (tensor.half() if part == "model" and tensor.dim() > 1 else tensor).contiguous()
        for part in _NAMED_TENSORS
        for name, tensor in content.get(part, {}).items()
    }
    others = {name: content[name] for name in KEPT if name in content and name not in _NAMED_TENSORS}
    others["config"] = _without_places(content["config"])
    with replacing(path) as partial:
        partial.write_bytes(save(tensors, {name: json.dumps(value) for name, value in others.items()}))


def _without_places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without what they say of a machine; of the motion its file's name is left."""
    path = config["data"]["path"]
    data = {name: value for name, value in config["data"].items() if not is_place(f"data.{name}")}
    kept = {name: value for name, value in config.items() if not is_place(name)}
    return {**kept, "data": {**data, "path": None if path is None else Path(path).name}}


def _read_shared(path: Path) -> dict[str, Any]:
    with safe_open(path, "pt") as file:
        content: dict[str, Any] = {name: json.loads(text) for name, text in file.metadata().items()}
        for key in file.keys():  # noqa: SIM118, it is no dictionary
            part, name = key.split(".", 1)
            tensor = file.get_tensor(key)
            content.setdefault(part, {})[name] = tensor.float() if tensor.dtype == torch.half else tensor
    return content


def shipped_checkpoint() -> Path:
    """The network that comes with gcnpose: 17 joints of Human3.6M, trained for the 2D of detectors.

    What it was trained on and how far off it is stands in the ``README.md`` beside it.
    """
    return resource_folder("models") / f"h36m17{SHARED_SUFFIX}"


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU.

    Args:
        path: The file, of :func:`save_checkpoint` or :func:`save_shared`, or a run folder, which stands for
            the best checkpoint in it.

    Raises:
        InputError: if there is no such file, it is damaged, or not a checkpoint of this program.
    """
    path = Path(path)
    if path.is_dir():
        path = path / BEST
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix == SHARED_SUFFIX:
                content = _read_shared(path)
            else:
                # In memory, because seeking in a truncated file is an OSError too.
                file = io.BytesIO(path.read_bytes())
                content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (
        Exception
    ) as error:  # a damaged file can raise anything, and PyTorch then advises to run the code in it
        raise InputError(
            f"{path}: cannot be read as a checkpoint: truncated, damaged or of another program"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: not a checkpoint of this program (expected format {FORMAT!r})")
    missing = [key for key in REQUIRED if key not in content]
    if missing:
        raise InputError(f"{path}: the checkpoint lacks {', '.join(missing)}")
    yardsticks = content["yardsticks"]
    if not isinstance(yardsticks, dict) or set(yardsticks) != {"mean_pose", "linear"}:
        raise InputError(f"{path}: the checkpoint's yardsticks are not mean_pose and linear")
    return content


def restore_model(content: Mapping[str, Any], source: str | Path) -> tuple[Config, Skeleton, LiftingNetwork]:
    """The network of a checkpoint, in evaluation mode, with the settings and skeleton that it was made with.

    Raises:
        InputError: if the parts of the checkpoint do not fit each other.
    """
    config = config_from_dict(content["config"], str(source))
    skeleton = Skeleton.from_dict(content["skeleton"], str(source))
    model = build_model(config, skeleton)
    _load_weights(model, content["model"], source)
    return config, skeleton, model.eval()


def restore_refinement(content: Mapping[str, Any], source: str | Path) -> Refinement | None:
    """The second stage of a checkpoint, in evaluation mode; None where it has none.

    Raises:
        InputError: if its weights do not fit its settings.
    """
    if "refinement" not in content:
        return None
    settings = config_from_dict(content["config"], str(source)).refinement
    joints = len(content["skeleton"]["joints"])
    refinement = Refinement(joints, settings.width, settings.dropout)
    _load_weights(refinement, content["refinement"], source)
    return refinement.eval()


def _load_weights(network: nn.Module, weights: Any, source: str | Path) -> None:
    try:
        network.load_state_dict(weights)
        for name, tensor in network.state_dict().items():
            if not tensor.isfinite().all():
                raise RuntimeError(f"{name} is not finite")
    except (RuntimeError, AttributeError, TypeError) as error:
        reason = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise InputError(f"{source}: the weights do not fit the network: {reason}") from error
