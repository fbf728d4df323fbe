"""Waiting: what a thread's waits return, by the objects' state and the input.

Only one thread runs here, so whatever is not signalled yet is signalled by somebody else while the driver waits, or
is not in time: the input says which. Results as documented for KeWaitForSingleObject and KeWaitForMultipleObjects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from stackemu.emu.kernel.api.choices import below
from stackemu.emu.kernel.api.dispatcher import ObjectType
from stackemu.emu.kernel.api.irql import APC_LEVEL, DISPATCH_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall, Bugcheck, Context
from stackemu.emu.processor import CURRENT_THREAD

STATUS_WAIT_0 = 0
STATUS_USER_APC = 0xC0
STATUS_ALERTED = 0x101
STATUS_TIMEOUT = 0x102
MAXIMUM_WAIT_OBJECTS_EXCEEDED = 0xC

MAXIMUM_WAIT_OBJECTS = 64
THREAD_WAIT_OBJECTS = 3
"""Objects that can be waited for without a wait block array (wdm.h)."""
_WAIT_ALL = 0
_USER_MODE = 1

_RESETS = frozenset({ObjectType.SYNCHRONIZATION_EVENT, ObjectType.SYNCHRONIZATION_TIMER})
_STAYS = frozenset({ObjectType.NOTIFICATION_EVENT, ObjectType.NOTIFICATION_TIMER})
_STATE, _MUTANT_OWNER = 4, 24


def is_signalled(context: Context, address: int) -> bool:
    """Return whether a wait for the object would end at once: its state says so, or the thread owns it."""
    kind = context.u8(address)
    if kind == ObjectType.MUTANT and context.u32(address + _MUTANT_OWNER) == CURRENT_THREAD:
        return True
    return 0 < context.u32(address + _STATE) < 0x80000000


def satisfy(context: Context, address: int) -> None:
    """Change a signalled object, or one that somebody else has just signalled, as the end of a wait does."""
    kind = context.u8(address)
    state = context.u32(address + _STATE)
    if kind in _RESETS:
        context.put_u32(address + _STATE, 0)
    elif kind in _STAYS:
        context.put_u32(address + _STATE, max(state, 1))
    elif kind == ObjectType.SEMAPHORE:
        context.put_u32(address + _STATE, max(state, 1) - 1)
    elif kind == ObjectType.MUTANT:
        is_own = context.u32(address + _MUTANT_OWNER) == CURRENT_THREAD
        context.put_u32(address + _STATE, state - 1 if is_own else 0)
        context.put_u32(address + _MUTANT_OWNER, CURRENT_THREAD)


def unsatisfied(call: ApiCall, mode: int, alertable: int, timeout: int) -> int | None:
    """Return what ends a wait for objects that are not signalled; None when somebody signals them."""
    if timeout and call.u64(timeout) == 0:
        return STATUS_TIMEOUT
    limit_irql(call, APC_LEVEL, "waits")
    if call.succeeds:
        return None
    if alertable & 0xFF and below(call, 2, 1):
        return STATUS_ALERTED
    if timeout:
        return STATUS_TIMEOUT
    if alertable & 0xFF or mode & 0xFF == _USER_MODE:
        return STATUS_USER_APC if mode & 0xFF == _USER_MODE else STATUS_ALERTED
    return None


def finish_wait(
    call: ApiCall, objects: Sequence[int], *, wants_all: bool, alertable: int, timeout: int, mode: int = 0
) -> None:
    """Let a wait for dispatcher objects end as their states and the input say; sets the result."""
    signalled = [index for index, address in enumerate(objects) if is_signalled(call, address)]
    if len(signalled) < (len(objects) if wants_all else 1):
        ending = unsatisfied(call, mode, alertable, timeout)
        if ending is not None:
            call.complete(ending)
            return
    call.complete(STATUS_WAIT_0 + _satisfy_many(call, objects, signalled, wants_all=wants_all))


def _wait_for_one(call: ApiCall) -> None:
    address, _reason, mode, alertable, timeout = call.arguments[:5]
    limit_irql(call, DISPATCH_LEVEL)
    finish_wait(call, [address], wants_all=True, alertable=alertable, timeout=timeout, mode=mode)


def _wait_for_many(call: ApiCall) -> None:
    count, array, kind, _reason, mode, alertable, timeout, blocks = call.arguments[:8]
    if count > (MAXIMUM_WAIT_OBJECTS if blocks else THREAD_WAIT_OBJECTS):
        raise Bugcheck(MAXIMUM_WAIT_OBJECTS_EXCEEDED)
    limit_irql(call, DISPATCH_LEVEL)
    objects = [call.u32(array + 4 * index) for index in range(count)]
    finish_wait(call, objects, wants_all=kind == _WAIT_ALL, alertable=alertable, timeout=timeout, mode=mode)


def _satisfy_many(call: ApiCall, objects: Sequence[int], signalled: Sequence[int], *, wants_all: bool) -> int:
    """End a wait for several objects; returns the index of the one that ended it."""
    if wants_all:
        for address in objects:
            satisfy(call, address)
        return 0
    index = signalled[0] if signalled else below(call, max(1, len(objects)))
    if objects:
        satisfy(call, objects[index])
    return index


def _delay(call: ApiCall) -> None:
    """KeDelayExecutionThread: an alertable delay may end early."""
    mode, alertable, interval = call.arguments[:3]
    limit_irql(call, APC_LEVEL, "waits")
    call.read(interval, 8)
    is_interrupted = bool(alertable & 0xFF) and not call.succeeds
    early = STATUS_USER_APC if mode & 0xFF == _USER_MODE else STATUS_ALERTED
    call.complete(early if is_interrupted else 0)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeWaitForSingleObject": _wait_for_one,
    "KeWaitForMutexObject": _wait_for_one,
    "KeWaitForMultipleObjects": _wait_for_many,
    "KeDelayExecutionThread": _delay,
}
