"""From a detector's joints to those of another skeleton: a linear map by joint name, read from a file.

The files lie in ``graphs/conversions/``, named ``<source>-<target>.yaml``::

    source: coco17
    target: h36m17
    joints:
      pelvis: {left_hip: 0.5, right_hip: 0.5}
      right_hip: right_hip

Every joint of the target stands there once (:mod:`gcnpose.joint_weights`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError, did_you_mean
from gcnpose.joint_weights import JointWeights, read_joint_weights
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.resources import read_shipped, resource_folder, shipped_files
from gcnpose.skeleton import Skeleton

KEYS = ("source", "target", "joints")


@dataclass(frozen=True, eq=False)
class Conversion:
    """A linear map from the joints of one skeleton to those of another.

    Attributes:
        source: What the keypoints come in.
        target: What they become.
        weights: Share of every source joint in every target joint; rows add to 1.

    Shapes:
        weights (target joints, source joints) float32
    """

    source: Skeleton
    target: Skeleton
    weights: npt.NDArray[np.float32]

    @classmethod
    def load(
        cls, source: str | Path | Skeleton, target: str | Path | Skeleton, path: str | Path | None = None
    ) -> Conversion:
        """The map between two skeletons: that of a file, else by name if every target joint has a namesake.

        Args:
            source: A skeleton, its name, or the path of its graph file.
            target: Likewise.
            path: A file, or the name of a shipped one; None: the shipped one for the two.

        Raises:
            InputError: if there is no map, or the file has faults; all of them are named.
        """
        source = source if isinstance(source, Skeleton) else Skeleton.load(source)
        target = target if isinstance(target, Skeleton) else Skeleton.load(target)
        folder = resource_folder("graphs") / "conversions"
        shipped = shipped_files(folder)
        for_the_two = f"{source.name}-{target.name}"
        if path is None and for_the_two in shipped:
            path = for_the_two
        if path is not None:
            return cls(source, target, _read_weights(path, folder, source, target))
        if set(target.joints) <= set(source.joints):
            return cls(
                source, target, _weights({joint: {joint: 1.0} for joint in target.joints}, source, target)
            )
        lacking = ", ".join(joint for joint in target.joints if joint not in source.joints)
        raise InputError(
            f"no conversion from the joints of {source.name} to those of {target.name}, since {source.name} "
            f"has no {lacking}; there are {', '.join(shipped)}; write one like them and name it "
            "(--conversion), or say what the file's joints are (--layout)"
        )

    def __call__(
        self, keypoints_2d: npt.NDArray[np.floating], score: npt.NDArray[np.floating]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Positions and scores of the target's joints.

        A score is the mean of the scores that go in, by the size of their weights. Where one of those is 0,
        the joint is missing: its score is 0 and its position means nothing.

        Shapes:
            keypoints_2d (..., source joints, 2), score (..., source joints) -> the same of the target's
        """
        share = np.abs(self.weights) / np.abs(self.weights).sum(axis=1, keepdims=True)
        missing = (score <= 0).astype(np.float32) @ (share > 0).T.astype(np.float32) > 0
        carried = np.where(missing, 0.0, score @ share.T)
        return (self.weights @ keypoints_2d).astype(np.float32), carried.astype(np.float32)

    def convert(self, track: KeypointTrack) -> KeypointTrack:
        """The track in the target's joints; measured is what all that goes in was measured for.

        Raises:
            InputError: if the track has not the source's number of joints.
        """
        if track.keypoints_2d.shape[1] != self.source.num_joints:
            raise InputError(
                f"person {track.person}: expected the {self.source.num_joints} joints of {self.source.name}, "
                f"got {track.keypoints_2d.shape[1]}"
            )
        keypoints_2d, score = self(track.keypoints_2d, track.score)
        used = (self.weights != 0).T.astype(np.float32)
        measured = ~track.measured.astype(bool) @ used == 0
        return dataclasses.replace(
            track, layout=self.target.name, keypoints_2d=keypoints_2d, score=score, measured=measured
        )


def _read_weights(
    path_or_name: str | Path, folder: Path, source: Skeleton, target: Skeleton
) -> npt.NDArray[np.float32]:
    content, path, faults = read_shipped(path_or_name, folder, "conversion")
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected the keys {', '.join(KEYS)}")
    faults += [f"{key}: unknown key{did_you_mean(key, KEYS)}" for key in content if key not in KEYS]
    faults += [f"{key}: missing" for key in KEYS if key not in content]
    for key, skeleton in (("source", source), ("target", target)):
        if content.get(key, skeleton.name) != skeleton.name:
            faults.append(f"{key}: is {content[key]!r}, expected {skeleton.name}")
    joints = content.get("joints")
    read, joints_faults = read_joint_weights(joints, source.name)
    faults += joints_faults if "joints" in content else []
    for joint, weights in read.items():
        faults += [
            f"joints.{joint}: {source.name} has no joint {part!r}{did_you_mean(part, source.joints)}"
            for part in weights
            if part not in source.joints
        ]
    if isinstance(joints, Mapping):
        faults += [
            f"joints.{joint}: {target.name} has no such joint{did_you_mean(joint, target.joints)}"
            for joint in joints
            if isinstance(joint, str) and joint not in target.joints
        ]
        faults += [f"joints: {joint} is missing" for joint in target.joints if joint not in joints]
    if faults:
        raise InputError("\n".join(f"{path}: {fault}" for fault in faults))
    return _weights(read, source, target)


def _weights(joints: JointWeights, source: Skeleton, target: Skeleton) -> npt.NDArray[np.float32]:
    weights = np.zeros((target.num_joints, source.num_joints), np.float32)
    for joint, of in joints.items():
        for part, weight in of.items():
            weights[target.index(joint), source.index(part)] = weight
    return weights
