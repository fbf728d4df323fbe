"""64-bit arithmetic: results as Python's integers give them, in the registers that the compiler's code reads."""

from __future__ import annotations

from typing import Any

import pytest

from stackemu.emu.kernel.call import ApiCall, Raised
from stackemu.emu.kernel.exports import find_api
from stackemu.emu.kernel.families import perform

NUMBERS = [0, 1, 7, -7, 2**32, -(2**32) - 3, 2**63 - 1, -(2**63), 0x123456789ABCDEF]
MASK = 2**64 - 1


def _words(*values: int) -> list[int]:
    return [word for value in values for word in (value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF)]


def _helper(kernel: Any, name: str, stack: list[int], registers: tuple[int, int, int] = (0, 0, 0)) -> ApiCall:
    """Carry out a call of a compiler helper with EAX, ECX and EDX; returns it."""
    words = (*stack, *[0] * (16 - len(stack)))
    api = find_api("ntoskrnl.exe", name)
    call = ApiCall(kernel.host, kernel.state, kernel.SUCCESS, 0, name, api, words, words, registers, 0)
    perform(call)
    return call


def _truncated(left: int, right: int) -> tuple[int, int]:
    quotient = abs(left) // abs(right) * (-1 if (left < 0) != (right < 0) else 1)
    return quotient, left - quotient * right


@pytest.mark.parametrize("left", NUMBERS)
@pytest.mark.parametrize("right", [1, -1, 10, -(2**33), 2**63 - 1])
def test_products_quotients_and_remainders(kernel: Any, left: int, right: int) -> None:
    stack = _words(left, right)
    quotient, remainder = _truncated(left, right)
    assert kernel.call64("_allmul", *stack) == left * right & MASK
    assert kernel.call64("_alldiv", *stack) == quotient & MASK
    assert kernel.call64("_allrem", *stack) == remainder & MASK
    assert kernel.call64("_aulldiv", *stack) == (left & MASK) // (right & MASK)
    assert kernel.call64("_aullrem", *stack) == (left & MASK) % (right & MASK)


def test_division_with_remainder_leaves_it_in_ebx_and_ecx(kernel: Any) -> None:
    for name, left, right in (("_alldvrm", -(2**40) - 5, 2**35), ("_aulldvrm", 2**63 + 5, 2**35)):
        call = _helper(kernel, name, _words(left, right))
        quotient, remainder = _truncated(left, right)
        assert call.eax | (call.edx or 0) << 32 == quotient & MASK
        assert call.registers["ECX"] | call.registers["EBX"] << 32 == remainder & MASK


def test_division_by_zero_is_an_exception(kernel: Any) -> None:
    with pytest.raises(Raised) as raised:
        kernel.call("_aulldiv", *_words(1, 0))
    assert raised.value.status == 0xC0000094


@pytest.mark.parametrize("count", [0, 1, 31, 32, 63, 64, 200])
def test_shifts_take_edx_eax_and_cl(kernel: Any, count: int) -> None:
    value = 0x89ABCDEF01234567
    registers = (value & 0xFFFFFFFF, 0xFFFFFF00 | count, value >> 32)
    results = {
        "_allshl": value << count & MASK if count < 64 else 0,
        "_aullshr": value >> count,
        "_allshr": (value - 2**64) >> count & MASK,
    }
    for name, expected in results.items():
        call = _helper(kernel, name, [], registers)
        assert call.eax | (call.edx or 0) << 32 == expected


def test_helpers_pop_what_the_compiler_leaves_to_them() -> None:
    pops = {"_allmul": 16, "_alldiv": 16, "_alldvrm": 16, "_aulldvrm": 16, "_allshl": 0, "_aullshr": 0}
    for name, size in {**pops, "RtlUlonglongByteSwap": 8, "RtlUlongByteSwap": 0}.items():
        api = find_api("ntoskrnl.exe", name)
        assert api is not None
        assert api.pops == size


def test_aligned_probes_reserve_up_to_an_aligned_address(kernel: Any) -> None:
    kernel.host.registers = lambda: {"ESP": 0x8F001008}
    call = _helper(kernel, "_alloca_probe_16", [], (0x21, 0, 0))
    assert (0x8F00100C - call.stack_adjust) % 16 == 0
    assert 0x21 <= call.stack_adjust < 0x31


def test_large_integer_functions(kernel: Any) -> None:
    rest = kernel.text(bytes(8))
    assert kernel.call64("RtlLargeIntegerAdd", *_words(2**32 - 1, 1)) == 2**32
    assert kernel.call64("RtlLargeIntegerSubtract", *_words(0, 1)) == MASK
    assert kernel.call64("RtlLargeIntegerDivide", *_words(10**15, 10**10 + 1), rest) == 10**15 // (10**10 + 1)
    assert int.from_bytes(kernel.host.read(rest, 8), "little") == 10**15 % (10**10 + 1)
    assert kernel.call64("RtlExtendedLargeIntegerDivide", *_words(10**15), 1000, rest) == 10**12
    assert kernel.call64("RtlEnlargedIntegerMultiply", -3, 2**30) == -3 * 2**30 & MASK
    assert kernel.call64("RtlEnlargedUnsignedMultiply", 0xFFFFFFFF, 2) == 0x1FFFFFFFE
    assert kernel.call64("RtlExtendedIntegerMultiply", *_words(2**33), -2) == -(2**34) & MASK


def test_the_ddks_magic_divisor_divides_by_10000(kernel: Any) -> None:
    magic, shift = 0xD1B71758E219652C, 13
    for value in (123456789, -(10**12)):
        expected = _truncated(value, 10_000)[0] & MASK
        assert kernel.call64("RtlExtendedMagicDivide", *_words(value, magic), shift) == expected


def test_bytes_are_swapped(kernel: Any) -> None:
    assert kernel.call("RtlUlongByteSwap", 0x12345678) == 0x78563412
    assert kernel.call("RtlUshortByteSwap", 0xABCD1234) == 0x3412
    assert kernel.call64("RtlUlonglongByteSwap", *_words(0x0102030405060708)) == 0x0807060504030201
