"""One person through time: chosen from a file's detections, short gaps filled, split at long ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.keypoints.detections import Detections
from gcnpose.keypoints.identity import Seen, identify, see
from gcnpose.skeleton import Skeleton

MIN_SCORE = 0.05
"""Joints with a lower score count as missing; the lowest that OpenPose draws (its ``--render_threshold``)."""

MAX_GAP = 15
"""Most frames in a row that are filled in: half a second at 30 frames per second."""


@dataclass(frozen=True, eq=False)
class KeypointTrack:
    """2D keypoints of one person in consecutive frames.

    Attributes:
        person: Track id of the file, escaped for display, the first of several; or a number: ``"0"`` is the
            largest person. A person whose track was split has several tracks of this name.
        layout: Name of the graph that has the joints, such as ``"coco17"``; or path of the graph file.
        first_frame: Number of the first frame, on the file's own count where it has one.
        keypoints_2d: x and y in pixels; all finite.
        score: 0 to 1; 0 where the joint was filled in, 1 where the file has no scores.
        measured: The joint was found by the detector in this frame; the others were filled in.
        image_size: Width and height in pixels.
        fps: Frames per second, where the file tells it.
        frame_step: By how much the number goes up from one frame to the next.

    Shapes:
        keypoints_2d: (frames, joints, 2) float32; score: (frames, joints) float32; measured: (frames, joints)
        bool
    """

    person: str
    layout: str
    first_frame: int
    keypoints_2d: npt.NDArray[np.float32]
    score: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]
    image_size: tuple[int, int]
    fps: float | None = None
    frame_step: int = 1

    @property
    def frames(self) -> npt.NDArray[np.int64]:
        """Number of every frame.

        Shapes: (frames,)
        """
        return self.first_frame + self.frame_step * np.arange(len(self.keypoints_2d), dtype=np.int64)

    @property
    def measured_frames(self) -> npt.NDArray[np.bool_]:
        """Frames in which the detector found at least one joint.

        Shapes: (frames,)
        """
        return np.any(self.measured, axis=1)


def select(
    detections: Detections,
    person: str = "largest",
    min_score: float = MIN_SCORE,
    max_gap: int = MAX_GAP,
    say: Callable[[str], None] = print,
) -> list[KeypointTrack]:
    """Follows the people of a file through time, and picks one or all.

    People are told apart by the file's track ids; an id that goes on where another ended, with nobody else
    there, is of the same person. Where the file has no ids, each is followed from frame to frame by how far
    the joints moved and how much the boxes overlap, and whoever was gone for longer than the largest gap is
    somebody else; but where there is one person at a time, that is taken for the same all through.

    A joint that is missing in some frames goes straight from where it was seen before to where it is seen
    next, and stays where it is beyond the first and the last sight. A joint that is never seen stands at its
    neighbour's place.

    Args:
        detections: Of a file.
        person: ``"largest"``: the one with the largest sum of sizes over all frames; ``"all"``; or the name
            of one: the file's track id, or a number as :class:`KeypointTrack` says.
        min_score: Joints with a lower score count as missing.
        max_gap: Most frames in a row without the person that are filled in; longer gaps split the track.
        say: Takes what was chosen and what was mended, a sentence each.

    Returns:
        The tracks in the order of the people's size, those of one person in the order of time.

    Raises:
        InputError: if there is nobody, or nobody of that name, or the images differ in size, or a number is
            out of range.
    """
    if not 0 <= min_score <= 1:
        raise InputError(f"min_score: expected 0 to 1, got {min_score:g}")
    if max_gap < 0:
        raise InputError(f"max_gap: expected at least 0, got {max_gap}")
    if len(np.unique(detections.image_sizes, axis=0)) > 1:
        sizes = ", ".join(
            f"{width}x{height}" for width, height in np.unique(detections.image_sizes, axis=0)[:4]
        )
        raise InputError(
            f"{detections.source}: the images differ in size ({sizes}), so they are not frames of one video; "
            "--size takes one size for all"
        )
    seen = see(detections, min_score, say)
    people, seen, person_of = identify(detections, seen, max_gap, say)
    names = [ids[0] for ids in people]
    if person == "all":
        chosen = list(range(len(people)))
    elif person == "largest":
        chosen = [0]
    else:
        chosen = [number for number, ids in enumerate(people) if person in ids]
    if not chosen:
        known = ", ".join(map(repr, names[:10]))
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise InputError(f"{detections.source}: there is no person {person!r}, but {known}{more}")
    tracks = []
    for number in chosen:
        (rows,) = np.nonzero(person_of == number)
        parts = _split(detections, seen, rows, names[number], max_gap)
        tracks += parts
        say(_describe(names, number, len(rows), parts, detections, person))
    return tracks


def _split(
    detections: Detections, seen: Seen, rows: npt.NDArray[np.int64], name: str, max_gap: int
) -> list[KeypointTrack]:
    """One person's detections as tracks without long gaps."""
    (cuts,) = np.nonzero(np.diff(detections.places[seen.frame[rows]]) > max_gap + 1)
    return [_fill(detections, seen, part, name) for part in np.split(rows, cuts + 1)]


def _fill(detections: Detections, seen: Seen, rows: npt.NDArray[np.int64], name: str) -> KeypointTrack:
    frames = seen.frame[rows]
    place = detections.places[frames] - detections.places[frames[0]]
    length = int(place[-1]) + 1
    joints = seen.points.shape[1]
    measured = np.zeros((length, joints), dtype=bool)
    measured[place] = seen.measured[rows]
    points = np.zeros((length, joints, 2), dtype=np.float32)
    points[place] = np.nan_to_num(seen.points[rows])
    score = np.zeros((length, joints), dtype=np.float32)
    score[place] = np.where(seen.measured[rows], seen.score[rows], 0.0)
    time = np.arange(length)
    for joint in np.flatnonzero(np.any(measured, axis=0) & ~np.all(measured, axis=0)):
        (known,) = np.nonzero(measured[:, joint])
        for axis in range(2):
            points[:, joint, axis] = np.interp(time, known, points[known, joint, axis])
    _place_unseen(points, np.any(measured, axis=0), Skeleton.load(detections.layout.graph))
    width, height = detections.image_sizes[0].tolist()
    return KeypointTrack(
        person=name,
        layout=detections.layout.graph,
        first_frame=int(detections.frame_numbers[frames[0]]),
        keypoints_2d=points,
        score=score,
        measured=measured,
        image_size=(width, height),
        fps=detections.fps,
        frame_step=detections.frame_step,
    )


def _place_unseen(points: npt.NDArray[np.float32], seen: npt.NDArray[np.bool_], skeleton: Skeleton) -> None:
    """Puts joints that are never seen where the nearest joint along the bones is that is seen."""
    placed = seen.copy()
    while not placed.all():
        before = placed.copy()
        for ends in skeleton.bone_indices:
            for known, unknown in (ends, ends[::-1]):
                if before[known] and not placed[unknown]:
                    points[:, unknown] = points[:, known]
                    placed[unknown] = True


def _describe(
    names: list[str],
    number: int,
    frames: int,
    parts: list[KeypointTrack],
    detections: Detections,
    person: str,
) -> str:
    """What was chosen of how many, and what of it was filled in."""
    which = {"largest": "the largest of", "all": "one of"}.get(person, "chosen of")
    people = f"{which} {len(names)} people" if len(names) > 1 else "the only person"
    line = f"person {names[number]}, {people}: in {frames} of {len(detections.frame_labels)} frames"
    filled = sum(int((~part.measured_frames).sum()) for part in parts)
    if filled:
        line += f", {filled} more filled in"
    if len(parts) > 1:
        line += f", in {len(parts)} parts"
    share = np.mean([part.measured[part.measured_frames].mean() for part in parts])
    if share < 1:
        line += f", {100 * (1 - share):.1f} % of the joints filled in"
    unseen = sorted(
        {
            joint
            for part in parts
            for joint, seen in zip(detections.layout.joints, np.any(part.measured, axis=0), strict=False)
            if not seen
        }
    )
    if unseen:
        line += f"; never seen: {', '.join(unseen)}"
    return line


def share_outside(tracks: Sequence[KeypointTrack]) -> float:
    """Of the joints that were found, how many do not lie in the image: few, unless its size is wrong."""
    found = np.concatenate([track.keypoints_2d[track.score > 0] for track in tracks])
    outside = (found < 0) | (found > np.array(tracks[0].image_size))
    return float(outside.any(axis=-1).mean()) if len(found) else 0.0
