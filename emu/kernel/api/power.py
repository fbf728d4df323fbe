"""Power management: requests for power IRPs, states, settings, and the power framework of device components.

Pages of PoRequestPowerIrp, PoSetPowerState, PoRegisterPowerSettingCallback and PoFxRegisterDevice in the WDK;
PO_FX_DEVICE of wdm.h, whose offsets are those of 32-bit Windows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.choices import below, pick
from stackemu.emu.kernel.api.devices import own_device, top_of_stack
from stackemu.emu.kernel.api.irp_pnp import IRP_MJ_POWER
from stackemu.emu.kernel.api.irps import STATUS_PENDING, new_irp, next_location
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, PASSIVE_LEVEL, limit_irql, set_irql
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

STATUS_INVALID_PARAMETER_2 = 0xC00000F0
_WAIT_WAKE, _SET_POWER, _QUERY_POWER = 0, 2, 3
_DEVICE_POWER_STATE = 1
_HANDLE_SIZE = 0x40
_CONTROL_BUFFER = 0x40

_CALLBACKS = (
    "ComponentActiveConditionCallback",
    "ComponentIdleConditionCallback",
    "ComponentIdleStateCallback",
    "DevicePowerRequiredCallback",
    "DevicePowerNotRequiredCallback",
    "PowerControlCallback",
)
"""Members of PO_FX_DEVICE, in their order."""
_DIRECTED_CALLBACKS = ("DirectedPowerUpCallback", "DirectedPowerDownCallback")
"""What version 3 has behind them, with a timeout."""


@dataclass(slots=True)
class PowerStates:
    """States that drivers have set, by (device, type of state); requests that woke the system."""

    states: dict[tuple[int, int], int] = field(default_factory=dict)
    wakes: dict[int, None] = field(default_factory=dict)


def _status(call: ApiCall) -> None:
    if not call.succeeds:
        call.fail()


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


def _handle(call: ApiCall) -> None:
    """Functions that return a handle, NULL when they fail."""
    if call.succeeds:
        call.eax = call.allocate(_HANDLE_SIZE)


def _handle_out(out_at: int) -> Callable[[ApiCall], None]:
    """Functions that store a handle."""

    def behaviour(call: ApiCall) -> None:
        limit_irql(call, DISPATCH_LEVEL)
        if call.succeeds:
            call.put_u32(call.arguments[out_at], call.allocate(_HANDLE_SIZE))
        else:
            call.fail()

    return behaviour


# -- requests and states --


def _request(call: ApiCall) -> None:
    """The IRP goes to the top of the device's stack later; who asked is told when it is done."""
    device, minor, state, routine, argument, out = call.arguments[:6]
    minor &= 0xFF
    limit_irql(call, DISPATCH_LEVEL)
    if minor not in (_WAIT_WAKE, _SET_POWER, _QUERY_POWER):
        call.complete(STATUS_INVALID_PARAMETER_2)
        return
    if not call.succeeds:
        call.fail()
        return
    top = call.view("DEVICE_OBJECT", top_of_stack(call, device))
    irp = new_irp(call, max(1, min(top["StackSize"], 0x20)))
    location = next_location(call, irp)
    location["MajorFunction"], location["MinorFunction"] = IRP_MJ_POWER, minor
    location["DeviceObject"] = top.address
    if minor == _WAIT_WAKE:
        location["Parameters.WaitWake.PowerState"] = state
    else:
        location["Parameters.Power.Type"] = _DEVICE_POWER_STATE
        location["Parameters.Power.State"] = state
    call.put_optional(out, irp.address)
    call.root(routine, "power request complete", "power-complete", device, minor, state, argument)
    call.complete(STATUS_PENDING)


def _set_state(call: ApiCall) -> None:
    """Returns the state before, which is unspecified (0) at first."""
    device, kind, state = call.arguments[:3]
    limit_irql(call, DISPATCH_LEVEL)
    states = call.state(PowerStates).states
    call.eax = states.get((device, kind), 0)
    states[device, kind] = state


def _set_wake(call: ApiCall) -> None:
    call.state(PowerStates).wakes[call.arguments[0]] = None


def _get_wake(call: ApiCall) -> None:
    call.eax = int(call.arguments[0] in call.state(PowerStates).wakes)


def _watchdog(call: ApiCall) -> None:
    """TRUE while a watchdog is running, with the seconds that are left."""
    if call.succeeds:
        call.put_u32(call.arguments[1], below(call, 600))
        call.eax = 1


def _detect_idle(call: ApiCall) -> None:
    """Returns the idle counter, or NULL: for idle times of 0, which end the detection."""
    _device, conservation, performance = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    if call.succeeds and (conservation or performance):
        call.eax = call.allocate(4)


def _set_busy(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], 0)


# -- settings --


def _register_setting(call: ApiCall) -> None:
    _device, setting, routine, argument, out = call.arguments[:5]
    limit_irql(call, PASSIVE_LEVEL)
    guid = call.read(setting, 16)
    if not call.succeeds:
        call.fail()
        return
    kept = call.allocate(16)
    call.write(kept, guid)
    call.put_optional(out, call.allocate(_HANDLE_SIZE))
    call.root(routine, "power setting callback", "power-setting", kept, argument)


# -- the power framework --


def _register_device(call: ApiCall) -> None:
    """PO_FX_DEVICE: version 1 begins with Version and ComponentCount, later ones with Version and 64-bit Flags."""
    _device, description, out = call.arguments[:3]
    limit_irql(call, PASSIVE_LEVEL)
    version = call.u32(description)
    roles = _CALLBACKS + (_DIRECTED_CALLBACKS if version > 2 else ())
    at = description + (8 if version == 1 else 16)
    behind = at + 4 * len(roles) + (4 if version > 2 else 0)
    argument = call.u32(behind)
    components = call.u32(description + 4 if version == 1 else behind + 4)
    if not call.succeeds:
        call.fail()
        return
    call.put_u32(out, call.allocate(_HANDLE_SIZE))
    for index, role in enumerate(roles):
        call.root(call.u32(at + 4 * index), role, "power-framework", index, argument, components)


# -- the kernel's calls --


def _complete(context: Context, root: Root) -> Words:
    """(DeviceObject, MinorFunction, PowerState, Context, IoStatus)."""
    device, minor, state, argument = root.context
    status = context.new("IO_STATUS_BLOCK")
    status["Status"] = context.source.status(context.ordinal)
    set_irql(context, pick(context, (PASSIVE_LEVEL, DISPATCH_LEVEL)))
    return Words((own_device(context, device), minor, state, argument, status.address))


def _setting(context: Context, root: Root) -> Words:
    """(SettingGuid, Value, ValueLength, Context): most settings are a number, a power plan is a GUID."""
    setting, argument = root.context
    value = context.allocate(16, zeroed=False)
    context.put_u32(value, pick(context, (0, 1, 2, 3)))
    return Words((setting, value, pick(context, (4, 4, 4, 16), 1), argument))


def _framework(context: Context, root: Root) -> Words:
    """(Context), (Context, Component), (Context, Component, State) or a control code with its buffers."""
    index, argument, components = root.context
    component = below(context, max(1, components))
    if index < 2:
        return Words((argument, component))
    if index == 2:
        return Words((argument, component, pick(context, (0, 1, 2), 1)))
    if index != 5:
        return Words((argument, 0))
    code, source, target = (context.allocate(size, zeroed=False) for size in (16, _CONTROL_BUFFER, _CONTROL_BUFFER))
    return Words((argument, code, source, _CONTROL_BUFFER, target, _CONTROL_BUFFER, context.allocate(4)))


_NOTHING = (
    "PoStartNextPowerIrp",
    "PoSetSystemState",
    "PoUnregisterSystemState",
    "PoSetHiberRange",
    "PoSetSystemWakeDevice",
    "PoDeletePowerRequest",
    "PoDeleteThermalRequest",
    "PoStartDeviceBusy",
    "PoEndDeviceBusy",
    "PoFxActivateComponent",
    "PoFxCompleteDevicePowerNotRequired",
    "PoFxCompleteDirectedPowerDown",
    "PoFxCompleteIdleCondition",
    "PoFxCompleteIdleState",
    "PoFxIdleComponent",
    "PoFxNotifySurprisePowerOn",
    "PoFxReportDevicePoweredOn",
    "PoFxSetComponentLatency",
    "PoFxSetComponentResidency",
    "PoFxSetComponentWake",
    "PoFxSetDeviceIdleTimeout",
    "PoFxStartDevicePowerManagement",
    "PoFxUnregisterDevice",
)
_STATUS = (
    "PoSetPowerRequest",
    "PoClearPowerRequest",
    "PoUnregisterPowerSettingCallback",
    "PoSetThermalActiveCooling",
    "PoSetThermalPassiveCooling",
    "PoFxRegisterCrashdumpDevice",
    "PoFxPowerOnCrashdumpDevice",
    "PoFxSetTargetDripsDevicePowerState",
)
"""Functions that succeed or fail, and do nothing else that the driver could see."""

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_NOTHING, _nothing),
    **dict.fromkeys(_STATUS, _status),
    "PoRequestPowerIrp": _request,
    "PoSetPowerState": _set_state,
    "PoSetSystemWake": _set_wake,
    "PoGetSystemWake": _get_wake,
    "PoQueryWatchdogTime": _watchdog,
    "PoRegisterSystemState": _handle,
    "PoRegisterDeviceForIdleDetection": _detect_idle,
    "PoSetDeviceBusyEx": _set_busy,
    "PoRegisterPowerSettingCallback": _register_setting,
    "PoCreatePowerRequest": _handle_out(0),
    "PoCreateThermalRequest": _handle_out(0),
    "PoFxRegisterDevice": _register_device,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "power-complete": _complete,
    "power-setting": _setting,
    "power-framework": _framework,
}
