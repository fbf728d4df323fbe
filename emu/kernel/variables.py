"""Variables that the kernel exports: where each lies, how large it is, what it holds when the system has started.

An import of one is the address of the variable itself: drivers read through it (`*KeTickCount`), they do not call it.
What is exported as data is what the import libraries of mingw-w64 say; types are those of wdm.h, ntddk.h and ntifs.h.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from stackemu.emu.kernel.api.version import BUILD
from stackemu.emu.kernel.call import USER_END
from stackemu.emu.kernel.shared_data import shared_data, shared_times
from stackemu.emu.kernel.system_time import UPTIME_TICKS, ksystem_time
from stackemu.emu.kernel.variable_contents import (
    OBJECT_TYPES,
    PUBLIC_DACL,
    SYSTEM_DACL,
    Room,
    access_list,
    hal_dispatch,
    hal_private_dispatch,
    legal_characters,
    object_type,
    security_exports,
    service_table,
    words,
)
from stackemu.emu.processor import USER_SHARED_DATA

_CONSTANT_BASE, _CHANGING_BASE = 0x80560000, 0x80570000
"""Addresses in the kernel's own image, behind its code."""
_FREE_BUILD = 0xF0000000
_ANSI, _OEM = 1252, 437
"""Code pages."""
_NEVER_MAPPED = 0x0BAD
_PROCESS_SIZE = 0x400
_PRODUCT_LAB = b"7601.17514.x86fre.win7sp1_rtm.101119-1850\0"


@dataclass(frozen=True, slots=True)
class Region:
    """Memory that is there before a driver runs; the driver may write to it where `is_writable`."""

    address: int
    data: bytes
    is_writable: bool


@dataclass(slots=True)
class _Rooms:
    """Where variables and what they point to find room."""

    constant: Room
    changing: Room


_Content: TypeAlias = Callable[[_Rooms], bytes]


def _number(value: int) -> _Content:
    return lambda _rooms: words(value)


def _pointer_to(data: bytes) -> _Content:
    return lambda rooms: words(rooms.constant.add(data))


def _type(variable: str) -> _Content:
    return lambda rooms: words(object_type(rooms.changing, variable))


_CONSTANT: Mapping[str, _Content] = {
    "MmHighestUserAddress": _number(USER_END - 1),
    "MmSystemRangeStart": _number(0x80000000),
    "MmUserProbeAddress": _number(USER_END),
    "MmBadPointer": _number(_NEVER_MAPPED),
    "Mm64BitPhysicalAddress": _number(0),
    "KeNumberProcessors": _number(1),
    "KeI386MachineType": _number(0),
    "KeLoaderBlock": _number(0),
    "NtBuildNumber": _number(_FREE_BUILD | BUILD),
    "NtBuildLab": lambda _rooms: _PRODUCT_LAB,
    "NtBuildGUID": lambda _rooms: bytes(16),
    "InitSafeBootMode": _number(0),
    "KdDebuggerNotPresent": _number(1),
    "NlsAnsiCodePage": _number(_ANSI),
    "NlsOemCodePage": _number(_OEM),
    "NlsMbCodePageTag": _number(0),
    "NlsMbOemCodePageTag": _number(0),
    "NlsLeadByteInfo": _pointer_to(bytes(0x200)),
    "NlsOemLeadByteInfo": _pointer_to(bytes(0x200)),
    "IoDeviceHandlerObjectSize": _number(0),
    "PsUILanguageComitted": _number(0),
    "psMUITest": _number(0),
    "FsRtlLegalAnsiCharacterArray": lambda rooms: words(legal_characters(rooms.constant)),
    "SeExports": lambda rooms: words(security_exports(rooms.constant)),
    "SePublicDefaultDacl": lambda rooms: words(access_list(rooms.constant, PUBLIC_DACL)),
    "SeSystemDefaultDacl": lambda rooms: words(access_list(rooms.constant, SYSTEM_DACL)),
    "PsInitialSystemProcess": lambda rooms: words(rooms.changing.add(bytes(_PROCESS_SIZE))),
    **{variable: _type(variable) for variable in OBJECT_TYPES},
}
"""What is set once, when the system starts: a driver that writes there is wrong."""

_CHANGING: Mapping[str, _Content] = {
    "KeTickCount": lambda _rooms: ksystem_time(UPTIME_TICKS),
    "NtGlobalFlag": _number(0),
    "KdDebuggerEnabled": _number(0),
    "KdEnteredDebugger": _number(0),
    "KiBugCheckData": lambda _rooms: bytes(20),
    "KeServiceDescriptorTable": lambda rooms: service_table(rooms.changing),
    "HalDispatchTable": lambda _rooms: hal_dispatch(),
    "HalPrivateDispatchTable": lambda _rooms: hal_private_dispatch(),
    "IoStatisticsLock": _number(0),
    "IoReadOperationCount": _number(0),
    "IoWriteOperationCount": _number(0),
    "IoOtherOperationCount": _number(0),
    "IoReadTransferCount": lambda _rooms: bytes(8),
    "IoWriteTransferCount": lambda _rooms: bytes(8),
    "IoOtherTransferCount": lambda _rooms: bytes(8),
    "CcFastMdlReadWait": _number(0),
    "CcFastReadNotPossible": _number(0),
    "CcFastReadWait": _number(0),
    "POGOBuffer": lambda _rooms: bytes(0x100),
}
"""What changes while the system runs, and tables that drivers put functions of their own into."""


@dataclass(frozen=True, slots=True)
class _KernelData:
    regions: tuple[Region, ...]
    places: Mapping[str, tuple[int, int]]
    """Address and bytes by name."""


@functools.cache
def _kernel_data() -> _KernelData:
    rooms = _Rooms(Room(_CONSTANT_BASE), Room(_CHANGING_BASE))
    places: dict[str, tuple[int, int]] = {}
    for room, contents in ((rooms.constant, _CONSTANT), (rooms.changing, _CHANGING)):
        for name, content in contents.items():
            data = content(rooms)
            places[name] = room.add(data), len(data)
    constant = Region(rooms.constant.base, bytes(rooms.constant.data), is_writable=False)
    changing = Region(rooms.changing.base, bytes(rooms.changing.data), is_writable=True)
    return _KernelData((constant, changing), places)


def kernel_regions() -> tuple[Region, ...]:
    """Return the memory that holds the variables and what they point to, and the page shared with user mode."""
    return (*_kernel_data().regions, Region(USER_SHARED_DATA, shared_data(), is_writable=False))


def variable_address(name: str | None) -> int | None:
    """Return the address of an exported variable, None for what is none."""
    place = _kernel_data().places.get(name or "")
    return place[0] if place else None


def initial_pointer(name: str) -> int:
    """Return the pointer that a variable holds at first: the type of `PsProcessType`, say."""
    address = _kernel_data().places[name][0]
    region = next(one for one in _kernel_data().regions if 0 <= address - one.address < len(one.data))
    value: int = struct.unpack_from("<I", region.data, address - region.address)[0]
    return value


def variable_at(address: int) -> str | None:
    """Return the name of the variable that holds the byte at `address`, None where there is none."""
    places = _kernel_data().places.items()
    return next((name for name, (start, size) in places if 0 <= address - start < size), None)


@functools.lru_cache(maxsize=8192)  # every run passes through the same ticks
def times_at(ticks: int) -> tuple[tuple[int, bytes], ...]:
    """Return what memory says of the time after a number of ticks, as pairs of address and bytes."""
    return ((_kernel_data().places["KeTickCount"][0], ksystem_time(ticks)), *shared_times(ticks))
