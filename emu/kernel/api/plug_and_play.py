"""Plug and Play: device interfaces, properties, and notifications of devices that come and go.

Pages of IoRegisterDeviceInterface, IoGetDeviceProperty and IoRegisterPlugPlayNotification in the WDK; notification
structures: wdm.h; GUIDs of events: wdmguid.h.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.devices import foreign_device
from stackemu.emu.kernel.api.irp_pnp import requirements_list, resource_list
from stackemu.emu.kernel.api.irql import PASSIVE_LEVEL, limit_irql
from stackemu.emu.kernel.api.plain_roots import plain_words
from stackemu.emu.kernel.api.pool import allocate_pool
from stackemu.emu.kernel.api.strings import allocate_text
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.handles import open_handle
from stackemu.emu.kernel.objects import file_object
from stackemu.emu.kernel.roots import Root, Words

STATUS_BUFFER_TOO_SMALL = 0xC0000023
STATUS_INVALID_PARAMETER_2 = 0xC00000F0
_OPAQUE_SIZE = 0x40
"""Room for what only the kernel looks into."""
_HARDWARE_PROFILE, _DEVICE_INTERFACE, _TARGET_DEVICE = 1, 2, 3
"""IO_NOTIFICATION_EVENT_CATEGORY."""
_EVENTS = {_HARDWARE_PROFILE: (1, 2, 3), _DEVICE_INTERFACE: (4, 5), _TARGET_DEVICE: (6, 7, 8)}
"""Last digits of the events' GUIDs: query, cancelled, complete; arrival, removal; query, cancelled, complete."""
_EVENT_GUID = uuid.UUID("cb3a4000-46f0-11d0-b08f-00609713053f")
_LINK = "\\??\\ROOT#SAMPLE#000{}#{{{}}}"
_INTERFACE_CLASS = uuid.UUID("53f56307-b6bf-11d0-94f2-00a0c91efb8b")
"""GUID_DEVINTERFACE_DISK (ntddstor.h)."""


def _guid(context: Context, address: int) -> uuid.UUID:
    return uuid.UUID(bytes_le=context.read(address, 16))


def _wide(text: str) -> bytes:
    return text.encode("utf-16-le")


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


# -- device interfaces --


def _register_interface(call: ApiCall) -> None:
    _device, class_guid, reference, link = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    text = _LINK.format(0, _guid(call, class_guid))
    if reference:
        text += "\\" + call.unicode(reference)
    if not call.succeeds:
        call.fail()
        return
    allocate_text(call, link, _wide(text), 2)


def _interfaces(call: ApiCall) -> None:
    """A list of strings in pool, which an empty string ends."""
    class_guid, _device, _flags, out = call.arguments[:4]
    limit_irql(call, PASSIVE_LEVEL)
    guid = _guid(call, class_guid)
    if not call.succeeds:
        call.fail()
        return
    count = pick(call, (1, 0, 2, 3))
    data = _wide("".join(_LINK.format(number, guid) + "\0" for number in range(count)) + "\0")
    address = allocate_pool(call, len(data))
    call.write(address, data)
    call.put_u32(out, address)


def _interface_alias(call: ApiCall) -> None:
    _link, class_guid, alias = call.arguments[:3]
    text = _LINK.format(0, _guid(call, class_guid))
    if not call.succeeds:
        call.fail()
        return
    allocate_text(call, alias, _wide(text), 2)


# -- properties --

_TEXTS = {
    0: "Sample Device",
    5: "System",
    6: "{4d36e97d-e325-11ce-bfc1-08002be10318}",
    7: "{4d36e97d-e325-11ce-bfc1-08002be10318}\\0000",
    8: "Sample Corporation",
    9: "Sample Device (COM3)",
    10: "Slot 1",
    11: "\\Device\\00000042",
    15: "ROOT",
    22: "{00000000-0000-0000-ffff-ffffffffffff}",
}
"""DEVICE_REGISTRY_PROPERTY values that are strings: description, class, its GUID, driver key, manufacturer, friendly
name, location, name of the device object, enumerator, container."""
_LISTS = {1: ("PCI\\VEN_8086&DEV_1234", "ROOT\\SAMPLE"), 2: ("PCI\\CC_0100",)}
"""Hardware and compatible ids: lists of strings."""
_RESOURCES, _REQUIREMENTS = (3, 4, 21), 20
"""Boot configuration, raw and translated; allocated resources; resource requirements."""
_RESOURCES_SIZE, _REQUIREMENTS_SIZE = 68, 72
_BUS_TYPE_GUID = 12
_LAST_PROPERTY = 22
_NUMBERS = (0, 1, 5, 2, 3)


def _property(call: ApiCall, which: int) -> bytes:
    """Return a device property of the type that its number says."""
    if which in _TEXTS:
        return _wide(_TEXTS[which] + "\0")
    if which in _LISTS:
        return _wide("".join(f"{text}\0" for text in _LISTS[which]) + "\0")
    if which in _RESOURCES:
        return call.read(resource_list(call), _RESOURCES_SIZE)
    if which == _REQUIREMENTS:
        return call.read(requirements_list(call), _REQUIREMENTS_SIZE)
    if which == _BUS_TYPE_GUID:
        return _INTERFACE_CLASS.bytes_le
    return struct.pack("<I", pick(call, _NUMBERS))


def _answer(call: ApiCall, data: bytes, buffer: int, size: int, needed: int) -> None:
    """Fill a buffer of `size` bytes, and say how many the value takes."""
    call.put_optional(needed, len(data))
    if size < len(data):
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.write(buffer, data)


def _get_property(call: ApiCall) -> None:
    _device, which, size, buffer, needed = call.arguments[:5]
    limit_irql(call, PASSIVE_LEVEL)
    if which > _LAST_PROPERTY:
        call.complete(STATUS_INVALID_PARAMETER_2)
    elif call.succeeds:
        _answer(call, _property(call, which), buffer, size, needed)
    else:
        call.put_optional(needed, 0)
        call.fail()


def _get_property_data(call: ApiCall) -> None:
    """Properties with a key: what type they have is the input's to say."""
    _of, _key, _locale, _flags, size, buffer, needed, kind = call.arguments[:8]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.put_optional(needed, 0)
        call.fail()
        return
    string, number = (0x12, _wide(_TEXTS[0] + "\0")), (0x7, struct.pack("<I", call.draw(1)))
    name, data = pick(call, (string, number))
    call.put_u32(kind, name)
    _answer(call, data, buffer, size, needed)


def _open_key(out_at: int) -> Callable[[ApiCall], None]:
    """The registry keys of devices and interfaces."""

    def behaviour(call: ApiCall) -> None:
        limit_irql(call, PASSIVE_LEVEL)
        if call.succeeds:
            call.put_u32(call.arguments[out_at], open_handle(call, call.allocate(_OPAQUE_SIZE)))
        else:
            call.fail()

    return behaviour


def _report_device(call: ApiCall) -> None:
    """IoReportDetectedDevice makes a device object unless the caller has one."""
    slot = call.arguments[7]
    if not call.succeeds:
        call.fail()
    elif not call.u32(slot):
        call.put_u32(slot, foreign_device(call))


# -- notifications --


def _register_notification(call: ApiCall) -> None:
    category, _flags, data, _driver, routine, argument, out = call.arguments[:7]
    limit_irql(call, PASSIVE_LEVEL)
    if not call.succeeds:
        call.fail()
        return
    call.put_u32(out, call.allocate(_OPAQUE_SIZE))
    subject = data
    if category == _DEVICE_INTERFACE:
        subject = call.allocate(16)
        call.write(subject, call.read(data, 16))
    call.root(routine, "PnP notification", "pnp-notification", category, subject, argument)


def _report_change(call: ApiCall) -> None:
    _device, _notification, routine, argument = call.arguments[:4]
    if not call.succeeds:
        call.fail()
        return
    call.root(routine, "device change complete", "device-change-complete", argument)


def _notification(context: Context, root: Root) -> Words:
    """(NotificationStructure, Context): Version, Size, Event, and what the category says of its subject."""
    category, subject, argument = root.context
    numbers = _EVENTS.get(category, _EVENTS[_HARDWARE_PROFILE])
    data = uuid.UUID(int=_EVENT_GUID.int + (pick(context, numbers) << 96)).bytes_le
    if category == _DEVICE_INTERFACE:
        guid = context.read(subject, 16)
        link = context.new("UNICODE_STRING").address
        context.put_counted(link, _wide(_LINK.format(below(context, 4, 1), uuid.UUID(bytes_le=guid))))
        data += guid + struct.pack("<I", link)
    elif category == _TARGET_DEVICE:
        data += struct.pack("<I", subject or file_object(context).address)
    address = context.allocate(4 + len(data))
    context.write(address, struct.pack("<HH", 1, 4 + len(data)) + data)
    return Words((address, argument))


_STATUS = (
    "IoSetDeviceInterfaceState",
    "IoSetDevicePropertyData",
    "IoSetDeviceInterfacePropertyData",
    "IoUnregisterPlugPlayNotification",
    "IoUnregisterPlugPlayNotificationEx",
    "IoReportTargetDeviceChange",
    "IoReportRootDevice",
    "IoSynchronousInvalidateDeviceRelations",
)
"""Functions that succeed or fail, and do nothing else that the driver could see."""
_NOTHING = ("IoInvalidateDeviceRelations", "IoInvalidateDeviceState", "IoRequestDeviceEject")

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_STATUS, _status),
    **dict.fromkeys(_NOTHING, _nothing),
    "IoRegisterDeviceInterface": _register_interface,
    "IoGetDeviceInterfaces": _interfaces,
    "IoGetDeviceInterfaceAlias": _interface_alias,
    "IoGetDeviceProperty": _get_property,
    "IoGetDevicePropertyData": _get_property_data,
    "IoGetDeviceInterfacePropertyData": _get_property_data,
    "IoOpenDeviceRegistryKey": _open_key(3),
    "IoOpenDeviceInterfaceRegistryKey": _open_key(2),
    "IoReportDetectedDevice": _report_device,
    "IoRegisterPlugPlayNotification": _register_notification,
    "IoReportTargetDeviceChangeAsynchronous": _report_change,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "pnp-notification": _notification,
    "device-change-complete": plain_words,
}
