"""Where a run is from."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from gcnpose.tracking.store import masked


def environment() -> dict[str, str]:
    """What a run depends on beside its config, by the names of the tags: commit, versions, hardware, command.

    The commit is the working folder's, if that is in a checkout; ``mlflow.source.git.dirty`` says whether a
    tracked file differs from it, other than documents and results, which experiments write themselves.
    """
    found = {
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": sys.argv[0],
        "command": masked(shlex.join(sys.argv)),
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
        matter = ("--", ":(top)", ":(top,exclude)results", ":(exclude,glob,top)**/*.md")
        changes = _git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no", *matter)
        if changes is not None:
            found["mlflow.source.git.dirty"] = str(changes != "").lower()
    return found


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
