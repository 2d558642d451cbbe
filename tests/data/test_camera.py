"""Cameras against scipy's rotations, a scalar projection, sums on paper, and what a camera should see."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gcnpose.data.camera import (
    Camera,
    Rig,
    denormalize_screen,
    h36m_rig,
    humaneva_rig,
    normalize_screen,
    project,
    rotate_about_vertical,
    sample_views,
    unproject,
    virtual_rig,
    world_to_camera,
)
from gcnpose.errors import InputError
from tests.motions import draws

H36M_SUBJECTS = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def standing_person():
    """Corners of a box around somebody who stands at the origin with the arms half raised, metres."""
    return torch.tensor([[x, y, z] for x in (-0.4, 0.4) for y in (-0.4, 0.4) for z in (0.0, 0.9, 1.8)])


def see(points, rig):
    """The rig's views of world points: camera frame and pixels."""
    points_camera = world_to_camera(points, rig.orientation, rig.translation)
    return points_camera, project(points_camera, rig.focal_px, rig.center_px, rig.radial, rig.tangential)


def inside(pixels, rig):
    """Which points of every view lie inside its image. Shapes: pixels (n, points, 2) -> (n, points)"""
    size = torch.stack([rig.width, rig.height], dim=-1)[:, None]
    return ((pixels >= 0) & (pixels <= size)).all(-1)


def project_one(point, focal, center, radial, tangential):
    """The projection of one point with plain floats, powers and sums written out."""
    x = max(-1.0, min(1.0, point[0] / point[2]))
    y = max(-1.0, min(1.0, point[1] / point[2]))
    r = math.sqrt(x**2 + y**2)
    stretch = 1 + sum(k * r ** (2 * power) for power, k in enumerate(radial, start=1))
    shear = tangential[0] * x + tangential[1] * y
    u = x * (stretch + shear) + tangential[0] * r**2
    v = y * (stretch + shear) + tangential[1] * r**2
    return [focal[0] * u + center[0], focal[1] * v + center[1]]


def test_world_to_camera_equals_scipys_inverse_rotation():
    quaternions = torch.nn.functional.normalize(uniform(5, 4) - 0.5, dim=-1)
    translations = uniform(5, 3, seed=1) * 4
    points = uniform(5, 6, 7, 3, seed=2) * 10 - 5
    ours = world_to_camera(points, quaternions, translations)
    for index in range(5):
        # scipy's quaternions end with w
        turn = Rotation.from_quat(quaternions[index].roll(-1).numpy())
        theirs = turn.apply((points[index] - translations[index]).reshape(-1, 3).numpy(), inverse=True)
        torch.testing.assert_close(ours[index].reshape(-1, 3), torch.from_numpy(theirs), rtol=0, atol=1e-12)


def test_world_to_camera_on_paper():
    # A camera at (0, -4, 1) that looks along world y: q_x(-90 degrees). A point 3 m in front of it, 1 m to
    # the right, 2 m above has x = 1, y = -2 (down is positive), z = 3.
    half = math.sqrt(0.5)
    orientation, translation = torch.tensor([half, -half, 0, 0]), torch.tensor([0.0, -4, 1])
    seen = world_to_camera(torch.tensor([[[1.0, -1, 3]]]), orientation, translation)
    torch.testing.assert_close(seen, torch.tensor([[[1.0, -2, 3]]]))


def test_project_equals_scalar_loop():
    points = uniform(3, 4, 5, 3) * torch.tensor([6.0, 6, 3]) - torch.tensor([3.0, 3, -0.5])
    assert (points[..., 0].abs() > points[..., 2]).any(), "some points must meet the clamp"
    focal, center = 1000 + 100 * uniform(3, 2, seed=1), 500 + 20 * uniform(3, 2, seed=2)
    radial, tangential = uniform(3, 3, seed=3) - 0.5, 0.01 * (uniform(3, 2, seed=4) - 0.5)
    ours = project(points, focal, center, radial, tangential)
    for window in range(3):
        camera = [parameter[window].tolist() for parameter in (focal, center, radial, tangential)]
        theirs = [project_one(point, *camera) for point in points[window].reshape(-1, 3).tolist()]
        torch.testing.assert_close(ours[window].reshape(-1, 2), torch.tensor(theirs, dtype=torch.float64))


def test_project_on_paper():
    # x = 0.5, y = 0: r2 = 0.25; s = 1 + 0.4*0.25 + 0.8*0.0625 + 1.6*0.015625 + 0.02*0.5 = 1.185;
    # u = 1000 * (0.5*1.185 + 0.02*0.25) + 500 = 1097.5; v = 1000 * (0 - 0.04*0.25) + 400 = 390.
    pixels = project(
        torch.tensor([1.0, 0.0, 2.0]),
        torch.tensor([1000.0, 1000.0]),
        torch.tensor([500.0, 400.0]),
        torch.tensor([0.4, 0.8, 1.6]),
        torch.tensor([0.02, -0.04]),
    )
    torch.testing.assert_close(pixels, torch.tensor([1097.5, 390.0]))


def test_project_clamps_points_beside_the_camera():
    lens = [torch.tensor(values) for values in ((1000.0, 900.0), (500.0, 400.0), (0.0, 0.0, 0.0), (0.0, 0.0))]
    points = torch.tensor([[30.0, -2.0, 1.0], [1.0, -1.0, 1.0], [5.0, -5.0, 0.0]])
    corner = torch.tensor([1500.0, -500.0])
    torch.testing.assert_close(project(points, *lens), corner.expand(3, 2))


def test_one_camera_one_per_window_and_one_per_view_agree():
    rig = Rig.from_cameras(h36m_rig())
    points = uniform(4, 3, 17, 3).float()
    per_window = see(points, rig)[1]
    per_view = see(points[:1], rig)[1]
    for index in range(4):
        camera = rig[torch.tensor(index)]
        assert camera.orientation.shape == (4,)
        torch.testing.assert_close(see(points[index], camera)[1], per_window[index])
        torch.testing.assert_close(see(points[0], camera)[1], per_view[index])


def test_world_to_camera_keeps_its_precision_under_autocast():
    rig = Rig.from_cameras(h36m_rig())
    points = uniform(4, 3, 17, 3).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = see(points, rig)
    torch.testing.assert_close(mixed, see(points, rig), rtol=0, atol=0)


def test_normalize_screen_on_paper():
    # width 1000, height 500: the corners are (-1, -0.5) and (1, 0.5); the score stays.
    keypoints = torch.tensor([[0.0, 0.0, 0.7], [1000.0, 500.0, 0.2], [750.0, 250.0, 0.0]])
    expected = torch.tensor([[-1.0, -0.5, 0.7], [1.0, 0.5, 0.2], [0.5, 0.0, 0.0]])
    torch.testing.assert_close(normalize_screen(keypoints, 1000, 500), expected)
    torch.testing.assert_close(normalize_screen(keypoints[:, :2], 1000, 500), expected[:, :2])


@pytest.mark.parametrize("channels", [2, 3])
def test_denormalize_screen_undoes_normalize_screen_per_window(channels):
    keypoints = uniform(4, 5, 17, channels) * 1000
    width, height = (
        torch.tensor([1000.0, 1920.0, 640.0, 1000.0]),
        torch.tensor([1002.0, 1080.0, 480.0, 1000.0]),
    )
    normalized = normalize_screen(keypoints, width, height)
    torch.testing.assert_close(normalized[1], normalize_screen(keypoints[1], 1920, 1080))
    torch.testing.assert_close(denormalize_screen(normalized, width, height), keypoints)


def test_rotate_about_vertical_equals_scipy_and_keeps_height():
    points, yaw = uniform(3, 4, 17, 3) * 4, torch.tensor([0.0, math.pi / 2, -2.5])
    turned = rotate_about_vertical(points, yaw)
    for index, angle in enumerate(yaw.tolist()):
        theirs = Rotation.from_euler("z", angle).apply(points[index].reshape(-1, 3).numpy())
        torch.testing.assert_close(turned[index].reshape(-1, 3), torch.from_numpy(theirs), rtol=0, atol=1e-6)
    torch.testing.assert_close(rotate_about_vertical(points[1], yaw[1].item()), turned[1])
    # a quarter turn carries x to y
    torch.testing.assert_close(
        rotate_about_vertical(torch.tensor([1.0, 0, 7]), math.pi / 2), torch.tensor([0.0, 1, 7])
    )


def test_h36m_rig_is_the_published_calibration():
    first, _, _, last = h36m_rig("S1")
    assert [camera.name for camera in h36m_rig()] == ["54138969", "55011271", "58860488", "60457274"]
    assert (first.width, first.height, last.width, last.height) == (1000, 1002, 1000, 1002)
    # millimetres in the calibration, metres here
    assert first.translation == pytest.approx((1.8411070556640625, 4.95528466796875, 1.5634454345703125))
    assert last.focal_px == pytest.approx((1145.5113525390625, 1144.77392578125))


@pytest.mark.parametrize(
    ("subject", "rotation", "translation_mm"),
    [
        (
            "S1",
            [
                [-0.143362, 0.989627, 0.009217],
                [0.167173, 0.033395, -0.985362],
                [-0.975449, -0.139723, -0.170226],
            ],
            [-88.085494, 804.781346, 4315.339452],
        ),
        (
            "S2",
            [
                [-0.152389, 0.988262, 0.010755],
                [0.170400, 0.036991, -0.984680],
                [-0.973520, -0.148222, -0.174037],
            ],
            [-8.996069, 797.610556, 4365.802204],
        ),
    ],
)
def test_humaneva_rig_is_the_published_calibration(subject, rotation, translation_mm):
    """C1 as world-to-camera matrices: YxZhxn/Ray3D, lib/dataset/humaneva_dataset.py."""
    camera = humaneva_rig(subject)[0]
    w, x, y, z = camera.orientation
    turn = Rotation.from_quat([x, y, z, w]).inv()
    np.testing.assert_allclose(turn.as_matrix(), rotation, atol=1e-6)
    np.testing.assert_allclose(-turn.apply(camera.translation), np.array(translation_mm) / 1000, atol=1e-6)


@pytest.mark.parametrize(
    ("measured_rig", "subject"),
    [(h36m_rig, subject) for subject in H36M_SUBJECTS]
    + [(humaneva_rig, subject) for subject in ("S1", "S2", "S3")],
)
def test_measured_rigs_see_a_person_upright(measured_rig, subject):
    rig = Rig.from_cameras(measured_rig(subject))
    points_camera, pixels = see(standing_person().expand(len(rig), -1, -1), rig)
    assert points_camera[..., 2].min() > 2
    assert inside(pixels, rig).all()
    feet, head = pixels[:, 0::3, 1], pixels[:, 2::3, 1]
    assert (head < feet).all()


def test_unknown_subject_names_the_known_ones():
    with pytest.raises(InputError, match="no calibrated subject 'S2'; it has S1, S5, S6, S7, S8, S9, S11"):
        h36m_rig("S2")
    with pytest.raises(InputError, match="HumanEva has no calibrated subject 'S4'; it has S1, S2, S3"):
        humaneva_rig("S4")


@pytest.mark.parametrize("num_cameras", [1, 4, 9])
def test_virtual_rig_surrounds_a_person_and_has_them_in_every_image(num_cameras):
    for seed in range(20):
        cameras = virtual_rig(num_cameras, seed)
        rig = Rig.from_cameras(cameras)
        _, pixels = see(standing_person().expand(num_cameras, -1, -1), rig)
        assert inside(pixels, rig).all()
        assert (pixels[:, 2::3, 1] < pixels[:, 0::3, 1]).all()
        distance = rig.translation[:, :2].norm(dim=-1)
        assert distance.min() >= 3.5 and distance.max() <= 6.5
        assert rig.translation[:, 2].min() >= 0.8 and rig.translation[:, 2].max() <= 2.5
        assert len(set(rig.names)) == num_cameras
        azimuth = torch.atan2(rig.translation[:, 1], rig.translation[:, 0]).sort().values
        gaps = torch.diff(azimuth, append=azimuth[:1] + 2 * math.pi)
        assert gaps.min() >= math.pi / num_cameras


def test_virtual_rig_is_the_same_for_the_same_seed():
    before = torch.random.get_rng_state()
    assert virtual_rig(3, 7) == virtual_rig(3, 7)
    assert virtual_rig(3, 7) != virtual_rig(3, 8)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_virtual_rig_of_no_camera():
    with pytest.raises(InputError, match="at least one camera, got 0"):
        virtual_rig(0, 1)


def test_sample_views_sees_the_person_from_everywhere():
    lenses = Rig.from_cameras(h36m_rig())
    rig = sample_views(draws(2000), "cpu", lenses)
    points_camera, pixels = see(standing_person().expand(2000, -1, -1), rig)
    assert len(rig) == 2000 and rig.orientation.dtype == torch.float32
    assert inside(pixels, rig).float().mean() > 0.999
    torch.testing.assert_close(rig.orientation.norm(dim=-1), torch.ones(2000))
    distance, height = rig.translation[:, :2].norm(dim=-1), rig.translation[:, 2]
    assert 3.5 <= distance.min() < 3.6 and 6.4 < distance.max() <= 6.5
    assert 0.8 <= height.min() < 0.85 and 2.15 < height.max() <= 2.2
    azimuth = torch.atan2(rig.translation[:, 1], rig.translation[:, 0])
    assert torch.histc(azimuth, 8, -math.pi, math.pi).min() > 200
    # The middle of the image is about 1 m above the origin, and the horizon about level.
    aim = see(torch.tensor([0.0, 0.0, 1.0]).expand(2000, 1, 3), rig)[0][:, 0]
    assert (aim[:, :2].norm(dim=-1) < 0.25 * math.sqrt(3)).all()
    up = points_camera[:, 2] - points_camera[:, 0]
    roll = torch.atan2(up[:, 0], -up[:, 1]).rad2deg()
    assert -3.001 < roll.min() < -2.9 and 2.9 < roll.max() < 3.001
    # every lens of the rig is used, changed by no more than 2 percent
    ratio = rig.focal_px[:, None] / lenses.focal_px
    assert (ratio.sub(1).abs().amax(-1).amin(-1) < 0.0201).all()


def test_sample_views_follows_its_generator_alone():
    lenses = Rig.from_cameras(h36m_rig())
    drawn = [sample_views(draws(8, seed), "cpu", lenses) for seed in (3, 3, 4)]
    assert torch.equal(drawn[0].orientation, drawn[1].orientation)
    assert torch.equal(drawn[0].focal_px, drawn[1].focal_px)
    assert not torch.equal(drawn[0].orientation, drawn[2].orientation)


def test_sample_views_takes_no_place_from_the_rig():
    one = Rig.from_cameras(h36m_rig()[:1])
    rig = sample_views(draws(8), "cpu", one)
    assert (rig.focal_px / one.focal_px - 1).abs().max() < 0.0201
    assert rig.width.tolist() == [1000] * 8 and rig.height.tolist() == [1002] * 8


def test_sample_views_bends_the_lens_more_or_less() -> None:
    """By one factor, up to a tenth from 1, on all coefficients."""
    one = Rig.from_cameras(h36m_rig()[:1])
    rig = sample_views(draws(2000), "cpu", one)
    factors = torch.cat([rig.radial / one.radial, rig.tangential / one.tangential], dim=-1)
    torch.testing.assert_close(factors, factors[:, :1].expand(-1, 5))
    assert 0.9 <= factors.min() < 0.91 and 1.09 < factors.max() <= 1.1


def test_rig_gathers_by_an_index_of_any_shape():
    rig = Rig.from_cameras(h36m_rig())
    gathered = rig[torch.tensor([[3, 0], [1, 1]])]
    assert gathered.translation.shape == (2, 2, 3) and gathered.width.shape == (2, 2)
    assert torch.equal(gathered.radial[0, 0], rig.radial[3])
    assert rig.names[3] == "60457274" and gathered.names == ()
    assert rig.to("cpu").names == rig.names


def test_rig_of_no_camera():
    with pytest.raises(InputError, match="at least one camera, got none"):
        Rig.from_cameras([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radial": (0.1, 0.2)}, "radial must be 3 finite numbers"),
        ({"center_px": (500.0, math.nan)}, "center_px must be 2 finite numbers"),
        ({"orientation": (1.0, 1.0, 0.0, 0.0)}, "must be a unit quaternion, its length is 1.414"),
        ({"width": 0}, "width, height and focal_px must be positive, not 0"),
    ],
)
def test_camera_refuses_what_is_no_camera(change, message):
    camera: Camera = h36m_rig()[0]
    with pytest.raises(InputError, match=f"camera '54138969': .*{message}"):
        dataclasses.replace(camera, **change)


def test_unprojecting_undoes_projecting() -> None:
    generator = torch.Generator().manual_seed(0)
    rig = Rig.from_cameras(h36m_rig())
    points = torch.rand(4, 50, 17, 3, generator=generator) * 2 - 1 + torch.tensor([0.0, 0.0, 3.0])
    lens = (rig.focal_px, rig.center_px, rig.radial, rig.tangential)
    seen = unproject(project(points, *lens), *lens)
    torch.testing.assert_close(seen, points[..., :2] / points[..., 2:], atol=1e-5, rtol=0)
    assert (
        seen - (project(points, *lens) - rig.center_px[:, None, None]) / rig.focal_px[:, None, None]
    ).abs().max() > 0.01
