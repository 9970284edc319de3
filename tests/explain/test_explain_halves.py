"""Halving finds exactly the samples that bring a fault, with few passes."""

from __future__ import annotations

import pytest
import torch

from sdpose.data.batch import PoseBatch
from sdpose.explain.computation import Batch
from sdpose.explain.halves import Seat, guilty_seats, part, without


def share(first: int, size: int) -> PoseBatch:
    """Samples that are known by their index."""
    return PoseBatch(
        images=torch.zeros(size, 4, 4, 3, dtype=torch.uint8),
        joints=torch.zeros(size, 2, 2),
        visible=torch.ones(size, 2),
        centers=torch.zeros(size, 2),
        scales=torch.ones(size, 2),
        indices=torch.arange(first, first + size),
        problems=[f"sample {index}" for index in range(first, first + size)],
    )


def indices(batch: Batch) -> set[int]:
    return {index for one in batch for index in one.indices.tolist()}


@pytest.mark.parametrize("size", [1, 2, 7, 32])
def test_a_single_culprit_is_found_wherever_it_sits(size: int) -> None:
    for culprit in range(size):
        found = guilty_seats([share(0, size)], lambda some, culprit=culprit: culprit in indices(some))
        assert found.seats == (Seat(0, culprit),)
        assert not found.together
        assert found.num_passes <= 2 * max(size - 1, 0).bit_length()


def test_several_culprits_on_several_ranks_are_found() -> None:
    batch = [share(0, 8), share(8, 8)]
    found = guilty_seats(batch, lambda some: bool({3, 12} & indices(some)))
    assert found.seats == (Seat(0, 3), Seat(1, 4))


def test_two_that_only_harm_together_are_told_as_such() -> None:
    found = guilty_seats([share(0, 8)], lambda some: {2, 3} <= indices(some))
    assert (found.seats, found.together) == ((Seat(0, 2), Seat(0, 3)), True)


@pytest.mark.parametrize("size", [4, 8, 32])
def test_nobody_is_singled_out_when_all_are_guilty(size: int) -> None:
    found = guilty_seats([share(0, size)], bool)
    # Two halves and four quarters.
    assert (len(found.seats), found.together, found.num_passes) == (size, True, 2 + 4)


def test_nobody_is_named_when_only_the_whole_harms() -> None:
    found = guilty_seats([share(0, 8)], lambda some: len(indices(some)) == 8)
    assert found.seats == ()


def test_parts_keep_samples_and_their_problems_together() -> None:
    batch = [share(0, 3), share(3, 3)]
    (one,) = part(batch, [Seat(1, 2)])
    assert (one.indices.tolist(), one.problems) == ([5], ["sample 5"])
    assert indices(without(batch, [Seat(1, 2)])) == {0, 1, 2, 3, 4}
    assert without([share(0, 1)], [Seat(0, 0)]) == []
