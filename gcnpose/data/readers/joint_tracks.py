"""What a motion capture file holds, and the reading of text that BVH, ASF and AMC share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError

# No capture has such a number, and sums and products of smaller ones stay finite.
_LARGEST = 1e12


@dataclass(frozen=True, eq=False)
class JointTracks:
    """The joints of one captured motion, in the file's own unit and axes.

    Args:
        names: One per joint, all different.
        parents: Index of each joint's parent, which stands before it; -1 for a root.
        positions: The joints in the world.
        fps: Frames per second; None where the file does not say.
        metres_per_unit: Length of the unit; None where the file does not say.

    Shapes:
        positions (frames, joints, 3) float64
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    positions: npt.NDArray[np.float64]
    fps: float | None
    metres_per_unit: float | None


def read_lines(path: Path) -> list[str]:
    """The lines of a text file. Bytes that are no UTF-8 are replaced: older files have them in names.

    Raises:
        InputError: if the file cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig", errors="replace").split("\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def to_numbers(words: Sequence[str], place: str) -> npt.NDArray[np.float64]:
    """The words as numbers.

    Args:
        words: Any number of them.
        place: Where they stand, for the error.

    Raises:
        InputError: if one is not a number, not finite, or beyond all measure.

    Shapes:
        -> (words,)
    """
    try:
        numbers = np.array(words, dtype=np.float64)
    except ValueError:
        wrong = next(word for word in words if not _is_number(word))
        raise InputError(f"{place}: expected a number, got {wrong[:40]!r}") from None
    beyond = ~(np.abs(numbers) <= _LARGEST)
    if beyond.any():
        raise InputError(f"{place}: expected a finite number, got {words[int(beyond.argmax())][:40]!r}")
    return numbers


def lines_to_numbers(path: Path, lines: Iterable[tuple[int, Sequence[str]]]) -> npt.NDArray[np.float64]:
    """The words of many lines, each with its number, as numbers, one after the other.

    Raises:
        InputError: as `to_numbers`, naming the file and the line.

    Shapes:
        -> (words,)
    """
    remaining = iter(lines)
    parts = [np.empty(0)]
    while block := list(islice(remaining, 1000)):  # one by one is slow, all at once needs much memory
        try:
            parts.append(to_numbers([word for _, words in block for word in words], str(path)))
        except InputError:
            for number, words in block:
                to_numbers(words, f"{path}, line {number}")
            raise
    return np.concatenate(parts)


def _is_number(word: str) -> bool:
    try:
        np.array([word], dtype=np.float64)
    except ValueError:
        return False
    return True
