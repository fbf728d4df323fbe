"""Spin locks: plain ones, queued ones with a handle on the stack, and reader/writer spin locks.

A KSPIN_LOCK is a word, an EX_SPIN_LOCK a word that counts readers, KLOCK_QUEUE_HANDLE is {Next, Lock, OldIrql}
(wdm.h).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api import held
from stackemu.emu.kernel.api.irql import DISPATCH_LEVEL, SYNCH_LEVEL, current_irql, lower_irql, raise_irql
from stackemu.emu.kernel.call import ApiCall

_TAKEN = 1
_EXCLUSIVE = 0x80000000
"""An EX_SPIN_LOCK that a writer has; below it counts readers."""
_HANDLE_LOCK, _HANDLE_IRQL = 4, 8


def _initialize(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], 0)
    held.initialize(call, call.arguments[0])


def _take(call: ApiCall, lock: int) -> None:
    call.put_u32(lock, _TAKEN)
    held.acquire(call, lock)


def _give(call: ApiCall, lock: int) -> None:
    word = call.u32(lock)
    is_free = held.release(call, lock)
    call.put_u32(lock, 0 if is_free else max(0, word - 1))


def _acquire(level: int) -> Callable[[ApiCall], None]:
    """Functions that raise the IRQL and return the old one."""

    def behaviour(call: ApiCall) -> None:
        call.eax = raise_irql(call, level)
        _take(call, call.arguments[0])

    return behaviour


def _acquire_out(call: ApiCall) -> None:
    """KeAcquireSpinLock as a function stores the old IRQL through a pointer."""
    lock, old_irql = call.arguments[:2]
    call.put_u8(old_irql, raise_irql(call, DISPATCH_LEVEL))
    _take(call, lock)


def _release(call: ApiCall) -> None:
    lock, irql = call.arguments[:2]
    _give(call, lock)
    lower_irql(call, irql & 0xFF)


def _acquire_here(call: ApiCall) -> None:
    """The caller is at DISPATCH_LEVEL already, which a function that runs on its own cannot know."""
    _take(call, call.arguments[0])


def _release_here(call: ApiCall) -> None:
    _give(call, call.arguments[0])


def _acquire_for_dpc(call: ApiCall) -> None:
    """A threaded DPC runs at PASSIVE_LEVEL, any other at DISPATCH_LEVEL already."""
    call.eax = current_irql(call)
    if call.eax < DISPATCH_LEVEL:
        raise_irql(call, DISPATCH_LEVEL)
    _take(call, call.arguments[0])


def _try(call: ApiCall) -> None:
    """A lock that is not taken at once is not waited for."""
    lock = call.arguments[0]
    call.u32(lock)
    if call.succeeds and not held.is_held(call, lock):
        _take(call, lock)
        call.eax = 1


def _test(call: ApiCall) -> None:
    call.eax = int(call.u32(call.arguments[0]) == 0)


# -- queued spin locks --


def _acquire_queued(level: int | None) -> Callable[[ApiCall], None]:
    """In-stack queued locks: the handle remembers the lock and the old IRQL."""

    def behaviour(call: ApiCall) -> None:
        lock, handle = call.arguments[:2]
        call.write(handle, bytes(_HANDLE_LOCK) + lock.to_bytes(4, "little"))
        call.put_u8(handle + _HANDLE_IRQL, current_irql(call) if level is None else raise_irql(call, level))
        _take(call, lock)

    return behaviour


def _release_queued(lowers: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        handle = call.arguments[0]
        _give(call, call.u32(handle + _HANDLE_LOCK))
        if lowers:
            lower_irql(call, call.u8(handle + _HANDLE_IRQL))

    return behaviour


def _acquire_numbered(level: int) -> Callable[[ApiCall], None]:
    """The kernel's own locks, which drivers know by number only."""

    def behaviour(call: ApiCall) -> None:
        call.eax = raise_irql(call, level)

    return behaviour


def _release_numbered(call: ApiCall) -> None:
    lower_irql(call, call.arguments[1] & 0xFF)


def _try_numbered(level: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.eax = int(call.succeeds)
        if call.eax:
            call.put_u8(call.arguments[1], raise_irql(call, level))

    return behaviour


# -- reader/writer spin locks --


def _acquire_ex(*, is_shared: bool, raises: bool) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        lock = call.arguments[0]
        if raises:
            call.eax = raise_irql(call, DISPATCH_LEVEL)
        word = call.u32(lock)
        held.acquire(call, lock, is_shared=is_shared)
        call.put_u32(lock, (word & ~_EXCLUSIVE) + 1 if is_shared else _EXCLUSIVE)

    return behaviour


def _try_ex(*, is_shared: bool) -> Callable[[ApiCall], None]:
    acquire = _acquire_ex(is_shared=is_shared, raises=False)

    def behaviour(call: ApiCall) -> None:
        call.u32(call.arguments[0])
        if call.succeeds and not held.is_held(call, call.arguments[0]):
            acquire(call)
            call.eax = 1

    return behaviour


def _convert_ex(call: ApiCall) -> None:
    """ExTryConvertSharedSpinLockExclusive: succeeds for the only reader."""
    lock = call.arguments[0]
    locks = call.state(held.HeldLocks)
    if call.succeeds and locks.shared.get(lock, 1) == 1:
        locks.shared.pop(lock, None)
        locks.exclusive[lock] = None
        call.put_u32(lock, _EXCLUSIVE)
        call.eax = 1


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "KeInitializeSpinLock": _initialize,
    "KfAcquireSpinLock": _acquire(DISPATCH_LEVEL),
    "KeAcquireSpinLockRaiseToDpc": _acquire(DISPATCH_LEVEL),
    "KeAcquireSpinLockRaiseToSynch": _acquire(SYNCH_LEVEL),
    "KeAcquireSpinLock": _acquire_out,
    "KfReleaseSpinLock": _release,
    "KeReleaseSpinLock": _release,
    "KeAcquireSpinLockAtDpcLevel": _acquire_here,
    "KefAcquireSpinLockAtDpcLevel": _acquire_here,
    "KiAcquireSpinLock": _acquire_here,
    "KeReleaseSpinLockFromDpcLevel": _release_here,
    "KefReleaseSpinLockFromDpcLevel": _release_here,
    "KiReleaseSpinLock": _release_here,
    "KeAcquireSpinLockForDpc": _acquire_for_dpc,
    "KeReleaseSpinLockForDpc": _release,
    "KeTryToAcquireSpinLockAtDpcLevel": _try,
    "KeTestSpinLock": _test,
    "KeAcquireInStackQueuedSpinLock": _acquire_queued(DISPATCH_LEVEL),
    "KeAcquireInStackQueuedSpinLockForDpc": _acquire_queued(DISPATCH_LEVEL),
    "KeAcquireInStackQueuedSpinLockRaiseToSynch": _acquire_queued(SYNCH_LEVEL),
    "KeAcquireInStackQueuedSpinLockAtDpcLevel": _acquire_queued(None),
    "KeReleaseInStackQueuedSpinLock": _release_queued(lowers=True),
    "KeReleaseInStackQueuedSpinLockForDpc": _release_queued(lowers=True),
    "KeReleaseInStackQueuedSpinLockFromDpcLevel": _release_queued(lowers=False),
    "KeAcquireQueuedSpinLock": _acquire_numbered(DISPATCH_LEVEL),
    "KeAcquireQueuedSpinLockRaiseToSynch": _acquire_numbered(SYNCH_LEVEL),
    "KeReleaseQueuedSpinLock": _release_numbered,
    "KeTryToAcquireQueuedSpinLock": _try_numbered(DISPATCH_LEVEL),
    "KeTryToAcquireQueuedSpinLockRaiseToSynch": _try_numbered(SYNCH_LEVEL),
    "ExAcquireSpinLockExclusive": _acquire_ex(is_shared=False, raises=True),
    "ExAcquireSpinLockShared": _acquire_ex(is_shared=True, raises=True),
    "ExAcquireSpinLockExclusiveAtDpcLevel": _acquire_ex(is_shared=False, raises=False),
    "ExAcquireSpinLockSharedAtDpcLevel": _acquire_ex(is_shared=True, raises=False),
    "ExTryAcquireSpinLockExclusiveAtDpcLevel": _try_ex(is_shared=False),
    "ExTryAcquireSpinLockSharedAtDpcLevel": _try_ex(is_shared=True),
    "ExTryConvertSharedSpinLockExclusive": _convert_ex,
    "ExReleaseSpinLockExclusive": _release,
    "ExReleaseSpinLockShared": _release,
    "ExReleaseSpinLockExclusiveFromDpcLevel": _release_here,
    "ExReleaseSpinLockSharedFromDpcLevel": _release_here,
}
