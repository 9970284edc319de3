"""The two pictures of docs/performance.md, as SVG files that stand by themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks.curve import Curve
from benchmarks.ratio import Ratio

_INK, _GREY, _GOOD, _SHORT = "#24292f", "#8c959f", "#1a7f37", "#bc4c00"
_STEPS = 24  # straight pieces of a law that is no line
_STYLE = "font-family='Helvetica,Arial,sans-serif'"


def aims_chart(ratios: Sequence[Ratio]) -> str:
    """A bar for each ratio that has an aim: how many times it is beyond the aim, on a logarithmic scale around it."""
    aimed = [ratio for ratio in ratios if ratio.aim]
    row, width, margin = 38, 720, 120
    height = 30 + row * len(aimed)
    reach = max([2.0, *(max(beyond(ratio), 1 / beyond(ratio)) for ratio in aimed)])
    middle = width / 2
    per_factor = (middle - margin) / math.log(reach)
    line = f"<path d='M{middle} 22V{height - 6}' stroke='{_GREY}' stroke-dasharray='3 3'/>"
    parts = [_text(middle, 14, "the aim; better to the right", anchor="middle", color=_GREY)]
    for number, ratio in enumerate(aimed):
        y, factor = 24 + row * number, beyond(ratio)
        end = middle + per_factor * math.log(factor)
        color = _GOOD if factor >= 1 else _SHORT
        place, anchor = (end + 5, "start") if factor >= 1 else (end - 5, "end")
        parts += [
            _text(8, y + 12, ratio.name, size=11),
            f"<path d='M{middle} {y + 17}H{end:.1f}v13H{middle}z' fill='{color}'/>",
            _text(place, y + 28, f"{ratio.value:.3g}, aim {ratio.aim:g}", anchor=anchor, color=color),
        ]
    return _picture(width, height, "Each ratio beside its aim: right of the line is better", [*parts, line])


def beyond(ratio: Ratio) -> float:
    """How many times better than its aim; below 1 where it falls short."""
    assert ratio.aim
    return ratio.value / ratio.aim if ratio.better == "higher" else ratio.aim / max(ratio.value, 1e-9)


def growth_chart(curves: Sequence[Curve], columns: int = 3) -> str:
    """A small field for each curve: its points, and the law through them."""
    field_w, field_h = 270, 165
    rows = -(-len(curves) // columns)
    parts: list[str] = []
    for number, curve in enumerate(curves):
        x, y = field_w * (number % columns), field_h * (number // columns)
        parts += _field(curve, x + 14, y + 40, field_w - 28, field_h - 68)
    return _picture(
        field_w * columns, field_h * rows, "Costs against sizes, with the law through them", parts
    )


def _field(curve: Curve, left: float, top: float, width: float, height: float) -> list[str]:
    most_x, most_y = max(curve.x), max(curve.y)
    num_steps = 1 if curve.degree == 1 else _STEPS
    steps = [most_x * step / num_steps for step in range(num_steps + 1)]

    def place(x: float, y: float) -> tuple[float, float]:
        return left + width * x / most_x, top + height * (1 - min(max(y / most_y, 0.0), 1.0))

    law = "L".join(f"{a:.1f} {b:.1f}" for a, b in map(place, steps, curve.at(steps)))
    what, _, against = curve.name.partition(" against ")
    return [
        _text(left, top - 20, what),
        _text(left, top - 6, f"0 to {_short(most_y)} {curve.unit}", size=11, color=_GREY),
        f"<path d='M{left} {top}v{height}h{width}' fill='none' stroke='{_GREY}'/>",
        f"<path d='M{law}' fill='none' stroke='{_GREY}' stroke-dasharray='3 3'/>",
        *(
            f"<circle cx='{a:.1f}' cy='{b:.1f}' r='3' fill='{_GOOD}'/>"
            for a, b in (place(x, y) for x, y in zip(curve.x, curve.y, strict=True))
        ),
        _text(
            left + width,
            top + height + 14,
            f"{against}: 0 to {_short(most_x)}{' thousand' if curve.x_name.startswith('1000 ') else ''}",
            size=11,
            anchor="end",
            color=_GREY,
        ),
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start", color: str = _INK) -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}' fill='{color}'>"
        f"{escape(text)}</text>"
    )


def _picture(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' role='img' {_STYLE}>"
    return "\n".join(
        [
            head,
            f"<title>{escape(title)}</title>",
            "<rect width='100%' height='100%' fill='#ffffff'/>",
            *parts,
            "</svg>\n",
        ]
    )
