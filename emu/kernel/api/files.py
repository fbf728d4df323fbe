"""File I/O by handle: data read and written, requests sent to a file system or device, locks, flushes.

Pages of ZwReadFile, ZwWriteFile, ZwFsControlFile and ZwDeviceIoControlFile in the WDK. A request on a file that was
not opened for synchronous I/O may answer STATUS_PENDING; its results are there nevertheless, and its event is set.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.open_files import (
    FO_SYNCHRONOUS_IO,
    OpenFiles,
    file_of,
    file_size,
    put_status,
    usable_file,
)
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import object_of
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.roots import Root, Words

STATUS_PENDING, STATUS_END_OF_FILE = 0x103, 0xC0000011
MAX_TRANSFER = 0x10000
"""Bytes that one read or write moves at most."""
_USE_POSITION, _WRITE_TO_END = 0xFFFFFFFF_FFFFFFFE, 0xFFFFFFFF_FFFFFFFF
"""FILE_USE_FILE_POINTER_POSITION and FILE_WRITE_TO_END_OF_FILE, with -1 as their high part."""
_EVENT_SIGNAL = 4
_MAX_OFFSET = 0x7FFFFFFF_FFFFFFFF


def fill(context: Context, address: int, length: int) -> None:
    """Write data that only the input knows; at most MAX_TRANSFER bytes."""
    length = min(length, MAX_TRANSFER)
    if length:
        context.write(address, context.read(context.allocate(length, zeroed=False), length))


def finish(call: ApiCall, status: int, information: int) -> None:
    """End a request of the shape (FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, ...)."""
    handle, event, routine, context, block = call.arguments[:5]
    put_status(call, block, status, information)
    known = object_of(call, event) if event else None
    if known is not None:
        call.put_u32(known + _EVENT_SIGNAL, 1)
    call.root(routine, f"APC of {call.name}", "io-apc", context, status, information)
    is_asynchronous = not file_of(call, handle)["Flags"] & FO_SYNCHRONOUS_IO
    if is_asynchronous and not status & 0x80000000 and pick(call, (False, True), 2):
        call.complete(STATUS_PENDING)


def _apc(context: Context, root: Root) -> Words:
    """(ApcContext, IoStatusBlock, Reserved)."""
    argument, status, information = root.context
    block = context.new("IO_STATUS_BLOCK")
    block["Status"], block["Information"] = status, information
    return Words((argument, block.address, 0))


def _offset(call: ApiCall, file: View, address: int) -> int | None:
    """Return where a transfer starts, None where only a synchronous file has a position of its own."""
    offset = call.u64(address) if address else _USE_POSITION
    if offset == _WRITE_TO_END:
        return file_size(call, file.address)
    if offset == _USE_POSITION:
        return file["CurrentByteOffset"] if file["Flags"] & FO_SYNCHRONOUS_IO else None
    return offset if offset <= _MAX_OFFSET else None


def _transfer(move: Callable[[ApiCall, View, int], tuple[int, int]]) -> Callable[[ApiCall], None]:
    """Return the behaviour of ZwReadFile or ZwWriteFile; `move` returns the status and the bytes transferred."""

    def behaviour(call: ApiCall) -> None:
        file = usable_file(call, call.arguments[0])
        if file is None:
            return
        offset = _offset(call, file, call.arguments[7])
        if offset is None:
            call.complete(STATUS_INVALID_PARAMETER)
            return
        status, done = move(call, file, offset)
        if file["Flags"] & FO_SYNCHRONOUS_IO:
            file["CurrentByteOffset"] = offset + done
        finish(call, status, done)

    return behaviour


def _read(call: ApiCall, file: View, offset: int) -> tuple[int, int]:
    buffer, length = call.arguments[5:7]
    done = min(length, max(0, file_size(call, file.address) - offset))
    fill(call, buffer, done)
    return (STATUS_END_OF_FILE if length and not done else 0), done


def _write(call: ApiCall, file: View, offset: int) -> tuple[int, int]:
    buffer, length = call.arguments[5:7]
    if length:
        call.read(buffer, min(length, MAX_TRANSFER))
    call.state(OpenFiles).sizes[file.address] = max(file_size(call, file.address), offset + length)
    return 0, length


def _control(call: ApiCall) -> None:
    """(..., ControlCode, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength)."""
    source, source_length, target, room = call.arguments[6:10]
    if usable_file(call, call.arguments[0]) is None:
        return
    if source and source_length:
        call.read(source, min(source_length, MAX_TRANSFER))
    done = pick(call, (room, room, room // 2, 0)) if target else 0
    fill(call, target, done)
    finish(call, 0, done)


def _notify(call: ApiCall) -> None:
    """NtNotifyChangeDirectoryFile answers with FILE_NOTIFY_INFORMATION, or with nothing when too much has changed."""
    buffer, room = call.arguments[5:7]
    if usable_file(call, call.arguments[0]) is None:
        return
    name = "File.txt".encode("utf-16-le")
    action = pick(call, (3, 1, 2, 4, 5))  # FILE_ACTION_MODIFIED, _ADDED, _REMOVED, _RENAMED_OLD_NAME, _NEW_NAME
    data = struct.pack("<III", 0, action, len(name)) + name
    if len(data) > room:
        finish(call, 0x10C, 0)  # STATUS_NOTIFY_ENUM_DIR
        return
    call.write(buffer, data)
    finish(call, 0, len(data))


def _lock(call: ApiCall) -> None:
    """(..., ByteOffset, Length, Key, FailImmediately, ExclusiveLock)."""
    offset, length = call.arguments[5:7]
    if usable_file(call, call.arguments[0]) is None:
        return
    call.read(offset, 8)
    call.read(length, 8)
    finish(call, 0, 0)


def _status_only(block_at: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of requests whose only answer is how they ended."""

    def behaviour(call: ApiCall) -> None:
        if usable_file(call, call.arguments[0]) is not None:
            put_status(call, call.arguments[block_at], 0)

    return behaviour


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "ReadFile": _transfer(_read),
    "WriteFile": _transfer(_write),
    "FsControlFile": _control,
    "DeviceIoControlFile": _control,
    "NotifyChangeDirectoryFile": _notify,
    "LockFile": _lock,
    "UnlockFile": _status_only(1),
    "FlushBuffersFile": _status_only(1),
    "FlushBuffersFileEx": _status_only(4),
    "CancelIoFile": _status_only(1),
    "CancelIoFileEx": _status_only(2),
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"io-apc": _apc}
