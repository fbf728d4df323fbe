"""Files that the driver opens: ZwCreateFile and its kin make a FILE_OBJECT of the options and a handle to it.

Pages of ZwCreateFile, ZwOpenFile, IoCreateFileEx and FILE_OBJECT in the WDK. How large a file is, is the input's to
say when the file is first asked about; what the driver writes changes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import find_device
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.object_manager import OBJ_KERNEL_HANDLE, STATUS_INVALID_HANDLE
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import Handles, object_of, open_handle
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.objects import IO_TYPE_FILE, file_object, stream_header

FO_SYNCHRONOUS_IO, FO_HANDLE_CREATED = 0x2, 0x40000
_OPTION_FLAGS = (
    (0x30, FO_SYNCHRONOUS_IO),  # FILE_SYNCHRONOUS_IO_ALERT, FILE_SYNCHRONOUS_IO_NONALERT
    (0x10, 0x4),  # FO_ALERTABLE_IO
    (0x08, 0x8),  # FO_NO_INTERMEDIATE_BUFFERING
    (0x02, 0x10),  # FO_WRITE_THROUGH
    (0x04, 0x20),  # FO_SEQUENTIAL_ONLY
)
"""Flags of a FILE_OBJECT by the create options that set them."""
_READ_RIGHTS, _WRITE_RIGHTS, _DELETE_RIGHT = 0xB0000021, 0x50000006, 0x10010000
"""FILE_READ_DATA, FILE_EXECUTE; FILE_WRITE_DATA, FILE_APPEND_DATA; DELETE: with the generic rights that hold them."""
_SUPERSEDED, _OPENED, _CREATED, _OVERWRITTEN = range(4)
"""What IoStatusBlock.Information says was done (FILE_OPENED...)."""
_DISPOSITIONS: Mapping[int, tuple[int, ...]] = {
    0: (_SUPERSEDED, _CREATED),
    1: (_OPENED,),
    2: (_CREATED,),
    3: (_OPENED, _CREATED),
    4: (_OVERWRITTEN,),
    5: (_OVERWRITTEN, _CREATED),
}
"""What can have been done by create disposition, FILE_SUPERSEDE to FILE_OVERWRITE_IF."""
_OPEN = 1
_VOLUME = re.compile(r"\\(?:\?\?|DosDevices)\\[A-Za-z]:|\\Device\\[^\\]+", re.IGNORECASE)
"""What a path names of a volume or device: the FILE_OBJECT has the rest."""
_SIZES = (0x1234, 0x40, 0, 0x12340, 0x1_0000_0000)
"""Bytes that files have, as the input chooses."""
_OPAQUE_SIZE = 0x100


@dataclass(slots=True)
class OpenFiles:
    """Files by the address of their FILE_OBJECT: how large each is, and how often its directory was asked for."""

    sizes: dict[int, int] = field(default_factory=dict)
    scans: dict[int, int] = field(default_factory=dict)


def file_size(context: Context, file: int) -> int:
    """Return the bytes that a file has."""
    sizes = context.state(OpenFiles).sizes
    if file not in sizes:
        sizes[file] = pick(context, _SIZES, 1)
    return sizes[file]


def new_file(context: Context, name: str, device: int, options: int = 0) -> View:
    """Return a new FILE_OBJECT of a file system; `options` are those of ZwCreateFile."""
    file = context.new("FILE_OBJECT")
    file["Type"], file["Size"] = IO_TYPE_FILE, file.layout.size
    file["DeviceObject"] = device
    file["SectionObjectPointer"] = context.new("SECTION_OBJECT_POINTERS").address
    file["FsContext"] = stream_header(context)
    file["FsContext2"] = context.allocate(_OPAQUE_SIZE)
    file["Flags"] = FO_HANDLE_CREATED | sum({flag for asked, flag in _OPTION_FLAGS if options & asked})
    context.put_counted(file.at("FileName"), name.encode("utf-16-le", "surrogatepass"))
    return file


def file_of(call: ApiCall, handle: int) -> View:
    """Return the file that a handle stands for; one from elsewhere stands for a file that nobody here opened."""
    address = object_of(call, handle)
    if address is None:
        address = file_object(call).address
        call.state(Handles).objects[handle] = address
    return call.view("FILE_OBJECT", address)


def usable_file(call: ApiCall, handle: int) -> View | None:
    """Return the file to work on; None when the call is complete, its handle being closed or the input being against.

    Services on handles are called at PASSIVE_LEVEL.
    """
    limit_irql(call, PASSIVE_LEVEL)
    if handle in call.state(Handles).closed:
        call.note(f"{call.name}: the handle {handle:#x} was closed before")
        call.complete(STATUS_INVALID_HANDLE)
        return None
    if not call.succeeds:
        call.fail()
        return None
    return file_of(call, handle)


def put_status(call: ApiCall, block: int, status: int, information: int = 0) -> None:
    """Fill an IO_STATUS_BLOCK, and return the status."""
    view = call.view("IO_STATUS_BLOCK", block)
    view["Status"], view["Information"] = status, information
    call.complete(status)


def _create(call: ApiCall, *, access: int, share: int, disposition: int, options: int) -> None:
    handle_out, _access, attributes, block = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    asked = call.view("OBJECT_ATTRIBUTES", attributes)
    name, flags, root = call.unicode(asked["ObjectName"]), asked["Attributes"], asked["RootDirectory"]
    if not call.succeeds:
        call.fail()
        return
    volume = _VOLUME.match(name)
    device = find_device(call, volume.group() if volume else name)
    file = new_file(call, name[volume.end() :] if volume else name, device, options)
    file["RelatedFileObject"] = object_of(call, root) or 0 if root else 0
    file["ReadAccess"], file["WriteAccess"] = bool(access & _READ_RIGHTS), bool(access & _WRITE_RIGHTS)
    file["DeleteAccess"] = bool(access & _DELETE_RIGHT)
    for bit, right in enumerate(("SharedRead", "SharedWrite", "SharedDelete")):
        file[right] = share >> bit & 1
    done = pick(call, _DISPOSITIONS.get(disposition, (_OPENED,)))
    if done != _OPENED:
        call.state(OpenFiles).sizes[file.address] = 0
    call.put_u32(handle_out, open_handle(call, file.address, is_kernel=bool(flags & OBJ_KERNEL_HANDLE)))
    put_status(call, block, 0, done)


def _create_file(call: ApiCall) -> None:
    """(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, AllocationSize, FileAttributes, ...)."""
    share, disposition, options = call.arguments[6:9]
    _create(call, access=call.arguments[1], share=share, disposition=disposition, options=options)


def _open_file(call: ApiCall) -> None:
    """(FileHandle, DesiredAccess, ObjectAttributes, IoStatusBlock, ShareAccess, OpenOptions)."""
    share, options = call.arguments[4:6]
    _create(call, access=call.arguments[1], share=share, disposition=_OPEN, options=options)


def _delete(call: ApiCall) -> None:
    limit_irql(call, PASSIVE_LEVEL)
    call.unicode(call.view("OBJECT_ATTRIBUTES", call.arguments[0])["ObjectName"])
    if not call.succeeds:
        call.fail()


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ZwCreateFile": _create_file,
    "NtCreateFile": _create_file,
    "IoCreateFile": _create_file,
    "IoCreateFileEx": _create_file,
    "IoCreateFileSpecifyDeviceObjectHint": _create_file,
    "ZwOpenFile": _open_file,
    "NtOpenFile": _open_file,
    "ZwDeleteFile": _delete,
    "NtDeleteFile": _delete,
}
