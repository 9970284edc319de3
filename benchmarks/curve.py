"""How a cost grows: points, the law through them (a line, or one with a square), and the power that fits best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A cost at several sizes, more of them different than the law has parts."""

    name: str
    x_name: str
    unit: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    detail: str = ""
    degree: int = 1
    """Of the law: 1 is a line; 2 has a square too, where each of the things meets each other one."""
    noise: tuple[float, ...] = ()
    """How far the middle repeat of each point is above the best one, which is `y`, in parts of it."""

    @property
    def law(self) -> tuple[float, ...]:
        """Fixed part, cost of one more, and of its square where the degree is 2.

        By least squares of relative errors: small sizes count like large ones.
        """
        y = np.array(self.y)
        found = np.linalg.lstsq(_powers(self.x, self.degree) / y[:, None], np.ones_like(y), rcond=None)[0]
        return tuple(found.tolist())

    def at(self, x: Sequence[float]) -> list[float]:
        """What the law says for other sizes."""
        found: list[float] = (_powers(x, self.degree) @ self.law).tolist()
        return found

    @property
    def worst_miss(self) -> float:
        """The largest relative distance of a point from the law."""
        return max(abs(law - y) / y for law, y in zip(self.at(self.x), self.y, strict=True))

    @property
    def r_squared(self) -> float:
        """Share of the points' relative variance that the law explains; 1 where the points do not differ.

        With the weights of the fit. Of absolute errors the largest size alone would decide.
        """
        y, law = np.array(self.y), np.array(self.at(self.x))
        middle = (1 / y).sum() / (1 / y**2).sum()  # the constant that fits best
        total = np.square(middle / y - 1).sum()
        return float(1 - np.square(law / y - 1).sum() / total) if total > 1e-12 else 1.0

    @property
    def power(self) -> float:
        """The exponent of the power law through the points: 1 is a line through nothing, 2 a square."""
        return float(np.polyfit(np.log(self.x), np.log(self.y), 1)[0])

    def in_words(self) -> str:
        return (
            f"{law_in_words(self)}, R2 {self.r_squared:.4f}, at most {100 * self.worst_miss:.0f} % off; power "
            f"{self.power:.2f}" + (f"; repeats {100 * max(self.noise):.0f} % apart" if self.noise else "")
        )


def law_in_words(curve: Curve) -> str:
    """`"0.1 + 0.02 a box + 0.001 a box squared, ms"`"""
    parts = ("", f" a {curve.x_name}", f" a {curve.x_name} squared")
    terms = (f"{value:.3g}{part}" for value, part in zip(curve.law, parts, strict=False))
    return " + ".join(terms) + f", {curve.unit}"


def is_followed(curve: Curve, most: float = 0.1) -> bool:
    """Whether the law passes within `most` of every point."""
    return curve.worst_miss <= most


def _powers(x: Sequence[float], degree: int) -> Any:
    """(len(x), degree + 1): 1, x, x squared."""
    return np.vander(np.array(x, float), degree + 1, increasing=True)
