"""TemporalConv against Conv1d on every joint."""

import pytest
import torch
from torch import nn

from gcnpose.nn import TemporalConv


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("frames", [1, 7, 8])
def test_equals_conv1d_on_every_joint(frames: int, stride: int) -> None:
    torch.manual_seed(0)
    layer = TemporalConv(3, 4, kernel_size=5, stride=stride)
    plain = nn.Conv1d(3, 4, 5, stride, padding=2)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, frames, 6, 3)
    expected = torch.stack(
        [plain(x[:, :, joint].transpose(1, 2)).transpose(1, 2) for joint in range(6)], dim=2
    )
    torch.testing.assert_close(layer(x), expected)


def test_even_kernel() -> None:
    with pytest.raises(ValueError, match="kernel_size must be odd, not 4"):
        TemporalConv(3, 4, kernel_size=4)
