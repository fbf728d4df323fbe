"""Stack traces of WinDbg's `kf`, which shows the distance between adjacent frames:

     #   Memory  ChildEBP RetAddr
    00           8078ad10 a5de1799 passthrough!PtAppendNumber+0x2c
    01        50 8078ad60 a5de18ff passthrough!PtFormatTime+0x6d
    02        4c 8078adac 82c8f1a5 passthrough!PtLogSummary+0x44

Memory is hexadecimal: ChildEBP of this row less that of the row above. Each ChildEBP lies 4 bytes below its
function's entry stack pointer E, so the distance is how far below E the function was when it had made its
call: its own use at that call, the return address included. The addresses are those of the crash or break.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from stackemu.emu.errors import InputError
from stackemu.harness.verify.claim import Claim, Figure, Format, Source
from stackemu.harness.verify.text import figure, is_last, without_prompts

SAVED_EBP = 4
"""Bytes between ChildEBP, where a function's EBP is saved or would be, and E."""

_HEADER = re.compile(r"[ \t]{0,20}(?P<index>#)?[ \t]{0,20}Memory[ \t]+Child(?:EBP|-SP)[ \t]+RetAddr\b", re.IGNORECASE)
_HEADER_ANYWHERE = re.compile(rf"^(?:[^\n]{{0,40}}>)?{_HEADER.pattern}", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"[0-9a-f]{8}(?:`[0-9a-f]{8})?", re.IGNORECASE)
_DISTANCE = re.compile(r"[0-9a-f]{1,7}", re.IGNORECASE)
_INDEX = re.compile(r"[0-9a-f]{2,4}", re.IGNORECASE)
_SITE = re.compile(r"(?P<module>[^!\s]+)!(?P<name>\S.*?)(?:\+0x(?P<offset>[0-9a-f]{1,8}))?", re.IGNORECASE)
_BEHIND_SITE = re.compile(r"\s+(?:\((?:FPO|CONV|TrapFrame|Inline|No info)\b|\[|@ )")
_UNRELIABLE = "WARNING: "
"""`WARNING: Stack unwind information not available. Following frames may be wrong.` and its like."""


def recognise(text: str) -> bool:
    """Return whether `text` has the heading of such a trace."""
    return _HEADER_ANYWHERE.search(text) is not None


def read(lines: Sequence[str], where: str) -> Source:
    """Return what the traces in `lines` say: each frame's own use, each run of frames' depth.

    Raises:
        InputError: a row is cut off.
    """
    claims: list[Claim] = []
    for trace in _traces(lines, where):
        claims += _claims(trace)
    return Source(Format.KF, tuple(claims))


@dataclass(frozen=True, slots=True)
class _Row:
    """One frame: the distance to the frame that it called, None in the first row."""

    line: int
    distance: int | None
    child: int
    """ChildEBP."""
    site: str
    reliable: bool


def _traces(lines: Sequence[str], where: str) -> Iterator[list[_Row]]:
    rows: list[_Row] | None = None
    indexed = reliable = True
    for number, line in enumerate(lines, 1):
        text = without_prompts(line)
        header = _HEADER.match(text)
        if header is not None:
            yield rows or []
            rows, indexed, reliable = [], header["index"] is not None, True
        elif rows is not None and text.startswith(_UNRELIABLE):
            reliable = False
        elif rows is not None:
            row = _row(text, indexed, number, where)
            if row is not None:
                rows.append(replace(row, reliable=reliable))
            elif "(Inline" not in text:  # an inlined function has no frame
                if text == line and text.strip() and is_last(lines, number):
                    raise _cut_off(f"{where}:{number}")
                yield rows
                rows = None
    yield rows or []


def _cut_off(where: str) -> InputError:
    return InputError(
        where, "expected Memory, ChildEBP, RetAddr and a function; the row is cut off", "copy the whole trace"
    )


def _row(text: str, indexed: bool, number: int, where: str) -> _Row | None:
    """Return the row that a line is, None where it is none."""
    words = text.split()
    if indexed:
        if not words or not _INDEX.fullmatch(words[0]):
            return None
        words = words[1:]
    distance = None
    if words and _DISTANCE.fullmatch(words[0]):
        distance = figure(words[0], f"{where}:{number}", 16)
        words = words[1:]
    if len(words) < 3 or not _ADDRESS.fullmatch(words[0]) or not _ADDRESS.fullmatch(words[1]):
        return None
    # `kbf` and `kvf` show arguments between the addresses and the function.
    site = next((index for index, word in enumerate(words[2:], 2) if not _is_argument(word)), len(words))
    if site == len(words):
        return None
    child = int(words[0].replace("`", ""), 16)
    return _Row(number, distance, child, " ".join(words[site:]), True)


def _is_argument(word: str) -> bool:
    return word == ":" or _ADDRESS.fullmatch(word) is not None


def _claims(rows: Sequence[_Row]) -> Iterator[Claim]:
    """Yield the claims of one trace, from the innermost frame outwards."""
    reached, module = 0, None
    for row in rows:
        site = _SITE.fullmatch(_BEHIND_SITE.split(row.site, maxsplit=1)[0].strip())
        if site is None or row.distance is None:
            reached, module = 0, None
            continue
        # Depth is what the driver itself uses: it begins anew where another module called in between.
        reached = row.distance + (reached if site["module"] == module else 0)
        module = site["module"]
        yield Claim(
            line=row.line,
            figures={Figure.AT_CALL: row.distance, Figure.SEEN: reached},
            name=site["name"],
            module=module,
            call_end=int(site["offset"] or "0", 16),
            entry=row.child + SAVED_EBP,
            estimate=not row.reliable,
        )
