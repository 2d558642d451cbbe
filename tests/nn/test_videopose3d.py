"""VideoPose3D against its paper and against convolutions written out."""

from functools import cache

import pytest
import torch
from torch import Tensor, nn

from gcnpose.nn import VideoPose3D
from gcnpose.skeleton import Skeleton
from tests.motions import past_the_beginning

SKELETON = Skeleton.load("h36m17")


# The paper's own counts, beside its floating-point operations: 8.56, 12.75 and 16.95 million parameters.
@pytest.mark.parametrize(
    ("filter_widths", "frames", "millions"),
    [((3, 3, 3), 27, 8.56), ((3, 3, 3, 3), 81, 12.75), ((3, 3, 3, 3, 3), 243, 16.95)],
)
def test_size_and_receptive_field_are_the_papers(
    filter_widths: tuple[int, ...], frames: int, millions: float
) -> None:
    with torch.device("meta"):
        network = VideoPose3D(SKELETON, filter_widths=filter_widths)
    assert network.receptive_field == frames
    assert network.reach == (frames - 1) // 2
    count = sum(parameter.numel() for parameter in network.parameters())
    assert round(count / 1e6, 2) == millions


def drawn(*filter_widths: int) -> VideoPose3D:
    """A network whose batch norms do something."""
    network = past_the_beginning(VideoPose3D(SKELETON, filter_widths=filter_widths, width=6))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return network.eval()  # type: ignore[return-value]


def written_out(network: VideoPose3D, sequence: Tensor, frame: int) -> Tensor:
    """The pose of one frame, asking each layer for the frames that it needs; both ends go on for ever."""

    def through(layers: nn.Sequential, taps: list[Tensor]) -> Tensor:
        convolution, norm = layers[0], layers[1]
        x = sum(convolution.weight[:, :, number] @ tap for number, tap in enumerate(taps))
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        return torch.relu((x - norm.running_mean) * scale + norm.bias)

    @cache
    def feature(level: int, time: int) -> Tensor:
        if level == -1:
            seen = sequence[min(max(time, 0), len(sequence) - 1)].flatten()
            norm = network.input_norm
            return (seen - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
        if level == 0:
            layers, dilation = network.first, 1
        else:
            layers = network.blocks[level - 1].layers
            dilation = layers[0].dilation[0]
        half = layers[0].kernel_size[0] // 2
        taps = [feature(level - 1, time + offset * dilation) for offset in range(-half, half + 1)]
        x = through(layers, taps)
        return x if level == 0 else feature(level - 1, time) + through(layers[4:], [x])

    return network.head(feature(len(network.blocks), frame)).view(17, 3)


@pytest.mark.parametrize("filter_widths", [(3,), (3, 3), (3, 5, 3)])
def test_equals_the_convolutions_written_out(filter_widths: tuple[int, ...]) -> None:
    network, x = drawn(*filter_widths), torch.randn(2, 14, 17, 2)
    predicted = network(x)
    for sequence, frame in ((0, 0), (0, 13), (1, 1), (1, 7)):
        expected = written_out(network, x[sequence], frame)
        torch.testing.assert_close(predicted[sequence, frame], expected, atol=1e-4, rtol=1e-4)


def test_a_frame_sees_its_receptive_field_and_nothing_else() -> None:
    network = drawn(3, 3, 3)
    x = torch.randn(1, 60, 17, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[0, 30].sum(), x)
    seen = gradient[0].abs().amax(dim=(1, 2)).nonzero()[:, 0].tolist()
    assert seen == list(range(30 - 13, 30 + 13 + 1))


def test_one_frame_from_its_receptive_field_as_in_the_papers_training() -> None:
    network, x = drawn(3, 3), torch.randn(1, 30, 17, 2)
    everything = network(x)
    for frame in (4, 15, 25):
        alone = network(x[:, frame - 4 : frame + 5])[:, 4]
        torch.testing.assert_close(alone, everything[:, frame])


def test_even_filters() -> None:
    for wrong in ((3, 4), ()):
        with pytest.raises(ValueError, match=r"^filter_widths must be odd numbers, at least one, not \["):
            VideoPose3D(SKELETON, filter_widths=wrong)
