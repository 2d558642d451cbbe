"""UGCN against Figure 4 of the paper and against the usual formulation."""

import pytest
import torch

from gcnpose.benchmark import UsualUGCN
from gcnpose.nn import UGCN
from gcnpose.nn.ugcn import upsample_frames
from gcnpose.skeleton import Skeleton, available_graphs
from tests.motions import past_the_beginning

# Channels, frames and parameters of every block, worked out by hand from Figure 4 of the paper: with K = 3
# subsets and a temporal kernel of 5, a block from a to b channels has 3 b (a + 1) + 2 b + b (5 b + 1) + 2 b
# parameters, and b (a + 1) + 2 b more where its shortcut is a convolution.
LAYERS = {
    "first": (16, 96, 1_504),
    "down.0.0": (32, 48, 7_520),
    "down.0.1": (32, 48, 8_448),
    "down.1.0": (64, 24, 29_376),
    "down.1.1": (64, 24, 33_280),
    "down.2.0": (128, 12, 116_096),
    "down.2.1": (128, 12, 132_096),
    "down.3.0": (256, 6, 461_568),
    "down.3.1": (256, 6, 526_336),
    "up.3": (128, 6, 214_400),
    "up.2": (64, 12, 53_952),
    "up.1": (32, 24, 13_664),
    "up.0": (16, 48, 3_504),
    "merge.2": (16, 6, 9_648),
    "merge.1": (16, 12, 5_552),
    "merge.0": (16, 24, 3_504),
    "last": (16, 96, 2_176),
    "head": (3, 96, 51),
}


@pytest.fixture(scope="module")
def skeleton() -> Skeleton:
    return Skeleton.load("h36m17")


def test_layers_are_those_of_figure_4(skeleton: Skeleton) -> None:
    network = UGCN(skeleton).eval()
    seen = {}
    for name in LAYERS:
        module = network.get_submodule(name)
        count = sum(parameter.numel() for parameter in module.parameters())
        module.register_forward_hook(
            lambda _, __, out, name=name, count=count: seen.update(
                {name: (out.shape[3], out.shape[1], count)}
            )
        )
    assert network(torch.randn(2, 96, 17, 2)).shape == (2, 96, 17, 3)
    assert seen == LAYERS
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_622_743


def test_equals_the_usual_formulation(skeleton: Skeleton) -> None:
    torch.manual_seed(0)
    network = past_the_beginning(UGCN(skeleton, dropout=0.0))
    usual = UsualUGCN(network, skeleton.to_data())
    x = torch.randn(2, 32, 17, 2)
    torch.testing.assert_close(network(x), usual(x), atol=1e-4, rtol=1e-4)
    network.eval(), usual.eval()
    torch.testing.assert_close(network(x), usual(x), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 15, 16, 95, 97])
def test_any_number_of_frames_equals_the_padded_input(skeleton: Skeleton, frames: int) -> None:
    network = past_the_beginning(UGCN(skeleton)).eval()
    x = torch.randn(1, frames, 17, 2)
    padded = torch.cat([x, x[:, -1:].expand(-1, -frames % 16, -1, -1)], dim=1)
    torch.testing.assert_close(network(x), network(padded)[:, :frames])


@pytest.mark.parametrize("name", available_graphs())
def test_any_skeleton(name: str) -> None:
    other = Skeleton.load(name)
    assert UGCN(other, channels=(4, 8))(torch.randn(2, 8, other.num_joints, 2)).shape == (
        2,
        8,
        other.num_joints,
        3,
    )


@pytest.mark.parametrize(("pairs", "multiple"), [(0, 1), (1, 2), (2, 4), (4, 16)])
def test_fewer_pairs_keep_the_layers(skeleton: Skeleton, pairs: int, multiple: int) -> None:
    network = UGCN(skeleton, down_up_pairs=pairs)
    assert network.stride_product == multiple
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_622_743
    assert network(torch.randn(2, 20, 17, 2)).shape == (2, 20, 17, 3)


def test_without_the_spatial_graph_joints_do_not_mix(skeleton: Skeleton) -> None:
    network = past_the_beginning(UGCN(skeleton, spatial_graph=False)).eval()
    x = torch.randn(1, 16, 17, 2)
    changed = x.clone()
    changed[:, :, 16] += 1
    difference = (network(changed) - network(x)).abs().amax(dim=(0, 1, 3))
    assert difference[16] > 0
    assert difference[:16].max() == 0


@pytest.mark.parametrize("whole_pose", [False, True])
def test_with_the_spatial_graph_they_do_and_in_one_node_too(whole_pose: bool, skeleton: Skeleton) -> None:
    network = past_the_beginning(UGCN(skeleton, whole_pose=whole_pose)).eval()
    x = torch.randn(1, 16, 17, 2)
    changed = x.clone()
    changed[:, :, 16] += 1
    assert (network(changed) - network(x)).abs().amax(dim=(0, 1, 3)).min() > 0


def test_the_whole_pose_as_one_node_mixes_joints_in_one_layer(skeleton: Skeleton) -> None:
    network = UGCN(skeleton, whole_pose=True)
    assert (network.first.spatial.joints, network.first.spatial.in_channels) == (1, 34)
    # 34 channels in place of 2 at first, and 51 in place of 3 out of the head.
    assert sum(parameter.numel() for parameter in network.parameters()) == (
        sum(parameter.numel() for parameter in UGCN(skeleton, spatial_graph=False).parameters())
        + 32 * 16
        + 48 * 17
    )


def test_without_merging_there_are_no_merging_blocks(skeleton: Skeleton) -> None:
    network = UGCN(skeleton, merge=False)
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_622_743 - (9_648 + 5_552 + 3_504)


def test_score_as_third_channel(skeleton: Skeleton) -> None:
    assert UGCN(skeleton, input_channels=3)(torch.randn(2, 16, 17, 3)).shape == (2, 16, 17, 3)


def test_repeating_is_equation_11() -> None:
    x = torch.arange(3.0).view(1, 3, 1, 1)
    assert upsample_frames(x, 2).flatten().tolist() == [0, 0, 1, 1, 2, 2]
    assert upsample_frames(x, 2, "linear").flatten().tolist() == [0, 0.25, 0.75, 1.25, 1.75, 2]


def test_shape_that_does_not_fit(skeleton: Skeleton) -> None:
    with pytest.raises(
        ValueError, match=r"expected \(batch, frames, 17 joints, 2 channels\), got \(1, 16, 16, 2\)"
    ):
        UGCN(skeleton)(torch.randn(1, 16, 16, 2))
    with pytest.raises(ValueError, match="down_up_pairs must lie in 0 to 4 for 5 channels, not 5"):
        UGCN(skeleton, down_up_pairs=5)
    with pytest.raises(ValueError, match="upsampling must be one of repeat, linear, not 'cubic'"):
        UGCN(skeleton, upsampling="cubic")


def test_fixed_input_statistics_are_those_of_the_data_and_stay(skeleton: Skeleton) -> None:
    network, x = UGCN(skeleton), torch.randn(8, 16, 17, 2) * 3 + 1
    network.fix_input_statistics(x)
    normalized = network.train().input_norm(x.flatten(2).flatten(0, 1))
    torch.testing.assert_close(normalized.mean(0), torch.zeros(34), atol=1e-4, rtol=0)
    torch.testing.assert_close(normalized.var(0), torch.ones(34), atol=1e-3, rtol=0)
    before = network.input_norm.running_mean.clone()
    network(x + 5)
    assert torch.equal(network.input_norm.running_mean, before)
    assert network.first.spatial_norm.training


@pytest.mark.parametrize(
    "options", [{}, {"upsampling": "linear"}, {"down_up_pairs": 1}, {"temporal_kernel": 3}]
)
def test_reach_bounds_what_an_output_frame_sees(skeleton: Skeleton, options: dict[str, object]) -> None:
    reach, farthest = reach_and_seen(skeleton, **options)
    assert all(reach / 2 < frames <= reach for frames in farthest)


def test_interpolation_reaches_too(skeleton: Skeleton) -> None:
    reach, farthest = reach_and_seen(skeleton, upsampling="linear", temporal_kernel=1)
    assert 0 < max(farthest) <= reach


def reach_and_seen(skeleton: Skeleton, **options: object) -> tuple[int, list[int]]:
    """What a network says it sees, and how far the frames are that it sees, for all phases of its strides."""
    torch.manual_seed(0)
    network = past_the_beginning(UGCN(skeleton, channels=(4, 6, 8), dropout=0.0, **options)).eval()
    reach = network.reach
    assert reach % network.stride_product == 0
    keypoints_2d = torch.randn(1, 4 * reach, 17, 2, requires_grad=True)
    farthest = []
    for middle in range(2 * reach, 2 * reach + network.stride_product):
        output = network(keypoints_2d)[0, middle].sum()
        (gradient,) = torch.autograd.grad(output, keypoints_2d)
        seen = gradient[0].abs().amax(dim=(1, 2)).nonzero()[:, 0]
        farthest.append(max(middle - int(seen.min()), int(seen.max()) - middle))
    return reach, farthest
