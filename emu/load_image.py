"""Reading a driver file and mapping it to a kernel address, as the system's loader would.

pefile reads headers, imports and exports; what it can raise on hostile files becomes an `InputError` in
`_pefile_errors`, and nowhere else. The tables that decide what the mapped bytes are stand in
`image_tables`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pefile

from stackemu.emu.errors import InputError
from stackemu.emu.image import DEFAULT_BASE, Export, Image, Import, Section
from stackemu.emu.image_tables import Directory, read_debug_id, read_load_configuration, relocate
from stackemu.emu.symbols.cursor import FormatError, printable

MAX_FILE_SIZE = 256 << 20
"""Bytes of a driver file."""
MAX_IMAGE_SIZE = 256 << 20
"""Bytes of a mapped image and of each of its sections; the largest drivers are around 100 MiB."""
MAX_SECTIONS = 96
"""The system's loader refuses more."""

_PAGE, _SECTOR = 0x1000, 0x200
_MACHINE_X86, _MACHINE_X64 = 0x014C, 0x8664
_MACHINE_NAMES = {0x01C4: "ARM", 0xAA64: "ARM64", 0x0200: "Itanium", 0x0EBC: "EFI byte code"}
_MEM_DISCARDABLE, _MEM_EXECUTE, _MEM_WRITE = 0x02000000, 0x20000000, 0x80000000
_RELOCATIONS_STRIPPED = 0x0001
_DIRECTORY = {name: index for name, index in pefile.directory_entry_types if isinstance(name, str)}
_IMPORT_DESCRIPTOR_SIZE = 20
_INVALID = b"*invalid*"
"""What pefile puts in the place of a name that it cannot read."""


def load_image(path: Path, base: int = DEFAULT_BASE) -> Image:
    """Read the driver at `path` and map it at the address `base` (a multiple of the page size).

    Raises `InputError`, with one line, for whatever is not a whole 32-bit PE image that can be mapped there.
    """
    data = read_input(path)
    _check_kind(path, data)
    with _pefile_errors(path):
        pe = pefile.PE(data=data, fast_load=True)
    _check_machine(path, pe)
    layouts = _check_layout(path, pe, len(data))
    size = int(pe.OPTIONAL_HEADER.SizeOfImage)
    if base % _PAGE or not 0 <= base <= (1 << 32) - size:
        remedy = "choose a page-aligned base with the image below 4 GiB"
        raise InputError(str(path), f"it cannot be mapped at {base:#x}", remedy)
    delta = (base - int(pe.OPTIONAL_HEADER.ImageBase)) & 0xFFFFFFFF
    relocation_table = _relocation_table(path, pe, delta)
    memory = bytearray(size)
    memory[: pe.OPTIONAL_HEADER.SizeOfHeaders] = data[: pe.OPTIONAL_HEADER.SizeOfHeaders]
    for layout in layouts:
        memory[layout.rva : layout.rva + layout.raw_size] = data[layout.raw : layout.raw + layout.raw_size]
    try:
        spans = [(layout.rva, layout.rva + layout.size) for layout in layouts]
        relocations = relocate(memory, relocation_table, spans, delta)
        mapped = bytes(memory)
        configuration = _directory(pe, "IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG")
        guards, cookie = read_load_configuration(mapped, configuration, base)
        debug_id = read_debug_id(mapped, _directory(pe, "IMAGE_DIRECTORY_ENTRY_DEBUG"), data)
    except FormatError as error:
        raise InputError(str(path), str(error)) from error
    imports, exports = _imports(path, pe, mapped), _exports(path, pe)
    entry = int(pe.OPTIONAL_HEADER.AddressOfEntryPoint)
    return Image(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        machine="x86",
        base=base,
        size=size,
        entry=entry or None,
        headers=data[: pe.OPTIONAL_HEADER.SizeOfHeaders],
        sections=tuple(layout.section(memory) for layout in layouts),
        imports=imports,
        exports=exports,
        debug_id=debug_id,
        relocations=relocations,
        guard_functions=guards,
        security_cookie=cookie,
    )


def read_input(path: Path, limit: int = MAX_FILE_SIZE) -> bytes:
    """Return the bytes of a file.

    Raises `InputError` where it is missing, unreadable or above `limit` bytes.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except IsADirectoryError as error:
        raise InputError(str(path), "it is a directory", "name a driver file (.sys)") from error
    except FileNotFoundError as error:
        raise InputError(str(path), "no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(str(path), f"it cannot be read ({reason})") from error
    if len(data) > limit:
        raise InputError(str(path), f"expected at most {limit} bytes, got more")
    return data


@contextmanager
def _pefile_errors(path: Path) -> Iterator[None]:
    """Turn what pefile raises on files that it cannot parse into an `InputError`."""
    try:
        yield
    except (
        pefile.PEFormatError,
        struct.error,
        AttributeError,
        IndexError,
        KeyError,
        OverflowError,
        TypeError,
        ValueError,  # UnicodeError is one
    ) as error:
        reason = " ".join(str(error).strip("'\"").split()) or type(error).__name__
        raise InputError(str(path), f"it is not a readable PE image ({reason})") from error


def _check_kind(path: Path, data: bytes) -> None:
    """Name the common wrong files before pefile calls them all 'DOS header magic not found'."""
    if not data:
        raise InputError(str(path), "the file is empty")
    if data.startswith(b"\x7fELF"):
        raise InputError(str(path), "it is an ELF file, not a Windows driver")
    if not data.startswith(b"MZ"):
        what = "it is not a PE image (it does not begin with MZ)"
        raise InputError(str(path), what, "name a driver file (.sys)")


def _check_machine(path: Path, pe: pefile.PE) -> None:
    machine = pe.FILE_HEADER.Machine
    if machine == _MACHINE_X64:
        raise InputError(str(path), "x64 is not supported yet", "give the driver's 32-bit build")
    if machine != _MACHINE_X86:
        name = _MACHINE_NAMES.get(machine, f"machine {machine:#06x}")
        raise InputError(str(path), f"it is for {name}; only x86 is supported")
    if pe.OPTIONAL_HEADER.Magic != pefile.OPTIONAL_HEADER_MAGIC_PE:
        raise InputError(str(path), "its optional header is not PE32's")


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where a section stands: sizes in bytes, `raw` a file offset."""

    name: str
    rva: int
    size: int
    raw: int
    raw_size: int
    characteristics: int

    def section(self, memory: bytearray) -> Section:
        """Return the section with its bytes from the mapped, relocated image."""
        return Section(
            name=self.name,
            rva=self.rva,
            data=bytes(memory[self.rva : self.rva + self.size]),
            writable=bool(self.characteristics & _MEM_WRITE),
            executable=bool(self.characteristics & _MEM_EXECUTE),
            discardable=bool(self.characteristics & _MEM_DISCARDABLE),
        )


def _check_layout(path: Path, pe: pefile.PE, file_size: int) -> tuple[_Layout, ...]:
    """Return the sections' places, having checked them against the file, the image and one another."""
    where = str(path)
    size, header_size = int(pe.OPTIONAL_HEADER.SizeOfImage), int(pe.OPTIONAL_HEADER.SizeOfHeaders)
    if not 0 < size <= MAX_IMAGE_SIZE:
        raise InputError(where, f"SizeOfImage: expected 1 to {MAX_IMAGE_SIZE} bytes, got {size}")
    if header_size > file_size:
        problem = f"expected {header_size} bytes of headers, got {file_size}"
        raise InputError(where, f"the file is truncated: {problem}")
    if header_size > size:
        raise InputError(where, f"its headers ({header_size} bytes) are larger than SizeOfImage {size}")
    count = int(pe.FILE_HEADER.NumberOfSections)
    if not 1 <= count <= MAX_SECTIONS:
        raise InputError(where, f"expected 1 to {MAX_SECTIONS} sections, got {count}")
    if len(pe.sections) != count:
        problem = f"expected {count} section headers, got {len(pe.sections)}"
        raise InputError(where, f"the file is truncated: {problem}")
    layouts: list[_Layout] = []
    end = header_size
    for header in sorted(pe.sections, key=lambda section: section.get_file_offset()):
        layout = _layout(where, header, file_size)
        if layout.rva < end:
            problem = f"section {layout.name} at RVA {layout.rva:#x} overlaps what ends at {end:#x}"
            raise InputError(where, f"{problem}, or the sections are not in order")
        end = layout.rva + layout.size
        if end > size:
            raise InputError(where, f"section {layout.name} ends at RVA {end:#x}, past SizeOfImage {size:#x}")
        layouts.append(layout)
    entry = int(pe.OPTIONAL_HEADER.AddressOfEntryPoint)
    if entry >= size:
        raise InputError(where, f"the entry point {entry:#x} lies past SizeOfImage {size:#x}")
    return tuple(layouts)


def _layout(where: str, header: pefile.SectionStructure, file_size: int) -> _Layout:
    name = printable(header.Name.split(b"\0", 1)[0])
    raw_size = int(header.SizeOfRawData)
    # As the loader does: the raw size where the virtual one is 0, and the place rounded down to a sector.
    size = int(header.Misc_VirtualSize) or raw_size
    raw = int(header.PointerToRawData)
    if raw >= _SECTOR:
        raw &= ~(_SECTOR - 1)
    if size > MAX_IMAGE_SIZE:
        raise InputError(where, f"section {name}: expected at most {MAX_IMAGE_SIZE} bytes, got {size}")
    if raw_size and raw + raw_size > file_size:
        raise InputError(
            where,
            f"the file is truncated: section {name} ends at byte {raw + raw_size}, the file at {file_size}",
            "copy it again",
        )
    rva, characteristics = int(header.VirtualAddress), int(header.Characteristics)
    return _Layout(name, rva, size, raw, min(raw_size, size), characteristics)


def _directory(pe: pefile.PE, name: str) -> Directory:
    """Return RVA and size in bytes of a data directory, zeros where the image has none."""
    directories = pe.OPTIONAL_HEADER.DATA_DIRECTORY
    index = _DIRECTORY[name]
    if index >= len(directories):
        return Directory(0, 0)
    return Directory(int(directories[index].VirtualAddress), int(directories[index].Size))


def _relocation_table(path: Path, pe: pefile.PE, delta: int) -> Directory:
    """Return where the relocations stand; raises `InputError` where they were stripped and are needed."""
    if not pe.FILE_HEADER.Characteristics & _RELOCATIONS_STRIPPED:
        return _directory(pe, "IMAGE_DIRECTORY_ENTRY_BASERELOC")
    if delta:
        preferred = f"its preferred base {int(pe.OPTIONAL_HEADER.ImageBase):#x}"
        raise InputError(str(path), f"its relocations were stripped: it can only be mapped at {preferred}")
    return Directory(0, 0)


def _imports(path: Path, pe: pefile.PE, mapped: bytes) -> tuple[Import, ...]:
    """Return all imports in the order of their descriptors."""
    name = "IMAGE_DIRECTORY_ENTRY_IMPORT"
    directory = _directory(pe, name)
    first = mapped[directory.rva : directory.rva + _IMPORT_DESCRIPTOR_SIZE]
    if not directory or (len(first) == _IMPORT_DESCRIPTOR_SIZE and not any(first)):
        return ()  # GNU ld writes a table that consists of its end
    image_base = int(pe.OPTIONAL_HEADER.ImageBase)
    imports: list[Import] = []
    with _pefile_errors(path):
        pe.parse_data_directories(directories=[_DIRECTORY[name]])
        for descriptor in _parsed(pe, "DIRECTORY_ENTRY_IMPORT", "import directory"):
            if descriptor.dll == _INVALID:
                raise ValueError("a library's name in the import directory is invalid")
            library = descriptor.dll.decode("ascii")
            for item in descriptor.imports:
                imported = item.name.decode("ascii") if item.name is not None else None
                ordinal = int(item.ordinal) if imported is None else None
                imports.append(Import(library, imported, ordinal, int(item.address) - image_base))
    return tuple(imports)


def _exports(path: Path, pe: pefile.PE) -> tuple[Export, ...]:
    """Return all exports by ascending ordinal."""
    name = "IMAGE_DIRECTORY_ENTRY_EXPORT"
    if not _directory(pe, name):
        return ()
    with _pefile_errors(path):
        pe.parse_data_directories(directories=[_DIRECTORY[name]])
        directory = _parsed(pe, "DIRECTORY_ENTRY_EXPORT", "export directory")
        exports = [_export(symbol) for symbol in directory.symbols]
    return tuple(sorted(exports, key=lambda export: export.ordinal))


def _parsed(pe: pefile.PE, attribute: str, what: str) -> Any:
    """Return what pefile parsed; it leaves the attribute out where it gave up on the directory."""
    if not hasattr(pe, attribute):
        raise ValueError(f"the {what} cannot be read")
    return getattr(pe, attribute)


def _export(symbol: pefile.ExportData) -> Export:
    forwarder = symbol.forwarder.decode("ascii") if symbol.forwarder else None
    return Export(
        name=symbol.name.decode("ascii") if symbol.name else None,
        ordinal=int(symbol.ordinal),
        rva=None if forwarder else int(symbol.address),
        forwarder=forwarder,
    )
