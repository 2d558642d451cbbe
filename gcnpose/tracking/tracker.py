"""A run in MLflow, which costs the run itself at most a warning."""

from __future__ import annotations

import functools
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec

from torch import Tensor

from gcnpose.config import TrackingConfig
from gcnpose.nn import LiftingNetwork
from gcnpose.settings import flatten
from gcnpose.tracking.network import log_network
from gcnpose.tracking.origin import environment
from gcnpose.tracking.store import (
    connect,
    experiment_id_of,
    is_there,
    masked,
    reason_of,
    tracking_uri,
    warnings_ignored,
)

logger = logging.getLogger(__package__)

_LONGEST_VALUE = 5000  # characters of a parameter or a tag that every server of MLflow 3 takes
_VALUES_PER_CALL = 100
_METRICS_PER_CALL = 1000

_P = ParamSpec("_P")


def _harmless(method: Callable[Concatenate[Tracker, _P], None]) -> Callable[Concatenate[Tracker, _P], None]:
    """Nothing where nothing is tracked; an exception ends the tracking with a warning and goes no further."""

    @functools.wraps(method)
    def guarded(self: Tracker, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if self._client is None:
            return
        try:
            with warnings_ignored():
                method(self, *args, **kwargs)
        except Exception as error:
            self._give_up(error)

    return guarded


class Tracker:
    """One MLflow run, written to at once and not in the background; a context manager.

    Leaving the context ends the run as FINISHED, as KILLED on Ctrl-C, and as FAILED on any other exception.
    ``Tracker()`` tracks nothing. Nor does any tracker once MLflow has failed: it warns and ignores all
    later calls, because a server that hangs would cost as long again each time.

    Attributes:
        run_id: The run's id, for `start` to resume it, also where this tracker could not go on with it; None
            where no run was begun.
    """

    def __init__(self) -> None:
        self.run_id: str | None = None
        self._uri = ""
        self._client: Any = None
        self._monitor: Any = None

    @classmethod
    def start(
        cls,
        config: TrackingConfig,
        run_name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str] = {},
        run_id: str | None = None,
    ) -> Tracker:
        """Begins a run, or goes on with one.

        Args:
            config: Where to, and whether at all.
            run_name: Name shown in MLflow.
            parameters: What the run was made with, nested as it may be: ``{"train": {"epochs": 2}}`` becomes
                ``train.epochs``. Not logged again for a resumed run, since MLflow's parameters never change.
            tags: Put over those of `environment`. A resumed run gets both anew.
            run_id: Run to go on with. If the store does not have it, a warning says so and a new run begins.
        """
        tracker = cls()
        tracker.run_id = run_id
        if config.enabled:
            tracker._uri = str(config.uri)
            try:
                with warnings_ignored():
                    tracker._uri = tracking_uri(config)
                    tracker._begin(config, run_name, parameters, {**environment(), **tags}, run_id)
            except Exception as error:
                tracker._give_up(error)
        return tracker

    @_harmless
    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Puts tags on the run, over those of the same names."""
        self._log_settings({}, tags)

    @_harmless
    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Logs numbers that belong to no step. NaN is kept; MLflow stores infinity as the largest float."""
        self._log_points([(name, value, 0) for name, value in metrics.items()])

    @_harmless
    def log_history(self, rows: Sequence[Mapping[str, float]], step_key: str) -> None:
        """Logs the numbers of many steps; each row names its step under ``step_key``."""
        self._log_points(
            [(name, row[name], int(row[step_key])) for row in rows for name in row if name != step_key]
        )

    @_harmless
    def log_missing(self, rows: Sequence[Mapping[str, float]], step_key: str) -> None:
        """As `log_history`, without the steps of which the run has the first row's first number already."""
        if rows:
            name = next(name for name in rows[0] if name != step_key)
            there = {point.step for point in self._client.get_metric_history(self.run_id, _name(name))}
            self.log_history([row for row in rows if int(row[step_key]) not in there], step_key)

    @_harmless
    def log_files(self, *paths: Path) -> None:
        """Stores files under their names; warns of one that is missing."""
        for path in paths:
            if path.exists():
                self._client.log_artifact(self.run_id, str(path))
            else:
                logger.warning("%s does not exist and was not logged", path)

    @_harmless
    def log_table(self, table: Mapping[str, list[Any]], file: str) -> None:
        """Stores columns of equal length as a JSON file, which MLflow shows as a table."""
        self._client.log_table(self.run_id, dict(table), file)

    @_harmless
    def log_motion(
        self, name: str, source: str, digest: str, context: str, profile: Mapping[str, object]
    ) -> None:
        """Logs which motion the run used. MLflow notes a data set of one name and digest once in a run.

        Args:
            name: Name of the data set.
            source: Path or address it was read from.
            digest: Digest of its content. MLflow keeps 36 characters of it, the profile all.
            context: What it was used for: ``"train"``, ``"validation"``, ``"test"``.
            profile: Its size and make-up, in types that JSON has.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        dataset = Dataset(
            name=name,
            digest=digest[:36],
            source_type="local",
            source=json.dumps({"uri": source}),
            profile=json.dumps({"digest": digest, **profile}),
        )
        used = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
        self._client.log_inputs(self.run_id, [used])

    @_harmless
    def log_model(self, model: LiftingNetwork, example: Tensor, follow_reach: int | None = None) -> None:
        """Stores the network as an MLflow model that lifts keypoints in pixels, without this package.

        The network goes in as a traced graph, beside it the code of :mod:`gcnpose.tracking.served_model`.
        Batch and frames are free. A network that cannot be traced costs a warning, not the tracking.

        Args:
            model: The network; a copy of it on the CPU in evaluation mode is stored.
            example: Normalised 2D as in training. The first of the batch becomes the model's input example,
                as seen in an image of 1000 x 1000 pixels.
            follow_reach: Frames that count for where a camera looks that follows people, see
                :func:`gcnpose.nn.any_length.following`; None: what is stored does not follow.

        Shapes:
            - example: (batch, frames, joints, channels)
        """
        log_network(self._client, self._uri, str(self.run_id), model, example, follow_reach)

    def finish(self, status: str = "FINISHED") -> None:
        """Ends the run as ``"FINISHED"``, ``"FAILED"`` or ``"KILLED"``; what is logged later is ignored."""
        self._terminate(status)
        self._stop_monitor(wait_seconds=5.0 if self._client is not None else 0.0)
        self._client = None

    def __enter__(self) -> Tracker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.finish("KILLED" if issubclass(kind, KeyboardInterrupt) else "FAILED")

    def _begin(
        self,
        config: TrackingConfig,
        run_name: str,
        parameters: Mapping[str, object],
        tags: Mapping[str, str],
        run_id: str | None,
    ) -> None:
        client = connect(self._uri)
        resumed = run_id is not None and is_there(client, run_id)
        if resumed:
            self.run_id = run_id
            client.update_run(run_id, status="RUNNING")
        else:
            if run_id is not None:
                logger.warning("MLflow at %s has no run %s: a new one begins", masked(self._uri), run_id)
            experiment_id = experiment_id_of(client, self._uri, config.experiment)
            self.run_id = client.create_run(experiment_id, run_name=run_name).info.run_id
        self._client = client
        self._log_settings({} if resumed else flatten(parameters), tags)
        if config.system_metrics:
            from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

            self._monitor = SystemMetricsMonitor(self.run_id, resume_logging=resumed, tracking_uri=self._uri)
            self._monitor.start()

    def _log_settings(self, parameters: Mapping[str, object], tags: Mapping[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        params = [Param(_name(key), str(value)[:_LONGEST_VALUE]) for key, value in parameters.items()]
        for some in _batches(params, _VALUES_PER_CALL):
            self._client.log_batch(self.run_id, params=some)
        run_tags = [RunTag(_name(key), value[:_LONGEST_VALUE]) for key, value in tags.items()]
        for others in _batches(run_tags, _VALUES_PER_CALL):
            self._client.log_batch(self.run_id, tags=others)

    def _log_points(self, points: Sequence[tuple[str, float, int]]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(_name(name), float(value), now, step) for name, value, step in points]
        for some in _batches(metrics, _METRICS_PER_CALL):
            self._client.log_batch(self.run_id, metrics=some)

    @_harmless
    def _terminate(self, status: str) -> None:
        self._client.set_terminated(self.run_id, status)

    def _give_up(self, error: Exception) -> None:
        self._client = None
        self._stop_monitor(wait_seconds=0.0)
        logger.warning(
            "MLflow at %s failed; the run goes on without it, and its folder holds everything: %s",
            masked(self._uri),
            reason_of(error),
        )

    def _stop_monitor(self, wait_seconds: float) -> None:
        """Ends the sampling of system metrics. MLflow's own call may wait for a server that hangs."""
        if self._monitor is not None:
            stopping = threading.Thread(target=self._monitor.finish, daemon=True)
            stopping.start()
            stopping.join(wait_seconds)
            self._monitor = None


def _name(text: str) -> str:
    """The text with what MLflow refuses in the name of a metric, parameter or tag replaced by underscores."""
    parts = re.sub(r"[^\w\-. :/]", "_", text).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))[:250] or "_"


def _batches(entries: list[Any], size: int) -> Iterator[list[Any]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))
