from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.errors import InputError
from gcnpose.keypoints.tracks import select
from tests.detections import entries, one, read, silent, two_people
from tests.keypoint_files import walker


def test_people_are_followed_though_their_order_changes(tmp_path: Path) -> None:
    large, small, scores = two_people()
    people = [
        entry
        for pair in zip(entries(large, scores), entries(small, scores), strict=True)
        for entry in (pair if int(pair[0]["image_id"][:-4]) % 3 else pair[::-1])
    ]
    first, second = select(read(tmp_path, people), "all", say=silent)
    assert (first.person, second.person) == ("0", "1")
    np.testing.assert_allclose(first.keypoints_2d, large, atol=1e-3)
    np.testing.assert_allclose(second.keypoints_2d, small, atol=1e-3)


def test_whoever_was_alone_comes_back_as_the_same(tmp_path: Path) -> None:
    """After a gap too long to fill, where there is never more than one person and no id."""
    keypoints, scores = walker(frames=8)
    detections = read(tmp_path, entries(keypoints, scores, [0, 1, 2, 3, 29, 30, 31, 32]))
    said: list[str] = []
    first, second = select(detections, say=said.append)
    assert (first.person, first.first_frame, len(first.measured)) == ("0", 0, 4)
    assert (second.person, second.first_frame, len(second.measured)) == ("0", 29, 4)
    assert said == ["person 0, the only person: in 8 of 8 frames, in 2 parts"]


def test_another_who_takes_the_place_is_another(tmp_path: Path) -> None:
    """One leaves, another comes at once; who comes after a long gap is not taken for the last one there."""
    large, small, scores = two_people(60)
    one, other, back = range(20), range(20, 40), range(80, 100)
    people = entries(large[:20], scores[:20], [*one]) + entries(small[20:40], scores[20:40], [*other])
    people += entries(large[40:], scores[40:], [*back])
    tracks = select(read(tmp_path, people), "all", max_gap=5, say=silent)
    assert [len(track.measured) for track in tracks] == [20, 20, 20]
    assert len({track.person for track in tracks}) == 3


def test_people_who_stop_while_hidden_are_found(tmp_path: Path) -> None:
    points, scores = walker(40)
    still = points - points.mean(axis=1, keepdims=True)
    along = np.minimum(np.arange(40), 15)[:, None, None] * (40, 0)
    walking, standing = still + along + (400, 400), 0.8 * still + (1800, 400)
    shown = [frame for frame in range(40) if not 16 <= frame < 28]
    people = entries(standing, scores) + entries(walking[shown], scores[shown], shown)
    assert len(select(read(tmp_path, people), "all", say=silent)) == 2


def test_people_who_cross_keep_their_numbers(tmp_path: Path) -> None:
    """The one behind is not seen for eight frames, and is looked for where they were going."""
    points, scores = walker(40)
    still = points - points.mean(axis=1, keepdims=True)
    along = np.linspace(-300, 300, 40)[:, None, None] * (1, 0)
    near, far = still + along + (600, 400), 0.9 * still - along + (600, 400)
    shown = [frame for frame in range(40) if not 14 <= frame < 22]
    people = entries(near, scores) + entries(far[shown], scores[shown], shown)
    tracks = select(read(tmp_path, people), "all", say=silent)
    ways = [track.keypoints_2d[-1].mean(axis=0) - track.keypoints_2d[0].mean(axis=0) for track in tracks]
    assert sorted(way[0] for way in ways) == pytest.approx([-600, 600], abs=1)


def test_track_ids_of_the_file_tell_people_apart(tmp_path: Path) -> None:
    """Two who change places from one frame to the next, as only the ids tell."""
    large, small, scores = two_people()
    swapped = np.concatenate([large[:10], small[10:]])
    other = np.concatenate([small[:10], large[10:]])
    detections = read(tmp_path, entries(swapped, scores, idx="a") + entries(other, scores, idx="b"))
    np.testing.assert_allclose(one(select(detections, "a", say=silent)).keypoints_2d, swapped, atol=1e-3)
    np.testing.assert_allclose(one(select(detections, "b", say=silent)).keypoints_2d, other, atol=1e-3)


def with_ids(
    keypoints: np.ndarray, scores: np.ndarray, ids: list[int], first: int = 0
) -> list[dict[str, Any]]:
    people = entries(keypoints, scores, list(range(first, first + len(ids))))
    return [{**person, "idx": name} for person, name in zip(people, ids, strict=True)]


def test_a_tracker_that_gives_one_person_several_ids(tmp_path: Path) -> None:
    """One goes on where the other ended, with three frames between, and comes back; somebody else passes."""
    keypoints, scores = walker(frames=12)
    people = with_ids(keypoints, scores, [7] * 3 + [9] * 5 + [7] * 4)
    passing = with_ids(keypoints[:1] + 2000, scores[:1], [1], first=10)
    detections = read(tmp_path, people[:3] + people[6:] + passing)
    said: list[str] = []
    track, other = select(detections, "all", say=said.append)
    assert (track.person, len(track.keypoints_2d), other.person) == ("7", 12, "1")
    assert "the track ids 7, 9 go on from one another and are taken for one person" in said
    np.testing.assert_array_equal(one(select(detections, "9", say=silent)).keypoints_2d, track.keypoints_2d)


@pytest.mark.parametrize("case", ["elsewhere", "much later", "nobody yet", "at once"])
def test_ids_that_may_be_of_several_people(tmp_path: Path, case: str) -> None:
    """An id begins where another ended: too far off, late, with another there, or one seen beside it."""
    keypoints, scores = walker(frames=12)
    before = with_ids(keypoints[:6], scores[:6], [7] * 6)
    after = with_ids(keypoints[6:], scores[6:], [9] * 6, first=6)
    if case == "elsewhere":
        after = with_ids(keypoints[6:] + 2000, scores[6:], [9] * 6, first=6)
    elif case == "much later":
        after = with_ids(keypoints[6:], scores[6:], [9] * 6, first=36)
    elif case == "nobody yet":  # whom the tracker knows only later
        aside = entries(keypoints[:6] + 120, scores[:6])
        after = with_ids(keypoints[6:] + 120, scores[6:], [9] * 6, first=6) + aside
    else:
        after += with_ids(keypoints[9:] + 300, scores[9:], [7] * 3, first=9)
    tracks = select(read(tmp_path, before + after), "all", say=silent)
    assert {track.person for track in tracks} == {"7", "9"}


def test_ids_that_repeat_within_frames_are_no_track_ids(tmp_path: Path) -> None:
    large, small, scores = two_people()
    detections = read(tmp_path, entries(large, scores, idx=[0.0]) + entries(small, scores, idx=[0.0]))
    said: list[str] = []
    assert len(select(detections, "all", say=said.append)) == 2
    assert "do not tell people apart" in said[0]


def test_an_id_that_repeats_once_keeps_the_better_score(tmp_path: Path) -> None:
    large, small, scores = two_people(30)
    wrong = entries(small[:1], scores[:1] / 2, idx=1)
    said: list[str] = []
    track = one(select(read(tmp_path, wrong + entries(large, scores, idx=1)), say=said.append))
    np.testing.assert_allclose(track.keypoints_2d, large, atol=1e-3)
    assert "best score was kept" in said[0]


def test_a_person_found_twice_counts_once(tmp_path: Path) -> None:
    keypoints, scores = walker()
    doubled = entries(keypoints, scores) + entries(keypoints + 2, scores / 2)
    said: list[str] = []
    track = one(select(read(tmp_path, doubled), "all", say=said.append))
    np.testing.assert_allclose(track.keypoints_2d, keypoints, atol=1e-3)
    assert said[0].startswith("6 people found twice")


def test_all_zero_people_are_left_out(tmp_path: Path) -> None:
    keypoints, scores = walker()
    zero = entries(np.zeros((2, 17, 2)), np.zeros((2, 17)))
    said: list[str] = []
    one(select(read(tmp_path, zero + entries(keypoints, scores)), "all", say=said.append))
    assert said[0].startswith("2 people without any joint")
    with pytest.raises(InputError, match="no person has a joint"):
        select(read(tmp_path, zero), say=silent)


def test_flags_and_large_scores_become_scores(tmp_path: Path) -> None:
    keypoints, scores = walker(frames=3)
    flags = np.resize([2.0, 1.0, 0.0], scores.shape)
    track = one(select(read(tmp_path, entries(keypoints, flags)), say=silent))
    np.testing.assert_array_equal(track.score[0], np.where(track.measured[0], flags[0] / 2, 0))
    track = one(select(read(tmp_path, entries(keypoints, scores * 6)), say=silent))
    assert track.score.max() == 1


def test_hostile_ids_are_shown_escaped(tmp_path: Path) -> None:
    keypoints, scores = walker()
    track = one(select(read(tmp_path, entries(keypoints, scores, idx="../\x1b[2J\n<b>")), say=silent))
    assert track.person == "../\\x1b[2J\\n<b>"


def test_frames_with_one_person_go_the_same_way_as_others(tmp_path: Path) -> None:
    """They take a short cut; a bystander in every frame closes it."""
    keypoints, scores = walker(frames=40)
    keypoints[17:] += 400  # a cut in the video
    alone = select(read(tmp_path, entries(keypoints, scores)), "all", say=silent)
    bystander = np.tile(keypoints[:1] * 0.1 + (1000, 0), (40, 1, 1))
    both = select(read(tmp_path, entries(keypoints, scores) + entries(bystander, scores)), "all", say=silent)
    assert [len(track.measured) for track in alone] == [23, 17]
    assert [len(track.measured) for track in both] == [23, 17, 40]
    for one_alone, beside in zip(alone, both[:2], strict=True):
        np.testing.assert_array_equal(one_alone.keypoints_2d, beside.keypoints_2d)
