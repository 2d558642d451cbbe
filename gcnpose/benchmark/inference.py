"""Lifting whole sequences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from gcnpose.benchmark.network import formulations, past_the_beginning, skeleton_of
from gcnpose.benchmark.timing import Result, Rounds, Row, check_equal, rows_of, sweep, time_in_turn, varied
from gcnpose.config import Method, Precision, load_config
from gcnpose.inference import Lifter, lift_windows
from gcnpose.nn import UGCN
from gcnpose.nn.following import GUESSED_FOCAL

_CHECKED_FRAMES = 120
"""Of the sequence on which the variants must agree: a window, and some more."""


def time_inference(
    axes: Mapping[str, Sequence[int]], precision: Precision, device: torch.device, rounds: Rounds
) -> Result:
    """Ways to lift one sequence, beside the plain one: the usual formulation, a window after the other.

    Those up to the averaged windows give the same poses, which is checked in fp32. A pass per shift and a
    single pass are other estimates of them.

    Args:
        axes: ``frames`` of the sequence and ``joints``; one may have several.
        precision: Of gcnpose's averaged ways; all else is in fp32.
        device: Where to.
        rounds: How often.

    Raises:
        InputError: if a size is too small, or several axes have several.
        RunError: if variants that should do not compute the same.
    """
    axis, sizes = varied(axes)
    config = load_config("ugcn")
    result = Result("inference", {**axes, "precision": precision}, axis)

    def measure(**size: int) -> list[Row]:
        skeleton = skeleton_of(size["joints"])
        network = past_the_beginning(UGCN(skeleton)).to(device)
        networks = formulations(network, skeleton)
        for other in networks.values():
            other.eval()
        sequence = torch.randn(size["frames"], skeleton.num_joints, 2, device=device) / 3

        def plain(network: nn.Module, sequence: Tensor) -> Tensor:
            (lifted,) = lift_windows(
                network, skeleton, [sequence], config.data.window, config.evaluation.step, batch_size=1
            )
            return lifted

        def way(method: Method, flip: bool, precision: Precision) -> Lifter:
            return Lifter(network, skeleton, config, method, flip, precision)

        short = sequence.new_zeros(_CHECKED_FRAMES, *sequence.shape[1:]).normal_()
        poses = {name: plain(other, short) for name, other in networks.items()}
        poses["windows"] = torch.from_numpy(way("windows", True, "fp32").lift(short, GUESSED_FOCAL)).to(
            device
        )
        check_equal("the poses", poses)

        calls: dict[str, Callable[[], object]] = {
            f"{name}, window by window": partial(plain, other, sequence) for name, other in networks.items()
        }
        for name, lifter in {
            f"windows, {precision}": way("windows", True, precision),
            f"shifts, {precision}": way("shifts", True, precision),
            "whole": way("whole", True, "fp32"),
            "whole, no flip": way("whole", False, "fp32"),
        }.items():
            calls[name] = partial(lifter.lift, sequence, GUESSED_FOCAL)
        return rows_of(time_in_turn(calls, rounds, device), size["frames"], "frames")

    sweep(result, sizes, measure, rounds, device)
    result.notes.append(
        f"windows of {config.data.window} frames, step {config.evaluation.step}, with flips but for the last "
        "way; shifts and whole are other estimates than windows"
    )
    return result
