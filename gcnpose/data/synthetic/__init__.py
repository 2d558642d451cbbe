"""Articulated motion made here, so that everything can be tried without a download."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import product

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gcnpose.data.motion import MotionSet
from gcnpose.data.sequence import MotionSequence
from gcnpose.data.synthetic.body import Body, move, random_body, walk_on_floor
from gcnpose.data.synthetic.channels import CHANNEL, FPS, Array, mirror, per_part
from gcnpose.data.synthetic.choreography import Generator, smooth_noise
from gcnpose.data.synthetic.everyday import discuss, phone, pick_up, reach, sit_down, wave
from gcnpose.data.synthetic.locomotion import crouch_walk, run, turn, walk
from gcnpose.data.synthetic.sports import box, dance, jump, kick, lunge, squat, stretch, throw
from gcnpose.skeleton import Skeleton

ACTIONS: dict[str, Callable[[Generator, int], Array]] = {
    "walk": walk, "crouch_walk": crouch_walk, "run": run, "turn": turn,
    "sit_down": sit_down, "wave": wave, "reach": reach, "pick_up": pick_up, "phone": phone,
    "discuss": discuss, "squat": squat, "lunge": lunge, "jump": jump, "kick": kick, "box": box,
    "throw": throw, "stretch": stretch, "dance": dance,
}  # fmt: skip

SPLITS = {"train": ("S1", "S5", "S6", "S7"), "validation": ("S8",), "test": ("S9", "S11")}
"""Human3.6M's subjects and test split. S8, there a training subject, is held out of training here: the best
checkpoint is chosen on a person unseen in training, and never on the test subjects."""

_IDLE = per_part(arms=3, trunk=1.5, legs=0.7)  # degrees by which nobody stands still
_INERTIA = 0.04  # seconds over which every channel is smoothed


def make_motion(seed: int = 0, takes: int = 2) -> MotionSet:
    """Seven people of different build doing every action of `ACTIONS`, each take in its own tempo and style.

    Angles follow key poses and gait cycles within the limits of the joints, forward kinematics turns them
    into positions, and the foot that bears the weight keeps its place on the floor. The same seed gives the
    same motion; a take depends on nothing but the seed, its subject, its action and its number.

    Args:
        seed: of everything random, not negative.
        takes: repetitions of every action by the training subjects, named "walk 1", "walk 2" and so on. The
            others do every action once, so more training motion is scored on the same sequences.

    Returns:
        Motion on the h36m17 skeleton at 50 frames per second without cameras, split by subject as in
        `SPLITS`.
    """
    skeleton = Skeleton.load("h36m17")
    sequences = []
    for split, subject in ((split, subject) for split, subjects in SPLITS.items() for subject in subjects):
        body = random_body(_generator(seed, subject))
        for action, take in product(ACTIONS, range(1, (takes if split == "train" else 1) + 1)):
            joints = _make_take(body, action, _generator(seed, subject, action, str(take)))
            positions = np.stack([joints[name] for name in skeleton.joints], axis=1).astype(np.float32)
            sequences.append(MotionSequence(subject, f"{action} {take}", positions))
    return MotionSet(skeleton, FPS, sequences, dict(SPLITS))


def _generator(seed: int, *names: str) -> Generator:
    """Random numbers that depend on the seed and on what they are for, not on what else was drawn."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(" ".join(names).encode())]))


def _make_take(body: Body, action: str, rng: Generator) -> dict[str, Array]:
    """Every joint in 3 to 5.2 seconds of an action, in metres, world z up, near the origin.

    Shapes: -> joint name: (frames, 3)
    """
    frames = int(rng.integers(150, 261))
    poses = ACTIONS[action](rng, frames)
    if rng.random() < 0.4:
        poses = mirror(poses)
    poses += body.habit + _IDLE * smooth_noise(rng, frames, len(CHANNEL), 0.35)
    poses[:, CHANNEL["heading"]] += rng.uniform(0, 360)
    poses = gaussian_filter1d(poses, _INERTIA * FPS, axis=0, mode="nearest")

    joints = move(body, poses)
    ankles = np.stack([joints["left_ankle"], joints["right_ankle"]], axis=1)
    root = walk_on_floor(body, ankles, poses[:, CHANNEL["air"]])
    low, high = root[:, :2].min(axis=0), root[:, :2].max(axis=0)
    root[:, :2] -= (low + high) / 2 + rng.uniform(-0.4, 0.4, size=2)
    return {name: position + root for name, position in joints.items()}
