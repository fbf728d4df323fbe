"""CodeView type records (TPI and IPI streams), as far as a procedure's prototype needs them.

Layouts follow microsoft-pdb's cvinfo.h and LLVM's TypeRecord.h. Type graphs of hostile files are
cyclic, deep and wide, so rendering is limited in depth and in the records that one prototype visits;
what lies beyond a limit, and what this module does not know, is printed as `?`.
"""

from __future__ import annotations

from dataclasses import replace

from stackemu.emu.symbols.cursor import Cursor, FormatError
from stackemu.emu.symbols.function import Parameter, Prototype

MAX_DEPTH = 16
"""Types inside one another (pointers to functions taking pointers…) in one rendered name."""
MAX_VISITS = 1000
"""Type records read for one prototype."""
MAX_PARAMETERS = 255
"""Parameters of one prototype; a longer list is a corrupt record."""
MAX_NAME = 4096
"""Characters of one rendered type."""

VERSION = 20040203
"""Of both streams' headers, since Visual C++ 7; older ones number and name types otherwise."""

UNKNOWN = "?"

_FIRST_RECORD_LIMIT = 0x1000
"""Indices below it are primitive types in every PDB."""

_LF_MODIFIER, _LF_POINTER, _LF_PROCEDURE, _LF_MFUNCTION = 0x1001, 0x1002, 0x1008, 0x1009
_LF_ARGLIST, _LF_BITFIELD, _LF_ARRAY = 0x1201, 0x1205, 0x1503
_LF_CLASS, _LF_STRUCTURE, _LF_UNION, _LF_ENUM, _LF_INTERFACE = 0x1504, 0x1505, 0x1506, 0x1507, 0x1519
_LF_FUNC_ID, _LF_MFUNC_ID = 0x1601, 0x1602

_NUMERIC_SIZES = {0x8000: 1, 0x8001: 2, 0x8002: 2, 0x8003: 4, 0x8004: 4, 0x8009: 8, 0x800A: 8}
"""Bytes after the numeric leaves LF_CHAR, SHORT, USHORT, LONG, ULONG, QUADWORD, UQUADWORD."""

_CONVENTIONS = {
    0x00: "cdecl", 0x01: "cdecl", 0x04: "fastcall", 0x05: "fastcall",
    0x07: "stdcall", 0x08: "stdcall", 0x0B: "thiscall",
}  # fmt: skip

_PRIMITIVES = {
    0x03: "void", 0x08: "HRESULT", 0x10: "signed char", 0x20: "unsigned char", 0x70: "char",
    0x71: "wchar_t", 0x7A: "char16_t", 0x7B: "char32_t", 0x7C: "char8_t", 0x68: "int8_t", 0x69: "uint8_t",
    0x11: "short", 0x21: "unsigned short", 0x72: "short", 0x73: "unsigned short",
    0x12: "long", 0x22: "unsigned long", 0x74: "int", 0x75: "unsigned int",
    0x13: "__int64", 0x23: "unsigned __int64", 0x76: "__int64", 0x77: "unsigned __int64",
    0x14: "__int128", 0x24: "unsigned __int128", 0x78: "__int128", 0x79: "unsigned __int128",
    0x30: "bool", 0x31: "bool16", 0x32: "bool32", 0x33: "bool64",
    0x40: "float", 0x41: "double", 0x42: "long double", 0x46: "half",
}  # fmt: skip
_NULLPTR = 0x0103
"""The one index with a pointer mode that is a type of its own: std::nullptr_t."""


class TypeStream:
    """The records of a TPI or IPI stream, found by index and read when they are asked for."""

    def __init__(self, data: bytes, name: str) -> None:
        """`name` ('TPI', 'IPI') stands in errors; raises `FormatError` for a stream that is cut short."""
        self._data = data
        self._name = name
        header = Cursor(data, f"{name} stream")
        version = header.u32()
        if version != VERSION:
            raise header.error(f"expected version {VERSION}, got {version}")
        header_size = header.u32()
        self.first, end, size = header.u32(), header.u32(), header.u32()
        body = Cursor(data, f"{name} stream", min(header_size, len(data))).sub(size)
        self._offsets: list[int] = []
        while body:
            self._offsets.append(body.position)
            length = body.u16()
            if length < 2:
                raise body.error(f"expected a type record of at least 2 bytes, got {length}")
            body.skip(length)
        if end - self.first != len(self._offsets):
            raise header.error(f"expected {end - self.first} type records, got {len(self._offsets)}")

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self._offsets)

    def record(self, index: int) -> tuple[int, Cursor] | None:
        """Return the leaf kind of a type index and a cursor over its fields; None if there is none."""
        position = index - self.first
        if not 0 <= position < len(self._offsets):
            return None
        cursor = Cursor(self._data, f"{self._name} record {index:#x}", self._offsets[position])
        fields = cursor.sub(cursor.u16())
        return fields.u16(), fields


class Types:
    """Prototypes of procedures, from the TPI stream and (where there is one) the IPI stream."""

    def __init__(self, tpi: TypeStream, ipi: TypeStream | None = None) -> None:
        """Keep the streams; nothing is read yet."""
        self._tpi = tpi
        self._ipi = ipi
        self._prototypes: dict[int, Prototype | None] = {}
        self._visits = 0

    def prototype(self, index: int, is_id: bool = False, names: tuple[str, ...] = ()) -> Prototype | None:
        """Return the prototype of type `index` (an IPI index when `is_id`), None if it is no procedure's.

        `names` are used where there are as many of them as parameters. A member function's `this`
        is its first parameter. Raises `FormatError` for records that do not fit.
        """
        if is_id:
            index = self._procedure_of_id(index)
        if index not in self._prototypes:
            self._visits = 0
            self._prototypes[index] = self._read_prototype(index)
        prototype = self._prototypes[index]
        if prototype is None or len(names) != len(prototype.parameters):
            return prototype
        named = zip(names, prototype.parameters, strict=True)
        return replace(prototype, parameters=tuple(Parameter(name, known.type) for name, known in named))

    def type_name(self, index: int) -> str:
        """Return a type as C writes it, such as `_IRP*` or `unsigned long (*)(int, char)`."""
        self._visits = 0
        return self._render(index, "", 0)

    def _procedure_of_id(self, index: int) -> int:
        """Return the TPI index in an LF_FUNC_ID or LF_MFUNC_ID, 0 (no type) where it is neither."""
        found = self._ipi.record(index) if self._ipi else None
        if found is None or found[0] not in (_LF_FUNC_ID, _LF_MFUNC_ID):
            return 0
        found[1].skip(4)  # the scope, or the class
        return found[1].u32()

    def _read_prototype(self, index: int) -> Prototype | None:
        found = self._tpi.record(index)
        if found is None or found[0] not in (_LF_PROCEDURE, _LF_MFUNCTION):
            return None
        kind, fields = found
        returns = self._render(fields.u32(), "", 1)
        this = 0
        if kind == _LF_MFUNCTION:
            fields.skip(4)  # the class, which `this` points to
            this = fields.u32()
        convention = _CONVENTIONS.get(fields.u8(), "")
        fields.skip(3)  # attributes; the number of parameters, which the list has too
        types, variadic = self._arguments(fields.u32(), 1)
        parameters = [Parameter("", name) for name in types]
        if this:
            parameters.insert(0, Parameter("this", self._render(this, "", 1)))
        return Prototype(returns, convention, tuple(parameters), variadic)

    def _arguments(self, index: int, depth: int) -> tuple[list[str], bool]:
        """Return the rendered types of an LF_ARGLIST, and whether it ends in `...` (the type 0)."""
        found = self._tpi.record(index)
        if found is None or found[0] != _LF_ARGLIST:
            return [], False
        fields = found[1]
        count = fields.u32()
        if count > MAX_PARAMETERS:
            raise fields.error(f"expected at most {MAX_PARAMETERS} parameters, got {count}")
        indices = [fields.u32() for _ in range(count)]
        variadic = bool(indices) and indices[-1] == 0
        if variadic:
            indices.pop()
        return [self._render(argument, "", depth + 1) for argument in indices], variadic

    def _render(self, index: int, declarator: str, depth: int) -> str:
        """Return type `index` around `declarator`: the part of a C declaration that is already known."""
        if index < _FIRST_RECORD_LIMIT:
            return _primitive(index) + declarator
        self._visits += 1
        if depth > MAX_DEPTH or self._visits > MAX_VISITS or len(declarator) > MAX_NAME:
            return UNKNOWN
        found = self._tpi.record(index)
        if found is None:
            return UNKNOWN + declarator
        kind, fields = found
        if kind == _LF_POINTER:
            return self._pointer(fields, declarator, depth)
        if kind == _LF_MODIFIER:
            return self._modified(fields, declarator, depth)
        if kind in (_LF_PROCEDURE, _LF_MFUNCTION):
            return self._function(kind, fields, declarator, depth)
        if kind == _LF_ARRAY:
            return self._render(fields.u32(), _grouped(declarator) + "[]", depth + 1)
        if kind == _LF_BITFIELD:
            return self._render(fields.u32(), declarator, depth + 1)
        return (_tag_name(kind, fields) or UNKNOWN) + declarator

    def _pointer(self, fields: Cursor, declarator: str, depth: int) -> str:
        referent, attributes = fields.u32(), fields.u32()
        mark = {1: "&", 4: "&&"}.get(attributes >> 5 & 7, "*")
        qualifiers = (" volatile" if attributes & 0x200 else "") + (" const" if attributes & 0x400 else "")
        return self._render(referent, mark + qualifiers + declarator, depth + 1)

    def _modified(self, fields: Cursor, declarator: str, depth: int) -> str:
        referent, bits = fields.u32(), fields.u16()
        words = [word for bit, word in ((1, "const"), (2, "volatile"), (4, "__unaligned")) if bits & bit]
        found = self._tpi.record(referent)
        if referent >= _FIRST_RECORD_LIMIT and found is not None and found[0] == _LF_POINTER:
            return self._render(referent, " " + " ".join(words) + declarator, depth + 1)
        return " ".join([*words, self._render(referent, declarator, depth + 1)])

    def _function(self, kind: int, fields: Cursor, declarator: str, depth: int) -> str:
        returns = fields.u32()
        fields.skip(12 if kind == _LF_MFUNCTION else 4)
        types, variadic = self._arguments(fields.u32(), depth)
        inside = ", ".join([*types, *(["..."] if variadic else [])]) or "void"
        return self._render(returns, f"{_grouped(declarator)}({inside})", depth + 1)[:MAX_NAME]


def _grouped(declarator: str) -> str:
    """Return the declarator in the parentheses that a pointer to a function or an array needs."""
    return f" ({declarator})" if declarator.startswith(("*", "&")) else declarator


def _primitive(index: int) -> str:
    """Return the name of a primitive type: its low byte is the type, bits 8 to 10 a pointer's size."""
    if index == _NULLPTR:
        return "std::nullptr_t"
    name = _PRIMITIVES.get(index & 0xFF, UNKNOWN)
    return f"{name}*" if index & 0x700 else name


def _tag_name(kind: int, fields: Cursor) -> str:
    """Return the name of a structure, class, union or enumeration, '' for any other record."""
    if kind in (_LF_CLASS, _LF_STRUCTURE, _LF_INTERFACE):
        fields.skip(16)  # count, properties, field list, base list, shape of the virtual table
        _skip_number(fields)
    elif kind == _LF_UNION:
        fields.skip(8)
        _skip_number(fields)
    elif kind == _LF_ENUM:
        fields.skip(12)
    else:
        return ""
    return fields.cstring()


def _skip_number(fields: Cursor) -> None:
    """Pass over a numeric leaf: a value below 0x8000, or a kind and the value."""
    leaf = fields.u16()
    if leaf < 0x8000:
        return
    if leaf not in _NUMERIC_SIZES:
        raise FormatError("CodeView numeric leaf", fields.position, f"expected a known kind, got {leaf:#x}")
    fields.skip(_NUMERIC_SIZES[leaf])
