"""Conditional branches: when they are taken, and which operand would make them go the other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple


class Comparison(NamedTuple):
    """What set the flags: `cmp`, `test` or `add` of `left` and `right`, `size` in bytes.

    Other instructions set them like one of these: `sub` like `cmp`, `and` like `test`, `inc` like `add` of 1.
    """

    operation: str
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
    if comparison.operation == "test":
        result = left & right
        return _Flags(result == 0, False, bool(_signed(result, size) < 0), False)
    if comparison.operation == "add":
        result, carry = (left + right) & mask, left + right > mask
        exact = _signed(left, size) + _signed(right, size)
    else:
        result, carry = (left - right) & mask, left < right
        exact = _signed(left, size) - _signed(right, size)
    return _Flags(result == 0, carry, _signed(result, size) < 0, exact != _signed(result, size))


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
    choices = {
        "test": (right, 0, right & -right, 1 << right.bit_length() >> 1, sign, ~right, mask),
        "add": (-right, 1 - right, -right - 1, 0, mask, sign, sign - 1),
        "cmp": (right, right + 1, right - 1, 0, mask, sign),
    }[comparison.operation]
    seen = set()
    for choice in choices:
        value = choice & mask
        if value not in seen and holds(condition, comparison._replace(left=value)) is wanted:
            seen.add(value)
            yield value


CONDITION_CODES = tuple(_CONDITIONS)
"""The condition codes that are known."""
SYNONYMS: Mapping[str, str] = {
    "z": "e", "nz": "ne", "c": "b", "nc": "ae", "nae": "b", "nb": "ae", "na": "be", "nbe": "a", "nge": "l",
    "nl": "ge", "ng": "le", "nle": "g",
}  # fmt: skip
"""Other names of condition codes (Intel SDM volume 1, appendix B)."""
SWAPPED: Mapping[str, str] = {
    "e": "e", "ne": "ne", "b": "a", "a": "b", "ae": "be", "be": "ae", "l": "g", "g": "l", "le": "ge", "ge": "le",
}  # fmt: skip
"""Condition codes that say the same of `cmp` with its operands exchanged."""
