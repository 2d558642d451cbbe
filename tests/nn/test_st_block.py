"""The block of Eq. 7 and 8: how it begins, what is dropped, what has no residual."""

import pytest
import torch

from gcnpose.nn.st_block import STGCNBlock
from gcnpose.skeleton import Skeleton

GRAPH = Skeleton.load("h36m17").to_data()


def block(in_channels: int = 6, **options: object) -> STGCNBlock:
    torch.manual_seed(0)
    return STGCNBlock(in_channels, 6, GRAPH, **options)


@pytest.mark.parametrize(("in_channels", "stride"), [(6, 1), (4, 1), (6, 2), (4, 2)])
def test_begins_as_its_residual_alone(in_channels: int, stride: int) -> None:
    fresh = block(in_channels, stride=stride, dropout=0.0).eval()
    x = torch.randn(2, 9, 17, in_channels)
    torch.testing.assert_close(fresh(x), fresh.shortcut(x[:, ::stride]).relu())
    if (in_channels, stride) == (6, 1):
        torch.testing.assert_close(fresh(x), x.relu())


def test_without_a_residual_it_begins_as_something() -> None:
    x = torch.randn(2, 9, 17, 6)
    output = block(residual=False, dropout=0.0)(x)
    assert output.count_nonzero() > 0 and not torch.allclose(output, x.relu())


def test_features_are_dropped_in_training_only_and_the_residual_never() -> None:
    trained, kept = block(dropout=0.5), block(dropout=0.0)
    for one in (trained, kept):
        torch.nn.init.ones_(one.temporal_norm.weight)
        torch.nn.init.ones_(one.temporal_norm.bias)
    x = torch.rand(4, 32, 17, 6) + 10  # far above what is dropped, so that ReLU hides nothing
    branch, whole = trained(x) - x, kept(x) - x
    dropped = branch.abs() < 1e-5
    assert 0.45 < dropped.float().mean() < 0.55
    torch.testing.assert_close(branch[~dropped], 2 * whole[~dropped], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(trained.eval()(x), trained(x))
