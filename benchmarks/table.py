"""The committed table of ratios, and whether what is measured now still agrees with it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from benchmarks.ratio import Ratio

COMMITTED = Path(__file__).with_name("table.json")
# Two runs of the same code differ by this much even where the quartiles of each lie close together.
SMALLEST_CHANGE = 0.05

Verdict = Literal["within the spread", "worse", "better", "new", "gone", "not measured"]


@dataclass(frozen=True)
class Row:
    """A ratio and the script that gives it."""

    script: str
    ratio: Ratio


@dataclass(frozen=True)
class Table:
    """What was measured once, where and when."""

    cpu: str
    cores: int
    torch: str
    date: str
    commit: str
    rows: tuple[Row, ...]
    warning: str = ""
    """Why it should be measured again."""


@dataclass(frozen=True)
class Compared:
    """One line of a comparison; a side that does not exist is None."""

    name: str
    now: Ratio | None
    committed: Ratio | None
    verdict: Verdict

    @property
    def change(self) -> float | None:
        """Relative change of the value."""
        if self.now is None or self.committed is None or self.committed.value == 0:
            return None
        return self.now.value / self.committed.value - 1


def compare(now: Sequence[Row], committed: Sequence[Row], *, measured: Iterable[str]) -> list[Compared]:
    """A line for each ratio of either side, in the order of now, then of the table.

    `measured` are the scripts that ran: a ratio of another script is not measured, a missing one of theirs is gone.
    Raises ValueError when a name stands twice on a side: which of the two is meant would be a guess.
    """
    ran = set(measured)
    new, old = by_name(now), by_name(committed)
    lines = [
        Compared(name, row.ratio, old[name].ratio, verdict(row.ratio, old[name].ratio))
        if name in old
        else Compared(name, row.ratio, None, "new")
        for name, row in new.items()
    ]
    for name, row in old.items():
        if name not in new:
            lines.append(Compared(name, None, row.ratio, "gone" if row.script in ran else "not measured"))
    return lines


def verdict(now: Ratio, committed: Ratio) -> Verdict:
    """Worse or better where the middle halves of the rounds do not touch and the medians are SMALLEST_CHANGE apart."""
    apart = abs(now.value - committed.value) > SMALLEST_CHANGE * abs(committed.value)
    if not apart or (now.low <= committed.high and committed.low <= now.high):
        return "within the spread"
    rose = now.value > committed.value
    return "better" if rose == (now.better == "higher") else "worse"


def merged(runs: Sequence[Ratio]) -> Ratio:
    """Several runs of one ratio as one: the median of the medians, and a middle half as wide as the widest of all.

    What differs from run to run (where memory lies, what else the machine does) does not show in the rounds of one.
    """
    last = runs[-1]
    return Ratio(
        name=last.name,
        value=median(run.value for run in runs),
        low=min(run.low for run in runs),
        high=max(run.high for run in runs),
        better=last.better,
        aim=last.aim,
        detail=last.detail,
    )


def better_of(first: Ratio, second: Ratio) -> Ratio:
    """The run that went better: other work only makes a run worse, a regression makes both worse."""
    choose = max if first.better == "higher" else min
    return choose(first, second, key=lambda ratio: ratio.value)


def by_name(rows: Sequence[Row]) -> dict[str, Row]:
    """Name -> row. Raises ValueError when two rows have one name."""
    repeated = [name for name, times in Counter(row.ratio.name for row in rows).items() if times > 1]
    if repeated:
        raise ValueError(f"{len(repeated)} ratios have a name that another has too: {', '.join(repeated)}")
    return {row.ratio.name: row for row in rows}


def read_table(path: Path = COMMITTED) -> Table | None:
    """None where no table was written yet."""
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    rows = tuple(Row(row.pop("script"), Ratio(**row)) for row in content.pop("ratios"))
    return Table(**content, rows=rows)


def write_table(table: Table, path: Path = COMMITTED) -> None:
    """One line a ratio, so that a change shows line by line."""
    head = {key: value for key, value in asdict(table).items() if key != "rows"}
    rows = [json.dumps({"script": row.script, **_rounded(asdict(row.ratio))}) for row in table.rows]
    text = json.dumps(head, indent=2).removesuffix("\n}") + ',\n  "ratios": [\n    ' + ",\n    ".join(rows)
    path.write_text(text + "\n  ]\n}\n", encoding="utf-8")


def _rounded(values: Mapping[str, object]) -> dict[str, object]:
    """Four digits: the rest is noise."""
    return {
        key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values.items()
    }
