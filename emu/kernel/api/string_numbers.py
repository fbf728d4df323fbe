"""Counted strings and numbers: integers in bases 2, 8, 10 and 16, and GUIDs.

Rules of the pages of RtlUnicodeStringToInteger, RtlIntegerToUnicodeString, RtlGUIDFromString and their like.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence

from stackemu.emu.kernel.api.characters import units
from stackemu.emu.kernel.api.strings import (
    STATUS_BUFFER_OVERFLOW,
    STATUS_INVALID_PARAMETER,
    Counted,
    allocate_text,
    set_text,
)
from stackemu.emu.kernel.call import ApiCall

_DIGITS = "0123456789ABCDEF"
_BASES = (2, 8, 10, 16)
_PREFIXES = {"x": 16, "o": 8, "b": 2}
_GUID = re.compile(r"\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}")
_SPACE = 0x20


def parse_integer(text: Sequence[int], base: int) -> tuple[int, int]:
    """Return the number that characters start with and how many of them were used.

    `base` 0 takes it from a prefix: 0x, 0o, 0b, else 10.
    """
    at = 0
    while at < len(text) and text[at] <= _SPACE:
        at += 1
    sign = chr(text[at]) if at < len(text) else ""
    at += sign in ("-", "+") and sign != ""
    if not base:
        base = 10
        if text[at : at + 1] and chr(text[at]) == "0" and at + 1 < len(text) and chr(text[at + 1]) in _PREFIXES:
            base = _PREFIXES[chr(text[at + 1])]
            at += 2
    value = 0
    while at < len(text):
        digit = _DIGITS.find(chr(text[at]).upper())
        if not 0 <= digit < base:
            break
        value = value * base + digit
        at += 1
    return (-value if sign == "-" else value), at


def format_integer(value: int, base: int) -> str:
    """Return an unsigned number in a base up to 36, letters in upper case."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    text = ""
    while value or not text:
        value, digit = divmod(value, base)
        text = digits[digit] + text
    return text


def _to_integer(call: ApiCall) -> None:
    string, base, out = call.arguments[:3]
    text = units(call.counted(string))
    if base not in (0, *_BASES):
        call.eax = STATUS_INVALID_PARAMETER
        return
    call.put_u32(out, parse_integer(text, base)[0])


def _to_int64(call: ApiCall) -> None:
    string, base, out, end = call.arguments[:4]
    if base not in (0, *_BASES):
        call.eax = STATUS_INVALID_PARAMETER
        return
    value, used = parse_integer(units(call.counted(string)), base)
    call.put_u64(out, value)
    call.put_optional(end, Counted.at(call, string).buffer + 2 * used)


def _char_to_integer(call: ApiCall) -> None:
    string, base, out = call.arguments[:3]
    if base not in (0, *_BASES):
        call.eax = STATUS_INVALID_PARAMETER
        return
    call.put_u32(out, parse_integer(call.terminated(string), base)[0])


def _put_number(call: ApiCall, value: int, base: int, string: int) -> None:
    if base not in (0, *_BASES):
        call.eax = STATUS_INVALID_PARAMETER
        return
    text = format_integer(value, base or 10).encode("utf-16-le")
    if len(text) > Counted.at(call, string).maximum:
        call.eax = STATUS_BUFFER_OVERFLOW
        return
    set_text(call, string, text, 2)


def _from_integer(call: ApiCall) -> None:
    value, base, string = call.arguments[:3]
    _put_number(call, value, base, string)


def _from_int64(call: ApiCall) -> None:
    low, high, base, string = call.stack_words[:4]
    _put_number(call, low | high << 32, base, string)


def _to_characters(codec: str, unit: int) -> Callable[[ApiCall], None]:
    """RtlIntegerToChar(Value, Base, Length, Buffer): a negative length asks for leading zeros."""

    def behaviour(call: ApiCall) -> None:
        value, base, length, buffer = call.arguments[:4]
        if base not in (0, *_BASES):
            call.eax = STATUS_INVALID_PARAMETER
            return
        text = format_integer(value, base or 10)
        if length & 0x80000000:
            length = min(0x1_0000_0000 - length, 64)
            text = text.rjust(length, "0")
        if len(text) > length:
            call.eax = STATUS_BUFFER_OVERFLOW
            return
        call.write(buffer, text.encode(codec) + bytes(unit if len(text) < length else 0))

    return behaviour


def _guid_from_string(call: ApiCall) -> None:
    string, guid = call.arguments[:2]
    text = call.unicode(string)
    if not _GUID.fullmatch(text):
        call.eax = STATUS_INVALID_PARAMETER
        return
    call.write(guid, uuid.UUID(text).bytes_le)


def _string_from_guid(call: ApiCall) -> None:
    guid, string = call.arguments[:2]
    text = f"{{{uuid.UUID(bytes_le=call.read(guid, 16))}}}".upper()
    allocate_text(call, string, text.encode("utf-16-le"), 2)


BEHAVIOURS: Mapping[str, Callable[[ApiCall], None]] = {
    "RtlUnicodeStringToInteger": _to_integer,
    "RtlUnicodeStringToInt64": _to_int64,
    "RtlCharToInteger": _char_to_integer,
    "RtlIntegerToUnicodeString": _from_integer,
    "RtlInt64ToUnicodeString": _from_int64,
    "RtlIntegerToChar": _to_characters("ascii", 1),
    "RtlIntegerToUnicode": _to_characters("utf-16-le", 2),
    "RtlGUIDFromString": _guid_from_string,
    "RtlStringFromGUID": _string_from_guid,
}
