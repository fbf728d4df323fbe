"""KUSER_SHARED_DATA: the page in which the kernel tells all modes the time and what system this is (ntddk.h)."""

from __future__ import annotations

import struct

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.version import MAJOR, MINOR, PRODUCT_WORKSTATION, SUITE_SINGLE_USER
from stackemu.emu.kernel.system_time import (
    TIME_INCREMENT,
    UPTIME_TICKS,
    interrupt_time,
    ksystem_time,
    system_time,
)
from stackemu.emu.processor import USER_SHARED_DATA

_INTERRUPT_TIME, _SYSTEM_TIME, _TICK_COUNT = 0x8, 0x14, 0x320
_TICK_MULTIPLIER, _SYSTEM_ROOT = 0x4, 0x30
_PHYSICAL_PAGES = 512 << 20 >> 12
_NUMBERS = (
    (_TICK_MULTIPLIER, (TIME_INCREMENT << 24) // 10_000),  # milliseconds of a tick, shifted left by 24
    (0x264, PRODUCT_WORKSTATION),  # NtProductType
    (0x268, 1),  # ProductTypeIsValid
    (0x26C, MAJOR),
    (0x270, MINOR),
    (0x2D0, SUITE_SINGLE_USER),
    (0x2E8, _PHYSICAL_PAGES),
    (0x3C0, 1),  # ActiveProcessorCount
)
"""Words by their offsets; there is no debugger, no safe mode, and the time zone is UTC: those are 0."""


def shared_data() -> bytes:
    """Return the page as it is when the system has started."""
    page = bytearray(PAGE)
    for offset, value in _NUMBERS:
        struct.pack_into("<I", page, offset, value)
    root = "C:\\Windows".encode("utf-16-le")
    page[_SYSTEM_ROOT : _SYSTEM_ROOT + len(root)] = root
    for address, data in shared_times(UPTIME_TICKS):
        page[address - USER_SHARED_DATA : address - USER_SHARED_DATA + len(data)] = data
    return bytes(page)


def shared_times(ticks: int) -> tuple[tuple[int, bytes], ...]:
    """Return what the page says of the time, as pairs of address and bytes."""
    return (
        (USER_SHARED_DATA + _INTERRUPT_TIME, ksystem_time(interrupt_time(ticks)) + ksystem_time(system_time(ticks))),
        (USER_SHARED_DATA + _TICK_COUNT, ksystem_time(ticks)),
    )
