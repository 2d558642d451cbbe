import dataclasses
from pathlib import Path

import numpy as np
import pytest

from gcnpose.errors import InputError
from gcnpose.keypoints.tracks import select
from gcnpose.skeleton import Skeleton
from tests.detections import entries, one, read, silent, two_people
from tests.keypoint_files import walker


def test_one_person_comes_back_as_written(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=12)
    track = one(select(read(tmp_path, entries(keypoints, scores, list(range(5, 17)))), say=silent))
    assert (track.person, track.layout, track.first_frame, track.fps) == ("0", "coco17", 5, None)
    assert track.measured.all() and track.measured_frames.all()
    np.testing.assert_allclose(track.keypoints_2d, keypoints, atol=1e-4)
    np.testing.assert_allclose(track.score, scores, atol=1e-6)


def test_a_short_gap_is_filled_and_marked(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=3)
    keypoints[2] = keypoints[1] + 40
    track = one(select(read(tmp_path, entries(keypoints, scores, [2, 3, 7])), say=silent))
    assert track.measured_frames.tolist() == [True, True, False, False, False, True]
    np.testing.assert_allclose(track.keypoints_2d[2], keypoints[1] + 10, atol=1e-3)
    assert (track.score[2:5] == 0).all()


def test_a_long_gap_splits_the_track(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=8)
    frames = [0, 1, 2, 3, 9, 10, 11, 12]
    detections = read(tmp_path, entries(keypoints, scores, frames, idx=4))
    assert len(one(select(detections, max_gap=5, say=silent)).measured) == 13
    said: list[str] = []
    first, second = select(detections, max_gap=4, say=said.append)
    assert (first.person, second.person) == ("4", "4")
    assert (first.first_frame, len(first.measured)) == (0, 4)
    assert (second.first_frame, len(second.measured)) == (9, 4)
    assert "in 2 parts" in said[-1]


def test_joints_with_a_low_score_are_filled_in_time(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=5)
    scores[1:3, 9] = 0.01
    keypoints[3, 10] = 0  # not detected
    scores[4, 11] = 0.2
    track = one(select(read(tmp_path, entries(keypoints, scores)), say=silent))
    missing = {(1, 9), (2, 9), (3, 10)}
    assert {tuple(place) for place in np.argwhere(~track.measured).tolist()} == missing
    between = keypoints[0, 9] + (keypoints[3, 9] - keypoints[0, 9]) / 3
    np.testing.assert_allclose(track.keypoints_2d[1, 9], between, atol=1e-3)
    strict = one(select(read(tmp_path, entries(keypoints, scores)), min_score=0.3, say=silent))
    assert not strict.measured[4, 11]
    np.testing.assert_allclose(strict.keypoints_2d[4, 11], keypoints[3, 11], atol=1e-3)


def test_a_joint_that_is_never_seen_stands_at_its_neighbour(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=3)
    joints = Skeleton.load("coco17").joints
    ankle, knee, hip = (joints.index(f"left_{name}") for name in ("ankle", "knee", "hip"))
    keypoints[:, [ankle, knee]] = 0
    said: list[str] = []
    track = one(select(read(tmp_path, entries(keypoints, scores)), say=said.append))
    np.testing.assert_array_equal(track.keypoints_2d[:, ankle], track.keypoints_2d[:, hip])
    np.testing.assert_array_equal(track.keypoints_2d[:, knee], track.keypoints_2d[:, hip])
    assert "never seen: left_ankle, left_knee" in said[-1]


def test_who_was_chosen_of_how_many_is_said(tmp_path: Path) -> None:
    large, small, scores = two_people()
    detections = read(tmp_path, entries(small, scores) + entries(large, scores))
    said: list[str] = []
    np.testing.assert_allclose(one(select(detections, say=said.append)).keypoints_2d, large, atol=1e-3)
    assert said == ["person 0, the largest of 2 people: in 20 of 20 frames"]
    np.testing.assert_allclose(one(select(detections, "1", say=silent)).keypoints_2d, small, atol=1e-3)
    with pytest.raises(InputError, match=r"there is no person '2', but '0', '1'"):
        select(detections, "2", say=silent)


def test_a_spurious_frame_does_not_cut_the_track(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=20)
    keypoints[9] += 600
    said: list[str] = []
    track = one(select(read(tmp_path, entries(keypoints, scores)), say=said.append))
    assert track.measured_frames.tolist() == [frame != 9 for frame in range(20)]
    assert "the largest of 2 people: in 19 of 20 frames, 1 more filled in" in said[-1]


def test_only_the_joints_of_a_graph_are_kept(tmp_path: Path) -> None:
    keypoints, scores = walker(joints=133)
    track = one(select(read(tmp_path, entries(keypoints, scores)), say=silent))
    assert (track.layout, track.keypoints_2d.shape) == ("coco17", (6, 17, 2))
    np.testing.assert_allclose(track.keypoints_2d, keypoints[:, :17], atol=1e-3)


def test_images_of_different_sizes_are_no_video(tmp_path: Path) -> None:
    detections = read(tmp_path, entries(*walker(frames=3)))
    sizes = np.array([[640, 480], [640, 480], [500, 333]])
    with pytest.raises(InputError, match="500x333, 640x480"):
        select(dataclasses.replace(detections, image_sizes=sizes), say=silent)


@pytest.mark.parametrize(("min_score", "max_gap"), [(-0.1, 5), (1.5, 5), (0.1, -1)])
def test_limits_are_checked(tmp_path: Path, min_score: float, max_gap: int) -> None:
    with pytest.raises(InputError, match=r"^min_score: expected 0 to 1|^max_gap: expected at least 0"):
        select(read(tmp_path, entries(*walker())), min_score=min_score, max_gap=max_gap)
