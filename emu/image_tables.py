"""The tables of a mapped 32-bit image: relocations, load configuration, debug id.

Read strictly, through bounded cursors: a pointer that was skipped and not relocated would make the
emulation wrong without a word. All functions raise `FormatError` for a table that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stackemu.emu.image import DebugId
from stackemu.emu.symbols.cursor import Cursor, FormatError

MAX_DEBUG_ENTRIES = 64

_RELOCATION_ABSOLUTE, _RELOCATION_HIGHLOW = 0, 3
_DEBUG_ENTRY_SIZE = 28
_DEBUG_CODEVIEW = 2
_COOKIE_OFFSET = 0x3C
"""Of SecurityCookie in IMAGE_LOAD_CONFIG_DIRECTORY32; the fields below follow it."""


class Directory(NamedTuple):
    """A data directory: RVA and size in bytes."""

    rva: int
    size: int

    def __bool__(self) -> bool:
        """Return whether the image has it."""
        return bool(self.rva and self.size)


def relocate(
    memory: bytearray, directory: Directory, spans: Sequence[tuple[int, int]], delta: int
) -> tuple[int, ...]:
    """Add `delta` to every relocated word of the mapped image, and return the RVAs of those words.

    `spans` are the sections' RVAs (begin, end) in ascending order; a word has to lie inside one.
    """
    if not directory:
        return ()
    table = Cursor(bytes(memory), "base relocations", min(directory.rva, len(memory))).sub(directory.size)
    rvas = sorted(_relocation_rvas(table))
    previous = -4
    span = 0
    for rva in rvas:
        while span < len(spans) and rva >= spans[span][1]:
            span += 1
        if span == len(spans) or not spans[span][0] <= rva <= spans[span][1] - 4:
            raise FormatError("base relocations", None, f"the word at {rva:#x} lies outside every section")
        if rva < previous + 4:
            raise FormatError("base relocations", None, f"the words at {previous:#x} and {rva:#x} overlap")
        word = int.from_bytes(memory[rva : rva + 4], "little")
        memory[rva : rva + 4] = ((word + delta) & 0xFFFFFFFF).to_bytes(4, "little")
        previous = rva
    return tuple(rvas)


def _relocation_rvas(table: Cursor) -> Iterator[int]:
    """Yield the RVAs that the blocks of a base relocation table name."""
    while table.remaining >= 8:
        page, block_size = table.u32(), table.u32()
        if page == 0 and block_size == 0:
            return  # padding up to the directory's size
        if block_size < 8:
            raise table.error(f"expected a block of at least 8 bytes, got {block_size}")
        entries = table.sub(block_size - 8, "relocation block")
        while entries.remaining >= 2:
            entry = entries.u16()
            if entry >> 12 == _RELOCATION_HIGHLOW:
                yield page + (entry & 0xFFF)
            elif entry >> 12 != _RELOCATION_ABSOLUTE:
                raise entries.error(f"expected relocation type 3 (HIGHLOW) or 0, got {entry >> 12}")


def read_load_configuration(mapped: bytes, directory: Directory, base: int) -> tuple[tuple[int, ...], int | None]:
    """Return the RVAs in the SafeSEH and guard CF tables, and the security cookie's RVA.

    `mapped` is the image as relocated to `base`.
    """
    if not directory:
        return (), None
    config = Cursor(mapped, "load configuration", min(directory.rva, len(mapped)))
    # The structure's own size: linkers before 2015 write 64 into the directory, whatever it is.
    fields = Cursor(mapped, "load configuration", config.position).sub(config.u32())
    fields.skip(min(_COOKIE_OFFSET, fields.remaining))
    words = [fields.u32() for _ in range(min(fields.remaining // 4, 8))]
    words += [0] * (8 - len(words))
    cookie, handlers, handler_count, _, _, functions, function_count, flags = words
    stride = 4 + (flags >> 28)  # GuardFlags: extra bytes after each RVA
    rvas = _rva_table(mapped, "SafeSEH table", handlers - base, handler_count, 4)
    rvas |= _rva_table(mapped, "guard CF table", functions - base, function_count, stride)
    return tuple(sorted(rvas)), cookie - base if base < cookie < base + len(mapped) else None


def _rva_table(mapped: bytes, name: str, start: int, count: int, stride: int) -> set[int]:
    """Return the RVAs of a table of `count` entries of `stride` bytes."""
    if count == 0:
        return set()
    if not 0 <= start < len(mapped):
        raise FormatError(name, None, f"RVA {start:#x} lies outside the image")
    table = Cursor(mapped, name, start).sub(count * stride)
    rvas: set[int] = set()
    for _ in range(count):
        rvas.add(table.u32())
        table.skip(stride - 4)
    return rvas


def read_debug_id(mapped: bytes, directory: Directory, file: bytes) -> DebugId | None:
    """Return the first CodeView (RSDS) entry of the debug directory, None where there is none.

    Its GUID is written as a symbol server writes it; its `pdb_name` is whatever the file says.
    """
    if not directory:
        return None
    table = Cursor(mapped, "debug directory", min(directory.rva, len(mapped))).sub(directory.size)
    for _ in range(min(directory.size // _DEBUG_ENTRY_SIZE, MAX_DEBUG_ENTRIES)):
        table.skip(12)
        kind, length = table.u32(), table.u32()
        table.skip(4)
        place = table.u32()
        if kind == _DEBUG_CODEVIEW and file[place : place + 4] == b"RSDS":
            entry = Cursor(file, "debug directory's CodeView entry", place).sub(length)
            entry.skip(4)
            return DebugId(entry.guid(), entry.u32(), entry.cstring())
    return None
