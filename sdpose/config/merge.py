"""How a config lies over its bases: dicts merge key by key, everything else replaces."""

from __future__ import annotations

from sdpose.config.places import SourceDict
from sdpose.errors import SdposeError

DELETE = "_delete_"


def join_bases(bases: list[SourceDict], user: SourceDict) -> SourceDict:
    """All bases of one file side by side. The same top-level key in two of them is an error."""
    joined = SourceDict(user.place)
    for base in bases:
        for key, value in base.items():
            if key in joined:
                raise SdposeError(
                    f"{user.place}: '{key}' is set by two base files, {joined.place_of(key)} and "
                    f"{base.place_of(key)}; remove one of them from _base_."
                )
            joined.put(key, value, base.place_of(key))
    return joined


def merge(child: SourceDict, base: SourceDict, *, path: str = "") -> SourceDict:
    """`child` over `base`, both unchanged. `_delete_=True` in a child's dict replaces the base's dict."""
    merged = base.shallow_copy()
    for key, value in child.items():
        if key == DELETE:
            continue
        place, name = child.place_of(key), f"{path}{key}"
        if not isinstance(value, SourceDict) or key not in base or value.get(DELETE):
            merged.put(key, without_delete(value), place)
        elif isinstance(base[key], SourceDict):
            merged.put(key, merge(value, base[key], path=f"{name}."), place)
        else:
            raise SdposeError(
                f"{place}: '{name}' is a dict here and a {type(base[key]).__name__} in the base file "
                f"({base.place_of(key)}); add _delete_=True to this dict to replace the base's value."
            )
    return merged


def without_delete(value: object) -> object:
    """`value` without any `_delete_` key, at any depth of dicts and lists."""
    if isinstance(value, SourceDict):
        clean = SourceDict(value.place)
        for key, item in value.items():
            if key != DELETE:
                clean.put(key, without_delete(item), value.place_of(key))
        return clean
    if isinstance(value, list | tuple):
        return type(value)(without_delete(item) for item in value)
    return value
