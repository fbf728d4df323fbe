"""FILE_OBJECTs as filters change them: names replaced, origins and sharing marked, streams made.

Pages of IoReplaceFileObjectName, IoSetFileOrigin, IoSetFileObjectIgnoreSharing and IoCreateStreamFileObjectEx2 in the
WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.open_files import new_file
from stackemu.emu.kernel.api.pool import allocate_pool
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.handles import open_handle

STATUS_INVALID_PARAMETER_MIX = 0xC0000030
_FO_STREAM_FILE, _FO_REMOTE_ORIGIN = 0x100, 0x1000000


@dataclass(slots=True)
class IgnoringSharing:
    """File objects whose opening does not count for sharing."""

    files: dict[int, None] = field(default_factory=dict)


def _replace_name(call: ApiCall) -> None:
    """(FileObject, NewFileName, FileNameLength in bytes): a buffer that is too short is replaced by a new one."""
    address, text, length = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    length &= 0xFFFE
    name = call.read(text, length) if length else b""
    if not call.succeeds:
        call.fail()
        return
    file = call.view("FILE_OBJECT", address)
    if file["FileName.MaximumLength"] < length:
        file["FileName.Buffer"] = allocate_pool(call, length)
        file["FileName.MaximumLength"] = length
    if name:
        call.write(file["FileName.Buffer"], name)
    file["FileName.Length"] = length


def _set_origin(call: ApiCall) -> None:
    """(FileObject, Remote): an origin that is the same already is refused."""
    file, remote = call.view("FILE_OBJECT", call.arguments[0]), bool(call.arguments[1] & 0xFF)
    if bool(file["Flags"] & _FO_REMOTE_ORIGIN) == remote:
        call.complete(STATUS_INVALID_PARAMETER_MIX)
        return
    file["Flags"] ^= _FO_REMOTE_ORIGIN


def _ignore_sharing(call: ApiCall) -> None:
    if call.succeeds:
        call.state(IgnoringSharing).files[call.arguments[0]] = None
    else:
        call.fail()


def _is_ignoring(call: ApiCall) -> None:
    call.eax = int(call.arguments[0] in call.state(IgnoringSharing).files)


def _create_stream(call: ApiCall) -> None:
    """(CreateOptions, FileObject, DeviceObject, StreamFileObject, FileHandle)."""
    _options, original, device, file_out, handle_out = call.arguments[:5]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    if original:
        device = call.view("FILE_OBJECT", original)["DeviceObject"]
    file = new_file(call, "", device)
    file["Flags"] |= _FO_STREAM_FILE
    call.put_u32(file_out, file.address)
    if handle_out:
        call.put_u32(handle_out, open_handle(call, file.address))


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoReplaceFileObjectName": _replace_name,
    "IoSetFileOrigin": _set_origin,
    "IoSetFileObjectIgnoreSharing": _ignore_sharing,
    "IoIsFileObjectIgnoringSharing": _is_ignoring,
    "IoCreateStreamFileObjectEx2": _create_stream,
    "IoSetIoPriorityHintIntoFileObject": _status,
}
