"""What a run says of where it is from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gcnpose.tracking import (
    environment,
)


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Runs git as somebody whose settings are git's own."""
    if shutil.which("git") is None:
        pytest.skip("no git")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "somebody@example.org")
    return lambda *arguments: subprocess.run(["git", *arguments], check=True, capture_output=True)


def test_the_environment_names_the_commit(
    git: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "mlflow.source.git.commit" not in environment()

    git("init")
    assert "mlflow.source.git.commit" not in environment()  # nothing is committed yet
    (tmp_path / "code.py").write_text("1")
    git("add", "code.py")
    git("commit", "--message", "first")
    commit = (tmp_path / ".git" / (tmp_path / ".git" / "HEAD").read_text().split()[1]).read_text().strip()
    (tmp_path / "mlflow.db").touch()  # a run's own files are not part of the code
    clean = environment()
    assert (clean["mlflow.source.git.commit"], clean["mlflow.source.git.dirty"]) == (commit, "false")
    (tmp_path / "code.py").write_text("2")
    assert environment()["mlflow.source.git.dirty"] == "true"
    git("checkout", "--", ".")
    for name in ("results/table1.csv", "docs/page.md"):
        Path(name).parent.mkdir()
        Path(name).touch()
    git("add", "results", "docs")
    assert environment()["mlflow.source.git.dirty"] == "false", "experiments write them"

    monkeypatch.setenv("PATH", str(tmp_path))
    assert "mlflow.source.git.commit" not in environment()


def test_the_environment_names_versions_hardware_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tools/train.py", "a b.yaml", "tracking.uri=http://me:secret@host"])
    found = environment()
    assert found["command"] == "tools/train.py 'a b.yaml' tracking.uri=http://***@host"
    assert found["torch"] == torch.__version__
    assert found["threads"] == str(torch.get_num_threads())
    assert found["cpu"]
    assert {"torch-geometric", "python"} <= found.keys()
    assert ("gpu" in found) == torch.cuda.is_available()
