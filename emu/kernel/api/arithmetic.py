"""Arithmetic: the compiler's helpers for 64-bit numbers and stack probes, RtlLargeInteger… and byte swaps.

The helpers' registers are those that the compiler's code relies on: `_allmul`, `_alldiv` and their like take two
numbers on the stack and pop them, shifts take EDX:EAX and CL, `_alldvrm` and `_aulldvrm` leave the remainder in
EBX:ECX. The Rtl functions are those of the old DDK's ntddk.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall, Raised

STATUS_INTEGER_DIVIDE_BY_ZERO = 0xC0000094
_MASK64 = 0xFFFFFFFFFFFFFFFF


def signed(value: int, bits: int) -> int:
    """Return the low bits of a number as a signed one."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def set64(call: ApiCall, value: int) -> None:
    """Return a 64-bit number in EDX:EAX."""
    call.eax = value & 0xFFFFFFFF
    call.edx = (value >> 32) & 0xFFFFFFFF


def wide_argument(call: ApiCall, word: int) -> int:
    """Return the unsigned 64-bit argument that begins at a word of the stack."""
    return call.stack_words[word] | call.stack_words[word + 1] << 32


def _divide(left: int, right: int) -> tuple[int, int]:
    """Return quotient and remainder, rounded towards zero.

    Raises:
        Raised: division by zero.
    """
    if not right:
        raise Raised(STATUS_INTEGER_DIVIDE_BY_ZERO)
    quotient = abs(left) // abs(right)
    if (left < 0) != (right < 0):
        quotient = -quotient
    return quotient, left - quotient * right


# -- the compiler's helpers --


def _multiply(call: ApiCall) -> None:
    set64(call, wide_argument(call, 0) * wide_argument(call, 2))


def _operands(call: ApiCall, is_signed: bool) -> tuple[int, int]:
    left, right = wide_argument(call, 0), wide_argument(call, 2)
    return (signed(left, 64), signed(right, 64)) if is_signed else (left, right)


def _division(*, is_signed: bool, wants_remainder: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        set64(call, _divide(*_operands(call, is_signed))[wants_remainder])

    return behaviour


def _division_and_remainder(*, is_signed: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        quotient, remainder = _divide(*_operands(call, is_signed))
        set64(call, quotient)
        call.registers["ECX"] = remainder & 0xFFFFFFFF
        call.registers["EBX"] = (remainder >> 32) & 0xFFFFFFFF

    return behaviour


def _left(value: int, count: int) -> int:
    return value << count if count < 64 else 0


def _right(value: int, count: int) -> int:
    return value >> count


def _arithmetic_right(value: int, count: int) -> int:
    return signed(value, 64) >> count


def _register_shift(shift: Callable[[int, int], int]) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        eax, ecx, edx = call.call_registers
        set64(call, shift(eax | edx << 32, ecx & 0xFF))

    return behaviour


def _probe_stack(call: ApiCall) -> None:
    """_chkstk and _alloca_probe return with ESP lowered by EAX."""
    call.stack_adjust = call.call_registers[0]
    call.eax = call.call_registers[0]


def _probe_aligned_stack(alignment: int) -> Callable[[ApiCall], None]:
    """_alloca_probe_8 and _alloca_probe_16 lower ESP further, to an aligned address."""

    def behaviour(call: ApiCall) -> None:
        size = call.call_registers[0]
        caller = call.host.registers()["ESP"] + 4
        call.stack_adjust = size + (caller - size) % alignment
        call.eax = call.stack_adjust

    return behaviour


# -- RtlLargeInteger and its like --


def _combine(operation: Callable[[int, int], int]) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        set64(call, operation(wide_argument(call, 0), wide_argument(call, 2)))

    return behaviour


def _stack_shift(shift: Callable[[int, int], int]) -> Callable[[ApiCall], None]:
    """(LARGE_INTEGER, CCHAR ShiftCount): the count is taken modulo 64."""

    def behaviour(call: ApiCall) -> None:
        set64(call, shift(wide_argument(call, 0), call.stack_words[2] & 0x3F))

    return behaviour


def _multiply_words(*, is_signed: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        left, right = call.stack_words[:2]
        set64(call, signed(left, 32) * signed(right, 32) if is_signed else left * right)

    return behaviour


def _multiply_by_word(call: ApiCall) -> None:
    set64(call, wide_argument(call, 0) * signed(call.stack_words[2], 32))


def _negate(call: ApiCall) -> None:
    set64(call, -wide_argument(call, 0))


def _widen(bits: Callable[[int], int]) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        set64(call, bits(call.stack_words[0]))

    return behaviour


def _divide_large(call: ApiCall) -> None:
    quotient, remainder = _divide(wide_argument(call, 0), wide_argument(call, 2))
    if call.stack_words[4]:
        call.put_u64(call.stack_words[4], remainder)
    set64(call, quotient)


def _divide_by_word(call: ApiCall) -> None:
    quotient, remainder = _divide(wide_argument(call, 0), call.stack_words[2])
    call.put_optional(call.stack_words[3], remainder)
    set64(call, quotient)


def _divide_to_word(call: ApiCall) -> None:
    """RtlEnlargedUnsignedDivide is the processor's division: a quotient of 32 bits."""
    quotient, remainder = _divide(wide_argument(call, 0), call.stack_words[2])
    call.put_optional(call.stack_words[3], remainder)
    call.eax = quotient & 0xFFFFFFFF


def _magic_divide(call: ApiCall) -> None:
    """RtlExtendedMagicDivide(Dividend, MagicDivisor, ShiftCount): high half of the product, shifted."""
    dividend = signed(wide_argument(call, 0), 64)
    quotient = abs(dividend) * wide_argument(call, 2) >> 64 >> (call.stack_words[4] & 0x3F)
    set64(call, -quotient if dividend < 0 else quotient)


def _swap_bytes(size: int) -> Callable[[ApiCall], None]:
    """Words come in ECX, 64-bit numbers on the stack."""

    def behaviour(call: ApiCall) -> None:
        value = wide_argument(call, 0) if size == 8 else call.arguments[0] & ((1 << 8 * size) - 1)
        swapped = int.from_bytes(value.to_bytes(size, "little"), "big")
        if size == 8:
            set64(call, swapped)
        else:
            call.eax = swapped

    return behaviour


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "_allmul": _multiply,
    "_alldiv": _division(is_signed=True, wants_remainder=False),
    "_allrem": _division(is_signed=True, wants_remainder=True),
    "_aulldiv": _division(is_signed=False, wants_remainder=False),
    "_aullrem": _division(is_signed=False, wants_remainder=True),
    "_alldvrm": _division_and_remainder(is_signed=True),
    "_aulldvrm": _division_and_remainder(is_signed=False),
    "_allshl": _register_shift(_left),
    "_allshr": _register_shift(_arithmetic_right),
    "_aullshr": _register_shift(_right),
    "_chkstk": _probe_stack,
    "__chkstk": _probe_stack,
    "_alloca_probe": _probe_stack,
    "_alloca_probe_8": _probe_aligned_stack(8),
    "_alloca_probe_16": _probe_aligned_stack(16),
    "RtlLargeIntegerAdd": _combine(lambda a, b: a + b),
    "RtlLargeIntegerSubtract": _combine(lambda a, b: a - b),
    "RtlLargeIntegerNegate": _negate,
    "RtlLargeIntegerShiftLeft": _stack_shift(_left),
    "RtlLargeIntegerShiftRight": _stack_shift(_right),
    "RtlLargeIntegerArithmeticShift": _stack_shift(_arithmetic_right),
    "RtlLargeIntegerDivide": _divide_large,
    "RtlExtendedLargeIntegerDivide": _divide_by_word,
    "RtlEnlargedUnsignedDivide": _divide_to_word,
    "RtlExtendedMagicDivide": _magic_divide,
    "RtlEnlargedIntegerMultiply": _multiply_words(is_signed=True),
    "RtlEnlargedUnsignedMultiply": _multiply_words(is_signed=False),
    "RtlExtendedIntegerMultiply": _multiply_by_word,
    "RtlConvertLongToLargeInteger": _widen(lambda value: signed(value, 32)),
    "RtlConvertUlongToLargeInteger": _widen(lambda value: value),
    "RtlUshortByteSwap": _swap_bytes(2),
    "RtlUlongByteSwap": _swap_bytes(4),
    "RtlUlonglongByteSwap": _swap_bytes(8),
}
