"""The rest of FsRtl: statuses, allocations that raise, create parameters, tunnels, notifications, callbacks."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from stackemu.emu.kernel.api.irps import new_irp
from stackemu.emu.kernel.call import Raised

ROUTINE, OTHER = 0xA5DE1100, 0xA5DE1200
ACCESS_VIOLATION, DISK_FULL, CRC_ERROR = 0xC0000005, 0xC000007F, 0xC000003F
INSUFFICIENT_RESOURCES, NOT_FOUND, COLLISION = 0xC000009A, 0xC0000225, 0xC0000035


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _status_block(kernel: Any) -> int:
    return int(kernel.text(b"\xee" * 8))


def test_statuses_of_programming_errors_are_not_expected(kernel: Any) -> None:
    assert kernel.call("FsRtlIsNtstatusExpected", DISK_FULL) == 1
    assert kernel.call("FsRtlIsNtstatusExpected", ACCESS_VIOLATION) == 0
    assert kernel.call("FsRtlNormalizeNtstatus", DISK_FULL, 0xC0000001) == DISK_FULL
    assert kernel.call("FsRtlNormalizeNtstatus", ACCESS_VIOLATION, 0xC0000001) == 0xC0000001
    assert [kernel.call("FsRtlIsTotalDeviceFailure", status) for status in (0, CRC_ERROR, DISK_FULL)] == [0, 0, 1]


def test_allocations_raise_instead_of_returning_null(kernel: Any) -> None:
    assert kernel.call("FsRtlAllocatePoolWithTag", 0, 0x40, 0x31676154)
    with pytest.raises(Raised) as raised:
        kernel.call("FsRtlAllocatePoolWithTag", 0, 0x40, 0x31676154, source=kernel.FAILURE)
    assert raised.value.status == INSUFFICIENT_RESOURCES
    no_raise = 0x8  # POOL_QUOTA_FAIL_INSTEAD_OF_RAISE
    assert kernel.call("FsRtlAllocatePoolWithQuotaTag", no_raise, 0x40, 0, source=kernel.FAILURE) == 0


def test_fast_reads_end_where_the_file_ends(kernel: Any) -> None:
    file, size, buffer = kernel.text(bytes(128)), kernel.text(bytes(8)), kernel.text(bytes(0x1000))
    assert kernel.call("FsRtlGetFileSize", file, size) == 0
    (length,) = struct.unpack("<Q", kernel.host.read(size, 8))
    offset, block = kernel.text(struct.pack("<Q", length - 4)), _status_block(kernel)
    assert kernel.call("FsRtlCopyRead", file, offset, 0x100, 1, 0, buffer, block, 0) == 1
    assert struct.unpack("<II", kernel.host.read(block, 8)) == (0, 4)
    kernel.host.write(offset, struct.pack("<Q", length))
    assert kernel.call("FsRtlCopyRead", file, offset, 0x100, 1, 0, buffer, block, 0) == 1
    assert struct.unpack("<II", kernel.host.read(block, 8)) == (0xC0000011, 0)  # STATUS_END_OF_FILE
    assert kernel.call("FsRtlCopyRead", file, offset, 4, 1, 0, buffer, block, 0, source=kernel.FAILURE) == 0


@pytest.mark.parametrize(
    ("length", "tag", "size", "status"),
    [
        (8 + 4, 0xA0000003, 4, 0),  # a mount point
        (24 + 4, 0x00000100, 4, 0),  # of a third party: with a GUID
        (8 + 4, 0x00000100, 4, 0xC0000278),
        (8 + 4, 0xA0000003, 5, 0xC0000278),
        (7, 0xA0000003, 0, 0xC0000278),
        (8 + 4, 0xA0010003, 4, 0xC0000276),  # reserved bits
        (24, 0x00000001, 0, 0xC0000276),  # a reserved tag
    ],
)
def test_reparse_points_are_consistent_and_have_a_valid_tag(
    kernel: Any, length: int, tag: int, size: int, status: int
) -> None:
    buffer = kernel.text(struct.pack("<IHH", tag, size, 0) + bytes(32))
    assert kernel.call("FsRtlValidateReparsePointBuffer", length, buffer) == status


GUID = bytes(range(16))


def _parameter(kernel: Any, guid: bytes = GUID, cleanup: int = 0) -> int:
    out = kernel.text(bytes(4))
    assert kernel.call("FsRtlAllocateExtraCreateParameter", kernel.text(guid), 0x30, 0, cleanup, 0, out) == 0
    return _u32(kernel, out)


def test_create_parameters_are_found_by_their_type(kernel: Any) -> None:
    out = kernel.text(bytes(8))
    kernel.call("FsRtlAllocateExtraCreateParameterList", 0, out)
    parameters, kind = _u32(kernel, out), kernel.text(GUID)
    assert kernel.call("FsRtlFindExtraCreateParameter", parameters, kind, out, out + 4) == NOT_FOUND
    context = _parameter(kernel, cleanup=ROUTINE)
    assert kernel.call("FsRtlInsertExtraCreateParameter", parameters, context) == 0
    assert kernel.call("FsRtlInsertExtraCreateParameter", parameters, _parameter(kernel)) == COLLISION
    assert kernel.call("FsRtlFindExtraCreateParameter", parameters, kind, out, out + 4) == 0
    assert struct.unpack("<II", kernel.host.read(out, 8)) == (context, 0x30)
    kernel.call("FsRtlFreeExtraCreateParameterList", parameters)
    ((address, (freed, guid)),) = kernel.host.invoked
    assert (address, freed, kernel.host.read(guid, 16)) == (ROUTINE, context, GUID)


def test_a_list_is_walked_to_its_end(kernel: Any) -> None:
    parameters = kernel.text(bytes(0x40))
    contexts = [_parameter(kernel, bytes((number,)) * 16) for number in range(3)]
    for context in contexts:
        assert kernel.call("FsRtlInsertExtraCreateParameter", parameters, context) == 0
    out, found = kernel.text(bytes(4)), [0]
    while kernel.call("FsRtlGetNextExtraCreateParameter", parameters, found[-1], 0, out, 0) == 0:
        found.append(_u32(kernel, out))
    assert found == [0, *contexts]


def test_a_tunnel_gives_back_the_names_of_a_deleted_file(kernel: Any) -> None:
    cache, data = kernel.text(bytes(48)), kernel.text(b"12345678")
    kernel.call("FsRtlInitializeTunnelCache", cache)
    short, long = kernel.unicode("LONGNA~1.TXT"), kernel.unicode("Long Name.txt")
    kernel.call("FsRtlAddToTunnelCache", cache, 5, 0, short, long, 0, 8, data)
    outs = [kernel.text(struct.pack("<HHI", 0, 0x40, kernel.text(bytes(0x40)))) for _ in range(2)]
    length, room = kernel.text(struct.pack("<I", 8)), kernel.text(bytes(8))
    find = ("FsRtlFindInTunnelCache", cache, 5, 0, kernel.unicode("LONG NAME.TXT"), *outs, length, room)
    assert kernel.call(*find) == 1
    assert [kernel.context().unicode(out) for out in outs] == ["LONGNA~1.TXT", "Long Name.txt"]
    assert kernel.host.read(room, 8) == b"12345678"
    kernel.call("FsRtlDeleteKeyFromTunnelCache", cache, 5, 0)
    assert kernel.call(*find) == 0


def test_a_reported_change_completes_the_requests_that_wait_for_its_kind(kernel: Any) -> None:
    sync, head, name = kernel.text(bytes(4)), kernel.text(bytes(8)), kernel.unicode("\\A")
    kernel.call("FsRtlNotifyInitializeSync", sync)
    irps = []
    for kinds in (1, 2):  # FILE_NOTIFY_CHANGE_FILE_NAME, FILE_NOTIFY_CHANGE_DIR_NAME
        irp = new_irp(kernel.context(), 1)
        irp["CurrentLocation"] -= 1
        irp["Tail.Overlay.CurrentStackLocation"] -= 36
        irps.append(irp)
        waits = (_u32(kernel, sync), head, 0x77, name, 0, 0, kinds, irp.address, ROUTINE, 0)
        kernel.call("FsRtlNotifyFullChangeDirectory", *waits)
    kernel.call("FsRtlNotifyFullReportChange", _u32(kernel, sync), head, name, 0, 0, 0, 2, 1, 0)
    assert [irp["IoStatus.Status"] for irp in irps] == [0, 0x10C]  # STATUS_NOTIFY_ENUM_DIR: what, it does not say
    kernel.call("FsRtlNotifyCleanup", _u32(kernel, sync), head, 0x77)
    assert irps[0]["IoStatus.Status"] == 0x10B  # STATUS_NOTIFY_CLEANUP
    assert [(root.address, kernel.arguments(root).stack) for root in kernel.roots] == [(ROUTINE, (0x77, 0, 0))]


def test_file_system_filter_callbacks_are_called_with_their_operation(kernel: Any) -> None:
    # FS_FILTER_CALLBACKS: size, reserved, then pairs before and after; the third pair is for cache flushes
    words = [56, 0, *[0] * 4, ROUTINE, OTHER, *[0] * 6]
    assert kernel.call("FsRtlRegisterFileSystemFilterCallbacks", 0, kernel.text(struct.pack("<14I", *words))) == 0
    before, after = kernel.roots
    assert (before.address, after.address) == (ROUTINE, OTHER)
    data, _completion_context = kernel.arguments(before).stack
    size, operation = struct.unpack("<IB", kernel.host.read(data, 5))
    assert (size, operation) == (36, 0xFB)  # FS_FILTER_ACQUIRE_FOR_CC_FLUSH is (UCHAR)-5
    assert len(kernel.arguments(after).stack) == 3


def test_a_cancellable_wait_ends_like_any_other(kernel: Any) -> None:
    event, now = kernel.text(bytes(16)), kernel.text(bytes(8))
    kernel.call("KeInitializeEvent", event, 0, 0)
    assert kernel.call("FsRtlCancellableWaitForSingleObject", event, now, 0) == 0x102  # STATUS_TIMEOUT
    kernel.call("KeSetEvent", event, 0, 0)
    assert kernel.call("FsRtlCancellableWaitForSingleObject", event, now, 0) == 0
