"""Motion as plain arrays in an .npz file, under whatever names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gcnpose.data.motion import MotionSet
from gcnpose.data.motion_file import MAX_BYTES, read_sidecar
from gcnpose.data.readers.videopose3d import Say
from gcnpose.errors import InputError
from gcnpose.pickles import load_arrays
from gcnpose.skeleton import Skeleton


def read_npz(
    path: str | Path,
    skeleton: Skeleton,
    say: Say,
    fps: float | None = None,
    units: str | None = None,
    up: str | None = None,
) -> MotionSet:
    """Motion from plain arrays (frames, joints, 3); nothing pickled is read.

    An array called ``subject/name`` is a sequence of that subject. All others are sequences of one subject,
    called as the file is; where their names have a ``/``, it becomes ``-``. A file with ``meta`` in it is
    read as what it is, a motion file.

    Args:
        path: The file. A ``splits.json`` beside it may say fps, units, up and splits; what is given here must
            not contradict it.
        skeleton: Names the joints, in the order of the arrays.
        say: Takes a line on what was read.
        fps: Frames per second.
        units: ``"m"``, ``"cm"`` or ``"mm"``; None: ``splits.json``'s, else metres.
        up: ``"z"`` or ``"y"``; None: ``splits.json``'s, else z.

    Raises:
        InputError: names the file, and the array, frame or joint at fault.
    """
    path = Path(path)
    arrays = load_arrays(path, objects=False, max_bytes=MAX_BYTES)
    if "meta" in arrays:
        if units is not None or up is not None:
            raise InputError(f"{path}: is a motion file, which says its units and up axis itself")
        motion = MotionSet.load(path, skeleton, fps)
    else:
        named = {_label(key, path.stem): array for key, array in arrays.items()}
        try:
            if len(named) < len(arrays):
                raise InputError("two arrays have the same name but for '/' and '-'")
            description = _settle(path, units=units, up=up)
            motion = MotionSet.from_arrays(named, description, skeleton, fps)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    say(f"{path}: {len(motion.sequences)} sequences of {len(motion.subjects)} subjects")
    return motion


def _settle(path: Path, **given: str | None) -> dict[str, Any]:
    """What ``splits.json`` beside the file says and what is given, if they agree."""
    beside = read_sidecar(path)
    for key, value in given.items():
        if value is not None and beside.setdefault(key, value) != value:
            sidecar = path.with_name("splits.json")
            raise InputError(f"{sidecar} says {key} is {beside[key]}, but {value} was given")
    return beside


def _label(key: str, subject: str) -> str:
    return key if key.count("/") == 1 else f"{subject}/{key.replace('/', '-')}"
