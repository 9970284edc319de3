"""The config in a run's folder: its text, and its settings as far as they are plain values. It is never run."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MAX_BYTES = 2**20
# Where a run lies is no difference between runs.
_NO_DIFFERENCE = frozenset(["work_dir", "exp_name", "date", "exp_description"])


def config_path(folder: Path) -> Path | None:
    """The resolved config that a run leaves beside its log; of several the newest."""
    try:
        found = [path for path in folder.glob("*.py") if path.is_file()]
        return max(found, key=lambda path: (path.stat().st_mtime, path.name), default=None)
    except OSError:
        return None


def config_text(path: Path) -> str:
    """Its content, or an empty text where it went away."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def settings_in(text: str) -> dict[str, Any]:
    """name -> value of every assignment of plain values: literals and `dict(...)`; everything else is left out."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return {}
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = _value(node.value)
            except (ValueError, RecursionError):
                continue
    return found


def _value(node: ast.expr) -> Any:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "dict"
        and not node.args
    ):
        return {str(keyword.arg): _value(keyword.value) for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.Dict):
        return {
            str(ast.literal_eval(key)): _value(value)
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None
        }
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(member) for member in node.elts]
    return ast.literal_eval(node)


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted name -> value as text, down to what has no names inside."""
    lines: dict[str, str] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            lines.update(flat(value, f"{prefix}{name}."))
        elif isinstance(value, list | tuple) and any(isinstance(member, Mapping) for member in value):
            members = {str(index): member for index, member in enumerate(value)}
            lines.update(flat(members, f"{prefix}{name}."))
        else:
            lines[f"{prefix}{name}"] = repr(value)
    return lines


def differences(configs: list[dict[str, str]]) -> list[tuple[str, list[str | None]]]:
    """(name, its value in each config) of every setting that is not the same in all; None where it is not set.

    `configs` as `flat` gives them. Where a run lies and what it is called does not count.
    """
    names = dict.fromkeys(
        name for config in configs for name in config if name.split(".")[0] not in _NO_DIFFERENCE
    )
    rows = [(name, [config.get(name) for config in configs]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]
