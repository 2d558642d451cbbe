"""3D tracks as a scene: upright, level, on one clock."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gcnpose.errors import InputError
from gcnpose.keypoints.track3d import Track3D
from gcnpose.skeleton import Skeleton
from gcnpose.viz.scene import APART_M, check_keypoints, make_scene
from tests.tracks3d import SKELETON, keypoints_of, standing_track

HEAD, LEFT_WRIST, RIGHT_WRIST, LEFT_ANKLE = (
    SKELETON.index(joint) for joint in ("head", "left_wrist", "right_wrist", "left_ankle")
)


def turned(track: Track3D, degrees: float) -> Track3D:
    """Seen by a camera that looks down by an angle."""
    turn = Rotation.from_euler("x", degrees, degrees=True)
    assert track.translation is not None
    positions = turn.apply(track.positions.reshape(-1, 3)).reshape(track.positions.shape)
    return dataclasses.replace(track, positions=positions, translation=turn.apply(track.translation))


def test_upright_with_the_left_hand_of_somebody_who_faces_the_camera_at_the_right() -> None:
    (person,) = make_scene([standing_track()]).people
    x, y, _ = np.moveaxis(person.positions, -1, 0)
    assert (y[:, HEAD] > y[:, LEFT_WRIST]).all() and (y[:, LEFT_WRIST] > y[:, LEFT_ANKLE]).all()
    assert (x[:, LEFT_WRIST] > x[:, HEAD]).all() and (x[:, HEAD] > x[:, RIGHT_WRIST]).all()


def test_who_is_farther_away_has_a_smaller_z() -> None:
    near, far = standing_track("near"), standing_track("far", place=(0, 0, 6))
    first, second = make_scene([near, far]).people
    np.testing.assert_allclose(first.positions[..., 2] - second.positions[..., 2], 2, atol=0.1)


@pytest.mark.parametrize("degrees", [-20.0, 0.0, 20.0])
def test_the_floor_is_level_whichever_way_the_camera_looks(degrees: float) -> None:
    scene = make_scene([turned(standing_track(), degrees)])
    upright = np.median(scene.people[0].positions[:, HEAD] - scene.people[0].positions[:, 0], axis=0)
    assert upright[1] > 0.99 * np.linalg.norm(upright)
    assert abs(scene.people[0].positions[..., 1].min() - scene.floor) < 0.1


def test_somebody_who_lies_is_drawn_lying() -> None:
    positions = make_scene([turned(standing_track(), 90)]).people[0].positions
    assert np.ptp(positions[0, :, 1]) < 0.3 < np.ptp(positions[0, :, 2])


def test_a_skeleton_without_feet_has_a_floor_below_it() -> None:
    hand = Skeleton.load("hand21")
    track = standing_track()
    shape = np.random.default_rng(0).normal(0, 0.1, (6, hand.num_joints, 3)).astype(np.float32)
    scene = make_scene([dataclasses.replace(track, skeleton=hand, positions=shape)])
    lowest = scene.people[0].positions[..., 1].min(axis=1)
    assert lowest.min() <= scene.floor <= lowest.max()


def test_people_without_a_place_stand_side_by_side() -> None:
    tracks = [standing_track("a", place=None), standing_track("b"), standing_track("a", first=20, place=None)]
    scene = make_scene(tracks)
    assert not scene.placed
    roots = [person.positions[:, 0, 0].mean() for person in scene.people]
    np.testing.assert_allclose(roots, [0, APART_M, 0], atol=1e-6)


def test_one_clock_for_all() -> None:
    first, second = standing_track("a", frames=6, first=10), standing_track("b", frames=3, first=30, fps=None)
    scene = make_scene([second, first])
    assert (scene.first_frame, scene.frames) == (10, 23)
    assert [person.start for person in scene.people] == [20, 0]
    assert (scene.fps, scene.fps_known) == (25.0, True)
    unknown = make_scene([second])
    assert (unknown.fps, unknown.fps_known) == (25.0, False)


def test_every_fifth_frame_of_the_file_is_one_frame() -> None:
    first, second = (
        standing_track("a", frames=3, first=10, step=5),
        standing_track("b", frames=2, first=30, step=5),
    )
    scene = make_scene([first, second])
    assert (scene.frames, [person.start for person in scene.people]) == (6, [0, 4])
    assert [scene.number(frame) for frame in range(scene.frames)] == [10, 15, 20, 25, 30, 35]
    check_keypoints(scene, [keypoints_of(first), keypoints_of(second)])
    with pytest.raises(InputError, match="the same steps"):
        make_scene([first, standing_track("b", first=20)])
    with pytest.raises(InputError, match="person 'a': 3D of 3 frames, 10 to 20, but 2D of 3, 10 to 12"):
        check_keypoints(scene, [dataclasses.replace(keypoints_of(first), frame_step=1), keypoints_of(second)])


def test_2d_of_others_is_refused() -> None:
    track = standing_track("me")
    scene = make_scene([track])
    check_keypoints(scene, [keypoints_of(track)])
    for others, message in (
        ([], "a 2D track for every 3D track, got 0 for 1"),
        ([keypoints_of(standing_track(frames=5))], "'me': 3D of 6 frames, 10 to 15, but 2D of 5, 10 to 14"),
        ([keypoints_of(standing_track(first=9))], "'me': 3D of 6 frames, 10 to 15, but 2D of 6, 9 to 14"),
    ):
        with pytest.raises(InputError, match=message):
            check_keypoints(scene, others)


def test_nothing_to_show_is_refused() -> None:
    with pytest.raises(InputError, match="expected at least one, got none"):
        make_scene([])
    with pytest.raises(InputError, match="has no frame"):
        make_scene([standing_track(), standing_track(frames=0)])
