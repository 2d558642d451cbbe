"""Keypoints in JSON, a function for each detector's way to write them.

A function gets the content of a file and gives its people, or None where the content is not of its format.
What they share, the forms in which a person's joints are written, is in :mod:`gcnpose.keypoints.people`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeGuard

from gcnpose.errors import InputError
from gcnpose.keypoints.numbering import names_number_frames
from gcnpose.keypoints.people import Found, People, axes_of, choose_recording, label_text

SINGLE_IMAGE = "(single image)"
_DEEPEST = 5  # levels of lists and keys in a frame, down to a person's points

_FRAME_KEYS = (
    "frame_id",
    "frame",
    "frame_index",
    "frame_idx",
    "frame_number",
    "frame_num",
    "image_id",
    "image_name",
    "image",
    "file_name",
    "filename",
)
_TIME_KEYS = ("timestamp", "timestamp_ms", "time", "time_ms")
_ID_KEYS = ("track_id", "idx", "id_", "person_id", "instance_id", "tracking_id")
_OPENPOSE_KEYS = ("pose_keypoints_2d", "pose_keypoints", "joints")
_PEOPLE_KEYS = ("people", "persons", "instances", "predictions", "detections", "poses", "results", "objects")
_POINTS_KEYS = ("pose_landmarks", "poseLandmarks", "landmarks", "keypoints", "landmark", "pose", "points")


def parse_json(data: bytes) -> Any:
    """The content of a JSON text, or the list of the lines of a text with one JSON value per line.

    Raises:
        InputError: if it is neither, with the position of the first fault.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"is not JSON: byte {error.start} is no UTF-8 text") from None
    try:
        return _parse_text(text)
    except json.JSONDecodeError as error:
        position = len(text[: error.pos].encode())
        raise InputError(
            f"is not JSON: {error.msg} at byte {position} (line {error.lineno}, column {error.colno})"
        ) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists within lists
        raise InputError(f"is not JSON that can be read: {error}") from None


def _parse_text(text: str) -> Any:
    """As :func:`parse_json`; where the first line alone holds a value, a fault is that of a later line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if error.msg != "Extra data" or len(text[: error.pos].strip().splitlines()) > 1:
            raise
    values, start = [], 0
    for line in text.splitlines(keepends=True):
        try:
            values += [json.loads(line)] if line.strip() else []
        except json.JSONDecodeError as error:
            raise json.JSONDecodeError(error.msg, text, start + error.pos) from None
        start += len(line)
    return values


def read_json(content: Any, label: str, format: str | None = None, sequence: str | None = None) -> Found:
    """The people in the content of a JSON file.

    Args:
        content: As :func:`parse_json` gives it.
        label: What to call the frame of a file that holds a frame by its nature.
        format: Key of :data:`JSON_FORMATS`; None: the first whose marks the content has.
        sequence: Which of several videos.

    Raises:
        InputError: if the content is not of the format, or of none; or has faults; or holds several videos
            and none is chosen.
    """
    content = _one_video(content, sequence)
    for read in [JSON_FORMATS[format]] if format else dict.fromkeys(JSON_FORMATS.values()):
        found = read(content, label)
        if found is not None:
            _read_video(content, found)
            found.times = _tells_times(_inside(content))
            found.stamps = _times_beside(_inside(content), found.labels)
            found.format = format or found.format
            if found.axes == "either":
                found.axes = axes_of(format)
            return found
    expected = format or ", ".join(JSON_FORMATS)
    raise InputError(
        f"is JSON, but holds no keypoints in a known form; expected {expected}, got {_outline(content)}"
    )


def _one_video(content: Any, sequence: str | None) -> Any:
    """COCO's annotations of one video, where the images say which they are of; any other content as it is.

    PoseTrack calls it vid_id, others video_id.
    """
    images: Any = content.get("images") if isinstance(content, dict) and "annotations" in content else None
    images = images if _is_list_of(images) else []
    videos = [str(_first(image, ("video_id", "vid_id"))) for image in images]
    names = [name for name in dict.fromkeys(videos) if name != "None"]
    chosen = choose_recording(sequence, names)
    if len(names) < 2:
        return content
    images = [image for image, video in zip(images, videos, strict=True) if video == chosen]
    ids = {label_text(image.get("id")) for image in images}
    persons = _objects(content["annotations"], "annotations")
    persons = [person for person in persons if label_text(person.get("image_id")) in ids]
    return {**content, "images": images, "annotations": persons}


def _outline(content: Any) -> str:
    """Top of a JSON value, for a message."""
    if isinstance(content, dict):
        return f"keys {', '.join(repr(str(key)[:30]) for key in list(content)[:8]) or 'none'}"
    if isinstance(content, list):
        return f"a list of {len(content)}: {_outline(content[0])}" if content else "an empty list"
    return type(content).__name__


def _read_video(content: Any, found: Found) -> None:
    """Takes over image size and frame rate where the file says them at its top."""
    if not isinstance(content, dict):
        return
    places = [
        content,
        *(content.get(key) for key in ("metadata", "meta", "meta_info", "info", "video", "video_info")),
    ]
    for place in places:
        if not isinstance(place, dict):
            continue
        if found.sizes is None:
            found.sizes = _size(place)
        fps = place.get("fps", place.get("frame_rate"))
        if found.fps is None and isinstance(fps, int | float) and 0 < fps < 10_000:
            found.fps = float(fps)


def _size(place: Mapping[str, Any]) -> tuple[int, int] | None:
    """Image width and height, where both are there and sensible."""
    for names in (("width", "height"), ("image_width", "image_height"), ("w", "h")):
        sides = [place.get(name) for name in names]
        width, height = (int(side) if _is_number(side) and 1 <= side < 100_000 else 0 for side in sides)
        if width and height:
            return width, height
    return None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _first(mapping: Mapping[str, Any], keys: Iterable[str]) -> Any:
    """Value of the first of the keys that is there."""
    return next((mapping[key] for key in keys if key in mapping), None)


def _is_list_of(content: object, *keys: str) -> bool:
    """Whether it is a list of objects, and the first has all these keys."""
    if not isinstance(content, list) or not content:
        return False
    return all(isinstance(entry, dict) for entry in content) and all(key in content[0] for key in keys)


def _objects(people: object, where: str) -> list[dict[str, Any]]:
    """A frame's list of people, null for none.

    Raises:
        InputError: if it is something else.
    """
    if people is None:
        return []
    if not isinstance(people, list) or not all(isinstance(person, dict) for person in people):
        raise InputError(f"{where}: expected a list of people, each with keys, got {_outline(people)}")
    return people


def _add_frames(
    frames: Iterable[tuple[object, object]], add: Callable[[People, int, dict[str, Any]], None]
) -> People:
    """Collects the people of frames that each stand there once: pairs of label and list of people."""
    people = People()
    for label, persons in frames:
        before = len(people.labels)
        frame = people.frame(label)
        people.repeated_frames += frame < before
        for person in _objects(persons, f"frame {people.labels[frame][:80]!r}"):
            add(people, frame, person)
    return people


def _read_coco(content: Any, label: str) -> Found | None:
    """COCO's formats: results, a list with a number as image_id; annotations, with images beside them.

    cocodataset.org/#format-results and #format-data. The third number is a flag in annotations: 0 not
    labelled, 1 hidden, 2 visible. The images' ids need not be in the order of a video: Roboflow's are not.
    """
    people = People()
    names, images = None, []
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        images = _objects(content.get("images"), "images")
        persons = _objects(content["annotations"], "annotations")
        names = _category_names(content.get("categories"))
    elif _is_list_of(content, "image_id", "keypoints") and _is_number(content[0]["image_id"]):
        persons = content
    else:
        return None
    frames = [people.frame(image.get("id")) for image in images]
    _add_entries(people, persons)
    if frames == list(range(len(people.labels))):  # each image once, and no person in another
        people.labels = _image_labels(images, people.labels)
    pairs = zip(frames, images, strict=True)
    sizes = {people.labels[frame]: size for frame, image in pairs if (size := _size(image))}
    return people.found("coco_json", names=names, sizes=sizes or None)


def _image_labels(images: list[dict[str, Any]], ids: list[str]) -> list[str]:
    """What says the order of COCO's images: their frame_id, else their file names, else their ids."""
    for key in ("frame_id", "file_name"):
        labels = [label_text(image[key]) for image in images if image.get(key) is not None]
        if len(set(labels)) == len(images) and (key == "frame_id" or names_number_frames(labels, ids)):
            return labels
    return ids


def _add_entries(people: People, entries: Iterable[dict[str, Any]]) -> None:
    """Adds people who each say which image they are in."""
    for person in entries:
        if "image_id" not in person:
            raise InputError(f"an entry has no image_id: {_outline(person)}")
        frame = people.frame(person["image_id"])
        people.add(frame, person.get("keypoints"), person.get("kp_scores"), _first(person, _ID_KEYS))


def _category_names(categories: object) -> tuple[str, ...] | None:
    """Names of the joints in COCO's list of categories."""
    for category in categories if isinstance(categories, list) else []:
        names = category.get("keypoints") if isinstance(category, dict) else None
        if isinstance(names, list) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return None


def _read_mmpose(content: Any, label: str) -> Found | None:
    """MMPose's predictions: under instance_info, or a list of frames, or the list of people of one image.

    open-mmlab/mmpose: mmpose/apis/inferencers and demo/topdown_demo_with_mmdet.py.
    """
    names = None
    if isinstance(content, dict) and "instance_info" in content:
        names = _mmpose_names(content.get("meta_info"))
        content = content["instance_info"]
        if not _is_list_of(content, "instances"):
            raise InputError(
                f"instance_info: expected a list of frames with instances, got {_outline(content)}"
            )
    if _is_list_of(content, "instances"):
        frames = _frames(content, "instances")
    elif _is_list_of(content, "keypoints", "keypoint_scores"):
        frames = [(SINGLE_IMAGE, content)]
    else:
        return None
    return _add_frames(frames, _add_instance).found("mmpose_json", names=names)


def _mmpose_names(meta: object) -> tuple[str, ...] | None:
    by_id = meta.get("keypoint_id2name") if isinstance(meta, dict) else None
    if not isinstance(by_id, dict) or not all(isinstance(name, str) for name in by_id.values()):
        return None
    names = [by_id.get(str(number)) for number in range(len(by_id))]
    return tuple(map(str, names)) if None not in names else None


def _add_instance(people: People, frame: int, person: dict[str, Any]) -> None:
    people.add(frame, person.get("keypoints"), person.get("keypoint_scores"), track=_first(person, _ID_KEYS))


def _read_openpose(content: Any, label: str) -> Found | None:
    """OpenPose's JSON of a frame, or a list of such frames.

    CMU-Perceptual-Computing-Lab/openpose: doc/02_output.md. Version 1.0 and forks write other keys; person_id
    is -1, for OpenPose does not track.
    """
    frames: list[tuple[object, object]]
    if isinstance(content, dict) and ("people" in content or "bodies" in content):
        frames = [(label, _first(content, ("people", "bodies")))]
    elif _is_list_of(content, "people"):
        frames = _frames(content, "people")
    else:
        return None
    first = next((people for _, people in frames if people), [{_OPENPOSE_KEYS[0]: None}])
    if (
        not isinstance(first, list)
        or not isinstance(first[0], dict)
        or not set(first[0]) & set(_OPENPOSE_KEYS)
    ):
        return None
    return _add_frames(frames, _add_openpose).found("openpose_json")


def _frames(entries: list[dict[str, Any]], key: str) -> list[tuple[object, object]]:
    """Label and people of each frame, the people under a key."""
    return [(_frame_label(entry, place), entry.get(key)) for place, entry in enumerate(entries)]


def _frame_label(entry: Mapping[str, Any], place: int) -> object:
    """What an entry calls its frame: number or name, else its time, else its place in the list."""
    return next((entry[key] for key in (*_FRAME_KEYS, *_TIME_KEYS) if entry.get(key) is not None), place)


def _tells_times(frames: Any) -> bool:
    """Whether what :func:`_frame_label` takes of a list of frames is a time."""
    first = frames[0] if isinstance(frames, list) and frames else None
    return isinstance(first, dict) and not set(first) & {*_FRAME_KEYS} and bool(set(first) & {*_TIME_KEYS})


def _times_beside(frames: Any, labels: list[str]) -> list[str] | None:
    """The time of each label in a list of frames."""
    if not isinstance(frames, list):
        return None
    times = {
        str(_frame_label(entry, place)): str(_first(entry, _TIME_KEYS))
        for place, entry in enumerate(frames)
        if isinstance(entry, dict)
    }
    return [times.get(label, "") for label in labels]


def _add_openpose(people: People, frame: int, person: dict[str, Any]) -> None:
    if not set(person) & set(_OPENPOSE_KEYS):
        raise InputError(
            f"frame {people.labels[frame][:80]!r}: a person has none of the keys "
            f"{', '.join(_OPENPOSE_KEYS)}, but {_outline(person)}"
        )
    people.add(frame, _first(person, _OPENPOSE_KEYS), track=_first(person, _ID_KEYS))


def _read_alphapose(content: Any, label: str) -> Found | None:
    """AlphaPose's results: a list with file names as image_id; or, by --format cmu and open, people by image.

    MVIG-SJTU/AlphaPose: docs/output.md and alphapose/utils/pPose_nms.py.
    """
    people = People()
    frames: list[tuple[object, object]]
    if _is_list_of(content, "image_id", "keypoints"):
        _add_entries(people, content)
        return people.found("alphapose_json")
    if not isinstance(content, dict) or not content:
        return None
    if all(
        isinstance(entry, dict) and ("people" in entry or "bodies" in entry) for entry in content.values()
    ):
        frames = [(name, _first(entry, ("people", "bodies"))) for name, entry in content.items()]
        return _add_frames(frames, _add_openpose).found("alphapose_json")
    return None


def _read_openpifpaf(content: Any, label: str) -> Found | None:
    """OpenPifPaf's predictions: frames of a video, a line each; or the list of people of one image.

    openpifpaf.github.io, "predict CLI".
    """
    if isinstance(content, dict) and "predictions" in content:
        content = [content]
    if _is_list_of(content, "predictions"):
        frames = _frames(content, "predictions")
    elif _is_list_of(content, "keypoints", "category_id"):
        frames = [(SINGLE_IMAGE, content)]
    else:
        return None
    return _add_frames(frames, _add_instance).found("openpifpaf_json")


def _read_kinetics(content: Any, label: str) -> Found | None:
    """Kinetics-skeleton's form: data, a list of frames with skeletons of pose and score.

    yysijie/st-gcn, README, "Kinetics-skeleton": x and y as fractions of the image, 18 joints of OpenPose;
    others write other joints and pixels.
    """
    if not isinstance(content, dict) or not _is_list_of(content.get("data"), "skeleton"):
        return None
    return _add_frames(_frames(content["data"], "skeleton"), _add_kinetics).found("kinetics_json")


def _add_kinetics(people: People, frame: int, person: dict[str, Any]) -> None:
    people.add(frame, person.get("pose"), person.get("score"))


def _read_ultralytics(content: Any, label: str) -> Found | None:
    """Ultralytics' results as JSON: the people of an image, or a list of such lists.

    docs.ultralytics.com/reference/engine/results, `to_json`: a person has box, confidence and keypoints
    {x, y, visible}; in pixels, or in fractions of the image with `normalize`.
    """
    if isinstance(content, dict) and isinstance(content.get("results"), list):
        content = content["results"]
    if _is_list_of(content, "box"):
        frames: list[tuple[object, object]] = [(SINGLE_IMAGE, content)]
    elif isinstance(content, list) and content and all(isinstance(entry, list) for entry in content):
        frames = list(enumerate(content))
    elif isinstance(content, dict) and content and all(isinstance(entry, list) for entry in content.values()):
        frames = list(content.items())
    else:
        return None
    first = next((entries for _, entries in frames if entries), None)
    if not _is_list_of(first, "box"):
        return None
    return _add_frames(frames, _add_instance).found("yolo_pose")


def _read_points(content: Any, label: str) -> Found | None:
    """Points of MediaPipe, MoveNet and the like: frames of people of points, in lists or under keys.

    There is no standard. A point is {x, y, z, visibility}, or a list of x, y and what follows; the points
    of a person are a list, or stand under their names; a frame holds those of one person or of several.
    """
    content = _inside(content)
    unlabelled = _is_list_of(content, "keypoints") and not set(content[0]) & {*_FRAME_KEYS, *_TIME_KEYS}
    if unlabelled or _is_points(content):
        frames: list[tuple[object, Any]] = [(SINGLE_IMAGE, content)]
    elif isinstance(content, list):
        frames = [
            (_frame_label(entry, place) if isinstance(entry, dict) else place, entry)
            for place, entry in enumerate(content)
        ]
    elif isinstance(content, dict):
        frames = list(content.items())
    else:
        return None
    people = People()
    for name, entry in frames:
        frame = people.frame(name)
        for points, track in _people_of(entry, depth=0):
            people.add(frame, points, track=track)
    if not len(people):
        return None
    found = people.found("array", third="either", axes="either")
    joints = found.values.shape[1] if found.values.ndim == 3 else 0
    found.format = "mediapipe" if joints == 33 else "movenet" if joints == 17 and found.names else "array"
    return found


def _inside(content: Any) -> Any:
    """The list of frames in an object that says more beside it; else the content itself."""
    if isinstance(content, dict) and not _is_points(content):
        for key in ("frames", "data", *_PEOPLE_KEYS, *_POINTS_KEYS):
            if isinstance(content.get(key), list):
                return content[key]
    return content


def _people_of(entry: Any, depth: int) -> list[tuple[Any, object]]:
    """Points and track id of each person of a frame."""
    if _is_points(entry) or _is_flat(entry):
        return [(entry, None)]
    if isinstance(entry, dict):
        inner = _first(entry, (*_POINTS_KEYS, *_PEOPLE_KEYS))
        track = _first(entry, _ID_KEYS)
        people = _people_of(inner, depth + 1) if depth < _DEEPEST else []
        return [(points, track if own is None else own) for points, own in people]
    if isinstance(entry, list) and depth < _DEEPEST:
        return [person for inner in entry for person in _people_of(inner, depth + 1)]
    return []


def _is_points(value: object) -> bool:
    """Whether it is one person's points, by the first that was found."""
    points = list(value.values()) if isinstance(value, dict) else value
    return isinstance(points, list) and _is_point(next((p for p in points if not _is_nowhere(p)), None))


def _is_point(value: object) -> bool:
    if isinstance(value, dict):
        place = value.get("position", value)
        return isinstance(place, dict) and _is_number(place.get("x")) and _is_number(place.get("y"))
    return isinstance(value, list) and 2 <= len(value) <= 5 and all(map(_is_number, value))


def _is_nowhere(value: object) -> bool:
    """Whether it stands for a point that was not found: null, or without x and y."""
    if isinstance(value, dict):
        place = value.get("position", value)
        return place is None or (isinstance(place, dict) and {*place} >= {"x", "y"} and place["x"] is None)
    return value is None or (isinstance(value, list) and 2 <= len(value) <= 5 and value[0] is None)


def _is_flat(value: object) -> bool:
    """Whether it is one person's points as numbers one after another."""
    return isinstance(value, list) and len(value) > 5 and all(map(_is_number, value))


JSON_FORMATS: dict[str, Callable[[Any, str], Found | None]] = {
    "coco_json": _read_coco,
    "mmpose_json": _read_mmpose,
    "openpose_json": _read_openpose,
    "alphapose_json": _read_alphapose,
    "kinetics_json": _read_kinetics,
    "yolo_pose": _read_ultralytics,
    "openpifpaf_json": _read_openpifpaf,
    "mediapipe": _read_points,
    "movenet": _read_points,
    "array": _read_points,
}
