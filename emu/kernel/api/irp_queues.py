"""Queues of IRPs: device queues with StartIo, and cancel-safe queues that run on the driver's own callbacks.

KDEVICE_QUEUE: wdm.h, with the pages of KeInsertDeviceQueue and IoStartPacket; IO_CSQ: csq.h and "Cancel-Safe IRP
Queues" in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.devices import make_device_queue
from stackemu.emu.kernel.api.irps import SL_PENDING_RETURNED, cancel_root, current_location, is_irp
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, current_irql, limit_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import layout

_HEAD, _BUSY = 4, 16
"""In KDEVICE_QUEUE."""
_SORT_KEY, _INSERTED = 8, 12
"""In KDEVICE_QUEUE_ENTRY, behind its LIST_ENTRY."""
_MAX_ENTRIES = 256


# -- device queues --


def _link(context: Context, before: int, entry: int) -> None:
    """Insert `entry` in front of a member of a doubly linked list, or at its end before the head."""
    behind = context.u32(before + 4)
    context.put_u32(entry, before)
    context.put_u32(entry + 4, behind)
    context.put_u32(behind, entry)
    context.put_u32(before + 4, entry)


def _unlink(context: Context, entry: int) -> None:
    following, behind = context.u32(entry), context.u32(entry + 4)
    context.put_u32(behind, following)
    context.put_u32(following + 4, behind)
    context.put_u8(entry + _INSERTED, 0)


def _place(context: Context, head: int, key: int) -> int:
    """Return the first entry with a larger sort key, the head when there is none."""
    at = context.u32(head)
    for _ in range(_MAX_ENTRIES):
        if at == head or context.u32(at + _SORT_KEY) > key:
            return at
        at = context.u32(at)
    return head


def insert(context: Context, queue: int, entry: int, key: int | None = None) -> bool:
    """Insert an entry when the queue is busy; otherwise make the queue busy and return False."""
    if not context.u8(queue + _BUSY):
        context.put_u8(queue + _BUSY, 1)
        context.put_u8(entry + _INSERTED, 0)
        return False
    head = queue + _HEAD
    if key is not None:
        context.put_u32(entry + _SORT_KEY, key)
    _link(context, head if key is None else _place(context, head, key), entry)
    context.put_u8(entry + _INSERTED, 1)
    return True


def remove(context: Context, queue: int, key: int | None = None) -> int:
    """Take the first entry out, or the first whose key is not smaller; an empty queue is not busy any more."""
    head = queue + _HEAD
    first = context.u32(head)
    if first == head:
        context.put_u8(queue + _BUSY, 0)
        return 0
    entry = first
    if key is not None:
        entry = _place(context, head, key - 1) if key else first
        entry = first if entry == head else entry
    _unlink(context, entry)
    return entry


def _initialize(call: ApiCall) -> None:
    make_device_queue(call, call.arguments[0])


def _insert(call: ApiCall) -> None:
    call.eax = int(insert(call, *call.arguments[:2]))


def _insert_by_key(call: ApiCall) -> None:
    call.eax = int(insert(call, *call.arguments[:3]))


def _remove(call: ApiCall) -> None:
    call.eax = remove(call, call.arguments[0])


def _remove_by_key(call: ApiCall) -> None:
    call.eax = remove(call, *call.arguments[:2])


def _remove_if_busy(call: ApiCall) -> None:
    if call.u8(call.arguments[0] + _BUSY):
        call.eax = remove(call, *call.arguments[:2])


def _remove_entry(call: ApiCall) -> None:
    """FALSE for an entry that is in no queue."""
    entry = call.arguments[1]
    if call.u8(entry + _INSERTED):
        _unlink(call, entry)
        call.eax = 1


# -- StartIo --


def _start(call: ApiCall, device_address: int, irp: int) -> None:
    """Call the driver's StartIo routine, at DISPATCH_LEVEL."""
    device = call.view("DEVICE_OBJECT", device_address)
    device["CurrentIrp"] = irp
    routine = call.view("DRIVER_OBJECT", device["DriverObject"])["DriverStartIo"]
    before = current_irql(call)
    set_irql(call, DISPATCH_LEVEL)
    call.invoke(routine, device_address, irp)
    set_irql(call, before)


def _start_packet(call: ApiCall) -> None:
    device_address, address, key, cancel_routine = call.arguments[:4]
    limit_irql(call, DISPATCH_LEVEL)
    device, irp = call.view("DEVICE_OBJECT", device_address), call.view("IRP", address)
    if cancel_routine:
        irp["CancelRoutine"] = cancel_routine
        cancel_root(call, irp)
    entry = irp.at("Tail.Overlay.DeviceQueueEntry")
    if not insert(call, device.at("Queue"), entry, call.u32(key) if key else None):
        _start(call, device_address, address)


def _start_next(key_at: int | None) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        address = call.arguments[0]
        device = call.view("DEVICE_OBJECT", address)
        device["CurrentIrp"] = 0
        entry = remove(call, device.at("Queue"), call.arguments[key_at] if key_at is not None else None)
        if entry:
            _start(call, address, entry - layout("IRP").offset("Tail.Overlay.DeviceQueueEntry"))

    return behaviour


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


# -- cancel-safe queues --

_CALLBACKS = (
    "CsqInsertIrp",
    "CsqRemoveIrp",
    "CsqPeekNextIrp",
    "CsqAcquireLock",
    "CsqReleaseLock",
    "CsqCompleteCanceledIrp",
)
_INSERT, _REMOVE, _PEEK, _ACQUIRE, _RELEASE, _COMPLETE_CANCELED = range(4, 28, 4)
"""Offsets in IO_CSQ of the callbacks, in their order; its first word is its type."""
_TYPE_CONTEXT, _TYPE_QUEUE, _TYPE_QUEUE_EX = 1, 2, 3
_CONTEXT_IRP, _CONTEXT_QUEUE = 4, 8
"""In IO_CSQ_IRP_CONTEXT."""
_DRIVER_CONTEXT_3 = 12


def _initialize_csq(kind: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        queue, *callbacks = call.arguments[:7]
        call.put_u32(queue, kind)
        for index, (role, callback) in enumerate(zip(_CALLBACKS, callbacks, strict=True)):
            call.put_u32(queue + _INSERT + 4 * index, callback)
            call.root(callback, role, "csq", queue, _INSERT + 4 * index)
        call.put_u32(queue + _COMPLETE_CANCELED + 4, 0)

    return behaviour


def _ask(call: ApiCall, queue: int, which: int, *arguments: int) -> int:
    return call.invoke(call.u32(queue + which), queue, *arguments)


def _lock(call: ApiCall, queue: int) -> int:
    """Let the driver take its lock; returns where it stored the old IRQL."""
    place = call.allocate(4)
    _ask(call, queue, _ACQUIRE, place)
    return place


def _unlock(call: ApiCall, queue: int, place: int) -> None:
    _ask(call, queue, _RELEASE, call.u8(place))


def _csq_insert(call: ApiCall) -> None:
    """IoCsqInsertIrp and IoCsqInsertIrpEx, whose insert callback may refuse the IRP."""
    queue, address, context, insert_context = call.arguments[:4]
    is_ex = call.u32(queue) == _TYPE_QUEUE_EX
    irp = call.view("IRP", address)
    call.put_u32(irp.at("Tail.Overlay.DriverContext") + _DRIVER_CONTEXT_3, context or queue)
    if context:
        call.put_u32(context, _TYPE_CONTEXT)
        call.put_u32(context + _CONTEXT_IRP, address)
        call.put_u32(context + _CONTEXT_QUEUE, queue)
    place = _lock(call, queue)
    status = _ask(call, queue, _INSERT, address, *((insert_context,) if is_ex else ()))
    if is_ex and status & 0x80000000:
        _unlock(call, queue, place)
        call.complete(status)
        return
    if is_irp(call, address):
        current_location(call, irp)["Control"] |= SL_PENDING_RETURNED
    if irp["Cancel"] & 0xFF:
        _ask(call, queue, _REMOVE, address)
        _unlock(call, queue, place)
        _ask(call, queue, _COMPLETE_CANCELED, address)
        return
    _unlock(call, queue, place)


def _csq_remove_next(call: ApiCall) -> None:
    queue, peek_context = call.arguments[:2]
    place = _lock(call, queue)
    address = _ask(call, queue, _PEEK, 0, peek_context)
    if address:
        _ask(call, queue, _REMOVE, address)
        _forget(call, address)
    _unlock(call, queue, place)
    call.eax = address


def _csq_remove(call: ApiCall) -> None:
    """IoCsqRemoveIrp returns NULL when the IRP of a context has been cancelled or removed."""
    queue, context = call.arguments[:2]
    address = call.u32(context + _CONTEXT_IRP)
    if not address:
        return
    place = _lock(call, queue)
    _ask(call, queue, _REMOVE, address)
    _forget(call, address)
    call.put_u32(context + _CONTEXT_IRP, 0)
    _unlock(call, queue, place)
    call.eax = address


def _forget(call: ApiCall, address: int) -> None:
    """Take an IRP's connection with its queue away."""
    slot = call.view("IRP", address).at("Tail.Overlay.DriverContext") + _DRIVER_CONTEXT_3
    context = call.u32(slot)
    if context and call.u32(context) == _TYPE_CONTEXT:
        call.put_u32(context + _CONTEXT_IRP, 0)
    call.put_u32(slot, 0)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeInitializeDeviceQueue": _initialize,
    "KeInsertDeviceQueue": _insert,
    "KeInsertByKeyDeviceQueue": _insert_by_key,
    "KeRemoveDeviceQueue": _remove,
    "KeRemoveByKeyDeviceQueue": _remove_by_key,
    "KeRemoveByKeyDeviceQueueIfBusy": _remove_if_busy,
    "KeRemoveEntryDeviceQueue": _remove_entry,
    "IoStartPacket": _start_packet,
    "IoStartNextPacket": _start_next(None),
    "IoStartNextPacketByKey": _start_next(2),
    "IoSetStartIoAttributes": _nothing,
    "IoCsqInitialize": _initialize_csq(_TYPE_QUEUE),
    "IoCsqInitializeEx": _initialize_csq(_TYPE_QUEUE_EX),
    "IoCsqInsertIrp": _csq_insert,
    "IoCsqInsertIrpEx": _csq_insert,
    "IoCsqRemoveNextIrp": _csq_remove_next,
    "IoCsqRemoveIrp": _csq_remove,
}
