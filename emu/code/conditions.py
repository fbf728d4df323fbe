"""Conditional branches: when they are taken, and which operand would make them go the other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple


class Comparison(NamedTuple):
    """What set the flags: `cmp left, right` or `test left, right`, `size` in bytes."""

    is_test: bool
    left: int
    right: int
    size: int


def _signed(value: int, size: int) -> int:
    return value - (1 << 8 * size) if value >> (8 * size - 1) & 1 else value


class _Flags(NamedTuple):
    zero: bool
    carry: bool
    sign: bool
    overflow: bool


def _flags(comparison: Comparison) -> _Flags:
    mask = (1 << 8 * comparison.size) - 1
    left, right, size = comparison.left & mask, comparison.right & mask, comparison.size
    if comparison.is_test:
        result = left & right
        return _Flags(result == 0, False, bool(_signed(result, size) < 0), False)
    result = (left - right) & mask
    difference = _signed(left, size) - _signed(right, size)
    return _Flags(result == 0, left < right, _signed(result, size) < 0, difference != _signed(result, size))


# Condition codes by the suffix of jcc, setcc and cmovcc (Intel SDM volume 1, appendix B).
_CONDITIONS: Mapping[str, Callable[[_Flags], bool]] = {
    "e": lambda f: f.zero,
    "ne": lambda f: not f.zero,
    "b": lambda f: f.carry,
    "ae": lambda f: not f.carry,
    "be": lambda f: f.carry or f.zero,
    "a": lambda f: not (f.carry or f.zero),
    "l": lambda f: f.sign != f.overflow,
    "ge": lambda f: f.sign == f.overflow,
    "le": lambda f: f.zero or f.sign != f.overflow,
    "g": lambda f: not f.zero and f.sign == f.overflow,
    "s": lambda f: f.sign,
    "ns": lambda f: not f.sign,
    "o": lambda f: f.overflow,
    "no": lambda f: not f.overflow,
}


def holds(condition: str, comparison: Comparison) -> bool | None:
    """Return whether a condition code (`e`, `ae`…) holds after a comparison, None for codes that are not known."""
    test = _CONDITIONS.get(condition)
    return test(_flags(comparison)) if test is not None else None


def solutions(condition: str, comparison: Comparison, wanted: bool) -> Iterator[int]:
    """Yield values of the left operand with which `condition` is as wanted, the likeliest first."""
    size = comparison.size
    mask = (1 << 8 * size) - 1
    right, sign = comparison.right & mask, 1 << (8 * size - 1)
    choices = (
        (right, 0, 1, sign, ~right, mask) if comparison.is_test else (right, right + 1, right - 1, 0, mask, sign)
    )
    seen = set()
    for choice in choices:
        value = choice & mask
        if value not in seen and holds(condition, comparison._replace(left=value)) is wanted:
            seen.add(value)
            yield value


CONDITION_CODES = tuple(_CONDITIONS)
"""The condition codes that are known."""
