"""Solves a condition over places of the input: which place, holding what, makes it as wanted."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

from stackemu.emu.code.conditions import Comparison, solutions
from stackemu.emu.code.expression import (
    Expression,
    Term,
    evaluate,
    is_condition,
    is_solvable,
    origins_of,
    parts,
    undo,
    value_of,
)
from stackemu.emu.code.origin import Origin

MAX_WAYS = 6
"""Ways to turn one condition that are given."""
MAX_CHOICES = 12
"""Conditions inside a condition that are turned to see what becomes of it."""
MAX_TRIED = 200
"""Values that are looked at for one condition."""
MAX_LINEAR_PLACES = 8
"""Places whose bits are looked at one by one, and"""
MAX_LINEAR = 3
"""values of a comparison's left side that those of each are worked out for."""


def ways(condition: Term, wanted: bool) -> Iterator[tuple[Origin, int]]:
    """Yield places with values, each of which alone makes a condition as wanted, the likeliest first."""
    return islice(_verified(condition, wanted), MAX_WAYS if is_solvable(condition) else 0)


def values_for(term: Term, wanted: int) -> Iterator[tuple[Origin, int]]:
    """Yield places with values, each of which alone makes a term `wanted`."""
    found = islice(undo(term, wanted), MAX_TRIED if is_solvable(term) else 0)
    return ((origin, value) for origin, value in found if evaluate(term, {origin.place: value}) == wanted)


def _verified(condition: Term, wanted: bool) -> Iterator[tuple[Origin, int]]:
    seen = set()
    for origin, value in islice(_candidates(condition, wanted), MAX_TRIED):
        if (origin.place, value) in seen:
            continue
        seen.add((origin.place, value))
        if bool(evaluate(condition, {origin.place: value})) is wanted:
            yield origin, value


def _candidates(condition: Term, wanted: bool) -> Iterator[tuple[Origin, int]]:
    """Yield values to try: the condition undone, what turns conditions and masks inside it, what bits do alone."""
    inner = (one for one in parts(condition) if is_condition(one) and one is not condition)
    return chain(
        undo(condition, int(wanted)),
        *(undo(one, 1 - value_of(one)) for one in islice(inner, MAX_CHOICES)),
        _masked(condition),
        _linear(condition, wanted),
    )


def _masked(condition: Term) -> Iterator[tuple[Origin, int]]:
    """Yield values with which a constant mask lets one bit, all or none through: `(x & 0x40) != 0`."""
    for one in parts(condition):
        if isinstance(one, Expression) and one.operation == "and":
            for mask in (operand for operand in one.operands if isinstance(operand, int)):
                for wanted in (mask & -mask, mask, 0):
                    yield from undo(one, wanted)


def _linear(condition: Term, wanted: bool) -> Iterator[tuple[Origin, int]]:
    """Yield values of places whose bits are only moved about and combined by `xor`, such as in swapped bytes.

    Such a computation is linear over the bits: setting each alone shows what all of them together do.
    """
    if not isinstance(condition, Expression) or not is_condition(condition):
        return
    operation, code = condition.operation.split(".")
    left, right, size = (value_of(one) for one in condition.operands)
    targets = solutions(code, Comparison(operation, left, right, size), wanted)
    for target in islice(targets, MAX_LINEAR):
        for origin in islice(origins_of(condition.operands[0]).values(), MAX_LINEAR_PLACES):
            value = _solve_bits(condition.operands[0], origin, target)
            if value is not None:
                yield origin, value


def _solve_bits(term: Term, origin: Origin, target: int) -> int | None:
    """Return the value of a place that makes a term `target` if the term is linear over its bits."""
    base = evaluate(term, {origin.place: 0})
    rest, value = target ^ base, 0
    pivots: dict[int, tuple[int, int]] = {}
    """By highest bit: a change of the term, and the bits of the place that make it (Gaussian elimination)."""
    for bit in range(8 * origin.size):
        change, bits = evaluate(term, {origin.place: 1 << bit}) ^ base, 1 << bit
        while change and change.bit_length() in pivots:
            pivot, its_bits = pivots[change.bit_length()]
            change, bits = change ^ pivot, bits ^ its_bits
        if change:
            pivots[change.bit_length()] = change, bits
    while rest:
        if rest.bit_length() not in pivots:
            return None
        pivot, its_bits = pivots[rest.bit_length()]
        rest, value = rest ^ pivot, value ^ its_bits
    return value
