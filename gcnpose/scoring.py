"""What a checkpoint scores on test subjects, or on other motion."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gcnpose.build import build_device, build_views, load_motion, split_motion
from gcnpose.checkpoint import load_checkpoint, restore_model, restore_refinement
from gcnpose.config import Config, Method, config_from_dict, config_to_dict
from gcnpose.data.motion import MotionSet
from gcnpose.data.views import Views
from gcnpose.errors import InputError
from gcnpose.evaluation import Lift, Yardsticks, evaluate
from gcnpose.inference.sequences import lift_by, was_played_at
from gcnpose.memory import enough_memory
from gcnpose.metrics import mpjpe_mm
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.following import GUESSED_FOCAL
from gcnpose.nn.refinement import Refinement
from gcnpose.precision import autocast, doubts, settle
from gcnpose.protocols import PROTOCOLS
from gcnpose.refinement import refine
from gcnpose.report import format_report
from gcnpose.skeleton import Skeleton
from gcnpose.tracking import Tracker

LARGEST_KEYPOINTS_ERROR_PX = 30.0
"""CPN's 2D of Human3.6M has 6. Of the embedded motion, 2D with left and right exchanged has 47, with joints
in another order or by another camera 160."""


@enough_memory()
def evaluate_checkpoint(
    path: Path, overrides: Sequence[str], say: Any = print, tags: Mapping[str, str] = {}
) -> dict[str, Any]:
    """Scores a checkpoint on its test subjects, or on other motion.

    Args:
        path: The checkpoint, or a run folder.
        overrides: ``key=value`` changes to the checkpoint's own config; ``data.path=`` points at other motion
            and ``data.subjects=[...]`` names who of it is scored: else the test subjects that the config
            names, where all are in it, or those of its splits, or everybody.
        say: Takes each line of progress.
        tags: As for :func:`gcnpose.run.train`.

    Returns:
        The report of :func:`gcnpose.evaluation.evaluate`.

    Raises:
        InputError: if the checkpoint, an override or the motion cannot be used.
    """
    content = load_checkpoint(path)
    config, model, motion = _restore(content, path, overrides)
    device = build_device(config)
    say(
        f"{path}: epoch {content['epoch']}, {len(motion.sequences)} sequences of {', '.join(motion.subjects)}"
    )
    views = build_views(config, motion)
    for doubt in _doubts(content, config, motion, views, device):
        say(doubt)
    yardsticks = Yardsticks(**content["yardsticks"])
    refinement = restore_refinement(content, path)
    report = evaluate_model(config, model.to(device), views, yardsticks, device, refinement)
    say(format_report(report))
    log_scores(config, f"{config.name}-evaluation", {"checkpoint": str(path), **tags}, motion, report)
    return report


@enough_memory()
def draw_hardest(path: Path, overrides: Sequence[str], picture: Path, poses: int = 8) -> None:
    """Draws the poses that a checkpoint is farthest off at, one of each sequence (the paper's Figures 5, 7).

    Args:
        path: The checkpoint, or a run folder.
        overrides: As for :func:`evaluate_checkpoint`.
        picture: The PNG file.
        poses: How many, where there are as many sequences.

    Raises:
        InputError: if the checkpoint, an override or the motion cannot be used.
    """
    from gcnpose.viz.poses import draw_poses

    content = load_checkpoint(path)
    config, model, motion = _restore(content, path, overrides)
    device = build_device(config)
    views = build_views(config, motion)
    inputs = [views.keypoints_2d[clip.rows].to(device) for clip in views.clips]
    lift = _lift(config, config.evaluation.methods[0], model.to(device), views.skeleton)
    refinement = restore_refinement(content, path)
    if refinement is not None:
        lift = refine(lift, refinement.to(device), views, config.refinement.root_depth)
    lifted = torch.cat([poses_3d.cpu() for poses_3d in lift(inputs)])
    errors = mpjpe_mm(lifted, views.pose_3d).where(views.valid, -1.0)
    hardest: dict[tuple[str, str], tuple[float, int, str]] = {}
    for clip in views.clips:
        error, frame = errors[clip.rows].max(dim=0)
        seen = (error.item(), clip.first + int(frame), f"{clip.subject} {clip.action}, frame {int(frame)}")
        key = (clip.subject, clip.name)
        hardest[key] = max(seen, hardest.get(key, seen))
    _, rows, titles = zip(*sorted(hardest.values(), reverse=True)[:poses], strict=True)
    chosen = list(rows)
    draw_poses(
        views.skeleton,
        views.keypoints_2d[chosen],
        lifted[chosen],
        views.pose_3d[chosen],
        picture,
        titles,
    )


def _restore(
    content: Mapping[str, Any], path: Path, overrides: Sequence[str]
) -> tuple[Config, LiftingNetwork, MotionSet]:
    """The network of a checkpoint, its config with other settings, and the motion to score it on."""
    own, skeleton, model = restore_model(content, path)
    settings = dict(content["config"], data=dict(content["config"]["data"]))
    settings["data"].update(train_subjects=None, validation_subjects=None)
    if any(override.startswith("data.path=") for override in overrides):
        settings["data"]["test_subjects"] = None
    renamed = [re.sub(r"^data\.subjects=", "data.test_subjects=", override) for override in overrides]
    config = same_network(content, settings, renamed, path)
    second = replace(config.refinement, root_depth=own.refinement.root_depth)
    if "refinement" in content and second != own.refinement:
        raise InputError(f"{path}: has its second stage; of refinement.* only root_depth can be overridden")
    motion = load_motion(config, skeleton)
    tested = own.data.test_subjects
    if config.data.test_subjects is None and tested and {*tested} <= {*motion.subjects}:
        config = replace(config, data=replace(config.data, test_subjects=tested))
    return config, model, split_motion(config, motion, ("test",))["test"]


def _doubts(
    content: Mapping[str, Any], config: Config, motion: MotionSet, views: Views, device: torch.device
) -> Iterator[str]:
    """What makes one doubt that the score is of people whom the network has not seen, and of their motion."""
    yield from doubts_of_2d(views)
    yield from doubts("evaluation.precision", config.evaluation.precision, device)
    data = content["config"]["data"]
    known = {*(data["train_subjects"] or ()), *(data["validation_subjects"] or ())}
    seen = [subject for subject in motion.subjects if subject in known]
    if seen:
        names = ", ".join(seen)
        yield f"the network was trained on, or chosen by, subjects called {names}: are they other people?"
    fps, trained_at = motion.common_fps, content.get("fps")
    if fps and trained_at and not was_played_at(fps, trained_at, config.data.augment.tempo):
        yield (
            f"the motion has {fps:g} frames per second, the training's had {trained_at:g}: it is lifted so, "
            "while predict brings keypoints to the training's; MPJVE and acceleration are per frame"
        )


def doubts_of_2d(views: Views) -> Iterator[str]:
    """What makes one doubt that the motion's own 2D belongs to its 3D."""
    own = any(clip.detected for clip in views.clips)
    if own and (error := views.keypoints_error_px()) > LARGEST_KEYPOINTS_ERROR_PX:
        yield (
            f"the motion's own 2D is {error:.0f} px from its projected 3D, in an image 1000 px wide: are "
            f"these its cameras, and the joints of {views.skeleton.name}, in its order?"
        )


def same_network(
    content: Mapping[str, Any], settings: Mapping[str, Any], overrides: Sequence[str], path: Path
) -> Config:
    """The settings of a checkpoint with overrides that leave its network alone."""
    config = config_from_dict(settings, str(path), overrides)
    own = config_from_dict(content["config"], str(path))
    if config.model != own.model or config.skeleton != own.skeleton:
        raise InputError(
            f"{path}: the network is what the checkpoint has; model.* and skeleton cannot be overridden"
        )
    return config


def log_scores(
    config: Config,
    name: str,
    tags: Mapping[str, str],
    motion: MotionSet,
    report: Mapping[str, Any],
    *files: Path,
) -> None:
    """A run in MLflow for what a checkpoint scored on the test subjects."""
    with Tracker.start(config.tracking, name, config_to_dict(config), tags) as tracker:
        tracker.log_motion(name, config.data.path or "embedded", motion.digest(), "test", profile(motion))
        log_report(tracker, report)
        tracker.log_files(*files)


def _lift(config: Config, method: Method, model: LiftingNetwork, skeleton: Skeleton) -> Lift:
    """A way to apply the network, as the config says but for the method."""
    settings, window = config.evaluation, config.data.window

    def lift(inputs: list[Tensor]) -> list[Tensor]:
        # The precision is for lifting and not for what scores it.
        with autocast(settings.precision, inputs[0].device):
            return lift_by(
                method,
                model,
                skeleton,
                inputs,
                window=window,
                step=settings.step,
                flip=settings.flip,
                batch_size=settings.batch_size,
                frames_at_once=settings.batch_size * window,
                focal=GUESSED_FOCAL if settings.following else None,
            )

    return lift


def lift_once(config: Config, model: LiftingNetwork, views: Views, device: torch.device) -> list[Tensor]:
    """Every clip in windows side by side, each frame lifted once (at the end perhaps twice); on the CPU."""
    once = replace(config.evaluation, step=config.data.window, flip=False)
    lift = _lift(replace(config, evaluation=once), "windows", model, views.skeleton)
    inputs = [views.keypoints_2d[clip.rows].to(device) for clip in views.clips]
    return [poses.cpu() for poses in lift(inputs)]


def evaluate_model(
    config: Config,
    model: LiftingNetwork,
    views: Views,
    yardsticks: Yardsticks,
    device: torch.device,
    refinement: Refinement | None = None,
) -> dict[str, Any]:
    """The report of :func:`gcnpose.evaluation.evaluate`, by the config's methods and protocol.

    Args:
        config: The experiment.
        model: On the device.
        views: What is scored.
        yardsticks: Scored beside.
        device: Where to lift.
        refinement: Second stage, whose poses are scored first.
    """
    settings = config.evaluation
    lifts: dict[str, Lift] = {
        method: _lift(config, method, model, views.skeleton) for method in settings.methods
    }
    if refinement is not None:
        first = settings.methods[0]
        again = refine(lifts[first], refinement.to(device), views, config.refinement.root_depth)
        depth = ", with the true root depth" if config.refinement.root_depth == "ground_truth" else ""
        lifts = {f"{first}, refined{depth}": again, **lifts}
    protocol = PROTOCOLS[settings.protocol]
    report = evaluate(lifts, views, _keypoint_source(config, views), yardsticks, device, protocol)
    inference = {
        "window": config.data.window,
        "step": settings.step,
        "flip": settings.flip,
        "following": settings.following,
        "precision": settle(settings.precision, device),
    }
    return {**report, "inference": inference, "training": {"precision": config.train.precision}}


def _keypoint_source(config: Config, views: Views) -> str:
    keypoints = config.data.keypoints
    projected = [clip for clip in views.clips if not clip.detected]
    own, projection = "the motion's own", "projected ground truth"
    weight = keypoints.ground_truth_weight
    mixed = f" mixed with {weight:g} ground truth" if weight > 0 else ""
    own += mixed
    if keypoints.noise.scale > 0:
        projection += f" with noise{mixed}"
    if not projected:
        return own
    if len(projected) == len(views.clips):
        return projection
    return f"{own} where it has some, else {projection}"


def log_report(tracker: Tracker, report: Mapping[str, Any]) -> None:
    """The report's means as metrics in MLflow, and its actions as a table."""
    for mean in ("mean_over_frames", "mean_over_actions"):
        tracker.log_metrics({f"test/{mean}/{name}": value for name, value in report[mean].items()})
    for yardstick, means in report["yardsticks"].items():
        tracker.log_metrics(
            {f"yardstick_{yardstick}/{name}": v for name, v in means["mean_over_frames"].items()}
        )
    actions = report["per_action"]
    names = list(next(iter(actions.values())))
    tracker.log_table(
        {"action": list(actions), **{name: [values[name] for values in actions.values()] for name in names}},
        "per_action.json",
    )


def profile(motion: MotionSet) -> dict[str, Any]:
    """What MLflow shows of a data set."""
    return {
        "sequences": len(motion.sequences),
        "frames": sum(len(sequence.positions) for sequence in motion.sequences),
        "subjects": len(motion.subjects),
        "fps": motion.fps,
    }
