"""Time: the system's clock, its counters and its resolution.

Every call sees one tick more than the last (see `emu.kernel.system_time`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.system_time import TIME_INCREMENT, interrupt_time, system_time, ticks_at

PERFORMANCE_FREQUENCY = 10_000_000
"""Counts a second of the performance counter."""
_MINIMUM_RESOLUTION = 5_000


def _ticks(call: ApiCall) -> int:
    return ticks_at(call.ordinal)


def _set64(call: ApiCall, value: int) -> None:
    call.eax, call.edx = value & 0xFFFFFFFF, value >> 32


def _system_time(call: ApiCall) -> None:
    call.put_u64(call.arguments[0], system_time(_ticks(call)))


def _tick_count(call: ApiCall) -> None:
    call.put_u64(call.arguments[0], _ticks(call))


def _interrupt_time(call: ApiCall) -> None:
    _set64(call, interrupt_time(_ticks(call)))


def _interrupt_time_precise(call: ApiCall) -> None:
    call.put_u64(call.arguments[0], interrupt_time(_ticks(call)))
    _interrupt_time(call)


def _performance_counter(call: ApiCall) -> None:
    """The frequency's address is optional."""
    if call.arguments[0]:
        call.put_u64(call.arguments[0], PERFORMANCE_FREQUENCY)
    _set64(call, interrupt_time(_ticks(call)))


def _time_increment(call: ApiCall) -> None:
    call.eax = TIME_INCREMENT


def _copy_time(call: ApiCall) -> None:
    """The system's time zone is UTC: local time is system time."""
    source, destination = call.arguments[:2]
    call.write(destination, call.read(source, 8))


def _set_resolution(call: ApiCall) -> None:
    """ExSetTimerResolution returns the resolution that is in effect after the call."""
    desired, sets = call.arguments[:2]
    call.eax = min(max(desired, _MINIMUM_RESOLUTION), TIME_INCREMENT) if sets & 0xFF else TIME_INCREMENT


def _query_resolution(call: ApiCall) -> None:
    for address, value in zip(call.arguments, (TIME_INCREMENT, _MINIMUM_RESOLUTION, TIME_INCREMENT), strict=False):
        call.put_u32(address, value)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeQuerySystemTime": _system_time,
    "KeQuerySystemTimePrecise": _system_time,
    "KeQueryTickCount": _tick_count,
    "KeQueryInterruptTime": _interrupt_time,
    "KeQueryUnbiasedInterruptTime": _interrupt_time,
    "KeQueryInterruptTimePrecise": _interrupt_time_precise,
    "KeQueryUnbiasedInterruptTimePrecise": _interrupt_time_precise,
    "KeQueryPerformanceCounter": _performance_counter,
    "KeQueryTimeIncrement": _time_increment,
    "ExSystemTimeToLocalTime": _copy_time,
    "ExLocalTimeToSystemTime": _copy_time,
    "ExSetTimerResolution": _set_resolution,
    "ExQueryTimerResolution": _query_resolution,
}
