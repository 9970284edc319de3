"""Halves of a batch, and halves of these, down to the samples that bring the fault with them.

Legend: R ranks, N samples of a share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdpose.data.batch import PoseBatch
from sdpose.explain.computation import Batch

# More single culprits than this, and the batch as a whole is the culprit.
MOST = 8


class Seat(NamedTuple):
    """A sample's place in the batch."""

    rank: int
    position: int


class Halving(NamedTuple):
    """`seats` bring the fault; `together` when they only do so side by side. Empty: no part of the batch does."""

    seats: tuple[Seat, ...]
    together: bool
    num_passes: int


def guilty_seats(batch: Batch, shows: Callable[[Batch], bool]) -> Halving:
    """The samples whose presence makes `shows` true, found with some 2 log2(N) passes for a single one.

    `shows` is asked about parts of the batch. When every quarter shows the fault nobody is singled out: all seats
    come back, `together`.
    """
    everyone = tuple(
        Seat(rank, position) for rank, share in enumerate(batch) for position in range(len(share))
    )
    num_passes = 0

    def faulty(seats: Sequence[Seat]) -> bool:
        nonlocal num_passes
        num_passes += 1
        return shows(part(batch, seats))

    open_groups: list[tuple[Seat, ...]] = [everyone]
    guilty: list[Seat] = []
    joint: list[Seat] = []
    while open_groups:
        if len(open_groups) >= MOST:
            return Halving(everyone, True, num_passes)
        following: list[tuple[Seat, ...]] = []
        for group in open_groups:
            if len(group) == 1:
                guilty.append(group[0])
                continue
            middle = len(group) // 2
            halves = [half for half in (group[:middle], group[middle:]) if faulty(half)]
            if not halves:
                joint.extend(group)
            following.extend(halves)
        if len(guilty) > MOST:
            return Halving(everyone, True, num_passes)
        if len(following) >= 4 and sum(map(len, following)) == len(everyone):
            return Halving(everyone, True, num_passes)
        open_groups = following
    if guilty:
        return Halving(tuple(sorted(guilty)), False, num_passes)
    return Halving(tuple(joint) if len(joint) < len(everyone) else (), True, num_passes)


def part(batch: Batch, seats: Sequence[Seat]) -> Batch:
    """The batch with only these samples; ranks without any are left out."""
    wanted = [[seat.position for seat in seats if seat.rank == rank] for rank in range(len(batch))]
    return [_take(share, rows) for share, rows in zip(batch, wanted, strict=True) if rows]


def without(batch: Batch, seats: Sequence[Seat]) -> Batch:
    """The batch without these samples."""
    gone = set(seats)
    kept = [
        Seat(rank, position)
        for rank, share in enumerate(batch)
        for position in range(len(share))
        if Seat(rank, position) not in gone
    ]
    return part(batch, kept)


def _take(share: PoseBatch, rows: Sequence[int]) -> PoseBatch:
    index = torch.tensor(rows, dtype=torch.int64)
    values: dict[str, Any] = {}
    for entry in fields(share):
        value = getattr(share, entry.name)
        values[entry.name] = value[index] if isinstance(value, Tensor) else [value[row] for row in rows]
    return PoseBatch(**values)
