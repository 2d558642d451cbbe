"""The people of a file as its reader finds them, their joints as arrays in whatever form they are written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.keypoints.layouts import is_joint_name

MAX_JOINTS = 1000

_NAME_KEYS = ("name", "part", "joint", "landmark", "keypoint", "label")
_WITHOUT_KEYS = ("lists of coordinates", "numbers one after another")
_SCORE_KEYS = ("visibility", "score", "confidence", "conf", "likelihood", "visible", "v", "c", "presence")


@dataclass(eq=False)
class Found:
    """What a reader found in a file, before any of it is checked.

    Attributes:
        format: Name of the format.
        labels: What the file calls its frames, each once, in its order; those without people too.
        frame_of: Position of each person's frame in ``labels``.
        values: Numbers of each person's joints as they stand in the file: x, y and what follows; NaN where
            the file is empty.
        scores: Score of each joint, where it stands apart from the coordinates.
        third: What follows x and y: ``"score"``, ``"depth"``, or ``"either"`` where the numbers must tell.
        axes: Which stands first of x and y: ``"xy"``, ``"yx"``, or ``"either"`` where the numbers must tell.
        names: Names of the joints, where the file has them.
        ids: Track id of each person, where the file has them; "" for a person without.
        layout: Layout that the format or the file says; "" where neither does.
        normalized_format: The format writes fractions of the image unless told otherwise.
        sizes: Image width and height: one for all frames, or by label.
        fps: Frames per second, where the file tells it.
        times: The labels are times.
        stamps: Times of the frames, where they stand beside the labels; a text that is no time for none.
        assumptions: What the reader assumed, a sentence each.
        repairs: What it mended, a sentence each.

    Shapes:
        frame_of: (people,); values: (people, joints, columns), or (people, joints * columns) where the number
        of joints must be guessed; scores: (people, joints)
    """

    format: str
    labels: list[str]
    frame_of: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64] | None = None
    third: str = "score"
    axes: str = "xy"
    names: tuple[str, ...] | None = None
    ids: list[str] | None = None
    layout: str = ""
    normalized_format: bool = False
    sizes: tuple[int, int] | dict[str, tuple[int, int]] | None = None
    fps: float | None = None
    times: bool = False
    stamps: list[str] | None = None
    assumptions: list[str] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    def where(self, person: int) -> str:
        """Frame and number of a person, for a message."""
        return _where(self.labels, self.frame_of, person)


class People:
    """Collects people frame by frame while a reader walks through a file."""

    def __init__(self) -> None:
        self.labels: list[str] = []
        self.repeated_frames = 0
        self._frames: dict[str, int] = {}
        self._frame_of: list[int] = []
        self._joints: list[Any] = []
        self._scores: list[Any] = []
        self._ids: list[str] = []
        self._without_joints = 0

    def __len__(self) -> int:
        return len(self._joints)

    def frame(self, label: object) -> int:
        """Position of the frame with this label, a new one if there is none yet.

        Raises:
            InputError: if it is neither a number nor a text.
        """
        text = label_text(label)
        known = self._frames.setdefault(text, len(self.labels))
        if known == len(self.labels):
            self.labels.append(text)
        return known

    def add(self, frame: int, joints: Any, scores: Any = None, track: object = None) -> None:
        """Adds a person with joints as the file has them; one without any is counted and left out."""
        if not joints:
            self._without_joints += 1
            return
        self._frame_of.append(frame)
        self._joints.append(joints)
        self._scores.append(scores)
        self._ids.append(_id_text(track))

    def found(self, format: str, names: tuple[str, ...] | None = None, **more: Any) -> Found:
        """All of them as arrays; the joints called by the names given, else by those that they carry.

        Raises:
            InputError: if a person's joints are no list of numbers, or not as many as another's.
        """
        frame_of = np.array(self._frame_of, dtype=np.int64)
        rows, own_names, form = _as_rows(self._joints, self.labels, frame_of)
        values = _stack(rows, self.labels, frame_of, form)
        found = Found(format, self.labels, frame_of, values, names=names or own_names, **more)
        if form not in _WITHOUT_KEYS:
            found.axes = "xy"
        scored = [scores is not None for scores in self._scores]
        if any(scored):
            if not all(scored):
                person = scored.index(not scored[0])
                raise InputError(f"{found.where(person)}: only some people have scores")
            found.scores = _stack(self._scores, self.labels, frame_of, "scores").reshape(len(scored), -1)
        if any(self._ids):
            found.ids = self._ids
        if self._without_joints:
            found.repairs.append(f"{self._without_joints} entries have no keypoints and were left out")
        if self.repeated_frames:
            found.repairs.append(f"{self.repeated_frames} frames stand there twice; their people were merged")
        return found


def label_text(label: object) -> str:
    """A frame's label as text.

    Raises:
        InputError: if it is neither a number nor a text.
    """
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    if isinstance(label, bool) or not isinstance(label, int | float | str):
        raise InputError(f"a frame is called {str(label)[:60]!r}; expected a number or a file name")
    return str(label)


def axes_of(format: str | None) -> str:
    """The :class:`Found`'s axes where no name in the file tells them, by the format that the user says."""
    return "either" if format is None else "yx" if format == "movenet" else "xy"


def choose_recording(sequence: str | None, names: Collection[str]) -> str:
    """Name of the recording that is meant, of those that a file names; "" where it names none.

    Raises:
        InputError: if there are several and none is named, or none is called so.
    """
    shown = ", ".join(repr(name[:60]) for name in list(names)[:8])
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    if sequence is None and len(names) > 1:
        raise InputError(f"holds {len(names)} recordings: {shown}{more}; name one with --sequence")
    if sequence is not None and not names:
        raise InputError(f"holds one recording; there is none called {sequence!r}")
    if sequence is not None and sequence not in names:
        raise InputError(f"holds no recording {sequence!r}; there are {shown}{more}")
    return sequence or next(iter(names), "")


def single_frames(format: str, values: npt.NDArray[np.float64], **more: Any) -> Found:
    """People of a recording that has one person and one row per frame, counted from 0.

    Shapes:
        values: as in :class:`Found`, with frames for people; frames that are all NaN have no person.
    """
    flat = values.reshape(len(values), -1)
    (seen,) = np.nonzero(~np.isnan(flat).all(axis=1))
    labels = list(map(str, range(len(values))))
    return Found(format, labels, seen, values[seen], ids=["0"] * len(seen), **more)


def _id_text(track: object) -> str:
    """A track id as text; "" for none. AlphaPose wraps it in lists, OpenPose writes -1 for none."""
    while isinstance(track, list):
        track = track[0] if track else None
    if track is None or isinstance(track, bool) or track in (-1, ""):
        return ""
    if isinstance(track, float) and track.is_integer():
        track = int(track)
    return str(track)


def _where(labels: Sequence[str], frame_of: npt.NDArray[np.int64], person: int) -> str:
    frame = frame_of[person]
    return f"frame {labels[frame][:80]!r}, person {int((frame_of[:person] == frame).sum())}"


def _as_rows(
    joints: list[Any], labels: Sequence[str], frame_of: npt.NDArray[np.int64]
) -> tuple[list[Any], tuple[str, ...] | None, str]:
    """Joints as plain lists of numbers; their names, if they have any; and what to call them in an error."""
    if not joints:
        return [], None, "keypoints"
    kinds = [_kind(person) for person in joints]
    if len(set(kinds)) > 1:
        person = next(n for n, kind in enumerate(kinds) if kind != kinds[0])
        raise InputError(
            f"{_where(labels, frame_of, person)}: keypoints are {kinds[person]}, those before {kinds[0]}"
        )
    match kinds[0]:
        case "columns of x and y":
            keys = [key for key in ("x", "y", "visible") if key in joints[0]]
            return [_columns(person, keys) for person in joints], None, kinds[0]
        case "points by name":
            return *_points_by_name(joints), kinds[0]
        case "a list of points":
            names = _point_names(joints[0])
            if names:
                named = [dict(zip(_point_names(person), person, strict=False)) for person in joints]
                return *_points_by_name(named), kinds[0]
            return _points(joints), None, kinds[0]
        case "lists of coordinates":
            return _without_holes(joints), None, kinds[0]
        case kind:
            return joints, None, kind


def _kind(joints: Any) -> str:
    if isinstance(joints, dict):
        both = isinstance(joints.get("x"), list) and isinstance(joints.get("y"), list)
        return "columns of x and y" if both else "points by name"
    if not isinstance(joints, list):
        return f"a {type(joints).__name__}"
    first = next((joint for joint in joints if joint is not None), None)
    if isinstance(first, dict):
        return "a list of points"
    return "lists of coordinates" if isinstance(first, list) else "numbers one after another"


def _columns(person: dict[str, list[Any]], keys: list[str]) -> list[Any]:
    columns = [person.get(key) for key in keys]
    if any(not isinstance(column, list) or len(column) != len(person["x"]) for column in columns):
        return []
    return list(map(list, zip(*columns, strict=True)))


def _without_holes(joints: list[list[Any]]) -> list[Any]:
    """Joints that are null as coordinates that are null."""
    if not any(None in person for person in joints):
        return joints
    first = next((joint for person in joints for joint in person if isinstance(joint, list)), [])
    hole = [None] * len(first)
    return [[hole if joint is None else joint for joint in person] for person in joints]


def _points_by_name(joints: list[dict[str, Any]]) -> tuple[list[Any], tuple[str, ...]]:
    names = tuple(dict.fromkeys(name for person in joints for name in person))
    check_filling(len(joints), len(names), sum(map(len, joints)))
    return _points([[person.get(name) for name in names] for person in joints]), names


def check_filling(people: int, joints: int, given: int) -> None:
    """Refuses people who have so few of all the joints that a table of them would be all but empty.

    Raises:
        InputError: if that is so, or there are too many joints.
    """
    if joints > MAX_JOINTS or people * joints > 100 * given:
        raise InputError(f"has {joints} different joints, of which {people} people have {given} in all")


def _point_names(points: list[Any]) -> tuple[str, ...]:
    """Names that the points carry, if all do and they are names of joints."""
    for key in _NAME_KEYS:
        names = [point.get(key) if isinstance(point, dict) else None for point in points]
        if all(isinstance(name, str) for name in names) and len(set(names)) == len(names):
            return tuple(map(str, names)) if is_joint_name(str(names[0])) else ()
    return ()


def _points(people: list[list[Any]]) -> list[Any]:
    """Points as x, y and their score, if the first of all has one; those that are lists stay as they are."""
    first = next((point for points in people for point in points if point is not None), None)
    if not isinstance(first, dict):
        return _without_holes(people)
    keys = ["x", "y", *[key for key in _SCORE_KEYS if key in first][:1]]
    if isinstance(first.get("position"), dict):  # PoseNet's {score, part, position: {x, y}}
        people = [[_flat_point(point) for point in points] for points in people]
    return [
        [
            [point.get(key) for key in keys] if isinstance(point, dict) else [None] * len(keys)
            for point in points
        ]
        for points in people
    ]


def _flat_point(point: Any) -> Any:
    place = point.get("position") if isinstance(point, dict) else None
    return {**point, **place} if isinstance(place, dict) else point


def _stack(
    rows: list[Any], labels: Sequence[str], frame_of: npt.NDArray[np.int64], form: str
) -> npt.NDArray[np.float64]:
    """People's numbers as one array; where that does not go, finds the person who is in the way."""
    if not rows:
        return np.empty((0, 0))
    try:
        array = np.array(rows, dtype=np.float64)
    except (ValueError, TypeError, OverflowError):
        raise InputError(_find_fault(rows, labels, frame_of, form)) from None
    if array.ndim not in (2, 3) or array[0].size > MAX_JOINTS * 5:
        raise InputError(
            f"{_where(labels, frame_of, 0)}: {form} have the shape {array.shape[1:]}; expected numbers "
            f"x, y, score one after another, or one list of them per joint, for at most {MAX_JOINTS} joints"
        )
    return array


def _find_fault(rows: list[Any], labels: Sequence[str], frame_of: npt.NDArray[np.int64], form: str) -> str:
    expected = None
    for person, row in enumerate(rows):
        where = _where(labels, frame_of, person)
        try:
            shape = np.array(row, dtype=np.float64).shape
        except (ValueError, TypeError, OverflowError) as error:
            return f"{where}: {form} are not all numbers: {str(error).splitlines()[0][:120]}"
        expected = expected or shape
        if shape != expected:
            return f"{where}: {form} have the shape {shape}, those before {expected}"
    return f"{form} cannot be read as numbers"
