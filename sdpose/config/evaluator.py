"""Expressions of a config, evaluated over the syntax tree: what is not listed here is refused."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from sdpose.config.limits import MAX_DEPTH, Meter, TooLarge
from sdpose.config.operations import FUNCTIONS, NotAllowed, binary, checked, compare, formatted, unary
from sdpose.config.places import Place, SourceDict
from sdpose.config.substitutions import SubstitutionProblem, substitute, whole_value
from sdpose.errors import SdposeError, nearest

_WHAT: dict[type[ast.AST], str] = {
    ast.ListComp: "a comprehension; write the values out, or list(range(n))",
    ast.SetComp: "a comprehension; write the values out",
    ast.DictComp: "a comprehension; write the values out",
    ast.GeneratorExp: "a comprehension; write the values out",
    ast.Lambda: "a lambda",
    ast.NamedExpr: "an assignment inside an expression",
    ast.Await: "await",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
    ast.Set: "a set; write a list",
}


class Evaluator:
    """Gives the plain value of expressions of one file.

    `names` are the file's assignments so far; `bases` is what `{{_base_.x}}` refers to. `used` collects the
    names that expressions read, so that a helper name can be told from a misspelt setting.
    """

    def __init__(self, path: Path, shown: str, names: Mapping[str, object], bases: SourceDict | None) -> None:
        self.used: set[str] = set()
        self._path = path
        self._shown = shown
        self._names = names
        self._bases = bases
        self._meter = Meter()
        self._depth = 0

    def place(self, node: ast.AST) -> Place:
        """File and line of a node."""
        return Place(self._shown, getattr(node, "lineno", 0))

    def refuse(self, node: ast.AST, reason: str) -> NoReturn:
        """Raise the one-line error for a node."""
        raise SdposeError(f"{self.place(node)}: {reason}")

    def value(self, node: ast.expr) -> Any:
        """The value of an expression, within the limits of `limits.py`."""
        self._depth += 1
        try:
            with self._located_problems(node):
                if self._depth > MAX_DEPTH:
                    raise TooLarge(f"an expression nested more than {MAX_DEPTH} levels deep")
                handler = _HANDLERS.get(type(node))
                if handler is None:
                    raise NotAllowed(_WHAT.get(type(node), type(node).__name__))
                return handler(self, node)
        finally:
            self._depth -= 1

    def combine(self, node: ast.AugAssign, current: object) -> object:
        """The value of `name += expression`; refused for lists and dicts, whose aliases would change."""
        if isinstance(current, list | dict):
            self.refuse(node, "a config may not change a list or dict in place; write x = x + [...] instead.")
        with self._located_problems(node):
            return binary(self._meter, node.op, current, self.value(node.value))

    @contextmanager
    def _located_problems(self, node: ast.AST) -> Iterator[None]:
        """Turns whatever an operation raises into the one-line error of its node."""
        try:
            yield
        except NotAllowed as problem:
            self.refuse(node, f"a config may not contain {problem}. It is read as data and never run.")
        except TooLarge as problem:
            self.refuse(node, f"{problem} is refused: a config holds settings, not data.")
        except SubstitutionProblem as problem:
            self.refuse(node, str(problem))
        except (TypeError, ValueError, ArithmeticError, LookupError) as problem:
            self.refuse(node, f"cannot evaluate this: {problem}.")

    def _constant(self, node: ast.Constant) -> object:
        if isinstance(node.value, str):
            return checked(self._meter, substitute(node.value, self._path))
        if node.value is None or isinstance(node.value, bool | int | float):
            return checked(self._meter, node.value)
        raise NotAllowed(f"the constant {node.value!r:.40}")

    def _name(self, node: ast.Name) -> object:
        if node.id not in self._names:
            self._refuse_name(node)
        self.used.add(node.id)
        return self._names[node.id]

    def _refuse_name(self, node: ast.Name) -> NoReturn:
        if node.id.startswith("__"):
            raise NotAllowed(f"the name '{node.id}'")
        if node.id in FUNCTIONS or node.id == "dict":
            raise NotAllowed(f"the function {node.id} without a call")
        if self._bases is not None and node.id in self._bases:
            self.refuse(
                node,
                f"'{node.id}' is set in a base file; write {{{{_base_.{node.id}}}}} here (without quotes).",
            )
        self.refuse(node, f"the name '{node.id}' is not assigned above.{nearest(node.id, self._names)}")

    def _list(self, node: ast.List) -> object:
        return checked(self._meter, list(self._elements(node.elts)))

    def _tuple(self, node: ast.Tuple) -> object:
        return checked(self._meter, tuple(self._elements(node.elts)))

    def _elements(self, nodes: list[ast.expr]) -> Iterator[object]:
        for node in nodes:
            if isinstance(node, ast.Starred):
                yield from self.value(node.value)
            else:
                yield self.value(node)

    def _dict(self, node: ast.Dict) -> object:
        result = SourceDict(self.place(node))
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            if key_node is None:
                self._unpack(result, value_node)
            else:
                self._put(result, self.value(key_node), self.value(value_node), key_node)
        return checked(self._meter, result)

    def _put(self, target: SourceDict, key: object, value: object, node: ast.AST) -> None:
        if not isinstance(key, str | int):
            self.refuse(node, f"a dict key must be a string or an integer, got a {type(key).__name__}.")
        if key in target:
            self.refuse(node, f"the key {key!r} is given twice (first at {target.place_of(key)}).")
        target.put(key, value, self.place(node))

    def _unpack(self, target: SourceDict, node: ast.expr) -> None:
        source = self.value(node)
        if not isinstance(source, SourceDict):
            self.refuse(node, f"** takes a dict, got a {type(source).__name__}.")
        for key, value in source.items():
            target.put(key, value, source.place_of(key))

    def _dict_call(self, node: ast.Call) -> SourceDict:
        result = SourceDict(self.place(node))
        for argument in node.args:
            source = self.value(argument)
            if isinstance(source, SourceDict):
                for key, value in source.items():
                    result.put(key, value, source.place_of(key))
            else:
                for key, value in source:
                    self._put(result, key, value, argument)
        given: set[str] = set()
        for keyword in node.keywords:
            if keyword.arg is None:
                self._unpack(result, keyword.value)
                continue
            if keyword.arg in given:
                self.refuse(keyword.value, f"the key '{keyword.arg}' is given twice.")
            given.add(keyword.arg)
            result.put(keyword.arg, self.value(keyword.value), self.place(keyword))
        return checked(self._meter, result)

    def _call(self, node: ast.Call) -> object:
        if not isinstance(node.func, ast.Name):
            raise NotAllowed(f"the call {ast.unparse(node.func)[:60]}(...)")
        if node.func.id == "dict":
            return self._dict_call(node)
        function = FUNCTIONS.get(node.func.id)
        if function is None:
            known = nearest(node.func.id, [*FUNCTIONS, "dict"])
            raise NotAllowed(f"the call {node.func.id}(...){known and ' (' + known.strip() + ')'}")
        if node.keywords:
            raise NotAllowed(f"keyword arguments of {node.func.id}()")
        arguments = list(self._elements(node.args))
        for argument in arguments:
            self._meter.size(argument)
        return self._located(node, checked(self._meter, function(*arguments)))

    def _located(self, node: ast.AST, value: Any) -> object:
        """`value`, with a place if it is a dict that an operator made."""
        if isinstance(value, dict) and not isinstance(value, SourceDict):
            located = SourceDict(self.place(node))
            located.update(value)
            return located
        return value

    def _binary(self, node: ast.BinOp) -> object:
        left, right = self.value(node.left), self.value(node.right)
        return self._located(node, binary(self._meter, node.op, left, right))

    def _unary(self, node: ast.UnaryOp) -> object:
        return unary(node.op, self.value(node.operand))

    def _boolean(self, node: ast.BoolOp) -> object:
        stop_at = isinstance(node.op, ast.Or)
        result: object = None
        for operand in node.values:
            result = self.value(operand)
            if bool(result) == stop_at:
                break
        return result

    def _compare(self, node: ast.Compare) -> object:
        left = self.value(node.left)
        for kind, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.value(right_node)
            if not compare(self._meter, kind, left, right):
                return False
            left = right
        return True

    def _conditional(self, node: ast.IfExp) -> object:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _subscript(self, node: ast.Subscript) -> object:
        container = self.value(node.value)
        if isinstance(node.slice, ast.Slice):
            bounds = (node.slice.lower, node.slice.upper, node.slice.step)
            return container[slice(*(None if bound is None else self.value(bound) for bound in bounds))]
        key = self.value(node.slice)
        if isinstance(container, dict) and key not in container:
            self.refuse(
                node, f"there is no key {key!r} in this dict.{nearest(str(key), map(str, container))}"
            )
        return container[key]

    def _attribute(self, node: ast.Attribute) -> object:
        if node.attr.startswith("_"):
            raise NotAllowed(f"the attribute '{node.attr}'")
        container = self.value(node.value)
        if not isinstance(container, SourceDict):
            raise NotAllowed(
                f"the attribute '{node.attr}' of a {type(container).__name__}; only dicts have such items"
            )
        if node.attr not in container:
            self.refuse(
                node, f"there is no key '{node.attr}' in this dict.{nearest(node.attr, map(str, container))}"
            )
        return container[node.attr]

    def _fstring(self, node: ast.JoinedStr) -> object:
        parts = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                spec = self.value(part.format_spec) if part.format_spec else ""
                parts.append(formatted(self._meter, self.value(part.value), part.conversion, spec))
            elif isinstance(part, ast.Constant):
                parts.append(substitute(str(part.value), self._path, in_fstring=True))
        return checked(self._meter, "".join(parts))

    def _set(self, node: ast.Set) -> object:
        """`{{ ... }}` reads as a set in a set: the unquoted marks of a config."""
        inner = node.elts[0] if len(node.elts) == 1 else None
        mark = inner.elts[0] if isinstance(inner, ast.Set) and len(inner.elts) == 1 else None
        if isinstance(mark, ast.Name) and mark.id.startswith("file"):
            return whole_value(mark.id, self._path)
        if (
            isinstance(mark, ast.Constant)
            and isinstance(mark.value, str)
            and mark.value.lstrip().startswith("$")
        ):
            return checked(self._meter, whole_value(mark.value, self._path))
        if mark is not None:
            return self._base_value(mark)
        raise NotAllowed(_WHAT[ast.Set])

    def _base_value(self, mark: ast.expr) -> object:
        path: list[str] = []
        node = mark
        while isinstance(node, ast.Attribute):
            path.insert(0, node.attr)
            node = node.value
        if not path or not isinstance(node, ast.Name) or node.id != "_base_":
            raise NotAllowed(
                f"{{{{ {ast.unparse(mark)[:60]} }}}}; only {{{{_base_.x}}}} and the file marks are known"
            )
        if self._bases is None:
            self.refuse(mark, f"{{{{_base_.{'.'.join(path)}}}}} in a file without _base_.")
        value: Any = self._bases
        for depth, key in enumerate(path):
            if not isinstance(value, dict) or key not in value:
                known = nearest(key, map(str, value)) if isinstance(value, dict) else ""
                self.refuse(mark, f"the base files set no '{'.'.join(path[: depth + 1])}'.{known}")
            value = value[key]
        self.used.add(path[0])
        return checked(self._meter, value)


_HANDLERS: dict[type[ast.expr], Callable[[Evaluator, Any], Any]] = {
    ast.Constant: Evaluator._constant,
    ast.Name: Evaluator._name,
    ast.List: Evaluator._list,
    ast.Tuple: Evaluator._tuple,
    ast.Dict: Evaluator._dict,
    ast.Call: Evaluator._call,
    ast.BinOp: Evaluator._binary,
    ast.UnaryOp: Evaluator._unary,
    ast.BoolOp: Evaluator._boolean,
    ast.Compare: Evaluator._compare,
    ast.IfExp: Evaluator._conditional,
    ast.Subscript: Evaluator._subscript,
    ast.Attribute: Evaluator._attribute,
    ast.JoinedStr: Evaluator._fstring,
    ast.Set: Evaluator._set,
}
