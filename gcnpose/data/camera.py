"""Cameras: world to camera, projection with lens distortion, image normalisation, measured and virtual rigs.

World frames are metres with z up. A camera's frame is x right, y down, z forward. Images are pixels, x right,
y down.

How parameters meet points: a camera parameter of shape ``(*batch, k)`` belongs to the points of shape
``(*batch, ..., 3)``; the leading axes are matched from the left, the missing ones are filled in here. So one
orientation for everything is ``(4,)`` against ``(frames, joints, 3)``, one per window is ``(batch, 4)``
against ``(batch, frames, joints, 3)``, and four views of one sequence are ``(4, 4)`` against
``(1, frames, joints, 3)``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gcnpose.data.draws import Draws
from gcnpose.errors import InputError

# Where drawn cameras stand and what they look at: Human3.6M's studio (cameras 4.1 to 5.6 m from its centre,
# 1.5 to 1.6 m high), widened, so that a network does not learn four positions by heart.
_DISTANCE_M = (3.5, 6.5)
_HEIGHT_M = (0.8, 2.2)
_TARGET_HEIGHT_M = 1.0
_TARGET_JITTER_M = 0.25
_ROLL_JITTER_RAD = math.radians(3.0)
_FOCAL_JITTER = 0.02
_CENTER_JITTER_PX = 10.0
_DISTORTION_JITTER = 0.1

_UNDISTORT_STEPS = 20


@dataclass(frozen=True)
class Camera:
    """One calibrated camera, as plain numbers.

    Args:
        name: unique among the cameras of a subject.
        orientation: unit quaternion (w, x, y, z) that turns camera directions into world directions.
        translation: position in the world, metres.
        focal_px: focal length along x and y, pixels.
        center_px: principal point, pixels.
        radial: distortion coefficients k1, k2, k3.
        tangential: distortion coefficients p1, p2, in the order of :func:`project`.
        width: image width, pixels.
        height: image height, pixels.

    Raises:
        InputError: if a field has the wrong number of values or one that is not finite, the quaternion is not
            of unit length, or a focal length or the image size is not positive.
    """

    name: str
    orientation: tuple[float, ...]
    translation: tuple[float, ...]
    focal_px: tuple[float, ...]
    center_px: tuple[float, ...]
    radial: tuple[float, ...]
    tangential: tuple[float, ...]
    width: int
    height: int

    def __post_init__(self) -> None:
        counts = {
            "orientation": 4,
            "translation": 3,
            "focal_px": 2,
            "center_px": 2,
            "radial": 3,
            "tangential": 2,
        }
        for field, count in counts.items():
            values = getattr(self, field)
            if len(values) != count or not all(math.isfinite(value) for value in values):
                raise InputError(
                    f"camera {self.name!r}: {field} must be {count} finite numbers, not {values}"
                )
        length = math.hypot(*self.orientation)
        if abs(length - 1) > 1e-3:
            raise InputError(
                f"camera {self.name!r}: orientation must be a unit quaternion, its length is {length:.4g}"
            )
        if min(self.width, self.height, *self.focal_px) <= 0:
            raise InputError(
                f"camera {self.name!r}: width, height and focal_px must be positive, "
                f"not {self.width}, {self.height}, {self.focal_px}"
            )


@dataclass(frozen=True, eq=False)
class Rig:
    """Cameras stacked into float32 tensors.

    ``rig[index]`` gathers cameras by an integer tensor on the rig's device, so the leading axes become those
    of the index. A gathered or drawn rig has no names: naming its cameras would make the host wait for the
    device.

    Shapes:
        orientation (n, 4), translation (n, 3), focal_px (n, 2), center_px (n, 2), radial (n, 3),
        tangential (n, 2), width (n,), height (n,); units and meanings as in :class:`Camera`.
    """

    orientation: Tensor
    translation: Tensor
    focal_px: Tensor
    center_px: Tensor
    radial: Tensor
    tangential: Tensor
    width: Tensor
    height: Tensor
    names: tuple[str, ...] = ()

    @classmethod
    def from_cameras(cls, cameras: Sequence[Camera]) -> Rig:
        """Stacks cameras in their order.

        Raises:
            InputError: if there are none.
        """
        if not cameras:
            raise InputError("a rig needs at least one camera, got none")

        def stack(field: str) -> Tensor:
            return torch.tensor([getattr(camera, field) for camera in cameras], dtype=torch.float32)

        return cls(
            orientation=stack("orientation"),
            translation=stack("translation"),
            focal_px=stack("focal_px"),
            center_px=stack("center_px"),
            radial=stack("radial"),
            tangential=stack("tangential"),
            width=stack("width"),
            height=stack("height"),
            names=tuple(camera.name for camera in cameras),
        )

    def __len__(self) -> int:
        return self.orientation.shape[0]

    def __getitem__(self, index: Tensor) -> Rig:
        return self._map(lambda parameter: parameter[index], names=())

    def to(self, device: torch.device | str) -> Rig:
        """The same rig on another device."""
        return self._map(lambda parameter: parameter.to(device), names=self.names)

    def _map(self, function: Callable[[Tensor], Tensor], names: tuple[str, ...]) -> Rig:
        return Rig(
            orientation=function(self.orientation),
            translation=function(self.translation),
            focal_px=function(self.focal_px),
            center_px=function(self.center_px),
            radial=function(self.radial),
            tangential=function(self.tangential),
            width=function(self.width),
            height=function(self.height),
            names=names,
        )


def world_to_camera(points: Tensor, orientation: Tensor, translation: Tensor) -> Tensor:
    """World points in the camera's frame: ``X_c = q^-1 (x) (X - t)``, where ``(x)`` rotates by a quaternion.

    Args:
        points: world points, metres.
        orientation: unit quaternion (w, x, y, z), camera to world.
        translation: camera position, metres.

    Shapes:
        points ``(*batch, ..., 3)``, orientation ``(*batch, 4)``, translation ``(*batch, 3)``
        -> ``(*batch, ..., 3)``.
    """
    w, x, y, z = _components(orientation, points)
    # The columns of the rotation matrix are the camera's axes in the world.
    right = (1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y))
    down = (2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x))
    forward = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    offset = points - torch.stack(_components(translation, points), dim=-1)
    # Written out, because a matrix product would follow autocast to bfloat16 or TF32, which is millimetres at
    # this range. Coordinates first in memory: as fast as the product on a CPU.
    dx, dy, dz = offset.movedim(-1, 0).contiguous()
    return torch.stack(
        [dx * axis[0] + dy * axis[1] + dz * axis[2] for axis in (right, down, forward)], dim=-1
    )


def project(
    points_camera: Tensor,
    focal_px: Tensor,
    center_px: Tensor,
    radial: Tensor,
    tangential: Tensor,
) -> Tensor:
    """Image position of points in the camera's frame, pixels.

    With x = clamp(X / Z, -1, 1), y = clamp(Y / Z, -1, 1) and r^2 = x^2 + y^2::

        s = 1 + k1 r^2 + k2 r^4 + k3 r^6 + p1 x + p2 y
        u = fx (s x + p1 r^2) + cx
        v = fy (s y + p2 r^2) + cy

    This is the form in which Human3.6M's projected keypoints are made throughout the field (VideoPose3D's
    ``project_to_2d``), kept term by term so that numbers compare. It is Brown's model but for the tangential
    part: Brown has ``2 (p1 x + p2 y)`` in s, and OpenCV calls p1 what is p2 here. For Human3.6M's lenses
    that makes a quarter of a pixel on average, 1.5 in an image's corner. The clamp bounds the polynomial for
    points beside the camera. Points behind it (Z < 0) are mirrored, not rejected.

    Shapes:
        points_camera ``(*batch, ..., 3)``, focal_px, center_px and tangential ``(*batch, 2)``, radial
        ``(*batch, 3)`` -> ``(*batch, ..., 2)``.
    """
    depth = points_camera[..., 2]
    x = (points_camera[..., 0] / depth).clamp(-1, 1)
    y = (points_camera[..., 1] / depth).clamp(-1, 1)
    fx, fy = _components(focal_px, points_camera)
    cx, cy = _components(center_px, points_camera)
    k1, k2, k3 = _components(radial, points_camera)
    p1, p2 = _components(tangential, points_camera)
    r2 = x * x + y * y
    scale = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + p1 * x + p2 * y
    return torch.stack([fx * (x * scale + p1 * r2) + cx, fy * (y * scale + p2 * r2) + cy], dim=-1)


def unproject(
    keypoints_px: Tensor, focal_px: Tensor, center_px: Tensor, radial: Tensor, tangential: Tensor
) -> Tensor:
    """X / Z and Y / Z of what is seen at a pixel: the inverse of :func:`project` where that does not clamp.

    The distortion has no inverse in closed form. It is undone by fixed-point iteration, which for
    Human3.6M's lenses ends within a thousandth of a pixel.

    Shapes:
        keypoints_px ``(*batch, ..., 2)``, the parameters as in :func:`project` -> ``(*batch, ..., 2)``.
    """
    fx, fy = _components(focal_px, keypoints_px)
    cx, cy = _components(center_px, keypoints_px)
    k1, k2, k3 = _components(radial, keypoints_px)
    p1, p2 = _components(tangential, keypoints_px)
    bent_x, bent_y = (keypoints_px[..., 0] - cx) / fx, (keypoints_px[..., 1] - cy) / fy
    x, y = bent_x, bent_y
    for _ in range(_UNDISTORT_STEPS):
        r2 = x * x + y * y
        scale = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)) + p1 * x + p2 * y
        x, y = (bent_x - p1 * r2) / scale, (bent_y - p2 * r2) / scale
    return torch.stack([x, y], dim=-1)


def normalize_screen(keypoints_px: Tensor, width: Tensor | float, height: Tensor | float) -> Tensor:
    """Pixels to units of half the image width, centred: ``x / w * 2 - 1``, ``y / w * 2 - h / w``.

    Both axes share one scale, so the aspect ratio stays. A third channel (detector score) passes through.

    Shapes:
        keypoints_px ``(*batch, ..., 2 | 3)``, width and height numbers or ``(*batch,)`` -> the shape of
        keypoints_px.
    """
    width, height = _per_camera(width, keypoints_px), _per_camera(height, keypoints_px)
    x, y, *score = keypoints_px.unbind(-1)
    return torch.stack([x / width * 2 - 1, y / width * 2 - height / width, *score], dim=-1)


def denormalize_screen(keypoints: Tensor, width: Tensor | float, height: Tensor | float) -> Tensor:
    """Inverse of :func:`normalize_screen`: back to pixels, same shapes."""
    width, height = _per_camera(width, keypoints), _per_camera(height, keypoints)
    x, y, *score = keypoints.unbind(-1)
    return torch.stack([(x + 1) * width / 2, (y + height / width) * width / 2, *score], dim=-1)


def rotate_about_vertical(points: Tensor, yaw: Tensor | float) -> Tensor:
    """World points turned about the world's z axis, counter-clockwise seen from above.

    Args:
        points: world points, z up.
        yaw: angle in radians, one number or one per leading axis.

    Shapes:
        points ``(*batch, ..., 3)``, yaw a number or ``(*batch,)`` -> ``(*batch, ..., 3)``.
    """
    angle = _per_camera(yaw, points)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    x, y, z = points.unbind(-1)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], dim=-1)


def h36m_rig(subject: str = "S1") -> list[Camera]:
    """The four cameras of Human3.6M as they stood for one subject.

    Raises:
        InputError: if the calibration has no such subject.
    """
    return _read_rig("Human3.6M", "h36m_cameras.json", subject)


def humaneva_rig(subject: str) -> list[Camera]:
    """The three colour cameras of HumanEva-I as they stood for one subject.

    The lens distortion is that of C1 only; that of the others is not known here and left out.

    Raises:
        InputError: if the calibration has no such subject.
    """
    return _read_rig("HumanEva", "humaneva_cameras.json", subject)


def _read_rig(data_set: str, file: str, subject: str) -> list[Camera]:
    calibration = json.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))
    if subject not in calibration["extrinsics"]:
        known = ", ".join(calibration["extrinsics"])
        raise InputError(f"{data_set} has no calibrated subject {subject!r}; it has {known}")
    return [
        Camera(
            name=intrinsics["id"],
            orientation=tuple(extrinsics["orientation"]),
            translation=tuple(millimetres / 1000 for millimetres in extrinsics["translation"]),
            focal_px=tuple(intrinsics["focal_length"]),
            center_px=tuple(intrinsics["center"]),
            radial=tuple(intrinsics["radial_distortion"]),
            tangential=tuple(intrinsics["tangential_distortion"]),
            width=intrinsics["res_w"],
            height=intrinsics["res_h"],
        )
        for intrinsics, extrinsics in zip(
            calibration["intrinsics"], calibration["extrinsics"][subject], strict=True
        )
    ]


def virtual_rig(num_cameras: int, seed: int) -> list[Camera]:
    """Plausible cameras all around the origin, aimed at a person who stands there; one seed, one rig.

    Azimuths are spread evenly, each up to a quarter of the spacing off; the rest is drawn as in
    :func:`sample_views` from Human3.6M's lenses.

    Raises:
        InputError: if ``num_cameras`` is below 1.
    """
    if num_cameras < 1:
        raise InputError(f"a rig needs at least one camera, got {num_cameras}")
    generator = torch.Generator().manual_seed(seed)
    lenses = Rig.from_cameras(h36m_rig())
    order = torch.arange(num_cameras)
    start = torch.rand(1, generator=generator)
    uniform = torch.rand(num_cameras, 11, generator=generator)
    azimuth = 2 * math.pi * (start + (order + (uniform[:, 10] - 0.5) / 2) / num_cameras)
    views = _aimed_views(azimuth, lenses[order % len(lenses)], uniform[:, :10])
    return [
        Camera(
            name=f"virtual{index}",
            orientation=tuple(views.orientation[index].tolist()),
            translation=tuple(views.translation[index].tolist()),
            focal_px=tuple(views.focal_px[index].tolist()),
            center_px=tuple(views.center_px[index].tolist()),
            radial=tuple(views.radial[index].tolist()),
            tangential=tuple(views.tangential[index].tolist()),
            width=int(views.width[index]),
            height=int(views.height[index]),
        )
        for index in range(num_cameras)
    ]


def sample_views(draws: Draws, device: torch.device | str, rig: Rig) -> Rig:
    """Draws a new camera for every window of a batch.

    Lens: one of the rig's, its focal length, principal point and distortion slightly changed. Place: any
    azimuth, 3.5 to 6.5 m from the origin on the ground, 0.8 to 2.2 m high, aimed at 1 m above the origin give
    or take 0.25 m, rolled by at most 3 degrees. So the caller moves the person's mean pelvis to x = y = 0 and
    keeps z.

    Args:
        draws: source of all randomness, a camera for each of its windows; from a CPU generator the cameras
            are the same on every device.
        device: where the cameras are computed.
        rig: cameras on that device, whose lenses are varied; their places do not matter.
    """
    lens = draws.below(len(rig)).to(device)
    uniform = draws.uniform(11).to(device)
    return _aimed_views(2 * math.pi * uniform[:, 10], rig[lens], uniform[:, :10])


def _aimed_views(azimuth: Tensor, lenses: Rig, uniform: Tensor) -> Rig:
    """Cameras with varied lenses at the given azimuths; ``uniform`` (n, 10) in [0, 1) decides all else."""
    distance = _DISTANCE_M[0] + (_DISTANCE_M[1] - _DISTANCE_M[0]) * uniform[:, 0]
    height = _HEIGHT_M[0] + (_HEIGHT_M[1] - _HEIGHT_M[0]) * uniform[:, 1]
    jitter = 2 * uniform[:, 2:] - 1
    position = torch.stack([distance * torch.cos(azimuth), distance * torch.sin(azimuth), height], dim=-1)
    aim_x, aim_y, aim_z = (_TARGET_JITTER_M * jitter[:, :3] - position).unbind(-1)
    elevation = torch.atan2(aim_z + _TARGET_HEIGHT_M, torch.hypot(aim_x, aim_y))
    distortion = 1 + _DISTORTION_JITTER * jitter[:, 7:8]
    return Rig(
        orientation=_quaternion(torch.atan2(-aim_x, aim_y), elevation, _ROLL_JITTER_RAD * jitter[:, 3]),
        translation=position,
        focal_px=lenses.focal_px * (1 + _FOCAL_JITTER * jitter[:, 4:5]),
        center_px=lenses.center_px + _CENTER_JITTER_PX * jitter[:, 5:7],
        radial=lenses.radial * distortion,
        tangential=lenses.tangential * distortion,
        width=lenses.width,
        height=lenses.height,
    )


def _quaternion(heading: Tensor, elevation: Tensor, roll: Tensor) -> Tensor:
    """Camera-to-world quaternion: the view along +y, turned by ``heading`` about z, raised by ``elevation``.

    The product q_z(heading) q_x(elevation - pi/2) q_z(roll), multiplied out: q_x carries the camera's z axis
    from up to the horizon and its y axis to down.
    """
    tilt = (elevation - math.pi / 2) / 2
    total, difference = (heading + roll) / 2, (heading - roll) / 2
    cosine, sine = torch.cos(tilt), torch.sin(tilt)
    return torch.stack(
        [
            cosine * torch.cos(total),
            sine * torch.cos(difference),
            sine * torch.sin(difference),
            cosine * torch.sin(total),
        ],
        dim=-1,
    )


def _components(parameter: Tensor, points: Tensor) -> tuple[Tensor, ...]:
    """The k channels of ``(*batch, k)``, each ``(*batch, 1, ...)``, to broadcast with coordinates."""
    missing = points.ndim - parameter.ndim
    return parameter.reshape(parameter.shape[:-1] + (1,) * missing + parameter.shape[-1:]).unbind(-1)


def _per_camera(value: Tensor | float, points: Tensor) -> Tensor:
    """One number, or one per camera ``(*batch,)``, as ``(*batch, 1, ...)``, to broadcast with coordinates."""
    value = torch.as_tensor(value, dtype=points.dtype, device=points.device)
    return value.reshape(value.shape + (1,) * (points.ndim - 1 - value.ndim))
