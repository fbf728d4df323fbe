"""Times and dates: 100 ns since 1601, seconds since 1970 and 1980, and their fields (RtlTimeToTimeFields…).

Local time is UTC: the system's time zone has no bias.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from datetime import date

from stackemu.emu.kernel.call import ApiCall

_SECOND = 10_000_000
_MILLISECOND = 10_000
_SECONDS_A_DAY = 86_400
_DAYS_IN_400_YEARS = 146_097
_EPOCH = 1601
_LAST_YEAR = 30_827
_SINCE_1601 = {year: (date(year, 1, 1) - date(_EPOCH, 1, 1)).days * _SECONDS_A_DAY for year in (1970, 1980)}
_TIME_ZONE_SIZE = 172
"""Bytes of RTL_TIME_ZONE_INFORMATION (ntddk.h of old, as TIME_ZONE_INFORMATION of timezoneapi.h)."""


def to_fields(time: int) -> tuple[int, int, int, int, int, int, int, int]:
    """Return year, month, day, hour, minute, second, milliseconds and weekday (Sunday is 0) of a system time."""
    days, rest = divmod(time, _SECONDS_A_DAY * _SECOND)
    cycles, days_in_cycle = divmod(days, _DAYS_IN_400_YEARS)
    # 1601 begins a cycle of 400 years: the calendar repeats, weekdays too.
    day = date.fromordinal(date(_EPOCH, 1, 1).toordinal() + days_in_cycle)
    return (day.year + 400 * cycles, day.month, day.day, *_clock(rest), day.isoweekday() % 7)


def _clock(rest: int) -> tuple[int, int, int, int]:
    seconds, rest = divmod(rest, _SECOND)
    return seconds // 3600, seconds // 60 % 60, seconds % 60, rest // _MILLISECOND


def _time_to_fields(call: ApiCall) -> None:
    time, fields = call.arguments[:2]
    call.write(fields, struct.pack("<8H", *(field & 0xFFFF for field in to_fields(call.u64(time) & (1 << 63) - 1))))


def _elapsed_to_fields(call: ApiCall) -> None:
    """Years and months stay 0: what has passed is counted in days."""
    time, fields = call.arguments[:2]
    days, rest = divmod(call.u64(time), _SECONDS_A_DAY * _SECOND)
    call.write(fields, struct.pack("<8H", 0, 0, days & 0xFFFF, *_clock(rest), 0))


def _fields_to_time(call: ApiCall) -> None:
    """FALSE for a date or a time of day that there is none of; the weekday is not looked at."""
    fields, time = call.arguments[:2]
    year, month, day, hour, minute, second, milliseconds, _ = struct.unpack("<8H", call.read(fields, 16))
    if not _EPOCH <= year <= _LAST_YEAR or hour > 23 or minute > 59 or second > 59 or milliseconds > 999:
        return
    cycles, year_in_cycle = divmod(year - _EPOCH, 400)
    try:
        days = (date(_EPOCH + year_in_cycle, month, day) - date(_EPOCH, 1, 1)).days
    except ValueError:
        return
    seconds = ((days + cycles * _DAYS_IN_400_YEARS) * 24 + hour) * 3600 + minute * 60 + second
    call.put_u64(time, seconds * _SECOND + milliseconds * _MILLISECOND)
    call.eax = 1


def _time_to_seconds(year: int) -> Callable[[ApiCall], None]:
    """FALSE for a time before the year, or more than 32 bits of seconds behind it."""

    def behaviour(call: ApiCall) -> None:
        time, out = call.arguments[:2]
        seconds = call.u64(time) // _SECOND - _SINCE_1601[year]
        if 0 <= seconds <= 0xFFFFFFFF:
            call.put_u32(out, seconds)
            call.eax = 1

    return behaviour


def _seconds_to_time(year: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        seconds, time = call.arguments[:2]
        call.put_u64(time, (seconds + _SINCE_1601[year]) * _SECOND)

    return behaviour


def _same_time(call: ApiCall) -> None:
    source, destination = call.arguments[:2]
    call.put_u64(destination, call.u64(source))


def _time_zone(call: ApiCall) -> None:
    call.write(call.arguments[0], bytes(_TIME_ZONE_SIZE))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlTimeToTimeFields": _time_to_fields,
    "RtlTimeToElapsedTimeFields": _elapsed_to_fields,
    "RtlTimeFieldsToTime": _fields_to_time,
    "RtlTimeToSecondsSince1970": _time_to_seconds(1970),
    "RtlTimeToSecondsSince1980": _time_to_seconds(1980),
    "RtlSecondsSince1970ToTime": _seconds_to_time(1970),
    "RtlSecondsSince1980ToTime": _seconds_to_time(1980),
    "RtlSystemTimeToLocalTime": _same_time,
    "RtlLocalTimeToSystemTime": _same_time,
    "RtlQueryTimeZoneInformation": _time_zone,
}
