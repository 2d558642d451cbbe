"""What the commands share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from gcnpose.errors import ClosedOutputError, InputError
from gcnpose.files import check_writable

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What a command's ``add`` puts its parser into."""


def say(line: str) -> None:
    """A line of progress or result.

    Raises:
        ClosedOutputError: if standard output is a pipe that nobody reads; what comes after is lost.
    """
    try:
        print(line, flush=True)
    except BrokenPipeError as error:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # for what Python has still to write when it ends
        os.close(nowhere)
        raise ClosedOutputError(*error.args) from None


def add_tag_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tag",
        action="append",
        default=[],
        dest="tags",
        metavar="NAME=VALUE",
        help="tag of the run in MLflow; may be given several times",
    )


def tags_of(options: argparse.Namespace) -> dict[str, str]:
    """What :func:`add_tag_option` took."""
    for tag in options.tags:
        if tag.find("=") < 1:
            raise InputError(f"--tag: expected NAME=VALUE, came {tag!r}")
    return dict(tag.split("=", 1) for tag in options.tags)


def checkpoint_and_overrides(arguments: Sequence[str]) -> tuple[Path, Sequence[str]]:
    """``CHECKPOINT key=value ...``: the newest run where no checkpoint is named."""
    from gcnpose.checkpoint import BEST
    from gcnpose.run import newest_run

    path, overrides = path_and_overrides(arguments)
    return path or newest_run("runs", BEST), overrides


def path_and_overrides(arguments: Sequence[str]) -> tuple[Path | None, Sequence[str]]:
    """``PATH key=value ...``: None where no path is named, but overrides or nothing."""
    if not arguments or ("=" in arguments[0] and not Path(arguments[0]).exists()):
        return None, arguments
    return Path(arguments[0]), arguments[1:]


def check_output(path: Path, *suffixes: str) -> None:
    """Finds out before any work whether its result can be written under that name."""
    if path.suffix not in suffixes or path.is_dir():
        raise InputError(f"--output: expected a file name that ends in {' or '.join(suffixes)}, not {path}")
    check_writable(path.parent, "--output")
