"""Pool memory: what was asked for, under which tag, and whether it was given back once.

Types and flags: wdm.h, and the pages of ExAllocatePoolWithTag, ExAllocatePoolWithQuotaTag, ExAllocatePool2 and
ExFreePoolWithTag in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import PAGE, STATUS_INSUFFICIENT_RESOURCES
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall, Context, Raised
from stackemu.emu.memory import STACK_BASE, STACK_TOP

PAGED_POOL = 1
"""Set in the types of paged pool, and only there."""
NON_PAGED_POOL_MUST_SUCCEED = 2
_BASE_TYPE = 7
POOL_QUOTA_FAIL_INSTEAD_OF_RAISE = 0x8
POOL_RAISE_IF_ALLOCATION_FAILURE = 0x10
POOL_ZERO_ALLOCATION = 0x400

POOL_FLAG_UNINITIALIZED = 0x2
POOL_FLAG_RAISE_ON_FAILURE = 0x20
POOL_FLAG_PAGED = 0x100
_PLACES = 0x40 | 0x80 | POOL_FLAG_PAGED
"""POOL_FLAG_NON_PAGED, POOL_FLAG_NON_PAGED_EXECUTE and POOL_FLAG_PAGED: one must be given."""

MAX_ALLOCATION = 0x400000
"""Bytes that the emulated pool gives out in one piece at most."""
MAX_ZEROED = 0x20000
"""Bytes that are zeroed at most: zeroing maps memory, and a run's memory is bounded."""


@dataclass(slots=True)
class Block:
    """Memory given to the driver."""

    size: int
    tag: int


@dataclass(slots=True)
class Allocations:
    """Blocks of pool by address: those in use and those given back."""

    live: dict[int, Block] = field(default_factory=dict)
    freed: dict[int, Block] = field(default_factory=dict)


def allocate_pool(context: Context, size: int, tag: int = 0, *, zeroed: bool = False) -> int:
    """Return new pool that the driver is to free, 0 when there is none: page-aligned from a page on."""
    if size > MAX_ALLOCATION:
        return 0
    address = context.kernel.reserve(size if size < PAGE else size + PAGE)
    if size >= PAGE:
        address = (address + PAGE - 1) & -PAGE
    if address:
        context.state(Allocations).live[address] = Block(size, tag)
        if zeroed and size:
            context.write(address, bytes(min(size, MAX_ZEROED)))
    return address


def free_pool(call: ApiCall, address: int, tag: int = 0) -> None:
    """Take pool back; what was freed before and what can't be pool is noted."""
    allocations = call.state(Allocations)
    block = allocations.live.pop(address, None)
    if block is None:
        _note_wrong_free(call, allocations, address)
        return
    if tag and block.tag and tag != block.tag:
        call.note(
            f"{call.name}: {address:#010x} was allocated with tag {tag_text(block.tag)}, freed with {tag_text(tag)}"
        )
    allocations.freed[address] = block


def _note_wrong_free(call: ApiCall, allocations: Allocations, address: int) -> None:
    """An address from the input may stand for pool: only what the driver itself has is its mistake."""
    if address in allocations.freed:
        call.note(f"{call.name}: {address:#010x} was freed before")
        return
    image = call.kernel.image
    places = (
        ("part of the driver's image", image.base, image.base + image.size),
        ("on the stack", STACK_BASE, STACK_TOP),
    )
    for place, start, end in places:
        if start <= address < end:
            call.note(f"{call.name}: {address:#010x} is {place}, never allocated")
            return
    inside = next((at for at, block in allocations.live.items() if at < address < at + block.size), None)
    if inside is not None:
        call.note(f"{call.name}: {address:#010x} lies inside the block at {inside:#010x}")


def tag_text(tag: int) -> str:
    """Return a pool tag as debuggers print it."""
    return "'" + "".join(chr(byte) if 32 <= byte < 127 else "." for byte in tag.to_bytes(4, "little")) + "'"


def _limit(call: ApiCall, is_paged: bool) -> None:
    what = "paged pool asked for" if is_paged else "called"
    limit_irql(call, APC_LEVEL if is_paged else DISPATCH_LEVEL, what)


def _allocate(tag_at: int | None, *, with_quota: bool = False) -> Callable[[ApiCall], None]:
    """Return the behaviour of the functions that take a pool type: they differ in the tag and in how they fail."""

    def behaviour(call: ApiCall) -> None:
        kind, size = call.arguments[:2]
        _limit(call, bool(kind & PAGED_POOL))
        if call.succeeds or kind & _BASE_TYPE == NON_PAGED_POOL_MUST_SUCCEED:
            tag = call.arguments[tag_at] if tag_at is not None else 0
            call.eax = allocate_pool(call, size, tag, zeroed=bool(kind & POOL_ZERO_ALLOCATION))
        raises = kind & POOL_RAISE_IF_ALLOCATION_FAILURE or (
            with_quota and not kind & POOL_QUOTA_FAIL_INSTEAD_OF_RAISE
        )
        if not call.eax and raises:
            raise Raised(STATUS_INSUFFICIENT_RESOURCES)

    return behaviour


def _allocate_with_flags(call: ApiCall) -> None:
    """ExAllocatePool2 and ExAllocatePool3 take 64 bits of flags, and zero memory unless told not to."""
    low, _high, size, tag = call.arguments[:4]
    _limit(call, bool(low & POOL_FLAG_PAGED))
    if call.succeeds and size and tag and low & _PLACES:
        call.eax = allocate_pool(call, size, tag, zeroed=not low & POOL_FLAG_UNINITIALIZED)
    if not call.eax and low & POOL_FLAG_RAISE_ON_FAILURE:
        raise Raised(STATUS_INSUFFICIENT_RESOURCES)


def _free(call: ApiCall) -> None:
    free_pool(call, call.arguments[0])


def _free_with_tag(call: ApiCall) -> None:
    free_pool(call, call.arguments[0], call.arguments[1])


def _block_size(call: ApiCall) -> None:
    address, quota_charged = call.arguments[:2]
    block = call.state(Allocations).live.get(address)
    call.eax = block.size if block is not None else PAGE
    call.put_u8(quota_charged, 0)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ExAllocatePool": _allocate(None),
    "ExAllocatePoolWithTag": _allocate(2),
    "ExAllocatePoolWithTagPriority": _allocate(2),
    "ExAllocatePoolWithQuota": _allocate(None, with_quota=True),
    "ExAllocatePoolWithQuotaTag": _allocate(2, with_quota=True),
    "ExAllocatePool2": _allocate_with_flags,
    "ExAllocatePool3": _allocate_with_flags,
    "ExFreePool": _free,
    "ExFreePoolWithTag": _free_with_tag,
    "ExFreePool2": _free_with_tag,
    "ExQueryPoolBlockSize": _block_size,
}
