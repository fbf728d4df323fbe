"""CodeView type records of structures: the members and sizes of what a driver's functions are given.

Layouts follow microsoft-pdb's cvinfo.h (lfClass, lfUnion, lfFieldList, lfMember). Field lists of hostile files can be
long and can continue in circles, so both are limited.
"""

from __future__ import annotations

from collections.abc import Iterator

from stackemu.emu.symbols.codeview_types import Types, TypeStream
from stackemu.emu.symbols.cursor import Cursor, FormatError
from stackemu.emu.symbols.structure import Member, Structure

MAX_STRUCTURES = 20_000
MAX_MEMBERS = 2_000
MAX_CONTINUATIONS = 64
"""Field lists that one structure is spread over."""
MAX_SIZE = 0x100000
"""Bytes of the largest structure that is kept."""

_LF_FIELDLIST = 0x1203
_LF_CLASS, _LF_STRUCTURE, _LF_UNION = 0x1504, 0x1505, 0x1506
_LF_MEMBER, _LF_STATIC_MEMBER, _LF_NESTED_TYPE = 0x150D, 0x150E, 0x1510
_LF_BASE_CLASS, _LF_METHOD, _LF_ONE_METHOD = 0x1400, 0x150F, 0x1511
_LF_VTABLE_POINTER, _LF_INDEX = 0x1409, 0x1404
_INTRODUCING_VIRTUAL = (4, 6)
_FORWARD_REFERENCE = 0x80
_FIRST_PADDING = 0xF0
"""LF_PAD0: bytes above it fill a member up to four bytes; the low half is how many there are."""
_NUMBERS = {0x8000: (1, True), 0x8001: (2, True), 0x8002: (2, False), 0x8003: (4, True), 0x8004: (4, False),
            0x8009: (8, True), 0x800A: (8, False)}  # fmt: skip


def read_structures(stream: TypeStream, types: Types) -> dict[str, Structure]:
    """Return the defined structures and unions of a TPI stream by their tags; the first of one name counts.

    A record that does not fit is left out: what is missing is as if the type were not known.
    """
    found: dict[str, Structure] = {}
    for index in range(stream.first, stream.first + len(stream)):
        if len(found) >= MAX_STRUCTURES:
            break
        try:
            structure = _structure(stream, types, index)
        except FormatError:
            continue
        if structure is not None:
            found.setdefault(structure.name, structure)
    return found


def _structure(stream: TypeStream, types: Types, index: int) -> Structure | None:
    """Return the structure that a record defines, None for other records and forward references."""
    record = stream.record(index)
    if record is None or record[0] not in (_LF_CLASS, _LF_STRUCTURE, _LF_UNION):
        return None
    kind, fields = record
    fields.skip(2)  # the number of members, which the list itself tells
    properties, members = fields.u16(), fields.u32()
    if properties & _FORWARD_REFERENCE:
        return None
    if kind != _LF_UNION:
        fields.skip(8)  # base classes, the virtual table's shape
    size = _number(fields)
    name = fields.cstring()
    if not name or size > MAX_SIZE:
        return None
    return Structure(name, size, tuple(_members(stream, types, members)))


def _members(stream: TypeStream, types: Types, index: int) -> Iterator[Member]:
    """Yield the data members of a field list and of those that continue it."""
    count = 0
    for _ in range(MAX_CONTINUATIONS):
        record = stream.record(index)
        if record is None or record[0] != _LF_FIELDLIST:
            return
        fields, index = record[1], 0
        while fields and count < MAX_MEMBERS:
            count += 1
            leaf = fields.u16()
            if leaf == _LF_MEMBER:
                fields.skip(2)
                kind = fields.u32()
                offset = _number(fields)
                yield Member(fields.cstring(), types.type_name(kind), offset)
            elif leaf == _LF_INDEX:
                fields.skip(2)
                index = fields.u32()
            elif not _passed_over(leaf, fields):
                return
            _skip_padding(fields)


def _passed_over(leaf: int, fields: Cursor) -> bool:
    """Pass over a member that holds no data; False for a kind that is not known, whose end nobody can tell."""
    if leaf in (_LF_STATIC_MEMBER, _LF_NESTED_TYPE, _LF_METHOD):
        fields.skip(6)
        fields.cstring()
    elif leaf == _LF_ONE_METHOD:
        attributes = fields.u16()
        fields.skip(4 + (4 if attributes >> 2 & 7 in _INTRODUCING_VIRTUAL else 0))
        fields.cstring()
    elif leaf == _LF_BASE_CLASS:
        fields.skip(6)
        _number(fields)
    elif leaf == _LF_VTABLE_POINTER:
        fields.skip(6)
    else:
        return False
    return True


def _skip_padding(fields: Cursor) -> None:
    while fields:
        byte = fields.peek()
        if byte < _FIRST_PADDING:
            return
        fields.skip(max(1, byte & 0x0F))


def _number(fields: Cursor) -> int:
    """Return a numeric leaf: a value below 0x8000, or a kind and the value."""
    leaf = fields.u16()
    if leaf < 0x8000:
        return leaf
    if leaf not in _NUMBERS:
        raise fields.error(f"expected a numeric leaf, got {leaf:#x}")
    size, signed = _NUMBERS[leaf]
    return int.from_bytes(fields.bytes(size), "little", signed=signed)
