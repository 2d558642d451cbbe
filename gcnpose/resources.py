"""Where the graphs, configs and models lie: inside an installed package, or beside it in a checkout."""

from pathlib import Path
from typing import Any

from gcnpose.errors import InputError, did_you_mean
from gcnpose.files import parse_yaml


def resource_folder(kind: str) -> Path:
    """Folder of the shipped files of one kind.

    Args:
        kind: ``"graphs"``, ``"configs"`` or ``"models"``.

    Raises:
        FileNotFoundError: if neither the installed package nor the checkout has the folder.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / kind, package.parent / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"no folder {kind!r} in {package} or beside it: is gcnpose installed completely?")


def shipped_files(folder: Path) -> dict[str, Path]:
    """The YAML files of a folder by name, without the suffix."""
    return dict(sorted((file.stem, file) for file in folder.glob("*.yaml")))


def read_shipped(path_or_name: str | Path, folder: Path, kind: str) -> tuple[Any, str, list[str]]:
    """The content of a YAML file, or of the shipped one of that name; what to call it; its repeated keys.

    Args:
        path_or_name: a path, or a shipped file's name without folder and suffix.
        folder: where the shipped ones lie.
        kind: what such a file is, such as ``"graph"``.

    Raises:
        InputError: if there is no such file, or it cannot be read.
    """
    shipped = shipped_files(folder)
    path = shipped.get(str(path_or_name), Path(path_or_name))
    try:
        content, faults = parse_yaml(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        hint = did_you_mean(path.stem, shipped)
        raise InputError(f"{path}: no such {kind}{hint}; shipped {kind}s: {', '.join(shipped)}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return content, str(path), faults
