"""Sequenced singly linked lists: SLIST_HEADER as 32-bit Windows lays it out.

The header is {Next: pointer, Depth: 16 bits, Sequence: 16 bits} (wdm.h); every push and pop counts the sequence on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall, Context

_DEPTH, _SEQUENCE = 4, 6


def push_entry(context: Context, header: int, entry: int) -> int:
    """Put an entry before all others; returns the one that was first, 0 for a list that was empty."""
    first = context.u32(header)
    context.put_u32(entry, first)
    context.put_u32(header, entry)
    _count(context, header, 1)
    return first


def pop_entry(context: Context, header: int) -> int:
    """Take the first entry off the list; returns 0 for an empty list."""
    first = context.u32(header)
    if first:
        context.put_u32(header, context.u32(first))
        _count(context, header, -1)
    return first


def depth(context: Context, header: int) -> int:
    """Return how many entries the header counts."""
    return context.u16(header + _DEPTH)


def _count(context: Context, header: int, change: int) -> None:
    context.put_u16(header + _DEPTH, depth(context, header) + change)
    context.put_u16(header + _SEQUENCE, context.u16(header + _SEQUENCE) + 1)


def _initialize(call: ApiCall) -> None:
    call.write(call.arguments[0], bytes(8))


def _push(call: ApiCall) -> None:
    call.eax = push_entry(call, *call.arguments[:2])


def _pop(call: ApiCall) -> None:
    call.eax = pop_entry(call, call.arguments[0])


def _flush(call: ApiCall) -> None:
    """Take all entries off at once; returns the first."""
    header = call.arguments[0]
    call.eax = call.u32(header)
    if call.eax:
        call.put_u32(header, 0)
        _count(call, header, -depth(call, header))


def _first(call: ApiCall) -> None:
    call.eax = call.u32(call.arguments[0])


def _depth(call: ApiCall) -> None:
    call.eax = depth(call, call.arguments[0])


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "InitializeSListHead": _initialize,
    "RtlInitializeSListHead": _initialize,
    "InterlockedPushEntrySList": _push,
    "ExInterlockedPushEntrySList": _push,
    "RtlInterlockedPushEntrySList": _push,
    "InterlockedPopEntrySList": _pop,
    "ExInterlockedPopEntrySList": _pop,
    "RtlInterlockedPopEntrySList": _pop,
    "ExInterlockedFlushSList": _flush,
    "InterlockedFlushSList": _flush,
    "RtlInterlockedFlushSList": _flush,
    "FirstEntrySList": _first,
    "RtlFirstEntrySList": _first,
    "ExQueryDepthSList": _depth,
    "RtlQueryDepthSList": _depth,
}
