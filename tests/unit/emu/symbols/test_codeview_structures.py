"""Structures of a PDB, against the headers that the driver was compiled with and that assert their own layouts."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from stackemu.emu.symbols.codeview_structures import read_structures
from stackemu.emu.symbols.codeview_types import VERSION, Types, TypeStream
from stackemu.emu.symbols.pdb import read_pdb
from stackemu.emu.symbols.structure import Member, Structure

DRIVERS = Path(__file__).parents[4] / "drivers"


@pytest.fixture(scope="module")
def structures() -> Mapping[str, Structure]:
    return read_pdb(DRIVERS / "passthrough.pdb").structures


@pytest.mark.parametrize(
    ("name", "size"),
    # The C_ASSERTs of drivers/include/fltkernel.h and wdm.h.
    [("_FLT_CALLBACK_DATA", 0x2C), ("_FLT_IO_PARAMETER_BLOCK", 0x2C), ("_FLT_RELATED_OBJECTS", 0x18)],
)
def test_sizes_are_those_that_the_headers_assert(structures: Mapping[str, Structure], name: str, size: int) -> None:
    assert structures[name].size == size


def test_members_have_their_types_and_offsets(structures: Mapping[str, Structure]) -> None:
    assert structures["_UNICODE_STRING"].members == (
        Member("Length", "unsigned short", 0),
        Member("MaximumLength", "unsigned short", 2),
        Member("Buffer", "wchar_t*", 4),
    )
    members = {member.name: member for member in structures["_FLT_CALLBACK_DATA"].members}
    assert (members["Iopb"].type, members["Iopb"].offset) == ("_FLT_IO_PARAMETER_BLOCK*", 8)
    assert members["IoStatus"].offset == 0x0C


def _stream(*records: bytes) -> TypeStream:
    """Return a TPI stream of these records, numbered from 0x1000."""
    body = b"".join(struct.pack("<H", len(record)) + record for record in records)
    header = struct.pack("<IIIII", VERSION, 56, 0x1000, 0x1000 + len(records), len(body)).ljust(56, b"\0")
    return TypeStream(header + body, "TPI")


def _structure(members: int, name: bytes, properties: int = 0) -> bytes:
    return struct.pack("<HHHIIIH", 0x1505, 1, properties, members, 0, 0, 4) + name + b"\0"


def _member(name: bytes, offset: int = 0) -> bytes:
    return struct.pack("<HHIH", 0x150D, 3, 0x0022, offset) + name + b"\0"


def test_a_forward_reference_defines_nothing() -> None:
    stream = _stream(_structure(0, b"_A", properties=0x80))
    assert read_structures(stream, Types(stream)) == {}


def test_a_field_list_goes_on_where_it_says_and_a_circle_ends() -> None:
    continued = struct.pack("<HHI", 0x1404, 0, 0x1001)
    stream = _stream(_structure(0x1001, b"_A"), struct.pack("<H", 0x1203) + _member(b"x") + b"\xf2\xf1" + continued)
    members = read_structures(stream, Types(stream))["_A"].members
    assert set(members) == {Member("x", "unsigned long", 0)}
    assert len(members) <= 64


def test_a_record_that_is_cut_short_is_left_out() -> None:
    stream = _stream(_structure(0, b"_A")[:-1] + b"B", _structure(0, b"_C"))
    assert set(read_structures(stream, Types(stream))) == {"_C"}
