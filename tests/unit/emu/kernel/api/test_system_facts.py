"""Times against Python's calendar; the version of Windows; SIDs, access lists and descriptors as ntifs.h has them."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Any

import pytest

SYSTEM = bytes((1, 1, 0, 0, 0, 0, 0, 5)) + struct.pack("<I", 18)
ADMINISTRATORS = bytes((1, 2, 0, 0, 0, 0, 0, 5)) + struct.pack("<II", 32, 544)
TOO_SMALL, INVALID, MISMATCH, NO_SPACE = 0xC0000023, 0xC000000D, 0xC0000059, 0xC0000099


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


# -- time --


def _time(moment: datetime) -> int:
    return (moment - datetime(1601, 1, 1)) // timedelta(microseconds=1) * 10


@pytest.mark.parametrize(
    "moment",
    [datetime(1601, 1, 1), datetime(2000, 2, 29, 23, 59, 59, 999000), datetime(2011, 2, 22, 12, 30),
     datetime(2400, 12, 31)],
)  # fmt: skip
def test_fields_and_back(kernel: Any, moment: datetime) -> None:
    time, fields = kernel.text(struct.pack("<Q", _time(moment))), kernel.text(bytes(16))
    kernel.call("RtlTimeToTimeFields", time, fields)
    expected = (*moment.timetuple()[:6], moment.microsecond // 1000, moment.isoweekday() % 7)
    assert struct.unpack("<8h", kernel.host.read(fields, 16)) == expected
    out = kernel.text(bytes(8))
    assert kernel.call("RtlTimeFieldsToTime", fields, out) == 1
    assert kernel.host.read(out, 8) == kernel.host.read(time, 8)


@pytest.mark.parametrize("fields", [(2011, 2, 29, 0, 0, 0, 0), (1600, 1, 1, 0, 0, 0, 0), (2011, 1, 1, 24, 0, 0, 0)])
def test_a_date_that_is_none_is_refused(kernel: Any, fields: tuple[int, ...]) -> None:
    assert kernel.call("RtlTimeFieldsToTime", kernel.text(struct.pack("<8h", *fields, 0)), kernel.text(bytes(8))) == 0


def test_seconds_since_1970(kernel: Any) -> None:
    time, out = kernel.text(struct.pack("<Q", _time(datetime(2011, 2, 22)))), kernel.text(bytes(8))
    assert kernel.call("RtlTimeToSecondsSince1970", time, out) == 1
    assert _u32(kernel, out) == (datetime(2011, 2, 22) - datetime(1970, 1, 1)).total_seconds()
    kernel.call("RtlSecondsSince1970ToTime", _u32(kernel, out), out)
    assert kernel.host.read(out, 8) == kernel.host.read(time, 8)
    assert kernel.call("RtlTimeToSecondsSince1970", kernel.text(bytes(8)), out) == 0


# -- version --


def test_the_version_is_windows_7_service_pack_1(kernel: Any) -> None:
    info = kernel.text(struct.pack("<I", 284) + b"\xcc" * 280)
    assert kernel.call("RtlGetVersion", info) == 0
    assert struct.unpack("<4I", kernel.host.read(info + 4, 16)) == (6, 1, 7601, 2)
    assert kernel.context().terminated(info + 20, 2).decode("utf-16-le") == "Service Pack 1"
    assert struct.unpack("<HHHB", kernel.host.read(info + 276, 7)) == (1, 0, 0x100, 1)
    words, text = [kernel.text(bytes(4)) for _ in range(3)], kernel.text(bytes(8))
    assert kernel.call("PsGetVersion", *words, text) == 0
    assert [_u32(kernel, word) for word in words] == [6, 1, 7601]
    assert kernel.context().unicode(text) == "Service Pack 1"


def test_the_short_structure_is_not_written_beyond_its_end(kernel: Any) -> None:
    info = kernel.text(struct.pack("<I", 276) + b"\xcc" * 280)
    kernel.call("RtlGetVersion", info)
    assert kernel.host.read(info + 276, 8) == b"\xcc" * 8


@pytest.mark.parametrize(
    ("wanted", "status"),
    [((6, 0, 0), 0), ((6, 1, 1), 0), ((6, 1, 2), MISMATCH), ((5, 2, 9), 0), ((6, 2, 0), MISMATCH)],
)
def test_versions_are_compared_as_one_number(kernel: Any, wanted: tuple[int, int, int], status: int) -> None:
    minor_type, major_type, pack_type, at_least = 1, 2, 0x20, 3
    mask = 0
    for kind in (major_type, minor_type, pack_type):
        mask = kernel.call64("VerSetConditionMask", mask & 0xFFFFFFFF, mask >> 32, kind, at_least)
    assert mask == 3 | 3 << 3 | 3 << 15
    major, minor, pack = wanted
    info = kernel.text(struct.pack("<III", 284, major, minor) + bytes(264) + struct.pack("<HHI", pack, 0, 0))
    assert kernel.call("RtlVerifyVersionInfo", info, 0x23, mask & 0xFFFFFFFF, mask >> 32) == status


# -- security --


def test_a_sid_is_built_in_place(kernel: Any) -> None:
    sid = kernel.text(bytes(16))
    assert kernel.call("RtlLengthRequiredSid", 2) == 16
    assert kernel.call("RtlInitializeSid", sid, kernel.text(ADMINISTRATORS[2:8]), 2) == 0
    for index, value in enumerate((32, 544)):
        kernel.host.write(kernel.call("RtlSubAuthoritySid", sid, index), struct.pack("<I", value))
    assert kernel.host.read(sid, 16) == ADMINISTRATORS
    assert kernel.call("RtlLengthSid", sid) == 16
    assert kernel.call("RtlEqualSid", sid, kernel.text(ADMINISTRATORS)) == 1
    assert kernel.call("RtlEqualSid", sid, kernel.text(SYSTEM)) == 0
    assert kernel.call("RtlCopySid", 12, kernel.text(bytes(16)), sid) == TOO_SMALL


def test_a_sid_as_text(kernel: Any) -> None:
    string = kernel.text(bytes(8))
    assert kernel.call("RtlConvertSidToUnicodeString", string, kernel.text(ADMINISTRATORS), 1) == 0
    assert kernel.context().unicode(string) == "S-1-5-32-544"


def test_an_access_list_takes_entries_until_it_is_full(kernel: Any) -> None:
    acl, out = kernel.text(bytes(64)), kernel.text(bytes(4))
    assert kernel.call("RtlCreateAcl", acl, 7, 2) == TOO_SMALL
    assert kernel.call("RtlCreateAcl", acl, 8 + 20 + 24, 2) == 0
    assert kernel.call("RtlAddAccessAllowedAce", acl, 2, 0x1F01FF, kernel.text(SYSTEM)) == 0
    assert kernel.call("RtlAddAccessAllowedAce", acl, 2, 0x1F01FF, kernel.text(ADMINISTRATORS)) == 0
    assert kernel.call("RtlAddAccessAllowedAce", acl, 2, 1, kernel.text(SYSTEM)) == NO_SPACE
    assert kernel.call("RtlGetAce", acl, 1, out) == 0
    entry = struct.pack("<BBHI", 0, 0, 24, 0x1F01FF) + ADMINISTRATORS
    assert kernel.host.read(_u32(kernel, out), 24) == entry
    assert kernel.call("RtlDeleteAce", acl, 0) == 0
    assert kernel.host.read(acl + 8, 24) == entry
    assert kernel.call("RtlGetAce", acl, 1, out) == INVALID


def test_a_descriptor_keeps_its_parts_also_when_made_self_relative(kernel: Any) -> None:
    descriptor, acl, sid = kernel.text(b"\xcc" * 20), kernel.text(bytes(64)), kernel.text(SYSTEM)
    kernel.call("RtlCreateAcl", acl, 28, 2)
    kernel.call("RtlAddAccessAllowedAce", acl, 2, 7, sid)
    assert kernel.call("RtlCreateSecurityDescriptor", descriptor, 1) == 0
    assert kernel.call("RtlSetDaclSecurityDescriptor", descriptor, 1, acl, 0) == 0
    assert kernel.call("RtlSetOwnerSecurityDescriptor", descriptor, sid, 1) == 0
    expected = struct.pack("<BBHIIII", 1, 0, 0x5, sid, 0, 0, acl)
    assert kernel.host.read(descriptor, 20) == expected
    size, relative = kernel.text(struct.pack("<I", 10)), kernel.text(bytes(64))
    assert kernel.call("RtlAbsoluteToSelfRelativeSD", descriptor, relative, size) == TOO_SMALL
    assert _u32(kernel, size) == 20 + 28 + 12 == kernel.call("RtlLengthSecurityDescriptor", descriptor)
    assert kernel.call("RtlAbsoluteToSelfRelativeSD", descriptor, relative, size) == 0
    present, dacl, is_default = kernel.text(bytes(1)), kernel.text(bytes(4)), kernel.text(bytes(1))
    assert kernel.call("RtlGetDaclSecurityDescriptor", relative, present, dacl, is_default) == 0
    assert kernel.host.read(_u32(kernel, dacl), 28) == kernel.host.read(acl, 28)
    assert kernel.call("RtlValidSecurityDescriptor", relative) == 1


def test_generic_rights_are_replaced(kernel: Any) -> None:
    mask = kernel.text(struct.pack("<I", 0x80000000 | 0x10000000 | 4))
    kernel.call("RtlMapGenericMask", mask, kernel.text(struct.pack("<4I", 1, 2, 8, 0x10)))
    assert _u32(kernel, mask) == 1 | 0x10 | 4
