"""MLflow's pages, served and photographed."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from gcnpose import tracking
from gcnpose.errors import InputError, RunError
from gcnpose.tracking import (
    Tracker,
    photograph_comparison,
    serve_ui,
)
from tests.mlflow_server import FakeServer
from tests.stores import config, experiment_of


def test_the_page_of_a_server_is_printed(fake_server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    serve_ui(config(f"{fake_server.uri}/"))
    page = "#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert capsys.readouterr().out == f"{fake_server.uri}/{page}\n"


def test_the_page_of_a_local_store_is_served(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stand-in for MLflow's server, which takes seconds to begin: answers one visitor and ends."""
    stand_in = tmp_path / "python"
    stand_in.write_text(
        f"#!{sys.executable}\n"
        "import json, socket, sys, time\n"
        "json.dump(sys.argv[1:], open('arguments.json', 'w'))\n"
        "socket.create_server(('127.0.0.1', int(sys.argv[sys.argv.index('--port') + 1]))).accept()\n"
        "time.sleep(0.5)\n"
        "sys.exit(3)\n"
    )
    stand_in.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(stand_in))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(RunError, match="ended by itself with exit status 3"):
        serve_ui(config(tracking_uri), port)
    assert signal.getsignal(signal.SIGTERM) == handler
    arguments = json.loads((tmp_path / "arguments.json").read_text())
    assert arguments[:5] == ["-m", "mlflow", "ui", "--backend-store-uri", tracking_uri]
    experiment = experiment_of(tracking_uri).experiment_id
    page = f"#/experiments/{experiment}/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert capsys.readouterr().out == f"http://127.0.0.1:{port}/{page}\nCtrl-C ends it.\n"


@pytest.fixture
def browser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in that writes its last argument, an address, as the picture."""
    path = tmp_path / "browser"
    path.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "(picture,) = [a.split('=')[1] for a in sys.argv if a.startswith('--screenshot=')]\n"
        "pathlib.Path(picture).write_text(sys.argv[-1])\n"
    )
    path.chmod(0o755)
    monkeypatch.setattr(tracking.pages, "_BROWSERS", ("nothing-of-this-name", str(path)))
    return path


def test_a_picture_of_the_comparison(
    tracking_uri: str, tmp_path: Path, browser: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for cell, failed in (("a", False), ("b", True), ("c", False)):
        with Tracker.start(config(tracking_uri), cell, {}, {"experiment": "table1"}) as tracker:
            tracker.finish("FAILED" if failed else "FINISHED")
        ids += [] if failed else [tracker.run_id]
    with Tracker.start(config(tracking_uri), "d", {}, {"experiment": "table2"}):
        pass
    served = []

    @contextlib.contextmanager
    def server(uri: str, port: int) -> Iterator[None]:
        served.append((uri, port))
        yield

    monkeypatch.setattr(tracking.pages, "_server", server)
    picture = tmp_path / "compare.png"
    photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture, 5123)
    address = unquote(picture.read_text())
    experiment = experiment_of(tracking_uri).experiment_id
    runs = json.dumps(ids)
    assert address == f'http://127.0.0.1:5123/#/compare-runs?runs={runs}&experiments=["{experiment}"]'
    assert served == [(tracking_uri, 5123)]

    with pytest.raises(InputError, match=r"has no finished runs with the tags \{'experiment': 'table3'\}$"):
        photograph_comparison(config(tracking_uri), {"experiment": "table3"}, picture)
    browser.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(RunError, match=r"the browser took no picture: .* status 3"):
        photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture)
    browser.write_text("#!/bin/sh\n")
    with pytest.raises(RunError, match=r"^the browser took no picture of http://127"):
        photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture)
    monkeypatch.setattr(tracking.pages, "_BROWSERS", ("nothing-of-this-name",))
    with pytest.raises(InputError, match="none of nothing-of-this-name is installed"):
        photograph_comparison(config(tracking_uri), {"experiment": "table1"}, picture)


def test_a_server_that_ends_before_it_answers(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RunError, match="ended by itself with exit status 1"):
        serve_ui(config(tracking_uri), 0)


def test_a_port_in_use_is_bad_input(tracking_uri: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"port {port} cannot be used .*: choose another with --port"):
            serve_ui(config(tracking_uri), port)


def test_a_store_that_cannot_be_shown_is_bad_input() -> None:
    with pytest.raises(InputError, match=r"MLflow at http://127\.0\.0\.1:9 cannot be used: .*refused"):
        serve_ui(config("http://127.0.0.1:9"))
