"""How a cost grows: points, the straight line through them, and the power that fits best."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A cost at several sizes, at least two of them different."""

    name: str
    x_name: str
    unit: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    detail: str = ""

    @property
    def line(self) -> tuple[float, float]:
        """Fixed part and cost of one more, by least squares of relative errors: small sizes count like large ones."""
        x, y = np.array(self.x), np.array(self.y)
        design = np.stack([np.ones_like(x), x], axis=1) / y[:, None]
        fixed, each = np.linalg.lstsq(design, np.ones_like(y), rcond=None)[0]
        return float(fixed), float(each)

    @property
    def worst_miss(self) -> float:
        """The largest relative distance of a point from the line."""
        fixed, each = self.line
        return max(abs(fixed + each * x - y) / y for x, y in zip(self.x, self.y, strict=True))

    @property
    def r_squared(self) -> float:
        """Share of the variance that the line explains; 1 where the points do not differ."""
        fixed, each = self.line
        x, y = np.array(self.x), np.array(self.y)
        total = np.square(y - y.mean()).sum()
        return float(1 - np.square(fixed + each * x - y).sum() / total) if total else 1.0

    @property
    def power(self) -> float:
        """The exponent of the power law through the points: 1 is a line through nothing, 2 a square."""
        return float(np.polyfit(np.log(self.x), np.log(self.y), 1)[0])

    def in_words(self) -> str:
        fixed, each = self.line
        return (
            f"{fixed:.3g} + {each:.3g} x {self.x_name} {self.unit}, R2 {self.r_squared:.4f}, "
            f"at most {100 * self.worst_miss:.0f} % off; power {self.power:.2f}"
        )


def is_straight(curve: Curve, most: float = 0.1) -> bool:
    """Whether a line passes within `most` of every point."""
    return curve.worst_miss <= most
