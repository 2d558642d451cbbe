"""Embedded motion: anatomy, floor, pace and variety, measured anew from the joint positions."""

import itertools

import numpy as np
import pytest

from gcnpose.data import synthetic
from gcnpose.data.synthetic import ACTIONS, SPLITS, make_motion
from gcnpose.data.synthetic.body import Body, move, random_body, walk_on_floor
from gcnpose.data.synthetic.channels import (
    ARM_LIMITS,
    CHANNEL,
    CHANNELS,
    LEG_LIMITS,
    MAX_ARM_ELEVATION,
    limit,
    mirror,
    pose,
)
from gcnpose.data.synthetic.choreography import Key, perform, smooth_noise

SIDES = ("left", "right")
AIRBORNE = ("run", "jump")
# Metres that are easy to reckon with; a neutral habit.
ONE = Body(
    lengths={
        "ankle": 0.1, "shank": 0.4, "thigh": 0.5, "lower_spine": 0.2, "upper_spine": 0.3, "neck": 0.1,
        "head": 0.1, "hip": 0.15, "shoulder": 0.2, "upper_arm": 0.35, "forearm": 0.25,
    },
    habit=np.zeros(len(CHANNELS)),
)  # fmt: skip


@pytest.fixture(scope="module")
def motion():
    return make_motion(seed=0, takes=1)


def joint(sequence, skeleton, name):
    return sequence.positions[:, skeleton.index(name)].astype(np.float64)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def angle(a, b):
    """Degrees between vectors."""
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), (a * b).sum(-1)))


def bone_lengths(sequence, skeleton):
    parent, child = skeleton.bone_indices.T
    positions = sequence.positions.astype(np.float64)
    return np.linalg.norm(positions[:, child] - positions[:, parent], axis=-1)


def forwards(sequence, skeleton):
    """Horizontal direction that a person with the left on the left looks in."""
    to_left = joint(sequence, skeleton, "left_hip") - joint(sequence, skeleton, "right_hip")
    return unit(np.cross(to_left, [0.0, 0.0, 1.0]))


def ankle_heights(sequence, skeleton):
    return np.stack([joint(sequence, skeleton, f"{side}_ankle")[:, 2] for side in SIDES], axis=1)


# ---- the set


def test_subjects_splits_and_names(motion):
    assert motion.skeleton.name == "h36m17"
    assert motion.fps == 50
    assert motion.splits == {"train": ("S1", "S5", "S6", "S7"), "validation": ("S8",), "test": ("S9", "S11")}
    assert sorted(motion.subjects) == sorted(itertools.chain(*SPLITS.values()))
    assert len(ACTIONS) >= 15
    for subject in motion.subjects:
        own = [sequence for sequence in motion.sequences if sequence.subject == subject]
        assert [sequence.name for sequence in own] == [f"{action} 1" for action in ACTIONS]
        assert [sequence.action for sequence in own] == list(ACTIONS)
    lengths = {len(sequence.positions) for sequence in motion.sequences}
    assert min(lengths) >= 150 and max(lengths) <= 300 and len(lengths) > 50


def test_same_seed_gives_the_same_motion_and_another_seed_another(motion):
    assert make_motion(seed=0, takes=1).digest() == motion.digest()
    assert make_motion(seed=1, takes=1).digest() != motion.digest()


def test_a_take_does_not_depend_on_what_else_is_made(motion, monkeypatch):
    monkeypatch.setattr(synthetic, "ACTIONS", {name: ACTIONS[name] for name in ("kick", "walk")})
    fewer = {(s.subject, s.name): s.positions for s in make_motion(seed=0, takes=2).sequences}
    assert len(fewer) == 4 * 2 * 2 + 3 * 2  # four training subjects twice, three others once
    shared = 0
    for sequence in motion.sequences:
        if (sequence.subject, sequence.name) in fewer:
            np.testing.assert_array_equal(sequence.positions, fewer[sequence.subject, sequence.name])
            shared += 1
    assert shared == 7 * 2
    assert fewer["S1", "walk 1"].shape != fewer["S1", "walk 2"].shape


# ---- bodies


def test_bones_keep_their_length_and_left_equals_right(motion):
    skeleton = motion.skeleton
    names = [skeleton.joints[child] for _, child in skeleton.bone_indices]
    for subject in motion.subjects:
        every = np.concatenate([bone_lengths(s, skeleton) for s in motion.sequences if s.subject == subject])
        assert np.ptp(every, axis=0).max() < 1e-5
        length = dict(zip(names, every.mean(0), strict=True))
        for name in names:
            assert length[name] == pytest.approx(length[name.replace("left", "right")], abs=1e-5)


def test_subjects_differ_moderately(motion):
    first = {s.subject: bone_lengths(s, motion.skeleton)[0] for s in reversed(motion.sequences)}
    for one, other in itertools.combinations(first.values(), 2):
        difference = np.abs(np.log(one / other))
        assert 0.03 < difference.max() < 0.5


def test_bodies_are_of_human_height():
    stacked = ("ankle", "shank", "thigh", "lower_spine", "upper_spine", "neck", "head")
    bodies = [random_body(np.random.default_rng(seed)) for seed in range(200)]
    heights = np.array([sum(body.lengths[name] for name in stacked) for body in bodies])
    assert heights.min() >= 1.55 - 1e-9 and heights.max() <= 1.92 + 1e-9
    assert 0.05 < heights.std() < 0.1
    slim = np.array([body.lengths["upper_arm"] for body in bodies]) / heights
    assert 0.03 < slim.std() / slim.mean() < 0.07


# ---- forward kinematics


def test_poses_reckoned_on_paper():
    seat = pose(hip=90, knee=90, abduct=0, toe_in=0, spread=90, roll=0, elbow=90)[None]
    joints = {name: position[0] for name, position in move(ONE, seat).items()}
    for side, sign in zip(SIDES, (1, -1), strict=True):
        hip = np.array([0, sign * 0.15, 0])
        np.testing.assert_allclose(joints[f"{side}_hip"], hip, atol=1e-12)
        np.testing.assert_allclose(joints[f"{side}_knee"], hip + np.array([0.5, 0, 0]), atol=1e-12)
        np.testing.assert_allclose(joints[f"{side}_ankle"], hip + np.array([0.5, 0, -0.4]), atol=1e-12)
        elbow = joints[f"{side}_shoulder"] + [0, sign * 0.35, 0]
        np.testing.assert_allclose(joints[f"{side}_elbow"], elbow, atol=1e-9)
        np.testing.assert_allclose(joints[f"{side}_wrist"], elbow + np.array([0.25, 0, 0]), atol=1e-9)
    assert joints["nose"][0] > joints["thorax"][0] + 0.03  # looks ahead
    assert joints["head"][2] > joints["nose"][2] > joints["thorax"][2] > joints["spine"][2] > 0.19


def test_bending_the_pelvis_leaves_the_legs_where_they_are():
    upright, bowed = (move(ONE, pose(tilt=tilt, hip=10, abduct=0)[None]) for tilt in (0, 45))
    for name in ("left_knee", "right_ankle"):
        np.testing.assert_allclose(bowed[name], upright[name], atol=1e-9)
    assert bowed["thorax"][0, 0] > 0.3


def test_a_mirrored_pose_is_the_mirror_image():
    poses = np.random.default_rng(0).uniform(-60, 120, size=(20, len(CHANNELS)))
    joints, mirrored = move(ONE, poses), move(ONE, mirror(poses))
    swap = {"left": "right", "right": "left"}
    for name, position in joints.items():
        side, _, rest = name.partition("_")
        other = f"{swap[side]}_{rest}" if side in swap else name
        np.testing.assert_allclose(mirrored[other], position * [1, -1, 1], atol=1e-9)


def test_joints_stay_in_range_whatever_is_asked_of_them():
    """Limb angles from -300 to 300 degrees on an upright trunk, taken back from the positions."""
    poses = np.random.default_rng(0).uniform(-300, 300, size=(2000, len(CHANNELS)))
    for name in ("heading", "turn", "tilt", "lean", "bend", "side", "twist"):
        poses[:, CHANNEL[name]] = 0
    joints = move(ONE, poses)
    down = np.array([0.0, 0.0, -1.0])

    def turn_back(limb, vectors):
        """Vectors carried along while the limb is swung back, the shortest way, to hang down."""
        axis = unit(np.cross(limb, down))
        back = np.radians(angle(limb, down))[:, None]
        along = axis * (axis * vectors).sum(-1, keepdims=True)
        return along + (vectors - along) * np.cos(back) + np.cross(axis, vectors) * np.sin(back)

    for sign, side in zip((1, -1), SIDES, strict=True):
        limbs = (
            ("shoulder", "elbow", "wrist", ARM_LIMITS, "lift", "spread", "roll", 1),
            ("hip", "knee", "ankle", LEG_LIMITS, "hip", "abduct", "toe_in", -1),
        )
        for top, middle, end, limits, forward, sideward, roll, opens in limbs:
            upper = unit(joints[f"{side}_{middle}"] - joints[f"{side}_{top}"])
            lower = unit(joints[f"{side}_{end}"] - joints[f"{side}_{middle}"])
            bend = angle(upper, lower)
            assert limits[middle][0] <= bend.min() + 1e-6 and bend.max() <= limits[middle][1] + 1e-6
            elevation = angle(upper, down)
            plane = np.arctan2(sign * upper[:, 1], upper[:, 0])
            for measured, (low, high) in (
                (elevation * np.cos(plane), limits[forward]),
                (elevation * np.sin(plane), limits[sideward]),
            ):
                assert low - 1e-6 <= measured.min() and measured.max() <= high + 1e-6
                assert measured.max() - measured.min() > 0.7 * (high - low)
            opening = opens * turn_back(upper, lower)
            clear = bend > 5
            turned = np.degrees(np.arctan2(-sign * opening[clear, 1], opening[clear, 0]))
            low, high = limits[roll]
            assert low - 1e-6 <= turned.min() and turned.max() <= high + 1e-6
            if top == "shoulder":
                assert elevation.max() <= MAX_ARM_ELEVATION + 1e-6


def test_limits_ease_in_without_a_kink():
    angles = np.linspace(-400, 400, 8001)
    eased = limit(angles, -20.0, 90.0)
    assert eased.min() >= -20 and eased.max() <= 90
    middle = (angles > -13) & (angles < 83)
    np.testing.assert_allclose(eased[middle], angles[middle])
    slope = np.diff(eased) / np.diff(angles)
    assert slope.min() >= 0 and slope.max() <= 1 + 1e-9 and np.abs(np.diff(slope)).max() < 0.02


# ---- knees, elbows, trunk in the finished motion


def test_knees_and_elbows_bend_one_way(motion):
    skeleton = motion.skeleton
    largest = {"knee": 0.0, "elbow": 0.0}
    for sequence in motion.sequences:
        to_left = unit(joint(sequence, skeleton, "left_hip") - joint(sequence, skeleton, "right_hip"))
        for side in SIDES:
            shoulder, elbow, wrist, hip, knee, ankle = (
                joint(sequence, skeleton, f"{side}_{name}")
                for name in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
            )
            knee_angle = angle(knee - hip, ankle - knee)
            elbow_angle = angle(elbow - shoulder, wrist - elbow)
            assert knee_angle.max() < 150 and elbow_angle.max() < 150
            bent = knee_angle > 10
            hinge = unit(np.cross(knee - hip, ankle - knee))
            assert ((hinge * to_left).sum(-1)[bent] > 0.5).all(), (sequence.name, "the ankle is in front")
            largest["knee"] = max(largest["knee"], knee_angle.max())
            largest["elbow"] = max(largest["elbow"], elbow_angle.max())
    assert largest["knee"] > 100 and largest["elbow"] > 120


def test_trunk_and_head_are_those_of_a_person(motion):
    skeleton = motion.skeleton
    for sequence in motion.sequences:
        pelvis, spine, thorax, nose, head = (
            joint(sequence, skeleton, name) for name in ("pelvis", "spine", "thorax", "nose", "head")
        )
        assert angle(spine - pelvis, thorax - spine).max() < 60
        assert angle(thorax - spine, nose - thorax).max() < 70
        assert angle(nose - thorax, head - nose).max() < 80
        across = joint(sequence, skeleton, "left_shoulder") - joint(sequence, skeleton, "right_shoulder")
        ahead = np.cross(across, thorax - spine)
        assert ((nose - thorax) * ahead).sum(-1).min() > 0, "the face is on the side of the chest"
        if sequence.action in ("walk", "run", "wave", "phone", "discuss", "box", "turn"):
            assert angle(thorax - pelvis, np.array([0.0, 0.0, 1.0])).max() < 60


# ---- floor and pace


def test_feet_stand_on_the_floor_and_leave_it_in_jumps(motion):
    skeleton = motion.skeleton
    for sequence in motion.sequences:
        assert sequence.positions[..., 2].min() > 0.05
        lower = ankle_heights(sequence, skeleton).min(1)
        # 12 mm * ln 2: by so much the smooth minimum lies below both feet when they are level.
        assert sequence.action in AIRBORNE or np.ptp(lower) < 0.012 * np.log(2) + 1e-6, sequence.name
    rise = [np.ptp(ankle_heights(s, skeleton).min(1)) for s in motion.sequences if s.action == "jump"]
    assert max(rise) > 0.2 and min(rise) > 0.05


def test_the_standing_foot_stays_where_it_is(motion):
    for action, bound in (("walk", 0.3), ("crouch_walk", 0.15), ("wave", 0.06), ("squat", 0.08)):
        speeds = []
        for sequence in (s for s in motion.sequences if s.action == action):
            for side in SIDES:
                ankle = joint(sequence, motion.skeleton, f"{side}_ankle")
                low = ankle[1:, 2] < ankle_heights(sequence, motion.skeleton).min() + 0.004
                speeds.append(np.linalg.norm(np.diff(ankle[:, :2], axis=0), axis=-1)[low] * motion.fps)
        assert np.concatenate(speeds).mean() < bound


def test_the_root_moves_against_the_foot_that_bears_the_weight():
    """The left foot on the floor goes back 1 cm a frame, the right one swings 20 cm higher."""
    frames = 60
    ankles = np.zeros((frames, 2, 3))
    ankles[:, 0, 0] = 0.3 - 0.01 * np.arange(frames)
    ankles[:, 1, 0] = -0.3 + 0.02 * np.arange(frames)
    ankles[:, 0, 2], ankles[:, 1, 2] = -0.9, -0.7
    root = walk_on_floor(ONE, ankles, np.zeros(frames))
    np.testing.assert_allclose(root[:, 0], 0.01 * np.arange(frames), atol=1e-6)
    np.testing.assert_allclose(root[:, 2], 0.1 + 0.9, atol=1e-6)
    # In the air the feet hold nothing: it glides on at the speed of before and after.
    ankles[20:40, :, 0] += 0.1 * np.sin(np.linspace(0, 2 * np.pi, 20))[:, None]
    air = np.where((np.arange(frames) >= 18) & (np.arange(frames) <= 42), 0.3, 0.0)
    np.testing.assert_allclose(walk_on_floor(ONE, ankles, air)[:, 0], 0.01 * np.arange(frames), atol=1e-6)


def test_nothing_is_faster_than_a_human(motion):
    fastest = {}
    for sequence in motion.sequences:
        velocity = np.diff(sequence.positions.astype(np.float64), axis=0) * motion.fps
        acceleration = np.diff(velocity, axis=0) * motion.fps
        speed = np.linalg.norm(velocity, axis=-1).max()
        assert speed < 12, f"{sequence.name} of {sequence.subject}: {speed:.1f} m/s"
        assert np.linalg.norm(acceleration, axis=-1).max() < 300, sequence.name
        fastest[sequence.action] = max(fastest.get(sequence.action, 0), speed)
    assert fastest["kick"] > 5 and fastest["throw"] > 5 and fastest["run"] > 4


def test_walkers_face_where_they_go_along_curves_near_the_origin(motion):
    skeleton = motion.skeleton
    for sequence in motion.sequences:
        pelvis = joint(sequence, skeleton, "pelvis")
        assert np.abs(pelvis[:, :2]).max() < 3
        if sequence.action in ("walk", "crouch_walk", "run"):
            ahead = forwards(sequence, skeleton)
            step = np.diff(pelvis, axis=0) * [1, 1, 0]
            assert (unit(step) * ahead[1:]).sum(-1).mean() > 0.75, "left and right are exchanged"
            assert np.linalg.norm(step, axis=-1).mean() * motion.fps > 0.4
            assert (ahead @ ahead[0]).min() < 0.9


def test_people_face_everywhere(motion):
    ahead = np.array([forwards(sequence, motion.skeleton)[0, :2] for sequence in motion.sequences])
    quadrant = (ahead > 0) @ [1, 2]
    assert np.bincount(quadrant, minlength=4).min() > 0.15 * len(ahead)


# ---- writing movements down


def test_a_named_side_goes_before_both():
    for angles in (pose(elbow=80, left_elbow=20), pose(left_elbow=20, elbow=80)):
        assert angles[CHANNEL["left_elbow"]] == 20
        assert angles[CHANNEL["right_elbow"]] == 80
    assert pose(lift=np.arange(5.0), nod=3.0).shape == (5, len(CHANNELS))
    with pytest.raises(KeyError, match="left_elbw"):
        pose(elbw=1)


def test_headings_are_reached_exactly_and_held_keys_stand_still():
    phrase = [Key(0.5, pose(heading=90, lift=80), hold=1.0), Key(0.5, pose())]
    played = perform(np.random.default_rng(0), 500, lambda: phrase)
    heading, lift = played[:, CHANNEL["heading"]], played[:, CHANNEL["left_lift"]]
    held = np.flatnonzero(heading == heading.max())
    assert heading.max() == pytest.approx(90) and heading.min() == pytest.approx(0, abs=0.1)
    assert len(held) > 100 and np.abs(np.diff(lift)[held[:-1][np.diff(held) == 1]]).max() < 1e-9


def test_smooth_noise_has_unit_variance_and_its_own_pace():
    noise = smooth_noise(np.random.default_rng(0), 2000, 50, 0.4)
    assert noise.std() == pytest.approx(1, abs=0.05)
    # White noise under a Gaussian of width s has the autocorrelation exp(-lag^2 / (4 s^2)); lag = 2 s = 40.
    assert (noise[40:] * noise[:-40]).mean() == pytest.approx(np.exp(-1), abs=0.06)
