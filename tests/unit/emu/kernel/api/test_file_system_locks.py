"""Byte-range locks, oplocks and filter contexts: what file systems and their filters keep on files."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.inputs import Input, Override, Place, Style
from stackemu.emu.kernel.api.irps import new_irp

COMPLETE, UNLOCK, POST = 0xA5DE1100, 0xA5DE1200, 0xA5DE1300
STATUS_PENDING, LOCK_NOT_GRANTED, RANGE_NOT_LOCKED, CANCELLED = 0x103, 0xC0000055, 0xC000007E, 0xC0000120
LOCK, UNLOCK_SINGLE, UNLOCK_ALL = 1, 2, 3
FAIL_IMMEDIATELY, EXCLUSIVE = 1, 2
FILE, OTHER_FILE = 0x85600000, 0x85610000


def _number(kernel: Any, value: int) -> int:
    return int(kernel.text(struct.pack("<Q", value)))


@pytest.fixture
def lock(kernel: Any) -> int:
    """A FILE_LOCK without routines."""
    address: int = kernel.text(bytes(64))
    kernel.call("FsRtlInitializeFileLock", address, 0, 0)
    return address


def _request(
    kernel: Any, lock: int, minor: int, start: int = 0, length: int = 0, file: int = FILE, **more: int
) -> int:
    """The status of FsRtlProcessFileLock for a new IRP_MJ_LOCK_CONTROL."""
    context = kernel.context()
    irp = new_irp(context, 1)
    irp["CurrentLocation"] -= 1
    irp["Tail.Overlay.CurrentStackLocation"] -= 36
    location = context.view("IO_STACK_LOCATION", irp["Tail.Overlay.CurrentStackLocation"])
    location["MajorFunction"], location["MinorFunction"] = 17, minor
    location["Flags"], location["FileObject"] = more.get("flags", 0), file
    location["Parameters.LockControl.Length"] = _number(kernel, length)
    location["Parameters.LockControl.ByteOffset"] = start
    status = kernel.call("FsRtlProcessFileLock", lock, irp.address, more.get("context", 0))
    assert status == STATUS_PENDING or irp["IoStatus.Status"] == status
    return int(status)


def test_an_exclusive_lock_keeps_others_out(kernel: Any, lock: int) -> None:
    assert _request(kernel, lock, LOCK, 0x100, 0x10, flags=EXCLUSIVE) == 0
    assert _request(kernel, lock, LOCK, 0x10F, 1, OTHER_FILE, flags=FAIL_IMMEDIATELY) == LOCK_NOT_GRANTED
    assert _request(kernel, lock, LOCK, 0x10F, 1, OTHER_FILE) == STATUS_PENDING
    assert _request(kernel, lock, LOCK, 0x110, 1, OTHER_FILE) == 0
    assert _request(kernel, lock, UNLOCK_SINGLE, 0x100, 0x10, OTHER_FILE) == RANGE_NOT_LOCKED
    assert _request(kernel, lock, UNLOCK_ALL) == 0
    assert _request(kernel, lock, LOCK, 0x10F, 1, OTHER_FILE, flags=FAIL_IMMEDIATELY) == 0


@pytest.mark.parametrize(
    ("exclusive", "file", "reads", "writes"),
    [(1, FILE, 1, 1), (1, OTHER_FILE, 0, 0), (0, FILE, 1, 0), (0, OTHER_FILE, 1, 0)],
)
def test_who_may_read_and_write_in_a_locked_range(
    kernel: Any, lock: int, exclusive: int, file: int, reads: int, writes: int
) -> None:
    start, length, block = _number(kernel, 0x100), _number(kernel, 0x10), kernel.text(bytes(8))
    private = (lock, FILE, start, length, 0x77, 5, 1, exclusive, block)
    assert kernel.call("FsRtlPrivateLock", *private) == 1
    assert kernel.call("FsRtlFastCheckLockForRead", lock, start, length, 5, file, 0x77) == reads
    assert kernel.call("FsRtlFastCheckLockForWrite", lock, start, length, 5, file, 0x77) == writes
    elsewhere = _number(kernel, 0x110)
    assert kernel.call("FsRtlFastCheckLockForWrite", lock, elsewhere, length, 5, OTHER_FILE, 0x77) == 1


def test_locks_are_listed_and_each_release_is_told(kernel: Any) -> None:
    lock, released = kernel.text(bytes(64)), []

    def unlock(context: int, info: int) -> int:
        released.append((context, struct.unpack("<qq", kernel.host.read(info, 16))))
        return 0

    kernel.host.code[UNLOCK] = unlock
    kernel.call("FsRtlInitializeFileLock", lock, 0, UNLOCK)
    for start in (0, 0x20):
        assert _request(kernel, lock, LOCK, start, 0x10, flags=EXCLUSIVE) == 0
    found = []
    info = kernel.call("FsRtlGetNextFileLock", lock, 1)
    while info:
        # FILE_LOCK_INFO: StartingByte, Length, ExclusiveLock, Key, FileObject, ProcessId, EndingByte
        found.append(struct.unpack("<qqB3xIII", kernel.host.read(info, 32))[:3])
        assert struct.unpack("<q", kernel.host.read(info + 32, 8)) == (found[-1][0] + 0xF,)
        info = kernel.call("FsRtlGetNextFileLock", lock, 0)
    assert found == [(0, 0x10, 1), (0x20, 0x10, 1)]
    assert _request(kernel, lock, UNLOCK_ALL, context=0x99) == 0
    assert released == [(0x99, (0, 0x10)), (0x99, (0x20, 0x10))]
    assert kernel.call("FsRtlAreThereCurrentOrInProgressFileLocks", lock) == 0


def test_the_file_systems_own_routine_completes_lock_requests(kernel: Any) -> None:
    lock = kernel.text(bytes(64))
    kernel.call("FsRtlInitializeFileLock", lock, COMPLETE, 0)
    _request(kernel, lock, LOCK, 0, 1, context=0x55)
    ((address, (context, _irp)),) = kernel.host.invoked
    assert (address, context) == (COMPLETE, 0x55)


def test_a_request_waits_for_an_oplock_only_when_somebody_can_go_on_with_it(kernel: Any) -> None:
    oplock, irp = kernel.text(bytes(4)), new_irp(kernel.context(), 1).address
    breaks = Input(0, Style.ZEROS, True).with_override(Override(Place.RESULT, 8 * kernel.calls, 1))
    assert kernel.call("FsRtlCheckOplock", oplock, irp, 0x44, COMPLETE, POST, source=breaks) == STATUS_PENDING
    assert kernel.host.invoked == [(POST, (0x44, irp))]
    (root,) = kernel.roots
    assert (root.address, kernel.arguments(root).stack[0]) == (COMPLETE, 0x44)
    breaks = Input(0, Style.ZEROS, True).with_override(Override(Place.RESULT, 8 * kernel.calls, 1))
    assert kernel.call("FsRtlCheckOplock", oplock, irp, 0x44, 0, 0, source=breaks) == 0  # waits here
    assert kernel.call("FsRtlCheckOplock", oplock, irp, 0, 0, 0, source=kernel.FAILURE) == CANCELLED


OWNER, INSTANCE = 8, 12


def _header(kernel: Any, flags: int) -> int:
    """An FSRTL_ADVANCED_FCB_HEADER: Flags2 at 6, FilterContexts at 44."""
    header: int = kernel.text(bytes(6) + bytes((flags,)) + bytes(57))
    kernel.host.write(header + 44, struct.pack("<II", header + 44, header + 44))
    return header


def _context(kernel: Any, owner: int, instance: int) -> int:
    return int(kernel.text(struct.pack("<IIIII", 0, 0, owner, instance, UNLOCK)))


def test_contexts_are_found_by_owner_and_instance(kernel: Any) -> None:
    header = _header(kernel, 2)
    first, second = _context(kernel, 1, 10), _context(kernel, 1, 11)
    for context in (first, second):
        assert kernel.call("FsRtlInsertPerStreamContext", header, context) == 0
    find = "FsRtlLookupPerStreamContextInternal"
    assert kernel.call(find, header, 1, 10) == first
    assert kernel.call(find, header, 1, 0) in (first, second)
    assert kernel.call(find, header, 2, 0) == 0
    assert kernel.call("FsRtlRemovePerStreamContext", header, 1, 10) == first
    assert kernel.call(find, header, 1, 10) == 0
    kernel.call("FsRtlTeardownPerStreamContexts", header)
    assert kernel.host.invoked == [(UNLOCK, (second,))]
    assert kernel.call(find, header, 0, 0) == 0


def test_a_stream_says_whether_it_takes_contexts(kernel: Any) -> None:
    header = _header(kernel, 0)
    assert kernel.call("FsRtlInsertPerStreamContext", header, _context(kernel, 1, 0)) == 0xC0000010
    assert kernel.call("FsRtlRemovePerStreamContext", header, 1, 0) == 0


@pytest.mark.parametrize("kind", ["PerFile", "PerFileObject"])
def test_files_and_file_objects_have_contexts_too(kernel: Any, kind: str) -> None:
    place, context = kernel.text(bytes(128)), _context(kernel, 7, 0)
    assert kernel.call(f"FsRtlLookup{kind}Context", place, 7, 0) == 0
    assert kernel.call(f"FsRtlInsert{kind}Context", place, context) == 0
    assert kernel.call(f"FsRtlRemove{kind}Context", place, 7, 0) == context
    assert kernel.call(f"FsRtlLookup{kind}Context", place, 7, 0) == 0
