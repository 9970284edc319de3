"""Numbers as people write them in configs and read them in messages."""

from __future__ import annotations

import math


def setting(value: float) -> str:
    """Of a config: 1e-3, 5e-4, 0.02, 5.0, 64, 1e30."""
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value != 0 and not 0.01 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.4g}" if value != int(value) else f"{value:.1f}"


def two_digits(value: float) -> float:
    """Rounded to two significant digits, as nobody sets a learning rate more finely."""
    return float(f"{value:.2g}")


def percent(share: float) -> str:
    """A fraction as percent: 96 %, 0.4 %."""
    value = 100 * share
    return f"{value:.0f} %" if abs(value) >= 9.5 or value == 0 else f"{value:.2g} %"


def times(ratio: float | None) -> str:
    """A factor: 2.5x, 340x; `?` where there is none."""
    if ratio is None or not math.isfinite(ratio):
        return "?"
    return f"{ratio:.3e}x" if ratio >= 1e6 else f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.2g}x"


def score(value: float) -> str:
    """An AP as the guide writes it, 0.650; 0.0000 where it is zero."""
    if abs(value) >= 1e6:
        return f"{value:.3e}"
    return f"{value:.4f}" if abs(value) < 0.0005 else f"{value:.3f}"


def mib(value: float) -> str:
    """Memory or disk space from MiB: 350 MiB, 12.3 GiB."""
    return f"{value:.0f} MiB" if abs(value) < 1024 else f"{value / 1024:.1f} GiB"


def seconds(value: float) -> str:
    """A duration: 12 ms, 1.25 s, 40 min."""
    if value >= 120:
        return f"{value / 60:.0f} min"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.3g} s"
