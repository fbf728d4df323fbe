"""ZwQuerySystemInformation: what the system tells about itself, by class (its Win32 page; structures: winternl.h).

The system has one processor of 512 MB, three processes, and three modules: the kernel, the HAL and the driver.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.threads import CURRENT_PROCESS_ID, CURRENT_THREAD_ID, SYSTEM_PROCESS_ID
from stackemu.emu.kernel.call import USER_END, ApiCall
from stackemu.emu.kernel.system_time import START, TIME_INCREMENT, system_time, ticks_at

STATUS_INVALID_INFO_CLASS = 0xC0000003
STATUS_INFO_LENGTH_MISMATCH = 0xC0000004
_PHYSICAL_PAGES = 512 << 20 >> 12
_GRANULARITY = 0x10000
_PATH = "\\SystemRoot\\system32\\"
_KERNEL = (0x80400000, 0x410000, _PATH + "ntoskrnl.exe")
_HAL = (0x80810000, 0x37000, _PATH + "halmacpi.dll")
_MODULE = struct.Struct("<5I4H256s")
"""RTL_PROCESS_MODULE_INFORMATION: Section, MappedBase, ImageBase, ImageSize, Flags, LoadOrderIndex, InitOrderIndex,
LoadCount, OffsetToFileName, FullPathName."""
_PROCESSES = ((0, ""), (SYSTEM_PROCESS_ID, "System"), (CURRENT_PROCESS_ID, "program.exe"))
_PROCESS_SIZE, _THREAD_SIZE = 0xB8, 0x40
"""SYSTEM_PROCESS_INFORMATION and SYSTEM_THREAD_INFORMATION on x86."""
_WAITING = 5
"""KTHREAD_STATE."""
_NORMAL_PRIORITY = 8


def _basic(_call: ApiCall, _place: int) -> bytes:
    """SYSTEM_BASIC_INFORMATION."""
    return struct.pack(
        "<10IB3x",
        0,
        TIME_INCREMENT,
        PAGE,
        _PHYSICAL_PAGES,
        1,
        _PHYSICAL_PAGES,
        _GRANULARITY,
        0x10000,
        USER_END - 1,
        1,
        1,
    )


def _processor(_call: ApiCall, _place: int) -> bytes:
    """SYSTEM_PROCESSOR_INFORMATION: architecture (Intel), level, revision, processors at most, feature bits."""
    return struct.pack("<4HI", 0, 6, 0x5E03, 1, 0x20191)


def _time_of_day(call: ApiCall, _place: int) -> bytes:
    """SYSTEM_TIMEOFDAY_INFORMATION: boot time, current time, bias and number of the time zone, both times' biases."""
    now = system_time(ticks_at(call.ordinal))
    return struct.pack("<3QII2Q", START, now, 0, 0, 0, 0, 0)


def _process(position: int, place: int) -> bytes:
    """One process with one thread; the name lies behind."""
    identifier, name = _PROCESSES[position]
    text = name.encode("utf-16-le")
    fixed = _PROCESS_SIZE + _THREAD_SIZE
    size = fixed + (len(text) + 2 + 7 & -8)
    data = bytearray(size)
    struct.pack_into("<II", data, 0, size if position + 1 < len(_PROCESSES) else 0, 1)
    struct.pack_into("<Q", data, 0x20, START)
    struct.pack_into("<HHI", data, 0x38, len(text), len(text) + 2, place + fixed if text else 0)
    parent = SYSTEM_PROCESS_ID if identifier == CURRENT_PROCESS_ID else 0
    struct.pack_into("<5I", data, 0x40, _NORMAL_PRIORITY, identifier, parent, 0x40, int(parent != 0))
    struct.pack_into("<II", data, _PROCESS_SIZE + 0x20, identifier, CURRENT_THREAD_ID if parent else identifier + 4)
    struct.pack_into("<4I", data, _PROCESS_SIZE + 0x28, _NORMAL_PRIORITY, _NORMAL_PRIORITY, 0, _WAITING)
    data[fixed : fixed + len(text)] = text
    return bytes(data)


def _processes(_call: ApiCall, place: int) -> bytes:
    data = b""
    for position in range(len(_PROCESSES)):
        data += _process(position, place + len(data))
    return data


def _modules(call: ApiCall, _place: int) -> bytes:
    """RTL_PROCESS_MODULES: a count, and the modules in the order of their loading."""
    image = call.kernel.image
    own = (image.base, image.size, f"{_PATH}drivers\\{image.path.name}")
    data = struct.pack("<I", 3)
    for order, (base, size, path) in enumerate((_KERNEL, _HAL, own)):
        name = path.encode("ascii", "replace")[:255]
        data += _MODULE.pack(0, 0, base, size, 0, order, 0, 1, name.rfind(b"\\") + 1, name)
    return data


def _handles(_call: ApiCall, _place: int) -> bytes:
    """SYSTEM_HANDLE_INFORMATION without a handle."""
    return struct.pack("<I", 0)


def _bytes(data: bytes) -> Callable[[ApiCall, int], bytes]:
    return lambda _call, _place: data


_ANSWERS: Mapping[int, Callable[[ApiCall, int], bytes]] = {
    0: _basic,
    1: _processor,
    2: _bytes(bytes(312)),  # SYSTEM_PERFORMANCE_INFORMATION
    3: _time_of_day,
    5: _processes,
    8: _bytes(bytes(48)),  # SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION
    11: _modules,
    16: _handles,
    23: _bytes(bytes(24)),  # SYSTEM_INTERRUPT_INFORMATION
    33: _bytes(bytes(16)),  # SYSTEM_EXCEPTION_INFORMATION
    35: _bytes(b"\0\1"),  # SYSTEM_KERNEL_DEBUGGER_INFORMATION: not enabled, not present
    37: _bytes(struct.pack("<3I", 0x4000000, 0x100000, 0)),  # SYSTEM_REGISTRY_QUOTA_INFORMATION
    45: _bytes(bytes(32)),  # SYSTEM_LOOKASIDE_INFORMATION
    103: _bytes(struct.pack("<II", 8, 1)),  # SYSTEM_CODEINTEGRITY_INFORMATION: enabled
}
"""What is stored at an address, by class."""


def _query(call: ApiCall) -> None:
    """(SystemInformationClass, SystemInformation, Length, *ReturnLength)."""
    kind, information, length, returned = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    answer = _ANSWERS.get(kind)
    if answer is None:
        call.complete(STATUS_INVALID_INFO_CLASS)
        return
    data = answer(call, information)
    call.put_optional(returned, len(data))
    if length < len(data):
        call.complete(STATUS_INFO_LENGTH_MISMATCH)
        return
    if not call.succeeds:
        call.fail()
        return
    call.write(information, data)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ZwQuerySystemInformation": _query,
    "NtQuerySystemInformation": _query,
}
