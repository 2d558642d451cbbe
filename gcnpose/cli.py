"""The commands. ``gcnpose VERB ...`` and ``python tools/VERB.py ...`` are the same program."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from gcnpose.commands import benchmark, draw, evaluate, export, predict, prepare_data, refine, train, ui
from gcnpose.errors import InputError, RunError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit status: 0, 1 for a run that failed, 2 for unusable input."""
    parser = argparse.ArgumentParser(
        prog="gcnpose", description="Lifts 2D human keypoint sequences to 3D with UGCN."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (train, evaluate, refine, predict, prepare_data, export, draw, benchmark, ui):
        command.add(commands)
    given = sys.argv[1:] if arguments is None else list(arguments)
    parser_of_command = commands.choices.get(given[0]) if given else None
    # Only a command's own parser lets options stand between arguments: `RUN --output a.json data.path=b.npz`.
    options = (
        parser_of_command.parse_intermixed_args(given[1:]) if parser_of_command else parser.parse_args(given)
    )
    try:
        options.run(options)
    except (InputError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        print(f"gcnpose: {error}", file=sys.stderr)
        return 2
    except (RunError, OSError) as error:
        print(f"gcnpose: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gcnpose: interrupted", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
