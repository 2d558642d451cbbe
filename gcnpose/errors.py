"""The two ways a command can fail, the hint in their messages, and what counts as an interruption."""

import difflib
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class InputError(ValueError):
    """What the user gave cannot be used: says what was expected, what came, and where. Exit status 2."""


class RunError(RuntimeError):
    """A run that began well could not go on. Exit status 1."""


class StoppedError(RunError):
    """The run was ended from outside, as by Ctrl-C."""


class ClosedOutputError(BrokenPipeError):
    """Whoever read standard output has enough, as `| head` has. Exit status 1, without a word."""


UNUSABLE_INPUT = (InputError, FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError)
"""Ends a command with status 2."""
FAILED_RUN = (RunError, OSError)
"""Ends a command with status 1, where it is not unusable input."""


def did_you_mean(word: object, known: Iterable[str], prefix: str = "") -> str:
    """``", did you mean x?"`` for the known word nearest to a mistyped one, or nothing if none is near.

    The prefix stands before the word that is named.
    """
    by_lower_case = {name.lower(): name for name in known}
    near = difflib.get_close_matches(str(word).lower(), by_lower_case, n=1)
    return f", did you mean {prefix}{by_lower_case[near[0]]}?" if near else ""


@contextmanager
def termination_as_interrupt() -> Iterator[None]:
    """SIGTERM, with which batch systems end a command, ends what is inside as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():  # which alone may say so
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
