"""How large a config may become. What tries to be much more is refused before it is built."""

from __future__ import annotations

MAX_FILE_BYTES = 1_000_000
MAX_VALUE_SIZE = 200_000  # items plus characters of one value, shared parts counted each time
MAX_DEPTH = 100  # nesting of expressions, and of the values they give
MAX_BASES = 16  # length of a chain of `_base_`
MAX_INT_BITS = 64
MAX_FORMAT_WIDTH = 100
MAX_ROUND_DIGITS = 30
MAX_NUMBER_TEXT = 100  # characters that int('...') and float('...') take
MAX_STEPS = 5_000_000  # values looked at in one file while measuring; about a second


class TooLarge(Exception):
    """The value would exceed a limit; the message says which."""


class Meter:
    """Measures values and stops one file from keeping the reader busy forever."""

    def __init__(self) -> None:
        self._steps = 0

    def size(self, value: object) -> int:
        """Items plus characters of `value`, every alias counted again. Raises TooLarge beyond the limits."""
        size = 0
        stack = [(value, 1)]
        while stack:
            item, depth = stack.pop()
            self._steps += 1
            size += 1 + (len(item) if isinstance(item, str) else 0)
            if depth > MAX_DEPTH:
                raise TooLarge(f"nested more than {MAX_DEPTH} levels deep")
            if size > MAX_VALUE_SIZE:
                raise TooLarge(f"a value of more than {MAX_VALUE_SIZE} items and characters")
            if self._steps > MAX_STEPS:
                raise TooLarge("too much work for a config file")
            if isinstance(item, dict):
                stack.extend((key, depth) for key in item)
                stack.extend((child, depth + 1) for child in item.values())
            elif isinstance(item, list | tuple):
                stack.extend((child, depth + 1) for child in item)
        return size


def check_int(value: object) -> None:
    """Raises TooLarge for an integer that needs more bits than any setting."""
    if isinstance(value, int) and value.bit_length() > MAX_INT_BITS:
        raise TooLarge(f"an integer of more than {MAX_INT_BITS} bits")
