"""Which language the monitor speaks."""

from __future__ import annotations

import os
from collections.abc import Mapping

LANGUAGES = ("en", "ko")


def choose_language(wanted: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """`wanted`, or else the locale's (LC_ALL, LC_MESSAGES, LANG, the first that is set): "ko" or "en".

    Raises ValueError for a `wanted` that we have no texts for; a locale without texts gives "en".
    """
    if wanted is not None:
        if wanted not in LANGUAGES:
            raise ValueError(f"language {wanted!r} has no texts; expected one of {', '.join(LANGUAGES)}")
        return wanted
    environment = os.environ if environment is None else environment
    names = (environment.get(variable) for variable in ("LC_ALL", "LC_MESSAGES", "LANG"))
    locale = next((name for name in names if name), "")
    return "ko" if locale.lower().startswith("ko") else "en"
