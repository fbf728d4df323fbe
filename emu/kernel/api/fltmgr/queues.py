"""Cancel-safe queues of callback data that run on a minifilter's own callbacks.

Pages of FltCbdqInitialize, FltCbdqInsertIo, FltCbdqRemoveIo and FLT_CALLBACK_DATA_QUEUE in the WDK. On x86 the
queue's callbacks follow an IO_CSQ of 32 bytes, the flags and the instance (fltKernel.h).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.fltmgr.operations import IRP_OPERATION, CallbackData, make_operation
from stackemu.emu.kernel.api.fltmgr.parameters import DIRECTORY_CONTROL, READ, WRITE
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

STATUS_FLT_CBDQ_DISABLED = 0xC01C000E
_SIZE, _INSTANCE, _FIRST_CALLBACK = 64, 36, 40
_CALLBACKS = (
    "CbdqInsertIo",
    "CbdqRemoveIo",
    "CbdqPeekNextIo",
    "CbdqAcquire",
    "CbdqRelease",
    "CbdqCompleteCanceledIo",
)
_INSERT, _REMOVE, _PEEK, _ACQUIRE, _RELEASE, _COMPLETE_CANCELED = range(_FIRST_CALLBACK, _SIZE, 4)
"""Offsets of the callbacks."""
_CONTEXT_DATA, _CONTEXT_QUEUE = 4, 8
"""In FLT_CALLBACK_DATA_QUEUE_IO_CONTEXT, which is an IO_CSQ_IRP_CONTEXT."""
_FAILURE_SIGN = 0x80000000
_START_KEY = 6
"""Of a context's drawn numbers, the one that chooses where peeking starts; others belong to the operation."""


@dataclass(slots=True)
class Queues:
    """Queues that take nothing at the moment; the context that each queued operation was inserted with, if any."""

    disabled: dict[int, None] = field(default_factory=dict)
    contexts: dict[int, int] = field(default_factory=dict)


def _initialize(call: ApiCall) -> None:
    """(Instance, Cbdq, and the six callbacks in the order of the structure)."""
    instance, queue, *callbacks = call.arguments[:8]
    call.write(queue, bytes(_SIZE))
    call.put_u32(queue + _INSTANCE, instance)
    for index, (role, callback) in enumerate(zip(_CALLBACKS, callbacks, strict=True)):
        call.put_u32(queue + _FIRST_CALLBACK + 4 * index, callback)
        call.root(callback, role, "flt-cbdq", queue, _FIRST_CALLBACK + 4 * index)
    call.state(Queues).disabled.pop(queue, None)


def _disable(call: ApiCall) -> None:
    call.state(Queues).disabled[call.arguments[0]] = None


def _enable(call: ApiCall) -> None:
    call.state(Queues).disabled.pop(call.arguments[0], None)


def _ask(call: ApiCall, queue: int, which: int, *arguments: int) -> int:
    return call.invoke(call.u32(queue + which), queue, *arguments)


def _lock(call: ApiCall, queue: int) -> int:
    """Let the driver take its lock; returns where it stored the old IRQL."""
    place = call.allocate(4)
    _ask(call, queue, _ACQUIRE, place)
    return place


def _unlock(call: ApiCall, queue: int, place: int) -> None:
    _ask(call, queue, _RELEASE, call.u8(place))


def _insert(call: ApiCall) -> None:
    """(Cbdq, Cbd, Context, InsertContext): returns what the driver's own insertion returns.

    An operation may have been canceled in between: then it is taken out again and the driver completes it.
    """
    queue, data, context, insert_context = call.arguments[:4]
    limit_irql(call, DISPATCH_LEVEL)
    if queue in call.state(Queues).disabled:
        call.complete(STATUS_FLT_CBDQ_DISABLED)
        return
    if data in call.state(CallbackData).known and not call.view("FLT_CALLBACK_DATA", data)["Flags"] & IRP_OPERATION:
        call.note(f"{call.name}: the operation at {data:#010x} is no IRP")
    if context:
        call.put_u32(context + _CONTEXT_DATA, data)
        call.put_u32(context + _CONTEXT_QUEUE, queue)
    place = _lock(call, queue)
    status = _ask(call, queue, _INSERT, data, insert_context)
    call.complete(status)
    if status & _FAILURE_SIGN:
        _unlock(call, queue, place)
        return
    call.state(Queues).contexts[data] = context
    if call.succeeds:
        _unlock(call, queue, place)
        return
    _take_out(call, queue, data)
    _unlock(call, queue, place)
    _ask(call, queue, _COMPLETE_CANCELED, data)


def _take_out(call: ApiCall, queue: int, data: int) -> None:
    """Let the driver unlink an operation, whose context stands for nothing from then on."""
    _ask(call, queue, _REMOVE, data)
    context = call.state(Queues).contexts.pop(data, 0)
    if context:
        call.put_u32(context + _CONTEXT_DATA, 0)


def _remove(call: ApiCall) -> None:
    """(Cbdq, Context): NULL when the operation was canceled or removed before."""
    queue, context = call.arguments[:2]
    limit_irql(call, DISPATCH_LEVEL)
    data = call.u32(context + _CONTEXT_DATA)
    if not data:
        return
    place = _lock(call, queue)
    _take_out(call, queue, data)
    call.put_u32(context + _CONTEXT_DATA, 0)
    _unlock(call, queue, place)
    call.eax = data


def _remove_next(call: ApiCall) -> None:
    """(Cbdq, PeekContext): NULL when the driver's queue has nothing that fits."""
    queue, peek_context = call.arguments[:2]
    limit_irql(call, DISPATCH_LEVEL)
    place = _lock(call, queue)
    data = _ask(call, queue, _PEEK, 0, peek_context)
    if data:
        _take_out(call, queue, data)
    _unlock(call, queue, place)
    call.eax = data


# -- the kernel's calls --


def _queued(context: Context) -> int:
    """Return an operation whose queue links are valid: those of a queue that has nothing else."""
    data = make_operation(context, pick(context, (READ, WRITE, DIRECTORY_CONTROL))).data
    data["Flags"] |= IRP_OPERATION
    links = data.at("QueueLinks")
    data["QueueLinks.Flink"] = data["QueueLinks.Blink"] = links
    return data.address


def _callback(context: Context, root: Root) -> Words:
    """The queue comes first; an operation, a level or a place for one, and the caller's context follow."""
    queue, which = root.context
    if which == _ACQUIRE:
        return Words((queue, context.allocate(4)))
    if which == _RELEASE:
        set_irql(context, DISPATCH_LEVEL)
        return Words((queue, PASSIVE_LEVEL))
    if which == _PEEK:
        first = pick(context, (0, _queued(context)), _START_KEY)
        return Words((queue, first, 0))
    return Words((queue, _queued(context), *((0,) if which == _INSERT else ())))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltCbdqInitialize": _initialize,
    "FltCbdqDisable": _disable,
    "FltCbdqEnable": _enable,
    "FltCbdqInsertIo": _insert,
    "FltCbdqRemoveIo": _remove,
    "FltCbdqRemoveNextIo": _remove_next,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"flt-cbdq": _callback}
