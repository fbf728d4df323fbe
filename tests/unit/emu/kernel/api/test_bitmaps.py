"""Bitmaps: what the pages of the RtlInitializeBitMap family promise; bit 0 is the lowest of the first byte."""

from __future__ import annotations

import struct
from typing import Any

import pytest

NOT_FOUND = 0xFFFFFFFF


def _bitmap(kernel: Any, bits: str) -> int:
    """Return a bitmap whose bit 0 is the first character."""
    data = int(bits[::-1], 2).to_bytes((len(bits) + 31) // 32 * 4, "little")
    header = kernel.text(bytes(8))
    kernel.call("RtlInitializeBitMap", header, kernel.text(data), len(bits))
    return int(header)


def _bits(kernel: Any, header: int) -> str:
    size, buffer = struct.unpack("<II", kernel.host.read(header, 8))
    return f"{int.from_bytes(kernel.host.read(buffer, (size + 7) // 8), 'little'):0{size}b}"[::-1][:size]


def test_bits_are_set_and_cleared_in_place(kernel: Any) -> None:
    bitmap = _bitmap(kernel, "0" * 20)
    kernel.call("RtlSetBits", bitmap, 5, 10)
    kernel.call("RtlClearBits", bitmap, 7, 2)
    kernel.call("RtlSetBit", bitmap, 19)
    assert _bits(kernel, bitmap) == "00000110011111100001"
    assert kernel.call("RtlNumberOfSetBits", bitmap) == 9
    assert kernel.call("RtlNumberOfClearBits", bitmap) == 11
    assert kernel.call("RtlTestBit", bitmap, 5) == 1


def test_bits_behind_the_end_are_left_alone_and_noted(kernel: Any) -> None:
    bitmap = _bitmap(kernel, "0" * 10)
    kernel.call("RtlSetBits", bitmap, 8, 8)
    assert list(kernel.state.records.notes) == ["RtlSetBits: bits 8 to 15 of a bitmap of 10"]
    assert kernel.call("RtlNumberOfSetBits", bitmap) == 2


@pytest.mark.parametrize(
    ("start", "count", "are_set"), [(4, 4, 1), (3, 2, 0), (4, 0, 0), (12, 8, 0), (6, 0xFFFFFFFF, 0)]
)
def test_a_range_that_is_empty_or_leaves_the_bitmap_is_neither(
    kernel: Any, start: int, count: int, are_set: int
) -> None:
    bitmap = _bitmap(kernel, "0000111100001111")
    assert kernel.call("RtlAreBitsSet", bitmap, start, count) == are_set
    assert kernel.call("RtlAreBitsClear", bitmap, start, count) == 0


def test_runs_are_found_from_the_hint_on_and_then_from_the_start(kernel: Any) -> None:
    bitmap = _bitmap(kernel, "0011000110000011")
    assert kernel.call("RtlFindClearBits", bitmap, 2, 0) == 0
    assert kernel.call("RtlFindClearBits", bitmap, 2, 1) == 4
    assert kernel.call("RtlFindClearBits", bitmap, 3, 12) == 4
    assert kernel.call("RtlFindClearBits", bitmap, 6, 0) == NOT_FOUND
    assert kernel.call("RtlFindSetBits", bitmap, 2, 4) == 7
    assert kernel.call("RtlFindClearBitsAndSet", bitmap, 5, 0) == 9
    assert _bits(kernel, bitmap) == "0011000111111111"
    assert kernel.call("RtlFindClearBitsAndSet", bitmap, 5, 0) == NOT_FOUND


def test_clear_runs_are_told_by_start_and_length(kernel: Any) -> None:
    bitmap, out = _bitmap(kernel, "0011000110000011"), kernel.text(bytes(64))
    assert kernel.call("RtlFindClearRuns", bitmap, out, 2, 1) == 2
    assert struct.unpack("<4I", kernel.host.read(out, 16)) == (9, 5, 4, 3)
    assert kernel.call("RtlFindLongestRunClear", bitmap, out) == 5
    assert kernel.call("RtlFindFirstRunClear", bitmap, out) == 2
    assert kernel.call("RtlFindNextForwardRunClear", bitmap, 5, out) == 2
    assert struct.unpack("<I", kernel.host.read(out, 4)) == (5,)
    assert kernel.call("RtlFindLastBackwardRunClear", bitmap, 8, out) == 3
    assert struct.unpack("<I", kernel.host.read(out, 4)) == (4,)


def test_significant_bits_of_64(kernel: Any) -> None:
    assert kernel.call("RtlFindMostSignificantBit", 0x10, 0x100) == 40
    assert kernel.call("RtlFindLeastSignificantBit", 0x10, 0x100) == 4
    assert kernel.call("RtlFindLeastSignificantBit", 0, 0) == NOT_FOUND
