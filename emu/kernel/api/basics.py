"""Kernel exports that nearly every driver depends on: counted strings."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall

_MAX_STRING = 0xFFFC


def _terminated(call: ApiCall, address: int, unit: int) -> int:
    """Return the size in bytes of the string at `address`, its terminator left out."""
    zero = bytes(unit)
    for size in range(0, _MAX_STRING, unit):
        if call.read(address + size, unit) == zero:
            return size
    return _MAX_STRING


def _init_string(unit: int) -> Callable[[ApiCall], None]:
    """RtlInitUnicodeString and RtlInitAnsiString: {Length, MaximumLength, Buffer} over a terminated string."""

    def init(call: ApiCall) -> None:
        destination, source = call.stack_words[:2]
        size = _terminated(call, source, unit) if source else 0
        maximum = min(size + unit, 0xFFFF) if source else 0
        call.write(destination, struct.pack("<HHI", size, maximum, source))

    return init


def _copy_unicode_string(call: ApiCall) -> None:
    destination, source = call.stack_words[:2]
    _, maximum, buffer = struct.unpack("<HHI", call.read(destination, 8))
    length, text = 0, b""
    if source:
        source_length, _, source_buffer = struct.unpack("<HHI", call.read(source, 8))
        length = min(source_length, maximum)
        text = call.read(source_buffer, length) if length else b""
    if text:
        call.write(buffer, text)
    call.write(destination, struct.pack("<H", length))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlInitUnicodeString": _init_string(2),
    "RtlInitAnsiString": _init_string(1),
    "RtlInitString": _init_string(1),
    "RtlCopyUnicodeString": _copy_unicode_string,
}
