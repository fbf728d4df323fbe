"""A source's bytes as lines of text: encodings, line ends, and limits that no real source reaches."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from stackemu.emu.errors import InputError

MAX_SIZE = 64 << 20
"""Bytes of a source."""
MAX_LINE = 1 << 16
"""Characters of a line; the longest C++ names have a few thousand."""
MAX_FIGURE = 0xFFFFFFFF
"""Bytes of stack."""

_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_PROMPT = re.compile(r"\s*(?:(?:\d{1,4}: )?l?kd(?::\w{1,8})?>|\d{1,3}:\d{3}(?::\w{1,8})?>)\s?")
"""`kd> `, `0: kd> `, `lkd> `, `0: kd:x86> ` and the user-mode `0:000> `."""


def decode(data: bytes) -> str | None:
    """Return `data` as text: UTF-8, or what its byte order mark says; None where it is no text.

    Bytes that are not UTF-8 are replaced: a log may hold a path in an old code page, and names are ASCII.
    """
    mark = next((one for one in _BYTE_ORDER_MARKS if data.startswith(one)), None)
    text = data.decode(_BYTE_ORDER_MARKS[mark] if mark else "utf-8", "replace")
    return None if "\0" in text else text


def lines_of(text: str, where: str) -> list[str]:
    """Return the lines of `text`, without their ends (LF or CRLF); the first is line 1.

    Raises:
        InputError: a line is too long to be one of the source named `where`.
    """
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            raise InputError(f"{where}:{number}", f"expected at most {MAX_LINE} characters a line, got {len(line)}")
    return lines


def without_prompts(line: str) -> str:
    """Return a line of a debugger's window without the prompts that it begins with."""
    while match := _PROMPT.match(line):
        line = line[match.end() :]
    return line


def is_last(lines: Sequence[str], number: int) -> bool:
    """Return whether nothing but blank lines follows line `number` (from 1)."""
    return not any(line.strip() for line in lines[number:])


def figure(digits: str, where: str, base: int = 10) -> int:
    """Return a figure that stands in a source as `digits`, in bytes.

    Raises:
        InputError: no stack is that large.
    """
    # Python refuses to convert thousands of digits, with an error of its own.
    value = int(digits, base) if len(digits) <= 16 else MAX_FIGURE + 1
    if value > MAX_FIGURE:
        raise InputError(where, f"expected at most {MAX_FIGURE} bytes of stack, got {digits[:20]}")
    return value
