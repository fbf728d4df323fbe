"""Device queues of IRPs, and the StartIo routine that serves them: KDEVICE_QUEUE.

Source: wdm.h, with the pages of KeInsertDeviceQueue and IoStartPacket in the WDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.devices import make_device_queue
from stackemu.emu.kernel.api.irps import cancel_root
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
}
