"""Parameters and buffers of operations by major function: what a minifilter finds in FLT_IO_PARAMETER_BLOCK.

FLT_PARAMETERS of fltKernel.h, with a page "FLT_PARAMETERS for ..." for each operation in the WDK; on x86 the union is
packed to 4 bytes. Offsets here are those in FLT_PARAMETERS.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import foreign_device
from stackemu.emu.kernel.api.fltmgr.information import (
    FILE_PATH,
    directory_entries,
    file_information,
    volume_information,
)
from stackemu.emu.kernel.api.irp_parameters import security_context
from stackemu.emu.kernel.api.irp_roles import make_request
from stackemu.emu.kernel.api.mdl import lock_pages, make_mdl
from stackemu.emu.kernel.call import USER_END, Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.objects import file_object
from stackemu.emu.kernel.user_memory import user_buffer

MAX_BUFFER = 0x10000
"""Bytes of an operation's buffer at most; lengths may say more, as a program's may."""
MINOR_KEY = 4
"""Which of a context's drawn numbers chooses the minor function; those below belong to the parameters."""
(
    CREATE, READ, WRITE, QUERY_INFORMATION, SET_INFORMATION, QUERY_EA, SET_EA, QUERY_VOLUME_INFORMATION,
    SET_VOLUME_INFORMATION, DIRECTORY_CONTROL, FILE_SYSTEM_CONTROL, DEVICE_CONTROL, INTERNAL_DEVICE_CONTROL,
    LOCK_CONTROL, QUERY_SECURITY, SET_SECURITY, SYSTEM_CONTROL, QUERY_QUOTA, SET_QUOTA,
) = (0, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15, 17, 20, 21, 23, 25, 26)  # fmt: skip
QUERY_DIRECTORY, NOTIFY_CHANGE_DIRECTORY = 1, 2
_USER_FS_REQUEST, _MOUNT_VOLUME, _VERIFY_VOLUME, _KERNEL_CALL = 0, 1, 2, 4

_LENGTHS = (0x100, 0x10, 4, 0x40, 0, 8, 0x400, PAGE, 1)
_OFFSETS = (0, 0x200, PAGE, 0x1_0000_0000, 0xFFFF_FFFF_FFFF_FFFF)
_CREATE_OPTIONS = (
    1 << 24 | 0x60, 2 << 24 | 0x60, 3 << 24 | 0x40, 5 << 24 | 0x60, 0 << 24 | 0x1060, 1 << 24 | 0x21,
    1 << 24 | 0x4021,
    4 << 24 | 0x20, 1 << 24 | 0x2000, 1 << 24 | 0x200000,
)  # fmt: skip
"""Disposition in the highest byte; files, directories, deletion on close, by id, of reparse points."""
_FILE_CLASSES = (5, 4, 9, 18, 22, 34, 6, 7, 14, 21, 35, 48, 59)
_SETTABLE_CLASSES = (4, 10, 13, 20, 19, 11, 14, 64, 65, 39)
_VOLUME_CLASSES = (3, 1, 4, 5, 6, 7, 8, 11)
_SETTABLE_VOLUME_CLASSES = (2, 6, 8)
_DIRECTORY_CLASSES = (3, 1, 2, 12, 37, 38)
_CONTROL_CODES = (
    0x00090000, 0x00090008, 0x0009005C, 0x00090240, 0x00090004, 0x000900A8, 0x000900A4, 0x000900AC, 0x00090018,
    0x0009001C, 0x00090020, 0x00090028, 0x0009C040, 0x000900C4, 0x000980C8, 0x000900C0, 0x00094264, 0x0009403E,
)  # fmt: skip
"""FSCTL_REQUEST_OPLOCK_LEVEL_1, BATCH, FILTER, REQUEST_OPLOCK, LEVEL_2; reparse points; volumes; compression, sparse
files, zero data, object ids, offloaded reads, encryption (winioctl.h)."""
_DEVICE_CODES = (0x00070000, 0x002D1400, 0x0007405C, 0x00560000, 0x004D0008, 0x0022E003, 0x00222005, 0x002D4804)
"""IOCTL_DISK_GET_DRIVE_GEOMETRY, IOCTL_STORAGE_QUERY_PROPERTY, the disk's length, volume extents, mount manager's and
vendors' codes of each method."""
_SECURITY_INFORMATION = (4, 1, 2, 7, 15)
_ALL_NOTIFICATIONS = 0x17F
_PNP_MINORS = (0, 1, 2, 7, 9, 4, 5, 6, 0x17, 3)
_POWER_MINORS = (2, 3, 0, 1)
_WMI_MINORS = (0, 1, 4, 8, 11)
_LOCK_MINORS = (1, 2, 3, 4)
_METHOD_BUFFERED, _METHOD_OUT_DIRECT, _METHOD_NEITHER = 0, 2, 3
_CONTROL_BUFFERS = 12
"""Where the buffers of controls begin: input, output, MDL of the output."""


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation under construction: `is_user` tells where buffers lie, `has_mdl` whether they come with an MDL."""

    context: Context
    data: View
    block: View
    is_user: bool
    has_mdl: bool

    @property
    def major(self) -> int:
        """Return the major function."""
        return self.block["MajorFunction"]

    def get(self, offset: int, size: int = 4) -> int:
        """Return the parameter at an offset."""
        return int.from_bytes(self.context.read(self.block.at("Parameters") + offset, size), "little")

    def put(self, offset: int, value: int, size: int = 4) -> None:
        """Write the parameter at an offset."""
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        self.context.write(self.block.at("Parameters") + offset, data)


@dataclass(frozen=True, slots=True)
class Buffer:
    """Offsets of a buffer's length, of the buffer and of its MDL (None: it never has one)."""

    length: int
    buffer: int
    mdl: int | None
    is_written: bool


BUFFERS: Mapping[int, Buffer] = {
    READ: Buffer(0, 16, 20, is_written=True),
    WRITE: Buffer(0, 16, 20, is_written=False),
    QUERY_INFORMATION: Buffer(0, 8, None, is_written=True),
    SET_INFORMATION: Buffer(0, 16, None, is_written=False),
    QUERY_EA: Buffer(0, 16, 20, is_written=True),
    SET_EA: Buffer(0, 4, 8, is_written=False),
    QUERY_VOLUME_INFORMATION: Buffer(0, 8, None, is_written=True),
    SET_VOLUME_INFORMATION: Buffer(0, 8, None, is_written=False),
    DIRECTORY_CONTROL: Buffer(0, 16, 20, is_written=True),
    QUERY_SECURITY: Buffer(4, 8, 12, is_written=True),
    SYSTEM_CONTROL: Buffer(8, 12, None, is_written=True),
    QUERY_QUOTA: Buffer(0, 16, 20, is_written=True),
    SET_QUOTA: Buffer(0, 4, 8, is_written=False),
}
"""Where each major function with one buffer has it."""

_Choice = tuple[int, int, tuple[int, ...]]
_LENGTH: _Choice = (0, 4, _LENGTHS)
_AT_OFFSET: _Choice = (8, 8, _OFFSETS)
_FIRST_OFFSET: _Choice = (0, 8, _OFFSETS)
_SECOND_LENGTH: _Choice = (8, 4, _LENGTHS)
_ONE_BYTE_FLAG = (1, 0)

_CHOICES: Mapping[int, tuple[_Choice, ...]] = {
    CREATE: ((4, 4, _CREATE_OPTIONS), (8, 2, (0x80, 0x20, 0x10)), (10, 2, (7, 1, 0))),
    1: ((4, 4, (0x02000000, 0x03000000)), (10, 2, (3, 1))),
    READ: (_LENGTH, _AT_OFFSET),
    WRITE: (_LENGTH, _AT_OFFSET),
    QUERY_INFORMATION: (_LENGTH, (4, 4, _FILE_CLASSES)),
    SET_INFORMATION: (_LENGTH, (4, 4, _SETTABLE_CLASSES), (12, 1, _ONE_BYTE_FLAG)),
    QUERY_EA: (_LENGTH, (12, 4, (0, 1))),
    SET_EA: (_LENGTH,),
    QUERY_VOLUME_INFORMATION: (_LENGTH, (4, 4, _VOLUME_CLASSES)),
    SET_VOLUME_INFORMATION: (_LENGTH, (4, 4, _SETTABLE_VOLUME_CLASSES)),
    DIRECTORY_CONTROL: (_LENGTH, (8, 4, _DIRECTORY_CLASSES)),
    FILE_SYSTEM_CONTROL: (_LENGTH, (4, 4, _LENGTHS), (8, 4, _CONTROL_CODES)),
    DEVICE_CONTROL: (_LENGTH, (4, 4, _LENGTHS), (8, 4, _DEVICE_CODES)),
    INTERNAL_DEVICE_CONTROL: (_LENGTH, (4, 4, _LENGTHS), (8, 4, _DEVICE_CODES)),
    LOCK_CONTROL: (_AT_OFFSET, (20, 1, _ONE_BYTE_FLAG), (21, 1, _ONE_BYTE_FLAG)),
    QUERY_SECURITY: ((0, 4, _SECURITY_INFORMATION), (4, 4, _LENGTHS)),
    SET_SECURITY: ((0, 4, _SECURITY_INFORMATION),),
    SYSTEM_CONTROL: ((8, 4, _LENGTHS),),
    QUERY_QUOTA: (_LENGTH,),
    SET_QUOTA: (_LENGTH,),
    0xFF: ((0, 4, (1, 0)), (4, 4, (2, 4, 0x20, 0x80))),
    0xF9: ((12, 4, (34, 4)),),
    0xF3: (_FIRST_OFFSET, _SECOND_LENGTH, (16, 1, _ONE_BYTE_FLAG)),
    0xF1: (_FIRST_OFFSET, _SECOND_LENGTH),
    0xEF: (_FIRST_OFFSET, _SECOND_LENGTH),
    0xEE: (_FIRST_OFFSET,),
    0xED: ((0, 4, (8, 0x14, 3)),),
}
"""Parameters that the input chooses, as (offset, bytes, values)."""

_MINORS: Mapping[int, tuple[int, ...]] = {
    DIRECTORY_CONTROL: (QUERY_DIRECTORY, NOTIFY_CHANGE_DIRECTORY),
    FILE_SYSTEM_CONTROL: (_USER_FS_REQUEST, _KERNEL_CALL, _MOUNT_VOLUME, _VERIFY_VOLUME, 3),
    READ: (0, 2, 4),
    WRITE: (0, 2, 4),
    LOCK_CONTROL: _LOCK_MINORS,
    22: _POWER_MINORS,
    SYSTEM_CONTROL: _WMI_MINORS,
    27: _PNP_MINORS,
}
"""Minor functions by major function: the first is the most common."""


def choose(operation: Operation) -> None:
    """Choose an operation's minor function and parameters."""
    operation.block["MinorFunction"] = pick(operation.context, _MINORS.get(operation.major, (0,)), MINOR_KEY)
    for key, (offset, size, values) in enumerate(_CHOICES.get(operation.major, ())):
        operation.put(offset, pick(operation.context, values, key), size)
    if operation.major == DIRECTORY_CONTROL and operation.block["MinorFunction"] == NOTIFY_CHANGE_DIRECTORY:
        operation.put(4, _ALL_NOTIFICATIONS)
        operation.put(8, 0)


def prepare(operation: Operation) -> None:
    """Make the buffers and structures that an operation's parameters call for."""
    known = BUFFERS.get(operation.major)
    if known is not None:
        mdl = known.mdl if operation.has_mdl else None
        place_buffer(operation, operation.get(known.length), known.buffer, mdl, is_written=known.is_written)
    finish = _STRUCTURES.get(operation.major)
    if finish is not None:
        finish(operation)


def place_buffer(operation: Operation, size: int, buffer_at: int, mdl_at: int | None, *, is_written: bool) -> None:
    """Give an operation a buffer, with a locked MDL if it is to have one."""
    context = operation.context
    size = min(size, MAX_BUFFER)
    if not size:
        operation.put(buffer_at, 0)
        return
    address = user_buffer(context, size) if operation.is_user else context.allocate(size, zeroed=False)
    operation.put(buffer_at, address)
    if mdl_at is not None:
        mdl = make_mdl(context, address, size)
        lock_pages(context, mdl, is_written=is_written)
        operation.put(mdl_at, mdl.address)


def _fill(operation: Operation, data: bytes) -> None:
    known = BUFFERS[operation.major]
    address = operation.get(known.buffer)
    if address:
        operation.context.write(address, data[: operation.get(known.length)])


def _create(operation: Operation) -> None:
    operation.put(0, security_context(operation.context))


def _set_information(operation: Operation) -> None:
    kind = operation.get(4)
    answer = file_information(operation.context, kind)
    if answer is not None:
        _fill(operation, answer.data)
    if kind in (10, 11, 65):
        operation.put(8, pick(operation.context, (0, file_object(operation.context).address), 3))


def _set_volume(operation: Operation) -> None:
    answer = volume_information(operation.get(4))
    if answer is not None:
        _fill(operation, answer.data)


def _directory(operation: Operation) -> None:
    if operation.block["MinorFunction"] == QUERY_DIRECTORY:
        context = operation.context
        pattern = context.new("UNICODE_STRING")
        context.put_counted(pattern.address, "*.txt".encode("utf-16-le"))
        operation.put(4, pick(context, (pattern.address, 0), 3))


def _control(operation: Operation) -> None:
    """Buffers go where the method of the code says; output with METHOD_BUFFERED takes the input's place."""
    output, source, method = operation.get(0), operation.get(4), operation.get(8) & 3
    kernel = Operation(operation.context, operation.data, operation.block, is_user=False, has_mdl=False)
    if method == _METHOD_BUFFERED:
        place_buffer(kernel, max(output, source), _CONTROL_BUFFERS, None, is_written=True)
        return
    first = operation if method == _METHOD_NEITHER else kernel
    place_buffer(first, source, _CONTROL_BUFFERS, None, is_written=False)
    mdl_at = _CONTROL_BUFFERS + 8 if method != _METHOD_NEITHER or operation.has_mdl else None
    is_written = method in (_METHOD_OUT_DIRECT, _METHOD_NEITHER)
    place_buffer(operation, output, _CONTROL_BUFFERS + 4, mdl_at, is_written=is_written)


def _fs_control(operation: Operation) -> None:
    context = operation.context
    if operation.block["MinorFunction"] in (_USER_FS_REQUEST, _KERNEL_CALL):
        _control(operation)
        return
    volume = context.new("VPB")
    volume["Type"], volume["Size"] = 10, volume.layout.size  # IO_TYPE_VPB
    volume["RealDevice"] = foreign_device(context)
    operation.put(0, volume.address)
    operation.put(4, foreign_device(context))


def _lock(operation: Operation) -> None:
    length = operation.context.allocate(8)
    operation.context.put_u64(length, 0x100)
    operation.put(0, length)


def _set_security(operation: Operation) -> None:
    """An empty self-relative descriptor: revision 1, SE_SELF_RELATIVE."""
    descriptor = operation.context.allocate(20)
    operation.context.write(descriptor, struct.pack("<BBH", 1, 0, 0x8000))
    operation.put(4, descriptor)


def _mod_write(operation: Operation) -> None:
    """EndingOffset and where to put the resource that was acquired."""
    offset = operation.context.allocate(8)
    operation.context.put_u64(offset, PAGE)
    operation.put(0, offset)
    operation.put(4, operation.context.allocate(4))


def _resource(operation: Operation) -> None:
    operation.put(0, operation.context.new("ERESOURCE").address)


def _query_open(operation: Operation) -> None:
    """An IRP that is not sent, and where the information goes."""
    context = operation.context
    operation.put(0, make_request(context, foreign_device(context), CREATE).address)
    operation.put(4, context.allocate(56))
    if operation.major == 0xF9:
        length = context.allocate(4)
        context.put_u32(length, 56)
        operation.put(8, length)


def _mdl_chain(at: int) -> Callable[[Operation], None]:
    """Reads and writes by MDL have a place for it; their completions have the MDL itself."""

    def make(operation: Operation) -> None:
        context = operation.context
        if operation.major in (0xF1, 0xEF):
            operation.put(at, context.allocate(4))
            return
        mdl = make_mdl(context, context.allocate(PAGE, zeroed=False), PAGE)
        lock_pages(context, mdl, is_written=False)
        operation.put(at, mdl.address)

    return make


_STRUCTURES: Mapping[int, Callable[[Operation], None]] = {
    CREATE: _create,
    1: _create,
    19: _create,
    SET_INFORMATION: _set_information,
    SET_VOLUME_INFORMATION: _set_volume,
    DIRECTORY_CONTROL: _directory,
    FILE_SYSTEM_CONTROL: _fs_control,
    DEVICE_CONTROL: _control,
    INTERNAL_DEVICE_CONTROL: _control,
    LOCK_CONTROL: _lock,
    SET_SECURITY: _set_security,
    0xFD: _mod_write,
    0xFC: _resource,
    0xF9: _query_open,
    0xF2: _query_open,
    0xF1: _mdl_chain(16),
    0xF0: _mdl_chain(0),
    0xEF: _mdl_chain(16),
    0xEE: _mdl_chain(8),
}


def complete(operation: Operation) -> int:
    """Fill the buffers of an operation that succeeded; returns its Information."""
    known = BUFFERS.get(operation.major)
    if known is None:
        return (
            operation.get(0) if operation.major in (FILE_SYSTEM_CONTROL, DEVICE_CONTROL) else int(not operation.major)
        )
    length = operation.get(known.length)
    address = operation.get(known.buffer)
    if operation.major in (QUERY_INFORMATION, QUERY_VOLUME_INFORMATION, DIRECTORY_CONTROL):
        data = _answer(operation, length)[:length]
        if address and data and (address < USER_END or address >= 0x80000000):
            operation.context.write(address, data)
        return len(data)
    return length


def _answer(operation: Operation, length: int) -> bytes:
    if operation.major == QUERY_INFORMATION:
        answer = file_information(operation.context, operation.get(4))
    elif operation.major == QUERY_VOLUME_INFORMATION:
        answer = volume_information(operation.get(4))
    elif operation.block["MinorFunction"] == QUERY_DIRECTORY:
        answer = directory_entries(operation.get(8), length, "", single=False)
    else:
        name = FILE_PATH.rsplit("\\")[-1].encode("utf-16-le")
        return struct.pack("<III", 0, 3, len(name)) + name  # FILE_NOTIFY_INFORMATION: modified
    return answer.data if answer is not None else b""
