"""Parameters and buffers of requests by major function: what a dispatch routine finds in an IRP.

IO_STACK_LOCATION.Parameters: wdm.h and ntifs.h, with the pages of the IRP_MJ_ codes and "Buffer Descriptions for
I/O Control Codes" in the WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api import irp_pnp
from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.devices import DO_BUFFERED_IO, DO_DIRECT_IO, foreign_device
from stackemu.emu.kernel.api.irp_building import METHOD_BUFFERED, METHOD_NEITHER, METHOD_OUT_DIRECT
from stackemu.emu.kernel.api.irp_request import Request
from stackemu.emu.kernel.api.mdl import lock_pages, make_mdl
from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.user_memory import user_buffer

MAX_BUFFER = 0x10000
"""Bytes of a request's buffer at most; lengths may say more, as a program's may."""
_LENGTHS = (0x100, 0x10, 4, 0x40, 0, 8, 0x400, PAGE, 1)
_OFFSETS = (0, 0x200, PAGE, 0x1_0000_0000)

_FILE_CLASSES = (5, 4, 6, 7, 8, 9, 14, 18, 22, 34, 35)
"""FILE_INFORMATION_CLASS: standard, basic, internal, EA, access, name, position, all, stream, network open, tag."""
_SETTABLE_CLASSES = (20, 4, 10, 11, 13, 14, 19)
"""End of file, basic, rename, link, disposition, position, allocation."""
_RENAME_CLASSES = (10, 11)
_VOLUME_CLASSES = (3, 1, 4, 5, 6, 7)
_SETTABLE_VOLUME_CLASSES = (2, 6, 8)
_DIRECTORY_CLASSES = (3, 1, 2, 12, 37, 38)
_QUERY_DIRECTORY, _NOTIFY_DIRECTORY = 1, 2
_USER_FS_REQUEST, _MOUNT_VOLUME, _VERIFY_VOLUME, _LOAD_FILE_SYSTEM, _KERNEL_CALL = range(5)
_FILE_DEVICE_UNKNOWN, _FILE_DEVICE_FILE_SYSTEM = 0x22, 9
_FS_CONTROL_CODES = (0x000900A8, 0x00090018, 0x0009001C, 0x00090028, 0x000900C0, 0x0009009B, 0x000940C8)
"""FSCTL_GET_REPARSE_POINT, LOCK_VOLUME, UNLOCK_VOLUME, IS_VOLUME_MOUNTED, CREATE_OR_GET_OBJECT_ID, SET_OBJECT_ID,
FILE_PREFETCH (winioctl.h)."""
_FIRST_VENDOR_FUNCTION = 0x800
_CONTROL_FUNCTIONS = 16
_SYNCHRONOUS_DISPOSITION, _OPEN, _CREATE, _OPEN_IF, _OVERWRITE_IF = 0, 1, 2, 3, 5
_FILE_READ_WRITE = 0x0012019F
_ATTRIBUTE_NORMAL, _SHARE_ALL = 0x80, 7


def _system_buffer(request: Request, size: int) -> int:
    """Give the IRP a system buffer that holds what the input says."""
    buffer = request.context.allocate(min(size, MAX_BUFFER), zeroed=False) if size else 0
    request.irp["AssociatedIrp.SystemBuffer"] = buffer
    return buffer


def _mdl(request: Request, size: int, *, is_written: bool) -> None:
    """Give the IRP a locked MDL over a user-mode buffer."""
    context = request.context
    if size:
        mdl = make_mdl(context, user_buffer(context, min(size, MAX_BUFFER)), size)
        lock_pages(context, mdl, is_written=is_written)
        request.irp["MdlAddress"] = mdl.address


def _user_buffer(request: Request, size: int) -> int:
    return user_buffer(request.context, min(size, MAX_BUFFER)) if size else 0


def _device_buffer(request: Request, size: int, *, is_written: bool) -> None:
    """Give the IRP a buffer in the way that the device's flags ask for."""
    flags = request.device["Flags"]
    if flags & DO_BUFFERED_IO:
        _system_buffer(request, size)
    elif flags & DO_DIRECT_IO:
        _mdl(request, size, is_written=is_written)
    else:
        request.irp["UserBuffer"] = _user_buffer(request, size)


# -- create --


def _fill_create(request: Request) -> None:
    context, location = request.context, request.location
    disposition = pick(context, (_OPEN, _CREATE, _OPEN_IF, _OVERWRITE_IF, _SYNCHRONOUS_DISPOSITION))
    options = pick(context, (0x40, 0x60, 0x21, 0x1040), 1)  # FILE_NON_DIRECTORY_FILE and its kin
    location["Parameters.Create.Options"] = disposition << 24 | options
    location["Parameters.Create.FileAttributes"] = _ATTRIBUTE_NORMAL
    location["Parameters.Create.ShareAccess"] = _SHARE_ALL


def _prepare_create(request: Request) -> None:
    context, location = request.context, request.location
    location["Parameters.Create.SecurityContext"] = security_context(context)
    _system_buffer(request, location["Parameters.Create.EaLength"])


def security_context(context: Context) -> int:
    """Return the address of an IO_SECURITY_CONTEXT that asks for reading and writing."""
    state = context.allocate(0x80)  # ACCESS_STATE: the rights at 0x10 to 0x18, the subject context at 0x1C
    context.write(state + 0x10, struct.pack("<III", _FILE_READ_WRITE, 0, _FILE_READ_WRITE))
    context.put_u32(state + 0x24, context.allocate(0x400, zeroed=False))
    security = context.new("IO_SECURITY_CONTEXT")
    security["AccessState"], security["DesiredAccess"] = state, _FILE_READ_WRITE
    return security.address


# -- reads, writes, controls --


def _fill_transfer(request: Request) -> None:
    context, location = request.context, request.location
    location["Parameters.Read.Length"] = pick(context, _LENGTHS)
    location["Parameters.Read.ByteOffset"] = pick(context, _OFFSETS, 1)


def _prepare_read(request: Request) -> None:
    _device_buffer(request, request.location["Parameters.Read.Length"], is_written=True)


def _prepare_write(request: Request) -> None:
    _device_buffer(request, request.location["Parameters.Write.Length"], is_written=False)


def _fill_control(request: Request) -> None:
    """A vendor's code of the device's type: function 0x800 and up, any method, any access."""
    context, location = request.context, request.location
    kind = request.device["DeviceType"] or _FILE_DEVICE_UNKNOWN
    function = _FIRST_VENDOR_FUNCTION + below(context, _CONTROL_FUNCTIONS)
    method, access = below(context, 4, 1), pick(context, (0, 3, 1, 2), 2)
    location["Parameters.DeviceIoControl.IoControlCode"] = kind << 16 | access << 14 | function << 2 | method
    _fill_lengths(request)


def _fill_lengths(request: Request) -> None:
    """The same place serves device and file system controls."""
    location = request.location
    location["Parameters.DeviceIoControl.OutputBufferLength"] = pick(request.context, _LENGTHS, 3)
    location["Parameters.DeviceIoControl.InputBufferLength"] = pick(request.context, _LENGTHS, 4)


def _prepare_control(request: Request) -> None:
    irp, location = request.irp, request.location
    source_size = location["Parameters.DeviceIoControl.InputBufferLength"]
    target_size = location["Parameters.DeviceIoControl.OutputBufferLength"]
    method = location["Parameters.DeviceIoControl.IoControlCode"] & 3
    if method == METHOD_NEITHER:
        location["Parameters.DeviceIoControl.Type3InputBuffer"] = _user_buffer(request, source_size)
        irp["UserBuffer"] = _user_buffer(request, target_size)
    elif method == METHOD_BUFFERED:
        _system_buffer(request, max(source_size, target_size))
        irp["UserBuffer"] = _user_buffer(request, target_size)
    else:
        _system_buffer(request, source_size)
        _mdl(request, target_size, is_written=method == METHOD_OUT_DIRECT)


# -- information about files and volumes --


def _fill_class(classes: tuple[int, ...]) -> Callable[[Request], None]:
    """Length and class lie at the same place for files and volumes."""

    def fill(request: Request) -> None:
        location = request.location
        location["Parameters.QueryFile.FileInformationClass"] = pick(request.context, classes)
        location["Parameters.QueryFile.Length"] = pick(request.context, _LENGTHS, 1)

    return fill


def _prepare_system(request: Request) -> None:
    _system_buffer(request, request.location["Parameters.QueryFile.Length"])


def _prepare_set(request: Request) -> None:
    """A rename or a link says how long its name is: ReplaceIfExists, RootDirectory, FileNameLength, FileName."""
    location = request.location
    length = location["Parameters.SetFile.Length"]
    buffer = _system_buffer(request, length)
    name = "\\New.txt".encode("utf-16-le")
    if location["Parameters.SetFile.FileInformationClass"] in _RENAME_CLASSES and length >= 12 + len(name):
        request.context.write(buffer, struct.pack("<III", 0, 0, len(name)) + name)


def _fill_directory(request: Request) -> None:
    context, location = request.context, request.location
    location["MinorFunction"] = minor = pick(context, (_QUERY_DIRECTORY, _NOTIFY_DIRECTORY))
    location["Parameters.QueryDirectory.Length"] = pick(context, _LENGTHS, 1)
    if minor == _NOTIFY_DIRECTORY:
        location["Parameters.NotifyDirectory.CompletionFilter"] = 0x17F
        return
    location["Parameters.QueryDirectory.FileInformationClass"] = pick(context, _DIRECTORY_CLASSES, 2)


def _prepare_directory(request: Request) -> None:
    context, location = request.context, request.location
    if location["MinorFunction"] == _QUERY_DIRECTORY:
        pattern = context.new("UNICODE_STRING")
        context.put_counted(pattern.address, "*.txt".encode("utf-16-le"))
        location["Parameters.QueryDirectory.FileName"] = pick(context, (pattern.address, 0), 3)
    _device_buffer(request, location["Parameters.QueryDirectory.Length"], is_written=True)


def _fill_fs_control(request: Request) -> None:
    context, location = request.context, request.location
    minors = (_USER_FS_REQUEST, _KERNEL_CALL, _MOUNT_VOLUME, _VERIFY_VOLUME, _LOAD_FILE_SYSTEM)
    location["MinorFunction"] = minor = pick(context, minors)
    if minor in (_USER_FS_REQUEST, _KERNEL_CALL):
        location["Parameters.FileSystemControl.FsControlCode"] = pick(context, _FS_CONTROL_CODES, 1)
        _fill_lengths(request)


def _prepare_fs_control(request: Request) -> None:
    context, location = request.context, request.location
    if location["MinorFunction"] in (_USER_FS_REQUEST, _KERNEL_CALL):
        _prepare_control(request)
        return
    if location["MinorFunction"] in (_MOUNT_VOLUME, _VERIFY_VOLUME):
        volume = context.new("VPB")
        volume["Type"], volume["Size"] = 10, volume.layout.size  # IO_TYPE_VPB
        volume["RealDevice"] = foreign_device(context)
        location["Parameters.MountVolume.Vpb"] = volume.address
    location["Parameters.MountVolume.DeviceObject"] = foreign_device(context)


# -- extended attributes, security, locks, quotas --


def _fill_length(request: Request) -> None:
    """Length is the first parameter of many requests."""
    request.location["Parameters.SetEa.Length"] = pick(request.context, _LENGTHS)


def _prepare_first_length(request: Request) -> None:
    _device_buffer(request, request.location["Parameters.SetEa.Length"], is_written=True)


def _fill_query_security(request: Request) -> None:
    request.location["Parameters.QuerySecurity.SecurityInformation"] = pick(request.context, (4, 1, 2, 7, 15))
    request.location["Parameters.QuerySecurity.Length"] = pick(request.context, _LENGTHS, 1)


def _prepare_query_security(request: Request) -> None:
    request.irp["UserBuffer"] = _user_buffer(request, request.location["Parameters.QuerySecurity.Length"])


def _fill_set_security(request: Request) -> None:
    request.location["Parameters.SetSecurity.SecurityInformation"] = pick(request.context, (4, 1, 2, 7, 15))


def _prepare_set_security(request: Request) -> None:
    """An empty self-relative descriptor: revision 1, SE_SELF_RELATIVE."""
    descriptor = request.context.allocate(20)
    request.context.write(descriptor, struct.pack("<BBH", 1, 0, 0x8000))
    request.location["Parameters.SetSecurity.SecurityDescriptor"] = descriptor


def _fill_lock(request: Request) -> None:
    location = request.location
    location["MinorFunction"] = pick(request.context, (1, 2, 3, 4))  # IRP_MN_LOCK to IRP_MN_UNLOCK_ALL_BY_KEY
    location["Flags"] = pick(request.context, (1, 3, 0, 2), 1)  # SL_FAIL_IMMEDIATELY, SL_EXCLUSIVE_LOCK
    location["Parameters.LockControl.ByteOffset"] = pick(request.context, _OFFSETS, 2)


def _prepare_lock(request: Request) -> None:
    length = request.context.allocate(8)
    request.context.put_u64(length, 0x100)
    request.location["Parameters.LockControl.Length"] = length


_Step = Callable[[Request], None]

FILL: Mapping[int, _Step] = {
    0: _fill_create,
    1: _fill_create,
    3: _fill_transfer,
    4: _fill_transfer,
    5: _fill_class(_FILE_CLASSES),
    6: _fill_class(_SETTABLE_CLASSES),
    7: _fill_length,
    8: _fill_length,
    10: _fill_class(_VOLUME_CLASSES),
    11: _fill_class(_SETTABLE_VOLUME_CLASSES),
    12: _fill_directory,
    13: _fill_fs_control,
    14: _fill_control,
    15: _fill_control,
    17: _fill_lock,
    19: _fill_create,
    20: _fill_query_security,
    21: _fill_set_security,
    25: _fill_length,
    26: _fill_length,
    **irp_pnp.FILL,
}
"""What chooses a request's parameters, by major function."""

PREPARE: Mapping[int, _Step] = {
    0: _prepare_create,
    1: _prepare_create,
    3: _prepare_read,
    4: _prepare_write,
    5: _prepare_system,
    6: _prepare_set,
    7: _prepare_first_length,
    8: _prepare_first_length,
    10: _prepare_system,
    11: _prepare_system,
    12: _prepare_directory,
    13: _prepare_fs_control,
    14: _prepare_control,
    15: _prepare_control,
    17: _prepare_lock,
    19: _prepare_create,
    20: _prepare_query_security,
    21: _prepare_set_security,
    25: _prepare_first_length,
    26: _prepare_first_length,
    **irp_pnp.PREPARE,
}
"""What makes the buffers that the parameters call for, by major function."""
