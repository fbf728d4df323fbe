"""Layouts of the kernel's structures on 32-bit Windows, and views of them in emulated memory.

The offsets lie in `data/layouts.tsv`, with their provenance in `data/README.md`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Layout:
    """A structure: its size in bytes and its fields as name -> (offset, bytes); nested names have dots."""

    name: str
    size: int
    fields: Mapping[str, tuple[int, int]]

    def offset(self, field: str) -> int:
        """Return the offset of a field; KeyError for one that the structure does not have."""
        return self.fields[field][0]


@functools.cache
def _layouts() -> dict[str, Layout]:
    text = resources.files(__package__).joinpath("data", "layouts.tsv").read_text(encoding="utf-8")
    found: dict[str, Layout] = {}
    fields: dict[str, dict[str, tuple[int, int]]] = {}
    for line in text.splitlines()[1:]:
        structure, size, field, offset, width = line.split("\t")
        known = fields.setdefault(structure, {})
        known[field] = (int(offset), int(width))
        found.setdefault(structure, Layout(structure, int(size), known))
    return found


def layout(name: str) -> Layout:
    """Return a structure's layout; KeyError for one that the table does not have."""
    return _layouts()[name]


def find_layout(name: str) -> Layout | None:
    """Return the layout of a structure by its name or its tag (`IRP`, `_IRP`), None when it is not known."""
    return _layouts().get(name.removeprefix("_"))


class Bytes(Protocol):
    """Emulated memory."""

    def read(self, address: int, size: int) -> bytes:
        """Return `size` bytes at `address`."""

    def write(self, address: int, data: bytes) -> None:
        """Change the bytes at `address`."""


@dataclass(frozen=True, slots=True)
class View:
    """A structure at an address: `view["Size"]` reads the field as an unsigned number, assignment writes it."""

    memory: Bytes
    address: int
    layout: Layout

    def __getitem__(self, field: str) -> int:
        """Return a field's value."""
        offset, width = self.layout.fields[field]
        return int.from_bytes(self.memory.read(self.address + offset, width), "little")

    def __setitem__(self, field: str, value: int) -> None:
        """Write a field."""
        offset, width = self.layout.fields[field]
        value &= (1 << 8 * width) - 1
        self.memory.write(self.address + offset, value.to_bytes(width, "little"))

    def at(self, field: str) -> int:
        """Return the address of a field."""
        return self.address + self.layout.fields[field][0]

    def clear(self) -> None:
        """Fill the structure with zeros."""
        self.memory.write(self.address, bytes(self.layout.size))
