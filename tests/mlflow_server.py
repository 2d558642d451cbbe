"""As much of an MLflow tracking server as a run needs, and the ways in which it fails."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class FakeServer(http.server.ThreadingHTTPServer):
    """Answers 503 with a long Retry-After once it is broken, and nothing at all while it hangs."""

    broken = False
    block_on_close = False

    def __init__(self, artifacts: Path) -> None:
        super().__init__(("127.0.0.1", 0), FakeApi)
        self.artifacts = artifacts
        self.metrics: list[Any] = []
        self.unanswered = 0
        self.answering = threading.Event()
        self.answering.set()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def vanish(self) -> None:
        self.shutdown()
        self.server_close()

    def hang(self) -> None:
        self.answering.clear()


class FakeApi(http.server.BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        if "/runs/get" in self.path:
            self.answer(self.run())
        else:
            self.answer({"experiment": {"experiment_id": "7", "name": "gcnpose"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.answer(self.run()):
            self.server.metrics += body.get("metrics", [])

    def run(self) -> dict[str, Any]:
        info = {"run_id": "ab12", "status": "RUNNING", "lifecycle_stage": "active"}
        return {"run": {"info": {**info, "artifact_uri": self.server.artifacts.as_uri()}, "data": {}}}

    def answer(self, content: object) -> bool:
        if not self.server.answering.is_set():
            self.server.unanswered += 1
            self.server.answering.wait()  # until the test is over, and whoever asked is gone
            return False
        body = json.dumps(content).encode()
        self.send_response(503 if self.server.broken else 200)
        self.send_header("Retry-After", "3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        return not self.server.broken

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def serving(artifacts: Path) -> Iterator[FakeServer]:
    with FakeServer(artifacts) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.answering.set()
        server.shutdown()
