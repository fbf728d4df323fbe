"""The DBI stream of a PDB: its modules, the streams that it names, and where a segment lies."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from stackemu.emu.symbols.cursor import Cursor

NO_STREAM = 0xFFFF
MAX_MODULES = 0xFFFF
MAX_SECTIONS = 96
"""The image loader's own limit."""

_SECTION_HEADER_SIZE = 40
_MEM_EXECUTE = 0x20000000

# Positions in the optional debug header, an array of 16-bit stream numbers.
_FPO, _OMAP_FROM_SOURCE, _SECTION_HEADERS, _NEW_FPO, _ORIGINAL_SECTION_HEADERS = 0, 4, 5, 9, 10


@dataclass(frozen=True, slots=True)
class Module:
    """One object file: the stream with its symbols (NO_STREAM: none) and the bytes of them in it."""

    name: str
    stream: int
    symbol_bytes: int


@dataclass(frozen=True, slots=True)
class DebugInfo:
    """What the DBI stream says; stream numbers are NO_STREAM where there is none."""

    age: int
    symbol_records: int
    modules: tuple[Module, ...]
    fpo: int
    new_fpo: int
    section_headers: int
    original_section_headers: int
    omap_from_source: int


def read_dbi(data: bytes) -> DebugInfo:
    """Read a DBI stream. Raises `FormatError`."""
    header = Cursor(data, "DBI stream")
    signature = header.s32()
    if signature != -1:
        raise header.error(f"expected signature -1, got {signature}: a PDB older than Visual C++ 4.1")
    header.skip(4)
    age = header.u32()
    header.skip(8)  # global symbols, build number, public symbols, version of mspdb
    symbol_records = header.u16()
    header.skip(2)
    sizes = [header.u32() for _ in range(5)]  # modules, contributions, section map, sources, type servers
    header.skip(4)
    debug_header_size, edit_size = header.u32(), header.u32()
    header.skip(8)  # flags, machine, padding
    modules = _read_modules(header.sub(sizes[0], "DBI module list"))
    header.skip(sum(sizes[1:]) + edit_size)
    streams = header.sub(min(debug_header_size, header.remaining), "DBI debug header")
    numbers = [streams.u16() for _ in range(min(streams.remaining // 2, 11))]
    numbers += [NO_STREAM] * (11 - len(numbers))
    return DebugInfo(
        age=age,
        symbol_records=symbol_records,
        modules=modules,
        fpo=numbers[_FPO],
        new_fpo=numbers[_NEW_FPO],
        section_headers=numbers[_SECTION_HEADERS],
        original_section_headers=numbers[_ORIGINAL_SECTION_HEADERS],
        omap_from_source=numbers[_OMAP_FROM_SOURCE],
    )


def _read_modules(cursor: Cursor) -> tuple[Module, ...]:
    modules: list[Module] = []
    while cursor:
        if len(modules) >= MAX_MODULES:
            raise cursor.error(f"expected at most {MAX_MODULES} modules, got more")
        cursor.skip(34)  # reserved, its first section contribution, flags
        stream, symbol_bytes = cursor.u16(), cursor.u32()
        cursor.skip(24)  # sizes of line information, numbers of files, names
        name = cursor.cstring()
        cursor.cstring()  # the library
        cursor.align(4)
        modules.append(Module(name, stream, symbol_bytes))
    return tuple(modules)


class SegmentMap:
    """Turns a symbol's segment and offset into an RVA of the image.

    Post-link tools of Microsoft (BBT) move code about: then the symbols refer to the original
    sections, and the OMAP table tells where each run of them went.
    """

    def __init__(self, headers: bytes, omap: bytes | None = None) -> None:
        """`headers` are the (original) section headers, `omap` the table "from source".

        Raises `FormatError`.
        """
        self._sections = _read_sections(headers)
        self._omap = _read_omap(omap) if omap is not None else []
        self._omap_keys = [source for source, _ in self._omap]

    @property
    def moved(self) -> bool:
        """Return whether an OMAP table is at work: extents are then no longer one piece."""
        return bool(self._omap)

    def rva(self, segment: int, offset: int) -> int | None:
        """Return the RVA, None where there is no such place (or it was moved out of the image)."""
        if not 1 <= segment <= len(self._sections):
            return None
        start, size, _ = self._sections[segment - 1]
        if offset >= size:
            return None
        return self._moved_to(start + offset)

    def is_executable(self, segment: int) -> bool:
        """Return whether segment `segment` (1-based) holds code."""
        return 1 <= segment <= len(self._sections) and self._sections[segment - 1][2]

    def _moved_to(self, rva: int) -> int | None:
        if not self._omap:
            return rva
        index = bisect_right(self._omap_keys, rva) - 1
        if index < 0:
            return None
        source, target = self._omap[index]
        return target + (rva - source) if target else None


def _read_sections(headers: bytes) -> list[tuple[int, int, bool]]:
    """Return RVA, size in bytes and executability of each section."""
    cursor = Cursor(headers, "PDB section headers")
    sections: list[tuple[int, int, bool]] = []
    while cursor.remaining >= _SECTION_HEADER_SIZE:
        if len(sections) >= MAX_SECTIONS:
            raise cursor.error(f"expected at most {MAX_SECTIONS} sections, got more")
        cursor.skip(8)
        virtual_size, rva, raw_size = cursor.u32(), cursor.u32(), cursor.u32()
        cursor.skip(16)
        characteristics = cursor.u32()
        sections.append((rva, max(virtual_size, raw_size), bool(characteristics & _MEM_EXECUTE)))
    return sections


def _read_omap(data: bytes) -> list[tuple[int, int]]:
    """Return the (source RVA, target RVA) pairs in ascending order; target 0 means removed."""
    cursor = Cursor(data, "OMAP stream")
    return sorted((cursor.u32(), cursor.u32()) for _ in range(len(data) // 8))
