"""The resolved config as Python text in the classic format, for people, for our reader and for mmcv's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

_WIDTH = 100


def python_text(settings: BaseModel, raw: Mapping[str, Any], *, title: str, data_root: str | None) -> str:
    """`raw` (what the config says, resolved) and the defaults of what it leaves out, one assignment each.

    `data_root` is kept, so that the resolved config, too, can be moved to another folder.
    """
    lines = [f"# {title}"]
    if data_root is not None:
        lines += ["", f"data_root = {literal(data_root)}"]
    shared = _shared_dataset_info(raw)
    if shared is not None:
        lines += ["", f"dataset_info = {literal(shared)}"]
    for name in type(settings).model_fields:
        value = raw[name] if name in raw else _default(getattr(settings, name))
        lines += ["", f"{name} = {literal(value, shared=shared)}"]
    return "\n".join(lines) + "\n"


def literal(value: Any, *, indent: int = 0, shared: Any = None) -> str:
    """`value` as a Python expression, on one line where it fits; `shared` is written by its name."""
    if shared is not None and value == shared:
        return "dataset_info"
    flat = "".join(_flat(value))
    holds_shared = shared is not None and isinstance(value, dict) and _holds(value, shared)
    if (
        (not holds_shared and len(flat) + indent <= _WIDTH)
        or not isinstance(value, dict | list | tuple)
        or not value
    ):
        return flat
    inner = " " * (indent + 4)
    if isinstance(value, dict) and all(_is_keyword(key) for key in value):
        rows = [f"{key}={literal(item, indent=indent + 4, shared=shared)}" for key, item in value.items()]
        opening, closing = "dict(", ")"
    elif isinstance(value, dict):
        rows = [f"{key!r}: {literal(item, indent=indent + 4, shared=shared)}" for key, item in value.items()]
        opening, closing = "{", "}"
    else:
        rows = [literal(item, indent=indent + 4, shared=shared) for item in value]
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
    body = "".join(f"{inner}{row},\n" for row in rows)
    return f"{opening}\n{body}{' ' * indent}{closing}"


def _flat(value: Any) -> Iterator[str]:
    """The pieces of `value` on one line."""
    if isinstance(value, dict):
        keywords = all(_is_keyword(key) for key in value)
        yield "dict(" if keywords else "{"
        for position, (key, item) in enumerate(value.items()):
            yield ", " if position else ""
            yield f"{key}=" if keywords else f"{key!r}: "
            yield from _flat(item)
        yield ")" if keywords else "}"
    elif isinstance(value, list | tuple):
        yield "[" if isinstance(value, list) else "("
        for position, item in enumerate(value):
            yield ", " if position else ""
            yield from _flat(item)
        yield ("," if isinstance(value, tuple) and len(value) == 1 else "") + (
            "]" if isinstance(value, list) else ")"
        )
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"float('{value}')"
    else:
        yield repr(value)


def _is_keyword(key: object) -> bool:
    from keyword import iskeyword

    return isinstance(key, str) and key.isidentifier() and not iskeyword(key)


def _holds(value: Any, shared: Any) -> bool:
    if isinstance(value, dict):
        return any(item == shared or _holds(item, shared) for item in value.values())
    return isinstance(value, list | tuple) and any(_holds(item, shared) for item in value)


def _shared_dataset_info(raw: Mapping[str, Any]) -> Any:
    """The dataset_info of all splits when it is the same; it is long and written once."""
    splits = [raw["data"].get(name, {}).get("dataset_info") for name in ("train", "val", "test")]
    given = [info for info in splits if info is not None]
    return given[0] if given and all(info == given[0] for info in given) else None


def _default(value: Any) -> Any:
    """A setting as the plain data that would be read into it."""
    if isinstance(value, BaseModel):
        return {name: _default(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, tuple):
        return [_default(item) for item in value]
    return value
