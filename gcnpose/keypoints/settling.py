"""From what a reader found to detections: the joints' layout, scores, unit, order of frames, image size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gcnpose.errors import InputError
from gcnpose.keypoints.detections import Detections, is_detected
from gcnpose.keypoints.layouts import BY_COUNT, Layout, columns_of, find_layout, layout_of_names
from gcnpose.keypoints.numbering import Timeline, timeline
from gcnpose.keypoints.people import Found

_LANDSCAPE = (
    (640, 360),
    (640, 480),
    (854, 480),
    (1280, 720),
    (1920, 1080),
    (2560, 1440),
    (3840, 2160),
    (7680, 4320),
)
_USUAL_SIZES = (
    *_LANDSCAPE,
    *((height, width) for width, height in _LANDSCAPE if height >= 720),
)  # phones stand
_MARGIN = 1.02  # joints may lie a little outside the image
_UNKNOWN_SIZE = (1920, 1080)
_LARGEST_PX = 1e6
_LARGEST_FRACTION = 2.0  # of the image, for most joints: people half out of it are still detected
_MOST_NEGATIVE = 0.25  # share of negative coordinates, where they are fractions of an image
_LARGEST_SCORE = 1.5  # of numbers that may be scores or a depth
_FEWEST_ROWS = 10  # people in one image who may be one person in as many frames

# What else a number of joints may be. Only said where neither the format nor the file says it.
_OTHERS = {
    17: "nose first; --layout h36m17 reads Human3.6M's order, pelvis first",
    25: "--layout body25b reads BODY_25B, which has as many joints in another order",
}
_SAY_THEIR_JOINTS = ("coco_json", "yolo_pose", "alphapose_json", "movenet", "mediapipe", "npz_detectron")


def settle(source: str, found: Found, layout: Layout | None, size: tuple[int, int] | None) -> Detections:
    """Checks what a reader found, and decides what it leaves open.

    Args:
        source: The file.
        found: The people in it. Taken over, not copied.
        layout: That the user says.
        size: Image size that the user says.

    Raises:
        InputError: if there are no people, or their joints are of no known layout, no 2D, or out of bounds.
    """
    if not len(found.values):
        raise InputError(f"holds no people in {len(found.labels)} frames")
    settled = _settle_layout(found, layout)
    _settle_axes(found, settled)
    _settle_scores(found)
    keypoints = _settle_coordinates(found, settled)
    _split_rows(found, keypoints)
    unit = _settle_unit(found, keypoints)
    time = timeline(found.labels, found.times)
    fps = found.fps / time.step if found.fps else time.fps
    at = f", {fps:g} a second" if fps and time.step > 1 else ""
    found.assumptions += [time.assumption + at] * bool(time.assumption)
    fps = fps or _fps_beside(found, time)
    place = np.empty_like(time.order)
    place[time.order] = np.arange(len(place))
    frame_of = place[found.frame_of]
    people = np.argsort(frame_of, kind="stable")
    labels = tuple(found.labels[frame] for frame in time.order)
    sizes, size_from = _settle_size(found, keypoints, unit, size)
    return Detections(
        source=source,
        format=found.format,
        layout=settled,
        frame_labels=labels,
        frame_numbers=time.numbers,
        frame_step=time.step,
        numbers_from_labels=time.from_labels,
        frame_of=frame_of[people],
        keypoints=keypoints[people],
        scores=None if found.scores is None else found.scores[people],
        track_ids=None if found.ids is None else tuple(found.ids[person] for person in people),
        unit=unit,
        image_sizes=sizes[time.order],
        image_size_from=size_from,
        fps=fps,
        assumptions=tuple(found.assumptions),
        repairs=tuple(found.repairs),
    )


def _fps_beside(found: Found, time: Timeline) -> float | None:
    """Frames per second by the times beside the frames' labels, if these go up as the frames do."""
    if found.stamps is None:
        return None
    beside = timeline([found.stamps[frame] for frame in time.order], times=True)
    if beside.fps is None or (np.diff(beside.order) < 0).any():
        return None
    found.assumptions.append(f"taken as {beside.fps:g} frames per second, by the times of the frames")
    return beside.fps


def _settle_layout(found: Found, layout: Layout | None) -> Layout:
    """Splits numbers that stand one after another into joints, and says which joints they are."""
    if found.values.ndim == 2:
        found.values = _split_joints(found, layout)
    count = found.values.shape[1]
    for what, given in (("scores", found.scores), ("names of joints", found.names)):
        number = count if given is None else len(given) if isinstance(given, tuple) else given.shape[1]
        if number != count:
            raise InputError(f"{found.where(0)}: has {number} {what} for {count} joints")
    if layout is not None:
        columns = columns_of(layout, found.names) if found.names else None
        if columns is not None:
            _take_joints(found, columns, layout)
            return layout
        if found.names:
            found.assumptions.append(
                f"the names of the joints are not those of {layout.name}: taken in its order"
            )
        if count != len(layout.joints):
            raise InputError(f"has {count} joints, but the layout {layout.name} has {len(layout.joints)}")
        return layout
    by_name = layout_of_names(found.names) if found.names else None
    if by_name is not None:
        named, columns = by_name
        _take_joints(found, columns, named)
        return named
    if found.names and count in BY_COUNT:
        found.assumptions.append(
            f"the joints' names are not known: taken as {BY_COUNT[count]} by their number"
        )
    name = found.layout or BY_COUNT.get(count)
    if name is None:
        known = ", ".join(f"{number} ({name})" for number, name in BY_COUNT.items())
        raise InputError(
            f"{found.where(0)}: has {count} joints; known numbers are {known}; --layout names another layout "
            "or a graph file"
        )
    settled = find_layout(name)
    if len(settled.joints) != count:
        raise InputError(f"has {count} joints, but {name} has {len(settled.joints)}")
    if not found.layout and count in _OTHERS and found.format not in _SAY_THEIR_JOINTS:
        found.assumptions.append(f"{count} joints were taken as {name}: {_OTHERS[count]}")
    return settled


def _take_joints(found: Found, columns: list[int], layout: Layout) -> None:
    """Brings the joints into a layout's order, without those that it has not."""
    count = found.values.shape[1]
    found.values = found.values[:, columns]
    found.scores = None if found.scores is None else found.scores[:, columns]
    if len(columns) < count:
        found.assumptions.append(f"of {count} named joints the {len(columns)} of {layout.name} were taken")


def _split_joints(found: Found, layout: Layout | None) -> npt.NDArray[np.float64]:
    """Numbers of a person one after another, as 3 or 2 (or 4) for each joint."""
    people, count = found.values.shape
    if layout:
        joints = [len(layout.joints)]
    elif found.names:
        joints = [len(found.names)]
    else:
        joints = [*BY_COUNT] if found.scores is None else [found.scores.shape[1]]
    for width in (3, 2, 4):
        if count % width == 0 and count // width in joints:
            return found.values.reshape(people, -1, width)
    if layout:
        raise InputError(
            f"{found.where(0)}: has {count} numbers; the {joints[0]} joints of {layout.name} need 2 or 3 each"
        )
    known = ", ".join(map(str, joints))
    raise InputError(
        f"{found.where(0)}: has {count} numbers, which is 2 or 3 for none of the known numbers of joints "
        f"({known}); --layout names another layout or a graph file"
    )


def _settle_axes(found: Found, layout: Layout) -> None:
    """Puts x before y where MoveNet wrote y first."""
    guessed = found.axes == "either" and layout.name == "coco17" and _is_movenet(found.values)
    if guessed:
        found.assumptions.append(
            "17 joints of numbers from 0 to 1 and no names: taken as MoveNet's output, y before x; "
            f"--format {found.format} reads x before y"
        )
        found.format = "movenet"
    elif found.axes == "either" and found.format == "csv":
        found.assumptions.append("there is no header: taken as x before y; --format movenet reads y before x")
    if guessed or found.axes == "yx":
        found.values = np.concatenate([found.values[..., 1::-1], found.values[..., 2:]], axis=-1)


def _is_movenet(values: npt.NDArray[np.float64]) -> bool:
    """Whether these are MoveNet's own numbers: fractions of the image, and people upright if y is first."""
    if values.shape[1:] != (17, 3) or not len(values) or not ((values >= 0) & (values <= 1)).all():
        return False
    down = values[:, 15:, :2].mean(axis=(0, 1)) - values[:, :5, :2].mean(axis=(0, 1))
    return bool(down[0] > abs(down[1]))


def _settle_scores(found: Found) -> None:
    """Takes the scores out of what follows x and y."""
    values, width = found.values, found.values.shape[2]
    if width < 2 or width > 5:
        raise InputError(f"{found.where(0)}: has {width} numbers for each joint; expected x, y and a score")
    if found.scores is not None:
        if width > 2 and found.third == "score":
            raise InputError(
                f"{found.where(0)}: each joint has {width} coordinates and a score: these are 3D poses, not "
                "2D keypoints"
            )
    elif width > 3:
        found.scores = values[..., 3]
    elif width == 3:
        if found.third == "score" or (found.third == "either" and _are_scores(values)):
            found.scores = values[..., 2]
        else:
            found.assumptions.append("the third number of each joint is a depth and no score: left out")
    found.values = values[..., :2]
    if found.scores is not None:
        _mend_scores(found, found.scores)


def _are_scores(values: npt.NDArray[np.float64]) -> bool:
    """Whether third numbers are scores: none negative, none much larger than 1."""
    third = values[..., 2][np.isfinite(values[..., 2])]
    return bool((third >= 0).all() and (third <= _LARGEST_SCORE).all())


def _mend_scores(found: Found, scores: npt.NDArray[np.float64]) -> None:
    detected = is_detected(found.values)
    known = np.isfinite(scores)
    if not known[detected].any():
        found.scores = None
        return
    if not scores[detected & known].any():
        found.scores = None
        found.repairs.append("all scores are 0: they were ignored")
        return
    empty, negative = detected & ~known, known & (scores < 0)
    if empty.any():
        found.repairs.append(f"{empty.sum()} joints have a place and no score: their score was taken as 0")
    if negative.any():
        found.repairs.append(f"{negative.sum()} scores are negative: taken as 0")
    found.scores = np.where(known & ~negative, scores, 0.0)


def _settle_coordinates(found: Found, layout: Layout) -> npt.NDArray[np.float64]:
    """x and y, both NaN where one of them is no number."""
    keypoints = found.values.astype(np.float64)
    broken = ~np.isfinite(keypoints)
    halves = broken.any(axis=2) & ~np.isnan(keypoints).all(axis=2)
    if halves.any():
        found.repairs.append(f"{halves.sum()} joints have an x or y that is no number: taken as not detected")
    keypoints[broken.any(axis=2)] = np.nan
    too_large = np.abs(keypoints) > _LARGEST_PX
    if too_large.any():
        person, joint, axis = np.argwhere(too_large)[0]
        value = keypoints[person, joint, axis]
        raise InputError(
            f"{found.where(person)}, joint {layout.joints[joint]!r}: {'xy'[axis]} is {value:g}, no place in "
            "an image"
        )
    return keypoints


def _split_rows(found: Found, keypoints: npt.NDArray[np.float64]) -> None:
    """Takes many people of one image who all but coincide as one person in as many frames.

    A detector that watches a webcam calls every frame by the same name.
    """
    people = len(keypoints)
    if len(found.labels) > 1 or people < _FEWEST_ROWS or found.ids is not None:
        return
    seen = np.where(is_detected(keypoints)[..., None], keypoints, np.nan)
    moved = np.abs(np.diff(seen, axis=0))
    extent = _extent(seen)
    close = np.nansum(moved, axis=(1, 2)) < 0.2 * extent[1:] * np.isfinite(moved).all(axis=2).sum(axis=1)
    if close.mean() < 0.8:
        return
    found.assumptions.append(
        f"{people} people in one image follow one another closely: taken as one person in {people} frames"
    )
    found.labels, found.stamps = list(map(str, range(people))), None
    found.frame_of = np.arange(people)


def _extent(keypoints: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Larger side of the box around each person's joints; 0 without any.

    Shapes:
        keypoints: (people, joints, 2), NaN where not detected -> (people,)
    """
    low = np.where(np.isnan(keypoints), np.inf, keypoints).min(axis=1)
    high = np.where(np.isnan(keypoints), -np.inf, keypoints).max(axis=1)
    return np.maximum(high - low, 0).max(axis=1)


def _settle_unit(found: Found, keypoints: npt.NDArray[np.float64]) -> str:
    """``"pixel"`` or ``"normalized"``, by how large the coordinates are."""
    places = keypoints[is_detected(keypoints)]
    if not len(places):
        return "pixel"
    if np.quantile(np.abs(places), 0.99) > _LARGEST_FRACTION:
        if found.normalized_format:
            found.assumptions.append(
                "coordinates exceed 1 by far: taken as pixels, not as fractions of the image"
            )
        return "pixel"
    if (places < 0).mean() > _MOST_NEGATIVE:
        (left, top), (right, bottom) = places.min(axis=0), places.max(axis=0)
        raise InputError(
            f"coordinates lie around 0, x from {left:.2f} to {right:.2f}, y from {top:.2f} to {bottom:.2f}: "
            "these are 3D metres or centred coordinates, not places in an image; expected pixels, or "
            "fractions of the image's width and height"
        )
    if not found.normalized_format and found.format != "mediapipe":
        found.assumptions.append(
            f"coordinates are at most {places.max():.2f}: taken as fractions of the image's width and height"
        )
    return "normalized"


def _settle_size(
    found: Found, keypoints: npt.NDArray[np.float64], unit: str, size: tuple[int, int] | None
) -> tuple[npt.NDArray[np.int64], str]:
    """Image size of each frame, and where it was taken from.

    Shapes:
        the first: (frames, 2), in the order of ``found.labels``
    """
    frames = len(found.labels)
    if size is not None:
        return np.tile(np.array(size, dtype=np.int64), (frames, 1)), "option"
    if isinstance(found.sizes, dict):
        missing = [label for label in found.labels if label not in found.sizes]
        other = next(iter(found.sizes.values()))
        if missing:
            found.assumptions.append(
                f"{len(missing)} images have no size in the file: taken as {other[0]}x{other[1]} like the "
                "first; --size sets one for all"
            )
        sizes = np.array([found.sizes.get(label, other) for label in found.labels], dtype=np.int64)
    elif found.sizes is not None:
        sizes = np.tile(np.array(found.sizes, dtype=np.int64), (frames, 1))
    else:
        guess = _guess_size(found, keypoints, unit)
        return np.tile(np.array(guess, dtype=np.int64), (frames, 1)), "guess"
    detected = is_detected(keypoints)
    if unit == "pixel" and detected.any():
        outside = np.any(keypoints > _MARGIN * sizes[found.frame_of][:, None], axis=2)[detected].mean()
        if outside > 0.05:
            found.assumptions.append(
                f"{100 * outside:.0f} % of the joints lie outside the image size in the file; --size sets "
                "another"
            )
    return sizes, "file"


def _guess_size(found: Found, keypoints: npt.NDArray[np.float64], unit: str) -> tuple[int, int]:
    if unit == "normalized":
        width, height = _UNKNOWN_SIZE
        found.assumptions.append(
            f"the image size is not in the file: taken as {width}x{height}; --size gives the true one, "
            "without which people are too wide or too narrow"
        )
        return _UNKNOWN_SIZE
    places = keypoints[is_detected(keypoints)]
    right, bottom = np.quantile(places, 0.999, axis=0) if len(places) else _UNKNOWN_SIZE
    fitting = [size for size in _USUAL_SIZES if right <= _MARGIN * size[0] and bottom <= _MARGIN * size[1]]
    upright = bottom > right
    fitting.sort(key=lambda size: (size[0] * size[1], (size[1] > size[0]) != upright))
    width, height = fitting[0] if fitting else (int(np.ceil(right)), int(np.ceil(bottom)))
    found.assumptions.append(
        f"the image size is not in the file: taken as {width}x{height}, the smallest usual one that holds "
        "the joints; --size gives the true one"
    )
    return width, height
