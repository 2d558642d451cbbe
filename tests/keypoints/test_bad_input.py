"""What cannot be read is refused in one message that says where; what can be mended is, and is said."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.errors import InputError
from gcnpose.keypoints.detections import inspect, inspect_person
from gcnpose.keypoints.reading import read_keypoints
from tests.keypoint_files import WRITERS, openpose, triplets, walker, yolo_labels


def alphapose(path: Path, rows: list[list[Any]], frames: list[Any] | None = None) -> Path:
    people = [
        {"image_id": frame, "category_id": 1, "keypoints": row}
        for frame, row in zip(frames or [f"{n}.jpg" for n in range(len(rows))], rows, strict=True)
    ]
    path.write_text(json.dumps(people))
    return path


def rows(frames: int = 4) -> list[list[Any]]:
    result: list[list[Any]] = triplets(*walker(frames)).tolist()
    return result


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"", "is empty"),
        ("a.json", b'[{"image_id": 0, "keypoints": [1, 2', r"is not JSON: .* at byte 35 \(line 1"),
        ("a.json", b'{"people": [}', r"is not JSON: Expecting value at byte 12"),
        ("a.json", '{"é": '.encode() + b"}", r"at byte 7"),
        ("a.jsonl", b'{"a": 1}\n\n{"a": ', r"Expecting value at byte 16 \(line 3, column 7\)"),
        ("a.json", b'{\n"a": 1\n}\n}', r"Extra data at byte 11 \(line 4, column 1\)"),
        ("a.json", b"\xff\xfe{", r"is not JSON: byte 0 is no UTF-8"),
        ("a.json", b"[" * 100_000, r"is not JSON"),
        ("a.json", b"[" + b"9" * 5000 + b"]", r"is not JSON"),
        ("a.json", b"[]", r"holds no keypoints in a known form; .* got an empty list"),
        ("a.json", b"{}", r"got keys none"),
        ("a.json", b'{"lines": []}', r"got keys 'lines'"),
        ("a.json", b"7", r"got int"),
        ("a.json", b'{"people": []}', r"holds no people in 1 frames"),
        (
            "a.json",
            b'{"people": [{"pose_keypoints_2d": []}, 7]}',
            r"frame 'a.json': expected a list of people",
        ),
        (
            "a.json",
            b'{"people": [{"pose_keypoints_2d": []}, {"hand": []}]}',
            r"none of the keys pose.*'hand'",
        ),
        ("a.json", b'{"instance_info": []}', r"instance_info: expected a list of frames .* an empty list"),
        ("a.json", b'{"instance_info": 7}', r"expected a list of frames with instances, got int"),
        (
            "a.json",
            b'[{"image_id": 0, "keypoints": "many"}]',
            r"frame '0', person 0: a str are not all numbers",
        ),
        ("a.json", b'[{"image_id": [0], "keypoints": [1,2,3]}]', r"a frame is called '\[0\]'"),
        ("a.csv", b"frame,a,b\n1,2,3\n", r"has no columns of keypoints: .* got 'frame', 'a', 'b'"),
        ("a.csv", b"frame,nose_x,nose_y\n", r"has no rows below its header"),
        ("a.csv", b"x_0,y_0,x_2,y_2\n1,2,3,4\n", r"has the joints 0, 2: some numbers are missing"),
        ("a.csv", b"\n \n", r"is empty"),
        ("a.txt", b"0 0.5 0.5 0.1 0.1 0.3", r"line 1: has 6 numbers; expected class, box"),
        (
            "a.bin",
            bytes(range(256)),
            r"^[^:]*a\.bin: byte 128 is no UTF-8 text, and the file of no known kind",
        ),
        ("a.npy", b"\x93NUMPY\x01\x00", r"cannot be read"),
        ("a.npz", b"PK\x03\x04 and no more", r"is not an .npz file"),
        ("a.pbtxt", b"landmarks { landmark { x: 1 } }", r"expected 33 blocks .* got 1"),
    ],
)
def test_unreadable(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_keypoints(path)
    assert str(error.value).startswith(str(path))
    assert str(error.value).count(str(path)) == 1


def test_the_only_file_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "tracks.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"^.*: tracks\.json: is JSON, but holds no keypoints"):
        read_keypoints(tmp_path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        read_keypoints(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"is a folder without files \.json or \.txt"):
        read_keypoints(tmp_path)
    for name in ("train", "valid"):
        (tmp_path / name).mkdir()
    with pytest.raises(InputError, match=r"but the folders train, valid; give one of them"):
        read_keypoints(tmp_path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = alphapose(tmp_path / "a.json", rows())

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        read_keypoints(path)


def test_a_person_with_other_joints_is_named(tmp_path: Path) -> None:
    content = rows()
    content[2] = content[2][:48]
    frames = ["0.jpg", "1.jpg", "1.jpg", "2.jpg"]
    path = alphapose(tmp_path / "a.json", content, frames)
    with pytest.raises(InputError, match=r"frame '1.jpg', person 1: .* have the shape \(48,\), .* \(51,\)"):
        read_keypoints(path)


def test_a_number_of_joints_that_nobody_has(tmp_path: Path) -> None:
    path = alphapose(tmp_path / "a.json", [row[:42] for row in rows()])
    with pytest.raises(InputError, match=r"frame '0.jpg', person 0: has 42 numbers"):
        read_keypoints(path)


def test_a_word_among_the_numbers(tmp_path: Path) -> None:
    content = rows()
    content[3][7] = "seven"
    with pytest.raises(InputError, match=r"frame '3.jpg', person 0: .* not all numbers: .*seven"):
        read_keypoints(alphapose(tmp_path / "a.json", content))


@pytest.mark.parametrize("value", [1e7, -1e30])
def test_a_place_outside_any_image(tmp_path: Path, value: float) -> None:
    content = rows()
    content[1][15] = value
    with pytest.raises(
        InputError, match=r"frame '1.jpg', person 0, joint 'left_shoulder': x is .*, no place"
    ):
        read_keypoints(alphapose(tmp_path / "a.json", content))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_joint_without_a_number_is_not_detected(tmp_path: Path, value: float | None) -> None:
    content = rows()
    content[1][15] = value
    detections = read_keypoints(alphapose(tmp_path / "a.json", content))
    assert [repair[:8] for repair in detections.repairs] == ["1 joints"]
    assert np.argwhere(~detections.detected).tolist() == [[1, 5]]


@pytest.mark.parametrize("joint", [0, 5])
@pytest.mark.parametrize("as_keys", [False, True])
@pytest.mark.parametrize("null", ["null", "nulls"])
def test_a_joint_that_is_null_is_not_detected(tmp_path: Path, joint: int, as_keys: bool, null: str) -> None:
    def point(x: float | None, y: float | None) -> Any:
        return {"x": x, "y": y} if as_keys else [x, y]

    pose: list[Any] = [point(x, y) for x, y in walker(1)[0][0].tolist()]
    pose[joint] = None if null == "null" else point(None, None)
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"frame": 0, "keypoints": pose}]))
    detections = read_keypoints(path)
    assert np.argwhere(~detections.detected).tolist() == [[0, joint]]
    name = detections.layout.joints[joint]
    assert inspect_person(detections, "0", 0)["joints"][name]["x"] is None


@pytest.mark.parametrize("unit", ["pixel", "normalized"])
def test_a_joint_at_minus_one_is_not_detected(tmp_path: Path, unit: str) -> None:
    """Both of them: a joint of which one is -1 lies at the image's edge."""
    keypoints = walker()[0] / (1 if unit == "pixel" else 1000)
    keypoints[1, 5], keypoints[2, 6, 0] = -1, -1
    np.save(tmp_path / "a.npy", keypoints)
    detections = read_keypoints(tmp_path / "a.npy")
    assert detections.unit == unit
    assert np.argwhere(~detections.detected).tolist() == [[1, 5]]


def test_scores_out_of_range(tmp_path: Path) -> None:
    content = rows()
    content[0][2], content[1][5], content[2][8] = -3.0, float("nan"), 7.5
    detections = read_keypoints(alphapose(tmp_path / "a.json", content))
    assert detections.scores is not None
    assert (detections.scores[0, 0], detections.scores[1, 1], detections.scores[2, 2]) == (0, 0, 7.5)
    assert len(detections.repairs) == 2
    zero = [[0.0 if place % 3 == 2 else value for place, value in enumerate(row)] for row in rows()]
    detections = read_keypoints(alphapose(tmp_path / "zero.json", zero))
    assert detections.scores is None
    assert detections.repairs == ("all scores are 0: they were ignored",)


def test_a_frame_that_stands_there_twice(tmp_path: Path) -> None:
    instance = {"keypoints": walker(1)[0][0].tolist(), "keypoint_scores": [0.9] * 17}
    frames = [{"frame_id": number, "instances": [instance]} for number in (1, 2, 2, 3)]
    path = tmp_path / "p.json"
    path.write_text(json.dumps(frames))
    detections = read_keypoints(path)
    assert detections.people_per_frame.tolist() == [1, 2, 1]
    assert detections.repairs == ("1 frames stand there twice; their people were merged",)


def test_people_without_joints_are_left_out(tmp_path: Path) -> None:
    people = [{"image_id": 0, "keypoints": rows()[0]}, {"image_id": 0, "keypoints": []}, {"image_id": 1}]
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(people))
    detections = read_keypoints(path)
    assert detections.people_per_frame.tolist() == [1, 0]
    assert detections.repairs == ("2 entries have no keypoints and were left out",)


def test_files_of_a_folder_that_do_not_fit(tmp_path: Path) -> None:
    folder = openpose(tmp_path, *walker(joints=25))
    (folder / "clip_000000000003_keypoints.json").write_text("{")
    with pytest.raises(InputError, match=r"clip_000000000003_keypoints.json: is not JSON"):
        read_keypoints(folder)
    person = {"pose_keypoints_2d": [1.0] * 54}
    (folder / "clip_000000000003_keypoints.json").write_text(json.dumps({"people": [person]}))
    with pytest.raises(
        InputError, match=r"clip_000000000003_keypoints.json: has joints of the shape \(54,\)"
    ):
        read_keypoints(folder)


def test_label_files_that_do_not_fit(tmp_path: Path) -> None:
    folder = yolo_labels(tmp_path, *walker())
    (folder / "clip_3.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    with pytest.raises(InputError, match=r"clip_3.txt, line 1: has 5 numbers, the rows before have 56"):
        read_keypoints(folder)
    (folder / "clip_3.txt").write_text("person 0.5\n")
    with pytest.raises(InputError, match=r"clip_3.txt, line 1: expected numbers, got 'person 0.5'"):
        read_keypoints(folder)


def test_tables_with_faults(tmp_path: Path) -> None:
    header = ",".join(f"x_{n},y_{n}" for n in range(17))
    good = ",".join(["5"] * 34)
    path = tmp_path / "a.csv"
    path.write_text(f"frame,{header}\n0,{good}\n1,{good[:-1]}none\n")
    with pytest.raises(InputError, match=r"line 3, column 35: 'none' is no number"):
        read_keypoints(path)
    path.write_text(f"frame,{header}\n0,{good}\n\n1,5,5\n")
    with pytest.raises(InputError, match=r"line 4: has 3 cells, expected at least 35"):
        read_keypoints(path)


def test_archives_with_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, poses=np.zeros((4, 9)), text=np.array("hello"))
    with pytest.raises(InputError, match=r"frame '0', person 0: has 9 numbers"):
        read_keypoints(path)
    np.savez(path, text=np.array("hello"))
    with pytest.raises(InputError, match=r"holds no array \(frames, joints, 2 or 3\), but 'text'"):
        read_keypoints(path)
    np.savez(path, keypoints=np.zeros((0, 17, 2)))
    with pytest.raises(InputError, match=r"holds an empty array of the shape \(0, 17, 2\)"):
        read_keypoints(path)
    np.savez(path, reconstruction=np.zeros((1, 2, 3, 17, 2)))
    with pytest.raises(InputError, match=r"expected an array .* got \(1, 2, 3, 17, 2\)"):
        read_keypoints(path)
    np.savez(path, positions_2d=np.zeros(3))
    with pytest.raises(InputError, match=r"positions_2d: expected a dictionary, got ndarray"):
        read_keypoints(path)
    np.savez(path, boxes=np.zeros(1), keypoints=np.zeros((3, 2)))
    with pytest.raises(InputError, match=r"keypoints of frame 0: expected an array of people, got float64"):
        read_keypoints(path, format="npz_detectron")


def test_a_pickle_that_calls_something_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "touched",))

    holder = np.empty((), dtype=object)
    holder[()] = {"S1": {"custom": [Evil()]}}
    np.savez(tmp_path / "a.npz", positions_2d=holder)
    with pytest.raises(InputError, match="nothing was run"):
        read_keypoints(tmp_path / "a.npz")
    assert not (tmp_path / "touched").exists()


def test_an_archive_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as file:
        for _ in range(100):
            file.write(bytes(1 << 20))
    with pytest.raises(InputError, match="zip bomb"):
        read_keypoints(path)


def test_hostile_names_are_shown_escaped(tmp_path: Path) -> None:
    name = "../\x1b[31m<script>\n"
    path = alphapose(tmp_path / "a.json", rows(3), [name, f"{name}1", f"{name}2"])
    summary = json.dumps(inspect(read_keypoints(path)))
    assert "\\\\x1b[31m<script>\\\\n" in summary
    with pytest.raises(InputError) as error:
        read_keypoints(alphapose(tmp_path / "b.json", [[1.0], *rows(2)], [name, f"{name}1", f"{name}2"]))
    assert "\x1b" not in str(error.value) and "\n" not in str(error.value)


def test_frames_and_people_to_inspect(tmp_path: Path) -> None:
    detections = read_keypoints(
        alphapose(tmp_path / "a.json", rows(), [f"img_{n}.jpg" for n in (5, 6, 7, 9)])
    )
    assert inspect_person(detections, "img_7.jpg", 0)["frame_position"] == 2
    assert inspect_person(detections, "9", 0)["frame"] == "img_9.jpg"
    with pytest.raises(InputError, match=r"no frame '8'; the frames go from 'img_5.jpg' to 'img_9.jpg'"):
        inspect_person(detections, "8", 0)
    with pytest.raises(InputError, match=r"frame 'img_7.jpg' has no person 1, but people 0 to 0"):
        inspect_person(detections, "img_7.jpg", 1)


def test_options_are_checked(tmp_path: Path) -> None:
    path = WRITERS["coco_results"](tmp_path, *walker())
    with pytest.raises(InputError, match=r"unknown format 'coco', did you mean coco_json\?"):
        read_keypoints(path, format="coco")
    with pytest.raises(InputError, match=r"image size 0x480"):
        read_keypoints(path, size=(0, 480))
    for one in (path, *(WRITERS[name](tmp_path, *walker()) for name in ("wide_csv", "openpose"))):
        with pytest.raises(InputError, match=r"holds one recording; there is none called 'S1'"):
            read_keypoints(one, sequence="S1")


def test_names_and_scores_that_do_not_fit(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=2)
    path = tmp_path / "p.json"
    meta = {"keypoint_id2name": {str(n): f"joint {n}" for n in range(26)}}
    frames = [{"frame_id": 0, "instances": [{"keypoints": keypoints[0].tolist()}]}]
    path.write_text(json.dumps({"meta_info": meta, "instance_info": frames}))
    with pytest.raises(InputError, match=r"frame '0', person 0: has 26 names of joints for 17 joints"):
        read_keypoints(path)
    instance = {"keypoints": keypoints[0].tolist(), "keypoint_scores": scores[0, :16].tolist()}
    path.write_text(json.dumps([{"frame_id": 0, "instances": [instance]}]))
    with pytest.raises(InputError, match=r"frame '0', person 0: has 16 scores for 17 joints"):
        read_keypoints(path)
