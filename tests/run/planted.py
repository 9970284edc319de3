"""Faults of single batches, planted on their way from the loader to the loop.

Imported by tests, and through `custom_imports` by the processes of a run: there `SDPOSE_PLANT` says which faults the
second process (or the only one) sees. Each leaves the fingerprint of its weights in `SDPOSE_FINGERPRINTS`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch

from sdpose.assemble.data import EpochBatches
from sdpose.data.loader import PoseBatch
from sdpose.run import Run


def nan(batch: PoseBatch) -> None:
    """A weight of a joint is NaN, so the loss is."""
    batch.visible[0, 0] = torch.nan


def huge(batch: PoseBatch) -> None:
    """Joints weigh a million times what they should."""
    batch.visible *= 1e6


def mild(batch: PoseBatch) -> None:
    """Joints weigh fifty times what they should: a spike, and nothing is broken by it."""
    batch.visible *= 50


KINDS: Mapping[str, Callable[[PoseBatch], None]] = {"nan": nan, "huge": huge, "mild": mild}
_original = EpochBatches.batches


def planting(faults: Mapping[int, str]) -> Callable[..., Iterator[PoseBatch]]:
    """`EpochBatches.batches`, with faults in the batches of these iterations (from 1)."""

    def batches(self: EpochBatches, epoch: int, start_batch: int = 0) -> Iterator[PoseBatch]:
        first = epoch * len(self) + start_batch + 1
        for number, batch in enumerate(_original(self, epoch, start_batch), start=first):
            if number in faults:
                KINDS[faults[number]](batch)
            yield batch

    return batches


def fingerprint(model: torch.nn.Module) -> str:
    """Of all parameters, to the last bit."""
    digest = hashlib.sha256()
    for parameter in model.parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()


def _end_with_a_fingerprint(self: Run, reason: str) -> None:
    _finish(self, reason)
    Path(os.environ["SDPOSE_FINGERPRINTS"], str(self.world.rank)).write_text(fingerprint(self.model))


_finish = Run.finish

if "SDPOSE_PLANT" in os.environ:
    Run.finish = _end_with_a_fingerprint  # type: ignore[method-assign]
    if os.environ.get("RANK", "1") == "1":
        EpochBatches.batches = planting(  # type: ignore[method-assign]
            {int(number): kind for number, kind in json.loads(os.environ["SDPOSE_PLANT"]).items()}
        )
