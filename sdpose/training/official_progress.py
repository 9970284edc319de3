"""How far an official run really was.

mmcv 1.3.8 writes a wrong place into checkpoints of resumed runs: epoch and iter of the file that was
resumed, not of the run. epoch_7.pth of a run resumed from epoch 5 says epoch 5, and going on from it would
repeat two epochs at the wrong learning rate. Adam's own step count is right, so it can tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def corrected_progress(
    path: Path, meta: dict[str, Any], optimizer: Mapping[str, Any] | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """`meta` with the true epoch and iter, and a line that says so when they were wrong.

    They are corrected only where the file's name and the optimizer agree on it; a lone disagreement of the
    name is said and left as it is.
    """
    named = re.search(r"epoch_(\d+)\.pth$", path.name)
    if named is None or int(named[1]) == meta["epoch"]:
        return meta, ()
    epoch, told = int(named[1]), f"{path.name} says in its meta that {meta['epoch']} epochs are finished"
    steps = _optimizer_steps(optimizer)
    if meta["epoch"] > 0 and steps * meta["epoch"] == epoch * meta["iter"]:
        return {**meta, "epoch": epoch, "iter": steps}, (
            f"{told}, a known fault of mmcv 1.3.8 after a resume; its optimizer made {steps} steps, so it "
            f"is taken as "
            f"epoch {epoch}, iteration {steps}",
        )
    return meta, (f"{told}, which does not fit its name; going on after epoch {meta['epoch']}",)


def _optimizer_steps(optimizer: Mapping[str, Any] | None) -> int:
    """Steps that Adam counted, or 0 when the optimizer keeps no count."""
    entries = (optimizer or {}).get("state", {}).values()
    return max((int(entry["step"]) for entry in entries if "step" in entry), default=0)
