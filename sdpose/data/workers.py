"""The worker processes behind both loaders."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader

from sdpose.data.batch import PoseBatch
from sdpose.data.dataset import PoseDataset, SampleKey
from sdpose.errors import SdposeError

PREFETCH_BATCHES = 2


def make_loader(
    dataset: PoseDataset,
    batches: Iterable[list[SampleKey]],
    *,
    num_workers: int,
    pin_memory: bool,
    persistent: bool,
) -> DataLoader[PoseBatch]:
    """A loader that makes the batches whose keys `batches` lists, in their order.

    `batches` is asked anew for every pass, in this process. With num_workers 0 the samples are made in this
    process too.
    """
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # its __getitems__ gives whole batches
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=_as_it_is,
        pin_memory=pin_memory,
        worker_init_fn=_start_worker,
        # Its own, or every pass would draw from torch's global one and move what a resumed run draws next.
        generator=torch.Generator(),
        persistent_workers=persistent and num_workers > 0,
        # A forked worker shares the annotations with this process; any other gets a copy of them.
        multiprocessing_context="fork" if num_workers > 0 and sys.platform == "linux" else None,
        prefetch_factor=PREFETCH_BATCHES if num_workers > 0 else None,
    )


def iterate(loader: DataLoader[PoseBatch]) -> Generator[PoseBatch, None, None]:
    """The batches of one pass. Raises SdposeError when a worker process dies.

    Close it when it is not drawn to its end: workers that live for one pass end with it.
    """
    batches = _start_pass(loader)
    try:
        while True:
            try:
                batch = next(batches, None)
            except (RuntimeError, EOFError, OSError) as error:
                if loader.num_workers == 0 or not _tells_of_a_dead_worker(error):
                    raise
                raise SdposeError(
                    f"a data worker process died ({str(error) or type(error).__name__}); most often the memory, "
                    f"or the shared memory (/dev/shm), is used up: lower workers_per_gpu (now "
                    f"{loader.num_workers}; 0 needs no processes) or samples_per_gpu"
                ) from error
            if batch is None:
                return
            yield batch
    finally:
        if not loader.persistent_workers:
            _end_workers(batches)


def end_workers(loader: DataLoader[PoseBatch]) -> None:
    """End the worker processes that outlive a pass; the next pass starts new ones.

    Without it they live as long as an exception's traceback refers to the pass, and Python waits for them at exit.
    """
    if loader.num_workers > 0:
        _end_workers(loader._iterator)
        loader._iterator = None


def _end_workers(batches: Any) -> None:
    workers = list(getattr(batches, "_workers", ()))
    if workers:
        batches._shutdown_workers()
    for worker in workers:
        # torch has asked and waited; what still lives now would be waited for without end.
        if worker.is_alive():
            worker.kill()
            worker.join()


def _tells_of_a_dead_worker(error: Exception) -> bool:
    """Whether waiting for a batch failed because its maker is gone, not because making it raised."""
    if "in DataLoader worker process" in str(error):
        return False
    # The rest is met when a worker dies between announcing a batch and handing over its memory.
    return "exited unexpectedly" in str(error) or not isinstance(error, RuntimeError)


def _start_pass(loader: DataLoader[PoseBatch]) -> Iterator[PoseBatch]:
    """`iter(loader)`, with the signal handler for dead child processes as it was before.

    torch installs one that raises out of whatever line the main process is in, be it in the middle of an
    optimizer step. Without it the same check is made where a batch is waited for, at most 5 s later.
    """
    before = signal.getsignal(signal.SIGCHLD)
    batches = iter(loader)
    if before is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, before)
    return batches


def _as_it_is(batch: Any) -> Any:
    return batch


def _start_worker(worker_id: int) -> None:
    """Prepare a fresh worker process."""
    # One core a worker. 0 and not 1: 1 waits for OpenCV's own threads, which did not survive the fork.
    cv2.setNumThreads(0)
    # A process group of its own: Ctrl-C in the terminal reaches the main process alone, which may want the
    # batches in flight to finish its iteration and save.
    os.setpgid(0, 0)
