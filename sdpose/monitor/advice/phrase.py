"""A sentence in both languages of the monitor."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Phrase:
    """The same sentence in English and Korean, with the same numbers of the run in `{...}`."""

    en: str
    ko: str
    guide: bool = False
    """The Korean is the monitoring guide's own, word for word; tests hold it against the guide."""

    def __post_init__(self) -> None:
        if holes(self.en) != holes(self.ko):
            raise ValueError(f"not the same numbers in both languages: {self.en!r}, {self.ko!r}")

    def say(self, language: str, **numbers: Any) -> str:
        """In "en" or "ko", with the numbers filled in."""
        return (self.ko if language == "ko" else self.en).format(**numbers)


def holes(text: str) -> set[str]:
    """Names in braces."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}
