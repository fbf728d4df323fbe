"""What minifilters ask about operations: who requested them, how they run, whether they are canceled."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.objects import file_object

ROUTINE = 0xA5DE1100
IRP, FAST_IO, POST_OPERATION, DIRTY = 1, 2, 0x80000, 0x80000000
READ = 3
INVALID_PARAMETER, CANCELLED = 0xC000000D, 0xC0000120


def test_the_requestor_is_the_process_with_that_id(kernel: Any, operations: Any) -> None:
    data = operations.make(READ).address
    process = kernel.call("FltGetRequestorProcess", data)
    assert process == kernel.call("IoGetCurrentProcess")
    assert kernel.call("FltGetRequestorProcessId", data) == kernel.call("PsGetCurrentProcessId")
    assert kernel.call("FltGetRequestorProcess", data, source=kernel.FAILURE) == 0


@pytest.mark.parametrize(
    ("flags", "irp_flags", "file_flags", "synchronous"),
    [(FAST_IO, 0, 0, 1), (IRP, 0, 0, 0), (IRP, 4, 0, 1), (IRP, 0x40, 0, 1), (IRP, 0, 2, 1), (IRP, 2, 0, 0)],
)
def test_what_makes_an_operation_synchronous(
    kernel: Any, operations: Any, flags: int, irp_flags: int, file_flags: int, synchronous: int
) -> None:
    file = file_object(kernel.context())
    file["Flags"] = file_flags
    data = operations.make(READ, flags, file.address)
    operations.block(data)["IrpFlags"] = irp_flags
    assert kernel.call("FltIsOperationSynchronous", data.address) == synchronous


@pytest.mark.parametrize(
    ("major", "name"), [(0, b"IRP_MJ_CREATE\0"), (27, b"IRP_MJ_PNP\0"), (0xED, b"IRP_MJ_VOLUME_MOUNT\0")]
)
def test_an_operation_has_a_name(kernel: Any, major: int, name: bytes) -> None:
    assert kernel.host.read(kernel.call("FltGetIrpName", major), len(name)) == name


def test_changes_are_marked_and_unmarked(kernel: Any, operations: Any) -> None:
    data = operations.make(READ)
    kernel.call("FltSetCallbackDataDirty", data.address)
    assert (data["Flags"], kernel.call("FltIsCallbackDataDirty", data.address)) == (IRP | DIRTY, 1)
    kernel.call("FltClearCallbackDataDirty", data.address)
    assert (data["Flags"], kernel.call("FltIsCallbackDataDirty", data.address)) == (IRP, 0)


def test_a_cancel_callback_gets_an_irp_of_the_same_kind_unless_it_is_too_late(kernel: Any, operations: Any) -> None:
    data = operations.make(READ).address
    assert kernel.call("FltSetCancelCompletion", data, ROUTINE, source=kernel.FAILURE) == CANCELLED
    assert not kernel.roots
    assert kernel.call("FltSetCancelCompletion", data, ROUTINE) == 0
    (root,) = kernel.roots
    (canceled,) = kernel.arguments(root).stack
    assert operations.block(kernel.context().view("FLT_CALLBACK_DATA", canceled))["MajorFunction"] == READ


@pytest.mark.parametrize("flags", [FAST_IO, IRP | POST_OPERATION])
def test_the_status_of_an_operation_is_asked_for_before_irps_only(kernel: Any, operations: Any, flags: int) -> None:
    late = operations.make(READ, flags).address
    assert kernel.call("FltRequestOperationStatusCallback", late, ROUTINE, 0x77) == INVALID_PARAMETER
    assert kernel.call("FltRequestOperationStatusCallback", operations.make(READ).address, ROUTINE, 0x77) == 0
    (root,) = kernel.roots
    related, block, _, requester = kernel.arguments(root).stack
    assert requester == 0x77
    assert kernel.context().view("FLT_IO_PARAMETER_BLOCK", block)["MajorFunction"] == READ
    assert kernel.context().u16(related) == 24


def test_priorities_are_told_to_structures_of_the_right_size_only(kernel: Any) -> None:
    out = kernel.text(struct.pack("<4I", 16, 0, 0, 0))
    assert kernel.call("FltRetrieveIoPriorityInfo", 0, 0, 0, out) == 0
    assert struct.unpack("<4I", kernel.host.read(out, 16)) == (16, 0xFFFF, 0, 2)
    assert kernel.call("FltRetrieveIoPriorityInfo", 0, 0, 0, kernel.text(bytes(16))) == INVALID_PARAMETER
