"""Captured motion: sequences of 3D poses with skeleton, frame rate, subjects, splits and cameras."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gcnpose.data.camera import Camera
from gcnpose.data.motion_file import (
    MAX_BYTES,
    SPLITS,
    arrays_of,
    meta_text,
    read_meta,
    read_parts,
    read_sidecar,
    read_splits,
)
from gcnpose.data.sequence import MotionSequence, check_fps
from gcnpose.errors import InputError
from gcnpose.files import replacing
from gcnpose.pickles import load_arrays
from gcnpose.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class MotionSet:
    """Sequences that share a skeleton.

    Args:
        skeleton: names the joints of every sequence, in order.
        fps: frames per second of every sequence that has no frame rate of its own.
        sequences: at least one; subject and name together are unique.
        splits: subjects for ``"train"``, ``"validation"`` and ``"test"``; no subject stands in two.
        cameras: cameras of each subject, names unique; may be empty where there are no 2D keypoints.

    Raises:
        InputError: if any of this does not hold, or an array has the wrong type or shape, no frame, a value
            that is not finite, or a size that cannot be metres.
    """

    skeleton: Skeleton
    fps: float
    sequences: list[MotionSequence]
    splits: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cameras: dict[str, list[Camera]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fps("fps", self.fps)
        if not self.sequences:
            raise InputError("no motion sequence; at least one is needed")
        for subject, cameras in self.cameras.items():
            names = [camera.name for camera in cameras]
            if len(set(names)) < len(names):
                raise InputError(f"cameras of {subject}: names must be unique, got {', '.join(names)}")
        seen = set()
        for sequence in self.sequences:
            if (sequence.subject, sequence.name) in seen:
                raise InputError(f"sequence {sequence.label} stands twice")
            seen.add((sequence.subject, sequence.name))
            sequence.check(self.skeleton, [camera.name for camera in self.cameras.get(sequence.subject, [])])
        self._check_splits()

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, in the order of their first sequence."""
        return tuple(dict.fromkeys(sequence.subject for sequence in self.sequences))

    @property
    def common_fps(self) -> float | None:
        """Frames per second of all sequences; None where they differ."""
        rates = {sequence.fps or self.fps for sequence in self.sequences}
        return rates.pop() if len(rates) == 1 else None

    def cameras_of(self, sequence: MotionSequence) -> list[Camera]:
        """The cameras that saw a sequence, in the subject's order; none where the subject has none."""
        return [
            camera
            for camera in self.cameras.get(sequence.subject, [])
            if sequence.cameras is None or camera.name in sequence.cameras
        ]

    def select(self, subjects: Iterable[str]) -> MotionSet:
        """The sequences, splits and cameras of some subjects; the arrays are shared, not copied.

        Raises:
            InputError: if a subject is unknown, or none is given.
        """
        chosen = set(subjects)
        unknown = sorted(chosen - set(self.subjects))
        if unknown:
            raise InputError(f"unknown subjects {', '.join(unknown)}; known are {', '.join(self.subjects)}")
        splits = {
            split: tuple(name for name in names if name in chosen) for split, names in self.splits.items()
        }
        return dataclasses.replace(
            self,
            sequences=[sequence for sequence in self.sequences if sequence.subject in chosen],
            splits={split: names for split, names in splits.items() if names},
            cameras={subject: cameras for subject, cameras in self.cameras.items() if subject in chosen},
        )

    def bone_change(self) -> float:
        """How much a bone changes its length within a sequence: standard deviation over mean, the median.

        Near zero for people, and not for joints in another order than the skeleton's.
        """
        if not self.skeleton.bones:
            return 0.0
        parents, children = self.skeleton.bone_indices.T
        changes = []
        for sequence in self.sequences:
            vectors = sequence.positions[:, parents] - sequence.positions[:, children]
            lengths = np.linalg.norm(vectors, axis=-1)
            changes.append(lengths.std(axis=0) / np.maximum(lengths.mean(axis=0), 1e-6))
        return float(np.median(changes))

    def digest(self) -> str:
        """SHA-256 of what :meth:`save` writes, but the splits: names, shapes, bytes of arrays, ``meta``."""
        digest = hashlib.sha256(self._meta(splits=None).encode())
        for key, array in arrays_of(self.sequences).items():
            digest.update(f"\n{key} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Writes the file, whole or not at all.

        Raises:
            InputError: if it cannot be written.
        """
        path = Path(path)
        arrays: dict[str, Any] = {**arrays_of(self.sequences), "meta": np.array(self._meta(self.splits))}
        try:
            with replacing(path) as partial, partial.open("wb") as file:
                np.savez(file, **arrays)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | Path, skeleton: Skeleton | None = None, fps: float | None = None) -> MotionSet:
        """Reads a motion file.

        What the file says stands; a ``splits.json`` beside it adds the splits where it has none; the
        arguments fill in what is not said, and must not contradict it. A skeleton that is given may draw
        other bones between the file's joints. Millimetres become metres and y up becomes z up.

        Args:
            path: the ``.npz`` file.
            skeleton: names the joints; needed where the file has no ``meta``.
            fps: frames per second; needed where neither ``meta`` nor a ``splits.json`` beside the file has
                it.

        Raises:
            InputError: names the file, and the array, sequence, frame or joint at fault.
        """
        path = Path(path)
        arrays = load_arrays(path, objects=False, max_bytes=MAX_BYTES)
        try:
            if "meta" not in arrays:
                return cls.from_arrays(arrays, read_sidecar(path), skeleton, fps)
            motion = cls.from_arrays(arrays, read_meta(arrays.pop("meta")), skeleton, fps)
            return motion if motion.splits else motion._with_splits_beside(path)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, Any],
        description: Mapping[str, Any],
        skeleton: Skeleton | None = None,
        fps: float | None = None,
    ) -> MotionSet:
        """The motion of arrays that have the names they would have in a file; see :meth:`load`.

        Args:
            arrays: all but ``meta``.
            description: what ``meta`` or ``splits.json`` says.
            skeleton: names the joints where the description does not.
            fps: frames per second where the description has none.

        Raises:
            InputError: names the array, sequence, frame or joint at fault.
        """
        return cls(**read_parts(arrays, description, skeleton, fps))

    def _meta(self, splits: Mapping[str, tuple[str, ...]] | None) -> str:
        return meta_text(self.skeleton, self.fps, self.sequences, self.cameras, splits)

    def _with_splits_beside(self, path: Path) -> MotionSet:
        """With the splits in ``splits.json`` beside the file, unless that is of other subjects altogether."""
        splits = read_splits(read_sidecar(path).get("splits", {}))
        if not any(subject in self.subjects for names in splits.values() for subject in names):
            return self
        try:
            return dataclasses.replace(self, splits=splits)
        except InputError as error:
            raise InputError(f"{path.with_name('splits.json')}: {error}") from None

    def _check_splits(self) -> None:
        owner: dict[str, str] = {}
        for split, names in self.splits.items():
            if split not in SPLITS:
                raise InputError(f"splits: unknown split {split!r}; expected {', '.join(SPLITS)}")
            for subject in names:
                if subject not in self.subjects:
                    raise InputError(
                        f"splits: subject {subject!r} of {split!r} has no sequence; "
                        f"known are {', '.join(self.subjects)}"
                    )
                if owner.setdefault(subject, split) != split:
                    raise InputError(
                        f"splits: subject {subject!r} stands in {owner[subject]!r} and in {split!r}"
                    )
