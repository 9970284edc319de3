"""What an interval shows: every scalar of every iteration, and means as mmcv logs them."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from sdpose.training.distributed import World
from sdpose.training.probes import HostValues, IterationValues, ProbeWindow, probed_means, weighted_means


def host(iteration: int, num_samples: int, **changed: Any) -> HostValues:
    values = {"lr": 0.1, "lr_expected": 0.1, "elapsed_s": 1.0, "data_s": 0.25} | changed
    return HostValues(iteration=iteration, batch=iteration, num_samples=num_samples, **values)


def scalars(**values: float) -> dict[str, Tensor]:
    return {name: torch.tensor(value) for name, value in values.items()}


def entry(num_samples: int, logged: dict[str, float], **changed: Any) -> IterationValues:
    probed = {name: 10 * value for name, value in logged.items()}
    return IterationValues(host=host(1, num_samples, **changed), logged=logged, probed=probed)


def test_means_are_weighted_by_batch_size_and_times_are_not() -> None:
    iterations = [
        entry(6, {"loss": 1.0, "grad_norm": 4.0}, elapsed_s=1.0, data_s=0.5),
        # The last batch of an epoch, in which nothing was clipped.
        entry(2, {"loss": 5.0}, elapsed_s=3.0, data_s=0.0),
    ]
    assert weighted_means(iterations) == {
        "loss": (6 * 1.0 + 2 * 5.0) / 8,
        "grad_norm": 4.0,
        "time": 2.0,
        "data_time": 0.25,
    }
    assert probed_means(iterations) == {"loss": 20.0, "grad_norm": 40.0}


def test_a_window_hands_over_what_it_was_given_and_is_empty_then() -> None:
    window = ProbeWindow()
    window.add(scalars(loss=2.0, acc_pose=0.5), scalars(peak=0.75), host(1, 4))
    window.add(scalars(loss=4.0), {}, host(2, 4))
    interval = window.drain(scalars(weight_norm=3.0))
    assert [each.logged for each in interval.iterations] == [{"loss": 2.0, "acc_pose": 0.5}, {"loss": 4.0}]
    assert [each.probed for each in interval.iterations] == [{"peak": 0.75}, {}]
    assert [each.host.iteration for each in interval.iterations] == [1, 2]
    assert interval.at_end == {"weight_norm": 3.0}
    assert interval.loss_per_rank == (3.0,)
    assert len(window) == 0
    assert not window.drain()


def test_the_mean_over_processes_tells_each_ones_own_loss() -> None:
    class Second(World):
        """Rank 1 of 2, the other of which saw zeros everywhere and a loss of 8."""

        def mean_over_ranks(self, values: Tensor) -> Tensor:
            other = torch.zeros_like(values)
            other[-2] = 8.0 * 2
            return (values + other) / 2

    window = ProbeWindow()
    window.add(scalars(loss=2.0), {}, host(1, 4))
    interval = window.drain(world=Second(rank=1, size=2))
    assert interval.loss_per_rank == (8.0, 2.0)
    assert interval.iterations[0].logged == {"loss": 1.0}


def test_an_undrained_window_goes_through_a_checkpoint_bit_for_bit() -> None:
    window, again = ProbeWindow(), ProbeWindow()
    window.add(scalars(loss=1 / 3), scalars(peak=float("nan")), host(7, 3, lr=1e-5))
    file = io.BytesIO()
    torch.save(window.state_dict(), file)
    again.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    (before,), (after,) = window.drain().iterations, again.drain().iterations
    assert repr(after) == repr(before)
    assert after.logged["loss"] == pytest.approx(1 / 3)


def test_a_window_of_an_earlier_version_is_passed_over() -> None:
    window = ProbeWindow()
    window.add(scalars(loss=1.0), {}, host(1, 4))
    window.load_state_dict({"values": []})
    assert len(window) == 0
