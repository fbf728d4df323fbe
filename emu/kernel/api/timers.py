"""Timers: KTIMER with its DPC, and the opaque EX_TIMER with its callback.

Pages of KeSetTimerEx, KeCancelTimer, ExAllocateTimer, ExSetTimer, ExDeleteTimer in the WDK. Time does not pass here:
whether a timer that was set has expired meanwhile is the input's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from stackemu.emu.kernel.api.dispatcher import ObjectType, initialize_header
from stackemu.emu.kernel.api.dpc import deferred_call
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.api.plain_roots import plain_words, plain_words_at
from stackemu.emu.kernel.call import ApiCall, Context
from stackemu.emu.kernel.layouts import View
from stackemu.emu.kernel.roots import Root, Words

EX_TIMER_HIGH_RESOLUTION, EX_TIMER_NO_WAKE, EX_TIMER_NOTIFICATION = 4, 8, 1 << 31
_EX_TIMER_ATTRIBUTES = EX_TIMER_HIGH_RESOLUTION | EX_TIMER_NO_WAKE | EX_TIMER_NOTIFICATION
_EX_TIMER_SIZE = 0x88
_DELETE_CALLBACK, _DELETE_CONTEXT = 8, 12
"""In EXT_DELETE_PARAMETERS: Version, Reserved, DeleteCallback, DeleteContext (wdm.h)."""


@dataclass(slots=True)
class Timers:
    """Timers of either kind that are set, and the EX_TIMER objects that exist."""

    queued: dict[int, None] = field(default_factory=dict)
    allocated: dict[int, None] = field(default_factory=dict)


def _timer(call: ApiCall) -> View:
    return call.view("KTIMER", call.arguments[0])


def _make(call: ApiCall, kind: ObjectType) -> None:
    timer = initialize_header(call, "KTIMER", call.arguments[0], kind, 0)
    timer["DueTime"] = 0
    timer["TimerListEntry"] = 0
    timer["Dpc"] = timer["Period"] = 0


def _initialize(call: ApiCall) -> None:
    _make(call, ObjectType.NOTIFICATION_TIMER)


def _initialize_ex(call: ApiCall) -> None:
    _make(call, ObjectType(ObjectType.NOTIFICATION_TIMER + (call.arguments[1] & 1)))


def _set(period_at: int | None, dpc_at: int) -> Callable[[ApiCall], None]:
    """Return the behaviour of a function that queues a KTIMER: TRUE when it was in the queue already."""

    def behaviour(call: ApiCall) -> None:
        timer = _timer(call)
        limit_irql(call, DISPATCH_LEVEL)
        timer["Header.SignalState"] = 0
        timer["DueTime"] = call.arguments[1] | call.arguments[2] << 32
        timer["Period"] = call.arguments[period_at] if period_at is not None else 0
        dpc = call.arguments[dpc_at]
        timer["Dpc"] = dpc
        if dpc:
            deferred = call.view("KDPC", dpc)
            call.root(deferred["DeferredRoutine"], "timer DPC", "timer-dpc", dpc, deferred["DeferredContext"])
        call.eax = int(_expired_or_dequeued(call, timer.address))
        call.state(Timers).queued[timer.address] = None

    return behaviour


def _expired_or_dequeued(call: ApiCall, timer: int) -> bool:
    """Take a timer off the queue; returns whether it still was in it."""
    queued = call.state(Timers).queued
    was_queued = timer in queued
    queued.pop(timer, None)
    return was_queued and call.succeeds


def _cancel(call: ApiCall) -> None:
    call.eax = int(_expired_or_dequeued(call, call.arguments[0]))


def _read_state(call: ApiCall) -> None:
    call.eax = int(_timer(call)["Header.SignalState"] != 0)


# -- EX_TIMER --


def _allocate(call: ApiCall) -> None:
    callback, context, attributes = call.arguments[:3]
    limit_irql(call, DISPATCH_LEVEL)
    if not call.succeeds or attributes & ~_EX_TIMER_ATTRIBUTES:
        return
    call.eax = call.allocate(_EX_TIMER_SIZE)
    call.state(Timers).allocated[call.eax] = None
    if callback:
        call.root(callback, "EX_TIMER callback", "ex-timer", call.eax, context)


def _set_ex(call: ApiCall) -> None:
    timer = call.arguments[0]
    call.eax = int(_expired_or_dequeued(call, timer))
    call.state(Timers).queued[timer] = None


def _delete(call: ApiCall) -> None:
    """ExDeleteTimer returns whether a timer was cancelled; its own callback runs when the timer is gone."""
    timer, cancel, wait, parameters = call.arguments[:4]
    if wait & 0xFF:
        limit_irql(call, APC_LEVEL, "waits")
    timers = call.state(Timers)
    if timers.allocated and timers.allocated.pop(timer, False) is False:
        call.note(f"ExDeleteTimer: {timer:#010x} is no timer, or was deleted before")
    call.eax = int(bool(cancel & 0xFF) and _expired_or_dequeued(call, timer))
    if parameters:
        callback, context = call.u32(parameters + _DELETE_CALLBACK), call.u32(parameters + _DELETE_CONTEXT)
        call.root(callback, "EX_TIMER delete callback", "ex-timer-delete", context)


# -- the kernel's calls --


def _timer_dpc(context: Context, root: Root) -> Words:
    return deferred_call(context, root)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeInitializeTimer": _initialize,
    "KeInitializeTimerEx": _initialize_ex,
    "KeSetTimer": _set(None, 3),
    "KeSetTimerEx": _set(3, 4),
    "KeSetCoalescableTimer": _set(3, 5),
    "KeCancelTimer": _cancel,
    "KeReadStateTimer": _read_state,
    "ExAllocateTimer": _allocate,
    "ExSetTimer": _set_ex,
    "ExCancelTimer": _cancel,
    "ExDeleteTimer": _delete,
}

ROLES: Mapping[str, Callable[[Context, Root], Words]] = {
    "timer-dpc": _timer_dpc,
    "ex-timer": plain_words_at(DISPATCH_LEVEL),
    "ex-timer-delete": plain_words,
}
