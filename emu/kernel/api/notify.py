"""Notify routines: told when processes and threads start and end and when images are loaded.

Pages of PsSetCreateProcessNotifyRoutine(Ex), PsSetCreateThreadNotifyRoutine and PsSetLoadImageNotifyRoutine in the
WDK; PS_CREATE_NOTIFY_INFO and IMAGE_INFO of ntddk.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.threads import CURRENT_PROCESS_ID, CURRENT_THREAD_ID, process_object
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.objects import file_object
from stackemu.emu.kernel.roots import Root, Words

STATUS_PROCEDURE_NOT_FOUND = 0xC000007A
_NEW_PROCESS_ID, _NEW_THREAD_ID = 0x9C0, 0x9C4
_FILE_NAMES = (
    "\\??\\C:\\Windows\\System32\\notepad.exe",
    "\\??\\C:\\Users\\Public\\setup.exe",
    "\\??\\C:\\a.exe",
)
_IMAGE_NAMES = (
    "\\Device\\HarddiskVolume1\\Windows\\System32\\kernel32.dll",
    "\\Device\\HarddiskVolume1\\Users\\Public\\library.dll",
    "\\SystemRoot\\System32\\drivers\\null.sys",
)
_IMAGE_INFO = struct.Struct("<IIIII")
"""Properties, ImageBase, ImageSelector, ImageSize, ImageSectionNumber."""
_ADDRESSING_MODE_32BIT, _SYSTEM_MODE_IMAGE, _EXTENDED_INFO_PRESENT = 0x3, 0x100, 0x400
_USER_IMAGE, _SYSTEM_IMAGE, _IMAGE_SIZE = 0x76000000, 0xF7A10000, 0x11000


@dataclass(slots=True)
class NotifyRoutines:
    """Routines registered, as (API family, address)."""

    registered: dict[tuple[str, int], None] = field(default_factory=dict)


def _register(call: ApiCall, family: str, address: int, role: str, kind: str) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    registered = call.state(NotifyRoutines).registered
    if (family, address) in registered:
        call.complete(STATUS_INVALID_PARAMETER)
    elif not call.succeeds:
        call.complete(STATUS_INSUFFICIENT_RESOURCES)
    else:
        registered[family, address] = None
        call.root(address, role, kind)


def _remove(call: ApiCall, family: str, address: int, absent: int) -> None:
    """Remove a routine; removing one that isn't there fails."""
    registered = call.state(NotifyRoutines).registered
    if (family, address) not in registered:
        call.complete(absent)
        return
    del registered[family, address]


def _process(family: str, role: str, kind: str, routine_at: int = 0) -> Callable[[ApiCall], None]:
    """PsSetCreateProcessNotifyRoutine and its successors register and remove with the same function."""

    def behaviour(call: ApiCall) -> None:
        address, remove = call.arguments[routine_at : routine_at + 2]
        if remove & 0xFF:
            _remove(call, family, address, STATUS_INVALID_PARAMETER)
        else:
            _register(call, family, address, role, kind)

    return behaviour


def _set(family: str, role: str, kind: str, routine_at: int = 0) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        _register(call, family, call.arguments[routine_at], role, kind)

    return behaviour


def _unset(family: str) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        _remove(call, family, call.arguments[0], STATUS_PROCEDURE_NOT_FOUND)

    return behaviour


# -- the kernel's calls --


def _text(context: Context, text: str) -> int:
    address = context.new("UNICODE_STRING").address
    context.put_counted(address, text.encode("utf-16-le"))
    return address


def _process_notify(context: Context, _root: Root) -> Words:
    """(ParentId, ProcessId, Create)."""
    return Words((CURRENT_PROCESS_ID, _NEW_PROCESS_ID, pick(context, (1, 0))))


def _process_notify_ex(context: Context, _root: Root) -> Words:
    """(Process, ProcessId, CreateInfo): CreateInfo is null when the process exits."""
    info = 0 if pick(context, (False, False, True)) else _create_info(context)
    return Words((process_object(context, _NEW_PROCESS_ID), _NEW_PROCESS_ID, info))


def _create_info(context: Context) -> int:
    info = context.new("PS_CREATE_NOTIFY_INFO")
    name = pick(context, _FILE_NAMES, 1)
    info["Size"] = info.layout.size
    info["Flags"] = 1  # FileOpenNameAvailable
    info["ParentProcessId"] = CURRENT_PROCESS_ID
    info["CreatingThreadId.UniqueProcess"] = CURRENT_PROCESS_ID
    info["CreatingThreadId.UniqueThread"] = CURRENT_THREAD_ID
    info["FileObject"] = file_object(context).address
    info["ImageFileName"] = _text(context, name)
    info["CommandLine"] = _text(context, f'"{name[4:]}" /quiet') if pick(context, (True, False), 2) else 0
    return info.address


def _thread_notify(context: Context, _root: Root) -> Words:
    """(ProcessId, ThreadId, Create)."""
    return Words((_NEW_PROCESS_ID, _NEW_THREAD_ID, pick(context, (1, 0))))


def _image_notify(context: Context, _root: Root) -> Words:
    """(FullImageName, ProcessId, ImageInfo): the name may be null, the process id is 0 for drivers."""
    index = pick(context, range(len(_IMAGE_NAMES)))
    is_driver = index == len(_IMAGE_NAMES) - 1
    size, at = 4 + _IMAGE_INFO.size + 4, 4
    extended = context.allocate(size)  # IMAGE_INFO_EX: Size, ImageInfo, FileObject
    properties = _ADDRESSING_MODE_32BIT | _EXTENDED_INFO_PRESENT | (_SYSTEM_MODE_IMAGE if is_driver else 0)
    base = _SYSTEM_IMAGE if is_driver else _USER_IMAGE
    context.put_u32(extended, size)
    context.write(extended + at, _IMAGE_INFO.pack(properties, base, 0, _IMAGE_SIZE, 0))
    context.put_u32(extended + at + _IMAGE_INFO.size, file_object(context).address)
    name = _text(context, _IMAGE_NAMES[index]) if pick(context, (True, True, True, False), 1) else 0
    return Words((name, 0 if is_driver else _NEW_PROCESS_ID, extended + at))


_PROCESS, _THREAD, _IMAGE = "process", "thread", "image"

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "PsSetCreateProcessNotifyRoutine": _process(_PROCESS, "process notify routine", "process-notify"),
    "PsSetCreateProcessNotifyRoutineEx": _process(_PROCESS, "process notify routine", "process-notify-ex"),
    "PsSetCreateProcessNotifyRoutineEx2": _process(_PROCESS, "process notify routine", "process-notify-ex", 1),
    "PsSetCreateThreadNotifyRoutine": _set(_THREAD, "thread notify routine", "thread-notify"),
    "PsSetCreateThreadNotifyRoutineEx": _set(_THREAD, "thread notify routine", "thread-notify", 1),
    "PsRemoveCreateThreadNotifyRoutine": _unset(_THREAD),
    "PsSetLoadImageNotifyRoutine": _set(_IMAGE, "image notify routine", "image-notify"),
    "PsSetLoadImageNotifyRoutineEx": _set(_IMAGE, "image notify routine", "image-notify"),
    "PsRemoveLoadImageNotifyRoutine": _unset(_IMAGE),
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "process-notify": _process_notify,
    "process-notify-ex": _process_notify_ex,
    "thread-notify": _thread_notify,
    "image-notify": _image_notify,
}
