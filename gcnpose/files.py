"""Files written whole or not at all, and YAML read with its faults."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gcnpose.errors import InputError, termination_as_interrupt


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside the target to write to, and moves it over the target once that is done.

    Until then, and for good if it fails, the target stays as it is. Nothing is left beside it.

    Raises:
        OSError: if the file cannot be brought to the disk or moved.
    """
    partial = path.with_name(path.name + ".part")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def adding_to(folder: Path, name: str) -> Iterator[Path]:
    """Gives a folder to write to, and moves its files into the target once that is done.

    Files that the target has already stay there, unless one of the same name replaces them. If anything fails
    before, the target stays as it is, and nothing of the other is left. SIGTERM counts as Ctrl-C meanwhile,
    so that this holds whatever ends the command.

    Args:
        folder: The target; made where there is none.
        name: What says so, for the error.

    Raises:
        InputError: if the target cannot be a folder to write into, or has a folder where a file is to be.
    """
    folder = folder.resolve()
    if not folder.name or (folder.exists() and not folder.is_dir()):
        raise InputError(f"{name}: {folder} cannot be the folder to write into")
    # In the target where there is one, since that may be a file system of its own.
    beside = folder if folder.is_dir() else folder.parent
    partial = beside / f".{folder.name}.{os.getpid()}.part"
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        raise InputError(f"{name}: nothing can be written in {beside}: {error.strerror}") from error
    try:
        with termination_as_interrupt():
            yield partial
        folder.mkdir(exist_ok=True)
        if folders := [path.name for path in partial.iterdir() if (folder / path.name).is_dir()]:
            raise InputError(f"{name}: {folder / folders[0]} is a folder, where a file is to be")
        for path in partial.iterdir():
            os.replace(path, folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_writable(folder: Path, name: str) -> None:
    """Finds out before any work whether its result can be written.

    Args:
        folder: Where to.
        name: What says so, for the error.

    Raises:
        InputError: if not.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{name}: nothing can be written in {folder}: {error.strerror}") from error


def make_folder(folder: Path, name: str) -> None:
    """Makes a folder to write in, where there is none.

    Raises:
        InputError: as :func:`check_writable`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{name}: {folder} cannot be made: {error.strerror}") from error
    check_writable(folder, name)


def parse_yaml(text: str | bytes, source: str, prefix: str = "") -> tuple[Any, list[str]]:
    """The content of a YAML text, and a fault for every key given twice, which PyYAML takes in silence.

    Args:
        text: One document.
        source: What to call it in an error.
        prefix: Stands before the keys in the faults.

    Raises:
        InputError: if it is not YAML.
    """
    try:
        content = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, AttributeError) as error:
        # Beside YAML's own: of a date such as 2024-99-99, and of tags such as !!int before something else.
        raise InputError(f"{source}: is not YAML: {' '.join(str(error).split())}") from error
    return content, list(_repeated_keys(node, prefix, set()))


def _repeated_keys(node: yaml.Node | None, prefix: str, visited: set[int]) -> Iterator[str]:
    if not isinstance(node, yaml.CollectionNode) or id(node) in visited:  # an anchor may contain itself
        return
    visited.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield from _repeated_keys(value, f"{prefix.removesuffix('.')}[{number}].", visited)
        return
    seen = set()
    for key, value in node.value:
        if key.value in seen:
            yield f"{prefix}{key.value}: given again in line {key.start_mark.line + 1}"
        seen.add(key.value)
        yield from _repeated_keys(value, f"{prefix}{key.value}.", visited)
