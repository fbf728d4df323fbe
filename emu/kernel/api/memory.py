"""Blocks of memory: copied, filled, compared, searched, summed (mem… of the C runtime, Rtl…Memory and CRC-32)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import MAX_COPY, ApiCall

EINVAL, ERANGE = 22, 34
"""What the C runtime's secure functions answer (errno.h)."""


def _copy(call: ApiCall) -> None:
    destination, source, size = call.stack_words[:3]
    size = min(size, MAX_COPY)
    if size:
        call.write(destination, call.read(source, size))
    call.eax = destination


def _copy_secure(call: ApiCall) -> None:
    """memcpy_s(destination, its size, source, size): what does not fit clears the destination instead."""
    destination, room, source, size = call.stack_words[:4]
    if not size:
        return
    if destination and source and size <= room:
        call.write(destination, call.read(source, min(size, MAX_COPY)))
        return
    if destination:
        call.write(destination, bytes(min(room, MAX_COPY)))
    call.eax = ERANGE if destination and source else EINVAL


def _fill(call: ApiCall, destination: int, pattern: bytes, size: int) -> None:
    size = min(size, MAX_COPY) // len(pattern) * len(pattern)
    if size:
        call.write(destination, pattern * (size // len(pattern)))


def _memset(call: ApiCall) -> None:
    destination, value, size = call.stack_words[:3]
    _fill(call, destination, bytes((value & 0xFF,)), size)
    call.eax = destination


def _fill_memory(call: ApiCall) -> None:
    """RtlFillMemory takes the size before the byte."""
    destination, size, value = call.stack_words[:3]
    _fill(call, destination, bytes((value & 0xFF,)), size)


def _zero(call: ApiCall) -> None:
    destination, size = call.stack_words[:2]
    _fill(call, destination, b"\0", size)


def _fill_words(width: int) -> Callable[[ApiCall], None]:
    """(Destination, Length in bytes, Pattern of `width` bytes)."""

    def behaviour(call: ApiCall) -> None:
        destination, size, low, high = call.stack_words[:4]
        _fill(call, destination, (low | high << 32).to_bytes(8, "little")[:width], size)

    return behaviour


def _compare(call: ApiCall) -> None:
    left, right, size = call.stack_words[:3]
    size = min(size, MAX_COPY)
    a, b = call.read(left, size), call.read(right, size)
    call.eax = (a > b) - (a < b)


def _equal_bytes(call: ApiCall) -> None:
    """RtlCompareMemory returns how many bytes are equal before the first difference."""
    left, right, size = call.stack_words[:3]
    call.eax = _common(call.read(left, min(size, MAX_COPY)), call.read(right, min(size, MAX_COPY)))


def _equal_words(call: ApiCall) -> None:
    """RtlCompareMemoryUlong(Source, Length, Pattern) returns how many bytes are the pattern repeated."""
    source, size, pattern = call.stack_words[:3]
    size = min(size, MAX_COPY) & ~3
    call.eax = _common(call.read(source, size), pattern.to_bytes(4, "little") * (size // 4)) & ~3


def _common(a: bytes, b: bytes) -> int:
    return next((index for index, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))


def _find_byte(call: ApiCall) -> None:
    source, value, size = call.stack_words[:3]
    at = call.read(source, min(size, MAX_COPY)).find(value & 0xFF)
    call.eax = source + at if at >= 0 else 0


def _crc32(call: ApiCall) -> None:
    """RtlComputeCrc32(PartialCrc, Buffer, Length): the checksum of Ethernet and ZIP, to be carried on."""
    partial, buffer, size = call.stack_words[:3]
    call.eax = zlib.crc32(call.read(buffer, min(size, MAX_COPY)), partial)


def _nothing(_call: ApiCall) -> None:
    pass


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "memcpy": _copy,
    "memmove": _copy,
    "RtlCopyMemory": _copy,
    "RtlMoveMemory": _copy,
    "memcpy_s": _copy_secure,
    "memmove_s": _copy_secure,
    "memset": _memset,
    "RtlFillMemory": _fill_memory,
    "RtlZeroMemory": _zero,
    "RtlFillMemoryUlong": _fill_words(4),
    "RtlFillMemoryUlonglong": _fill_words(8),
    "memcmp": _compare,
    "RtlCompareMemory": _equal_bytes,
    "RtlCompareMemoryUlong": _equal_words,
    "memchr": _find_byte,
    "RtlComputeCrc32": _crc32,
    "RtlPrefetchMemoryNonTemporal": _nothing,
}
