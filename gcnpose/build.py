"""From an experiment's settings to objects: the only place that knows both."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from gcnpose.config import Config
from gcnpose.data.camera import Rig
from gcnpose.data.frames import FrameStore
from gcnpose.data.motion import MotionSet
from gcnpose.data.motion_file import SPLITS
from gcnpose.data.noise import KeypointNoise
from gcnpose.data.synthetic import make_motion
from gcnpose.data.views import DEFAULT_RIGS, Views, count_rows, fixed_views
from gcnpose.data.windows import DrawnWindows, FixedWindows, Windows
from gcnpose.errors import InputError
from gcnpose.loss import LiftingLoss
from gcnpose.nn import UGCN, AGFormer, LiftingNetwork, SimpleBaseline, VideoPose3D
from gcnpose.processes import ALONE, Processes
from gcnpose.skeleton import Skeleton

DATA_SEED = 0
"""Draws the embedded motion, and the turns and noise of fixed views. The same for all experiments, so that
networks of different seeds are scored on the same data and differ by their training alone."""


def build_device(config: Config, processes: Processes = ALONE) -> torch.device:
    """The device to compute on; of several processes, each gets a GPU of its own.

    Raises:
        InputError: if the device that is asked for is not there, or not for every process.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if processes.size > 1 and name not in ("cpu", "cuda"):
        raise InputError(
            f"device: expected auto, cpu or cuda, of which each of {processes.size} processes gets its own, "
            f"came {name}"
        )
    if processes.size > 1 and name == "cuda":
        if processes.local_size > torch.cuda.device_count():
            raise InputError(
                f"device: {processes.local_size} processes, but this machine has "
                f"{torch.cuda.device_count()} GPUs"
            )
        name = f"cuda:{processes.local_rank}"
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device: {name} is not there, this machine has {torch.cuda.device_count()} GPUs")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise InputError("device: mps is not there")
    return device


def build_model(config: Config, skeleton: Skeleton) -> LiftingNetwork:
    """The network, newly initialised from PyTorch's global generator.

    Raises:
        InputError: if there are more down/up pairs than steps between channels.
    """
    model = config.model
    common: dict[str, Any] = {
        "input_channels": model.input_channels,
        "root_relative_input": model.root_relative_input,
        "dropout": model.dropout,
    }
    match model.name:
        case "simple_baseline":
            return SimpleBaseline(skeleton, **dataclasses.asdict(model.simple_baseline), **common)
        case "videopose3d":
            return VideoPose3D(skeleton, **dataclasses.asdict(model.videopose3d), **common)
        case "agformer":
            return AGFormer(skeleton, **dataclasses.asdict(model.agformer), **common)
    return UGCN(
        skeleton,
        channels=model.channels,
        down_up_pairs=model.down_up_pairs,
        spatial_graph=model.spatial_graph,
        whole_pose=model.whole_pose,
        max_hop=model.max_hop,
        merge=model.merge,
        temporal_kernel=model.temporal_kernel,
        upsampling=model.upsampling,
        aggregation=model.aggregation,
        **common,
    )


def build_loss(config: Config, processes: Processes = ALONE) -> LiftingLoss:
    """The training loss (Eq. 6)."""
    loss = config.loss
    return LiftingLoss(loss.weight, loss.operators, loss.intervals, loss.distance, processes.mean)


def find_motion(config: Config) -> None:
    """Finds out whether the motion file is there.

    Raises:
        InputError: if not.
    """
    path = config.data.path
    if path is not None and not os.path.exists(path):  # Path's own fails where the name is too long
        raise InputError(f"data.path: {path}: no such file; say where the motion is with data.path=...")


def build_motion(config: Config, skeleton: Skeleton, splits: Sequence[str] = SPLITS) -> dict[str, MotionSet]:
    """The motion of the subjects of some splits: :func:`split_motion` of :func:`load_motion`.

    Raises:
        InputError: as these.
    """
    return split_motion(config, load_motion(config, skeleton), splits)


def load_motion(config: Config, skeleton: Skeleton) -> MotionSet:
    """The motion of everybody.

    Raises:
        InputError: if the file cannot be used, or does not fit the skeleton.
    """
    data = config.data
    if data.path is None:
        motion = make_motion(DATA_SEED, data.takes)
        if motion.skeleton.joints != skeleton.joints:
            raise InputError(
                f"skeleton: the embedded motion has the joints of {motion.skeleton.name}, "
                f"not those of {skeleton.name}; give motion of your own as data.path"
            )
        return dataclasses.replace(motion, skeleton=skeleton)
    find_motion(config)
    return MotionSet.load(data.path, skeleton, data.fps)


def split_motion(config: Config, motion: MotionSet, splits: Sequence[str]) -> dict[str, MotionSet]:
    """The parts of some splits.

    Subjects come from the config, else from the motion's own splits; without any, and with nobody named
    to train, all are test. Where nobody is for validation, that split is missing.

    Raises:
        InputError: if nothing says who belongs to a split; or if a subject is in two of them.
    """
    data = config.data
    named = dict(
        zip(SPLITS, (data.train_subjects, data.validation_subjects, data.test_subjects), strict=True)
    )
    known = motion.splits or ({} if data.train_subjects else {"test": motion.subjects})
    chosen: dict[str, MotionSet] = {}
    for split in splits:
        subjects = named[split] or known.get(split)
        if not subjects and split == "validation":
            continue  # Human3.6M's protocol has nobody for it
        if not subjects:
            raise InputError(
                f"data.{split}_subjects: {data.path} does not say who is for {split}, so name them; "
                f"it has {', '.join(motion.subjects)}"
            )
        for other, others in chosen.items():
            if both := set(subjects) & set(others.subjects):
                raise InputError(
                    f"data: {', '.join(sorted(both))} among both the {other} and the {split} subjects"
                )
        chosen[split] = motion.select(subjects)
    return chosen


def build_noise(config: Config, skeleton: Skeleton, device: torch.device) -> KeypointNoise | None:
    """The errors on projected 2D; None where their scale is 0.

    Raises:
        InputError: if there is not one of ``joint_errors`` for each joint.
    """
    keypoints = config.data.keypoints
    if keypoints.noise.scale == 0:
        return None
    try:
        return KeypointNoise(
            skeleton,
            **dataclasses.asdict(keypoints.noise),
            ground_truth_weight=keypoints.ground_truth_weight,
            device=device,
        )
    except InputError as error:
        raise InputError(f"data.keypoints.noise.{error}") from None


def build_store(
    config: Config, motion: MotionSet, device: torch.device, processes: Processes = ALONE
) -> FrameStore:
    """Where the frames of the training motion will lie, of which every process has its own."""
    data, joints = config.data, motion.skeleton.num_joints
    frames = sum(len(sequence.positions) for sequence in motion.sequences)
    values = count_rows(motion, DEFAULT_RIGS[data.rig]()) * joints * (config.model.input_channels + 3)
    kept = values if data.views == "fixed" else frames * joints * 3
    size = torch.float32.itemsize
    folder = Path(config.output)
    return FrameStore(device, data.keep, size * values, size * kept, folder, processes.local_size)


def build_views(config: Config, motion: MotionSet, store: FrameStore | None = None) -> Views:
    """Fixed views of some subjects, the same whatever the experiment's seed.

    Args:
        config: The experiment.
        motion: Of those subjects.
        store: Where the arrays are made; None: in RAM.

    Raises:
        InputError: if the 2D is not what the config asks for, or the store has no room.
    """
    return _views(config, motion, build_noise(config, motion.skeleton, torch.device("cpu")), store)


def build_windows(
    config: Config, motion: MotionSet, views: Views, device: torch.device, store: FrameStore | None = None
) -> Windows:
    """The training windows: of the fixed views, or of the motion seen anew each time.

    Raises:
        InputError: if the motion has detected 2D and is to be seen anew; or the network takes scores, and all
            of them are 1.
    """
    data = config.data
    noise = build_noise(config, motion.skeleton, device)
    scores_vary = _scores_vary(views) if data.views == "fixed" else noise is not None
    if config.model.input_channels == 3 and not scores_vary:
        raise InputError(
            "model.input_channels: 3 takes scores, and those of the training are all 1. What never changes "
            "teaches nothing, and the network is lost where it does: train with 2, on detected 2D with "
            "scores, or with data.keypoints.noise.scale=1"
        )
    if data.views == "fixed":
        if noise is not None:  # the views have noise already, the same each time
            views = _views(config, motion, None, store)
        return FixedWindows(views, data.window, data.step, data.augment.flip, device, noise, store)
    if data.keypoints.detected is None and any(sequence.keypoints_2d for sequence in motion.sequences):
        raise InputError(
            f"data.views: {data.views} views project 2D of their own, but the motion has detected 2D: "
            "data.keypoints.detected=false leaves that out, data.views=fixed takes it"
        )
    return DrawnWindows(
        motion,
        Rig.from_cameras(DEFAULT_RIGS[data.rig]()).to(device),
        drawn_cameras=data.views == "drawn",
        window=data.window,
        step=data.step,
        flip=data.augment.flip,
        bone_scale=data.augment.bone_scale,
        body_scale=data.augment.body_scale,
        tempo=data.augment.tempo,
        input_channels=config.model.input_channels,
        device=device,
        noise=noise,
        store=store,
    )


def _scores_vary(views: Views) -> bool:
    return any(bool((views.keypoints_2d[clip.rows][..., 2:] != 1).any()) for clip in views.clips)


def _views(config: Config, motion: MotionSet, noise: KeypointNoise | None, store: FrameStore | None) -> Views:
    data = config.data
    return fixed_views(
        motion,
        DEFAULT_RIGS[data.rig](),
        DATA_SEED,
        config.model.input_channels,
        data.keypoints.detected,
        data.keypoints.ground_truth_weight,
        noise,
        torch.empty if store is None else store.empty,
    )
