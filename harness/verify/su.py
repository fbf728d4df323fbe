"""`.su` files: what GCC and clang say of frames with `-fstack-usage`.

A function is a line of three fields, separated by tabs: its place and name, the bytes of its frame, and
`static`, `dynamic` or `dynamic,bounded`. The compilers count differently, and can be told apart by the place:

- clang writes `file:line:name`, the name as the linker sees it (`_f@8`, `@f@8`, `?f@C@@QAEXXZ`, with a byte
  \\x01 before names to take as they are). The figure is MachineFrameInfo::getStackSize(): locals and saved
  registers, without what a realignment rounds them up by (LLVM's PrologEpilogInserter.cpp).
- GCC writes `file:line:column:name`, in C++ the whole signature. The figure counts the function's own return
  address too; `dynamic,bounded` adds the worst realignment and the most arguments that are pushed (GCC's
  output_stack_usage() in toplev.cc, ix86_expand_prologue() in i386.cc).

With `dynamic` both leave out what is allocated by a run-time amount.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackemu.emu.errors import InputError
from stackemu.harness.verify.claim import Claim, Figure, Format, Source
from stackemu.harness.verify.text import figure

_LINE_NUMBER = re.compile(r":(?P<line>\d{1,9}):(?:(?P<column>\d{1,9}):)?")
_SIZE = re.compile(r"\d{1,20}")
_KINDS = ("static", "dynamic", "dynamic,bounded", "bounded")
_BOUNDED = ("dynamic,bounded", "bounded")


def recognise(text: str) -> bool:
    """Return whether the first line that is not blank is one of a `.su` file, or the beginning of one."""
    line = text.lstrip().partition("\n")[0]
    place, separator, rest = line.partition("\t")
    return bool(separator) and _LINE_NUMBER.search(place) is not None and _SIZE.match(rest) is not None


def read(lines: Sequence[str], where: str) -> Source:
    """Return what the `.su` file in `lines` says; `where` names it in errors.

    Raises:
        InputError: a line has another form.
    """
    claims = (_claim(line, number, f"{where}:{number}") for number, line in enumerate(lines, 1) if line.strip())
    return Source(Format.SU, tuple(claims))


def _claim(line: str, number: int, where: str) -> Claim:
    fields = line.rsplit("\t", 2)
    place = _LINE_NUMBER.search(fields[0])
    name = fields[0][place.end() :].removeprefix("\x01") if place else ""
    if len(fields) != 3 or place is None or not name or not _SIZE.fullmatch(fields[1]) or fields[2] not in _KINDS:
        raise InputError(
            where,
            "expected '<file>:<line>:<function>', the bytes and 'static' or 'dynamic', separated by tabs; "
            "the line is cut off or of another format",
            "give the .su file as the compiler wrote it",
        )
    figures = {_figure(fields[2], place["column"] is not None): figure(fields[1], where)}
    return Claim(
        line=number,
        figures=figures,
        name=name,
        place=f"{fields[0][: place.start()]}:{place['line']}",
        dynamic=fields[2] == "dynamic",
    )


def _figure(kind: str, by_gcc: bool) -> Figure:
    if not by_gcc:
        return Figure.CLANG_FRAME
    return Figure.GCC_BOUNDED if kind in _BOUNDED else Figure.GCC_FRAME
