"""Operations on 32-bit numbers, and what undoes each: which value of one operand gives the result that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from stackemu.emu.code.conditions import CONDITION_CODES, SWAPPED, Comparison, holds, solutions

_MASK = 0xFFFFFFFF


def _rotate(value: int, count: int, bits: int) -> int:
    count %= bits
    return (value << count | value >> (bits - count)) & ((1 << bits) - 1)


def _signed(value: int, bits: int) -> int:
    sign = 1 << (bits - 1)
    return ((value & (2 * sign - 1)) ^ sign) - sign


def _swap(value: int) -> int:
    return int.from_bytes((value & _MASK).to_bytes(4, "little"), "big")


def _low(bits: int) -> int:
    return (1 << bits) - 1


def _test(operation: str, code: str) -> Callable[..., int]:
    return lambda left, right, size: int(bool(holds(code, Comparison(operation, left, right, size))))


_TESTS = [(operation, code) for operation in ("cmp", "test", "add") for code in CONDITION_CODES]
APPLY: dict[str, Callable[..., int]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "xor": lambda a, b: a ^ b,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "shl": lambda a, n: a << (n & 31),
    "shr": lambda a, n: a >> (n & 31),
    "sar": lambda a, n: _signed(a, 32) >> (n & 31),
    "rol": _rotate,
    "double": lambda high, low, n: high << n | low >> (32 - n),
    "sign": _signed,
    "swap": _swap,
    "quotient": lambda a, b: a // b if b else 0,
    "remainder": lambda a, b: a % b if b else 0,
    "extract": lambda a, shift, bits: a >> shift & _low(bits),
    "insert": lambda a, b, shift, bits: a & ~(_low(bits) << shift) | (b & _low(bits)) << shift,
    "bit": lambda a, index, bits: a >> index % bits & 1,
    "select": lambda chosen, a, b: a if chosen else b,
    **{f"{operation}.{code}": _test(operation, code) for operation, code in _TESTS},
}
"""What each operation makes of its operands; results are cut to 32 bits."""

Way: TypeAlias = Callable[[int, list[int]], Iterable[int]]
"""Values of one operand that make the result as wanted, by the operands in the run."""


def _masked(position: int) -> Way:
    def way(wanted: int, values: list[int]) -> Iterable[int]:
        mask = values[1 - position]
        return () if wanted & ~mask & _MASK else (values[position] & ~mask & _MASK | wanted,)

    return way


def _united(position: int) -> Way:
    def way(wanted: int, values: list[int]) -> Iterable[int]:
        set_anyway = values[1 - position]
        return () if wanted & set_anyway != set_anyway else (values[position] & set_anyway | wanted & ~set_anyway,)

    return way


def _factor(position: int) -> Way:
    def way(wanted: int, values: list[int]) -> Iterable[int]:
        by = values[1 - position]
        if by & 1:
            return (wanted * pow(by, -1, 1 << 32),)
        return (wanted // by,) if by and wanted % by == 0 else ()

    return way


def _shifted_left(wanted: int, values: list[int]) -> Iterable[int]:
    count = values[1] & 31
    return () if wanted & _low(count) else (wanted >> count,)


def _shifted_right(wanted: int, values: list[int]) -> Iterable[int]:
    count = values[1] & 31
    return () if wanted << count > _MASK else (wanted << count | values[0] & _low(count),)


def _count(operation: str) -> Way:
    """Return by how many bits to shift."""

    def way(wanted: int, values: list[int]) -> Iterable[int]:
        return (count for count in range(32) if APPLY[operation](values[0], count) & _MASK == wanted)

    return way


def _with_bit(wanted: int, values: list[int]) -> Iterable[int]:
    value, index, bits = values
    mask = 1 << index % bits
    return {0: (value & ~mask,), 1: (value | mask,)}.get(wanted, ())


def _bit_number(wanted: int, values: list[int]) -> Iterable[int]:
    value, _, bits = values
    return (index for index in range(bits) if value >> index & 1 == wanted)


def _shifted_arithmetically(wanted: int, values: list[int]) -> Iterable[int]:
    value = wanted << (values[1] & 31) & _MASK
    return (
        (value | values[0] & _low(values[1] & 31),)
        if _signed(value, 32) >> (values[1] & 31) & _MASK == wanted
        else ()
    )


def _sign_extended(wanted: int, values: list[int]) -> Iterable[int]:
    low = _low(values[1])
    return (values[0] & ~low & _MASK | wanted & low,) if _signed(wanted, values[1]) & _MASK == wanted else ()


def _divided(wanted: int, values: list[int]) -> Iterable[int]:
    return (wanted * values[1] + values[0] % values[1],) if values[1] else ()


def _left_over(wanted: int, values: list[int]) -> Iterable[int]:
    return (values[0] // values[1] * values[1] + wanted,) if wanted < values[1] else ()


def _extracted(wanted: int, values: list[int]) -> Iterable[int]:
    old, shift, bits = values
    return () if wanted > _low(bits) else (old & ~(_low(bits) << shift) & _MASK | wanted << shift,)


def _around_inserted(wanted: int, values: list[int]) -> Iterable[int]:
    _, part, shift, bits = values
    return (wanted,) if wanted >> shift & _low(bits) == part & _low(bits) else ()


def _inserted(wanted: int, values: list[int]) -> Iterable[int]:
    whole, part, shift, bits = values
    rest = ~(_low(bits) << shift) & _MASK
    return (part & ~_low(bits) & _MASK | wanted >> shift & _low(bits),) if wanted & rest == whole & rest else ()


def _double_high(wanted: int, values: list[int]) -> Iterable[int]:
    high, low, count = values
    fits = wanted & _low(count) == low >> (32 - count)
    return (high & ~(_MASK >> count) & _MASK | wanted >> count,) if fits else ()


def _double_low(wanted: int, values: list[int]) -> Iterable[int]:
    high, low, count = values
    fits = wanted >> count == high & _MASK >> count
    return ((wanted & _low(count)) << (32 - count) | low & _MASK >> count,) if fits else ()


def _choice(wanted: int, values: list[int]) -> Iterable[int]:
    return tuple(chosen for chosen, value in ((1, values[1]), (0, values[2])) if value == wanted)


def _holding(operation: str, code: str) -> Way:
    def way(wanted: int, values: list[int]) -> Iterable[int]:
        left, right, size = values
        part = _low(8 * size)
        found = solutions(code, Comparison(operation, left, right, size), bool(wanted)) if wanted in (0, 1) else ()
        return (left & ~part & _MASK | value for value in found)

    return way


def _holding_right(operation: str, code: str) -> Way:
    way = _holding(operation, code if operation != "cmp" else SWAPPED.get(code, code))

    def swapped(wanted: int, values: list[int]) -> Iterable[int]:
        left, right, size = values
        return way(wanted, [right, left, size]) if operation != "cmp" or code in SWAPPED else ()

    return swapped


UNDO: dict[str, tuple[Way, ...]] = {
    "add": (lambda w, v: (w - v[1],), lambda w, v: (w - v[0],)),
    "sub": (lambda w, v: (w + v[1],), lambda w, v: (v[0] - w,)),
    "mul": (_factor(0), _factor(1)),
    "xor": (lambda w, v: (w ^ v[1],), lambda w, v: (w ^ v[0],)),
    "and": (_masked(0), _masked(1)),
    "or": (_united(0), _united(1)),
    "shl": (_shifted_left, _count("shl")),
    "shr": (_shifted_right, _count("shr")),
    "sar": (_shifted_arithmetically, _count("sar")),
    "rol": (lambda w, v: (_rotate(w, v[2] - v[1] % v[2], v[2]),) if w <= _low(v[2]) else (),),
    "double": (_double_high, _double_low),
    "sign": (_sign_extended,),
    "swap": (lambda w, _v: (_swap(w),),),
    "quotient": (_divided,),
    "remainder": (_left_over,),
    "extract": (_extracted,),
    "insert": (_around_inserted, _inserted),
    "bit": (_with_bit, _bit_number),
    "select": (
        _choice,
        lambda w, v: (w,) if v[0] else (),
        lambda w, v: (w,) if not v[0] else (),
    ),
    **{
        f"{operation}.{code}": (_holding(operation, code), _holding_right(operation, code))
        for operation, code in _TESTS
    },
}
"""For each operand of an operation, what it has to be."""
