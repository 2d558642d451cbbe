"""One person through time: chosen from a file's detections, short gaps filled, split at long ones."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from gcnpose.errors import InputError
from gcnpose.keypoints.detections import Detections
from gcnpose.keypoints.names import printable
from gcnpose.skeleton import Skeleton

MIN_SCORE = 0.05
"""Joints with a lower score count as missing; the lowest that OpenPose draws (its ``--render_threshold``)."""

MAX_GAP = 15
"""Most frames in a row that are filled in: half a second at 30 frames per second."""

_LARGEST_STEP = 0.5  # how far a joint goes from one frame to the next, on average, in sizes of the person
_FRAMES_OF_VELOCITY = 10  # in which a person was seen last, by which it is told how fast they go
_SAME_PERSON = 0.05  # mean distance of the joints of one person found twice, in sizes of the person
_MOST_COMPARED = 20  # people of a frame compared with one another to find the same one twice
_MOST_REPEATED_IDS = (
    0.05  # share of people whose id another person of the frame has, if the ids are of tracks
)
_FLAGS = (0, 1, 2)  # COCO's third number: not labelled, hidden, visible


@dataclass(frozen=True, eq=False)
class KeypointTrack:
    """2D keypoints of one person in consecutive frames.

    Attributes:
        person: Track id of the file, escaped for display, or the number that the tracker gave: ``"0"`` is
            the largest person. A person whose track was split has several tracks of this name.
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

    People are told apart by the file's track ids; where there is one person at a time, an id that goes on
    where another ended is of the same. Where the file has no ids, each is followed from frame to frame by how
    far the joints moved and how much the boxes overlap, and whoever was gone for longer than the largest gap
    is somebody else; but where there is one person at a time, that is taken for the same all through.

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
    seen = _without_doubles(_see(detections, min_score, say), say)
    identified = _by_ids(detections, seen, say)
    if identified:
        names, seen, person_of = identified
        names, person_of = _join(names, seen, person_of, detections.times[seen.frame], max_gap, say)
    else:
        person_of = _follow(seen, detections.times[seen.frame], max_gap)
    by_size = np.argsort(-np.bincount(person_of, weights=seen.extent), kind="stable")
    if not identified:
        names = [str(place) for place in np.argsort(by_size)]
    if person == "all":
        chosen = by_size
    elif person == "largest":
        chosen = by_size[:1]
    elif person in names:
        chosen = np.array([names.index(person)])
    else:
        known = ", ".join(repr(names[number]) for number in by_size[:10])
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise InputError(f"{detections.source}: there is no person {person!r}, but {known}{more}")
    tracks = []
    for number in chosen:
        (rows,) = np.nonzero(person_of == number)
        parts = _split(detections, seen, rows, names[number], max_gap)
        tracks += parts
        say(_describe(names, number, len(rows), parts, detections, person))
    return tracks


@dataclass(frozen=True, eq=False)
class _Seen:
    """The people of all frames with at least one joint that counts, in the order of time.

    Shapes:
        row: (people,), the place in the detections; frame: (people,), positions of frames; points: (people,
        joints, 2) px, NaN where not measured; score, measured: (people, joints); low, high: (people, 2), the
        box; extent: (people,), its larger side, at least 1
    """

    row: npt.NDArray[np.int64]
    frame: npt.NDArray[np.int64]
    points: npt.NDArray[np.float64]
    score: npt.NDArray[np.float64]
    measured: npt.NDArray[np.bool_]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    extent: npt.NDArray[np.float64]

    def __getitem__(self, keep: npt.NDArray[np.bool_]) -> _Seen:
        return _Seen(*(getattr(self, field.name)[keep] for field in dataclasses.fields(self)))


def _see(detections: Detections, min_score: float, say: Callable[[str], None]) -> _Seen:
    joints = Skeleton.load(detections.layout.graph).num_joints
    if joints < len(detections.layout.joints):
        say(
            f"of the {len(detections.layout.joints)} joints of {detections.layout.name} the {joints} of "
            f"{detections.layout.graph} are used"
        )
    points = detections.keypoints_px[:, :joints]
    score = _unit_scores(detections, say)[:, :joints]
    measured = detections.detected[:, :joints] & (score >= min_score)
    keep = measured.any(axis=1)
    if not keep.any():
        raise InputError(
            f"{detections.source}: no person has a joint that was detected with a score of at least "
            f"{min_score:g}"
        )
    if not keep.all():
        say(f"{np.sum(~keep)} people without any joint of a score of at least {min_score:g} were left out")
    points = np.where(measured[..., None], points, np.nan)[keep]
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    extent = np.maximum((high - low).max(axis=1), 1.0)
    (row,) = np.nonzero(keep)
    return _Seen(row, detections.frame_of[keep], points, score[keep], measured[keep], low, high, extent)


def _unit_scores(detections: Detections, say: Callable[[str], None]) -> npt.NDArray[np.float64]:
    """Scores from 0 to 1.

    Shapes: (people, joints)
    """
    scores = detections.scores
    if scores is None:
        return np.ones(detections.keypoints.shape[:2])
    if scores.max() == _FLAGS[-1] and np.isin(scores, _FLAGS).all():
        say("the scores are flags 0, 1 and 2: taken as 0, 0.5 and 1")
        return scores / 2
    if scores.max() > 1.1:
        say(f"the scores reach {scores.max():.3g}: they count as 1 where they are larger")
    return np.clip(scores, 0, 1)


def _without_doubles(seen: _Seen, say: Callable[[str], None]) -> _Seen:
    """Leaves out people who coincide with another of their frame, keeping the one with the better score."""
    rank = _rank(seen)
    keep = np.ones(len(seen.row), dtype=bool)
    most = int(np.bincount(seen.frame).max())
    for apart in range(1, min(most, _MOST_COMPARED)):
        (first,) = np.nonzero(seen.frame[apart:] == seen.frame[:-apart])
        second = first + apart
        distance, _ = _compare(seen, first, second)
        same = distance < _SAME_PERSON
        keep[np.where(rank[first] >= rank[second], second, first)[same]] = False
    if not keep.all():
        say(f"{np.sum(~keep)} people found twice in a frame were left out, those with the lower score")
    return seen[keep]


def _compare(
    seen: _Seen,
    first: npt.NDArray[np.int64],
    second: npt.NDArray[np.int64],
    moved: npt.NDArray[np.float64] | None = None,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean distance of the joints of two people, in sizes of the larger one; overlap of their boxes, 0 to 1.

    People who have no joint in common are as far apart as the centres of their boxes.

    Args:
        seen: The people.
        first: Some of them.
        second: Whom to compare each with.
        moved: How far the first have gone since they were seen, pixels; None: nowhere.

    Shapes:
        first, second: (...), indices of people; moved: (..., 2) -> (...) twice
    """
    moved = np.zeros(2) if moved is None else moved
    low, high = seen.low[first] + moved, seen.high[first] + moved
    between = np.linalg.norm(seen.points[first] + moved[..., None, :] - seen.points[second], axis=-1)
    common = np.isfinite(between)
    centres = np.linalg.norm(low + high - seen.low[second] - seen.high[second], axis=-1) / 2
    mean = np.where(common, between, 0.0).sum(axis=-1) / np.maximum(common.sum(axis=-1), 1)
    distance = np.where(common.any(axis=-1), mean, centres) / np.maximum(
        seen.extent[first], seen.extent[second]
    )
    shared = np.minimum(high, seen.high[second]) - np.maximum(low, seen.low[second])
    area = np.maximum(shared, 0).prod(axis=-1)
    total = (seen.high[first] - seen.low[first]).prod(axis=-1) + (seen.high[second] - seen.low[second]).prod(
        axis=-1
    )
    return distance, area / np.maximum(total - area, 1e-9)


def _by_ids(
    detections: Detections, seen: _Seen, say: Callable[[str], None]
) -> tuple[list[str], _Seen, npt.NDArray[np.int64]] | None:
    """Names of the people by the file's track ids, the detections that have one, and whose each is.

    None if the file has no ids, or they do not tell people apart.
    """
    if detections.track_ids is None:
        return None
    ids = [detections.track_ids[row] for row in seen.row]
    names = [name for name in dict.fromkeys(ids) if name]
    if not names:
        return None
    number = {name: place for place, name in enumerate(names)}
    person_of = np.array([number.get(name, -1) for name in ids], dtype=np.int64)
    named = person_of >= 0
    best = named & _best_of_each(seen.frame * (len(names) + 1) + person_of + 1, _rank(seen))
    repeated = named & ~best
    if repeated.mean() > _MOST_REPEATED_IDS:
        say("the ids in the file repeat within frames, so they do not tell people apart: tracked anew")
        return None
    if repeated.any():
        say(f"{repeated.sum()} people have the id of another in their frame: the best score was kept")
    if not named.all():
        say(f"{np.sum(~named)} people without a track id were left out")
    return [printable(name) for name in names], seen[best], person_of[best]


def _join(
    names: list[str],
    seen: _Seen,
    person_of: npt.NDArray[np.int64],
    time: npt.NDArray[np.int64],
    max_gap: int,
    say: Callable[[str], None],
) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Names of the people and whose each detection is, one person for ids that go on from one another.

    Only where there is one person at a time: among several, who comes into sight where another went may be
    somebody else.
    """
    step = np.diff(time)
    (last,) = np.nonzero(np.diff(person_of))
    if not step.all() or not len(last):
        return names, person_of
    distance, _ = _compare(seen, last, last + 1)
    last = last[(distance < _LARGEST_STEP) & (step[last] <= max_gap + 1)]
    links = coo_array((np.ones(len(last)), (person_of[last], person_of[last + 1])), (len(names), len(names)))
    count, group = connected_components(links, directed=False)
    if count < len(names):
        say(f"of {len(names)} track ids those that go on where another ended are one person: {count} in all")
    firsts = [int(np.argmax(group == number)) for number in range(count)]
    return [names[first] for first in firsts], group[person_of].astype(np.int64)


def _rank(seen: _Seen) -> npt.NDArray[np.float64]:
    """Sum of the scores of each person's joints.

    Shapes: (people,)
    """
    return np.where(seen.measured, seen.score, 0.0).sum(axis=1)


def _best_of_each(group: npt.NDArray[np.int64], rank: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Marks the member of each group that has the highest rank, the first of several."""
    order = np.lexsort((-rank, group))
    first = np.concatenate([[True], np.diff(group[order]) != 0])
    best = np.zeros(len(group), dtype=bool)
    best[order[first]] = True
    return best


def _follow(seen: _Seen, number: npt.NDArray[np.int64], max_gap: int) -> npt.NDArray[np.int64]:
    """Number of the person that each detection is: the assignment of least cost, from each frame to the next.

    Where somebody is looked for follows from how they moved in their last frames. A person who is gone for
    longer than the largest gap comes back as another, unless there is never anybody else.

    Args:
        seen: The detections.
        number: Frame number of each.
        max_gap: Most frames that a person may be away.

    Shapes: (people,)
    """
    people = len(seen.row)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(seen.frame) != 0]))
    ends = np.append(starts[1:], people)
    alone = np.repeat(ends - starts == 1, ends - starts)
    everyone = np.arange(1, people)
    distance, _ = _compare(seen, everyone - 1, everyone)
    near = (distance < _LARGEST_STEP) & (np.diff(number) <= max_gap + 1)
    follows = np.concatenate([[False], near & alone[1:] & alone[:-1]])
    person_of = np.full(people, -1, dtype=np.int64)
    last = np.empty(0, dtype=np.int64)  # the latest detection of each person who may still come back
    paths: list[deque[int]] = []  # the latest detections of everybody
    count = 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if follows[start] and len(last) == 1:  # nobody else to take for the other: most frames of most files
            person_of[start] = person_of[start - 1]
            paths[person_of[start]].append(start)
            last[0] = start
            continue
        last = last[number[last] >= number[start] - max_gap - 1]
        here = np.arange(start, end)
        velocity = np.array([_velocity(seen, number, paths[person_of[row]]) for row in last]).reshape(-1, 2)
        moved = velocity * (number[start] - number[last])[:, None]
        distance, overlap = _compare(seen, last[:, None], here[None, :], moved[:, None])
        unmoved, _ = _compare(seen, last[:, None], here[None, :])  # they may have stopped
        largest = np.where(number[last] == number[start] - 1, 1, 2)[:, None] * _LARGEST_STEP
        allowed = np.minimum(distance, unmoved) < largest
        cost = np.where(allowed, distance + 1 - overlap, 1e6)
        before, after = linear_sum_assignment(cost)
        good = allowed[before, after]
        before, after = before[good], here[after[good]]
        person_of[after] = person_of[last[before]]
        new = here[person_of[here] < 0]
        person_of[new] = count + np.arange(len(new))
        count += len(new)
        paths += [deque(maxlen=_FRAMES_OF_VELOCITY) for _ in new]
        for row in here:
            paths[person_of[row]].append(row)
        last = np.concatenate([np.delete(last, before), here])
    if alone.all() and not ((np.diff(person_of) != 0) & (np.diff(number) <= max_gap + 1)).any():
        person_of[:] = 0
    return person_of


def _velocity(seen: _Seen, number: npt.NDArray[np.int64], path: Sequence[int]) -> npt.NDArray[np.float64]:
    """Mean way of a person's joints along some detections, in pixels per frame; 0 where none is in both ends.

    Shapes: (2,)
    """
    way = seen.points[path[-1]] - seen.points[path[0]]
    way = way[np.isfinite(way).all(axis=1)]
    if not len(way) or len(path) == 1:
        return np.zeros(2)
    return way.mean(axis=0) / (number[path[-1]] - number[path[0]])


def _split(
    detections: Detections, seen: _Seen, rows: npt.NDArray[np.int64], name: str, max_gap: int
) -> list[KeypointTrack]:
    """One person's detections as tracks without long gaps."""
    (cuts,) = np.nonzero(np.diff(detections.times[seen.frame[rows]]) > max_gap + 1)
    return [_fill(detections, seen, part, name) for part in np.split(rows, cuts + 1)]


def _fill(detections: Detections, seen: _Seen, rows: npt.NDArray[np.int64], name: str) -> KeypointTrack:
    frames = seen.frame[rows]
    place = detections.times[frames] - detections.times[frames[0]]
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
