"""Computed values as expressions over places of the input: built forwards as code runs, evaluated, undone.

An expression is made where an instruction computes with something that came from the input; everything else is a
number. Undoing works towards one place at a time, while all others keep what they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple, TypeAlias

from stackemu.emu.code.operations import APPLY, UNDO
from stackemu.emu.code.origin import Origin

MAX_DEPTH = 40
"""Computations one after another that are followed from a place."""
MAX_PARTS = 400
"""Computations that an expression may hold to be solved."""
MAX_UNDONE = 300
"""Computations that are undone to find the ways to one value."""
MAX_FOUND = 8
"""Indexes of a table that are tried for one value of its entries."""
_MASK = 0xFFFFFFFF


class Expression(NamedTuple):
    """An operation on terms and the `value` that it had in the run; numbers are 32 bits, unsigned."""

    operation: str
    operands: tuple[Term, ...]
    value: int
    depth: int
    table: tuple[int, ...] = ()
    """The entries that `lookup` chooses from."""


Term: TypeAlias = int | Origin | Expression


def value_of(term: Term) -> int:
    """Return what a term was in the run."""
    return term if isinstance(term, int) else term.value


def compute(operation: str, *operands: Term, table: tuple[int, ...] = ()) -> Term:
    """Return an operation on terms: a number when no place of the input takes part in it, or only from far away."""
    value = _apply(operation, [value_of(one) for one in operands], table)
    depth = 0
    for one in operands:
        if not isinstance(one, int):
            depth = max(depth, one.depth + 1 if isinstance(one, Expression) else 1)
    return Expression(operation, operands, value, depth, table) if 0 < depth <= MAX_DEPTH else value


def extract(term: Term, shift: int, bits: int) -> Term:
    """Return `bits` bits of a term from bit `shift` on; what was inserted there comes back as it was."""
    if shift == 0 and (bits == 32 or (isinstance(term, Origin) and 8 * term.size <= bits)):
        return term
    if isinstance(term, Expression) and term.operation in ("insert", "extract"):
        inner, *rest = term.operands
        at, width = (value_of(one) for one in rest[-2:])
        if term.operation == "extract":
            return extract(inner, at + shift, min(bits, max(width - shift, 0)))
        if at <= shift and shift + bits <= at + width:
            return extract(rest[0], shift - at, bits)
        if shift + bits <= at or at + width <= shift:
            return extract(inner, shift, bits)
    return compute("extract", term, shift, bits)


def insert(whole: Term, part: Term, shift: int, bits: int) -> Term:
    """Return `whole` with `bits` bits from bit `shift` on replaced by those of `part`."""
    if bits == 32:
        return part
    if whole == 0 and shift == 0:
        return extract(part, 0, bits)
    return compute("insert", whole, part, shift, bits)


def condition(operation: str, code: str, left: Term, right: Term, size: int) -> Term:
    """Return 0 or 1 by the flags that `cmp`, `test` or `add` of two terms of `size` bytes set."""
    return compute(f"{operation}.{code}", left, right, size)


def is_condition(term: Term) -> bool:
    """Return whether a term is a condition on flags."""
    return isinstance(term, Expression) and "." in term.operation


def evaluate(term: Term, changed: Mapping[tuple[str, int, int], int]) -> int:
    """Return what a term would be if places held other values."""
    known: dict[int, int] = {}

    def value(one: Term) -> int:
        if isinstance(one, int):
            return one
        if isinstance(one, Origin):
            return changed.get(one.place, one.value)
        found = known.get(id(one))
        if found is None:
            found = known[id(one)] = _apply(one.operation, [value(each) for each in one.operands], one.table)
        return found

    return value(term)


def origins_of(term: Term) -> dict[tuple[str, int, int], Origin]:
    """Return the places that a term depends on."""
    return {one.place: one for one in parts(term) if isinstance(one, Origin)}


def parts(term: Term) -> Iterator[Origin | Expression]:
    """Yield a term and all that it is computed from, each once, outermost first."""
    pending, seen = [term], set()
    while pending:
        one = pending.pop()
        if isinstance(one, int) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if isinstance(one, Expression):
            pending.extend(reversed(one.operands))


def is_solvable(term: Term) -> bool:
    """Return whether a term is small enough to be evaluated many times."""
    return next(islice(parts(term), MAX_PARTS, None), None) is None


def undo(term: Term, wanted: int) -> Iterator[tuple[Origin, int]]:
    """Yield places with a value that makes the term `wanted`, as far as each way to a place goes alone.

    A place that takes part in several ways may need another value: evaluate the term to be sure.
    """
    pending: list[tuple[Term, int]] = [(term, wanted & _MASK)]
    for _ in range(MAX_UNDONE):
        if not pending:
            return
        one, value = pending.pop()
        if isinstance(one, Origin):
            if value < 1 << 8 * one.size:
                yield one, value
        elif isinstance(one, Expression):
            pending.extend(reversed(list(_undone(one, value))))


def _undone(term: Expression, wanted: int) -> Iterator[tuple[Term, int]]:
    """Yield operands with values that each alone make an expression `wanted`."""
    if term.operation == "lookup":
        found = (index for index, entry in enumerate(term.table) if entry == wanted)
        yield from ((term.operands[0], index) for index in islice(found, MAX_FOUND))
        return
    values = [value_of(one) for one in term.operands]
    for way, operand in zip(UNDO.get(term.operation, ()), term.operands, strict=False):
        if not isinstance(operand, int):
            yield from ((operand, value & _MASK) for value in way(wanted, values))


def _apply(operation: str, values: list[int], table: tuple[int, ...]) -> int:
    if operation == "lookup":
        return table[values[0]] if values[0] < len(table) else 0
    return APPLY[operation](*values) & _MASK
