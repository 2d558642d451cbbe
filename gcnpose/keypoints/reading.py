"""Reads a keypoint file or folder of any of the known formats, and settles what its content leaves open."""

from __future__ import annotations

import dataclasses
import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gcnpose.errors import InputError, did_you_mean
from gcnpose.keypoints.array_formats import ARRAY_FORMATS, read_arrays
from gcnpose.keypoints.detections import Detections
from gcnpose.keypoints.json_formats import JSON_FORMATS, parse_json, read_json
from gcnpose.keypoints.layouts import find_layout
from gcnpose.keypoints.numbering import natural_key
from gcnpose.keypoints.people import Found, choose_recording
from gcnpose.keypoints.settling import settle
from gcnpose.keypoints.table_formats import read_csv, read_pbtxt, read_yolo

FORMATS = (*JSON_FORMATS, "npz_videopose3d", "npz_detectron", "npz_reconstruction", "csv")
LARGEST_FILE_BYTES = 2 * 2**30
_DEEPEST = 3
_NO_FRAMES = ("classes.txt", "README.txt", "requirements.txt")  # as label tools put beside the labels


def read_keypoints(
    path: str | Path,
    format: str | None = None,
    layout: str | None = None,
    size: tuple[int, int] | None = None,
    sequence: str | None = None,
) -> Detections:
    """Reads the 2D keypoints that a detector wrote.

    Args:
        path: A file, or a folder with a file per frame.
        format: One of :data:`FORMATS`; None: told by the content.
        layout: Name of the joints' layout, or path of a graph file; None: by the file, else by the number of
            joints.
        size: Image width and height in pixels, in place of the file's or a guess.
        sequence: Which recording, where a file holds several.

    Raises:
        InputError: with the file, and the frame, person and joint at fault.
    """
    path = Path(path)
    if format is not None and format not in FORMATS:
        raise InputError(
            f"unknown format {format!r}{did_you_mean(format, FORMATS)}; known are {', '.join(FORMATS)}"
        )
    if size is not None and not all(0 < side < 100_000 for side in size):
        raise InputError(f"image size {size[0]}x{size[1]}: expected width and height in pixels")
    chosen = None if layout is None else find_layout(layout)
    try:
        joints = None if chosen is None else len(chosen.joints)
        return settle(str(path), _read(path, format, sequence, joints), chosen, size)
    except OSError as error:
        raise InputError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from None
    except InputError as error:
        message = str(error)
        raise InputError(message if message.startswith(str(path)) else f"{path}: {message}") from None


def _read(path: Path, format: str | None, sequence: str | None, joints: int | None) -> Found:
    """What the reader of the file's format finds."""
    if path.is_dir():
        return _read_folder(path, format, sequence, joints)
    if not path.exists():
        raise InputError("no such file or folder")
    if not path.is_file():
        raise InputError("is neither a file nor a folder")
    size = path.stat().st_size
    if size == 0:
        raise InputError("is empty")
    if size > LARGEST_FILE_BYTES:
        raise InputError(
            f"has {size / 2**30:.1f} GiB; files of up to {LARGEST_FILE_BYTES / 2**30:.0f} GiB are read"
        )
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith((b"PK", b"\x93NUMPY")):
        _expect(format, "a file of NumPy's", *ARRAY_FORMATS)
        return read_arrays(path, format, sequence)
    return _read_text(path.name, path.read_bytes(), format, sequence, joints)


def _expect(format: str | None, kind: str, *formats: str) -> None:
    """Refuses a format that such a file cannot have."""
    if format not in (None, *formats):
        raise InputError(f"is {kind}, not {format}; expected {' or '.join(formats)}")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps the garbage collector from going through millions of new lists again and again.

    They hold no cycles, and it takes six times as long as parsing them.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _text(data: bytes) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"byte {error.start} is no UTF-8 text, and the file of no known kind") from None
    if "\0" in text:
        raise InputError("holds a zero byte, and is of no known kind")
    return text


def _read_text(name: str, data: bytes, format: str | None, sequence: str | None, joints: int | None) -> Found:
    """A text by its first character, or by how its first line looks."""
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start in (b"{", b"[") or name.endswith((".json", ".jsonl")):
        _expect(format, "JSON", *JSON_FORMATS)
        with _no_collection():
            return read_json(parse_json(data), name, format, sequence)
    choose_recording(sequence, ())
    text = _text(data)
    if name.endswith(".pbtxt") or "landmark {" in text[:10_000]:
        _expect(format, "protobuf text", "mediapipe")
        return read_pbtxt(text)
    first = next((line for line in text.splitlines() if line.strip()), "")
    if (format == "yolo_pose" and "," not in first) or (format is None and _is_label(name, first)):
        return read_yolo([(name, text)], joints)
    _expect(format, "a table", "csv", "movenet", "mediapipe", "yolo_pose")
    found = read_csv(text, format, joints)
    found.format = format or found.format
    return found


def _is_label(name: str, line: str) -> bool:
    """Whether it is a row of YOLO's label files: a class, and a box in fractions of the image."""
    cells = line.split()
    try:
        numbers = [float(cell) for cell in cells[:5]]
    except ValueError:
        return False
    in_image = all(0 <= number <= 1 for number in numbers[1:])
    return name.endswith(".txt") and len(cells) >= 5 and numbers[0] % 1 == 0 and in_image


def _read_folder(
    folder: Path, format: str | None, sequence: str | None, joints: int | None, depth: int = 0
) -> Found:
    """A file per frame: OpenPose's and others' JSON, or YOLO's labels; perhaps in a folder within."""
    names = sorted((entry.name for entry in os.scandir(folder) if entry.is_file()), key=natural_key)
    names = [name for name in names if not name.startswith(".") and name not in _NO_FRAMES]
    by_kind = {kind: [name for name in names if name.lower().endswith(kind)] for kind in (".json", ".txt")}
    kind = (
        ".txt"
        if format == "yolo_pose" and not by_kind[".json"]
        else max(by_kind, key=lambda k: len(by_kind[k]))
    )
    chosen = by_kind[kind]
    if not chosen:
        inner = [
            entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")
        ]
        if len(inner) == 1 and depth < _DEEPEST:
            return _read_folder(folder / inner[0], format, sequence, joints, depth + 1)
        held = f", but the folders {', '.join(sorted(inner)[:8])}; give one of them" if inner else ""
        raise InputError(f"is a folder without files .json or .txt, one per frame{held}")
    if len(chosen) == 1:
        with _naming(chosen[0]):
            return _read(folder / chosen[0], format, sequence, joints)
    choose_recording(sequence, ())
    others = len(names) - len(chosen)
    files = ((name, (folder / name).read_bytes()) for name in chosen)
    if kind == ".json":
        _expect(format, "a folder of JSON", *JSON_FORMATS)
        with _no_collection():
            found = _merge(_read_frames(files, format))
    else:
        _expect(format, "a folder of labels", "yolo_pose")
        found = read_yolo(_texts(files), joints)
    if others:
        found.repairs.append(f"{others} files in the folder are not {kind} and were left out")
    return found


@contextmanager
def _naming(file: str) -> Iterator[None]:
    """Faults of one of the files of a folder begin with its name."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{file}: {error}") from None


def _texts(files: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, str]]:
    for name, data in files:
        with _naming(name):
            text = _text(data)
        yield name, text


def _read_frames(files: Iterable[tuple[str, bytes]], format: str | None) -> Iterator[Found]:
    """The people of JSON files that hold a frame each."""
    for name, data in files:
        with _naming(name):
            content = parse_json(data) if data.strip() else None
        if content in (None, [], {}):
            yield Found(format or "", [name], np.empty(0, dtype=np.int64), np.empty((0, 0)))
            continue
        with _naming(name):
            found = read_json(content, name, format)
        if len(found.labels) != 1:
            raise InputError(
                f"{name}: holds {len(found.labels)} frames; the files of a folder must hold one frame each, "
                "or the folder one file"
            )
        format = found.format
        found.labels = [name]
        yield found


def _merge(frames: Iterable[Found]) -> Found:
    """One of many that hold a frame each."""
    founds = list(frames)
    filled = [found for found in founds if len(found.values)]
    if not filled:
        raise InputError(f"holds no people in {len(founds)} frames")
    first = filled[0]
    for found in filled:
        same = found.values.shape[1:] == first.values.shape[1:] and found.names == first.names
        if not same or (found.scores is None) != (first.scores is None):
            raise InputError(
                f"{found.labels[0]}: has joints of the shape {found.values.shape[1:]}, "
                f"{first.labels[0]} {first.values.shape[1:]}"
            )
    counts = [len(found.values) for found in founds]
    merged = dataclasses.replace(
        first,
        labels=[found.labels[0] for found in founds],
        stamps=None,
        frame_of=np.repeat(np.arange(len(founds)), counts),
        values=np.concatenate([found.values for found in filled]),
        ids=[name for found in filled for name in found.ids or [""] * len(found.values)],
        repairs=[f"{found.labels[0]}: {repair}" for found in founds for repair in found.repairs][:20],
    )
    if first.scores is not None:
        merged.scores = np.concatenate([found.scores for found in filled if found.scores is not None])
    if not any(merged.ids or []):
        merged.ids = None
    return merged
