"""What the experiments on an onset told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sdpose.explain.computation import Precision
from sdpose.explain.explanation import Place
from sdpose.explain.halves import Seat
from sdpose.explain.step_size import LineSearch

NUM_REPEATS = 3


@dataclass
class Findings:
    """What the experiments on the onset told; None: not asked, or no answer."""

    comes_again: bool | None = None
    times: int = 0
    """Of `NUM_REPEATS`, how often it did."""
    precision_tried: Precision | None = None
    healing_precision: Precision | None = None
    with_earlier_weights: bool | None = None
    """Whether this batch shows the fault from weights that were well."""
    earlier: str = ""
    """Which weights these were, for the page."""
    with_other_batches: bool | None = None
    seats: tuple[Seat, ...] = ()
    """Samples without which the fault is gone."""
    together: bool = False
    place: Place | None = None
    bad_tensors: tuple[str, ...] = ()
    """Of weights, statistics and moments from which the onset started, those that are not finite."""
    search: LineSearch | None = None
    kicked_by: tuple[Seat, ...] = ()
    """Samples of the step before, without which that step does no harm."""
    old_weight_decay: float | None = None
    healed_by: dict[str, Any] = field(default_factory=dict)
    """What-ifs after which the fault stays away: `lr_factor`, `max_norm`, `weight_decay`, `fresh_moments`."""
