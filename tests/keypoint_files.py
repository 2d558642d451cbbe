"""Keypoint files as detectors lay them out, made from arrays: one person, all joints, scores of 0.5 to 1."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gcnpose.skeleton import Skeleton

SIZE = (1280, 720)


def walker(frames: int = 6, joints: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """2D of a person who drifts to the right, and scores.

    Shapes:
        (frames, joints, 2) pixels, (frames, joints)
    """
    random = np.random.default_rng(joints)
    place = random.uniform((400, 100), (600, 600), (joints, 2))
    keypoints = place + np.arange(frames)[:, None, None] * (5, 1) + random.normal(0, 1, (frames, joints, 2))
    return keypoints.round(3), random.uniform(0.5, 1, (frames, joints)).round(3)


def triplets(keypoints: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """x, y, score of every joint one after another, a row per frame."""
    return np.concatenate([keypoints, scores[..., None]], axis=2).reshape(len(keypoints), -1)


def _dump(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def coco_results(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    people = [
        {"image_id": frame, "category_id": 1, "keypoints": row.tolist(), "score": 0.9}
        for frame, row in enumerate(triplets(keypoints, scores))
    ]
    return _dump(folder / "person_keypoints_results.json", people)


def coco_annotations(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    width, height = SIZE
    flags = np.full(scores.shape, 2)
    content = {
        "info": {"year": 2017},
        "images": [
            {"id": frame, "file_name": f"{frame:06}.jpg", "width": width, "height": height}
            for frame in range(len(keypoints))
        ],
        "annotations": [
            {"id": 9, "image_id": frame, "category_id": 1, "keypoints": row.tolist(), "num_keypoints": 17}
            for frame, row in enumerate(triplets(keypoints, flags))
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    return _dump(folder / "person_keypoints_val.json", content)


def _instance(keypoints: np.ndarray, scores: np.ndarray) -> dict[str, Any]:
    (left, top), (right, bottom) = keypoints.min(axis=0), keypoints.max(axis=0)
    return {
        "keypoints": keypoints.tolist(),
        "keypoint_scores": scores.tolist(),
        "bbox": [[left, top, right, bottom]],
        "bbox_score": 0.9,
    }


def mmpose(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    names = Skeleton.load("coco17" if keypoints.shape[1] == 17 else "halpe26").joints
    content = {
        "meta_info": {"dataset_name": "coco", "keypoint_id2name": dict(enumerate(names))},
        "instance_info": [
            {"frame_id": frame, "instances": [_instance(*person)]}
            for frame, person in enumerate(zip(keypoints, scores, strict=True), start=1)
        ],
    }
    return _dump(folder / "results_video.json", content)


def mmpose_frames(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    frames = [
        {"frame_id": frame, "instances": [_instance(*person)]}
        for frame, person in enumerate(zip(keypoints, scores, strict=True))
    ]
    return _dump(folder / "video.json", frames)


def mmpose_images(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    inner = folder / "predictions"
    inner.mkdir()
    for frame, person in enumerate(zip(keypoints, scores, strict=True)):
        _dump(inner / f"{frame:06}.json", [_instance(*person)])
    return inner


def openpose(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    inner = folder / "json"
    inner.mkdir()
    for frame, row in enumerate(triplets(keypoints, scores)):
        person = {"person_id": [-1], "pose_keypoints_2d": row.tolist(), "face_keypoints_2d": []}
        _dump(inner / f"clip_{frame:012}_keypoints.json", {"version": 1.3, "people": [person]})
    return inner


def alphapose(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    people = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": row.tolist(), "score": 2.9, "idx": [1.0]}
        for frame, row in enumerate(triplets(keypoints, scores))
    ]
    return _dump(folder / "alphapose-results.json", people)


def kinetics(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    data = [
        {"frame_index": frame, "skeleton": [{"pose": pose.ravel().tolist(), "score": score.tolist()}]}
        for frame, (pose, score) in enumerate(zip(keypoints / SIZE, scores, strict=True), start=1)
    ]
    return _dump(folder / "clip.json", {"data": data, "label": "jogging", "label_index": 169})


def openpifpaf(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "video.openpifpaf.json"
    lines = [
        {"frame": frame, "predictions": [{"keypoints": row.tolist(), "score": 0.9, "category_id": 1}]}
        for frame, row in enumerate(triplets(keypoints, scores), start=1)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def ultralytics(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    frames = []
    for pose, score in zip(keypoints, scores, strict=True):
        points = {"x": pose[:, 0].tolist(), "y": pose[:, 1].tolist(), "visible": score.tolist()}
        box = {"x1": 1.0, "y1": 2.0, "x2": 3.0, "y2": 4.0}
        person = {"name": "person", "class": 0, "confidence": 0.9, "track_id": 3, "box": box}
        frames.append([person | {"keypoints": points}])
    return _dump(folder / "results.json", frames)


def yolo_labels(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    inner = folder / "labels"
    inner.mkdir()
    for frame, row in enumerate(triplets(keypoints / SIZE, scores)):
        cells = ["0 0.5 0.5 0.2 0.6", *(f"{number:.9f}" for number in row)]
        (inner / f"clip_{frame}.txt").write_text(" ".join(cells) + "\n")
    return inner


def mediapipe_json(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    frames = [
        {
            "frame": frame,
            "pose_landmarks": [
                {"x": x, "y": y, "z": -0.1, "visibility": score}
                for (x, y), score in zip(pose.tolist(), row.tolist(), strict=True)
            ],
        }
        for frame, (pose, row) in enumerate(zip(keypoints / SIZE, scores, strict=True))
    ]
    width, height = SIZE
    return _dump(folder / "landmarks.json", {"width": width, "height": height, "fps": 30, "frames": frames})


def mediapipe_csv(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "landmarks.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "landmark", "x", "y", "z", "visibility"])
        for frame, (pose, row) in enumerate(zip(keypoints / SIZE, scores, strict=True)):
            for joint, (x, y), score in zip(
                Skeleton.load("mediapipe33").joints, pose.tolist(), row.tolist(), strict=True
            ):
                writer.writerow([frame, joint.upper(), x, y, 0.1, score])
    return path


def movenet_csv(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "movenet.csv"
    names = Skeleton.load("coco17").joints
    header = ["frame", *(f"{name}_{axis}" for name in names for axis in ("y", "x", "score"))]
    rows = [",".join(header)]
    for frame, row in enumerate(triplets(keypoints[..., ::-1], scores)):
        rows.append(",".join([str(frame), *map(repr, row.tolist())]))
    path.write_text("\n\n".join(rows))
    return path


def wide_csv(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "keypoints.csv"
    header = ",".join(f"x_{joint},y_{joint},score_{joint}" for joint in range(keypoints.shape[1]))
    np.savetxt(path, triplets(keypoints, scores), delimiter=",", header=header, comments="")
    return path


def bare_csv(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "bare.csv"
    np.savetxt(path, triplets(keypoints, scores), delimiter=",")
    return path


def _objects(content: object) -> np.ndarray:
    array = np.empty((), dtype=object)
    array[()] = content
    return array


def videopose3d(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "data_2d_custom_clip.npz"
    width, height = SIZE
    metadata = {
        "layout_name": "coco",
        "num_joints": 17,
        "video_metadata": {"clip.mp4": {"w": width, "h": height}},
    }
    positions = {"clip.mp4": {"custom": [keypoints.astype(np.float32)]}}
    np.savez(path, positions_2d=_objects(positions), metadata=_objects(metadata))
    return path


def detectron(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "clip.mp4.npz"
    width, height = SIZE
    people = np.empty((len(keypoints), 2), dtype=object)
    boxes = np.empty_like(people)
    for frame, (pose, score) in enumerate(zip(keypoints, scores, strict=True)):
        people[frame, 0] = boxes[frame, 0] = []
        people[frame, 1] = np.stack([pose[:, 0], pose[:, 1], np.zeros(17), score])[None].astype(np.float32)
        boxes[frame, 1] = np.array([[1, 2, 3, 4, 0.9]], dtype=np.float32)
    np.savez(path, boxes=boxes, keypoints=people, metadata=_objects({"w": width, "h": height}))
    return path


def reconstruction(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "keypoints.npz"
    np.savez(path, reconstruction=np.concatenate([keypoints, scores[..., None]], axis=2)[None])
    return path


def plain_npz(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "plain.npz"
    np.savez(path, keypoints=keypoints, scores=scores)
    return path


def plain_npy(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    path = folder / "plain.npy"
    np.save(path, np.concatenate([keypoints, scores[..., None]], axis=2))
    return path


def plain_json(folder: Path, keypoints: np.ndarray, scores: np.ndarray) -> Path:
    return _dump(folder / "plain.json", keypoints.tolist())


WRITERS: dict[str, Callable[[Path, np.ndarray, np.ndarray], Path]] = {
    writer.__name__: writer
    for writer in (
        coco_results,
        coco_annotations,
        mmpose,
        mmpose_frames,
        mmpose_images,
        openpose,
        alphapose,
        kinetics,
        openpifpaf,
        ultralytics,
        yolo_labels,
        mediapipe_json,
        mediapipe_csv,
        movenet_csv,
        wide_csv,
        bare_csv,
        videopose3d,
        detectron,
        reconstruction,
        plain_npz,
        plain_npy,
        plain_json,
    )
}

JOINTS = {"openpose": 25, "kinetics": 18, "mediapipe_json": 33, "mediapipe_csv": 33}
"""Number of joints of the formats that do not have COCO's 17."""
