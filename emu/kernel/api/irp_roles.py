"""Roles that are given an IRP: dispatch routines, StartIo, completion and cancel routines.

A request's parameters are chosen first, and then it gets the buffers that they call for; an input that changes a
parameter in memory changes it before that, so that buffers always fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.devices import Devices, own_device
from stackemu.emu.kernel.api.driver_queues import Callback, lock_arguments
from stackemu.emu.kernel.api.irp_parameters import FILL, PREPARE
from stackemu.emu.kernel.api.irp_request import Request
from stackemu.emu.kernel.api.irps import SL_PENDING_RETURNED, cancelable, current_location, irp_size, new_irp
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, PASSIVE_LEVEL, set_irql
from stackemu.emu.kernel.call import Context
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.kernel.objects import Objects, file_object
from stackemu.emu.kernel.roots import Root, Words
from stackemu.emu.memory import STACK_BASE, STACK_TOP

IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_DEVICE_CONTROL, IRP_MJ_INTERNAL_DEVICE_CONTROL = 3, 4, 14, 15
IRP_MJ_SHUTDOWN, IRP_MJ_POWER, IRP_MJ_SYSTEM_CONTROL, IRP_MJ_PNP = 16, 22, 23, 27
_FROM_KERNEL = frozenset(
    {IRP_MJ_INTERNAL_DEVICE_CONTROL, IRP_MJ_SHUTDOWN, IRP_MJ_POWER, IRP_MJ_SYSTEM_CONTROL, IRP_MJ_PNP}
)
"""Major functions that no program sends: they come from kernel mode, mostly without a file."""
_WITHOUT_FILE = _FROM_KERNEL - {IRP_MJ_INTERNAL_DEVICE_CONTROL}
_STARTED = (IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_DEVICE_CONTROL)
"""What drivers queue for their StartIo routine."""
STATUS_NOT_SUPPORTED = 0xC00000BB
_KERNEL_MODE, _USER_MODE = 0, 1
_LOCAL_SIZE = 0x100
_DEVICE_KEY, _ENTRIES_KEY, _MODE_KEY = 5, 6, 7
"""Which of a context's drawn numbers choose what; those below belong to the parameters."""


def make_request(context: Context, device: int, major: int) -> View:
    """Return an IRP for a device's dispatch routine, with parameters and buffers of its major function."""
    view = context.view("DEVICE_OBJECT", device)
    irp = new_irp(context, max(1, min(view["StackSize"], 0x20)))
    irp["CurrentLocation"] -= 1
    irp["Tail.Overlay.CurrentStackLocation"] -= layout("IO_STACK_LOCATION").size
    location = current_location(context, irp)
    location["MajorFunction"] = major
    location["DeviceObject"] = device
    irp["RequestorMode"] = (
        _KERNEL_MODE if major in _FROM_KERNEL else pick(context, (_USER_MODE, _KERNEL_MODE), _MODE_KEY)
    )
    if major not in _WITHOUT_FILE:
        file = file_object(context)
        file["DeviceObject"] = device
        location["FileObject"] = irp["Tail.Overlay.OriginalFileObject"] = file.address
    if major in (IRP_MJ_POWER, IRP_MJ_SYSTEM_CONTROL, IRP_MJ_PNP):
        irp["IoStatus.Status"] = STATUS_NOT_SUPPORTED
    links = irp.at("Tail.Overlay.ListEntry")
    irp["Tail.Overlay.ListEntry"] = links | links << 32
    request = Request(context, irp, location, view)
    FILL.get(major, _nothing)(request)
    _apply_overrides(context, irp)
    PREPARE.get(major, _nothing)(request)
    return irp


def _nothing(_request: Request) -> None:
    """Major functions without parameters."""


def _apply_overrides(context: Context, irp: View) -> None:
    """Give the IRP and its stack locations the values that the input has for them."""
    end = irp.address + irp_size(irp["StackCount"])
    for address, data in context.source.memory_overrides:
        if irp.address <= address and address + len(data) <= end:
            context.write(address, data)


def _target(context: Context, preferred: int, major: int) -> int:
    """Return the device that a request is for: Plug and Play and power requests go to devices in a stack only."""
    device = own_device(context, preferred)
    lower = context.state(Devices).lower
    others = [one for one in context.state(Objects).devices if one != device]
    if major in _WITHOUT_FILE - {IRP_MJ_SHUTDOWN}:
        attached = [one for one in (device, *others) if one in lower]
        return pick(context, attached or [device], _DEVICE_KEY)
    return pick(context, (device, *others), _DEVICE_KEY)


def _dispatch(context: Context, root: Root) -> Words:
    """(DeviceObject, Irp)."""
    preferred, major = root.context
    device = _target(context, preferred, major)
    return Words((device, make_request(context, device, major).address))


def _start_io(context: Context, root: Root) -> Words:
    """(DeviceObject, Irp), at DISPATCH_LEVEL; the IRP is the device's current one, and pending."""
    device = own_device(context, root.context[0])
    irp = make_request(context, device, pick(context, _handled(context, _STARTED), _ENTRIES_KEY))
    current_location(context, irp)["Control"] |= SL_PENDING_RETURNED
    view = context.view("DEVICE_OBJECT", device)
    view["CurrentIrp"] = irp.address
    context.put_u8(view.at("Queue") + 16, 1)  # Busy
    set_irql(context, DISPATCH_LEVEL)
    return Words((device, irp.address))


def _handled(context: Context, majors: tuple[int, ...]) -> tuple[int, ...]:
    """Return those major functions that the driver has a dispatch routine for, all when it has none."""
    driver = context.state(Objects).driver
    if not driver:
        return majors
    table = context.view("DRIVER_OBJECT", driver).at("MajorFunction")
    image = context.kernel.image
    return tuple(major for major in majors if image.is_code(context.u32(table + 4 * major) - image.base)) or majors


def _completion(context: Context, root: Root) -> Words:
    """(DeviceObject, Irp, Context): the drivers below are done; the caller's stack location is current again.

    A driver that sends an IRP of its own has no stack location in it, and is given no device. A local variable of a
    function that waits for the request, such as an event, is memory of its own here.
    """
    sender, argument, major = root.context
    device = own_device(context, sender)
    irp = make_request(context, device, major)
    location = current_location(context, irp)
    status = context.source.status(context.ordinal)
    irp["IoStatus.Status"] = status
    is_transfer = major in (IRP_MJ_READ, IRP_MJ_WRITE)
    length = (
        location["Parameters.Read.Length"]
        if is_transfer
        else location["Parameters.DeviceIoControl.OutputBufferLength"]
    )
    irp["IoStatus.Information"] = 0 if status else pick(context, (length if major <= 15 else 0, 0), _MODE_KEY)
    irp["PendingReturned"] = pick(context, (0, 1), _ENTRIES_KEY)
    if not sender:
        irp["CurrentLocation"] += 1
        irp["Tail.Overlay.CurrentStackLocation"] += location.layout.size
    if STACK_BASE <= argument < STACK_TOP:
        argument = context.allocate(_LOCAL_SIZE)
    set_irql(context, pick(context, (DISPATCH_LEVEL, PASSIVE_LEVEL), _ENTRIES_KEY))
    return Words((device if sender else 0, irp.address, argument))


def _cancel(context: Context, root: Root) -> Words:
    """(DeviceObject, Irp), at DISPATCH_LEVEL with the cancel spin lock held.

    The IRP is one that an earlier call left with this routine, where there is any.
    """
    held = [irp for irp in cancelable(context) if irp["CancelRoutine"] == root.address]
    if held:
        irp = pick(context, held, _ENTRIES_KEY)
        irp["CancelRoutine"] = 0
        device = own_device(context, current_location(context, irp)["DeviceObject"])
    else:
        device = own_device(context, root.context[0])
        irp = make_request(context, device, root.context[1])
        current_location(context, irp)["Control"] |= SL_PENDING_RETURNED
    irp["Cancel"] = 1
    irp["CancelIrql"] = PASSIVE_LEVEL
    set_irql(context, DISPATCH_LEVEL)
    return Words((device, irp.address))


def _csq(context: Context, root: Root) -> Words:
    """Callbacks of a cancel-safe queue: (Csq, ...)."""
    queue, which = root.context
    about_lock = lock_arguments(context, queue, which)
    if about_lock is not None:
        return about_lock
    device = own_device(context)
    irp = make_request(context, device, pick(context, _handled(context, _STARTED), _ENTRIES_KEY)).address
    if which == Callback.PEEK:  # begins at the head without an IRP
        return Words((queue, pick(context, (0, irp), _MODE_KEY), context.draw(0)))
    return Words((queue, irp, 0))


ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "irp": _dispatch,
    "start-io": _start_io,
    "completion": _completion,
    "cancel": _cancel,
    "csq": _csq,
}
