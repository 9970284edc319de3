"""`--cfg-options a.b=c`: settings changed from the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sdpose.config.places import Place, SourceDict
from sdpose.errors import SdposeError

COMMAND_LINE = "--cfg-options"

_INTEGER = re.compile(r"[-+]?\d+")
_FLOAT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[-+]?inf|nan")
_WORDS: Mapping[str, object] = {"true": True, "false": False, "none": None}
_BRACKETS = {"[": "]", "(": ")"}


def parse_overrides(options: Sequence[str]) -> dict[str, object]:
    """`['a.b=3', 'c=x,y']` as `{'a.b': 3, 'c': ['x', 'y']}`; a key given twice keeps the last value.

    Values are int, float, bool, None or text; `a,b` and `[a,b]` are lists, `(a,b)` tuples, nested at will;
    quotes keep a text from being split or converted.
    """
    overrides: dict[str, object] = {}
    for option in options:
        key, equals, text = option.partition("=")
        key = key.strip()
        if not equals or not key or not all(key.split(".")):
            raise SdposeError(
                f"{COMMAND_LINE} {option}: expected KEY=VALUE, for example data.samples_per_gpu=32."
            )
        overrides[key] = _parse(text.strip(), option)
    return overrides


def apply_overrides(config: SourceDict, overrides: Mapping[str, object]) -> SourceDict:
    """`config` with every override in it; the given dict stays as it is."""
    for key, value in overrides.items():
        place = override_place(overrides, key)
        try:
            config = with_value(config, key.split("."), value, place)
        except LookupError as problem:
            raise SdposeError(f"{place}: {problem.args[0]}") from None
    return config


def override_place(overrides: Mapping[str, object], key: str) -> Place:
    """How an error names an override: the line where it was written, else the option of the command line."""
    if isinstance(overrides, SourceDict) and key in overrides.places:
        return overrides.places[key]
    return Place(f"{COMMAND_LINE} {key}={overrides[key]}", 0)


def option_text(value: object) -> str:
    """`value` as `--cfg-options KEY=` takes it; what cannot be said there comes back as something else."""
    if isinstance(value, list | tuple):
        inner = ",".join(map(option_text, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner})"
    if not isinstance(value, str):
        return repr(value)
    quote = '"' if "'" in value else "'"
    return value if _plain(value) else f"{quote}{value}{quote}"


def _plain(text: str) -> bool:
    """Whether a text needs no quotes to stay the text that it is."""
    return text == text.strip() and not re.search(r"[\[\](),'\"]", text) and _scalar(text) == text != ""


def with_value(container: Any, path: Sequence[str], value: object, place: Place) -> Any:
    """A copy of `container` in which `path` is `value`; integer parts index lists.

    Missing dicts on the way are made, and a None is replaced by one. Raises LookupError (with the reason)
    when the path leads through a scalar or past the end of a list.
    """
    part, rest = path[0], path[1:]
    if container is None:
        container = SourceDict(place)
    if isinstance(container, SourceDict):
        key = int(part) if part.isdigit() and int(part) in container else part
        child = container.get(key)
        if rest and key in container and not isinstance(child, SourceDict | list | tuple | None):
            raise LookupError(f"'{part}' is {child!r}, which has no setting '{'.'.join(rest)}'.")
        changed = container.shallow_copy()
        changed.put(key, with_value(child, rest, value, place) if rest else value, place)
        return changed
    if isinstance(container, list | tuple):
        if not part.lstrip("-").isdigit() or not -len(container) <= int(part) < len(container):
            raise LookupError(
                f"'{part}' is no index of a list of {len(container)} (0 to {len(container) - 1})."
            )
        items = list(container)
        items[int(part)] = with_value(items[int(part)], rest, value, place) if rest else value
        return type(container)(items)
    raise LookupError(f"a {type(container).__name__} has no setting '{part}'.")


def leads_somewhere(container: object, path: Sequence[str]) -> bool:
    """Whether everything on the way to the last part of `path` exists already."""
    for part in path[:-1]:
        if isinstance(container, SourceDict) and part in container:
            container = container[part]
        elif isinstance(container, list | tuple) and part.isdigit() and int(part) < len(container):
            container = container[int(part)]
        else:
            return False
    return isinstance(container, SourceDict) or (
        isinstance(container, list | tuple) and path[-1].isdigit() and int(path[-1]) < len(container)
    )


def _parse(text: str, option: str) -> object:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]:
        return text[1:-1]
    items = _split(text, option)
    if len(items) > 1 or text.endswith(","):
        return [_parse(item, option) for item in items]
    if text[:1] in _BRACKETS and text[-1:] == _BRACKETS[text[0]]:
        inner = [_parse(item, option) for item in _split(text[1:-1], option)]
        return inner if text[0] == "[" else tuple(inner)
    return _scalar(text)


def _scalar(text: str) -> object:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 20 else text
    return float(text) if _FLOAT.fullmatch(text) else text


def _split(text: str, option: str) -> list[str]:
    """The items of `text`, separated by the commas outside brackets and quotes."""
    items, start, expected, quote = [], 0, "", ""
    for position, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in _BRACKETS:
            expected += _BRACKETS[letter]
            if len(expected) > 20:
                raise SdposeError(
                    f"{COMMAND_LINE} {option[:60]}...: brackets nested more than 20 levels deep."
                )
        elif letter in "])":
            if not expected or letter != expected[-1]:
                raise SdposeError(f"{COMMAND_LINE} {option}: the brackets do not match.")
            expected = expected[:-1]
        elif letter == "," and not expected:
            items.append(text[start:position].strip())
            start = position + 1
    if expected:
        raise SdposeError(f"{COMMAND_LINE} {option}: a bracket is not closed.")
    last = text[start:].strip()
    return [*items, last] if last else items
