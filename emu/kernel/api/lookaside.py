"""Lookaside lists: blocks of one size kept for the next allocation, with functions of the driver's own if it likes.

GENERAL_LOOKASIDE of wdm.h, and the pages of ExInitializeNPagedLookasideList and ExInitializeLookasideListEx. Most of
the work is inlined into drivers, so every field is as the header's inline functions expect it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from stackemu.emu.inputs import STATUS_INSUFFICIENT_RESOURCES
from stackemu.emu.kernel.api.plain_roots import plain_words
from stackemu.emu.kernel.api.pool import (
    PAGED_POOL,
    POOL_RAISE_IF_ALLOCATION_FAILURE,
    allocate_pool,
    free_pool,
)
from stackemu.emu.kernel.api.slists import depth, pop_entry, push_entry
from stackemu.emu.kernel.call import ApiCall, Context, Raised
from stackemu.emu.kernel.function_pointers import function_pointer
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.roots import Root, Words

MINIMUM_DEPTH, MAXIMUM_DEPTH = 4, 256
"""Blocks that a list keeps at first, and at most."""
_MINIMUM_SIZE = 8
_SIZE = 0x48
"""Bytes of GENERAL_LOOKASIDE's fields; how the whole is padded depends on the header."""
_NON_PAGED_POOL = 0
MAX_FLUSHED = 0x10000
"""Entries that a deleted list gives back at most: a list can be a circle."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What differs between plain lists and LOOKASIDE_LIST_EX: there the functions are given the list as well."""

    allocate: str
    free: str
    passes_list: bool


_PLAIN = _Kind("ExAllocatePoolWithTag", "ExFreePool", passes_list=False)
_EX = _Kind("LOOKASIDE_LIST_EX.AllocateEx", "LOOKASIDE_LIST_EX.FreeEx", passes_list=True)


def _list(call: ApiCall) -> View:
    return call.view("NPAGED_LOOKASIDE_LIST", call.arguments[0])


def _make(call: ApiCall, kind: _Kind, pool_type: int, functions: tuple[int, int], size: int, tag: int) -> None:
    lookaside = _list(call)
    call.write(lookaside.address, bytes(_SIZE))
    lookaside["L.Depth"] = MINIMUM_DEPTH
    lookaside["L.MaximumDepth"] = MAXIMUM_DEPTH
    lookaside["L.Type"] = pool_type
    lookaside["L.Tag"] = tag
    lookaside["L.Size"] = size = max(size, _MINIMUM_SIZE)
    lookaside["L.Allocate"] = functions[0] or function_pointer(kind.allocate)
    lookaside["L.Free"] = functions[1] or function_pointer(kind.free)
    entry = lookaside.at("L.ListEntry")
    call.put_u32(entry, entry)
    call.put_u32(entry + 4, entry)
    owner = (lookaside.address,) if kind.passes_list else ()
    call.root(functions[0], "lookaside allocate function", "lookaside-allocate", pool_type, size, tag, *owner)
    call.root(functions[1], "lookaside free function", "lookaside-free", size, *owner)


def _initialize(base_type: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        _, allocate, free, flags, size, tag = call.arguments[:6]
        _make(call, _PLAIN, base_type | flags, (allocate, free), size, tag)

    return behaviour


def _initialize_ex(call: ApiCall) -> None:
    _, allocate, free, pool_type, flags, size, tag = call.arguments[:7]
    if not call.succeeds:
        call.fail()
        return
    _make(call, _EX, pool_type | flags, (allocate, free), size, tag)


def _is_driver_code(call: ApiCall, address: int) -> bool:
    image = call.kernel.image
    return image.is_code(address - image.base)


def _allocate(kind: _Kind) -> Callable[[ApiCall], None]:
    """ExAllocateFrom…LookasideList: a kept block, else one from the list's allocation function."""

    def behaviour(call: ApiCall) -> None:
        lookaside = _list(call)
        lookaside["L.TotalAllocates"] += 1
        call.eax = pop_entry(call, lookaside.address)
        if call.eax:
            return
        lookaside["L.AllocateMisses"] += 1
        pool_type, size, tag = lookaside["L.Type"], lookaside["L.Size"], lookaside["L.Tag"]
        function = lookaside["L.Allocate"]
        if _is_driver_code(call, function):
            owner = (lookaside.address,) if kind.passes_list else ()
            call.eax = call.invoke(function, pool_type, size, tag, *owner)
        else:
            _allocate_block(call, pool_type, size, tag)

    return behaviour


def _allocate_block(call: ApiCall, pool_type: int, size: int, tag: int) -> None:
    call.eax = allocate_pool(call, size, tag) if call.succeeds else 0
    if not call.eax and pool_type & POOL_RAISE_IF_ALLOCATION_FAILURE:
        raise Raised(STATUS_INSUFFICIENT_RESOURCES)


def _free(kind: _Kind) -> Callable[[ApiCall], None]:
    """ExFreeTo…LookasideList: the list keeps as many blocks as its depth says."""

    def behaviour(call: ApiCall) -> None:
        lookaside, entry = _list(call), call.arguments[1]
        lookaside["L.TotalFrees"] += 1
        if depth(call, lookaside.address) < lookaside["L.Depth"]:
            push_entry(call, lookaside.address, entry)
            return
        lookaside["L.FreeMisses"] += 1
        _give_back(call, kind, lookaside, entry)

    return behaviour


def _give_back(call: ApiCall, kind: _Kind, lookaside: View, entry: int) -> None:
    function = lookaside["L.Free"]
    if _is_driver_code(call, function):
        owner = (lookaside.address,) if kind.passes_list else ()
        call.invoke(function, entry, *owner)
    else:
        free_pool(call, entry)


def _flush(kind: _Kind) -> Callable[[ApiCall], None]:
    """Deleting or flushing a list gives every block that it keeps to the list's free function."""

    def behaviour(call: ApiCall) -> None:
        lookaside = _list(call)
        for _ in range(MAX_FLUSHED):
            entry = pop_entry(call, lookaside.address)
            if not entry:
                return
            _give_back(call, kind, lookaside, entry)

    return behaviour


# -- what the lists' function pointers point to --


def _default_allocate(call: ApiCall) -> None:
    """(PoolType, NumberOfBytes, Tag, Lookaside)."""
    _allocate_block(call, *call.arguments[:3])


def _default_free(call: ApiCall) -> None:
    """(Buffer, Lookaside)."""
    free_pool(call, call.arguments[0])


# -- the kernel's calls --


def _free_arguments(context: Context, root: Root) -> Words:
    size, *owner = root.context
    return Words((allocate_pool(context, size), *owner))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ExInitializeNPagedLookasideList": _initialize(_NON_PAGED_POOL),
    "ExInitializePagedLookasideList": _initialize(PAGED_POOL),
    "ExInitializeLookasideListEx": _initialize_ex,
    "ExAllocateFromNPagedLookasideList": _allocate(_PLAIN),
    "ExAllocateFromPagedLookasideList": _allocate(_PLAIN),
    "ExAllocateFromLookasideListEx": _allocate(_EX),
    "ExFreeToNPagedLookasideList": _free(_PLAIN),
    "ExFreeToPagedLookasideList": _free(_PLAIN),
    "ExFreeToLookasideListEx": _free(_EX),
    "ExDeleteNPagedLookasideList": _flush(_PLAIN),
    "ExDeletePagedLookasideList": _flush(_PLAIN),
    "ExDeleteLookasideListEx": _flush(_EX),
    "ExFlushLookasideListEx": _flush(_EX),
    "LOOKASIDE_LIST_EX.AllocateEx": _default_allocate,
    "LOOKASIDE_LIST_EX.FreeEx": _default_free,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "lookaside-allocate": plain_words,
    "lookaside-free": _free_arguments,
}
