"""MLflow's pages: served, and photographed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from gcnpose.config import TrackingConfig
from gcnpose.errors import InputError, RunError, termination_as_interrupt
from gcnpose.tracking.store import connect, experiment_id_of, masked, store_needed, tracking_uri

_SERVER = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight processes that only evaluate language models
    "PYTHONSAFEPATH": "1",  # else a click.py in the working folder would be taken for the library
    "PYTHONWARNINGS": "ignore",
}
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def serve_ui(config: TrackingConfig, port: int = 5000) -> None:
    """Prints the address of the page with the experiment's runs and serves it until interrupted.

    Where the store is a tracking server, that serves it already and only the address is printed.

    Raises:
        InputError: if the store cannot be used, or the port is taken.
        RunError: if MLflow's server ends by itself.
    """
    with store_needed(config):
        uri = tracking_uri(config)
        experiment_id = experiment_id_of(connect(uri), uri, config.experiment)
    page = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    if uri.startswith(("http://", "https://")):
        print(f"{masked(uri.rstrip('/'))}/{page}")
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
    with store_needed(config):
        uri = tracking_uri(config)
        client = connect(uri)
        experiment_id = experiment_id_of(client, uri, config.experiment)
        conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
        condition = " and ".join([*conditions, "attributes.status = 'FINISHED'"])
        runs = client.search_runs([experiment_id], condition, order_by=["attributes.start_time ASC"])
    if not runs:
        raise InputError(f"MLflow at {masked(uri)} has no finished runs with the tags {dict(tags)}")
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
        raise RunError(f"the browser took no picture of {masked(address)}")


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
    # A session of its own, because MLflow's server starts others and they must end with it.
    with (
        termination_as_interrupt(),
        subprocess.Popen(command, env={**_SERVER, **os.environ}, start_new_session=True) as process,
    ):
        try:
            while process.poll() is None and not _answers(port):
                time.sleep(0.2)
            if process.poll() is not None:
                raise RunError(f"MLflow's server ended by itself with exit status {process.returncode}")
            yield process
        finally:
            _end_session(process)


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
