"""The loop on a model of six weights: the order of a step, accumulation, intervals, stopping and going on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sdpose.models import total_loss
from sdpose.training.loop import LoopSettings, StepOutput, TrainingLoop
from sdpose.training.optim import build_optimizer
from sdpose.training.probes import Interval
from sdpose.training.progress import Progress
from sdpose.training.schedule import build_schedule
from sdpose.training.state import TrainingState
from sdpose.training.treatment import Measure, Treatment

EPOCHS, EPOCH_LENGTH = 2, 5
SCHEDULE = build_schedule(
    "step", base_lr=0.1, total_epochs=EPOCHS, step=[1], warmup="linear", warmup_iters=3, warmup_ratio=0.1
)


def batch_of(epoch: int, number: int) -> Tensor:
    """(3, 3), another in every iteration."""
    return torch.randn(3, 3, generator=torch.Generator().manual_seed(100 * epoch + number))


class Batches:
    """Remembers where it was asked to begin."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return EPOCH_LENGTH

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[Tensor]:
        self.asked.append((epoch, start_batch))
        return (batch_of(epoch, number) for number in range(start_batch, EPOCH_LENGTH))


class Events:
    """Writes down what the loop tells."""

    def __init__(self, *, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.told: list[Any] = []
        self.intervals: list[Interval] = []

    def batch_loaded(self, batch: Tensor) -> int:
        return 0

    def interval_started(self, progress: Progress) -> None:
        self.told.append(("starts", progress.iteration))

    def interval_finished(self, interval: Interval, progress: Progress, *, log: bool) -> bool:
        self.intervals.append(interval)
        self.told.append(("ends", [entry.host.iteration for entry in interval.iterations], log))
        return False

    def epoch_finished(self, progress: Progress) -> None:
        self.told.append(("epoch", progress.epoch, progress.batch))

    def iteration_finished(self, progress: Progress) -> bool:
        self.told.append(progress.iteration)
        return progress.iteration == self.stop_after


def make_state(treatment: Treatment | None = None) -> TrainingState:
    torch.manual_seed(0)
    model = nn.Linear(3, 2, bias=False)
    optimizer = build_optimizer(model, "SGD", lr=0.1)
    return TrainingState(model, optimizer, torch.device("cpu"), treatment=treatment or Treatment())


def losses(model: nn.Module, batch: Tensor) -> Tensor:
    return (model(batch) - batch[:, :2].cos()).square().mean()


def make_loop(state: TrainingState, events: Any, loader: Any = None, **settings: Any) -> TrainingLoop:
    def step(batch: Tensor) -> StepOutput:
        return StepOutput({"heatmap_loss": losses(state.model, batch)}, {"peak": batch.max()})

    ticks = count()
    return TrainingLoop(
        state=state,
        compute_losses=step,
        total_loss=total_loss,
        schedule=SCHEDULE,
        loader=loader or Batches(),
        events=events,
        settings=LoopSettings(total_epochs=EPOCHS, **{"log_interval": 2, **settings}),
        clock=lambda: float(next(ticks)),
    )


def weights_by_hand(groups: Sequence[Sequence[int]], *, max_norm: float | None = None) -> Tensor:
    """Each group of iterations (1-based) one step with the mean of its losses, at its last iteration's rate."""
    model = make_state().model
    for group in groups:
        places = [divmod(number - 1, EPOCH_LENGTH) for number in group]
        model.zero_grad()
        torch.stack([losses(model, batch_of(*place)) for place in places]).mean().backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        lr = SCHEDULE.lr(places[-1][0], group[-1] - 1, EPOCH_LENGTH)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= lr * parameter.grad
    return next(model.parameters()).detach()


def weights_of(state: TrainingState) -> Tensor:
    return next(state.model.parameters()).detach()


@pytest.mark.parametrize(
    ("cumulative", "skipped", "groups"),
    [
        (1, [], [[1], [2], [3], [4], [5], [6], [7], [8], [9], [10]]),
        # The last group of an epoch is what is left, and its mean is taken over that.
        (2, [], [[1, 2], [3, 4], [5], [6, 7], [8, 9], [10]]),
        (3, [], [[1, 2, 3], [4, 5], [6, 7, 8], [9, 10]]),
        # What a repair leaves out is no part of the mean; a group may lose its first, its last, or all.
        (2, [1, 4, 5], [[2], [3], [6, 7], [8, 9], [10]]),
        (1, [2, 3], [[1], [4], [5], [6], [7], [8], [9], [10]]),
    ],
)
def test_a_step_is_made_with_the_mean_of_its_group(
    cumulative: int, skipped: list[int], groups: list[list[int]]
) -> None:
    state = make_state(Treatment(skipped=frozenset(skipped)))
    assert make_loop(state, Events(), cumulative_iters=cumulative).run()
    torch.testing.assert_close(weights_of(state), weights_by_hand(groups), rtol=1e-6, atol=1e-7)
    assert (state.progress.epoch, state.progress.batch, state.progress.iteration) == (2, 0, 10)


@pytest.mark.parametrize("max_norm", [None, 0.05])
def test_gradients_are_clipped_and_their_norm_before_is_logged(max_norm: float | None) -> None:
    state, events = make_state(), Events()
    make_loop(state, events, max_norm=max_norm).run()
    each = [[number] for number in range(1, 11)]
    torch.testing.assert_close(weights_of(state), weights_by_hand(each, max_norm=max_norm))
    norms = [
        entry.logged["grad_norm"]
        for interval in events.intervals
        for entry in interval.iterations
        if "grad_norm" in entry.logged
    ]
    assert len(norms) == (0 if max_norm is None else 10)
    assert all(norm > 0.05 for norm in norms)


def test_a_repair_lowers_the_learning_rate_from_its_iteration_on() -> None:
    state, events = make_state(Treatment(measures=(Measure(from_iteration=4, lr_factor=0.1),))), Events()
    make_loop(state, events).run()
    used = [entry.host.lr for interval in events.intervals for entry in interval.iterations]
    wanted = [SCHEDULE.lr(number // EPOCH_LENGTH, number, EPOCH_LENGTH) for number in range(10)]
    assert used == pytest.approx(wanted[:3] + [0.1 * lr for lr in wanted[3:]])
    assert [entry.host.lr_expected for entry in events.intervals[-1].iterations] == pytest.approx(used[-1:])


def test_what_the_loop_tells_in_its_order() -> None:
    events = Events()
    make_loop(make_state(), events, cumulative_iters=3).run()
    epoch = [
        ("starts", 0),
        # Two of three batches of a group: nothing can be saved, so nothing is told of it, and no interval starts.
        ("ends", [1, 2], True),
        3,
        ("starts", 3),
        ("ends", [3, 4], True),
        5,
        ("ends", [5], False),
        ("epoch", 1, 0),
    ]
    assert events.told[: len(epoch)] == epoch
    assert events.told[len(epoch)] == ("starts", 5)
    assert events.told[-1] == ("epoch", 2, 0)


def test_an_interval_brings_losses_signs_and_times() -> None:
    events = Events()
    make_loop(make_state(), events).run()
    first = events.intervals[0].iterations[0]
    assert first.logged["loss"] == first.logged["heatmap_loss"]
    assert first.probed == {"peak": pytest.approx(float(batch_of(0, 0).max()))}
    assert (first.host.num_samples, first.host.batch, first.host.iteration) == (3, 1, 1)
    # The clock ticks whenever it is asked: a batch was waited for as long as it took to come, and no longer.
    hosts = [entry.host for interval in events.intervals for entry in interval.iterations]
    assert {host.data_s for host in hosts} == {1.0}
    assert all(host.elapsed_s > host.data_s for host in hosts)


@pytest.mark.parametrize("stop_after", [1, 4, 5, 7])
def test_stopped_anywhere_it_ends_as_if_it_had_not_been(stop_after: int) -> None:
    straight = make_state()
    make_loop(straight, Events()).run()
    state, loader = make_state(), Batches()
    assert not make_loop(state, Events(stop_after=stop_after), loader).run()
    assert state.progress.iteration == stop_after
    assert make_loop(state, Events(), loader).run()
    assert torch.equal(weights_of(state), weights_of(straight))
    assert loader.asked[1 if stop_after < EPOCH_LENGTH else -1] == (
        stop_after // EPOCH_LENGTH,
        stop_after % EPOCH_LENGTH,
    )


def test_a_state_that_was_put_back_is_where_it_goes_on() -> None:
    state, loader = make_state(), Batches()
    straight = make_state()
    make_loop(straight, Events()).run()
    start = {name: value.clone() for name, value in state.model.state_dict().items()}

    class PutsBack(Events):
        def interval_finished(self, interval: Interval, progress: Progress, *, log: bool) -> bool:
            super().interval_finished(interval, progress, log=log)
            if len(self.intervals) != 2:
                return False
            state.model.load_state_dict(start)
            progress.move_to(Progress())
            return True

    assert make_loop(state, PutsBack(), loader).run()
    assert loader.asked == [(0, 0), (0, 0), (1, 0)]
    assert torch.equal(weights_of(state), weights_of(straight))


def test_gradients_are_exchanged_at_the_end_of_a_group_only() -> None:
    waits: list[bool] = []

    @contextmanager
    def no_sync() -> Iterator[None]:
        waits.append(True)
        yield

    loop = make_loop(make_state(), Events(), cumulative_iters=2)
    loop.no_sync = no_sync
    loop.run()
    assert len(waits) == 4  # the first of each whole group
