"""System services on processes and threads: opened by id, asked about themselves.

Pages of ZwOpenProcess, ZwQueryInformationProcess (Win32 documentation) and ZwTerminateProcess; the structures are
those of ntddk.h and winternl.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.handle_services import give_handle, is_refused
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.object_types import object_of_type, type_of
from stackemu.emu.kernel.api.threads import (
    CURRENT_PROCESS_ID,
    CURRENT_THREAD_ID,
    SYSTEM_PROCESS_ID,
    Threads,
    process_object,
    thread_object,
)
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import Handles, object_of
from stackemu.emu.kernel.system_time import START

STATUS_INVALID_INFO_CLASS = 0xC0000003
STATUS_INFO_LENGTH_MISMATCH = 0xC0000004
STATUS_INVALID_CID = 0xC000000B
STATUS_OBJECT_TYPE_MISMATCH = 0xC0000024
STATUS_INVALID_PARAMETER_MIX = 0xC0000030
STATUS_PENDING = 0x103
_PEB, _TEB = 0x7FFDF000, 0x7FFDE000
_START_ADDRESS = 0x00401000
_NORMAL_PRIORITY = 8
IMAGE_NAME = "\\Device\\HarddiskVolume1\\Windows\\System32\\program.exe"
IMAGE_WIN32_NAME = "C:\\Windows\\System32\\program.exe"


def _open(id_at: int, find: Callable[[Context, int], int]) -> Callable[[ApiCall], None]:
    """(Handle, DesiredAccess, ObjectAttributes, ClientId): `id_at` is where the CLIENT_ID holds what is opened."""

    def behaviour(call: ApiCall) -> None:
        out, _access, attributes, client = call.arguments[:4]
        limit_irql(call, PASSIVE_LEVEL)
        if not client:
            call.complete(STATUS_INVALID_PARAMETER_MIX)
            return
        identifier = call.u32(client + id_at)
        if not identifier or not call.succeeds:
            call.complete(STATUS_INVALID_CID if not identifier else call.failure())
            return
        give_handle(call, out, attributes, find(call, identifier))

    return behaviour


def _object(call: ApiCall, variable: str) -> int:
    """Return the process or thread that the first argument is a handle to, 0 when the call is complete."""
    handle = call.arguments[0]
    limit_irql(call, PASSIVE_LEVEL)
    if is_refused(call, handle):
        return 0
    address = object_of(call, handle)
    if address is None:
        address = call.state(Handles).objects[handle] = object_of_type(call, variable)
    if type_of(call, address) not in (variable, None):
        call.complete(STATUS_OBJECT_TYPE_MISMATCH)
        return 0
    return address


def _identifier(known: Mapping[int, int], address: int, current: int) -> int:
    return next((identifier for identifier, at in known.items() if at == address), current)


# -- what is answered, by information class --


def _basic_process(call: ApiCall, process: int, _place: int) -> bytes:
    """PROCESS_BASIC_INFORMATION: ExitStatus, PebBaseAddress, AffinityMask, BasePriority, own and parent's id."""
    identifier = _identifier(call.state(Threads).processes, process, CURRENT_PROCESS_ID)
    peb = 0 if identifier == SYSTEM_PROCESS_ID else _PEB
    return struct.pack("<6I", STATUS_PENDING, peb, 1, _NORMAL_PRIORITY, identifier, SYSTEM_PROCESS_ID)


def _basic_thread(call: ApiCall, thread: int, _place: int) -> bytes:
    """THREAD_BASIC_INFORMATION: ExitStatus, TebBaseAddress, CLIENT_ID, AffinityMask, Priority, BasePriority."""
    identifier = _identifier(call.state(Threads).threads, thread, CURRENT_THREAD_ID)
    return struct.pack(
        "<7I", STATUS_PENDING, _TEB, CURRENT_PROCESS_ID, identifier, 1, _NORMAL_PRIORITY, _NORMAL_PRIORITY
    )


def _name(text: str) -> Callable[[ApiCall, int, int], bytes]:
    """A UNICODE_STRING with its buffer behind it."""
    data = text.encode("utf-16-le")
    return lambda _call, _object, place: struct.pack("<HHI", len(data), len(data) + 2, place + 8) + data + b"\0\0"


def _word(value: int) -> Callable[[ApiCall, int, int], bytes]:
    return lambda _call, _object, _place: struct.pack("<I", value)


def _times(_call: ApiCall, _object: int, _place: int) -> bytes:
    """KERNEL_USER_TIMES: created, exited, in kernel mode, in user mode; 100 ns."""
    return struct.pack("<4Q", START, 0, 1_562_500, 3_125_000)


_Answer = Callable[[ApiCall, int, int], bytes]
"""Returns what is stored at an address of an object: (call, object, address)."""

_PROCESS: Mapping[int, _Answer] = {
    0: _basic_process,
    4: _times,
    7: _word(0),  # ProcessDebugPort: nobody debugs it
    12: _word(1),  # ProcessDefaultHardErrorMode
    20: _word(0x40),  # ProcessHandleCount
    24: _word(1),  # ProcessSessionInformation
    26: _word(0),  # ProcessWow64Information
    27: _name(IMAGE_NAME),
    29: _word(0),  # ProcessBreakOnTermination
    31: _word(1),  # ProcessDebugFlags: PROCESS_DEBUG_INHERIT
    36: _word(0x1A2B3C4D),  # ProcessCookie
    43: _name(IMAGE_WIN32_NAME),
}
_THREAD: Mapping[int, _Answer] = {
    0: _basic_thread,
    1: _times,
    9: _word(_START_ADDRESS),  # ThreadQuerySetWin32StartAddress
    12: _word(0),  # ThreadAmILastThread
    16: _word(0),  # ThreadIsIoPending
}


def _query(variable: str, answers: Mapping[int, _Answer]) -> Callable[[ApiCall], None]:
    """(Handle, InformationClass, Information, Length, *ReturnLength)."""

    def behaviour(call: ApiCall) -> None:
        _handle, kind, information, length, returned = call.arguments[:5]
        answer = answers.get(kind)
        if answer is None:
            call.complete(STATUS_INVALID_INFO_CLASS)
            return
        address = _object(call, variable)
        if not address:
            return
        if not call.succeeds:
            call.fail()
            return
        data = answer(call, address, information)
        call.put_optional(returned, len(data))
        if length < len(data):
            call.complete(STATUS_INFO_LENGTH_MISMATCH)
            return
        call.write(information, data)

    return behaviour


def _on(variable: str) -> Callable[[ApiCall], None]:
    """A change of a process or thread that the driver cannot see."""

    def behaviour(call: ApiCall) -> None:
        if _object(call, variable) and not call.succeeds:
            call.fail()

    return behaviour


def _terminate(call: ApiCall) -> None:
    """ZwTerminateProcess: a handle of NULL means the other threads of the current process."""
    if call.arguments[0]:
        _on("PsProcessType")(call)


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "OpenProcess": _open(0, process_object),
    "OpenThread": _open(4, thread_object),
    "QueryInformationProcess": _query("PsProcessType", _PROCESS),
    "QueryInformationThread": _query("PsThreadType", _THREAD),
    "SetInformationProcess": _on("PsProcessType"),
    "SetInformationThread": _on("PsThreadType"),
    "TerminateProcess": _terminate,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")
}
