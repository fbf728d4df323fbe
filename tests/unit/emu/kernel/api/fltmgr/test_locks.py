"""Locks on callback data: byte ranges, oplocks, resources; extra create parameters that travel with it."""

from __future__ import annotations

import struct
from typing import Any

from stackemu.emu.inputs import Input, Override, Place, Style

ROUTINE, UNLOCK = 0xA5DE1100, 0xA5DE1200
CREATE, READ, LOCK_CONTROL = 0, 3, 17
SUCCESS_WITH_CALLBACK, PREOP_PENDING, PREOP_COMPLETE = 0, 2, 4
CANCELLED, LOCK_NOT_GRANTED, RANGE_NOT_LOCKED = 0xC0000120, 0xC0000055, 0xC000007E
OPLOCK_NOT_GRANTED, BREAK_IN_PROGRESS = 0xC00000E2, 0x108
FILE, OTHER_FILE = 0x85600000, 0x85610000


def _drawn(kernel: Any, key: int, value: int) -> Input:
    return Input(0, Style.ZEROS, True, (Override(Place.RESULT, kernel.calls * 8 + key, value),))


def _lock(
    kernel: Any, operations: Any, lock: int, minor: int, file: int = FILE, *, fails_now: int = 1
) -> tuple[int, int]:
    """What the pre-operation callback is to return, and the operation's status."""
    length = kernel.text(struct.pack("<Q", 0x10))
    parameters = struct.pack("<IIQIBB", length, 5, 0x100, 0, fails_now, 1)
    data = operations.make(LOCK_CONTROL, file=file, parameters=parameters)
    operations.block(data)["MinorFunction"] = minor
    return kernel.call("FltProcessFileLock", lock, data.address, 0x77), data["IoStatus.Status"]


def test_byte_ranges_are_locked_for_one_file_object(kernel: Any, operations: Any) -> None:
    lock = kernel.text(b"\xcc" * 64)
    kernel.call("FltInitializeFileLock", lock)
    assert _lock(kernel, operations, lock, 1) == (PREOP_COMPLETE, 0)
    assert _lock(kernel, operations, lock, 1, OTHER_FILE) == (PREOP_COMPLETE, LOCK_NOT_GRANTED)
    assert _lock(kernel, operations, lock, 1, OTHER_FILE, fails_now=0)[0] == PREOP_PENDING
    assert _lock(kernel, operations, lock, 2, OTHER_FILE) == (PREOP_COMPLETE, RANGE_NOT_LOCKED)
    transfer = struct.pack("<IIQII", 4, 5, 0x10C, 0, 0)
    own, other = (operations.make(READ, file=file, parameters=transfer).address for file in (FILE, OTHER_FILE))
    assert kernel.call("FltCheckLockForReadAccess", lock, own) == 1
    assert kernel.call("FltCheckLockForWriteAccess", lock, other) == 0
    assert _lock(kernel, operations, lock, 3) == (PREOP_COMPLETE, 0)
    assert kernel.call("FltCheckLockForWriteAccess", lock, other) == 1


def test_a_routine_of_the_driver_completes_lock_requests(kernel: Any, operations: Any) -> None:
    lock = kernel.call("FltAllocateFileLock", ROUTINE, UNLOCK)
    assert _lock(kernel, operations, lock, 1) == (PREOP_COMPLETE, 0)
    ((address, (context, data)),) = kernel.host.invoked
    assert (address, context) == (ROUTINE, 0x77)
    assert kernel.context().u32(data + 12) == 0


def test_an_oplock_pends_the_operation_until_it_is_broken(kernel: Any, operations: Any) -> None:
    data, oplock = operations.make(CREATE), kernel.text(bytes(4))
    arguments = (oplock, data.address, 0x77, ROUTINE, UNLOCK)
    assert kernel.call("FltCheckOplock", *arguments) == SUCCESS_WITH_CALLBACK
    assert kernel.call("FltCheckOplock", *arguments, source=_drawn(kernel, 0, 1)) == PREOP_PENDING
    assert kernel.host.invoked == [(UNLOCK, (data.address, 0x77))]
    (root,) = kernel.roots
    assert kernel.arguments(root).stack[1] == 0x77
    assert kernel.call("FltCheckOplock", *arguments, source=kernel.FAILURE) == PREOP_COMPLETE
    assert data["IoStatus.Status"] == CANCELLED


def test_an_operation_that_is_not_to_wait_is_told_of_the_break(kernel: Any, operations: Any) -> None:
    data, oplock = operations.make(CREATE), kernel.text(bytes(4))
    arguments = (oplock, data.address, 1, 0x77, ROUTINE, 0)
    status = kernel.call("FltCheckOplockEx", *arguments, source=_drawn(kernel, 0, 1))
    assert (status, data["IoStatus.Status"]) == (SUCCESS_WITH_CALLBACK, BREAK_IN_PROGRESS)
    assert not kernel.roots


def test_an_oplock_that_is_not_granted_completes_its_request(kernel: Any, operations: Any) -> None:
    data, oplock = operations.make(13), kernel.text(bytes(4))
    assert kernel.call("FltOplockFsctrl", oplock, data.address, 1) == PREOP_PENDING
    assert kernel.call("FltOplockFsctrl", oplock, data.address, 1, source=kernel.FAILURE) == PREOP_COMPLETE
    assert data["IoStatus.Status"] == OPLOCK_NOT_GRANTED


def test_a_resource_is_taken_within_a_critical_region(kernel: Any) -> None:
    resource = kernel.text(bytes(56))
    kernel.call("ExInitializeResourceLite", resource)
    kernel.call("FltAcquireResourceExclusive", resource)
    assert kernel.call("ExIsResourceAcquiredExclusiveLite", resource) == 1
    kernel.call("FltReleaseResource", resource)
    assert kernel.call("ExIsResourceAcquiredExclusiveLite", resource) == 0
    kernel.call("KeLeaveCriticalRegion")
    assert [*kernel.state.records.notes] == ["KeLeaveCriticalRegion: leaves a critical region that was left before"]


# -- extra create parameters --


def test_an_extra_create_parameter_travels_with_the_callback_data(kernel: Any, operations: Any) -> None:
    data, kind, out = operations.make(CREATE).address, kernel.text(bytes(range(16))), kernel.text(bytes(8))
    kernel.call("FltAllocateExtraCreateParameterList", 0, 0, out)
    listed = kernel.context().u32(out)
    assert kernel.call("FltAllocateExtraCreateParameter", 0, kind, 0x20, 0, ROUTINE, 0, out) == 0
    parameter = kernel.context().u32(out)
    assert kernel.call("FltInsertExtraCreateParameter", 0, listed, parameter) == 0
    assert kernel.call("FltSetEcpListIntoCallbackData", 0, data, listed) == 0
    assert kernel.call("FltGetEcpListFromCallbackData", 0, data, out) == 0
    assert kernel.context().u32(out) == listed
    assert kernel.call("FltFindExtraCreateParameter", 0, listed, kind, out, out + 4) == 0
    assert struct.unpack("<II", kernel.host.read(out, 8)) == (parameter, 0x20)
    kernel.call("FltFreeExtraCreateParameterList", 0, listed)
    assert [address for address, _ in kernel.host.invoked] == [ROUTINE]
