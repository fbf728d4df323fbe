"""Ways out of a driver that never come back: bugchecks and exceptions raised on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from stackemu.emu.kernel.call import ApiCall, Bugcheck, Raised

STATUS_ACCESS_VIOLATION = 0xC0000005
STATUS_DATATYPE_MISALIGNMENT = 0x80000002


def _bugcheck(call: ApiCall) -> NoReturn:
    raise Bugcheck(call.arguments[0])


def _raise_status(call: ApiCall) -> NoReturn:
    raise Raised(call.arguments[0])


def _raise_constant(status: int) -> Callable[[ApiCall], NoReturn]:
    def behaviour(_call: ApiCall) -> NoReturn:
        raise Raised(status)

    return behaviour


def _raise_record(call: ApiCall) -> NoReturn:
    """RtlRaiseException: the code is the first word of the EXCEPTION_RECORD."""
    raise Raised(call.u32(call.arguments[0]))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeBugCheck": _bugcheck,
    "KeBugCheckEx": _bugcheck,
    "ExRaiseStatus": _raise_status,
    "RtlRaiseStatus": _raise_status,
    "RtlRaiseException": _raise_record,
    "ExRaiseException": _raise_record,
    "ExRaiseAccessViolation": _raise_constant(STATUS_ACCESS_VIOLATION),
    "ExRaiseDatatypeMisalignment": _raise_constant(STATUS_DATATYPE_MISALIGNMENT),
}
