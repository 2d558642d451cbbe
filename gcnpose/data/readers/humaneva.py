"""HumanEva-I (Sigal et al., IJCV 2010) from VideoPose3D's files with 15 joints.

``data_3d_humaneva15.npz`` has the subjects ``Train/S1`` ... ``Validate/S3``, called ``Train-S1`` and so on
here, and actions such as ``Walking 1 chunk0``: the stretches between which the motion capture lost its
markers (facebookresearch/VideoPose3D, data/prepare_data_humaneva.py).
"""

from __future__ import annotations

from pathlib import Path

from gcnpose.data.camera import humaneva_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.readers.videopose3d import Say, attach_keypoints, read_keypoints, read_positions
from gcnpose.data.sequence import MotionSequence
from gcnpose.errors import InputError
from gcnpose.skeleton import Skeleton

FPS = 60.0
SPLITS = {
    "train": ("Train-S1", "Train-S2", "Train-S3"),
    "test": ("Validate-S1", "Validate-S2", "Validate-S3"),
}
"""Training and test recordings show the same people, which is why these count as six subjects."""


def read_humaneva(path: str | Path, say: Say, keypoints: str | Path | None = None) -> MotionSet:
    """HumanEva-I with its cameras, splits and, if given, 2D keypoints.

    Args:
        path: ``data_3d_humaneva15.npz``.
        say: Takes lines on what was read and what was left out.
        keypoints: 2D of the same 15 joints in VideoPose3D's layout, ``data_2d_humaneva15_gt.npz``.

    Raises:
        InputError: names the file, and the sequence, camera, frame and joint at fault.
    """
    path = Path(path)
    skeleton = Skeleton.load("humaneva15")
    found = read_keypoints(keypoints) if keypoints is not None else None
    positions = read_positions(path, skeleton)
    known = [subject for subjects in SPLITS.values() for subject in subjects]
    if left_out := [subject for subject in positions if subject not in known]:
        say(f"{', '.join(left_out)}: left out, the data set's subjects are {', '.join(known)}")
    sequences = []
    cameras = {}
    for subject in (subject for subject in known if subject in positions):
        actions = positions[subject]
        say(f"{subject}: {len(actions)} sequences, {sum(map(len, actions.values())):,} frames")
        sequences += [MotionSequence(subject, name, actions[name]) for name in sorted(actions)]
        cameras[subject] = humaneva_rig(subject.split("-")[1])
    if found is None:
        say("no 2D: it will be projected, for C2 and C3 without the lens distortion, which is not known")
    else:
        names = [camera.name for camera in humaneva_rig("S1")]
        sequences = attach_keypoints(sequences, found, skeleton, names, say)
    splits = {
        split: tuple(subject for subject in subjects if subject in cameras)
        for split, subjects in SPLITS.items()
    }
    try:
        splits = {split: subjects for split, subjects in splits.items() if subjects}
        return MotionSet(skeleton, FPS, sequences, splits, cameras)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
