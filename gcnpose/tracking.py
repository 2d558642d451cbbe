"""Runs in MLflow. No other module knows it, and with tracking disabled it is not even imported.

What MLflow cannot take, because the server is down or the disk full, costs the run one warning and no result.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec
from urllib.parse import quote

import torch
from torch import Tensor

from gcnpose import served_model
from gcnpose.config import TrackingConfig
from gcnpose.errors import InputError, RunError
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.any_length import AnyLength

logger = logging.getLogger(__name__)

# MLflow waits for minutes and tries eight times. One retry is kept, for connections that idled too long.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
_SILENCE = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_SERVER = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that only evaluate language models
    "PYTHONSAFEPATH": "1",  # else a click.py in the working folder would be taken for the library
    "PYTHONWARNINGS": "ignore",
}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_LOCK_SECONDS = 10.0  # for another run that is just writing
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
            with _warnings_ignored():
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
        run_id: The run's id, for `start` to resume it; None where no run was begun.
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
        if config.enabled:
            tracker._uri = str(config.uri)
            try:
                with _warnings_ignored():
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
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs numbers of one step. NaN is kept; MLflow stores infinity as the largest float."""
        self._log_points([(name, value, step or 0) for name, value in metrics.items()])

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
    def log_files(self, *paths: Path, folder: str | None = None) -> None:
        """Stores files, and folders with all that is in them; warns of one that is missing.

        Args:
            paths: What to store, under its own name.
            folder: Folder of the run to put it in; None: its top.
        """
        for path in paths:
            if path.is_dir():
                inside = "/".join(filter(None, (folder, path.name)))
                self._client.log_artifacts(self.run_id, str(path), inside)
            elif path.exists():
                self._client.log_artifact(self.run_id, str(path), folder)
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
    def log_model(self, model: LiftingNetwork, example: Tensor) -> None:
        """Stores the network as an MLflow model that lifts keypoints in pixels, without this package.

        The network goes in as a traced graph, beside it the code of :mod:`gcnpose.served_model`. Batch and
        frames are free. A network that cannot be traced costs a warning, not the tracking.

        Args:
            model: The network; a copy of it on the CPU in evaluation mode is stored.
            example: Normalised 2D as in training. The first of the batch becomes the model's input example,
                as seen in an image of 1000 x 1000 pixels.

        Shapes:
            - example: (batch, frames, joints, channels)
        """
        import mlflow
        import numpy as np
        from mlflow.models import Model

        pixels = example[:1].detach().cpu().numpy().astype(np.float32)
        pixels[..., :2] = np.round((pixels[..., :2] + 1) * 500, 1)
        requirements = [f"{name}=={version(name).partition('+')[0]}" for name in ("mlflow", "numpy", "torch")]
        with tempfile.TemporaryDirectory() as folder:
            network = Path(folder) / "network.pt2"
            try:
                _trace(model, network)
            except Exception as error:
                reason = _reason(error)
                logger.warning("the network was not logged as a model, it cannot be traced: %s", reason)
                return
            experiment_id = self._client.get_run(self.run_id).info.experiment_id
            # Made here, because log would put it into the experiment that is current in this process.
            entry = self._client.create_logged_model(experiment_id, name="model", source_run_id=self.run_id)
            with _as_current(self._uri):
                Model.log(
                    artifact_path=None,
                    flavor=mlflow.pyfunc,
                    model_id=entry.model_id,
                    run_id=self.run_id,
                    loader_module=Path(served_model.__file__).stem,
                    code_paths=[served_model.__file__],
                    data_path=str(network),
                    signature=_signature(model),
                    input_example=(pixels, {"width": 1000.0, "height": 1000.0}),
                    pip_requirements=requirements,
                )

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
        client = _connect(self._uri)
        resumed = run_id is not None and _is_there(client, run_id)
        if resumed:
            self.run_id = run_id
            client.update_run(run_id, status="RUNNING")
        else:
            if run_id is not None:
                logger.warning("MLflow at %s has no run %s: a new one begins", _masked(self._uri), run_id)
            experiment_id = _experiment_id(client, self._uri, config.experiment)
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
            _masked(self._uri),
            _reason(error),
        )

    def _stop_monitor(self, wait_seconds: float) -> None:
        """Ends the sampling of system metrics. MLflow's own call may wait for a server that hangs."""
        if self._monitor is not None:
            stopping = threading.Thread(target=self._monitor.finish, daemon=True)
            stopping.start()
            stopping.join(wait_seconds)
            self._monitor = None


def tracking_uri(config: TrackingConfig) -> str:
    """The MLflow store: the config's, that of MLFLOW_TRACKING_URI, or mlflow.db in the working folder.

    The path of an SQLite store comes out absolute, since MLflow keeps stores open under their URI.
    """
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = _sqlite_path(uri)
    return uri if path is None else _sqlite_uri(path.resolve(), uri)


def environment() -> dict[str, str]:
    """What a run depends on beside its config, by the names of the tags: commit, versions, hardware, command.

    The commit is the working folder's, if that is in a checkout; ``mlflow.source.git.dirty`` says whether a
    tracked file differs from it.
    """
    found = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": sys.argv[0],
        "command": _masked(shlex.join(sys.argv)),
        "python": platform.python_version(),
        "cpu": _processor(),
        "threads": str(torch.get_num_threads()),
    }
    for package in ("gcnpose", "torch", "torch-geometric"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(device) for device in range(torch.cuda.device_count())]
        found["gpu"] = ", ".join(names)
    commit = _git("rev-parse", "HEAD")
    if commit is not None:
        found["mlflow.source.git.commit"] = commit
        changes = _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
        if changes is not None:
            found["mlflow.source.git.dirty"] = str(changes != "").lower()
    return found


def flatten(nested: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def shared_run(config: TrackingConfig, tag: str, value: str) -> tuple[str, dict[str, str]]:
    """The run that several processes and machines log to together, which is begun where there is none.

    They find it by its tag. Where two of them begin one at once, the earlier stays.

    Args:
        config: Where it is.
        tag: Name of the tag.
        value: What it says, and the name of the run; letters, digits, dots, underscores and hyphens.

    Returns:
        The run's id, for :meth:`Tracker.start`, and its tags as they are now.

    Raises:
        InputError: if the store cannot be used.
    """
    with _store_needed(config):
        uri = tracking_uri(config)
        client = _connect(uri)
        experiment_id = _experiment_id(client, uri, config.experiment)
        condition = f"tags.`{tag}` = '{value}'"
        runs = client.search_runs([experiment_id], condition)
        begun = None if runs else client.create_run(experiment_id, run_name=value, tags={tag: value})
        if begun is not None:
            runs = client.search_runs([experiment_id], condition)
        first = min(runs, key=lambda run: (run.info.start_time, run.info.run_id))
        if begun is not None and begun.info.run_id != first.info.run_id:
            client.delete_run(begun.info.run_id)
        return first.info.run_id, dict(first.data.tags)


def serve_ui(config: TrackingConfig, port: int = 5000) -> None:
    """Prints the address of the page with the experiment's runs and serves it until interrupted.

    Where the store is a tracking server, that serves it already and only the address is printed.

    Raises:
        InputError: if the store cannot be used, or the port is taken.
        RunError: if MLflow's server ends by itself.
    """
    with _store_needed(config):
        uri = tracking_uri(config)
        experiment_id = _experiment_id(_connect(uri), uri, config.experiment)
    page = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    if uri.startswith(("http://", "https://")):
        print(f"{_masked(uri.rstrip('/'))}/{page}")
        return
    try:
        with _server(uri, port) as process:
            print(f"http://127.0.0.1:{port}/{page}\nCtrl-C ends it.", flush=True)
            process.wait()
    except KeyboardInterrupt:
        return
    raise RunError(f"MLflow's server ended by itself with exit status {process.returncode}")


def photograph_comparison(
    config: TrackingConfig, tags: Mapping[str, str], picture: Path, port: int = 5000
) -> None:
    """Has a browser without a window take a picture of the page on which MLflow compares some runs.

    Args:
        config: Where the runs are.
        tags: Those of the runs to compare; finished ones only.
        picture: The PNG file.
        port: For MLflow's server, where the store is none.

    Raises:
        InputError: if the store cannot be used, has no such runs, the port is taken or no browser is there.
        RunError: if MLflow's server or the browser fails.
    """
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise InputError(f"no browser to take the picture with: none of {', '.join(_BROWSERS)} is installed")
    with _store_needed(config):
        uri = tracking_uri(config)
        client = _connect(uri)
        experiment_id = _experiment_id(client, uri, config.experiment)
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        condition = " and ".join([*conditions, "attributes.status = 'FINISHED'"])
        runs = client.search_runs([experiment_id], condition, order_by=["attributes.start_time ASC"])
    if not runs:
        raise InputError(f"MLflow at {_masked(uri)} has no finished runs with the tags {dict(tags)}")
    ids, experiment_ids = ([run.info.run_id for run in runs], [experiment_id])
    page = f"#/compare-runs?runs={quote(json.dumps(ids))}&experiments={quote(json.dumps(experiment_ids))}"
    if uri.startswith(("http://", "https://")):
        _photograph(browser, f"{uri.rstrip('/')}/{page}", picture)
    else:
        with _server(uri, port):
            _photograph(browser, f"http://127.0.0.1:{port}/{page}", picture)


def _photograph(browser: str, address: str, picture: Path) -> None:
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        command += [
            "--window-size=1600,1400",
            "--virtual-time-budget=20000",
            f"--screenshot={picture}",
            address,
        ]
        if os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # without it none runs as root
        picture.unlink(missing_ok=True)
        try:
            subprocess.run(command, capture_output=True, timeout=120, check=True)
        except subprocess.SubprocessError as error:
            raise RunError(f"the browser took no picture: {error}") from error
    if not picture.is_file():
        raise RunError(f"the browser took no picture of {_masked(address)}")


@contextmanager
def _server(uri: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server on this machine, once it answers; it ends with the context, as on SIGTERM."""
    with socket.socket() as probe:
        # A server that has just ended is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise InputError(f"port {port} cannot be used ({error}): choose another with --port") from error
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri, "--port", str(port)]
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    # So that it ends like Ctrl-C, with all that has been started.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # A session of its own, because MLflow's server starts others and they must end with it.
        with subprocess.Popen(command, env={**_SERVER, **os.environ}, start_new_session=True) as process:
            try:
                while process.poll() is None and not _answers(port):
                    time.sleep(0.2)
                if process.poll() is not None:
                    raise RunError(f"MLflow's server ended by itself with exit status {process.returncode}")
                yield process
            finally:
                _end_session(process)
    finally:
        signal.signal(signal.SIGTERM, before)


def _trace(model: LiftingNetwork, path: Path) -> None:
    """Writes the network as a graph of any batch and any number of frames."""
    example = torch.zeros(2, 2, model.joints, model.input_channels)  # a size of 1 would stay 1
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("frames")}
    torch.export.save(
        torch.export.export(AnyLength.portable(model), (example,), dynamic_shapes=(free,)), path
    )


def _signature(model: LiftingNetwork) -> Any:
    """What MLflow checks of a request: the shape of the keypoints, and that sizes are numbers."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    keypoints_2d, pose_3d = (
        Schema([TensorSpec(np.dtype(np.float32), (-1, -1, model.joints, channels))])
        for channels in (model.input_channels, 3)
    )
    size = ParamSchema([ParamSpec(side, "double", None) for side in ("width", "height")])
    return ModelSignature(keypoints_2d, pose_3d, size)


def _connect(uri: str) -> Any:
    """A client of the store that fails soon and keeps quiet, unless the environment says otherwise.

    Raises:
        Exception: whatever MLflow, SQLAlchemy or the file system say if there is no such store.
    """
    for name, value in (_PATIENCE | _SILENCE).items():
        os.environ.setdefault(name, value)
    import mlflow

    if "MLFLOW_LOGGING_LEVEL" not in os.environ:  # what goes wrong is said once, by the tracker
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    if uri.partition(":")[0].partition("+")[0] in _DATABASES:
        _check_database(uri)
    return mlflow.MlflowClient(uri)


def _check_database(uri: str) -> None:
    """Connects once and, with SQLite, asks to write: MLflow itself would try again for a minute and more."""
    import sqlalchemy

    path = _sqlite_path(uri)
    if path is not None and not path.exists():
        _create_database(path)
    options = {} if path is None else {"connect_args": {"timeout": _LOCK_SECONDS}}
    engine = sqlalchemy.create_engine(uri, **options)
    try:
        with engine.connect() as connection:
            if path is not None:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        engine.dispose()


def _create_database(path: Path) -> None:
    """Makes a new SQLite store, all at once.

    MLflow takes seconds for the tables and recovers neither from being killed meanwhile nor from a second run
    that makes them too.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        draft = Path(folder) / path.name
        SqlAlchemyStore(_sqlite_uri(draft), _artifact_folder(path)).engine.dispose()
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # the run beside this one was faster
        except OSError:
            draft.replace(path)  # the file system has no hard links


def _artifact_folder(database: Path, experiment: str = "Default") -> str:
    """Beside the database. MLflow's own choice is the folder that one happens to work in."""
    return (database.parent / "mlartifacts" / quote(experiment, safe=" ")).as_uri()


def _sqlite_path(uri: str) -> Path | None:
    """The file of an SQLite store; None for other stores."""
    from sqlalchemy.engine import make_url

    database = make_url(uri).database if uri.startswith("sqlite:") else None
    return Path(database) if database and database != ":memory:" else None


def _sqlite_uri(path: Path, like: str = "sqlite://") -> str:
    """The store in another file, with the options of a store that it is like."""
    from sqlalchemy.engine import make_url

    return make_url(like).set(database=str(path)).render_as_string()


def _experiment_id(client: Any, uri: str, name: str) -> str:
    """The id of the experiment, which is made if there is none of that name."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        path = _sqlite_path(uri)
        folder = None if path is None else _artifact_folder(path, name)
        try:
            return str(client.create_experiment(name, artifact_location=folder))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            experiment = client.get_experiment_by_name(name)  # a run beside this one was faster
    return str(experiment.experiment_id)


def _is_there(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return False
        raise


@contextmanager
def _warnings_ignored() -> Iterator[None]:
    """Python's warnings are about how MLflow uses pandas, SQLAlchemy and PyTorch: nobody here can help it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _store_needed(config: TrackingConfig) -> Iterator[None]:
    """Whatever goes wrong with the store is the user's to mend, since nothing goes on without it."""
    try:
        with _warnings_ignored():
            yield
    except Exception as error:
        where = _masked(config.uri or os.environ.get("MLFLOW_TRACKING_URI", "mlflow.db"))
        raise InputError(f"MLflow at {where} cannot be used: {_reason(error)}") from error


@contextmanager
def _as_current(uri: str) -> Iterator[None]:
    """Makes the store the process's current one for a while."""
    import mlflow

    before = os.environ.get("MLFLOW_TRACKING_URI")  # set_tracking_uri writes it too
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None is what unsets it


def _name(text: str) -> str:
    """The text with what MLflow refuses in the name of a metric, parameter or tag replaced by underscores."""
    parts = re.sub(r"[^\w\-. :/]", "_", text).split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))[:250] or "_"


def _batches(entries: list[Any], size: int) -> Iterator[list[Any]]:
    return (entries[start : start + size] for start in range(0, len(entries), size))


def _reason(error: Exception) -> str:
    """What an exception says, without SQL statements and the stages of an HTTP request."""
    text = re.split(r"\[SQL:|\(Background on", str(error))[0]
    for stage in ("Caused by ", "prematurely) "):
        text = text.rpartition(stage)[2]
    return _masked(textwrap.shorten(text or type(error).__name__, 300, placeholder=" ..."))


def _masked(text: str) -> str:
    """The text without the passwords of the addresses in it."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


def _processor() -> str:
    try:
        model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        model = None
    return model[1] if model else platform.processor() or platform.machine()


def _git(*arguments: str) -> str | None:
    """What git prints about the working folder; None without git or checkout, or if it takes too long."""
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _end_session(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and its children, at the latest after five seconds."""
    for ending in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, ending)
            process.wait(5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue
