"""The refinement against its formula, and poses on rays against projection."""

import pytest
import torch

from gcnpose.nn.refinement import Refinement, place_on_rays


def test_the_true_pose_lies_on_its_rays() -> None:
    torch.manual_seed(0)
    placed = torch.randn(2, 5, 4, 3) * 0.3 + torch.tensor([0.2, -0.1, 4.0])
    pose_3d = placed - placed[..., 2:3, :]
    rays = placed[..., :2] / placed[..., 2:]
    torch.testing.assert_close(place_on_rays(pose_3d, rays, placed[..., 2, 2], root=2), pose_3d)


def test_any_pose_on_rays_projects_onto_them_and_keeps_its_depths() -> None:
    torch.manual_seed(0)
    pose_3d, rays = torch.randn(5, 4, 3) * 0.3, torch.randn(5, 4, 2) * 0.2
    depth = torch.linspace(3, 5, 5)
    found = place_on_rays(pose_3d, rays, depth, root=1)
    assert torch.equal(found[..., 2], pose_3d[..., 2])
    assert not found[:, 1, :2].any()
    z = found[..., 2] - found[:, 1:2, 2] + depth[:, None]
    root = rays[:, 1] * depth[:, None]  # where the root is to the side
    torch.testing.assert_close((found[..., :2] + root[:, None]) / z[..., None], rays)


def test_shares_written_out() -> None:
    torch.manual_seed(0)
    network = Refinement(joints=3, width=8).eval()
    pose_3d, on_rays = torch.randn(2, 3, 3), torch.randn(2, 3, 3)
    refined = network(pose_3d, on_rays)
    first, _, _, last = network.layers
    for frame in range(2):
        features = [value for joint in range(3) for value in (*pose_3d[frame, joint], *on_rays[frame, joint])]
        hidden = torch.relu(first.weight @ torch.stack(features) + first.bias)
        share = 1 / (1 + (-(last.weight @ hidden + last.bias)).exp())
        for joint in range(3):
            assert refined[frame, joint, 2] == pose_3d[frame, joint, 2]
            for axis in range(2):
                mine = share[2 * joint + axis]
                expected = mine * pose_3d[frame, joint, axis] + (1 - mine) * on_rays[frame, joint, axis]
                assert refined[frame, joint, axis].item() == pytest.approx(expected.item(), abs=1e-5)


def test_what_both_say_stays() -> None:
    torch.manual_seed(0)
    pose_3d = torch.randn(7, 17, 3)
    torch.testing.assert_close(Refinement(17)(pose_3d, pose_3d), pose_3d)


def test_every_parameter_has_a_gradient() -> None:
    torch.manual_seed(0)
    network = Refinement(17, width=8)
    network(torch.randn(9, 17, 3), torch.randn(9, 17, 3)).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in network.parameters())
