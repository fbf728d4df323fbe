"""Choices that the real system would make, drawn from the input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from stackemu.emu.kernel.call import Context

T = TypeVar("T")

_MULTIPLIER = 0x9E3779B1
"""2^32 divided by the golden ratio: spreads words that differ only in high bits (Knuth, TAOCP 3, 6.4)."""


def pick(context: Context, options: Sequence[T], key: int = 0) -> T:
    """Return one of the options: number n where the input says a small n, any of them for other words."""
    return options[below(context, len(options), key)]


def below(context: Context, limit: int, key: int = 0) -> int:
    """Return a number from 0 to `limit` - 1: the one drawn if it is one of them."""
    value = context.draw(key)
    return value if value < limit else ((value * _MULTIPLIER & 0xFFFFFFFF) >> 16) % limit
