"""CodeView symbol and type records built in memory, well and badly formed."""

from __future__ import annotations

import struct

import pytest

from stackemu.emu.symbols.codeview import MAX_NESTING, ModuleSymbols, Public, read_module, read_publics
from stackemu.emu.symbols.codeview_types import Types, TypeStream
from stackemu.emu.symbols.cursor import Cursor, FormatError
from stackemu.emu.symbols.function import FrameRecord

END = struct.pack("<HH", 2, 0x0006)


def record(kind: int, body: bytes) -> bytes:
    body += b"\0" * (-(len(body) + 4) % 4)
    return struct.pack("<HH", len(body) + 2, kind) + body


def procedure(name: bytes, offset: int, size: int, kind: int = 0x1110, type_index: int = 0) -> bytes:
    return record(kind, struct.pack("<7IIHB", 0, 0, 0, size, 0, 0, type_index, offset, 1, 0) + name + b"\0")


def module(*records: bytes) -> ModuleSymbols:
    return read_module(Cursor(b"".join(records), "test"))


def frame(size: int, saved: int, flags: int) -> bytes:
    return record(0x1012, struct.pack("<5IHI", size, 0, 0, saved, 0, 0, flags))


def test_procedures_with_their_frames() -> None:
    found = module(
        procedure(b"Outer", 0x10, 0x40),
        frame(96, 8, 0x41),
        END,
        procedure(b"Local", 0x50, 8, kind=0x110F),
        END,
    ).procedures
    assert [(p.name, p.segment, p.offset, p.size) for p in found] == [("Outer", 1, 16, 64), ("Local", 1, 80, 8)]
    assert found[0].frame == FrameRecord("S_FRAMEPROC", 96, 8, uses_alloca=True, uses_seh=True)
    assert found[1].frame is None


def test_thunks_labels_and_blocks() -> None:
    thunk = record(0x1102, struct.pack("<4IHHB", 0, 0, 0, 0x80, 1, 6, 0) + b"Import\0")
    label = record(0x1105, struct.pack("<IHB", 0x20, 1, 0) + b"$again\0")
    block = record(0x1103, struct.pack("<5IHB", 0, 0, 0, 0, 0, 1, 0))
    found = module(label, procedure(b"f", 0x10, 0x40), block, label, frame(4, 0, 0), END, END, thunk, END)
    assert [label.inside for label in found.labels] == [False, True]
    assert [(p.name, p.offset, p.size) for p in found.procedures] == [("f", 16, 64), ("Import", 128, 6)]
    assert found.procedures[0].frame is not None, "a frame record inside a block belongs to the procedure"


def test_parameter_names_from_the_procedures_own_scope() -> None:
    def local(name: bytes, flags: int) -> bytes:
        return record(0x113E, struct.pack("<IH", 0x74, flags) + name + b"\0")

    inline = record(0x114D, struct.pack("<3I", 0, 0, 0))
    found = module(procedure(b"f", 0, 8), local(b"a", 1), local(b"x", 0), inline, local(b"b", 1), END, END)
    assert found.procedures[0].parameters == ["a"]

    def bprel(name: bytes, offset: int) -> bytes:
        return record(0x110B, struct.pack("<iI", offset, 0x74) + name + b"\0")

    found = module(procedure(b"g", 0, 8), bprel(b"second", 12), bprel(b"first", 8), bprel(b"local", -4), END)
    assert found.procedures[0].parameters == ["first", "second"]


def test_publics_with_their_flags() -> None:
    data = record(0x110E, struct.pack("<IIH", 2, 0x30, 1) + b"_f@4\0")
    data += record(0x1108, b"\0" * 8) + record(0x110E, struct.pack("<IIH", 0, 4, 2) + b"_data\0")
    assert list(read_publics(Cursor(data, "test"))) == [
        Public("_f@4", 1, 0x30, is_code=False, is_function=True),
        Public("_data", 2, 4, is_code=False, is_function=False),
    ]


@pytest.mark.parametrize(
    "data",
    [
        END,
        b"\xff\xff\x10\x11",
        b"\x01\0\0\0",
        record(0x1110, b"\0" * 8),
        record(0x1110, struct.pack("<7IIHB", 0, 0, 0, 1, 0, 0, 0, 0, 1, 0) + b"x"),
        procedure(b"f", 0, 1) + record(0x1012, b"\0" * 4),
        procedure(b"f", 0, 1) * (MAX_NESTING + 1),
    ],
)
def test_malformed_symbols_raise_format_errors(data: bytes) -> None:
    with pytest.raises(FormatError):
        read_module(Cursor(data, "test"))


# Type records: indices count up from 0x1000.


def stream(*records: bytes, first: int = 0x1000, count: int | None = None) -> TypeStream:
    body = b"".join(records)
    last = first + (len(records) if count is None else count)
    header = struct.pack("<5I", 20040203, 56, first, last, len(body))
    return TypeStream(header.ljust(56, b"\0") + body, "TPI")


def pointer(to: int, attributes: int = 0xA) -> bytes:
    return record(0x1002, struct.pack("<II", to, attributes))


def arguments(*types: int) -> bytes:
    return record(0x1201, struct.pack(f"<I{len(types)}I", len(types), *types))


def function(returns: int, convention: int, count: int, types: int) -> bytes:
    return record(0x1008, struct.pack("<IBBHI", returns, convention, 0, count, types))


STRUCTURE = record(0x1505, struct.pack("<HHIIIH", 0, 0x80, 0, 0, 0, 0) + b"_IRP\0")
ENUM = record(0x1507, struct.pack("<HHII", 2, 0, 0x74, 0) + b"Colour\0")


def test_a_prototype_with_and_without_names() -> None:
    parameters = arguments(0x1001, 0x1002, 0x0403)
    types = Types(stream(STRUCTURE, pointer(0x1000), ENUM, parameters, function(0x12, 7, 3, 0x1003)))
    prototype = types.prototype(0x1004)
    assert prototype is not None
    assert (prototype.returns, prototype.convention, str(prototype)) == ("long", "stdcall", "(_IRP*, Colour, void*)")
    named = types.prototype(0x1004, names=("Irp", "c", "Context"))
    assert str(named) == "(_IRP* Irp, Colour c, void* Context)"
    assert str(types.prototype(0x1004, names=("Irp",))) == "(_IRP*, Colour, void*)", "too few names: none"
    assert types.prototype(0x1000) is None
    assert types.prototype(0x74) is None
    assert types.prototype(0x9999) is None


def test_declarators_are_written_as_c_has_them() -> None:
    types = Types(
        stream(
            record(0x1001, struct.pack("<IH", 0x70, 1)),  # 1000 const char
            pointer(0x1000),  # 1001
            arguments(0x74, 0x1001),  # 1002
            function(0x22, 0, 2, 0x1002),  # 1003
            pointer(0x1003),  # 1004
            pointer(0x1004),  # 1005
            record(0x1503, struct.pack("<IIH", 0x74, 0x22, 40) + b"\0"),  # 1006 int[]
            pointer(0x1006),  # 1007
            pointer(0x74, 0x2A),  # 1008 a reference
            record(0x1001, struct.pack("<IH", 0x1001, 2)),  # 1009 a volatile pointer
            arguments(0x74, 0),  # 100A
            function(0x03, 0, 2, 0x100A),  # 100B
            record(0x1506, struct.pack("<HHIHI", 0, 0, 0, 0x8004, 70000) + b"_U\0"),  # 100C a big union
        )
    )
    names = [types.type_name(index) for index in range(0x1001, 0x100D)]
    assert names[0] == "const char*"
    assert names[3] == "unsigned long (*)(int, const char*)"
    assert names[4] == "unsigned long (**)(int, const char*)"
    assert names[6] == "int (*)[]"
    assert names[7] == "int&"
    assert names[8] == "const char* volatile"
    assert names[11] == "_U"
    prototype = types.prototype(0x100B)
    assert prototype is not None
    assert (str(prototype), prototype.variadic) == ("(int, ...)", True)


def test_member_functions_begin_with_this_and_ids_lead_to_types() -> None:
    member = record(0x1009, struct.pack("<IIIBBHIi", 0x03, 0x1000, 0x1001, 0x0B, 0, 0, 0x1002, 0))
    tpi = stream(STRUCTURE, pointer(0x1000), arguments(), member)
    ipi = stream(record(0x1602, struct.pack("<II", 0x1000, 0x1003) + b"f\0"))
    prototype = Types(tpi, ipi).prototype(0x1000, is_id=True)
    assert prototype is not None
    assert (prototype.convention, str(prototype)) == ("thiscall", "(_IRP* this)")
    assert Types(tpi).prototype(0x1000, is_id=True) is None


def test_cycles_and_wide_graphs_end() -> None:
    assert "?" in Types(stream(pointer(0x1000))).type_name(0x1000)
    assert "?" in Types(stream(record(0x1001, struct.pack("<IH", 0x1000, 1)))).type_name(0x1000)
    wide = stream(arguments(*[0x1002] * 250), function(0x74, 0, 250, 0x1000), pointer(0x1001))
    assert len(Types(wide).type_name(0x1002)) < 100_000


@pytest.mark.parametrize(
    "records",
    [
        (arguments(*[0x74] * 256), function(0x74, 0, 1, 0x1000)),
        (record(0x1201, struct.pack("<I", 9)), function(0x74, 0, 9, 0x1000)),
        (record(0x1505, b""), function(0x1000, 0, 0, 0)),
        (record(0x1506, struct.pack("<HHIH", 0, 0, 0, 0x80FF)), function(0x1000, 0, 0, 0)),
        (record(0x1002, b""), function(0x1000, 0, 0, 0)),
    ],
)
def test_malformed_types_raise_format_errors(records: tuple[bytes, ...]) -> None:
    with pytest.raises(FormatError):
        Types(stream(*records)).prototype(0x1001)


def test_malformed_type_streams_raise_format_errors() -> None:
    with pytest.raises(FormatError, match="expected 5 type records, got 1"):
        stream(ENUM, count=5)
    with pytest.raises(FormatError, match="at least 2 bytes, got 0"):
        stream(b"\0\0\0\0")
    for data in (b"", struct.pack("<5I", 1, 56, 0, 0, 0), struct.pack("<5I", 20040203, 56, 0, 0, 4)):
        with pytest.raises(FormatError):
            TypeStream(data, "TPI")
