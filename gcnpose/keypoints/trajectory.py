"""The path of a lifted person through space: where the root must be for the 3D to fall on the 2D."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial.transform import Rotation

from gcnpose.errors import InputError
from gcnpose.keypoints.track3d import Intrinsics, Track3D

FEET = ("ankle", "heel", "toe", "foot")
"""A joint with one of these in its name can stand on the floor."""
STEEPEST_DEGREES = 40
"""A floor that seems steeper to the camera is none: somebody lies, or hangs."""

_ITERATIONS = 10
_AT_ONCE = 4096  # frames, so that hours of video need no more memory than minutes
_SMALLEST_DISTANCE = 1e-3  # in focal lengths, about a pixel: below it there are no outliers
_NEAREST_M = 0.1
_SMALLEST_SPREAD = 5e-3  # of a person, in focal lengths: half a metre of body at a hundred metres
_NEIGHBOURS = 9  # frames around a frame, itself included, by whose median its depth is judged
_LARGEST_JUMP = 2.0  # how many times as near or far as in that median is no movement of the person
_FLOOR_SPREAD_M = 1.0  # a path this wide tells as much about the floor's tilt as the bodies that stand on it
_FLOOR_NOISE_M = 0.02
_FLATTEST_M = 0.25  # fall of a line of sight, from where on it decides about depth
_LEVEL = np.array([0.0, -1.0, 0.0])  # up, to a camera that stands upright
_CONTACT_M = 0.2  # a foot this high above the floor is on its way into the air

Array = npt.NDArray[np.float64]


def guess_intrinsics(image_size: tuple[int, int]) -> Intrinsics:
    """A camera for an image of which only the size is known.

    The focal length is the longer side, a view of 53 degrees along it. Phones and webcams see more, about 65
    degrees, Human3.6M's cameras 47 degrees. The depth that is fitted scales with it.
    """
    width, height = image_size
    focal = float(max(width, height))
    return Intrinsics((focal, focal), (width / 2, height / 2), guessed=True)


def fit_translation(
    positions: npt.NDArray[np.floating],
    keypoints_2d: npt.NDArray[np.floating],
    score: npt.NDArray[np.floating],
    intrinsics: Intrinsics,
) -> npt.NDArray[np.float32]:
    """The translation of every frame with which the 3D projects nearest to the 2D, joints weighted by score.

    A joint at (X, Y, Z) that is seen at (u, v), in focal lengths from the principal point, gives two linear
    equations in the translation: ``tx - u tz = u Z - X`` and ``ty - v tz = v Z - Y``. Their weighted least
    squares have a closed form. It is solved a few times. A weight is the score, divided by the joint's depth
    squared, which makes the residual one in the image, and by ``1 + (r / s)^2`` (Cauchy's weight), r the
    joint's distance in the image and s the frame's median distance, so that joints which are far off lose
    their say.

    Frames that decide nothing take what lies between their neighbours: those with fewer than three joints, or
    with all joints in one place, with a person in or behind the camera, or suddenly much nearer or farther.

    Args:
        positions: Metres, relative to the root, in the camera's frame.
        keypoints_2d: Pixels, without lens distortion.
        score: Weights, at least 0.
        intrinsics: The camera.

    Returns:
        Metres, in the camera's frame.

    Shapes:
        positions (frames, joints, 3), keypoints_2d (frames, joints, 2), score (frames, joints) -> (frames, 3)

    Raises:
        InputError: if no frame decides where the root is.
    """
    fitted = [
        _fit(positions[rows], keypoints_2d[rows], score[rows], intrinsics)
        for rows in (slice(first, first + _AT_ONCE) for first in range(0, len(positions), _AT_ONCE))
    ]
    translation, decided = (np.concatenate(parts) for parts in zip(*fitted, strict=True))
    if not decided.any():
        raise InputError(
            "no frame has three joints in front of the camera, from which the root's place follows"
        )
    depth = np.log(translation[decided, 2])
    usual = ndimage.median_filter(depth, _NEIGHBOURS, mode="reflect")
    decided[decided] = np.abs(depth - usual) <= np.log(_LARGEST_JUMP)
    frames = np.arange(len(translation))
    between = [np.interp(frames, frames[decided], along[decided]) for along in translation.T]
    return np.stack(between, axis=-1).astype(np.float32)


def _fit(
    positions: npt.NDArray[np.floating],
    keypoints_2d: npt.NDArray[np.floating],
    score: npt.NDArray[np.floating],
    intrinsics: Intrinsics,
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """The translation of every frame, and whether the frame decides it."""
    points = positions.astype(np.float64)
    seen = (keypoints_2d.astype(np.float64) - intrinsics.center_px) / intrinsics.focal_px
    target = seen * points[..., 2:] - points[..., :2]
    trusted = score > 0
    translation = _pairwise(seen, target, trusted)
    for _ in range(_ITERATIONS):
        placed = points + translation[:, None]
        depth = np.maximum(placed[..., 2:], _NEAREST_M)
        distance = np.linalg.norm(placed[..., :2] / depth - seen, axis=-1)
        typical = np.maximum(_median(distance, trusted)[:, None], _SMALLEST_DISTANCE)
        weights = score / depth[..., 0] ** 2 / (1 + (distance / typical) ** 2)
        translation = _least_squares(seen, target, weights)
    in_front = (points[..., 2] + translation[:, None, 2] > _NEAREST_M).all(axis=1)
    share = trusted[..., None] / np.maximum(trusted.sum(axis=1), 1)[:, None, None]
    spread = np.sqrt((share * (seen - (share * seen).sum(axis=1)[:, None]) ** 2).sum(axis=(1, 2)))
    enough = (trusted.sum(axis=1) >= 3) & (spread >= _SMALLEST_SPREAD)
    return translation, in_front & enough & (translation[:, 2] > _NEAREST_M)


def _pairwise(seen: Array, target: Array, trusted: npt.NDArray[np.bool_]) -> Array:
    """A beginning that a quarter of the joints may be wrong for: medians over pairs of joints (Theil, Sen).

    The difference of two joints' equations leaves the depth alone: ``(seen_i - seen_j) t_z = target_j -
    target_i``.

    Shapes: seen and target (frames, joints, 2), trusted (frames, joints) -> (frames, 3)
    """
    one, other = np.triu_indices(seen.shape[1], 1)
    apart = seen[:, one] - seen[:, other]
    length = (apart**2).sum(axis=-1)
    along = (apart * (target[:, other] - target[:, one])).sum(axis=-1)
    depth = _median(along / np.maximum(length, 1e-12), trusted[:, one] & trusted[:, other])
    sideways = target + seen * depth[:, None, None]
    return np.stack([_median(sideways[..., 0], trusted), _median(sideways[..., 1], trusted), depth], axis=-1)


def _least_squares(seen: Array, target: Array, weights: Array) -> Array:
    """Minimum of ``sum weights |t_xy - seen t_z - target|^2`` in every frame.

    Shapes: seen and target (frames, joints, 2), weights (frames, joints) -> (frames, 3)
    """
    share = (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12))[..., None]
    seen_mean, target_mean = ((share * values).sum(axis=1) for values in (seen, target))
    seen_off, target_off = seen - seen_mean[:, None], target - target_mean[:, None]
    spread = (share * seen_off**2).sum(axis=(1, 2))
    depth = -(share * seen_off * target_off).sum(axis=(1, 2)) / np.maximum(spread, 1e-12)
    return np.concatenate([target_mean + seen_mean * depth[:, None], depth[:, None]], axis=1)


def _median(values: Array, chosen: npt.NDArray[np.bool_]) -> Array:
    """Lower median of every row's chosen values; 0 where none is chosen.

    Shapes: (rows, n) and (rows, n) -> (rows,)
    """
    middle = np.maximum(chosen.sum(axis=1, keepdims=True) - 1, 0) // 2
    median = np.take_along_axis(np.sort(np.where(chosen, values, np.inf)), middle, axis=1)[:, 0]
    return np.where(chosen.any(axis=1), median, 0.0)


@dataclass(frozen=True)
class Floor:
    """A plane in the camera's frame: the points x with ``up . x = height``, metres.

    Shapes:
        up (3,), of length 1
    """

    up: Array
    height: float

    @property
    def tilt_degrees(self) -> float:
        """The angle at which the camera sees it: 0 where that stands upright."""
        return float(np.degrees(np.arccos(np.clip(self.up @ _LEVEL, -1, 1))))

    @property
    def looking_down_degrees(self) -> float:
        """How far down the camera looks; negative: up."""
        return float(np.degrees(np.arcsin(np.clip(-self.up[2], -1, 1))))


def estimate_floor(tracks: Sequence[Track3D]) -> Floor:
    """The plane that the lower foot of everybody is on, most of the time.

    Which way is up follows from the feet and the root above them, in the median of all frames. The plane is
    then fitted to the lower foot of every frame, with Cauchy's weights, so that those in the air lose their
    say; its tilt against that first direction is bound to zero by a ridge, which matters as long as the
    people keep to one place.

    Args:
        tracks: Without a translation the root is in one place all the time.

    Raises:
        InputError: if a skeleton has no joint to stand on.
    """
    feet = np.concatenate([_feet(track) for track in tracks])
    root = np.concatenate([track.placed[:, track.skeleton.root_index] for track in tracks])
    rise = root - feet.mean(axis=1)
    up = _unit(np.median(rise / np.maximum(np.linalg.norm(rise, axis=1, keepdims=True), 1e-6), axis=0))
    lower = np.take_along_axis(feet, (feet @ up).argmin(axis=1)[:, None, None], axis=1)[:, 0]
    height = lower @ up
    # The plane's height over the ground plan: a constant and two slopes across it.
    across = np.linalg.svd(up[None])[2][1:]
    plan = lower @ across.T - np.median(lower @ across.T, axis=0)
    features = np.concatenate([np.ones((len(plan), 1)), plan], axis=1)
    slopes = np.array([np.median(height), 0, 0])
    for _ in range(_ITERATIONS):
        off = np.abs(height - features @ slopes)
        weights = 1 / (1 + (off / max(np.median(off), _FLOOR_NOISE_M)) ** 2)
        ridge = np.diag([0, 1, 1]) * weights.sum() * _FLOOR_SPREAD_M**2
        weighted = features * weights[:, None]
        slopes = np.linalg.solve(features.T @ weighted + ridge, weighted.T @ height)
    normal = up - slopes[1:] @ across
    on_floor = np.median(lower @ across.T, axis=0) @ across + slopes[0] * up
    return Floor(_unit(normal), float(_unit(normal) @ on_floor))


def stand_on_floor(track: Track3D, floor: Floor) -> Track3D:
    """The track with its lower foot on the floor, turned so that the floor is level.

    The root slides along its line of sight, where the image hardly changes, towards where the lower foot
    touches the floor; less of the way, the higher the foot is, so that a jump stays one, and the less the
    line of sight falls, for seen from the height of the hips a centimetre of height is any number of depth.
    Then everything is turned about the camera until y points straight down, which makes the camera's frame
    one that looks level.

    Args:
        track: With translation.
        floor: In the frame of the track.

    Raises:
        InputError: if the track has no translation, or the skeleton no joint to stand on.
    """
    if track.translation is None:
        raise InputError(f"person {track.person}: has no place in space, so there is no floor to stand on")
    translation = track.translation.astype(np.float64)
    above = (_feet(track) @ floor.up).min(axis=1) - floor.height
    slope = translation @ floor.up  # of the line of sight; one along the floor never meets it
    contact = np.exp(-((above / _CONTACT_M) ** 2))
    translation *= (1 - contact * above * slope / (slope**2 + _FLATTEST_M**2))[:, None]
    level = Rotation.align_vectors(_LEVEL, floor.up)[0].as_matrix()
    return dataclasses.replace(
        track,
        positions=(track.positions @ level.T).astype(np.float32),
        translation=(translation @ level.T).astype(np.float32),
        intrinsics=None,
    )


def _feet(track: Track3D) -> Array:
    """Where the joints are that can stand on the floor, (frames, feet, 3)."""
    feet = [
        number for number, joint in enumerate(track.skeleton.joints) if any(word in joint for word in FEET)
    ]
    if not feet:
        raise InputError(
            f"{track.skeleton.name} has no joint to stand on: none is called {' or '.join(FEET)}"
        )
    return track.placed[:, feet].astype(np.float64)


def _unit(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)
