"""`{{ fileBasename }}`, `{{ $NAME:default }}`: what a config takes from its own name and the environment."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Mapping
from pathlib import Path

from sdpose.errors import nearest

# No two neighbouring parts of a pattern may match the same text: a long run of blanks has to stay cheap.
_INNER = r"\s*(?:(?P<file>file[A-Z]\w*)\s*|\$(?P<env>\w+)\s*(?P<has_default>:(?P<default>[^{}]*))?)"
_DOUBLE = re.compile(r"\{\{" + _INNER + r"\}\}")
# Inside an f-string Python has already turned `{{` into `{`.
_SINGLE = re.compile(r"\{" + _INNER + r"\}")
_BASE = re.compile(r"\{\{?\s*_base_\s*\.")
_UNQUOTED_ENV = re.compile(r"(?P<before>[=(\[,:]\s*)\{\{\s*(?P<inner>\$\w+[^{}'\"\n]*)\}\}")


class SubstitutionProblem(Exception):
    """A mark that cannot be replaced; the message says why."""


def file_names(path: Path) -> Mapping[str, str]:
    """What the four file marks stand for."""
    absolute = path.absolute()
    return {
        "fileDirname": str(absolute.parent),
        "fileBasename": absolute.name,
        "fileBasenameNoExtension": absolute.stem,
        "fileExtname": absolute.suffix,
    }


def substitute(text: str, path: Path, *, in_fstring: bool = False) -> str:
    """`text` with every mark replaced."""
    if "{" not in text:
        return text
    if _BASE.search(text):
        raise SubstitutionProblem(
            "{{_base_.x}} inside a string; it stands for a whole value: write x={{_base_.x}} without quotes"
        )
    text = _DOUBLE.sub(lambda match: _replacement(match, path), text)
    return _SINGLE.sub(lambda match: _replacement(match, path), text) if in_fstring else text


def whole_value(mark: str, path: Path) -> object:
    """What an unquoted mark stands for: a string, or for `$NAME:default` the literal it spells."""
    text = substitute("{{" + mark + "}}", path)
    if not mark.lstrip().startswith("$"):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return value if isinstance(value, str | int | float | bool | None) else text


def quote_environment_marks(source: str) -> str:
    """Python source in which an unquoted `{{ $NAME:default }}` reads as `{{'$NAME:default'}}`.

    `$` is not Python. Only wanted when the source does not parse as it stands.
    """
    return _UNQUOTED_ENV.sub(lambda match: f"{match['before']}{{{{'{match['inner']}'}}}}", source)


def _replacement(match: re.Match[str], path: Path) -> str:
    names = file_names(path)
    if name := match["file"]:
        if name not in names:
            raise SubstitutionProblem(f"{{{{ {name} }}}} stands for nothing.{nearest(name, names)}")
        return names[name]
    variable = match["env"]
    if variable in os.environ:
        return os.environ[variable]
    if not match["has_default"]:
        raise SubstitutionProblem(
            f"the environment variable {variable} is not set and {{{{ ${variable} }}}} names no default; "
            f"write {{{{ ${variable}:value }}}}"
        )
    return match["default"].strip()
