"""What the run logged of the iterations that were played again, beside what the replay gives."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from sdpose.explain.computation import Lived

# The log keeps six digits; a mean over an interval adds rounding of its own.
SAME = 1e-4


@dataclass(frozen=True)
class Difference:
    """The first logged interval whose loss the replay does not give again."""

    iteration: int
    logged: float
    replayed: float


@dataclass(frozen=True)
class Comparison:
    """Logged intervals that lie wholly within the replay, and the first that differs."""

    num_lines: int
    first_difference: Difference | None


def compare_with_log(
    work_dir: Path, lived: list[tuple[int, Lived]], *, epoch_length: int, interval: int
) -> Comparison:
    """Compare the mean loss of each logged interval; of several logs the last word on an iteration counts."""
    replayed = {iteration: one.values["loss"] for iteration, one in lived if "loss" in one.values}
    num_lines, first = 0, None
    for end, logged in sorted(_logged_losses(work_dir, epoch_length).items()):
        iterations = range(end - interval + 1, end + 1)
        if not all(iteration in replayed for iteration in iterations):
            continue
        num_lines += 1
        mean = math.fsum(replayed[iteration] for iteration in iterations) / interval
        same = math.isclose(mean, logged, rel_tol=SAME) or (math.isnan(mean) and math.isnan(logged))
        if not same and first is None:
            first = Difference(end, logged, mean)
    return Comparison(num_lines, first)


def _logged_losses(work_dir: Path, epoch_length: int) -> dict[int, float]:
    """Last iteration of each logged interval -> mean loss."""
    found: dict[int, float] = {}
    for path in sorted(work_dir.glob("*.log.json")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except json.JSONDecodeError:
                continue  # cut short where the run was killed
            if isinstance(entry, dict) and entry.get("mode") == "train" and "loss" in entry:
                found[(entry["epoch"] - 1) * epoch_length + entry["iter"]] = float(entry["loss"])
    return found
