"""Where to begin when the state before the alert is damaged already: an earlier checkpoint, or the run's own start."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from sdpose.assemble.model import build_model
from sdpose.errors import SdposeError
from sdpose.explain.bench import Bench
from sdpose.explain.case import Case, checkpoints_of
from sdpose.explain.deadline import Deadline
from sdpose.explain.replay import Replay
from sdpose.explain.symptom import Usual, not_finite
from sdpose.models.weights import load_model_weights
from sdpose.training.checkpoint import load_checkpoint
from sdpose.training.progress import Progress

# Farther back than this, playing again takes longer than anybody waits.
MOST_ITERATIONS = 200
# On a GPU sums come in changing order, so the way back to the saved weights is not exact.
CLOSE = 1e-3


def starts_damaged(case: Case, film: Replay) -> bool:
    """Whether the first batches from the saved state already show the fault: none is finite, or all are too high.

    Too high is nearer to what the alert saw than to the best that the run had, where it tells of that.
    """
    if not film.baseline:
        return False
    if all(not_finite(lived) is not None for lived in film.baseline):
        return True
    level, incident = Usual.of(film.baseline).level("loss"), case.incident
    best = incident.evidence.get("best") if incident is not None and incident.kind == "divergence" else None
    if incident is None or level is None or not best or not incident.value:
        return False
    return level > math.sqrt(best * incident.value)


def go_back(case: Case, bench: Bench, deadline: Deadline) -> Case | None:
    """Put the bench at an earlier state of the same run; the case with its new source, or None without one."""
    if case.from_start:
        return None
    for source in _sources(case):
        if source is None:
            if _stand_at_start(case, bench, deadline):
                return replace(case, from_start=True)
            continue
        checkpoint = load_checkpoint(source)
        try:
            bench.load(checkpoint)
        except SdposeError:
            continue  # of another run, or with other data
        return replace(case, checkpoint=checkpoint)
    return None


def _sources(case: Case) -> Iterator[Path | None]:
    """Checkpoints from before, the latest first; None is the start of the run."""
    before = case.checkpoint.iteration
    for number, path in reversed(checkpoints_of(case.work_dir)):
        if before - MOST_ITERATIONS <= number < before:
            yield path
    if before <= MOST_ITERATIONS:
        yield None


def _stand_at_start(case: Case, bench: Bench, deadline: Deadline) -> bool:
    """Make the first weights again as the run did, and see whether they lead to the saved ones."""
    seed = case.checkpoint.meta["seed"]
    torch.manual_seed(seed)
    random.seed(seed)
    try:
        model = build_model(case.settings, pretrained=True)
        if case.settings.load_from:
            weights = load_checkpoint(case.settings.load_from)
            load_model_weights(model, weights.state_dict, source=str(weights.path))
    except SdposeError:
        return False
    bench.model.load_state_dict(model.state_dict())
    bench.optimizer.state.clear()
    bench.optimizer.zero_grad(set_to_none=True)
    bench.progress = Progress()
    start = bench.freeze()
    for batch in bench.batches():
        if bench.progress.iteration >= case.checkpoint.iteration or not deadline.allows():
            break
        bench.advance(batch)
    reached = bench.progress.iteration == case.checkpoint.iteration
    same = reached and _same(bench.model.state_dict(), dict(case.checkpoint.state_dict))
    bench.restore(start)
    return same


def _same(ours: dict[str, Tensor], saved: dict[str, Tensor]) -> bool:
    return all(
        torch.allclose(tensor.cpu().double(), saved[name].double(), rtol=CLOSE, atol=1e-8, equal_nan=True)
        for name, tensor in ours.items()
    )
