"""Work items: routines that the driver wants a system worker thread to run, at PASSIVE_LEVEL.

IO_WORKITEM is opaque; WORK_QUEUE_ITEM holds its routine and parameter (wdm.h).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.api.plain_roots import plain_words
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.objects import IO_TYPE_DEVICE, Objects, driver_object
from stackemu.emu.kernel.roots import Root, Words

IO_WORKITEM_SIZE = 0x20
"""What IoSizeofWorkItem answers."""


@dataclass(slots=True)
class WorkItems:
    """Work items by address, with the object (of a device or a driver) that each one keeps alive."""

    owners: dict[int, int] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)


def _allocate(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    if not call.succeeds:
        return
    call.eax = call.allocate(IO_WORKITEM_SIZE)
    call.state(WorkItems).owners[call.eax] = call.arguments[0]


def _initialize(call: ApiCall) -> None:
    owner, item = call.arguments[:2]
    call.write(item, bytes(IO_WORKITEM_SIZE))
    call.state(WorkItems).owners[item] = owner


def _free(call: ApiCall) -> None:
    """IoFreeWorkItem and IoUninitializeWorkItem end an item's life."""
    item = call.arguments[0]
    items = call.state(WorkItems)
    if items.owners.pop(item, None) is None:
        if item in items.freed:
            call.note(f"{call.name}: {item:#010x} was freed before")
        return
    items.freed[item] = None


def _size(call: ApiCall) -> None:
    call.eax = IO_WORKITEM_SIZE


def _queue(role: str, kind: str) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        item, routine, _queue_type, context = call.arguments[:4]
        limit_irql(call, DISPATCH_LEVEL)
        items = call.state(WorkItems)
        if item in items.freed and item not in items.owners:
            call.note(f"{call.name}: {item:#010x} was freed before")
        call.root(routine, role, kind, items.owners.get(item, 0), context, item)

    return behaviour


def _try_queue(call: ApiCall) -> None:
    """IoTryQueueWorkItem returns FALSE for an item that is queued already."""
    if call.succeeds:
        _queue("work item", "work-item-ex")(call)
        call.eax = 1


def _queue_plain(call: ApiCall) -> None:
    item = call.view("WORK_QUEUE_ITEM", call.arguments[0])
    limit_irql(call, DISPATCH_LEVEL)
    call.root(item["WorkerRoutine"], "worker routine", "worker-routine", item["Parameter"])


# -- the kernel's calls --


def _owner(context: Context, root: Root) -> int:
    """Return the object that the work item was made for, or one of the driver's devices where none is known."""
    if root.context[0]:
        return root.context[0]
    devices = context.state(Objects).devices
    if devices:
        return devices[0]
    device = context.new("DEVICE_OBJECT")
    device["Type"], device["Size"] = IO_TYPE_DEVICE, device.layout.size
    device["DriverObject"] = driver_object(context).address
    device["ReferenceCount"] = 1
    device["StackSize"] = 1
    return device.address


def _work_item(context: Context, root: Root) -> Words:
    return Words((_owner(context, root), root.context[1]))


def _work_item_ex(context: Context, root: Root) -> Words:
    return Words((_owner(context, root), *root.context[1:]))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoAllocateWorkItem": _allocate,
    "IoInitializeWorkItem": _initialize,
    "IoFreeWorkItem": _free,
    "IoUninitializeWorkItem": _free,
    "IoSizeofWorkItem": _size,
    "IoQueueWorkItem": _queue("work item", "work-item"),
    "IoQueueWorkItemEx": _queue("work item", "work-item-ex"),
    "IoTryQueueWorkItem": _try_queue,
    "ExQueueWorkItem": _queue_plain,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "work-item": _work_item,
    "work-item-ex": _work_item_ex,
    "worker-routine": plain_words,
}
