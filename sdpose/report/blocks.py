"""What a report is made of, before it is HTML or Markdown. All text is plain: the writers escape it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

Floats: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float64]]
Tone = Literal["plain", "good", "mixed", "bad", "note"]


@dataclass(frozen=True)
class Paragraph:
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Table:
    """The first column names the row."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    prose: bool = False
    """Cells hold words, not numbers."""


@dataclass(frozen=True)
class Points:
    """A list, ordered where the order means something."""

    items: Sequence[str]
    heading: str = ""
    ordered: bool = False


@dataclass(frozen=True)
class Listing:
    """Text as it stands in a file."""

    text: str
    caption: str
    folded: bool = False


@dataclass(frozen=True)
class Picture:
    jpeg: bytes
    caption: str
    alt: str


@dataclass(frozen=True)
class Line:
    """One curve: steps and values (n,), and where they lie with 95 % confidence, if that is known."""

    name: str
    steps: Floats
    values: Floats
    low: Floats | None = None
    high: Floats | None = None


@dataclass(frozen=True)
class Mark:
    """Something that happened at an iteration."""

    step: int
    label: str
    severity: str


@dataclass(frozen=True)
class Chart:
    """Lines over iterations, from `first` to `last` where they are given, else as far as the lines go."""

    title: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    logarithmic: bool = False
    first: float | None = None
    last: float | None = None


@dataclass(frozen=True)
class Card:
    """A thing to act on, with what belongs to it."""

    title: str
    severity: str
    blocks: Sequence[Block]


Block: TypeAlias = Paragraph | Table | Points | Listing | Picture | Chart | Card


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A whole report; the verdict stands in the first section."""

    title: str
    language: str
    sections: Sequence[Section] = field(default_factory=tuple)
