"""The smallest ELF32 executable that Linux runs: one segment, headers and code together on one page.

Format: System V ABI, Intel386 supplement, chapters 4 (ELF header) and 5 (program header).
"""

from __future__ import annotations

import struct

PAGE = 0x1000

_IDENTIFICATION = b"\x7fELF" + bytes([1, 1, 1])  # ELFCLASS32, ELFDATA2LSB, EV_CURRENT
_ELF_HEADER = struct.Struct("<16sHHIIIIIHHHHHH")
_PROGRAM_HEADER = struct.Struct("<IIIIIIII")
_ET_EXEC, _EM_386, _EV_CURRENT = 2, 3, 1
_PT_LOAD, _PT_GNU_STACK = 1, 0x6474E551
_READ, _WRITE, _EXECUTE = 4, 2, 1
_PROGRAM_HEADERS = 2

CODE_OFFSET = _ELF_HEADER.size + _PROGRAM_HEADERS * _PROGRAM_HEADER.size
"""Bytes from the start of the page to the code, which is also the entry point."""


def elf_image(code: bytes, address: int) -> bytes:
    """Return a static executable that puts its own headers at the page `address` and starts at `code` behind them.

    The page is readable, writable and executable. The stack is declared not executable: without that
    declaration Linux makes every readable mapping of a 32-bit process executable.
    """
    if address % PAGE or not 0 < address <= 0xFFFFF000:
        raise ValueError(f"{address:#x} is not the address of a page of 32-bit memory")
    size = CODE_OFFSET + len(code)
    if size > PAGE:
        raise ValueError(f"{len(code)} bytes of code do not fit the page behind the headers")
    header = _ELF_HEADER.pack(
        _IDENTIFICATION,
        _ET_EXEC,
        _EM_386,
        _EV_CURRENT,
        address + CODE_OFFSET,
        _ELF_HEADER.size,  # program headers follow this header
        0,  # no section headers
        0,  # no flags
        _ELF_HEADER.size,
        _PROGRAM_HEADER.size,
        _PROGRAM_HEADERS,
        0,
        0,
        0,
    )
    segment = _PROGRAM_HEADER.pack(_PT_LOAD, 0, address, address, size, size, _READ | _WRITE | _EXECUTE, PAGE)
    stack = _PROGRAM_HEADER.pack(_PT_GNU_STACK, 0, 0, 0, 0, 0, _READ | _WRITE, 4)
    return header + segment + stack + code
