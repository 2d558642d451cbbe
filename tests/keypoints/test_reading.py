"""Every format, made from arrays: what was written comes back. Then what each may do to a naive reader."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.errors import InputError
from gcnpose.keypoints.detections import Detections, inspect
from gcnpose.keypoints.reading import read_keypoints
from gcnpose.keypoints.tracks import select
from tests.keypoint_files import JOINTS, SIZE, WRITERS, openpose, triplets, videopose3d, walker, yolo_labels

# Format, layout, unit, and where the image size comes from.
EXPECTED = {
    "coco_results": ("coco_json", "coco17", "pixel", "guess"),
    "coco_annotations": ("coco_json", "coco17", "pixel", "file"),
    "mmpose": ("mmpose_json", "coco17", "pixel", "guess"),
    "mmpose_frames": ("mmpose_json", "coco17", "pixel", "guess"),
    "mmpose_images": ("mmpose_json", "coco17", "pixel", "guess"),
    "openpose": ("openpose_json", "body25", "pixel", "guess"),
    "alphapose": ("alphapose_json", "coco17", "pixel", "guess"),
    "kinetics": ("kinetics_json", "openpose18", "normalized", "guess"),
    "openpifpaf": ("openpifpaf_json", "coco17", "pixel", "guess"),
    "ultralytics": ("yolo_pose", "coco17", "pixel", "guess"),
    "yolo_labels": ("yolo_pose", "coco17", "normalized", "guess"),
    "mediapipe_json": ("mediapipe", "mediapipe33", "normalized", "file"),
    "mediapipe_csv": ("mediapipe", "mediapipe33", "normalized", "guess"),
    "movenet_csv": ("movenet", "coco17", "pixel", "guess"),
    "wide_csv": ("csv", "coco17", "pixel", "guess"),
    "bare_csv": ("csv", "coco17", "pixel", "guess"),
    "videopose3d": ("npz_videopose3d", "coco17", "pixel", "file"),
    "detectron": ("npz_detectron", "coco17", "pixel", "file"),
    "reconstruction": ("npz_reconstruction", "h36m17", "pixel", "guess"),
    "plain_npz": ("array", "coco17", "pixel", "guess"),
    "plain_npy": ("array", "coco17", "pixel", "guess"),
    "plain_json": ("array", "coco17", "pixel", "guess"),
}
NO_SCORES = ("videopose3d", "plain_json")


def test_every_writer_is_expected() -> None:
    assert set(EXPECTED) == set(WRITERS)


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_written_comes_back(name: str, tmp_path: Path) -> None:
    keypoints, scores = walker(joints=JOINTS.get(name, 17))
    path = WRITERS[name](tmp_path, keypoints, scores)
    detections = read_keypoints(path)
    format, layout, unit, size_from = EXPECTED[name]
    assert (detections.format, detections.layout.name) == (format, layout)
    assert (detections.unit, detections.image_size_from) == (unit, size_from)
    assert detections.people_per_frame.tolist() == [1] * len(keypoints)
    assert np.diff(detections.frame_numbers).tolist() == [1] * (len(keypoints) - 1)
    if unit == "normalized":
        detections = read_keypoints(path, size=SIZE)
    np.testing.assert_allclose(detections.keypoints_px, keypoints, atol=1e-3)
    if name in NO_SCORES:
        assert detections.scores is None
    elif name == "coco_annotations":
        np.testing.assert_array_equal(detections.scores, np.full(scores.shape, 2.0))
    else:
        assert detections.scores is not None
        np.testing.assert_allclose(detections.scores, scores, atol=1e-6)


@pytest.mark.parametrize("name", WRITERS)
def test_a_format_can_be_forced(name: str, tmp_path: Path) -> None:
    path = WRITERS[name](tmp_path, *walker(joints=JOINTS.get(name, 17)))
    found = EXPECTED[name][0]
    assert read_keypoints(path, format=found).format == found
    other = "npz_detectron" if found != "npz_detectron" else "coco_json"
    with pytest.raises(InputError, match=other):
        read_keypoints(path, format=other)


def test_a_layout_can_be_forced(tmp_path: Path) -> None:
    keypoints, scores = walker()
    for name in ("coco_results", "mmpose_frames", "alphapose", "plain_npz", "yolo_labels", "bare_csv"):
        folder = tmp_path / name
        folder.mkdir()
        detections = read_keypoints(WRITERS[name](folder, keypoints, scores), layout="h36m17")
        assert detections.layout.joints[0] == "pelvis"
    with pytest.raises(InputError, match=r"has 17 joints, but the layout halpe26 has 26"):
        read_keypoints(tmp_path / "plain_npz" / "plain.npz", layout="halpe26")
    with pytest.raises(InputError, match=r"no layout 'coco18', did you mean coco17\?"):
        read_keypoints(tmp_path / "plain_npz" / "plain.npz", layout="coco18")


def test_a_graph_file_is_a_layout(tmp_path: Path) -> None:
    keypoints, scores = walker(joints=3)
    graph = tmp_path / "three.yaml"
    graph.write_text("name: three\nroot: a\njoints: [a, b, c]\nbones: [[a, b], [a, c]]\nmirror: [[b, c]]\n")
    path = WRITERS["coco_results"](tmp_path, keypoints, scores)
    with pytest.raises(InputError, match=r"frame '0', person 0: has 9 numbers, .*--layout"):
        read_keypoints(path)
    detections = read_keypoints(path, layout=str(graph))
    assert detections.layout.joints == ("a", "b", "c")
    np.testing.assert_array_equal(detections.keypoints, keypoints)


@pytest.mark.parametrize(
    ("names", "order", "said"),
    [
        (["leftWrist", "right_wrist", "NOSE"], [2, 0, 1], False),
        (["left_wrist", "nose", "navel", "right_wrist"], [1, 0, 3], False),
        (["left_hip", "right_hip", "nose"], [0, 1, 2], True),
    ],
)
def test_names_in_a_file_have_the_last_word(
    tmp_path: Path, names: list[str], order: list[int], said: bool
) -> None:
    """A layout says what there is; which joint is which the file's names tell, if they are the layout's."""
    graph = tmp_path / "three.yaml"
    graph.write_text(
        "name: three\nroot: nose\njoints: [nose, left_wrist, right_wrist]\n"
        "bones: [[nose, left_wrist], [nose, right_wrist]]\nmirror: [[left_wrist, right_wrist]]\n"
    )
    keypoints, _ = walker(joints=len(names), frames=4)
    rows = [
        f"{frame},{name},{x},{y}"
        for frame, pose in enumerate(keypoints.tolist())
        for name, (x, y) in zip(names, pose, strict=True)
    ]
    (tmp_path / "long.csv").write_text("\n".join(["frame,joint,x,y", *rows]))
    detections = read_keypoints(tmp_path / "long.csv", layout=str(graph))
    np.testing.assert_allclose(detections.keypoints, keypoints[:, order], rtol=1e-6)
    assert any("taken in its order" in assumption for assumption in detections.assumptions) == said


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_body_25_is_assumed_and_said(tmp_path: Path) -> None:
    path = openpose(tmp_path, *walker(joints=25))
    detections = read_keypoints(path)
    assert any("--layout body25b" in sentence for sentence in detections.assumptions)
    forced = read_keypoints(path, layout="body25b")
    assert forced.layout.joints[5] == "left_shoulder"
    assert forced.layout.joints[17:19] == ("neck", "head_top")
    assert not any("body25" in sentence for sentence in forced.assumptions)


def person(points: Any, **more: Any) -> dict[str, Any]:
    return {"pose_keypoints_2d": np.ravel(points).tolist(), **more}


def test_openpose_of_all_versions(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=1, joints=18)
    numbers = triplets(keypoints, scores)[0].tolist()
    old = read_keypoints(
        write(tmp_path / "old.json", {"version": 1.0, "people": [{"pose_keypoints": numbers}]})
    )
    pairs = read_keypoints(write(tmp_path / "pairs.json", {"people": [person(keypoints[0])]}))
    for detections in (old, pairs):
        assert detections.layout.name == "openpose18"
        np.testing.assert_array_equal(detections.keypoints, keypoints)
    assert pairs.scores is None
    assert old.frame_labels == ("old.json",)
    assert old.track_ids is None


def test_frames_without_people_stay(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=5, joints=25)
    folder = openpose(tmp_path, keypoints, scores)
    write(folder / "clip_000000000002_keypoints.json", {"people": []})
    detections = read_keypoints(folder)
    assert detections.people_per_frame.tolist() == [1, 1, 0, 1, 1]
    assert inspect(detections)["people_per_frame_runs"] == [[1, 2], [0, 1], [1, 2]]


def test_frames_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    people = [
        {"image_id": f"{frame}.jpg", "keypoints": (np.ones(51) + frame).tolist(), "category_id": 1}
        for frame in (10, 9, 11, 14)
    ]
    detections = read_keypoints(write(tmp_path / "alphapose-results.json", people))
    assert detections.frame_labels == ("9.jpg", "10.jpg", "11.jpg", "14.jpg")
    assert detections.frame_numbers.tolist() == [9, 10, 11, 14]
    assert detections.keypoints[:, 0, 0].tolist() == [10, 11, 12, 15]
    assert inspect(detections)["frame_numbers_missing"] == [[12, 13]]


# Images of which the second was filmed first, then the third: what they carry, and the labels of the frames.
SHUFFLED = {
    "frame_id": (
        [{"frame_id": frame, "file_name": f"{9 - frame}.jpg"} for frame in (2, 0, 1)],
        ["0", "1", "2"],
    ),
    "names": (
        [{"file_name": f"a_mp4-{frame:04}_jpg.rf.{frame}b.jpg"} for frame in (5, 3, 4)],
        ["a_mp4-0003_jpg.rf.3b.jpg", "a_mp4-0004_jpg.rf.4b.jpg", "a_mp4-0005_jpg.rf.5b.jpg"],
    ),
}
# Images in the order of their ids.
IN_ORDER = {
    "nothing": [{}, {}, {}],
    "the ids": [{"file_name": f"{image:06}.jpg"} for image in (7, 8, 9)],
    "hashes": [{"file_name": name} for name in ("3ec9.jpg", "07aa.jpg", "d13f.jpg")],
    "one name": [{"file_name": "1.jpg"}] * 3,
    "not all": [{"frame_id": 2}, {"frame_id": 1}, {}],
}


def coco_images(path: Path, images: list[dict[str, Any]], first_id: int = 7) -> Path:
    """Annotations of one person in each of the images, at x = 100 in the first of them, then at 200 ..."""
    numbered = [{"id": first_id + number, **image} for number, image in enumerate(images)]
    people = [
        {"image_id": first_id + number, "keypoints": [100 * (number + 1), 50, 2] * 17, "category_id": 1}
        for number in range(len(images))
    ]
    return write(path, {"images": numbered, "annotations": people})


@pytest.mark.parametrize("name", SHUFFLED)
def test_images_of_coco_go_by_frame_or_name(tmp_path: Path, name: str) -> None:
    images, labels = SHUFFLED[name]
    sized = [images[0] | {"width": 640, "height": 480}, *images[1:]]
    detections = read_keypoints(coco_images(tmp_path / "a.json", sized))
    assert list(detections.frame_labels) == labels
    assert np.diff(detections.frame_numbers).tolist() == [1, 1]
    assert detections.keypoints[:, 0, 0].tolist() == [200, 300, 100]
    assert detections.image_sizes[2].tolist() == [640, 480]


@pytest.mark.parametrize("name", IN_ORDER)
def test_images_of_coco_go_by_id_else(tmp_path: Path, name: str) -> None:
    detections = read_keypoints(coco_images(tmp_path / "a.json", IN_ORDER[name]))
    assert detections.frame_labels == ("7", "8", "9")
    assert detections.keypoints[:, 0, 0].tolist() == [100, 200, 300]


@pytest.mark.parametrize("key", ["video_id", "vid_id"])
def test_videos_of_coco_are_recordings(tmp_path: Path, key: str) -> None:
    """Two videos, each numbered from 0; alone in a folder as well."""
    images = [{key: video, "frame_id": frame} for video in (31, "b") for frame in range(2)]
    path = coco_images(tmp_path / "a.json", images)
    for place in (path, tmp_path):
        with pytest.raises(InputError, match=r"holds 2 recordings: '31', 'b'; name one with --sequence"):
            read_keypoints(place)
        detections = read_keypoints(place, sequence="b")
        assert detections.frame_labels == ("0", "1")
        assert detections.keypoints[:, 0, 0].tolist() == [300, 400]
    with pytest.raises(InputError, match=r"holds no recording '3'; there are '31', 'b'"):
        read_keypoints(path, sequence="3")
    alone = coco_images(tmp_path / "alone.json", images[:2])
    assert read_keypoints(alone).keypoints[:, 0, 0].tolist() == [100, 200]
    assert read_keypoints(alone, sequence="31").frame_labels == ("0", "1")


@pytest.mark.parametrize("idx", [3, 3.0, [3.0], [[3.0], [3.0]], "3"])
def test_track_ids_in_all_their_wrappings(tmp_path: Path, idx: object) -> None:
    people = [{"image_id": "0.jpg", "category_id": 1, "keypoints": [5.0] * 51, "idx": idx}]
    assert read_keypoints(write(tmp_path / "a.json", people)).track_ids == ("3",)


def test_alphapose_by_image(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=3, joints=18)
    rows = triplets(keypoints, scores)
    content = {
        f"{n}.jpg": {"version": "AlphaPose v0.3", "bodies": [{"joints": row.tolist()}]}
        for n, row in enumerate(rows)
    }
    detections = read_keypoints(write(tmp_path / "a.json", content))
    assert (detections.format, detections.layout.name) == ("alphapose_json", "openpose18")
    np.testing.assert_array_equal(detections.keypoints, keypoints)


def test_3d_predictions_are_refused(tmp_path: Path) -> None:
    pose = np.random.default_rng(0).normal(0, 0.4, (17, 3)).tolist()
    instance = {"keypoints": pose, "keypoint_scores": [0.9] * 17}
    path = write(tmp_path / "p.json", [{"frame_id": 1, "instances": [instance]}])
    with pytest.raises(InputError, match=r"frame '1', person 0: .* 3D poses, not 2D keypoints"):
        read_keypoints(path)
    np.save(tmp_path / "world.npy", np.random.default_rng(0).normal(0, 0.4, (9, 17, 3)))
    with pytest.raises(InputError, match=r"coordinates lie around 0, .* 3D metres or centred"):
        read_keypoints(tmp_path / "world.npy")


def test_joints_go_by_their_names(tmp_path: Path) -> None:
    """Other order, other spelling, one more: the names say which joint is which."""
    keypoints, _ = walker(frames=2)
    names = [
        "leftHip rightHip leftKnee rightKnee leftAnkle rightAnkle nose LEFT_EYE right-eye leftEar rightEar "
        "leftShoulder rightShoulder leftElbow rightElbow leftWrist rightWrist navel"
    ][0].split()
    order = [11, 12, 13, 14, 15, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0]
    frames = [
        [
            {
                "keypoints": [
                    {"x": x, "y": y, "score": 0.9, "name": name}
                    for name, (x, y) in zip(names, pose[order].tolist(), strict=True)
                ]
            }
        ]
        for pose in keypoints
    ]
    detections = read_keypoints(write(tmp_path / "poses.json", frames))
    assert detections.layout.name == "coco17"
    np.testing.assert_array_equal(detections.keypoints, keypoints)
    assert detections.scores is not None
    assert any("of 18 named joints the 17 of coco17" in sentence for sentence in detections.assumptions)


def test_mediapipe_csv_in_columns_with_empty_rows(tmp_path: Path) -> None:
    header = ",".join(
        f"landmark_{n}_{axis}" for n in range(33) for axis in ("x", "y", "z", "visibility", "presence")
    )
    row = ",".join(["0.25,0.5,-0.1,0.75,0.99"] * 33)
    path = tmp_path / "wide.csv"
    path.write_text(f"frame_number,timestamp,{header}\n0,0.0,{',' * 164}\n1,33.3,{row}\n3,66.6,{row}\n")
    detections = read_keypoints(path, size=(1000, 500))
    assert (detections.format, detections.layout.name) == ("mediapipe", "mediapipe33")
    assert detections.people_per_frame.tolist() == [0, 1, 1]
    assert detections.frame_numbers.tolist() == [0, 1, 3]
    np.testing.assert_array_equal(detections.keypoints_px[0], np.full((33, 2), 250.0))
    assert detections.scores is not None and (detections.scores == 0.75).all()


def test_times_make_a_timeline(tmp_path: Path) -> None:
    """40 ms apart, one frame lost: by arithmetic 25 frames per second and a gap."""
    rows = [
        f"{1_700_000_000_000 + time},{joint},0.5,0.5,0,1"
        for time in (0, 40, 81, 160, 200)
        for joint in range(33)
    ]
    path = tmp_path / "times.csv"
    path.write_text("timestamp,landmark_id,x,y,z,visibility\n" + "\n".join(rows))
    detections = read_keypoints(path)
    assert detections.frame_numbers.tolist() == [0, 1, 2, 4, 5]
    assert detections.fps == pytest.approx(25, rel=0.005)


@pytest.mark.parametrize("frames", [[0, 1, 2, 4, 5, 6], [7, 7, 8, 8, 9, 9], [3, 3, 4, 6, 7, 8]])
@pytest.mark.parametrize("layout", [None, "coco17"])
def test_frame_numbers_without_a_header(tmp_path: Path, frames: list[int], layout: str | None) -> None:
    """With gaps, or several people a frame: 52 columns, which could be 26 joints too."""
    keypoints, scores = walker(len(frames))
    path = tmp_path / "bare.csv"
    np.savetxt(path, np.column_stack([frames, triplets(keypoints, scores)]), delimiter=",", fmt="%.9g")
    detections = read_keypoints(path, layout=layout)
    assert detections.layout.name == "coco17"
    assert detections.frame_numbers[detections.frame_of].tolist() == frames
    np.testing.assert_allclose(detections.keypoints, keypoints, atol=1e-3)


def test_times_without_a_header(tmp_path: Path) -> None:
    keypoints, _ = walker(60)
    path = tmp_path / "bare.csv"
    np.savetxt(path, np.column_stack([np.arange(60) / 30, keypoints.reshape(60, -1)]), delimiter=",")
    detections = read_keypoints(path)
    assert detections.people_per_frame.tolist() == [1] * 60
    assert detections.fps == pytest.approx(30)


@pytest.mark.parametrize("key", ["timestamp", "time_ms"])
@pytest.mark.parametrize("format", ["openpose", "mmpose", "points"])
def test_times_in_json(tmp_path: Path, key: str, format: str) -> None:
    keypoints, scores = walker(40)
    frames = []
    for frame, row in enumerate(triplets(keypoints, scores).tolist()):
        when = frame / 30 if key == "timestamp" else round(frame * 1000 / 30)
        people = {
            "openpose": {"people": [{"pose_keypoints_2d": row}]},
            "mmpose": {"instances": [{"keypoints": keypoints[frame].tolist()}]},
            "points": {"keypoints": keypoints[frame].tolist()},
        }
        frames.append({key: when, **people[format]})
    path = tmp_path / "times.json"
    path.write_text(json.dumps(frames[::-1]))
    detections = read_keypoints(path, layout="coco17")
    assert detections.fps == pytest.approx(30, rel=0.002)
    np.testing.assert_allclose(detections.keypoints, keypoints, atol=1e-3)


TIMES = {  # of every second frame of 50 a second, one lost; and what is no frame's time
    "timestamp": ([f"{frame / 50:.2f}" for frame in (0, 2, 6, 8)], 25),
    "timestamp_ms": ([1_700_000_000_000 + 20 * frame for frame in (0, 2, 6, 8)], 25),
    "time": ([f"2024-05-01T12:00:00.{2 * frame:02}" for frame in (0, 2, 6, 8)], 25),
    "time_ms": ([31.2, 29.8, 30.5, 33.1], None),
}


@pytest.mark.parametrize("key", TIMES)
@pytest.mark.parametrize("form", ["json", "mmpose", "wide", "long"])
def test_times_beside_frame_numbers(tmp_path: Path, key: str, form: str) -> None:
    """The numbers say where a frame stands, the times how fast they come: by arithmetic 25 a second."""
    times, fps = TIMES[key]
    numbers, (keypoints, _) = (0, 2, 6, 8), walker(4)
    path = tmp_path / ("a.csv" if form in ("wide", "long") else "a.json")
    if form == "wide":
        header = ",".join(f"x_{joint},y_{joint}" for joint in range(17))
        rows = [",".join(map(str, pose.ravel().tolist())) for pose in keypoints]
        rows = [f"{number},{time},{row}" for number, time, row in zip(numbers, times, rows, strict=True)]
        path.write_text("\n".join([f"frame,{key},{header}", *rows]))
    elif form == "long":
        rows = [
            f"{time},{number},{joint},{x},{y}"
            for number, time, pose in zip(numbers, times, keypoints.tolist(), strict=True)
            for joint, (x, y) in enumerate(pose)
        ]
        path.write_text("\n".join([f"{key},frame,joint,x,y", *rows]))
    else:
        people = [{"keypoints": pose.tolist()} for pose in keypoints]
        held = people if form == "json" else [{"instances": [person]} for person in people]
        frames = [
            {key: time, "frame": number, **frame}
            for number, time, frame in zip(numbers, times, held, strict=True)
        ]
        write(path, frames[::-1])
    detections = read_keypoints(path)
    assert (detections.frame_numbers.tolist(), detections.places.tolist()) == ([0, 2, 6, 8], [0, 1, 3, 4])
    np.testing.assert_allclose(detections.keypoints, keypoints)
    assert detections.fps == (fps and pytest.approx(fps))
    assert any(sentence.startswith("taken as 25 frames") for sentence in detections.assumptions) == bool(fps)


def test_every_second_frame_of_a_video(tmp_path: Path) -> None:
    """What is read has half the frame rate that the file says of the video."""
    keypoints, _ = walker(6)
    frames = [{"frame": 2 * frame, "keypoints": pose.tolist()} for frame, pose in enumerate(keypoints)]
    path = tmp_path / "video.json"
    path.write_text(json.dumps({"fps": 60, "frames": frames}))
    detections = read_keypoints(path)
    assert detections.fps == 30
    assert "the frame numbers go up by 2: taken as consecutive frames, 30 a second" in detections.assumptions
    (track,) = select(detections)
    assert track.frames.tolist() == [0, 2, 4, 6, 8, 10] and len(track.keypoints_2d) == 6


def test_gaps_in_every_fifth_frame(tmp_path: Path) -> None:
    """A missing frame is a gap of one, whatever the numbers go up by; what comes out keeps the numbers."""
    keypoints, _ = walker(4)
    numbers = [10, 15, 25, 30]
    frames = [
        {"frame": frame, "keypoints": pose.tolist()} for frame, pose in zip(numbers, keypoints, strict=True)
    ]
    path = tmp_path / "video.json"
    path.write_text(json.dumps({"frames": frames}))
    detections = read_keypoints(path)
    assert inspect(detections)["frame_numbers_missing"] == [[20, 20]]
    (track,) = select(detections, max_gap=1)
    assert track.frames.tolist() == [10, 15, 20, 25, 30]
    assert track.measured_frames.tolist() == [True, True, False, True, True]
    before, after = select(detections, max_gap=0)
    assert (before.frames.tolist(), after.frames.tolist()) == ([10, 15], [25, 30])


@pytest.mark.parametrize("shape", ["people", "a frame without", "depth"])
def test_scores_beside_an_array(tmp_path: Path, shape: str) -> None:
    keypoints, scores = walker(6)
    values, beside, left = keypoints, scores, list(range(6))
    if shape == "people":
        values, beside = values[None], beside[None]
    elif shape == "depth":
        values = np.concatenate([values, np.full((6, 17, 1), -0.3)], axis=-1)
    else:
        values = values.copy()
        values[2], left = np.nan, [0, 1, 3, 4, 5]
    np.savez(tmp_path / "scored.npz", keypoints=values, scores=beside)
    detections = read_keypoints(tmp_path / "scored.npz")
    np.testing.assert_allclose(detections.keypoints, keypoints[left])
    assert detections.scores is not None
    np.testing.assert_allclose(detections.scores, scores[left])


def test_plain_arrays_beside_boxes(tmp_path: Path) -> None:
    """Named as in Detectron's archive."""
    keypoints, scores = walker()
    np.savez(tmp_path / "a.npz", keypoints=keypoints, scores=scores, boxes=np.zeros((6, 4)))
    detections = read_keypoints(tmp_path / "a.npz")
    assert detections.format == "array"
    np.testing.assert_array_equal(detections.keypoints, keypoints)
    np.testing.assert_array_equal(detections.scores, scores)


def test_an_archive_of_detectron_may_be_one_array(tmp_path: Path) -> None:
    """(frames, classes, people, 4, joints), where every class has as many people in every frame."""
    keypoints, scores = walker()
    rows = np.stack([*np.moveaxis(keypoints, 2, 0), np.zeros((6, 17)), scores], axis=1)
    np.savez(tmp_path / "a.npz", keypoints=np.stack([rows, rows], axis=1)[:, :, None], boxes=np.zeros(1))
    detections = read_keypoints(tmp_path / "a.npz")
    assert detections.format == "npz_detectron"
    np.testing.assert_array_equal(detections.keypoints, keypoints)


def test_labels_of_more_joints_when_the_layout_is_known(tmp_path: Path) -> None:
    """26 joints of x and y are as many numbers as 17 of x, y and score, and one more."""
    keypoints, _ = walker(3, joints=26)
    for frame, pose in enumerate(keypoints / SIZE):
        row = " ".join(map(str, ["0 0.5 0.5 0.2 0.6", *pose.ravel().round(6).tolist()]))
        (tmp_path / f"clip_{frame}.txt").write_text(row + "\n")
    detections = read_keypoints(tmp_path, layout="halpe26", size=SIZE)
    np.testing.assert_allclose(detections.keypoints_px, keypoints, atol=0.01)


def test_movenet_without_a_header_has_y_first(tmp_path: Path) -> None:
    """Someone upright, as fractions of the image: x stays, y goes from head to feet."""
    pose = np.stack([np.linspace(0.1, 0.9, 17), np.full(17, 0.4), np.full(17, 0.8)], axis=1)  # y, x, score
    path = tmp_path / "keypoints.csv"
    path.write_text("\n\n".join(",".join(map(str, pose.ravel().tolist())) for _ in range(3)))
    detections = read_keypoints(path)
    assert detections.format == "movenet"
    assert any("--format csv" in sentence for sentence in detections.assumptions)
    np.testing.assert_allclose(detections.keypoints[0], pose[:, 1::-1])
    np.testing.assert_allclose(read_keypoints(path, format="csv").keypoints[0], pose[:, :2])


UPRIGHT = np.stack([np.linspace(0.1, 0.9, 17), np.full(17, 0.4), np.full(17, 0.8)], axis=1)  # y, x, score
MOVENET = {
    "keypoints.npy": lambda poses: poses,
    "batch.npy": lambda poses: poses[:, None, None],
    "person.npy": lambda poses: poses[:, None],
    "flat.npy": lambda poses: poses.reshape(len(poses), 51),
    "keypoints.json": lambda poses: poses.tolist(),
    "batch.json": lambda poses: poses[:, None, None].tolist(),
    "frames.json": lambda poses: [{"frame": f, "keypoints": pose.tolist()} for f, pose in enumerate(poses)],
}


def movenet(path: Path, poses: np.ndarray) -> Path:
    content = MOVENET[path.name](poses)
    if path.suffix == ".json":
        return write(path, content)
    np.save(path, content)
    return path


@pytest.mark.parametrize("name", MOVENET)
def test_movenet_in_arrays_and_lists_has_y_first(tmp_path: Path, name: str) -> None:
    path = movenet(tmp_path / name, np.stack([UPRIGHT] * 3))
    detections = read_keypoints(path)
    assert detections.format == "movenet" and len(detections.frame_labels) == 3
    assert any("--format array reads x before y" in sentence for sentence in detections.assumptions)
    np.testing.assert_array_equal(detections.keypoints[2], UPRIGHT[:, 1::-1])
    np.testing.assert_array_equal(detections.scores, np.full((3, 17), 0.8))
    np.testing.assert_array_equal(read_keypoints(path, format="array").keypoints[2], UPRIGHT[:, :2])


@pytest.mark.parametrize("name", MOVENET)
def test_movenet_can_be_said(tmp_path: Path, name: str) -> None:
    """Somebody lies: what the numbers do not tell. As h36m17 they are not MoveNet's either."""
    lying = UPRIGHT[:, [1, 0, 2]]
    path = movenet(tmp_path / name, np.stack([lying] * 3))
    np.testing.assert_array_equal(read_keypoints(path).keypoints[0], lying[:, :2])
    np.testing.assert_array_equal(read_keypoints(path, format="movenet").keypoints[0], lying[:, 1::-1])
    upright = read_keypoints(movenet(path, np.stack([UPRIGHT] * 3)), layout="h36m17")
    np.testing.assert_array_equal(upright.keypoints[0], UPRIGHT[:, :2])


def test_keys_say_which_is_y(tmp_path: Path) -> None:
    points = [{"y": y, "x": x, "score": score} for y, x, score in UPRIGHT.tolist()]
    path = write(tmp_path / "a.json", [{"frame": 0, "keypoints": points}])
    for format in (None, "movenet"):
        np.testing.assert_array_equal(read_keypoints(path, format=format).keypoints[0], UPRIGHT[:, 1::-1])


def test_protobuf_text(tmp_path: Path) -> None:
    block = "  landmark {{\n x: {} y: 0.5 z: -1e-05\n visibility: 0.75 presence: 1.0 }}\n"
    text = "landmarks {\n" + "".join(block.format(0.01 * n) for n in range(33)) + "}\nworld_landmarks {\n"
    path = tmp_path / "pose.pbtxt"
    path.write_text(text + block.format(9) * 33 + "}\n")
    detections = read_keypoints(path)
    np.testing.assert_allclose(detections.keypoints[0, :, 0], 0.01 * np.arange(33))
    assert detections.scores is not None and (detections.scores == 0.75).all()


def test_yolo_with_score_and_id_behind_the_joints(tmp_path: Path) -> None:
    row = " ".join(["0 0.5 0.5 0.2 0.6", *["0.5 0.5 0.9"] * 17])
    (tmp_path / "clip_0.txt").write_text(f"{row} 0.8 7\n{row} 0.7 8\n")
    (tmp_path / "clip_1.txt").write_text(f"{row} 0.8 7\n")
    (tmp_path / "classes.txt").write_text("person\n")
    detections = read_keypoints(tmp_path)
    assert detections.track_ids == ("7", "8", "7")


@pytest.mark.parametrize("score", ["", " 0.8"])
def test_yolo_rows_without_an_id_before_the_tracker_has_one(tmp_path: Path, score: str) -> None:
    """Ultralytics' `model.track(save_txt=True)` leaves the number out."""
    row = " ".join(["0 0.5 0.5 0.2 0.6", *["0.5 0.5 0.9"] * 17]) + score
    (tmp_path / "clip_0.txt").write_text(f"{row}\n")
    (tmp_path / "clip_1.txt").write_text(f"{row} 7\n{row} 8\n")
    (tmp_path / "clip_2.txt").write_text(f"{row}\n")
    detections = read_keypoints(tmp_path)
    assert detections.track_ids == ("", "7", "8", "")
    np.testing.assert_array_equal(detections.keypoints, np.full((4, 17, 2), 0.5))


def test_yolo_without_scores(tmp_path: Path) -> None:
    (tmp_path / "image0.txt").write_text(" ".join(["0 0.5 0.5 0.2 0.6", *["0.5 0.25"] * 17]))
    detections = read_keypoints(tmp_path / "image0.txt")
    assert detections.scores is None
    assert (detections.keypoints[0] == (0.5, 0.25)).all()


def test_rows_of_a_webcam_are_frames(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=30)
    rows = triplets(keypoints / SIZE, scores)
    lines = [" ".join(["0 0.5 0.5 0.2 0.6", *map(str, row)]) for row in rows.tolist()]
    path = tmp_path / "image0.txt"
    path.write_text("\n".join(lines))
    detections = read_keypoints(path)
    assert detections.people_per_frame.tolist() == [1] * 30
    assert any("one person in 30 frames" in sentence for sentence in detections.assumptions)


def test_recordings_of_an_archive_are_named(tmp_path: Path) -> None:
    keypoints, _ = walker(frames=4)
    positions = np.empty((), dtype=object)
    positions[()] = {"S9": {"Walking 1": [keypoints, keypoints + 100]}, "S11": {"Eating": [keypoints]}}
    metadata = np.empty((), dtype=object)
    metadata[()] = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": [[4, 5, 6], [1, 2, 3]]}
    path = tmp_path / "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    np.savez(path, positions_2d=positions, metadata=metadata)
    with pytest.raises(InputError, match=r"holds 3 recordings: 'S9/Walking 1/0', .*--sequence"):
        read_keypoints(path)
    detections = read_keypoints(path, sequence="S9/Walking 1/1")
    assert detections.layout.name == "h36m17"
    np.testing.assert_array_equal(detections.keypoints, keypoints + 100)


def test_several_people_in_an_array(tmp_path: Path) -> None:
    keypoints, _ = walker(frames=4)
    np.save(tmp_path / "two.npy", np.stack([keypoints, keypoints + 300]))
    detections = read_keypoints(tmp_path / "two.npy")
    assert detections.people_per_frame.tolist() == [2] * 4
    assert set(detections.track_ids or ()) == {"0", "1"}


def test_image_size_that_is_too_small_is_said(tmp_path: Path) -> None:
    keypoints, scores = walker()
    path = videopose3d(tmp_path, keypoints * 3, scores)
    assert any("lie outside the image size" in sentence for sentence in read_keypoints(path).assumptions)
    assert read_keypoints(path, size=(3840, 2160)).image_size_from == "option"


def test_a_folder_within_a_folder(tmp_path: Path) -> None:
    (tmp_path / "predict").mkdir()
    yolo_labels(tmp_path / "predict", *walker())
    assert len(read_keypoints(tmp_path).frame_labels) == 6


def test_json_lines_may_begin_with_a_line_about_the_file(tmp_path: Path) -> None:
    keypoints, _ = walker(frames=3)
    lines: list[dict[str, Any]] = [{"type": "meta", "fps": 30}]
    lines += [
        {"frame_index": frame, "persons": [{"track_id": 1, "keypoints": pose.tolist()}]}
        for frame, pose in enumerate(keypoints)
    ]
    path = tmp_path / "clip.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    detections = read_keypoints(path)
    assert detections.people_per_frame.tolist() == [1, 1, 1]
    np.testing.assert_array_equal(detections.keypoints, keypoints)


def settled(detections: Detections) -> tuple[int, int]:
    width, height = detections.image_sizes[0].tolist()
    return width, height


@pytest.mark.parametrize(
    ("extent", "size"), [((600, 470), (640, 480)), ((1090, 1800), (1080, 1920)), ((9e3, 9e3), (9000, 9000))]
)
def test_the_smallest_usual_size_is_guessed(
    tmp_path: Path, extent: tuple[float, float], size: tuple[int, int]
) -> None:
    keypoints = np.full((4, 17, 2), 100.0)
    keypoints[:, 0] = extent
    np.save(tmp_path / "a.npy", keypoints)
    detections = read_keypoints(tmp_path / "a.npy")
    assert settled(detections) == size
    assert any("--size" in sentence for sentence in detections.assumptions)


def test_people_of_nobodys_format(tmp_path: Path) -> None:
    """OpenPose's word for people, MMPose's for joints, nobody's for the frame; ids from 0."""
    keypoints, scores = walker(frames=3)
    frames = [
        {"frame_number": frame, "people": [{"person_id": 0, "keypoints": row.reshape(-1, 3).tolist()}]}
        for frame, row in enumerate(triplets(keypoints, scores))
    ]
    detections = read_keypoints(write(tmp_path / "poses.json", frames))
    assert detections.track_ids == ("0", "0", "0")
    np.testing.assert_array_equal(detections.keypoints, keypoints)
    assert detections.scores is not None
    np.testing.assert_array_equal(detections.scores, scores)


def test_posenet(tmp_path: Path) -> None:
    """tensorflow/tfjs-models, posenet: a pose has keypoints of {score, part, position}."""
    keypoints, scores = walker(frames=1)
    parts = "nose leftEye rightEye leftEar rightEar leftShoulder rightShoulder leftElbow rightElbow leftWrist"
    parts += " rightWrist leftHip rightHip leftKnee rightKnee leftAnkle rightAnkle"
    points = [
        {"score": score, "part": part, "position": {"x": x, "y": y}}
        for part, (x, y), score in zip(parts.split(), keypoints[0].tolist(), scores[0].tolist(), strict=True)
    ]
    detections = read_keypoints(write(tmp_path / "p.json", [{"score": 0.9, "keypoints": points}]))
    np.testing.assert_array_equal(detections.keypoints, keypoints)


def test_names_that_lead_to_gigabytes_are_refused(tmp_path: Path) -> None:
    people = [{f"joint {n}": [1.0, 2.0]} for n in range(900)]
    with pytest.raises(InputError, match="has 900 different joints, of which 900 people have 900 in all"):
        read_keypoints(write(tmp_path / "p.json", people))
