"""AGFormer's attention against loops, and how its streams meet."""

import pytest
import torch
from torch import Tensor, nn

from gcnpose.nn import AGFormer
from gcnpose.nn.agformer import (
    DualStreamLayer,
    GraphMixer,
    MixerBlock,
    SpatialAttention,
    TemporalAttention,
)
from gcnpose.skeleton import Skeleton
from tests.motions import past_the_beginning

SKELETON = Skeleton.load("h36m17")


def attend(layer: nn.Module, tokens: Tensor, allowed: Tensor, bias: Tensor) -> Tensor:
    """Attention of textbooks over tokens (tokens, width), head by head, token by token.

    ``allowed`` (tokens, tokens) says who sees whom, ``bias`` (heads, tokens, tokens) is added to the logits.
    """
    width = tokens.shape[1]
    size = width // layer.heads
    query, key, value = (tokens @ weight.T for weight in layer.lin_in.weight.split(width))
    found = torch.zeros_like(tokens)
    for head in range(layer.heads):
        columns = slice(head * size, (head + 1) * size)
        for one in range(len(tokens)):
            others = allowed[one].nonzero()[:, 0].tolist()
            logits = [
                query[one, columns] @ key[other, columns] / size**0.5 + bias[head, one, other]
                for other in others
            ]
            shares = torch.stack(logits).exp()
            shares = shares / shares.sum()
            found[one, columns] = sum(
                share * value[other, columns] for share, other in zip(shares, others, strict=True)
            )
    return found @ layer.lin_out.weight.T + layer.lin_out.bias


def test_spatial_attention_equals_loops() -> None:
    torch.manual_seed(0)
    layer = SpatialAttention(6, heads=2)
    x = torch.randn(2, 3, 5, 6)
    everyone, none = torch.ones(5, 5, dtype=torch.bool), torch.zeros(2, 5, 5)
    expected = torch.stack(
        [torch.stack([attend(layer, frame, everyone, none) for frame in sequence]) for sequence in x]
    )
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 11])
def test_temporal_attention_equals_loops(frames: int) -> None:
    torch.manual_seed(0)
    layer = TemporalAttention(6, heads=2, span=3)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, frames, 2, 6)
    later = torch.arange(frames) - torch.arange(frames)[:, None]
    bias = torch.zeros(2, frames, frames)
    for one in range(frames):
        for other in range(frames):
            if abs(other - one) <= 3:
                bias[:, one, other] = layer.bias[:, 3 + other - one]
    expected = torch.stack(
        [
            torch.stack([attend(layer, sequence[:, joint], later.abs() <= 3, bias) for joint in range(2)], 1)
            for sequence in x
        ]
    )
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-4)


def test_a_block_adds_to_what_it_is_given() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, 17, 8)
    mixer = GraphMixer(nn.Linear(8, 8), 8).eval()
    torch.testing.assert_close(mixer(x), (x + mixer.norm(mixer.convolution(x))).clamp(min=0))
    block = MixerBlock(nn.Linear(8, 8), 8, dropout=0.0)
    mixed = x + block.mixer(block.mixer_norm(x))
    torch.testing.assert_close(block(x), mixed + block.layers(mixed))


def test_streams_are_fused_half_and_half_at_first_and_by_choice_then() -> None:
    torch.manual_seed(0)
    layer = DualStreamLayer(8, 2, 3, SKELETON.to_data(), dropout=0.0).eval()
    x = torch.randn(2, 5, 17, 8)
    by_attention, by_graph = layer.attention(x), layer.graph(x)
    torch.testing.assert_close(layer(x), (by_attention + by_graph) / 2)
    nn.init.constant_(layer.fusion.bias[0:1].data, 100)
    torch.testing.assert_close(layer(x), by_attention)


def test_moves_with_time() -> None:
    network = past_the_beginning(AGFormer(SKELETON, width=8, layers=2, heads=2, span=3)).eval()
    x = torch.randn(1, 30, 17, 2)
    # Away from both ends a frame does not know its number, nor where a block of frames begins.
    torch.testing.assert_close(network(x)[:, 7:20], network(x[:, 1:])[:, 6:19], atol=1e-5, rtol=1e-4)


def test_size() -> None:
    """By hand, with w features.

    A block's attention has 4 w^2 + w, its graph 3 w^2 + 3 w or 3 w^2 + w and a norm of 2 w; in each block two
    layers 4 w^2 + 3 w and layer norms of 4 w; then the biases by distance, the fusion, and both ends.
    """
    w, bias = 64, 4 * 49
    rest = 4 * w**2 + 3 * w + 4 * w
    attention = 2 * (4 * w**2 + w + rest) + bias
    graph = (3 * w**2 + 3 * w + 2 * w + rest) + (3 * w**2 + w + 2 * w + rest)
    expected = 4 * (attention + graph + 2 * (2 * w) + 2) + 3 * w + 17 * w + 2 * w + 3 * (w + 1)
    assert sum(parameter.numel() for parameter in AGFormer(SKELETON).parameters()) == expected


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(ValueError, match=r"^width must be a multiple of heads \(3\), not 64$"):
        AGFormer(SKELETON, heads=3)
