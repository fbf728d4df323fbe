"""Services of the I/O manager around drivers and requests: error logs, named events, facts about requests and files.

Pages of IoAllocateErrorLogEntry, IoCreateNotificationEvent and IoIsOperationSynchronous in the WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irql import APC_LEVEL, PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.pool import allocate_pool
from stackemu.emu.kernel.api.threads import CURRENT_PROCESS_ID
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.handles import open_handle
from stackemu.emu.kernel.layouts import layout
from stackemu.emu.kernel.objects import IO_TYPE_FILE, current_process

_ERROR_LOG_LIMIT = 240
"""ERROR_LOG_LIMIT_SIZE: bytes of an entry of an error log at most."""
_NORMAL_PRIORITY = 2
_WDM_6 = (6, 0)
_FILE_MAPPING = struct.pack("<IIII", 0x120089, 0x120116, 0x1200A0, 0x1F01FF)
"""FILE_GENERIC_READ, _WRITE, _EXECUTE and FILE_ALL_ACCESS."""
_FO_SYNCHRONOUS_IO, _IRP_SYNCHRONOUS_API = 0x2, 0x4


# -- error logs --


def _allocate_entry(call: ApiCall) -> None:
    size = call.arguments[1] & 0xFF
    if call.succeeds and size <= _ERROR_LOG_LIMIT:
        call.eax = call.allocate(size)


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


# -- facts --


def _is_wdm(call: ApiCall) -> None:
    call.eax = int(tuple(word & 0xFF for word in call.arguments[:2]) <= _WDM_6)


def _constant(value: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = value

    return behaviour


def _choice(*values: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = pick(call, values)

    return behaviour


def _process(call: ApiCall) -> None:
    call.eax = current_process(call)


def _session(call: ApiCall) -> None:
    call.put_u32(call.arguments[1], pick(call, (1, 0)))


def _is_synchronous(call: ApiCall) -> None:
    """A synchronous file, or a function that is synchronous on any file."""
    irp = call.view("IRP", call.arguments[0])
    file = call.view("IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"])["FileObject"]
    flags = call.view("FILE_OBJECT", file)["Flags"] if file else 0
    call.eax = int(bool(flags & _FO_SYNCHRONOUS_IO or irp["Flags"] & _IRP_SYNCHRONOUS_API))


def _generic_mapping(call: ApiCall) -> None:
    call.eax = call.allocate(len(_FILE_MAPPING))
    call.write(call.eax, _FILE_MAPPING)


def _event(kind: int) -> Callable[[ApiCall], None]:
    """IoCreateNotificationEvent and IoCreateSynchronizationEvent make a KEVENT, signaled, or open one by name."""

    def behaviour(call: ApiCall) -> None:
        _name, handle_out = call.arguments[:2]
        limit_irql(call, PASSIVE_LEVEL)
        if not call.succeeds:
            return
        call.eax = call.new("KEVENT").address
        links = call.eax + 8
        call.write(call.eax, struct.pack("<BBBBIII", kind, 0, 4, 0, 1, links, links))
        call.put_u32(handle_out, open_handle(call, call.eax))

    return behaviour


def _stream_file(call: ApiCall) -> None:
    """A file object for a stream of an open file or of a device."""
    original, device = call.arguments[:2]
    limit_irql(call, APC_LEVEL)
    file = call.new("FILE_OBJECT")
    file["Type"], file["Size"] = IO_TYPE_FILE, file.layout.size
    file["DeviceObject"] = call.u32(original + layout("FILE_OBJECT").offset("DeviceObject")) if original else device
    file["Flags"] = 0x100  # FO_STREAM_FILE
    call.eax = file.address


def _name_of_volume(call: ApiCall) -> None:
    """IoVolumeDeviceToDosName answers with a UNICODE_STRING whose buffer the caller frees."""
    if not call.succeeds:
        call.fail()
        return
    data = "C:\0".encode("utf-16-le")
    buffer = allocate_pool(call, len(data))
    call.write(buffer, data)
    call.write(call.arguments[1], struct.pack("<HHI", len(data) - 2, len(data), buffer))


def _name_of_file(call: ApiCall) -> None:
    """IoQueryFileDosDeviceName answers with an OBJECT_NAME_INFORMATION that the caller frees."""
    if not call.succeeds:
        call.fail()
        return
    data = "C:\\Directory\\File.txt\0".encode("utf-16-le")
    address = allocate_pool(call, 8 + len(data))
    call.write(address, struct.pack("<HHI", len(data) - 2, len(data), address + 8) + data)
    call.put_u32(call.arguments[1], address)


_SILENT = (
    "IoWriteErrorLogEntry", "IoFreeErrorLogEntry", "IoRaiseHardError",
    "IoSetHardErrorOrVerifyDevice", "IoSetDeviceToVerify", "IoQueueThreadIrp", "IoCancelFileOpen",
)  # fmt: skip

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_SILENT, _nothing),
    "IoAllocateErrorLogEntry": _allocate_entry,
    "IoIsWdmVersionAvailable": _is_wdm,
    "IoGetRequestorProcess": _process,
    "IoGetInitiatorProcess": _process,
    "IoGetRequestorProcessId": _constant(CURRENT_PROCESS_ID),
    "IoGetRequestorSessionId": _session,
    "IoIs32bitProcess": _constant(1),
    "IoIsOperationSynchronous": _is_synchronous,
    "IoIsSystemThread": _choice(0, 1),
    "IoIsFileOriginRemote": _choice(0, 1),
    "IoGetIoPriorityHint": _constant(_NORMAL_PRIORITY),
    "IoGetPagingIoPriority": _constant(0),
    "IoGetDeviceToVerify": _constant(0),
    "IoGetTransactionParameterBlock": _constant(0),
    "IoGetOplockKeyContext": _constant(0),
    "IoGetFileObjectGenericMapping": _generic_mapping,
    "IoCreateNotificationEvent": _event(0),
    "IoCreateSynchronizationEvent": _event(1),
    "IoCreateStreamFileObject": _stream_file,
    "IoCreateStreamFileObjectLite": _stream_file,
    "IoCreateStreamFileObjectEx": _stream_file,
    "IoVolumeDeviceToDosName": _name_of_volume,
    "RtlVolumeDeviceToDosName": _name_of_volume,
    "IoQueryFileDosDeviceName": _name_of_file,
}
