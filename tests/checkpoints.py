"""A checkpoint in no time: a small network whose weights are drawn, not trained."""

from pathlib import Path

import torch

from gcnpose.build import build_model, build_motion, build_views
from gcnpose.checkpoint import save_checkpoint
from gcnpose.config import config_to_dict
from gcnpose.evaluation import Yardsticks
from gcnpose.skeleton import Skeleton
from tests.experiments import small_config
from tests.motions import past_the_beginning


def small_checkpoint(folder: Path, *overrides: str, frames: tuple[int, ...] = (40, 30, 20)) -> Path:
    """Writes ``best.pt``, and ``motion.npz`` with three subjects, the last of whom is for the test."""
    config = small_config(folder, *overrides, frames=frames)
    skeleton = Skeleton.load(config.skeleton)
    motion = build_motion(config, skeleton)
    torch.manual_seed(0)
    model = past_the_beginning(build_model(config, skeleton))
    yardsticks = Yardsticks.fit(build_views(config, motion["train"]))
    content = {
        "config": config_to_dict(config),
        "skeleton": skeleton.to_dict(),
        "model": model.state_dict(),
        "epoch": 0,
        "yardsticks": {"mean_pose": yardsticks.mean_pose, "linear": yardsticks.linear},
    }
    save_checkpoint(folder / "best.pt", content)
    return folder / "best.pt"
