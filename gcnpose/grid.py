"""Runs experiments: every step as a process of its own, what is done already left alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from gcnpose.build import find_motion
from gcnpose.config import Config, TrackingConfig, config_to_dict, is_place, load_config
from gcnpose.errors import InputError, RunError, termination_as_interrupt
from gcnpose.experiment import Experiment, Plan, Step, identity, make_plan
from gcnpose.files import make_folder, replacing
from gcnpose.report import format_text
from gcnpose.results import (
    Entry,
    Provenance,
    Result,
    dump_result,
    failure,
    known_results,
    make_notes,
    make_tables,
    parse_result,
    read_others,
    read_report,
    score_text,
    write_csv,
    write_tables,
)
from gcnpose.run import CONFIG, SKELETON, write_settings
from gcnpose.settings import flatten
from gcnpose.skeleton import Skeleton
from gcnpose.tracking import Tracker, shared_run

RESULT, LOG = "result.json", "log.txt"
PARENT_TAG = "grid"
"""Tag of the run in MLflow that the machines of an experiment share; its value is the experiment's name."""
POLL_SECONDS = 0.2
BAR = "{n:.1f}/{total} cells |{bar:12}| {elapsed}, {remaining} left{postfix}"
PATIENCE_SECONDS = 60.0
"""What an interrupted step has to end its run in MLflow."""


def start_process(arguments: Sequence[str], step: Step, beside: int) -> subprocess.Popen[bytes]:
    """Begins a command of gcnpose in a process of its own, whose lines go into the step's log.

    Args:
        arguments: The command's.
        step: What it is for.
        beside: How many commands run beside it.
    """
    threads = str(max((os.cpu_count() or 1) // (beside + 1), 1))
    with (step.folder / LOG).open("ab") as log:
        # A shell has its background commands ignore SIGINT, and a child would inherit that.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "gcnpose.cli", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**({"OMP_NUM_THREADS": threads} if beside else {}), **os.environ},
                start_new_session=True,  # Ctrl-C reaches it once: from here
            )
        finally:
            signal.signal(signal.SIGINT, before)


def run_experiment(
    experiment: Experiment,
    command: str,
    jobs: int = 1,
    shard: tuple[int, int] = (1, 1),
    results: Path = Path("results"),
    say: Callable[[str], None] = print,
) -> None:
    """Runs the steps that have no result yet, then writes the table of all there are.

    A step has a result if its folder holds one that was made with the settings as they are now; or if a CSV
    file in the folder of results does, of this experiment or another; or if another machine put one on the
    run in MLflow that all machines of the experiment share, and on which every machine puts its results at
    once, as tags. So the table can be made on any of them.

    Args:
        experiment: What to run.
        command: What makes it, for the results.
        jobs: How many steps to run at once.
        shard: The steps of one of several machines, (number from 1, count).
        results: Folder of the CSV file, the tables and the plot.
        say: Takes each line of progress.

    Raises:
        InputError: if a config, the shard, the store, or a folder or results with other settings are in the
            way; or nothing can be written.
        RunError: if a step failed, after all others, or the user interrupts.
    """
    plan = make_plan(experiment)
    groups = plan.shard(*shard)
    _refuse_changed(groups)
    file, known = results / f"{experiment.name}.csv", known_results(results)
    read_others(file, plan)
    tracking = plan.groups[0][0].config.tracking
    parent, shared = _parent(tracking, experiment)
    done = _results(plan, shared, known)
    pending = _pending(groups, done, plan.folder.parent)
    _check_data(pending)
    make_folder(results, "--results")
    if pending:
        make_folder(plan.folder, "output")
    total = sum(map(len, groups))
    try:
        with Tracker.start(tracking, experiment.name, {}, {PARENT_TAG: experiment.name}, parent) as tracker:
            _share(plan, done, shared, tracker)
            grid = _Grid(plan, pending, done, command, jobs, say, tracker)
            failed = grid.run(total)
            if tracking.enabled:
                try:
                    shared = _parent(tracking, experiment)[1]
                except InputError as error:
                    say(f"{error}; the table has the results of this machine only")
            done = _results(plan, shared, known)
            lost = {name: result for name, result in failed.items() if _is_missing(name, done)}
            # Read again: another command may have put results of other seeds there meanwhile.
            _conclude(plan, {**done, **lost}, read_others(file, plan), results, say, tracker)
    except KeyboardInterrupt:
        raise RunError("interrupted; the same command goes on") from None
    if failed:
        reasons = "; ".join(f"{name}: {result.failure}" for name, result in failed.items())
        raise RunError(f"{len(failed)} of {total} cells failed: {reasons}")


def _conclude(
    plan: Plan,
    done: Mapping[str, Result],
    others: Sequence[Entry],
    results: Path,
    say: Callable[[str], None],
    tracker: Tracker,
) -> None:
    """Writes and shows the table of all results there are, those of other seeds too."""
    experiment = plan.experiment
    planned = [
        Entry(cell.row, cell.column, cell.seed, done[cell.step.name])
        for cell in plan.cells
        if cell.step.name in done
    ]
    entries = [*planned, *others]
    file = results / f"{experiment.name}.csv"
    write_csv(entries, file)
    files = [file, *write_tables(experiment, entries, results)]
    tracker.log_files(*files)
    say(format_text(make_tables(experiment, entries), make_notes(experiment, entries)))
    say(", ".join(map(str, files)))
    missing = len(plan.cells) - len(planned)
    if missing:
        say(f"{missing} of {len(plan.cells)} cells have no result yet")
    failed = any(entry.result.failure for entry in entries)
    tracker.finish("RUNNING" if missing else "FAILED" if failed else "FINISHED")


class _Grid:
    """The steps that are left, and the processes that run now."""

    def __init__(
        self,
        plan: Plan,
        groups: list[list[Step]],
        done: Mapping[str, Result],
        command: str,
        jobs: int,
        say: Callable[[str], None],
        tracker: Tracker,
    ) -> None:
        self.plan = plan
        self.waiting = groups
        self.done = done
        self.command = command
        self.jobs = jobs
        self.tracker = tracker
        self.bar = tqdm(disable=not sys.stderr.isatty(), smoothing=0, bar_format=BAR, dynamic_ncols=True)
        self.say = say if self.bar.disable else self.bar.write
        self.running: dict[subprocess.Popen[bytes], tuple[list[Step], float, Provenance]] = {}
        self.inherited = 0.0
        """Steps' worth of epochs that earlier sessions left behind."""
        self.failed: dict[str, Result] = {}
        self.finished = 0

    def run(self, total: int) -> dict[str, Result]:
        """Runs all steps; gives the results of those that failed, by name."""
        left = sum(map(len, self.waiting))
        self.total, self.before, self.began = total, total - left, time.monotonic()
        if self.before:
            self.say(f"{self.before} of {total} cells are done already")
        self.bar.total, self.bar.initial = total, self.before
        with self.bar, termination_as_interrupt():
            try:
                while self.waiting or self.running:
                    while self.waiting and len(self.running) < self.jobs:
                        self._start(self.waiting.pop(0))
                    ended = [process for process in self.running if process.poll() is not None]
                    for process in ended:
                        self._end(process)
                    if self.running and not ended:
                        self._show()
                        time.sleep(POLL_SECONDS)
            finally:
                self._stop()
        return self.failed

    def _start(self, group: list[Step]) -> None:
        """Begins the first step of a group."""
        step = group[0]
        provenance = Provenance.of_this_machine(self.command, step.config)
        try:
            step.folder.mkdir(parents=True, exist_ok=True)
            if step.trained is None and not (step.folder / CONFIG).is_file():
                write_settings(step.folder, step.config, Skeleton.load(step.config.skeleton))
            process = start_process(self._arguments(step), step, self.jobs - 1)
        except OSError as error:
            self._fail(group, provenance, f"cannot be run: {error}")
        else:
            self.running[process] = (group, time.monotonic(), provenance)
            self.inherited += _share_done(step)

    def _arguments(self, step: Step) -> list[str]:
        tags = {
            "experiment": self.plan.experiment.name,
            "cell": step.label.rpartition(" seed ")[0],
            "seed": str(step.config.seed),
        }
        if self.tracker.run_id is not None:
            tags["mlflow.parentRunId"] = self.tracker.run_id
        options = [f"--tag={name}={value}" for name, value in tags.items()]
        if step.trained is None:
            return ["train", "--resume", str(step.folder), *_places(step.config), *options]
        name = f"name={self.plan.experiment.name}-{step.folder.name}"
        subjects = step.config.data.test_subjects if step.other_motion is None else None
        return [
            "evaluate",
            str(step.trained),
            name,
            *_places(step.config),
            *([] if subjects is None else [f"data.test_subjects={json.dumps(subjects)}"]),
            *step.evaluate,
            "--output",
            str(step.report),
            *options,
        ]

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Takes the result of a step that has ended, and begins the next of its group."""
        (step, *others), began, provenance = self.running.pop(process)
        status = process.poll()
        if status != 0:
            self._fail([step, *others], provenance, _reason(step, status))
            return
        result = read_report(step, provenance)
        with replacing(step.folder / RESULT) as partial:
            partial.write_text(dump_result(result) + "\n", encoding="utf-8")
        self._publish(step, result)
        self._report(step, score_text(self.plan.experiment, result), time.monotonic() - began)
        if others:
            self._start(others)

    def _fail(self, group: list[Step], provenance: Provenance, reason: str) -> None:
        """Notes a step that failed; the evaluations of a training fail with it."""
        step, *others = group
        self._note(step, reason, provenance)
        if step.trained is not None and others:
            self._start(others)
        elif step.trained is None:
            for evaluation in others:
                self._note(evaluation, f"its training failed: {reason}", provenance)

    def _note(self, step: Step, reason: str, provenance: Provenance) -> None:
        self.failed[step.name] = result = failure(step, reason, provenance)
        if _is_missing(step.name, self.done):  # a training may be done again for another evaluation
            self._publish(step, result)
        self._report(step, f"FAILED: {reason}")

    def _publish(self, step: Step, result: Result) -> None:
        self.tracker.log_tags({_tag(step): dump_result(result)})

    def _report(self, step: Step, came: str, seconds: float | None = None) -> None:
        self.finished += 1
        parts = [f"cell {self.before + self.finished}/{self.total} {step.label}: {came}"]
        if seconds is not None:
            parts.append(duration(seconds))
        if (left := self._seconds_left()) > 0:
            parts.append(f"about {duration(left)} left")
        self.say(", ".join(parts))

    def _progress(self) -> float:
        """Steps done since the beginning, those that run now by their epochs."""
        return self.finished + sum(_share_done(group[0]) for group, _, _ in self.running.values())

    def _seconds_left(self) -> float:
        progress = self._progress()
        done_here = progress - self.inherited
        elapsed = time.monotonic() - self.began
        return elapsed / done_here * (self.total - self.before - progress) if done_here > 0 else 0.0

    def _show(self) -> None:
        if not self.bar.disable:
            running = [
                f"{group[0].label} {_share_done(group[0]):.0%}" for group, _, _ in self.running.values()
            ]
            self.bar.n = round(self.before + self._progress(), 2)
            self.bar.set_postfix_str(", ".join(running), refresh=True)

    def _stop(self) -> None:
        """Interrupts what still runs, and waits until it has ended."""
        for process in self.running:
            process.send_signal(signal.SIGINT)
        for process in self.running:
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _parent(tracking: TrackingConfig, experiment: Experiment) -> tuple[str | None, Mapping[str, str]]:
    """The run that the machines of an experiment share, and its tags, among them results."""
    if not tracking.enabled:
        return None, {}
    try:
        return shared_run(tracking, PARENT_TAG, experiment.name)
    except InputError as error:
        raise InputError(f"{error}; tracking.enabled=false works without") from error


def _tag(step: Step) -> str:
    return f"result/{step.name}"


def _results(plan: Plan, shared: Mapping[str, str], known: Mapping[str, Result]) -> dict[str, Result]:
    """The results there are by the step's name: from its folder, or the shared run, or known by digest."""
    found: dict[str, Result] = {}
    for group in plan.groups:
        for step in group:
            path = step.folder / RESULT
            own = parse_result(step, path.read_text(encoding="utf-8")) if path.is_file() else None
            candidates = [own, parse_result(step, shared.get(_tag(step), "{}"))]
            candidates += [result for digest, result in known.items() if step.accepts(digest)]
            results = [result for result in candidates if result is not None]
            if results:  # the first that did not fail
                found[step.name] = min(results, key=lambda result: result.failure != "")
    return found


def _share(plan: Plan, done: Mapping[str, Result], shared: Mapping[str, str], tracker: Tracker) -> None:
    """Puts results on the shared run that it lacks, because it was not to be had when they were made."""
    steps = [step for group in plan.groups for step in group if step.name in done]
    shown = {step.name: parse_result(step, shared.get(_tag(step), "{}")) for step in steps}
    lacking = [step for step in steps if shown[step.name] != done[step.name]]
    tracker.log_tags({_tag(step): dump_result(done[step.name]) for step in lacking})


def _pending(groups: Sequence[list[Step]], done: Mapping[str, Result], runs: Path) -> list[list[Step]]:
    """The steps without a result; a training too, if evaluations of it are pending and it is nowhere here."""
    pending = []
    for training, *evaluations in groups:
        left = [step for step in evaluations if _is_missing(step.name, done)]
        trained = _trained(training, runs) if left else None
        if _is_missing(training.name, done) or (left and trained is None):
            left = [training, *left]
        else:
            left = [replace(step, trained=trained) for step in left]
        if left:
            pending.append(left)
    return pending


def _trained(training: Step, runs: Path) -> Path | None:
    """The folder of a finished training with these settings, of this experiment or another."""
    for path in (training.folder / RESULT, *sorted(runs.glob(f"*/*/{RESULT}"))):
        if path.is_file() and parse_result(training, path.read_text(encoding="utf-8")) is not None:
            return path.parent
    return None


def _is_missing(name: str, results: Mapping[str, Result]) -> bool:
    return name not in results or results[name].failure != ""


def _refuse_changed(groups: Sequence[list[Step]]) -> None:
    """Folders of trainings that began with other settings stay what they are."""
    faults = []
    for training, *_ in groups:
        path = training.folder / CONFIG
        if path.is_file():
            old, new = identity(load_config(path), training.folder / SKELETON), identity(training.config)
            changes = [
                f"{key} was {old.get(key, 'the default')}, is {new.get(key, 'the default')}"
                for key in sorted(old.keys() | new.keys())
                if old.get(key) != new.get(key)
            ]
            if changes:
                faults.append(f"{training.folder}: trained with other settings: {'; '.join(changes)}")
    if faults:
        faults.append(
            "Another name=... begins a new experiment; without these folders they are trained anew."
        )
        raise InputError("\n".join(faults))


def _check_data(pending: Sequence[list[Step]]) -> None:
    """Once for all cells, and before any of them finds out for itself."""
    for step in chain.from_iterable(pending):
        find_motion(step.scored)


def _places(config: Config) -> list[str]:
    """Overrides for what a folder says of places: of another day, and perhaps another machine."""
    settings = flatten(config_to_dict(config))
    return [f"{key}={json.dumps(value)}" for key, value in settings.items() if is_place(key)]


def _reason(step: Step, status: int | None) -> str:
    if status is not None and status < 0:
        return f"ended by signal {-status} ({signal.Signals(-status).name})"
    lines = (step.folder / LOG).read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), f"exit status {status}")
    return last.removeprefix("gcnpose: ")[:500]


def _share_done(step: Step) -> float:
    """How much of a training's epochs is behind it; nothing of an evaluation."""
    try:
        rows = (step.folder / "history.csv").read_text(encoding="utf-8").count("\n") - 1
    except FileNotFoundError:
        return 0.0
    return max(rows, 0) / step.config.train.epochs * 0.99  # the test subjects come after


def duration(seconds: float) -> str:
    """In the unit that suits it: ``"45 s"``, ``"12 min"``, ``"1 h 40 min"``."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
