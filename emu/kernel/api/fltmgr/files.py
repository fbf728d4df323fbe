"""Files as a minifilter works with them itself, below its own instance: opened, read, written, asked and changed.

Pages of FltCreateFileEx2, FltReadFile, FltQueryInformationFile, FltQueryDirectoryFile and FltFsControlFile in the
WDK. Files are given by their FILE_OBJECT; what is known of them is shared with the services that work on handles.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api import object_manager, open_files
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.file_queries import query_file, set_file
from stackemu.emu.kernel.api.files import MAX_TRANSFER, STATUS_END_OF_FILE, fill
from stackemu.emu.kernel.api.fltmgr.callback_data import new_generated, run_completion
from stackemu.emu.kernel.api.fltmgr.information import (
    STATUS_NO_MORE_FILES,
    STATUS_NO_SUCH_FILE,
    Answer,
    deliver,
    directory_entries,
    file_information,
    volume_information,
)
from stackemu.emu.kernel.api.fltmgr.parameters import READ, WRITE
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.open_files import FO_SYNCHRONOUS_IO, OpenFiles, file_size, put_status
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.handles import object_of
from stackemu.emu.kernel.layouts import View

STATUS_PENDING = 0x103
_KEEP_POSITION = 0x4
"""FLTFL_IO_OPERATION_DO_NOT_UPDATE_BYTE_OFFSET; neither does an offset that the caller gives."""
_USE_POSITION, _WRITE_TO_END, _MAX_OFFSET = 0xFFFFFFFF_FFFFFFFE, 0xFFFFFFFF_FFFFFFFF, 0x7FFFFFFF_FFFFFFFF
_RESTART_SCAN, _RETURN_SINGLE_ENTRY = 1, 2
_OPENED = 1
"""FILE_OPENED, and FILE_OPEN: what is done, and asked for, with files that must exist."""


def _is_refused(call: ApiCall) -> bool:
    """Return whether the call has failed already: all of these work at PASSIVE_LEVEL only."""
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
    return not call.succeeds


# -- opening --


def _create(call: ApiCall, arguments: tuple[int, ...]) -> None:
    inner = replace(call, arguments=arguments)
    open_files.BEHAVIOURS["ZwCreateFile"](inner)
    call.eax = inner.eax


def _create_file(call: ApiCall) -> None:
    """FltCreateFile(Filter, Instance, FileHandle, ...): the rest is ZwCreateFile's."""
    _create(call, call.arguments[2:])


def _create_file_ex(call: ApiCall) -> None:
    """FltCreateFileEx(Filter, Instance, FileHandle, FileObject, ...): the object is optional and referenced."""
    handle_at, file_out = call.arguments[2:4]
    _create(call, (handle_at, *call.arguments[4:]))
    if not call.eax:
        call.put_optional(file_out, object_of(call, call.u32(handle_at)) or 0)


def _create_pipe(call: ApiCall) -> None:
    """(..., IoStatusBlock, ShareAccess or CreateOptions, ...): pipes and mailslots have no size or attributes."""
    handle_at, file_out, access, attributes, block = call.arguments[2:7]
    _create(call, (handle_at, access, attributes, block, 0, 0, 0, _OPENED, 0))
    if not call.eax:
        call.put_optional(file_out, object_of(call, call.u32(handle_at)) or 0)


def _close(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    object_manager.BEHAVIOURS["ObCloseHandle"](call)


# -- data --


def _offset(call: ApiCall, file: View, address: int) -> int | None:
    """Return where a transfer starts, None where only a file opened for synchronous I/O has a position."""
    offset = call.u64(address) if address else _USE_POSITION
    if offset == _WRITE_TO_END:
        return file_size(call, file.address)
    if offset == _USE_POSITION:
        return file["CurrentByteOffset"] if file["Flags"] & FO_SYNCHRONOUS_IO else None
    return offset if offset <= _MAX_OFFSET else None


def _transfer(major: int) -> Callable[[ApiCall], None]:
    """(Instance, FileObject, ByteOffset, Length, Buffer, Flags, BytesDone, CallbackRoutine, CallbackContext, ...)."""

    def behaviour(call: ApiCall) -> None:
        instance, address, offset_at, length, buffer, flags, done_out, routine, context = call.arguments[:9]
        if _is_refused(call):
            return
        file = call.view("FILE_OBJECT", address)
        offset = _offset(call, file, offset_at)
        if offset is None:
            call.complete(STATUS_INVALID_PARAMETER)
            return
        status, done = _move(call, major, file, offset, buffer, length)
        if not offset_at and not flags & _KEEP_POSITION:
            file["CurrentByteOffset"] = offset + done
        if not routine:
            call.put_optional(done_out, done)
            call.complete(status)
            return
        data = new_generated(call, instance, address, major)
        data["IoStatus.Status"], data["IoStatus.Information"] = status, done
        call.complete(STATUS_PENDING)
        run_completion(call, data, routine, context)

    return behaviour


def _move(call: ApiCall, major: int, file: View, offset: int, buffer: int, length: int) -> tuple[int, int]:
    """Read or write; returns the status and the bytes that were moved."""
    size = file_size(call, file.address)
    if major == WRITE:
        if buffer and length:
            call.read(buffer, min(length, MAX_TRANSFER))
        call.state(OpenFiles).sizes[file.address] = max(size, offset + length)
        return 0, length
    done = min(length, max(0, size - offset))
    if buffer:
        fill(call, buffer, done)
    return (STATUS_END_OF_FILE if length and not done else 0), done


def _control(call: ApiCall) -> None:
    """(Instance, FileObject, ControlCode, InputBuffer, its length, OutputBuffer, its length, LengthReturned)."""
    source, source_length, target, room, length_out = call.arguments[3:8]
    if _is_refused(call):
        return
    if source and source_length:
        call.read(source, min(source_length, MAX_TRANSFER))
    done = pick(call, (room, room, room // 2, 0)) if target else 0
    fill(call, target, done)
    call.put_optional(length_out, done)


# -- information --


def _answer(call: ApiCall, answer: Answer | None, buffer: int, length: int, length_out: int) -> None:
    status, done = deliver(call, answer, buffer, length)
    call.put_optional(length_out, done)
    call.complete(status)


def _query(call: ApiCall) -> None:
    """(Instance, FileObject, FileInformation, Length, FileInformationClass, LengthReturned)."""
    _instance, file, buffer, length, kind, length_out = call.arguments[:6]
    if not _is_refused(call):
        _answer(call, query_file(call, file, kind), buffer, length, length_out)


def _query_volume(call: ApiCall) -> None:
    """FltQueryVolumeInformationFile has the same shape, with classes of volumes."""
    _instance, _file, buffer, length, kind, length_out = call.arguments[:6]
    if not _is_refused(call):
        _answer(call, volume_information(kind), buffer, length, length_out)


def _query_volume_of_instance(call: ApiCall) -> None:
    """FltQueryVolumeInformation(Instance, Iosb, FsInformation, Length, FsInformationClass)."""
    _instance, block, buffer, length, kind = call.arguments[:5]
    if not _is_refused(call):
        put_status(call, block, *deliver(call, volume_information(kind), buffer, length))


def _query_by_name(call: ApiCall) -> None:
    """FltQueryInformationByName(Filter, Instance, ObjectAttributes, Iosb, FileInformation, Length, Class, ...)."""
    attributes, block, buffer, length, kind = call.arguments[2:7]
    call.unicode(call.view("OBJECT_ATTRIBUTES", attributes)["ObjectName"])
    if not _is_refused(call):
        put_status(call, block, *deliver(call, file_information(call, kind), buffer, length))


def _set(call: ApiCall) -> None:
    """(Instance, FileObject, FileInformation, Length, FileInformationClass)."""
    _instance, file, buffer, length, kind = call.arguments[:5]
    if not _is_refused(call):
        call.complete(set_file(call, file, kind, buffer, length))


def _set_volume(call: ApiCall) -> None:
    """FltSetVolumeInformation(Instance, Iosb, FsInformation, Length, FsInformationClass)."""
    _instance, block, buffer, length = call.arguments[:4]
    if _is_refused(call):
        return
    if length:
        call.read(buffer, min(length, MAX_TRANSFER))
    put_status(call, block, 0)


def _set_buffer(call: ApiCall) -> None:
    """(Instance, FileObject, Buffer, Length): what is set is read, and that is all."""
    buffer, length = call.arguments[2:4]
    if not _is_refused(call) and length:
        call.read(buffer, min(length, MAX_TRANSFER))


# -- directories --


def _directory(call: ApiCall, pattern_at: int, length_at: int, *, single: bool, restarts: bool) -> None:
    """(Instance, FileObject, FileInformation, Length, FileInformationClass, ...): entries until there are no more."""
    _instance, file, buffer, length, kind = call.arguments[:5]
    pattern = call.unicode(call.arguments[pattern_at])
    if _is_refused(call):
        return
    scans = call.state(OpenFiles).scans
    scan = 0 if restarts else scans.get(file, 0)
    scans[file] = scan + 1
    if not scan and pattern.strip("*") and pick(call, (False, False, True), 3):
        call.complete(STATUS_NO_SUCH_FILE)
    elif scan:
        call.complete(STATUS_NO_MORE_FILES)
    else:
        entries = directory_entries(kind, length, pattern, single=single)
        _answer(call, entries, buffer, length, call.arguments[length_at])


def _query_directory(call: ApiCall) -> None:
    single, restarts = call.arguments[5] & 0xFF, call.arguments[7] & 0xFF
    _directory(call, 6, 8, single=bool(single), restarts=bool(restarts))


def _query_directory_ex(call: ApiCall) -> None:
    flags = call.arguments[5]
    _directory(call, 6, 7, single=bool(flags & _RETURN_SINGLE_ENTRY), restarts=bool(flags & _RESTART_SCAN))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltCreateFile": _create_file,
    "FltCreateFileEx": _create_file_ex,
    "FltCreateFileEx2": _create_file_ex,
    "FltCreateNamedPipeFile": _create_pipe,
    "FltCreateMailslotFile": _create_pipe,
    "FltClose": _close,
    "FltReadFile": _transfer(READ),
    "FltReadFileEx": _transfer(READ),
    "FltWriteFile": _transfer(WRITE),
    "FltWriteFileEx": _transfer(WRITE),
    "FltFsControlFile": _control,
    "FltDeviceIoControlFile": _control,
    "FltQueryInformationFile": _query,
    "FltQueryInformationByName": _query_by_name,
    "FltQueryVolumeInformation": _query_volume_of_instance,
    "FltQueryVolumeInformationFile": _query_volume,
    "FltSetInformationFile": _set,
    "FltSetVolumeInformation": _set_volume,
    "FltSetEaFile": _set_buffer,
    "FltSetQuotaInformationFile": _set_buffer,
    "FltQueryDirectoryFile": _query_directory,
    "FltQueryDirectoryFileEx": _query_directory_ex,
}
