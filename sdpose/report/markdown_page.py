"""A report as Markdown, for merge requests and terminals: the same words; curves as tables, pictures by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from sdpose.report.blocks import (
    Block,
    Card,
    Chart,
    Document,
    Floats,
    Listing,
    Paragraph,
    Picture,
    Points,
    Table,
)

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
_BARS = "▁▂▃▄▅▆▇█"
_SPARK_LENGTH = 24


def markdown_page(document: Document) -> str:
    """The whole file."""
    parts = [f"# {_text(document.title)}"]
    for section in document.sections:
        parts += [f"## {_text(section.title)}", *_blocks(section.blocks)]
    return "\n\n".join(part for part in parts if part) + "\n"


def sparkline(values: Floats) -> str:
    """The course of a curve in a few letters; × where a value is not finite."""
    pieces = np.array_split(values, min(_SPARK_LENGTH, len(values))) if len(values) else []
    means = np.array([piece.mean() for piece in pieces])
    finite = means[np.isfinite(means)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    span = max(high - low, 1e-300)
    return "".join(
        _BARS[min(int((mean - low) / span * len(_BARS)), len(_BARS) - 1)] if np.isfinite(mean) else "×"
        for mean in means
    )


def _blocks(blocks: Sequence[Block]) -> list[str]:
    return [text for block in blocks for text in _block(block)]


def _block(block: Block) -> list[str]:
    match block:
        case Paragraph(text, tone):
            lines = "  \n".join(_text(line) for line in text.split("\n"))
            return [f"**{lines}**" if tone in ("good", "mixed", "bad") else lines]
        case Table(caption, header, rows, _):
            return [_text(caption), _table(header, rows)]
        case Points(items, heading, ordered):
            entries = [
                f"{f'{number}.' if ordered else '-'} {_text(item)}" for number, item in enumerate(items, 1)
            ]
            return [*([f"**{_text(heading)}**"] if heading else []), "\n".join(entries)]
        case Listing(text, caption, _):
            longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return [_text(caption), f"{fence}\n{text.rstrip()}\n{fence}"]
        case Picture(_, caption, _):
            return [_text(caption)]
        case Card(title, _, inner):
            return [f"### {_text(title)}", *_blocks(inner)]
        case Chart():
            return _chart(block)


def _chart(chart: Chart) -> list[str]:
    rows = []
    for line in chart.lines:
        finite = line.values[np.isfinite(line.values)]
        if len(finite):
            numbers = (finite[0], finite.min(), finite.max(), finite[-1])
            rows.append([line.name, sparkline(line.values), *(f"{number:.4g}" for number in numbers)])
    header = ("", "", "first", "lowest", "highest", "last")
    # Marks are alarms, which have a section of their own.
    return [_text(chart.title), _table(header, rows)] if rows else []


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(cell if cell == "---" else _text(cell) for cell in line) + " |" for line in lines
    )


def _text(text: str) -> str:
    """One line in which nothing means anything to Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
