"""The root's path, from motion projected by known cameras."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from gcnpose.data.camera import Rig, h36m_rig, world_to_camera
from gcnpose.data.synthetic import make_motion
from gcnpose.errors import InputError
from gcnpose.keypoints.track3d import Intrinsics, Track3D
from gcnpose.keypoints.trajectory import (
    Floor,
    estimate_floor,
    fit_translation,
    guess_intrinsics,
    stand_on_floor,
)
from gcnpose.skeleton import Skeleton

SKELETON = Skeleton.load("h36m17")
INTRINSICS = Intrinsics((1145.0, 1143.0), (512.0, 515.0))

Array = np.ndarray


@pytest.fixture(scope="module")
def motion() -> list[Array]:
    """Positions in the frame of a camera that looks down on the floor, (frames, joints, 3)."""
    lens = Rig.from_cameras(h36m_rig()[:1])
    sequences = make_motion(0, 1).sequences
    names = ("walk", "run", "turn", "sit_down", "jump", "squat")
    chosen = [sequence for sequence in sequences if sequence.action in names and sequence.subject == "S1"]
    assert len(chosen) >= 4
    return [
        world_to_camera(
            torch.from_numpy(sequence.positions), lens.orientation[0], lens.translation[0]
        ).numpy()
        for sequence in chosen
    ]


@pytest.fixture(scope="module")
def up() -> Array:
    lens = Rig.from_cameras(h36m_rig()[:1])
    ends = world_to_camera(torch.tensor([[0.0, 0, 1], [0, 0, 0]]), lens.orientation[0], lens.translation[0])
    return (ends[0] - ends[1]).numpy()


def projected(placed: Array) -> Array:
    return placed[..., :2] / placed[..., 2:] * INTRINSICS.focal_px + INTRINSICS.center_px


def error_of_depth(placed: Array, translation: Array) -> float:
    root = placed[:, 0]
    return float((np.linalg.norm(translation - root, axis=1) / root[:, 2]).max())


def test_root_of_projected_motion(motion: list[Array]) -> None:
    for placed in motion:
        relative = placed - placed[:, :1]
        translation = fit_translation(relative, projected(placed), np.ones(placed.shape[:2]), INTRINSICS)
        assert error_of_depth(placed, translation) < 1e-4


def test_root_with_pixel_noise(motion: list[Array]) -> None:
    random = np.random.default_rng(0)
    for placed in motion:
        seen = projected(placed) + random.normal(0, 1, (*placed.shape[:2], 2))
        translation = fit_translation(placed - placed[:, :1], seen, np.ones(placed.shape[:2]), INTRINSICS)
        errors = np.linalg.norm(translation - placed[:, 0], axis=1) / placed[:, 0, 2]
        assert errors.mean() < 0.01


def test_root_with_outlying_joints(motion: list[Array]) -> None:
    random = np.random.default_rng(0)
    for placed in motion:
        seen = projected(placed)
        for frame in seen:
            wrong = random.choice(17, 4, replace=False)
            frame[wrong] += random.uniform(100, 400, (4, 2)) * random.choice([-1, 1], (4, 2))
        translation = fit_translation(placed - placed[:, :1], seen, np.ones(placed.shape[:2]), INTRINSICS)
        assert error_of_depth(placed, translation) < 0.01


def test_equals_a_search_for_the_same_minimum(motion: list[Array]) -> None:
    """Cauchy's loss of the distance in the image, with the scale that the fit arrived at.

    The fit leaves out how a joint's weight changes with its depth, which is of second order in the distances.
    """
    placed = motion[0][40]
    random = np.random.default_rng(0)
    relative = placed - placed[0] + random.normal(0, 0.02, (17, 3))
    seen, score = projected(placed), random.uniform(0.2, 1, 17)
    (translation,) = fit_translation(relative[None], seen[None], score[None], INTRINSICS)
    target = (seen - INTRINSICS.center_px) / INTRINSICS.focal_px

    def distance(t: Array) -> Array:
        moved = relative + t
        return np.linalg.norm(moved[:, :2] / moved[:, 2:] - target, axis=1)

    scale = np.sort(distance(translation))[8]

    def residual(t: Array) -> Array:
        return np.sqrt(score * np.log1p((distance(t) / scale) ** 2))

    found = least_squares(residual, translation + 0.1, xtol=1e-12, ftol=1e-12).x
    assert np.linalg.norm(translation - found) < 0.005 * found[2]


def test_scores_are_weights(motion: list[Array]) -> None:
    placed = motion[0]
    seen, score = projected(placed), np.ones(placed.shape[:2])
    seen[:, ::2] = np.nan_to_num(seen[:, ::2]) * 0  # more than half of the joints, so only the score can tell
    score[:, ::2] = 0
    translation = fit_translation(placed - placed[:, :1], seen, score, INTRINSICS)
    assert error_of_depth(placed, translation) < 1e-4


def test_frames_that_decide_nothing_take_what_lies_between(motion: list[Array]) -> None:
    placed = motion[0][:60]
    score = np.ones(placed.shape[:2])
    score[20:30] = 0
    score[40, 2:] = 0
    translation = fit_translation(placed - placed[:, :1], projected(placed), score, INTRINSICS)
    line = np.linspace(placed[19, 0], placed[30, 0], 12)
    np.testing.assert_allclose(translation[19:31], line, atol=1e-3)
    np.testing.assert_allclose(translation[40], (placed[39, 0] + placed[41, 0]) / 2, atol=1e-3)


@pytest.mark.parametrize("frame", [0, 1, 20, -1])
@pytest.mark.parametrize("shrunk", [0.3, 0.1, 1e-3, 0.0])
def test_a_collapsed_detection_does_not_throw_the_root_away(
    motion: list[Array], shrunk: float, frame: int
) -> None:
    """A detector's joints all in one place for a frame look like somebody far away."""
    placed = motion[0]
    seen = projected(placed)
    middle = seen[frame].mean(axis=0)
    seen[frame] = middle + shrunk * (seen[frame] - middle)
    translation = fit_translation(placed - placed[:, :1], seen, np.ones(placed.shape[:2]), INTRINSICS)
    assert error_of_depth(placed, translation) < 0.02


@pytest.mark.parametrize(
    "depth",
    [
        np.linspace(9, 2, 30),  # in a second, as fast as one can run
        [2.0],
        [9, 2],
        1.2 + 0.28 * np.abs(np.arange(-20, 21)),  # walks up and away, 5 frames a second
        2 + 0.7 * np.abs(np.arange(-8, 9)),  # likewise, 2 frames a second
    ],
)
def test_people_come_near_as_fast_as_they_can(motion: list[Array], depth: list[float] | Array) -> None:
    away = np.stack([np.zeros(len(depth)), np.zeros(len(depth)), depth], axis=1)
    relative = np.repeat(motion[0][:1] - motion[0][:1, :1], len(depth), axis=0)
    placed = relative + away[:, None]
    translation = fit_translation(relative, projected(placed), np.ones(placed.shape[:2]), INTRINSICS)
    assert error_of_depth(placed, translation) < 1e-4


@pytest.mark.parametrize("place", [0.0, 500.0])
def test_all_joints_in_one_place(motion: list[Array], place: float) -> None:
    relative = motion[0] - motion[0][:, :1]
    with pytest.raises(InputError, match="no frame has three joints in front of the camera"):
        fit_translation(
            relative, np.full((*relative.shape[:2], 2), place), np.ones(relative.shape[:2]), INTRINSICS
        )


def test_many_frames_go_in_blocks(motion: list[Array]) -> None:
    placed = np.concatenate([motion[0]] * 40)
    assert len(placed) > 4096
    seen, score = projected(placed), np.ones(placed.shape[:2])
    translation = fit_translation(placed - placed[:, :1], seen, score, INTRINSICS)
    once = len(motion[0])
    np.testing.assert_array_equal(translation[-once:], translation[:once])


def test_guess_says_so() -> None:
    assert guess_intrinsics((1920, 1080)) == Intrinsics((1920.0, 1920.0), (960.0, 540.0), guessed=True)
    assert guess_intrinsics((1080, 1920)).focal_px == (1920.0, 1920.0)


def as_track(placed: Array, skeleton: Skeleton = SKELETON) -> Track3D:
    root = placed[:, 0]
    return Track3D(
        person="0",
        skeleton=skeleton,
        fps=50.0,
        frames=np.arange(len(placed)),
        positions=(placed - root[:, None]).astype(np.float32),
        translation=root.astype(np.float32),
        score=np.ones(placed.shape[:2], np.float32),
        measured=np.ones(placed.shape[:2], bool),
        intrinsics=INTRINSICS,
    )


def test_floor_under_people_who_walk(motion: list[Array], up: Array) -> None:
    floor = estimate_floor([as_track(placed) for placed in motion])
    assert np.degrees(np.arccos(floor.up @ up)) < 2
    lower = np.concatenate([(placed[:, [3, 6]] @ floor.up).min(axis=1) for placed in motion])
    assert np.median(np.abs(lower - floor.height)) < 0.02


def test_floor_of_a_tilted_plane_exactly() -> None:
    """A body that slides about a slope, so far that the slope and not the body says which way is up."""
    random = np.random.default_rng(0)
    body = random.normal(0, 0.2, (17, 3))
    body[:, 1] -= 1.0
    body[3], body[6] = (0.1, 0, 0), (-0.1, 0, 0)
    plan = random.uniform(-20, 20, (500, 2))
    slope = np.array([0.03, -0.05])
    ground = np.stack([plan[:, 0], 1.5 + plan @ slope, 30 + plan[:, 1]], axis=1)
    placed = body + ground[:, None]
    floor = estimate_floor([as_track(placed)])
    normal = np.array([slope[0], -1.0, slope[1]]) / np.sqrt(1 + slope @ slope)
    assert np.degrees(np.arccos(min(floor.up @ normal, 1))) < 0.3


def _turned(up: Array) -> Array:
    """The rotation that :func:`stand_on_floor` makes of a floor: about what is level in both, by the tilt."""
    axis = np.cross(up, [0.0, -1.0, 0.0])
    tilt = np.arctan2(np.linalg.norm(axis), -up[1])
    return Rotation.from_rotvec(tilt * axis / np.linalg.norm(axis)).as_matrix()


def test_tilt_of_a_floor() -> None:
    for degrees in (0, 10.7, 90, 120, 180):
        tilt = np.radians(degrees)
        assert Floor(np.array([0, -np.cos(tilt), -np.sin(tilt)]), 0.0).tilt_degrees == pytest.approx(degrees)
    assert Floor(np.array([0, -0.8, -0.6]), 0.0).looking_down_degrees == pytest.approx(36.87, abs=0.01)
    assert Floor(np.array([0.6, -0.8, 0]), 0.0).looking_down_degrees == 0


def test_a_floor_overhead_is_turned_over() -> None:
    """Half a turn, about any axis."""
    track = as_track(np.random.default_rng(0).normal((0, 0, 5), 0.3, (4, 17, 3)))
    standing = stand_on_floor(track, Floor(np.array([0.0, 1.0, 0.0]), 9.0))
    np.testing.assert_allclose(standing.positions[..., 1], -track.positions[..., 1], atol=1e-6)


def test_feet_stand_on_a_level_floor(motion: list[Array], up: Array) -> None:
    random = np.random.default_rng(0)
    for placed in motion:
        track = as_track(placed)
        wrong = track.translation * random.normal(1, 0.01, (len(placed), 1))
        track = dataclasses.replace(track, translation=wrong.astype(np.float32))
        floor = estimate_floor([track])
        standing = stand_on_floor(track, floor)
        before = (track.placed[:, [3, 6]] @ floor.up).min(axis=1) - floor.height
        after = -standing.placed[:, [3, 6], 1].max(axis=1) - floor.height
        near = np.abs(before) < 0.05
        assert near.mean() > 0.4
        assert np.abs(after[near]).mean() < np.abs(before[near]).mean() / 3
        assert standing.intrinsics is None
        # Turned as a whole: distances stay.
        np.testing.assert_allclose(
            np.linalg.norm(standing.positions, axis=-1), np.linalg.norm(track.positions, axis=-1), atol=1e-5
        )


@pytest.mark.parametrize("camera_height", [0.9, 1.0, 1.1, 1.6])
def test_the_height_of_the_camera_does_not_throw_people_about(
    motion: list[Array], up: Array, camera_height: float
) -> None:
    """Someone stands 4 m away, breathes, and is lifted with feet that are 2 cm off now and then."""
    standing = motion[0][:1] - motion[0][:1, :1]
    feet = float((standing[0, [3, 6]] @ up).min())
    sway = 0.02 * np.sin(np.arange(200) / 9)[:, None, None]
    ahead = np.cross(up, [1.0, 0, 0])
    placed = standing + sway * up + 4 * ahead / np.linalg.norm(ahead) - (camera_height + feet) * up
    track = as_track(placed)
    floor = Floor(up.astype(np.float64), -camera_height)
    moved = stand_on_floor(track, floor).translation - track.translation @ _turned(up).T
    assert np.linalg.norm(moved, axis=1).max() < 0.2
    assert np.linalg.norm(np.diff(moved, axis=0), axis=1).max() < 0.03


def test_a_jump_stays_one(up: Array, motion: list[Array]) -> None:
    standing = motion[0][:1]
    height = 0.6 * np.clip(np.sin(np.linspace(-3 * np.pi, 3 * np.pi, 300)), 0, None)
    track = as_track(standing + height[:, None, None] * up)
    floor = Floor(up.astype(np.float64), float((standing[0, [3, 6]] @ up).min()))
    landed = stand_on_floor(track, floor)
    above = -landed.placed[:, [3, 6], 1].max(axis=1) - floor.height
    assert above.max() == pytest.approx(0.6, abs=0.01)
    assert np.abs(above[height == 0]).max() < 1e-4


def test_no_floor_without_a_place(motion: list[Array]) -> None:
    track = dataclasses.replace(as_track(motion[0]), translation=None)
    with pytest.raises(InputError, match="person 0: has no place in space, so there is no floor to stand on"):
        stand_on_floor(track, Floor(np.array([0.0, -1.0, 0.0]), 0.0))


def test_no_feet() -> None:
    hand = Skeleton.load("hand21")
    track = as_track(np.random.default_rng(0).normal(0, 1, (5, 21, 3)), hand)
    with pytest.raises(InputError, match="hand21 has no joint to stand on: none is called ankle or heel"):
        estimate_floor([track])
