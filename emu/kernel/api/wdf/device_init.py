"""WDFDEVICE_INIT: what a driver says of a device before it creates it, and the device callbacks in their roles.

A callback is known by its documented name; its root carries the WDFDEVICE_INIT, which leads to the device later on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.driver import driver_handle
from stackemu.emu.kernel.api.wdf.handles import WdfObject, find, make, related
from stackemu.emu.kernel.api.wdf.shapes import Behaviour, choose, nothing, setter, status_only
from stackemu.emu.kernel.api.wdf.structures import (
    CHILD_LIST_CONFIG,
    FDO_EVENT_CALLBACKS,
    FILEOBJECT_CONFIG,
    OBJECT_ATTRIBUTES,
    PDO_EVENT_CALLBACKS,
    PNPPOWER_EVENT_CALLBACKS,
    POWER_POLICY_EVENT_CALLBACKS,
    config,
)
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import Layout
from stackemu.emu.kernel.roots import Root, Words

INIT = "WDFDEVICE_INIT"
_MAX_MINORS = 256


def device_of(context: Context, init: int) -> WdfObject:
    """Return the device that was created from an init structure, made up where none was."""
    return related(context, find(context, init, INIT), "device", "WDFDEVICE")


def copy_attributes(call: ApiCall, address: int) -> int:
    """Return a copy of attributes that the framework keeps: the driver's own lie on its stack."""
    if not address:
        return 0
    given = config(call, address, OBJECT_ATTRIBUTES)
    kept = call.allocate(OBJECT_ATTRIBUTES.size)
    call.write(kept, call.read(address, given.size))
    return kept


def _control_init(call: ApiCall) -> None:
    """WdfControlDeviceInitAllocate returns NULL when it fails."""
    call.eax = make(call, INIT).handle if call.succeeds else 0


def _pdo_init(call: ApiCall) -> None:
    if call.succeeds:
        init = make(call, INIT)
        init.values["parent device"] = call.arguments[1]
        call.eax = init.handle


def callbacks_from(layout: Layout) -> Behaviour:
    """Return a behaviour that makes roots of the callbacks in the structure that argument 2 points to."""

    def behave(call: ApiCall) -> None:
        for name, address in config(call, call.arguments[2], layout).callbacks():
            call.root(address, name, name, call.arguments[1])

    return behave


def _file_object_config(call: ApiCall) -> None:
    init, config_address, attributes = call.arguments[1:4]
    given = config(call, config_address, FILEOBJECT_CONFIG)
    for name, address in given.callbacks():
        call.root(address, name, name, init)
    values = find(call, init, INIT).values
    values["file object class"] = given["FileObjectClass"]
    values["file attributes"] = copy_attributes(call, attributes)


def _request_attributes(call: ApiCall) -> None:
    init, attributes = call.arguments[1:3]
    find(call, init, INIT).values["request attributes"] = copy_attributes(call, attributes)


def _callback(name: str, index: int = 2) -> Behaviour:
    """Return a behaviour that makes a root of the callback in an argument."""

    def behave(call: ApiCall) -> None:
        call.root(call.arguments[index], name, name, call.arguments[1])

    return behave


def _preprocess(call: ApiCall) -> None:
    """The role names the major function whose IRPs the driver sees before the framework."""
    init, address, major, minors, count = call.arguments[1:6]
    if not call.succeeds:
        call.fail()
        return
    first = call.u8(minors) if minors and 0 < count <= _MAX_MINORS else 0
    name = "EvtDeviceWdmIrpPreprocess"
    call.root(address, name, name, init, major & 0xFF, first)


def _state_change(name: str) -> Behaviour:
    def behave(call: ApiCall) -> None:
        if call.succeeds:
            call.root(call.arguments[3], name, name, call.arguments[1])
        else:
            call.fail()

    return behave


def _assign_name(call: ApiCall) -> None:
    if call.succeeds:
        find(call, call.arguments[1], INIT).text = call.counted(call.arguments[2])
    else:
        call.fail()


def _child_list_config(call: ApiCall) -> None:
    given = config(call, call.arguments[2], CHILD_LIST_CONFIG)
    size = given["IdentificationDescriptionSize"]
    for name, address in given.callbacks():
        call.root(address, name, name, call.arguments[1], size, given["AddressDescriptionSize"])


_KEPT_QUIETLY = [
    "WdfDeviceInitFree",
    "WdfDeviceInitSetPowerPolicyOwnership",
    "WdfDeviceInitSetExclusive",
    "WdfDeviceInitSetPowerNotPageable",
    "WdfDeviceInitSetPowerPageable",
    "WdfDeviceInitSetPowerInrush",
    "WdfDeviceInitSetDeviceClass",
    "WdfDeviceInitSetRemoveLockOptions",
    "WdfDeviceInitAllowSelfIoTarget",
    "WdfDeviceInitSetReleaseHardwareOrderOnFailure",
    "WdfFdoInitSetFilter",
    "WdfPdoInitSetDefaultLocale",
    "WdfPdoInitAllowForwardingRequestToParent",
    "WdfPdoInitRemovePowerDependencyOnParent",
]
_STATUS_ONLY = [
    "WdfDeviceInitAssignSDDLString",
    "WdfPdoInitAssignDeviceID",
    "WdfPdoInitAssignInstanceID",
    "WdfPdoInitAddHardwareID",
    "WdfPdoInitAddCompatibleID",
    "WdfPdoInitAddDeviceText",
    "WdfPdoInitAssignRawDevice",
    "WdfPdoInitAssignContainerID",
]

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_KEPT_QUIETLY, nothing),
    **dict.fromkeys(_STATUS_ONLY, status_only),
    "WdfControlDeviceInitAllocate": _control_init,
    "WdfPdoInitAllocate": _pdo_init,
    "WdfControlDeviceInitSetShutdownNotification": _callback("EvtDeviceShutdownNotification"),
    "WdfDeviceInitSetPnpPowerEventCallbacks": callbacks_from(PNPPOWER_EVENT_CALLBACKS),
    "WdfDeviceInitSetPowerPolicyEventCallbacks": callbacks_from(POWER_POLICY_EVENT_CALLBACKS),
    "WdfFdoInitSetEventCallbacks": callbacks_from(FDO_EVENT_CALLBACKS),
    "WdfPdoInitSetEventCallbacks": callbacks_from(PDO_EVENT_CALLBACKS),
    "WdfDeviceInitSetFileObjectConfig": _file_object_config,
    "WdfDeviceInitSetRequestAttributes": _request_attributes,
    "WdfDeviceInitSetIoInCallerContextCallback": _callback("EvtIoInCallerContext"),
    "WdfDeviceInitAssignWdmIrpPreprocessCallback": _preprocess,
    "WdfDeviceInitRegisterPnpStateChangeCallback": _state_change("EvtDevicePnpStateChange"),
    "WdfDeviceInitRegisterPowerStateChangeCallback": _state_change("EvtDevicePowerStateChange"),
    "WdfDeviceInitRegisterPowerPolicyStateChangeCallback": _state_change("EvtDevicePowerPolicyStateChange"),
    "WdfDeviceInitAssignName": _assign_name,
    "WdfDeviceInitSetIoType": setter(INIT, "io type"),
    "WdfDeviceInitSetIoTypeEx": nothing,
    "WdfDeviceInitSetDeviceType": setter(INIT, "device type"),
    "WdfDeviceInitSetCharacteristics": setter(INIT, "characteristics"),
    "WdfFdoInitSetDefaultChildListConfig": _child_list_config,
}


# -- roles --

_Argument = Callable[[Context, int], int]


def _number(low: int, high: int) -> _Argument:
    """Return what chooses an argument from `low` to `high`."""
    return lambda context, key: choose(context, key, low, high)


def _handle(kind: str) -> _Argument:
    """Return what makes up an object for an argument."""

    def build(context: Context, _key: int) -> int:
        made = make(context, kind)
        made.is_foreign = True
        return made.handle

    return build


def _device_role(*arguments: _Argument) -> Callable[[Context, Root], Words]:
    """Return a builder of the arguments (Device, ...)."""

    def build(context: Context, root: Root) -> Words:
        device = device_of(context, root.context[0])
        others = (argument(context, key) for key, argument in enumerate(arguments))
        return Words((device.handle, *others))

    return build


def _device_add(context: Context, _root: Root) -> Words:
    return Words((driver_handle(context), make(context, INIT).handle))


def _state_notification(context: Context, root: Root) -> Words:
    """Device and a WDF_DEVICE_..._NOTIFICATION_DATA: its type (a state is entered, processed or left) and states."""
    data = context.allocate(16)
    for index in range(4):
        context.put_u32(data + 4 * index, choose(context, index, 0, 3) if index == 0 else context.draw(index))
    return Words((device_of(context, root.context[0]).handle, data))


_DEVICE_STATE = _number(0, 6)
"""WDF_POWER_DEVICE_STATE."""
_RESOURCES = _handle("WDFCMRESLIST")
_REQUIREMENTS = _handle("WDFIORESREQLIST")
_FLAG = _number(0, 1)
_ONLY_DEVICE = [
    "EvtDeviceSelfManagedIoCleanup",
    "EvtDeviceSelfManagedIoFlush",
    "EvtDeviceSelfManagedIoInit",
    "EvtDeviceSelfManagedIoSuspend",
    "EvtDeviceSelfManagedIoRestart",
    "EvtDeviceSurpriseRemoval",
    "EvtDeviceQueryRemove",
    "EvtDeviceQueryStop",
    "EvtDeviceArmWakeFromS0",
    "EvtDeviceDisarmWakeFromS0",
    "EvtDeviceWakeFromS0Triggered",
    "EvtDeviceArmWakeFromSx",
    "EvtDeviceDisarmWakeFromSx",
    "EvtDeviceWakeFromSxTriggered",
    "EvtDeviceEject",
    "EvtDeviceDisableWakeAtBus",
    "EvtDeviceReportedMissing",
    "EvtDeviceShutdownNotification",
]

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    **{name: _device_role() for name in _ONLY_DEVICE},
    "EvtDriverDeviceAdd": _device_add,
    "EvtDeviceD0Entry": _device_role(_DEVICE_STATE),
    "EvtDeviceD0EntryPostInterruptsEnabled": _device_role(_DEVICE_STATE),
    "EvtDeviceD0Exit": _device_role(_DEVICE_STATE),
    "EvtDeviceD0ExitPreInterruptsDisabled": _device_role(_DEVICE_STATE),
    "EvtDevicePrepareHardware": _device_role(_RESOURCES, _RESOURCES),
    "EvtDeviceReleaseHardware": _device_role(_RESOURCES),
    "EvtDeviceUsageNotification": _device_role(_number(1, 4), _FLAG),
    "EvtDeviceUsageNotificationEx": _device_role(_number(1, 4), _FLAG),
    "EvtDeviceRelationsQuery": _device_role(_number(0, 5)),
    "EvtDeviceArmWakeFromSxWithReason": _device_role(_FLAG, _FLAG),
    "EvtDeviceFilterAddResourceRequirements": _device_role(_REQUIREMENTS),
    "EvtDeviceFilterRemoveResourceRequirements": _device_role(_REQUIREMENTS),
    "EvtDeviceRemoveAddedResources": _device_role(_RESOURCES, _RESOURCES),
    "EvtDeviceResourcesQuery": _device_role(_RESOURCES),
    "EvtDeviceResourceRequirementsQuery": _device_role(_REQUIREMENTS),
    "EvtDeviceSetLock": _device_role(_FLAG),
    "EvtDeviceEnableWakeAtBus": _device_role(_number(1, 6)),
    "EvtDevicePnpStateChange": _state_notification,
    "EvtDevicePowerStateChange": _state_notification,
    "EvtDevicePowerPolicyStateChange": _state_notification,
}
