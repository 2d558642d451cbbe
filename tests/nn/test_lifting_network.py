"""What every network must do, whatever is inside."""

import copy

import pytest
import torch

from gcnpose.build import build_model
from gcnpose.config import config_from_dict
from gcnpose.nn import LiftingNetwork
from gcnpose.skeleton import Skeleton, available_graphs
from tests.experiments import NETWORKS
from tests.motions import past_the_beginning

SKELETON = Skeleton.load("h36m17")


def first_network(name: str, skeleton: Skeleton = SKELETON, input_channels: int = 2) -> LiftingNetwork:
    overrides = [NETWORKS[name], f"model.input_channels={input_channels}"]
    torch.manual_seed(0)
    return build_model(config_from_dict({"name": "a", "skeleton": "h36m17"}, "test", overrides), skeleton)


def small_network(name: str, skeleton: Skeleton = SKELETON, input_channels: int = 2) -> LiftingNetwork:
    return past_the_beginning(first_network(name, skeleton, input_channels))  # type: ignore[return-value]


pytestmark = pytest.mark.parametrize("name", NETWORKS)


@pytest.mark.parametrize("graph", available_graphs())
def test_any_skeleton_any_number_of_frames_and_a_score(name: str, graph: str) -> None:
    skeleton = Skeleton.load(graph)
    network = small_network(name, skeleton, input_channels=3).eval()
    for frames in (1, 2, 9):
        output = network(torch.randn(2, frames, skeleton.num_joints, 3))
        assert output.shape == (2, frames, skeleton.num_joints, 3)
        assert output.isfinite().all()


def test_begins_at_the_root(name: str) -> None:
    assert (first_network(name)(torch.randn(2, 9, 17, 2)) == 0).all()


def test_sequences_of_a_batch_do_not_mix(name: str) -> None:
    network = small_network(name).eval()
    x = torch.randn(3, 10, 17, 2)
    torch.testing.assert_close(network(x), torch.cat([network(one[None]) for one in x]))


@pytest.mark.parametrize("input_channels", [2, 3])
def test_root_relative_input(name: str, input_channels: int) -> None:
    """The same as another network that is given the 2D so, with the root's own and the scores left alone."""
    relative = small_network(name, SKELETON, input_channels).eval()
    plain = copy.deepcopy(relative)
    relative.root_relative_input = True
    x = torch.randn(2, 10, 17, input_channels)
    given = x.clone()
    for joint in set(range(17)) - {SKELETON.root_index}:
        given[:, :, joint, :2] -= x[:, :, SKELETON.root_index, :2]
    torch.testing.assert_close(relative(x), plain(given))
    relative.fix_input_statistics(x)
    plain.fix_input_statistics(given)
    torch.testing.assert_close(relative(x), plain(given))
    setting = [NETWORKS[name], "model.root_relative_input=true"]
    config = config_from_dict({"name": "a", "skeleton": "h36m17"}, "test", setting)
    assert build_model(config, SKELETON).root_relative_input


def test_every_parameter_has_a_gradient(name: str) -> None:
    network = small_network(name)
    network(torch.randn(4, 10, 17, 2)).square().sum().backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0 or key.endswith("bias"), key


def test_input_statistics_can_be_fixed(name: str) -> None:
    """Then the network is the same wherever the image's origin is and whatever it is measured in."""
    x = torch.randn(8, 10, 17, 2)
    predicted = []
    for seen in (x, 3 * x + 1):
        network = small_network(name)
        network.fix_input_statistics(seen)
        network.train()
        assert not network.input_norm.training
        predicted.append(network.eval()(seen))
    torch.testing.assert_close(*predicted, atol=1e-3, rtol=1e-3)


def test_positions_are_in_full_precision_under_autocast(name: str) -> None:
    network = small_network(name).eval()
    x = torch.randn(2, 10, 17, 2)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(x)
    assert rounded.dtype == torch.float32
    assert (rounded != rounded.bfloat16().float()).any()
    torch.testing.assert_close(rounded, network(x), atol=0.1, rtol=0.1)


def test_input_that_does_not_fit(name: str) -> None:
    message = r"expected \(batch, frames, 17 joints, 2 channels\), got \(1, 10, 16, 2\)"
    with pytest.raises(ValueError, match=message):
        small_network(name)(torch.randn(1, 10, 16, 2))


def test_frames_beyond_its_reach_do_not_count(name: str) -> None:
    network = small_network(name).eval()
    reach = network.reach
    middle = 2 * reach + 1
    x = torch.randn(1, 2 * middle, 17, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[0, middle].sum(), x)
    seen = gradient[0].abs().amax(dim=(1, 2)).nonzero()[:, 0]
    assert (middle in seen) and max(middle - int(seen.min()), int(seen.max()) - middle) <= reach
