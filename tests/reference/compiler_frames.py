"""What clang and the PDB say of functions' frames, read from text: `.su` files and `llvm-pdbutil dump`.

Sources of the figures, in LLVM 16:

- `.su`: PrologEpilogInserter.cpp writes MachineFrameInfo::getStackSize().
- S_FRAMEPROC: CodeViewDebug.cpp writes getStackSize() less the callee-saved bytes, and those bytes.
- FRAMEDATA: X86WinCOFFTargetStreamer.cpp writes a record for each instruction of the prologue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple


class StackUsage(NamedTuple):
    """One line of a `.su` file; `size` in bytes."""

    name: str
    size: int
    is_static: bool


class FrameProc(NamedTuple):
    """S_FRAMEPROC of a procedure; sizes in bytes."""

    name: str
    rva: int
    frame: int
    """cbFrame."""
    saved: int
    """cbSaveRegs."""
    parameters_by: str
    """The register that parameters are addressed by: EBP, VFRAME or NONE."""
    flags: frozenset[str]


class FrameData(NamedTuple):
    """One FRAMEDATA record ("new FPO"); sizes in bytes."""

    rva: int
    size: int
    locals: int
    parameters: int
    saved: int
    has_seh: bool
    starts_function: bool
    by_frame_pointer: bool
    """The program finds the return address by EBP ($T0, or $T1 where $T0 is a realigned frame), not by searching."""


def undecorated(symbol: str) -> str:
    """Return the C name of `_f@8`, `@f@8`, `_f`; in `.su` files \\x01 stands before names to take as they are."""
    return (
        re.sub(r"^\x01?[_@]|@\d+$", "", symbol)
        if not symbol.lstrip("\x01").startswith("?")
        else symbol.lstrip("\x01")
    )


def read_stack_usage(text: str) -> Iterator[StackUsage]:
    """Yield the lines of a `.su` file."""
    for line in text.splitlines():
        place, size, kind = line.split("\t")
        yield StackUsage(undecorated(place.split(":", 2)[2]), int(size), kind == "static")


_SECTION = re.compile(r"SECTION HEADER #(\d+)\n.*?^\s*([0-9A-F]+) virtual address$", re.MULTILINE | re.DOTALL)
_PROCEDURE = re.compile(
    r"S_[GL]PROC32 \[size = \d+\] `(?P<name>[^\n]*)`\n"
    r"[^\n]*addr = (?P<section>\d+):(?P<offset>\d+), code size = \d+\n"
    r"[^\n]*\n"
    r"\s+\d+ \| S_FRAMEPROC [^\n]*\n"
    r"\s+size = (?P<frame>\d+),[^\n]*\n"
    r"\s+bytes of callee saved registers = (?P<saved>\d+),[^\n]*\n"
    r"\s+local fp reg = \w+, param fp reg = (?P<register>\w+)\n"
    r"\s+flags = (?P<flags>[^\n]*)\n"
)
_FRAME_DATA = re.compile(
    r"^([0-9A-F]{8}) \| +(\d+) \| +(\d+) \| +(\d+) \| +\d+ \| +\d+ \| +(\d+) \| +(true|false) \| +(?:true|false) "
    r"\| +(true|false) \| (.*)$",
    re.MULTILINE,
)


def read_procedures(text: str) -> Iterator[FrameProc]:
    """Yield the procedures with frame records in `llvm-pdbutil dump --symbols --section-headers`."""
    sections = {int(number): int(address, 16) for number, address in _SECTION.findall(text)}
    for one in _PROCEDURE.finditer(text):
        yield FrameProc(
            name=one["name"],
            rva=sections[int(one["section"])] + int(one["offset"]),
            frame=int(one["frame"]),
            saved=int(one["saved"]),
            parameters_by=one["register"],
            flags=frozenset(one["flags"].split(" | ")),
        )


def read_frame_data(text: str) -> Iterator[FrameData]:
    """Yield the records of `llvm-pdbutil dump --fpo`, as they stand."""
    for rva, size, local, parameters, saved, seh, start, program in _FRAME_DATA.findall(text):
        yield FrameData(
            rva=int(rva, 16),
            size=int(size),
            locals=int(local),
            parameters=int(parameters),
            saved=int(saved),
            has_seh=seh == "true",
            starts_function=start == "true",
            by_frame_pointer=re.match(r"\$T[01] \$ebp", program) is not None,
        )


def frame_data_by_function(records: Iterator[FrameData]) -> dict[int, FrameData]:
    """Return the last record of each function's prologue, by the function's RVA."""
    last: dict[int, FrameData] = {}
    start = 0
    for record in records:
        start = record.rva if record.starts_function else start
        last[start] = record
    return last
