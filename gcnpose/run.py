"""A run from beginning to end: its folder, its checkpoints, its scores, its record in MLflow."""

from __future__ import annotations

import csv
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml

from gcnpose.build import (
    build_device,
    build_loss,
    build_model,
    build_motion,
    build_store,
    build_views,
    build_windows,
)
from gcnpose.checkpoint import (
    BEST,
    load_checkpoint,
    restore_model,
    save_checkpoint,
)
from gcnpose.config import (
    PLACES,
    Config,
    config_from_dict,
    config_to_dict,
    dump_config,
    is_place,
    load_config,
)
from gcnpose.data.draws import Draws
from gcnpose.data.motion import MotionSet
from gcnpose.data.views import Views
from gcnpose.errors import InputError, RunError, StoppedError
from gcnpose.evaluation import Yardsticks, score
from gcnpose.files import replacing
from gcnpose.inference import lift_windows
from gcnpose.memory import enough_memory, peak_memory_mib
from gcnpose.nn import LiftingNetwork
from gcnpose.precision import doubts, settle
from gcnpose.processes import ALONE, Processes
from gcnpose.protocols import PROTOCOLS
from gcnpose.report import format_report, write_report
from gcnpose.scoring import doubts_of_2d, evaluate_model, lift_once, log_report, profile
from gcnpose.skeleton import Skeleton
from gcnpose.tracking import Tracker
from gcnpose.training import Trainer

LAST, CONFIG, SKELETON, LOCK = "last.pt", "config.yaml", "skeleton.yaml", "lock"
LARGEST_SHARE_OUTSIDE = 0.1
"""CMU's motion, which is about the origin, has 0.008, and 3 m from there 0.5."""
LARGEST_SHARE_SHORT = 0.5
"""CMU's motion has 0.03."""
LARGEST_BONE_CHANGE = 0.01
"""What noise may do. CMU's motion has 0.0001 as Human3.6M's 17 joints, and 0.03 as COCO's 17."""


@enough_memory()
def train(
    config: Config, say: Any = print, tags: Mapping[str, str] = {}, processes: Processes = ALONE
) -> Path:
    """Trains, keeps the best checkpoint by the validation subjects, and scores it once on the test subjects.

    Without validation subjects the last epoch's weights are the best checkpoint.

    Args:
        config: The experiment.
        say: Takes each line of progress.
        tags: Of the run in MLflow, beside its own.
        processes: Those that train together. The first one alone says and writes something.

    Returns:
        The run's folder.

    Raises:
        InputError: if the config, graph, data or output folder cannot be used.
        RunError: if the loss stops being finite, a checkpoint cannot be written, or the user interrupts.
    """
    skeleton = Skeleton.load(config.skeleton)
    run = _Run(config, skeleton, say, processes)
    folder = processes.of_first(lambda: _make_folder(config, skeleton))
    with _alone_in(folder, processes):
        return run.go(folder, tags)


@enough_memory()
def resume(
    folder: Path,
    say: Any = print,
    tags: Mapping[str, str] = {},
    processes: Processes = ALONE,
    overrides: Sequence[str] = (),
) -> Path:
    """Continues a run from its last checkpoint, to the same weights as if it had never stopped (on a CPU).

    A run that was stopped before its first checkpoint begins anew, in the same folder; so does one of which
    there is nothing but what :func:`write_settings` writes. There may be more or fewer processes than before.

    Args:
        folder: The run's.
        say: Takes each line of progress.
        tags: As for :func:`train`.
        processes: As for :func:`train`.
        overrides: ``key=value`` changes to where things are and go (:data:`gcnpose.config.PLACES`).

    Raises:
        InputError: if the folder is not that of a run, or another process trains there, or the motion is no
            longer what it was; or if an override would change the training.
        RunError: as :func:`train`.
    """
    for override in overrides:
        if not is_place(override.partition("=")[0]):
            raise InputError(
                f"override {override!r}: a run goes on with the settings it began with; "
                f"only {', '.join(PLACES)} can change"
            )
    last = folder / LAST
    if not last.is_file() and not (folder / CONFIG).is_file():
        raise InputError(f"{folder}: not the folder of a run, it has neither {LAST} nor {CONFIG}")
    with _alone_in(folder, processes):
        if processes.is_first:
            for partial in folder.glob("*.part"):  # what a kill left of a write
                partial.unlink()
        if not last.is_file():
            config, skeleton = load_config(folder / CONFIG, overrides), Skeleton.load(folder / SKELETON)
            return _Run(config, skeleton, say, processes).go(folder, tags)
        content = load_checkpoint(last)
        needed = ("optimizer", "history", "best", "digests", "mlflow_run")
        if missing := [key for key in needed if key not in content]:
            raise InputError(f"{last}: cannot be resumed, the checkpoint lacks {', '.join(missing)}")
        config = config_from_dict(content["config"], str(last), overrides)
        skeleton = Skeleton.from_dict(content["skeleton"], str(last))
        return _Run(config, skeleton, say, processes, content).go(folder, tags)


@contextmanager
def _alone_in(folder: Path, processes: Processes) -> Iterator[None]:
    """Nobody else trains in the folder until this ends, in whatever way.

    Raises:
        InputError: if somebody does.
    """
    if not processes.is_first or not folder.is_dir():
        yield
        return
    path = folder / LOCK
    with ExitStack() as stack:
        try:
            while True:
                # A file open for writing: network file systems keep no other locks between machines.
                file = stack.enter_context(path.open("a"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):  # who had the lock removes the file, perhaps just now
                    if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                        break
        except BlockingIOError:
            raise InputError(f"{folder}: another process trains there") from None
        except OSError:  # nothing can be written there, or the file system has no locks
            pass
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def write_settings(folder: Path, config: Config, skeleton: Skeleton) -> None:
    """Writes the config and graph of a run into its folder, from which :func:`resume` can begin it.

    Raises:
        OSError: if they cannot be written.
    """
    # The config last: where it stands, the run can be resumed.
    with replacing(folder / SKELETON) as partial:
        partial.write_text(yaml.safe_dump(skeleton.to_dict(), sort_keys=False), encoding="utf-8")
    with replacing(folder / CONFIG) as partial:
        partial.write_text(dump_config(config), encoding="utf-8")


def newest_run(output: str | Path, *files: str) -> Path:
    """The folder of the run that has the newest of some files.

    Raises:
        InputError: if none has any.
    """
    found = [path for file in files for path in Path(output).glob(f"*/{file}")]
    if not found:
        raise InputError(f"{output}: no run with a {files[0]} in it; train one first, or name one")
    return max(found, key=lambda path: path.stat().st_mtime).parent


class _Run:
    """One training, new or from the content of a checkpoint: everything that is made once."""

    def __init__(
        self,
        config: Config,
        skeleton: Skeleton,
        say: Any,
        processes: Processes,
        content: Mapping[str, Any] | None = None,
    ) -> None:
        self.device = build_device(config, processes)
        # What auto is here, so that the run can go on elsewhere as it began.
        precision = settle(config.train.precision, self.device)
        config = replace(config, train=replace(config.train, precision=precision))
        self.config = config
        self.skeleton = skeleton
        self.processes = processes
        self.say = say if processes.is_first else lambda line: None
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)  # else every process would take memory on the first GPU too
        self.motion = build_motion(config, skeleton)
        self.store = build_store(config, self.motion["train"], self.device, processes)
        train_views = build_views(config, self.motion["train"], self.store)
        self.content = content
        self.yardsticks = Yardsticks(**content["yardsticks"]) if content else Yardsticks.fit(train_views)
        torch.manual_seed(config.seed)
        self.model = build_model(config, skeleton).to(self.device)
        self.trainer = Trainer(
            self.model,
            build_loss(config, processes),
            build_windows(config, self.motion["train"], train_views, self.device, self.store),
            config.train,
            config.seed,
            self.device,
            processes,
        )
        self.doubts: list[str] = []
        if processes.is_first:
            self.doubts += _doubts(config, self.device, self.motion["train"], train_views)
        chooses = self.motion.get("validation")
        self.validation = None if chooses is None else build_views(config, chooses)
        if processes.is_first:  # finds out now whether the test subjects can be scored at the end
            PROTOCOLS[config.evaluation.protocol].parts(build_views(config, self.motion["test"]))
        self.history: list[dict[str, float]] = []
        self.best = float("inf")

    def go(self, folder: Path, tags: Mapping[str, str] = {}) -> Path:
        """Trains the epochs that are left, then scores the best checkpoint."""
        config, content = self.config, self.content
        source = config.data.path or "embedded"
        digests = {split: motion.digest() for split, motion in self.motion.items()}
        first = 0
        if content is not None:
            if content["digests"] != digests:
                raise InputError(f"{folder}: the {source} motion is not what this run began with")
            self.trainer.load_state(content)
            self.history, self.best, first = content["history"], content["best"], content["epoch"]
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        self.say(
            f"{folder}: {parameters:,} parameters, {len(self.trainer.windows):,} windows, "
            f"{self.trainer.steps_per_epoch} steps per epoch, {config.train.epochs - first} epochs "
            f"on {self.device} in {config.train.precision}"
            + (f" of {self.processes.size} processes" if self.processes.size > 1 else "")
            + ("" if self.store.place == "device" else f", {self.store}")
        )
        for doubt in self.doubts:
            self.say(doubt)
        if self.validation is None:
            self.say(f"no validation subjects, so the last epoch's weights will be {BEST}")
        mlflow_run = None if content is None else content["mlflow_run"]
        settings = {**config_to_dict(config), "parameters": parameters}
        try:
            with (
                self._tracker(folder, settings, tags, mlflow_run) as tracker,
                self.processes.undisturbed_end(),
            ):
                for split, motion in self.motion.items():
                    tracker.log_motion(
                        f"{config.name}-{split}", source, digests[split], split, profile(motion)
                    )
                tracker.log_files(folder / CONFIG, folder / SKELETON)
                tracker.log_missing(self.history, "epoch")
                for epoch in range(first, config.train.epochs):
                    self._train_epoch(epoch, folder, digests, tracker)
                if first < config.train.epochs:
                    self._report_memory(tracker)
                if self.processes.is_first:
                    self._finish(folder, tracker)
        except KeyboardInterrupt:
            raise StoppedError(f"interrupted; {_hint(folder)}") from None
        except OSError as error:
            raise RunError(f"{folder}: {error}; {_hint(folder)}") from error
        return folder

    def _tracker(
        self, folder: Path, settings: Mapping[str, object], tags: Mapping[str, str], run: str | None
    ) -> Tracker:
        if not self.processes.is_first:
            return Tracker()
        tags = {"folder": str(folder), **tags}
        return Tracker.start(self.config.tracking, folder.name, settings, tags, run)

    def _train_epoch(self, epoch: int, folder: Path, digests: dict[str, str], tracker: Tracker) -> None:
        config = self.config
        row = {"epoch": float(epoch + 1), **self.trainer.train_epoch(epoch)}
        if not self.processes.is_first:
            return  # and waits for the first one in the next step
        if (epoch + 1) % config.train.validate_every == 0 or epoch + 1 == config.train.epochs:
            row |= self._validate()
        self.history.append(row)
        self._save(folder, epoch + 1, row, digests, tracker.run_id)
        tracker.log_history([row], "epoch")
        self.say(_epoch_line(row, config.train.epochs))

    def _report_memory(self, tracker: Tracker) -> None:
        peaks = peak_memory_mib(self.device)
        tracker.log_metrics({f"train/{name}": peak for name, peak in peaks.items()})
        on_gpu = peaks.get("peak_gpu_memory_mib")
        gpu = "" if on_gpu is None else f", {on_gpu:,.0f} MiB on the GPU"
        self.say(f"peak memory {peaks['peak_memory_mib']:,.0f} MiB{gpu}")

    def _validate(self) -> dict[str, float]:
        """Mean over the frames of the validation subjects, each lifted once; nothing where there are none."""
        views = self.validation
        if views is None:
            return {}
        lifted = lift_once(self.config, self.model.eval(), views, self.device)
        means = score(lifted, views)["mean_over_frames"]
        return {
            f"val/{name}": means[name] for name in ("mpjpe_mm", "p_mpjpe_mm", "mpjve_mm", "acceleration_mm")
        }

    def _save(
        self, folder: Path, epoch: int, row: Mapping[str, float], digests: dict[str, str], run: str | None
    ) -> None:
        improved = self.validation is None or row.get("val/mpjpe_mm", float("inf")) < self.best
        self.best = min(self.best, row.get("val/mpjpe_mm", float("inf")))
        content = {
            "config": config_to_dict(self.config),
            "skeleton": self.skeleton.to_dict(),
            "epoch": epoch,
            "fps": self.motion["train"].common_fps,
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
                save_checkpoint(
                    folder / BEST, {name: part for name, part in content.items() if name != "optimizer"}
                )
            save_checkpoint(folder / LAST, content)
            _write_history(folder / "history.csv", self.history)
        except OSError as error:
            raise RunError(
                f"epoch {epoch} could not be saved: {error}. The last good checkpoint stands; "
                f"make room, then resume {folder}"
            ) from error

    def _finish(self, folder: Path, tracker: Tracker) -> None:
        """The test subjects, touched only here, by the checkpoint that the validation subjects chose."""
        config = self.config
        if not (folder / BEST).is_file():
            raise RunError(
                f"{folder}: no best checkpoint, since the validation MPJPE was not finite after any epoch"
            )
        _, _, model = restore_model(load_checkpoint(folder / BEST), folder / BEST)
        model = model.to(self.device)
        views = build_views(config, self.motion["test"])
        report = evaluate_model(config, model, views, self.yardsticks, self.device)
        _write_history(folder / "history.csv", self.history)  # a run may have been stopped before it
        write_report(report, folder / "report.json")
        with replacing(folder / "poses.png") as partial:
            self._draw(model, views, partial)
        self.say(format_report(report))
        self.say(f"{folder}: {BEST}, report.json, report.csv, history.csv, poses.png")
        log_report(tracker, report)
        tracker.log_files(
            *(folder / name for name in (BEST, "report.json", "report.csv", "history.csv", "poses.png"))
        )
        if config.tracking.log_model:
            windows = self.trainer.windows
            two = torch.zeros(2, dtype=torch.long, device=self.device)
            draws = Draws(torch.Generator(self.device), 2)
            tracker.log_model(model, windows.batch(two, draws).keypoints_2d, config.follow_reach)

    def _draw(self, model: LiftingNetwork, views: Views, path: Path) -> None:
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
            torch.stack(
                [views.pose_3d[clip.first + frame] for clip, frame in zip(clips, middle, strict=True)]
            ),
            path,
            [f"{clip.subject} {clip.action}" for clip in clips],
        )


def _doubts(config: Config, device: torch.device, motion: MotionSet, views: Views) -> Iterator[str]:
    """What makes one doubt that the precision is meant, and that the motion is right and rightly seen."""
    yield from doubts("train.precision", config.train.precision, device)
    yield from doubts("evaluation.precision", config.evaluation.precision, device)
    if (change := motion.bone_change()) > LARGEST_BONE_CHANGE:
        yield (
            f"half of the bones change their length by {change:.0%} and more: are these the joints of "
            f"{motion.skeleton.name}, in its order?"
        )
    if config.data.views == "turned" and motion.cameras:
        yield (
            "the motion has cameras of its own, and training sees it by those of "
            f"data.rig={config.data.rig}, which look at the origin: data.views=fixed takes its own"
        )
    if config.data.keypoints.noise.scale > 0 and all(clip.detected for clip in views.clips):
        yield "data.keypoints.noise: is for projected 2D; the motion has 2D of its own, which stays as it is"
    yield from doubts_of_2d(views)
    window, frames = config.data.window, [len(sequence.positions) for sequence in motion.sequences]
    if (share := sum(count for count in frames if count < window) / sum(frames)) > LARGEST_SHARE_SHORT:
        yield (
            f"{share:.0%} of the frames are in sequences shorter than data.window={window}, which make one "
            "window each; the motion loss leaves out intervals that are not shorter than a sequence"
        )
    if (share := views.share_outside()) > LARGEST_SHARE_OUTSIDE:
        yield (
            f"{share:.0%} of the joints lie outside the cameras' images: is the motion in metres and z up, "
            "and do people move about the origin, where cameras look that are not their own?"
        )


def _hint(folder: Path) -> str:
    return f"`train --resume {folder}` goes on from the last checkpoint"


def _make_folder(config: Config, skeleton: Skeleton) -> Path:
    """A new folder for the run with its config and graph in it."""
    output, name = Path(config.output), f"{config.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    try:
        output.mkdir(parents=True, exist_ok=True)
        folder = _new_folder(output, name)
    except OSError as error:
        raise InputError(f"output: no run folder can be made in {output}: {error.strerror}") from error
    try:
        write_settings(folder, config, skeleton)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"output: {folder} cannot be written: {error.strerror}") from error
    return folder


def _new_folder(output: Path, name: str) -> Path:
    """Numbered where several runs begin in the same second."""
    folder, number = output / name, 0
    while True:
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1
            folder = output / f"{name}-{number}"


def _write_history(path: Path, history: Sequence[Mapping[str, float]]) -> None:
    columns = list(dict.fromkeys(name for row in history for name in row))
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def _epoch_line(row: Mapping[str, float], epochs: int) -> str:
    line = (
        f"epoch {row['epoch']:.0f}/{epochs}  loss {row['train/loss']:.4f}  "
        f"learning rate {row['train/learning_rate']:.2g}  {row['train/windows_per_s']:.0f} windows/s"
    )
    if "val/mpjpe_mm" in row:
        line += f"  validation MPJPE {row['val/mpjpe_mm']:.1f} mm, MPJVE {row['val/mpjve_mm']:.2f} mm"
    return line
