"""A place of the input that a value came from, and the arithmetic between: followed forwards, and undone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from stackemu.emu.code.conditions import Comparison, holds, solutions

MAX_STEPS = 8
"""Arithmetic steps that are followed from one place."""
_MASK = 0xFFFFFFFF


class Condition(NamedTuple):
    """A condition that made 0 or 1 of a value: what `setcc` does."""

    condition: str
    comparison: Comparison
    """The value takes the place of the left operand."""

    def apply(self, value: int) -> int:
        """Return whether the condition holds for `value`, as 0 or 1."""
        return int(bool(holds(self.condition, self.comparison._replace(left=value))))

    def undo(self, wanted: int) -> int | None:
        """Return a value with which the outcome is as wanted."""
        return next(solutions(self.condition, self.comparison, bool(wanted)), None) if wanted in (0, 1) else None


@dataclass(frozen=True, slots=True)
class Origin:
    """A place of the input: `kind` is 'memory' (key: address), 'register' (number) or 'api' (ordinal of the call),
    'drawn' (key of the number drawn). `value` is what was there; `steps` lead from it to the value computed.
    """

    kind: str
    key: int
    size: int
    value: int
    steps: tuple[tuple[str, int | Condition], ...] = ()

    def then(self, step: str, operand: int | Condition) -> Origin | None:
        """Return the origin of the value after one more step, None when it became too long a way."""
        return replace(self, steps=(*self.steps, (step, operand))) if len(self.steps) < MAX_STEPS else None

    def undo(self, wanted: int) -> int | None:
        """Return what has to be at the place so that the computed value is `wanted`; None when nothing does it."""
        value, before = wanted & _MASK, self.values()
        for (step, operand), old in zip(reversed(self.steps), reversed(before[:-1]), strict=True):
            undone = operand.undo(value) if isinstance(operand, Condition) else _UNDO[step](value, operand, old)
            if undone is None:
                return None
            value = undone & _MASK
        return value if value < 1 << 8 * self.size else None

    def values(self) -> list[int]:
        """Return the place's value and what each step made of it."""
        values = [self.value]
        for step, operand in self.steps:
            result = operand.apply(values[-1]) if isinstance(operand, Condition) else APPLY[step](values[-1], operand)
            values.append(result & _MASK)
        return values


def _rotate(value: int, count: int) -> int:
    count %= 32
    return (value << count | value >> (32 - count)) & _MASK


def _sign_extend(value: int, size: int) -> int:
    bit = 1 << (8 * size - 1)
    return ((value & (2 * bit - 1)) ^ bit) - bit


APPLY: dict[str, Callable[[int, int], int]] = {
    "add": lambda v, n: v + n,
    "xor": lambda v, n: v ^ n,
    "and": lambda v, n: v & n,
    "or": lambda v, n: v | n,
    "shl": lambda v, n: v << n,
    "shr": lambda v, n: v >> n,
    "rol": _rotate,
    "neg": lambda v, _: -v,
    "sign": _sign_extend,
    "swap": lambda v, _: int.from_bytes((v & _MASK).to_bytes(4, "little"), "big"),
    "quotient": lambda v, n: v // n,
    "remainder": lambda v, n: v % n,
}
"""What each step makes of a value; results are cut to 32 bits by the caller."""
_UNDO: dict[str, Callable[[int, int, int], int | None]] = {
    "add": lambda v, n, _: v - n,
    "xor": lambda v, n, _: v ^ n,
    "and": lambda v, n, old: None if v & ~n & _MASK else old & ~n & _MASK | v,
    "or": lambda v, n, old: None if v & n != n else old & n | v & ~n & _MASK,
    "shl": lambda v, n, _: None if v & ((1 << n) - 1) else v >> n,
    "shr": lambda v, n, old: None if v << n > _MASK else v << n | old & ((1 << n) - 1),
    "rol": lambda v, n, _: _rotate(v, 32 - n % 32),
    "neg": lambda v, _n, _old: -v,
    "sign": lambda v, n, _: v & ((1 << 8 * n) - 1) if _sign_extend(v, n) & _MASK == v else None,
    "swap": lambda v, _n, _old: int.from_bytes((v & _MASK).to_bytes(4, "little"), "big"),
    "quotient": lambda v, n, old: v * n + old % n,
    "remainder": lambda v, n, old: old // n * n + v if v < n else None,
}
