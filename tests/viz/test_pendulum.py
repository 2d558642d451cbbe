import math

import matplotlib.image
import pytest
import torch

from gcnpose.loss import MotionLoss, mpjpe_loss
from gcnpose.viz.pendulum import LENGTH_M, draw_pendulum, pendulum_traces


def test_all_estimates_are_equally_far_from_the_truth():
    truth, estimates = pendulum_traces()
    assert len(estimates) == 3
    for estimate in estimates.values():
        assert mpjpe_loss(estimate, truth).item() == pytest.approx(0.06, rel=1e-12)


@pytest.mark.parametrize("operator", ["cross", "subtraction"])
@pytest.mark.parametrize("intervals", [(8, 12, 16, 24), (12,), (1,)])
@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_motion_loss_orders_the_estimates(operator, intervals, distance):
    truth, estimates = pendulum_traces()
    loss = MotionLoss((operator,), intervals, distance)
    losses = {name: loss(estimate, truth).item() for name, estimate in estimates.items()}
    assert losses["shifted"] < 0.7 * losses["wobbling"]
    assert losses["wobbling"] < 0.8 * losses["jittering"]


def test_truth_swings_as_a_pendulum_does():
    truth, _ = pendulum_traces()
    x, y, z = truth[0, :, 0].unbind(-1)
    torch.testing.assert_close(x**2 + z**2, torch.full_like(x, LENGTH_M**2))
    assert torch.all(y == 0)
    assert x[0].item() == pytest.approx(-x[-1].item())
    # A pendulum that beats seconds is g / pi^2 long.
    assert pytest.approx(9.81 / math.pi**2) == LENGTH_M


def test_picture(tmp_path):
    draw_pendulum(tmp_path / "pendulum.png")
    picture = matplotlib.image.imread(tmp_path / "pendulum.png")
    height, width = picture.shape[:2]
    assert width > 2 * height > 400
    assert (picture[..., :3] < 0.9).any(axis=-1).mean() > 0.01
