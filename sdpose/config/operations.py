"""The operators and the few functions a config may use, each with its bounds."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from sdpose.config.limits import (
    MAX_FORMAT_WIDTH,
    MAX_INT_BITS,
    MAX_NUMBER_TEXT,
    MAX_ROUND_DIGITS,
    MAX_VALUE_SIZE,
    Meter,
    TooLarge,
    check_int,
)


class NotAllowed(Exception):
    """The operation is not part of what a config may do; the message says why."""


_CONVERSIONS: dict[str, Callable[[object], str]] = {"r": repr, "s": str, "a": ascii}
_FORMAT = re.compile(
    r"(?:.?[<>=^])?[-+ ]?z?#?0?(?P<width>\d*)[,_]?(?:\.(?P<precision>\d+))?[bcdeEfFgGnosxX%]?"
)


def binary(meter: Meter, kind: ast.operator, left: Any, right: Any) -> object:
    """`left kind right` for numbers, strings and sequences."""
    meter.size(left)
    meter.size(right)
    function = _BINARY.get(type(kind))
    if function is None:
        raise NotAllowed(f"the operator {type(kind).__name__}")
    if isinstance(kind, ast.Mod) and isinstance(left, str):
        raise NotAllowed("formatting with %; write an f-string")
    if isinstance(kind, ast.Mult):
        _check_repeat(meter, left, right)
    if isinstance(kind, ast.Pow):
        _check_power(left, right)
    if isinstance(kind, ast.LShift) and isinstance(right, int) and right > MAX_INT_BITS:
        raise TooLarge(f"a shift by {right}")
    return checked(meter, function(left, right))


def unary(kind: ast.unaryop, operand: Any) -> object:
    """`-x`, `+x`, `~x`, `not x`."""
    return _UNARY[type(kind)](operand)


def compare(meter: Meter, kind: ast.cmpop, left: Any, right: Any) -> bool:
    """One link of a comparison."""
    meter.size(left)
    meter.size(right)
    return bool(_COMPARE[type(kind)](left, right))


def formatted(meter: Meter, value: object, conversion: int, spec: str) -> str:
    """What `{value!conversion:spec}` gives inside an f-string."""
    meter.size(value)
    if conversion != -1:
        value = _CONVERSIONS[chr(conversion)](value)
    if spec:
        match = _FORMAT.fullmatch(spec)
        if not match or not isinstance(value, str | int | float):
            raise NotAllowed(f"the format '{spec}' for a {type(value).__name__}")
        for number in match.groupdict().values():
            if number and (len(number) > 4 or int(number) > MAX_FORMAT_WIDTH):
                raise TooLarge(f"a format width of {number[:20]}; at most {MAX_FORMAT_WIDTH}")
    return format(value, spec)


def checked(meter: Meter, value: Any) -> Any:
    """`value` when it is plain data within the limits."""
    if isinstance(value, complex):
        raise NotAllowed("complex numbers")
    check_int(value)
    meter.size(value)
    return value


def _check_repeat(meter: Meter, left: Any, right: Any) -> None:
    for sequence, times in ((left, right), (right, left)):
        if isinstance(sequence, str | list | tuple) and isinstance(times, int):
            count = meter.size(sequence) * max(times, 0)
            if count > MAX_VALUE_SIZE:
                raise TooLarge(f"a repetition that makes {count} items and characters")


def _check_power(base: Any, exponent: Any) -> None:
    if isinstance(base, int) and isinstance(exponent, int) and abs(base) > 1:
        bits = base.bit_length() * abs(exponent)
        if bits > 2 * MAX_INT_BITS:
            raise TooLarge(f"a power with a result of about {bits} bits")


def _range(*limits: int) -> list[int]:
    """A range as the list of its numbers: plain data, like everything in a config."""
    numbers = range(*limits)
    if len(numbers) > MAX_VALUE_SIZE:
        raise TooLarge(f"a range of {len(numbers)} numbers")
    return list(numbers)


def _number(kind: type[int] | type[float]) -> Callable[[Any], float]:
    def convert(value: Any = 0) -> float:
        if isinstance(value, str) and len(value) > MAX_NUMBER_TEXT:
            raise TooLarge(f"a number written with {len(value)} characters")
        return kind(value)

    return convert


def _sum(values: Sequence[float]) -> float:
    if not all(isinstance(value, int | float) for value in values):
        raise NotAllowed("sum() of anything but numbers")
    return sum(values)


def _round(number: float, digits: int | None = None) -> float:
    if digits is not None and abs(digits) > MAX_ROUND_DIGITS:
        raise TooLarge(f"round() to {digits} digits")
    return round(number, digits)


# `dict` is not here: the evaluator builds it itself, to remember the line of every key.
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "list": lambda values=(): list(values),
    "tuple": lambda values=(): tuple(values),
    "range": _range,
    "len": len,
    "min": lambda *values: min(*values),
    "max": lambda *values: max(*values),
    "sum": _sum,
    "int": _number(int),
    "float": _number(float),
    "str": lambda value="": str(value),
    "bool": lambda value=False: bool(value),
    "abs": abs,
    "round": _round,
}

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda item, container: item in container,
    ast.NotIn: lambda item, container: item not in container,
}
