"""The network of a checkpoint as a file that runs without this package."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import gcnpose
from gcnpose.checkpoint import load_checkpoint, restore_model
from gcnpose.config import Config
from gcnpose.errors import InputError, RunError
from gcnpose.files import replacing
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.any_length import following, portable
from gcnpose.skeleton import Skeleton

INPUT, OUTPUT = "keypoints_2d", "pose_3d"
METADATA_FILE = "metadata.json"
"""Where the metadata stands inside a pt2 or TorchScript file."""
TOLERANCE_M = 1e-4

Lift = Callable[[Tensor], Tensor]


def export_network(checkpoint: str | Path, file_format: str, path: Path) -> float:
    """Writes the network of a checkpoint for another runtime, if it computes the same there.

    The file takes any batch and any number of frames, and follows people as `predict` does. Its metadata says
    what goes in and what comes out. What was written is read again and compared with the checkpoint's network
    on three shapes before it takes the place of the target.

    Args:
        checkpoint: The checkpoint's file.
        file_format: A key of `FORMATS`.
        path: The file to write.

    Returns:
        The largest difference found, metres.

    Raises:
        InputError: if the checkpoint cannot be used, or a library that the format needs is not installed.
        RunError: if the file differs from the network by 1e-4 m or more, or the network cannot be exported.
        OSError: if the file cannot be written.
    """
    _, needed, write, read = FORMATS[file_format]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"{file_format} needs {', '.join(missing)}, not installed here: pip install 'gcnpose[onnx]'"
        )
    content = load_checkpoint(checkpoint)
    config, skeleton, network = restore_model(content, checkpoint)
    metadata = describe(config, skeleton, network, content.get("fps"))
    with replacing(path) as partial, _quiet():
        try:
            example, reach = _example(config, network), config.follow_reach
            write(portable(network, reach), example, metadata, partial)
            expected = following(network, network, reach)
            difference = _largest_difference(expected, read(partial), example, config)
        except OSError:
            raise
        except Exception as error:  # exporters and runtimes raise whatever the step at fault raises
            reason = str(error).strip().partition("\n")[0]
            raise RunError(f"the network cannot be exported as {file_format}: {reason}") from error
        if not difference < TOLERANCE_M:
            raise RunError(
                f"{path}: not written, since the {file_format} file differs from the network of {checkpoint} "
                f"by {difference:.2g} m; allowed is {TOLERANCE_M:g} m"
            )
    return difference


def describe(
    config: Config, skeleton: Skeleton, network: LiftingNetwork, fps: float | None
) -> dict[str, Any]:
    """What somebody who has only the exported file must know to use it."""
    follows = config.follow_reach is not None
    side = "max(width, height)" if follows else "width"
    return {
        "producer": f"gcnpose {gcnpose.__version__}",
        "name": config.name,
        "skeleton": skeleton.to_dict(),
        "window": config.data.window,
        "fps": fps,
        "frames_multiple": network.stride_product,
        "following": follows,
        "input_channels": ["x", "y", "score"][: network.input_channels],
        "input_shape": "batch, frames, joints, channels",
        "normalisation": f"x, y = (2 * x_px - width) / {side}, (2 * y_px - height) / {side}",
        "output_shape": "batch, frames, joints, 3",
        "output": "metres, relative to the root joint, camera frame: x right, y down, z forward",
    }


def _example(config: Config, network: LiftingNetwork) -> Tensor:
    """An input to trace with: no size is 1, which would be recorded as a constant."""
    return torch.zeros(2, config.data.window + 1, network.joints, network.input_channels)


@torch.no_grad()
def _largest_difference(network: nn.Module, lift: Lift, example: Tensor, config: Config) -> float:
    """Over one frame, a window, and a sequence that is no multiple of anything. NaN if either has one."""
    generator = torch.Generator().manual_seed(config.seed)
    differences = []
    for batch, frames in ((1, 1), (2, config.data.window), (3, 2 * config.data.window + 5)):
        shape = (batch, frames, *example.shape[2:])
        keypoints_2d = torch.rand(shape, generator=generator) * 2 - 1
        differences.append((lift(keypoints_2d) - network(keypoints_2d)).abs().max())
    return float(torch.stack(differences).max())


def _write_onnx(network: nn.Module, example: Tensor, metadata: Mapping[str, Any], path: Path) -> None:
    program = torch.onnx.export(
        network,
        (example,),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes=_free_axes(),
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    texts = {key: text if isinstance(text, str) else json.dumps(text) for key, text in metadata.items()}
    program.model.metadata_props.update(texts)
    program.save(path)


def _read_onnx(path: Path) -> Lift:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda keypoints_2d: torch.from_numpy(session.run([OUTPUT], {INPUT: keypoints_2d.numpy()})[0])


def _write_pt2(network: nn.Module, example: Tensor, metadata: Mapping[str, Any], path: Path) -> None:
    buffer = io.BytesIO()  # torch.export wants a file name of its own
    program = torch.export.export(network, (example,), dynamic_shapes=_free_axes())
    torch.export.save(program, buffer, extra_files={METADATA_FILE: json.dumps(metadata)})
    path.write_bytes(buffer.getbuffer())


def _read_pt2(path: Path) -> Lift:
    return torch.export.load(io.BytesIO(path.read_bytes())).module()


def _write_torchscript(network: nn.Module, example: Tensor, metadata: Mapping[str, Any], path: Path) -> None:
    buffer = io.BytesIO()
    traced = torch.jit.trace(network, (example,), check_trace=False)  # what is written is checked instead
    torch.jit.save(traced, buffer, _extra_files={METADATA_FILE: json.dumps(metadata)})
    path.write_bytes(buffer.getbuffer())


def _read_torchscript(path: Path) -> Lift:
    return torch.jit.load(io.BytesIO(path.read_bytes()))


Write = Callable[[nn.Module, Tensor, Mapping[str, Any], Path], None]
FORMATS: dict[str, tuple[str, tuple[str, ...], Write, Callable[[Path], Lift]]] = {
    "onnx": (".onnx", ("onnx", "onnxscript", "onnxruntime"), _write_onnx, _read_onnx),
    "pt2": (".pt2", (), _write_pt2, _read_pt2),
    "torchscript": (".torchscript", (), _write_torchscript, _read_torchscript),
}
"""By name: the suffix of the file, the libraries needed, and functions that write and read it."""


def _free_axes() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch"), 1: torch.export.Dim("frames")},)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporters say of their own insides; that the file is right is found out afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
