"""Warning C6262 of MSVC's `/analyze` and PREfast: "Function uses 'N' bytes of stack", in a build's log.

The wordings that there are, with a limit and without:

    names.c(76) : warning C6262: Function uses '1196' bytes of stack: exceeds /analyze:stacksize '1024'. ...
    names.c(76,0): Warning C6262: Function uses '1196' bytes of stack. Consider moving some data to heap.
    names.c (76): warning 6262: Function uses <1196> bytes of stack: exceeds /analyze:stacksize<1024>. ...

The figure is worked out from the source, before optimisation: what the local variables take together, though
the compiler may let some share a place or keep them in registers. So it is an estimate of the locals. The
compiler names a function by its place alone; `prefast list` adds a line `FUNCTION: name (line)`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stackemu.emu.errors import InputError
from stackemu.harness.verify.claim import Claim, Figure, Format, Source
from stackemu.harness.verify.text import figure

LINES_TO_NAME = 4
"""A `FUNCTION:` line stands within this many lines behind its warning."""

_NUMBER = re.compile(r"\bwarning\s+C?6262\s*:", re.IGNORECASE)
_WARNING = re.compile(r"\s*Function uses\s*['<]?(?P<bytes>\d{1,20})['>]?\s*bytes of stack", re.IGNORECASE)
_LOCATION = re.compile(r"\((?P<line>\d{1,9})(?:,\d{1,9}){0,3}\)\s*:\s*$")
_BUILD_NODE = re.compile(r"\s*\d{1,4}(?::\d{1,4})?>")
"""`1>`, which MSBuild puts before each line of a project."""
_NAME = re.compile(r"\s*FUNCTION:\s*(?P<name>[^\s(]+)")


def recognise(text: str) -> bool:
    """Return whether `text` has the number of the warning, and its words."""
    return _NUMBER.search(text) is not None and "function uses" in text.lower()


def read(lines: Sequence[str], where: str) -> Source:
    """Return what the warnings in `lines` say; a warning that the log repeats counts once.

    Raises:
        InputError: a warning has no figure.
    """
    claims: dict[tuple[str | None, int], Claim] = {}
    for number, line in enumerate(lines, 1):
        warning = _NUMBER.search(line)
        if warning is not None:
            claim = _claim(line, warning, lines[number : number + LINES_TO_NAME], number, f"{where}:{number}")
            claims.setdefault((claim.place, claim.figures[Figure.LOCALS]), claim)
    return Source(Format.C6262, tuple(claims.values()))


def _claim(line: str, number: re.Match[str], behind: Sequence[str], line_number: int, where: str) -> Claim:
    warning = _WARNING.match(line, number.end())
    if warning is None:
        raise InputError(
            where,
            "expected \"Function uses 'N' bytes of stack\" behind C6262; the line is cut off",
            "give the whole log",
        )
    return Claim(
        line=line_number,
        figures={Figure.LOCALS: figure(warning["bytes"], where)},
        name=_name(behind),
        place=_place(line[: number.start()]),
        estimate=True,
    )


def _place(before: str) -> str | None:
    """Return `file:line` from what stands before the word warning."""
    location = _LOCATION.search(before)
    if location is None:
        return None
    node = _BUILD_NODE.match(before)
    file = before[node.end() if node else 0 : location.start()].strip()
    return f"{file}:{location['line']}" if file else None


def _name(behind: Sequence[str]) -> str | None:
    """Return the function's name, where one of the lines behind a warning gives it."""
    for line in behind:
        if _NUMBER.search(line):
            return None
        name = _NAME.match(line)
        if name:
            return name["name"]
    return None
