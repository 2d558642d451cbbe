"""Who is who: the people found in each frame, told apart by a tracker's ids or followed through time."""

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

_LARGEST_STEP = 0.5  # how far a joint goes from one frame to the next, on average, in sizes of the person
_FRAMES_OF_VELOCITY = 10  # in which a person was seen last, by which it is told how fast they go
_SAME_PERSON = 0.05  # mean distance of the joints of one person found twice, in sizes of the person
_MOST_COMPARED = 20  # people of a frame compared with one another to find the same one twice
_MOST_REPEATED_IDS = (
    0.05  # share of people whose id another person of the frame has, if the ids are of tracks
)
_FLAGS = (0, 1, 2)  # COCO's third number: not labelled, hidden, visible


@dataclass(frozen=True, eq=False)
class Seen:
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

    def __getitem__(self, keep: npt.NDArray[np.bool_]) -> Seen:
        return Seen(*(getattr(self, field.name)[keep] for field in dataclasses.fields(self)))


def see(detections: Detections, min_score: float, say: Callable[[str], None]) -> Seen:
    """The people of all frames, without those who were found twice in one.

    Args:
        detections: Of a file.
        min_score: Joints with a lower score count as missing.
        say: Takes who was left out and why, a sentence each.

    Raises:
        InputError: if there is nobody.
    """
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
    seen = Seen(row, detections.frame_of[keep], points, score[keep], measured[keep], low, high, extent)
    return _without_doubles(seen, say)


def identify(
    detections: Detections, seen: Seen, max_gap: int, say: Callable[[str], None]
) -> tuple[list[tuple[str, ...]], Seen, npt.NDArray[np.int64]]:
    """What each person is called, the largest first; who of the seen is left; and which person each is.

    Args:
        detections: Of a file.
        seen: Its people.
        max_gap: Most frames that a person may be away.
        say: Takes what was mended, a sentence each.

    Returns:
        The names of each person: their track ids, escaped for display, or a number. The seen. For each of
        these the place of the person.
    """
    identified = _by_ids(detections, seen, say)
    if identified:
        ids, named, person_of = identified
        names, person_of = _join(ids, seen, named, person_of, detections.places[named.frame], max_gap, say)
        seen = named
    else:
        person_of = _follow(seen, detections.places[seen.frame], max_gap)
    by_size = np.argsort(-np.bincount(person_of, weights=seen.extent), kind="stable")
    names = [names[person] for person in by_size] if identified else [(str(n),) for n in range(len(by_size))]
    return names, seen, np.argsort(by_size)[person_of]


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


def _without_doubles(seen: Seen, say: Callable[[str], None]) -> Seen:
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
    seen: Seen,
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
    detections: Detections, seen: Seen, say: Callable[[str], None]
) -> tuple[list[str], Seen, npt.NDArray[np.int64]] | None:
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
    ids: list[str],
    everybody: Seen,
    named: Seen,
    person_of: npt.NDArray[np.int64],
    place: npt.NDArray[np.int64],
    max_gap: int,
    say: Callable[[str], None],
) -> tuple[list[tuple[str, ...]], npt.NDArray[np.int64]]:
    """The ids of each person, and who each detection is, if ids that go on from one another are of one.

    An id goes on where another ended if nobody else is there from the last frame of the one to the first of
    the other; and if the two are never seen at once.

    Args:
        ids: The file's.
        everybody: Also those without an id.
        named: Those with one.
        person_of: For each of these the place of the id.
        place: For each of these the frame.
        max_gap: Most frames between the two.
        say: Takes which ids were joined.
    """
    (last,) = np.nonzero(np.diff(person_of))
    first_of_frame = np.searchsorted(everybody.frame, named.frame[last])
    behind_frame = np.searchsorted(everybody.frame, named.frame[last + 1], side="right")
    distance, _ = _compare(named, last, last + 1)
    step = np.diff(place)[last]
    near = (distance < _LARGEST_STEP) & (step > 0) & (step <= max_gap + 1)
    last = last[near & (behind_frame - first_of_frame == 2)]
    links = coo_array((np.ones(len(last)), (person_of[last], person_of[last + 1])), (len(ids), len(ids)))
    _, group = connected_components(links, directed=False)
    of_group = group[person_of]
    _, which, often = np.unique(named.frame * len(ids) + of_group, return_index=True, return_counts=True)
    at_once = np.isin(group, of_group[which[often > 1]])
    group = np.where(at_once, len(ids) + np.arange(len(ids)), group)
    _, group = np.unique(group, return_inverse=True)
    names = [tuple(ids[n] for n in np.flatnonzero(group == person)) for person in range(group.max() + 1)]
    for joined in names:
        if len(joined) > 1:
            more = f" and {len(joined) - 10} more" if len(joined) > 10 else ""
            known = ", ".join(joined[:10])
            say(f"the track ids {known}{more} go on from one another and are taken for one person")
    return names, group[person_of]


def _rank(seen: Seen) -> npt.NDArray[np.float64]:
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


def _follow(seen: Seen, place: npt.NDArray[np.int64], max_gap: int) -> npt.NDArray[np.int64]:
    """Number of the person that each detection is: the assignment of least cost, from each frame to the next.

    Where somebody is looked for follows from how they moved in their last frames. A person who is gone for
    longer than the largest gap comes back as another, unless there is never anybody else.

    Args:
        seen: The detections.
        place: The frame of each.
        max_gap: Most frames that a person may be away.

    Shapes: (people,)
    """
    people = len(seen.row)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(seen.frame) != 0]))
    ends = np.append(starts[1:], people)
    alone = np.repeat(ends - starts == 1, ends - starts)
    everyone = np.arange(1, people)
    distance, _ = _compare(seen, everyone - 1, everyone)
    near = (distance < _LARGEST_STEP) & (np.diff(place) <= max_gap + 1)
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
        last = last[place[last] >= place[start] - max_gap - 1]
        here = np.arange(start, end)
        velocity = np.array([_velocity(seen, place, paths[person_of[row]]) for row in last]).reshape(-1, 2)
        moved = velocity * (place[start] - place[last])[:, None]
        distance, overlap = _compare(seen, last[:, None], here[None, :], moved[:, None])
        unmoved, _ = _compare(seen, last[:, None], here[None, :])  # they may have stopped
        largest = np.where(place[last] == place[start] - 1, 1, 2)[:, None] * _LARGEST_STEP
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
    if alone.all() and not ((np.diff(person_of) != 0) & (np.diff(place) <= max_gap + 1)).any():
        person_of[:] = 0
    return person_of


def _velocity(seen: Seen, place: npt.NDArray[np.int64], path: Sequence[int]) -> npt.NDArray[np.float64]:
    """Mean way of a person's joints along some detections, in pixels per frame; 0 where none is in both ends.

    Shapes: (2,)
    """
    way = seen.points[path[-1]] - seen.points[path[0]]
    way = way[np.isfinite(way).all(axis=1)]
    if not len(way) or len(path) == 1:
        return np.zeros(2)
    return way.mean(axis=0) / (place[path[-1]] - place[path[0]])
