"""Trains a second stage on what a checkpoint lifts, and scores both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gcnpose.build import build_device, build_motion, build_views
from gcnpose.checkpoint import KEPT, load_checkpoint, restore_model, save_checkpoint
from gcnpose.config import config_to_dict
from gcnpose.evaluation import Yardsticks
from gcnpose.files import check_writable
from gcnpose.memory import enough_memory
from gcnpose.refinement import some_clips, train_refinement
from gcnpose.report import format_report, write_report
from gcnpose.scoring import evaluate_model, lift_once, log_scores, same_network

REFINED = "refined.pt"


@enough_memory()
def refine_checkpoint(path: Path, overrides: Sequence[str], say: Any = print) -> Path:
    """Trains a second stage on the training subjects, and scores both stages on the test subjects.

    The network is the checkpoint's and stays as it is. Its poses of the training views are refined; see
    :mod:`gcnpose.refinement`.

    Args:
        path: The checkpoint, or a run folder.
        overrides: ``key=value`` changes to the checkpoint's own config, such as ``refinement.epochs=5``.
        say: Takes each line of progress.

    Returns:
        A checkpoint of both stages beside the first one's, ``refined.pt``; beside it ``refined.json`` and
        ``refined.csv`` with the report, whose other methods are without the second stage.

    Raises:
        InputError: if the checkpoint, an override, the motion or the folder cannot be used.
        RunError: if the training does not end with finite weights.
    """
    content = load_checkpoint(path)
    target = (path if path.is_dir() else path.parent) / REFINED
    check_writable(target.parent, REFINED)
    _, skeleton, model = restore_model(content, path)
    config = same_network(content, content["config"], overrides, path)
    device = build_device(config)
    model = model.to(device)
    motion = build_motion(config, skeleton, ("train", "test"))
    views = some_clips(build_views(config, motion["train"]), config.refinement.frames, config.seed)
    say(f"{path}: epoch {content['epoch']}, refined on {sum(clip.frames for clip in views.clips):,} frames")
    lifted = lift_once(config, model, views, device)
    refinement = train_refinement(views, lifted, config.refinement, config.seed, device)
    parts = {name: content[name] for name in KEPT if name in content and name != "format"}
    second = {"config": config_to_dict(config), "refinement": refinement.state_dict()}
    save_checkpoint(target, {**parts, **second})
    yardsticks = Yardsticks(**content["yardsticks"])
    report = evaluate_model(
        config, model, build_views(config, motion["test"]), yardsticks, device, refinement
    )
    say(format_report(report))
    write_report(report, target.with_suffix(".json"))
    tags = {"checkpoint": str(path)}
    log_scores(config, f"{config.name}-refinement", tags, motion["test"], report, target)
    return target
