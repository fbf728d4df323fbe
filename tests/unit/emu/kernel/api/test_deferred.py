"""What runs later: DPCs, timers, APCs, work items and threads become roots with the arguments they were given."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.call import Terminated

ROUTINE, OTHER = 0xA5DE1100, 0xA5DE1200
IRQL = 0xFFDFF024


def _irql(kernel: Any) -> int:
    return int(kernel.host.read(IRQL, 1)[0])


def _dpc(kernel: Any, context: int) -> int:
    dpc = int(kernel.text(bytes(32)))
    kernel.call("KeInitializeDpc", dpc, ROUTINE, context)
    return dpc


def test_a_dpc_runs_at_dispatch_level_with_the_arguments_it_was_queued_with(kernel: Any) -> None:
    dpc = _dpc(kernel, 0x1234)
    assert kernel.call("KeInsertQueueDpc", dpc, 5, 6) == 1
    (root,) = kernel.roots
    assert (root.address, root.role) == (ROUTINE, "DPC")
    assert kernel.arguments(root).stack == (dpc, 0x1234, 5, 6)
    assert _irql(kernel) == 2


def test_a_queued_dpc_is_not_queued_twice(kernel: Any) -> None:
    dpc = _dpc(kernel, 0)
    assert [kernel.call("KeInsertQueueDpc", dpc, first, 0) for first in (1, 2)] == [1, 0]
    assert kernel.call("KeRemoveQueueDpc", dpc) == 1
    assert kernel.call("KeRemoveQueueDpc", dpc) == 0


def test_a_dpc_whose_memory_is_gone_is_made_again_for_the_call(kernel: Any) -> None:
    dpc = _dpc(kernel, 0x1234)
    kernel.host.write(dpc, b"\xcc" * 32)
    kernel.arguments(kernel.roots[0])
    assert struct.unpack("<II", kernel.host.read(dpc + 12, 8)) == (ROUTINE, 0x1234)


def test_routines_outside_the_driver_are_no_roots(kernel: Any) -> None:
    kernel.call("KeInitializeDpc", kernel.text(bytes(32)), 0x80100000, 0)
    assert kernel.roots == []


def test_setting_a_timer_makes_its_dpc_a_root_and_tells_whether_it_was_set(kernel: Any) -> None:
    timer, dpc = kernel.text(bytes(40)), _dpc(kernel, 7)
    kernel.call("KeInitializeTimerEx", timer, 1)
    assert [kernel.call("KeSetTimerEx", timer, 0xFFFFFFFF, 0xFFFFFFFF, 1000, dpc) for _ in range(2)] == [0, 1]
    assert kernel.host.read(timer + 32, 8) == struct.pack("<II", dpc, 1000)
    assert "timer DPC" in [root.role for root in kernel.roots]
    assert kernel.arguments(kernel.roots[-1]).stack[:2] == (dpc, 7)
    assert [kernel.call("KeCancelTimer", timer) for _ in range(2)] == [1, 0]


def test_a_timer_may_have_expired_before_it_is_cancelled(kernel: Any) -> None:
    timer = kernel.text(bytes(40))
    kernel.call("KeInitializeTimer", timer)
    kernel.call("KeSetTimer", timer, 1, 0, 0)
    assert kernel.call("KeCancelTimer", timer, source=kernel.FAILURE) == 0


def test_an_ex_timer_calls_back_with_itself_and_its_context(kernel: Any) -> None:
    timer = kernel.call("ExAllocateTimer", ROUTINE, 0x77, 8)
    assert kernel.call("ExSetTimer", timer, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0, 0) == 0
    (root,) = kernel.roots
    assert kernel.arguments(root).stack == (timer, 0x77)
    assert _irql(kernel) == 2
    assert kernel.call("ExAllocateTimer", ROUTINE, 0, 8, source=kernel.FAILURE) == 0


def test_deleting_an_ex_timer_twice_is_noted(kernel: Any) -> None:
    kept, timer = (kernel.call("ExAllocateTimer", 0, 0, 8) for _ in range(2))
    kernel.call("ExDeleteTimer", timer, 1, 0, 0)
    kernel.call("ExDeleteTimer", timer, 1, 0, 0)
    assert list(kernel.state.records.notes) == [f"ExDeleteTimer: {timer:#010x} is no timer, or was deleted before"]
    assert kept


def test_a_work_item_is_called_with_its_device_and_context(kernel: Any) -> None:
    item = kernel.call("IoAllocateWorkItem", 0x86000100)
    kernel.call("IoQueueWorkItem", item, ROUTINE, 1, 0x55)
    kernel.call("IoQueueWorkItemEx", item, OTHER, 1, 0x55)
    plain, extended = kernel.roots
    assert kernel.arguments(plain).stack == (0x86000100, 0x55)
    assert kernel.arguments(extended).stack == (0x86000100, 0x55, item)


def test_a_work_item_freed_twice_is_noted(kernel: Any) -> None:
    item = kernel.call("IoAllocateWorkItem", 0x86000100)
    kernel.call("IoFreeWorkItem", item)
    kernel.call("IoFreeWorkItem", item)
    assert list(kernel.state.records.notes) == [f"IoFreeWorkItem: {item:#010x} was freed before"]


def test_a_plain_work_queue_item_holds_its_routine(kernel: Any) -> None:
    item = kernel.text(struct.pack("<IIII", 0, 0, ROUTINE, 0x99))
    kernel.call("ExQueueWorkItem", item, 1)
    (root,) = kernel.roots
    assert kernel.arguments(root).stack == (0x99,)


def test_a_system_thread_starts_with_its_context_and_ends_its_run(kernel: Any) -> None:
    handle, client = kernel.text(bytes(4)), kernel.text(bytes(8))
    assert kernel.call("PsCreateSystemThread", handle, 0, 0, 0, client, ROUTINE, 0x66) == 0
    assert kernel.host.read(handle, 4) != bytes(4)
    (root,) = kernel.roots
    assert (root.role, kernel.arguments(root).stack) == ("system thread", (0x66,))
    with pytest.raises(Terminated):
        kernel.call("PsTerminateSystemThread", 0)


def test_a_thread_that_could_not_be_created_is_no_root(kernel: Any) -> None:
    status = kernel.call("PsCreateSystemThread", 0, 0, 0, 0, 0, ROUTINE, 0, source=kernel.FAILURE)
    assert status >> 30 == 3
    assert kernel.roots == []


def test_an_apc_has_up_to_three_routines(kernel: Any) -> None:
    apc = kernel.text(bytes(0x30))
    kernel.call("KeInitializeApc", apc, 0x80553740, 0, ROUTINE, 0, OTHER, 0, 0x44)
    assert [root.role for root in kernel.roots] == ["APC kernel routine", "APC normal routine"]
    given = kernel.arguments(kernel.roots[0]).stack
    assert given[0] == apc
    assert struct.unpack("<II", kernel.host.read(given[1], 8)) == (OTHER, 0x44)
    assert _irql(kernel) == 1
    assert kernel.arguments(kernel.roots[1]).stack[0] == 0x44
