"""Where a setting was written: every dict that the reader makes remembers file and line of its keys."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A line of a file, or (line 0) something that has no lines, such as a command-line option."""

    source: str
    line: int

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class SourceDict(dict[Any, Any]):
    """A plain dict that knows where it begins (`place`) and where each key was written (`places`)."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.places: dict[Any, Place] = {}

    def put(self, key: object, value: object, place: Place) -> None:
        """Set `key` and remember where."""
        self[key] = value
        self.places[key] = place

    def place_of(self, key: object) -> Place:
        """Where `key` was written; where the dict begins when the key is absent."""
        return self.places.get(key, self.place)

    def shallow_copy(self) -> SourceDict:
        """The same items and places in a new dict."""
        copy = SourceDict(self.place)
        copy.update(self)
        copy.places.update(self.places)
        return copy


def find_place(root: SourceDict, path: Sequence[object]) -> Place:
    """Where the setting at `path` was written, as deep as that is known.

    Parts of `path` that do not exist in the file (a class's tag, a collected list) are skipped.
    """
    place, container = root.place, root  # type: tuple[Place, object]
    for part in path:
        if isinstance(container, SourceDict) and part in container:
            place, container = container.place_of(part), container[part]
        elif isinstance(container, list | tuple) and isinstance(part, int) and part < len(container):
            container = container[part]
            if isinstance(container, SourceDict):
                place = container.place
    return place


def without(mapping: Any, *keys: str) -> Any:
    """A copy of a dict without some keys; places are kept."""
    copy = mapping.shallow_copy() if isinstance(mapping, SourceDict) else dict(mapping)
    for key in keys:
        copy.pop(key, None)
    return copy


def plain(value: Any) -> Any:
    """A deep copy of dicts, lists and scalars without the places."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value


def shown_path(path: Path) -> str:
    """`path` the way a person would type it: relative to the working directory when it lies below it."""
    absolute = path.absolute()
    relative = os.path.relpath(absolute)
    return os.path.normpath(absolute) if relative.startswith("..") else relative
