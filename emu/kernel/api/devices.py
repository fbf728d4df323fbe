"""Device objects: made, named, stacked on each other and deleted.

DEVICE_OBJECT and its flags: wdm.h; pages of IoCreateDevice, IoAttachDeviceToDeviceStack, IoGetDeviceObjectPointer
and IoInitializeTimer in the WDK. The kernel allocates a device with its extension right behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from stackemu.emu.inputs import STATUS_INVALID_PARAMETER
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql, set_irql
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.objects import IO_TYPE_DEVICE, IO_TYPE_DRIVER, Objects, driver_object, file_object
from stackemu.emu.kernel.roots import Root, Words

DO_BUFFERED_IO, DO_EXCLUSIVE, DO_DIRECT_IO, DO_DEVICE_HAS_NAME, DO_DEVICE_INITIALIZING = 0x4, 0x8, 0x10, 0x40, 0x80
DO_POWER_PAGABLE = 0x2000
STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_NO_SUCH_DEVICE = 0xC000000E
_DEVICE_QUEUE_OBJECT, _DEVICE_QUEUE_SIZE = 20, 20
"""KOBJECTS value, and the size of a KDEVICE_QUEUE: Type, Size, DeviceListHead (2), Lock, Busy."""
_FILE_DEVICE_DISK = 7
_VOLUME_TYPES = frozenset({2, _FILE_DEVICE_DISK, 0x1F, 0x24})
"""FILE_DEVICE_CD_ROM, DISK, TAPE and VIRTUAL_DISK: a volume can be mounted on these, and they have a VPB."""
_IO_TYPE_VPB = 10
_TIMER_SIZE = 0x18
_CONFIGURATION_SIZE = 0x30
_UNKNOWN_EXTENSION_SIZE = 0x4000
"""Room for the extension of a device that the driver did not make here; it holds what the input says."""
MAX_STACK = 32
"""Devices of one stack that are walked at most."""


@dataclass(slots=True)
class Devices:
    """Devices beyond the driver's own, and how all are connected."""

    foreign: int = 0
    """A device of another driver, at the bottom of a stack."""
    names: dict[str, int] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    lower: dict[int, int] = field(default_factory=dict)
    """The device that each attached device lies on."""
    deleted: dict[int, None] = field(default_factory=dict)
    configuration: int = 0


def is_device(context: Context, address: int) -> bool:
    """Return whether `address` holds a DEVICE_OBJECT: memory from the input mostly does not."""
    return bool(address) and context.u16(address) == IO_TYPE_DEVICE


def make_device(context: Context, driver: int, extension_size: int = 0, kind: int = 0) -> View:
    """Return a new DEVICE_OBJECT with a zeroed extension behind it, the first of its driver's devices."""
    device = context.new("DEVICE_OBJECT", extension_size)
    size = device.layout.size
    device["Type"], device["Size"] = IO_TYPE_DEVICE, min(size + extension_size, 0xFFFF)
    device["DriverObject"] = driver
    device["DeviceType"] = kind
    device["StackSize"] = 1
    if extension_size:
        device["DeviceExtension"] = device.address + size
    more = context.new("DEVOBJ_EXTENSION")
    more["Type"], more["DeviceObject"] = 13, device.address  # IO_TYPE_DEVICE_OBJECT_EXTENSION
    device["DeviceObjectExtension"] = more.address
    make_device_queue(context, device.at("Queue"))
    if kind in _VOLUME_TYPES:
        volume = context.new("VPB")
        volume["Type"], volume["Size"], volume["RealDevice"] = _IO_TYPE_VPB, volume.layout.size, device.address
        device["Vpb"] = volume.address
    owner = context.view("DRIVER_OBJECT", driver)
    device["NextDevice"] = owner["DeviceObject"]
    owner["DeviceObject"] = device.address
    return device


def make_device_queue(context: Context, address: int) -> None:
    """Make `address` a KDEVICE_QUEUE that is empty and not busy."""
    context.write(address, bytes(_DEVICE_QUEUE_SIZE))
    context.put_u16(address, _DEVICE_QUEUE_OBJECT)
    context.put_u16(address + 2, _DEVICE_QUEUE_SIZE)
    context.put_u32(address + 4, address + 4)
    context.put_u32(address + 8, address + 4)


def foreign_device(context: Context) -> int:
    """Return the device of another driver: what a driver attaches to, opens or is given as its PDO."""
    devices = context.state(Devices)
    if not devices.foreign:
        driver = context.new("DRIVER_OBJECT")
        driver["Type"], driver["Size"] = IO_TYPE_DRIVER, driver.layout.size
        context.put_counted(driver.at("DriverName"), "\\Driver\\Disk".encode("utf-16-le"))
        driver["DriverExtension"] = context.new("DRIVER_EXTENSION").address
        device = make_device(context, driver.address, kind=_FILE_DEVICE_DISK)
        device["Flags"] = DO_DIRECT_IO | DO_POWER_PAGABLE
        device["ReferenceCount"] = 1
        device["SectorSize"] = 512
        devices.foreign = device.address
    return devices.foreign


def own_device(context: Context, preferred: int = 0) -> int:
    """Return a device of this driver: the preferred one, its first, or a plausible new one when it made none."""
    known = context.state(Objects).devices
    if preferred in known:
        return preferred
    if known:
        return known[0]
    device = make_device(context, driver_object(context).address)
    device["DeviceExtension"] = context.allocate(_UNKNOWN_EXTENSION_SIZE, zeroed=False)
    context.state(Devices).lower[device.address] = foreign_device(context)
    device["StackSize"] = 2
    known.append(device.address)
    return device.address


def device_stack(context: Context, device: int) -> Iterator[int]:
    """Yield a device and those attached above it, upwards."""
    for _ in range(MAX_STACK):
        yield device
        above = context.view("DEVICE_OBJECT", device)["AttachedDevice"] if is_device(context, device) else 0
        if not above:
            return
        device = above


def top_of_stack(context: Context, device: int) -> int:
    """Return the highest device above a device."""
    return list(device_stack(context, device))[-1]


# -- making and deleting --


def _create(call: ApiCall) -> None:
    driver, extension_size, name, kind, characteristics, exclusive, out = call.arguments[:7]
    limit_irql(call, APC_LEVEL)
    text = call.unicode(name)
    if not call.succeeds or extension_size > MAX_COPY:
        call.put_u32(out, 0)
        call.fail()
        return
    device = make_device(call, driver, extension_size, kind)
    device["Characteristics"] = characteristics
    device["Flags"] = (
        DO_DEVICE_INITIALIZING | (DO_EXCLUSIVE if exclusive & 0xFF else 0) | (DO_DEVICE_HAS_NAME if text else 0)
    )
    call.state(Objects).devices.append(device.address)
    if text:
        call.state(Devices).names[text.lower()] = device.address
    call.put_u32(out, device.address)


def _delete(call: ApiCall) -> None:
    address = call.arguments[0]
    limit_irql(call, APC_LEVEL)
    devices, own = call.state(Devices), call.state(Objects).devices
    if address in devices.deleted:
        call.note(f"IoDeleteDevice: {address:#010x} was deleted before")
        return
    if address not in own:
        return
    if address in devices.lower:
        call.note(f"IoDeleteDevice: {address:#010x} is still attached to another device")
        devices.lower.pop(address)
    own.remove(address)
    devices.deleted[address] = None
    for name in [name for name, at in devices.names.items() if at == address]:
        del devices.names[name]
    _unlink(call, address)


def _unlink(call: ApiCall, address: int) -> None:
    """Take a device out of its driver's list."""
    device = call.view("DEVICE_OBJECT", address)
    slot = call.view("DRIVER_OBJECT", device["DriverObject"]).at("DeviceObject")
    for _ in range(MAX_STACK):
        at = call.u32(slot)
        if at == address:
            call.put_u32(slot, device["NextDevice"])
            return
        if not at:
            return
        slot = call.view("DEVICE_OBJECT", at).at("NextDevice")


def _create_link(call: ApiCall) -> None:
    link, target = (call.unicode(name) for name in call.arguments[:2])
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    call.state(Devices).links[link.lower()] = target


def _delete_link(call: ApiCall) -> None:
    link = call.unicode(call.arguments[0])
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    call.state(Devices).links.pop(link.lower(), None)


# -- stacks --


def _attach(call: ApiCall, source: int, target: int) -> int:
    """Put a device on top of the stack that `target` is in; returns the device now right below."""
    below = call.view("DEVICE_OBJECT", top_of_stack(call, target))
    device = call.view("DEVICE_OBJECT", source)
    below["AttachedDevice"] = source
    device["StackSize"] = below["StackSize"] % 0x7F + 1
    device["AlignmentRequirement"] = below["AlignmentRequirement"]
    device["SectorSize"] = below["SectorSize"]
    call.state(Devices).lower[source] = below.address
    return below.address


def _attach_to_stack(call: ApiCall) -> None:
    limit_irql(call, DISPATCH_LEVEL)
    if call.succeeds:
        call.eax = _attach(call, *call.arguments[:2])


def _attach_safe(call: ApiCall) -> None:
    source, target, out = call.arguments[:3]
    if not call.succeeds:
        call.put_u32(out, 0)
        call.complete(STATUS_NO_SUCH_DEVICE)
        return
    call.put_u32(out, _attach(call, source, target))


def _attach_by_pointer(call: ApiCall) -> None:
    if call.succeeds:
        _attach(call, *call.arguments[:2])
    else:
        call.complete(STATUS_NO_SUCH_DEVICE)


def _attach_by_name(call: ApiCall) -> None:
    source, name, out = call.arguments[:3]
    target = find_device(call, call.unicode(name))
    if not call.succeeds:
        call.put_u32(out, 0)
        call.fail()
        return
    call.put_u32(out, _attach(call, source, target))


def _detach(call: ApiCall) -> None:
    below = call.view("DEVICE_OBJECT", call.arguments[0])
    devices = call.state(Devices)
    above = below["AttachedDevice"]
    if not above and below.address in devices.lower.values():
        call.note(f"IoDetachDevice: nothing is attached to {below.address:#010x}")
    devices.lower.pop(above, None)
    below["AttachedDevice"] = 0


def _top(call: ApiCall) -> None:
    call.eax = top_of_stack(call, call.arguments[0])


def _below(call: ApiCall) -> None:
    """NULL for the lowest device of a stack."""
    call.eax = call.state(Devices).lower.get(call.arguments[0], 0)


def _base(call: ApiCall) -> None:
    device = call.arguments[0]
    lower = call.state(Devices).lower
    for _ in range(MAX_STACK):
        if device not in lower:
            break
        device = lower[device]
    call.eax = device


# -- looking up --


def find_device(context: Context, name: str) -> int:
    """Return the device of a name, behind symbolic links; one of another driver for names of nobody here."""
    devices = context.state(Devices)
    name = name.lower()
    name = devices.links.get(name, name).lower()
    return devices.names.get(name) or foreign_device(context)


def _by_name(call: ApiCall) -> None:
    name, _access, file_out, device_out = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    text = call.unicode(name)
    if not call.succeeds:
        call.fail()
        return
    device = find_device(call, text)
    file = file_object(call)
    file["DeviceObject"] = device
    call.put_u32(file_out, file.address)
    call.put_u32(device_out, top_of_stack(call, device))


def _of_file(call: ApiCall) -> None:
    """IoGetRelatedDeviceObject: the top of the stack that a file was opened on."""
    device = call.view("FILE_OBJECT", call.arguments[0])["DeviceObject"]
    call.eax = top_of_stack(call, device if is_device(call, device) else foreign_device(call))


def _disk(call: ApiCall) -> None:
    if call.succeeds:
        call.put_u32(call.arguments[1], foreign_device(call))
    else:
        call.complete(STATUS_INVALID_PARAMETER)


def _enumerate(call: ApiCall) -> None:
    """IoEnumerateDeviceObjectList answers with the count even when the list, of `size` bytes, is too short."""
    driver, out, size, count_out = call.arguments[:4]
    known = call.state(Objects).devices if driver == call.state(Objects).driver else [foreign_device(call)]
    call.put_u32(count_out, len(known))
    if size < 4 * len(known):
        call.complete(STATUS_BUFFER_TOO_SMALL)
        size = 0
    for index, device in enumerate(known[: size // 4]):
        call.put_u32(out + 4 * index, device)


def _configuration(call: ApiCall) -> None:
    """CONFIGURATION_INFORMATION: counts of disks and ports, which drivers add theirs to."""
    devices = call.state(Devices)
    if not devices.configuration:
        devices.configuration = call.allocate(_CONFIGURATION_SIZE)
        call.put_u32(devices.configuration, _CONFIGURATION_SIZE)
        call.put_u32(devices.configuration + 4, 1)
    call.eax = devices.configuration


# -- what the kernel tells a device --


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


def _initialize_timer(call: ApiCall) -> None:
    address, routine, context = call.arguments[:3]
    if not call.succeeds:
        call.fail()
        return
    call.view("DEVICE_OBJECT", address)["Timer"] = call.allocate(_TIMER_SIZE)
    call.root(routine, "IoTimer", "io-timer", address, context)


def _io_timer(context: Context, root: Root) -> Words:
    """(DeviceObject, Context), once a second at DISPATCH_LEVEL."""
    device, argument = root.context
    set_irql(context, DISPATCH_LEVEL)
    return Words((own_device(context, device), argument))


def _add_device(context: Context, _root: Root) -> Words:
    """(DriverObject, PhysicalDeviceObject)."""
    return Words((driver_object(context).address, foreign_device(context)))


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "IoCreateDevice": _create,
    "IoDeleteDevice": _delete,
    "IoCreateSymbolicLink": _create_link,
    "IoCreateUnprotectedSymbolicLink": _create_link,
    "IoDeleteSymbolicLink": _delete_link,
    "IoAttachDevice": _attach_by_name,
    "IoAttachDeviceByPointer": _attach_by_pointer,
    "IoAttachDeviceToDeviceStack": _attach_to_stack,
    "IoAttachDeviceToDeviceStackSafe": _attach_safe,
    "IoDetachDevice": _detach,
    "IoGetAttachedDevice": _top,
    "IoGetAttachedDeviceReference": _top,
    "IoGetLowerDeviceObject": _below,
    "IoGetDeviceAttachmentBaseRef": _base,
    "IoGetDeviceObjectPointer": _by_name,
    "IoGetRelatedDeviceObject": _of_file,
    "IoGetBaseFileSystemDeviceObject": _of_file,
    "IoGetDiskDeviceObject": _disk,
    "IoEnumerateDeviceObjectList": _enumerate,
    "IoGetConfigurationInformation": _configuration,
    "IoRegisterShutdownNotification": _status,
    "IoRegisterLastChanceShutdownNotification": _status,
    "IoUnregisterShutdownNotification": _nothing,
    "IoInitializeTimer": _initialize_timer,
    "IoStartTimer": _nothing,
    "IoStopTimer": _nothing,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "io-timer": _io_timer,
    "add-device": _add_device,
}
