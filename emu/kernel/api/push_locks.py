"""Push locks and rundown protection: the small locks that are a single word.

Push locks of the executive and the filter manager (ntifs.h, fltkernel.h); EX_RUNDOWN_REF, whose lowest bit says that
rundown has begun and whose other bits count references (wdm.h).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stackemu.emu.kernel.api import held
from stackemu.emu.kernel.api.irql import APC_LEVEL, limit_irql
from stackemu.emu.kernel.call import ApiCall

_LOCKED, _SHARE = 0x1, 0x10
_RUNDOWN_ACTIVE, _REFERENCE = 1, 2
_CACHE_AWARE_SIZE = 0x20
"""Room for a cache-aware object, which is opaque: its first word works as the plain one's."""


def _initialize(call: ApiCall) -> None:
    call.put_u32(call.arguments[0], 0)
    held.initialize(call, call.arguments[0])


def _delete(call: ApiCall) -> None:
    lock = call.arguments[0]
    call.u32(lock)
    if held.is_held(call, lock):
        call.note(f"{call.name}: {lock:#010x} is still held")
    held.initialize(call, lock)


def _acquire(*, is_shared: bool, enters: bool = False) -> Callable[[ApiCall], None]:
    """The filter manager's functions enter a critical region; the executive's leave that to the caller."""

    def behaviour(call: ApiCall) -> None:
        lock = call.arguments[0]
        limit_irql(call, APC_LEVEL)
        call.put_u32(lock, _LOCKED | (_SHARE if is_shared else 0))
        if enters:
            held.enter_critical_region(call)
        held.acquire(call, lock, is_shared=is_shared)

    return behaviour


def _release(*, leaves: bool = False) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        lock = call.arguments[0]
        call.u32(lock)
        if held.release(call, lock):
            call.put_u32(lock, 0)
        if leaves:
            held.leave_critical_region(call)

    return behaviour


def _try_shared(call: ApiCall) -> None:
    lock = call.arguments[0]
    call.u32(lock)
    if call.succeeds and lock not in call.state(held.HeldLocks).exclusive:
        call.put_u32(lock, _LOCKED | _SHARE)
        held.acquire(call, lock, is_shared=True)
        call.eax = 1


def _allocate(call: ApiCall) -> None:
    call.eax = call.allocate(_CACHE_AWARE_SIZE) if call.succeeds else 0


def _nothing(_call: ApiCall) -> None:
    """Nothing that the driver could see."""


# -- rundown protection --


def _set_count(value: int) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        call.put_u32(call.arguments[0], value)

    return behaviour


def _reference(count_at: int | None) -> Callable[[ApiCall], None]:
    """Returns FALSE once rundown has begun, which the input may say as well."""

    def behaviour(call: ApiCall) -> None:
        address = call.arguments[0]
        count = call.u32(address)
        if count & _RUNDOWN_ACTIVE or not call.succeeds:
            return
        added = 1 if count_at is None else call.arguments[count_at]
        call.put_u32(address, count + _REFERENCE * added)
        call.eax = 1

    return behaviour


def _dereference(count_at: int | None) -> Callable[[ApiCall], None]:
    def behaviour(call: ApiCall) -> None:
        address = call.arguments[0]
        count = call.u32(address)
        taken = _REFERENCE * (1 if count_at is None else call.arguments[count_at])
        call.put_u32(address, max(0, count - taken) if not count & _RUNDOWN_ACTIVE else count)

    return behaviour


def _wait_for_release(call: ApiCall) -> None:
    """Every reference is given back meanwhile, by whoever holds it; later ones are refused."""
    limit_irql(call, APC_LEVEL, "waits")
    call.put_u32(call.arguments[0], _RUNDOWN_ACTIVE)


def _cache_aware_size(call: ApiCall) -> None:
    call.eax = _CACHE_AWARE_SIZE


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "ExInitializePushLock": _initialize,
    "ExAcquirePushLockExclusiveEx": _acquire(is_shared=False),
    "ExAcquirePushLockSharedEx": _acquire(is_shared=True),
    "ExReleasePushLockExclusiveEx": _release(),
    "ExReleasePushLockSharedEx": _release(),
    "ExfAcquirePushLockExclusive": _acquire(is_shared=False),
    "ExfAcquirePushLockShared": _acquire(is_shared=True),
    "ExfTryAcquirePushLockShared": _try_shared,
    "ExfReleasePushLock": _release(),
    "ExfReleasePushLockExclusive": _release(),
    "ExfReleasePushLockShared": _release(),
    "ExfTryToWakePushLock": _nothing,
    "ExAllocateCacheAwarePushLock": _allocate,
    "ExFreeCacheAwarePushLock": _nothing,
    "ExAcquireCacheAwarePushLockExclusive": _acquire(is_shared=False),
    "ExReleaseCacheAwarePushLockExclusive": _release(),
    "FltInitializePushLock": _initialize,
    "FltDeletePushLock": _delete,
    "FltAcquirePushLockExclusive": _acquire(is_shared=False, enters=True),
    "FltAcquirePushLockShared": _acquire(is_shared=True, enters=True),
    "FltAcquirePushLockExclusiveEx": _acquire(is_shared=False, enters=True),
    "FltAcquirePushLockSharedEx": _acquire(is_shared=True, enters=True),
    "FltReleasePushLock": _release(leaves=True),
    "FltReleasePushLockEx": _release(leaves=True),
    "ExInitializeRundownProtection": _set_count(0),
    "ExReInitializeRundownProtection": _set_count(0),
    "ExAcquireRundownProtection": _reference(None),
    "ExAcquireRundownProtectionEx": _reference(1),
    "ExReleaseRundownProtection": _dereference(None),
    "ExReleaseRundownProtectionEx": _dereference(1),
    "ExWaitForRundownProtectionRelease": _wait_for_release,
    "ExRundownCompleted": _set_count(_RUNDOWN_ACTIVE),
    "ExAllocateCacheAwareRundownProtection": _allocate,
    "ExFreeCacheAwareRundownProtection": _nothing,
    "ExSizeOfRundownProtectionCacheAware": _cache_aware_size,
    "ExInitializeRundownProtectionCacheAware": _set_count(0),
    "ExInitializeRundownProtectionCacheAwareEx": _set_count(0),
    "ExReInitializeRundownProtectionCacheAware": _set_count(0),
    "ExCleanupRundownProtectionCacheAware": _nothing,
    "ExAcquireRundownProtectionCacheAware": _reference(None),
    "ExAcquireRundownProtectionCacheAwareEx": _reference(1),
    "ExReleaseRundownProtectionCacheAware": _dereference(None),
    "ExReleaseRundownProtectionCacheAwareEx": _dereference(1),
    "ExWaitForRundownProtectionReleaseCacheAware": _wait_for_release,
    "ExRundownCompletedCacheAware": _set_count(_RUNDOWN_ACTIVE),
}
