"""Extended attributes, quotas, security and tags of files, and other requests that a file system answers.

Pages of FltQueryEaFile, FltQueryQuotaInformationFile, FltQuerySecurityObject, FltTagFile and FltFastIoMdlRead in the
WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.file_queries import (
    STATUS_BUFFER_TOO_SMALL,
    STATUS_NO_EAS_ON_FILE,
    STATUS_NO_MORE_ENTRIES,
)
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.mdl import lock_pages, make_mdl
from stackemu.emu.kernel.call import MAX_COPY, ApiCall
from stackemu.emu.kernel.layouts import layout

_ATTRIBUTE = struct.pack("<IBBH", 0, 0, 4, 2) + b"TYPE\0" + b"ab"
"""FILE_FULL_EA_INFORMATION: a name of 4 characters, a value of 2 bytes."""
_SID = bytes((1, 1, 0, 0, 0, 0, 0, 5)) + struct.pack("<I", 18)
_QUOTA = struct.pack("<IIQQQQ", 0, len(_SID), 0, 0x1000, 0x100000, 0x200000) + _SID
"""FILE_QUOTA_INFORMATION of the system."""
_SE_SELF_RELATIVE = 0x8000
_DESCRIPTOR = struct.pack("<BBHIIII", 1, 0, _SE_SELF_RELATIVE, 20, 20 + len(_SID), 0, 0) + 2 * _SID
"""A security descriptor with owner and group, and nobody shut out."""
_MAX_MAPPED = 4 * PAGE


def _succeeds(call: ApiCall) -> bool:
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
    return call.succeeds


def _status(call: ApiCall) -> None:
    """How it ended is all that the driver sees."""
    _succeeds(call)


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


def _entry(data: bytes, nothing: int, buffer_at: int, length_out_at: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that asks for entries: one comes back, or a status that says none."""

    def behaviour(call: ApiCall) -> None:
        buffer, length = call.arguments[buffer_at : buffer_at + 2]
        length_out = call.arguments[length_out_at]
        if not _succeeds(call):
            return
        if pick(call, (False, True)):
            call.put_optional(length_out, 0)
            call.complete(nothing)
        elif length < len(data):
            call.complete(STATUS_BUFFER_TOO_SMALL)
        else:
            call.write(buffer, data)
            call.put_optional(length_out, len(data))

    return behaviour


def _query_security(call: ApiCall) -> None:
    """(Instance, FileObject, SecurityInformation, SecurityDescriptor, Length, LengthNeeded)."""
    descriptor, length, needed_out = call.arguments[3:6]
    if not _succeeds(call):
        return
    call.put_optional(needed_out, len(_DESCRIPTOR))
    if length < len(_DESCRIPTOR):
        call.complete(STATUS_BUFFER_TOO_SMALL)
    else:
        call.write(descriptor, _DESCRIPTOR)


def _set_security(call: ApiCall) -> None:
    """(Instance, FileObject, SecurityInformation, SecurityDescriptor)."""
    call.read(call.arguments[3], 20)
    _succeeds(call)


def _tag(call: ApiCall) -> None:
    """(Instance, FileObject, FileTag, Guid, DataBuffer, DataBufferLength, ...)."""
    buffer, length = call.arguments[4], call.arguments[5] & 0xFFFF
    if buffer and length:
        call.read(buffer, min(length, MAX_COPY))
    _succeeds(call)


def _mdl_transfer(call: ApiCall) -> None:
    """FltFastIoMdlRead and FltFastIoPrepareMdlWrite: (..., Length, LockKey, MdlChain, IoStatus)."""
    length, _key, mdl_out, block = call.arguments[3:7]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        return
    size = min(length, _MAX_MAPPED)
    mdl = make_mdl(call, call.allocate(size, zeroed=False), size)
    lock_pages(call, mdl, is_written=call.name == "FltFastIoPrepareMdlWrite")
    call.put_u32(mdl_out, mdl.address)
    call.write(block, struct.pack("<II", 0, size)[: layout("IO_STATUS_BLOCK").size])
    call.eax = 1


def _mdl_complete(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    call.eax = int(call.succeeds)


_STATUS_ONLY = (
    "FltFlushBuffers",
    "FltFlushBuffers2",
    "FltUntagFile",
    "FltCreateSystemVolumeInformationFolder",
)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_STATUS_ONLY, _status),
    "FltCancelFileOpen": _nothing,
    "FltQueryEaFile": _entry(_ATTRIBUTE, STATUS_NO_EAS_ON_FILE, 2, 9),
    "FltQueryQuotaInformationFile": _entry(_QUOTA, STATUS_NO_MORE_ENTRIES, 3, 10),
    "FltQuerySecurityObject": _query_security,
    "FltSetSecurityObject": _set_security,
    "FltTagFile": _tag,
    "FltTagFileEx": _tag,
    "FltFastIoMdlRead": _mdl_transfer,
    "FltFastIoPrepareMdlWrite": _mdl_transfer,
    "FltFastIoMdlReadComplete": _mdl_complete,
    "FltFastIoMdlWriteComplete": _mdl_complete,
}
