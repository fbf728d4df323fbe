"""The time of the emulated system: one tick more with every call of the kernel, so that waiting comes to an end.

Units as documented: 100 ns since 1601 for system time, 100 ns since the start for interrupt time.
"""

from __future__ import annotations

import struct

TIME_INCREMENT = 156_250
"""100 ns units between clock interrupts: 64 a second."""
START = 132_223_104_000_000_000
"""System time when the system started: 2020-01-01 00:00 UTC."""
UPTIME_TICKS = 64 * 3600
"""The system is an hour old."""


def ticks_at(ordinal: int) -> int:
    """Return the clock interrupts since the start, as the kernel call with this ordinal of a run sees them."""
    return UPTIME_TICKS + ordinal


def system_time(ticks: int) -> int:
    """Return the system time at a number of ticks."""
    return START + ticks * TIME_INCREMENT


def interrupt_time(ticks: int) -> int:
    """Return the interrupt time at a number of ticks."""
    return ticks * TIME_INCREMENT


def ksystem_time(value: int) -> bytes:
    """Return a KSYSTEM_TIME: the low half, and the high half twice for those who read while it changes (wdm.h)."""
    return struct.pack("<III", value & 0xFFFFFFFF, value >> 32, value >> 32)
