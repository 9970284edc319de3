"""Which sample comes when: the order of an epoch, its batches, and the share of each process.

Nothing here is random beyond the order of the epoch, and that depends on (seed, epoch) alone: any batch can
be made again, by any number of workers.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from sdpose.data.batch import PoseBatch
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.data.problems import ProblemLog
from sdpose.data.workers import end_workers, iterate, make_loader

__all__ = ["EvalLoader", "PoseBatch", "ProblemLog", "TrainLoader", "epoch_order"]


def epoch_order(
    num_samples: int, seed: int, epoch: int, rank: int, world_size: int, shuffle: bool
) -> NDArray[np.int64]:
    """The samples of one process in one epoch (from 0), in order.

    A permutation seeded with epoch + seed, filled up from its start so that all processes get equally many,
    of which process `rank` takes every `world_size`-th.
    """
    if shuffle:
        generator = torch.Generator().manual_seed(epoch + seed)
        order = torch.randperm(num_samples, generator=generator).numpy()
    else:
        order = np.arange(num_samples)
    if world_size == 1:
        return order
    total = _share_of(num_samples, world_size) * world_size
    return np.resize(order, total)[rank::world_size].copy()


def _share_of(num_samples: int, world_size: int) -> int:
    """How many samples each process takes."""
    return -(-num_samples // world_size)


class TrainLoader:
    """Shuffled batches of one process, epoch after epoch; the last batch of an epoch may be smaller.

    Worker processes live as long as the loader. pin_memory: hand over page-locked tensors, for CUDA.
    """

    def __init__(
        self,
        dataset: PoseDataset,
        batch_size: int,
        *,
        num_workers: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        self.dataset = dataset
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self._plan = _Plan(batch_size)
        self._num_batches = -(-_share_of(len(dataset), world_size) // batch_size)
        self._loader = make_loader(
            dataset, self._plan, num_workers=num_workers, pin_memory=pin_memory, persistent=True
        )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._num_batches

    def batches(self, epoch: int, start_batch: int = 0) -> Iterator[PoseBatch]:
        """The batches of an epoch (from 0), from `start_batch` on: always the same, whatever was made before.

        One pass at a time: a new pass ends the one before. Raises SdposeError when a worker process dies.
        """
        self._plan.epoch = epoch
        self._plan.order = self._order(epoch)
        self._plan.start_batch = start_batch
        yield from iterate(self._loader)

    def close(self) -> None:
        """End the worker processes; also when a pass is under way."""
        end_workers(self._loader)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return epoch_order(len(self.dataset), self.seed, epoch, self.rank, self.world_size, True)


class EvalLoader:
    """Every person of this process's share once, the persons of an image next to each other.

    The shares of the processes are contiguous, disjoint and complete. `PoseBatch.indices` say which person is
    which.
    """

    def __init__(
        self,
        dataset: PoseDataset,
        batch_size: int,
        *,
        num_workers: int,
        rank: int = 0,
        world_size: int = 1,
        pin_memory: bool = False,
    ) -> None:
        # An image's persons side by side: it is decoded once.
        by_image = np.argsort(dataset.persons.image_index, kind="stable").astype(np.int64)
        self._plan = _Plan(batch_size)
        self._plan.order = np.array_split(by_image, world_size)[rank]
        self._loader = make_loader(
            dataset, self._plan, num_workers=num_workers, pin_memory=pin_memory, persistent=False
        )

    def __len__(self) -> int:
        """Batches in this process's share."""
        return len(self._plan)

    def __iter__(self) -> Generator[PoseBatch, None, None]:
        """Raises SdposeError when a worker process dies. Close it to end the worker processes before its end."""
        return iterate(self._loader)


class _Plan:
    """The keys of the batches to make; read anew for every pass, and only in the main process."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.epoch = 0
        self.order = np.zeros(0, np.int64)
        self.start_batch = 0

    def __len__(self) -> int:
        return max(0, -(-len(self.order) // self.batch_size) - self.start_batch)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        epoch, order = self.epoch, self.order
        for start in range(self.start_batch * self.batch_size, len(order), self.batch_size):
            # A batch at a time: all at once would be as many Python objects as there are samples.
            some = order[start : start + self.batch_size].tolist()
            yield [SampleKey(epoch, index) for index in some]
