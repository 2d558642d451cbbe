"""An experiment of seconds for tests: motion, a small network, a few steps."""

from pathlib import Path

import yaml

from gcnpose.config import Config, load_config
from tests.motions import small_motion

SETTINGS = {
    "name": "small",
    "skeleton": "h36m17",
    "device": "cpu",
    "data": {"window": 16, "step": 5, "views": "turned", "augment": {"bone_scale": 0.05, "tempo": 0.3}},
    "model": {"channels": [4, 8]},
    "loss": {"intervals": [2, 4]},
    "train": {
        "epochs": 3,
        "batch_size": 2,
        "steps_per_epoch": 4,
        "schedule": "one_cycle",
        "fixed_input_statistics": True,
    },
    "tracking": {"enabled": False},
}

NETWORKS = {
    "ugcn": "model={channels: [4, 8], dropout: 0.1}",
    "simple_baseline": "model={name: simple_baseline, simple_baseline: {width: 16}}",
    "videopose3d": "model={name: videopose3d, videopose3d: {filter_widths: [3, 3], width: 16}}",
    "agformer": "model={name: agformer, dropout: 0, agformer: {width: 8, layers: 2, heads: 2, span: 4}}",
}
"""Of each network a small one, as an override."""


def seen(views: str) -> tuple[str, ...]:
    """Overrides for views of a kind; fixed ones cannot vary what they show."""
    return (f"data.views={views}", *(["data.augment={flip: 0.5}"] if views == "fixed" else []))


def small_experiment(folder: Path, frames: tuple[int, ...] = (40, 30, 20)) -> Path:
    """Writes motion of three subjects, one for each split, and the experiment's file; gives the latter."""
    small_motion(frames).save(folder / "motion.npz")
    experiment = folder / "small.yaml"
    place = {"output": str(folder / "runs"), "data": {**SETTINGS["data"], "path": str(folder / "motion.npz")}}
    experiment.write_text(yaml.safe_dump({**SETTINGS, **place}))
    return experiment


def small_config(folder: Path, *overrides: str, frames: tuple[int, ...] = (40, 30, 20)) -> Config:
    return load_config(small_experiment(folder, frames), overrides)
