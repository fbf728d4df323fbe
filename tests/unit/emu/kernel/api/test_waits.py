"""Dispatcher objects and waits, as KeWaitForSingleObject and its relatives are documented."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.call import Bugcheck, Raised

NOTIFICATION, SYNCHRONIZATION = 0, 1
WAIT_ALL, WAIT_ANY = 0, 1
KERNEL_MODE, USER_MODE = 0, 1
SUCCESS, USER_APC, ALERTED, TIMEOUT = 0, 0xC0, 0x101, 0x102


def _event(kernel: Any, kind: int, state: int) -> int:
    event = int(kernel.text(bytes(16)))
    kernel.call("KeInitializeEvent", event, kind, state)
    return event


def _timeout(kernel: Any, value: int) -> int:
    return int(kernel.text(struct.pack("<q", value)))


def _state(kernel: Any, address: int) -> int:
    return int(struct.unpack("<i", kernel.host.read(address + 4, 4))[0])


def test_a_new_event_has_the_header_that_debuggers_know(kernel: Any) -> None:
    event = _event(kernel, SYNCHRONIZATION, 1)
    assert struct.unpack("<BBBBiII", kernel.host.read(event, 16)) == (1, 0, 4, 0, 1, event + 8, event + 8)


def test_setting_and_resetting_return_the_state_before(kernel: Any) -> None:
    event = _event(kernel, NOTIFICATION, 0)
    states = [kernel.call(name, event) for name in ("KeSetEvent", "KeReadStateEvent", "KeResetEvent", "KeSetEvent")]
    assert states == [0, 1, 1, 0]


def test_a_wait_resets_a_synchronization_event_and_leaves_a_notification_event(kernel: Any) -> None:
    for kind, after in ((SYNCHRONIZATION, 0), (NOTIFICATION, 1)):
        event = _event(kernel, kind, 1)
        source = kernel.FAILURE  # what is signalled needs nobody's luck
        assert kernel.call("KeWaitForSingleObject", event, 0, KERNEL_MODE, 0, 0, source=source) == SUCCESS
        assert _state(kernel, event) == after


def test_a_wait_can_time_out_only_when_a_timeout_is_given(kernel: Any) -> None:
    event, second = _event(kernel, NOTIFICATION, 0), _timeout(kernel, -10_000_000)
    assert kernel.call("KeWaitForSingleObject", event, 0, 0, 0, second, source=kernel.FAILURE) == TIMEOUT
    assert kernel.call("KeWaitForSingleObject", event, 0, 0, 0, second) == SUCCESS
    event = _event(kernel, NOTIFICATION, 0)
    assert kernel.call("KeWaitForSingleObject", event, 0, 0, 0, 0, source=kernel.FAILURE) == SUCCESS


def test_a_timeout_of_zero_only_looks(kernel: Any) -> None:
    event = _event(kernel, NOTIFICATION, 0)
    kernel.call("KeRaiseIrqlToDpcLevel")
    assert kernel.call("KeWaitForSingleObject", event, 0, 0, 0, _timeout(kernel, 0)) == TIMEOUT
    assert list(kernel.state.records.notes) == []


def test_alertable_and_user_mode_waits_may_be_interrupted(kernel: Any) -> None:
    event = _event(kernel, NOTIFICATION, 0)
    assert kernel.call("KeWaitForSingleObject", event, 0, KERNEL_MODE, 1, 0, source=kernel.FAILURE) == ALERTED
    assert kernel.call("KeWaitForSingleObject", event, 0, USER_MODE, 0, 0, source=kernel.FAILURE) == USER_APC


def test_waiting_at_dispatch_level_is_noted(kernel: Any) -> None:
    event = _event(kernel, NOTIFICATION, 0)
    kernel.call("KeRaiseIrqlToDpcLevel")
    kernel.call("KeWaitForSingleObject", event, 0, 0, 0, 0)
    assert list(kernel.state.records.notes) == ["KeWaitForSingleObject: waits at IRQL 2, allowed up to 1"]


def test_waiting_for_any_names_the_signalled_object(kernel: Any) -> None:
    events = [_event(kernel, SYNCHRONIZATION, state) for state in (0, 0, 1)]
    array = kernel.text(struct.pack("<III", *events))
    assert kernel.call("KeWaitForMultipleObjects", 3, array, WAIT_ANY, 0, 0, 0, 0, 0) == 2
    assert _state(kernel, events[2]) == 0


def test_waiting_for_all_takes_all_or_none(kernel: Any) -> None:
    events = [_event(kernel, SYNCHRONIZATION, 1), _event(kernel, SYNCHRONIZATION, 0)]
    array, now = kernel.text(struct.pack("<II", *events)), _timeout(kernel, 0)
    assert kernel.call("KeWaitForMultipleObjects", 2, array, WAIT_ALL, 0, 0, 0, now, 0) == TIMEOUT
    assert _state(kernel, events[0]) == 1
    kernel.call("KeSetEvent", events[1], 0, 0)
    assert kernel.call("KeWaitForMultipleObjects", 2, array, WAIT_ALL, 0, 0, 0, now, 0) == SUCCESS
    assert [_state(kernel, event) for event in events] == [0, 0]


def test_more_than_three_objects_need_a_wait_block_array(kernel: Any) -> None:
    array = kernel.text(bytes(16))
    with pytest.raises(Bugcheck) as stopped:
        kernel.call("KeWaitForMultipleObjects", 4, array, WAIT_ANY, 0, 0, 0, 0, 0)
    assert stopped.value.code == 0xC


def test_a_semaphore_counts_down_in_waits_and_has_a_limit(kernel: Any) -> None:
    semaphore = kernel.text(bytes(20))
    kernel.call("KeInitializeSemaphore", semaphore, 1, 2)
    kernel.call("KeWaitForSingleObject", semaphore, 0, 0, 0, 0)
    assert kernel.call("KeReadStateSemaphore", semaphore) == 0
    assert kernel.call("KeReleaseSemaphore", semaphore, 0, 2, 0) == 0
    with pytest.raises(Raised) as raised:
        kernel.call("KeReleaseSemaphore", semaphore, 0, 1, 0)
    assert raised.value.status == 0xC0000047


def test_a_mutex_is_taken_again_by_its_owner_and_released_as_often(kernel: Any) -> None:
    mutex = kernel.text(bytes(32))
    kernel.call("KeInitializeMutex", mutex, 0)
    for _ in range(2):
        assert kernel.call("KeWaitForSingleObject", mutex, 0, 0, 0, 0, source=kernel.FAILURE) == SUCCESS
    assert _state(kernel, mutex) == -1
    assert kernel.call("KeReleaseMutex", mutex, 0) == 0xFFFFFFFF
    assert kernel.call("KeReleaseMutex", mutex, 0) == 0
    with pytest.raises(Raised) as raised:
        kernel.call("KeReleaseMutex", mutex, 0)
    assert raised.value.status == 0xC0000046
