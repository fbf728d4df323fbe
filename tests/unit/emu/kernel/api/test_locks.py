"""Locks: IRQLs, the fields that drivers and debuggers read, and deadlocks and double releases noted."""

from __future__ import annotations

import struct
from typing import Any

import pytest

IRQL = 0xFFDFF024


def _irql(kernel: Any) -> int:
    return int(kernel.host.read(IRQL, 1)[0])


def _notes(kernel: Any) -> list[str]:
    return list(kernel.state.records.notes)


def _word(kernel: Any, address: int) -> int:
    return int(struct.unpack("<I", kernel.host.read(address, 4))[0])


@pytest.mark.parametrize(
    ("acquire", "release"),
    [("KfAcquireSpinLock", "KfReleaseSpinLock"), ("ExAcquireSpinLockExclusive", "ExReleaseSpinLockExclusive")],
)
def test_a_spin_lock_raises_to_dispatch_level_and_back(kernel: Any, acquire: str, release: str) -> None:
    lock = kernel.text(bytes(4))
    assert kernel.call(acquire, lock) == 0
    assert _irql(kernel) == 2
    assert _word(kernel, lock) != 0
    kernel.call(release, lock, 0)
    assert (_irql(kernel), _word(kernel, lock), _notes(kernel)) == (0, 0, [])


def test_a_queued_spin_lock_keeps_the_old_irql_in_its_handle(kernel: Any) -> None:
    lock, handle = kernel.text(bytes(4)), kernel.text(bytes(12))
    kernel.call("KfRaiseIrql", 1)
    kernel.call("KeAcquireInStackQueuedSpinLock", lock, handle)
    assert struct.unpack("<IIB", kernel.host.read(handle, 9)) == (0, lock, 1)
    kernel.call("KeReleaseInStackQueuedSpinLock", handle)
    assert _irql(kernel) == 1


def test_taking_a_held_spin_lock_again_is_noted(kernel: Any) -> None:
    lock = kernel.text(bytes(4))
    kernel.call("KfAcquireSpinLock", lock)
    kernel.call("KeAcquireSpinLockAtDpcLevel", lock)
    assert _notes(kernel) == [f"KeAcquireSpinLockAtDpcLevel: {lock:#010x} is held already, which waits for ever"]


def test_releasing_twice_is_noted_but_not_the_release_of_a_callers_lock(kernel: Any) -> None:
    lock = kernel.text(bytes(4))
    kernel.call("KfReleaseSpinLock", lock, 0)
    assert _notes(kernel) == []
    kernel.call("KfReleaseSpinLock", lock, 0)
    assert _notes(kernel) == [f"KfReleaseSpinLock: {lock:#010x} was released before"]


def test_readers_share_a_spin_lock_and_writers_do_not(kernel: Any) -> None:
    lock = kernel.text(bytes(4))
    kernel.call("ExAcquireSpinLockShared", lock)
    kernel.call("ExAcquireSpinLockSharedAtDpcLevel", lock)
    assert (_word(kernel, lock), _notes(kernel)) == (2, [])
    kernel.call("ExReleaseSpinLockSharedFromDpcLevel", lock)
    assert kernel.call("ExTryConvertSharedSpinLockExclusive", lock) == 1
    assert kernel.call("ExTryAcquireSpinLockSharedAtDpcLevel", lock) == 0


def test_a_fast_mutex_runs_at_apc_level(kernel: Any) -> None:
    mutex = kernel.text(struct.pack("<I", 1) + bytes(28))
    kernel.call("ExAcquireFastMutex", mutex)
    assert (_irql(kernel), _word(kernel, mutex)) == (1, 0)
    assert kernel.call("ExTryToAcquireFastMutex", mutex) == 0
    kernel.call("ExReleaseFastMutex", mutex)
    assert (_irql(kernel), _word(kernel, mutex), _notes(kernel)) == (0, 1, [])
    assert kernel.call("ExTryToAcquireFastMutex", mutex, source=kernel.FAILURE) == 0


def test_regions_disable_apcs_until_they_are_left_as_often(kernel: Any) -> None:
    names = ["KeEnterCriticalRegion", "KeEnterCriticalRegion", "KeLeaveCriticalRegion", "KeLeaveCriticalRegion"]
    seen = []
    for name in names:
        kernel.call(name)
        seen.append((kernel.call("KeAreApcsDisabled"), kernel.call("KeAreAllApcsDisabled")))
    assert seen == [(1, 0), (1, 0), (1, 0), (0, 0)]
    kernel.call("KeLeaveCriticalRegion")
    assert _notes(kernel) == ["KeLeaveCriticalRegion: leaves a critical region that was left before"]


def test_a_resource_knows_its_owner(kernel: Any) -> None:
    resource = kernel.text(bytes(56))
    assert kernel.call("ExInitializeResourceLite", resource) == 0
    assert kernel.call("ExIsResourceAcquiredExclusiveLite", resource) == 0
    assert kernel.call("ExAcquireResourceExclusiveLite", resource, 1, source=kernel.FAILURE) == 1
    assert kernel.call("ExAcquireResourceSharedLite", resource, 0, source=kernel.FAILURE) == 1
    assert kernel.call("ExIsResourceAcquiredSharedLite", resource) == 2
    for _ in range(2):
        kernel.call("ExReleaseResourceLite", resource)
    assert _notes(kernel) == []
    kernel.call("ExReleaseResourceLite", resource)
    assert _notes(kernel) == [f"ExReleaseResourceLite: {resource:#010x} is not held"]


def test_only_a_caller_that_does_not_wait_is_refused(kernel: Any) -> None:
    resource = kernel.text(bytes(56))
    kernel.call("ExInitializeResourceLite", resource)
    assert kernel.call("ExAcquireResourceExclusiveLite", resource, 0, source=kernel.FAILURE) == 0
    assert kernel.call("ExAcquireResourceSharedLite", resource, 1, source=kernel.FAILURE) == 1
    assert kernel.call("ExAcquireResourceExclusiveLite", resource, 0) == 0  # it has it shared already


def test_the_filter_managers_push_locks_enter_a_critical_region(kernel: Any) -> None:
    lock = kernel.text(b"\xcc" * 4)
    kernel.call("FltInitializePushLock", lock)
    kernel.call("FltAcquirePushLockShared", lock)
    assert kernel.call("KeAreApcsDisabled") == 1
    kernel.call("FltReleasePushLock", lock)
    assert (kernel.call("KeAreApcsDisabled"), _word(kernel, lock)) == (0, 0)


def test_rundown_protection_is_refused_once_rundown_began(kernel: Any) -> None:
    reference = kernel.text(b"\xcc" * 4)
    kernel.call("ExInitializeRundownProtection", reference)
    assert kernel.call("ExAcquireRundownProtection", reference) == 1
    assert kernel.call("ExAcquireRundownProtectionEx", reference, 2) == 1
    assert _word(kernel, reference) == 6  # the lowest bit says that rundown is active
    kernel.call("ExReleaseRundownProtectionEx", reference, 2)
    kernel.call("ExWaitForRundownProtectionRelease", reference)
    assert kernel.call("ExAcquireRundownProtection", reference) == 0
    kernel.call("ExReInitializeRundownProtection", reference)
    assert kernel.call("ExAcquireRundownProtection", reference) == 1
