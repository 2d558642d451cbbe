"""Everyday actions of a right-handed person, as phrases of key poses.

Every action draws its own style. Shapes: frames -> (frames, channels)
"""

from __future__ import annotations

from gcnpose.data.synthetic.channels import Array, pose
from gcnpose.data.synthetic.choreography import (
    Generator,
    Key,
    footing,
    hold_still,
    perform,
    random_arm,
    random_arms,
)
from gcnpose.data.synthetic.locomotion import stroll


def sit_down(rng: Generator, frames: int) -> Array:
    """Sits down on a seat, changes posture, stands up."""
    height = rng.uniform(76, 96)
    on_thighs = {"lift": 28, "spread": 8, "roll": 30, "elbow": 50}

    def phrase() -> list[Key]:
        halfway = pose(hip=62, knee=85, tilt=32, bend=18, nod=-15, lift=rng.uniform(10, 50), elbow=25)
        seated = []
        for _ in range(rng.integers(1, 4)):
            arms = on_thighs if rng.random() < 0.4 else random_arms(rng)
            seat = pose(
                hip=height, left_knee=height + rng.uniform(-15, 18), right_knee=height + rng.uniform(-15, 18),
                left_abduct=rng.uniform(0, 22), right_abduct=rng.uniform(0, 22), tilt=rng.uniform(-12, 12),
                bend=rng.uniform(0, 25), side=rng.uniform(-8, 8), twist=rng.uniform(-15, 15),
                look=rng.uniform(-40, 40), nod=rng.uniform(-10, 20), **arms,
            )  # fmt: skip
            seated.append(Key(rng.uniform(0.5, 0.9), seat, hold=rng.uniform(0.1, 0.6)))
        return [Key(0.55, halfway), *seated, Key(0.5, halfway), Key(0.7, pose(), hold=rng.uniform(0.1, 0.6))]

    return perform(rng, frames, phrase)


def wave(rng: Generator, frames: int) -> Array:
    """Waves with one arm or both."""
    arms = rng.choice(["right", "left", "both"], p=[0.6, 0.2, 0.2])
    waving = ("left", "right") if arms == "both" else (arms,)
    high, stand = rng.uniform(60, 125), footing(rng)

    def phrase() -> list[Key]:
        beats = []
        for beat in range(rng.integers(4, 9)):
            out = 1 if beat % 2 else -1
            angles = stand | {"look": rng.uniform(-25, 25), "nod": rng.uniform(-15, 5)}
            for side in waving:
                angles |= {
                    f"{side}_lift": 25, f"{side}_spread": high, f"{side}_shrug": 6,
                    f"{side}_roll": -75 + 22 * out, f"{side}_elbow": 65 - 25 * out,
                }  # fmt: skip
            beats.append(Key(0.26 if beat else 0.5, pose(**angles)))
        return [*beats, Key(0.8, pose(look=rng.uniform(-30, 30), **stand), hold=rng.uniform(0.1, 0.8))]

    return perform(rng, frames, phrase)


def reach(rng: Generator, frames: int) -> Array:
    """Takes something from a place high or low, to the left or the right, and looks at it."""

    def phrase() -> list[Key]:
        side, other, left = ("right", "left", -1) if rng.random() < 0.65 else ("left", "right", 1)
        height, aside = rng.uniform(5, 155), rng.uniform(-25, 75)
        low = max(0.0, 60 - height) / 60
        angles = {
            f"{side}_lift": height + 30 * low, f"{side}_spread": aside, f"{side}_elbow": rng.uniform(5, 40),
            f"{side}_roll": rng.uniform(-20, 30), f"{side}_reach": 15, f"{side}_shrug": 0.08 * height,
            "twist": left * (0.4 * aside - 15), "look": left * 0.6 * aside, "nod": 25 - 0.4 * height,
            "tilt": 30 * low, "bend": 8 + 25 * low, "side": left * 0.12 * aside * (1 - low),
            "hip": 40 * low, "knee": 60 * low,
        }  # fmt: skip
        if rng.random() < 0.4:
            both = ("lift", "elbow", "roll", "reach")
            angles |= {f"{other}_{name}": angles[f"{side}_{name}"] for name in both}
        bring = pose(nod=18, **{f"{side}_lift": 40, f"{side}_elbow": 100, f"{side}_roll": 35})
        return [
            Key(0.8, pose(**angles), hold=0.25),
            Key(0.7, bring, hold=rng.uniform(0.1, 0.5)),
            Key(0.5, pose()),
        ]

    return perform(rng, frames, phrase)


def pick_up(rng: Generator, frames: int) -> Array:
    """Lifts something off the floor, from the knees or from the back, and puts it somewhere."""

    def phrase() -> list[Key]:
        knees = rng.uniform(0, 1)
        tilt, bend = 72 - 35 * knees, 48 - 18 * knees
        down = pose(
            hip=14 + 78 * knees, knee=34 + 96 * knees, abduct=4 + 12 * knees, tilt=tilt, bend=bend,
            side=rng.uniform(-10, 10), twist=rng.uniform(-20, 20), nod=rng.uniform(-20, 10),
            lift=0.85 * (tilt + bend), spread=rng.uniform(-4, 10), roll=10, elbow=rng.uniform(8, 30),
        )  # fmt: skip
        carry = pose(tilt=4, lift=rng.uniform(15, 50), spread=4, roll=15, elbow=rng.uniform(50, 95))
        place = pose(
            lift=rng.uniform(60, 140), spread=0, roll=0, elbow=rng.uniform(10, 40),
            bend=8, twist=rng.uniform(-30, 30),
        )  # fmt: skip
        return [
            Key(0.95, down, hold=0.3),
            Key(0.9, carry, hold=0.3),
            Key(0.7, place),
            Key(0.7, pose(), hold=0.2),
        ]

    return perform(rng, frames, phrase)


def phone(rng: Generator, frames: int) -> Array:
    """A hand at the ear, strolling about or standing and moving the other hand."""

    def phrase() -> list[Key]:
        rest = pose(
            look=rng.uniform(-30, 30), twist=rng.uniform(-15, 15), bend=rng.uniform(0, 12),
            **footing(rng), **(random_arm(rng, "left") if rng.random() < 0.6 else {}),
        )  # fmt: skip
        return [Key(rng.uniform(0.6, 1.2), rest, hold=rng.uniform(0.1, 0.8))]

    poses = stroll(rng, frames) if rng.random() < 0.5 else perform(rng, frames, phrase)
    arm = {"right_lift": 72, "right_spread": 5, "right_roll": 38, "right_elbow": 143}
    return hold_still(rng, poses, arm | {"cock": -10, "nod": 6})


def discuss(rng: Generator, frames: int) -> Array:
    """Talks with the hands."""
    stand = footing(rng)

    def phrase() -> list[Key]:
        nonlocal stand
        if rng.random() < 0.3:
            stand = footing(rng)
        said = pose(
            twist=rng.uniform(-25, 25), bend=rng.uniform(-5, 15), look=rng.uniform(-40, 40),
            nod=rng.uniform(-10, 15), cock=rng.uniform(-10, 10), **stand, **random_arms(rng),
        )  # fmt: skip
        return [Key(rng.uniform(0.4, 0.9), said, hold=rng.uniform(0.05, 0.5))]

    return perform(rng, frames, phrase)
