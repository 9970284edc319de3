"""Validation errors as lines a person can act on: file, line, setting, what we got, what we expected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from sdpose.config.places import SourceDict, find_place
from sdpose.config.schedule_settings import POLICY_TAG
from sdpose.errors import SdposeError, nearest

_EXPECTED: Mapping[str, str] = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "True or False",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a dict",
    "model_type": "a dict",
    "model_attributes_type": "a dict",
    "none_required": "None",
    "finite_number": "a finite number",
}
_LIMIT: Mapping[str, tuple[str, str]] = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def as_error(error: ValidationError, raw: SourceDict) -> SdposeError:
    """All problems of one config as one error, one line each."""
    lines: list[str] = []
    for details in error.errors(include_url=False):
        context = details.get("ctx") or {}
        location = list(details["loc"])
        if context.get("key") is not None:
            location.append(context["key"])
        found_at = [*location, context.get("at") or context.get("discriminator", "").strip("'")]
        text = _text(details["type"], details.get("input"), context, details["msg"])
        line = line_for(raw, location, text, found_at=found_at)
        if line not in lines:
            lines.append(line)
    return SdposeError("\n".join(lines))


def line_for(raw: SourceDict, location: Sequence[Any], text: str, *, found_at: Sequence[Any] = ()) -> str:
    """`file:line: a.b.c: text`, with the line of `found_at` when that leads deeper."""
    place = find_place(raw, real_parts(raw, found_at or location))
    name = ".".join(str(part) for part in real_parts(raw, location))
    return f"{place}: {name}: {text}" if name else f"{place}: {text}"


def real_parts(raw: SourceDict, location: Sequence[Any]) -> list[Any]:
    """The parts of a location that the user wrote; class tags and collected lists drop out."""
    parts: list[Any] = []
    container: object = raw
    location = [part for part in location if part != "custom" and not str(part).startswith(POLICY_TAG)]
    for position, part in enumerate(location):
        if isinstance(container, dict) and part in container:
            parts.append(part)
            container = container[part]
        elif isinstance(container, list | tuple):
            if isinstance(part, int) and part < len(container):
                parts.append(part)
                container = container[part]
        elif position == len(location) - 1:
            parts.append(part)
    return parts


def _text(kind: str, value: object, context: Mapping[str, Any], message: str) -> str:
    shown = f"{value!r:.80}" if not isinstance(value, dict) else "a dict"
    if kind == "sdpose":
        return str(context["message"])
    if kind == "missing":
        return "is missing."
    if kind == "literal_error":
        return f"got {shown}, expected {context['expected']}.{_nearest_quoted(value, context['expected'])}"
    if kind == "union_tag_invalid":
        known = context["expected_tags"].replace(POLICY_TAG, "")
        tag = context["tag"].removeprefix(POLICY_TAG)
        noun = "policy" if tag != context["tag"] else "type"
        return f"unknown {noun} {tag!r:.80}.{_nearest_quoted(tag, known)} Known here: {known}."
    if kind == "union_tag_not_found":
        key = "policy" if "policy" in str(context.get("discriminator")) else "type"
        return (
            f"needs a {key}, as in dict({key}='...')."
            if isinstance(value, dict)
            else f"got {shown}, expected a dict."
        )
    if kind in _EXPECTED:
        return f"got {shown}, expected {_EXPECTED[kind]}."
    if kind in _LIMIT:
        key, words = _LIMIT[kind]
        return f"got {shown}, expected {words} {context[key]}."
    return f"got {shown}: {message[0].lower()}{message[1:]}."


def _nearest_quoted(value: object, known: str) -> str:
    return nearest(str(value), re.findall(r"'([^']*)'", known))
