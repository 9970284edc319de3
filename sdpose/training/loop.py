"""The training loop.

It knows nothing of poses: a step turns a batch into named loss terms, everything else (what to log, when to save,
how to evaluate) is told to `LoopEvents`. The order of a step is the published one: learning rate, forward and losses,
backward, clipping, optimizer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor
from torch.optim import Optimizer

from sdpose.training.optim import clip_gradients, set_learning_rate
from sdpose.training.probes import IterationValues, ProbeWindow
from sdpose.training.schedule import LrSchedule


@dataclass
class Progress:
    """Where a run stands. It rides in every checkpoint."""

    epoch: int = 0
    """Finished epochs."""
    batch: int = 0
    """Finished batches of the epoch under way."""
    iteration: int = 0
    """Finished iterations since the very start."""

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class LoopSettings:
    """What the loop itself obeys."""

    total_epochs: int
    log_interval: int = 50
    """Iterations between two transfers of losses from the device, and between two log lines."""
    max_norm: float | None = None
    """Gradients are clipped to this L2 norm; None leaves them."""
    norm_type: float = 2.0
    cumulative_iters: int = 1
    """Batches whose gradients are averaged before one optimizer step."""


class Batches(Protocol):
    """A loader that can begin an epoch at any batch."""

    def __len__(self) -> int: ...

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[Any]: ...


class LoopEvents(Protocol):
    """What happens around the loop. Every method may raise to end the run."""

    def batch_loaded(self, batch: Any) -> None:
        """A batch is here; look for unreadable images."""

    def interval_finished(self, iterations: list[IterationValues], progress: Progress, *, log: bool) -> None:
        """Floats of the iterations since the last call. `log` is False for an epoch's left-over iterations."""

    def epoch_finished(self, progress: Progress) -> None:
        """All batches of an epoch are done (`progress.epoch` counts it): save, evaluate."""

    def iteration_finished(self, progress: Progress) -> bool:
        """After every optimizer step, cheap. True ends the run here (a signal came)."""


class TrainingLoop:
    """Runs epochs until `total_epochs` or until an event says stop.

    `compute_losses(batch)` gives `{name: scalar}`; entries whose name contains "loss" are summed and optimised, the
    rest is logged only. `no_sync` suspends gradient exchange between ranks while gradients are accumulated.
    """

    def __init__(
        self,
        *,
        compute_losses: Callable[[Any], Mapping[str, Tensor]],
        total_loss: Callable[[Mapping[str, Tensor]], Tensor],
        optimizer: Optimizer,
        schedule: LrSchedule,
        loader: Batches,
        events: LoopEvents,
        settings: LoopSettings,
        mean_over_ranks: Callable[[Tensor], Tensor] | None = None,
        no_sync: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.compute_losses = compute_losses
        self.total_loss = total_loss
        self.optimizer = optimizer
        self.schedule = schedule
        self.loader = loader
        self.events = events
        self.settings = settings
        self.mean_over_ranks = mean_over_ranks
        self.no_sync = no_sync
        self.clock = clock
        self.progress = Progress()
        self.window = ProbeWindow()

    def run(self) -> bool:
        """Train from `self.progress` on. True when all epochs are done, False when an event stopped the run."""
        while self.progress.epoch < self.settings.total_epochs:
            if not self._run_epoch():
                return False
            self.progress.epoch += 1
            self.progress.batch = 0
            self.events.epoch_finished(self.progress)
        return True

    @property
    def is_between_steps(self) -> bool:
        """False inside an accumulation group: its gradients are in no checkpoint, so nothing is saved there."""
        epoch_length = len(self.loader)
        return self._place_in_group(epoch_length)[0] == 0 or self.progress.batch == epoch_length

    def _run_epoch(self) -> bool:
        progress, settings = self.progress, self.settings
        epoch_length = len(self.loader)
        loaded_from = self.clock()
        for batch in self.loader.batches(progress.epoch, progress.batch):
            self.events.batch_loaded(batch)
            data_s = self.clock() - loaded_from
            lr = self.schedule.lr(progress.epoch, progress.iteration, epoch_length)
            set_learning_rate(self.optimizer, lr)
            scalars = self._step(batch, epoch_length)
            progress.batch += 1
            progress.iteration += 1
            elapsed_s = self.clock() - loaded_from
            loaded_from = self.clock()
            self.window.add(scalars, num_samples=_length(batch), lr=lr, elapsed_s=elapsed_s, data_s=data_s)
            if progress.batch % settings.log_interval == 0:
                self._hand_over(log=True)
            if self.is_between_steps and self.events.iteration_finished(progress):
                return False
        self._hand_over(log=False)
        return True

    def _step(self, batch: Any, epoch_length: int) -> dict[str, Tensor]:
        """One batch: forward, losses, backward and, at the end of an accumulation group, the optimizer."""
        settings = self.settings
        position, group_size = self._place_in_group(epoch_length)
        last_of_group = position == group_size - 1
        if position == 0:
            self.optimizer.zero_grad(set_to_none=True)
        with nullcontext() if last_of_group else self.no_sync():
            terms = self.compute_losses(batch)
            loss = self.total_loss(terms)
            (loss / group_size if group_size > 1 else loss).backward()
        scalars = {**terms, "loss": loss}
        if last_of_group:
            if settings.max_norm is not None:
                scalars["grad_norm"] = clip_gradients(
                    self.optimizer, max_norm=settings.max_norm, norm_type=settings.norm_type
                )
            self.optimizer.step()
        return scalars

    def _place_in_group(self, epoch_length: int) -> tuple[int, int]:
        """Position of the next batch in its accumulation group, and the group's size.

        The last group of an epoch may be short; its mean is taken over what it has.
        """
        position = self.progress.batch % self.settings.cumulative_iters
        return position, min(self.settings.cumulative_iters, epoch_length - (self.progress.batch - position))

    def _hand_over(self, *, log: bool) -> None:
        iterations = self.window.drain(self.mean_over_ranks)
        if iterations:
            self.events.interval_finished(iterations, self.progress, log=log)


def _length(batch: Sized) -> int:
    return len(batch)
