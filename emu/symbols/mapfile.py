"""Linker map files of MSVC (`link /map`) and LLVM (`lld-link /map`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stackemu.emu.image import Image
from stackemu.emu.symbols.cursor import FormatError, printable
from stackemu.emu.symbols.function import Function, Source
from stackemu.emu.symbols.names import undecorate

MAX_SIZE = 64 << 20
"""Bytes of a map file."""
MAX_LINE = 8192
"""Bytes of a line; longer ones are passed over."""

_TIMESTAMP = re.compile(r"\s*Timestamp is ([0-9a-fA-F]{8})\b")
_LOAD_ADDRESS = re.compile(r"\s*Preferred load address is ([0-9a-fA-F]{8,16})\s*$")
_ENTRY = re.compile(r"\s*entry point at\s+([0-9a-fA-F]{4}):([0-9a-fA-F]{8,16})\s*$")
_SYMBOL = re.compile(
    r"\s*[0-9a-fA-F]{4}:[0-9a-fA-F]{8,16}\s+(?P<name>\S+)\s+(?P<address>[0-9a-fA-F]{8,16})\s+(?P<flag>f\s)?"
)
_NOT_FUNCTIONS = ("__imp_", "$LN", "$L", "??_C@", "__real@", "__xmm@")
"""Import slots, local labels, literals: some of them stand in code sections."""

_PE_OFFSET, _TIMESTAMP_IN_HEADER = 0x3C, 8


@dataclass(frozen=True, slots=True)
class MapFile:
    """What a map file says: functions in the order of their RVAs, None where it does not say.

    `timestamp` is the image's, 0 for a reproducible build; `entry` is (segment, offset), 1-based.
    """

    path: Path
    timestamp: int | None
    entry: tuple[int, int] | None
    functions: tuple[Function, ...]


def read_map(path: Path, image: Image) -> MapFile:
    """Read the map file at `path`, keeping the functions that lie in code sections of `image`.

    MSVC flags functions with `f`; then unflagged symbols are left out. lld flags none.
    Raises `FormatError` where it is no map file, `OSError` where it cannot be read.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_SIZE + 1)
    if len(raw) > MAX_SIZE:
        raise FormatError(f"map file {path.name}", None, f"expected at most {MAX_SIZE} bytes, got more")
    load_address: int | None = None
    timestamp: int | None = None
    entry: tuple[int, int] | None = None
    symbols: list[tuple[int, str, bool]] = []
    for raw_line in raw.splitlines():
        if len(raw_line) > MAX_LINE:
            continue
        line = printable(raw_line.expandtabs())
        if load_address is not None and (match := _SYMBOL.match(line)):
            rva = int(match["address"], 16) - load_address
            symbols.append((rva, match["name"], match["flag"] is not None))
        elif match := _LOAD_ADDRESS.match(line):
            load_address = int(match[1], 16)
        elif match := _TIMESTAMP.match(line):
            timestamp = int(match[1], 16)
        elif match := _ENTRY.match(line):
            entry = int(match[1], 16), int(match[2], 16)
    if load_address is None:
        problem = "it is no map file of link or lld-link: it states no preferred load address"
        raise FormatError(f"map file {path.name}", None, problem)
    flagged = any(flag for _, _, flag in symbols)
    functions: dict[int, Function] = {}
    for rva, name, flag in symbols:
        if flag == flagged and image.is_code(rva) and not name.startswith(_NOT_FUNCTIONS):
            functions.setdefault(rva, Function(rva, undecorate(name), Source.MAP, decorated=name))
    return MapFile(path, timestamp, entry, tuple(functions[rva] for rva in sorted(functions)))


def mismatch(map_file: MapFile, image: Image) -> str | None:
    """Return why the map file is another image's ('expected …, got …'), None where nothing says so."""
    if map_file.entry is not None and image.entry is not None:
        segment, offset = map_file.entry
        rva = image.sections[segment - 1].rva + offset if 1 <= segment <= len(image.sections) else None
        if rva != image.entry and map_file.entry != (0, 0):
            got = "none" if rva is None else f"{rva:#x}"
            return f"expected the entry point {image.entry:#x}, got {got}"
    timestamp = _image_timestamp(image)
    if map_file.timestamp and timestamp and map_file.timestamp != timestamp:
        return f"expected timestamp {timestamp:08x}, got {map_file.timestamp:08x}"
    return None


def _image_timestamp(image: Image) -> int:
    """Return TimeDateStamp of the PE header, 0 where the headers end before it."""
    start = int.from_bytes(image.headers[_PE_OFFSET : _PE_OFFSET + 4], "little") + _TIMESTAMP_IN_HEADER
    return int.from_bytes(image.headers[start : start + 4], "little")
