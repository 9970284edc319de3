"""A chart as inline SVG: lines over iterations on a linear or logarithmic scale, a band of confidence, marks.

Colours are CSS classes of the page, so that light and dark are the page's business. Values that are not finite leave a
gap and a cross at the upper edge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from sdpose.monitor.thinning import MAX_BROKEN, broken, thin
from sdpose.report.blocks import Chart, Floats, Line

WIDTH, HEIGHT = 720, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 14, 12, 30
# More points than this are not to be told apart; of each stretch of a longer curve the lowest and the highest stay.
MAX_POINTS = 600
_NUM_TICKS = 5
_LARGEST = 1e300


def svg_chart(chart: Chart, number: int) -> str:
    """The `<svg>` of a chart; `number` makes its ids unique on the page. Empty when there is nothing to draw."""
    lines = [line for line in chart.lines if len(line.values)]
    scale = _Scale.around(lines, logarithmic=chart.logarithmic)
    if scale is None:
        return ""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="chart{number}-title chart{number}-text">',
        f'<title id="chart{number}-title">{escape(chart.title)}</title>',
        f'<desc id="chart{number}-text">{escape(in_words(chart))}</desc>',
    ]
    for value, label in scale.y_ticks():
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for value, label in scale.x_ticks():
        parts.append(
            f'<text class="tick" x="{scale.x(value):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{label}</text>'
        )
    for mark in chart.marks:
        # What happened before the first value, or after the last, stands at the edge and is not lost.
        x = scale.x(min(max(mark.step, scale.first), scale.last))
        parts.append(
            f'<g class="mark {escape(mark.severity)}"><title>{escape(mark.label)}</title>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<path d="M{x - 5:.1f} {_TOP - 8}h10l-5 8z"/></g>'
        )
    for index, line in enumerate(lines):
        parts += _drawn(line, index, scale)
    return "".join([*parts, "</svg>"])


def in_words(chart: Chart) -> str:
    """What the picture shows, for who does not see it."""
    texts = []
    for line in chart.lines:
        finite = line.values[np.isfinite(line.values)]
        if len(finite):
            bounds = f"from {finite[0]:.4g} to {finite[-1]:.4g}, lowest {finite.min():.4g}, highest {finite.max():.4g}"
            texts.append(f"{line.name} {bounds}")
    return "; ".join(texts) + (f"; {len(chart.marks)} marks" if chart.marks else "")


def thinned(steps: Floats, values: Floats, most: int = MAX_POINTS) -> tuple[Floats, Floats]:
    """About `most` points at most, with all spikes and with marks for what is not finite."""
    if len(values) <= most:
        return steps, values
    rows = np.union1d(thin(values, most - MAX_BROKEN), broken(values))
    return steps[rows], values[rows]


@dataclass(frozen=True)
class _Scale:
    """From iterations and values to places in the picture."""

    first: float
    last: float
    low: float
    high: float
    logarithmic: bool

    @classmethod
    def around(cls, lines: Sequence[Line], *, logarithmic: bool) -> _Scale | None:
        """None when nothing can be drawn."""
        if not lines:
            return None
        given = [part for line in lines for part in (line.values, line.low, line.high) if part is not None]
        values = np.concatenate(given)
        # The distance of two values must be a number too.
        values = np.clip(values[np.isfinite(values)], -_LARGEST, _LARGEST)
        positive = values[values > 0]
        # A logarithm of nothing is none: what is 0 then lies on the lower edge.
        logarithmic = logarithmic and len(positive) > 0
        values = positive if logarithmic else values
        steps = np.concatenate([line.steps for line in lines])
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        # A constant lies in the middle; one of nothing needs some unit.
        flat = 0.02 if logarithmic else abs(high) * 1e-3 or 0.1
        margin = max((high - low) * 0.05, flat)
        first, last = float(steps.min()), float(steps.max())
        return cls(first, max(last, first + 1), low - margin, high + margin, logarithmic)

    def x(self, step: float) -> float:
        return _LEFT + (step - self.first) / (self.last - self.first) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        if self.logarithmic:
            value = math.log10(value) if value > 0 else self.low
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - _TOP - _BOTTOM)

    def y_ticks(self) -> list[tuple[float, str]]:
        if not self.logarithmic:
            return [(tick, f"{tick:.4g}") for tick in _round_numbers(self.low, self.high)]
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = (1,) if self.high - self.low > 3 else (1, 2, 5)
        ticks = [factor * 10.0**decade for decade in decades for factor in steps]
        ticks = [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]
        if len(ticks) < 2:
            ticks = [10**value for value in (self.low, (self.low + self.high) / 2, self.high)]
        thin = max(1, -(-len(ticks) // 7))
        return [(tick, f"{tick:.3g}") for tick in ticks[::thin]]

    def x_ticks(self) -> list[tuple[float, str]]:
        return [(tick, f"{tick:,.0f}") for tick in _round_numbers(self.first, self.last) if tick == int(tick)]


def _round_numbers(low: float, high: float) -> list[float]:
    rough = (high - low) / _NUM_TICKS
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= rough)
    return [index * step for index in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _drawn(line: Line, index: int, scale: _Scale) -> list[str]:
    color = f"c{index % 6}"
    parts = []
    if line.low is not None and line.high is not None:
        known = np.isfinite(line.low) & np.isfinite(line.high)
        edges = [*zip(line.steps[known], line.high[known], strict=True)]
        edges += [*zip(line.steps[known][::-1], line.low[known][::-1], strict=True)]
        outline = " ".join(f"{scale.x(step):.1f},{scale.y(value):.1f}" for step, value in edges)
        parts.append(f'<polygon class="band {color}" points="{outline}"/>')
    steps, values = thinned(line.steps, line.values)
    path, pen_down, before = [], False, -math.inf
    crosses = []
    for step, value in zip(steps.tolist(), values.tolist(), strict=True):
        x = scale.x(step)
        if not math.isfinite(value):
            pen_down = False
            crosses.append(f"M{x - 3:.1f} {_TOP}l6 6m0 -6l-6 6")
            continue
        # A run that was put back to an earlier iteration draws a new line from there.
        path.append(f"{'L' if pen_down and step > before else 'M'}{x:.1f} {scale.y(value):.1f}")
        pen_down, before = True, step
    parts.append(f'<path class="curve {color}" d="{"".join(path)}"/>')
    if len(steps) <= 40:
        parts += [
            f'<circle class="dot {color}" cx="{scale.x(step):.1f}" cy="{scale.y(value):.1f}" r="2.5"/>'
            for step, value in zip(steps.tolist(), values.tolist(), strict=True)
            if math.isfinite(value)
        ]
    if crosses:
        parts.append(f'<path class="broken" d="{"".join(crosses)}"/>')
    return parts
