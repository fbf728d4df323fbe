"""Memory of user mode that the driver allocates: ZwAllocateVirtualMemory and its kin (their pages in the WDK)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import PAGE
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.call import USER_END, ApiCall
from stackemu.emu.kernel.user_memory import user_buffer

STATUS_INFO_LENGTH_MISMATCH = 0xC0000004
STATUS_INVALID_PARAMETER = 0xC000000D
STATUS_NO_MEMORY = 0xC0000017
STATUS_MEMORY_NOT_ALLOCATED = 0xC00000A0
_INVALID_PARAMETER = 0xC00000EE
"""STATUS_INVALID_PARAMETER_n is this plus n."""
_COMMIT, _RESERVE, _DECOMMIT, _RELEASE, _FREE, _RESET = 0x1000, 0x2000, 0x4000, 0x8000, 0x10000, 0x80000
_PRIVATE, _READWRITE, _NO_ACCESS = 0x20000, 0x04, 0x01
_GRANULARITY = 0x10000
_MAX_ZEROED = 16 * PAGE
"""Bytes that are zeroed at once: a run's memory is bounded. What lies beyond holds what the input says."""
_MAX_BASE = USER_END - _GRANULARITY


@dataclass(slots=True)
class VirtualMemory:
    """Regions that were allocated: bytes by address."""

    regions: dict[int, int] = field(default_factory=dict)
    released: dict[int, None] = field(default_factory=dict)


def _allocate(call: ApiCall) -> None:
    """(ProcessHandle, *BaseAddress, ZeroBits, *RegionSize, AllocationType, Protect)."""
    _process, base_inout, _zero_bits, size_inout, kind = call.arguments[:5]
    limit_irql(call, PASSIVE_LEVEL)
    base, size = call.u32(base_inout), call.u32(size_inout)
    if not kind & (_COMMIT | _RESERVE | _RESET):
        call.complete(_INVALID_PARAMETER + 5)
        return
    if base > _MAX_BASE:
        call.complete(_INVALID_PARAMETER + 2)
        return
    if not 0 < size <= USER_END - base:
        call.complete(_INVALID_PARAMETER + 4)
        return
    if not call.succeeds:
        call.fail()
        return
    start = base & -PAGE
    size = (base + size - start + PAGE - 1) & -PAGE
    if not base:
        room = user_buffer(call, size + _GRANULARITY)
        start = (room + _GRANULARITY - 1) & -_GRANULARITY
        if not room:
            call.complete(STATUS_NO_MEMORY)
            return
    if not _region(call, start):
        call.state(VirtualMemory).regions[start] = size
        call.write(start, bytes(min(size, _MAX_ZEROED)))
    call.put_u32(base_inout, start)
    call.put_u32(size_inout, size)


def _region(call: ApiCall, address: int) -> tuple[int, int] | None:
    """Return start and bytes of the region that holds an address."""
    regions = call.state(VirtualMemory).regions
    return next(((start, size) for start, size in regions.items() if 0 <= address - start < size), None)


def _free(call: ApiCall) -> None:
    """(ProcessHandle, *BaseAddress, *RegionSize, FreeType); a region is released as a whole, with a size of 0."""
    _process, base_inout, size_inout, kind = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    base, size = call.u32(base_inout), call.u32(size_inout)
    memory = call.state(VirtualMemory)
    if kind not in (_DECOMMIT, _RELEASE):
        call.complete(_INVALID_PARAMETER + 4)
        return
    if base in memory.released:
        call.note(f"{call.name}: {base:#010x} was released before")
        call.complete(STATUS_MEMORY_NOT_ALLOCATED)
        return
    known = _region(call, base)
    if known is None and not call.succeeds:
        call.fail()
        return
    start, whole = known or (base & -PAGE, (size + PAGE - 1) & -PAGE)
    if kind == _RELEASE:
        memory.regions.pop(start, None)
        memory.released[start] = None
    call.put_u32(base_inout, base & -PAGE)
    call.put_u32(size_inout, (size + PAGE - 1) & -PAGE or whole)


def _query(call: ApiCall) -> None:
    """(ProcessHandle, BaseAddress, Class, Information, Length, *ReturnLength): MEMORY_BASIC_INFORMATION."""
    _process, base, kind, information, length, returned = call.arguments[:6]
    limit_irql(call, PASSIVE_LEVEL)
    if kind or base >= USER_END:
        call.complete(STATUS_INVALID_PARAMETER)
        return
    if length < _BASIC.size:
        call.complete(STATUS_INFO_LENGTH_MISMATCH)
        return
    if not call.succeeds:
        call.fail()
        return
    page = base & -PAGE
    known = _region(call, base)
    if known is None:
        fields = (page, 0, 0, PAGE, _FREE, _NO_ACCESS, 0)
    else:
        start, size = known
        fields = (page, start, _READWRITE, start + size - page, _COMMIT, _READWRITE, _PRIVATE)
    call.write(information, _BASIC.pack(*fields))
    call.put_optional(returned, _BASIC.size)


_BASIC = struct.Struct("<7I")
"""BaseAddress, AllocationBase, AllocationProtect, RegionSize, State, Protect, Type."""

_SERVICES: Mapping[str, Callable[[ApiCall], None]] = {
    "AllocateVirtualMemory": _allocate,
    "FreeVirtualMemory": _free,
    "QueryVirtualMemory": _query,
}

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    prefix + name: behaviour for name, behaviour in _SERVICES.items() for prefix in ("Zw", "Nt")
}
