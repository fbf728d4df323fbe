"""What drivers ask about open files, directories and volumes, and what they set.

Pages of ZwQueryInformationFile, ZwSetInformationFile, ZwQueryDirectoryFile, ZwQueryVolumeInformationFile and
ZwQueryEaFile in the WDK; the structures themselves are made in `fltmgr.information`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.files import finish
from stackemu.emu.kernel.api.fltmgr.information import (
    STATUS_INFO_LENGTH_MISMATCH,
    STATUS_INVALID_INFO_CLASS,
    STATUS_NO_MORE_FILES,
    STATUS_NO_SUCH_FILE,
    Answer,
    deliver,
    directory_entries,
    file_information,
    volume_information,
)
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.open_files import OpenFiles, file_size, put_status, usable_file
from stackemu.emu.kernel.call import MAX_COPY, ApiCall

DISPOSITION, POSITION, END_OF_FILE, NETWORK_OPEN = 13, 14, 20, 34
"""FILE_INFORMATION_CLASS."""
_END_OF_FILE_AT: Mapping[int, int] = {5: 8, 18: 48, NETWORK_OPEN: 40}
"""Where EndOfFile lies in the classes that a driver is answered with."""
_POSITION_AT: Mapping[int, int] = {POSITION: 0, 18: 80}
"""FILE_ALL_INFORMATION: Basic 40, Standard 24, Internal 8, Ea 4, Access 4 bytes, then Position."""
_SINGLE_ENTRIES = (".", "..", "File.txt", "Directory")
"""What a directory has when it is asked for one name at a time."""
_RESTART_SCAN, _RETURN_SINGLE_ENTRY = 1, 2
STATUS_NO_EAS_ON_FILE, STATUS_NO_MORE_ENTRIES, STATUS_BUFFER_TOO_SMALL = 0xC0000052, 0x8000001A, 0xC0000023
_SID = bytes((1, 2, 0, 0, 0, 0, 0, 5)) + struct.pack("<II", 32, 544)
"""S-1-5-32-544, the administrators."""
_QUOTA = struct.pack("<IIQQQQ", 0, len(_SID), 0, 0x1000, 0x100000, 0x200000) + _SID
"""FILE_QUOTA_INFORMATION."""
_ATTRIBUTE = struct.pack("<IBBH", 0, 0, 4, 6) + b"TYPE\0" + b"\xfd\xff\2\0ab"
"""FILE_FULL_EA_INFORMATION: a name of 4 characters, a value of 6 bytes."""


def query_file(call: ApiCall, file: int, kind: int) -> Answer | None:
    """Return a structure about a file, with the size and position that the file has here."""
    answer = file_information(call, kind)
    if answer is None:
        return None
    data = bytearray(answer.data)
    if kind in _END_OF_FILE_AT:
        struct.pack_into("<Q", data, _END_OF_FILE_AT[kind], file_size(call, file))
    if kind in _POSITION_AT:
        struct.pack_into("<Q", data, _POSITION_AT[kind], call.view("FILE_OBJECT", file)["CurrentByteOffset"])
    return Answer(bytes(data), answer.fixed)


def set_file(call: ApiCall, file: int, kind: int, address: int, length: int) -> int:
    """Change a file as one of the classes says; returns the status."""
    known = file_information(call, kind)
    if known is None:
        return STATUS_INVALID_INFO_CLASS
    if length < known.fixed:
        return STATUS_INFO_LENGTH_MISMATCH
    call.read(address, min(length, MAX_COPY))
    view = call.view("FILE_OBJECT", file)
    if kind == DISPOSITION:
        view["DeletePending"] = bool(call.u8(address))
    elif kind == POSITION:
        view["CurrentByteOffset"] = call.u64(address)
    elif kind == END_OF_FILE:
        call.state(OpenFiles).sizes[file] = call.u64(address)
    return 0


# -- by handle: (FileHandle, IoStatusBlock, Information, Length, Class) --


def _query_file(call: ApiCall) -> None:
    handle, block, information, length, kind = call.arguments[:5]
    file = usable_file(call, handle)
    if file is not None:
        put_status(call, block, *deliver(call, query_file(call, file.address, kind), information, length))


def _set_file(call: ApiCall) -> None:
    handle, block, information, length, kind = call.arguments[:5]
    file = usable_file(call, handle)
    if file is not None:
        put_status(call, block, set_file(call, file.address, kind, information, length))


def _query_volume(call: ApiCall) -> None:
    handle, block, information, length, kind = call.arguments[:5]
    if usable_file(call, handle) is not None:
        put_status(call, block, *deliver(call, volume_information(kind), information, length))


def _set_buffer(call: ApiCall) -> None:
    """ZwSetVolumeInformationFile, ZwSetEaFile, ZwSetQuotaInformationFile: what is set is read, and that is all."""
    handle, block, information, length = call.arguments[:4]
    if usable_file(call, handle) is None:
        return
    if length:
        call.read(information, min(length, MAX_COPY))
    put_status(call, block, 0)


# -- directories --


def _directory(call: ApiCall, *, restarts: bool, single: bool) -> None:
    """(..., FileInformation, Length, FileInformationClass, ..., FileName at the tenth place)."""
    information, length, kind = call.arguments[5:8]
    pattern = call.unicode(call.arguments[9])
    file = usable_file(call, call.arguments[0])
    if file is None:
        return
    scans = call.state(OpenFiles).scans
    scan = 0 if restarts else scans.get(file.address, 0)
    scans[file.address] = scan + 1
    is_named = bool(pattern.strip("*"))
    if is_named and not scan and pick(call, (False, False, True), 3):
        finish(call, STATUS_NO_SUCH_FILE, 0)
        return
    if scan >= (len(_SINGLE_ENTRIES) if single and not is_named else 1):
        finish(call, STATUS_NO_MORE_FILES, 0)
        return
    if single and not is_named:
        pattern = _SINGLE_ENTRIES[scan]
    finish(call, *deliver(call, directory_entries(kind, length, pattern, single=single), information, length))


def _query_directory(call: ApiCall) -> None:
    single, restarts = call.arguments[8] & 0xFF, call.arguments[10] & 0xFF
    _directory(call, restarts=bool(restarts), single=bool(single))


def _query_directory_flags(call: ApiCall) -> None:
    flags = call.arguments[8]
    _directory(call, restarts=bool(flags & _RESTART_SCAN), single=bool(flags & _RETURN_SINGLE_ENTRY))


# -- extended attributes and quotas --


def _entry(data: bytes, nothing: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of ZwQueryEaFile or ZwQueryQuotaInformationFile: one entry, or a status that says none."""

    def behaviour(call: ApiCall) -> None:
        handle, block, buffer, length = call.arguments[:4]
        if usable_file(call, handle) is None:
            return
        if pick(call, (False, True)):
            put_status(call, block, nothing)
        elif length < len(data):
            put_status(call, block, STATUS_BUFFER_TOO_SMALL)
        else:
            call.write(buffer, data)
            put_status(call, block, 0, len(data))

    return behaviour


# -- by name and by file object --


def _full_attributes(call: ApiCall) -> None:
    attributes, information = call.arguments[:2]
    limit_irql(call, PASSIVE_LEVEL)
    call.unicode(call.view("OBJECT_ATTRIBUTES", attributes)["ObjectName"])
    if not call.succeeds:
        call.fail()
        return
    call.complete(deliver(call, file_information(call, NETWORK_OPEN), information, 56)[0])


def _by_name(call: ApiCall) -> None:
    """IoQueryInformationByName(ObjectAttributes, IoStatusBlock, FileInformation, Length, Class, ...)."""
    attributes, block, information, length, kind = call.arguments[:5]
    limit_irql(call, PASSIVE_LEVEL)
    call.unicode(call.view("OBJECT_ATTRIBUTES", attributes)["ObjectName"])
    if not call.succeeds:
        call.fail()
        return
    put_status(call, block, *deliver(call, file_information(call, kind), information, length))


def _by_object(is_volume: bool) -> Callable[[ApiCall], None]:
    """IoQueryFileInformation, IoQueryVolumeInformation: (FileObject, Class, Length, Information, ReturnedLength)."""

    def behaviour(call: ApiCall) -> None:
        file, kind, length, information, length_out = call.arguments[:5]
        limit_irql(call, PASSIVE_LEVEL)
        if not call.succeeds:
            call.fail()
            return
        answer = volume_information(kind) if is_volume else query_file(call, file, kind)
        call.eax, done = deliver(call, answer, information, length)
        call.put_u32(length_out, done)

    return behaviour


def _runtime_query(call: ApiCall) -> None:
    """FsRtlQueryInformationFile(FileObject, FileInformation, Length, Class, RetFileInformationSize)."""
    file, information, length, kind, length_out = call.arguments[:5]
    if not call.succeeds:
        call.fail()
        return
    call.eax, done = deliver(call, query_file(call, file, kind), information, length)
    call.put_optional(length_out, done)


def _set_by_object(call: ApiCall) -> None:
    """IoSetInformation(FileObject, Class, Length, Information)."""
    file, kind, length, information = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    if call.succeeds:
        call.complete(set_file(call, file, kind, information, length))
    else:
        call.fail()


def _check(call: ApiCall) -> None:
    """IoCheckQuerySetFileInformation(Class, Length, SetOperation) never leaves it to anybody's choice."""
    kind, length = call.arguments[:2]
    known = file_information(call, kind)
    if known is None:
        call.complete(STATUS_INVALID_INFO_CLASS)
    elif length < known.fixed:
        call.complete(STATUS_INFO_LENGTH_MISMATCH)


_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "QueryInformationFile": _query_file,
    "SetInformationFile": _set_file,
    "QueryVolumeInformationFile": _query_volume,
    "SetVolumeInformationFile": _set_buffer,
    "QueryDirectoryFile": _query_directory,
    "QueryDirectoryFileEx": _query_directory_flags,
    "QueryEaFile": _entry(_ATTRIBUTE, STATUS_NO_EAS_ON_FILE),
    "SetEaFile": _set_buffer,
    "QueryQuotaInformationFile": _entry(_QUOTA, STATUS_NO_MORE_ENTRIES),
    "SetQuotaInformationFile": _set_buffer,
    "QueryFullAttributesFile": _full_attributes,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **{prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")},
    "IoQueryInformationByName": _by_name,
    "IoQueryFileInformation": _by_object(is_volume=False),
    "IoQueryVolumeInformation": _by_object(is_volume=True),
    "IoSetInformation": _set_by_object,
    "IoCheckQuerySetFileInformation": _check,
    "FsRtlQueryInformationFile": _runtime_query,
}
