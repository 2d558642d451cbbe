"""What tests of several modules share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mlflow_server import FakeServer, serving


@pytest.fixture
def fake_server(tmp_path: Path) -> Iterator[FakeServer]:
    with serving(tmp_path / "artifacts") as server:
        yield server
