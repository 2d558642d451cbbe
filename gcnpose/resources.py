"""Where the graphs, configs and models lie: inside an installed package, or beside it in a checkout."""

from pathlib import Path


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
