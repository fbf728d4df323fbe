"""Memory descriptor lists: buffers locked into memory and mapped into system space.

MDL and its flags: wdm.h; pages of IoAllocateMdl, MmProbeAndLockPages and MmMapLockedPagesSpecifyCache in the WDK.
Pages have no second address here: a user-mode buffer that is mapped into system space is a copy of it there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.faults import STATUS_ACCESS_VIOLATION
from stackemu.emu.inputs import PAGE, STATUS_INSUFFICIENT_RESOURCES, STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.call import USER_END, ApiCall, Context, Raised
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.kernel.objects import current_process
from stackemu.emu.kernel.user_memory import is_user_range, user_buffer

MAPPED_TO_SYSTEM_VA, PAGES_LOCKED, SOURCE_IS_NONPAGED_POOL = 0x1, 0x2, 0x4
PARTIAL, PARTIAL_HAS_BEEN_MAPPED, WRITE_OPERATION = 0x10, 0x20, 0x80
KERNEL_MODE, USER_MODE = 0, 1
IO_READ_ACCESS = 0
MAX_PAGES = 0x80000
"""Pages that an MDL describes at most: 2 GB (page of IoAllocateMdl)."""
_MAX_FRAMES = 64
"""Page frame numbers that are written at most."""
_MAX_MAPPED = 0x10000
"""Bytes of a mapped user-mode buffer that are copied at most."""
_PHYSICAL_MASK = 0x1FFFFFFF
_KERNEL_BASE = 0x80000000


@dataclass(slots=True)
class Mdls:
    """MDLs that were allocated, those that were freed, and system addresses of user-mode buffers by MDL."""

    allocated: dict[int, None] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)


def physical_address(address: int) -> int:
    """Return the physical address of kernel or user memory, as x86 kernels map their lowest 512 MB."""
    return address & _PHYSICAL_MASK


def virtual_address(physical: int) -> int:
    """Return the kernel address of physical memory."""
    return physical & _PHYSICAL_MASK | _KERNEL_BASE


def spanned_pages(address: int, size: int) -> int:
    """Return the pages that a range touches (ADDRESS_AND_SIZE_TO_SPAN_PAGES)."""
    return (address % PAGE + size + PAGE - 1) // PAGE


def make_mdl(context: Context, address: int, size: int) -> View:
    """Return a new MDL for a range of memory, neither locked nor mapped; at 0 when there is no memory for it."""
    known = layout("MDL")
    pages = spanned_pages(address, size)
    mdl = View(context.host, context.allocate(known.size + 4 * pages, zeroed=False), known)
    if mdl.address:
        initialize_mdl(mdl, address, size)
        context.state(Mdls).allocated[mdl.address] = None
    return mdl


def initialize_mdl(mdl: View, address: int, size: int) -> None:
    """Fill an MDL as MmInitializeMdl does."""
    mdl.clear()
    mdl["Size"] = mdl.layout.size + 4 * spanned_pages(address, size)
    mdl["StartVa"] = address & -PAGE
    mdl["ByteOffset"] = address % PAGE
    mdl["ByteCount"] = size


def described_address(mdl: View) -> int:
    """Return the address that an MDL was made for (MmGetMdlVirtualAddress)."""
    return (mdl["StartVa"] + mdl["ByteOffset"]) & 0xFFFFFFFF


def system_mdl(context: Context, address: int, size: int) -> View:
    """Return a new MDL for a buffer in nonpaged pool; at 0 when there is no memory for it."""
    mdl = make_mdl(context, address, size)
    if mdl.address:
        _describe_pool(context, mdl)
    return mdl


def _describe_pool(context: Context, mdl: View) -> None:
    """Nonpaged pool is in memory and mapped already."""
    mdl["MdlFlags"] |= SOURCE_IS_NONPAGED_POOL
    mdl["MappedSystemVa"] = described_address(mdl)
    _write_frames(context, mdl)


def lock_pages(context: Context, mdl: View, *, is_written: bool) -> None:
    """Lock an MDL's pages: page frame numbers are known from then on."""
    flags = mdl["MdlFlags"] & ~WRITE_OPERATION
    mdl["MdlFlags"] = flags | PAGES_LOCKED | (WRITE_OPERATION if is_written else 0)
    if mdl["StartVa"] < USER_END:
        mdl["Process"] = current_process(context)
    _write_frames(context, mdl)


def map_pages(context: Context, mdl: View) -> int:
    """Return the system address of an MDL's buffer, mapping it when it has none yet."""
    if mdl["MdlFlags"] & (MAPPED_TO_SYSTEM_VA | SOURCE_IS_NONPAGED_POOL):
        return mdl["MappedSystemVa"]
    address = described_address(mdl)
    if address < USER_END:
        size = mdl["ByteCount"]
        room = context.allocate(size + 2 * PAGE, zeroed=False)
        system = ((room + PAGE - 1) & -PAGE) + address % PAGE if room else 0
        if system:
            context.write(system, context.read(address, min(size, _MAX_MAPPED)))
        address = system
    if address:
        mdl["MappedSystemVa"] = address
        flags = mdl["MdlFlags"]
        mdl["MdlFlags"] = flags | MAPPED_TO_SYSTEM_VA | (PARTIAL_HAS_BEEN_MAPPED if flags & PARTIAL else 0)
    return address


def _write_frames(context: Context, mdl: View) -> None:
    start = mdl["StartVa"]
    count = min(spanned_pages(mdl["ByteOffset"], mdl["ByteCount"]), _MAX_FRAMES)
    frames = [physical_address(start + PAGE * index) // PAGE for index in range(count)]
    if frames:
        context.write(mdl.address + mdl.layout.size, struct.pack(f"<{count}I", *frames))


def _mdl(call: ApiCall, index: int = 0) -> View:
    return call.view("MDL", call.arguments[index])


# -- allocating --


def _allocate(call: ApiCall) -> None:
    address, size, is_secondary, _quota, irp_address = call.arguments[:5]
    limit_irql(call, DISPATCH_LEVEL)
    if not call.succeeds or spanned_pages(address, size) > MAX_PAGES:
        return
    mdl = make_mdl(call, address, size)
    call.eax = mdl.address
    if irp_address and mdl.address:
        irp = call.view("IRP", irp_address)
        if is_secondary & 0xFF:
            _append(call, irp["MdlAddress"], mdl.address)
        else:
            irp["MdlAddress"] = mdl.address


def _append(call: ApiCall, first: int, address: int) -> None:
    for _ in range(_MAX_FRAMES):
        following = call.view("MDL", first)["Next"]
        if not following:
            call.view("MDL", first)["Next"] = address
            return
        first = following


def _free(call: ApiCall) -> None:
    mdl = _mdl(call)
    limit_irql(call, DISPATCH_LEVEL)
    free_mdl(call, mdl)


def free_mdl(call: ApiCall, mdl: View) -> None:
    """Take an MDL back; one that was freed before, or still holds pages, is noted."""
    mdls = call.state(Mdls)
    if mdls.allocated.pop(mdl.address, False) is False:
        if mdl.address in mdls.freed:
            call.note(f"{call.name}: {mdl.address:#010x} was freed before")
        return
    if mdl["MdlFlags"] & PAGES_LOCKED and not mdl["MdlFlags"] & PARTIAL:
        call.note(f"{call.name}: {mdl.address:#010x} still has its pages locked")
    mdls.freed[mdl.address] = None


def _create(call: ApiCall) -> None:
    """MmCreateMdl fills the caller's memory, or allocates an MDL when there is none."""
    memory, address, size = call.arguments[:3]
    if memory:
        initialize_mdl(call.view("MDL", memory), address, size)
        call.eax = memory
    elif call.succeeds and spanned_pages(address, size) <= MAX_PAGES:
        call.eax = make_mdl(call, address, size).address


def _size(call: ApiCall) -> None:
    call.eax = layout("MDL").size + 4 * spanned_pages(*call.arguments[:2])


def _build_partial(call: ApiCall) -> None:
    """IoBuildPartialMdl describes part of another MDL's buffer; a length of 0 means all that follows."""
    source, target = _mdl(call, 0), _mdl(call, 1)
    address, size = call.arguments[2:4]
    if not size:
        size = (described_address(source) + source["ByteCount"] - address) & 0xFFFFFFFF
    own_size = target["Size"]
    initialize_mdl(target, address, size)
    target["Size"] = own_size
    target["Process"] = source["Process"]
    inherited = source["MdlFlags"] & (MAPPED_TO_SYSTEM_VA | SOURCE_IS_NONPAGED_POOL | PAGES_LOCKED | WRITE_OPERATION)
    target["MdlFlags"] = PARTIAL | inherited
    if inherited & (MAPPED_TO_SYSTEM_VA | SOURCE_IS_NONPAGED_POOL):
        target["MappedSystemVa"] = source["MappedSystemVa"] + address - described_address(source)
    _write_frames(call, target)


def _advance(call: ApiCall) -> None:
    mdl, count = _mdl(call), call.arguments[1]
    if count > mdl["ByteCount"]:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    address = described_address(mdl) + count
    mdl["StartVa"], mdl["ByteOffset"] = address & -PAGE, address % PAGE
    mdl["ByteCount"] -= count
    mdl["MappedSystemVa"] += count


# -- locking and mapping --


def _build_for_pool(call: ApiCall) -> None:
    mdl = _mdl(call)
    limit_irql(call, DISPATCH_LEVEL)
    _describe_pool(call, mdl)


def _lock(mode_at: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that locks pages; it raises where it cannot."""

    def behaviour(call: ApiCall) -> None:
        mdl = _mdl(call)
        mode, operation = (word & 0xFF for word in call.arguments[mode_at : mode_at + 2])
        is_user = mode == USER_MODE
        limit_irql(call, APC_LEVEL if mdl["StartVa"] < USER_END else DISPATCH_LEVEL)
        outside = is_user and not is_user_range(described_address(mdl), mdl["ByteCount"])
        if outside or not call.succeeds:
            raise Raised(STATUS_ACCESS_VIOLATION)
        if mdl["MdlFlags"] & PAGES_LOCKED and mdl.address in call.state(Mdls).allocated:
            call.note(f"{call.name}: the pages of {mdl.address:#010x} are locked already")
        lock_pages(call, mdl, is_written=operation != IO_READ_ACCESS)

    return behaviour


def _unlock(call: ApiCall) -> None:
    mdl = _mdl(call)
    limit_irql(call, DISPATCH_LEVEL)
    if not mdl["MdlFlags"] & PAGES_LOCKED and mdl.address in call.state(Mdls).allocated:
        call.note(f"{call.name}: the pages of {mdl.address:#010x} are not locked")
    mdl["MdlFlags"] &= ~(PAGES_LOCKED | MAPPED_TO_SYSTEM_VA)


def _map(call: ApiCall) -> None:
    """MmMapLockedPages(SpecifyCache): NULL when system addresses are short, an exception for user mode."""
    mdl, mode = _mdl(call), call.arguments[1] & 0xFF
    if mode != USER_MODE:
        if call.succeeds:
            call.eax = map_pages(call, mdl)
        return
    limit_irql(call, APC_LEVEL)
    if not call.succeeds:
        raise Raised(STATUS_INSUFFICIENT_RESOURCES)
    call.eax = user_buffer(call, mdl["ByteCount"] + PAGE) + mdl["ByteOffset"]


def _map_reserved(call: ApiCall) -> None:
    mdl = _mdl(call, 2)
    if call.succeeds:
        mdl["MappedSystemVa"] = call.eax = call.arguments[0] + mdl["ByteOffset"]
        mdl["MdlFlags"] |= MAPPED_TO_SYSTEM_VA


def _unmap(mdl_at: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        mdl = _mdl(call, mdl_at)
        mdl["MdlFlags"] &= ~(MAPPED_TO_SYSTEM_VA | PARTIAL_HAS_BEEN_MAPPED)

    return behaviour


def _allocate_pages(total_at: int) -> Callable[[ApiCall], None]:
    """Functions that allocate an MDL with pages behind it, which nothing maps yet."""

    def behaviour(call: ApiCall) -> None:
        size = call.arguments[total_at]
        if not call.succeeds or not size or spanned_pages(0, size) > MAX_PAGES:
            return
        room = call.allocate(size + PAGE, zeroed=False)
        if not room:
            return
        mdl = make_mdl(call, (room + PAGE - 1) & -PAGE, size)
        lock_pages(call, mdl, is_written=True)
        call.eax = mdl.address

    return behaviour


def _free_pages(call: ApiCall) -> None:
    """MmFreePagesFromMdl frees the pages; the MDL itself goes back with ExFreePool."""
    _mdl(call)["MdlFlags"] &= ~PAGES_LOCKED


def _one(call: ApiCall) -> None:
    call.eax = 1


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoAllocateMdl": _allocate,
    "IoFreeMdl": _free,
    "IoBuildPartialMdl": _build_partial,
    "MmCreateMdl": _create,
    "MmSizeOfMdl": _size,
    "MmAdvanceMdl": _advance,
    "MmBuildMdlForNonPagedPool": _build_for_pool,
    "MmProbeAndLockPages": _lock(1),
    "MmProbeAndLockProcessPages": _lock(2),
    "MmUnlockPages": _unlock,
    "MmMapLockedPages": _map,
    "MmMapLockedPagesSpecifyCache": _map,
    "MmMapLockedPagesWithReservedMapping": _map_reserved,
    "MmUnmapLockedPages": _unmap(1),
    "MmUnmapReservedMapping": _unmap(2),
    "MmAllocatePagesForMdl": _allocate_pages(6),
    "MmAllocatePagesForMdlEx": _allocate_pages(6),
    "MmAllocateNodePagesForMdlEx": _allocate_pages(6),
    "MmFreePagesFromMdl": _free_pages,
    "MmFreePagesFromMdlEx": _free_pages,
    "MmAreMdlPagesCached": _one,
    "MmProtectMdlSystemAddress": _status,
}
