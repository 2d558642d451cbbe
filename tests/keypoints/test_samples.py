"""Real files of detectors, where they are: every one gives what is known of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from gcnpose.errors import InputError
from gcnpose.keypoints.detections import inspect, inspect_person
from gcnpose.keypoints.layouts import find_layout
from gcnpose.keypoints.reading import read_keypoints
from gcnpose.keypoints.tracks import select

SAMPLES = Path(__file__).resolve().parents[2] / "../shared/data/keypoints"
EXPECTED: dict[str, Any] = (
    json.loads((SAMPLES / "expected.json").read_text()) if (SAMPLES / "expected.json").exists() else {}
)

# There the format is the name of the folder that the sample lies in.
OTHER_FORMATS = {
    "kunkun_cut_kpts": "array",
    "yolo_csv_x_0": "csv",
    "movenet_tfjs_pose_1": "movenet",
    "gastnet_baseball_17": "kinetics_json",
}
# Content cannot tell it from BODY_25.
LAYOUTS = {"balancing_cam1_body25b": "body25b"}
SAME = (
    "unit",
    "frame_numbers_missing",
    "frames_without_people",
    "people_min",
    "people_max",
    "people_per_frame_runs",
    "keypoints",
    "has_score",
    "undetected_joints",
    "x_range",
    "y_range",
    "score_range",
)

pytestmark = pytest.mark.skipif(not EXPECTED, reason=f"no samples in {SAMPLES}")


@pytest.mark.parametrize("name", EXPECTED)
def test_sample(name: str) -> None:
    expected = EXPECTED[name]
    path = SAMPLES / expected["path"]
    if expected["unit"].startswith("3D"):
        with pytest.raises(InputError, match="3D"):
            read_keypoints(path)
        return
    check = expected["check"]
    size = check.get("assumed_image_size_for_px")
    detections = read_keypoints(path, layout=LAYOUTS.get(name), size=tuple(size) if size else None)
    summary = inspect(detections)
    assert {key: summary[key] for key in SAME} == {key: expected[key] for key in SAME}
    assert summary["format"] == OTHER_FORMATS.get(name, expected["format"])
    assert summary["layout"] == find_layout(expected["layout"]).name
    assert summary["frames"] == expected["frames_in_file"]
    assert summary["first_frame"] == str(expected["first_frame"])
    assert summary["last_frame"] == str(expected["last_frame"])
    if expected["image_size_in_file"]:
        assert (summary["image_size"], summary["image_size_from"]) == (expected["image_size_in_file"], "file")
    else:
        assert summary["image_size_from"] == ("option" if size else "guess")
    json.dumps(summary, allow_nan=False)
    person = inspect_person(detections, str(check["frame"]), check["person_index"])
    assert person["frame_position"] == check["frame_position"]
    for joint, values in check["joints"].items():
        for key, value in values.items():
            # Pixels there come from rounded fractions.
            tolerance = 0.06 if key.endswith("px") else 6e-5
            assert person["joints"][joint][key] == pytest.approx(value, abs=tolerance), (joint, key)


@pytest.mark.parametrize("name", EXPECTED)
def test_sample_makes_tracks(name: str) -> None:
    expected = EXPECTED[name]
    if expected["unit"].startswith("3D") or name == "coco_annotations_val4":
        pytest.skip("is no 2D of one video")
    said: list[str] = []
    detections = read_keypoints(SAMPLES / expected["path"], layout=LAYOUTS.get(name))
    tracks = select(detections, "all", say=said.append)
    assert said
    counts = [run for run in expected["people_per_frame_runs"] if run[0]]
    if {people for people, _ in counts} == {1} and name != "coco_results_fake100":
        (track,) = tracks
        assert track.measured_frames.sum() == sum(frames for _, frames in counts)


def test_two_players_whose_rows_swap_are_followed() -> None:
    """The two stand on different halves of the court all the time, one above the other in the image."""
    detections = read_keypoints(SAMPLES / EXPECTED["badminton_clip_1_13_14"]["path"], size=(640, 640))
    near, far = sorted(
        select(detections, "all", say=lambda _: None), key=lambda track: -track.keypoints_2d.max()
    )
    assert len(near.measured) == len(far.measured) == 129
    assert (near.keypoints_2d[:, 11:13, 1].mean(axis=1) > far.keypoints_2d[:, 11:13, 1].mean(axis=1)).all()
    rows_swap = detections.keypoints[0::2, 12, 1] > detections.keypoints[1::2, 12, 1]
    assert rows_swap.any() and not rows_swap.all()
