"""How a KMDF driver reaches the framework: the table of functions that the KMDF loader binds it to."""

from __future__ import annotations

from dataclasses import dataclass

from stackemu.emu.image import Image

_LIBRARY = "KmdfLibrary".encode("utf-16-le")
_BIND_INFO_SIZE = 0x20
_COUNT_OFFSET = 0x14
_TABLE_OFFSET = 0x18
MAX_FUNCTIONS = 1024


@dataclass(frozen=True, slots=True)
class KmdfBinding:
    """Where the loader puts the framework's functions: `address` of the driver's variable, `count` of entries.

    With `is_array` the variable is the table itself, else a pointer to the framework's table.
    """

    address: int
    count: int
    is_array: bool


def find_binding(image: Image) -> KmdfBinding | None:
    """Return the binding that the image's WDF_BIND_INFO describes, None for drivers without KMDF.

    The structure (wdfldr.h): Size, Component -> L"KmdfLibrary", Version (3 words), FuncCount, FuncTable, Module.
    Whether the driver calls through its own copy of the table or through a pointer is seen from its code:
    only an array is referenced beyond its first entry.
    """
    for rva in image.relocations:
        start = rva - 4
        if image.read_u32(start) != _BIND_INFO_SIZE:
            continue
        component = image.read_u32(rva)
        if component is None or image.read(component - image.base, len(_LIBRARY)) != _LIBRARY:
            continue
        count = image.read_u32(start + _COUNT_OFFSET)
        address = image.read_u32(start + _TABLE_OFFSET)
        if count and address and count <= MAX_FUNCTIONS and image.section_at(address - image.base):
            return KmdfBinding(address, count, _is_array(image, address, count))
    return None


def _is_array(image: Image, address: int, count: int) -> bool:
    """Return whether code refers to entries of the table beyond its first."""
    return any(
        address < (image.read_u32(rva) or 0) < address + 4 * count for rva in image.relocations if image.is_code(rva)
    )
