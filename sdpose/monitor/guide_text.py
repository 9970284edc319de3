"""The guide's texts, to the byte: what people and their scripts search logs for.

The guide's examples show losses of 0.4 to 5 with a fixed number of decimals. Real SDPose losses are 1e-3 to
1e-2 and the token terms 1e-4 to 1e-7, which such decimals would round away. So every number prints as the
guide's where the guide's examples lie, and with significant digits below:

    losses in warnings and statistics   4 decimals from 0.1 up, 4 significant digits below       0.008312
    terms in `Iter [..]` lines          6 decimals from 1e-5 up, 4 significant digits below      6.123e-07
    AP                                  3 decimals in warnings, 4 in statistics

The letters n-a-n and i-n-f, in a row, appear only where a value really is NaN or infinite: the guide greps
for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sdpose.monitor.run_statistics import RunStatistics

WARNING = "⚠️  WARNING: "  # two spaces: the sign is two columns wide


def loss_spike(*, current: float, recent_average: float, ratio: float) -> str:
    """The guide's warning for a loss that jumped."""
    return (
        f"{WARNING}Loss spike detected!\n"
        f"   Current: {loss_digits(current)}\n"
        f"   Recent avg: {loss_digits(recent_average)}\n"
        f"   Ratio: {f'{ratio:.2f}' if ratio < 1e6 else f'{ratio:.3e}'}x"
    )


def performance_drop(*, metric: str, current: float, best: float, drop: float) -> str:
    """The guide's warning for an evaluation below the best."""
    return (
        f"{WARNING}Performance drop detected!\n"
        f"   Current {metric}: {current:.3f}\n"
        f"   Best {metric}: {best:.3f}\n"
        f"   Drop: {drop:.3f}"
    )


def iteration_line(iteration: int, terms: Mapping[str, float]) -> str:
    """The guide's detailed line: `Iter [50] loss: 2.345678, heatmap_loss: 2.100000, ...`, `loss` first."""
    ordered = sorted(terms.items(), key=lambda term: term[0] != "loss")
    return f"Iter [{iteration}] " + ", ".join(f"{name}: {term_digits(value)}" for name, value in ordered)


def training_stats(statistics: RunStatistics) -> str:
    """All of training_stats.txt. A number that the run never had (no iteration, no evaluation) is `n/a`."""
    rows = {
        "Mean": statistics.mean,
        "Std": statistics.std,
        "Min": statistics.minimum,
        "Max": statistics.maximum,
    }
    lines = [
        f"  - {name}: {loss_digits(value) if statistics.num_losses else 'n/a'}"
        for name, value in rows.items()
    ]
    final = "n/a" if statistics.final_loss is None else loss_digits(statistics.final_loss)
    best = "n/a" if statistics.best_ap is None else f"{statistics.best_ap:.4f}"
    return "\n".join(
        [
            "Training Statistics",
            "=" * 80,
            "",
            "Loss Statistics:",
            *lines,
            f"  - Final: {final}",
            "",
            f"Best AP: {best}",
            *([f"Energy: {energy}"] if (energy := _energy(statistics)) else []),
            "",
        ]
    )


def _energy(statistics: RunStatistics) -> str:
    if statistics.energy_j is None:
        return ""
    return energy_text(
        statistics.energy_j, num_images=statistics.energy_images, is_partial=statistics.energy_partial
    )


def energy_text(joules: float, *, num_images: float, is_partial: bool) -> str:
    """`0.4213 kWh, 3.21 J an image`; the images are those trained on, evaluations count among the joules."""
    kwh = f"{joules / 3.6e6:.4g} kWh"
    if num_images:
        kwh += f", {joules / num_images:.3g} J an image"
    return f"at least {kwh}" if is_partial else kwh


def loss_digits(value: float) -> str:
    """4 decimals from 0.1 up, as the guide; 4 significant digits below; `NaN`, `Inf` and `-Inf`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Inf" if value > 0 else "-Inf"
    size = abs(value)
    if size >= 1e6:
        return f"{value:.3e}"
    return f"{value:.4f}" if size >= 0.1 or size == 0 else f"{value:#.4g}"


def term_digits(value: float) -> str:
    """6 decimals from 1e-5 up, as the guide; 4 significant digits below; `NaN`, `Inf` and `-Inf`."""
    if not math.isfinite(value) or abs(value) >= 1e6:
        return loss_digits(value)
    return f"{value:.6f}" if abs(value) >= 1e-5 or value == 0 else f"{value:.3e}"
