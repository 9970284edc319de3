"""What a benchmark gives: a ratio of two things measured in turns in one run, and how far it may be trusted.

Every script of this folder that measures speed has `ratios(quick=...)`, which gives a list of these; its `main` prints
them and what stands behind them. `benchmarks/quick.py` asks all of them and compares with the committed table. A script
whose parts can be measured without each other also takes `only=...`, the names that are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """One measured ratio.

    `name` is the key in the committed table and says what is divided by what; it does not change once it stands there.
    `low` and `high` are the quartiles over the rounds. `aim` is what is wanted, None where nobody asks for a number.
    `detail` holds the absolute numbers behind the ratio, for the reader: they are the machine's and of the moment.
    """

    name: str
    value: float
    low: float
    high: float
    better: Literal["higher", "lower"] = "higher"
    aim: float | None = None
    detail: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the aim is met; None without one."""
        if self.aim is None:
            return None
        return self.value >= self.aim if self.better == "higher" else self.value <= self.aim

    @property
    def in_words(self) -> str:
        """Name, value and quartiles, with the aim where there is one; what stands behind it in a second line."""
        aim = f" (aim {self.aim:g})" if self.aim is not None else ""
        return f"{self.name}: {self.value:.2f} [{self.low:.2f}, {self.high:.2f}]{aim}\n    {self.detail}"

    @classmethod
    def of(
        cls,
        name: str,
        rounds: Sequence[float],
        *,
        better: Literal["higher", "lower"] = "higher",
        aim: float | None = None,
        detail: str = "",
    ) -> Ratio:
        """The median of the ratios of single rounds, with their quartiles. Raises ValueError without a round."""
        if not rounds:
            raise ValueError(f"{name}: no round was measured")
        low, _, high = quantiles(rounds, n=4) if len(rounds) > 1 else (rounds[0], rounds[0], rounds[0])
        return cls(name=name, value=median(rounds), low=low, high=high, better=better, aim=aim, detail=detail)


def wanted(only: Collection[str] | None, *beginnings: str) -> bool:
    """Whether a part that gives ratios whose names begin like this is asked for; None asks for everything."""
    return only is None or any(name.startswith(beginnings) for name in only)


def in_turns(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    rounds: int,
    clock: Callable[[], float],
    warm_up: Sequence[Callable[[], object]] | None = None,
) -> list[tuple[float, float]]:
    """Seconds of both, round by round, after one round to warm up; who begins changes from round to round.

    `warm_up`: the only ones that need it, where the other is long and as slow the first time as later.
    """
    for action in (second, first) if warm_up is None else warm_up:
        action()
    times: list[tuple[float, float]] = []
    for number in range(rounds):
        elapsed = {}
        for action in (second, first) if number % 2 else (first, second):
            started_at = clock()
            action()
            elapsed[action] = clock() - started_at
        times.append((elapsed[first], elapsed[second]))
    return times
