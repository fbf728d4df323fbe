"""Framework locks, timers, DPCs and work items, and the callbacks that run later."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, PASSIVE_LEVEL, lower_irql, raise_irql, set_irql
from stackemu.emu.kernel.api.wdf.handles import attributes, create, find
from stackemu.emu.kernel.api.wdf.shapes import Behaviour, creator, nothing, parent_of
from stackemu.emu.kernel.api.wdf.structures import DPC_CONFIG, TIMER_CONFIG, WORKITEM_CONFIG, config
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import Layout
from stackemu.emu.kernel.roots import Root, Words

_STATUS_TIMEOUT = 0x102
_EXECUTION_LEVEL_PASSIVE = 2
"""WdfExecutionLevelPassive."""


def _acquire(kind: str) -> Behaviour:
    """Locks of the framework are not recursive."""

    def behave(call: ApiCall) -> None:
        lock = find(call, call.arguments[1], kind)
        if lock.get("is held"):
            call.note(f"{call.name}: {kind} {lock.handle:#x} is held already")
        lock.values["is held"] = 1

    return behave


def _acquire_wait_lock(call: ApiCall) -> None:
    """Without a timeout the call cannot fail; with one, STATUS_TIMEOUT says that the lock was not acquired."""
    if call.arguments[2] and not call.succeeds:
        call.complete(_STATUS_TIMEOUT)
        return
    _acquire("WDFWAITLOCK")(call)


def _release(kind: str) -> Behaviour:
    def behave(call: ApiCall) -> None:
        lock = find(call, call.arguments[1], kind)
        if not lock.get("is held") and not lock.is_foreign:
            call.note(f"{call.name}: {kind} {lock.handle:#x} is not held")
        lock.values["is held"] = 0

    return behave


def _acquire_spin_lock(call: ApiCall) -> None:
    """The framework keeps the level that the lock raised the IRQL from."""
    before = raise_irql(call, DISPATCH_LEVEL)
    _acquire("WDFSPINLOCK")(call)
    find(call, call.arguments[1], "WDFSPINLOCK").values["irql"] = before


def _release_spin_lock(call: ApiCall) -> None:
    _release("WDFSPINLOCK")(call)
    before = find(call, call.arguments[1], "WDFSPINLOCK").values.pop("irql", None)
    if before is not None:
        lower_irql(call, before)


def _deferred(kind: str, layout: Layout, callback: str, role: str) -> Behaviour:
    """Return a behaviour that creates a timer, DPC or work item: its config, its attributes, the handle."""

    def behave(call: ApiCall) -> None:
        config_address, attributes_address, out = call.arguments[1:4]
        function = config(call, config_address, layout)[callback]
        if not call.succeeds:
            call.fail()
            return
        made = create(call, kind, attributes_address)
        if attributes(call, attributes_address)["ExecutionLevel"] == _EXECUTION_LEVEL_PASSIVE:
            made.values["is passive"] = 1
        call.root(function, role, role, made.handle)
        call.put_optional(out, made.handle)

    return behave


def _queue(kind: str) -> Behaviour:
    """Answers whether the object was queued by this call: FALSE when it is waiting already, as for WdfDpcEnqueue."""

    def behave(call: ApiCall) -> None:
        owner = find(call, call.arguments[1], kind)
        call.eax = int(not owner.get("is queued"))
        owner.values["is queued"] = 1

    return behave


def _unqueue(kind: str) -> Behaviour:
    """Answers whether the object was waiting; for one that earlier callbacks may have queued the input decides."""

    def behave(call: ApiCall) -> None:
        owner = find(call, call.arguments[1], kind)
        known = owner.values.get("is queued")
        call.eax = int(call.succeeds) if known is None else known
        owner.values["is queued"] = 0

    return behave


def _start_timer(call: ApiCall) -> None:
    """WdfTimerStart answers TRUE when the timer was in the system's queue before."""
    timer = find(call, call.arguments[1], "WDFTIMER")
    call.eax = timer.get("is queued")
    timer.values["is queued"] = 1


def _wdm_dpc(call: ApiCall) -> None:
    dpc = find(call, call.arguments[1], "WDFDPC")
    if not dpc.get("wdm dpc"):
        dpc.values["wdm dpc"] = call.new("KDPC").address
    call.eax = dpc.get("wdm dpc")


def _role(kind: str, irql: int) -> Callable[[Context, Root], Words]:
    """Return a builder of the object as the argument, at an IRQL that only a timer's attributes can lower."""

    def build(context: Context, root: Root) -> Words:
        owner = find(context, root.context[0], kind)
        owner.values["is queued"] = 0
        set_irql(context, PASSIVE_LEVEL if kind == "WDFTIMER" and owner.get("is passive") else irql)
        return Words((owner.handle,))

    return build


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "WdfWaitLockCreate": creator("WDFWAITLOCK", attributes=1, result=2),
    "WdfWaitLockAcquire": _acquire_wait_lock,
    "WdfWaitLockRelease": _release("WDFWAITLOCK"),
    "WdfSpinLockCreate": creator("WDFSPINLOCK", attributes=1, result=2),
    "WdfSpinLockAcquire": _acquire_spin_lock,
    "WdfSpinLockRelease": _release_spin_lock,
    "WdfTimerCreate": _deferred("WDFTIMER", TIMER_CONFIG, "EvtTimerFunc", "EvtTimerFunc"),
    "WdfTimerStart": _start_timer,
    "WdfTimerStop": _unqueue("WDFTIMER"),
    "WdfTimerGetParentObject": parent_of("WDFTIMER"),
    "WdfDpcCreate": _deferred("WDFDPC", DPC_CONFIG, "EvtDpcFunc", "EvtDpcFunc"),
    "WdfDpcEnqueue": _queue("WDFDPC"),
    "WdfDpcCancel": _unqueue("WDFDPC"),
    "WdfDpcGetParentObject": parent_of("WDFDPC"),
    "WdfDpcWdmGetDpc": _wdm_dpc,
    "WdfWorkItemCreate": _deferred("WDFWORKITEM", WORKITEM_CONFIG, "EvtWorkItemFunc", "EvtWorkItem"),
    "WdfWorkItemEnqueue": _queue("WDFWORKITEM"),
    "WdfWorkItemFlush": nothing,
    "WdfWorkItemGetParentObject": parent_of("WDFWORKITEM"),
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "EvtTimerFunc": _role("WDFTIMER", DISPATCH_LEVEL),
    "EvtDpcFunc": _role("WDFDPC", DISPATCH_LEVEL),
    "EvtWorkItem": _role("WDFWORKITEM", PASSIVE_LEVEL),
}
