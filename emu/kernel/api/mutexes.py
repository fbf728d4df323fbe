"""Fast mutexes and guarded mutexes, critical and guarded regions.

FAST_MUTEX and KGUARDED_MUTEX begin alike: Count (1 when free), Owner, Contention (wdm.h). A fast mutex raises the
IRQL to APC_LEVEL and keeps the old one; a guarded mutex enters a guarded region instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api import held
from stackemu.emu.kernel.api.irql import APC_LEVEL, current_irql, limit_irql, lower_irql, raise_irql
from stackemu.emu.kernel.call import ApiCall
from stackemu.emu.kernel.layouts import View
from stackemu.emu.processor import CURRENT_THREAD


def _mutex(call: ApiCall) -> View:
    return call.view("FAST_MUTEX", call.arguments[0])


def _initialize(call: ApiCall) -> None:
    mutex = _mutex(call)
    mutex.clear()
    mutex["Count"] = 1
    held.initialize(call, mutex.address)


def _take(call: ApiCall, mutex: View) -> None:
    mutex["Count"] = 0
    mutex["Owner"] = CURRENT_THREAD
    held.acquire(call, mutex.address)


def _give(call: ApiCall, mutex: View) -> None:
    mutex["Count"] = 1
    mutex["Owner"] = 0
    held.release(call, mutex.address)


def _acquire_fast(call: ApiCall) -> None:
    mutex = _mutex(call)
    limit_irql(call, APC_LEVEL)
    _take(call, mutex)
    mutex["OldIrql"] = raise_irql(call, max(APC_LEVEL, current_irql(call)))


def _try_fast(call: ApiCall) -> None:
    """FALSE, and the IRQL as it was, for a mutex that somebody has."""
    mutex = _mutex(call)
    limit_irql(call, APC_LEVEL)
    call.u32(mutex.address)
    if call.succeeds and not held.is_held(call, mutex.address):
        _acquire_fast(call)
        call.eax = 1


def _release_fast(call: ApiCall) -> None:
    mutex = _mutex(call)
    irql = mutex["OldIrql"] & 0xFF
    _give(call, mutex)
    lower_irql(call, irql)


def _acquire_unsafe(call: ApiCall) -> None:
    limit_irql(call, APC_LEVEL)
    _take(call, _mutex(call))


def _release_unsafe(call: ApiCall) -> None:
    _give(call, _mutex(call))


def _enter_and_acquire_unsafe(call: ApiCall) -> None:
    held.enter_critical_region(call)
    _acquire_unsafe(call)


def _release_unsafe_and_leave(call: ApiCall) -> None:
    _release_unsafe(call)
    held.leave_critical_region(call)


def _acquire_guarded(call: ApiCall) -> None:
    _acquire_unsafe(call)
    call.state(held.HeldLocks).guarded_regions += 1


def _try_guarded(call: ApiCall) -> None:
    mutex = _mutex(call)
    call.u32(mutex.address)
    if call.succeeds and not held.is_held(call, mutex.address):
        _acquire_guarded(call)
        call.eax = 1


def _release_guarded(call: ApiCall) -> None:
    _release_unsafe(call)
    _leave_guarded(call)


def _enter_guarded(call: ApiCall) -> None:
    call.state(held.HeldLocks).guarded_regions += 1


def _leave_guarded(call: ApiCall) -> None:
    locks = call.state(held.HeldLocks)
    locks.guarded_regions = max(0, locks.guarded_regions - 1)


def _are_apcs_disabled(call: ApiCall) -> None:
    locks = call.state(held.HeldLocks)
    call.eax = int(bool(locks.critical_regions or locks.guarded_regions) or current_irql(call) >= APC_LEVEL)


def _are_all_apcs_disabled(call: ApiCall) -> None:
    call.eax = int(bool(call.state(held.HeldLocks).guarded_regions) or current_irql(call) >= APC_LEVEL)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ExAcquireFastMutex": _acquire_fast,
    "ExiAcquireFastMutex": _acquire_fast,
    "ExTryToAcquireFastMutex": _try_fast,
    "ExiTryToAcquireFastMutex": _try_fast,
    "ExReleaseFastMutex": _release_fast,
    "ExiReleaseFastMutex": _release_fast,
    "ExAcquireFastMutexUnsafe": _acquire_unsafe,
    "ExReleaseFastMutexUnsafe": _release_unsafe,
    "ExEnterCriticalRegionAndAcquireFastMutexUnsafe": _enter_and_acquire_unsafe,
    "ExReleaseFastMutexUnsafeAndLeaveCriticalRegion": _release_unsafe_and_leave,
    "KeInitializeGuardedMutex": _initialize,
    "KeAcquireGuardedMutex": _acquire_guarded,
    "KeTryToAcquireGuardedMutex": _try_guarded,
    "KeReleaseGuardedMutex": _release_guarded,
    "KeAcquireGuardedMutexUnsafe": _acquire_unsafe,
    "KeReleaseGuardedMutexUnsafe": _release_unsafe,
    "KeEnterCriticalRegion": held.enter_critical_region,
    "KeLeaveCriticalRegion": held.leave_critical_region,
    "KeEnterGuardedRegion": _enter_guarded,
    "KeLeaveGuardedRegion": _leave_guarded,
    "KeAreApcsDisabled": _are_apcs_disabled,
    "KeAreAllApcsDisabled": _are_all_apcs_disabled,
}
