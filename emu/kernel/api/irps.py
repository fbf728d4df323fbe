"""I/O request packets: made, sent down to other drivers, completed upwards, cancelled, freed.

IRP, IO_STACK_LOCATION and SL_ flags: wdm.h; pages of IoCallDriver, IoCompleteRequest, IoSetCompletionRoutine and
IoCancelIrp in the WDK. What a lower driver of somebody else does is the input's to say: it completes the request at
once, with success or not, or returns STATUS_PENDING.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.devices import is_device, own_device
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, current_irql, limit_irql, lower_irql, raise_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Bugcheck, Context
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.kernel.objects import IO_TYPE_IRP, MAJOR_FUNCTIONS, Objects
from stackemu.emu.processor import CURRENT_THREAD

SL_PENDING_RETURNED, SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_SUCCESS, SL_INVOKE_ON_ERROR = 0x1, 0x20, 0x40, 0x80
IRP_ASSOCIATED_IRP = 0x8
STATUS_PENDING, STATUS_MORE_PROCESSING_REQUIRED = 0x103, 0xC0000016
NO_MORE_IRP_STACK_LOCATIONS, MULTIPLE_IRP_COMPLETE_REQUESTS = 0x35, 0x44
MAX_LOCATIONS = 0x7E
"""Stack locations of an IRP at most: the counts are signed bytes."""
_EVENT_SIGNAL = 4
"""Offset of SignalState in a KEVENT."""
_MAX_TRANSFER = 0x10000


@dataclass(slots=True)
class Irps:
    """IRPs by address: those the kernel knows, those the driver allocated itself, what became of them."""

    known: dict[int, None] = field(default_factory=dict)
    allocated: dict[int, None] = field(default_factory=dict)
    freed: dict[int, None] = field(default_factory=dict)
    completed: dict[int, None] = field(default_factory=dict)
    top_level: int = 0


def irp_size(locations: int) -> int:
    """Return the bytes of an IRP with its stack locations (IoSizeOfIrp)."""
    return layout("IRP").size + layout("IO_STACK_LOCATION").size * locations


def initialize_irp(irp: View, size: int, locations: int) -> None:
    """Make memory an IRP that nobody has used yet, as IoInitializeIrp does."""
    irp.memory.write(irp.address, bytes(min(size, irp_size(MAX_LOCATIONS))))
    irp["Type"], irp["Size"] = IO_TYPE_IRP, size
    irp["StackCount"], irp["CurrentLocation"] = locations, locations + 1
    links = irp.at("ThreadListEntry")
    irp["ThreadListEntry"] = links | links << 32
    irp["Tail.Overlay.CurrentStackLocation"] = irp.address + irp_size(locations)


def new_irp(context: Context, locations: int) -> View:
    """Return a new IRP with room for as many drivers; at 0 when there is no memory for it."""
    size = irp_size(locations)
    irp = View(context.host, context.allocate(size), layout("IRP"))
    if irp.address:
        initialize_irp(irp, size, locations)
        irp["Tail.Overlay.Thread"] = CURRENT_THREAD
        context.state(Irps).known[irp.address] = None
    return irp


def current_location(context: Context, irp: View) -> View:
    """Return the stack location of the driver that has the IRP."""
    return context.view("IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"])


def next_location(context: Context, irp: View) -> View:
    """Return the stack location of the driver below."""
    size = layout("IO_STACK_LOCATION").size
    return context.view("IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"] - size)


def is_irp(context: Context, address: int) -> bool:
    """Return whether `address` holds an IRP: memory from the input mostly does not."""
    if not address or context.u16(address) != IO_TYPE_IRP:
        return False
    irp = context.view("IRP", address)
    return 0 < irp["StackCount"] <= MAX_LOCATIONS and irp["CurrentLocation"] <= irp["StackCount"] + 1


def _is_code(context: Context, address: int) -> bool:
    image = context.kernel.image
    return image.is_code(address - image.base)


# -- down --


def call_driver(call: ApiCall, device: int, address: int) -> int:
    """Send an IRP to a device's driver; returns the status that its dispatch routine returns."""
    if not is_irp(call, address):
        return STATUS_PENDING if below(call, 8) == 1 else call.source.status(call.ordinal)
    irp = call.view("IRP", address)
    if irp["CurrentLocation"] <= 1:
        raise Bugcheck(NO_MORE_IRP_STACK_LOCATIONS)
    size = layout("IO_STACK_LOCATION").size
    irp["CurrentLocation"] -= 1
    irp["Tail.Overlay.CurrentStackLocation"] -= size
    location = current_location(call, irp)
    location["DeviceObject"] = device
    _announce_completion(call, irp, location)
    dispatch = _own_dispatch(call, device, location["MajorFunction"])
    if dispatch:
        return call.invoke(dispatch, device, address)
    return _lower_driver(call, irp, location)


def _announce_completion(call: ApiCall, irp: View, location: View) -> None:
    """A completion routine is a root: it mostly runs when the request is done, long after this."""
    if location["Control"] & (SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_CANCEL):
        above = call.view("IO_STACK_LOCATION", location.address + location.layout.size)
        device = above["DeviceObject"] if irp["CurrentLocation"] < irp["StackCount"] else 0
        routine, context, major = (location[name] for name in ("CompletionRoutine", "Context", "MajorFunction"))
        call.root(routine, "completion routine", "completion", device, context, major)


def _own_dispatch(call: ApiCall, device: int, major: int) -> int:
    """Return the dispatch routine of a device that is this driver's own, 0 for devices of others."""
    driver = call.state(Objects).driver
    if not is_device(call, device) or not driver or major >= MAJOR_FUNCTIONS:
        return 0
    if call.view("DEVICE_OBJECT", device)["DriverObject"] != driver:
        return 0
    routine = call.u32(call.view("DRIVER_OBJECT", driver).at("MajorFunction") + 4 * major)
    return routine if _is_code(call, routine) else 0


def _lower_driver(call: ApiCall, irp: View, location: View) -> int:
    """Do what the input says of a driver that is not here; the request's results are set either way."""
    status = call.source.status(call.ordinal)
    is_pending = STATUS_PENDING in (status, call.draw()) or pick(call, (False, True), 1)
    status = 0 if status == STATUS_PENDING else status
    irp["IoStatus.Status"] = status
    irp["IoStatus.Information"] = _transferred(call, location) if not status & 0x80000000 else 0
    if is_pending:
        location["Control"] |= SL_PENDING_RETURNED
        _report(call, irp)
        return STATUS_PENDING
    complete(call, irp)
    return status


_LENGTHS = {
    3: "Parameters.Read.Length",
    4: "Parameters.Write.Length",
    5: "Parameters.QueryFile.Length",
    13: "Parameters.FileSystemControl.OutputBufferLength",
    14: "Parameters.DeviceIoControl.OutputBufferLength",
    15: "Parameters.DeviceIoControl.OutputBufferLength",
}
"""What a request that succeeds says it transferred, by major function."""


def _transferred(call: ApiCall, location: View) -> int:
    name = _LENGTHS.get(location["MajorFunction"])
    if name is None:
        return 0
    length = location[name]
    return pick(call, (length, length, length // 2, 0), 2)


# -- up --


def complete(call: ApiCall, irp: View) -> None:
    """Complete an IRP: each completion routine above runs, until one of them wants the IRP back."""
    size = layout("IO_STACK_LOCATION").size
    for _ in range(MAX_LOCATIONS + 1):
        locations = irp["StackCount"]
        if irp["CurrentLocation"] > locations:
            _finish(call, irp)
            return
        location = current_location(call, irp)
        control = location["Control"]
        routine, context = location["CompletionRoutine"], location["Context"]
        irp["PendingReturned"] = control & SL_PENDING_RETURNED
        irp["CurrentLocation"] += 1
        irp["Tail.Overlay.CurrentStackLocation"] += size
        has_above = irp["CurrentLocation"] <= locations
        if not _is_invoked(irp, control) or not _is_code(call, routine):
            if has_above and irp["PendingReturned"]:
                current_location(call, irp)["Control"] |= SL_PENDING_RETURNED
            continue
        location.clear()
        device = current_location(call, irp)["DeviceObject"] if has_above else 0
        if call.invoke(routine, device, irp.address, context) == STATUS_MORE_PROCESSING_REQUIRED:
            return


def _is_invoked(irp: View, control: int) -> bool:
    """Return whether a completion routine asked to be called for how the request ended."""
    ending = SL_INVOKE_ON_ERROR if irp["IoStatus.Status"] & 0x80000000 else SL_INVOKE_ON_SUCCESS
    return bool(control & ending or (irp["Cancel"] and control & SL_INVOKE_ON_CANCEL))


def _finish(call: ApiCall, irp: View) -> None:
    """The I/O manager's own completion: results go to who asked, and a master IRP may be complete then."""
    irps = call.state(Irps)
    irps.completed[irp.address] = None
    if irp["Flags"] & IRP_ASSOCIATED_IRP:
        master = call.view("IRP", irp["AssociatedIrp.MasterIrp"])
        left = master["AssociatedIrp.IrpCount"] - 1
        master["AssociatedIrp.IrpCount"] = left
        if left == 0 and is_irp(call, master.address):
            complete(call, master)
        return
    _report(call, irp)


def _report(call: ApiCall, irp: View) -> None:
    if irp["UserIosb"]:
        block = call.view("IO_STATUS_BLOCK", irp["UserIosb"])
        block["Status"], block["Information"] = irp["IoStatus.Status"], irp["IoStatus.Information"]
    if irp["UserEvent"]:
        call.put_u32(irp["UserEvent"] + _EVENT_SIGNAL, 1)


def _call_driver(call: ApiCall) -> None:
    device, irp = call.arguments[:2]
    limit_irql(call, DISPATCH_LEVEL)
    call.complete(call_driver(call, device, irp))


def _complete(call: ApiCall) -> None:
    address = call.arguments[0]
    limit_irql(call, DISPATCH_LEVEL)
    irps = call.state(Irps)
    if address in irps.completed:
        call.note(f"{call.name}: {address:#010x} was completed before")
        raise Bugcheck(MULTIPLE_IRP_COMPLETE_REQUESTS)
    if not is_irp(call, address):
        return
    irp = call.view("IRP", address)
    if irp["CancelRoutine"]:
        call.note(f"{call.name}: {address:#010x} still has a cancel routine")
    if irp["IoStatus.Status"] == STATUS_PENDING:
        call.note(f"{call.name}: {address:#010x} is completed with STATUS_PENDING")
    complete(call, irp)


# -- sending and waiting --


def _forward(call: ApiCall) -> None:
    """IoForwardIrpSynchronously and IoForwardAndCatchIrp: FALSE when the IRP has no location for the device."""
    device, address = call.arguments[:2]
    if not is_irp(call, address):
        call.eax = int(call.succeeds)
        return
    irp = call.view("IRP", address)
    if irp["CurrentLocation"] <= 1:
        return
    here, following = current_location(call, irp), next_location(call, irp)
    following.clear()
    count = here.layout.offset("CompletionRoutine")
    call.write(following.address, call.read(here.address, count))
    following["Control"] = 0
    _send_and_take_back(call, device, irp)
    call.eax = 1


def _send_and_take_back(call: ApiCall, device: int, irp: View) -> int:
    """Send an IRP and wait until it is done; it then is this driver's again."""
    location, position = irp["Tail.Overlay.CurrentStackLocation"], irp["CurrentLocation"]
    kept = irp["UserIosb"], irp["UserEvent"]
    irp["UserIosb"] = irp["UserEvent"] = 0
    call_driver(call, device, irp.address)
    call.state(Irps).completed.pop(irp.address, None)
    irp["Tail.Overlay.CurrentStackLocation"], irp["CurrentLocation"] = location, position
    irp["UserIosb"], irp["UserEvent"] = kept
    return irp["IoStatus.Status"]


def _call_synchronously(call: ApiCall) -> None:
    device, address = call.arguments[:2]
    if is_irp(call, address):
        call.complete(_send_and_take_back(call, device, call.view("IRP", address)))
    else:
        call.complete(call.source.status(call.ordinal))


def _set_completion(call: ApiCall) -> None:
    """IoSetCompletionRoutineEx keeps the driver loaded as well, for which it needs memory."""
    _device, address, routine, context, *when = call.arguments[:7]
    if not call.succeeds:
        call.fail()
        return
    location = next_location(call, call.view("IRP", address))
    location["CompletionRoutine"], location["Context"] = routine, context
    flags = (SL_INVOKE_ON_SUCCESS, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_CANCEL)
    location["Control"] = sum(flag for flag, wanted in zip(flags, when, strict=True) if wanted & 0xFF)


# -- allocating --


def _allocate(locations_at: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        locations = call.arguments[locations_at] & 0xFF
        limit_irql(call, DISPATCH_LEVEL)
        if call.succeeds and locations <= MAX_LOCATIONS:
            irp = new_irp(call, locations)
            irp["Tail.Overlay.Thread"] = 0
            call.eax = irp.address
            call.state(Irps).allocated[irp.address] = None

    return behaviour


def _initialize(call: ApiCall) -> None:
    address, size, locations = call.arguments[:3]
    initialize_irp(call.view("IRP", address), size & 0xFFFF, locations & 0x7F)
    irps = call.state(Irps)
    irps.known[address] = None
    irps.completed.pop(address, None)


def _reuse(call: ApiCall) -> None:
    address, status = call.arguments[:2]
    irp = call.view("IRP", address)
    flags = irp["AllocationFlags"]
    initialize_irp(irp, irp["Size"], irp["StackCount"] & 0x7F)
    irp["AllocationFlags"] = flags
    irp["IoStatus.Status"] = status
    call.state(Irps).completed.pop(address, None)


def _free(call: ApiCall) -> None:
    address = call.arguments[0]
    limit_irql(call, DISPATCH_LEVEL)
    irps = call.state(Irps)
    if address in irps.freed and address not in irps.known:
        call.note(f"IoFreeIrp: {address:#010x} was freed before")
    for known in (irps.known, irps.allocated, irps.completed):
        known.pop(address, None)
    irps.freed[address] = None


def _associate(call: ApiCall) -> None:
    master, locations = call.arguments[0], call.arguments[1] & 0xFF
    if call.succeeds and locations <= MAX_LOCATIONS:
        irp = new_irp(call, locations)
        irp["Flags"] = IRP_ASSOCIATED_IRP
        irp["AssociatedIrp.MasterIrp"] = master
        irp["Tail.Overlay.Thread"] = call.view("IRP", master)["Tail.Overlay.Thread"]
        call.eax = irp.address


# -- cancelling --


def cancel(call: ApiCall, irp: View) -> bool:
    """Cancel an IRP; returns whether it had a cancel routine, which has run then."""
    irp["Cancel"] = 1
    routine = irp["CancelRoutine"]
    if not routine:
        return False
    irp["CancelRoutine"] = 0
    before = current_irql(call)
    irp["CancelIrql"] = before
    set_irql(call, max(before, DISPATCH_LEVEL))
    if _is_code(call, routine):
        call.invoke(routine, own_device(call, current_location(call, irp)["DeviceObject"]), irp.address)
    set_irql(call, before)
    return True


def cancel_root(context: Context, irp: View) -> None:
    """Remember an IRP's cancel routine as a function that the kernel may call."""
    location = current_location(context, irp)
    device, major = location["DeviceObject"], location["MajorFunction"]
    context.root(irp["CancelRoutine"], "cancel routine", "cancel", device, major)


def cancelable(context: Context) -> list[View]:
    """Return the IRPs that the driver holds with a cancel routine: it sets them by changing memory."""
    irps = context.state(Irps)
    held = (context.view("IRP", one) for one in irps.known if one not in irps.completed and is_irp(context, one))
    return [irp for irp in held if _is_code(context, irp["CancelRoutine"])]


def pending_roots(context: Context) -> None:
    """Register the cancel routines of all IRPs that the driver holds."""
    for irp in cancelable(context):
        cancel_root(context, irp)


def _cancel(call: ApiCall) -> None:
    address = call.arguments[0]
    limit_irql(call, DISPATCH_LEVEL)
    if not is_irp(call, address):
        call.eax = int(call.succeeds)
        return
    call.eax = int(cancel(call, call.view("IRP", address)))


def _acquire_lock(call: ApiCall) -> None:
    """The cancel and VPB spin locks give the old IRQL through a pointer."""
    call.put_u8(call.arguments[0], raise_irql(call, DISPATCH_LEVEL))


def _release_cancel_lock(call: ApiCall) -> None:
    """Cancel routines are set under this lock, so those that are set are known by now."""
    pending_roots(call)
    lower_irql(call, call.arguments[0] & 0xFF)


def _release_lock(call: ApiCall) -> None:
    lower_irql(call, call.arguments[0] & 0xFF)


def _set_top_level(call: ApiCall) -> None:
    call.state(Irps).top_level = call.arguments[0]


def _top_level(call: ApiCall) -> None:
    call.eax = call.state(Irps).top_level


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IofCallDriver": _call_driver,
    "IoCallDriver": _call_driver,
    "PoCallDriver": _call_driver,
    "IofCompleteRequest": _complete,
    "IoCompleteRequest": _complete,
    "IoForwardIrpSynchronously": _forward,
    "IoForwardAndCatchIrp": _forward,
    "IoSynchronousCallDriver": _call_synchronously,
    "IoSetCompletionRoutineEx": _set_completion,
    "IoAllocateIrp": _allocate(0),
    "IoAllocateIrpEx": _allocate(1),
    "IoInitializeIrp": _initialize,
    "IoReuseIrp": _reuse,
    "IoFreeIrp": _free,
    "IoMakeAssociatedIrp": _associate,
    "IoCancelIrp": _cancel,
    "IoAcquireCancelSpinLock": _acquire_lock,
    "IoReleaseCancelSpinLock": _release_cancel_lock,
    "IoAcquireVpbSpinLock": _acquire_lock,
    "IoReleaseVpbSpinLock": _release_lock,
    "IoSetTopLevelIrp": _set_top_level,
    "IoGetTopLevelIrp": _top_level,
}
