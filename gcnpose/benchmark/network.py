"""The graph convolution, and a whole training step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from gcnpose.benchmark.references import PyGGraphConv, PyGUGCN, UsualGraphConv, UsualUGCN, copy_weights
from gcnpose.benchmark.timing import (
    Result,
    Rounds,
    Row,
    check_equal,
    crossover,
    is_too_much,
    rows_of,
    sweep,
    time_in_turn,
    varied,
)
from gcnpose.benchmark.traffic import Traffic, bandwidth, kept_bytes
from gcnpose.build import build_windows
from gcnpose.config import Precision, TrainConfig, load_config
from gcnpose.data.camera import h36m_rig
from gcnpose.data.draws import Draws
from gcnpose.data.synthetic import make_motion
from gcnpose.data.views import fixed_views
from gcnpose.data.windows import Batch
from gcnpose.errors import InputError, RunError
from gcnpose.loss import LiftingLoss
from gcnpose.nn import UGCN, PartitionConv
from gcnpose.nn.partition_conv import has_torch_scatter
from gcnpose.precision import autocast
from gcnpose.skeleton import Skeleton
from gcnpose.training import build_optimizer

USUAL, PYG, OURS = "usual formulation", "PyG alone", "gcnpose"
CHANNELS = 64
"""Of the layer that is timed alone."""
LOSS_TOLERANCE = 1e-4


def skeleton_of(joints: int) -> Skeleton:
    """Human3.6M's where that has so many joints, else a chain: every tree of them has as many edges."""
    skeleton = Skeleton.load("h36m17")
    if joints == skeleton.num_joints:
        return skeleton
    names = [f"j{number}" for number in range(joints)]
    chain = [list(bone) for bone in pairwise(names)]
    content = {"name": "chain", "root": "j0", "joints": names, "bones": chain, "mirror": []}
    return Skeleton.from_dict(content, "benchmark")


def formulations(network: UGCN, skeleton: Skeleton) -> dict[str, nn.Module]:
    """The network as others would write it, and itself; the first is what the others are compared with."""
    graph = skeleton.to_data()
    return {USUAL: UsualUGCN(network, graph), PYG: PyGUGCN(network, graph), OURS: network}


def past_the_beginning(network: UGCN) -> UGCN:
    """The network with what begins at zero drawn at random, so that every part shows in the output."""
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return network


def time_layer(
    axes: Mapping[str, Sequence[int]], precision: Precision, device: torch.device, rounds: Rounds
) -> Result:
    """One graph convolution, forward and backward, by how it is written and how it sums messages.

    torch-scatter is timed where it is installed and can. With several numbers of joints it says up to which
    number the dense product is faster than the ways that know which entries are zero.

    Args:
        axes: Numbers of windows (``batch-size``), ``frames`` and ``joints``; one may have several.
        precision: ``"fp32"``, or ``"bf16"`` for autocast.
        device: Where to.
        rounds: How often.

    Raises:
        InputError: if a size is too small, or several axes have several.
        RunError: if the variants do not compute the same.
    """
    axis, sizes = varied(axes)
    result = Result("layer", {**axes, "precision": precision}, axis)
    sparse = ["gather", "native", "scatter"] if has_torch_scatter(device.type) else ["gather", "native"]

    def measure(**size: int) -> list[Row]:
        frames, joints = size["batch-size"] * size["frames"], size["joints"]
        graph = skeleton_of(joints).to_data()
        layers: dict[str, nn.Module] = {
            USUAL: UsualGraphConv(CHANNELS, CHANNELS, graph),
            PYG: PyGGraphConv(CHANNELS, CHANNELS, graph),
        }
        for name in (*sparse, "dense"):
            layers[name] = PartitionConv(CHANNELS, CHANNELS, graph, name)
        for layer in layers.values():
            copy_weights(layers["dense"], layer.to(device))

        def inputs(frames: int) -> dict[str, Tensor]:
            x = torch.randn(frames, joints, CHANNELS, device=device)
            return {
                **dict.fromkeys(layers, x),
                USUAL: x.permute(2, 0, 1)[None].contiguous(),
                PYG: x.flatten(0, 1),
            }

        outputs = {name: layers[name](x) for name, x in inputs(2).items()}
        outputs[USUAL] = outputs[USUAL][0].permute(1, 2, 0)
        check_equal("the output", {name: y.reshape(2, joints, -1) for name, y in outputs.items()})

        def forward(layer: nn.Module, x: Tensor) -> Tensor:
            with autocast(precision, device):
                return layer(x).float().square().mean()

        def both_ways(layer: nn.Module, x: Tensor) -> None:
            forward(layer, x).backward()

        given = [(layers[name], x.requires_grad_()) for name, x in inputs(frames).items()]
        kept = [kept_bytes(partial(forward, *layer_and_x)) for layer_and_x in given]
        calls = {name: partial(both_ways, *those) for name, those in zip(layers, given, strict=True)}
        rows = rows_of(time_in_turn(calls, rounds, device), frames, "frames")
        return [{**row, "kept MB": value / 1e6} for row, value in zip(rows, kept, strict=True)]

    sweep(result, sizes, measure, rounds, device)
    result.notes.append(
        f"forward and backward, {CHANNELS} channels to {CHANNELS}; MB kept for the backward pass"
    )
    if axis == "joints" and result.rows:
        for name in sparse:
            joints = crossover(result.rows, axis, "dense", name)
            found = f"up to {joints:.0f} joints" if math.isfinite(joints) else "at all of these sizes"
            result.notes.append(f"dense is faster than {name} {found}")
    return result


def time_step(
    axes: Mapping[str, Sequence[int]],
    precision: Precision,
    device: torch.device,
    rounds: Rounds,
    loss_steps: int = 0,
) -> Result:
    """A training step (forward, loss, backward, Adam) of UGCN and of the other formulations.

    Other precisions than single are compared with the usual formulation in single precision.

    The share of a GPU's memory bandwidth is what :class:`Traffic` counts in a step, over what a large copy
    would move in the step's time. A CPU's caches hold much of a step, so there the share says nothing.

    Args:
        axes: ``batch-size``, ``frames`` and ``joints``; one may have several.
        precision: ``"fp32"``, or ``"bf16"`` for autocast.
        device: Where to.
        rounds: How often.
        loss_steps: Steps over which the losses are compared first, see :func:`compare_losses`; 0: they are
            not.

    Raises:
        InputError: if a size is too small or too large, several axes have several, or the frames would be
            padded, which the other formulations do not do.
        RunError: if the variants do not compute the same.
    """
    axis, sizes = varied(axes)
    strides = UGCN(Skeleton.load("h36m17")).stride_product
    for size in sizes:
        if size["frames"] % strides:
            raise InputError(f"benchmark: --frames must be a multiple of {strides}, not {size['frames']}")
    if loss_steps < 0:
        raise InputError(f"benchmark: --loss-steps must be at least 0, not {loss_steps}")
    if loss_steps and device.type == "mps":
        raise InputError("benchmark: --loss-steps needs double precision, which mps does not have")
    result = Result("step", {**axes, "precision": precision}, axis)
    if loss_steps:
        result.notes += compare_losses(loss_steps, device)
    copied_per_s = bandwidth(device) if device.type == "cuda" else None

    def measure(**size: int) -> list[Row]:
        batch_size, skeleton = size["batch-size"], skeleton_of(size["joints"])
        check_networks(skeleton, device)
        network = UGCN(skeleton).to(device)
        shape = (batch_size, size["frames"], skeleton.num_joints)
        batch = Batch(
            torch.randn(*shape, 2, device=device),
            torch.randn(*shape, 3, device=device),
            torch.ones(*shape[:2], dtype=torch.bool, device=device),
        )
        steps = {
            name: Step(other, precision, device) for name, other in formulations(network, skeleton).items()
        }
        if precision != "fp32":  # what it gains over single precision too
            usual = UsualUGCN(network, skeleton.to_data())
            steps = {f"{USUAL}, fp32": Step(usual, "fp32", device), **steps}
        calls, moved, kept = {}, [], []
        few = [Batch(*(part[:count] for part in batch)) for count in (1, 2)]
        for name, step in steps.items():
            one, two = (kept_bytes(partial(step.forward, part)) for part in few)
            expected_mb = (one + (batch_size - 1) * (two - one)) / 1e6
            if is_too_much(expected_mb, device):
                raise InputError(f"benchmark: {name} would keep {expected_mb:,.0f} MB in memory for a step")
            kept.append(kept_bytes(partial(step.forward, batch)))
            with Traffic() as traffic:
                step(batch)
            moved.append(traffic.bytes)
            calls[name] = partial(step, batch)
        rows = rows_of(time_in_turn(calls, rounds, device), batch_size, "windows")
        for row, of_kept, of_moved in zip(rows, kept, moved, strict=True):
            row |= {"kept MB": of_kept / 1e6, "moved MB": of_moved / 1e6}
            if copied_per_s:
                row["bandwidth %"] = 100 * of_moved / copied_per_s / (row["ms"] / 1000)
        return rows

    sweep(result, sizes, measure, rounds, device)
    result.notes.append(
        "MB kept for the backward pass; MB moved if each operation reads and writes its tensors once"
        + (f", their share of what a copy moves, {copied_per_s / 1e9:.0f} GB/s" if copied_per_s else "")
    )
    return result


class Step:
    """A training step of a network: forward, loss, backward, Adam.

    Args:
        network: What to train.
        precision: ``"fp32"``, or ``"bf16"`` for autocast.
        device: Where it lies.
    """

    def __init__(self, network: nn.Module, precision: Precision, device: torch.device) -> None:
        self.network = network
        self.autocast = partial(autocast, precision, device)
        self.loss = LiftingLoss()
        self.optimizer = build_optimizer(network, TrainConfig())

    def forward(self, batch: Batch) -> Tensor:
        with self.autocast():
            predicted = self.network(batch.keypoints_2d)
        return self.loss(predicted, batch.pose_3d, batch.valid).total

    def __call__(self, batch: Batch) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        self.forward(batch).backward()
        self.optimizer.step()


def check_networks(skeleton: Skeleton, device: torch.device) -> None:
    """Makes sure that the formulations give the same output and gradients, in training without dropout.

    Raises:
        RunError: if they do not.
    """
    torch.manual_seed(0)
    network = past_the_beginning(UGCN(skeleton, dropout=0.0)).to(device)
    keypoints_2d = torch.randn(2, 2 * network.stride_product, skeleton.num_joints, 2, device=device)
    outputs, gradients = {}, {}
    for name, other in formulations(network, skeleton).items():
        outputs[name] = other(keypoints_2d)
        found = torch.autograd.grad(outputs[name].square().mean(), list(other.parameters()))
        gradients[name] = torch.cat([gradient.flatten() for gradient in found])
    check_equal("the output", outputs)
    check_equal("the gradient", gradients)


def compare_losses(steps: int, device: torch.device, batch_size: int = 4) -> list[str]:
    """Trains UGCN and its usual formulation on the same windows, without dropout, and compares the losses.

    Rounding alone drives two trainings apart: Adam divides the gradient by its own size, so where the
    gradient is small, steps follow its rounding errors. How far shows a third training, of the same network
    with every batch in reverse order: at the paper's learning rate, 1e-2, it leaves the tolerance within some
    ten steps in single precision. So there the learning rate is low, and double precision has the paper's.

    Returns:
        What was found.

    Raises:
        RunError: if the losses of the two formulations differ by more than 1e-4 of their value, in single
            precision at a learning rate of 3e-5 or in double precision at 1e-2.
    """
    skeleton = Skeleton.load("h36m17")
    motion = make_motion(takes=1)
    config = load_config("ugcn", ["data.augment.tempo=0.3"])
    windows = build_windows(config, motion, fixed_views(motion, h36m_rig(), seed=0), device)

    def losses(
        dtype: torch.dtype, learning_rate: float, usual: bool = False, reverse: bool = False
    ) -> Tensor:
        torch.manual_seed(0)
        ours = UGCN(skeleton, dropout=0.0)
        network = (UsualUGCN(ours, skeleton.to_data()) if usual else ours).to(device, dtype)
        optimizer = torch.optim.Adam(network.parameters(), learning_rate)
        generator = torch.Generator(device).manual_seed(0)
        loss, values = LiftingLoss(), []
        for _ in range(steps):
            indices = torch.randint(len(windows), (batch_size,), generator=generator, device=device)
            batch = windows.batch(indices, Draws(generator, batch_size))
            keypoints_2d, pose_3d, valid = (
                tensor.flip(0) if reverse else tensor
                for tensor in (batch.keypoints_2d.to(dtype), batch.pose_3d.to(dtype), batch.valid)
            )
            total = loss(network(keypoints_2d), pose_3d, valid).total
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            values.append(total.detach())
        return torch.stack(values)

    notes = []
    for dtype, rate in ((torch.float32, 3e-5), (torch.float64, 1e-2)):
        # On a GPU the ten bits of TF32 would be all that is seen.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            ours = losses(dtype, rate)
            others = losses(dtype, rate, usual=True), losses(dtype, rate, reverse=True)
        of_usual, of_reversed = (float(((other - ours) / ours).abs().max()) for other in others)
        found = (
            f"losses of {steps} steps at learning rate {rate:g} in {dtype}: the {USUAL} differs by at most "
            f"{of_usual:.1e} of the loss, the same network on batches in reverse order by {of_reversed:.1e}"
        )
        if not of_usual <= LOSS_TOLERANCE:
            raise RunError(f"benchmark: {found}; at most {LOSS_TOLERANCE:.0e} is expected")
        notes.append(found)
    return notes
