"""Cancel-safe queues of callback data that run on a minifilter's own callbacks.

Pages of FltCbdqInitialize, FltCbdqInsertIo, FltCbdqRemoveIo and FLT_CALLBACK_DATA_QUEUE in the WDK. On x86 the
queue's callbacks follow an IO_CSQ of 32 bytes, the flags and the instance (fltKernel.h).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.driver_queues import Callback, DriverQueue, lock_arguments
from stackemu.emu.kernel.api.fltmgr.operations import IRP_OPERATION, CallbackData, make_operation
from stackemu.emu.kernel.api.fltmgr.parameters import DIRECTORY_CONTROL, READ, WRITE
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, limit_irql
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
    instance, address, *callbacks = call.arguments[:8]
    call.write(address, bytes(_SIZE))
    call.put_u32(address + _INSTANCE, instance)
    DriverQueue(call, address, _FIRST_CALLBACK).set_callbacks(callbacks, _CALLBACKS, "flt-cbdq")
    call.state(Queues).disabled.pop(address, None)


def _disable(call: ApiCall) -> None:
    call.state(Queues).disabled[call.arguments[0]] = None


def _enable(call: ApiCall) -> None:
    call.state(Queues).disabled.pop(call.arguments[0], None)


def _queue(call: ApiCall) -> DriverQueue:
    return DriverQueue(call, call.arguments[0], _FIRST_CALLBACK)


def _insert(call: ApiCall) -> None:
    """(Cbdq, Cbd, Context, InsertContext): returns what the driver's own insertion returns.

    An operation may have been canceled in between: then it is taken out again and the driver completes it.
    """
    queue, (data, context, insert_context) = _queue(call), call.arguments[1:4]
    limit_irql(call, DISPATCH_LEVEL)
    if queue.address in call.state(Queues).disabled:
        call.complete(STATUS_FLT_CBDQ_DISABLED)
        return
    if data in call.state(CallbackData).known and not call.view("FLT_CALLBACK_DATA", data)["Flags"] & IRP_OPERATION:
        call.note(f"{call.name}: the operation at {data:#010x} is no IRP")
    if context:
        call.put_u32(context + _CONTEXT_DATA, data)
        call.put_u32(context + _CONTEXT_QUEUE, queue.address)
    is_canceled = False
    with queue.locked():
        status = queue.ask(Callback.INSERT, data, insert_context)
        call.complete(status)
        if not status & _FAILURE_SIGN:
            call.state(Queues).contexts[data] = context
            is_canceled = not call.succeeds
        if is_canceled:
            _take_out(call, queue, data)
    if is_canceled:
        queue.ask(Callback.COMPLETE_CANCELED, data)


def _take_out(call: ApiCall, queue: DriverQueue, data: int) -> None:
    """Let the driver unlink an operation, whose context stands for nothing from then on."""
    queue.ask(Callback.REMOVE, data)
    context = call.state(Queues).contexts.pop(data, 0)
    if context:
        call.put_u32(context + _CONTEXT_DATA, 0)


def _remove(call: ApiCall) -> None:
    """(Cbdq, Context): NULL when the operation was canceled or removed before."""
    queue, context = _queue(call), call.arguments[1]
    limit_irql(call, DISPATCH_LEVEL)
    data = call.u32(context + _CONTEXT_DATA)
    if not data:
        return
    with queue.locked():
        _take_out(call, queue, data)
        call.put_u32(context + _CONTEXT_DATA, 0)
    call.eax = data


def _remove_next(call: ApiCall) -> None:
    """(Cbdq, PeekContext): NULL when the driver's queue has nothing that fits."""
    queue, peek_context = _queue(call), call.arguments[1]
    limit_irql(call, DISPATCH_LEVEL)
    with queue.locked():
        data = queue.ask(Callback.PEEK, 0, peek_context)
        if data:
            _take_out(call, queue, data)
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
    about_lock = lock_arguments(context, queue, which)
    if about_lock is not None:
        return about_lock
    if which == Callback.PEEK:
        first = pick(context, (0, _queued(context)), _START_KEY)
        return Words((queue, first, 0))
    return Words((queue, _queued(context), *((0,) if which == Callback.INSERT else ())))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "FltCbdqInitialize": _initialize,
    "FltCbdqDisable": _disable,
    "FltCbdqEnable": _enable,
    "FltCbdqInsertIo": _insert,
    "FltCbdqRemoveIo": _remove,
    "FltCbdqRemoveNextIo": _remove_next,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {"flt-cbdq": _callback}
