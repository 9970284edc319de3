"""The two pictures of docs/performance.md, as SVG files that stand by themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from benchmarks.curve import Curve
from benchmarks.ratio import Ratio

_INK, _GREY, _GOOD, _SHORT = "#24292f", "#8c959f", "#1a7f37", "#bc4c00"
_STYLE = "font-family='Helvetica,Arial,sans-serif'"


def aims_chart(ratios: Sequence[Ratio]) -> str:
    """A bar for each ratio that has an aim: how many times it is beyond the aim, on a logarithmic scale around it."""
    aimed = [ratio for ratio in ratios if ratio.aim]
    row, left, width = 24, 430, 820
    height = 40 + row * len(aimed)
    reach = max([2.0, *(max(beyond(ratio), 1 / beyond(ratio)) for ratio in aimed)])
    per_factor = (width - left - 70) / 2 / math.log(reach)
    middle = left + per_factor * math.log(reach)
    parts = [_text(middle, 16, "the aim", anchor="middle", color=_GREY)]
    for number, ratio in enumerate(aimed):
        y, factor = 28 + row * number, beyond(ratio)
        end = middle + per_factor * math.log(factor)
        color = _GOOD if factor >= 1 else _SHORT
        parts.append(_text(left - 60, y + 13, ratio.name, anchor="end"))
        parts.append(
            f"<rect x='{min(middle, end):.1f}' y='{y}' width='{abs(end - middle):.1f}' height='16' fill='{color}'/>"
        )
        place, anchor = (end + 5, "start") if factor >= 1 else (end - 5, "end")
        parts.append(_text(place, y + 13, f"{ratio.value:.3g}", anchor=anchor, color=color))
    parts.append(
        f"<line x1='{middle:.1f}' x2='{middle:.1f}' y1='22' y2='{height - 8}' stroke='{_GREY}' stroke-dasharray='3 3'/>"
    )
    return _picture(width, height, "Each ratio beside its aim: right of the line is better", parts)


def beyond(ratio: Ratio) -> float:
    """How many times better than its aim; below 1 where it falls short."""
    assert ratio.aim
    return ratio.value / ratio.aim if ratio.better == "higher" else ratio.aim / max(ratio.value, 1e-9)


def growth_chart(curves: Sequence[Curve], columns: int = 4) -> str:
    """A small field for each curve: its points, and the line through them."""
    field_w, field_h = 205, 150
    rows = -(-len(curves) // columns)
    parts: list[str] = []
    for number, curve in enumerate(curves):
        x, y = field_w * (number % columns), field_h * (number // columns)
        parts += _field(curve, x + 12, y + 34, field_w - 24, field_h - 62)
    return _picture(
        field_w * columns, field_h * rows, "Costs against sizes, with the line through them", parts
    )


def _field(curve: Curve, left: float, top: float, width: float, height: float) -> list[str]:
    most_x, most_y = max(curve.x), max(curve.y)
    fixed, each = curve.line

    def place(x: float, y: float) -> tuple[float, float]:
        return left + width * x / most_x, top + height * (1 - min(max(y / most_y, 0.0), 1.0))

    start, end = place(0, fixed), place(most_x, fixed + each * most_x)
    what, _, against = curve.name.partition(" against ")
    return [
        _text(left, top - 19, what, size=11),
        _text(left, top - 6, f"to {most_y:.3g} {curve.unit}", size=10, color=_GREY),
        f"<path d='M{left} {top}v{height}h{width}' fill='none' stroke='{_GREY}'/>",
        f"<line x1='{start[0]:.1f}' y1='{start[1]:.1f}' x2='{end[0]:.1f}' y2='{end[1]:.1f}' stroke='{_GREY}' "
        "stroke-dasharray='3 3'/>",
        *(
            f"<circle cx='{a:.1f}' cy='{b:.1f}' r='3' fill='{_GOOD}'/>"
            for a, b in (place(x, y) for x, y in zip(curve.x, curve.y, strict=True))
        ),
        _text(
            left + width,
            top + height + 13,
            f"{against or curve.x_name}, to {most_x:g} x {curve.x_name}",
            size=10,
            anchor="end",
            color=_GREY,
        ),
    ]


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
