"""The listing of the debugger extension `!ace.stack_usage` (2011), as copied from WinDbg's window or log.

An entry is a line

    96 bytes used for locals by func: a5dee450 PassThrough!PtNormalizeNameComponentExCallback (...)

with the prototype behind the name where private symbols were loaded, ` = ` or nothing where only public ones
were. Entries are found among prompts and other output. An entry that was wrapped at a width, between words
or in the middle of one, is put together again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stackemu.emu.errors import InputError
from stackemu.harness.verify.claim import Claim, Figure, Format, Source
from stackemu.harness.verify.text import figure, without_prompts

_MARK = re.compile(r"\d\s+bytes\s+used\s+for\s+locals\s+by\s+func:")
_START = re.compile(r"\s*\d{1,20}\s+bytes\s+used\b")
# A line that was broken between words right at the width is joined without a blank.
_ENTRY = re.compile(
    r"\s*(?P<bytes>\d{1,20})\s*bytes\s*used\s*for\s*locals\s*by\s*func:\s*"
    r"(?:0x)?(?P<address>[0-9a-fA-F]{8}(?:`?[0-9a-fA-F]{8})?)\s*"
    r"(?P<module>[^!\s]+)!(?P<symbol>\S.*)"
)
_BEHIND_NAME = re.compile(r"\s+[(=<]|\s*$")
"""Where a symbol's name ends: at its prototype, at ` = `, at `<no type information>`, at the line's end."""

MAX_ENTRY = 8192
"""Characters of an entry, wrapped or not; a prototype has a few hundred."""
MAX_ENTRY_LINES = 64


def recognise(text: str) -> bool:
    """Return whether `text` has such an entry."""
    return _MARK.search(text) is not None


def read(lines: Sequence[str], where: str) -> Source:
    """Return what the listing in `lines` says; `where` names it in errors.

    Raises:
        InputError: an entry is not whole.
    """
    return Source(Format.ACE, tuple(_claim(entry, where) for entry in _entries(lines)))


@dataclass(slots=True)
class _Entry:
    """An entry being put together: its text so far, and whether its last line filled the window's width."""

    line: int
    text: str
    full: bool
    lines: int = 1

    @property
    def match(self) -> re.Match[str] | None:
        """Return the fields of a whole entry, None while it is not whole."""
        # Runs of blanks would cost the regular expressions time that grows with their square.
        match = _ENTRY.fullmatch(" ".join(self.text.split()))
        return None if match is None or match["symbol"].count("(") > match["symbol"].count(")") else match

    def continues_with(self, text: str) -> bool:
        """Return whether `text`, the line behind, belongs to the entry."""
        if not text.strip() or len(self.text) + len(text) > MAX_ENTRY or self.lines == MAX_ENTRY_LINES:
            return False
        if self.match is None:
            return True
        if self.text.rstrip().endswith((")", "=")):
            return False
        return text.lstrip().startswith(("(", "=")) or (self.full and not text[0].isspace())


def _entries(lines: Sequence[str]) -> Iterator[_Entry]:
    width = max((len(line) for line in lines), default=0)
    entry: _Entry | None = None
    for number, line in enumerate(lines, 1):
        text = without_prompts(line)
        if _START.match(text):
            if entry is not None:
                yield entry
            entry = _Entry(number, text, len(line) == width)
        elif entry is not None and text == line and entry.continues_with(text):
            entry.text += text if entry.full else f" {text.lstrip()}"
            entry.full = len(line) == width
            entry.lines += 1
        elif entry is not None:
            yield entry
            entry = None
    if entry is not None:
        yield entry


def _claim(entry: _Entry, where: str) -> Claim:
    place = f"{where}:{entry.line}"
    match = entry.match
    if match is None:
        raise InputError(
            place,
            "expected '<n> bytes used for locals by func: <address> <module>!<name>', but the entry is cut off",
            "copy the whole listing",
        )
    symbol = match["symbol"]
    end = _BEHIND_NAME.search(symbol)
    return Claim(
        line=entry.line,
        figures={Figure.LOCALS: figure(match["bytes"], place)},
        name=symbol[: end.start()] if end else symbol,
        module=match["module"],
        address=int(match["address"].replace("`", ""), 16),
    )
