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
from sdpose.report.words import say

WIDTH, HEIGHT = 600, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 14, 12, 46
# More points than this are not to be told apart; of each stretch of a longer curve the lowest and the highest stay.
MAX_POINTS = 600
_NUM_TICKS = 5
# Alarms in the words for a chart; all of them have a section of their own.
_MOST_TOLD = 12
_LARGEST = 1e300


def svg_chart(chart: Chart, number: int, language: str = "en") -> str:
    """The `<svg>` of a chart; `number` makes its ids unique on the page. Empty when there is nothing to draw."""
    lines = [line for line in chart.lines if len(line.values)]
    scale = _Scale.around(lines, chart)
    if scale is None:
        return ""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="chart{number}-title chart{number}-text">',
        f'<title id="chart{number}-title">{escape(chart.title)}</title>',
        f'<desc id="chart{number}-text">{escape(in_words(chart, language))}</desc>',
    ]
    for value, label in scale.y_ticks():
        y = scale.y(value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for value, label in scale.x_ticks():
        x, anchor = scale.x(value), "middle"
        if x > WIDTH - _RIGHT - 20:
            # The last one would be cut by the edge.
            x, anchor = WIDTH - 1, "end"
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 26}" text-anchor="{anchor}">{label}</text>'
        )
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text class="tick" x="{middle}" y="{HEIGHT - 5}" text-anchor="middle">iteration</text>')
    for mark in chart.marks:
        # What happened before the first value, or after the last, stands at the edge and is not lost.
        x = scale.x(min(max(mark.step, scale.first), scale.last))
        parts.append(
            f'<g class="mark {escape(mark.severity)}"><title>{escape(mark.label)}</title>'
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
            f'<path d="M{x - 5:.1f} {_TOP - 8}h10l-5 8z"/></g>'
        )
    for index, line in enumerate(lines):
        drawn = _drawn(line, index, scale)
        # The sum lies under its terms, one of which may be all of it.
        under = index == 0 and line.name == "loss" and len(lines) > 1
        parts += ['<g class="under">', *drawn, "</g>"] if under else drawn
    return "".join([*parts, "</svg>"])


def in_words(chart: Chart, language: str = "en") -> str:
    """What the picture shows, for who does not see it."""
    texts = []
    for line in chart.lines:
        finite = line.values[np.isfinite(line.values)]
        if len(finite):
            ends = {"first": finite[0], "last": finite[-1], "low": finite.min(), "high": finite.max()}
            shown = {name: f"{value:.4g}" for name, value in ends.items()}
            texts.append(say(language, "line", name=line.name, **shown))
    if chart.marks:
        steps = list(dict.fromkeys(str(mark.step) for mark in chart.marks))
        more = " ..." if len(steps) > _MOST_TOLD else ""
        texts.append(say(language, "marks", steps=", ".join(steps[:_MOST_TOLD]) + more))
    return "; ".join(texts)


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
    def around(cls, lines: Sequence[Line], chart: Chart) -> _Scale | None:
        """None when nothing can be drawn."""
        if not lines:
            return None
        given = [part for line in lines for part in (line.values, line.low, line.high) if part is not None]
        values = np.concatenate(given)
        # The distance of two values must be a number too.
        values = np.clip(values[np.isfinite(values)], -_LARGEST, _LARGEST)
        positive = values[values > 0]
        # A logarithm of nothing is none: what is 0 then lies on the lower edge.
        logarithmic = chart.logarithmic and len(positive) > 0
        values = positive if logarithmic else values
        steps = np.concatenate([line.steps for line in lines])
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
        if logarithmic:
            low, high = math.log10(low), math.log10(high)
        # A constant lies in the middle; one of nothing needs some unit.
        flat = 0.02 if logarithmic else abs(high) * 1e-3 or 0.1
        margin = max((high - low) * 0.05, flat)
        low_edge, high_edge = low - margin, high + margin
        if not logarithmic and low >= 0:
            # Nothing that is drawn here goes below zero; a scale that does asks for reasons.
            low_edge = max(low_edge, 0.0)
        first = float(steps.min()) if chart.first is None else chart.first
        last = float(steps.max()) if chart.last is None else chart.last
        return cls(first, max(last, first + 1), low_edge, high_edge, logarithmic)

    def x(self, step: float) -> float:
        return _LEFT + (step - self.first) / (self.last - self.first) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        if self.logarithmic:
            value = math.log10(value) if value > 0 else self.low
        share = (value - self.low) / (self.high - self.low)
        return HEIGHT - _BOTTOM - min(max(share, 0.0), 1.0) * (HEIGHT - _TOP - _BOTTOM)

    def y_ticks(self) -> list[tuple[float, str]]:
        if not self.logarithmic:
            return [(tick, _short(tick)) for tick in _round_numbers(self.low, self.high)]
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        steps = (1,) if self.high - self.low > 3 else (1, 2, 5)
        ticks = [factor * 10.0**decade for decade in decades for factor in steps]
        ticks = [tick for tick in ticks if self.low <= math.log10(tick) <= self.high]
        if len(ticks) < 2:
            # Within less than a decade a scale of equal steps reads better.
            ticks = [tick for tick in _round_numbers(10**self.low, 10**self.high) if tick > 0]
        thin = max(1, -(-len(ticks) // 7))
        return [(tick, _short(tick)) for tick in ticks[::thin]]

    def x_ticks(self) -> list[tuple[float, str]]:
        return [(tick, f"{tick:,.0f}") for tick in _round_numbers(self.first, self.last) if tick == int(tick)]


def _short(value: float) -> str:
    """A number beside an axis: 0.25, 1.5e-5, 4.9e28."""
    text = f"{value:.4g}"
    mantissa, letter, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if letter else text


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
