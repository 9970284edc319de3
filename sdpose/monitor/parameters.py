"""Checks of what a user sets in `custom_hooks`, with errors that say what to write instead."""

from __future__ import annotations

from numbers import Real


def whole_number(owner: str, name: str, value: object, *, at_least: int = 1) -> int:
    """`value`, if it is an int of `at_least` or more; raises ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        raise ValueError(f"{owner}: {name}={value!r}; expected a whole number of at least {at_least}")
    return value


def number_between(owner: str, name: str, value: object, low: float, high: float) -> float:
    """`value` as float, if it lies strictly between `low` and `high`; raises ValueError otherwise."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low < float(value) < high:
        raise ValueError(f"{owner}: {name}={value!r}; expected a number above {low:g} and below {high:g}")
    return float(value)


def yes_or_no(owner: str, name: str, value: object) -> bool:
    """`value`, if it is True or False; raises ValueError otherwise."""
    if not isinstance(value, bool):
        raise ValueError(f"{owner}: {name}={value!r}; expected True or False")
    return value
