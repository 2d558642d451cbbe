"""What several tests start from: small motion, random numbers, and networks that are past their beginning."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from gcnpose.data.draws import Draws
from gcnpose.data.motion import MotionSet
from gcnpose.data.sequence import MotionSequence
from gcnpose.skeleton import Skeleton


def small_motion(
    frames: tuple[int, ...] = (40, 40, 40), subjects: tuple[str, ...] = ("A", "B", "C")
) -> MotionSet:
    """One sequence a subject: joints that swing about a standing cloud around the origin, one metre up."""
    skeleton = Skeleton.load("h36m17")
    random = np.random.default_rng(0)
    sequences = []
    for subject, length in zip(subjects, frames, strict=True):
        place = random.normal(0, 0.3, (1, skeleton.num_joints, 3)) + np.array([0, 0, 1])
        phase = random.uniform(0, 6, (1, skeleton.num_joints, 3))
        swing = 0.1 * np.sin(np.arange(length)[:, None, None] / 10 + phase)
        sequences.append(MotionSequence(subject, "swing 1", (place + swing).astype(np.float32), {}))
    splits = dict(zip(("train", "validation", "test"), [(subject,) for subject in subjects], strict=False))
    return MotionSet(skeleton, 50.0, sequences, splits, {})


def coco_motion() -> MotionSet:
    """The same, said to be of other joints, as many."""
    return replace(small_motion(), skeleton=Skeleton.load("coco17"))


def draws(windows: int, seed: int = 0) -> Draws:
    """Random numbers for a whole batch."""
    return Draws(torch.Generator().manual_seed(seed), windows)


def past_the_beginning(network: nn.Module) -> nn.Module:
    """The network with what begins at zero drawn at random, so that every part shows in the output."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        if parameter.abs().max() == 0 or (parameter == 1).all():
            nn.init.uniform_(parameter, 0.1, 0.5)
    return network
