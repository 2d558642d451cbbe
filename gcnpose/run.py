"""A run from beginning to end: its folder, its checkpoints, its scores, its record in MLflow."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from gcnpose.build import SPLITS, build_device, build_loss, build_model, build_motion, build_views, build_windows
from gcnpose.checkpoint import load_checkpoint, restore_model, save_checkpoint
from gcnpose.config import Config, config_from_dict, config_to_dict, dump_config
from gcnpose.data.views import Views
from gcnpose.errors import InputError, RunError
from gcnpose.evaluation import Yardsticks, evaluate, format_report, score, write_report
from gcnpose.inference import lift_whole, lift_windows
from gcnpose.nn import UGCN
from gcnpose.skeleton import Skeleton
from gcnpose.tracking import Tracker
from gcnpose.training import Trainer

LAST, BEST = "last.pt", "best.pt"


def train(config: Config, say: Any = print) -> Path:
    """Trains, keeps the best checkpoint by the validation subjects, and scores it once on the test subjects.

    Args:
        config: The experiment.
        say: Takes each line of progress.

    Returns:
        The run's folder.

    Raises:
        InputError: if the config, graph, data or output folder cannot be used.
        RunError: if the loss stops being finite, or a checkpoint cannot be written.
    """
    skeleton = Skeleton.load(config.skeleton)
    run = _Run(config, skeleton, say)
    return run.go(_make_folder(config, skeleton), None)


def resume(folder: Path, say: Any = print) -> Path:
    """Continues a run from its last checkpoint, to the same weights as if it had never stopped (on a CPU).

    Raises:
        InputError: if the folder has no checkpoint, or the motion is no longer what it was.
        RunError: as :func:`train`.
    """
    if not (folder / LAST).is_file():
        raise InputError(f"{folder}: no {LAST} to resume from; the run ended before its first epoch did, so start it anew")
    content = load_checkpoint(folder / LAST)
    config = config_from_dict(content["config"], str(folder / LAST))
    skeleton = Skeleton.from_dict(content["skeleton"], str(folder / LAST))
    return _Run(config, skeleton, say).go(folder, content)


def evaluate_checkpoint(path: Path, overrides: Sequence[str], say: Any = print) -> dict[str, Any]:
    """Scores a checkpoint on its test subjects, or on other motion.

    Args:
        path: The checkpoint.
        overrides: ``key=value`` changes to the checkpoint's own config; ``data.path=`` points at other motion and
            ``data.subjects=[...]`` names who of it is scored, everybody where it has no test split.
        say: Takes each line of progress.

    Returns:
        The report of :func:`gcnpose.evaluation.evaluate`.

    Raises:
        InputError: if the checkpoint, an override or the motion cannot be used.
    """
    content = load_checkpoint(path)
    _, skeleton, model = restore_model(content, path)
    settings = dict(content["config"], data=dict(content["config"]["data"]))
    settings["data"].update(train_subjects=None, validation_subjects=None)
    if any(override.startswith("data.path=") for override in overrides):
        settings["data"]["test_subjects"] = None
    renamed = [override.replace("data.subjects=", "data.test_subjects=", 1) for override in overrides]
    config = config_from_dict(settings, str(path), renamed)
    if config.model != config_from_dict(content["config"], str(path)).model or config.skeleton != settings["skeleton"]:
        raise InputError(f"{path}: the network is what the checkpoint has; model.* and skeleton cannot be overridden")
    device = build_device(config)
    motion = build_motion(config, skeleton, ("test",))["test"]
    say(f"{path}: epoch {content['epoch']}, {len(motion.sequences)} sequences of {', '.join(motion.subjects)}")
    yardsticks = Yardsticks(**content["yardsticks"])
    report = _evaluate(config, skeleton, model.to(device), build_views(config, motion), yardsticks, device)
    say(format_report(report))
    name = f"{config.name}-evaluation"
    with Tracker.start(config.tracking, name, config_to_dict(config), {"checkpoint": str(path)}) as tracker:
        tracker.log_motion(name, config.data.path or "embedded", motion.digest(), "test", _profile(motion))
        _log_report(tracker, report)
    return report


def newest_run(output: str | Path, file: str) -> Path:
    """The folder of the run that was written to last and has the file.

    Raises:
        InputError: if there is none.
    """
    found = sorted(Path(output).glob(f"*/{file}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise InputError(f"{output}: no run with a {file} in it; train one first, or name one")
    return found[-1].parent


class _Run:
    """One training: everything that is made once, before the first epoch."""

    def __init__(self, config: Config, skeleton: Skeleton, say: Any) -> None:
        self.config = config
        self.skeleton = skeleton
        self.say = say
        self.device = build_device(config)
        self.motion = build_motion(config, skeleton, SPLITS)
        train_views = build_views(config, self.motion["train"])
        self.yardsticks = Yardsticks.fit(train_views)
        torch.manual_seed(config.seed)
        self.model = build_model(config, skeleton).to(self.device)
        self.trainer = Trainer(
            self.model,
            build_loss(config),
            build_windows(config, self.motion["train"], train_views, self.device),
            config.train,
            config.seed,
            self.device,
        )
        self.validation = build_views(config, self.motion["validation"])
        self.history: list[dict[str, float]] = []
        self.best = float("inf")

    def go(self, folder: Path, content: Mapping[str, Any] | None) -> Path:
        """Trains the epochs that are left, then scores the best checkpoint."""
        config = self.config
        digests = {split: motion.digest() for split, motion in self.motion.items()}
        first = 0
        if content is not None:
            if content["digests"] != digests:
                raise InputError(f"{folder}: the motion at {config.data.path} is not what this run began with")
            self.trainer.load_state(content)
            self.history, self.best, first = content["history"], content["best"], content["epoch"]
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.say(
            f"{folder}: {parameters:,} parameters, {len(self.trainer.windows):,} windows, "
            f"{self.trainer.steps_per_epoch} steps per epoch, {config.train.epochs - first} epochs on {self.device}"
        )
        tracker = Tracker.start(
            config.tracking,
            folder.name,
            {**config_to_dict(config), "parameters": parameters},
            {"folder": str(folder)},
            run_id=None if content is None else content["mlflow_run"],
        )
        with tracker:
            for split, motion in self.motion.items():
                source = config.data.path or "embedded"
                tracker.log_motion(f"{config.name}-{split}", source, digests[split], split, _profile(motion))
            tracker.log_files(folder / "config.yaml", folder / "skeleton.yaml")
            for epoch in range(first, config.train.epochs):
                row = {"epoch": float(epoch + 1), **self.trainer.train_epoch(epoch)}
                if (epoch + 1) % config.train.validate_every == 0 or epoch + 1 == config.train.epochs:
                    row |= self._validate()
                self.history.append(row)
                self._save(folder, epoch + 1, row, digests, tracker.run_id)
                tracker.log_metrics({name: value for name, value in row.items() if name != "epoch"}, step=epoch + 1)
                self.say(_epoch_line(row, config.train.epochs))
            self._finish(folder, tracker)
        return folder

    def _validate(self) -> dict[str, float]:
        """Mean over the frames of the validation subjects, each lifted once."""
        self.model.eval()
        inputs = [self.validation.keypoints_2d[clip.rows].to(self.device) for clip in self.validation.clips]
        window, batch_size = self.config.data.window, self.config.evaluation.batch_size
        lifted = lift_windows(self.model, self.skeleton, inputs, window, window, flip=False, batch_size=batch_size)
        means = score([poses.cpu() for poses in lifted], self.validation)["mean_over_frames"]
        return {f"val/{name}": means[name] for name in ("mpjpe_mm", "p_mpjpe_mm", "mpjve_mm", "acceleration_mm")}

    def _save(self, folder: Path, epoch: int, row: Mapping[str, float], digests: dict[str, str], run: str | None) -> None:
        improved = row.get("val/mpjpe_mm", float("inf")) < self.best
        self.best = min(self.best, row.get("val/mpjpe_mm", float("inf")))
        content = {
            "config": config_to_dict(self.config),
            "skeleton": self.skeleton.to_dict(),
            "epoch": epoch,
            "yardsticks": {"mean_pose": self.yardsticks.mean_pose, "linear": self.yardsticks.linear},
            "history": self.history,
            "best": self.best,
            "digests": digests,
            "mlflow_run": run,
            **self.trainer.state(),
        }
        try:
            # The best first: an interruption between the two repeats this epoch and writes both again.
            if improved:
                save_checkpoint(folder / BEST, {name: part for name, part in content.items() if name != "optimizer"})
            save_checkpoint(folder / LAST, content)
            _write_history(folder / "history.csv", self.history)
        except OSError as error:
            raise RunError(
                f"epoch {epoch} could not be saved: {error}. The last good checkpoint stands; "
                f"make room, then resume {folder}"
            ) from error

    def _finish(self, folder: Path, tracker: Tracker) -> None:
        """The test subjects, touched only here, by the checkpoint that the validation subjects chose."""
        config, skeleton = self.config, self.skeleton
        _, _, model = restore_model(load_checkpoint(folder / BEST), folder / BEST)
        model = model.to(self.device)
        views = build_views(config, self.motion["test"])
        report = _evaluate(config, skeleton, model, views, self.yardsticks, self.device)
        write_report(report, folder / "report.json")
        self._draw(model, views, folder / "poses.png")
        self.say(format_report(report))
        self.say(f"{folder}: {BEST}, report.json, report.csv, history.csv, poses.png")
        _log_report(tracker, report)
        tracker.log_files(*(folder / name for name in (BEST, "report.json", "report.csv", "history.csv", "poses.png")))
        if config.tracking.log_model:
            example = views.keypoints_2d[: 2 * config.data.window].unflatten(0, (2, -1))
            tracker.log_model(model.cpu(), example)

    def _draw(self, model: UGCN, views: Views, path: Path) -> None:
        """Poses spread evenly over the test clips, with the prediction of one window around each."""
        from gcnpose.viz.poses import draw_poses

        clips = [views.clips[number] for number in torch.linspace(0, len(views.clips) - 1, 6).long().tolist()]
        inputs = [views.keypoints_2d[clip.rows][: self.config.data.window].to(self.device) for clip in clips]
        lifted = lift_windows(model, self.skeleton, inputs, self.config.data.window, batch_size=len(clips))
        middle = [len(poses) // 2 for poses in lifted]
        draw_poses(
            self.skeleton,
            torch.stack([poses[frame].cpu() for poses, frame in zip(inputs, middle, strict=True)]),
            torch.stack([poses[frame].cpu() for poses, frame in zip(lifted, middle, strict=True)]),
            torch.stack([views.pose_3d[clip.first + frame] for clip, frame in zip(clips, middle, strict=True)]),
            path,
            [f"{clip.subject} {clip.action}" for clip in clips],
        )


def _evaluate(
    config: Config, skeleton: Skeleton, model: UGCN, views: Views, yardsticks: Yardsticks, device: torch.device
) -> dict[str, Any]:
    settings = config.evaluation

    def windows(inputs: list[Tensor]) -> list[Tensor]:
        return lift_windows(
            model, skeleton, inputs, config.data.window, settings.step, settings.flip, settings.batch_size
        )

    report = evaluate(windows, views, yardsticks, device)
    if settings.whole_sequence:
        whole = evaluate(lambda inputs: lift_whole(model, skeleton, inputs, settings.flip), views, yardsticks, device)
        report["whole_sequence"] = {name: whole[name] for name in ("seconds", "mean_over_actions", "mean_over_frames")}
    return report


def _log_report(tracker: Tracker, report: Mapping[str, Any]) -> None:
    for mean in ("mean_over_frames", "mean_over_actions"):
        tracker.log_metrics({f"test/{mean}/{name}": value for name, value in report[mean].items()})
    for yardstick, means in report["yardsticks"].items():
        tracker.log_metrics({f"yardstick_{yardstick}/{name}": v for name, v in means["mean_over_frames"].items()})
    actions = report["per_action"]
    names = list(next(iter(actions.values())))
    tracker.log_table(
        {"action": list(actions), **{name: [values[name] for values in actions.values()] for name in names}},
        "per_action.json",
    )


def _profile(motion: Any) -> dict[str, Any]:
    return {
        "sequences": len(motion.sequences),
        "frames": sum(len(sequence.positions) for sequence in motion.sequences),
        "subjects": len(motion.subjects),
        "fps": motion.fps,
    }


def _make_folder(config: Config, skeleton: Skeleton) -> Path:
    """A new folder for the run with its config and graph in it."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    try:
        for attempt in range(100):
            folder = Path(config.output) / (f"{config.name}-{stamp}" + (f"-{attempt}" if attempt else ""))
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError:
                continue
        (folder / "config.yaml").write_text(dump_config(config), encoding="utf-8")
        (folder / "skeleton.yaml").write_text(yaml.safe_dump(skeleton.to_dict(), sort_keys=False), encoding="utf-8")
    except OSError as error:
        raise InputError(f"output: no run folder can be made in {config.output}: {error.strerror}") from error
    return folder


def _write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    columns = list(dict.fromkeys(name for row in history for name in row))
    partial = path.with_name(path.name + ".part")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)
    os.replace(partial, path)


def _epoch_line(row: Mapping[str, float], epochs: int) -> str:
    line = (
        f"epoch {row['epoch']:.0f}/{epochs}  loss {row['train/loss']:.4f}  learning rate {row['train/learning_rate']:.2g}"
        f"  {row['train/windows_per_s']:.0f} windows/s"
    )
    if "val/mpjpe_mm" in row:
        line += f"  validation MPJPE {row['val/mpjpe_mm']:.1f} mm, MPJVE {row['val/mpjve_mm']:.2f} mm"
    return line
