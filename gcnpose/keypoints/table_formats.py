"""Keypoints in tables of text: CSV by frame or by joint, YOLO's labels, MediaPipe's protobuf text."""

from __future__ import annotations

import csv
import itertools
import math
import re
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.keypoints.layouts import BY_COUNT, is_joint_name
from gcnpose.keypoints.people import Found, axes_of, check_filling

Rows: TypeAlias = Iterable[tuple[int, list[str]]]
"""Rows of a table, each after the number of its line."""

_FEWEST_ROWS = 5  # that tell a frame's number from a joint's place
_X, _Y, _Z, _SCORE, _OTHER = range(5)
_SCORES = (
    *("visibility", "visible", "vis", "score", "confidence", "conf", "likelihood", "prob", "accu"),
    *("v", "c", "s", "p"),
)
_AXES = {"x": _X, "y": _Y, "z": _Z, "presence": _OTHER} | dict.fromkeys(_SCORES, _SCORE)
_AXIS = "|".join(sorted(_AXES, key=len, reverse=True))
_AXIS_LAST = re.compile(rf"(?P<joint>.*[^_\W])[\s_.:-]*(?<![a-z])(?P<axis>{_AXIS})", re.IGNORECASE)
_AXIS_FIRST = re.compile(rf"(?P<axis>{_AXIS})[\s_.:-]*(?P<joint>\d+|(?<=[\s_.:-]).+)", re.IGNORECASE)

# Letters of the names of columns, the likeliest first.
_NUMBER = ("", "id", "idx", "index", "num", "number", "no", "name")
_TIMES = ("timestamp", "timestampms", "time", "timems", "videotimestamp")
_FRAMES = (
    *(f"frame{end}" for end in _NUMBER),
    *(f"image{end}" for end in _NUMBER),
    *("filename", "file", *_TIMES),
)
_PEOPLE = ("trackid", *(f"person{end}" for end in _NUMBER), "playerid", "objectid", "instanceid")
_JOINTS = (
    *(
        f"{word}{end}"
        for word in ("landmark", "joint", "keypoint", "bodypart", "point", "part")
        for end in _NUMBER
    ),
    *("name", "index", "id"),
)


@dataclass(frozen=True)
class _Wide:
    """Columns of a table with a row per frame, or per person and frame."""

    columns: list[int]
    width: int
    names: tuple[str, ...] | None


def read_csv(text: str, format: str | None = None, known_joints: int | None = None) -> Found:
    """The people in a table.

    With a header: a row per frame, its columns named by joint and axis in either order (``nose_x``, ``x_0``,
    ``landmark_3_visibility``); or a row per joint, with columns for the frame, the joint, x, y and more.
    Without one: x, y and perhaps a score of every joint in turn, perhaps after a frame number.

    Args:
        text: Content of the file.
        format: ``"movenet"``: a table without a header has y before x.
        known_joints: Number of joints, where that is known.

    Raises:
        InputError: if it holds no keypoints, with the line at fault.
    """
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t", key=first.count) if re.search("[,;\t]", first) else " "
    # Lines are numbered from 1 as in an editor; a blank one between rows means nothing.
    numbered = enumerate(csv.reader(lines, delimiter=delimiter, skipinitialspace=True), start=1)
    rows = ((line, row) for line, row in numbered if any(cell.strip() for cell in row))
    try:
        top = next(rows, None)
        if top is None:
            raise InputError("is empty")
        names = [cell.strip() for cell in top[1]]
        if not all(map(_is_numeric, names)):
            return _read_headed(names, rows)
        filled = [name for name in names if name]
        is_header = filled == list(map(str, range(len(filled))))  # as pandas counts columns
        below = rows if is_header else itertools.chain([top], rows)
        return _read_bare(below, len(names), format, known_joints)
    except csv.Error as error:
        raise InputError(f"cannot be read as a table: {error}") from None


def _is_numeric(cell: str) -> bool:
    return cell == "" or _number(cell) is not None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _read_headed(names: list[str], rows: Rows) -> Found:
    lower = [name.lower() for name in names]
    keys = [re.sub(r"[^a-z]", "", name) for name in lower]
    frame = next((keys.index(key) for key in _FRAMES if key in keys), None)
    time = next((column for column, key in enumerate(keys) if key in _TIMES and column != frame), None)
    joint = next((keys.index(key) for key in _JOINTS if key in keys), None)
    person = next((keys.index(key) for key in (*_PEOPLE, "id") if key in keys), None)
    if joint is not None and "x" in lower and "y" in lower:
        scores = [column for column, name in enumerate(lower) if _AXES.get(name) == _SCORE][:1]
        columns = [lower.index("x"), lower.index("y"), *scores]
        found = _read_long(rows, frame, time, None if person == joint else person, joint, columns)
    else:
        wide = _wide_columns(names)
        if wide is None:
            shown = ", ".join(repr(name[:30]) for name in names[:8])
            raise InputError(
                "has no columns of keypoints: expected names of joint and axis such as nose_x or x_0, or "
                f"columns frame, joint, x, y; got {shown}"
            )
        found = _read_wide(rows, frame, time, person, wide)
    found.times = frame is not None and "time" in keys[frame]
    is_movenet = found.values.shape[1] == 17 and _names_y_first(names)
    found.format = "movenet" if is_movenet else "mediapipe" if found.values.shape[1] == 33 else "csv"
    return found


def _names_y_first(names: Sequence[str]) -> bool:
    axis = [match["axis"].lower() for match in map(_AXIS_LAST.fullmatch, names) if match]
    return axis[:2] == ["y", "x"]


def _wide_columns(names: list[str]) -> _Wide | None:
    """Which columns hold x, y and score of which joint."""
    places: dict[str, dict[int, int]] = {}
    for column, name in enumerate(names):
        parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
        match = _AXIS_LAST.fullmatch(parted) or _AXIS_FIRST.fullmatch(parted)
        if match:
            places.setdefault(match["joint"], {}).setdefault(_AXES[match["axis"].lower()], column)
    places = {joint: axes for joint, axes in places.items() if _X in axes and _Y in axes}
    image = {joint: axes for joint, axes in places.items() if "world" not in joint.lower()}
    places = image or places
    named = {joint: axes for joint, axes in places.items() if is_joint_name(joint)}
    if len(named) > len(places) / 2:
        return _wide(list(named.values()), tuple(named))
    # By what stands before the number, since a box may have numbers too.
    numbered: dict[str, dict[int, dict[int, int]]] = {}
    for joint, axes in places.items():
        parts = re.fullmatch(r"(.*?)(\d{1,4})", joint)
        if parts:
            numbered.setdefault(parts[1], {})[int(parts[2])] = axes
    if not numbered:
        return None
    joints = max(numbered.values(), key=len)
    order = sorted(joints)
    if order != list(range(order[0], order[0] + len(order))):
        raise InputError(f"has the joints {', '.join(map(str, order[:40]))}: some numbers are missing")
    return _wide([joints[number] for number in order], None)


def _wide(joints: list[dict[int, int]], names: tuple[str, ...] | None) -> _Wide:
    axes = (_X, _Y, _SCORE) if all(_SCORE in joint for joint in joints) else (_X, _Y)
    return _Wide([joint[axis] for joint in joints for axis in axes], len(axes), names)


def _read_rows(
    rows: Rows, labels: Sequence[int | None], columns: Sequence[int]
) -> tuple[list[list[str]], npt.NDArray[np.float64]]:
    """Takes some columns of a table as text, none where there is no such column, and some as numbers.

    An empty cell is NaN.

    Shapes:
        the second: (rows, columns)

    Raises:
        InputError: if a row is too short or a cell is no number.
    """
    texts: list[list[str]] = [[] for _ in labels]
    numbers = array("d")
    needed = max(column for column in (*columns, *labels) if column is not None)
    for line, row in rows:
        if len(row) <= needed:
            raise InputError(f"line {line}: has {len(row)} cells, expected at least {needed + 1}")
        for text, label in zip(texts, labels, strict=True):
            if label is not None:
                text.append(_without_fraction(row[label]))
        try:
            numbers.extend([float(row[column] or "nan") for column in columns])
        except ValueError:
            numbers.extend([_parse(row[column].strip() or "nan", line, column) for column in columns])
    if not numbers:
        raise InputError("has no rows below its header")
    return texts, np.frombuffer(numbers, dtype=np.float64).reshape(-1, len(columns))


def _parse(cell: str, line: int, column: int) -> float:
    value = _number(cell)
    if value is None:
        raise InputError(f"line {line}, column {column + 1}: {cell[:40]!r} is no number")
    return value


def _without_fraction(label: str) -> str:
    """A label without blanks around it; a whole number without ``.0``."""
    return re.sub(r"^(\d+)\.0*$", r"\1", label.strip())


def _read_wide(rows: Rows, frame: int | None, time: int | None, person: int | None, wide: _Wide) -> Found:
    (frames, times, people), numbers = _read_rows(rows, [frame, time, person], wide.columns)
    labels = frames or list(map(str, range(len(numbers))))
    found = _found_people(labels, numbers.reshape(len(numbers), -1, wide.width), people)
    found.names = wide.names
    found.stamps = _stamps(found.labels, frames, times)
    return found


def _stamps(labels: Sequence[str], frames: Sequence[str], times: Sequence[str]) -> list[str] | None:
    """The time of each label, of the frames and times of the rows; None where these have no times."""
    time_of = dict(zip(frames, times, strict=False))
    return [time_of[label] for label in labels] if time_of else None


def _read_long(
    rows: Rows,
    frame: int | None,
    time: int | None,
    person: int | None,
    joint: int,
    columns: Sequence[int],
) -> Found:
    """A row per joint. One that comes again in a frame belongs to another person, or to the next frame."""
    (frames, times, people, joints), numbers = _read_rows(rows, [frame, time, person, joint], columns)
    names = _in_joint_order(joints)
    number_of = {name: number for number, name in enumerate(names)}
    places = [number_of[name] for name in joints]
    open_people: dict[tuple[str, str], int] = {}  # the person that a row of this frame and id belongs to
    taken: list[int] = []  # joints that each person has, a bit for each
    first_row: list[int] = []
    person_of = []
    nothing = [""] * len(places)
    keys = zip(frames or nothing, people or nothing, strict=True)
    for row, (key, place) in enumerate(zip(keys, places, strict=True)):
        current = open_people.get(key)
        if current is None or taken[current] >> place & 1:
            current = open_people[key] = len(taken)
            taken.append(0)
            first_row.append(row)
        taken[current] |= 1 << place
        person_of.append(current)
    check_filling(len(taken), len(names), len(places))
    values = np.full((len(taken), len(names), len(columns)), np.nan)
    values[person_of, places] = numbers
    labels = [frames[row] for row in first_row] if frames else list(map(str, range(len(taken))))
    found = _found_people(labels, values, [people[row] for row in first_row] if people else [])
    found.names = None if all(name.isdigit() for name in names) else tuple(names)
    found.stamps = _stamps(found.labels, frames, times)
    return found


def _in_joint_order(joints: Sequence[str]) -> list[str]:
    """Different joints: by number where they are numbers, else as they come."""
    different = list(dict.fromkeys(joints))
    if all(re.fullmatch("[0-9]{1,4}", name) for name in different):
        different.sort(key=int)
    return different


def _found_people(labels: Sequence[str], values: npt.NDArray[np.float64], ids: Sequence[str]) -> Found:
    """People by the label of their frame; those whose cells are all empty only say that there is a frame.

    Shapes:
        labels: (people,); values: (people, joints, columns); ids: (people,), or empty
    """
    frames: dict[str, int] = {}
    frame_of = np.array([frames.setdefault(label, len(frames)) for label in labels], dtype=np.int64)
    (seen,) = np.nonzero(~np.all(np.isnan(values), axis=(1, 2)))
    found = Found("csv", list(frames), frame_of[seen], values[seen])
    numbers_rows = len(set(ids)) == len(ids) > 1
    if any(ids) and not numbers_rows:
        found.ids = [ids[person] for person in seen.tolist()]
    return found


def _read_bare(rows: Rows, count: int, format: str | None, known_joints: int | None) -> Found:
    """A table without a header: the joints of one person per row, perhaps after a frame's number or time."""
    _, numbers = _read_rows(rows, [], range(count))
    whole, rest = (_joints_in(columns, known_joints) for columns in (count, count - 1))
    if _count_up(numbers[:, 0]) or (rest is not None and (whole is None or _never_fall(numbers[:, 0]))):
        labels, values = [f"{value:.15g}" for value in numbers[:, 0]], numbers[:, 1:]
    else:
        labels, values = list(map(str, range(len(numbers)))), numbers
    joints = _joints_in(values.shape[1], known_joints)
    if joints is None:  # the layout that the user gives must say
        found = _found_people(labels, values[:, None], [])
        found.values = found.values[:, 0]
        return found
    found = _found_people(labels, values.reshape(len(values), joints, -1), [])
    found.third = "either"
    found.axes = axes_of(format)
    return found


def _count_up(numbers: npt.NDArray[np.float64]) -> bool:
    """Whether a column counts frames: whole numbers that go up by the same step."""
    if len(numbers) < 2 or not np.isfinite(numbers).all() or (numbers % 1).any():
        return False
    steps = np.diff(numbers)
    return bool(steps[0] > 0 and (steps == steps[0]).all())


def _never_fall(numbers: npt.NDArray[np.float64]) -> bool:
    """Whether a column may number the frames of several people, or of frames of which some are missing."""
    if len(numbers) < _FEWEST_ROWS or not np.isfinite(numbers).all() or (numbers % 1).any():
        return False
    return bool((np.diff(numbers) >= 0).all() and numbers[-1] > numbers[0])


def _joints_in(count: int, known: int | None) -> int | None:
    """Number of joints in so many columns of x, y and score, or of x and y; the known one, if it is."""
    fitting = BY_COUNT if known is None else (known,)
    return next(
        (count // width for width in (3, 2) if count % width == 0 and count // width in fitting), None
    )


def read_yolo(files: Iterable[tuple[str, str]], known_joints: int | None = None) -> Found:
    """YOLO's label files, one per image: class, box, then x and y of every joint, perhaps with a score.

    docs.ultralytics.com/datasets/pose, and `save_txt` of its results, which may put the box's score and the
    track id behind them, no id where the tracker has none; it opens its files to append, so that a second run
    repeats the rows.

    Args:
        files: Name and content of each.
        known_joints: Number of joints, where that is known.

    Raises:
        InputError: if a row is none of a label file.
    """
    labels: list[str] = []
    frame_of: list[int] = []
    rows: list[list[float]] = []
    for name, text in files:
        for line, row in enumerate(text.splitlines(), start=1):
            if row.strip():
                expected = len(rows[0]) if rows else None
                rows.append(_read_label(row, f"{name}, line {line}", expected, known_joints))
                frame_of.append(len(labels))
        labels.append(name)
    if not rows:
        raise InputError("holds no people")
    longest = max(map(len, rows))
    joints, width, more = _yolo_columns(longest, known_joints)
    values = np.array([row[5 : 5 + joints * width] for row in rows]).reshape(len(rows), joints, width)
    found = Found("yolo_pose", labels, np.array(frame_of), values, normalized_format=True)
    # Behind the joints: the box's score, the track id, or both, the id last.
    last = [row[-1] for row in rows if len(row) == longest]
    if more == 2 or (more == 1 and all(number % 1 == 0 for number in last) and max(last) > 0):
        found.ids = [str(int(row[-1])) if len(row) == longest else "" for row in rows]
    return found


def _read_label(text: str, where: str, expected: int | None, known_joints: int | None) -> list[float]:
    try:
        row = list(map(float, text.split()))
    except ValueError:
        raise InputError(f"{where}: expected numbers, got {text[:40]!r}") from None
    if not all(map(math.isfinite, row)):
        raise InputError(f"{where}: holds a number that is not finite")
    columns = _yolo_columns(len(row), known_joints)[:2]
    if expected is not None and columns != _yolo_columns(expected, known_joints)[:2]:
        raise InputError(f"{where}: has {len(row)} numbers, the rows before have {expected}")
    if columns[0] == 0:
        raise InputError(
            f"{where}: has {len(row)} numbers; expected class, box (4) and x, y, score of 17 joints, 56 in "
            "all, perhaps the box's score and a track id behind them"
        )
    return row


def _yolo_columns(count: int, known: int | None) -> tuple[int, int, int]:
    """Joints, numbers per joint, and numbers behind them, in a row; joints are 0 if it is none of these."""
    for joints in (17, *BY_COUNT) if known is None else (known,):
        for width in (3, 2):
            if 0 <= count - 5 - joints * width <= 2:
                return joints, width, count - 5 - joints * width
    return 0, 0, 0


def read_pbtxt(text: str) -> Found:
    """MediaPipe's landmarks as protobuf text: blocks ``landmark { x: 0.5 y: 0.4 ... }`` of one image.

    Raises:
        InputError: if it has no such blocks, or they are not 33 for each person.
    """
    image = text.split("world_landmarks")[0]
    blocks = re.findall(r"\blandmark\s*\{([^{}]*)\}", image)
    if not blocks or len(blocks) % 33:
        raise InputError(f"expected 33 blocks landmark {{ x y ... }} for each person, got {len(blocks)}")
    points = [dict(re.findall(r"(\w+)\s*:\s*([-+.\deE]+)", block)) for block in blocks]
    keys = ["x", "y", *(["visibility"] if all("visibility" in point for point in points) else [])]
    try:
        values = np.array([[float(point[key]) for key in keys] for point in points])
    except (KeyError, ValueError) as error:
        raise InputError(f"a landmark has no number for x, y or visibility: {error}") from None
    values = values.reshape(-1, 33, len(keys))
    return Found("mediapipe", ["0"], np.zeros(len(values), dtype=np.int64), values, normalized_format=True)
