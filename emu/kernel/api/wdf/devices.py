"""WDFDEVICE: creation from a WDFDEVICE_INIT, the WDM device behind it, names, links, interfaces, properties."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.device_init import INIT
from stackemu.emu.kernel.api.wdf.handles import WdfObject, create, find, framework, make, related
from stackemu.emu.kernel.api.wdf.shapes import (
    STATUS_BUFFER_TOO_SMALL,
    choose,
    drawn,
    getter,
    nothing,
    refers_to,
    setter,
    status_only,
)
from stackemu.emu.kernel.call import MAX_COPY, ApiCall, Context
from stackemu.emu.kernel.objects import IO_TYPE_DEVICE, Objects, driver_object

_FILE_DEVICE_UNKNOWN = 0x22
_DO_BUFFERED_IO, _DO_DIRECT_IO, _DO_DEVICE_INITIALIZING = 0x04, 0x10, 0x80
_IO_TYPE_FLAGS = {1: 0, 2: _DO_BUFFERED_IO, 3: _DO_DIRECT_IO}
"""Device flags by WDF_DEVICE_IO_TYPE: neither, buffered, direct."""
_INTERFACE_NAME = "\\??\\ROOT#SAMPLE#0000#{00000000-0000-0000-0000-000000000000}"
_PROPERTY_TEXT = "ROOT\\SAMPLE"
_REG_MULTI_SZ_PROPERTIES = frozenset({1, 2})
"""DevicePropertyHardwareID and DevicePropertyCompatibleIDs are lists of strings."""
_NUMBER_PROPERTIES = frozenset({11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
"""Of DEVICE_REGISTRY_PROPERTY: bus type GUID to install state; answered with numbers of the input's choice."""


def wdm_device(context: Context, device: WdfObject, name: str = "wdm device") -> int:
    """Return the address of the DEVICE_OBJECT behind a device; other names are those of its stack."""
    if device.get(name):
        return device.get(name)
    made = context.new("DEVICE_OBJECT")
    made["Type"] = IO_TYPE_DEVICE
    made["Size"] = made.layout.size
    made["DriverObject"] = driver_object(context).address
    made["DeviceType"] = device.get("device type") or _FILE_DEVICE_UNKNOWN
    made["Characteristics"] = device.get("characteristics")
    made["StackSize"] = 1
    made["Flags"] = _IO_TYPE_FLAGS.get(device.get("io type"), _DO_BUFFERED_IO)
    device.values[name] = made.address
    context.state(Objects).devices.append(made.address)
    return made.address


def _device_create(call: ApiCall) -> None:
    """On success the framework owns the init structure, and the driver's pointer to it becomes NULL."""
    init_pointer, attributes, out = call.arguments[1:4]
    init = find(call, call.u32(init_pointer), INIT)
    if not call.succeeds:
        call.fail()
        return
    device = create(call, "WDFDEVICE", attributes)
    kept = ("io type", "device type", "characteristics", "request attributes", "file attributes", "parent device")
    device.values.update({name: init.get(name) for name in kept if init.get(name)})
    device.values["init"] = init.handle
    device.text = init.text
    init.values["device"] = device.handle
    wdm_device(call, device)
    call.put_u32(init_pointer, 0)
    call.put_optional(out, device.handle)


def _control_finish(call: ApiCall) -> None:
    device = call.view("DEVICE_OBJECT", wdm_device(call, find(call, call.arguments[1], "WDFDEVICE")))
    device["Flags"] = device["Flags"] & ~_DO_DEVICE_INITIALIZING


def _wdm(name: str) -> Callable[[ApiCall], None]:
    def behave(call: ApiCall) -> None:
        call.eax = wdm_device(call, find(call, call.arguments[1], "WDFDEVICE"), name)

    return behave


def _device_handle(call: ApiCall) -> None:
    """WdfWdmDeviceGetWdfDeviceHandle finds the device by its DEVICE_OBJECT."""
    address = call.arguments[1]
    for one in framework(call).objects.values():
        if one.kind == "WDFDEVICE" and one.get("wdm device") == address:
            call.eax = one.handle
            return
    made = make(call, "WDFDEVICE")
    made.is_foreign = True
    made.values["wdm device"] = address
    call.eax = made.handle


def _device_name(call: ApiCall) -> None:
    if call.succeeds:
        device = find(call, call.arguments[1], "WDFDEVICE")
        find(call, call.arguments[2], "WDFSTRING").text = device.text or "\\Device\\00000042".encode("utf-16-le")
    else:
        call.fail()


def _interface_string(call: ApiCall) -> None:
    if call.succeeds:
        find(call, call.arguments[4], "WDFSTRING").text = _INTERFACE_NAME.encode("utf-16-le")
    else:
        call.fail()


def _property_value(call: ApiCall, which: int) -> bytes:
    """Return a well-formed value of a DEVICE_REGISTRY_PROPERTY."""
    if which in _NUMBER_PROPERTIES:
        return call.draw(1).to_bytes(4, "little")
    text = _PROPERTY_TEXT.encode("utf-16-le") + b"\0\0"
    return text + b"\0\0" if which in _REG_MULTI_SZ_PROPERTIES else text


def query_property(call: ApiCall, which: int, size: int, buffer: int, needed: int) -> None:
    """Fill a buffer with a device property; STATUS_BUFFER_TOO_SMALL says the size that it takes."""
    if not call.succeeds:
        call.fail()
        return
    value = _property_value(call, which)
    call.put_optional(needed, len(value))
    if size < len(value) or not buffer:
        call.complete(STATUS_BUFFER_TOO_SMALL)
        return
    call.write(buffer, value)


def allocate_property(call: ApiCall, which: int, attributes: int, out: int) -> None:
    """Answer with a device property in a new WDFMEMORY."""
    if not call.succeeds:
        call.fail()
        return
    call.put_optional(out, memory_of(call, _property_value(call, which), attributes).handle)


def memory_of(context: Context, data: bytes, attributes: int) -> WdfObject:
    """Return a new WDFMEMORY that holds `data`."""
    made = create(context, "WDFMEMORY", attributes)
    made.values["buffer"] = context.allocate(min(len(data), MAX_COPY))
    made.values["size"] = len(data)
    context.write(made.get("buffer"), data)
    return made


def _query_property(call: ApiCall) -> None:
    query_property(call, *call.arguments[2:6])


def _allocate_property(call: ApiCall) -> None:
    allocate_property(call, call.arguments[2], call.arguments[4], call.arguments[5])


def _query_property_ex(call: ApiCall) -> None:
    """The key is a DEVPROPKEY; the answer is text, as most properties are (DEVPROP_TYPE_STRING is 18)."""
    _, size, buffer, needed, kind = call.arguments[2:7]
    query_property(call, 0, size, buffer, needed)
    if not call.eax:
        call.put_optional(kind, 18)


def _allocate_property_ex(call: ApiCall) -> None:
    _, _, attributes, out, kind = call.arguments[2:7]
    allocate_property(call, 0, attributes, out)
    if not call.eax:
        call.put_optional(kind, 18)


def _file_object_handle(call: ApiCall) -> None:
    device = find(call, call.arguments[1], "WDFDEVICE")
    call.eax = related(call, device, "file object", "WDFFILEOBJECT").handle


def _query_interface(call: ApiCall) -> None:
    """WdfFdoQueryForInterface: the driver's INTERFACE gets a header; its functions are not the framework's."""
    if not call.succeeds:
        call.fail()
        return
    _, interface, size, version = call.arguments[2:6]
    header = (size & 0xFFFF) | (version & 0xFFFF) << 16
    call.put_u32(interface, header)


def _device_state(call: ApiCall) -> None:
    """WDF_DEVICE_STATE: Size, then seven WDF_TRI_STATE, each WdfUseDefault (2), WdfTrue or WdfFalse."""
    for index in range(7):
        call.put_u32(call.arguments[2] + 4 + 4 * index, choose(call, index, 0, 2))


def _miniport_create(call: ApiCall) -> None:
    attributes, device_object = call.arguments[2:4]
    if call.succeeds:
        device = create(call, "WDFDEVICE", attributes)
        device.values["wdm device"] = device_object
        call.put_optional(call.arguments[6], device.handle)
    else:
        call.fail()


_NOTHING = [
    "WdfDeviceSetDeviceState",
    "WdfDeviceRemoveRemovalRelationsPhysicalDevice",
    "WdfDeviceClearRemovalRelationsDevices",
    "WdfDeviceSetSpecialFileSupport",
    "WdfDeviceSetStaticStopRemove",
    "WdfDeviceSetDeviceInterfaceState",
    "WdfDeviceSetDeviceInterfaceStateEx",
    "WdfDeviceSetPnpCapabilities",
    "WdfDeviceSetPowerCapabilities",
    "WdfDeviceSetBusInformationForChildren",
    "WdfDeviceSetFailed",
    "WdfDeviceResumeIdleNoTrack",
    "WdfDeviceResumeIdleActual",
    "WdfDeviceRemoveDependentUsageDeviceObject",
    "WdfPdoRequestEject",
    "WdfPdoRemoveEjectionRelationsPhysicalDevice",
    "WdfPdoClearEjectionRelationsDevices",
    "WdfFdoLockStaticChildListForIteration",
    "WdfFdoUnlockStaticChildListFromIteration",
    "WdfChildListBeginScan",
    "WdfChildListEndScan",
    "WdfChildListBeginIteration",
    "WdfChildListEndIteration",
    "WdfChildListUpdateAllChildDescriptionsAsPresent",
]
_STATUS_ONLY = [
    "WdfDeviceAddDependentUsageDeviceObject",
    "WdfDeviceAddRemovalRelationsPhysicalDevice",
    "WdfDeviceAssignMofResourceName",
    "WdfDeviceAssignS0IdleSettings",
    "WdfDeviceAssignSxWakeSettings",
    "WdfDeviceCreateDeviceInterface",
    "WdfDeviceCreateSymbolicLink",
    "WdfDeviceIndicateWakeStatus",
    "WdfDeviceStopIdleNoTrack",
    "WdfDeviceStopIdleActual",
    "WdfDeviceWdmAssignPowerFrameworkSettings",
    "WdfDeviceAssignProperty",
    "WdfDeviceAddQueryInterface",
    "WdfPdoMarkMissing",
    "WdfFdoAddStaticChild",
    "WdfPdoUpdateAddressDescription",
    "WdfPdoAddEjectionRelationsPhysicalDevice",
    "WdfChildListAddOrUpdateChildDescriptionAsPresent",
    "WdfChildListUpdateChildDescriptionAsMissing",
    "WdfDeviceWdmDispatchPreprocessedIrp",
    "WdfDeviceWdmDispatchIrp",
    "WdfDeviceWdmDispatchIrpToIoQueue",
]

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_NOTHING, nothing),
    **dict.fromkeys(_STATUS_ONLY, status_only),
    "WdfDeviceCreate": _device_create,
    "WdfDeviceMiniportCreate": _miniport_create,
    "WdfControlFinishInitializing": _control_finish,
    "WdfWdmDeviceGetWdfDeviceHandle": _device_handle,
    "WdfDeviceWdmGetDeviceObject": _wdm("wdm device"),
    "WdfDeviceWdmGetAttachedDevice": _wdm("attached device"),
    "WdfDeviceWdmGetPhysicalDevice": _wdm("physical device"),
    "WdfDeviceGetDriver": refers_to("WDFDEVICE", "driver", "WDFDRIVER"),
    "WdfDeviceRetrieveDeviceName": _device_name,
    "WdfDeviceRetrieveDeviceInterfaceString": _interface_string,
    "WdfDeviceGetIoTarget": refers_to("WDFDEVICE", "io target", "WDFIOTARGET"),
    "WdfDeviceGetSelfIoTarget": refers_to("WDFDEVICE", "self target", "WDFIOTARGET"),
    "WdfDeviceGetFileObject": _file_object_handle,
    "WdfDeviceGetCharacteristics": getter("WDFDEVICE", "characteristics"),
    "WdfDeviceSetCharacteristics": setter("WDFDEVICE", "characteristics"),
    "WdfDeviceGetAlignmentRequirement": getter("WDFDEVICE", "alignment"),
    "WdfDeviceSetAlignmentRequirement": setter("WDFDEVICE", "alignment"),
    "WdfDeviceGetDevicePnpState": drawn(0x100, 0x137),
    "WdfDeviceGetDevicePowerState": drawn(0x300, 0x350),
    "WdfDeviceGetDevicePowerPolicyState": drawn(0x500, 0x58F),
    "WdfDeviceGetSystemPowerAction": drawn(0, 7),
    "WdfDeviceGetDeviceState": _device_state,
    "WdfDeviceQueryProperty": _query_property,
    "WdfFdoInitQueryProperty": _query_property,
    "WdfDeviceAllocAndQueryProperty": _allocate_property,
    "WdfFdoInitAllocAndQueryProperty": _allocate_property,
    "WdfDeviceQueryPropertyEx": _query_property_ex,
    "WdfFdoInitQueryPropertyEx": _query_property_ex,
    "WdfDeviceAllocAndQueryPropertyEx": _allocate_property_ex,
    "WdfFdoInitAllocAndQueryPropertyEx": _allocate_property_ex,
    "WdfFdoInitWdmGetPhysicalDevice": _wdm("physical device"),
    "WdfFdoQueryForInterface": _query_interface,
    "WdfIoTargetQueryForInterface": _query_interface,
    "WdfFdoGetDefaultChildList": refers_to("WDFDEVICE", "child list", "WDFCHILDLIST"),
    "WdfChildListGetDevice": refers_to("WDFCHILDLIST", "device", "WDFDEVICE"),
    "WdfPdoGetParent": refers_to("WDFDEVICE", "parent device", "WDFDEVICE"),
}
