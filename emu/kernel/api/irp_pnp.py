"""Parameters of the requests that the system itself sends to devices: Plug and Play, power, WMI.

Minor functions and parameters: the pages of the IRP_MN_ codes in the WDK; CM_RESOURCE_LIST and DEVICE_CAPABILITIES:
wdm.h; WNODE_HEADER: wmistr.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.choices import pick
from stackemu.emu.kernel.api.irp_request import Request
from stackemu.emu.kernel.call import Context

IRP_MJ_POWER, IRP_MJ_SYSTEM_CONTROL, IRP_MJ_PNP = 22, 23, 27
_Step = Callable[[Request], None]

# -- Plug and Play --

START_DEVICE, QUERY_REMOVE, REMOVE, CANCEL_REMOVE, STOP, QUERY_STOP, CANCEL_STOP = range(7)
QUERY_RELATIONS, QUERY_INTERFACE, QUERY_CAPABILITIES, QUERY_RESOURCES, QUERY_REQUIREMENTS, QUERY_TEXT = range(7, 13)
FILTER_REQUIREMENTS, READ_CONFIG, WRITE_CONFIG, EJECT, SET_LOCK, QUERY_ID = 13, 15, 16, 17, 18, 19
QUERY_STATE, QUERY_BUS, USAGE_NOTIFICATION, SURPRISE_REMOVAL = 20, 21, 22, 23
_PNP_MINORS = (
    REMOVE, QUERY_REMOVE, CANCEL_REMOVE, STOP, QUERY_STOP, CANCEL_STOP, SURPRISE_REMOVAL,
    QUERY_RELATIONS, QUERY_CAPABILITIES, QUERY_ID, QUERY_INTERFACE, QUERY_STATE, QUERY_RESOURCES,
    QUERY_REQUIREMENTS, QUERY_TEXT, FILTER_REQUIREMENTS, READ_CONFIG, WRITE_CONFIG, EJECT, SET_LOCK,
    QUERY_BUS, USAGE_NOTIFICATION,
)  # fmt: skip
_PORT, _INTERRUPT, _MEMORY = 1, 2, 3
"""CmResourceType values."""
_SHARED, _PORT_IO, _READ_WRITE = 3, 1, 0
_PCI_BUS = 5
_CONFIG_SIZE = 0x100


def resource_list(context: Context) -> int:
    """Return a CM_RESOURCE_LIST with a port range, a range of device memory and an interrupt."""
    descriptors = (
        struct.pack("<BBHQI", _PORT, _SHARED, _PORT_IO, 0xC000, 0x20),
        struct.pack("<BBHQI", _MEMORY, _SHARED, _READ_WRITE, 0xFEB00000, 0x1000),
        struct.pack("<BBHIII", _INTERRUPT, _SHARED, 0, 11, 11, 1),
    )
    data = struct.pack("<IIIHHI", 1, _PCI_BUS, 0, 1, 1, len(descriptors)) + b"".join(descriptors)
    address = context.allocate(len(data))
    context.write(address, data)
    return address


def requirements_list(context: Context) -> int:
    """Return an IO_RESOURCE_REQUIREMENTS_LIST of one alternative that wants an interrupt."""
    descriptor = struct.pack("<BBBBHHIIII", 0, _INTERRUPT, _SHARED, 0, 0, 0, 11, 11, 0, 0).ljust(32, b"\0")
    alternative = struct.pack("<HHI", 1, 1, 1) + descriptor
    header = struct.pack("<IIIIIIII", 32 + len(alternative), _PCI_BUS, 0, 0, 0, 0, 0, 1)
    address = context.allocate(len(header) + len(alternative))
    context.write(address, header + alternative)
    return address


def _fill_pnp(request: Request) -> None:
    """Every other request starts the device: what drivers do then is the longest, and hangs on most."""
    minors = [minor for other in _PNP_MINORS for minor in (START_DEVICE, other)]
    request.location["MinorFunction"] = pick(request.context, minors)
    request.location["Parameters.Others.Argument1"] = pick(request.context, (0, 1, 2, 3, 4, 5), 1)


def _prepare_pnp(request: Request) -> None:
    _PNP_STEPS.get(request.location["MinorFunction"], _plain)(request)


def _plain(request: Request) -> None:
    """Most minor functions have no parameters."""
    request.location["Parameters.Others.Argument1"] = 0


def _keep(_request: Request) -> None:
    """The number drawn is the parameter: a relation, an id, a text, a path."""


def _start(request: Request) -> None:
    raw = resource_list(request.context)
    request.location["Parameters.StartDevice.AllocatedResources"] = pick(request.context, (raw, raw, 0), 2)
    request.location["Parameters.StartDevice.AllocatedResourcesTranslated"] = pick(request.context, (raw, raw, 0), 2)


def _capabilities(request: Request) -> None:
    """DEVICE_CAPABILITIES as its sender initialises it: Size, Version, and unknown addresses."""
    context = request.context
    address = context.allocate(64)
    context.write(address, struct.pack("<HHIII", 64, 1, 0, 0xFFFFFFFF, 0xFFFFFFFF))
    request.location["Parameters.DeviceCapabilities.Capabilities"] = address


def _interface(request: Request) -> None:
    context, location = request.context, request.location
    location["Parameters.QueryInterface.InterfaceType"] = context.allocate(16, zeroed=False)
    size = pick(context, (0x20, 0x40, 0x14), 2)
    location["Parameters.QueryInterface.Size"], location["Parameters.QueryInterface.Version"] = size, 1
    location["Parameters.QueryInterface.Interface"] = context.allocate(size)
    location["Parameters.QueryInterface.InterfaceSpecificData"] = 0


def _requirements(request: Request) -> None:
    request.location["Parameters.FilterResourceRequirements.IoResourceRequirementList"] = requirements_list(
        request.context
    )


def _config(request: Request) -> None:
    location = request.location
    location["Parameters.ReadWriteConfig.WhichSpace"] = 0
    location["Parameters.ReadWriteConfig.Buffer"] = request.context.allocate(_CONFIG_SIZE, zeroed=False)
    location["Parameters.ReadWriteConfig.Offset"] = pick(request.context, (0, 4, 0x40), 2)
    location["Parameters.ReadWriteConfig.Length"] = pick(request.context, (4, 0x40, 0x10), 3)


def _usage(request: Request) -> None:
    """Paging, hibernation or dump files come to the device or leave it."""
    location = request.location
    location["Parameters.UsageNotification.InPath"] = pick(request.context, (1, 0), 2)
    location["Parameters.UsageNotification.Type"] = pick(request.context, (1, 2, 3), 3)


_PNP_STEPS: Mapping[int, _Step] = {
    START_DEVICE: _start,
    QUERY_RELATIONS: _keep,
    QUERY_ID: _keep,
    QUERY_TEXT: _keep,
    SET_LOCK: _keep,
    QUERY_CAPABILITIES: _capabilities,
    QUERY_INTERFACE: _interface,
    FILTER_REQUIREMENTS: _requirements,
    READ_CONFIG: _config,
    WRITE_CONFIG: _config,
    USAGE_NOTIFICATION: _usage,
}

# -- power --

_WAIT_WAKE, _POWER_SEQUENCE, _SET_POWER, _QUERY_POWER = range(4)
_SYSTEM_POWER_STATE, _DEVICE_POWER_STATE = 0, 1
_DEVICE_STATES = (1, 4, 2, 3)
"""PowerDeviceD0, D3, D1, D2."""
_SYSTEM_STATES = (1, 4, 6, 5, 2, 3)
"""PowerSystemWorking, Sleeping3, Shutdown, Hibernate, Sleeping1, Sleeping2."""


def _fill_power(request: Request) -> None:
    context, location = request.context, request.location
    location["MinorFunction"] = minor = pick(context, (_SET_POWER, _QUERY_POWER, _WAIT_WAKE, _POWER_SEQUENCE))
    if minor == _WAIT_WAKE:
        location["Parameters.WaitWake.PowerState"] = _SYSTEM_STATES[1]
    elif minor in (_SET_POWER, _QUERY_POWER):
        kind = pick(context, (_DEVICE_POWER_STATE, _SYSTEM_POWER_STATE), 1)
        states = _DEVICE_STATES if kind == _DEVICE_POWER_STATE else _SYSTEM_STATES
        location["Parameters.Power.Type"] = kind
        location["Parameters.Power.State"] = pick(context, states, 2)
        location["Parameters.Power.ShutdownType"] = pick(context, (0, 2, 3, 4, 5), 3)


def _prepare_power(request: Request) -> None:
    if request.location["MinorFunction"] == _POWER_SEQUENCE:
        request.location["Parameters.PowerSequence.PowerSequence"] = request.context.allocate(12)


# -- WMI --

_QUERY_ALL, _QUERY_ONE, _CHANGE_ONE, _CHANGE_ITEM, _ENABLE_EVENTS, _DISABLE_EVENTS = range(6)
_ENABLE_COLLECTION, _DISABLE_COLLECTION, _REGISTRATION, _EXECUTE, _REGISTRATION_EX = 6, 7, 8, 9, 11
_WMI_MINORS = (
    _REGISTRATION, _QUERY_ALL, _QUERY_ONE, _CHANGE_ONE, _CHANGE_ITEM, _ENABLE_EVENTS, _DISABLE_EVENTS,
    _ENABLE_COLLECTION, _DISABLE_COLLECTION, _EXECUTE, _REGISTRATION_EX,
)  # fmt: skip
_WNODE_FLAGS = {
    _QUERY_ALL: 0x1,
    _QUERY_ONE: 0x2,
    _CHANGE_ONE: 0x2,
    _CHANGE_ITEM: 0x4,
    _EXECUTE: 0x8000,
}
"""WNODE_FLAG_ALL_DATA, SINGLE_INSTANCE, SINGLE_ITEM, METHOD_ITEM."""
_WNODE_HEADER = struct.Struct("<IIQQ16sII")
"""BufferSize, ProviderId, HistoricalContext, TimeStamp, Guid, ClientContext, Flags."""
_STATIC_INSTANCE_NAMES = 0x200
_DATA_OFFSET = 0x40


def _fill_wmi(request: Request) -> None:
    context, location = request.context, request.location
    location["MinorFunction"] = pick(context, _WMI_MINORS)
    location["Parameters.WMI.BufferSize"] = pick(context, (0x400, 0x80, 0x38), 1)


def _prepare_wmi(request: Request) -> None:
    """The buffer is a WNODE of the request's kind, over data of its own; the instance has a static name."""
    context, location = request.context, request.location
    minor, size = location["MinorFunction"], location["Parameters.WMI.BufferSize"]
    location["Parameters.WMI.ProviderId"] = request.device.address
    guid = context.allocate(16, zeroed=False)
    is_registration = minor in (_REGISTRATION, _REGISTRATION_EX)
    location["Parameters.WMI.DataPath"] = pick(context, (0, 1), 2) if is_registration else guid
    buffer = context.allocate(max(size, _DATA_OFFSET), zeroed=False)
    location["Parameters.WMI.Buffer"] = buffer
    if not is_registration:
        flags = _WNODE_FLAGS.get(minor, 0) | _STATIC_INSTANCE_NAMES
        name = context.read(guid, 16)
        context.write(buffer, _WNODE_HEADER.pack(size, request.device.address, 0, 0, name, 0, flags))
        data_size = max(0, size - _DATA_OFFSET)
        context.write(buffer + _WNODE_HEADER.size, struct.pack("<IIII", 0, 0, _DATA_OFFSET, data_size))


FILL: Mapping[int, _Step] = {
    IRP_MJ_POWER: _fill_power,
    IRP_MJ_SYSTEM_CONTROL: _fill_wmi,
    IRP_MJ_PNP: _fill_pnp,
}
PREPARE: Mapping[int, _Step] = {
    IRP_MJ_POWER: _prepare_power,
    IRP_MJ_SYSTEM_CONTROL: _prepare_wmi,
    IRP_MJ_PNP: _prepare_pnp,
}
