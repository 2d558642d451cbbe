"""Exercise, sport and dance of a right-handed person, as phrases of key poses.

Every action draws its own style. Shapes: frames -> (frames, channels)
"""

from __future__ import annotations

from gcnpose.data.synthetic.channels import Array, pose
from gcnpose.data.synthetic.choreography import Generator, Key, perform, random_arms


def squat(rng: Generator, frames: int) -> Array:
    """Knee bends of different depth."""
    arms = {"lift": rng.uniform(60, 100), "elbow": 15, "roll": 0} if rng.random() < 0.6 else random_arms(rng)

    def phrase() -> list[Key]:
        depth = rng.uniform(0.5, 1.0)
        low = pose(
            hip=90 * depth, knee=115 * depth, abduct=rng.uniform(5, 20),
            tilt=32 * depth, bend=20 * depth, nod=-25 * depth, **arms,
        )  # fmt: skip
        return [Key(0.9, low, hold=rng.uniform(0.1, 0.5)), Key(0.8, pose(), hold=0.3)]

    return perform(rng, frames, phrase)


def lunge(rng: Generator, frames: int) -> Array:
    """Steps forward into a lunge with either leg, and back."""

    def phrase() -> list[Key]:
        depth = rng.uniform(0.5, 1.0)
        front, back = rng.permutation(["left", "right"])
        arms = random_arms(rng) if rng.random() < 0.5 else {"spread": 25, "roll": 40, "elbow": 80}
        step = pose(tilt=5, **{f"{front}_hip": 40, f"{front}_knee": 55, f"{back}_knee": 15})
        legs = {
            f"{front}_hip": 70 * depth, f"{front}_knee": 80 * depth,
            f"{back}_hip": -16 * depth, f"{back}_knee": 62 * depth,
        }  # fmt: skip
        trunk = {"tilt": rng.uniform(0, 15), "bend": rng.uniform(-5, 15), "twist": rng.uniform(-25, 25)}
        low = pose(**legs, **trunk, **arms)
        return [Key(0.4, step), Key(0.5, low, hold=rng.uniform(0.1, 0.6)), Key(0.5, step), Key(0.5, pose())]

    return perform(rng, frames, phrase)


def jump(rng: Generator, frames: int) -> Array:
    """Jumps high, with the legs drawn up, or with arms and legs apart; some turn in the air."""
    style = rng.choice(["high", "tucked", "star"])
    heading = 0.0

    def star() -> list[Key]:
        halfway = pose(air=0.09, spread=80, roll=0, abduct=12, knee=18, hip=8)
        apart = pose(
            spread=rng.uniform(120, 150), roll=-20, elbow=15, abduct=rng.uniform(18, 28), knee=12, hip=6
        )
        together = pose(knee=14, hip=8)
        return [
            Key(0.22, halfway),
            Key(0.22, apart, hold=0.05),
            Key(0.22, halfway),
            Key(0.22, together, hold=0.05),
        ]

    def upwards() -> list[Key]:
        nonlocal heading
        before = heading
        heading += rng.choice([0.0, rng.uniform(-100, 100)])
        strength = rng.uniform(0.6, 1.0)
        height = 0.36 * strength
        crouch = {"hip": 65 * strength, "knee": 90 * strength, "tilt": 35 * strength, "bend": 15}
        push = {"lift": rng.uniform(30, 100), "hip": 0, "knee": 8, "elbow": 30}
        tuck = {"hip": 75, "knee": 100, "tilt": 10, "bend": 20}
        legs = tuck if style == "tucked" else {"hip": 10, "knee": 25}
        return [
            Key(0.5, pose(heading=before, **crouch, lift=-35)),
            Key(0.28, pose(heading=before, air=0.15 * height, **push)),
            Key(0.24, pose(heading=(before + heading) / 2, air=height, **(push | legs))),
            Key(0.24, pose(heading=heading, air=0.1 * height, hip=15, knee=25, spread=35, elbow=40)),
            Key(0.22, pose(heading=heading, **crouch, lift=30, spread=30)),
            Key(0.5, pose(heading=heading), hold=rng.uniform(0.1, 0.5)),
        ]

    return perform(rng, frames, star if style == "star" else upwards)


def kick(rng: Generator, frames: int) -> Array:
    """Kicks with either leg, forwards or sideways, behind raised fists."""
    guard = {"lift": 40, "spread": 15, "elbow": rng.uniform(70, 120), "roll": 30}

    def phrase() -> list[Key]:
        leg, other, left = ("left", "right", 1) if rng.random() < 0.5 else ("right", "left", -1)
        height, aside = rng.uniform(0.5, 1.0), rng.choice([0.0, rng.uniform(20, 55)])
        stand = {f"{other}_hip": 8, f"{other}_knee": 16, **guard}
        ready = pose(tilt=5, **stand, **{f"{leg}_hip": -12, f"{leg}_knee": 30})
        load = pose(
            tilt=-5, **stand, **{f"{leg}_hip": 60 * height, f"{leg}_knee": 95, f"{leg}_abduct": aside / 2}
        )
        strike = pose(
            tilt=-14 * height, bend=14, lean=-left * 0.25 * aside, twist=-left * 15, turn=-left * 12,
            **stand, **{f"{leg}_hip": 95 * height, f"{leg}_knee": 12, f"{leg}_abduct": aside},
        )  # fmt: skip
        return [
            Key(0.4, ready),
            Key(0.25, load),
            Key(0.18, strike),
            Key(0.23, load),
            Key(0.35, ready),
            Key(0.3, pose(**guard)),
        ]

    return perform(rng, frames, phrase)


def box(rng: Generator, frames: int) -> Array:
    """Combinations of jab, cross, hooks, uppercut and ducking, the left foot ahead."""
    guard = {
        "left_hip": 20, "left_knee": 24, "right_hip": -8, "right_knee": 22, "turn": -15, "bend": 12, "nod": 8,
        "lift": 42, "spread": 12, "elbow": 128, "roll": 22, "shrug": 8,
    }  # fmt: skip
    moves: list[dict[str, float]] = [
        {"left_lift": 88, "left_elbow": 10, "left_roll": 50, "left_reach": 15, "twist": -22},
        {"right_lift": 90, "right_elbow": 10, "right_roll": 50, "right_reach": 20, "twist": 34, "turn": 5},
        {"right_lift": 62, "right_spread": 60, "right_elbow": 80, "right_roll": 40, "twist": 36, "turn": 8},
        {"left_lift": 60, "left_spread": 62, "left_elbow": 80, "left_roll": 40, "twist": -32, "turn": -20},
        {"right_lift": 75, "right_elbow": 95, "right_roll": -5, "twist": 30, "bend": 4, "turn": 5},
        {"left_hip": 40, "left_knee": 58, "right_hip": 12, "right_knee": 60, "bend": 35, "tilt": 20},
    ]

    def phrase() -> list[Key]:
        ready = pose(**guard | {"twist": rng.uniform(-8, 8), "side": rng.uniform(-10, 10)})
        combination = []
        for index in rng.integers(len(moves), size=rng.integers(1, 5)):
            combination += [Key(0.17, pose(**guard | moves[index])), Key(0.2, ready)]
        return [*combination, Key(0.2, ready, hold=rng.uniform(0.1, 0.4))]

    return perform(rng, frames, phrase)


def throw(rng: Generator, frames: int) -> Array:
    """Throws overarm or underarm from a step."""
    stride = {"left_hip": 22, "left_knee": 18, "right_hip": -10, "right_knee": 22}

    def underarm() -> list[Key]:
        back = pose(
            **stride, right_lift=-48, right_elbow=12, left_lift=35, tilt=14, bend=15, twist=-28, nod=-10
        )
        release = pose(**stride, right_lift=rng.uniform(50, 80), right_elbow=12, tilt=16, bend=12, twist=15)
        follow = pose(**stride, right_lift=rng.uniform(100, 140), right_elbow=35, tilt=5, twist=22)
        return [Key(0.5, back), Key(0.26, release), Key(0.26, follow)]

    def overarm() -> list[Key]:
        back = pose(
            left_hip=45, left_knee=60, right_hip=-2, right_knee=20, twist=-38, turn=-15, bend=-10,
            right_spread=rng.uniform(80, 105), right_roll=-70, right_elbow=100,
            left_lift=70, left_spread=25, left_elbow=25,
        )  # fmt: skip
        release = pose(
            **stride, right_lift=110, right_spread=45, right_roll=-20, right_elbow=35,
            left_lift=10, left_elbow=60, twist=25, turn=8, bend=18, tilt=8,
        )  # fmt: skip
        follow = pose(
            **stride, right_lift=45, right_spread=-20, right_roll=25, right_elbow=30,
            left_lift=-15, left_elbow=40, twist=40, turn=12, bend=35, tilt=18,
        )  # fmt: skip
        return [Key(0.5, back), Key(0.26, release), Key(0.26, follow)]

    delivery = underarm if rng.random() < 0.35 else overarm

    def phrase() -> list[Key]:
        aim = pose(lift=rng.uniform(30, 60), roll=35, elbow=95, nod=8)
        return [Key(0.6, aim, hold=0.3), *delivery(), Key(0.7, pose(), hold=0.2)]

    return perform(rng, frames, phrase)


def stretch(rng: Generator, frames: int) -> Array:
    """Holds one stretching exercise after the other."""

    def phrase() -> list[Key]:
        near, far, left = ("left", "right", 1) if rng.random() < 0.5 else ("right", "left", -1)
        much = rng.uniform(0.6, 1.0)
        exercises: list[dict[str, float]] = [
            {"lift": 160, "spread": 12, "roll": 10, "bend": -18 * much, "tilt": -6, "nod": -20},
            {f"{far}_spread": 150, f"{far}_lift": 30, f"{far}_elbow": 30, f"{near}_spread": 4,
             "side": left * 30 * much, "lean": left * 10 * much, "cock": left * 10},
            {"lift": 130, "elbow": 8, "tilt": 75 * much, "bend": 50 * much, "hip": 0, "knee": 10, "nod": 10},
            {"spread": 88, "roll": 0, "elbow": rng.uniform(5, 90),
             "twist": left * 40 * much, "turn": left * 12},
            {f"{near}_hip": 28, f"{near}_knee": 100, f"{near}_lift": -30, f"{near}_elbow": 30,
             f"{far}_spread": 70},
            {f"{near}_hip": 85, f"{near}_knee": 115, "lift": 40, "elbow": 55, "bend": 10},
            {"lift": -38, "spread": 22, "roll": -10, "elbow": 12, "bend": -15 * much, "nod": -25},
            {f"{near}_abduct": 42, f"{near}_hip": 10, f"{far}_hip": 55, f"{far}_knee": 78,
             f"{far}_abduct": 10, "tilt": 20, "bend": 20, "side": -left * 8, "lift": 45, "elbow": 40},
        ]  # fmt: skip
        exercise = exercises[rng.integers(len(exercises))]
        return [
            Key(rng.uniform(0.8, 1.2), pose(**exercise), hold=rng.uniform(0.3, 0.9)),
            Key(rng.uniform(0.6, 1.0), pose()),
        ]

    return perform(rng, frames, phrase)


def dance(rng: Generator, frames: int) -> Array:
    """A loop of drawn figures on the beat: bouncing, stepping aside, swaying hips, turning."""
    beat = rng.uniform(0.42, 0.58)
    turning = rng.choice([0, 0, 1, -1]) * rng.uniform(15, 45)
    heading = 0.0
    figures = []
    for index in range(rng.integers(4, 9)):
        side, left = ("left", 1) if index % 2 else ("right", -1)
        dip, step = rng.uniform(0, 1), rng.uniform(0, 1)
        sway = {
            "lean": left * rng.uniform(2, 12), "side": -left * rng.uniform(0, 18),
            "turn": left * rng.uniform(-15, 15), "twist": rng.uniform(-30, 30), "bend": rng.uniform(-8, 22),
            "tilt": rng.uniform(-5, 15), "look": rng.uniform(-35, 35), "nod": rng.uniform(-12, 18),
        }  # fmt: skip
        legs = {
            "hip": 8 + 18 * dip, "knee": 12 + 32 * dip, "abduct": 4 + 12 * dip,
            f"{side}_hip": 10 + 45 * step, f"{side}_knee": 14 + 70 * step,
            f"{side}_abduct": rng.uniform(0, 25),
        }  # fmt: skip
        figures.append(sway | legs | random_arms(rng))

    def phrase() -> list[Key]:
        nonlocal heading
        loop = []
        for figure in figures:
            heading += turning
            towards = pose(heading=heading - turning / 2, **figure)
            bounce = pose(heading=heading - turning / 2, hip=20, knee=34, bend=8, **random_arms(rng))
            loop += [Key(beat / 2, (towards + bounce) / 2), Key(beat / 2, pose(heading=heading, **figure))]
        return loop

    return perform(rng, frames, phrase)
