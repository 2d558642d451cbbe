"""The training loop, its schedule and its optimiser."""

import copy
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gcnpose import training
from gcnpose.build import build_model
from gcnpose.config import TrainConfig
from gcnpose.data.camera import h36m_rig
from gcnpose.data.draws import Draws
from gcnpose.data.views import fixed_views
from gcnpose.data.windows import Batch, FixedWindows
from gcnpose.errors import InputError, RunError
from gcnpose.loss import LiftingLoss
from gcnpose.muon import Muon, matrices
from gcnpose.nn import UGCN, AGFormer
from gcnpose.processes import Processes
from gcnpose.skeleton import Skeleton
from gcnpose.training import Trainer, build_optimizer, learning_rate
from tests.experiments import NETWORKS, small_config
from tests.motions import draws, small_motion

CPU = torch.device("cpu")
SKELETON = Skeleton.load("h36m17")


def rates(config: TrainConfig, *steps: int) -> list[float]:
    return [learning_rate(config, step, steps_per_epoch=10) for step in steps]


def test_step_schedule_by_hand() -> None:
    config = TrainConfig(epochs=5, learning_rate=0.01, milestones=(2, 3), decay=0.1)
    expected = [0.01, 0.01, 0.001, 0.001, 0.0001, 0.0001]
    assert rates(config, 0, 19, 20, 29, 30, 49) == pytest.approx(expected, rel=1e-12)


def test_one_cycle_by_hand() -> None:
    config = TrainConfig(epochs=10, learning_rate=0.01, schedule="one_cycle")
    # 100 steps. A 25th at first; half way up (1/25 + 1) / 2 of the peak; the peak after 30; half way down
    # (1e-4 + 1) / 2. At the last step 0.69 / 0.7 of the way down: sin(pi / 140)^2 = 5.03466e-4 of the height.
    last = 1e-4 + (1 - 1e-4) * 5.03466e-4
    expected = [0.01 / 25, 0.01 * 0.52, 0.01, 0.01 * 0.50005, 0.01 * last]
    assert rates(config, 0, 15, 30, 65, 99) == pytest.approx(expected, rel=1e-5)
    rising, falling = rates(config, *range(31)), rates(config, *range(30, 100))
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)


def test_warm_up_by_hand() -> None:
    config = TrainConfig(epochs=5, learning_rate=0.01, warmup_epochs=0.5, milestones=())
    assert rates(config, 0, 1, 4, 5, 49) == pytest.approx([0.002, 0.004, 0.01, 0.01, 0.01])
    cycle = TrainConfig(epochs=10, learning_rate=0.01, schedule="one_cycle", warmup_epochs=2)
    assert rates(cycle, 0, 30) == pytest.approx([0.01 / 25 / 20, 0.01])


def test_weight_decay_on_convolution_weights_alone() -> None:
    model = UGCN(SKELETON, channels=(4, 6, 8))
    decayed, free = build_optimizer(model, TrainConfig(weight_decay=0.5)).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.5, 0.0)
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    # The 1x1 convolutions over joints and shortcuts are linear layers.
    convolutions = {
        f"{name}.weight" for name, part in model.named_modules() if isinstance(part, nn.Conv1d | nn.Linear)
    }
    assert {name_of[parameter] for parameter in decayed["params"]} == convolutions
    others = {name_of[parameter] for parameter in free["params"]}
    assert others == set(name_of.values()) - convolutions
    assert {"first.spatial.lin.bias", "first.temporal_norm.weight", "input_norm.bias", "head.bias"} <= others


def test_embeddings_are_no_layers() -> None:
    model = AGFormer(SKELETON, width=16, layers=1, heads=2, span=4)
    decayed = build_optimizer(model, TrainConfig(weight_decay=0.5)).param_groups[0]["params"]
    attention = model.layers[0].attention[1].mixer
    for parameter in (model.joint_embedding, attention.bias, model.norm.weight):
        assert all(parameter is not other for other in decayed)
        assert parameter not in matrices(model)
    assert attention.lin_in.weight in matrices(model) and any(attention.lin_in.weight is p for p in decayed)


def make_trainer(
    model: nn.Module | None = None, seed: int = 0, flip: float = 0.5, **settings: Any
) -> Trainer:
    views = fixed_views(small_motion(), h36m_rig(), seed=0)
    windows = FixedWindows(views, window=16, step=5, flip=flip, device=CPU)
    if model is None:
        torch.manual_seed(seed)
        model = UGCN(SKELETON, channels=(4, 8))
    config = TrainConfig(**{"epochs": 3, "batch_size": 8, "milestones": (), **settings})
    return Trainer(model, LiftingLoss(intervals=(2, 4)), windows, config, seed, CPU)


def wide_network(seed: int = 0) -> UGCN:
    """With matrices that Muon takes."""
    torch.manual_seed(seed)
    return UGCN(SKELETON, channels=(4, 16))


def equal_states(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal_states(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal_states, one, other))
    return bool(one == other)


def test_overfits_one_batch() -> None:
    torch.manual_seed(0)
    model = UGCN(SKELETON, channels=(16, 32), dropout=0.0)
    trainer = make_trainer(model, flip=0.0, steps_per_epoch=60)
    batch = trainer.windows.batch(torch.arange(0, 32, 4), draws(8))
    trainer.windows.batch = lambda indices, draws: batch  # type: ignore[method-assign]
    first, last = (trainer.train_epoch(epoch) for epoch in range(2))
    assert last["train/reconstruction"] < 0.25 * first["train/reconstruction"]
    with torch.no_grad():
        loss = trainer.loss(trainer.model(batch.keypoints_2d), batch.pose_3d, batch.valid)
    assert loss.reconstruction < 0.05  # metres; the poses spread over half a metre


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_learns_and_goes_on_from_a_state(name: str, tmp_path: Path) -> None:
    def begin() -> Trainer:
        torch.manual_seed(0)
        network = build_model(small_config(tmp_path, NETWORKS[name]), SKELETON)
        return make_trainer(
            network, steps_per_epoch=30, learning_rate=0.02, fixed_input_statistics=True, flip=0.0
        )

    whole, resumed = begin(), begin()
    rows = [whole.train_epoch(0)]
    state = copy.deepcopy(whole.state())
    rows += [whole.train_epoch(epoch) for epoch in (1, 2)]
    assert rows[2]["train/loss"] < 0.95 * rows[0]["train/loss"]
    resumed.load_state(state)
    for epoch in (1, 2):
        resumed.train_epoch(epoch)
    assert equal_states(whole.state(), resumed.state())


def test_frames_that_do_not_count_are_not_in_the_input_statistics() -> None:
    trainer = make_trainer(fixed_input_statistics=True, steps_per_epoch=1)
    own = trainer.windows.batch

    def spoiled(indices: Tensor, draws: Draws) -> Batch:
        batch = own(indices, draws)
        valid = batch.valid.clone()
        valid[:, 1::2] = False
        return Batch(batch.keypoints_2d.where(valid[..., None, None], 1000.0), batch.pose_3d, valid)

    trainer.windows.batch = spoiled  # type: ignore[method-assign]
    trainer.train_epoch(0)
    assert trainer.model.input_norm.running_mean.abs().max() < 1  # half the image's width


def test_same_seed_same_weights() -> None:
    one, same, other = (make_trainer(seed=seed) for seed in (0, 0, 1))
    for epoch in range(2):
        rows = [trainer.train_epoch(epoch) for trainer in (one, same, other)]
        assert rows[0]["train/loss"] == rows[1]["train/loss"] != rows[2]["train/loss"]
    assert equal_states(one.state(), same.state())
    assert not equal_states(one.state(), other.state())


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_goes_on_from_a_state_as_if_never_stopped(optimizer: str) -> None:
    whole, stopped = (make_trainer(wide_network(), optimizer=optimizer) for _ in range(2))
    for epoch in range(3):
        whole.train_epoch(epoch)
    stopped.train_epoch(0)
    state = copy.deepcopy(stopped.state())
    stopped.train_epoch(1)  # lost: it was stopped before this was saved
    torch.rand(7)
    resumed = make_trainer(wide_network(1), optimizer=optimizer)
    resumed.load_state(state)
    assert isinstance(resumed.optimizer, Muon) == (optimizer == "muon")
    assert matrices(resumed.model)
    for epoch in (1, 2):
        resumed.train_epoch(epoch)
    assert equal_states(whole.state(), resumed.state())


def spy_on_batches(trainer: Trainer) -> list[Tensor]:
    """Fills up with the window numbers of every batch."""
    seen: list[Tensor] = []
    take = trainer.windows.batch

    def batch(indices: Tensor, draws: Draws) -> Batch:
        seen.append(indices)
        return take(indices, draws)

    trainer.windows.batch = batch  # type: ignore[method-assign]
    return seen


def test_an_epoch_takes_every_window_once() -> None:
    trainer = make_trainer(batch_size=9)
    seen = spy_on_batches(trainer)
    assert len(trainer.windows) == 72
    trainer.train_epoch(0)
    assert sorted(torch.cat(seen).tolist()) == list(range(72))
    first = torch.cat(seen)
    trainer.train_epoch(1)
    assert not torch.equal(first, torch.cat(seen[8:]))


def test_a_long_epoch_takes_no_window_again_before_all() -> None:
    trainer = make_trainer(batch_size=10, steps_per_epoch=16)  # 7 batches of 10 fit into 72 windows
    seen = spy_on_batches(trainer)
    row = trainer.train_epoch(0)
    for first, end in ((0, 7), (7, 14), (14, 16)):
        taken = torch.cat(seen[first:end])
        assert len(taken.unique()) == len(taken)
    assert row["train/windows_per_s"] == pytest.approx(160 / row["train/seconds"])


def test_reports_the_schedule_and_the_mean_losses() -> None:
    trainer = make_trainer(learning_rate=0.02, milestones=(1,), decay=0.5)
    for epoch, rate in enumerate((0.02, 0.01)):
        row = trainer.train_epoch(epoch)
        assert row["train/learning_rate"] == pytest.approx(rate)
        assert all(group["lr"] == row["train/learning_rate"] for group in trainer.optimizer.param_groups)
        parts = row["train/reconstruction"] + row["train/motion"]
        assert row["train/loss"] == pytest.approx(parts, rel=1e-5)
        assert all(math.isfinite(value) for value in row.values())


def test_gradients_are_clipped() -> None:
    trainer = make_trainer(gradient_clip=1e-3, steps_per_epoch=1)
    trainer.train_epoch(0)
    norm = torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]).norm()
    assert norm == pytest.approx(1e-3, rel=1e-3)


def test_bf16_stays_close() -> None:
    exact, rounded = (make_trainer(precision=precision).train_epoch(0) for precision in ("fp32", "bf16"))
    assert exact["train/loss"] != rounded["train/loss"]
    assert rounded["train/loss"] == pytest.approx(exact["train/loss"], rel=0.05)


def spoil(trainer: Trainer, step: int) -> list[Tensor]:
    """Puts a NaN into the batch of one step; gives the list that fills up with the batches."""
    seen = spy_on_batches(trainer)
    take = trainer.windows.batch

    def batch(indices: Tensor, draws: Draws) -> Batch:
        taken = take(indices, draws)
        if len(seen) == step + 1:
            taken.keypoints_2d[0, 0, 0, 0] = torch.nan
        return taken

    trainer.windows.batch = batch  # type: ignore[method-assign]
    return seen


@pytest.mark.parametrize("check_every", [1, 3, 50])
def test_a_loss_that_is_not_finite(check_every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECK_EVERY", check_every)
    trainer = make_trainer(batch_size=2, steps_per_epoch=8, learning_rate=0.02)
    seen = spoil(trainer, 8 + 4)
    trainer.train_epoch(0)
    with pytest.raises(RunError) as caught:
        trainer.train_epoch(1)
    batch, before = (", ".join(sorted(set(trainer.windows.names(seen[step])))) for step in (12, 11))
    assert str(caught.value) == (
        f"the loss is not finite at step 12 (epoch 2), learning rate 0.02; the batch was from {batch}; "
        f"the one before from {before}"
    )
    assert "swing 1 from" in batch


def test_weights_that_are_not_finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last gradient of an epoch must not spoil the checkpoint that is written next."""
    trainer = make_trainer(steps_per_epoch=2)
    calls = itertools.count(1)
    update = trainer.optimizer.step

    def step() -> None:
        if next(calls) == 2:
            trainer.model.head.weight.grad[0, 0] = torch.inf
        update()

    monkeypatch.setattr(trainer.optimizer, "step", step)
    with pytest.raises(
        RunError, match=r"^a weight is not finite at step 1 \(epoch 1\), learning rate 0\.01; "
    ):
        trainer.train_epoch(0)


def test_fewer_windows_than_a_batch() -> None:
    make_trainer(batch_size=72)
    message = r"^train\.batch_size: 73, but the data has only 72 windows$"
    with pytest.raises(InputError, match=message):
        make_trainer(batch_size=73)


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (3, r"train\.batch_size: expected a multiple of the 3 processes, which share a .* evenly, came 8"),
        (9, r"train\.batch_size: expected a multiple of the 9 processes, which share a .* evenly, came 8"),
        (73, r"73 processes, but the data has only 72 windows"),
    ],
)
def test_processes_that_cannot_share_a_batch(size: int, message: str) -> None:
    ready = make_trainer()
    with pytest.raises(InputError, match=f"^{message}$"):
        Trainer(ready.model, ready.loss, ready.windows, ready.config, 0, CPU, Processes(0, size))
