"""Human3.6M (Ionescu et al., TPAMI 2014): from the original CDF files, or from VideoPose3D's .npz file.

Of the data set, "Poses, D3 Positions" of every subject is read, as downloaded or unpacked::

    Poses_D3_Positions_S1.tgz ...
    S1/MyPoseFeatures/D3_Positions/Directions 1.cdf ...     variable Pose: (1, frames, 96), millimetres

The rules are VideoPose3D's (data/prepare_data_h36m.py, common/h36m_dataset.py): 17 of the 32 joints, world
positions in metres, ``TakingPhoto`` and ``WalkingDog`` called ``Photo`` and ``WalkDog``, and S11's
``Directions`` left out.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from gcnpose.data.camera import h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.readers.videopose3d import (
    Keypoints,
    Say,
    attach_keypoints,
    check_array,
    read_keypoints,
    read_positions,
)
from gcnpose.data.sequence import MotionSequence
from gcnpose.errors import InputError
from gcnpose.files import replacing
from gcnpose.pickles import load_arrays
from gcnpose.skeleton import Skeleton

FPS = 50.0
SPLITS = {"train": ("S1", "S5", "S6", "S7", "S8"), "test": ("S9", "S11")}
"""The protocol has no validation subjects; whoever chooses a checkpoint by some must name them."""

CORRUPTED = ("S11", "Directions")
"""Its videos are; VideoPose3D and most others leave it out, MotionBERT and MMPose do not."""

# The 17 of 32, in the order of the graph h36m17.
JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
NUM_ORIGINAL_JOINTS = 32

_SUBJECTS = tuple(subject for subjects in SPLITS.values() for subject in subjects)
_SEQUENCES_PER_SUBJECT = 30
_RENAMED = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog"}
# Ten times the longest recording.
_MAX_CDF_BYTES = 64 << 20

_Positions = dict[str, dict[str, npt.NDArray[np.float32]]]


def read_h36m(
    path: str | Path,
    say: Say,
    keypoints: str | Path | None = None,
    cache: Path | None = None,
    keep_corrupted: bool = False,
) -> MotionSet:
    """Human3.6M with its cameras, splits and, if given, 2D keypoints.

    Args:
        path: The folder with the archives or with what they unpack to, one archive, or VideoPose3D's
            ``data_3d_h36m.npz``.
        say: Takes lines on what was read and what was left out.
        keypoints: 2D in VideoPose3D's layout, ``data_2d_h36m_*.npz``.
        cache: A folder that keeps what was read of each subject. Reading that was broken off goes on from
            there; a subject whose files have changed since is read anew.
        keep_corrupted: Keep S11/Directions, unless there are keypoints and none of it.

    Raises:
        InputError: names the file, and the sequence, camera, frame and joint at fault.
    """
    path = Path(path)
    skeleton = Skeleton.load("h36m17")
    found = _renamed(read_keypoints(keypoints)) if keypoints is not None else None
    if keep_corrupted and found is not None:
        keep_corrupted = CORRUPTED[1] in found.positions.get(CORRUPTED[0], {})
    sequences = []
    originals = _read_npz(path) if path.suffix == ".npz" else _read_originals(path, cache, say)
    for subject, actions in originals.items():
        if subject not in _SUBJECTS:
            say(f"{subject}: left out, the data set's subjects are {', '.join(_SUBJECTS)}")
            continue
        named = {_rename(name): positions for name, positions in actions.items()}
        if subject == CORRUPTED[0] and CORRUPTED[1] in named and not keep_corrupted:
            del named[CORRUPTED[1]]
            say(f"{'/'.join(CORRUPTED)}: left out, its videos are corrupted")
        frames = sum(map(len, named.values()))
        say(f"{subject}: {len(named)} of {_SEQUENCES_PER_SUBJECT} sequences, {frames:,} frames")
        sequences += [MotionSequence(subject, name, named[name]) for name in sorted(named)]
    subjects = {sequence.subject for sequence in sequences}
    cameras = {subject: h36m_rig(subject) for subject in _SUBJECTS if subject in subjects}
    if found is not None:
        names_2d = [camera.name for camera in h36m_rig()]
        sequences = attach_keypoints(sequences, found, skeleton, names_2d, say)
    splits = {
        split: tuple(subject for subject in of_split if subject in subjects)
        for split, of_split in SPLITS.items()
    }
    try:
        splits = {split: of_split for split, of_split in splits.items() if of_split}
        return MotionSet(skeleton, FPS, sequences, splits, cameras)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _rename(name: str) -> str:
    action, *number = name.split(" ")
    return " ".join([_RENAMED.get(action, action), *number])


def _renamed(found: Keypoints) -> Keypoints:
    positions = {
        subject: {_rename(name): views for name, views in actions.items()}
        for subject, actions in found.positions.items()
    }
    return Keypoints(found.path, found.layout, positions)


def _read_npz(path: Path) -> _Positions:
    positions = read_positions(path, None)
    for subject, actions in positions.items():
        for name, array in actions.items():
            if array.shape[1] != NUM_ORIGINAL_JOINTS:
                raise InputError(
                    f"{path}: {subject}/{name}: has {array.shape[1]} joints, but Human3.6M has "
                    f"{NUM_ORIGINAL_JOINTS}; for motion already cut to a graph's joints there is the kind "
                    "videopose3d"
                )
            actions[name] = array[:, JOINTS]
    return positions


def _read_originals(path: Path, cache: Path | None, say: Say) -> _Positions:
    """All subjects of a folder, or of one archive."""
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    positions: _Positions = {}
    for source in _sources(path, say) if path.is_dir() else [path]:
        positions.update(_resumed(cache, source))
    return positions


def _sources(folder: Path, say: Say) -> list[Path]:
    """A folder of CDF files or an archive for each subject that is there."""
    sources = []
    missing = []
    for subject in _SUBJECTS:
        unpacked = folder / subject / "MyPoseFeatures" / "D3_Positions"
        archive = folder / f"Poses_D3_Positions_{subject}.tgz"
        if unpacked.is_dir() or archive.is_file():
            sources.append(unpacked if unpacked.is_dir() else archive)
        else:
            missing.append(subject)
    if not sources:
        raise InputError(
            f"{folder}: expected Poses_D3_Positions_S*.tgz or S*/MyPoseFeatures/D3_Positions in it, "
            "found neither"
        )
    if missing:
        say(f"{', '.join(missing)}: not in {folder}, left out")
    return sources


def _resumed(cache: Path | None, source: Path) -> _Positions:
    """What a source holds, from the cache where it is there."""
    if cache is None:
        return _read_source(source)
    files = sorted(source.glob("*.cdf")) if source.is_dir() else [source]
    state = [(str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    kept = cache / f"{hashlib.sha256(repr(state).encode()).hexdigest()[:16]}.npz"
    if not kept.is_file():
        positions = _read_source(source)
        arrays: dict[str, Any] = {
            f"{subject}/{name}": array for subject, of in positions.items() for name, array in of.items()
        }
        cache.mkdir(exist_ok=True)
        with replacing(kept) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)
        return positions
    positions = {}
    for key, array in load_arrays(kept, objects=False).items():
        subject, name = key.split("/")
        positions.setdefault(subject, {})[name] = array
    return positions


def _read_source(source: Path) -> _Positions:
    positions: _Positions = {}
    files = _unpacked(source) if source.is_dir() else _archived(source)
    for place, file in tqdm(
        files, desc=str(source), unit="file", leave=False, disable=not sys.stderr.isatty()
    ):
        subject = place.parts[-4]
        where = str(place if source.is_dir() else f"{source}: {place}")
        positions.setdefault(subject, {})[place.stem] = _read_cdf(file, where)
    if not positions:
        raise InputError(
            f"{source}: expected CDF files of a folder S*/MyPoseFeatures/D3_Positions, found none"
        )
    return positions


def _unpacked(folder: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Name and path of every CDF file; hidden ones are what a Mac leaves beside the true ones."""
    for file in sorted(folder.glob("[!.]*.cdf")):
        yield PurePosixPath(file.as_posix()), file


def _archived(archive: Path) -> Iterator[tuple[PurePosixPath, Path]]:
    """Name in the archive and path of every CDF file, unpacked one at a time, since cdflib needs a path."""
    try:
        with tempfile.TemporaryDirectory() as folder, tarfile.open(archive) as members:
            file = Path(folder) / "poses.cdf"
            for member in members:
                place = PurePosixPath(member.name)
                if place.suffix != ".cdf" or place.name.startswith(".") or len(place.parts) < 4:
                    continue
                if place.parts[-2] != "D3_Positions":  # others are in a camera's frame, or no positions
                    continue
                if member.size > _MAX_CDF_BYTES:
                    raise InputError(
                        f"{archive}: {place}: has {member.size:,} bytes, far more than a recording"
                    )
                content = members.extractfile(member)
                if content is None:
                    raise InputError(f"{archive}: {place}: expected a file")
                with content, file.open("wb") as unpacked:
                    shutil.copyfileobj(content, unpacked)
                yield place, file
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{archive}: cannot be read, expected a .tgz archive: {reason}") from error


def _read_cdf(file: Path, where: str) -> npt.NDArray[np.float32]:
    """Shapes: (frames, joints, 3), metres."""
    import cdflib

    try:
        poses = np.asarray(cdflib.CDF(file).varget("Pose"))
    except Exception as error:  # cdflib checks little: a damaged file may raise anything
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: expected a CDF file with the variable Pose: {reason}") from error
    if poses.ndim == 0 or poses.shape[-1] != 3 * NUM_ORIGINAL_JOINTS:
        raise InputError(
            f"{where}: expected {3 * NUM_ORIGINAL_JOINTS} numbers in a frame, {NUM_ORIGINAL_JOINTS} joints, "
            f"got the shape {poses.shape}"
        )
    poses = poses.reshape(-1, NUM_ORIGINAL_JOINTS, 3)[:, JOINTS] / 1000
    return check_array(where, poses, (3,), Skeleton.load("h36m17"))
