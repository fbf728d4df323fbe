"""C runtime exports of the kernel: memory blocks, 64-bit arithmetic, stack probes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import MAX_COPY, ApiCall

_MASK64 = 0xFFFFFFFFFFFFFFFF


def _copy(call: ApiCall) -> None:
    destination, source, size = call.stack_words[:3]
    size = min(size, MAX_COPY)
    if size:
        call.write(destination, call.read(source, size))
    call.eax = destination


def _fill(call: ApiCall) -> None:
    destination, value, size = call.stack_words[:3]
    size = min(size, MAX_COPY)
    if size:
        call.write(destination, bytes([value & 0xFF]) * size)
    call.eax = destination


def _compare(call: ApiCall) -> None:
    left, right, size = call.stack_words[:3]
    size = min(size, MAX_COPY)
    a, b = call.read(left, size), call.read(right, size)
    call.eax = (a > b) - (a < b)


def _compare_memory(call: ApiCall) -> None:
    """RtlCompareMemory returns how many bytes are equal before the first difference."""
    left, right, size = call.stack_words[:3]
    size = min(size, MAX_COPY)
    a, b = call.read(left, size), call.read(right, size)
    call.eax = next((index for index in range(size) if a[index] != b[index]), size)


def _operands(call: ApiCall) -> tuple[int, int]:
    low_a, high_a, low_b, high_b = call.stack_words[:4]
    return low_a | high_a << 32, low_b | high_b << 32


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def _set64(call: ApiCall, value: int) -> None:
    call.eax = value & 0xFFFFFFFF
    call.edx = (value >> 32) & 0xFFFFFFFF


def _multiply(call: ApiCall) -> None:
    left, right = _operands(call)
    _set64(call, left * right)


def _divide(is_signed: bool, wants_remainder: bool) -> Callable[[ApiCall], None]:
    def divide(call: ApiCall) -> None:
        left, right = _operands(call)
        if is_signed:
            left, right = _signed(left), _signed(right)
        if right == 0:
            _set64(call, 0)
            return
        quotient = abs(left) // abs(right)
        if (left < 0) != (right < 0):
            quotient = -quotient
        _set64(call, left - quotient * right if wants_remainder else quotient)

    return divide


def _shift(kind: str) -> Callable[[ApiCall], None]:
    """Return a behaviour that shifts EDX:EAX by CL, as the compiler's helpers do."""

    def shift(call: ApiCall) -> None:
        eax, ecx, edx = call.call_registers
        value, count = eax | edx << 32, ecx & 0xFF
        if kind == "left":
            value = value << count if count < 64 else 0
        elif kind == "right":
            value = value >> count if count < 64 else 0
        else:
            value = _signed(value) >> min(count, 63)
        _set64(call, value & _MASK64)

    return shift


def _probe_stack(call: ApiCall) -> None:
    """_chkstk and _alloca_probe return with ESP lowered by EAX."""
    call.stack_adjust = call.call_registers[0]
    call.eax = call.call_registers[0]


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "memcpy": _copy,
    "memmove": _copy,
    "RtlCopyMemory": _copy,
    "RtlMoveMemory": _copy,
    "memset": _fill,
    "memcmp": _compare,
    "RtlCompareMemory": _compare_memory,
    "_allmul": _multiply,
    "_alldiv": _divide(is_signed=True, wants_remainder=False),
    "_allrem": _divide(is_signed=True, wants_remainder=True),
    "_aulldiv": _divide(is_signed=False, wants_remainder=False),
    "_aullrem": _divide(is_signed=False, wants_remainder=True),
    "_allshl": _shift("left"),
    "_allshr": _shift("arithmetic"),
    "_aullshr": _shift("right"),
    "_chkstk": _probe_stack,
    "__chkstk": _probe_stack,
    "_alloca_probe": _probe_stack,
}
