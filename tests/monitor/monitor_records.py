"""Short ways to write records down in the tests of the monitor."""

from __future__ import annotations

from collections.abc import Iterable

from sdpose.monitor import Record

EPOCH_LENGTH = 100


def train(iteration: int, loss: float, **values: float) -> Record:
    """One iteration of a run with 100 iterations an epoch; further values come before the loss."""
    return Record(
        mode="train",
        epoch=(iteration - 1) // EPOCH_LENGTH + 1,
        iteration=iteration,
        epoch_iteration=(iteration - 1) % EPOCH_LENGTH + 1,
        epoch_length=EPOCH_LENGTH,
        values={**values, "loss": loss},
        time=1000.0 + iteration,
    )


def val(epoch: int, ap: float, **values: float) -> Record:
    """One evaluation after the given epoch."""
    return Record(
        mode="val",
        epoch=epoch,
        iteration=epoch * EPOCH_LENGTH,
        epoch_iteration=EPOCH_LENGTH,
        epoch_length=EPOCH_LENGTH,
        values={"AP": ap, **values},
        time=1000.0 + epoch * EPOCH_LENGTH,
    )


def losses(series: Iterable[float], *, start: int = 1) -> list[Record]:
    """A train record for each loss, numbered from `start`."""
    return [train(iteration, loss) for iteration, loss in enumerate(series, start=start)]


def aps(series: Iterable[float]) -> list[Record]:
    """An evaluation for each AP, after epochs 1, 2, 3 ..."""
    return [val(epoch, ap) for epoch, ap in enumerate(series, start=1)]
