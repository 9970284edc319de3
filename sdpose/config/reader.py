"""A classic config file as plain data: parsed and evaluated over its syntax tree. Opening it runs no code."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sdpose.config.data_root import follow_slash, reroot
from sdpose.config.evaluator import Evaluator
from sdpose.config.limits import MAX_BASES, MAX_FILE_BYTES
from sdpose.config.merge import join_bases, merge
from sdpose.config.operations import FUNCTIONS
from sdpose.config.overrides import apply_overrides, leads_somewhere, override_place, with_value
from sdpose.config.places import Place, SourceDict, shown_path, without
from sdpose.config.substitutions import quote_environment_marks
from sdpose.errors import SdposeError, nearest

BASE_KEY = "_base_"
_RESERVED = ("filename", "text", "pretty_text")
_PACKAGED = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class RawConfig:
    """What a config says, bases merged and overrides applied, not yet checked.

    `used` are the top-level names that expressions refer to; `notes` are lines for the user; `data_roots` are
    the values that the files assign to data_root (when it was to be replaced).
    """

    path: Path
    values: SourceDict
    used: frozenset[str]
    notes: tuple[str, ...]
    data_roots: tuple[str, ...] = ()


def read_config(
    path: Path | str, *, overrides: Mapping[str, object] | None = None, data_root: str | None = None
) -> RawConfig:
    """Read a config and its bases.

    `overrides` (dotted keys) and `data_root` replace values where they are assigned, so that f-strings and
    names that are built from them follow. A path below `data` that begins with the file's own data_root is
    moved as well. Raises SdposeError with file, line and reason.
    """
    overrides = overrides or {}
    option = overrides.get("data_root")
    overrides = without(overrides, "data_root")
    chosen_root = option if data_root is None else data_root
    if chosen_root is not None and not isinstance(chosen_root, str):
        raise SdposeError(f"data_root: expected a folder, got {chosen_root!r}.")
    reading = _Reading(overrides, chosen_root)
    path = Path(path)
    values = reading.file(path, ())
    if chosen_root is not None:
        values = reroot(values, reading.original_roots, chosen_root)
    # Once more, for what only the bases set; and a path given by name is not to be moved.
    values = apply_overrides(values, overrides)
    notes = tuple(dict.fromkeys(reading.notes))
    return RawConfig(path, values, frozenset(reading.used), notes, tuple(reading.original_roots))


@dataclass
class _Reading:
    """One config with all its bases."""

    overrides: Mapping[str, object]
    data_root: str | None
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    original_roots: list[str] = field(default_factory=list)

    def file(self, path: Path, children: tuple[Path, ...]) -> SourceDict:
        """The merged content of `path`; `children` are the files that led here."""
        resolved = path.resolve()
        if resolved in children:
            chain = " -> ".join(shown_path(child) for child in (*children, resolved))
            raise SdposeError(
                f"{shown_path(path)}: the _base_ files refer to each other in a circle: {chain}."
            )
        if len(children) >= MAX_BASES:
            raise SdposeError(f"{shown_path(path)}: a chain of more than {MAX_BASES} _base_ files.")
        shown = shown_path(path)
        tree = _parse(_read_source(path), shown)
        bases = self._bases(tree, path, shown, (*children, resolved))
        own = self._own(tree, path, shown, bases)
        return merge(own, bases) if bases is not None else merge(own, SourceDict(own.place))

    def _bases(
        self, tree: ast.Module, path: Path, shown: str, children: tuple[Path, ...]
    ) -> SourceDict | None:
        statements = [
            statement
            for statement in tree.body
            if isinstance(statement, ast.Assign)
            and any(_is_name(target, BASE_KEY) for target in statement.targets)
        ]
        if not statements:
            return None
        evaluator = Evaluator(path, shown, {}, None)
        value = evaluator.value(statements[-1].value)
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            evaluator.refuse(
                statements[-1], f"_base_ must be a file name or a list of them, got {value!r:.80}."
            )
        place = evaluator.place(statements[-1])
        files = [self._base_file(path.parent / name, place) for name in names]
        return join_bases([self.file(file, children) for file in files], SourceDict(place))

    def _base_file(self, path: Path, place: Place) -> Path:
        """`path`, or the packaged file of the same name when `path` is missing and one exists."""
        if path.is_file():
            return path
        # Users' files refer to an mmpose checkout beside the repository, only for its facts about data sets.
        parts = PurePosixPath(path.as_posix()).parts
        if BASE_KEY in parts:
            start = len(parts) - parts[::-1].index(BASE_KEY) - 1
            packaged = _PACKAGED.joinpath(*parts[start:])
            if ".." not in parts[start:] and packaged.is_file():
                self.notes.append(
                    f"{place}: {shown_path(path)} does not exist; sdpose's own {packaged.name} is used."
                )
                return packaged
        raise SdposeError(
            f"{place}: the base file {shown_path(path)} does not exist; _base_ is relative to this file."
        )

    def _own(self, tree: ast.Module, path: Path, shown: str, bases: SourceDict | None) -> SourceDict:
        names = SourceDict(Place(shown, 1))
        evaluator = Evaluator(path, shown, names, bases)
        for statement in tree.body:
            match statement:
                case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                    continue
                case ast.Assign():
                    if any(_is_name(target, BASE_KEY) for target in statement.targets):
                        continue
                    value = evaluator.value(statement.value)
                    for target in statement.targets:
                        self._assign(evaluator, names, target, value)
                case ast.AnnAssign(value=ast.expr() as expression):
                    self._assign(evaluator, names, statement.target, evaluator.value(expression))
                case ast.AugAssign(target=ast.Name(id=name)) if name in names:
                    self._assign(
                        evaluator, names, statement.target, evaluator.combine(statement, names[name])
                    )
                case _:
                    evaluator.refuse(statement, _refusal(statement))
        self.used |= evaluator.used
        return names

    def _assign(self, evaluator: Evaluator, names: SourceDict, target: ast.expr, value: object) -> None:
        if isinstance(target, ast.Tuple | ast.List):
            if not isinstance(value, list | tuple) or len(value) != len(target.elts):
                evaluator.refuse(
                    target, f"{len(target.elts)} names on the left need as many values on the right."
                )
            for part, item in zip(target.elts, value, strict=True):
                self._assign(evaluator, names, part, item)
            return
        if not isinstance(target, ast.Name):
            evaluator.refuse(
                target, f"cannot assign to {ast.unparse(target)[:60]}; write the value inside its dict(...)."
            )
        name, place = target.id, evaluator.place(target)
        if name.startswith("__") or name in _RESERVED or name in FUNCTIONS or name == "dict":
            evaluator.refuse(target, f"the name '{name}' is reserved; choose another one.")
        if name == "data_root" and self.data_root is not None and isinstance(value, str):
            self.original_roots.append(value)
            value = follow_slash(self.data_root, value)
        for key, replacement in self.overrides.items():
            first, *rest = key.split(".")
            if first != name:
                continue
            if not rest:
                value = replacement
            elif leads_somewhere(value, rest):
                value = with_value(value, rest, replacement, override_place(self.overrides, key))
        names.put(name, value, place)


def _read_source(path: Path) -> str:
    shown = shown_path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SdposeError(f"{shown}: more than {MAX_FILE_BYTES} bytes; this is no config file.")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SdposeError(f"{shown}: there is no such config file.{_similar(path)}") from None
    except UnicodeDecodeError:
        raise SdposeError(f"{shown}: not a text file in UTF-8; expected a Python config (.py).") from None
    except OSError as error:
        raise SdposeError(
            f"{shown}: cannot be read ({error.strerror}); expected a Python config (.py)."
        ) from None


def _similar(path: Path) -> str:
    names: Iterable[str] = (other.name for other in path.parent.glob("*.py")) if path.parent.is_dir() else ()
    return nearest(path.name, names)


def _parse(source: str, shown: str) -> ast.Module:
    try:
        return _parsed(source, shown)
    except SyntaxError as error:
        try:
            return _parsed(quote_environment_marks(source), shown)
        except SyntaxError:
            line = f"{shown}:{error.lineno}" if error.lineno else shown
            raise SdposeError(f"{line}: not valid Python: {error.msg}.") from None


def _parsed(source: str, shown: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            # Python's remarks about style, such as on '\\d' in a path, are not for the reader of a config.
            warnings.simplefilter("ignore")
            return ast.parse(source, filename=shown)
    except (RecursionError, MemoryError):
        raise SdposeError(f"{shown}: expressions nested too deeply; this is no config file.") from None
    except ValueError as error:
        # Null bytes, and integers of thousands of digits.
        raise SdposeError(f"{shown}: not valid Python: {error}.") from None


def _refusal(statement: ast.stmt) -> str:
    """Why a statement is refused, with the way out where there is one."""
    what = {
        ast.Import: "an import",
        ast.ImportFrom: "an import",
        ast.FunctionDef: "a function",
        ast.AsyncFunctionDef: "a function",
        ast.ClassDef: "a class",
        ast.For: "a loop",
        ast.While: "a loop",
        ast.If: "an if statement (x = a if condition else b is understood)",
        ast.Try: "try",
        ast.With: "with",
        ast.Delete: "del",
        ast.Expr: "an expression on its own",
        ast.AugAssign: "a change of something that is not a name assigned above",
    }.get(type(statement), f"{type(statement).__name__.lower()}")
    cure = (
        " Name a file with your own losses or hooks in custom_imports instead."
        if isinstance(statement, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.ClassDef)
        else ""
    )
    return f"a config may not contain {what}. It is read as data and never run.{cure}"


def _is_name(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name
