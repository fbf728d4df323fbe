"""The COFF symbol table in an image file, as GNU ld leaves it in mingw drivers."""

from __future__ import annotations

from stackemu.emu.image import Image
from stackemu.emu.symbols.cursor import Cursor, FormatError, printable
from stackemu.emu.symbols.function import Function, Source
from stackemu.emu.symbols.names import undecorate

MAX_NAME = 1024

_PE_OFFSET = 0x3C
_TABLE_IN_HEADER = 12
"""PointerToSymbolTable's offset in the PE header; NumberOfSymbols follows."""
_SYMBOL_SIZE = 18
_FUNCTION_TYPE = 0x20
_EXTERNAL, _STATIC = 2, 3


def read_coff(image: Image, file: bytes) -> tuple[Function, ...]:
    """Return the functions in the symbol table of `file`, the bytes that `image` was loaded from.

    Symbols of function type in executable sections, external ones before static ones of the same
    address. No table gives (). Raises `FormatError` for a table that does not fit into the file.
    """
    header = Cursor(image.headers, "PE header")
    header.skip(_PE_OFFSET)
    place = header.u32()
    header = Cursor(image.headers, "PE header", min(place, len(image.headers)))
    header.skip(_TABLE_IN_HEADER)
    start, count = header.u32(), header.u32()
    if start == 0 or count == 0:
        return ()
    if start > len(file):
        raise FormatError("COFF symbol table", start, f"it lies past the file's {len(file)} bytes")
    table = Cursor(file, "COFF symbol table", start).sub(count * _SYMBOL_SIZE)
    strings = start + count * _SYMBOL_SIZE
    external: dict[int, Function] = {}
    static: dict[int, Function] = {}
    while table:
        raw_name = table.bytes(8)
        value, section_number, kind = table.u32(), table.u16(), table.u16()
        storage, auxiliary = table.u8(), table.u8()
        table.skip(min(auxiliary * _SYMBOL_SIZE, table.remaining))
        if kind != _FUNCTION_TYPE or storage not in (_EXTERNAL, _STATIC):
            continue
        if not 1 <= section_number <= len(image.sections):
            continue  # undefined, absolute or debug symbols
        section = image.sections[section_number - 1]
        if not section.executable or value >= len(section.data):
            continue
        name = _name(raw_name, file, strings)
        rva = section.rva + value
        functions = external if storage == _EXTERNAL else static
        functions.setdefault(rva, Function(rva, undecorate(name), Source.COFF, decorated=name))
    found = {**static, **external}
    return tuple(found[rva] for rva in sorted(found))


def _name(raw: bytes, file: bytes, strings: int) -> str:
    """Return a symbol's name: in place, or (four zeros first) at an offset into the string table."""
    if raw[:4] != b"\0\0\0\0":
        return printable(raw.rstrip(b"\0"))
    place = strings + int.from_bytes(raw[4:], "little")
    if place > len(file):
        raise FormatError("COFF string table", place, f"a name lies past the file's {len(file)} bytes")
    return Cursor(file, "COFF string table", place).cstring(MAX_NAME)
