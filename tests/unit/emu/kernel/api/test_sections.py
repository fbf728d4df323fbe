"""Sections: as large as asked for or as their file, mapped in user mode, and unmapped once."""

from __future__ import annotations

import struct
from typing import Any

import pefile

USER_END = 0x7FFF0000
CURRENT_PROCESS = 0xFFFFFFFF
SEC_COMMIT, SEC_IMAGE = 0x8000000, 0x1000000


def _u32(kernel: Any, address: int) -> int:
    return int.from_bytes(kernel.host.read(address, 4), "little")


def _section(kernel: Any, size: int, kind: int = SEC_COMMIT) -> int:
    out = kernel.text(bytes(4))
    maximum = kernel.text(struct.pack("<Q", size))
    assert kernel.call("ZwCreateSection", out, 4, 0, maximum, 4, kind, 0) == 0
    return _u32(kernel, out)


def _map(kernel: Any, section: int, *, size: int = 0, offset: int = 0) -> tuple[int, int, int]:
    """Return BaseAddress, ViewSize and SectionOffset."""
    out = kernel.text(struct.pack("<IIQ", 0, size, offset))
    words = (section, CURRENT_PROCESS, out, 0, 0, out + 8, out + 4, 1, 0, 4)
    assert kernel.call("ZwMapViewOfSection", *words) == 0
    base, view_size, section_offset = struct.unpack("<IIQ", kernel.host.read(out, 16))
    return base, view_size, section_offset


def test_a_view_lies_in_user_mode_and_is_as_large_as_the_rest_of_its_section(kernel: Any) -> None:
    base, size, offset = _map(kernel, _section(kernel, 0x2_8001), offset=0x1_0123)
    assert base % 0x10000 == 0
    assert base + size < USER_END
    assert (size, offset) == (0x1_9000, 0x1_0000)  # pages; the offset is rounded down to 64 KiB


def test_an_image_begins_with_headers_that_can_be_parsed(kernel: Any) -> None:
    base, size, _ = _map(kernel, _section(kernel, 0x2000, SEC_IMAGE))
    image = pefile.PE(data=kernel.host.read(base, size), fast_load=True)
    image.full_load()
    assert image.FILE_HEADER.Machine == 0x14C
    assert image.OPTIONAL_HEADER.SizeOfImage == size
    assert [section.Name.rstrip(b"\0") for section in image.sections] == [b".text"]


def test_a_section_of_nothing_is_refused(kernel: Any) -> None:
    assert kernel.call("ZwCreateSection", kernel.text(bytes(4)), 4, 0, 0, 4, SEC_COMMIT, 0) == 0xC000000D


def test_a_view_is_unmapped_once(kernel: Any) -> None:
    base, _, _ = _map(kernel, _section(kernel, 0x1000))
    assert kernel.call("ZwUnmapViewOfSection", CURRENT_PROCESS, base) == 0
    assert kernel.call("ZwUnmapViewOfSection", CURRENT_PROCESS, base) == 0xC0000019  # STATUS_NOT_MAPPED_VIEW
    assert kernel.state.records.notes
