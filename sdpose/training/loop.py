"""The training loop.

It knows nothing of poses: a step turns a batch into named loss terms, everything else (what to log, when to save,
how to evaluate, what to repair) is told to `LoopEvents`. The order of a step is the published one: learning rate,
forward and losses, backward, clipping, optimizer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

from torch import Tensor

from sdpose.training.distributed import World
from sdpose.training.optim import clip_gradients, set_learning_rate
from sdpose.training.probes import HostValues, Interval
from sdpose.training.progress import Progress
from sdpose.training.schedule import LrSchedule
from sdpose.training.state import TrainingState


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


class StepOutput(NamedTuple):
    """Scalars of one batch, on the device."""

    terms: Mapping[str, Tensor]
    """For the log; those whose name contains "loss" are summed and optimised."""
    signs: Mapping[str, Tensor]
    """Vital signs: for the monitor and the JSON log."""


class Batches(Protocol):
    """A loader that can begin an epoch at any batch."""

    def __len__(self) -> int: ...

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[Any]: ...


class LoopEvents(Protocol):
    """What happens around the loop. Every method may raise to end the run."""

    def batch_loaded(self, batch: Any) -> int:
        """A batch is here; look for unreadable images and give their number."""

    def interval_started(self, progress: Progress) -> None:
        """Before the first step of a logging interval, never inside an accumulation group."""

    def interval_finished(self, interval: Interval, progress: Progress, *, log: bool) -> bool:
        """Floats of the iterations since the last call. `log` is False for an epoch's left-over iterations.

        True: the state was put back and `progress` with it; the loop goes on from there.
        """

    def epoch_finished(self, progress: Progress) -> None:
        """All batches of an epoch are done (`progress.epoch` counts it): save, evaluate. May put the state back."""

    def iteration_finished(self, progress: Progress) -> bool:
        """After every optimizer step, cheap. True ends the run here (a signal came)."""


class TrainingLoop:
    """Runs epochs until `total_epochs` or until an event says stop.

    `compute_losses(batch)` gives the scalars of a batch, `signs_at_end()` those that are worth a look once an interval.
    `no_sync` suspends gradient exchange between ranks while gradients are accumulated.
    """

    def __init__(
        self,
        *,
        state: TrainingState,
        compute_losses: Callable[[Any], StepOutput],
        total_loss: Callable[[Mapping[str, Tensor]], Tensor],
        schedule: LrSchedule,
        loader: Batches,
        events: LoopEvents,
        settings: LoopSettings,
        signs_at_end: Callable[[], Mapping[str, Tensor]] = dict,
        world: World | None = None,
        no_sync: Callable[[], AbstractContextManager[None]] = nullcontext,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.state = state
        self.compute_losses = compute_losses
        self.total_loss = total_loss
        self.schedule = schedule
        self.loader = loader
        self.events = events
        self.settings = settings
        self.signs_at_end = signs_at_end
        self.world = world or World()
        self.no_sync = no_sync
        self.clock = clock

    @property
    def progress(self) -> Progress:
        """Where the run stands."""
        return self.state.progress

    def run(self) -> bool:
        """Train from `self.progress` on. True when all epochs are done, False when an event stopped the run."""
        while self.progress.epoch < self.settings.total_epochs:
            ended = self._run_epoch()
            if ended == "stopped":
                return False
            if ended == "finished":
                self.progress.epoch += 1
                self.progress.batch = 0
                self.events.epoch_finished(self.progress)
        return True

    @property
    def is_between_steps(self) -> bool:
        """False inside an accumulation group: its gradients are in no checkpoint, so nothing is saved there."""
        batch = self.progress.batch
        return batch % self.settings.cumulative_iters == 0 or batch == len(self.loader)

    def _run_epoch(self) -> Literal["finished", "stopped", "put back"]:
        progress = self.progress
        starts_interval = True
        finished_at = asked_at = self.clock()
        for batch in self.loader.batches(progress.epoch, progress.batch):
            data_s = self.clock() - asked_at
            if starts_interval and self.is_between_steps:
                self.events.interval_started(progress)
                starts_interval = False
            num_unusable = self.events.batch_loaded(batch)
            scalars = self._step(batch)
            progress.batch += 1
            progress.iteration += 1
            elapsed_s, finished_at = self.clock() - finished_at, self.clock()
            if scalars is not None:
                host = self._host_values(batch, num_unusable, elapsed_s=elapsed_s, data_s=data_s)
                self.state.window.add(scalars.terms, scalars.signs, host)
            if progress.batch % self.settings.log_interval == 0:
                if self._hand_over(log=True):
                    return "put back"
                starts_interval = True
            if self.is_between_steps and self.events.iteration_finished(progress):
                return "stopped"
            asked_at = self.clock()
        return "put back" if self._hand_over(log=False) else "finished"

    def _step(self, batch: Any) -> StepOutput | None:
        """One batch: forward, losses, backward and, at the end of an accumulation group, the optimizer.

        None for a batch that a repair leaves out.
        """
        number, optimizer = self.progress.iteration + 1, self.state.optimizer
        treatment = self.state.treatment
        if treatment.skips(number):
            return None
        group = self._kept_of_group()
        set_learning_rate(optimizer, self._lr(self.progress.epoch, number))
        if number == group[0]:
            optimizer.zero_grad(set_to_none=True)
        is_last = number == group[-1]
        with nullcontext() if is_last else self.no_sync():
            terms, signs = self.compute_losses(batch)
            loss = self.total_loss(terms)
            (loss / len(group) if len(group) > 1 else loss).backward()
        logged = {**terms, "loss": loss}
        if is_last:
            max_norm = treatment.max_norm(number, self.settings.max_norm)
            if max_norm is not None:
                logged["grad_norm"] = clip_gradients(
                    optimizer, max_norm=max_norm, norm_type=self.settings.norm_type
                )
            optimizer.step()
        return StepOutput(logged, signs)

    def _kept_of_group(self) -> list[int]:
        """Iterations of the next batch's accumulation group, without those that are left out.

        The last group of an epoch may be short; its mean is taken over what it has.
        """
        position = self.progress.batch % self.settings.cumulative_iters
        first_batch = self.progress.batch - position
        size = min(self.settings.cumulative_iters, len(self.loader) - first_batch)
        first = self.progress.iteration - position + 1
        skips = self.state.treatment.skips
        return [number for number in range(first, first + size) if not skips(number)]

    def _lr(self, epoch: int, number: int) -> float:
        """What the schedule, and the repairs so far, say for an iteration (1-based)."""
        lr = self.schedule.lr(epoch, number - 1, len(self.loader))
        factor = self.state.treatment.lr_factor(number)
        return lr if factor == 1.0 else lr * factor

    def _host_values(self, batch: Sized, num_unusable: int, *, elapsed_s: float, data_s: float) -> HostValues:
        progress = self.progress
        return HostValues(
            iteration=progress.iteration,
            batch=progress.batch,
            num_samples=len(batch),
            num_unusable=num_unusable,
            lr=self.state.optimizer.param_groups[0]["lr"],
            lr_expected=self._lr(progress.epoch, progress.iteration),
            elapsed_s=elapsed_s,
            data_s=data_s,
        )

    def _hand_over(self, *, log: bool) -> bool:
        if not self.state.window:
            return False
        interval = self.state.window.drain(self.signs_at_end(), self.world)
        return self.events.interval_finished(interval, self.progress, log=log)
