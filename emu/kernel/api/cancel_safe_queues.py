"""Cancel-safe queues of IRPs that run on the driver's own callbacks: IO_CSQ.

Source: csq.h and "Cancel-Safe IRP Queues" in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.driver_queues import Callback, DriverQueue
from stackemu.emu.kernel.api.irps import SL_PENDING_RETURNED, current_location, is_irp
from stackemu.emu.kernel.call import ApiCall

_CALLBACKS = (
    "CsqInsertIrp",
    "CsqRemoveIrp",
    "CsqPeekNextIrp",
    "CsqAcquireLock",
    "CsqReleaseLock",
    "CsqCompleteCanceledIrp",
)
_SIZE, _FIRST_CALLBACK = 32, 4
"""Of IO_CSQ, whose first word is its type and whose last is reserved."""
_TYPE_CONTEXT, _TYPE_QUEUE, _TYPE_QUEUE_EX = 1, 2, 3
_CONTEXT_IRP, _CONTEXT_QUEUE = 4, 8
"""In IO_CSQ_IRP_CONTEXT."""
_DRIVER_CONTEXT_3 = 12
_FAILURE_SIGN = 0x80000000


def _queue(call: ApiCall) -> DriverQueue:
    return DriverQueue(call, call.arguments[0], _FIRST_CALLBACK)


def _initialize(kind: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        address, *callbacks = call.arguments[:7]
        call.put_u32(address, kind)
        _queue(call).set_callbacks(callbacks, _CALLBACKS, "csq")
        call.put_u32(address + _SIZE - 4, 0)

    return behaviour


def _insert(call: ApiCall) -> None:
    """IoCsqInsertIrp and IoCsqInsertIrpEx, whose insert callback may refuse the IRP."""
    queue, (address, context, insert_context) = _queue(call), call.arguments[1:4]
    is_ex = call.u32(queue.address) == _TYPE_QUEUE_EX
    irp = call.view("IRP", address)
    call.put_u32(irp.at("Tail.Overlay.DriverContext") + _DRIVER_CONTEXT_3, context or queue.address)
    if context:
        call.put_u32(context, _TYPE_CONTEXT)
        call.put_u32(context + _CONTEXT_IRP, address)
        call.put_u32(context + _CONTEXT_QUEUE, queue.address)
    with queue.locked():
        status = queue.ask(Callback.INSERT, address, *((insert_context,) if is_ex else ()))
        is_refused = is_ex and bool(status & _FAILURE_SIGN)
        if not is_refused and is_irp(call, address):
            current_location(call, irp)["Control"] |= SL_PENDING_RETURNED
        is_canceled = not is_refused and bool(irp["Cancel"] & 0xFF)
        if is_canceled:
            queue.ask(Callback.REMOVE, address)
    if is_refused:
        call.complete(status)
    elif is_canceled:
        queue.ask(Callback.COMPLETE_CANCELED, address)


def _remove_next(call: ApiCall) -> None:
    queue, peek_context = _queue(call), call.arguments[1]
    with queue.locked():
        address = queue.ask(Callback.PEEK, 0, peek_context)
        if address:
            queue.ask(Callback.REMOVE, address)
            _forget(call, address)
    call.eax = address


def _remove(call: ApiCall) -> None:
    """IoCsqRemoveIrp returns NULL when the IRP of a context has been cancelled or removed."""
    queue, context = _queue(call), call.arguments[1]
    address = call.u32(context + _CONTEXT_IRP)
    if not address:
        return
    with queue.locked():
        queue.ask(Callback.REMOVE, address)
        _forget(call, address)
        call.put_u32(context + _CONTEXT_IRP, 0)
    call.eax = address


def _forget(call: ApiCall, address: int) -> None:
    """Take an IRP's connection with its queue away."""
    slot = call.view("IRP", address).at("Tail.Overlay.DriverContext") + _DRIVER_CONTEXT_3
    context = call.u32(slot)
    if context and call.u32(context) == _TYPE_CONTEXT:
        call.put_u32(context + _CONTEXT_IRP, 0)
    call.put_u32(slot, 0)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoCsqInitialize": _initialize(_TYPE_QUEUE),
    "IoCsqInitializeEx": _initialize(_TYPE_QUEUE_EX),
    "IoCsqInsertIrp": _insert,
    "IoCsqInsertIrpEx": _insert,
    "IoCsqRemoveNextIrp": _remove_next,
    "IoCsqRemoveIrp": _remove,
}
