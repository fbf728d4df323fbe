"""A PE file relocated to a kernel address: sections, imports, exports, debug id."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

DEFAULT_BASE = 0xA5DE0000
"""Where a 32-bit driver is mapped: a kernel-mode address, as on a real system."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section as mapped: `data` is relocated and padded with zeros to the virtual size."""

    name: str
    rva: int
    data: bytes
    writable: bool
    executable: bool
    discardable: bool

    @property
    def end(self) -> int:
        """Return the RVA just past the section."""
        return self.rva + len(self.data)


@dataclass(frozen=True, slots=True)
class Import:
    """One import: the RVA of its IAT slot, and its name or (when the name is None) its ordinal."""

    library: str
    name: str | None
    ordinal: int | None
    slot: int

    @property
    def label(self) -> str:
        """Return the name, or `#ordinal`."""
        return self.name if self.name is not None else f"#{self.ordinal}"


@dataclass(frozen=True, slots=True)
class Export:
    """One export: its RVA, or (when the RVA is None) the `module.name` that it forwards to."""

    name: str | None
    ordinal: int
    rva: int | None
    forwarder: str | None


@dataclass(frozen=True, slots=True)
class DebugId:
    """The CodeView (RSDS) entry that ties an image to its PDB; `guid` is 32 upper-case hex digits."""

    guid: str
    age: int
    pdb_name: str


@dataclass(frozen=True, slots=True)
class Image:
    """A driver image at its kernel address. Addresses are `base` + RVA."""

    path: Path
    sha256: str
    machine: str
    base: int
    size: int
    entry: int | None
    headers: bytes
    sections: tuple[Section, ...]
    imports: tuple[Import, ...]
    exports: tuple[Export, ...]
    debug_id: DebugId | None
    relocations: tuple[int, ...]
    """RVAs of the pointers that base relocation adjusted, in ascending order."""
    guard_functions: tuple[int, ...]
    """RVAs in the load configuration's guard CF and SafeSEH tables."""
    security_cookie: int | None
    """RVA of __security_cookie, from the load configuration."""

    @property
    def module(self) -> str:
        """Return the name a debugger shows: the file name without its suffix, bytes that are no UTF-8 escaped."""
        return self.path.stem.encode("utf-8", "backslashreplace").decode()

    def section_at(self, rva: int) -> Section | None:
        """Return the section that holds `rva`, None where there is none."""
        index = bisect_right(self.sections, rva, key=lambda section: section.rva) - 1
        if index < 0:
            return None
        section = self.sections[index]
        return section if rva < section.end else None

    def is_code(self, rva: int) -> bool:
        """Return whether `rva` lies in an executable section."""
        section = self.section_at(rva)
        return section is not None and section.executable

    def read(self, rva: int, size: int) -> bytes:
        """Return up to `size` bytes at `rva`; fewer where its section ends, none outside every section."""
        section = self.section_at(rva)
        if section is None:
            return b""
        offset = rva - section.rva
        return section.data[offset : offset + size]

    def read_u32(self, rva: int) -> int | None:
        """Return the little-endian 32-bit word at `rva`, None where it is not wholly inside a section."""
        data = self.read(rva, 4)
        return int.from_bytes(data, "little") if len(data) == 4 else None
