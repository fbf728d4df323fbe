"""The memory manager: device memory, contiguous memory, physical addresses, probing of user-mode addresses.

Pages of MmMapIoSpace, MmAllocateContiguousMemory, MmIsAddressValid, MmGetSystemRoutineAddress, MmCopyMemory,
ProbeForRead and ProbeForWrite in the WDK.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.faults import STATUS_ACCESS_VIOLATION
from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.api.mdl import physical_address, virtual_address
from stackemu.emu.kernel.api.pool import allocate_pool, free_pool
from stackemu.emu.kernel.api.raising import STATUS_DATATYPE_MISALIGNMENT
from stackemu.emu.kernel.call import MAX_COPY, USER_END, ApiCall, BadAddress, Raised
from stackemu.emu.kernel.function_pointers import exported_function
from stackemu.emu.kernel.user_memory import is_user_range
from stackemu.emu.kernel.variables import variable_address

_LARGE_SYSTEM = 2
"""MM_SYSTEMSIZE."""
_COPY_PHYSICAL = 1
"""MM_COPY_MEMORY_PHYSICAL."""
_MAX_PROBED_PAGES = 16
"""Pages that ProbeForWrite touches at most: a run's memory is bounded."""
_VIEW_SIZE = 0x10000
_MEMORY_RANGES = ((0x1000, 0x9E000), (0x100000, 0x1FF00000))
"""Physical memory of a machine with 512 MB: (base, bytes)."""


@dataclass(slots=True)
class Mappings:
    """Device memory and views that are mapped, by address, and those that were unmapped."""

    mapped: dict[int, None] = field(default_factory=dict)
    unmapped: dict[int, None] = field(default_factory=dict)


# -- device memory and views --


def _map(call: ApiCall, size: int, offset: int = 0) -> int:
    """Return page-aligned addresses plus an offset, whose memory holds what the input says; 0 without room."""
    room = call.allocate(size + 2 * PAGE, zeroed=False) if size else 0
    if not room:
        return 0
    address = ((room + PAGE - 1) & -PAGE) + offset % PAGE
    call.state(Mappings).mapped[address] = None
    return address


def _unmap(call: ApiCall, address: int) -> None:
    mappings = call.state(Mappings)
    if mappings.mapped.pop(address, False) is not False:
        mappings.unmapped[address] = None
    elif address in mappings.unmapped:
        call.note(f"{call.name}: {address:#010x} was unmapped before")


def _map_io(call: ApiCall) -> None:
    physical, _high, size = call.arguments[:3]
    limit_irql(call, DISPATCH_LEVEL)
    if call.succeeds:
        call.eax = _map(call, size, physical)


def _reserve(call: ApiCall) -> None:
    limit_irql(call, APC_LEVEL)
    if call.succeeds:
        call.eax = _map(call, call.arguments[0])


def _unmap_first(call: ApiCall) -> None:
    _unmap(call, call.arguments[0])


def _map_view(call: ApiCall) -> None:
    """MmMapViewInSystemSpace: a size of 0 asks for the whole section."""
    _section, base_out, size_inout = call.arguments[:3]
    if not call.succeeds:
        call.fail()
        return
    size = call.u32(size_inout) or _VIEW_SIZE
    address = _map(call, size)
    if not address:
        call.fail()
        return
    call.put_u32(base_out, address)
    call.put_u32(size_inout, (size + PAGE - 1) & -PAGE)


# -- contiguous and noncached memory --


def _allocate(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    if call.succeeds:
        call.eax = allocate_pool(call, max(call.arguments[0], PAGE))


def _allocate_out(call: ApiCall) -> None:
    """MmAllocateContiguousMemoryEx reads its size through a pointer and gives the address through one."""
    address = allocate_pool(call, max(call.u32(call.arguments[0]), PAGE)) if call.succeeds else 0
    if not address:
        call.fail()
        return
    call.put_u32(call.arguments[12], address)


def _free(call: ApiCall) -> None:
    free_pool(call, call.arguments[0])


def _ranges(call: ApiCall) -> None:
    """An array of base and size that ends with zeros; the caller frees it."""
    if not call.succeeds:
        return
    data = b"".join(struct.pack("<QQ", *one) for one in (*_MEMORY_RANGES, (0, 0)))
    call.eax = allocate_pool(call, len(data))
    if call.eax:
        call.write(call.eax, data)


# -- addresses --


def _is_valid(call: ApiCall) -> None:
    """Whether a page is present is the input's to say, for all that could be memory."""
    try:
        call.u8(call.arguments[0])
    except BadAddress:
        return
    call.eax = int(call.succeeds)


def _physical(call: ApiCall) -> None:
    call.eax, call.edx = physical_address(call.arguments[0]), 0


def _virtual(call: ApiCall) -> None:
    call.eax = virtual_address(call.arguments[0])


def _routine(call: ApiCall) -> None:
    """MmGetSystemRoutineAddress finds what the driver imports anyhow.

    Whether this system has another export, which drivers look up because older ones lack it, is the input's to say.
    """
    name = call.unicode(call.arguments[0])
    limit_irql(call, APC_LEVEL)
    image = call.kernel.image
    slot = next((entry.slot for entry in image.imports if entry.name == name), None)
    if slot is not None:
        call.eax = call.u32(image.base + slot)
    elif call.succeeds:
        call.eax = variable_address(name) or exported_function(name) or 0


def _copy(call: ApiCall) -> None:
    """MmCopyMemory says how much it copied, in any case."""
    target, low, _high, size, flags, transferred = call.arguments[:6]
    limit_irql(call, APC_LEVEL)
    call.put_u32(transferred, 0)
    if not call.succeeds:
        call.fail()
        return
    source = virtual_address(low) if flags & _COPY_PHYSICAL else low
    call.write(target, call.read(source, min(size, MAX_COPY)))
    call.put_u32(transferred, size)


def _copy_between(call: ApiCall) -> None:
    """MmCopyVirtualMemory: all processes are the same here."""
    _from, source, _to, target, size, _mode, copied = call.arguments[:7]
    if not call.succeeds:
        call.put_u32(copied, 0)
        call.fail()
        return
    call.write(target, call.read(source, min(size, MAX_COPY)))
    call.put_u32(copied, size)


# -- probing --


def _check_range(address: int, size: int, alignment: int) -> None:
    """Raise what ProbeForRead raises: first for the alignment, then for what is not user mode's."""
    if alignment and address & (alignment - 1):
        raise Raised(STATUS_DATATYPE_MISALIGNMENT)
    if not is_user_range(address, size):
        raise Raised(STATUS_ACCESS_VIOLATION)


def _probe_read(call: ApiCall) -> None:
    """Nothing is accessed; a length of 0 is always right."""
    address, size, alignment = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    if size:
        _check_range(address, size, alignment)


def _probe_write(call: ApiCall) -> None:
    """Each page is read and written: the input may have a page that is not writable."""
    address, size, alignment = call.arguments[:3]
    limit_irql(call, APC_LEVEL)
    if not size:
        return
    _check_range(address, size, alignment)
    pages = range(address & -PAGE, address + size, PAGE)
    for page in pages[:_MAX_PROBED_PAGES]:
        at = max(page, address)
        call.put_u8(at, call.u8(at))
    if not call.succeeds:
        raise Raised(STATUS_ACCESS_VIOLATION)


def _secure(call: ApiCall) -> None:
    """MmSecureVirtualMemory returns a handle, NULL for memory that is not user mode's."""
    address, size = call.arguments[:2]
    if call.succeeds and address < USER_END and is_user_range(address, size):
        call.eax = address | 1


# -- facts --


def _constant(value: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = value

    return behaviour


def _section(call: ApiCall) -> None:
    """The handle of an image section: it only comes back to MmLockPagableSectionByHandle and its kin."""
    call.eax = call.arguments[0] & -PAGE


def _driver_base(call: ApiCall) -> None:
    call.eax = call.kernel.image.base


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "MmMapIoSpace": _map_io,
    "MmMapIoSpaceEx": _map_io,
    "MmMapVideoDisplay": _map_io,
    "MmUnmapIoSpace": _unmap_first,
    "MmUnmapVideoDisplay": _unmap_first,
    "MmAllocateMappingAddress": _reserve,
    "MmAllocateMappingAddressEx": _reserve,
    "MmFreeMappingAddress": _unmap_first,
    "MmMapViewInSystemSpace": _map_view,
    "MmMapViewInSystemSpaceEx": _map_view,
    "MmMapViewInSessionSpace": _map_view,
    "MmMapViewInSessionSpaceEx": _map_view,
    "MmUnmapViewInSystemSpace": _unmap_first,
    "MmUnmapViewInSessionSpace": _unmap_first,
    "MmAllocateContiguousMemory": _allocate,
    "MmAllocateContiguousMemorySpecifyCache": _allocate,
    "MmAllocateContiguousMemorySpecifyCacheNode": _allocate,
    "MmAllocateContiguousNodeMemory": _allocate,
    "MmAllocateContiguousMemoryEx": _allocate_out,
    "MmAllocateNonCachedMemory": _allocate,
    "MmFreeContiguousMemory": _free,
    "MmFreeContiguousMemorySpecifyCache": _free,
    "MmFreeNonCachedMemory": _free,
    "MmGetPhysicalMemoryRanges": _ranges,
    "MmGetPhysicalMemoryRangesEx": _ranges,
    "MmIsAddressValid": _is_valid,
    "MmIsNonPagedSystemAddressValid": _is_valid,
    "MmGetPhysicalAddress": _physical,
    "MmGetVirtualForPhysical": _virtual,
    "MmGetSystemRoutineAddress": _routine,
    "MmCopyMemory": _copy,
    "MmCopyVirtualMemory": _copy_between,
    "ProbeForRead": _probe_read,
    "ProbeForWrite": _probe_write,
    "MmSecureVirtualMemory": _secure,
    "MmSecureVirtualMemoryEx": _secure,
    "MmUnsecureVirtualMemory": _nothing,
    "MmQuerySystemSize": _constant(_LARGE_SYSTEM),
    "MmIsThisAnNtAsSystem": _constant(0),
    "MmIsDriverVerifying": _constant(0),
    "MmIsDriverVerifyingByAddress": _constant(0),
    "MmIsDriverSuspectForVerifier": _constant(0),
    "MmIsRecursiveIoFault": _constant(0),
    "MmLockPagableDataSection": _section,
    "MmLockPagableImageSection": _section,
    "MmLockPagableSectionByHandle": _nothing,
    "MmUnlockPagableImageSection": _nothing,
    "MmPageEntireDriver": _driver_base,
    "MmResetDriverPaging": _nothing,
}
