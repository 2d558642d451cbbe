"""Motion capture in BVH or ASF/AMC files, brought to the joints of a graph.

How the joints of a kind of files become a graph's is data, in ``graphs/sources/`` or a file of one's own::

    format: bvh              # or amc, whose skeleton is the .asf file beside it
    metres_per_unit: 0.01    # needed for BVH, which does not say; ASF does
    up: y                    # or z
    fps: 120                 # of AMC files, which do not say
    skip_frames: 1           # frames at the beginning that are no motion
    lost_bones:              # of BVH: OFFSETs that a conversion lost, in lengths of the parent's bone
      LeftFingerBase: [0.5, 0, 0]
    joints:
      pelvis: {LeftUpLeg: 0.5, RightUpLeg: 0.5}    # weights add to 1; a negative one extrapolates
      right_hip: RightUpLeg                        # short for {RightUpLeg: 1}
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline
from tqdm import tqdm

from gcnpose.data.motion import MotionSet
from gcnpose.data.motion_file import y_up_to_z_up
from gcnpose.data.readers.asf_amc import read_amc, read_asf
from gcnpose.data.readers.bvh import read_bvh
from gcnpose.data.readers.joint_tracks import JointTracks
from gcnpose.data.sequence import MotionSequence
from gcnpose.errors import InputError, did_you_mean
from gcnpose.joint_weights import JointWeights, read_joint_weights
from gcnpose.resources import read_shipped, resource_folder
from gcnpose.settings import above, at_least, read_settings
from gcnpose.skeleton import Skeleton

# From a hand to a horse, in metres. What lies outside has another unit than the mapping says.
_BODY_EXTENT = (0.05, 10.0)


@dataclass(frozen=True)
class _Settings:
    """The plain keys of a mapping file."""

    format: Literal["bvh", "amc"]
    """Kind of files."""
    metres_per_unit: float | None = field(default=None, metadata=above(0))
    """Length of the files' unit; None: the files say it."""
    up: Literal["y", "z"] = "y"
    """The files' vertical axis."""
    fps: float | None = field(default=None, metadata=above(0))
    """Frames per second of files that do not say."""
    skip_frames: int = field(default=0, metadata=at_least(0))
    """Frames at the beginning of each file that are left out."""


@dataclass(frozen=True)
class SourceMapping:
    """How files of one kind become motion on a graph.

    Args:
        settings: What holds for the whole file.
        lost_bones: OFFSETs to put in, as `read_bvh` takes them.
        joints: Weights of the file's joints, by name, in each joint of the graph.
    """

    settings: _Settings
    lost_bones: Mapping[str, tuple[float, float, float]]
    joints: JointWeights

    @classmethod
    def load(cls, name_or_path: str | Path) -> SourceMapping:
        """Reads a mapping file.

        Args:
            name_or_path: Name of a mapping that comes with the package (``"cmu-asf-amc"``), or a path.

        Raises:
            InputError: naming all the faults of the file.
        """
        content, path, faults = read_shipped(name_or_path, resource_folder("graphs") / "sources", "mapping")
        if not isinstance(content, Mapping):
            raise InputError(f"{path}: expected at least the keys format and joints")
        plain = dict(content)
        joints, joints_faults = read_joint_weights(plain.pop("joints", None), "the files")
        lost_bones = plain.pop("lost_bones", {})
        faults = [*faults, *joints_faults, *_lost_bones_faults(lost_bones, plain.get("format"))]
        settings = read_settings(_Settings, plain, path, faults=faults, conflicts=_conflicts)
        return cls(
            settings=settings,
            lost_bones={name: (float(x), float(y), float(z)) for name, (x, y, z) in lost_bones.items()},
            joints=joints,
        )


def read_mocap(
    path: str | Path,
    skeleton: Skeleton,
    mapping: str | Path,
    fps: float | None = None,
    say: Callable[[str], None] = print,
) -> MotionSet:
    """Reads a motion capture file, or all of a folder and its subfolders, as motion of a graph's joints.

    The subject of a file is the first folder below `path` that it lies in; of a file that lies in none, what
    stands before the first "_" of its name. So ``cmu/16/16_21.amc`` and ``16_21.amc`` are both of subject 16.
    The sequence has the file's name. A skeleton is looked for beside its AMC file: of the same name, or named
    as what stands before its first "_", or the only one there.

    Motion is resampled by cubic splines through the joints' positions, from the first frame on. It is not
    filtered before: at a much lower rate, movements of more than half that rate come out as others.

    Args:
        path: A file or folder. In a folder, files of other kinds than the mapping's are left out.
        skeleton: The graph.
        mapping: Name of a shipped mapping, or path of a file.
        fps: Frames per second of the result; None: those of the files, which must all have the same.
        say: Takes lines about what was read and left out.

    Returns:
        Motion without cameras and splits, in metres, z up.

    Raises:
        InputError: naming the file and the place in it, if one cannot be used; or if there is none.
    """
    path = Path(path)
    source = SourceMapping.load(mapping)
    settings = source.settings
    if missing := [joint for joint in skeleton.joints if joint not in source.joints]:
        hint = did_you_mean(missing[0], set(source.joints) - set(skeleton.joints))
        raise InputError(
            f"{mapping}: joints: nothing becomes {', '.join(missing)} of the skeleton {skeleton.name!r}{hint}"
        )
    if fps is not None and not 0 < fps <= 1000:
        raise InputError(f"fps: expected more than 0 and at most 1000, got {fps}")
    sequences: list[MotionSequence] = []
    rates: dict[float, Path] = {}
    for file in tqdm(
        _find_files(path, settings.format, say), desc="reading", leave=False, disable=not sys.stderr.isatty()
    ):
        tracks = _read_tracks(file, source)
        rate = tracks.fps or settings.fps
        if rate is None:
            raise InputError(f"{file}: does not say its frame rate; write fps into the mapping")
        rates.setdefault(rate, file)
        if fps is None and len(rates) > 1:
            (one, first), (other, second), *_ = rates.items()
            raise InputError(
                f"{first} has {one:g} fps and {second} {other:g}; give the fps to resample them to"
            )
        positions = _resample(_to_graph(tracks, source, skeleton, file), rate, fps or rate)
        sequences.append(MotionSequence(*_subject_and_name(path, file), positions.astype(np.float32)))
    motion = MotionSet(skeleton, fps or next(iter(rates)), sequences)
    if settings.skip_frames:
        say(f"left out at the beginning of every file: {settings.skip_frames} (skip_frames of {mapping})")
    for subject in motion.subjects:
        lengths = [len(sequence.positions) for sequence in sequences if sequence.subject == subject]
        say(f"subject {subject}: {len(lengths)} sequences, {sum(lengths)} frames at {motion.fps:g} fps")
    return motion


def _conflicts(settings: _Settings) -> Sequence[tuple[tuple[str, ...], str]]:
    """Faults between keys."""
    if settings.format == "bvh" and settings.metres_per_unit is None:
        return [(("metres_per_unit",), "missing; BVH does not say its unit, 0.01 stands for centimetres")]
    return []


def _lost_bones_faults(lost_bones: Any, of: Any) -> list[str]:
    if not isinstance(lost_bones, Mapping):
        return ["lost_bones: expected joints, each with three numbers"]
    if lost_bones and of == "amc":
        return ["lost_bones: only BVH files lose bones"]
    return [
        f"lost_bones.{joint}: expected a joint and three numbers, such as [0.5, 0, 0], got {offset!r}"
        for joint, offset in lost_bones.items()
        if not isinstance(joint, str)
        or not (isinstance(offset, list) and len(offset) == 3)
        or not all(type(length) in (int, float) and math.isfinite(length) for length in offset)
    ]


def _find_files(path: Path, kind: str, say: Callable[[str], None]) -> list[Path]:
    """The files to read, in the order of their names."""
    if not path.is_dir():
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
        if path.suffix.lower() != f".{kind}":
            raise InputError(f"{path}: the mapping is for .{kind} files")
        return [path]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    wanted = [file for file in files if file.suffix.lower() == f".{kind}"]
    if not wanted:
        raise InputError(f"{path}: the mapping is for .{kind} files, and there is none in this folder")
    used = (f".{kind}", ".asf") if kind == "amc" else (f".{kind}",)
    if others := [str(file.relative_to(path)) for file in files if file.suffix.lower() not in used]:
        more = " ..." if len(others) > 5 else ""
        say(f"left out {len(others)} files that are not .{kind}: {', '.join(others[:5])}{more}")
    return wanted


def _read_tracks(file: Path, source: SourceMapping) -> JointTracks:
    if source.settings.format == "bvh":
        return read_bvh(file, source.lost_bones)
    return read_amc(file, read_asf(_find_skeleton(file)))


def _find_skeleton(file: Path) -> Path:
    """The .asf file that belongs to an .amc file."""
    beside = sorted(other for other in file.parent.iterdir() if other.suffix.lower() == ".asf")
    for stem in (file.stem, file.stem.partition("_")[0]):
        for skeleton in beside:
            if skeleton.stem == stem:
                return skeleton
    if len(beside) != 1:
        expected = f"{file.stem}.asf or {file.stem.partition('_')[0]}.asf"
        raise InputError(
            f"{file}: no skeleton for it in its folder; expected {expected}, or only one .asf file"
        )
    return beside[0]


def _subject_and_name(folder: Path, file: Path) -> tuple[str, str]:
    """Whose sequence a file is and what it is called, as :func:`read_mocap` says."""
    *folders, _ = file.relative_to(folder).parts or (file.name,)
    if folders:
        return folders[0], "_".join([*folders[1:], file.stem])
    return file.stem.partition("_")[0] or file.stem, file.stem


def _to_graph(
    tracks: JointTracks, source: SourceMapping, skeleton: Skeleton, file: Path
) -> npt.NDArray[np.float64]:
    """The graph's joints in metres, z up, shape (frames, joints, 3)."""
    settings = source.settings
    # "mixamorig:Hips" answers to "Hips" too, unless another character has one.
    short = [name.rpartition(":")[2] for name in tracks.names]
    indices = {name: index for index, name in enumerate(short) if short.count(name) == 1}
    indices |= {name: index for index, name in enumerate(tracks.names)}
    weights = np.zeros((skeleton.num_joints, len(tracks.names)))
    needed = [(row, *of) for row, joint in enumerate(skeleton.joints) for of in source.joints[joint].items()]
    if missing := list(dict.fromkeys(name for _, name, _ in needed if name not in indices)):
        raise InputError(
            f"{file}: the mapping takes {', '.join(missing)}, but its joints are {', '.join(tracks.names)}"
        )
    for row, name, weight in needed:
        weights[row, indices[name]] += weight
    positions = weights @ tracks.positions[settings.skip_frames :]
    if not len(positions):
        raise InputError(
            f"{file}: has {len(tracks.positions)} frames, and the mapping skips {settings.skip_frames}"
        )
    positions *= settings.metres_per_unit or tracks.metres_per_unit or 1.0
    extent = np.ptp(positions[0], axis=0).max()
    if not _BODY_EXTENT[0] <= extent <= _BODY_EXTENT[1]:
        raise InputError(
            f"{file}: the first pose is {extent:.3g} m long; is metres_per_unit of the mapping right?"
        )
    return y_up_to_z_up(positions) if settings.up == "y" else positions


def _resample(positions: npt.NDArray[np.float64], fps: float, to: float) -> npt.NDArray[np.float64]:
    """The motion at another rate, from the first frame on and no further than the last."""
    last = len(positions) - 1
    if fps == to or last == 0:
        return positions
    times = np.arange(math.floor(last * to / fps + 1e-6) + 1) * (fps / to)
    return np.asarray(CubicSpline(np.arange(last + 1), positions)(times))
