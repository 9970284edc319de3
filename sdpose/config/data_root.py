"""Moving a config to another data folder: `data_root` and the paths that begin with it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sdpose.config.places import SourceDict


def follow_slash(data_root: str, original: str) -> str:
    """`data_root` with a final slash exactly when the config's own value has one: f-strings rely on it."""
    bare = data_root.rstrip("/") or "/"
    return bare if not original.endswith("/") or bare == "/" else bare + "/"


def reroot(config: SourceDict, original_roots: Iterable[str], data_root: str) -> SourceDict:
    """`config` with the path literals below `data` that begin with an original root moved to `data_root`.

    The official files write `bbox_file` out instead of building it from data_root. A root of `/` (or nothing)
    names no folder and moves nothing.
    """
    roots = sorted({root.rstrip("/") for root in original_roots} - {"", "."}, key=len, reverse=True)
    bare = data_root.rstrip("/")

    def moved(value: object) -> object:
        if isinstance(value, str):
            for root in roots:
                if (value == root or value.startswith(root + "/")) and not _below(value, bare):
                    return bare + value[len(root) :]
            return value
        if isinstance(value, SourceDict):
            copy = SourceDict(value.place)
            for key, item in value.items():
                copy.put(key, moved(item), value.place_of(key))
            return copy
        if isinstance(value, list | tuple):
            return type(value)(moved(item) for item in value)
        return value

    result = config.shallow_copy()
    for key in ("data", "data_cfg"):
        if key in result:
            result.put(key, moved(result[key]), result.place_of(key))
    return result


def tidy_path(path: str) -> str:
    """A path without doubled or final slashes, as `f'{data_root}/train2017/'` makes them."""
    return re.sub(r"/{2,}", "/", path).rstrip("/") or ("/" if path.startswith("/") else "")


def _below(path: str, root: str) -> bool:
    """Whether `path` lies below `root` already (the new root may itself lie below the old one)."""
    return root != "" and (path == root or path.startswith(root + "/"))
