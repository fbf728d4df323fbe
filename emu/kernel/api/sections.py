"""Sections: made of files or of memory, and mapped into the address space of a process.

Pages of ZwCreateSection, ZwOpenSection, ZwMapViewOfSection and MmCreateSection in the WDK. Views lie in user mode; a
view of an image begins with the headers of a PE file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.object_manager import OBJ_KERNEL_HANDLE, STATUS_INVALID_HANDLE
from stackemu.emu.kernel.api.open_files import file_of, file_size
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.handles import Handles, object_of, open_handle
from stackemu.emu.kernel.layouts import layout
from stackemu.emu.kernel.user_memory import user_buffer

_SEC_IMAGE = 0x1000000
_OBJECT_SIZE = 0x40
_GRANULARITY = 0x10000
"""Bytes that views begin at multiples of."""
_DEFAULT_SIZE = 0x10000
_MAX_VIEW = 0x4000000
STATUS_NOT_MAPPED_VIEW, STATUS_NO_MEMORY, STATUS_SECTION_TOO_BIG = 0xC0000019, 0xC0000017, 0xC0000040
STATUS_MAPPED_FILE_SIZE_ZERO = 0xC000011E
_ATTRIBUTES = layout("OBJECT_ATTRIBUTES")


@dataclass(slots=True)
class Section:
    """Bytes of a section, and whether it is an image's."""

    size: int
    is_image: bool


@dataclass(slots=True)
class Sections:
    """Sections by the address of their object; addresses of views that are mapped, and of those that were."""

    sections: dict[int, Section] = field(default_factory=dict)
    views: dict[int, None] = field(default_factory=dict)
    unmapped: dict[int, None] = field(default_factory=dict)


def _image_headers() -> bytes:
    """The headers of a DLL with one section and an empty export directory in it."""
    dos = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    file = b"PE\0\0" + struct.pack("<HHIIIHH", 0x14C, 1, 0x4A5BC60F, 0, 0, 224, 0x2102)
    sizes = struct.pack("<HBBIIIIII", 0x10B, 9, 0, 0x200, 0, 0, 0, PAGE, PAGE)
    places = struct.pack("<III6HIIIIHH", 0x77000000, PAGE, 0x200, 6, 1, 6, 1, 6, 1, 0, 2 * PAGE, 0x400, 0, 3, 0)
    stacks = struct.pack("<IIIIII", 0x40000, PAGE, 0x100000, PAGE, 0, 16)
    directories = struct.pack("<II", PAGE, 40).ljust(128, b"\0")
    section = b".text\0\0\0" + struct.pack("<IIIIIIHHI", 0x200, PAGE, 0x200, 0x400, 0, 0, 0, 0, 0x60000020)
    return dos + file + sizes + places + stacks + directories + section


_HEADERS = _image_headers()
_EXPORTS = struct.pack("<IIHHIIIIIII", 0, 0x4A5BC60F, 0, 0, PAGE + 40, 1, 0, 0, PAGE + 52, PAGE + 52, PAGE + 52)
_MODULE_NAME = b"ntdll.dll\0\0\0"


# -- making --


def _new_section(call: ApiCall, size: int, *, is_image: bool) -> int:
    address = call.allocate(_OBJECT_SIZE)
    call.state(Sections).sections[address] = Section(size, is_image)
    return address


def _size(call: ApiCall, size_at: int, file: int) -> int:
    """Return the bytes that a new section has: those asked for, or all that the file has."""
    asked = call.u64(size_at) if size_at else 0
    return asked or (file_size(call, file) if file else 0)


def _refusal(size: int, file: int) -> int:
    """Return why there can be no section of a size, 0 when there can be one."""
    if not size:
        return STATUS_MAPPED_FILE_SIZE_ZERO if file else 0xC000000D
    return STATUS_SECTION_TOO_BIG if size > 0x7FFFFFFF else 0


def _is_kernel(call: ApiCall, attributes: int) -> bool:
    return bool(attributes and call.u32(attributes + _ATTRIBUTES.offset("Attributes")) & OBJ_KERNEL_HANDLE)


def _create(call: ApiCall) -> None:
    """(SectionHandle, DesiredAccess, ObjectAttributes, MaximumSize, Protection, AllocationAttributes, FileHandle)."""
    out, _access, attributes, size_at, _protection, kind, handle = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    file = file_of(call, handle).address if handle else 0
    size = _size(call, size_at, file)
    refusal = _refusal(size, file)
    if refusal:
        call.complete(refusal)
        return
    section = _new_section(call, size, is_image=bool(kind & _SEC_IMAGE))
    call.put_u32(out, open_handle(call, section, is_kernel=_is_kernel(call, attributes)))


def _open(call: ApiCall) -> None:
    """(SectionHandle, DesiredAccess, ObjectAttributes): \\KnownDlls has images, everything else is memory."""
    out, _access, attributes = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    name = call.unicode(call.view("OBJECT_ATTRIBUTES", attributes)["ObjectName"])
    if not call.succeeds:
        call.fail()
        return
    section = _new_section(call, _DEFAULT_SIZE, is_image=name.lower().startswith("\\knowndlls"))
    call.put_u32(out, open_handle(call, section, is_kernel=_is_kernel(call, attributes)))


def _create_object(call: ApiCall) -> None:
    """MmCreateSection(SectionObject, DesiredAccess, ObjectAttributes, MaximumSize, ..., FileHandle, FileObject)."""
    out, _access, _attributes, size_at, _protection, kind, handle, file = call.arguments[:8]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    file = file or (file_of(call, handle).address if handle else 0)
    size = _size(call, size_at, file)
    refusal = _refusal(size, file)
    if refusal:
        call.complete(refusal)
        return
    call.put_u32(out, _new_section(call, size, is_image=bool(kind & _SEC_IMAGE)))


# -- mapping --


def _map(call: ApiCall) -> None:
    """(SectionHandle, ProcessHandle, BaseAddress, ZeroBits, CommitSize, SectionOffset, ViewSize, ...)."""
    handle, _process, base_inout, _bits, _commit, offset_inout, size_inout = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    if handle in call.state(Handles).closed:
        call.note(f"{call.name}: the handle {handle:#x} was closed before")
        call.complete(STATUS_INVALID_HANDLE)
        return
    if not call.succeeds:
        call.fail()
        return
    section = call.state(Sections).sections.get(object_of(call, handle) or 0, Section(_DEFAULT_SIZE, False))
    offset = call.u64(offset_inout) & -_GRANULARITY if offset_inout else 0
    size = call.u32(size_inout) or max(section.size - offset, 0)
    if not 0 < size <= _MAX_VIEW:
        call.complete(STATUS_NO_MEMORY)
        return
    if offset_inout:
        call.put_u64(offset_inout, offset)
    base = _view(call, size, is_image=section.is_image)
    call.put_u32(base_inout, base)
    call.put_u32(size_inout, (size + PAGE - 1) & -PAGE)


def _view(call: ApiCall, size: int, *, is_image: bool) -> int:
    room = user_buffer(call, size + _GRANULARITY)
    base = (room + _GRANULARITY - 1) & -_GRANULARITY
    if is_image:
        call.write(base, _HEADERS[:size])
        if size >= 2 * PAGE:
            call.write(base + PAGE, _EXPORTS + _MODULE_NAME)
    call.state(Sections).views[base] = None
    return base


def _unmap(call: ApiCall) -> None:
    """(ProcessHandle, BaseAddress): any address in a view; a view that was unmapped before is noted."""
    base = call.arguments[1] & -_GRANULARITY
    sections = call.state(Sections)
    limit_irql(call, PASSIVE_LEVEL)
    if sections.views.pop(base, False) is not False:
        sections.unmapped[base] = None
    elif base in sections.unmapped:
        call.note(f"{call.name}: {base:#010x} was unmapped before")
        call.complete(STATUS_NOT_MAPPED_VIEW)
    elif not call.succeeds:
        call.fail()


def _for_data_scan(call: ApiCall) -> None:
    """FsRtlCreateSectionForDataScan(SectionHandle, SectionObject, SectionFileSize, FileObject, ...)."""
    handle_out, object_out, size_out, file = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    size = file_size(call, file)
    section = _new_section(call, size, is_image=False)
    call.put_u32(handle_out, open_handle(call, section))
    call.put_u32(object_out, section)
    if size_out:
        call.put_u64(size_out, size)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ZwCreateSection": _create,
    "NtCreateSection": _create,
    "NtCreateSectionEx": _create,
    "ZwOpenSection": _open,
    "NtOpenSection": _open,
    "MmCreateSection": _create_object,
    "ZwMapViewOfSection": _map,
    "NtMapViewOfSection": _map,
    "ZwUnmapViewOfSection": _unmap,
    "NtUnmapViewOfSection": _unmap,
    "FsRtlCreateSectionForDataScan": _for_data_scan,
}
