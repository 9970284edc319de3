"""The sentences of an explanation, in English and Korean: one dict a language, the same keys in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdpose.explain.phrases.en import TEXTS as ENGLISH
from sdpose.explain.phrases.ko import TEXTS as KOREAN

TEXTS: Mapping[str, Mapping[str, str]] = {"en": ENGLISH, "ko": KOREAN}


class Phrases:
    """`say(key, **numbers)` gives the sentence behind a key in one language."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._texts = TEXTS[language]

    def __call__(self, key: str, **values: Any) -> str:
        return self._texts[key].format(**values)
