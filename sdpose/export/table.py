"""The parity table: what each engine finds and how long it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sdpose.export.parity import Parity


@dataclass(frozen=True)
class Row:
    """One engine, with or without the flip test."""

    engine: str
    flip_test: bool
    parity: Parity
    limit: float | None
    """How much AP it may lose; None for torch itself."""

    @property
    def fault(self) -> str | None:
        """Why this row forbids the file, or None."""
        if self.limit is None or self.parity.loss <= self.limit:
            return None
        flip = "with" if self.flip_test else "without"
        return (
            f"{self.engine} loses {self.parity.loss:.4f} of AP {self.parity.ap_of_torch:.3f} {flip} flip test; "
            f"at most {self.limit:g} is allowed"
        )


def table_lines(rows: Sequence[Row], latency_ms: Mapping[str, float]) -> list[str]:
    """Markdown. Latency is that of one person without flip test, or as the file has it inside."""
    lines = [
        "| engine | flip test | AP | lost | mean px | 99 % px | max px | ms a person | against torch |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        parity, elapsed_ms = row.parity, latency_ms.get(row.engine, math.nan)
        same = row.limit is None
        apart = (
            ["-"] * 4
            if same
            else [
                f"{parity.loss:+.4f}",
                *(f"{value:.3g}" for value in (parity.mean_px, parity.p99_px, parity.max_px)),
            ]
        )
        cells = [row.engine, "yes" if row.flip_test else "no", f"{parity.ap:.4f}", *apart]
        cells += [f"{elapsed_ms:.1f}", f"{latency_ms['torch'] / elapsed_ms:.2f}x"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
