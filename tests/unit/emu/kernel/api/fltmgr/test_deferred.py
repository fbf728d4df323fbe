"""Work put off: work items, completion when it is safe, operations pended and queued."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.api.fltmgr.operations import new_callback_data, parameter_block

ROUTINE = 0xA5DE1100
INSERT, REMOVE, PEEK, ACQUIRE, RELEASE, COMPLETE_CANCELED = (0xA5DE1200 + 0x10 * index for index in range(6))
NOT_SAFE_TO_POST, CBDQ_DISABLED, PENDING = 0xC01C0006, 0xC01C000E, 0x103
IRP, FAST_IO, PAGING_IO = 1, 2, 2
READ, SET_INFORMATION, CLEANUP = 3, 6, 18
DISPATCH_LEVEL = 2
MORE_PROCESSING_REQUIRED = 1


def _operation(kernel: Any, major: int = SET_INFORMATION, flags: int = IRP, irp_flags: int = 0) -> int:
    data = new_callback_data(kernel.context(), 0x85600000, 0)
    data["Flags"] = flags
    block = parameter_block(kernel.context(), data)
    block["MajorFunction"], block["IrpFlags"] = major, irp_flags
    return int(data.address)


def _root(kernel: Any) -> Any:
    (root,) = kernel.roots
    return root


# -- work items --


def test_a_deferred_work_item_runs_with_an_operation_of_the_same_kind(kernel: Any) -> None:
    item, data = kernel.call("FltAllocateDeferredIoWorkItem"), _operation(kernel)
    assert kernel.call("FltQueueDeferredIoWorkItem", item, data, ROUTINE, 1, 0x77) == 0
    given, later, context = kernel.arguments(_root(kernel)).stack
    assert (given, context) == (item, 0x77)
    view = kernel.context().view("FLT_CALLBACK_DATA", later)
    assert view["Flags"] & 7 == IRP
    assert parameter_block(kernel.context(), view)["MajorFunction"] == SET_INFORMATION


@pytest.mark.parametrize(("flags", "irp_flags"), [(FAST_IO, 0), (IRP, PAGING_IO)])
def test_fast_io_and_paging_io_are_not_posted(kernel: Any, flags: int, irp_flags: int) -> None:
    item, data = kernel.call("FltAllocateDeferredIoWorkItem"), _operation(kernel, READ, flags, irp_flags)
    assert kernel.call("FltQueueDeferredIoWorkItem", item, data, ROUTINE, 1, 0) == NOT_SAFE_TO_POST
    assert not kernel.roots


def test_a_generic_work_item_runs_with_the_object_that_it_was_queued_for(kernel: Any) -> None:
    item = kernel.call("FltAllocateGenericWorkItem")
    assert kernel.call("FltQueueGenericWorkItem", item, 0x85600000, ROUTINE, 1, 0x77) == 0
    assert kernel.arguments(_root(kernel)).stack == (item, 0x85600000, 0x77)


def test_a_freed_work_item_is_neither_queued_nor_freed_again_without_a_note(kernel: Any) -> None:
    item = kernel.call("FltAllocateGenericWorkItem")
    kernel.call("FltFreeGenericWorkItem", item)
    kernel.call("FltFreeGenericWorkItem", item)
    kernel.call("FltQueueGenericWorkItem", item, 0, ROUTINE, 1, 0)
    assert [*kernel.state.records.notes] == [
        f"FltFreeGenericWorkItem: {item:#010x} was freed before",
        f"FltQueueGenericWorkItem: {item:#010x} was freed before",
    ]


# -- completion --


def _complete_when_safe(kernel: Any, data: int) -> tuple[int, int]:
    out = kernel.text(b"\xcc" * 4)
    done = kernel.call("FltDoCompletionProcessingWhenSafe", data, 0x85610000, 0x77, 0, ROUTINE, out)
    return done, kernel.context().u32(out)


def test_at_a_low_level_completion_runs_at_once_and_its_status_is_passed_on(kernel: Any) -> None:
    kernel.host.code[ROUTINE] = lambda *_: 1
    data = _operation(kernel)
    assert _complete_when_safe(kernel, data) == (1, 1)
    assert kernel.host.invoked == [(ROUTINE, (data, 0x85610000, 0x77, 0))]


def test_at_dispatch_level_completion_goes_to_a_worker_thread(kernel: Any) -> None:
    kernel.call("KfRaiseIrql", DISPATCH_LEVEL)
    assert _complete_when_safe(kernel, _operation(kernel)) == (1, MORE_PROCESSING_REQUIRED)
    assert kernel.host.invoked == []
    _, _, context, flags = kernel.arguments(_root(kernel)).stack
    assert (context, flags) == (0x77, 0)


def test_what_cannot_go_to_a_worker_thread_is_not_completed_there(kernel: Any) -> None:
    kernel.call("KfRaiseIrql", DISPATCH_LEVEL)
    assert _complete_when_safe(kernel, _operation(kernel, flags=FAST_IO)) == (0, 0)


def test_waiting_for_a_worker_thread_in_a_read_is_noted(kernel: Any) -> None:
    _complete_when_safe(kernel, _operation(kernel, CLEANUP))
    assert not kernel.state.records.notes
    _complete_when_safe(kernel, _operation(kernel, READ))
    assert [*kernel.state.records.notes] == [
        "FltDoCompletionProcessingWhenSafe: called for IRP_MJ_READ, which can deadlock"
    ]


def test_a_pended_operation_goes_on_once(kernel: Any) -> None:
    data = _operation(kernel)
    kernel.call("FltCompletePendedPreOperation", data, 1, 0)
    kernel.call("FltCompletePendedPreOperation", data, 1, 0)
    assert [*kernel.state.records.notes] == [f"FltCompletePendedPreOperation: {data:#010x} was completed before"]


# -- queues --


@pytest.fixture
def queue(kernel: Any) -> int:
    """A queue whose callbacks keep a list in Python, as a driver keeps one under its lock."""
    address, queued = int(kernel.text(bytes(64))), []

    def insert(_queue: int, data: int, _context: int) -> int:
        queued.append(data)
        return PENDING

    def remove(_queue: int, data: int) -> int:
        queued.remove(data)
        return 0

    def acquire(_queue: int, place: int) -> int:
        kernel.host.write(place, b"\1")
        return 0

    kernel.host.code.update({INSERT: insert, REMOVE: remove, ACQUIRE: acquire})
    kernel.host.code[PEEK] = lambda *_: queued[0] if queued else 0
    callbacks = (INSERT, REMOVE, PEEK, ACQUIRE, RELEASE, COMPLETE_CANCELED)
    assert kernel.call("FltCbdqInitialize", 0x85600000, address, *callbacks) == 0
    return address


def _called(kernel: Any) -> list[int]:
    called = [address for address, _ in kernel.host.invoked]
    kernel.host.invoked.clear()
    return called


def test_the_queue_has_the_layout_of_fltkernel(kernel: Any, queue: int) -> None:
    fields = struct.unpack("<6I", kernel.host.read(queue + 40, 24))
    assert fields == (INSERT, REMOVE, PEEK, ACQUIRE, RELEASE, COMPLETE_CANCELED)
    assert kernel.context().u32(queue + 36) == 0x85600000


def test_an_insertion_runs_under_the_drivers_lock_and_returns_its_status(kernel: Any, queue: int) -> None:
    data, context = _operation(kernel), kernel.text(bytes(12))
    assert kernel.call("FltCbdqInsertIo", queue, data, context, 0x77) == PENDING
    assert kernel.host.invoked[1] == (INSERT, (queue, data, 0x77))
    assert kernel.host.invoked[2] == (RELEASE, (queue, 1)), "the level that the driver saved"
    assert _called(kernel) == [ACQUIRE, INSERT, RELEASE]
    assert kernel.call("FltCbdqRemoveIo", queue, context) == data
    assert _called(kernel) == [ACQUIRE, REMOVE, RELEASE]
    assert kernel.call("FltCbdqRemoveIo", queue, context) == 0, "it is in the queue no longer"


def test_the_next_operation_is_peeked_and_removed_and_its_context_forgotten(kernel: Any, queue: int) -> None:
    first, second, context = _operation(kernel), _operation(kernel), kernel.text(bytes(12))
    kernel.call("FltCbdqInsertIo", queue, first, context, 0)
    kernel.call("FltCbdqInsertIo", queue, second, 0, 0)
    assert [kernel.call("FltCbdqRemoveNextIo", queue, 0) for _ in range(3)] == [first, second, 0]
    assert kernel.call("FltCbdqRemoveIo", queue, context) == 0


def test_an_operation_that_was_canceled_meanwhile_is_completed_outside_the_lock(kernel: Any, queue: int) -> None:
    data = _operation(kernel)
    assert kernel.call("FltCbdqInsertIo", queue, data, 0, 0, source=kernel.FAILURE) == PENDING
    assert _called(kernel) == [ACQUIRE, INSERT, REMOVE, RELEASE, COMPLETE_CANCELED]


def test_a_disabled_queue_takes_nothing(kernel: Any, queue: int) -> None:
    kernel.call("FltCbdqDisable", queue)
    assert kernel.call("FltCbdqInsertIo", queue, _operation(kernel), 0, 0) == CBDQ_DISABLED
    kernel.call("FltCbdqEnable", queue)
    assert kernel.call("FltCbdqInsertIo", queue, _operation(kernel), 0, 0) == PENDING


def test_only_irps_may_be_queued(kernel: Any, queue: int) -> None:
    data = _operation(kernel, flags=FAST_IO)
    kernel.call("FltCbdqInsertIo", queue, data, 0, 0)
    assert [*kernel.state.records.notes] == [f"FltCbdqInsertIo: the operation at {data:#010x} is no IRP"]


@pytest.mark.usefixtures("queue")
def test_a_removed_operation_is_linked_so_that_it_can_be_unlinked(kernel: Any) -> None:
    root = next(root for root in kernel.roots if root.address == REMOVE)
    _, data = kernel.arguments(root).stack
    links = data + 24
    assert struct.unpack("<II", kernel.host.read(links, 8)) == (links, links)
