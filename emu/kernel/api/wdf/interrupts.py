"""WDFINTERRUPT: interrupt objects, their callbacks, and code run under their lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.wdf.handles import create, find
from stackemu.emu.kernel.api.wdf.shapes import (
    Behaviour,
    choose,
    nothing,
    refers_to,
)
from stackemu.emu.kernel.api.wdf.structures import INTERRUPT_CONFIG, INTERRUPT_INFO, config, view
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.roots import Root, Words

INTERRUPT = "WDFINTERRUPT"
_DIRQL = 5
_KINTERRUPT_SIZE = 0x100


def _interrupt_create(call: ApiCall) -> None:
    device, config_address, attributes, out = call.arguments[1:5]
    given = config(call, config_address, INTERRUPT_CONFIG)
    if not call.succeeds:
        call.fail()
        return
    made = create(call, INTERRUPT, attributes, device)
    made.values["device"] = device
    for name, address in given.callbacks():
        made.values[name] = address
        call.root(address, name, name, made.handle, device)
    call.put_optional(out, made.handle)


def _synchronize(call: ApiCall) -> None:
    """WdfInterruptSynchronize calls the driver back with the interrupt's lock held."""
    interrupt, callback, argument = call.arguments[1:4]
    call.root(callback, "EvtInterruptSynchronize", "EvtInterruptSynchronize", interrupt, argument)
    call.eax = call.invoke(callback, interrupt, argument) & 0xFF


def _notify(callback: str) -> Behaviour:
    """WdfInterruptEnable and …Disable call the driver's own callback."""

    def behave(call: ApiCall) -> None:
        interrupt = find(call, call.arguments[1], INTERRUPT)
        if interrupt.get(callback):
            call.invoke(interrupt.get(callback), interrupt.handle, interrupt.get("device"))

    return behave


def _queued(call: ApiCall) -> None:
    """Answers TRUE when the DPC or work item was not queued yet."""
    call.eax = int(call.succeeds)


def _wdm_interrupt(call: ApiCall) -> None:
    interrupt = find(call, call.arguments[1], INTERRUPT)
    if not interrupt.get("wdm interrupt"):
        interrupt.values["wdm interrupt"] = call.allocate(_KINTERRUPT_SIZE)
    call.eax = interrupt.get("wdm interrupt")


def _get_info(call: ApiCall) -> None:
    info = view(call, call.arguments[2], INTERRUPT_INFO)
    for field, value in (("TargetProcessorSet", 1), ("Vector", 0x30 + _DIRQL), ("Irql", _DIRQL), ("Mode", 0)):
        info[field] = value


def _interrupt_role(*, message: bool = False, argument: bool = False) -> Callable[[Context, Root], Words]:
    """Return a builder of (Interrupt, MessageID), (Interrupt, Context) or (Interrupt, AssociatedObject)."""

    def build(context: Context, root: Root) -> Words:
        interrupt = find(context, root.context[0], INTERRUPT)
        if message:
            return Words((interrupt.handle, choose(context, 0, 0, 7)))
        second = root.context[1]
        return Words((interrupt.handle, second if argument else find(context, second, "WDFDEVICE").handle))

    return build


_NOTHING = (
    "WdfInterruptAcquireLock",
    "WdfInterruptReleaseLock",
    "WdfInterruptSetPolicy",
    "WdfInterruptSetExtendedPolicy",
    "WdfInterruptReportActive",
    "WdfInterruptReportInactive",
)

BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    **dict.fromkeys(_NOTHING, nothing),
    "WdfInterruptCreate": _interrupt_create,
    "WdfInterruptSynchronize": _synchronize,
    "WdfInterruptEnable": _notify("EvtInterruptEnable"),
    "WdfInterruptDisable": _notify("EvtInterruptDisable"),
    "WdfInterruptQueueDpcForIsr": _queued,
    "WdfInterruptQueueWorkItemForIsr": _queued,
    "WdfInterruptTryToAcquireLock": _queued,
    "WdfInterruptWdmGetInterrupt": _wdm_interrupt,
    "WdfInterruptGetInfo": _get_info,
    "WdfInterruptGetDevice": refers_to(INTERRUPT, "device", "WDFDEVICE"),
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtInterruptIsr": _interrupt_role(message=True),
    "EvtInterruptDpc": _interrupt_role(),
    "EvtInterruptWorkItem": _interrupt_role(),
    "EvtInterruptEnable": _interrupt_role(),
    "EvtInterruptDisable": _interrupt_role(),
    "EvtInterruptSynchronize": _interrupt_role(argument=True),
}
