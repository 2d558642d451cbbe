"""``gcnpose benchmark``: times parts against the usual way of writing them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gcnpose.commands.common import Commands, check_output, say
from gcnpose.errors import InputError

if TYPE_CHECKING:
    import torch

    from gcnpose.benchmark.timing import Result, Rounds


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "benchmark",
        help="time training, lifting, data or metrics against the usual way of writing them",
        epilog="--batch-size, --frames and --joints take one number or several; one may have several, and "
        "with three or more the exponents are fitted by which the cost grows",
    )
    whats: Commands = parser.add_subparsers(dest="what", metavar="WHAT", required=True)

    layer = whats.add_parser("layer", help="one graph convolution, by the number of joints")
    _sizes(layer, batch_size=4, frames=96, joints=[15, 17, 33, 65, 133, 257, 513])
    _precision(layer)
    _rounds(layer)
    layer.set_defaults(measure=_layer)

    step = whats.add_parser("step", help="a training step")
    _sizes(step, batch_size=32, frames=96, joints=17)
    _precision(step)
    _rounds(step)
    step.add_argument(
        "--loss-steps",
        type=int,
        default=0,
        metavar="N",
        help="first compare the losses of N steps of training with those of the usual formulation",
    )
    step.set_defaults(measure=_step)

    inference = whats.add_parser("inference", help="lifting a sequence")
    _sizes(inference, frames=2000, joints=17)
    _precision(inference)
    _rounds(inference)
    inference.set_defaults(measure=_inference)

    data = whats.add_parser("data", help="taking batches, beside a loader with workers")
    _sizes(data, batch_size=256)
    data.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], metavar="N", help="of the loaders")
    data.add_argument("--batches", type=int, default=16, metavar="N", help="taken in a row")
    _rounds(data)
    data.set_defaults(measure=_data)

    epoch = whats.add_parser("epoch", help="an epoch of Human3.6M's size, beside a loader with workers")
    epoch.add_argument("--batch-size", type=int, default=256, metavar="N")
    epoch.add_argument(
        "--share", type=float, help="of the epoch that is run, the rest is reckoned; all on a GPU, else 0.005"
    )
    epoch.add_argument(
        "--workers", type=int, default=min(os.cpu_count() or 1, 8), metavar="N", help="of the loader"
    )
    _precision(epoch)
    epoch.set_defaults(measure=_epoch)

    metrics = whats.add_parser("metrics", help="all metrics of a test set")
    _sizes(metrics, frames=560_000)
    _rounds(metrics)
    metrics.set_defaults(measure=_metrics)

    for what in whats.choices.values():
        what.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
        what.add_argument("--threads", type=int, metavar="N", help="of the CPU; PyTorch's choice by default")
        what.add_argument("--output", type=Path, metavar="FILE.json", help="write the figures here")
        what.add_argument("--track", action="store_true", help="log the figures as a run in MLflow")
    parser.set_defaults(run=_run)


def _sizes(parser: argparse.ArgumentParser, **defaults: int | list[int]) -> None:
    for name, default in defaults.items():
        numbers = [default] if isinstance(default, int) else default
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            nargs="+",
            default=numbers,
            metavar="N",
            help=" ".join(map(str, numbers)),
        )


def _precision(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")


def _rounds(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeats", type=int, default=10, metavar="N", help="at the most; 3 at the least")
    parser.add_argument(
        "--limit",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="for one size: fewer repeats, and sizes that would still take longer are left out",
    )


def _run(options: argparse.Namespace) -> None:
    import torch

    from gcnpose.benchmark.timing import format_result, track_result, write_result
    from gcnpose.build import build_device
    from gcnpose.config import TrackingConfig, load_config
    from gcnpose.memory import enough_memory

    if options.output:
        check_output(options.output, ".json")
    if options.threads is not None:
        cores = os.cpu_count() or 1
        if not 1 <= options.threads <= cores:
            raise InputError(f"benchmark: --threads must be 1 to {cores}, the cores, not {options.threads}")
        torch.set_num_threads(options.threads)
    device = build_device(load_config("ugcn", [f"device={options.device}"]))
    with enough_memory():
        result = options.measure(options, device)
    result.settings.update(device=str(device), threads=torch.get_num_threads())
    say(format_result(result))
    if options.output:
        write_result(result, options.output)
    if options.track:
        track_result(result, TrackingConfig(system_metrics=False))


def _measured(options: argparse.Namespace) -> Rounds:
    from gcnpose.benchmark.timing import Rounds

    if options.repeats < 1:
        raise InputError(f"benchmark: --repeats must be at least 1, not {options.repeats}")
    if not options.limit > 0:
        raise InputError(f"benchmark: --limit must be above 0, not {options.limit:g}")
    return Rounds(options.repeats, options.limit)


def _axes(options: argparse.Namespace, *names: str) -> dict[str, list[int]]:
    return {name: getattr(options, name.replace("-", "_")) for name in names}


def _layer(options: argparse.Namespace, device: torch.device) -> Result:
    from gcnpose.benchmark.network import time_layer

    axes = _axes(options, "batch-size", "frames", "joints")
    return time_layer(axes, options.precision, device, _measured(options))


def _step(options: argparse.Namespace, device: torch.device) -> Result:
    from gcnpose.benchmark.network import time_step

    axes = _axes(options, "batch-size", "frames", "joints")
    return time_step(axes, options.precision, device, _measured(options), options.loss_steps)


def _inference(options: argparse.Namespace, device: torch.device) -> Result:
    from gcnpose.benchmark.inference import time_inference

    return time_inference(_axes(options, "frames", "joints"), options.precision, device, _measured(options))


def _data(options: argparse.Namespace, device: torch.device) -> Result:
    from gcnpose.benchmark.data import time_data

    axes = _axes(options, "batch-size")
    return time_data(axes, options.workers, options.batches, device, _measured(options))


def _epoch(options: argparse.Namespace, device: torch.device) -> Result:
    from gcnpose.benchmark.epoch import time_epoch

    share = options.share
    if share is None:
        share = 1.0 if device.type == "cuda" else 0.005
    return time_epoch(share, options.batch_size, options.workers, options.precision, device)


def _metrics(options: argparse.Namespace, device: torch.device) -> Result:
    from gcnpose.benchmark.metrics import time_metrics

    return time_metrics(_axes(options, "frames"), device, _measured(options))
