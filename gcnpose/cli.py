"""The commands. ``gcnpose VERB ...`` and ``python tools/VERB.py ...`` are the same program."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr

from gcnpose.commands import (
    benchmark,
    draw,
    evaluate,
    experiment,
    export,
    predict,
    prepare_data,
    refine,
    train,
    ui,
)
from gcnpose.errors import FAILED_RUN, UNUSABLE_INPUT, ClosedOutputError

_WITH_SUBCOMMANDS = ("benchmark",)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; gives its exit status: 0, 1 for a run that failed, 2 for unusable input."""
    parser = argparse.ArgumentParser(
        prog="gcnpose", description="Lifts 2D human keypoint sequences to 3D with UGCN."
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in (train, evaluate, experiment, refine, predict, prepare_data, export, draw, benchmark, ui):
        command.add(commands)
    given = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names may have letters that a terminal has not
    # Only a command's own parser lets options stand between arguments: `RUN --output a.json data.path=b.npz`.
    # With subcommands of its own it cannot.
    alone = given and given[0] not in _WITH_SUBCOMMANDS
    parser_of_command = commands.choices.get(given[0]) if alone else None
    several = "LOCAL_WORLD_SIZE" in os.environ and int(os.environ["WORLD_SIZE"]) > 1  # started by torchrun
    with _only_the_first_tells_of_usage() if several else nullcontext():
        options = (
            parser_of_command.parse_intermixed_args(given[1:])
            if parser_of_command
            else parser.parse_args(given)
        )
        if several and given[0] != "train":
            parser.error(f"only train runs in several processes, not {given[0]}")
    try:
        options.run(options)
    except UNUSABLE_INPUT as error:
        print(f"gcnpose: {error}", file=sys.stderr)
        return 2
    except ClosedOutputError:
        return 1
    except FAILED_RUN as error:
        print(f"gcnpose: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("gcnpose: interrupted", file=sys.stderr)
        return 1
    return 0


@contextmanager
def _only_the_first_tells_of_usage() -> Iterator[None]:
    """Of several processes, which all got the same arguments."""
    if os.environ["RANK"] == "0":
        yield
        return
    try:
        with redirect_stderr(io.StringIO()):
            yield
    except SystemExit:
        time.sleep(5)  # torchrun ends the others as soon as one ends, and the first may not have told yet
        raise


if __name__ == "__main__":
    sys.exit(main())
