"""Deferred and asynchronous procedure calls: KDPC and KAPC objects; their routines become roots.

Layouts: KDPC and KAPC of wdm.h. A deferred routine runs at DISPATCH_LEVEL, a threaded one may run at PASSIVE_LEVEL.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import below
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, current_irql, set_irql
from stackemu.emu.kernel.api.plain_roots import plain_words
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

_DPC_OBJECT, _THREADED_DPC_OBJECT, _APC_OBJECT = 19, 24, 18
"""KOBJECTS values in the first byte."""
_MEDIUM_IMPORTANCE = 1
_APC = struct.Struct("<BBBBIIIIIIIIIIBBBx")
"""Type, spare, Size, spare, spare, Thread, ApcListEntry (2), KernelRoutine, RundownRoutine, NormalRoutine,
NormalContext, SystemArgument1, SystemArgument2, ApcStateIndex, ApcMode, Inserted."""
_APC_INSERTED = 0x2E


@dataclass(slots=True)
class DpcQueue:
    """KDPC objects that wait for their turn, with their system arguments."""

    queued: dict[int, tuple[int, int]] = field(default_factory=dict)


def _initialize(kind: int, role: str) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        address, routine, context = call.arguments[:3]
        _make(call, address, kind, routine, context)
        call.root(routine, role, "dpc" if kind == _DPC_OBJECT else "threaded-dpc", address, context)

    return behaviour


def _make(context: Context, address: int, kind: int, routine: int, deferred_context: int) -> None:
    dpc = context.view("KDPC", address)
    dpc["Type"] = kind
    dpc["Importance"] = _MEDIUM_IMPORTANCE
    dpc["Number"] = 0
    dpc["DeferredRoutine"] = routine
    dpc["DeferredContext"] = deferred_context
    dpc["DpcData"] = 0


def _insert(call: ApiCall) -> None:
    """KeInsertQueueDpc returns FALSE for one that is in the queue already, and leaves its arguments alone."""
    address, first, second = call.arguments[:3]
    dpc = call.view("KDPC", address)
    queue = call.state(DpcQueue).queued
    if address in queue:
        return
    queue[address] = (first, second)
    dpc["SystemArgument1"], dpc["SystemArgument2"] = first, second
    call.eax = 1


def _remove(call: ApiCall) -> None:
    """KeRemoveQueueDpc returns whether it was still in the queue: the input says whether it has run meanwhile."""
    was_queued = call.state(DpcQueue).queued.pop(call.arguments[0], None) is not None
    call.eax = int(was_queued and call.succeeds)


def _flush(call: ApiCall) -> None:
    """KeFlushQueuedDpcs returns when everything queued has run."""
    call.state(DpcQueue).queued.clear()


def _set_importance(call: ApiCall) -> None:
    call.view("KDPC", call.arguments[0])["Importance"] = call.arguments[1]


def _set_target(call: ApiCall) -> None:
    call.view("KDPC", call.arguments[0])["Number"] = 32 + (call.arguments[1] & 0xFF)


def _generic_call(call: ApiCall) -> None:
    """KeGenericCallDpc runs a routine on every processor, here on the one there is, and returns when it has run."""
    routine, context = call.arguments[:2]
    before = current_irql(call)
    dpc = call.new("KDPC").address
    _make(call, dpc, _DPC_OBJECT, routine, context)
    call.root(routine, "DPC", "dpc", dpc, context)
    set_irql(call, DISPATCH_LEVEL)
    call.invoke(routine, dpc, context, call.allocate(8), call.allocate(8))
    set_irql(call, before)


def _is_executing(call: ApiCall) -> None:
    call.eax = int(current_irql(call) >= DISPATCH_LEVEL)


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


def _initialize_apc(call: ApiCall) -> None:
    address, thread, environment, kernel_routine, rundown, normal, mode, context = call.arguments[:8]
    if not normal:
        mode = context = 0
    routines = (kernel_routine, rundown, normal, context, 0, 0)
    data = _APC.pack(
        _APC_OBJECT, 0, _APC.size, 0, 0, thread, 0, 0, *routines, environment & 0xFF, mode & 0xFF, 0
    )  # fmt: skip
    call.write(address, data)
    call.root(kernel_routine, "APC kernel routine", "apc-kernel", address, normal, context)
    call.root(rundown, "APC rundown routine", "apc-rundown", address)
    if not mode & 0xFF:
        call.root(normal, "APC normal routine", "apc-normal", context)


def _insert_apc(call: ApiCall) -> None:
    """KeInsertQueueApc fails for one that is queued, and for a thread that takes no more APCs."""
    address, first, second = call.arguments[:3]
    if not call.succeeds or call.u8(address + _APC_INSERTED):
        return
    call.write(address + 0x24, struct.pack("<II", first, second))
    call.put_u8(address + _APC_INSERTED, 1)
    call.eax = 1


# -- the kernel's calls --


def deferred_call(context: Context, root: Root, level: int = DISPATCH_LEVEL) -> Words:
    """Return the arguments of a deferred routine: its DPC, its context, and two that the queueing code gave it."""
    address, deferred_context = root.context[:2]
    dpc = context.view("KDPC", address)
    arguments = context.state(DpcQueue).queued.pop(address, None)
    if arguments is None:
        arguments = context.draw(0), context.draw(1)
    if dpc["DeferredRoutine"] != root.address:
        _make(context, address, _DPC_OBJECT, root.address, deferred_context)
    dpc["SystemArgument1"], dpc["SystemArgument2"] = arguments
    set_irql(context, level)
    return Words((address, deferred_context, *arguments))


def _threaded_call(context: Context, root: Root) -> Words:
    return deferred_call(context, root, (PASSIVE_LEVEL, DISPATCH_LEVEL)[below(context, 2, 2)])


def _apc_kernel(context: Context, root: Root) -> Words:
    """The kernel routine may change the normal routine and its arguments, so it is given their addresses."""
    apc, normal, normal_context = root.context
    slots = context.allocate(16)
    context.write(slots, struct.pack("<IIII", normal, normal_context, context.draw(0), context.draw(1)))
    set_irql(context, APC_LEVEL)
    return Words((apc, slots, slots + 4, slots + 8, slots + 12))


def _apc_normal(context: Context, root: Root) -> Words:
    return Words((root.context[0], context.draw(0), context.draw(1)))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeInitializeDpc": _initialize(_DPC_OBJECT, "DPC"),
    "KeInitializeThreadedDpc": _initialize(_THREADED_DPC_OBJECT, "threaded DPC"),
    "KeInsertQueueDpc": _insert,
    "KeRemoveQueueDpc": _remove,
    "KeRemoveQueueDpcEx": _remove,
    "KeFlushQueuedDpcs": _flush,
    "KeSetImportanceDpc": _set_importance,
    "KeSetTargetProcessorDpc": _set_target,
    "KeGenericCallDpc": _generic_call,
    "KeSignalCallDpcDone": _nothing,
    "KeIsExecutingDpc": _is_executing,
    "KeInitializeApc": _initialize_apc,
    "KeInsertQueueApc": _insert_apc,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "dpc": deferred_call,
    "threaded-dpc": _threaded_call,
    "apc-kernel": _apc_kernel,
    "apc-rundown": plain_words,
    "apc-normal": _apc_normal,
}
