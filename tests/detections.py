"""Detections made for tests, and the tracks that are chosen of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from gcnpose.keypoints.detections import Detections
from gcnpose.keypoints.reading import read_keypoints
from gcnpose.keypoints.tracks import KeypointTrack
from tests.keypoint_files import triplets, walker


def read(tmp_path: Path, people: list[dict[str, Any]]) -> Detections:
    """Detections of AlphaPose entries."""
    path = tmp_path / "alphapose-results.json"
    path.write_text(json.dumps([{"category_id": 1, **person} for person in people]))
    return read_keypoints(path)


def entries(
    keypoints: np.ndarray, scores: np.ndarray, frames: list[int] | None = None, **more: object
) -> list[dict[str, Any]]:
    rows = triplets(keypoints, scores).tolist()
    return [
        {"image_id": f"{frame}.jpg", "keypoints": row, **more}
        for frame, row in zip(frames or range(len(rows)), rows, strict=True)
    ]


def silent(_: str) -> None:
    """Says nothing."""


def one(tracks: list[KeypointTrack]) -> KeypointTrack:
    (track,) = tracks
    return track


def two_people(frames: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A large person on the left, a small one on the right; and scores."""
    keypoints, scores = walker(frames)
    return keypoints, keypoints * 0.5 + (700, 100), scores
