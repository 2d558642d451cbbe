"""Where MLflow keeps the runs: connecting to it soon or not at all, and what goes wrong said in one line."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gcnpose.config import TrackingConfig
from gcnpose.errors import InputError

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
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_LOCK_SECONDS = 10.0  # for another run that is just writing


def tracking_uri(config: TrackingConfig) -> str:
    """The MLflow store: the config's, that of MLFLOW_TRACKING_URI, or mlflow.db in the working folder.

    The path of an SQLite store comes out absolute, since MLflow keeps stores open under their URI.
    """
    uri = config.uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    path = _sqlite_path(uri)
    return uri if path is None else _sqlite_uri(path.resolve(), uri)


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
    with store_needed(config):
        uri = tracking_uri(config)
        client = connect(uri)
        experiment_id = experiment_id_of(client, uri, config.experiment)
        condition = f"tags.`{tag}` = '{value}'"
        runs = client.search_runs([experiment_id], condition)
        begun = None if runs else client.create_run(experiment_id, run_name=value, tags={tag: value})
        if begun is not None:
            runs = client.search_runs([experiment_id], condition)
        first = min(runs, key=lambda run: (run.info.start_time, run.info.run_id))
        if begun is not None and begun.info.run_id != first.info.run_id:
            client.delete_run(begun.info.run_id)
        return first.info.run_id, dict(first.data.tags)


def connect(uri: str) -> Any:
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


def experiment_id_of(client: Any, uri: str, name: str) -> str:
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


def is_there(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return False
        raise


@contextmanager
def warnings_ignored() -> Iterator[None]:
    """Python's warnings are about how MLflow uses pandas, SQLAlchemy and PyTorch: nobody here can help it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def store_needed(config: TrackingConfig) -> Iterator[None]:
    """Whatever goes wrong with the store is the user's to mend, since nothing goes on without it."""
    try:
        with warnings_ignored():
            yield
    except Exception as error:
        where = masked(config.uri or os.environ.get("MLFLOW_TRACKING_URI", "mlflow.db"))
        raise InputError(f"MLflow at {where} cannot be used: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """What an exception says, without SQL statements and the stages of an HTTP request."""
    text = re.split(r"\[SQL:|\(Background on", str(error))[0]
    for stage in ("Caused by ", "prematurely) "):
        text = text.rpartition(stage)[2]
    return masked(textwrap.shorten(text or type(error).__name__, 300, placeholder=" ..."))


def masked(text: str) -> str:
    """The text without the passwords of the addresses in it."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)


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
