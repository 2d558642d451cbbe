"""Writes motion as 2D that a detector might have found, in VideoPose3D's format: keypoints to try.

python examples/project_motion.py motion.npz keypoints.npz SUBJECT [SUBJECT ...]

motion.npz has Human3.6M's 17 joints. positions_2d[subject][sequence] is a list of arrays (frames, joints, 2),
one for each of Human3.6M's four cameras: pixels of images 1000x1000, with errors as large as CPN's. People
are turned about the vertical as where gcnpose scores.
"""

import sys

import numpy as np
import torch

from gcnpose import Skeleton
from gcnpose.build import DATA_SEED, build_noise
from gcnpose.config import load_config
from gcnpose.data.camera import denormalize_screen, h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.views import fixed_views

if len(sys.argv) < 4:
    sys.exit(__doc__)
source, target, *subjects = sys.argv[1:]
skeleton = Skeleton.load("h36m17")
motion = MotionSet.load(source, skeleton).select(subjects)
noise = build_noise(load_config("cmu17_detected"), skeleton, torch.device("cpu"))
views = fixed_views(motion, h36m_rig(), DATA_SEED, noise=noise)
positions: dict[str, dict[str, list[np.ndarray]]] = {}
for clip in views.clips:
    pixels = denormalize_screen(views.keypoints_2d[clip.rows], 1000, 1000).numpy()
    positions.setdefault(clip.subject, {}).setdefault(clip.name, []).append(pixels)
metadata = {
    "layout_name": "h36m",
    "num_joints": skeleton.num_joints,
    "keypoints_symmetry": [
        [skeleton.joints.index(name) for name in side] for side in zip(*skeleton.mirror, strict=True)
    ],
    "video_metadata": {subject: {"w": 1000, "h": 1000} for subject in positions},
}
np.savez(target, positions_2d=np.array(positions), metadata=np.array(metadata))
