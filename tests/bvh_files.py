"""BVH files that tests write: a tree of joints in, text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

ROTATIONS = "Zrotation Xrotation Yrotation"
SIX = f"Xposition Yposition Zposition {ROTATIONS}"


@dataclass
class Joint:
    """A joint without children gets an End Site, unless `tip` is None."""

    name: str
    offset: tuple[float, float, float]
    children: Sequence[Joint] = field(default_factory=list)
    channels: str = ROTATIONS
    tip: tuple[float, float, float] | None = (0.0, 1.0, 0.0)


def bvh_text(root: Joint, rows: Sequence[Sequence[float]], frame_time: str = "0.02") -> str:
    """The file's text."""
    lines = [
        "HIERARCHY",
        *_lines(root, "ROOT"),
        "MOTION",
        f"Frames: {len(rows)}",
        f"Frame Time: {frame_time}",
    ]
    return "\n".join([*lines, *(" ".join(map(str, row)) for row in rows)]) + "\n"


def _lines(joint: Joint, kind: str = "JOINT") -> Iterator[str]:
    yield f"{kind} {joint.name}"
    yield "{"
    yield f"OFFSET {_words(joint.offset)}"
    yield f"CHANNELS {len(joint.channels.split())} {joint.channels}"
    for child in joint.children:
        yield from _lines(child)
    if not joint.children and joint.tip is not None:
        yield from ("End Site", "{", f"OFFSET {_words(joint.tip)}", "}")
    yield "}"


def _words(offset: tuple[float, float, float]) -> str:
    return " ".join(map(str, offset))
