"""Checkpoint files: all that predicting or resuming needs, written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from gcnpose.build import build_model
from gcnpose.config import Config, config_from_dict
from gcnpose.errors import InputError
from gcnpose.nn import UGCN
from gcnpose.skeleton import Skeleton

FORMAT = "gcnpose checkpoint 1"
REQUIRED = ("format", "config", "skeleton", "model", "epoch")


def save_checkpoint(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a checkpoint: beside the target first, then moved over it, so the file on disk is always whole.

    Args:
        path: The file.
        content: Tensors, numbers, texts, lists and dicts only.

    Raises:
        OSError: if it cannot be written; what stood there before stays.
    """
    partial = path.with_name(path.name + ".part")
    try:
        with partial.open("wb") as file:
            try:
                torch.save({"format": FORMAT, **content}, file)
            except RuntimeError as error:  # PyTorch's zip writer hides a full disk behind this
                raise OSError(f"{path} could not be written: {error}") from error
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def load_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint onto the CPU.

    Raises:
        InputError: if there is no such file, it is damaged, or not a checkpoint of this program.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError) as error:
        raise InputError(f"{path}: truncated, or not a checkpoint ({_first_line(error)})") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path}: not a checkpoint of this program (expected format {FORMAT!r})")
    missing = [key for key in REQUIRED if key not in content]
    if missing:
        raise InputError(f"{path}: the checkpoint lacks {', '.join(missing)}")
    return content


def restore_model(content: Mapping[str, Any], source: str | Path) -> tuple[Config, Skeleton, UGCN]:
    """The network of a checkpoint, in evaluation mode, with the settings and skeleton that it was made with.

    Raises:
        InputError: if the parts of the checkpoint do not fit each other.
    """
    config = config_from_dict(content["config"], str(source))
    skeleton = Skeleton.from_dict(content["skeleton"], str(source))
    model = build_model(config, skeleton)
    try:
        model.load_state_dict(content["model"])
    except (RuntimeError, AttributeError) as error:
        raise InputError(f"{source}: the weights do not fit the network ({_first_line(error)})") from error
    return config, skeleton, model.eval()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
