"""``gcnpose prepare_data``: makes a motion file of a data set as downloaded, or of anybody's motion.

Reading Human3.6M's original files takes longest. What was read of each subject is kept in ``FILE.npz.parts``
beside the output until it is written, so that the same command goes on where it was broken off or met a
damaged file.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gcnpose.commands.common import Commands, check_output, say
from gcnpose.errors import InputError

if TYPE_CHECKING:
    from gcnpose.data.motion import MotionSet
    from gcnpose.skeleton import Skeleton

_OPTIONS = ("keypoints", "skeleton", "mapping", "fps", "units", "up", "poses")
_DEFAULT_SKELETON = "h36m17"


def add(commands: Commands) -> None:
    parser = commands.add_parser(
        "prepare_data",
        help="make a motion file of a data set or of your own motion",
        epilog="; ".join(f"{kind} takes {_words(options)}" for kind, (_, options) in _KINDS.items()),
    )
    parser.add_argument("kind", choices=_KINDS, help="what the motion is stored as")
    parser.add_argument("path", type=Path, metavar="PATH", help="folder or file that it lies in")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.npz")
    parser.add_argument("--keypoints", metavar="FILE", help="2D keypoints of it: VideoPose3D's data_2d_*.npz")
    parser.add_argument(
        "--skeleton", metavar="GRAPH", help=f"names the joints; {_DEFAULT_SKELETON} by default"
    )
    parser.add_argument(
        "--mapping", metavar="FILE.yaml", help="from the joints of the files to the skeleton's"
    )
    parser.add_argument("--fps", type=float, help="frames per second; of mocap: to resample to")
    parser.add_argument("--units", choices=("m", "cm", "mm"), help="of the positions; m by default")
    parser.add_argument("--up", choices=("z", "y"), help="vertical axis; z by default")
    parser.add_argument("--poses", choices=("annot3", "univ_annot3"), help="which 3D; univ_annot3 by default")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    read, accepted = _KINDS[options.kind]
    for option in _OPTIONS:
        if option not in accepted and getattr(options, option) is not None:
            raise InputError(f"--{option}: {options.kind} has no such option, it takes {_words(accepted)}")
    check_output(options.output, ".npz")
    if options.path.exists() and options.output.exists() and options.output.samefile(options.path):
        raise InputError(f"--output: {options.output} is what is to be read")
    motion = read(options)
    motion.save(options.output)
    if read in _GO_ON:
        shutil.rmtree(_parts(options), ignore_errors=True)
    say(_summary(options.output, motion))


def _words(options: tuple[str, ...]) -> str:
    return ", ".join(f"--{option}" for option in options)


def _parts(options: argparse.Namespace) -> Path:
    return Path(f"{options.output}.parts")


def _summary(path: Path, motion: MotionSet) -> str:
    import numpy as np

    frames = sum(len(sequence.positions) for sequence in motion.sequences)
    rates = sorted({sequence.fps or motion.fps for sequence in motion.sequences})
    detected = sum(bool(sequence.keypoints_2d) for sequence in motion.sequences)
    heights = [sequence.positions[..., 2] for sequence in motion.sequences]
    height = np.median(np.concatenate([np.ptp(z, axis=1) for z in heights]))
    lowest = np.median(np.concatenate([z.min(axis=1) for z in heights]))
    splits = ", ".join(f"{split} {' '.join(subjects)}" for split, subjects in motion.splits.items())
    return (
        f"{path}: {len(motion.sequences)} sequences, {frames:,} frames, joints of {motion.skeleton.name}, "
        f"{' and '.join(f'{rate:g}' for rate in rates)} fps, 2D in {detected} sequences; "
        f"poses are {height:.2f} m high and the lowest joint at z = {lowest:.2f} m (medians); "
        f"{splits or 'no splits, so name the subjects in the config'}"
    )


def _skeleton(options: argparse.Namespace) -> Skeleton:
    from gcnpose.skeleton import Skeleton

    return Skeleton.load(options.skeleton or _DEFAULT_SKELETON)


def _h36m(options: argparse.Namespace) -> MotionSet:
    from gcnpose.data.readers.h36m import read_h36m

    return read_h36m(options.path, say, options.keypoints, _parts(options))


def _h36m_motionbert(options: argparse.Namespace) -> MotionSet:
    """All recordings: what this protocol does not score, it leaves out when it scores."""
    from gcnpose.data.readers.h36m import read_h36m
    from gcnpose.protocols import MOTIONBERT_BLOCK_LIST

    motion = read_h36m(options.path, say, options.keypoints, _parts(options), keep_corrupted=True)
    held = {(sequence.subject, sequence.name) for sequence in motion.sequences}
    skipped = ", ".join("/".join(recording) for recording in MOTIONBERT_BLOCK_LIST if recording in held)
    say(f"kept, but not scored by the protocol h36m-motionbert: {skipped or 'none of these'}")
    return motion


def _humaneva(options: argparse.Namespace) -> MotionSet:
    from gcnpose.data.readers.humaneva import read_humaneva

    return read_humaneva(options.path, say, options.keypoints)


def _mpi_inf_3dhp(options: argparse.Namespace) -> MotionSet:
    from gcnpose.data.readers.mpi_inf_3dhp import read_mpi_inf_3dhp

    return read_mpi_inf_3dhp(options.path, say, options.poses or "univ_annot3")


def _mocap(options: argparse.Namespace) -> MotionSet:
    from gcnpose.data.readers.mocap import read_mocap

    if options.mapping is None:
        raise InputError("mocap needs --mapping, from the joints of the files to the skeleton's")
    return read_mocap(options.path, _skeleton(options), options.mapping, options.fps, say)


def _videopose3d(options: argparse.Namespace) -> MotionSet:
    from gcnpose.data.readers.videopose3d import read_videopose3d

    return read_videopose3d(options.path, _skeleton(options), say, options.fps)


def _npz(options: argparse.Namespace) -> MotionSet:
    from gcnpose.data.readers.npz import read_npz

    return read_npz(options.path, _skeleton(options), say, options.fps, options.units, options.up)


_GO_ON = (_h36m, _h36m_motionbert)
"""Those that leave parts."""
_KINDS: Mapping[str, tuple[Callable[[argparse.Namespace], MotionSet], tuple[str, ...]]] = {
    "h36m": (_h36m, ("keypoints",)),
    "h36m-motionbert": (_h36m_motionbert, ("keypoints",)),
    "mpi-inf-3dhp": (_mpi_inf_3dhp, ("poses",)),
    "humaneva": (_humaneva, ("keypoints",)),
    "mocap": (_mocap, ("skeleton", "mapping", "fps")),
    "videopose3d": (_videopose3d, ("skeleton", "fps")),
    "npz": (_npz, ("skeleton", "fps", "units", "up")),
}
