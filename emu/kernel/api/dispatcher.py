"""Dispatcher objects: events, semaphores and mutants, initialised, signalled and read.

A DISPATCHER_HEADER's type, size and signal state are kept where the driver can see them (wdm.h); who waits is not.
Waiting itself is in `waits`, timers are in `timers`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping

from stackemu.emu.kernel.call import ApiCall, Context, Raised
from stackemu.emu.kernel.layouts import View, layout
from stackemu.emu.processor import CURRENT_THREAD

STATUS_SEMAPHORE_LIMIT_EXCEEDED = 0xC0000047
STATUS_MUTANT_NOT_OWNED = 0xC0000046


class ObjectType(enum.IntEnum):
    """KOBJECTS: the types of dispatcher objects that drivers make (ntddk.h's DISPATCHER_HEADER)."""

    NOTIFICATION_EVENT = 0
    SYNCHRONIZATION_EVENT = 1
    MUTANT = 2
    QUEUE = 4
    SEMAPHORE = 5
    NOTIFICATION_TIMER = 8
    SYNCHRONIZATION_TIMER = 9


def initialize_header(context: Context, structure: str, address: int, kind: ObjectType, state: int) -> View:
    """Fill the header of a dispatcher object that nobody waits for; returns a view of the object."""
    view = context.view(structure, address)
    view["Header.Lock"] = kind | layout(structure).size // 4 << 16
    view["Header.SignalState"] = state
    waiters = view.at("Header.WaitListHead")
    context.put_u32(waiters, waiters)
    context.put_u32(waiters + 4, waiters)
    return view


def _event(call: ApiCall) -> View:
    return call.view("KEVENT", call.arguments[0])


def _initialize_event(call: ApiCall) -> None:
    address, kind, state = call.arguments[:3]
    initialize_header(call, "KEVENT", address, ObjectType(kind & 1), state & 0xFF)


def _change_event(state: int) -> Callable[[ApiCall], None]:
    """KeSetEvent, KeResetEvent and KePulseEvent return the state before."""

    def behaviour(call: ApiCall) -> None:
        event = _event(call)
        call.eax = event["Header.SignalState"]
        event["Header.SignalState"] = state

    return behaviour


def _clear_event(call: ApiCall) -> None:
    _event(call)["Header.SignalState"] = 0


def _read_state(call: ApiCall) -> None:
    """Every dispatcher object begins with the same header."""
    call.eax = _event(call)["Header.SignalState"]


def _initialize_semaphore(call: ApiCall) -> None:
    address, count, limit = call.arguments[:3]
    initialize_header(call, "KSEMAPHORE", address, ObjectType.SEMAPHORE, count)["Limit"] = limit


def _release_semaphore(call: ApiCall) -> None:
    address, _, adjustment = call.arguments[:3]
    semaphore = call.view("KSEMAPHORE", address)
    before = semaphore["Header.SignalState"]
    after = before + adjustment
    if after > semaphore["Limit"] and _is_initialized(semaphore, ObjectType.SEMAPHORE):
        raise Raised(STATUS_SEMAPHORE_LIMIT_EXCEEDED)
    semaphore["Header.SignalState"] = after
    call.eax = before


def _is_initialized(view: View, kind: ObjectType) -> bool:
    """Whether the header is one that the kernel made, not memory that nobody typed."""
    return view["Header.Lock"] & 0xFF00FF == kind | view.layout.size // 4 << 16


def _initialize_mutex(call: ApiCall) -> None:
    _make_mutant(call, is_owned=False, disables_apcs=True)


def _initialize_mutant(call: ApiCall) -> None:
    _make_mutant(call, is_owned=bool(call.arguments[1] & 0xFF), disables_apcs=False)


def _make_mutant(call: ApiCall, *, is_owned: bool, disables_apcs: bool) -> None:
    """A mutant's state is 1 when free, and 1 less for every time that its owner has it."""
    mutant = initialize_header(call, "KMUTANT", call.arguments[0], ObjectType.MUTANT, 0 if is_owned else 1)
    mutant["MutantListEntry"] = 0
    mutant["OwnerThread"] = CURRENT_THREAD if is_owned else 0
    mutant["Abandoned"] = 0
    mutant["ApcDisable"] = int(disables_apcs)


def _release_mutant(call: ApiCall) -> None:
    """KeReleaseMutex and KeReleaseMutant return the state before; only the owner may call them.

    A mutant that this run has not seen taken may well be its caller's: only a free one is nobody's.
    """
    mutant = call.view("KMUTANT", call.arguments[0])
    before = mutant["Header.SignalState"]
    if before == 1 and _is_initialized(mutant, ObjectType.MUTANT):
        call.note(f"{call.name}: {mutant.address:#010x} is not owned")
        raise Raised(STATUS_MUTANT_NOT_OWNED)
    mutant["Header.SignalState"] = before + 1
    if before + 1 == 1:
        mutant["OwnerThread"] = 0
    call.eax = before


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeInitializeEvent": _initialize_event,
    "KeSetEvent": _change_event(1),
    "KeSetEventBoostPriority": _change_event(1),
    "KeResetEvent": _change_event(0),
    "KePulseEvent": _change_event(0),
    "KeClearEvent": _clear_event,
    "KeReadStateEvent": _read_state,
    "KeInitializeSemaphore": _initialize_semaphore,
    "KeReleaseSemaphore": _release_semaphore,
    "KeReadStateSemaphore": _read_state,
    "KeInitializeMutex": _initialize_mutex,
    "KeInitializeMutant": _initialize_mutant,
    "KeReleaseMutex": _release_mutant,
    "KeReleaseMutant": _release_mutant,
    "KeReadStateMutex": _read_state,
    "KeReadStateMutant": _read_state,
}
