"""The training loop."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gcnpose.config import TrainConfig
from gcnpose.data.draws import Draws
from gcnpose.data.windows import Windows
from gcnpose.errors import InputError, RunError
from gcnpose.loss import LiftingLoss
from gcnpose.muon import Muon, layer_weights
from gcnpose.nn import LiftingNetwork
from gcnpose.nn.synchronized_norm import synchronize_norms
from gcnpose.precision import autocast
from gcnpose.processes import ALONE, Processes

STATISTICS_WINDOWS = 2048
"""Windows from which the input's fixed mean and variance are taken."""
CHECK_EVERY = 50
"""Steps between two looks at whether the loss is finite; each look waits for the device."""


def learning_rate(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Learning rate of a step, counted from 0 over the whole training.

    ``step``: constant, times ``decay`` after each milestone (the paper's). ``one_cycle``: from a 25th of the
    peak up to it over three tenths of the training and down to nearly nothing, both along half a cosine.
    ``warmup_epochs`` multiply either by a ramp from 0.
    """
    epoch = step / steps_per_epoch
    if config.schedule == "step":
        rate = config.learning_rate * config.decay ** sum(
            epoch >= milestone for milestone in config.milestones
        )
    else:
        done, rise = epoch / config.epochs, 0.3
        if done < rise:
            low, place = 1 / 25, 1 - done / rise
        else:
            low, place = 1e-4, (done - rise) / (1 - rise)
        rate = config.learning_rate * (low + (1 - low) * (1 + math.cos(math.pi * place)) / 2)
    warm = min((step + 1) / (config.warmup_epochs * steps_per_epoch), 1.0) if config.warmup_epochs else 1.0
    return rate * warm


def build_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Adam:
    """Adam with weight decay on the weights of layers alone, not on biases, norms and embeddings; or Muon."""
    if config.optimizer == "muon":
        return Muon(model, config.learning_rate)
    of_layers = layer_weights(model)
    weights = [parameter for parameter in model.parameters() if parameter in of_layers]
    others = [parameter for parameter in model.parameters() if parameter not in of_layers]
    return torch.optim.Adam(
        [{"params": weights, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=config.learning_rate,
        fused=True,
    )


class Trainer:
    """Trains a network on windows, an epoch at a time.

    All randomness of an epoch follows from the seed and the epoch's number, so a training that is interrupted
    in an epoch and takes it up again from its beginning goes the same way as one that is not. Several
    processes go the way of one, but for dropout, which each draws for itself.

    Args:
        model: On the device of the windows.
        loss: Training loss.
        windows: Training data.
        config: Optimiser and schedule.
        seed: Seed of everything random.
        device: Where it all lies.
        processes: Which of the processes that train together this is.

    Raises:
        InputError: if there are fewer windows than a batch needs, or the processes cannot share a batch.
    """

    def __init__(
        self,
        model: LiftingNetwork,
        loss: LiftingLoss,
        windows: Windows,
        config: TrainConfig,
        seed: int,
        device: torch.device,
        processes: Processes = ALONE,
    ) -> None:
        if processes.size > len(windows):
            raise InputError(f"{processes.size} processes, but the data has only {len(windows)} windows")
        if config.batch_size > len(windows):
            raise InputError(
                f"train.batch_size: {config.batch_size}, but the data has only {len(windows)} windows"
            )
        if config.batch_size % processes.size:
            raise InputError(
                f"train.batch_size: expected a multiple of the {processes.size} processes, "
                f"which share a batch evenly, came {config.batch_size}"
            )
        self.model = model
        self.loss = loss
        self.windows = windows
        self.config = config
        self.seed = seed
        self.device = device
        self.processes = processes
        if processes.size > 1 and config.synchronized_batch_norm:
            synchronize_norms(model, processes.gather)
        model.input_statistics_fixed = config.fixed_input_statistics
        self.optimizer = build_optimizer(model, config)
        self.steps_per_epoch = config.steps_per_epoch or len(windows) // config.batch_size
        network = cast(nn.Module, torch.compile(model)) if config.compile else model
        self.forward = processes.distribute(network)

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """One epoch; gives the mean losses, the last learning rate and the speed.

        Raises:
            RunError: if the loss or a weight is not finite, with the step, the learning rate and the batch's
                sequences.
        """
        config, processes, start = self.config, self.processes, time.perf_counter()
        if epoch == 0 and config.fixed_input_statistics:
            self._fix_input_statistics()
        epoch_seed = self.seed * 1_000_003 + epoch
        # For dropout, each process its own; the golden ratio of 2^32 keeps ranks and epochs apart.
        torch.manual_seed(epoch_seed + 0x9E3779B1 * processes.rank)
        generator = torch.Generator(device=self.device).manual_seed(epoch_seed)
        batches = self._batches(generator)
        losses = torch.zeros(self.steps_per_epoch, 3, device=self.device)
        taken: list[Tensor] = []
        checked = 0
        self.model.train()
        for step in tqdm(
            range(self.steps_per_epoch),
            desc=f"epoch {epoch + 1}",
            leave=False,
            disable=not (processes.is_first and sys.stderr.isatty()),
        ):
            rate = learning_rate(config, epoch * self.steps_per_epoch + step, self.steps_per_epoch)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            indices = next(batches)
            taken.append(indices)
            part = processes.part(len(indices))
            batch = self.windows.batch(indices[part], Draws(generator, len(indices), part))
            with autocast(config.precision, self.device):
                predicted = self.forward(batch.keypoints_2d)
            terms = self.loss(predicted, batch.pose_3d, batch.valid)
            self.optimizer.zero_grad(set_to_none=True)
            terms.total.backward()
            if config.gradient_clip is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), config.gradient_clip)
            self.optimizer.step()
            losses[step] = torch.stack(terms).detach()
            if (step + 1) % CHECK_EVERY == 0 or step + 1 == self.steps_per_epoch:
                losses[checked : step + 1] = processes.mean(losses[checked : step + 1])
                bad = (~losses[checked : step + 1, 0].isfinite()).nonzero()
                if len(bad) > 0:
                    raise self._diverged("the loss is", epoch, checked + int(bad[0]), taken)
                checked = step + 1
        # A gradient that is not finite spoils the weights one step before the loss shows it.
        finite = all(tensor.isfinite().all() for tensor in self.model.state_dict().values())
        if processes.mean(torch.tensor(float(finite))) < 1:
            raise self._diverged("a weight is", epoch, step, taken)
        total, reconstruction, motion = losses.mean(dim=0).tolist()
        seconds = time.perf_counter() - start
        return {
            "train/loss": total,
            "train/reconstruction": reconstruction,
            "train/motion": motion,
            "train/learning_rate": rate,
            "train/windows_per_s": self.steps_per_epoch * config.batch_size / seconds,
            "train/seconds": seconds,
        }

    def _fix_input_statistics(self) -> None:
        generator = torch.Generator(device=self.device).manual_seed(self.seed)
        sample = torch.randint(
            len(self.windows), (STATISTICS_WINDOWS,), generator=generator, device=self.device
        )
        draws = Draws(generator, STATISTICS_WINDOWS)
        batch = self.windows.batch(sample, draws)
        self.model.fix_input_statistics(batch.keypoints_2d[batch.valid].unsqueeze(1))

    def _batches(self, generator: torch.Generator) -> Iterator[Tensor]:
        """Window numbers, each once before any comes again; the rest that fills no batch is left out."""
        while True:
            order = torch.randperm(len(self.windows), generator=generator, device=self.device)
            yield from order[: len(order) // self.config.batch_size * self.config.batch_size].split(
                self.config.batch_size
            )

    def _diverged(self, what: str, epoch: int, step_in_epoch: int, taken: list[Tensor]) -> RunError:
        step = epoch * self.steps_per_epoch + step_in_epoch
        # The batch before, too: a gradient spoils the weights one step before the loss shows it.
        last, *before = (
            ", ".join(sorted(set(self.windows.names(batch))))
            for batch in reversed(taken[max(step_in_epoch - 1, 0) : step_in_epoch + 1])
        )
        return RunError(
            f"{what} not finite at step {step} (epoch {epoch + 1}), "
            f"learning rate {learning_rate(self.config, step, self.steps_per_epoch):.3g}; "
            f"the batch was from {last}" + "".join(f"; the one before from {names}" for names in before)
        )

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs to go on."""
        return {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continues where :meth:`state` was taken."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
