"""The processes of one training: those that torchrun started, or the only one.

Every process has all the data and draws the same random numbers, and computes its part of each batch. What
they do together goes through :class:`Processes`, which does nothing where there is one.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gcnpose.errors import (
    FAILED_RUN,
    UNUSABLE_INPUT,
    InputError,
    RunError,
    StoppedError,
    termination_as_interrupt,
)

T = TypeVar("T")

# The others wait in a collective while the first process evaluates, for as long as that takes. It is the
# watch that finds out whether one has died, not this limit.
_LONGEST_WAIT = timedelta(days=7)

_HOW_TO_GO_ON = "`train --resume` goes on from the last checkpoint"
_STORE_LOST = "the connection to the first machine is lost"

_BEAT_SECONDS = 0.5
_LOOK_SECONDS = 2.0  # without a beat means dead, where there is a reason to look
_SILENCE_SECONDS = 60.0  # without a beat means dead, without any other sign of it
_ARRIVAL_SECONDS = 600.0  # for the first beat; libraries may load slowly on another machine
_DEFERENCE_SECONDS = 5.0  # for the first process to meet the same fault
_GRACE_SECONDS = 20.0  # for a process to end by itself after another has said why


@dataclass(frozen=True)
class Processes:
    """One of the processes that train together.

    Args:
        rank: Its number, from 0.
        size: How many there are, on all machines.
        local_rank: Its number on its machine.
        local_size: How many there are on its machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that prints and writes."""
        return self.rank == 0

    def part(self, windows: int) -> slice:
        """Which windows of a batch are this process's; their number is a multiple of the processes'."""
        share = windows // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def gather(self, values: Tensor) -> Tensor:
        """The values of every process in the order of their ranks, along a new first axis."""
        if self.size == 1:
            return values[None]
        gathered = values.new_empty(self.size, *values.shape)
        dist.all_gather(list(gathered.unbind()), values)
        return gathered

    def mean(self, values: Tensor) -> Tensor:
        """The values, averaged over the processes."""
        if self.size == 1:
            return values
        total = values.clone()
        dist.all_reduce(total)
        return total / self.size

    def of_first(self, make: Callable[[], T]) -> T:
        """What the first process makes; the others wait for it."""
        if self.size == 1:
            return make()
        box = [make() if self.is_first else None]
        dist.broadcast_object_list(box)
        return cast(T, box[0])

    def wait(self) -> None:
        """Until every process is here."""
        self.mean(torch.zeros(1))

    def distribute(self, network: nn.Module) -> nn.Module:
        """The network, with its parameters' gradients averaged over the processes."""
        if self.size == 1:
            return network
        with warnings.catch_warnings():
            # Newer versions of PyTorch call the option forward_sync_buffers, older ones do not have that.
            warnings.simplefilter("ignore", FutureWarning)
            return nn.parallel.DistributedDataParallel(
                network, broadcast_buffers=False, gradient_as_bucket_view=True
            )

    @contextmanager
    def undisturbed_end(self) -> Iterator[None]:
        """Once something inside has failed, no signal disturbs what is done on the way out.

        torchrun sends SIGTERM to all the others as soon as one process is gone.
        """
        try:
            yield
        except BaseException:
            if self.size > 1:
                _ignore_signals()
            raise


ALONE = Processes()


@contextmanager
def joined() -> Iterator[Processes]:
    """This process and those that torchrun started with it, which begin and end together.

    Where one fails all end, and one of them says why: the first, if it has met the fault too; else the one
    that has; or, of one that died and can say nothing, another. SIGTERM counts as Ctrl-C.

    Raises:
        SystemExit: in place of an error inside, in a process that leaves it to another to speak.
        InputError, RunError: in place of an error inside, if it was not that of the first process.
    """
    if "LOCAL_WORLD_SIZE" not in os.environ:
        with termination_as_interrupt():
            yield ALONE
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how torchrun ends a process
    rank, size, local_rank, local_size = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    if size == 1:
        yield ALONE
        return
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    store, _, _ = next(rendezvous("env://"))
    watch = _Watch(PrefixStore("watch", store), rank, size)
    try:
        nccl = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if nccl else "gloo",
            store=PrefixStore("group", store),
            rank=rank,
            world_size=size,
            timeout=_LONGEST_WAIT,
        )
        processes = Processes(rank, size, local_rank, local_size)
        yield processes
        processes.wait()
    except BaseException as error:
        _ignore_signals()
        status = 2 if isinstance(error, UNUSABLE_INPUT) else 1
        # With a process missing, what takes the group down as the interpreter ends may hang.
        atexit.register(_leave, status)
        word = watch.last_word(error)
        if word is error:
            raise
        raise word or SystemExit(status) from error
    finally:
        watch.over.set()
    dist.destroy_process_group()


class _Watch:
    """Notices in a thread of its own that another process is gone, and ends this one should it hang then.

    Each process counts its beats in torchrun's store and looks at those of the next one. For a process that
    is gone says nothing, and a collective that waits for it may neither return nor let a signal through.
    """

    def __init__(self, store: Any, rank: int, size: int) -> None:
        # A connection of its own, because a request on the other one may wait for long.
        self.store = store.clone()
        self.rank = rank
        self.size = size
        self.over = threading.Event()
        self._beat()  # at once: some die young
        threading.Thread(target=self._run, daemon=True).start()

    def last_word(self, error: BaseException) -> BaseException | None:
        """What is raised in place of an error, in the one process that speaks."""
        stopped = isinstance(error, KeyboardInterrupt | StoppedError)
        foreseen = isinstance(error, (*UNUSABLE_INPUT, *FAILED_RUN)) and not stopped
        try:
            if foreseen and self.rank > 0:
                self._let_the_first_speak()
            # Where another one has died, connections break, and torchrun stops this one.
            lost = [] if foreseen or self._is_said() else self._lost()
            if self.store.add("said", 1) > 1:
                return None
        except dist.DistError:
            return RunError(f"rank {self.rank}: {_STORE_LOST}")
        if lost:
            return RunError(
                f"rank {', '.join(map(str, lost))} died without a word, killed or out of memory; "
                f"{_HOW_TO_GO_ON}"
            )
        if stopped or (foreseen and self.rank == 0):
            return error
        if not foreseen:
            _record_for_torchrun(error)
            return RunError(f"rank {self.rank}: {type(error).__name__}: {error}")
        kind = InputError if isinstance(error, UNUSABLE_INPUT) else RunError
        return kind(f"rank {self.rank}: {error}")

    def _run(self) -> None:
        neighbour = (self.rank + 1) % self.size
        heard, silent, word = 0, 0.0, ""
        while not self.over.wait(_BEAT_SECONDS):
            try:
                self._beat()
                beats = self._beats(neighbour)
                silent = silent + _BEAT_SECONDS if beats == heard else 0.0
                heard = beats
                if self._is_said():
                    break
                patience = _SILENCE_SECONDS if heard else _ARRIVAL_SECONDS
                if silent >= patience and self.store.add("said", 1) == 1:
                    _say(f"rank {neighbour} was not heard of for {silent:g} s; {_HOW_TO_GO_ON}")
                    os._exit(1)
            except dist.DistError:
                word = f"rank {self.rank}: {_STORE_LOST}"
                break
        if not self.over.wait(_GRACE_SECONDS):
            if word:
                _say(word)
            os._exit(1)

    def _beat(self) -> None:
        self.store.add(f"beats of {self.rank}", 1)

    def _beats(self, rank: int) -> int:
        return self.store.add(f"beats of {rank}", 0)

    def _is_said(self) -> bool:
        return self.store.add("said", 0) > 0

    def _let_the_first_speak(self) -> None:
        end = time.monotonic() + _DEFERENCE_SECONDS
        while not self._is_said() and time.monotonic() < end:
            time.sleep(_BEAT_SECONDS / 5)

    def _lost(self) -> list[int]:
        """The processes that do not beat any more."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        before = [self._beats(rank) for rank in others]
        time.sleep(_LOOK_SECONDS)
        return [rank for rank, beats in zip(others, before, strict=True) if 0 < beats == self._beats(rank)]


def _say(word: str) -> None:
    print(f"gcnpose: {word}", file=sys.stderr, flush=True)


def _leave(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _ignore_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def _record_for_torchrun(error: BaseException) -> None:
    """Puts the traceback where torchrun finds it for its own summary."""
    from torch.distributed.elastic.multiprocessing.errors import get_error_handler

    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        get_error_handler().record_exception(error)
